/*
 * The two calls; who is meant is the caller's business.
 */
#include "supervisor/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/pidfd.h>

int pidfd_of(pid_t pid)
{
    int fd = pidfd_open(pid, 0);

    return fd < 0 ? -errno : fd;
}

int pidfd_signal(int fd, int signo)
{
    return pidfd_send_signal(fd, signo, NULL, 0) < 0 ? -errno : 0;
}
