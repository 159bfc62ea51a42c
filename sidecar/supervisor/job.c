/*
 * Job control. When signals come and what they mean is app/'s; the order of the agent's life is
 * child.c's.
 */
#include "supervisor/job.h"

#include "base/signame.h"
#include "log/log.h"
#include "supervisor/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the terminal ---- */

/* The foreground group of the terminal on stdin, when that is our controlling terminal; else -1. */
static pid_t foreground(void)
{
    return tcgetpgrp(STDIN_FILENO);
}

/*
 * Only who is in the foreground may give it away: started with `&`, we leave the terminal to
 * whoever uses it, and an agent that reads all the same is stopped by the kernel (job_on_stop).
 */
bool job_may_take_terminal(const struct job *j)
{
    pid_t now = foreground(); /* 0: of a group outside of our PID namespace */

    return j->group == CHILD_GROUP_OWN && now > 0 && now == getpgrp();
}

void job_started(struct job *j, bool takes_terminal)
{
    j->has_terminal = takes_terminal;
    j->stopped_by = 0;
    j->stop_asked = 0; /* that was the one before */
}

static void give_terminal(struct job *j, pid_t pid)
{
    /* TTOU is blocked: the kernel asks for that, or would stop us here */
    j->has_terminal = tcsetpgrp(STDIN_FILENO, pid) == 0;
}

/*
 * Not when the shell above has taken it meanwhile. A group that the agent has made itself (it may
 * be a shell) counts as the agent's: it goes down with it.
 */
bool job_ended(struct job *j)
{
    bool had_it = j->has_terminal;
    pid_t now = had_it ? foreground() : -1;

    j->has_terminal = false;
    j->stopped_by = 0;
    j->stop_asked = 0;
    if (now > 0 && now != getpgrp() && now != getpgid(getppid())) {
        (void)tcsetpgrp(STDIN_FILENO, getpgrp()); /* fails when it has hung up: nothing to do */
    }
    return had_it;
}

/* ---- sending ---- */

/* The process alone. */
static int signal_process(const struct job *j, pid_t pid, int signo)
{
    if (j->pidfd >= 0 && pidfd_signal(j->pidfd, signo) == 0) {
        return 0;
    }
    return kill(pid, signo) < 0 ? -errno : 0; /* ours to reap, so its number is its own */
}

int job_signal(const struct job *j, pid_t pid, int signo)
{
    bool is_told = j->group != CHILD_GROUP_PROCESS && kill(-pid, signo) == 0;
    int refused = j->group == CHILD_GROUP_PROCESS || is_told || errno == ESRCH ? 0 : -errno;
    int r;

    /*
     * No such group: the child of a moment ago has not made its session yet (only it can), so it is
     * all there is. Or it has joined another group, as shells with jobs do. Otherwise a zombie or
     * nothing of that group is left, and this does no harm.
     */
    if (is_told && getpgid(pid) == pid) {
        return 0;
    }
    r = signal_process(j, pid, signo);
    return refused < 0 ? refused : r;
}

/* A session of its own is an orphaned group: there the kernel discards these three, as default. */
static int for_its_group(const struct job *j, int signo)
{
    bool stops = signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;

    return stops && j->group == CHILD_GROUP_SESSION ? SIGSTOP : signo;
}

static bool queue_value(pid_t pid, int signo, const struct signalfd_siginfo *info)
{
    siginfo_t si = {
        .si_signo = signo,
        .si_code = SI_QUEUE,
        .si_pid = (pid_t)info->ssi_pid,
        .si_uid = info->ssi_uid,
    };

    si.si_value.sival_ptr = (void *)(uintptr_t)info->ssi_ptr; /* the int is its lower half */
    return syscall(SYS_rt_sigqueueinfo, pid, signo, &si) == 0;
}

void job_pass_on(const struct job *j, pid_t pid, int signo, const struct signalfd_siginfo *info)
{
    char name[SIGNAL_TEXT_MAX];

    signo = for_its_group(j, signo);
    if (info->ssi_code != SI_QUEUE) {
        (void)job_signal(j, pid, signo); /* who sent it is not told either */
    } else if (!queue_value(pid, signo, info)) {
        log_warning("supervisor", "SIG%s goes to the agent without its queued value: %s",
                    signal_text(signo, name), strerrordesc_np(errno));
        (void)signal_process(j, pid, signo);
    }
}

bool job_has_it_already(const struct job *j, const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL && (j->group == CHILD_GROUP_PROCESS || j->has_terminal);
}

/* ---- stop and continue ---- */

/* CONT waits to be read. */
static bool is_continued(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGCONT) == 1;
}

bool job_stop_self(int signo, bool whole_group)
{
    struct sigaction now;
    sigset_t one;

    /* The kernel would not stop us. Asking it all the same takes back a CONT that waits. */
    if (getpid() == 1 || getsid(0) == getpid()) {
        return false;
    }
    if (is_continued()) {
        return true; /* meanwhile */
    }
    if (sigaction(signo, NULL, &now) < 0 || now.sa_handler != SIG_DFL) {
        return false; /* ignored when we were started: whoever did that does not want it */
    }
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signo);
    (void)kill(whole_group ? 0 : getpid(), signo);
    /* Blocked until here. It is taken before the first call returns, so we are stopped in there. */
    (void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    (void)pthread_sigmask(SIG_BLOCK, &one, NULL);
    /* Continued: CONT waits to be read. Discarded by the kernel: nothing does. */
    return is_continued();
}

/* Is it by this signal that the agent does what we were asked for? */
static bool is_asked(const struct job *j)
{
    return j->stop_asked != 0 && j->stopped_by == for_its_group(j, j->stop_asked);
}

static void stop_as_asked(struct job *j)
{
    int signo = j->stop_asked;

    j->stop_asked = 0;
    (void)job_stop_self(signo, false); /* refused: the agent stays stopped until CONT, as asked */
}

void job_ask_stop(struct job *j, pid_t pid, int signo)
{
    j->stop_asked = signo;
    if (pid == 0 || is_asked(j)) {
        stop_as_asked(j);
    }
}

void job_continue(struct job *j, pid_t pid)
{
    j->stop_asked = 0;
    if (pid > 0 && job_may_take_terminal(j)) {
        give_terminal(j, pid);
    } else if (pid > 0 && j->has_terminal && foreground() != getpgid(pid)) {
        j->has_terminal = false; /* the shell has taken it while we were stopped */
    }
}

/* Stopped by its terminal, not by somebody who holds it on purpose (STOP, a debugger). */
static bool is_by_terminal(const struct job *j, int signo)
{
    if (j->group != CHILD_GROUP_OWN || foreground() < 0) {
        return false;
    }
    return signo == SIGTTIN || signo == SIGTTOU || (signo == SIGTSTP && j->has_terminal);
}

void job_on_stop(struct job *j, pid_t pid, int signo)
{
    j->stopped_by = signo;
    if (signo == 0) {
        return;
    }
    if (is_asked(j)) {
        stop_as_asked(j);
        return;
    }
    if (!is_by_terminal(j, signo)) {
        return;
    }
    j->has_terminal = false; /* the shell above takes it when it sees us stopped */
    if (job_stop_self(signo, true)) {
        return; /* CONT is on its way to us, and job_continue() does the rest */
    }
    give_terminal(j, pid);
    if (j->has_terminal || signo == SIGTSTP) { /* else it would read and be stopped for ever */
        (void)kill(-pid, SIGCONT);
    }
}
