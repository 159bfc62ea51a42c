#include "supervisor/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a world of counters ---- */

struct world {
    struct child child;
    struct child_rules rules;
    struct child_ops ops;
    struct supervisor_callbacks report;
    pid_t next_pid;
    int64_t deadline_ms, step_ms;
    int spawns, group_usr1, group_term, group_int, group_cont, group_kill, rest_term, rest_kill;
    int spawned, spawn_failed, start_timeouts, exits, ended, steps;
    int step_signal;
    int64_t step_left_ms;
    bool will_restart;
    bool exec_is_open; /* spawned, and not told how that went */
    struct child_exit last;
};

static pid_t fake_spawn(void *arg)
{
    struct world *w = arg;

    w->spawns++;
    w->exec_is_open = true;
    return w->next_pid;
}

static void fake_group(void *arg, int signo)
{
    struct world *w = arg;

    cr_assert_gt(signo, 0, "0 signals nobody");
    w->group_usr1 += signo == SIGUSR1;
    w->group_term += signo == SIGTERM;
    w->group_int += signo == SIGINT;
    w->group_cont += signo == SIGCONT;
    w->group_kill += signo == SIGKILL;
}

static void fake_rest(void *arg, int signo)
{
    struct world *w = arg;

    w->rest_term += signo == SIGTERM;
    w->rest_kill += signo == SIGKILL;
}

static void fake_deadline(void *arg, int64_t at_ms)
{
    ((struct world *)arg)->deadline_ms = at_ms;
}

static void fake_step(void *arg, int64_t at_ms)
{
    ((struct world *)arg)->step_ms = at_ms;
}

static void saw_step(void *arg, int signo, int64_t left_ms)
{
    struct world *w = arg;

    w->steps++;
    w->step_signal = signo;
    w->step_left_ms = left_ms;
}

static void saw_spawned(void *arg, pid_t pid)
{
    struct world *w = arg;

    w->spawned++;
    cr_assert_eq(pid, w->next_pid);
}

static void saw_spawn_failed(void *arg, const struct err *why, bool will_restart)
{
    struct world *w = arg;

    w->spawn_failed++;
    w->will_restart = will_restart;
    cr_assert_neq(why->code, 0);
}

static void saw_start_timeout(void *arg)
{
    ((struct world *)arg)->start_timeouts++;
}

static void saw_exit(void *arg, const struct child_exit *e)
{
    struct world *w = arg;

    w->exits++;
    w->will_restart = e->will_restart;
    w->last = *e;
}

static void saw_ended(void *arg, const struct child_exit *last)
{
    struct world *w = arg;

    w->ended++;
    if (last) {
        w->last = *last;
    }
}

static void world_init(struct world *w)
{
    *w = (struct world){
        .next_pid = 4711,
        .rules = {.restart = {.when = RESTART_WHEN_FAILED,
                              .backoff_ms = 500,
                              .backoff_max_ms = 30000,
                              .reset_after_ms = 30000,
                              .max_failures = 5},
                  .start_timeout_ms = 60000,
                  .stop = {.v = {{SIGTERM, 300}, {SIGINT, STOP_WAIT_REST}}, .n = 2}},
        .report = {.on_spawned = saw_spawned,
                   .on_spawn_failed = saw_spawn_failed,
                   .on_start_timeout = saw_start_timeout,
                   .on_stop_step = saw_step,
                   .on_exit = saw_exit,
                   .on_ended = saw_ended},
        .ops = {.spawn = fake_spawn,
                .signal_group = fake_group,
                .signal_rest = fake_rest,
                .set_deadline = fake_deadline,
                .set_step = fake_step},
    };
    w->ops.report = &w->report;
    w->ops.report_arg = w;
    child_init(&w->child, &w->rules, &w->ops, w);
}

static const struct err missing = {.code = -ENOENT, .msg = "cannot exec x"};

