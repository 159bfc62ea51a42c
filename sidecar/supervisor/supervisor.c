/*
 * Joins the child's table (child.c) to the world: fork and exec (spawn.c), zombies (reap.c), timers
 * and signals. Decides nothing itself. What the states mean to the rest of the sidecar is app/'s.
 */
#include "supervisor/supervisor.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "log/log.h"
#include "supervisor/child.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    /* While we end descendants: their children come to us as they die, and are looked for again
     * this long after a death, many deaths at once. */
    SUPERVISOR_RESCAN_MS = 10,
    SUPERVISOR_LOOK_AGAIN_MS = 200, /* when the kernel did not say who has ended */
    SUPERVISOR_FREE_WAIT_MS = 1000, /* supervisor_free() waits this long for a child it killed */
};

struct supervisor {
    struct loop *loop;
    struct supervisor_config cfg;
    struct supervisor_callbacks cb;
    struct child_rules rules;
    struct child_ops ops;
    struct child child;
    struct spawn spawn; /* the one under way, until its outcome is known */
    struct watch outcome_watch;
    struct err failure; /* of that spawn; code 0 = none */
    pid_t group;        /* of the last child; its members may outlive it */
    struct timer deadline;
    struct timer step;          /* the next signal of the stop sequence */
    struct timer failure_timer; /* reports a spawn that failed before the fork */
    struct timer rescan;
    struct timer look_again; /* see wait_refused() */
    bool is_refusal_said;
    struct pid_list told; /* descendants that have had their TERM */
    bool is_cleaning;     /* told was filled once since the last spawn */
    uint64_t orphans;
    struct supervisor_status status;
};

static void settle(struct supervisor *s);

static void tell(struct supervisor *s, enum child_event ev, struct child_input in)
{
    in.now_ms = loop_now_ms(s->loop);
    child_dispatch(&s->child, ev, &in);
}

/* ---- spawning ---- */

static void env_free(char **env)
{
    for (char **e = env; e && *e; e++) {
        free(*e);
    }
    free(env);
}

static struct spawn_request request(const struct supervisor *s, char *const *env)
{
    return (struct spawn_request){
        .argv = s->cfg.argv,
        .envp = env,
        .cwd = s->cfg.cwd ? s->cfg.cwd : "",
        .no_new_privs = s->cfg.no_new_privs,
        .origin = s->cfg.origin,
    };
}

static void forget_spawn(struct supervisor *s)
{
    watch_stop(&s->outcome_watch);
    spawn_release(&s->spawn);
}

/* Known for sure: no process. The failure stays until the table has it. */
static void tell_failure(struct supervisor *s)
{
    struct err failure = s->failure;

    s->failure.code = 0;
    tell(s, CHILD_EV_EXEC_FAILED,
         (struct child_input){.failure = &failure,
                              .is_permanent = spawn_failure_is_permanent(failure.code)});
}

static void on_failure_timer(struct timer *t)
{
    struct supervisor *s = t->arg;

    tell_failure(s);
    settle(s);
}

/* 1 it runs (told), 0 unknown, negative: failed, to be told once the process is a zombie. */
static int read_outcome(struct supervisor *s)
{
    struct spawn_request rq = request(s, NULL);
    int r = spawn_outcome(&rq, &s->spawn, &s->failure);

    if (r == 0) {
        return 0;
    }
    forget_spawn(s);
    if (r > 0) {
        tell(s, CHILD_EV_EXEC_OK, (struct child_input){0});
    }
    return r;
}

static void on_outcome(struct watch *w, int events)
{
    struct supervisor *s = w->arg;

    (void)events;
    (void)read_outcome(s); /* a failure is kept in s->failure */
    settle(s);
}

/*
 * What the last child left in its group would hold sockets and ports of the next one. The child
 * itself was reaped; but while a child of ours is in that group, its number cannot be anybody
 * else's, so the whole group may be killed at once, grandchildren too.
 */
