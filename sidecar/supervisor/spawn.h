/*
 * fork and exec, with the failure of each step brought home as a sentence.
 *
 * The child gets back what we were started with (signal mask, ignored signals, umask, limits), a
 * process group of its own (or what request.group says), descriptors 0, 1 and 2, what gifts say
 * (handover.h), and nothing else
 * of ours. argv and environment are complete, and the program is found in the PATH of the child's
 * environment, before the fork; between fork and exec there are only async-signal-safe calls (other
 * threads of ours may hold any lock).
 *
 * A script without a #! line is given to /bin/sh (shell_script.h).
 *
 * It does not wait for exec (which may hang on a network file system), unless the request says that
 * it may. The outcome arrives on spawn.fd, a close-on-exec pipe. End of file = the program runs (or
 * was killed on the way there); bytes = a step failed, and the process has ended with 127.
 */
#ifndef SUPERVISOR_SPAWN_H
#define SUPERVISOR_SPAWN_H

#include "base/err.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn_request { /* all borrowed for the call */
    char *const *argv;
    char *const *envp;
    const char *cwd; /* "" = ours */
    bool no_new_privs;
    int cgroup_fd;     /* cgroup.procs of the group it is to be in; 0, -1 = ours (cgroup.h) */
    const int *output; /* [2]: become its stdout and stderr; NULL = ours. Over 2 */
    enum child_group group;
    bool takes_terminal; /* its own group becomes the foreground group of the terminal on stdin */
    bool may_wait; /* until exec: quicker, since nothing of ours is copied. For a time when the loop
                      does not turn yet (with a platform it does: tokens and secrets come first),
                      and no terminal could stop the child on its way */
    const struct process_origin *origin;
    const struct child_gifts *gifts; /* NULL = none */
};

/* The value of LISTEN_PID in envp when the child's own pid shall stand there: written after the
 * fork. */
#define SPAWN_PID_TO_COME "0000000000"

struct spawn { /* zeroed with fd = -1 = none */
    pid_t pid;
    int fd;     /* ours, non-blocking; readable when the outcome is known; -1 = none */
    char *path; /* owned: the program as seen from here, for the sentence */
};

/*
 * 0: forked; ask spawn_outcome() when ret->fd is readable. -errno with a sentence: no process.
 * Release `ret` in both cases.
 */
int spawn_start(const struct spawn_request *rq, struct spawn *ret, struct err *err);

/* 1 the program runs, 0 not known yet, -errno with a sentence: a step failed. */
int spawn_outcome(const struct spawn_request *rq, const struct spawn *sp, struct err *err);

void spawn_release(struct spawn *sp); /* closes fd; the process is not touched */

/* Such a failure (missing, not executable, wrong format, ...) does not heal in a moment. */
bool spawn_failure_is_permanent(int code);

#endif
