#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- a loop, a supervisor, and what it told ---- */

enum { WAIT_MS = 90000, OUTPUT_MAX = 8192 };

static struct loop *loop;
static struct signals *signals;
static struct process_origin origin;
static struct supervisor *sup;
static struct supervisor_config cfg;
static struct watch output_watch;
static int output_fd;
static char output[OUTPUT_MAX]; /* what the children wrote to their stdout */
static size_t output_len;
static bool (*wanted)(void);

static int spawned, spawn_failed, start_timeouts, exits, ended;
static bool last_will_restart, ended_had_last;
static struct child_exit last;
static struct err last_failure;

static void look(void)
{
    if (wanted && wanted())
        loop_stop(loop);
}

static void on_signal(void *arg, const struct signalfd_siginfo *info)
{
    (void)arg;
    if (info->ssi_signo == SIGCHLD)
        supervisor_on_sigchld(sup);
    look();
}

static void on_output(struct watch *w, int events)
{
    ssize_t n = read(w->fd, output + output_len, sizeof(output) - 1 - output_len);

    (void)events;
    cr_assert_geq(n, 0);
    output_len += (size_t)n;
    look();
}

static void on_too_late(struct timer *t)
{
    (void)t;
    cr_assert(false, "waited in vain; state %s, output: %s",
              child_state_name(supervisor_status(sup)->state), output);
}

static void wait_for(bool (*what)(void))
{
    struct timer late = {0};

    wanted = what;
    if (!what()) {
        timer_start(&late, loop, loop_now_ms(loop) + WAIT_MS, on_too_late, NULL);
        loop_run(loop);
        timer_stop(&late);
    }
    wanted = NULL;
}

static char **build_env(void *arg)
{
    char **env = calloc(3, sizeof(*env));

    cr_assert_eq(arg, &cfg);
    env[0] = strdup("PATH=/usr/bin:/bin");
    env[1] = strdup("MARK=agent");
    return env;
}

static void on_spawned(void *arg, pid_t pid)
{
    (void)arg;
    spawned++;
    cr_assert_eq(pid, supervisor_status(sup)->pid);
    look();
}

static void on_spawn_failed(void *arg, const struct err *why, bool will_restart)
{
    (void)arg;
    spawn_failed++;
    last_failure = *why;
    last_will_restart = will_restart;
    look();
}

static void on_start_timeout(void *arg)
{
    (void)arg;
    start_timeouts++;
    look();
}

static void on_exit_of_child(void *arg, const struct child_exit *e)
{
    (void)arg;
    exits++;
    last = *e;
    last_will_restart = e->will_restart;
    cr_assert_eq(kill(e->pid, 0), 0, "still a zombie: the number is its own");
    look();
}

static void on_ended(void *arg, const struct child_exit *e)
{
    (void)arg;
    ended++;
    ended_had_last = e != NULL;
    look();
}

static const struct supervisor_callbacks callbacks = {
    .build_env = build_env,
    .on_spawned = on_spawned,
    .on_spawn_failed = on_spawn_failed,
    .on_start_timeout = on_start_timeout,
    .on_exit = on_exit_of_child,
    .on_ended = on_ended,
};

static void setup(void)
{
    struct err err;
    int ends[2];

    /* whatever nohup, or a shell that has started us in the background, makes us ignore */
    for (int signo = SIGHUP; signo <= SIGQUIT; signo++)
        (void)signal(signo, SIG_DFL);
    scratch_make();
    origin.umask = umask(022);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &origin.nofile), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &origin.core), 0);
    signals_block_all(&origin.signals);
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(signals_new(loop, on_signal, NULL, &signals, &err), 0);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    (void)close(ends[1]);
    /* a child that a failed test leaves behind must not hold the pipe of whoever reads our errors
     */
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    output_fd = ends[0];
    cr_assert_eq(watch_start(&output_watch, loop, output_fd, WATCH_READ, on_output, NULL), 0);
    cfg = (struct supervisor_config){
        .policy = 0,
        .backoff_ms = 20,
        .backoff_max_ms = 40,
        .reset_after_ms = 30000,
        .max_failures = 5,
        .start_timeout_ms = 60000,
        .stop = {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1},
        .origin = &origin,
    };
}

