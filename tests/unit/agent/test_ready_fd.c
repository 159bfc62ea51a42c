/* The newline on a descriptor, and all that is none; connecting. */
#include "agent/ready_fd.h"

#include "agent/connect.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct scene {
    struct loop *loop;
    struct ready_fd ready;
    struct timer guard;
    int event; /* -1 = none yet */
};

static void on_guard(struct timer *t)
{
    (void)t;
    cr_assert_fail("nothing came");
}

static void on_event(void *arg, enum ready_fd_event event)
{
    struct scene *s = arg;

    cr_assert_eq(s->event, -1, "once");
    s->event = (int)event;
    loop_stop(s->loop);
}

static void scene_open(struct scene *s)
{
    *s = (struct scene){.event = -1};
    cr_assert_eq(loop_new(&s->loop, NULL), 0);
    cr_assert_eq(ready_fd_open(&s->ready, s->loop, on_event, s), 0);
    timer_start(&s->guard, s->loop, loop_now_ms(s->loop) + 60000, on_guard, s);
}

static void scene_close(struct scene *s)
{
    ready_fd_close(&s->ready);
    timer_stop(&s->guard);
    loop_free(s->loop);
}

/* The child's end after a spawn: a copy, and ours of it is closed. */
static int childs_end(struct scene *s)
{
    int fd = dup(s->ready.childs_end);

    cr_assert_geq(fd, 0);
    ready_fd_spawned(&s->ready);
    return fd;
}

static void write_and_expect(const char *text, size_t n, bool closes, enum ready_fd_event event)
{
    struct scene s;
    int fd;

    scene_open(&s);
    fd = childs_end(&s);
    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    if (closes)
        close(fd);
    loop_run(s.loop);
    cr_expect_eq(s.event, (int)event);
    if (!closes)
        close(fd);
    scene_close(&s);
}

Test(ready_fd, a_newline_is_ready)
{
    write_and_expect("\n", 1, false, READY_FD_SAID);
    write_and_expect("up and running\nmore", 19, true, READY_FD_SAID);
}

Test(ready_fd, an_end_without_a_newline_is_none)
{
    write_and_expect("", 0, true, READY_FD_CLOSED);
    write_and_expect("almost", 6, true, READY_FD_CLOSED);
}

Test(ready_fd, a_line_without_end_is_not_read_for_ever)
{
    static char text[READY_LINE_MAX_BYTES + 1];

    memset(text, 'x', sizeof(text));
    write_and_expect(text, sizeof(text), false, READY_FD_TOO_LONG);
}

Test(ready_fd, another_start_has_a_new_pipe)
{
    struct scene s;
    int old, fd;

    scene_open(&s);
    old = childs_end(&s);
    cr_assert_eq(ready_fd_open(&s.ready, s.loop, on_event, &s), 0);
    fd = childs_end(&s);
    close(old); /* the last child's end: nobody listens to it any more */
    cr_assert_eq(write(fd, "\n", 1), 1);
    loop_run(s.loop);
    cr_expect_eq(s.event, READY_FD_SAID);
    close(fd);
    scene_close(&s);
}

/* ---- connect ---- */

struct attempt {
    struct loop *loop;
    struct connect_try attempt;
    int errnum; /* -1 = none yet */
};

static void on_connect(void *arg, int errnum)
{
    struct attempt *a = arg;

    a->errnum = errnum;
    loop_stop(a->loop);
}

/* The result of one attempt, however it comes. */
static int try_at(const char *text)
{
    struct attempt a = {.errnum = -1};
    struct endpoint at;

    cr_assert_eq(endpoint_parse(slice_of(text), &at, NULL), 0);
    cr_assert_eq(loop_new(&a.loop, NULL), 0);
    a.errnum = connect_try_start(&a.attempt, a.loop, &at, 60000, on_connect, &a);
    if (a.errnum == -1)
        loop_run(a.loop);
    connect_try_stop(&a.attempt);
    loop_free(a.loop);
    return a.errnum;
}

static int take_port(int family, const char *host, char ret_text[64])
{
    struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
    socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port;

    if (family == AF_INET)
        ((struct sockaddr_in *)&sa)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&sa)->sin6_addr = in6addr_loopback;
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        return -1;
    port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port
                                   : ((struct sockaddr_in6 *)&sa)->sin6_port);
    (void)snprintf(ret_text, 64, "http://%s:%u", host, port);
    return fd;
}

static int listen_on(int family, const char *host, char ret_text[64])
{
    int fd = take_port(family, host, ret_text);

    return fd < 0 || listen(fd, 4) < 0 ? -1 : fd;
}

Test(connect_try, who_listens_accepts_and_who_does_not_refuses)
{
    char text[64];
    int fd = take_port(AF_INET, "127.0.0.1", text); /* nobody else's meanwhile */

    cr_assert_geq(fd, 0);
    cr_expect_eq(try_at(text), ECONNREFUSED);
    cr_assert_eq(listen(fd, 4), 0);
    cr_expect_eq(try_at(text), 0);
    close(fd);
    cr_expect_eq(try_at("unix:/tmp/no/such.sock"), ENOENT);
}

Test(connect_try, localhost_is_both_families)
{
    char text[64];
    int fd = listen_on(AF_INET6, "localhost", text);

    if (fd < 0)
        cr_skip_test("no IPv6 here");
    cr_expect_eq(try_at(text), 0);
    close(fd);
}

Test(connect_try, an_attempt_has_a_deadline)
{
    struct attempt a = {.errnum = -1};
    struct endpoint at;
    struct pollfd queue = {.events = POLLIN};
    char text[64];
    int fd = listen_on(AF_INET, "127.0.0.1", text);

    /* A full backlog answers no SYN: fill it. */
    cr_assert_geq(fd, 0);
    cr_assert_eq(listen(fd, 0), 0);
    cr_assert_eq(endpoint_parse(slice_of(text), &at, NULL), 0);
    for (int i = 0; i < 3; i++) {
        int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        (void)connect(c, (struct sockaddr *)&at.sa, at.sa_len); /* stays open until the end */
    }
    queue.fd = fd;
    cr_assert_eq(poll(&queue, 1, 60000), 1, "the kernel may take its time for a handshake");
    cr_assert_eq(loop_new(&a.loop, NULL), 0);
    a.errnum = connect_try_start(&a.attempt, a.loop, &at, 50, on_connect, &a);
    cr_assert_eq(a.errnum, -1);
    loop_run(a.loop);
    cr_expect_eq(a.errnum, ETIMEDOUT);
    loop_free(a.loop);
    close(fd);
}
