/* To whom a signal goes, before and after exec, and who has the terminal. Stops and continues with
 * a shell: tests/e2e/test_terminal.py */
#include "supervisor/job.h"

#include "supervisor/spawn.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { SPAWN_WAIT_MS = 60000 };

static struct process_origin origin;
static char path_variable[] = "PATH=/usr/bin:/bin";
static char *env[] = {path_variable, NULL};
static char *sleeps[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};

static void setup(void)
{
    origin.umask = umask(077);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &origin.nofile), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &origin.core), 0);
    signals_block_all(&origin.signals);
}

TestSuite(job, .init = setup, .timeout = 300);

static pid_t spawn_as(enum child_group group, bool takes_terminal, bool wait_for_exec)
{
    const struct spawn_request rq = {.argv = sleeps,
                                     .envp = env,
                                     .cwd = "",
                                     .origin = &origin,
                                     .group = group,
                                     .takes_terminal = takes_terminal};
    struct spawn sp;
    struct err err = {0};
    pid_t pid;

    cr_assert_eq(spawn_start(&rq, &sp, &err), 0, "%s", err.msg);
    if (wait_for_exec) {
        struct pollfd p = {.fd = sp.fd, .events = POLLIN};

        cr_assert_eq(poll(&p, 1, SPAWN_WAIT_MS), 1);
        cr_assert_eq(spawn_outcome(&rq, &sp, &err), 1, "%s", err.msg);
    }
    pid = sp.pid;
    spawn_release(&sp);
    return pid;
}

static void expect_death_by(pid_t pid, int signo)
{
    int wait_status;

    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, signo);
}

Test(job, the_child_is_in_the_group_that_was_asked_for)
{
    pid_t own = spawn_as(CHILD_GROUP_OWN, false, true);
    pid_t process = spawn_as(CHILD_GROUP_PROCESS, false, true);
    pid_t session = spawn_as(CHILD_GROUP_SESSION, false, true);

    cr_expect_eq(getpgid(own), own);
    cr_expect_eq(getsid(own), getsid(0));
    cr_expect_eq(getpgid(process), getpgrp());
    cr_expect_eq(getpgid(session), session);
    cr_expect_eq(getsid(session), session);
    for (int i = 0; i < 3; i++)
        (void)kill((const pid_t[]){own, process, session}[i], SIGKILL);
}

/* Also in the moment before it has made its group or session. */
Test(job, no_signal_is_lost_right_after_the_fork)
{
    static const enum child_group groups[] = {CHILD_GROUP_OWN, CHILD_GROUP_PROCESS,
                                              CHILD_GROUP_SESSION};

    for (int i = 0; i < 60; i++) {
        struct job j = {.group = groups[i % 3]};
        pid_t pid = spawn_as(j.group, false, false);

        job_signal(&j, pid, SIGTERM);
        expect_death_by(pid, SIGTERM);
    }
}

/* The same, when it is certain that it has not yet. */
Test(job, a_child_that_has_no_session_yet_gets_its_signal)
{
    struct job j = {.group = CHILD_GROUP_SESSION};
    sigset_t none;
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave it behind */
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        for (;;)
            (void)pause();
    }
    job_signal(&j, pid, SIGTERM);
    expect_death_by(pid, SIGTERM);
}

Test(job, sharing_our_group_only_its_process_is_signalled)
{
    struct job j = {.group = CHILD_GROUP_PROCESS};
    pid_t other = spawn_as(CHILD_GROUP_PROCESS, false, true);
    pid_t pid = spawn_as(CHILD_GROUP_PROCESS, false, true);

    job_signal(&j, pid, SIGTERM);
    expect_death_by(pid, SIGTERM);
    cr_expect_eq(waitpid(other, NULL, WNOHANG), 0, "our group has not had it");
    (void)kill(other, SIGKILL);
}

