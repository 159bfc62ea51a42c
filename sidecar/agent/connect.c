/*
 * Connects without blocking and closes again.
 */
#include "agent/connect.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void connect_second_address(const struct endpoint *at, struct sockaddr_storage *ret, socklen_t *n)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(at->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &six, sizeof(six));
    *n = sizeof(six);
}

static void address_of(const struct connect_try *t, struct sockaddr_storage *sa, socklen_t *n)
{
    *sa = t->at->sa;
    *n = t->at->sa_len;
    if (t->first_errno) {
        connect_second_address(t->at, sa, n);
    }
}

void connect_try_stop(struct connect_try *t)
{
    if (!t->is_active) {
        return;
    }
    t->is_active = false;
    watch_stop(&t->watch);
    timer_stop(&t->deadline);
    fd_close(&t->fd);
}

/* 0, an errno, or -1: under way. */
static int begin(struct connect_try *t)
{
    struct sockaddr_storage sa;
    socklen_t n;

    address_of(t, &sa, &n);
    fd_close(&t->fd);
    t->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0) {
        return errno;
    }
    if (connect(t->fd, (const struct sockaddr *)&sa, n) == 0) {
        return 0;
    }
    return errno == EINPROGRESS ? -1 : errno;
}

static int try_other(struct connect_try *t, int errnum);

static void finish(struct connect_try *t, int errnum)
{
    connect_try_stop(t);
    t->fn(t->arg, errnum);
}

static void on_writable(struct watch *w, int events)
{
    struct connect_try *t = w->arg;
    int errnum = 0;
    socklen_t n = sizeof(errnum);

    (void)events;
    watch_stop(&t->watch);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0) {
        errnum = errno;
    }
    if (errnum != 0) {
        errnum = try_other(t, errnum);
    }
    if (errnum >= 0) {
        finish(t, errnum);
    }
}

static void on_deadline(struct timer *timer)
{
    finish(timer->arg, ETIMEDOUT);
}

/* 0, an errno, or -1: under way and watched. */
static int follow(struct connect_try *t)
{
    int r = begin(t);

    if (r == -1) {
        int error = watch_start(&t->watch, t->loop, t->fd, WATCH_WRITE, on_writable, t);

        r = error < 0 ? -error : -1;
    }
    return r > 0 ? try_other(t, r) : r;
}

/* An address has failed: "localhost" has another. The errno of the two that tells more. */
static int try_other(struct connect_try *t, int errnum)
{
    if (!t->at->is_localhost) {
        return errnum;
    }
    if (t->first_errno) {
        return endpoint_localhost_errno(t->first_errno, errnum);
    }
    t->first_errno = errnum;
    return follow(t);
}

int connect_try_start(struct connect_try *t, struct loop *l, const struct endpoint *at,
                      int64_t timeout_ms, connect_fn *fn, void *arg)
{
    int r;

    connect_try_stop(t);
    *t = (struct connect_try){
        .loop = l, .at = at, .fd = -1, .is_active = true, .fn = fn, .arg = arg};
    timer_start(&t->deadline, l, loop_now_ms(l) + timeout_ms, on_deadline, t);
    r = follow(t);
    if (r >= 0) {
        connect_try_stop(t);
    }
    return r;
}
