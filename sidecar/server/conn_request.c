/*
 * From received bytes to the handler: the head, the body piece by piece, its end. Reading is
 * conn.c's, parsing is http/'s.
 */
#include "server/conn.h"

#include "base/uninit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

/* ---- the head ---- */

static const struct http_refusal too_large = {
    431, "the request head is larger than the limit (max_head)"};
static const struct http_refusal body_too_large = {
    413, "the request body is larger than the limit (max_body)"};

/* Not all of it yet: is it worth waiting for the rest? */
static bool await_head(struct conn *c, struct slice in)
{
    struct server *s = c->server;
    struct http_refusal why;

    if (http_request_precheck(in.p, in.n, &why) != 0) {
        conn_refuse(c, &why);
        return true;
    }
    if (in.n >= s->cfg.max_head_bytes) {
        conn_refuse(c, &too_large);
        return true;
    }
    if (c->read_eof) {
        conn_close(c);
        return false;
    }
    c->state = CONN_HEAD;
    return false;
}

/* The answer to Expect, when the handler had nothing against the request and the client is really
 * waiting (A section 10.5, design B). */
static void send_continue(struct conn *c)
{
    struct exchange *x = &c->x;
    struct slice interim = SLICE("HTTP/1.1 100 Continue\r\n\r\n");

    if (x->wants_continue && !x->head_begun && !x->is_aborted && !c->in.len)
        conn_send(c, &interim, 1, false);
    x->wants_continue = false;
}

static void begin_exchange(struct conn *c, const struct http_request *r, size_t head_bytes)
{
    struct server *s = c->server;
    struct exchange *x = &c->x;

    c->state = CONN_BUSY;
    s->stats.busy++;
    s->stats.requests_total++;
    exchange_begin(x, c, r);
    if (!exchange_peer_is_loopback(x))
        s->stats.outside_total++;
    buf_consume(&c->in, head_bytes); /* the slices stay valid: nothing is read or moved before
                                        on_request returned */
    s->handler->on_request(s->ctx, x);
    if (x->head == r)
        x->head = NULL;
    send_continue(c);
}

/*
 * Connections share few memos, by their descriptors: one that sends the same head again and again
 * has a fair chance to find it. They are made when the first head comes: until then, and that is
 * while the agent starts, they would be pages to fill with zeros. NULL: no memory, so no memo.
 */
static struct http_request_memo *memo_of(const struct conn *c)
{
    struct server *s = c->server;

    if (!s->memos)
        s->memos = calloc(SERVER_MEMOS, sizeof(*s->memos));
    return s->memos ? &s->memos[(unsigned)c->fd % SERVER_MEMOS] : NULL;
}

/* The head at the front, parsed; NULL: it is not there whole yet, or was refused (*ret_refused). */
static const struct http_request *read_head(struct conn *c, struct slice in, size_t *ret_n,
                                            bool *ret_refused)
{
    struct server *s = c->server;
    struct http_request_memo *memo = memo_of(c);
    const struct http_request *known =
        memo ? http_request_memo_find(memo, in.p, in.n, ret_n) : NULL;
    UNINITIALIZED struct http_lines lines;
    struct http_refusal why;
    size_t n;

    if (known && *ret_n <= s->cfg.max_head_bytes)
        return known;
    n = http_head_end(in.p, in.n, &c->scanned, &lines);
    if (!n) {
        *ret_refused = await_head(c, in);
        return NULL;
    }
    *ret_n = n;
    *ret_refused = true;
    if (n > s->cfg.max_head_bytes) {
        conn_refuse(c, &too_large);
        return NULL;
    }
    if (http_request_parse(in.p, n, &lines, &s->head, &why) != 0) {
        conn_refuse(c, &why);
        return NULL;
    }
    if (memo)
        head_memo_note(&memo->memo, in.p, n);
    return &s->head;
}