static void teardown(void)
{
    supervisor_free(sup);
    watch_stop(&output_watch);
    signals_free(signals);
    loop_free(loop);
    (void)close(output_fd);
    scratch_remove();
}

TestSuite(supervisor, .init = setup, .fini = teardown, .timeout = 300);

static void start(char *const *argv)
{
    struct err err;

    cfg.argv = argv;
    cr_assert_eq(supervisor_new(loop, &cfg, &callbacks, &cfg, &sup, &err), 0);
    supervisor_start(sup);
    cr_assert_eq(spawned + spawn_failed + exits + ended, 0, "nothing is told from inside");
}

static char *sh_argv[4];

static void start_sh(const char *script)
{
    static char sh[] = "/bin/sh";
    static char c[] = "-c";
    static char text[2048];

    (void)snprintf(text, sizeof(text), "%s", script);
    sh_argv[0] = sh;
    sh_argv[1] = c;
    sh_argv[2] = text;
    start(sh_argv);
}

static bool is_spawned(void)
{
    return spawned > 0;
}
static bool has_exited(void)
{
    return exits > 0;
}
static bool has_ended(void)
{
    return ended > 0;
}
static bool says_up(void)
{
    return strstr(output, "up\n") != NULL;
}
static bool says_up_twice(void)
{
    const char *first = strstr(output, "up\n");

    return first && strstr(first + 1, "up\n");
}
static bool is_spawned_twice(void)
{
    return spawned >= 2;
}
static bool both(void)
{
    return strstr(output, "sub\n") && strstr(output, "main\n");
}
static bool five(void)
{
    size_t n = 0;

    for (const char *at = output; (at = strstr(at, "x\n")); at++)
        n++;
    return n == 5 && says_up();
}
static bool is_in_backoff(void)
{
    return supervisor_status(sup)->state == CHILD_BACKOFF;
}

static int exit_status(void)
{
    return exit_status_of(&last);
}

/* Nothing of ours is left, not even a zombie. */
static void expect_nobody(void)
{
    cr_assert_eq(ended, 1);
    cr_assert_not(supervisor_has_descendants(sup));
    cr_assert_eq(supervisor_status(sup)->state, CHILD_ENDED);
    cr_assert_eq(supervisor_status(sup)->pid, 0);
}

/* ---- start and end ---- */

Test(supervisor, an_agent_that_ends_well_ends_us)
{
    start_sh("test \"$MARK\" = agent");
    wait_for(has_ended);
    cr_assert(spawned == 1 && exits == 1 && spawn_failed == 0);
    cr_assert_eq(exit_status(), 0);
    cr_assert_not(last.will_restart);
    expect_nobody();
}

Test(supervisor, five_crashes_in_a_row_are_the_end)
{
    start_sh("echo up; exit 7");
    wait_for(has_ended);
    cr_assert_eq(spawned, 5);
    cr_assert_eq(exits, 5);
    cr_assert_eq(last.failures, 5);
    cr_assert_eq(exit_status(), 7);
    cr_assert_eq(supervisor_status(sup)->restarts_total, 4);
    expect_nobody();
}

Test(supervisor, dead_before_ready_is_a_failure_and_says_so)
{
    cfg.policy = 1; /* never */
    start_sh("kill -SEGV $$");
    wait_for(has_ended);
    cr_assert_not(last.was_ready);
    cr_assert_eq(exit_status(), 128 + SIGSEGV);
}

Test(supervisor, a_missing_program_ends_it_at_once)
{
    char *argv[] = {(char[]){"no-such-agent"}, NULL};

    start(argv);
    wait_for(has_ended);
    cr_assert(spawn_failed == 1 && !last_will_restart && spawned == 0 && exits == 0);
    cr_assert_not(ended_had_last, "nothing ever ran");
    cr_assert_eq(last_failure.code, -ENOENT);
}