static void kill_old_group(struct supervisor *s)
{
    struct pid_list children = {0};
    bool is_ours = false;
    int r = s->group > 0 && reap_has_children() ? reap_list(&children) : 0;

    if (r < 0) {
        log_warning("supervisor",
                    "cannot list what the agent left behind (/proc): %s; if it still runs it keeps "
                    "its sockets and ports",
                    strerrordesc_np(-r));
    }
    if (children.n > 0) {
        for (size_t i = 0; i < children.n && !is_ours; i++) {
            is_ours = getpgid(children.v[i]) == s->group;
        }
    }
    if (is_ours) {
        (void)kill(-s->group, SIGKILL);
    }
    pid_list_release(&children);
}

static pid_t op_spawn(void *arg)
{
    struct supervisor *s = arg;
    char **env;
    struct spawn_request rq;
    int r;

    kill_old_group(s);
    s->told.n = 0;
    s->is_cleaning = false;
    s->failure.code = 0;
    env = s->cb.build_env(s->child.ops->report_arg);
    if (env) {
        rq = request(s, env);
        r = spawn_start(&rq, &s->spawn, &s->failure);
    } else {
        r = err_set(&s->failure, -EAGAIN, "cannot build the environment of %s", s->cfg.argv[0]);
    }
    env_free(env);
    if (r == 0) {
        s->group = s->spawn.pid;
        r = watch_start(&s->outcome_watch, s->loop, s->spawn.fd, WATCH_READ, on_outcome, s);
        if (r == 0) {
            return s->spawn.pid;
        }
        /* Without the watch the outcome is still read when the process ends; else it just runs. */
        log_warning("supervisor", "cannot watch the start of %s: %s", s->cfg.argv[0],
                    strerrordesc_np(-r));
        return s->spawn.pid;
    }
    timer_start(&s->failure_timer, s->loop, loop_now_ms(s->loop), on_failure_timer, s);
    return 0;
}

/* ---- signals ---- */

static void op_signal_group(void *arg, int signo)
{
    struct supervisor *s = arg;
    char name[STOP_SIGNAL_TEXT_MAX];

    /* child.pid is 0 once the zombie was seen: the number cannot be somebody else's yet */
    if (s->child.pid > 0) {
        /* ESRCH: all of it is gone. Else the deadline goes on to KILL, and then to giving up. */
        if (kill(-s->child.pid, signo) < 0 && errno != ESRCH && signo != SIGCONT) {
            log_warning("supervisor", "cannot send %s to the agent: %s",
                        stop_signal_text(signo, name), strerrordesc_np(errno));
        }
    }
}

static void signal_one(pid_t pid, int signo)
{
    (void)kill(pid, signo); /* our own child: at worst a zombie */
    if (signo != SIGKILL) {
        (void)kill(pid, SIGCONT); /* a stopped process would sleep through its grace */
    }
}

/* The first time around, the group has just had its TERM; whoever comes to us later has not. */
static bool is_told(const struct supervisor *s, pid_t pid)
{
    return pid_list_has(&s->told, pid) || (!s->is_cleaning && getpgid(pid) == s->group);
}

static void op_signal_rest(void *arg, int signo)
{
    struct supervisor *s = arg;
    struct pid_list children = {0};
    int r;

    if (!reap_has_children()) {
        return;
    }
    r = reap_list(&children);
    if (r < 0) {
        log_warning("supervisor", "cannot list the agent's descendants (/proc): %s",
                    strerrordesc_np(-r));
    }
    for (size_t i = 0; i < children.n; i++) {
        pid_t pid = children.v[i];

        if (pid != s->child.pid && (signo == SIGKILL || !is_told(s, pid))) {
            signal_one(pid, signo);
        }
    }
    s->is_cleaning = true;
    pid_list_release(&s->told);
    s->told = children;
}

/* Children of those that died while we end everything. */
static void on_rescan(struct timer *t)
{
    struct supervisor *s = t->arg;

    if (s->child.state == CHILD_CLEANING || s->child.state == CHILD_KILLING) {
        op_signal_rest(s, s->child.state == CHILD_KILLING ? SIGKILL : SIGTERM);
    }
    settle(s);
}

/* ---- time ---- */

static void on_deadline(struct timer *t)
{
    struct supervisor *s = t->arg;

    tell(s, CHILD_EV_DEADLINE, (struct child_input){0});
    settle(s);
}

