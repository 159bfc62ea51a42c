#include "supervisor/supervisor.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static uint64_t bit(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

static int status(int wait_status, bool stopped, bool killed)
{
    const struct child_exit e = {.wait_status = wait_status,
                                 .stop_signals = stopped ? bit(SIGTERM) : 0,
                                 .we_killed_it = killed};

    return exit_status_of(&e);
}

Test(exit_status, each_code_is_passed_on_however_it_came_about)
{
    for (int code = 0; code < 256; code++) {
        for (int how = 0; how < 4; how++) {
            cr_assert_eq(status(W_EXITCODE(code, 0), how & 1, how & 2), code);
        }
    }
}

Test(exit_status, each_signal_is_128_and_its_number)
{
    for (int signo = 1; signo <= 64; signo++) {
        cr_assert_eq(status(signo, false, false), 128 + signo);
        cr_assert_eq(status(signo | WCOREFLAG, false, false), 128 + signo);
    }
}

Test(exit_status, the_stop_signal_we_sent_is_success)
{
    cr_assert_eq(status(SIGTERM, true, false), 0);
    cr_assert_eq(status(SIGINT, true, false), 130, "not the one we sent");
    cr_assert_eq(status(SIGTERM, false, false), 143, "somebody else's TERM");
}

Test(exit_status, every_signal_of_the_sequence_that_was_sent_is_success)
{
    for (int signo = 1; signo <= 64; signo++) {
        struct child_exit e = {.wait_status = signo, .stop_signals = bit(SIGUSR1) | bit(signo)};

        cr_assert_eq(exit_status_of(&e), 0, "%d", signo);
        e.stop_signals = ~bit(signo);
        cr_assert_eq(exit_status_of(&e), 128 + signo, "%d was not sent", signo);
    }
}

Test(exit_status, having_to_kill_is_137)
{
    cr_assert_eq(status(SIGKILL, true, true), 137);
    cr_assert_eq(status(SIGKILL, false, false), 137, "the kernel's out-of-memory killer");
}