static void tell(struct world *w, enum child_event ev, struct child_input in)
{
    in.now_ms = in.now_ms ? in.now_ms : 1000;
    if (ev == CHILD_EV_EXEC_FAILED) {
        in.failure = &missing;
    }
    if (ev == CHILD_EV_EXEC_FAILED || ev == CHILD_EV_EXEC_OK) {
        w->exec_is_open = false;
    }
    child_dispatch(&w->child, ev, &in);
}

#define TELL(w, ev, ...) tell((w), CHILD_EV_##ev, (struct child_input){__VA_ARGS__})

/* Into `state` by legal events, so that its fields are what they would be. */
static void go_to(struct world *w, enum child_state state)
{
    world_init(w);
    if (state == CHILD_DOWN) {
        return;
    }
    TELL(w, START);
    if (state == CHILD_SPAWNING) {
        return;
    }
    TELL(w, EXEC_OK);
    switch (state) {
    case CHILD_DOWN:
    case CHILD_SPAWNING:
    case CHILD_STARTING:
        break;
    case CHILD_READY:
        TELL(w, READY);
        break;
    case CHILD_BACKOFF:
        TELL(w, EXIT, .wait_status = W_EXITCODE(1, 0));
        break;
    case CHILD_STOPPING:
        TELL(w, STOP, .grace_ms = 700);
        break;
    case CHILD_RESTARTING:
        TELL(w, RESTART, .grace_ms = 700);
        break;
    case CHILD_CLEANING:
        TELL(w, STOP, .grace_ms = 700);
        TELL(w, EXIT, .wait_status = SIGTERM);
        break;
    case CHILD_KILLING:
        TELL(w, KILL);
        break;
    case CHILD_ENDED:
        TELL(w, KILL);
        TELL(w, EXIT, .wait_status = SIGKILL);
        TELL(w, EMPTY);
        break;
    }
    cr_assert_eq(w->child.state, state, "wanted %s, is %s", child_state_name(state),
                 child_state_name(w->child.state));
}

/* ---- every cell ---- */

/* The state after the event (an exit is one with status 1); NO = cannot happen. Written from the
 * drawing in supervisor.h, not from the table. */
enum { NO = -1 };
#define D CHILD_DOWN
#define P CHILD_SPAWNING
#define S CHILD_STARTING
#define R CHILD_READY
#define B CHILD_BACKOFF
#define T CHILD_STOPPING
#define A CHILD_RESTARTING
#define C CHILD_CLEANING
#define K CHILD_KILLING
#define E CHILD_ENDED
/* clang-format off: the columns are the point */
static const int next_state[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] = {
    /*      START EXEC_OK EXEC_FAILED READY UNREADY STOP RESTART KILL EXIT EMPTY STEP DEADLINE */
    [D] = {P, NO, NO, D, D, E, D, E, NO, NO, NO, NO},
    [P] = {P, S, B, P, P, T, A, K, NO, NO, NO, P},
    [S] = {S, NO, NO, R, S, T, A, K, B, NO, NO, S},
    [R] = {R, NO, NO, R, S, T, A, K, B, NO, NO, NO},
    [B] = {B, NO, NO, B, B, C, B, K, NO, NO, NO, P},
    [T] = {T, T, C, T, T, T, T, K, C, NO, T, K},
    [A] = {A, A, B, A, A, T, A, K, B, NO, A, A},
    [C] = {C, NO, NO, C, C, C, C, K, NO, E, NO, K},
    [K] = {K, K, K, K, K, K, K, K, K, E, NO, E},
    [E] = {E, NO, NO, E, E, E, E, E, NO, NO, NO, NO},
};
/* clang-format on */

