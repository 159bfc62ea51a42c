/*
 * The agent's answer: read into the proxy's one buffer, decoded there, framed anew by the server.
 * Nothing is kept between two reads but a head that came in pieces.
 *
 * An answer that the agent cuts short never ends cleanly for the client (A section 10.6).
 */
#include "base/cleanup.h"
#include "base/uninit.h"
#include "log/log.h"
#include "proxy/dedupe.h"
#include "proxy/headers.h"
#include "proxy/state.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/banned.h"

static const char head_too_large[] = "the head of the agent's answer is too large";

/* ---- the end of an answer ---- */

static void answer_complete(struct pump *u, bool has_extra)
{
    bool is_kept = u->is_reusable && u->is_whole && !has_extra && !u->is_blocked &&
                   !u->is_write_over && u->out_sent == u->out.len;

    pump_wait(u, NULL);
    deadline_stop(&u->proxy->stall_class, &u->stall); /* what waits of the request is dropped */
    u->is_blocked = false;
    u->state = PUMP_DONE;
    if (is_kept)
        upstream_release(u->up);
    else
        upstream_close(u->up); /* an early answer: what is left of the request is nobody's */
    u->up = NULL;
    pump_out_release(u);
    hold_leave_place(u); /* a client that reads slowly keeps nobody else waiting */
    if (u->hook)
        u->hook->on_complete(u);
    else if (u->share)
        share_on_complete(u);
    else
        exchange_finish(u->x);
}

/*
 * Was the request read? On a Unix socket that can be known: a reset means that bytes of it were
 * still waiting to be read, or that the connection was never accepted; the end of file means that
 * all we sent was read (design section 8). On TCP neither is sure.
 */
static const char *lost_sentence(const struct pump *u, int code)
{
    bool is_all_sent = u->is_whole && !u->is_write_over && u->out_sent == u->out.len;

    if (u->in.len > 0)
        return "the agent's answer ended inside its head";
    if (!is_all_sent)
        return "the agent ended the connection before the whole request had reached it, without an "
               "answer";
    if (!upstream_is_unix(u->up))
        return "the agent ended the connection without an answer; the message may have been "
               "handled";
    if (code == 0)
        return "the agent read the request and ended the connection without an answer; the message "
               "may have been handled";
    return "the agent ended the connection before it had read the whole request, without an answer";
}

/* The agent's side is over: code 0, or the -errno of reading. */
static void answer_cut(struct pump *u, int code)
{
    if (u->state == PUMP_SENT) {
        pump_fail(u, u->in.len > 0 ? FAILURE_BAD_RESPONSE : FAILURE_LOST, lost_sentence(u, code));
        return;
    }
    if (code == 0 && http_body_eof(&u->body) == 0) {
        u->is_reusable = false;
        answer_complete(u, false);
        return;
    }
    pump_fail(u, FAILURE_LOST, "the agent ended the connection in the middle of its answer");
}

static void answer_bad(struct pump *u, const struct http_refusal *why)
{
    pump_fail(u, FAILURE_BAD_RESPONSE, why->text);
}

/* ---- the head ---- */

/* How the client sees the end of the body. */
static enum http_framing framing_for_client(const struct http_response *r)
{
    if (r->framing == HTTP_BODY_UNTIL_CLOSE)
        return HTTP_BODY_CHUNKED; /* the server ends it by closing for an HTTP/1.0 client */
    if (r->framing == HTTP_BODY_LENGTH && r->is_event_stream)
        return HTTP_BODY_CHUNKED; /* comments change the length */
    return r->framing;
}

/* False: it could not be given, and that was said. */
static bool give_head(struct pump *u, const struct http_response *r)
{
    struct exchange *x = u->x;

    exchange_head_begin(x, r->status, r->reason);
    for (size_t i = 0; i < r->field_count; i++) {
        if (headers_passes_back(r, &r->fields[i]))
            exchange_head_relay(x, &r->fields[i]);
    }
    if (headers_wants_unbuffered(r))
        exchange_head_relay(x, &headers_unbuffered);
    if (u->proxy->cfg->forward.via)
        exchange_head_relay(x, &headers_via);
    if (u->proxy->is_last || !u->is_whole)
        exchange_set_last(x);
    if (exchange_head_end(x, framing_for_client(r), r->content_length) != 0) {
        pump_fail(u, FAILURE_BAD_RESPONSE, head_too_large);
        return false;
    }
    return true;
}

