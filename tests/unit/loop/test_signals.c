#include "loop/signals.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

static struct loop *loop;
static struct signals *signals;
static int seen[NSIG];

/* A shell's background job is started with INT and QUIT ignored, one of nohup's with HUP. */
static void forget_the_starter(void)
{
    signal(SIGHUP, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

TestSuite(signals, .init = forget_the_starter);

static void on_signal(void *arg, const struct signalfd_siginfo *info)
{
    cr_assert_eq(arg, &seen);
    seen[info->ssi_signo]++;
    if (info->ssi_signo == SIGTERM)
        loop_stop(loop);
}

static void free_in_callback(void *arg, const struct signalfd_siginfo *info)
{
    (void)arg;
    seen[info->ssi_signo]++;
    signals_free(signals);
    loop_stop(loop);
}

Test(signals, arrive_as_events, .timeout = 60)
{
    struct signals_origin origin;
    struct err err;

    signals_block_all(&origin);
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(signals_new(loop, on_signal, &seen, &signals, &err), 0, "%s", err.msg);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGTERM);
    loop_run(loop);
    cr_assert_eq(seen[SIGHUP], 1);
    cr_assert_eq(seen[SIGUSR1], 1);
    cr_assert_eq(seen[SIGTERM], 1);
    signals_free(signals);
    loop_free(loop);
}

Test(signals, their_source_may_go_within_its_callback, .timeout = 60)
{
    struct signals_origin origin;
    struct err err;

    signals_block_all(&origin);
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(signals_new(loop, free_in_callback, NULL, &signals, &err), 0);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR1);
    loop_run(loop);
    cr_assert_eq(seen[SIGHUP] + seen[SIGUSR1], 1);
    loop_free(loop);
}

Test(signals, what_we_were_started_with_is_remembered)
{
    struct signals_origin origin;
    struct sigaction action;
    sigset_t set;

    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signals_block_all(&origin);
    cr_assert_eq(sigismember(&origin.ignored, SIGHUP), 1);
    cr_assert_eq(sigismember(&origin.ignored, SIGTERM), 0);
    cr_assert_eq(sigismember(&origin.mask, SIGUSR2), 1);
    cr_assert_eq(sigismember(&origin.mask, SIGTERM), 0);
    sigprocmask(SIG_SETMASK, NULL, &set);
    cr_assert_eq(sigismember(&set, SIGTERM), 1);
    cr_assert_eq(sigismember(&set, SIGSEGV), 0);
    cr_assert_eq(sigismember(&set, SIGPIPE), 0);
    sigaction(SIGCHLD, NULL, &action);
    cr_assert_eq(action.sa_handler, SIG_DFL, "an ignored SIGCHLD would lose the child's status");
    sigaction(SIGPIPE, NULL, &action);
    cr_assert_eq(action.sa_handler, SIG_IGN);
}

Test(signals, what_nohup_made_ignored_stays_ignored, .timeout = 60)
{
    struct signals_origin origin;
    struct err err;

    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signals_block_all(&origin);
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(signals_new(loop, on_signal, &seen, &signals, &err), 0, "%s", err.msg);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGINT);
    kill(getpid(), SIGQUIT);
    kill(getpid(), SIGTERM);
    loop_run(loop);
    cr_assert_eq(seen[SIGHUP] + seen[SIGINT], 0);
    cr_assert_eq(seen[SIGQUIT], 1);
    signals_free(signals);
    loop_free(loop);
}
