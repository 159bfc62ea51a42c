/*
 * One process by a descriptor: however its number is used again, the descriptor means this one.
 */
#ifndef SUPERVISOR_PIDFD_H
#define SUPERVISOR_PIDFD_H

#include <sys/types.h>

/*
 * A descriptor (close-on-exec), the caller's; or negative: -ESRCH there is no such process, -ENOSYS
 * or -EPERM the kernel (before 5.3) or a seccomp filter has none.
 */
int pidfd_of(pid_t pid);
/* signo 0 only asks. 0, -ESRCH (it was reaped), -EPERM (another user's). */
int pidfd_signal(int fd, int signo);

#endif