Test(job, what_the_kernel_sent_to_both_is_known)
{
    const struct signalfd_siginfo by_kernel = {.ssi_signo = SIGWINCH, .ssi_code = SI_KERNEL};
    const struct signalfd_siginfo by_kill = {.ssi_signo = SIGWINCH, .ssi_code = SI_USER};
    struct job j = {.group = CHILD_GROUP_OWN};

    cr_expect_not(job_has_it_already(&j, &by_kernel), "we have the terminal");
    j.has_terminal = true;
    cr_expect(job_has_it_already(&j, &by_kernel));
    cr_expect_not(job_has_it_already(&j, &by_kill));
    j = (struct job){.group = CHILD_GROUP_PROCESS};
    cr_expect(job_has_it_already(&j, &by_kernel));
    cr_expect_not(job_has_it_already(&j, &by_kill));
    j = (struct job){.group = CHILD_GROUP_SESSION};
    cr_expect_not(job_has_it_already(&j, &by_kernel));
}

Test(job, in_a_session_of_its_own_a_stop_is_STOP)
{
    struct job j = {.group = CHILD_GROUP_SESSION};
    const struct signalfd_siginfo info = {.ssi_signo = SIGTSTP, .ssi_code = SI_USER};
    pid_t pid = spawn_as(j.group, false, true);
    int wait_status;

    job_pass_on(&j, pid, SIGTSTP, &info);
    cr_assert_eq(waitpid(pid, &wait_status, WUNTRACED), pid);
    cr_expect(WIFSTOPPED(wait_status) && WSTOPSIG(wait_status) == SIGSTOP);
    job_signal(&j, pid, SIGKILL);
    expect_death_by(pid, SIGKILL);
}

/* ---- a terminal ---- */

/* We become the leader of a session with a terminal of its own on stdin, as in `docker run -it`. */
static void with_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    int slave;

    if (getpid() == getsid(0) || setsid() < 0)
        cr_assert_eq(getpid(), getpgrp());
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    cr_assert_eq(ioctl(slave, TIOCSCTTY, 0), 0);
    cr_assert_eq(dup2(slave, STDIN_FILENO), STDIN_FILENO);
    cr_assert_eq(tcgetpgrp(STDIN_FILENO), getpgrp());
}

Test(job, the_terminal_goes_to_the_child_and_comes_back)
{
    struct job j = {.group = CHILD_GROUP_OWN};
    pid_t pid;

    with_terminal();
    cr_assert(job_may_take_terminal(&j));
    pid = spawn_as(j.group, true, true);
    job_started(&j, true);
    cr_expect_eq(tcgetpgrp(STDIN_FILENO), pid, "before exec is over");
    cr_expect_not(job_may_take_terminal(&j), "it is not ours now");
    job_signal(&j, pid, SIGTERM);
    expect_death_by(pid, SIGTERM);
    cr_expect(job_ended(&j));
    cr_expect_eq(tcgetpgrp(STDIN_FILENO), getpgrp());
    cr_expect_not(job_ended(&j), "once");
}

Test(job, sharing_our_group_or_without_a_terminal_nothing_is_taken)
{
    struct job own = {.group = CHILD_GROUP_OWN};
    struct job process = {.group = CHILD_GROUP_PROCESS};
    struct job session = {.group = CHILD_GROUP_SESSION};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    with_terminal();
    cr_expect(job_may_take_terminal(&own));
    cr_expect_not(job_may_take_terminal(&process));
    cr_expect_not(job_may_take_terminal(&session));
    cr_assert_eq(dup2(null, STDIN_FILENO), STDIN_FILENO);
    cr_expect_not(job_may_take_terminal(&own));
}

/* A session's leader: the kernel discards the stop, and we are told so. */
Test(job, a_stop_that_nobody_could_end_does_not_happen)
{
    with_terminal();
    cr_expect_not(job_stop_self(SIGTSTP, false));
    cr_expect_not(job_stop_self(SIGTTIN, true));
    (void)signal(SIGTSTP, SIG_IGN);
    cr_expect_not(job_stop_self(SIGTSTP, false));
}