static bool dies_of_assert(enum child_state s, enum child_event ev)
{
    pid_t pid = fork();
    int wait_status = 0;

    if (pid == 0) {
        struct world w;

        go_to(&w, s);
        (void)!freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        tell(&w, ev, (struct child_input){0});
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGABRT;
}

TestSuite(child, .timeout = 300);

Test(child, every_cell_does_what_the_drawing_says)
{
    for (int s = 0; s < CHILD_STATE_COUNT; s++) {
        for (int ev = 0; ev < CHILD_EVENT_COUNT; ev++) {
            struct world w;
            int want = next_state[s][ev];

            go_to(&w, (enum child_state)s);
            cr_assert_eq(child_cell_is_filled((enum child_state)s, (enum child_event)ev),
                         want != NO, "%s, event %d", child_state_name((enum child_state)s), ev);
            if (want == NO) {
                continue;
            }
            tell(&w, (enum child_event)ev,
                 (struct child_input){.wait_status = W_EXITCODE(1, 0), .grace_ms = 700});
            cr_assert_eq((int)w.child.state, want, "%s, event %d: %s, wanted %s",
                         child_state_name((enum child_state)s), ev, child_state_name(w.child.state),
                         child_state_name((enum child_state)want));
            cr_assert_eq(w.child.deadline_ms, w.deadline_ms, "one truth about the deadline");
            cr_assert_eq(w.child.steps.next_ms, w.step_ms, "one truth about the next signal");
        }
    }
}

Test(child, an_empty_cell_asserts)
{
    int cells = 0;

    for (int s = 0; s < CHILD_STATE_COUNT; s++) {
        for (int ev = 0; ev < CHILD_EVENT_COUNT; ev++) {
            if (next_state[s][ev] == NO) {
                cells++;
                cr_assert(dies_of_assert((enum child_state)s, (enum child_event)ev), "%s, event %d",
                          child_state_name((enum child_state)s), ev);
            }
        }
    }
    cr_assert_gt(cells, 20);
}

/* ---- the stories ---- */

Test(child, spawned_and_ready_are_different_facts)
{
    struct world w;

    go_to(&w, CHILD_DOWN);
    TELL(&w, START, .now_ms = 100);
    cr_assert_eq(w.deadline_ms, 60100, "the start deadline runs from the fork");
    cr_assert_eq(w.spawned, 0);
    TELL(&w, EXEC_OK, .now_ms = 105);
    cr_assert_eq(w.spawned, 1);
    cr_assert_eq(w.deadline_ms, 60100);
    TELL(&w, READY, .now_ms = 2000);
    cr_assert_eq(w.deadline_ms, 0);
    cr_assert_eq(w.child.spawned_at_ms, 100);
    cr_assert_eq(w.child.ready_at_ms, 2000);
    TELL(&w, UNREADY, .now_ms = 3000);
    cr_assert_eq(w.deadline_ms, 0, "a failed health check is no new start");
    cr_assert_eq(w.child.ready_at_ms, 0);
}

Test(child, stopping_is_signal_cont_grace_kill)
{
    struct world w;

    go_to(&w, CHILD_READY);
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 700);
    cr_assert(w.group_term == 1 && w.group_cont == 1 && w.group_kill == 0);
    cr_assert_eq(w.deadline_ms, 5700);
    TELL(&w, DEADLINE, .now_ms = 5700);
    cr_assert(w.group_kill == 1 && w.rest_kill == 1);
    cr_assert_eq(w.deadline_ms, 5700 + CHILD_KILL_WAIT_MS);
    TELL(&w, EXIT, .now_ms = 5701, .wait_status = SIGKILL);
    cr_assert_eq(w.exits, 1);
    cr_assert(w.last.we_killed_it && w.last.stop_signals && !w.last.will_restart);
    cr_assert_eq(w.ended, 0);
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
}

