#include "base/cleanup.h"
#include "base/fd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

Test(fd, closes_once_and_keeps_errno)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;

    fd_close(&fd);
    cr_assert_eq(fd, -1);
    cr_assert_not(is_open(number));
    errno = EPIPE;
    fd_close(&fd);
    fd = 100000; /* not open: close fails, errno stays */
    fd_close(&fd);
    cr_assert_eq(errno, EPIPE);
}

static int scoped(bool keep, int *ret_number)
{
    CLEANUP(fd_cleanup) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    *ret_number = fd;
    return keep ? fd_take(&fd) : -1;
}

Test(fd, leaving_a_scope_closes_unless_taken)
{
    int number, kept;

    cr_assert_eq(scoped(false, &number), -1);
    cr_assert_not(is_open(number));
    kept = scoped(true, &number);
    cr_assert_eq(kept, number);
    cr_assert(is_open(kept));
    close(kept);
}

Test(fd, sets_flags)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(fd_set_nonblock(fds[0], true), 0);
    cr_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    cr_assert_eq(fd_set_nonblock(fds[0], false), 0);
    cr_assert_not(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    cr_assert_eq(fd_set_cloexec(fds[0], true), 0);
    cr_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(fd_set_cloexec(-1, true), -EBADF);
    cr_assert_eq(fd_set_nonblock(-1, true), -EBADF);
}

static void *read_all(void *arg)
{
    static char buf[4096];
    size_t *total = arg;
    ssize_t n;
    int fd = (int)*total;

    *total = 0;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        *total += (size_t)n;
    return NULL;
}

Test(fd, writes_all_through_a_small_pipe_that_does_not_block, .timeout = 60)
{
    static char data[1 << 20];
    pthread_t thread;
    size_t total;
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(fd_set_nonblock(fds[1], true), 0);
    total = (size_t)fds[0];
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &total), 0);
    cr_assert_eq(fd_write_all(fds[1], data, sizeof(data)), 0);
    close(fds[1]);
    pthread_join(thread, NULL);
    cr_assert_eq(total, sizeof(data));
    cr_assert_eq(fd_write_all(-1, data, 1), -EBADF);
    cr_assert_eq(fd_write_all(-1, data, 0), 0);
}

Test(fd, raises_its_limit_to_the_hard_one)
{
    struct rlimit lim;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    cr_assert_eq(fd_limit_raise(), lim.rlim_max);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    cr_assert_eq(lim.rlim_cur, lim.rlim_max);
}