static void relay_head(struct pump *u, const struct http_response *r)
{
    if (u->share)
        share_on_head(u, r, framing_for_client(r));
    else if (!give_head(u, r))
        return;
    if (r->is_event_stream && r->framing != HTTP_BODY_NONE && u->state == PUMP_RELAYING)
        stream_begin(u, r);
}

static void answer_begin(struct pump *u, const struct http_response *r)
{
    u->state = PUMP_RELAYING;
    u->status = r->status;
    u->is_reusable = r->is_reusable;
    http_body_begin(&u->body, r->framing, r->content_length);
    if (u->hook && u->hook->on_head(u, r))
        return;
    if (u->is_whole && u->out_sent == u->out.len)
        pump_out_release(u);
    /* Streams may be silent for as long as they like; other answers must go on. */
    pump_wait(u, &u->proxy->response_class);
    relay_head(u, r);
}

/* 1xx: handed on (RFC 9110 section 15.2), but not without end. False: the agent is broken. */
static bool answer_interim(struct pump *u, const struct http_response *r)
{
    if (++u->interim_count > PUMP_INTERIM_MAX) {
        pump_fail(u, FAILURE_BAD_RESPONSE, "the agent sent too many 1xx answers");
        return false;
    }
    if (u->share)
        share_on_interim(u, r);
    else if (!u->card)
        exchange_interim(u->x, r->status, r->fields, r->field_count);
    return true;
}

/* The head at the front of the bytes, parsed; NULL: not there whole yet, or bad, and that was said.
 */
static const struct http_response *read_head(struct pump *u, struct slice in, size_t *ret_n)
{
    struct proxy *p = u->proxy;
    const struct http_response *known =
        u->to_head ? NULL : http_response_memo_find(&p->memo, in.p, in.n, ret_n);
    UNINITIALIZED struct http_lines lines;
    struct http_refusal why = {0};

    if (known && *ret_n <= (size_t)p->cfg->listen.max_head)
        return known;
    *ret_n = http_head_end(in.p, in.n, &u->scanned, &lines);
    if (*ret_n == 0)
        return NULL;
    if (*ret_n > (size_t)p->cfg->listen.max_head) {
        pump_fail(u, FAILURE_BAD_RESPONSE, head_too_large);
        return NULL;
    }
    if (http_response_parse(in.p, *ret_n, &lines, u->to_head, &p->response, &why) != 0) {
        answer_bad(u, &why);
        return NULL;
    }
    if (!u->to_head)
        head_memo_note(&p->memo.memo, in.p, *ret_n);
    return &p->response;
}

/*
 * Heads at the front of the bytes, until the final one. Returns how many bytes they took; what is
 * left belongs to the body, or to a head that is not complete (state PUMP_SENT).
 */
static size_t take_heads(struct pump *u, const char *bytes, size_t n)
{
    size_t used = 0;

    while (u->state == PUMP_SENT && u->up) {
        size_t head = 0;
        const struct http_response *r = read_head(u, (struct slice){bytes + used, n - used}, &head);

        if (!r)
            break;
        u->scanned = 0;
        used += head;
        if (r->status >= 200)
            answer_begin(u, r);
        else if (!answer_interim(u, r))
            break;
    }
    return used;
}

/* ---- the body ---- */

/* The client is slow: the server watches over that, the agent is not to blame. */
static void answer_pause(struct pump *u)
{
    u->is_paused = true;
    if (!u->is_stream)
        pump_wait(u, NULL);
    upstream_watch(u->up, u->is_blocked ? WATCH_WRITE : 0);
}

static void deliver(struct pump *u, struct slice content)
{
    bool goes_on = true;

    if (content.n == 0)
        return;
    if (u->hook) {
        u->hook->on_body(u, content);
        return;
    }
    if (u->is_stream)
        stream_follow(u, content);
    if (u->wait_class)
        pump_wait(u, u->wait_class); /* from now */
    if (u->share) {
        goes_on = share_on_body(u, content);
        content.n = 0;
    }
    while (content.n > 0) {
        size_t n = content.n < EXCHANGE_WRITE_MAX ? content.n : EXCHANGE_WRITE_MAX;

        goes_on = exchange_body(u->x, (struct slice){content.p, n});
        content.p += n;
        content.n -= n;
    }
    if (!goes_on && !u->body.done && u->up)
        answer_pause(u);
}

/*
 * Decode in place: the content of all chunks moves together at the front of the buffer, so that one
 * read from the agent becomes one write to the client.
 */