Test(child, the_sequence_is_sent_signal_by_signal_and_kill_ends_it)
{
    struct world w;

    go_to(&w, CHILD_READY);
    w.rules.stop =
        (struct stop_sequence){.v = {{SIGUSR1, 2000}, {SIGTERM, 1000}, {SIGINT, 500}}, .n = 3};
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 10000);
    cr_assert(w.group_usr1 == 1 && w.group_term == 0 && w.group_cont == 1 && w.steps == 0);
    cr_assert_eq(w.step_ms, 7000);
    cr_assert_eq(w.deadline_ms, 8500, "KILL when the last wait is over, not when the grace is");
    TELL(&w, STEP, .now_ms = 7000);
    cr_assert(w.group_term == 1 && w.group_cont == 2 && w.group_int == 0);
    cr_assert(w.steps == 1 && w.step_signal == SIGTERM && w.step_left_ms == 1000);
    cr_assert(w.step_ms == 8000 && w.deadline_ms == 8500);
    TELL(&w, STEP, .now_ms = 8000);
    cr_assert(w.group_int == 1 && w.steps == 2 && w.step_left_ms == 500);
    cr_assert_eq(w.step_ms, 0, "no signal is left");
    cr_assert_eq(w.group_kill, 0);
    TELL(&w, DEADLINE, .now_ms = 8500);
    cr_assert_eq(w.group_kill, 1);
    cr_assert_eq(w.child.state, CHILD_KILLING);
}

Test(child, an_exit_ends_the_sequence_where_it_is)
{
    struct world w;

    go_to(&w, CHILD_STOPPING);
    cr_assert_neq(w.step_ms, 0);
    TELL(&w, EXIT, .wait_status = 0);
    cr_assert_eq(w.step_ms, 0);
    cr_assert_eq(w.group_int, 0);
}

Test(child, any_signal_of_the_sequence_that_was_sent_makes_a_good_end)
{
    struct world w;

    go_to(&w, CHILD_STOPPING);
    TELL(&w, EXIT, .wait_status = SIGINT);
    cr_assert_eq(exit_status_of(&w.last), 128 + SIGINT, "its turn had not come");
    go_to(&w, CHILD_STOPPING);
    TELL(&w, STEP, .now_ms = 1300);
    TELL(&w, EXIT, .now_ms = 1301, .wait_status = SIGINT);
    cr_assert_eq(exit_status_of(&w.last), 0);
    go_to(&w, CHILD_STOPPING);
    TELL(&w, STEP, .now_ms = 1300);
    TELL(&w, EXIT, .now_ms = 1301, .wait_status = SIGTERM);
    cr_assert_eq(exit_status_of(&w.last), 0, "the first one, late");
}

Test(child, less_time_shrinks_the_sequence_and_leaves_no_signal_out)
{
    struct world w;

    go_to(&w, CHILD_READY);
    w.rules.stop = (struct stop_sequence){.v = {{SIGUSR1, 20000}, {SIGTERM, 10000}}, .n = 2};
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 30000);
    cr_assert(w.step_ms == 25000 && w.deadline_ms == 35000);
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 3000);
    cr_assert(w.step_ms == 7000 && w.deadline_ms == 8000);
    TELL(&w, STEP, .now_ms = 7000);
    cr_assert(w.group_term == 1 && w.deadline_ms == 8000);
}

Test(child, a_restart_runs_the_sequence_too)
{
    struct world w;

    go_to(&w, CHILD_RESTARTING);
    cr_assert_eq(w.step_ms, 1300);
    TELL(&w, STEP, .now_ms = 1300);
    cr_assert_eq(w.group_int, 1);
    TELL(&w, DEADLINE, .now_ms = 1700);
    cr_assert_eq(w.child.state, CHILD_RESTARTING);
    cr_assert(w.group_kill == 1 && w.step_ms == 0);
    TELL(&w, EXIT, .now_ms = 1701, .wait_status = SIGKILL);
    TELL(&w, DEADLINE, .now_ms = 1702);
    cr_assert_eq(w.child.steps.sent, 0, "the next process has had no signal");
}

Test(child, a_second_stop_can_only_shorten)
{
    struct world w;

    go_to(&w, CHILD_READY);
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 700);
    TELL(&w, STOP, .now_ms = 5100, .grace_ms = 10000);
    cr_assert_eq(w.deadline_ms, 5700);
    TELL(&w, STOP, .now_ms = 5100, .grace_ms = 50);
    cr_assert_eq(w.deadline_ms, 5150);
    cr_assert_eq(w.group_term, 1, "not signalled twice");
}

