/*
 * Reaping. What an exit means is child.c's.
 */
#include "supervisor/reap.h"

#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int reap_become_subreaper(void)
{
    if (getpid() == 1) {
        return 0;
    }
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static int wait_status_of(const siginfo_t *si)
{
    switch (si->si_code) {
    case CLD_EXITED:
        return W_EXITCODE(si->si_status, 0);
    case CLD_DUMPED:
        return si->si_status | WCOREFLAG;
    default:
        return si->si_status;
    }
}

/* -ECHILD: no children at all. si_pid 0: none of them has ended. */
static int look(siginfo_t *ret)
{
    int r;

    *ret = (siginfo_t){0};
    do {
        r = waitid(P_ALL, 0, ret, WEXITED | WNOHANG | WNOWAIT);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

pid_t reap_look(int *ret_wait_status)
{
    siginfo_t si;
    int r = look(&si);

    if (r < 0 && r != -ECHILD) {
        return r;
    }
    if (r < 0 || si.si_pid == 0) {
        return 0;
    }
    *ret_wait_status = wait_status_of(&si);
    return si.si_pid;
}

void reap_take(pid_t pid)
{
    pid_t r;

    do {
        r = waitpid(pid, NULL, WNOHANG);
    } while (r < 0 && errno == EINTR);
    assert(r == pid && "a zombie we looked at can only be taken by us");
}

bool reap_look_stopped(pid_t pid, int *ret_signo)
{
    siginfo_t si = {0};

    if (waitid(P_PID, (id_t)pid, &si, WSTOPPED | WCONTINUED | WNOHANG) < 0 || si.si_pid != pid) {
        return false;
    }
    *ret_signo = si.si_code == CLD_STOPPED ? si.si_status : 0;
    return true;
}

bool reap_has_children(void)
{
    siginfo_t si;

    return look(&si) != -ECHILD; /* in doubt, yes: every wait for them has a deadline */
}

uint64_t reap_orphans(void)
{
    uint64_t count = 0;

    while (waitpid(-1, NULL, WNOHANG) > 0) {
        count++;
    }
    return count;
}
