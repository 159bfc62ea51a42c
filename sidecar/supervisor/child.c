/*
 * The state x event table of the child and its actions. Processes, timers and descriptors are
 * supervisor.c's; whether to start again is restart.c's.
 *
 * Each action sets the state first and reports last: a callback may come back in with the next
 * event.
 */
#include "supervisor/child.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

typedef void child_action(struct child *c, const struct child_input *in);

static const char *const state_names[] = {
    [CHILD_DOWN] = "down",         [CHILD_SPAWNING] = "spawning",     [CHILD_STARTING] = "starting",
    [CHILD_READY] = "ready",       [CHILD_BACKOFF] = "backoff",       [CHILD_STOPPING] = "stopping",
    [CHILD_CLEANING] = "cleaning", [CHILD_RESTARTING] = "restarting", [CHILD_KILLING] = "killing",
    [CHILD_ENDED] = "ended",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == CHILD_STATE_COUNT,
              "each state has a name");

const char *child_state_name(enum child_state s)
{
    return state_names[s];
}

/* ---- reports ---- */

static void report_spawned(struct child *c)
{
    const struct child_ops *o = c->ops;

    if (o->report->on_spawned) {
        o->report->on_spawned(o->report_arg, c->pid);
    }
}

static void report_spawn_failed(struct child *c, const struct err *why, bool will_restart)
{
    const struct child_ops *o = c->ops;

    if (o->report->on_spawn_failed) {
        o->report->on_spawn_failed(o->report_arg, why, will_restart);
    }
}

static void report_exit(struct child *c)
{
    const struct child_ops *o = c->ops;
    struct child_exit e = c->last; /* a copy: the callback may stop us and change it */

    if (o->report->on_exit) {
        o->report->on_exit(o->report_arg, &e);
    }
}

static void report_step(struct child *c, int64_t now_ms)
{
    const struct child_ops *o = c->ops;
    const struct stop_steps *s = &c->steps;

    if (o->report->on_stop_step) {
        o->report->on_stop_step(o->report_arg, s->seq->v[s->next - 1].signo,
                                (s->next_ms != 0 ? s->next_ms : s->end_ms) - now_ms);
    }
}

static void report_ended(struct child *c)
{
    const struct child_ops *o = c->ops;

    if (o->report->on_ended) {
        o->report->on_ended(o->report_arg, c->has_exited ? &c->last : NULL);
    }
}

/* ---- steps ---- */

/* Outside the two states that stop a process no signal of the sequence is due any more. */
static void enter(struct child *c, enum child_state s, int64_t deadline_ms)
{
    if (s != CHILD_STOPPING && s != CHILD_RESTARTING) {
        stop_steps_end(&c->steps, 0);
    }
    c->state = s;
    c->deadline_ms = deadline_ms;
    c->ops->set_deadline(c->arg, deadline_ms);
    c->ops->set_step(c->arg, c->steps.next_ms);
}

static int64_t start_deadline(const struct child *c)
{
    return c->rules->start_timeout_ms > 0 ? c->spawned_at_ms + c->rules->start_timeout_ms : 0;
}

/* The signal that is due. CONT with it: a stopped process would sleep through its grace. */
static void send_step(struct child *c, int64_t now_ms)
{
    int signo = stop_steps_take(&c->steps, now_ms);

    c->ops->set_step(c->arg, c->steps.next_ms);
    c->ops->signal_group(c->arg, signo);
    c->ops->signal_group(c->arg, SIGCONT);
}

/* Into STOPPING or RESTARTING with the first signal of the sequence. */
static void begin_stop(struct child *c, enum child_state s, int64_t now_ms, int64_t grace_ms)
{
    stop_steps_begin(&c->steps, &c->rules->stop, now_ms, grace_ms);
    enter(c, s, c->steps.end_ms);
    send_step(c, now_ms);
}

