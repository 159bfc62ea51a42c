/*
 * Descriptors: closing once, flags, whole writes, the limit. Opening them is left to whoever knows
 * what for.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/banned.h"

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd < 0)
        return;
    (void)close(
        fd_take(fd)); /* nothing to do about a failure: the number is free on Linux either way */
    errno = saved;
}

void fd_cleanup(int *fd)
{
    fd_close(fd);
}

static int fd_flag(int fd, int get, int set, int flag, bool on)
{
    int old = fcntl(fd, get);
    int wanted;

    if (old < 0)
        return -errno;
    wanted = on ? old | flag : old & ~flag;
    if (wanted != old && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_nonblock(int fd, bool on)
{
    return fd_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
    return fd_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t done = write(fd, at, n);

        if (done > 0) {
            at += done;
            n -= (size_t)done;
        } else if (done == 0) {
            return -EIO; /* never seen; better than spinning on it */
        } else if (errno == EAGAIN) {
            /* Somebody made the description non-blocking: wait, as a blocking one would. */
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};

            if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
                return -errno;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

size_t fd_limit_raise(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
        return 1024; /* cannot fail with valid arguments; the kernel's default is a safe guess */
    if (lim.rlim_cur < lim.rlim_max) {
        struct rlimit more = {.rlim_cur = lim.rlim_max, .rlim_max = lim.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            lim = more;
    }
    return (size_t)lim.rlim_cur;
}
