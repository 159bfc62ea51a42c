/*
 * Between fork and exec: descriptors, limits and identity for the child. Async-signal-safe calls
 * only; nothing is allocated. Each returns 0, or -1 with errno, as the calls it makes.
 *
 * The order matters and is spawn.c's: descriptors first (the pipe to the parent may have to move),
 * limits while we may still raise them, identity last; PR_SET_PDEATHSIG after it, for the kernel
 * clears that with the uid.
 */
#ifndef SUPERVISOR_HANDOVER_H
#define SUPERVISOR_HANDOVER_H

#include "supervisor/supervisor.h"

/*
 * All of gifts->fds under their numbers, not close-on-exec; everything else from 3 on closes at
 * exec. *pipe_fd, which must survive until then, may get another number. `bound`: how far the slow
 * way of closing goes.
 */
int handover_descriptors(const struct child_gifts *gifts, int *pipe_fd, int bound);

/* *ret_index: which one was refused. */
int handover_limits(const struct child_gifts *gifts, int *ret_index);

/* Groups, group, user: real, effective and saved. With the raw calls: the C library's would look
 * for other threads, which there are none of after a fork. */
int handover_identity(const struct user *u);

/* `pid` in decimal over the text at `at`, which has room for `room` digits; the rest is cut. */
void handover_pid(char *at, size_t room, pid_t pid);

#endif
