/*
 * The agent as a job: what of it a signal is sent to, whether it has our terminal, and what
 * happens when it is stopped and continued (Ctrl-Z, fg, bg).
 *
 * With a terminal on our stdin that is in the foreground with us, the agent's own group becomes the
 * terminal's foreground group: it may read, and Ctrl-C, Ctrl-\, Ctrl-Z and changes of the window's
 * size come to it from the kernel, not through us. When it ends, or when we are stopped with it,
 * the terminal is ours or the shell's again.
 *
 * When the agent is stopped by its terminal (Ctrl-Z, or reading from the background), our whole job
 * stops the same way, so that the shell above shows its prompt; its fg or bg continues both. Where
 * no shell could do so (PID 1, a session's leader, a service), the kernel does not stop us, and the
 * agent is continued at once instead of being lost in a stop that nobody can end.
 *
 * All of it for one process at a time, on the loop's thread, with TTOU and TTIN blocked. Source:
 * setpgid(2), tcsetpgrp(3), credentials(7); POSIX 11.1.4; the text in docs/supervision.md.
 */
#ifndef SUPERVISOR_JOB_H
#define SUPERVISOR_JOB_H

#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/types.h>

struct job { /* embedded; zeroed but the first two; private */
    enum child_group group;
    int pidfd;         /* of the agent, the supervisor's; -1 = none, or a kernel without */
    bool has_terminal; /* its group is in the foreground, because we put it there */
    int stopped_by;    /* the signal that has stopped the agent; 0 = it is not stopped */
    int stop_asked;    /* such a signal came to us: once the agent has stopped, so do we */
};

/* Before the fork: shall the child take the terminal (tcsetpgrp in spawn.c)? */
bool job_may_take_terminal(const struct job *j);
/* After the fork. */
void job_started(struct job *j, bool takes_terminal);
/* The process has ended: the terminal is ours again. Whether the agent had it. */
bool job_ended(struct job *j);

/* ---- sending; pid is the agent's, known to be ours still ---- */

/* 0, or -errno when the group or the process refused it. */
int job_signal(const struct job *j, pid_t pid, int signo);
/*
 * Passes on what came to us as `info`. A value that was queued with it is kept; then only the
 * agent's process gets it, for the kernel has no queue for groups.
 */
void job_pass_on(const struct job *j, pid_t pid, int signo, const struct signalfd_siginfo *info);
/* The kernel sent it because of a terminal, and the agent has had it the same way. */
bool job_has_it_already(const struct job *j, const struct signalfd_siginfo *info);

/* ---- stop and continue ---- */

/* TSTP, TTIN or TTOU came to us, and was passed on. pid 0: no agent runs, we stop at once. */
void job_ask_stop(struct job *j, pid_t pid, int signo);
/* CONT came to us, and is about to be passed on. */
void job_continue(struct job *j, pid_t pid);
/* waitid says that the agent was stopped by this signal, or (0) continued. */
void job_on_stop(struct job *j, pid_t pid, int signo);

/*
 * Stop this process as the default of `signo` does, or with it every process of our group; returns
 * when we are continued (true), or at once when the kernel sees nobody who could do that (false).
 */
bool job_stop_self(int signo, bool whole_group);

#endif
