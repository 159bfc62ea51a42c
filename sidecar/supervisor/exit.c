/*
 * From the agent's end to our own exit status: the table of design section 4.
 */
#include "supervisor/supervisor.h"

#include <signal.h>
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
    if (e->we_killed_it) {
        return SIGNALLED_BASE + SIGKILL;
    }
    return was_sent(e, signo) ? 0 : SIGNALLED_BASE + signo;
}