Test(supervisor, what_only_exec_finds_out_ends_it_at_once_too)
{
    char *argv[] = {NULL, NULL};
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s", scratch_file("agent", "#!/no/such/sh\n", 0755));
    argv[0] = path;
    start(argv);
    wait_for(has_ended);
    cr_assert(spawn_failed == 1 && !last_will_restart && spawned == 0 && exits == 0);
    cr_assert(strstr(last_failure.msg, "its interpreter /no/such/sh does not exist"));
    expect_nobody();
}

Test(supervisor, a_program_that_vanishes_later_is_tried_again)
{
    static char path[PATH_MAX];
    char *argv[] = {path, NULL};

    (void)snprintf(path, sizeof(path), "%s",
                   scratch_file("agent", "#!/bin/sh\nrm \"$0\"; exit 1\n", 0755));
    start(argv);
    wait_for(has_ended);
    cr_assert_eq(spawned, 1);
    cr_assert_eq(spawn_failed, 4, "five failures in a row, the first of them an exit");
    expect_nobody();
}

Test(supervisor, no_process_to_be_had_is_tried_again)
{
    struct rlimit was;
    struct rlimit none;
    bool was_root = geteuid() == 0;

    if (was_root)
        cr_assert_eq(setresuid(65534, 65534, 0), 0); /* root has no limit on processes */
    cr_assert_eq(getrlimit(RLIMIT_NPROC, &was), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    start_sh("exit 0");
    wait_for(has_ended);
    cr_assert_eq(spawn_failed, 5);
    cr_assert_eq(last_failure.code, -EAGAIN);
    cr_assert(strstr(last_failure.msg, "limit on processes"));
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &was), 0);
    if (was_root)
        cr_assert_eq(setresuid(0, 0, 0), 0);
}

/* ---- stop ---- */

Test(supervisor, stop_is_term_and_the_agents_own_code)
{
    start_sh("trap 'exit 42' TERM; echo up; while :; do sleep 1000 & wait; done");
    wait_for(says_up);
    supervisor_mark_ready(sup);
    cr_assert_eq(supervisor_status(sup)->state, CHILD_READY);
    supervisor_stop(sup, 10000);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 42);
    cr_assert(last.was_ready && last.stop_signals && !last.we_killed_it);
    expect_nobody();
}

Test(supervisor, dying_of_the_stop_signal_is_success)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};

    cfg.stop.v[0].signo = SIGUSR1;
    start(argv);
    wait_for(is_spawned);
    supervisor_stop(sup, 10000);
    wait_for(has_ended);
    cr_assert_eq(last.wait_status, SIGUSR1);
    cr_assert_eq(exit_status(), 0);
}

Test(supervisor, a_sequence_goes_on_until_a_signal_is_heard)
{
    /* in the order of their numbers: a shell that has not run meanwhile finds all of them there at
     * once, and takes the lowest one first */
    cfg.stop = (struct stop_sequence){
        .v = {{SIGINT, 200}, {SIGUSR1, 100}, {SIGTERM, STOP_WAIT_REST}}, .n = 3};
    start_sh("trap 'echo usr1' USR1; trap 'echo int' INT; trap 'echo term; exit 3' TERM; echo up; "
             "while :; do sleep 1000 & wait; done");
    wait_for(says_up);
    supervisor_stop(sup, 20000);
    wait_for(has_ended);
    cr_assert(strstr(output, "int\nusr1\nterm\n"), "%s", output);
    cr_assert_eq(exit_status(), 3);
    expect_nobody();
}