bool conn_take_head(struct conn *c)
{
    const struct server *s = c->server;
    struct slice in = buf_bytes(&c->in);
    const struct http_request *r;
    bool is_refused = false;
    size_t n = 0;

    if (!in.n) {
        if (c->read_eof)
            conn_close(c);
        return false;
    }
    r = read_head(c, in, &n, &is_refused);
    if (!r)
        return is_refused;
    c->scanned = 0;
    if (s->cfg.max_body_bytes && r->framing == HTTP_BODY_LENGTH &&
        r->content_length > s->cfg.max_body_bytes) {
        conn_refuse(c, &body_too_large);
        return true;
    }
    begin_exchange(c, r, n);
    return true;
}

/* ---- the body ---- */

/* Offer what is decoded. False when the handler wants no more for now. */
static bool offer(struct conn *c, size_t n)
{
    struct exchange *x = &c->x;
    const struct handler *h = c->server->handler;
    size_t taken = n;

    x->pending_bytes = n; /* exchange_*() called from on_body finds the buffer as it is */
    if (h->on_body && n)
        taken = h->on_body(x, (struct slice){c->in.p + c->in.start, n});
    if (taken > n)
        taken = n;
    buf_consume(&c->in, taken);
    x->pending_bytes = n - taken;
    if (x->pending_bytes) {
        x->is_paused = true;
        return false;
    }
    buf_consume(&c->in, x->pending_skip);
    x->pending_skip = 0;
    return true;
}

/* Decode one piece and offer it. False when there is nothing more to do for now. */
static bool feed_piece(struct conn *c)
{
    struct exchange *x = &c->x;
    struct slice in = buf_bytes(&c->in);
    struct slice data;
    struct http_refusal why;
    long used = http_body_feed(&x->body, in, &data, &why);

    if (used < 0) {
        conn_refuse(c, &why);
        return false;
    }
    if (c->server->cfg.max_body_bytes && x->body.content_bytes > c->server->cfg.max_body_bytes) {
        conn_refuse(c, &body_too_large);
        return false;
    }
    if (!data.n) {
        buf_consume(&c->in, (size_t)used);
        return used > 0;
    }
    buf_consume(&c->in, (size_t)(data.p - in.p)); /* framing in front of it */
    x->pending_skip = (size_t)used - (size_t)(data.p - in.p) - data.n;
    return offer(c, data.n);
}

static bool is_listening(const struct exchange *x)
{
    return x->conn->state == CONN_BUSY && !x->is_finished && !x->is_aborted && !x->is_paused &&
           !x->conn->is_broken;
}

bool conn_feed_body(struct conn *c)
{
    struct exchange *x = &c->x;

    if (x->pending_bytes && is_listening(x) && !offer(c, x->pending_bytes))
        return false;
    while (is_listening(x) && !x->body.done && c->in.len) {
        if (!feed_piece(c))
            break;
    }
    if (is_listening(x) && x->body.done && !x->pending_bytes && !x->end_told) {
        x->end_told = true;
        if (c->server->handler->on_body_end)
            c->server->handler->on_body_end(x);
    }
    return x->is_finished || x->is_aborted || c->is_broken || c->state != CONN_BUSY;
}

/* ---- a body that the answer did not wait for ---- */

bool conn_body_is_here(const struct conn *c)
{
    const struct exchange *x = &c->x;
    struct http_body copy = x->body;
    struct slice rest = buf_bytes(&c->in);
    struct slice data;
    size_t skip = x->pending_bytes + x->pending_skip;

    if (copy.done)
        return true;
    rest.p += skip;
    rest.n -= skip;
    while (rest.n && !copy.done) {
        long used = http_body_feed(&copy, rest, &data, NULL);

        if (used <= 0)
            return false;
        rest.p += used;
        rest.n -= (size_t)used;
    }
    return copy.done;
}

bool conn_skip_body(struct conn *c)
{
    struct exchange *x = &c->x;

    buf_consume(&c->in, x->pending_bytes + x->pending_skip);
    x->pending_bytes = 0;
    x->pending_skip = 0;
    while (!x->body.done && c->in.len) {
        struct slice data;
        long used = http_body_feed(&x->body, buf_bytes(&c->in), &data, NULL);

        if (used <= 0)
            return false;
        buf_consume(&c->in, (size_t)used);
    }
    return x->body.done;
}