static void op_set_deadline(void *arg, int64_t at_ms)
{
    struct supervisor *s = arg;

    if (at_ms > 0) {
        timer_start(&s->deadline, s->loop, at_ms, on_deadline, s);
    } else {
        timer_stop(&s->deadline);
    }
}

static void on_step(struct timer *t)
{
    struct supervisor *s = t->arg;

    tell(s, CHILD_EV_STEP, (struct child_input){0});
}

static void op_set_step(void *arg, int64_t at_ms)
{
    struct supervisor *s = arg;

    if (at_ms > 0) {
        timer_start(&s->step, s->loop, at_ms, on_step, s);
    } else {
        timer_stop(&s->step);
    }
}

/* ---- reaping ---- */

/* The child ended. If exec failed, or its outcome was not read yet, that comes first. */
static void child_is_zombie(struct supervisor *s, int wait_status)
{
    if (s->spawn.fd >= 0) {
        (void)read_outcome(s); /* its end of the pipe is closed: known for sure now */
        forget_spawn(s);
    }
    if (s->failure.code != 0) {
        tell_failure(s);
        return;
    }
    tell(s, CHILD_EV_EXIT, (struct child_input){.wait_status = wait_status});
}

static void on_look_again(struct timer *t)
{
    supervisor_on_sigchld(t->arg);
}

/* A filter that does not know waitid, most likely. Nobody else would tell of an end: ask again. */
static void wait_refused(struct supervisor *s, int error)
{
    if (!s->is_refusal_said) {
        s->is_refusal_said = true;
        log_error("supervisor",
                  "cannot see whether the agent has ended: waitid: %s (a seccomp filter?); asking "
                  "again every %d ms",
                  strerrordesc_np(error), SUPERVISOR_LOOK_AGAIN_MS);
    }
    timer_start(&s->look_again, s->loop, loop_now_ms(s->loop) + SUPERVISOR_LOOK_AGAIN_MS,
                on_look_again, s);
}

void supervisor_on_sigchld(struct supervisor *s)
{
    int wait_status;
    bool reaped = false;
    pid_t pid;

    for (; (pid = reap_look(&wait_status)) > 0; reap_take(pid)) {
        reaped = true;
        if (pid == s->child.pid) {
            child_is_zombie(s, wait_status);
            continue;
        }
        s->orphans++;
        if (s->cb.on_reaped) {
            s->cb.on_reaped(s->child.ops->report_arg, pid, wait_status);
        }
    }
    if (pid < 0) {
        wait_refused(s, -pid);
    }
    if (reaped && (s->child.state == CHILD_CLEANING || s->child.state == CHILD_KILLING) &&
        !s->rescan.armed) {
        timer_start(&s->rescan, s->loop, loop_now_ms(s->loop) + SUPERVISOR_RESCAN_MS, on_rescan, s);
    }
    settle(s);
}

/* The end of each entry: ending everything is over when nobody is left to die. */
static void settle(struct supervisor *s)
{
    enum child_state state = s->child.state;

    if ((state == CHILD_CLEANING || state == CHILD_KILLING) && s->failure.code == 0 &&
        !reap_has_children()) {
        tell(s, CHILD_EV_EMPTY, (struct child_input){0});
    }
    if (s->child.state == CHILD_ENDED) {
        timer_stop(&s->rescan);
        timer_stop(&s->look_again);
        forget_spawn(s); /* still open only when the child hangs in the kernel */
    }
}

/* ---- the interface ---- */

int supervisor_new(struct loop *l, const struct supervisor_config *cfg,
                   const struct supervisor_callbacks *cb, void *arg, struct supervisor **ret,
                   struct err *err)
{
    struct supervisor *s;
    int r;

