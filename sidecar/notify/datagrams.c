/*
 * Datagrams to the service manager; what it has no room for waits here.
 */
#include "notify/datagrams.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { PAUSE_MIN_MS = 20, PAUSE_MAX_MS = 1000 };

int datagrams_open(struct datagrams *d, struct loop *loop, const char *path, struct err *err)
{
    size_t length = strlen(path);

    *d = (struct datagrams){.loop = loop, .fd = -1, .at = {.sun_family = AF_UNIX}};
    for (size_t k = 0; k < DATAGRAM_KINDS; k++)
        d->waiting[k].fd = -1;
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(d->at.sun_path)) {
        return err_set(err, -EINVAL,
                       "NOTIFY_SOCKET is %s, must be an absolute path or begin with @, and be "
                       "shorter than %zu bytes",
                       path, sizeof(d->at.sun_path));
    }
    memcpy(d->at.sun_path, path, length);
    if (path[0] == '@')
        d->at.sun_path[0] = '\0'; /* abstract: no file */
    d->at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return d->fd < 0 ? err_set(err, -errno, "cannot create a socket for NOTIFY_SOCKET: %m") : 0;
}

/* false: the manager has no room. What it cannot get at all counts as sent. */
static bool send_one(const struct datagrams *d, const char *text, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)&d->at,
                             .msg_namelen = d->at_len,
                             .msg_iov = &iov,
                             .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    return sendmsg(d->fd, &message, MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

static void forget(struct datagrams *d, size_t kind)
{
    d->waiting[kind].order = 0;
    fd_close(&d->waiting[kind].fd);
}

/* DATAGRAM_KINDS: none waits. */
static size_t oldest(const struct datagrams *d)
{
    size_t ret = DATAGRAM_KINDS;

    for (size_t k = 0; k < DATAGRAM_KINDS; k++) {
        uint64_t order = d->waiting[k].order;

        if (order > 0 && (ret == DATAGRAM_KINDS || order < d->waiting[ret].order))
            ret = k;
    }
    return ret;
}

/* true: none waits any longer */
static bool send_waiting(struct datagrams *d)
{
    for (size_t k; (k = oldest(d)) < DATAGRAM_KINDS; forget(d, k)) {
        if (!send_one(d, d->waiting[k].text, d->waiting[k].fd))
            return false;
    }
    return true;
}

static void on_again(struct timer *t)
{
    struct datagrams *d = t->arg;

    if (send_waiting(d))
        return;
    d->pause_ms = ms_min(2 * d->pause_ms, PAUSE_MAX_MS);
    timer_start(t, d->loop, loop_now_ms(d->loop) + d->pause_ms, on_again, d);
}

static void keep(struct datagrams *d, enum datagram kind, const char *text, int fd)
{
    forget(d, kind);
    /* without a descriptor left for the copy it is lost, as at a manager without a store */
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd >= 0 && copy < 0)
        return;
    d->waiting[kind].order = ++d->newest;
    d->waiting[kind].fd = copy;
    (void)snprintf(d->waiting[kind].text, DATAGRAM_MAX_BYTES, "%s", text);
    if (!d->again.armed) {
        d->pause_ms = PAUSE_MIN_MS;
        timer_start(&d->again, d->loop, loop_now_ms(d->loop) + d->pause_ms, on_again, d);
    }
}

void datagrams_send(struct datagrams *d, enum datagram kind, const char *text, int fd)
{
    bool is_sent = send_waiting(d) && send_one(d, text, fd);

    if (!is_sent && kind < DATAGRAM_KINDS)
        keep(d, kind, text, fd);
}

void datagrams_close(struct datagrams *d)
{
    timer_stop(&d->again);
    (void)send_waiting(d);
    for (size_t k = 0; k < DATAGRAM_KINDS; k++)
        forget(d, k);
    fd_close(&d->fd);
}