Test(supervisor, kill_ends_a_sequence_that_nobody_hears)
{
    cfg.stop = (struct stop_sequence){.v = {{SIGUSR1, 50}, {SIGTERM, 50}}, .n = 2};
    start_sh("trap '' USR1 TERM; echo up; while :; do sleep 1000 & wait; done");
    wait_for(says_up);
    supervisor_stop(sup, 600000);
    wait_for(has_ended); /* long before the grace is over */
    cr_assert_eq(exit_status(), 137);
    expect_nobody();
}

Test(supervisor, ignoring_term_is_killed_after_the_grace)
{
    start_sh("trap '' TERM; echo up; while :; do sleep 1000; done");
    wait_for(says_up);
    int64_t before_ms = clock_mono_ms();

    supervisor_stop(sup, 150);
    wait_for(has_ended);
    cr_assert_geq(clock_mono_ms() - before_ms, 150);
    cr_assert(last.we_killed_it);
    cr_assert_eq(exit_status(), 137);
    expect_nobody();
}

Test(supervisor, a_stopped_process_is_woken_to_stop)
{
    start_sh("trap 'exit 5' TERM; echo up; kill -STOP $$; while :; do sleep 1000 & wait; done");
    wait_for(says_up);
    supervisor_stop(sup, 10000);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 5);
}

Test(supervisor, kill_does_not_wait)
{
    start_sh("trap '' TERM; echo up; while :; do sleep 1000; done");
    wait_for(says_up);
    supervisor_stop(sup, 100000);
    supervisor_kill(sup);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 137);
    expect_nobody();
}

Test(supervisor, stop_while_exec_is_not_known_yet)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};

    start(argv);
    cr_assert_eq(supervisor_status(sup)->state, CHILD_SPAWNING);
    supervisor_stop(sup, 10000);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 0);
    expect_nobody();
}

Test(supervisor, stop_while_starting)
{
    start_sh("sleep 1000");
    wait_for(is_spawned);
    cr_assert_eq(supervisor_status(sup)->state, CHILD_STARTING);
    supervisor_stop(sup, 10000);
    wait_for(has_ended);
    cr_assert_not(last.was_ready);
    expect_nobody();
}

Test(supervisor, stop_while_it_backs_off_ends_at_once)
{
    cfg.backoff_ms = cfg.backoff_max_ms = 1000000;
    start_sh("exit 3");
    wait_for(is_in_backoff);
    wait_for(has_exited);
    cr_assert(last.will_restart);
    cr_assert_gt(supervisor_status(sup)->next_start_ms, 0);
    /* from the loop, when the zombie has been taken */
    supervisor_on_sigchld(sup);
    supervisor_stop(sup, 10000);
    cr_assert_eq(ended, 1, "nothing runs: on_ended comes from inside");
    cr_assert_eq(exit_status(), 3);
    expect_nobody();
}

Test(supervisor, stop_before_the_start_ends_at_once)
{
    struct err err;
    char *argv[] = {(char[]){"true"}, NULL};

    cfg.argv = argv;
    cr_assert_eq(supervisor_new(loop, &cfg, &callbacks, &cfg, &sup, &err), 0);
    supervisor_stop(sup, 10000);
    cr_assert_eq(ended, 1);
    cr_assert_not(ended_had_last);
    supervisor_start(sup);
    cr_assert_eq(supervisor_status(sup)->state, CHILD_ENDED);
}

Test(supervisor, a_stop_overtakes_a_start_that_fails)
{
    char *argv[] = {(char[]){"no-such-agent"}, NULL};

    start(argv);
    supervisor_kill(sup);
    cr_assert_eq(ended, 0, "how the start went is told first");
    wait_for(has_ended);
    cr_assert_eq(spawn_failed, 1);
}

/* ---- restart ---- */

/* KILL is on the way to all of them: only exits are missing. One that lives on never exits. */
static void expect_group_gone(pid_t group)
{
    while (kill(-group, 0) == 0) {
        siginfo_t si;

        cr_assert_eq(waitid(P_PGID, (id_t)group, &si, WEXITED), 0);
    }
    cr_assert_eq(errno, ESRCH);
}

