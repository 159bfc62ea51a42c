/*
 * The walk through the tree of our descendants, and what is done to each of them. When is
 * supervisor.c's; what /proc says is proc_tree.c's.
 */
#include "supervisor/descendants.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/proc.h"
#include "supervisor/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

/* One of them. Its number is its own for as long as the visit takes. */
struct visited {
    pid_t pid;
    int fd; /* -1: our own child, on a kernel without pidfd */
};

struct walk;
typedef bool visit_fn(struct walk *w, const struct visited *v); /* false: the walk is over */

struct walk {
    visit_fn *visit;
    void *arg;
    int signo;
    int64_t until_ms;
    bool has_lists;        /* proc_lists_children() */
    struct pid_list *told; /* who has had signo before, or NULL */
    struct pid_list now;   /* who is there, told or not */
    pid_t told_group;      /* all in it have had it; 0 = none */
    size_t fresh;          /* who had it by this walk */
};

/* ---- the walk: depth first, parents before their children ---- */

struct level {
    struct visited at;
    struct pid_list children;
    size_t next;
};

static int list_children(const struct walk *w, pid_t parent, struct pid_list *ret)
{
    return w->has_lists ? proc_children(parent, ret) : proc_children_by_parents(parent, ret);
}

static bool is_gone(const struct visited *v)
{
    return v->fd < 0 || pidfd_signal(v->fd, 0) == -ESRCH;
}

/*
 * The list was a moment old, and its number may have been given away before we held it. /proc says
 * who the parent is now; if that parent, held since before, is not reaped, it is the one we mean.
 */
static bool is_child_of(pid_t pid, const struct visited *parent)
{
    struct proc_facts facts;

    return proc_facts_of(pid, &facts) == 0 && facts.parent == parent->pid && !is_gone(parent);
}

/* Takes hold of the next child of that level. false: it went, or cannot be held. */
static bool hold(pid_t pid, const struct level *parent, bool is_ours, struct visited *ret)
{
    *ret = (struct visited){.pid = pid, .fd = pidfd_of(pid)};
    if (is_ours) {
        return ret->fd != -ESRCH; /* without a pidfd its number will do */
    }
    if (ret->fd >= 0 && is_child_of(pid, &parent->at)) {
        return true;
    }
    fd_close(&ret->fd);
    return false;
}

static void leave(struct level *l)
{
    pid_list_release(&l->children);
    fd_close(&l->at.fd);
}

/* Goes down into *v, whose descriptor is taken over; or lets it go when it has no children. */
static bool enter(const struct walk *w, struct level *ret, struct visited *v)
{
    *ret = (struct level){.at = *v};
    if (list_children(w, v->pid, &ret->children) == 0 && ret->children.n > 0) {
        return true;
    }
    leave(ret);
    return false;
}

static int walk(struct walk *w)
{
    struct level levels[DESCENDANTS_DEPTH_MAX];
    size_t depth = 1;
    int r;

    w->has_lists = proc_lists_children();
    if (!proc_is_ours()) {
        return -ENOENT;
    }
    levels[0] = (struct level){.at = {.pid = getpid(), .fd = -1}};
    r = list_children(w, getpid(), &levels[0].children);
    while (depth > 0) {
        struct level *l = &levels[depth - 1];
        struct visited v;

        if (l->next == l->children.n || clock_mono_ms() > w->until_ms) {
            leave(l);
            depth--;
            continue;
        }
        if (!hold(l->children.v[l->next++], l, depth == 1, &v)) {
            continue;
        }
        if (!w->visit(w, &v)) {
            w->until_ms = 0;
        }
        if (v.fd >= 0 && depth < DESCENDANTS_DEPTH_MAX && enter(w, &levels[depth], &v)) {
            depth++;
        } else {
            fd_close(&v.fd);
        }
    }
    return r;
}

/* ---- signals ---- */

static void send(const struct visited *v, int signo)
{
    if (v->fd >= 0) {
        (void)pidfd_signal(v->fd, signo); /* it went, or is another user's: seen when all is over */
    } else {
        (void)kill(v->pid, signo); /* our own child: at worst a zombie */
    }
}

