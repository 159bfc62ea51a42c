/*
 * What the agent gets: the request's head and body, as fast as it takes them.
 *
 * Head and body are gathered in one block and leave in one send; pieces of PUMP_DIRECT_BYTES and
 * more are not copied. The block is kept until the answer begins: it holds the request's id for our
 * own errors, and what a Unix socket refused with EPIPE (nothing of it was delivered) can be sent
 * again, once, on a fresh connection. Nothing else is ever sent twice.
 */
#include "http/write.h"
#include "proxy/dedupe.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/banned.h"

/* ---- sent ---- */

void pump_out_release(struct pump *u)
{
    buf_return(&u->out, &u->proxy->blocks);
    u->out_sent = 0;
    u->peek_n = 0;
    u->peek_is_over = true;
}

/* Before the bytes in front are overwritten: the id that is in them. */
static void keep_id(struct pump *u)
{
    struct slice id;

    if (!u->is_json_rpc || u->peek_n == 0)
        return;
    id = error_find_id((struct slice){u->out.p + u->peek_at, u->peek_n});
    memcpy(u->id_copy, id.p ? id.p : "", id.n);
    u->id = (struct slice){u->id_copy, id.n};
    u->peek_n = 0;
    u->peek_is_over = true;
}

/* Bytes of content that fit now; what was sent already makes room. */
static size_t out_room(struct pump *u)
{
    size_t unsent = u->out.len - u->out_sent;

    if (u->out.cap - u->out.len > PUMP_RESERVE + PUMP_DIRECT_BYTES || u->out_sent == 0)
        return u->out.cap - u->out.len > PUMP_RESERVE ? u->out.cap - u->out.len - PUMP_RESERVE : 0;
    keep_id(u);
    memmove(u->out.p, u->out.p + u->out_sent, unsent);
    u->out.len = unsent;
    u->out_sent = 0;
    return u->out.cap - unsent - PUMP_RESERVE;
}

/* Of the request's body: from the client, or from where it was gathered. */
static void ask_for_more(struct pump *u)
{
    if (u->gather)
        gather_feed(u);
    else
        exchange_resume_body(u->x);
}

void pump_write_over(struct pump *u)
{
    u->is_write_over = true;
    u->is_blocked = false;
    deadline_stop(&u->proxy->stall_class, &u->stall);
    if (u->up)
        upstream_watch(u->up, u->is_paused ? 0 : WATCH_READ);
    u->out_sent = u->out.len;
    if (u->client_paused) {
        u->client_paused = false;
        ask_for_more(u);
    }
}

/* A write failed. On a Unix socket EPIPE on the first one means that nothing was delivered. */
static void pump_write_failed(struct pump *u, int code)
{
    if (code == -EPIPE && !u->has_sent && !u->was_retried && u->state == PUMP_SENT &&
        upstream_is_unix(u->up)) {
        u->was_retried = true;
        u->is_blocked = false; /* that was the other connection */
        deadline_stop(&u->proxy->stall_class, &u->stall);
        upstream_close(u->up);
        u->up = NULL;
        pump_take_back(u);
        pump_dispatch(u, true);
        return;
    }
    /* Not yet an error: an early answer may be waiting to be read (A section 10.6). */
    pump_write_over(u);
}

static void set_blocked(struct pump *u, bool on)
{
    if (on)
        deadline_start(&u->proxy->stall_class, &u->stall);
    else if (u->is_blocked)
        deadline_stop(&u->proxy->stall_class, &u->stall);
    if (u->is_blocked != on)
        upstream_watch(u->up, (u->is_paused ? 0 : WATCH_READ) | (on ? WATCH_WRITE : 0));
    u->is_blocked = on;
}

/*
 * What waits in out, and behind it `count` pieces. Returns how many bytes of the pieces have left
 * (0 when the kernel takes no more), or -errno.
 */