Test(supervisor, restart_is_a_new_process_with_a_new_environment)
{
    pid_t first;

    start_sh("echo up; exec sleep 1000");
    wait_for(says_up);
    supervisor_mark_ready(sup);
    first = supervisor_status(sup)->pid;
    supervisor_restart(sup, 10000);
    wait_for(says_up_twice);
    wait_for(is_spawned_twice);
    cr_assert_neq(supervisor_status(sup)->pid, first);
    cr_assert_eq(supervisor_status(sup)->failures, 0);
    cr_assert_eq(supervisor_status(sup)->restarts_total, 1);
    cr_assert_eq(kill(first, 0), -1);
}

Test(supervisor, a_restart_takes_the_whole_group_along)
{
    /* the second one would hold the first one's port: it ignores TERM and stays in the group */
    start_sh("(trap '' TERM; echo left $$; exec sleep 1000) & trap 'exit 0' TERM; echo up; wait");
    wait_for(says_up);
    pid_t group = supervisor_status(sup)->pid;

    supervisor_restart(sup, 10000);
    wait_for(says_up_twice);
    supervisor_on_sigchld(sup);
    expect_group_gone(group);
}

Test(supervisor, a_crash_does_not_leave_its_group_to_the_next_one)
{
    /* one that ignores TERM, with a child of its own that does */
    start_sh("(trap '' TERM; sleep 1000; :) & echo up; exit 1");
    wait_for(says_up);
    wait_for(has_exited);
    pid_t group = last.pid;

    wait_for(says_up_twice);
    supervisor_on_sigchld(sup);
    expect_group_gone(group);
}

Test(supervisor, a_missed_start_deadline_is_told)
{
    cfg.start_timeout_ms = 50;
    cfg.start_timeout_restarts = true;
    cfg.max_failures = 2;
    start_sh("echo up; exec sleep 1000");
    wait_for(has_ended);
    cr_assert_eq(start_timeouts, 2);
    cr_assert_eq(exits, 2);
    cr_assert_eq(exit_status(), 0, "it died of the stop signal we sent");
    expect_nobody();
}

Test(supervisor, signals_reach_the_whole_group)
{
    start_sh("(trap 'echo sub; exit' USR1; echo up; while :; do sleep 1000 & wait; done) &"
             "trap 'echo main' USR1; echo up; while :; do wait; done");
    wait_for(says_up_twice);
    supervisor_signal(sup, SIGUSR1);
    wait_for(both);
}

/* ---- orphans ---- */

/*
 * All children are forked before the trap is set: one that still has it, because its shell has not
 * come to put it away, would swallow our TERM and have the whole grace.
 */
static const char forks_orphans[] =
    "i=0; while [ $i -lt 200 ]; do ( (trap '' HUP; exec sleep 1000) & ); i=$((i+1)); done;"
    "sleep 1000 & trap 'exit 9' TERM; echo up; while :; do wait; done";

Test(supervisor, two_hundred_orphans_end_with_the_agent)
{
    start_sh(forks_orphans);
    wait_for(says_up);
    supervisor_stop(sup, 60000);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 9);
    cr_assert_geq(supervisor_status(sup)->orphans_reaped_total, 200);
    expect_nobody();
}

Test(supervisor, orphans_of_other_sessions_that_ignore_term_are_killed)
{
    /* the trap is set before "up": our TERM may come right after it */
    start_sh("for i in 1 2 3 4 5; do (setsid sh -c \"trap '' TERM; echo x; while :; do sleep 1000;"
             "done\" &); done; sleep 1000 & trap 'exit 9' TERM; echo up; while :; do wait; done");
    wait_for(five);
    supervisor_stop(sup, 60000);
    wait_for(has_exited); /* the agent hears it, however long it takes */
    cr_assert(supervisor_has_descendants(sup));
    int64_t before_ms = clock_mono_ms();

    supervisor_stop(sup, 300); /* less time for those who do not */
    wait_for(has_ended);
    cr_assert_geq(clock_mono_ms() - before_ms, 300, "they had the rest of the grace");
    cr_assert_eq(exit_status(), 9);
    cr_assert_not(last.we_killed_it);
    expect_nobody();
}

