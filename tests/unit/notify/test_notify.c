/* What a service manager receives, with a real datagram socket in its place. */
#include "base/fd.h"
#include "loop/loop.h"
#include "notify/datagrams.h"
#include "notify/notify.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct loop *loop;

static void open_loop(void)
{
    cr_assert_eq(loop_new(&loop, NULL), 0);
}

static void close_loop(void)
{
    loop_free(loop);
}

TestSuite(notify, .init = open_loop, .fini = close_loop, .timeout = 300);

static int manager(bool is_abstract, char *ret_path, size_t cap)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t n;

    (void)snprintf(ret_path, cap, is_abstract ? "@notify-test-%d" : "/tmp/notify-test-%d",
                   (int)getpid());
    memcpy(at.sun_path, ret_path, strlen(ret_path));
    n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(ret_path));
    if (is_abstract)
        at.sun_path[0] = '\0';
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    return fd;
}

static void expect(int fd, const char *want)
{
    char got[512];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

    cr_assert_gt(n, 0, "nothing arrived, wanted %s", want);
    got[n] = '\0';
    cr_assert_str_eq(got, want);
}

static void expect_nothing(int fd)
{
    char byte;

    cr_assert_lt(recv(fd, &byte, 1, 0), 0);
}

static void speaks(bool is_abstract)
{
    char path[64];
    int fd = manager(is_abstract, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "10000000", 1);
    unsetenv("WATCHDOG_PID"); /* of whoever runs the tests */
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    cr_assert(notify_is_on(n));
    cr_assert_eq(notify_watchdog_interval_ms(n), 5000);
    notify_ready(n, "running\nFAKE=1");
    expect(fd, "READY=1\nSTATUS=running\n");
    notify_status(n, "running");
    expect_nothing(fd);
    notify_status(n, "held");
    expect(fd, "STATUS=held\n");
    notify_stopping(n, "draining");
    expect(fd, "STOPPING=1\nSTATUS=draining\n");
    notify_extend(n, 1500);
    expect(fd, "EXTEND_TIMEOUT_USEC=1500000\n");
    notify_watchdog(n);
    expect(fd, "WATCHDOG=1\n");
    notify_free(n);
    close(fd);
    if (!is_abstract)
        unlink(path);
}

Test(notify, speaks_to_a_socket_with_a_path)
{
    speaks(false);
}

Test(notify, speaks_to_an_abstract_socket)
{
    speaks(true);
}

Test(notify, does_nothing_without_a_manager)
{
    struct notify *n = NULL;

    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "10000000", 1);
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    cr_assert_not(notify_is_on(n));
    cr_assert_eq(notify_watchdog_interval_ms(n), 0);
    notify_ready(n, "running");
    notify_free(n);
}