static void kill_everything(struct child *c)
{
    if (c->pid > 0) {
        c->we_killed_it = true;
        c->ops->signal_group(c->arg, SIGKILL);
    }
    c->ops->signal_rest(c->arg, SIGKILL);
}

/* What is left of the group is asked to go now, while the zombie keeps the group's number ours. */
static void ask_group_to_go(struct child *c)
{
    c->ops->signal_group(c->arg, SIGTERM);
    c->ops->signal_group(c->arg, SIGCONT);
}

int64_t child_well_ms(const struct child *c, int64_t now_ms)
{
    return c->was_ready ? now_ms - c->first_ready_at_ms : 0;
}

/* The process is a zombie: note how it ended. It is ours to reap once this action is over. */
static void record_exit(struct child *c, const struct child_input *in)
{
    c->last = (struct child_exit){
        .pid = c->pid,
        .wait_status = in->wait_status,
        .stop_signals = c->steps.sent,
        .we_killed_it = c->we_killed_it,
        .was_ready = c->was_ready,
        .ran_ms = in->now_ms - c->spawned_at_ms,
        .well_ms = child_well_ms(c, in->now_ms),
        .failures = c->failures,
    };
    c->has_exited = true;
    c->ready_at_ms = 0;
    c->pid = 0;
}

/* Ended without a process: nothing is left to clean. */
static void end(struct child *c)
{
    enter(c, CHILD_ENDED, 0);
    report_ended(c);
}

/* ---- actions ---- */

static void skip(struct child *c, const struct child_input *in)
{
    (void)c;
    (void)in;
}

static void spawn(struct child *c, const struct child_input *in)
{
    c->spawned_at_ms = in->now_ms;
    c->ready_at_ms = 0;
    c->was_ready = c->we_killed_it = c->restart_counts = false;
    c->steps = (struct stop_steps){0};
    enter(c, CHILD_SPAWNING, start_deadline(c));
    c->pid = c->ops->spawn(c->arg);
}

static void finish(struct child *c, const struct child_input *in)
{
    (void)in;
    end(c);
}

static void started(struct child *c, const struct child_input *in)
{
    (void)in;
    c->spawned_total++;
    enter(c, CHILD_STARTING, c->deadline_ms);
    report_spawned(c);
}

/* The program began to run after all, while it is being stopped. */
static void started_late(struct child *c, const struct child_input *in)
{
    (void)in;
    c->spawned_total++;
    report_spawned(c);
}

static void exec_failed(struct child *c, const struct child_input *in)
{
    struct restart_verdict v = restart_decide(&c->rules->restart, true, 0, &c->failures);
    bool is_hopeless = in->is_permanent && c->spawned_total == 0;

    c->pid = 0;
    if (is_hopeless || !v.restart) {
        enter(c, CHILD_CLEANING, in->now_ms + CHILD_LEFTOVER_GRACE_MS);
        c->ops->signal_rest(c->arg, SIGTERM);
        report_spawn_failed(c, in->failure, false);
        return;
    }
    enter(c, CHILD_BACKOFF, in->now_ms + v.delay_ms);
    report_spawn_failed(c, in->failure, true);
}

/* It never became the program, and we are stopping. */
static void exec_gone(struct child *c, const struct child_input *in)
{
    c->pid = 0;
    if (c->state == CHILD_STOPPING) {
        enter(c, CHILD_CLEANING, c->deadline_ms);
        c->ops->signal_rest(c->arg, SIGTERM);
    }
    report_spawn_failed(c, in->failure, false);
}

static void ready(struct child *c, const struct child_input *in)
{
    if (!c->was_ready) {
        c->first_ready_at_ms = in->now_ms;
    }
    c->was_ready = true;
    c->ready_at_ms = in->now_ms;
    enter(c, CHILD_READY, 0);
}

static void unready(struct child *c, const struct child_input *in)
{
    (void)in;
    c->ready_at_ms = 0;
    enter(c, CHILD_STARTING, 0);
}

