/*
 * Looks at the agent's address while a drain may be called off. What follows from a new agent's
 * answer is agent_side.c's.
 */
#include "app/agent_return.h"

#include "app/parts.h"
#include "log/log.h"

#include <sys/stat.h>

static bool is_same_file(const struct agent_return *r, const struct stat *st)
{
    return st->st_dev == r->dev && st->st_ino == r->ino &&
           st->st_mtim.tv_sec == r->made_at.tv_sec && st->st_mtim.tv_nsec == r->made_at.tv_nsec;
}

/* A server that binds its path makes a new file of it, whatever it found there. */
static bool has_left(const struct app *a)
{
    const char *path = endpoint_unix_path(&a->cfg->agent.address);
    struct stat st;

    return path ? stat(path, &st) < 0 || !is_same_file(&a->back, &st) : agent_side_is_gone_now(a);
}

static void look(struct timer *t)
{
    struct app *a = t->arg;

    if (a->agent_left) { /* the probe has seen it first */
        return;
    }
    if (has_left(a)) {
        agent_side_left(a);
        return;
    }
    timer_start(t, a->loop, loop_now_ms(a->loop) + RETURN_LOOK_MS, look, a);
}

void agent_return_watch(struct app *a)
{
    const char *path = endpoint_unix_path(&a->cfg->agent.address);
    struct agent_return *r = &a->back;
    struct stat st;

    if (a->supervisor || !a->probe || a->stopping.is_final || !a->agent_ever_answered) {
        return;
    }
    *r = (struct agent_return){.look = r->look};
    if (path && stat(path, &st) == 0) { /* else it has left already, as the first look finds */
        r->dev = st.st_dev;
        r->ino = st.st_ino;
        r->made_at = st.st_mtim;
    }
    timer_start(&r->look, a->loop, loop_now_ms(a->loop) + RETURN_LOOK_MS, look, a);
}

void agent_return_stop(struct app *a)
{
    timer_stop(&a->back.look);
}
