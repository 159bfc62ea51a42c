/*
 * Joins the child's table (child.c) to the world: fork and exec (spawn.c), zombies (reap.c), timers
 * and signals. Decides nothing itself. What the states mean to the rest of the sidecar is app/'s.
 */
#include "supervisor/supervisor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/signame.h"
#include "log/log.h"
#include "supervisor/child.h"
#include "supervisor/job.h"
#include "supervisor/leftovers.h"
#include "supervisor/orphans.h"
#include "supervisor/output.h"
#include "supervisor/pidfd.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    /* While we end descendants: their children come to us as they die, and are looked for again
     * this long after a death, many deaths at once. */
    SUPERVISOR_RESCAN_MS = 10,
    SUPERVISOR_LOOK_AGAIN_MS = 200, /* when the kernel did not say who has ended */
    SUPERVISOR_FREE_WAIT_MS = 1000, /* supervisor_free() waits this long for those it killed */
    SUPERVISOR_FREE_LOOK_MS = 5,    /* and looks this often whether there are more */
};

struct supervisor {
    struct loop *loop;
    struct supervisor_config cfg;
    struct supervisor_callbacks cb;
    struct child_rules rules;
    struct child_ops ops;
    struct child child;
    struct job job;     /* the child as the kernel's job control sees it */
    struct spawn spawn; /* the one under way, until its outcome is known */
    struct watch outcome_watch;
    struct err failure; /* of that spawn; code 0 = none */
    struct leftovers leftovers;
    struct timer deadline;
    struct timer step;          /* the next signal of the stop sequence */
    struct timer failure_timer; /* reports a spawn that failed before the fork */
    struct timer rescan;
    struct timer look_again; /* see wait_refused() */
    bool is_refusal_said;
    bool was_spawned; /* at least once, or tried */
    struct orphans orphans;
    struct output *output; /* NULL: it writes to our own stdout and stderr */
    struct supervisor_status status;
};

static void settle(struct supervisor *s);
static void on_rescan(struct timer *t);

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
        .cgroup_fd = s->leftovers.cgroup.procs_fd,
        .output = s->output ? output_fds(s->output) : NULL,
        .group = s->cfg.group,
        .gifts = &s->cfg.gifts,
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

static pid_t op_spawn(void *arg)
{
    struct supervisor *s = arg;
    char **env;
    struct spawn_request rq;
    int r;

    leftovers_clear(&s->leftovers);
    s->failure.code = 0;
    env = s->cb.build_env(s->child.ops->report_arg);
    if (env) {
        rq = request(s, env);
        rq.takes_terminal = job_may_take_terminal(&s->job);
        rq.may_wait = s->cfg.first_may_wait && !s->was_spawned;
        s->was_spawned = true;
        r = spawn_start(&rq, &s->spawn, &s->failure);
        job_started(&s->job, r == 0 && rq.takes_terminal);
    } else {
        r = err_set(&s->failure, -EAGAIN, "cannot build the environment of %s", s->cfg.argv[0]);
    }
    env_free(env);
    if (r == 0) {
        leftovers_started(&s->leftovers, s->cfg.group == CHILD_GROUP_PROCESS ? 0 : s->spawn.pid);
        s->job.pidfd = pidfd_of(s->spawn.pid);
        if (s->output) {
            output_set_pid(s->output, s->spawn.pid);
        }
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
    char name[SIGNAL_WORDS_MAX];

    /* child.pid is 0 once the zombie was seen: the number cannot be somebody else's yet */
    if (s->child.pid > 0) {
        int r = job_signal(&s->job, s->child.pid, signo);

        /* ESRCH: all of it is gone. Else the deadline goes on to KILL, and then to giving up. */
        if (r < 0 && r != -ESRCH && signo != SIGCONT) {
            log_warning("supervisor", "cannot send %s to the agent: %s",
                        signal_in_words(signo, name), strerrordesc_np(-r));
        }
    }
}

static void op_signal_rest(void *arg, int signo)
{
    struct supervisor *s = arg;

    leftovers_signal(&s->leftovers, signo);
    if (signo == SIGKILL) { /* a sweep may have been cut short: look again, also if nobody dies */
        timer_start(&s->rescan, s->loop, loop_now_ms(s->loop) + SUPERVISOR_LOOK_AGAIN_MS, on_rescan,
                    s);
    }
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

/* Ctrl-C or Ctrl-\, or a program that ended because of them and says so as shells do. */
static bool is_of_keyboard(int wait_status)
{
    int signo = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status) - 128;

    return signo == SIGINT || signo == SIGQUIT;
}

/* The child ended. If exec failed, or its outcome was not read yet, that comes first. */
static void child_is_zombie(struct supervisor *s, int wait_status)
{
    bool had_terminal = job_ended(&s->job);
    bool is_final;

    if (s->output) {
        output_child_ended(s->output); /* its last words, before anybody says that it ended */
    }
    if (s->spawn.fd >= 0) {
        (void)read_outcome(s); /* its end of the pipe is closed: known for sure now */
        forget_spawn(s);
    }
    if (s->failure.code != 0) {
        tell_failure(s);
        return;
    }
    is_final = had_terminal && is_of_keyboard(wait_status); /* a person at the terminal */
    if (is_final) {
        log_info("supervisor", "the agent was ended from its terminal: not starting it again");
    }
    tell(s, CHILD_EV_EXIT, (struct child_input){.wait_status = wait_status, .is_final = is_final});
}

/* Stopped and continued children are told like ended ones, but stay. */
static void look_for_stop(struct supervisor *s)
{
    int signo;

    if (s->child.pid <= 0 || !reap_look_stopped(s->child.pid, &signo)) {
        return;
    }
    if (s->cb.on_stopped) {
        s->cb.on_stopped(s->child.ops->report_arg, signo);
    }
    job_on_stop(&s->job, s->child.pid, signo);
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
            fd_close(&s->job.pidfd);
            child_is_zombie(s, wait_status);
            continue;
        }
        if (orphans_add(&s->orphans, pid, loop_now_ms(s->loop))) {
            orphans_say(&s->orphans, loop_now_ms(s->loop));
        }
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
    look_for_stop(s);
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
        leftovers_say_survivors(&s->leftovers);
    }
}