static void stop(struct child *c, const struct child_input *in)
{
    begin_stop(c, CHILD_STOPPING, in->now_ms, in->grace_ms);
}

/* The sequence goes on from where it is; its time and the end of the story change. */
static void stop_restarting(struct child *c, const struct child_input *in)
{
    stop_steps_replan(&c->steps, in->now_ms, in->grace_ms);
    enter(c, CHILD_STOPPING, c->steps.end_ms);
}

/* Less time for what is left of the sequence. */
static void hurry_stop(struct child *c, const struct child_input *in)
{
    if (stop_steps_shorten(&c->steps, in->now_ms, in->grace_ms)) {
        enter(c, c->state, c->steps.end_ms);
    }
}

/* The process has not ended by the signals so far: the next one. */
static void next_step(struct child *c, const struct child_input *in)
{
    send_step(c, in->now_ms);
    report_step(c, in->now_ms);
}

/* Stopped while it waits to be started again: only descendants can be left. */
static void stop_waiting(struct child *c, const struct child_input *in)
{
    enter(c, CHILD_CLEANING, in->now_ms + in->grace_ms);
    c->ops->signal_rest(c->arg, SIGTERM);
}

static void hurry(struct child *c, const struct child_input *in)
{
    int64_t deadline_ms = in->now_ms + in->grace_ms;

    if (deadline_ms < c->deadline_ms) {
        enter(c, c->state, deadline_ms);
    }
}

static void restart(struct child *c, const struct child_input *in)
{
    begin_stop(c, CHILD_RESTARTING, in->now_ms, in->grace_ms);
}

static void late(struct child *c, const struct child_input *in)
{
    const struct child_ops *o = c->ops;

    if (c->rules->start_timeout_restarts) {
        c->restart_counts = true;
        begin_stop(c, CHILD_RESTARTING, in->now_ms, CHILD_LATE_GRACE_MS);
    } else {
        enter(c, c->state, 0);
    }
    if (o->report->on_start_timeout) {
        o->report->on_start_timeout(o->report_arg);
    }
}

static void kill_all(struct child *c, const struct child_input *in)
{
    enter(c, CHILD_KILLING, in->now_ms + CHILD_KILL_WAIT_MS);
    kill_everything(c);
}

/* The grace of a restart is over. What hangs in the kernel is waited for: there is no other way. */
static void kill_restarting(struct child *c, const struct child_input *in)
{
    stop_steps_end(&c->steps, in->now_ms + CHILD_KILL_WAIT_MS);
    enter(c, CHILD_RESTARTING, c->steps.end_ms);
    c->we_killed_it = true;
    c->ops->signal_group(c->arg, SIGKILL);
}

/* Not again: what it left behind has a moment to go. */
static void clean_up(struct child *c, const struct child_input *in)
{
    enter(c, CHILD_CLEANING, in->now_ms + CHILD_LEFTOVER_GRACE_MS);
    c->ops->signal_rest(c->arg, SIGTERM);
}

/* After an exit: again, or clean up and end. failed says how the policy is to see it. */
static void go_on_after_exit(struct child *c, const struct child_input *in, bool failed)
{
    struct restart_verdict v =
        restart_decide(&c->rules->restart, failed, c->last.well_ms, &c->failures);

    c->last.failures = c->failures;
    c->last.will_restart = v.restart;
    c->last.restart_in_ms = v.delay_ms;
    if (v.restart) {
        enter(c, CHILD_BACKOFF, in->now_ms + v.delay_ms);
        return;
    }
    clean_up(c, in);
}

/* Its group would hold its sockets and ports. */
static void exited(struct child *c, const struct child_input *in)
{
    ask_group_to_go(c);
    record_exit(c, in);
    if (in->is_final) {
        clean_up(c, in);
    } else {
        go_on_after_exit(c, in, exit_is_failure(in->wait_status, &c->rules->success));
    }
    report_exit(c);
}