Test(child, what_is_left_behind_has_the_rest_of_the_grace)
{
    struct world w;

    go_to(&w, CHILD_READY);
    TELL(&w, STOP, .now_ms = 5000, .grace_ms = 700);
    TELL(&w, EXIT, .now_ms = 5100, .wait_status = 0);
    cr_assert_eq(w.rest_term, 1);
    cr_assert_eq(w.deadline_ms, 5700);
    cr_assert_eq(w.ended, 0);
    TELL(&w, DEADLINE, .now_ms = 5700);
    cr_assert_eq(w.rest_kill, 1);
    cr_assert_eq(w.group_kill, 0, "the group's number is not ours any more");
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
    cr_assert_not(w.last.we_killed_it, "the child itself was not killed");
}

Test(child, a_hopeless_first_start_ends_it_at_once)
{
    struct world w;

    go_to(&w, CHILD_SPAWNING);
    TELL(&w, EXEC_FAILED, .is_permanent = true);
    cr_assert_eq(w.spawn_failed, 1);
    cr_assert_not(w.will_restart);
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
    cr_assert_not(w.child.has_exited);
}

Test(child, a_hopeless_later_start_is_a_failure_like_any_other)
{
    struct world w;

    go_to(&w, CHILD_BACKOFF);
    TELL(&w, DEADLINE);
    TELL(&w, EXEC_FAILED, .is_permanent = true);
    cr_assert(w.will_restart, "a program that is being replaced comes back");
    cr_assert_eq(w.child.failures, 2);
    cr_assert_eq(w.child.state, CHILD_BACKOFF);
}

Test(child, five_failures_in_a_row_are_the_end)
{
    struct world w;

    go_to(&w, CHILD_STARTING);
    for (int i = 1; i <= 4; i++) {
        TELL(&w, EXIT, .wait_status = W_EXITCODE(7, 0));
        cr_assert(w.will_restart);
        cr_assert_eq(w.child.state, CHILD_BACKOFF);
        TELL(&w, DEADLINE);
        TELL(&w, EXEC_OK);
    }
    TELL(&w, EXIT, .wait_status = W_EXITCODE(7, 0));
    cr_assert_not(w.will_restart);
    cr_assert_eq(w.last.failures, 5);
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
    cr_assert_eq(w.spawns, 5);
    cr_assert_eq(exit_status_of(&w.last), 7);
}

Test(child, status_0_ends_it_for_good)
{
    struct world w;

    go_to(&w, CHILD_READY);
    TELL(&w, EXIT, .wait_status = 0);
    cr_assert_eq(w.child.state, CHILD_CLEANING);
    cr_assert_not(w.last.will_restart);
    cr_assert_eq(w.group_term, 1, "what it left in its group is asked to go");
}

Test(child, a_success_code_is_no_failure_and_ends_it_for_good)
{
    struct world w;

    go_to(&w, CHILD_READY);
    exit_codes_add(&w.rules.success, 7);
    exit_codes_add(&w.rules.success, 128 + SIGTERM);
    TELL(&w, EXIT, .wait_status = W_EXITCODE(7, 0));
    cr_assert_not(w.last.will_restart);
    cr_assert_eq(w.last.failures, 0);

    go_to(&w, CHILD_READY);
    exit_codes_add(&w.rules.success, 128 + SIGTERM);
    TELL(&w, EXIT, .wait_status = SIGTERM);
    cr_assert_not(w.last.will_restart, "143 stands for TERM");

    go_to(&w, CHILD_READY);
    exit_codes_add(&w.rules.success, 7);
    TELL(&w, EXIT, .wait_status = W_EXITCODE(8, 0));
    cr_assert(w.last.will_restart);
    cr_assert_eq(w.last.failures, 1);
}