static long write_some(struct pump *u, const struct iovec *pieces, int count)
{
    struct iovec iov[4];
    struct msghdr msg = {.msg_iov = iov};
    size_t unsent = u->out.len - u->out_sent;
    size_t total = unsent;
    ssize_t n;

    if (unsent > 0)
        iov[msg.msg_iovlen++] =
            (struct iovec){.iov_base = u->out.p + u->out_sent, .iov_len = unsent};
    for (int i = 0; i < count; i++) {
        iov[msg.msg_iovlen++] = pieces[i];
        total += pieces[i].iov_len;
    }
    do {
        if (msg.msg_iovlen == 1)
            n = send(upstream_fd(u->up), iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
        else
            n = sendmsg(upstream_fd(u->up), &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return -errno;
    if (n < 0)
        n = 0;
    u->has_sent |= n > 0;
    u->out_sent += (size_t)n < unsent ? (size_t)n : unsent;
    if (n > 0 || !u->is_blocked)
        set_blocked(u, (size_t)n < total);
    return (size_t)n < unsent ? 0 : n - (ssize_t)unsent;
}

/* Send what waits; when all of it has left, the client may go on. */
void pump_flush(struct pump *u)
{
    long n;

    if (!u->up || u->state < PUMP_SENT || u->is_write_over)
        return;
    if (u->out.len > u->out_sent) {
        n = write_some(u, NULL, 0);
        if (n < 0) {
            pump_write_failed(u, (int)n);
            return;
        }
        if (u->is_blocked)
            return;
    }
    if (u->state == PUMP_RELAYING && u->is_whole)
        pump_out_release(u);
    if (u->client_paused) {
        u->client_paused = false;
        ask_for_more(u);
    }
}

/* ---- the request's body ---- */

static void out_put(struct pump *u, struct slice bytes)
{
    size_t n = buf_put(&u->out, bytes.p, bytes.n);

    assert(n == bytes.n); /* out_room() was asked */
}

/* Behind what waits, in our framing. Returns how many bytes fitted. */
static size_t body_copy(struct pump *u, struct slice bytes)
{
    char size[HTTP_CHUNK_HEAD_RESERVE];
    size_t room = out_room(u);

    if (bytes.n > room)
        bytes.n = room;
    if (bytes.n == 0)
        return 0;
    if (u->is_chunked)
        out_put(u, (struct slice){size, http_chunk_head(size, bytes.n)});
    if (!u->peek_is_over) {
        if (u->peek_n == 0)
            u->peek_at = u->out.len;
        u->peek_n += bytes.n;
        u->peek_is_over = u->is_chunked || u->peek_n >= ERROR_PEEK_BYTES;
    }
    out_put(u, bytes);
    if (u->is_chunked)
        out_put(u, SLICE("\r\n"));
    return bytes.n;
}

/* Without a copy, as far as the kernel takes it now; the rest is copied. */
static size_t body_direct(struct pump *u, struct slice bytes)
{
    char size[HTTP_CHUNK_HEAD_RESERVE];
    struct iovec pieces[3];
    size_t room = out_room(u);
    int count = 0;
    long left;

    if (bytes.n > room)
        bytes.n = room;
    if (bytes.n == 0)
        return 0;
    if (!u->peek_is_over && u->is_json_rpc && u->peek_n == 0) {
        struct slice id = error_find_id(bytes);

        memcpy(u->id_copy, id.p ? id.p : "", id.n);
        u->id = (struct slice){u->id_copy, id.n};
    }
    keep_id(u);
    u->peek_is_over = true;
    if (u->is_chunked)
        pieces[count++] =
            (struct iovec){.iov_base = size, .iov_len = http_chunk_head(size, bytes.n)};
    pieces[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n};
    if (u->is_chunked)
        pieces[count++] = (struct iovec){.iov_base = (void *)(uintptr_t) "\r\n", .iov_len = 2};
    left = write_some(u, pieces, count);
    if (left < 0 && !u->has_sent) {
        (void)body_copy(u, bytes); /* it may go out again on another connection */
        pump_write_failed(u, (int)left);
        return bytes.n;
    }
    if (left < 0) {
        pump_write_failed(u, (int)left);
        return bytes.n;
    }
    for (int i = 0; i < count; i++) {
        size_t gone = (size_t)left < pieces[i].iov_len ? (size_t)left : pieces[i].iov_len;

        left -= (long)gone;
        out_put(u,
                (struct slice){(const char *)pieces[i].iov_base + gone, pieces[i].iov_len - gone});
    }
    return bytes.n;
}

size_t pump_body(struct pump *u, struct slice bytes)
{
    struct slice rest = bytes;

    if (u->is_whole) /* a request for the card has gone out without its body: what comes of it now
                        would be another request on that connection */
        return bytes.n;
    if (!u->is_write_over && u->state != PUMP_DONE && !u->card && !u->out.p &&
        buf_borrow(&u->out, &u->proxy->blocks) != 0)
        pump_abort(u);
    while (rest.n > 0) {
        size_t n;

        if (u->is_write_over || u->state == PUMP_DONE || u->card)
            return bytes.n; /* nobody wants it any more */
        if (u->state >= PUMP_SENT && !u->is_blocked && rest.n >= PUMP_DIRECT_BYTES) {
            n = body_direct(u, rest);
        } else {
            n = body_copy(u, rest);
            if (u->state >= PUMP_SENT && !u->is_blocked)
                pump_queue(u);
        }
        rest.p += n;
        rest.n -= n;
        if (n == 0) { /* what waits must leave first; pump_flush() asks for more then */
            if (u->state >= PUMP_SENT && !u->is_blocked)
                pump_queue(u);
            break;
        }
    }
    u->client_paused = rest.n > 0;
    if (u->is_peeking)
        extended_peek(u, (struct slice){bytes.p, bytes.n - rest.n}, rest.n > 0);
    return bytes.n - rest.n;
}

void pump_body_end(struct pump *u)
{
    if (u->is_whole || u->card)
        return;
    if (u->is_peeking)
        extended_peek(u, (struct slice){0}, true);
    u->is_whole = true;
    if (u->is_write_over || u->state == PUMP_DONE)
        return;
    if (u->is_chunked && u->out.p)
        out_put(u, SLICE("0\r\n\r\n")); /* PUMP_RESERVE keeps room for it */
    if (u->state < PUMP_SENT)
        return;
    if (u->state == PUMP_SENT && !u->card)
        pump_wait(u, &u->proxy->response_class); /* the agent's time begins now */
    if (!u->is_blocked)
        pump_flush(u);
}