/* Its group had its signal and its time; the next process must not meet it. */
static void exited_restarting(struct child *c, const struct child_input *in)
{
    c->ops->signal_group(c->arg, SIGKILL);
    record_exit(c, in);
    if (c->restart_counts) {
        go_on_after_exit(c, in, true);
    } else {
        if (restart_is_stable(&c->rules->restart, c->last.well_ms)) {
            c->last.failures = c->failures = 0;
        }
        c->last.will_restart = true;
        enter(c, CHILD_BACKOFF,
              in->now_ms); /* at once, but from the loop: this one is not reaped */
    }
    report_exit(c);
}

/* The group once more: what was forked just after the stop signal has not had it. */
static void gone(struct child *c, const struct child_input *in)
{
    ask_group_to_go(c);
    record_exit(c, in);
    enter(c, CHILD_CLEANING, c->deadline_ms);
    c->ops->signal_rest(c->arg, SIGTERM);
    report_exit(c);
}

static void gone_killed(struct child *c, const struct child_input *in)
{
    record_exit(c, in);
    report_exit(c);
}

/* KILL did not help: it hangs in the kernel, which ends it one day. We do not wait for ever. */
static void give_up(struct child *c, const struct child_input *in)
{
    if (c->pid > 0) {
        const struct child_input as_killed = {.now_ms = in->now_ms, .wait_status = SIGKILL};

        record_exit(c, &as_killed);
    }
    end(c);
}

/* clang-format off: the columns are the point */
static child_action *const table[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] = {
    /* START, EXEC_OK, EXEC_FAILED | READY, UNREADY | STOP, RESTART, KILL |
     * EXIT, EMPTY | STEP, DEADLINE */
    [CHILD_DOWN] = {spawn, NULL, NULL, skip, skip, finish, skip, finish, NULL, NULL, NULL, NULL},
    [CHILD_SPAWNING] = {skip, started, exec_failed, skip, skip, stop, restart, kill_all, NULL, NULL,
                        NULL, late},
    [CHILD_STARTING] = {skip, NULL, NULL, ready, skip, stop, restart, kill_all, exited, NULL, NULL,
                        late},
    [CHILD_READY] = {skip, NULL, NULL, skip, unready, stop, restart, kill_all, exited, NULL, NULL,
                     NULL},
    [CHILD_BACKOFF] = {skip, NULL, NULL, skip, skip, stop_waiting, skip, kill_all, NULL, NULL, NULL,
                       spawn},
    [CHILD_STOPPING] = {skip, started_late, exec_gone, skip, skip, hurry_stop, skip, kill_all, gone,
                        NULL, next_step, kill_all},
    [CHILD_RESTARTING] = {skip, started_late, exec_failed, skip, skip, stop_restarting, skip,
                          kill_all, exited_restarting, NULL, next_step, kill_restarting},
    [CHILD_CLEANING] = {skip, NULL, NULL, skip, skip, hurry, skip, kill_all, NULL, finish, NULL,
                        kill_all},
    [CHILD_KILLING] = {skip, started_late, exec_gone, skip, skip, skip, skip, skip, gone_killed,
                       finish, NULL, give_up},
    [CHILD_ENDED] = {skip, NULL, NULL, skip, skip, skip, skip, skip, NULL, NULL, NULL, NULL},
};
/* clang-format on */

bool child_cell_is_filled(enum child_state s, enum child_event ev)
{
    return table[s][ev] != NULL;
}

void child_init(struct child *c, const struct child_rules *rules, const struct child_ops *ops,
                void *arg)
{
    memset(c, 0, sizeof(*c));
    c->rules = rules;
    c->ops = ops;
    c->arg = arg;
}

void child_dispatch(struct child *c, enum child_event ev, const struct child_input *in)
{
    child_action *action = table[c->state][ev];

    assert(action && "an empty cell of the child's table");
    action(c, in);
}
