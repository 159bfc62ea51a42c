/* The agent's NOTIFY_SOCKET: who is heard, what it costs, how it ends. Real datagrams. */
#include "notify/agent_socket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
    struct loop *loop;
    struct agent_socket *socket;
    struct timer guard, tick;
    char dir[32], path[64];
    struct agent_message last;
    unsigned heard, wanted;
};

static void on_guard(struct timer *t)
{
    struct scene *s = t->arg;

    cr_assert_fail("heard %u of %u", s->heard, s->wanted);
}

static void on_message(void *arg, const struct agent_message *m)
{
    struct scene *s = arg;

    s->last = *m;
    if (++s->heard == s->wanted)
        loop_stop(s->loop);
}

static void scene_open(struct scene *s)
{
    struct err err = {0};

    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/notify-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof(s->path), "%s/notify.sock", s->dir);
    cr_assert_eq(loop_new(&s->loop, &err), 0);
    cr_assert_eq(agent_socket_new(s->loop, s->path, on_message, s, &s->socket, &err), 0, "%s",
                 err.msg);
    cr_assert_eq(chmod(s->dir, 0755), 0);
    timer_start(&s->guard, s->loop, loop_now_ms(s->loop) + 60000, on_guard, s);
}

static void scene_close(struct scene *s)
{
    timer_stop(&s->guard);
    agent_socket_free(s->socket);
    cr_expect_lt(access(s->path, F_OK), 0, "it goes with us");
    loop_free(s->loop);
    (void)rmdir(s->dir);
}

static int send_fd(const char *path, const char *text, size_t n, int fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec v = {(char *)(uintptr_t)text, n};
    struct msghdr h = {.msg_name = &at, .msg_namelen = sizeof(at), .msg_iov = &v, .msg_iovlen = 1};
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ssize_t r;

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (fd >= 0) {
        struct cmsghdr *c;

        h.msg_control = &control;
        h.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    r = sendmsg(s, &h, 0);
    close(s);
    return r < 0 ? -errno : 0;
}

static int say(struct scene *s, const char *text)
{
    return send_fd(s->path, text, strlen(text), -1);
}

/* As another user, by a process that is no descendant of this one: its parent has ended. */
static void say_as_stranger(struct scene *s, const char *text)
{
    int ends[2];
    char byte = 0;
    pid_t middle;

    cr_assert_eq(pipe(ends), 0);
    middle = fork();
    if (middle == 0) {
        pid_t parent = getpid();

        if (fork() == 0) {
            while (getppid() == parent)
                (void)poll(NULL, 0, 1);
            if (setresuid(4711, 4711, 4711) == 0 && say(s, text) == 0)
                (void)!write(ends[1], "x", 1);
        }
        _exit(0);
    }
    close(ends[1]);
    cr_assert_eq(waitpid(middle, NULL, 0), middle);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "it could send");
    close(ends[0]);
}

static void wait_heard(struct scene *s, unsigned n)
{
    s->wanted = n;
    if (s->heard < n)
        loop_run(s->loop);
}

Test(agent_socket, the_childs_user_is_heard)
{
    struct scene s = {0};

    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    cr_assert_eq(say(&s, "READY=1\nSTATUS=up\nMAINPID=1"), 0);
    wait_heard(&s, 1);
    cr_expect(s.last.is_ready);
    cr_expect_str_eq(s.last.status, "up");
    cr_expect_eq(agent_socket_stats(s.socket)->dropped_words, 1);
    scene_close(&s);
}

Test(agent_socket, so_is_a_descendant_of_another_user)
{
    struct scene s = {0};
    pid_t pid;
    int wait_status;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    scene_open(&s);
    agent_socket_expect(s.socket, 815);
    pid = fork();
    if (pid == 0) {
        if (setresuid(4711, 4711, 4711) < 0)
            _exit(1);
        if (say(&s, "READY=1") < 0)
            _exit(2);
        (void)pause(); /* it has to be there when it is looked for */
    }
    wait_heard(&s, 1);
    cr_expect(s.last.is_ready);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    scene_close(&s);
}