Test(child, failures_are_forgotten_once_it_was_well_for_long)
{
    struct world w;

    go_to(&w, CHILD_READY);
    w.child.failures = 4;
    TELL(&w, UNREADY, .now_ms = 50000);
    TELL(&w, EXIT, .now_ms = 50001, .wait_status = SIGSEGV);
    cr_assert(w.last.will_restart, "it was well for longer than reset_after before it was not");
    cr_assert_eq(w.last.failures, 1);
    cr_assert_geq(w.last.well_ms, 30000);

    go_to(&w, CHILD_STARTING);
    w.child.failures = 4;
    TELL(&w, READY, .now_ms = 50000);
    TELL(&w, EXIT, .now_ms = 79999, .wait_status = SIGSEGV);
    cr_assert_not(w.last.will_restart, "a start that takes long is no time of being well");
    cr_assert_eq(w.last.well_ms, 29999);
}

Test(child, a_restart_forgives_only_after_a_stable_run)
{
    struct world w;

    go_to(&w, CHILD_READY);
    w.child.failures = 3;
    TELL(&w, RESTART, .now_ms = 2000, .grace_ms = 700);
    TELL(&w, EXIT, .now_ms = 2100, .wait_status = SIGTERM);
    cr_assert_eq(w.last.failures, 3);

    go_to(&w, CHILD_READY);
    w.child.failures = 3;
    TELL(&w, RESTART, .now_ms = 90000, .grace_ms = 700);
    TELL(&w, EXIT, .now_ms = 90100, .wait_status = SIGTERM);
    cr_assert_eq(w.last.failures, 0);
}

Test(child, a_restart_kills_the_group_before_the_next_one_starts)
{
    struct world w;

    go_to(&w, CHILD_READY);
    TELL(&w, RESTART, .now_ms = 9000, .grace_ms = 700);
    TELL(&w, DEADLINE, .now_ms = 9700);
    cr_assert_eq(w.group_kill, 1);
    TELL(&w, EXIT, .now_ms = 9701, .wait_status = SIGKILL);
    cr_assert_eq(w.group_kill, 2);
    cr_assert_eq(w.rest_term + w.rest_kill, 0, "other descendants stay");
    cr_assert(w.last.will_restart && w.last.restart_in_ms == 0);
    cr_assert_eq(w.child.failures, 0, "we asked for it");
    TELL(&w, DEADLINE, .now_ms = 9702);
    cr_assert_eq(w.child.state, CHILD_SPAWNING);
}

Test(child, a_restart_can_still_become_a_stop)
{
    struct world w;

    go_to(&w, CHILD_RESTARTING);
    TELL(&w, STOP, .now_ms = 1100, .grace_ms = 5000);
    cr_assert_eq(w.group_term, 1);
    cr_assert_eq(w.deadline_ms, 6100);
    TELL(&w, EXIT, .wait_status = SIGTERM);
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
    cr_assert_eq(exit_status_of(&w.last), 0);
}

Test(child, a_missed_start_deadline_is_told_once)
{
    struct world w;

    go_to(&w, CHILD_STARTING);
    TELL(&w, DEADLINE);
    cr_assert_eq(w.start_timeouts, 1);
    cr_assert_eq(w.deadline_ms, 0);
    TELL(&w, READY);
    cr_assert_eq(w.child.state, CHILD_READY, "late is better than never");
}

Test(child, a_missed_start_deadline_can_restart_and_counts)
{
    struct world w;

    go_to(&w, CHILD_STARTING);
    w.rules.start_timeout_restarts = true;
    for (int i = 1; i <= 5; i++) {
        TELL(&w, DEADLINE);
        cr_assert_eq(w.child.state, CHILD_RESTARTING);
        TELL(&w, EXIT, .wait_status = 0);
        cr_assert_eq(w.last.failures, (unsigned)i, "even with status 0");
        if (i < 5) {
            TELL(&w, DEADLINE);
            TELL(&w, EXEC_OK);
        }
    }
    cr_assert_eq(w.child.state, CHILD_CLEANING);
}