    assert(cfg->argv && cfg->argv[0] && cfg->origin && cb->build_env && cfg->stop.n > 0);
    s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, -ENOMEM, "cannot supervise %s: out of memory", cfg->argv[0]);
    }
    r = reap_become_subreaper();
    if (r < 0) {
        /* Orphans then go to the real init, as without us: worth a word, no reason to stop. */
        log_warning("supervisor", "orphans will not be reaped: PR_SET_CHILD_SUBREAPER: %s",
                    strerrordesc_np(-r));
    }
    s->loop = l;
    s->cfg = *cfg;
    s->cb = *cb;
    s->spawn.fd = -1;
    s->rules = (struct child_rules){
        .restart = {.when = (enum restart_when)cfg->policy,
                    .backoff_ms = cfg->backoff_ms,
                    .backoff_max_ms = cfg->backoff_max_ms,
                    .reset_after_ms = cfg->reset_after_ms,
                    .max_failures = cfg->max_failures},
        .start_timeout_ms = cfg->start_timeout_ms,
        .start_timeout_restarts = cfg->start_timeout_restarts,
        .stop = cfg->stop,
    };
    s->ops = (struct child_ops){
        .spawn = op_spawn,
        .signal_group = op_signal_group,
        .signal_rest = op_signal_rest,
        .set_deadline = op_set_deadline,
        .set_step = op_set_step,
        .report = &s->cb,
        .report_arg = arg,
    };
    child_init(&s->child, &s->rules, &s->ops, s);
    *ret = s;
    return 0;
}

/* KILL was sent; a pidfd becomes readable when it has taken effect. */
static void wait_briefly(pid_t pid)
{
    CLEANUP(fd_cleanup) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd >= 0) {
        while (poll(&p, 1, SUPERVISOR_FREE_WAIT_MS) < 0 && errno == EINTR) {
            /* once more from the start: there are no handlers, so this cannot go on */
        }
    }
    while (waitpid(pid, NULL, fd >= 0 ? WNOHANG : 0) < 0 && errno == EINTR) {
        /* Linux before 5.3 waits here */
    }
}

void supervisor_free(struct supervisor *s)
{
    if (!s) {
        return;
    }
    if (s->child.pid > 0) {
        (void)kill(-s->child.pid, SIGKILL);
        wait_briefly(s->child.pid);
    } else {
        kill_old_group(s); /* it backs off: what the last one left behind */
    }
    timer_stop(&s->deadline);
    timer_stop(&s->step);
    timer_stop(&s->failure_timer);
    timer_stop(&s->rescan);
    timer_stop(&s->look_again);
    forget_spawn(s);
    pid_list_release(&s->told);
    free(s);
}

void supervisor_start(struct supervisor *s)
{
    tell(s, CHILD_EV_START, (struct child_input){0});
}

void supervisor_mark_ready(struct supervisor *s)
{
    tell(s, CHILD_EV_READY, (struct child_input){0});
}

void supervisor_mark_unready(struct supervisor *s)
{
    tell(s, CHILD_EV_UNREADY, (struct child_input){0});
}

void supervisor_stop(struct supervisor *s, int64_t grace_ms)
{
    tell(s, CHILD_EV_STOP, (struct child_input){.grace_ms = grace_ms});
    settle(s);
}

void supervisor_kill(struct supervisor *s)
{
    tell(s, CHILD_EV_KILL, (struct child_input){0});
    settle(s);
}

void supervisor_restart(struct supervisor *s, int64_t grace_ms)
{
    tell(s, CHILD_EV_RESTART, (struct child_input){.grace_ms = grace_ms});
}

void supervisor_signal(struct supervisor *s, int signo)
{
    op_signal_group(s, signo);
}

bool supervisor_has_descendants(const struct supervisor *s)
{
    (void)s;
    return reap_has_children();
}

const struct supervisor_status *supervisor_status(struct supervisor *s)
{
    const struct child *c = &s->child;

    s->status = (struct supervisor_status){
        .state = c->state,
        .pid = c->pid,
        .spawned_total = c->spawned_total,
        .restarts_total = c->spawned_total > 0 ? c->spawned_total - 1 : 0,
        .orphans_reaped_total = s->orphans,
        .failures = c->failures,
        .spawned_at_ms = c->pid > 0 ? c->spawned_at_ms : 0,
        .ready_at_ms = c->ready_at_ms,
        .next_start_ms = c->state == CHILD_BACKOFF ? c->deadline_ms : 0,
        .has_exited = c->has_exited,
        .last = c->last,
    };
    return &s->status;
}