static void take_body(struct pump *u, char *bytes, size_t n)
{
    struct slice rest = {bytes, n};
    struct http_refusal why = {0};
    char *content = NULL;
    size_t have = 0;
    long used = 0;

    while (rest.n > 0 && !u->body.done) {
        struct slice data;

        used = http_body_feed(&u->body, rest, &data, &why);
        if (used <= 0)
            break;
        if (data.n > 0) {
            char *from = bytes + (data.p - bytes);

            if (!content)
                content = from;
            else if (content + have != from)
                memmove(content + have, from, data.n);
            have += data.n;
        }
        rest.p += used;
        rest.n -= (size_t)used;
    }
    deliver(u, (struct slice){content, have});
    stream_tell(u);
    if (u->state != PUMP_RELAYING || !u->up)
        return;
    if (used < 0)
        answer_bad(u, &why);
    else if (u->body.done)
        answer_complete(u, rest.n > 0);
}

/* The beginning of a head waits in a block of its own for the rest. */
static void keep_piece(struct pump *u, struct slice piece)
{
    if (buf_borrow(&u->in, &u->proxy->blocks) != 0)
        pump_fail(u, FAILURE_OVERLOADED, NULL);
    else if (buf_put(&u->in, piece.p, piece.n) < piece.n)
        pump_fail(u, FAILURE_BAD_RESPONSE, head_too_large);
}

/* More of it. The block goes with the head's end. */
static void take_pieces(struct pump *u, char *bytes, size_t n)
{
    struct proxy *p = u->proxy;
    size_t fitted = buf_put(&u->in, bytes, n);
    size_t used = take_heads(u, u->in.p + u->in.start, u->in.len);
    struct buf block;

    if (!u->up || !u->in.p)
        return; /* failed, or asked again: the block is gone */
    buf_consume(&u->in, used);
    if (u->state == PUMP_SENT) {
        if (u->in.len >= (size_t)p->cfg->listen.max_head)
            pump_fail(u, FAILURE_BAD_RESPONSE, head_too_large);
        return;
    }
    block = u->in; /* u may be done before its bytes are */
    u->in = (struct buf){0};
    take_body(u, block.p + block.start, block.len);
    buf_return(&block, &p->blocks);
    if (u->state == PUMP_RELAYING && u->up && fitted < n)
        take_body(u, bytes + fitted, n - fitted);
}

/* A read: usually the whole head and the whole body, or a part of the body. */
static void answer_take(struct pump *u, char *bytes, size_t n)
{
    size_t used = 0;

    if (u->in.p) {
        take_pieces(u, bytes, n);
        return;
    }
    if (u->state == PUMP_SENT)
        used = take_heads(u, bytes, n);
    if (!u->up)
        return;
    if (u->state == PUMP_RELAYING)
        take_body(u, bytes + used, n - used);
    else if (u->state == PUMP_SENT && used < n)
        keep_piece(u, (struct slice){bytes + used, n - used});
}

void answer_read(struct pump *u)
{
    struct proxy *p = u->proxy;

    for (int i = 0; i < PUMP_READS_PER_EVENT; i++) {
        ssize_t n;

        do {
            n = recv(upstream_fd(u->up), p->read_buf, PUMP_READ_BYTES, 0);
        } while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            answer_cut(u, n < 0 ? -errno : 0);
            return;
        }
        answer_take(u, p->read_buf, (size_t)n);
        if (!u->up || u->is_paused || (size_t)n < PUMP_READ_BYTES)
            return; /* over, or full, or drained: the next event tells */
    }
}

void pump_ready(void *user, int events)
{
    struct pump *u = user;

    if (events & WATCH_WRITE)
        pump_flush(u);
    if ((events & WATCH_READ) && u->up && !u->is_paused && u->state >= PUMP_SENT)
        answer_read(u);
}

void pump_drained(struct pump *u)
{
    if (!u->is_paused)
        return;
    u->is_paused = false;
    if (!u->up)
        return;
    if (!u->is_stream)
        pump_wait(u, &u->proxy->response_class);
    upstream_watch(u->up, WATCH_READ | (u->is_blocked ? WATCH_WRITE : 0));
}

void answer_comment(struct pump *u)
{
    if (!u->is_paused && sse_is_boundary(&u->sse) && u->state == PUMP_RELAYING) {
        u->proxy->stats.keepalive_comments_total++;
        bool goes_on = u->share ? share_on_body(u, SLICE(SSE_KEEPALIVE))
                                : exchange_body(u->x, SLICE(SSE_KEEPALIVE));

        if (!u->up)
            return;
        if (!goes_on)
            answer_pause(u);
    }
    pump_wait(u, &u->proxy->comment_class);
}