Test(agent_socket, what_was_said_before_a_start_does_not_count_for_it)
{
    struct scene s = {0};

    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    cr_assert_eq(say(&s, "READY=1"), 0);
    agent_socket_expect_nobody(s.socket);
    agent_socket_expect(s.socket, geteuid());
    cr_assert_eq(say(&s, "STATUS=new"), 0);
    wait_heard(&s, 1);
    cr_expect_not(s.last.is_ready);
    cr_expect_str_eq(s.last.status, "new");
    scene_close(&s);
}

Test(agent_socket, a_stranger_is_counted_and_dropped)
{
    struct scene s = {0};

    if (geteuid() != 0)
        cr_skip_test("needs root");
    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    say_as_stranger(&s, "READY=1");
    cr_assert_eq(say(&s, "STATUS=mine"), 0);
    wait_heard(&s, 1);
    cr_expect_not(s.last.is_ready);
    cr_expect_eq(agent_socket_stats(s.socket)->strangers, 1);
    scene_close(&s);
}

Test(agent_socket, too_long_a_datagram_is_dropped_whole)
{
    struct scene s = {0};
    char text[AGENT_SOCKET_MAX_BYTES + 1];

    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    memset(text, 'x', sizeof(text));
    memcpy(text, "READY=1\n", 8);
    cr_assert_eq(send_fd(s.path, text, sizeof(text), -1), 0);
    cr_assert_eq(say(&s, "STATUS=short"), 0);
    wait_heard(&s, 1);
    cr_expect_not(s.last.is_ready);
    cr_expect_eq(agent_socket_stats(s.socket)->too_long, 1);
    scene_close(&s);
}

/* sd_notify_barrier(3): the other end of a pipe is seen to close when all before was read. */
Test(agent_socket, descriptors_that_come_along_are_closed)
{
    struct scene s = {0};
    int ends[2];
    char byte;

    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(send_fd(s.path, "BARRIER=1", 9, ends[1]), 0);
    close(ends[1]);
    cr_assert_eq(say(&s, "STATUS=after"), 0);
    wait_heard(&s, 2);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};

    cr_expect_eq(poll(&p, 1, 0), 1, "the barrier is open");
    cr_expect_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    scene_close(&s);
}

static void on_tick(struct timer *t)
{
    struct scene *s = t->arg;

    while (say(s, "STATUS=flood") == 0)
        continue;
    timer_start(t, s->loop, loop_now_ms(s->loop) + 1, on_tick, s);
}

Test(agent_socket, a_flood_is_read_at_a_bounded_rate)
{
    struct scene s = {0};
    int64_t begin;

    scene_open(&s);
    agent_socket_expect(s.socket, geteuid());
    begin = loop_now_ms(s.loop);
    timer_start(&s.tick, s.loop, begin, on_tick, &s);
    wait_heard(&s, AGENT_SOCKET_PER_SECOND + 1);
    cr_expect_geq(loop_now_ms(s.loop) - begin, 900, "the next second");
    timer_stop(&s.tick);
    scene_close(&s);
}

Test(agent_socket, a_socket_left_behind_is_replaced_and_another_file_is_not)
{
    struct scene s = {0};
    struct agent_socket *other = NULL;
    struct err err = {0};
    char file[64];
    int fd;

    scene_open(&s);
    cr_assert_eq(agent_socket_new(s.loop, s.path, on_message, &s, &other, &err), 0, "%s", err.msg);
    agent_socket_free(other);
    (void)snprintf(file, sizeof(file), "%s/file", s.dir);
    fd = open(file, O_WRONLY | O_CREAT, 0600);
    close(fd);
    cr_expect_eq(agent_socket_new(s.loop, file, on_message, &s, &other, &err), -EADDRINUSE);
    cr_expect(strstr(err.msg, "cannot make the agent's NOTIFY_SOCKET"), "%s", err.msg);
    cr_expect_eq(access(file, F_OK), 0, "left alone");
    (void)unlink(file);
    scene_close(&s);
}
