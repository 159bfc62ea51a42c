/*
 * Bytes between a connection's buffers and its descriptor. Two functions touch the descriptor,
 * conn_read and conn_write: TLS sits in them. What the bytes mean is nobody's business here.
 */
#include "server/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/banned.h"

enum { PIECES_MAX = 4 };

/* ---- the seam ---- */

static long read_plain(struct conn *c, char *p, size_t n)
{
    ssize_t got;

    do {
        got = recv(c->fd, p, n, 0);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

long conn_read(struct conn *c, char *p, size_t n)
{
    /* What comes after our last word is dropped: nothing to decipher, and no error in it counts. */
    bool is_tls = c->tls && c->state != CONN_LINGER;
    long got = is_tls ? tls_session_read(c->tls, p, n) : read_plain(c, p, n);

    if (got > 0)
        c->server->stats.bytes_in += (uint64_t)got;
    return got;
}

static long write_plain(struct conn *c, const struct iovec *iov, int count)
{
    struct msghdr msg = {0};
    ssize_t put;

    do {
        if (count == 1) {
            put = send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
        } else {
            msg.msg_iov = (struct iovec *)(uintptr_t)iov; /* sendmsg does not write to it */
            msg.msg_iovlen = (size_t)count;
            put = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        }
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
}

long conn_write(struct conn *c, const struct iovec *iov, int count)
{
    long put = c->tls ? tls_session_write(c->tls, iov, count) : write_plain(c, iov, count);

    if (put > 0)
        c->server->stats.bytes_out += (uint64_t)put;
    return put;
}

/* ---- the output buffer ---- */

void conn_out_release(struct conn *c)
{
    if (c->out_is_own)
        buf_free(&c->out);
    else
        buf_return(&c->out, &c->server->out_pool);
    c->out_is_own = false;
}

/* Make room for n more bytes behind what waits: the pool's block, or memory of its own for an
 * answer bigger than that. */
static int out_reserve(struct conn *c, size_t n)
{
    struct buf bigger = {0};
    struct slice old;

    if (!c->out.p && n <= SERVER_OUT_BYTES)
        return buf_borrow(&c->out, &c->server->out_pool);
    if (c->out.p && n <= buf_room(&c->out))
        return 0;
    old = buf_bytes(&c->out);
    if (buf_alloc(&bigger, old.n + n) != 0)
        return -ENOMEM;
    if (old.n)
        (void)buf_put(&bigger, old.p, old.n); /* fits: it was made for it */
    conn_out_release(c);
    c->out = bigger;
    c->out_is_own = true;
    return 0;
}

int conn_out_begin(struct conn *c, struct http_writer *ret)
{
    size_t room;
    char *p;

    if (out_reserve(c, SERVER_ANSWER_HEAD_MAX) != 0)
        return -ENOMEM;
    p = buf_tail(&c->out, &room);
    *ret = (struct http_writer){
        .p = p, .cap = room < SERVER_ANSWER_HEAD_MAX ? room : SERVER_ANSWER_HEAD_MAX};
    return 0;
}

void conn_out_commit(struct conn *c, const struct http_writer *w)
{
    buf_added(&c->out, w->len);
}

/* ---- writing ---- */

/* The kernel takes no more: wait for it, but not for ever. Each byte it takes begins a new wait. */
static void conn_block(struct conn *c)
{
    c->is_blocked = true;
    deadline_start(&c->server->write_class, &c->write_deadline);
    if (!c->is_running) { /* conn_run sets it otherwise */
        int events = c->watch.events | WATCH_WRITE;

        watch_set(&c->watch, c->tls ? tls_session_watches(c->tls, events) : events);
    }
}

static void conn_unblock(struct conn *c)
{
    c->is_blocked = false;
    deadline_stop(&c->server->write_class, &c->write_deadline);
}

static void conn_break(struct conn *c)
{
    c->is_broken = true;
    conn_unblock(c);
    conn_out_release(c);
    conn_kick(c);
}

/* Hand over as much as the kernel takes: what waits in out, then the pieces. Returns how many bytes
 * of all that have left, or -errno. */
static long write_once(struct conn *c, const struct slice *pieces, int count)
{
    struct iovec iov[PIECES_MAX + 1];
    struct slice waiting = buf_bytes(&c->out);
    int n = 0;
    long put;

    assert(count <= PIECES_MAX);
    if (waiting.n)
        iov[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)waiting.p, .iov_len = waiting.n};
    for (int i = 0; i < count; i++) {
        if (pieces[i].n)
            iov[n++] =
                (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].p, .iov_len = pieces[i].n};
    }
    if (!n)
        return 0;
    put = conn_write(c, iov, n);
    return put == -EAGAIN ? 0 : put;
}

/* Keep what is left of the pieces after `skip` bytes of them have left. */
static int keep_rest(struct conn *c, const struct slice *pieces, int count, size_t skip)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += pieces[i].n;
    if (total == skip)
        return 0;
    if (out_reserve(c, total - skip) != 0)
        return -ENOMEM;
    for (int i = 0; i < count; i++) {
        size_t gone = skip < pieces[i].n ? skip : pieces[i].n;

        skip -= gone;
        (void)buf_put(&c->out, pieces[i].p + gone, pieces[i].n - gone); /* fits: reserved above */
    }
    return 0;
}

void conn_send(struct conn *c, const struct slice *pieces, int count, bool may_wait)
{
    size_t waiting = c->out.len;
    size_t total = 0;
    long put = 0;

    if (c->is_broken || c->state == CONN_CLOSED)
        return;
    for (int i = 0; i < count; i++)
        total += pieces[i].n;
    if (c->is_blocked ||
        (may_wait && total <= SERVER_CORK_BYTES && waiting <= SERVER_ANSWER_HEAD_MAX)) {
        if (keep_rest(c, pieces, count, 0) != 0)
            conn_break(c);
        else if (!c->is_blocked)
            conn_kick(c);
        return;
    }
    put = write_once(c, pieces, count);
    if (put < 0) {
        conn_break(c);
        return;
    }
    buf_consume(&c->out, (size_t)put < waiting ? (size_t)put : waiting);
    if (keep_rest(c, pieces, count, (size_t)put > waiting ? (size_t)put - waiting : 0) != 0)
        conn_break(c);
    else if (c->out.len)
        conn_block(c);
    else
        conn_out_release(c);
}

void conn_flush(struct conn *c)
{
    long put;

    if (c->is_blocked && !c->out.len) /* it was conn_send_end() that found no room */
        conn_unblock(c);
    if (c->is_broken || !c->out.len ||
        (c->x.head_begun && !c->x.head_done)) /* a head is being written there */
        return;
    put = write_once(c, NULL, 0);
    if (put < 0) {
        conn_break(c);
        return;
    }
    buf_consume(&c->out, (size_t)put);
    if (!c->out.len) {
        conn_unblock(c);
        conn_out_release(c);
    } else if (put > 0 || !c->is_blocked || (c->tls && tls_session_has_moved(c->tls))) {
        conn_block(c);
    }
}

bool conn_send_end(struct conn *c)
{
    if (!c->tls || tls_session_end(c->tls) != -EAGAIN)
        return true;
    conn_block(c);
    return false;
}
