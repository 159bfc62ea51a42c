/*
 * File descriptors: -1 when empty, closed exactly once, close-on-exec and non-blocking from birth.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Close *fd when it is >= 0 and set it to -1. Never retried on EINTR: on Linux the number is
 * already free. errno is kept.
 */
void fd_close(int *fd);

/* For CLEANUP(fd_cleanup) int fd = -1; */
void fd_cleanup(int *fd);

/* The descriptor in *fd, which becomes -1. */
static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

int fd_set_nonblock(int fd, bool on); /* 0 or -errno */
int fd_set_cloexec(int fd, bool on);  /* 0 or -errno */

/* Write all of p, retrying EINTR; for blocking descriptors and small files. 0 or -errno. */
int fd_write_all(int fd, const void *p, size_t n);

/*
 * How many descriptors this process may have (soft limit), after trying to raise it to the hard
 * one.
 */
size_t fd_limit_raise(void);

#endif
