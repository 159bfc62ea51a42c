/*
 * Accepting: in batches, up to the cap, and not at all for a moment when descriptors run out. At
 * the cap those who say nothing yield to those who wait. Who may connect to a Unix socket is
 * decided here.
 */
#include "server/conn.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "log/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

static void listener_watch(struct server *s, bool on)
{
    s->accept_is_off = !on;
    watch_set(&s->listen_watch, on ? WATCH_READ : 0);
}

static void on_accept_timer(struct timer *t)
{
    listener_watch(t->arg, true);
}

/* Out of descriptors or memory: others will give some back; the waiting client stays in the
 * kernel's queue. */
static void listener_pause(struct server *s, int code)
{
    if (!s->accept_is_starved) {
        log_warning(s->cfg.name,
                    "cannot accept connections for now: %s; trying again (raise the limit of open "
                    "files if this goes on)",
                    strerror(-code));
    }
    s->accept_is_starved = true;
    s->stats.accept_paused_total++;
    listener_watch(s, false);
    timer_start(&s->accept_timer, s->loop, loop_now_ms(s->loop) + SERVER_ACCEPT_RETRY_MS,
                on_accept_timer, s);
}

/* ---- who may connect ---- */

static bool uid_is_allowed(const struct server *s, uid_t uid)
{
    for (size_t i = 0; i < s->cfg.allow_uid_count; i++) {
        if (s->cfg.allow_uids[i] == uid)
            return true;
    }
    return false;
}

static bool peer_is_allowed(struct server *s, int fd)
{
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof(who);

    if (s->at.kind != ENDPOINT_UNIX || !s->cfg.allow_uids)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && uid_is_allowed(s, who.uid))
        return true;
    if (!s->uid_was_refused || s->refused_uid != who.uid) /* once, not once per attempt */
        log_warning(s->cfg.name,
                    "refused a connection to %s from uid %u, which is not among the allowed ones",
                    s->at.text, (unsigned)who.uid);
    s->uid_was_refused = true;
    s->refused_uid = who.uid;
    return false;
}

/* ---- accepting ---- */

static bool is_transient(int code)
{
    switch (code) {
    case -ECONNABORTED: /* the client has gone again; the others are network errors that Linux
                           reports here */
    case -EINTR:
    case -EPROTO:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENOPROTOOPT:
    case -ENONET:
    case -EOPNOTSUPP:
    case -EPERM: /* a firewall rule */
        return true;
    default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM */
        return false;
    }
}

/* One connection. False when there is none, or when accepting has to stop. */
static bool accept_one(struct server *s)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    CLEANUP(fd_cleanup)
    int fd = accept4(s->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        int code = -errno;

        if (code != -EAGAIN && !is_transient(code))
            listener_pause(s, code);
        return is_transient(code);
    }
    s->accept_is_starved = false;
    if (!peer_is_allowed(s, fd))
        return true;
    if (conn_open(s, fd, &peer, len) < 0) {
        listener_pause(s, -ENOMEM);
        return false;
    }
    (void)fd_take(&fd);
    return true;
}

/* The one of a class that is silent for the longest time, if that is long enough. */
static bool close_silent(struct server *s, struct deadline_class *class, int64_t silent_ms)
{
    struct list *first = list_first(&class->waiting); /* in order of their start */
    struct deadline *d;
    struct conn *c;
    char byte;

    if (!first)
        return false;
    d = container_of(first, struct deadline, node);
    c = container_of(d, struct conn, deadline);
    if (loop_now_ms(s->loop) - (d->at_ms - class->duration_ms) < silent_ms)
        return false;
    if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 && !c->in.len)
        return false; /* it has just begun to speak */
    conn_close(c);
    return true;
}

/* Full, and somebody waits. Else whoever opens all the connections there may be, and sends nothing
 * on them, would keep out a probe, and a pod whose probes fail is killed. A client that wants
 * something has sent its head when we see it, or soon after. */
static void listener_full(struct server *s)
{
    s->stats.accept_paused_total++;
    listener_watch(s, false); /* until the end of this turn when one of them yields */
    if (!close_silent(s, &s->idle_class, SERVER_YIELD_MS) &&
        !close_silent(s, &s->head_class, SERVER_YIELD_HEAD_MS))
        timer_start(&s->accept_timer, s->loop, loop_now_ms(s->loop) + SERVER_ACCEPT_RETRY_MS,
                    on_accept_timer, s);
}

static void listener_on_accept(struct watch *w, int events)
{
    struct server *s = w->arg;

    (void)events;
    for (int i = 0; i < SERVER_ACCEPT_BATCH; i++) {
        if (s->stats.connections >= s->cfg.max_connections) {
            listener_full(s);
            return;
        }
        if (!accept_one(s))
            return;
    }
}

void listener_on_room(struct server *s)
{
    if (!s->accept_is_off || s->stats.connections >= s->cfg.max_connections ||
        (s->accept_timer.armed && s->accept_is_starved))
        return;
    timer_stop(&s->accept_timer);
    listener_watch(s, true);
}

int listener_start(struct server *s, struct err *err)
{
    int rc = listen_socket_open(s, err);

    if (rc < 0)
        return rc;
    rc = watch_start(&s->listen_watch, s->loop, s->listen_fd, WATCH_READ, listener_on_accept, s);
    if (rc < 0) {
        listen_socket_close(s);
        errno = -rc;
        return err_set(err, rc, "cannot watch the socket of %s: %m", s->at.text);
    }
    return 0;
}

void listener_stop(struct server *s)
{
    timer_stop(&s->accept_timer);
    watch_stop(&s->listen_watch);
    s->accept_is_off = false;
    listen_socket_close(s);
}