Test(child, what_hangs_in_the_kernel_is_given_up)
{
    struct world w;

    go_to(&w, CHILD_KILLING);
    TELL(&w, DEADLINE);
    cr_assert_eq(w.ended, 1);
    cr_assert_eq(exit_status_of(&w.last), 137);
    cr_assert_eq(w.child.pid, 0);
}

static void stop_again(void *arg, const struct child_exit *e)
{
    struct world *w = arg;

    saw_exit(arg, e);
    TELL(w, STOP, .grace_ms = 700);
}

Test(child, a_callback_may_stop_it)
{
    struct world w;

    go_to(&w, CHILD_READY);
    w.report.on_exit = stop_again;
    TELL(&w, EXIT, .wait_status = W_EXITCODE(1, 0));
    cr_assert_eq(w.child.state, CHILD_CLEANING);
    TELL(&w, EMPTY);
    cr_assert_eq(w.ended, 1);
}

/* ---- random sequences ---- */

/* What the world could tell now; the rest is ours to ask at any time. */
static bool is_possible(const struct world *w, enum child_event ev)
{
    switch (ev) {
    case CHILD_EV_DEADLINE:
        return w->deadline_ms != 0;
    case CHILD_EV_STEP:
        return w->step_ms != 0;
    case CHILD_EV_EXEC_OK:
    case CHILD_EV_EXEC_FAILED:
        return w->child.pid > 0 && w->exec_is_open;
    case CHILD_EV_EXIT:
        return w->child.pid > 0 && !w->exec_is_open;
    case CHILD_EV_EMPTY:
        return w->child.pid == 0 &&
               (w->child.state == CHILD_CLEANING || w->child.state == CHILD_KILLING);
    default:
        return true;
    }
}

Test(child, random_sequences_stay_sane)
{
    unsigned seed = 20240229;

    for (int run = 0; run < 2000; run++) {
        struct world w;
        int64_t now_ms = 1000;

        go_to(&w, CHILD_DOWN);
        w.rules.start_timeout_restarts = run % 2;
        w.rules.restart.when = (enum restart_when)(run % 3);
        for (int step = 0; step < 100; step++) {
            enum child_event ev = (enum child_event)(rand_r(&seed) % CHILD_EVENT_COUNT);
            struct child_input in = {.grace_ms = rand_r(&seed) % 1000,
                                     .wait_status = rand_r(&seed) % 2 ? 0 : SIGSEGV,
                                     .is_permanent = rand_r(&seed) % 2};

            if (!is_possible(&w, ev)) {
                continue;
            }
            now_ms += rand_r(&seed) % 100;
            if (ev == CHILD_EV_DEADLINE && now_ms < w.deadline_ms) {
                now_ms = w.deadline_ms;
            }
            if (ev == CHILD_EV_STEP && now_ms < w.step_ms) {
                now_ms = w.step_ms;
            }
            in.now_ms = now_ms;
            tell(&w, ev, in);
            enum child_state s = w.child.state;

            cr_assert_eq(w.child.deadline_ms, w.deadline_ms);
            cr_assert_eq(w.child.steps.next_ms, w.step_ms);
            cr_assert(w.step_ms == 0 || w.step_ms <= w.deadline_ms, "KILL is never before a step");
            cr_assert(w.step_ms == 0 || s == CHILD_STOPPING || s == CHILD_RESTARTING);
            cr_assert_leq(w.ended, 1);
            cr_assert_eq(w.ended == 1, s == CHILD_ENDED);
            if (s == CHILD_BACKOFF || s == CHILD_STOPPING || s == CHILD_RESTARTING ||
                s == CHILD_CLEANING || s == CHILD_KILLING) {
                cr_assert_neq(w.deadline_ms, 0, "%s waits for ever", child_state_name(s));
            }
            if (s == CHILD_DOWN || s == CHILD_BACKOFF || s == CHILD_CLEANING || s == CHILD_ENDED) {
                cr_assert_eq(w.child.pid, 0, "%s has no process", child_state_name(s));
            }
        }
    }
}
