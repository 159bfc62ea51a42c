/*
 * From the agent's end to our own exit status, and to words: the table of design section 4.
 */
#include "supervisor/supervisor.h"

#include "base/parse.h"
#include "base/signame.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum { SIGNALLED_BASE = 128 }; /* a shell's way to say "by signal n" */

/* By us, to end it. */
static bool was_sent(const struct child_exit *e, int signo)
{
    return (e->stop_signals >> (signo - 1)) & 1;
}

int exit_status_of(const struct child_exit *e)
{
    int signo;

    if (WIFEXITED(e->wait_status)) {
        return WEXITSTATUS(e->wait_status); /* 42 stays 42, also after a stop */
    }
    signo = WTERMSIG(e->wait_status);
    if (e->we_killed_it && signo == SIGKILL) {
        return SIGNALLED_BASE + SIGKILL; /* also with stop.signal KILL: its grace was over */
    }
    return was_sent(e, signo) ? 0 : SIGNALLED_BASE + signo;
}

bool exit_is_failure(int wait_status, const struct exit_codes *success)
{
    const struct child_exit unasked = {.wait_status = wait_status};
    int status = exit_status_of(&unasked);

    return status != 0 && !exit_codes_have(success, (uint8_t)status);
}

const char *exit_in_words(const struct child_exit *e, char ret[EXIT_WORDS_MAX])
{
    char ran[FORMAT_MAX];
    char by[SIGNAL_WORDS_MAX];

    (void)format_duration(e->ran_ms, ran);
    if (WIFEXITED(e->wait_status)) {
        (void)snprintf(ret, EXIT_WORDS_MAX, "exited with status %d after %s",
                       WEXITSTATUS(e->wait_status), ran);
        return ret;
    }
    (void)snprintf(ret, EXIT_WORDS_MAX, "was ended by %s%s after %s",
                   signal_in_words(WTERMSIG(e->wait_status), by),
                   WCOREDUMP(e->wait_status) ? " (core dumped)" : "", ran);
    return ret;
}
