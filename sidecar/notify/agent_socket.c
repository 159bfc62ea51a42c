/*
 * Receives the agent's datagrams, checks who sent them, and hands on what agent_message.c lets
 * through. What follows from it is app/'s.
 */
#include "notify/agent_socket.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/proc.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { WINDOW_MS = 1000 }; /* of AGENT_SOCKET_PER_SECOND */

struct agent_socket {
    struct loop *loop;
    int fd;
    struct watch watch;
    struct timer pause; /* the rate is used up: nothing is read until then */
    int64_t window_ms;  /* when the current second began */
    unsigned in_window;
    bool is_expected; /* a child is there or about to be */
    uid_t uid;
    bool said_stranger, said_too_long;
    struct agent_socket_stats stats;
    agent_message_fn *fn;
    void *arg;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* One datagram and what came along with it. */
struct parcel {
    char bytes[AGENT_SOCKET_MAX_BYTES];
    ssize_t n;
    bool is_cut;
    bool has_sender;
    struct ucred sender;
    int fds[AGENT_SOCKET_FDS_MAX];
    size_t fd_count;
};

/* ---- who is it ---- */

static bool is_known(const struct agent_socket *s, const struct parcel *p)
{
    return p->has_sender && s->is_expected &&
           (p->sender.uid == s->uid || proc_is_below(p->sender.pid, getpid()));
}

/* ---- one datagram ---- */

static void take_control(struct msghdr *h, struct parcel *p)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET) {
            continue;
        }
        if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(p->sender))) {
            memcpy(&p->sender, CMSG_DATA(c), sizeof(p->sender));
            p->has_sender = true;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            for (size_t i = 0; i < n && p->fd_count < AGENT_SOCKET_FDS_MAX; i++) {
                memcpy(&p->fds[p->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            }
        }
    }
}

/* 0, or -errno: -EAGAIN when there is none. */
static int receive(struct agent_socket *s, struct parcel *p)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) +
                   CMSG_SPACE(AGENT_SOCKET_FDS_MAX * sizeof(int))];
    } control;
    struct iovec v = {p->bytes, sizeof(p->bytes)};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    p->fd_count = 0;
    p->has_sender = false;
    p->n = recvmsg(s->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (p->n < 0) {
        return -errno;
    }
    p->is_cut = (h.msg_flags & MSG_TRUNC) != 0;
    take_control(&h, p);
    return 0;
}

static void say_stranger_once(struct agent_socket *s, const struct parcel *p)
{
    if (!s->said_stranger) {
        s->said_stranger = true;
        log_warning("agent",
                    "pid %d of uid %d writes to the agent's NOTIFY_SOCKET and is neither of its "
                    "user nor of its family, ignoring",
                    (int)p->sender.pid, (int)p->sender.uid);
    }
}

static void take(struct agent_socket *s, const struct parcel *p)
{
    struct agent_message m;

    if (!is_known(s, p)) {
        s->stats.strangers++;
        if (s->is_expected) {
            say_stranger_once(s, p);
        }
        return; /* nor is it counted: strangers must not use up the agent's rate */
    }
    s->in_window++;
    if (p->is_cut) {
        s->stats.too_long++;
        if (!s->said_too_long) {
            s->said_too_long = true;
            log_warning("agent", "sends more than %d bytes with one sd_notify, ignoring",
                        AGENT_SOCKET_MAX_BYTES);
        }
        return;
    }
    s->stats.taken++;
    agent_message_read((struct slice){p->bytes, (size_t)p->n}, &m);
    s->stats.dropped_words += m.dropped;
    s->fn(s->arg, &m);
}

static void close_all(struct parcel *p)
{
    for (size_t i = 0; i < p->fd_count; i++) {
        fd_close(&p->fds[i]);
    }
}

/* ---- the loop ---- */

static void on_pause_over(struct timer *t)
{
    struct agent_socket *s = t->arg;

    watch_set(&s->watch, WATCH_READ);
}

static bool is_rate_used_up(struct agent_socket *s)
{
    int64_t now = loop_now_ms(s->loop);

    if (now - s->window_ms >= WINDOW_MS) {
        s->window_ms = now;
        s->in_window = 0;
    }
    if (s->in_window < AGENT_SOCKET_PER_SECOND) {
        return false;
    }
    watch_set(&s->watch, 0);
    timer_start(&s->pause, s->loop, s->window_ms + WINDOW_MS, on_pause_over, s);
    return true;
}

static void on_readable(struct watch *w, int events)
{
    struct agent_socket *s = w->arg;
    struct parcel p;

    (void)events;
    for (int i = 0; i < AGENT_SOCKET_PER_TURN && !is_rate_used_up(s); i++) {
        if (receive(s, &p) < 0) {
            return; /* EAGAIN, or a descriptor limit: the next wake-up tries again */
        }
        take(s, &p);
        close_all(&p);
    }
}

/* ---- life ---- */

static int bind_to(struct agent_socket *s, const char *path, struct err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int on = 1;
    struct stat st;

    if (strlen(path) >= sizeof(at.sun_path)) {
        return err_set(err, -ENAMETOOLONG,
                       "%s has %zu bytes, the kernel takes at most %zu for a socket: choose a "
                       "shorter directory for control.agent_socket",
                       path, strlen(path), sizeof(at.sun_path) - 1);
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void)unlink(path); /* of a killed predecessor; bind tells if it stays */
    }
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(s->fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
        return err_set(err, -errno, "cannot make the agent's NOTIFY_SOCKET %s: %m", path);
    }
    memcpy(s->path, path, strlen(path) + 1);
    if (chmod(path, 0666) < 0) { /* descendants may be other users; the sender is checked */
        return err_set(err, -errno, "cannot open %s to the agent: %m", path);
    }
    return 0;
}

int agent_socket_new(struct loop *l, const char *path, agent_message_fn *fn, void *arg,
                     struct agent_socket **ret, struct err *err)
{
    struct agent_socket *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->loop = l;
    s->fd = -1;
    s->fn = fn;
    s->arg = arg;
    r = bind_to(s, path, err);
    if (r == 0) {
        r = watch_start(&s->watch, l, s->fd, WATCH_READ, on_readable, s);
        if (r < 0) {
            errno = -r;
            r = err_set(err, r, "cannot watch the agent's NOTIFY_SOCKET: %m");
        }
    }
    if (r < 0) {
        agent_socket_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void agent_socket_free(struct agent_socket *s)
{
    if (!s) {
        return;
    }
    watch_stop(&s->watch);
    timer_stop(&s->pause);
    fd_close(&s->fd);
    if (s->path[0]) {
        (void)unlink(s->path); /* a leftover is replaced by the next one */
    }
    free(s);
}

void agent_socket_expect(struct agent_socket *s, uid_t uid)
{
    struct parcel p;

    /* The last child's words must not count for the next one. */
    for (int i = 0; i < AGENT_SOCKET_QUEUE_MAX && receive(s, &p) == 0; i++) {
        close_all(&p);
    }
    s->is_expected = true;
    s->uid = uid;
}

void agent_socket_expect_nobody(struct agent_socket *s)
{
    s->is_expected = false;
}

const char *agent_socket_path(const struct agent_socket *s)
{
    return s->path;
}

const struct agent_socket_stats *agent_socket_stats(const struct agent_socket *s)
{
    return &s->stats;
}