/* ---- the interface ---- */

void supervisor_configure(struct supervisor *s, const struct supervisor_config *cfg)
{
    s->rules.restart = (struct restart_rules){.when = (enum restart_when)cfg->policy,
                                              .backoff_ms = cfg->backoff_ms,
                                              .backoff_max_ms = cfg->backoff_max_ms,
                                              .reset_after_ms = cfg->reset_after_ms,
                                              .max_failures = cfg->max_failures};
    s->rules.start_timeout_ms = cfg->start_timeout_ms;
    s->rules.start_timeout_restarts = cfg->start_timeout_restarts;
    s->rules.success = cfg->success;
}

int supervisor_new(struct loop *l, const struct supervisor_config *cfg,
                   const struct supervisor_callbacks *cb, void *arg, struct supervisor **ret,
                   struct err *err)
{
    struct supervisor *s;
    struct output *output = NULL;
    int r;

    assert(cfg->argv && cfg->argv[0] && cfg->origin && cb->build_env && cfg->stop.n > 0);
    if (cfg->wrap_output && (r = output_new(l, &output, err)) < 0) {
        return r;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        output_free(output);
        return err_set(err, -ENOMEM, "cannot supervise %s: out of memory", cfg->argv[0]);
    }
    r = reap_become_subreaper();
    if (r < 0) {
        /* Orphans then go to the real init, as without us: worth a word, no reason to stop. */
        log_warning("supervisor", "orphans will not be reaped: PR_SET_CHILD_SUBREAPER: %s",
                    strerrordesc_np(-r));
    }
    s->loop = l;
    s->output = output;
    s->cfg = *cfg;
    s->cb = *cb;
    s->spawn.fd = -1;
    s->job.pidfd = -1;
    s->job.group = cfg->group;
    leftovers_open(&s->leftovers);
    s->rules.stop = cfg->stop;
    supervisor_configure(s, cfg);
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

/*
 * The last moment: the budget is over, or start-up failed half-way. KILL to everybody, again to
 * those who come to us as their parents die, for a short time.
 */
static void kill_all_now(struct supervisor *s)
{
    int64_t until_ms = clock_mono_ms() + SUPERVISOR_FREE_WAIT_MS;
    int wait_status;

    while (reap_has_children()) {
        op_signal_group(s, SIGKILL);
        op_signal_rest(s, SIGKILL);
        for (pid_t pid; (pid = reap_look(&wait_status)) > 0; reap_take(pid)) {
            if (pid == s->child.pid) {
                s->child.pid = 0;
            }
        }
        if (clock_mono_ms() > until_ms) {
            leftovers_say_survivors(&s->leftovers);
            return;
        }
        (void)poll(NULL, 0, SUPERVISOR_FREE_LOOK_MS); /* the loop is over: nobody else waits */
    }
}

void supervisor_free(struct supervisor *s)
{
    if (!s) {
        return;
    }
    if (s->child.state != CHILD_DOWN && !s->leftovers.is_end_said) {
        kill_all_now(s);
        (void)job_ended(&s->job);
    }
    timer_stop(&s->deadline);
    timer_stop(&s->step);
    timer_stop(&s->failure_timer);
    timer_stop(&s->rescan);
    timer_stop(&s->look_again);
    forget_spawn(s);
    fd_close(&s->job.pidfd);
    leftovers_release(&s->leftovers);
    output_free(s->output);
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

bool supervisor_pass_on(struct supervisor *s, int signo, const struct signalfd_siginfo *info)
{
    if (s->child.pid <= 0) {
        return false;
    }
    if (!job_has_it_already(&s->job, info)) {
        job_pass_on(&s->job, s->child.pid, signo, info);
    }
    return true;
}

void supervisor_ask_stop(struct supervisor *s, int signo)
{
    job_ask_stop(&s->job, s->child.pid, signo);
}

void supervisor_continue(struct supervisor *s)
{
    job_continue(&s->job, s->child.pid);
}

bool supervisor_has_descendants(const struct supervisor *s)
{
    (void)s;
    return reap_has_children();
}

const struct supervisor_status *supervisor_status(struct supervisor *s)
{
    const struct child *c = &s->child;
    bool is_stable =
        c->pid > 0 && restart_is_stable(&s->rules.restart, child_well_ms(c, loop_now_ms(s->loop)));

    s->status = (struct supervisor_status){
        .state = c->state,
        .pid = c->pid,
        .spawned_total = c->spawned_total,
        .restarts_total = c->spawned_total > 0 ? c->spawned_total - 1 : 0,
        .orphans_reaped_total = s->orphans.total,
        .orphans_often = s->orphans.text,
        .failures = is_stable ? 0 : c->failures,
        .spawned_at_ms = c->pid > 0 ? c->spawned_at_ms : 0,
        .ready_at_ms = c->ready_at_ms,
        .next_start_ms = c->state == CHILD_BACKOFF ? c->deadline_ms : 0,
        .has_exited = c->has_exited,
        .last = c->last,
    };
    if (s->output) {
        s->status.output_lines = output_stats(s->output)->lines;
        s->status.output_dropped = output_stats(s->output)->dropped;
    }
    return &s->status;
}
