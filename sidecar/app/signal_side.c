/*
 * What a signal makes us do: a look-up in signal_table.h and the deed. Reading signals is
 * loop/signals.c's, sending them supervisor/job.c's.
 */
#include "app/parts.h"

#include "app/reload.h"
#include "app/signal_table.h"
#include "base/signame.h"
#include "log/log.h"
#include "supervisor/job.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * To the agent, or to nobody. While no process runs there is none to keep it for: the next one
 * would get it before it could have set a handler, and die of it.
 */
static void pass_on(struct app *a, const struct signalfd_siginfo *info)
{
    int signo = (int)info->ssi_signo;
    int to = a->signal_map.to[signo];
    char name[SIGNAL_TEXT_MAX];

    to = to == 0 ? signo : to;
    if (to == SIGNAL_DROPPED) {
        log_debug("app", "SIG%s: not passed on (signals.map)", signal_text(signo, name));
    } else if (!a->supervisor) {
        log_debug("app", "SIG%s: no agent of ours to pass it on to", signal_text(signo, name));
    } else if (!supervisor_pass_on(a->supervisor, to, info)) {
        log_info("app", "SIG%s: the agent does not run now and does not get it",
                 signal_text(signo, name));
    }
}

static void stop(struct app *a, int signo, const char *why)
{
    char name[SIGNAL_TEXT_MAX];
    char what[64];

    (void)snprintf(what, sizeof(what), "SIG%s%s", signal_text(signo, name), why);
    ending_on_term(a, what);
}

/* Its copy for the agent first: it is meant for now, not for the end of a drain. */
static void hang_up(struct app *a, const struct signalfd_siginfo *info)
{
    if (a->signal_map.to[SIGHUP] != 0) {
        pass_on(a, info);
    }
    if (a->has_terminal) {
        stop(a, SIGHUP, " (the terminal went away)");
    } else {
        app_reload(a, "SIGHUP");
    }
}

static void suspend(struct app *a, const struct signalfd_siginfo *info)
{
    pass_on(a, info);
    if (a->signal_map.to[info->ssi_signo] != 0) {
        return; /* the agent gets something else, or nothing: it is not to stop, nor are we */
    }
    if (a->supervisor) {
        supervisor_ask_stop(a->supervisor, (int)info->ssi_signo);
    } else {
        (void)job_stop_self((int)info->ssi_signo, false);
    }
}

static void reap(struct app *a)
{
    if (a->supervisor) {
        supervisor_on_sigchld(a->supervisor);
    } else {
        (void)reap_orphans(); /* as PID 1 of a pod with a shared process namespace others' orphans
                                 are ours */
    }
}

/*
 * The kernel says it each second, or for each write: also for the one of the line below, when
 * stderr is the file that must not grow. So it is said once.
 */
static void limit(struct app *a, const struct signalfd_siginfo *info)
{
    bool *was_said = info->ssi_signo == SIGXCPU ? &a->said_cpu_limit : &a->said_file_limit;
    char name[SIGNAL_TEXT_MAX];

    if (info->ssi_code != SI_KERNEL && info->ssi_pid != (uint32_t)getpid()) {
        pass_on(a, info);
    } else if (!*was_said) {
        *was_said = true;
        log_warning("app", "SIG%s: a limit of this process (%s) is reached",
                    signal_text((int)info->ssi_signo, name),
                    info->ssi_signo == SIGXCPU ? "ulimit -t, LimitCPU=" : "ulimit -f, LimitFSIZE=");
    }
}

void signal_side_on_signal(void *arg, const struct signalfd_siginfo *info)
{
    struct app *a = arg;

    switch (signal_row_of((int)info->ssi_signo)->act) {
    case SIGNAL_PASS_ON:
        pass_on(a, info);
        break;
    case SIGNAL_STOP:
        stop(a, (int)info->ssi_signo, "");
        break;
    case SIGNAL_HANGUP:
        hang_up(a, info);
        break;
    case SIGNAL_SUSPEND:
        suspend(a, info);
        break;
    case SIGNAL_CONTINUE:
        if (a->supervisor) {
            supervisor_continue(a->supervisor);
        }
        pass_on(a, info);
        break;
    case SIGNAL_REAP:
        reap(a);
        break;
    case SIGNAL_LIMIT:
        limit(a, info);
        break;
    case SIGNAL_LEAVE: /* never blocked, never read */
        break;
    }
}
