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

/* ---- every way to end, against the table of design section 4 written down once more ---- */

enum { SIGNAL_MAX = 64 };

static int expected(int wait_status, bool stopped, bool killed, int stop_signal)
{
    int signo = wait_status & 0x7f;

    if (signo == 0) {
        return wait_status >> 8 & 0xff;
    }
    if (signo == SIGKILL && killed) {
        return 137;
    }
    return stopped && signo == stop_signal ? 0 : 128 + signo;
}

static void check_status(int wait_status, int how, int stop_signal)
{
    const struct child_exit e = {.wait_status = wait_status,
                                 .stop_signals = how & 1 ? bit(stop_signal) : 0,
                                 .we_killed_it = how & 2};

    if (exit_status_of(&e) !=
        expected(wait_status, how & 1, how & 2, stop_signal)) { /* 98,000 times */
        cr_assert_fail("%x, %d, SIG%d", (unsigned)wait_status, how, stop_signal);
    }
}

Test(exit_status, matrix_of_all_wait_statuses_and_all_stop_signals)
{
    for (int stop_signal = 1; stop_signal <= SIGNAL_MAX; stop_signal++) {
        for (int how = 0; how < 4; how++) {
            for (int code = 0; code < EXIT_CODE_COUNT; code++) {
                check_status(W_EXITCODE(code, 0), how, stop_signal);
            }
            for (int signo = 1; signo <= SIGNAL_MAX; signo++) {
                check_status(signo, how, stop_signal);
                check_status(signo | WCOREFLAG, how, stop_signal);
            }
        }
    }
}

Test(exit_status, a_signal_of_its_own_just_before_our_kill_is_told)
{
    cr_assert_eq(status(SIGSEGV, true, true), 139);
    cr_assert_eq(status(SIGTERM, true, true), 0, "its TERM was in time after all");
}

Test(exit_status, stop_signal_kill_is_asked_for_and_grace_over_is_not)
{
    const struct child_exit asked = {.wait_status = SIGKILL, .stop_signals = bit(SIGKILL)};
    const struct child_exit late = {
        .wait_status = SIGKILL, .stop_signals = bit(SIGKILL), .we_killed_it = true};

    cr_assert_eq(exit_status_of(&asked), 0);
    cr_assert_eq(exit_status_of(&late), 137);
}

/* ---- what counts as a failure ---- */

Test(exit_status, only_zero_is_no_failure_by_itself)
{
    const struct exit_codes none = {0};

    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        cr_assert_eq(exit_is_failure(W_EXITCODE(code, 0), &none), code != 0);
    }
    for (int signo = 1; signo <= SIGNAL_MAX; signo++) {
        cr_assert(exit_is_failure(signo, &none));
        cr_assert(exit_is_failure(signo | WCOREFLAG, &none));
    }
}

Test(exit_status, each_success_code_excuses_itself_and_nothing_else)
{
    for (int chosen = 0; chosen < EXIT_CODE_COUNT; chosen++) {
        struct exit_codes one = {0};

        exit_codes_add(&one, (uint8_t)chosen);
        for (int code = 0; code < EXIT_CODE_COUNT; code++) {
            cr_assert_eq(exit_is_failure(W_EXITCODE(code, 0), &one), code != 0 && code != chosen);
        }
        for (int signo = 1; signo <= SIGNAL_MAX; signo++) {
            cr_assert_eq(exit_is_failure(signo, &one), 128 + signo != chosen);
        }
    }
}

/* ---- words ---- */

Test(exit_words, name_code_signal_core_and_time)
{
    struct {
        int wait_status;
        const char *words;
    } cases[] = {
        {W_EXITCODE(7, 0), "exited with status 7 after 1500ms"},
        {SIGSEGV, "was ended by SIGSEGV after 1500ms"},
        {SIGABRT | WCOREFLAG, "was ended by SIGABRT (core dumped) after 1500ms"},
        {32, "was ended by signal 32 after 1500ms"},
        {SIGRTMIN, "was ended by SIGRTMIN after 1500ms"},
        {SIGRTMIN + 3, "was ended by SIGRTMIN+3 after 1500ms"},
        {64, "was ended by SIGRTMIN+30 after 1500ms"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct child_exit e = {.wait_status = cases[i].wait_status, .ran_ms = 1500};
        char text[EXIT_WORDS_MAX];

        cr_assert_str_eq(exit_in_words(&e, text), cases[i].words);
    }
}
