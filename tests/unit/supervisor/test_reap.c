#include "supervisor/reap.h"

#include "supervisor/supervisor.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t fork_waiting(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    return pid;
}

TestSuite(reap, .timeout = 300);

Test(reap, a_zombie_can_be_looked_at_before_it_is_taken)
{
    siginfo_t si;
    int wait_status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(42);
    }
    cr_assert_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    cr_assert_eq(reap_look(&wait_status), pid);
    cr_assert_eq(wait_status, W_EXITCODE(42, 0));
    cr_assert_eq(kill(pid, 0), 0, "still its own");
    cr_assert_eq(reap_look(&wait_status), pid, "looking takes nothing");
    reap_take(pid);
    cr_assert_eq(reap_look(&wait_status), 0);
    cr_assert_eq(kill(pid, 0), -1);
}

Test(reap, signals_and_cores_look_as_waitpid_says)
{
    siginfo_t si;
    int looked = -1;
    int taken = -1;
    pid_t pid = fork_waiting();

    cr_assert_eq(kill(pid, SIGTERM), 0);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    cr_assert_eq(reap_look(&looked), pid);
    cr_assert_eq(waitpid(pid, &taken, 0), pid);
    cr_assert_eq(looked, taken);
}

Test(reap, orphans_come_to_us_and_are_counted)
{
    enum { COUNT = 200 };
    int ends[2];
    char byte;
    uint64_t reaped = 0;
    pid_t middle;

    cr_assert_eq(reap_become_subreaper(), 0);
    cr_assert_eq(pipe(ends), 0);
    middle = fork();
    if (middle == 0) {
        for (int i = 0; i < COUNT; i++) {
            if (fork() == 0) {
                (void)close(ends[1]);
                (void)!read(ends[0], &byte, 1); /* until the test closes its end */
                _exit(0);
            }
        }
        _exit(0);
    }
    (void)close(ends[0]);
    cr_assert_eq(waitpid(middle, NULL, 0), middle);
    cr_assert_eq(reap_orphans(), 0, "all of them still run");
    (void)close(ends[1]);
    while (reap_has_children()) {
        siginfo_t si;

        cr_assert_eq(waitid(P_ALL, 0, &si, WEXITED | WNOWAIT), 0);
        reaped += reap_orphans();
    }
    cr_assert_eq(reaped, COUNT);
}