static bool signal_once(struct walk *w, const struct visited *v)
{
    bool is_told = (w->told && pid_list_has(w->told, v->pid)) ||
                   (w->told_group > 0 && getpgid(v->pid) == w->told_group);

    (void)pid_list_insert(&w->now, v->pid); /* out of memory: it gets the signal once more */
    if (is_told) {
        return true;
    }
    w->fresh++;
    send(v, w->signo);
    if (w->signo != SIGKILL && w->signo != SIGSTOP) {
        send(v, SIGCONT); /* a stopped process would sleep through its grace */
    }
    return true;
}

void descendants_told_release(struct descendants_told *t)
{
    pid_list_release(&t->pids);
    t->group = 0;
}

int descendants_ask(struct descendants_told *told)
{
    struct walk w = {.visit = signal_once,
                     .signo = SIGTERM,
                     .until_ms = clock_mono_ms() + DESCENDANTS_SWEEP_MS,
                     .told = &told->pids,
                     .told_group = told->group};
    int r = walk(&w);

    if (r < 0 && getpid() == 1) {
        (void)kill(-1, SIGTERM);
        (void)kill(-1, SIGCONT);
        r = 0;
    }
    descendants_told_release(told);
    told->pids = w.now;
    return r;
}

/* STOP to all, until a whole walk has found nobody who had not had it. */
static int freeze(int64_t until_ms)
{
    struct pid_list frozen = {0};
    bool is_moving = true;
    int r = 0;

    for (int i = 0; i < DESCENDANTS_FREEZE_ROUNDS && is_moving && r == 0; i++) {
        struct walk w = {
            .visit = signal_once, .signo = SIGSTOP, .until_ms = until_ms, .told = &frozen};

        r = walk(&w);
        is_moving = w.fresh > 0 && clock_mono_ms() <= until_ms;
        pid_list_release(&frozen);
        frozen = w.now;
    }
    pid_list_release(&frozen);
    return r;
}

int descendants_kill(void)
{
    int64_t now_ms = clock_mono_ms();
    struct walk w = {.visit = signal_once, .signo = SIGKILL};
    int r;

    if (getpid() == 1) {
        (void)kill(-1, SIGKILL); /* ESRCH: nobody is left */
        return 0;
    }
    (void)freeze(now_ms + DESCENDANTS_SWEEP_MS / 2); /* its failure is the next walk's as well */
    w.until_ms = clock_mono_ms() + DESCENDANTS_SWEEP_MS / 2;
    r = walk(&w);
    pid_list_release(&w.now);
    return r;
}

/* ---- who is there ---- */

struct group_question {
    pid_t group;
    bool is_found;
};

static bool look_at_group(struct walk *w, const struct visited *v)
{
    struct group_question *q = w->arg;

    q->is_found = getpgid(v->pid) == q->group;
    return !q->is_found;
}

bool descendants_are_in_group(pid_t group)
{
    struct group_question q = {.group = group};
    struct walk w = {
        .visit = look_at_group, .arg = &q, .until_ms = clock_mono_ms() + DESCENDANTS_SWEEP_MS};

    (void)walk(&w);
    return q.is_found;
}

struct description {
    struct str names;
    size_t n;
};

static bool describe_one(struct walk *w, const struct visited *v)
{
    struct description *d = w->arg;
    struct proc_facts facts;

    if (proc_facts_of(v->pid, &facts) < 0 || facts.state == 'Z') {
        return true; /* a zombie is dead: its parent has only not looked yet */
    }
    if (d->n < DESCENDANTS_NAMED_MAX) {
        str_addf(&d->names, "%s%s (%d, %c)", d->n > 0 ? ", " : "", facts.name, (int)v->pid,
                 facts.state);
    } else if (d->n == DESCENDANTS_NAMED_MAX) {
        str_addz(&d->names, ", ...");
    }
    d->n++;
    return true;
}

size_t descendants_describe(struct str *ret)
{
    struct description d = {0};
    struct walk w = {
        .visit = describe_one, .arg = &d, .until_ms = clock_mono_ms() + DESCENDANTS_SWEEP_MS};

    (void)walk(&w);
    str_addf(ret, "%zu process%s: %s", d.n, d.n == 1 ? "" : "es", str_z(&d.names));
    str_release(&d.names);
    return d.n;
}
