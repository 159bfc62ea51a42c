/*
 * Looks at the agent's address while a drain may be called off. What follows from a new agent's
 * answer is agent_side.c's.
 */
#include "app/agent_return.h"

#include "app/parts.h"
#include "log/log.h"

#include <errno.h>
#include <sys/stat.h>

static void look(struct timer *t);

static void look_again(struct app *a)
{
    timer_start(&a->back.look, a->loop, loop_now_ms(a->loop) + RETURN_LOOK_MS, look, a);
}

/* Who comes before the hook is answered is the one that is to end, however late it began to listen:
 * the next one is not started earlier. */
static bool is_still_coming(const struct app *a)
{
    return !a->back.was_there && a->stopping.phase < PHASE_PARKED;
}

static void judge(struct app *a, bool has_left)
{
    if (a->agent_left) { /* the probe has seen it first */
        return;
    }
    if (has_left) {
        agent_side_left(a);
    } else {
        look_again(a);
    }
}

/* ---- a Unix socket ---- */

static void note_file(struct agent_return *r, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0) {
        r->was_there = true;
        r->dev = st.st_dev;
        r->ino = st.st_ino;
        r->made_at = st.st_mtim;
    }
}

/* A server that binds its path makes a new file of it, whatever it found there. */
static bool is_same_file(const struct agent_return *r, const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_dev == r->dev && st.st_ino == r->ino &&
           st.st_mtim.tv_sec == r->made_at.tv_sec && st.st_mtim.tv_nsec == r->made_at.tv_nsec;
}

/* ---- TCP ---- */

static bool is_nobody(const struct endpoint *at, int errnum)
{
    /* of "localhost" the last word is [::1]'s, which many a container does not have */
    return errnum == ECONNREFUSED ||
           (at->is_localhost && (errnum == EADDRNOTAVAIL || errnum == EAFNOSUPPORT));
}

/* A hung agent's backlog is full one day: then it is there, and silent (ETIMEDOUT). */
static void on_tried(void *arg, int errnum)
{
    struct app *a = arg;
    bool is_gone = is_nobody(&a->cfg->agent.address, errnum);

    if (is_still_coming(a)) {
        a->back.was_there = !is_gone;
        look_again(a);
    } else {
        judge(a, is_gone);
    }
}

/*
 * An agent that serves one at a time accepts nobody while it works: our looks would fill its
 * backlog, and requests that the drain still owes an answer would find no place there. Nor is a
 * look needed then: whose agent goes away is told by the connection.
 */
static bool is_busy(const struct app *a)
{
    const struct proxy_stats *s = proxy_stats(a->proxy);

    return s->in_flight + s->on_way > 0;
}

static void try_port(struct app *a, const struct endpoint *at)
{
    if (is_busy(a)) {
        look_again(a);
        return;
    }
    int r = connect_try_start(&a->back.connect, a->loop, at, RETURN_LOOK_MS, on_tried, a);

    if (r >= 0) {
        on_tried(a, r);
    }
}

/* ---- both ---- */

static void look(struct timer *t)
{
    struct app *a = t->arg;
    const struct endpoint *at = &a->cfg->agent.address;
    const char *path = endpoint_unix_path(at);

    if (!path) {
        try_port(a, at);
    } else if (is_still_coming(a)) {
        note_file(&a->back, path);
        look_again(a);
    } else {
        judge(a, !is_same_file(&a->back, path));
    }
}

void agent_return_watch(struct app *a)
{
    const char *path = endpoint_unix_path(&a->cfg->agent.address);
    struct agent_return *r = &a->back;

    if (a->supervisor || !a->probe || a->stopping.is_final) {
        return;
    }
    agent_return_stop(a);
    *r = (struct agent_return){.look = r->look, .was_there = a->agent_ever_answered};
    if (path) {
        note_file(r, path); /* not there: it has left already, as the first look finds */
    }
    look_again(a);
}

void agent_return_stop(struct app *a)
{
    timer_stop(&a->back.look);
    connect_try_stop(&a->back.connect);
}