Test(notify, a_manager_that_went_away_is_no_failure)
{
    char path[64];
    int fd = manager(false, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    close(fd);
    unlink(path);
    notify_ready(n, "running");
    notify_watchdog(n);
    notify_free(n);
}

Test(notify, anothers_watchdog_is_not_fed)
{
    char path[64];
    int fd = manager(false, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "10000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    cr_assert_eq(notify_watchdog_interval_ms(n), 0);
    notify_free(n);
    close(fd);
    unlink(path);
}

Test(notify, a_reload_carries_the_clock_of_the_machine)
{
    char path[64];
    int fd = manager(false, path, sizeof(path));
    struct notify *n = NULL;
    struct timespec before, after;
    char got[128] = "";
    unsigned long long us = 0;

    setenv("NOTIFY_SOCKET", path, 1);
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    notify_reloading(n);
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_assert_gt(recv(fd, got, sizeof(got) - 1, 0), 0);
    cr_assert_eq(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%llu\n", &us), 1, "%s", got);
    cr_assert_geq(us, (unsigned long long)before.tv_sec * 1000000);
    cr_assert_leq(us, (unsigned long long)(after.tv_sec + 1) * 1000000);
    notify_free(n);
    close(fd);
    unlink(path);
}

/* One datagram, and the descriptor in it; -1 = none. */
static int receive_fd(int from, char *text, size_t cap)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {text, cap - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = -1;

    cr_assert_gt(n, 0);
    text[n] = '\0';
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(int));
    return fd;
}

static void stores(bool is_abstract)
{
    char path[64], text[128];
    int fd = manager(is_abstract, path, sizeof(path));
    struct notify *n = NULL;
    int pipe_fds[2], copy;
    char byte = 0;

    setenv("NOTIFY_SOCKET", path, 1);
    cr_assert_eq(pipe(pipe_fds), 0);
    cr_assert_eq(notify_new(loop, &n, NULL), 0);
    notify_store_fd(n, "one", pipe_fds[1]);
    copy = receive_fd(fd, text, sizeof(text));
    cr_assert_str_eq(text, "FDSTORE=1\nFDNAME=one\n");
    cr_assert_geq(copy, 0);
    cr_assert_eq(write(copy, "x", 1), 1);
    cr_assert_eq(read(pipe_fds[0], &byte, 1), 1, "it is the same pipe");
    notify_remove_fd(n, "one");
    expect(fd, "FDSTOREREMOVE=1\nFDNAME=one\n");
    close(copy);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    notify_free(n);
    close(fd);
    if (!is_abstract)
        unlink(path);
}

Test(notify, gives_descriptors_to_the_manager)
{
    stores(false);
}

Test(notify, gives_descriptors_to_an_abstract_socket)
{
    stores(true);
}

/* ---- a manager that does not read --------------------------------------------------------------
 */

enum { LOOK_MS = 5 };

static struct {
    int fd;
    char path[64];
    struct notify *n;
    int many;           /* more than its queue has room for */
    unsigned feeds;     /* WATCHDOG=1 that were in its queue */
    char heard[2048];   /* all others, a line for each datagram */
    const char *wanted; /* the last of them */
    struct timer look;
} deaf;

static void open_deaf(void)
{
    char room[16] = "";
    int sysctl = open("/proc/sys/net/unix/max_dgram_qlen", O_RDONLY | O_CLOEXEC);

    cr_assert_gt(read(sysctl, room, sizeof(room) - 1), 0);
    close(sysctl);
    deaf.many = atoi(room) + 10;
    deaf.fd = manager(true, deaf.path, sizeof(deaf.path));
    setenv("NOTIFY_SOCKET", deaf.path, 1);
    cr_assert_eq(notify_new(loop, &deaf.n, NULL), 0);
    for (int i = 0; i < deaf.many; i++) /* none is waited for */
        notify_watchdog(deaf.n);
}

static void close_deaf(void)
{
    notify_free(deaf.n);
    close(deaf.fd);
}

static void read_all(void)
{
    char got[512];

    for (ssize_t n; (n = recv(deaf.fd, got, sizeof(got) - 1, 0)) > 0;) {
        got[n] = '\0';
        if (strcmp(got, "WATCHDOG=1\n") == 0) {
            deaf.feeds++;
            continue;
        }
        for (char *c = got; c < got + n; c++)
            *c = *c == '\n' ? ' ' : *c;
        strncat(deaf.heard, got, sizeof(deaf.heard) - strlen(deaf.heard) - 2);
        strcat(deaf.heard, "\n");
    }
}

static void look(struct timer *t)
{
    read_all();
    if (strstr(deaf.heard, deaf.wanted))
        loop_stop(loop);
    else
        timer_start(t, loop, loop_now_ms(loop) + LOOK_MS, look, NULL);
}

static void read_until(const char *wanted)
{
    deaf.wanted = wanted;
    timer_start(&deaf.look, loop, loop_now_ms(loop) + LOOK_MS, look, NULL);
    loop_run(loop);
}

Test(notify, a_manager_that_does_not_read_gets_the_last_word_of_each_kind_in_order)
{
    open_deaf();
    notify_status(deaf.n, "starting");
    notify_ready(deaf.n, "running");
    notify_errno(deaf.n, 5);
    notify_reloading(deaf.n);
    notify_extend(deaf.n, 1000);
    notify_ready(deaf.n, "reloaded");
    for (int i = 0; i < deaf.many; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "state %d", i);
        notify_status(deaf.n, text);
        notify_watchdog(deaf.n);
    }
    notify_extend(deaf.n, 2000);
    notify_stopping(deaf.n, "draining");
    read_until("STOPPING=1");
    cr_assert_geq(deaf.feeds, 1U, "the queue was full of them");
    cr_assert_lt(deaf.feeds, (unsigned)deaf.many);
    char *reloading = strstr(deaf.heard, "RELOADING=1 MONOTONIC_USEC="), *end;
    cr_assert_not_null(reloading, "%s", deaf.heard);
    cr_assert_not_null(end = strchr(reloading, '\n'));
    char want[256];
    (void)snprintf(want, sizeof(want),
                   "ERRNO=5 \n%.*s\nREADY=1 STATUS=reloaded \nSTATUS=state %d \n"
                   "EXTEND_TIMEOUT_USEC=2000000 \nSTOPPING=1 STATUS=draining \n",
                   (int)(end - reloading), reloading, deaf.many - 1);
    cr_expect_str_eq(deaf.heard, want);
    notify_watchdog(deaf.n); /* and from then on it hears each at once */
    expect(deaf.fd, "WATCHDOG=1\n");
    close_deaf();
}

Test(notify, a_descriptor_waits_for_the_manager_too_and_is_a_copy)
{
    char text[128], byte = 0;
    int pipe_fds[2];

    open_deaf();
    cr_assert_eq(pipe(pipe_fds), 0);
    notify_store_fd(deaf.n, "one", pipe_fds[1]);
    close(pipe_fds[1]);
    read_all();                    /* what was in its queue */
    notify_status(deaf.n, "held"); /* whatever is said next takes it along, before itself */
    int copy = receive_fd(deaf.fd, text, sizeof(text));
    cr_assert_str_eq(text, "FDSTORE=1\nFDNAME=one\n");
    cr_assert_eq(write(copy, "x", 1), 1);
    cr_assert_eq(read(pipe_fds[0], &byte, 1), 1);
    close(copy);
    cr_assert_eq(read(pipe_fds[0], &byte, 1), 0, "no copy of it is left open");
    expect(deaf.fd, "STATUS=held\n");
    close(pipe_fds[0]);
    close_deaf();
}

Test(notify, what_still_waits_at_the_end_is_tried_once_more)
{
    open_deaf();
    notify_stopping(deaf.n, "stopped");
    read_all();
    cr_assert_str_eq(deaf.heard, "", "there was no room for it");
    notify_free(deaf.n);
    read_all();
    cr_assert_str_eq(deaf.heard, "STOPPING=1 STATUS=stopped \n");
    close(deaf.fd);
}

Test(notify, a_manager_that_never_reads_again_holds_nobody_up)
{
    open_deaf();
    notify_stopping(deaf.n, "stopped");
    notify_free(deaf.n);
    close(deaf.fd);
}