Test(supervisor, a_daemon_that_an_ended_agent_leaves_is_ended)
{
    start_sh("(setsid sleep 1000 &); exit 0");
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 0);
    cr_assert_geq(supervisor_status(sup)->orphans_reaped_total, 1);
    expect_nobody();
}

Test(supervisor, many_exits_at_once_are_all_reaped)
{
    /* all read from one fifo and end together, with the agent, when its only writer closes it */
    cr_assert_eq(mkfifo(scratch_path("gate"), 0600), 0);
    cfg.cwd = scratch;
    start_sh("exec 3<>gate; i=0; while [ $i -lt 100 ]; do ( (read x <&4) 4<gate 3<&- & );"
             "i=$((i+1)); done; echo up; exit 0");
    wait_for(has_ended);
    cr_assert_geq(supervisor_status(sup)->orphans_reaped_total, 100);
    expect_nobody();
}

static int reaped_count;

static void count_reaped(void *arg, pid_t pid, int wait_status)
{
    (void)arg;
    (void)pid;
    (void)wait_status;
    reaped_count++;
    look();
}

static bool reaped_50(void)
{
    return reaped_count >= 50;
}

Test(supervisor, orphans_are_told_one_by_one_while_the_agent_runs)
{
    struct supervisor_callbacks cb = callbacks;
    struct err err;
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"},
                    (char[]){"i=0; while [ $i -lt 50 ]; do ( (exit 3) & ); i=$((i+1)); done;"
                             "echo up; exec sleep 1000"},
                    NULL};

    cfg.argv = argv;
    cb.on_reaped = count_reaped;
    cr_assert_eq(supervisor_new(loop, &cfg, &cb, &cfg, &sup, &err), 0);
    supervisor_start(sup);
    wait_for(says_up);
    wait_for(reaped_50);
    cr_assert_eq(supervisor_status(sup)->orphans_reaped_total, 50);
    cr_assert_eq(exits, 0);
}

Test(supervisor, freed_while_its_child_runs_it_takes_it_along)
{
    start_sh("trap '' TERM; echo up; while :; do sleep 1000; done");
    wait_for(says_up);
    pid_t pid = supervisor_status(sup)->pid;

    supervisor_free(sup);
    sup = NULL;
    if (kill(pid, 0) == 0) { /* on a machine so busy that it dies later than we wait for that */
        int wait_status;

        cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
        cr_assert_eq(wait_status, SIGKILL);
    }
}

/* ---- a callback that comes back in ---- */

static void stop_in_exit(void *arg, const struct child_exit *e)
{
    on_exit_of_child(arg, e);
    supervisor_stop(sup, 1000);
}

static void kill_in_spawned(void *arg, pid_t pid)
{
    on_spawned(arg, pid);
    supervisor_kill(sup);
}

Test(supervisor, stopping_from_its_own_callbacks)
{
    struct supervisor_callbacks cb = callbacks;
    struct err err;
    char *argv[] = {(char[]){"false"}, NULL};

    cfg.argv = argv;
    cb.on_exit = stop_in_exit;
    cr_assert_eq(supervisor_new(loop, &cfg, &cb, &cfg, &sup, &err), 0);
    supervisor_start(sup);
    wait_for(has_ended);
    cr_assert_eq(spawned, 1);
    expect_nobody();
}

Test(supervisor, killing_from_its_own_callbacks)
{
    struct supervisor_callbacks cb = callbacks;
    struct err err;
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};

    cfg.argv = argv;
    cb.on_spawned = kill_in_spawned;
    cr_assert_eq(supervisor_new(loop, &cfg, &cb, &cfg, &sup, &err), 0);
    supervisor_start(sup);
    wait_for(has_ended);
    cr_assert_eq(exit_status(), 137);
    expect_nobody();
}
