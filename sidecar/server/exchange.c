/*
 * What a handler may do with a request: look at it, take its body, answer it whole or in pieces.
 * Nothing here calls the handler: facts are noted and bytes queued, conn.c draws the conclusions.
 */
#include "server/conn.h"

#include "base/clock.h"
#include "base/endpoint.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

/* ---- begin and end, for conn.c ---- */

void exchange_begin(struct exchange *x, struct conn *c, const struct http_request *r)
{
    static uint64_t
        last_id; /* ids are unique in the process, and the servers of a process share one thread */

    *x = (struct exchange){
        .conn = c,
        .id = ++last_id,
        .head = r,
        .began_ms = loop_now_ms(c->server->loop),
        .given_length = -1,
        .minor = (uint8_t)r->minor,
        .is_head = r->method == HTTP_HEAD,
        .keep_alive = r->keep_alive,
        .wants_continue = r->expect_continue,
    };
    http_body_begin(&x->body, r->framing, r->content_length);
    access_begin(x, r);
}

void exchange_release(struct exchange *x)
{
    collect_free(x->collect);
    x->collect = NULL;
    free(x->kept);
    x->kept = NULL;
    x->head = NULL;
}

/* ---- looking ---- */

void exchange_set_user(struct exchange *x, void *user)
{
    x->user = user;
}

void *exchange_user(const struct exchange *x)
{
    return x->user;
}

void *exchange_ctx(const struct exchange *x)
{
    return x->conn->server->ctx;
}

struct loop *exchange_loop(const struct exchange *x)
{
    return x->conn->server->loop;
}

uint64_t exchange_id(const struct exchange *x)
{
    return x->id;
}

const char *exchange_peer(const struct exchange *x)
{
    return x->conn->peer_text;
}

const struct sockaddr_storage *exchange_peer_sa(const struct exchange *x)
{
    return &x->conn->peer;
}

bool exchange_peer_is_loopback(const struct exchange *x)
{
    return endpoint_is_loopback_sa((const struct sockaddr *)&x->conn->peer);
}

const char *exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

bool exchange_is_tls(const struct exchange *x)
{
    return x->conn->server->cfg.tls != NULL; /* there is no exchange on another connection of it */
}

struct slice exchange_client(const struct exchange *x)
{
    return slice_of(x->conn->tls ? tls_session_client(x->conn->tls) : NULL);
}

int exchange_minor(const struct exchange *x)
{
    return x->minor;
}

bool exchange_is_head(const struct exchange *x)
{
    return x->is_head;
}

const struct http_request *exchange_request(const struct exchange *x)
{
    return x->head;
}

bool exchange_body_seen(const struct exchange *x)
{
    return x->body.done && !x->pending_bytes;
}

bool exchange_head_sent(const struct exchange *x)
{
    return x->head_done;
}

/* ---- keeping the head ---- */

struct kept_head {
    struct http_request request;
    char bytes[];
};

static void rebase(struct slice *s, const char *from, size_t n, const char *to)
{
    if (s->p >= from && s->p <= from + n) /* else a literal of the parser's */
        s->p = to + (s->p - from);
}

/* The span of bytes that the head's slices point into: from the method to the end of the last
 * field, or of the target, which is no part of it when the parser had to invent the path of
 * http://host. */
static struct slice head_span(const struct http_request *r)
{
    const char *from = r->method_text.p;
    const char *end = from + r->method_text.n;
    const char *host_end = r->host.p ? r->host.p + r->host.n : NULL;

    for (size_t i = 0; i < r->field_count; i++) {
        const struct http_field *f = &r->fields[i];

        if (f->name.p + f->name.n > end)
            end = f->name.p + f->name.n;
        if (f->value.p > end && f->value.p + f->value.n > end)
            end = f->value.p + f->value.n;
    }
    if (!r->field_count && host_end)
        end = host_end;
    if (!r->field_count && (!host_end || r->target.p == host_end))
        end = r->target.p + r->target.n;
    return (struct slice){from, (size_t)(end - from)};
}

int exchange_keep_head(struct exchange *x)
{
    const struct http_request *r = x->head;
    struct slice span;
    struct kept_head *k;

    if (x->kept || !r)
        return 0;
    span = head_span(r);
    k = malloc(sizeof(*k) + span.n);
    if (!k)
        return -ENOMEM;
    k->request = *r;
    memcpy(k->bytes, span.p, span.n);
    rebase(&k->request.method_text, span.p, span.n, k->bytes);
    rebase(&k->request.target, span.p, span.n, k->bytes);
    rebase(&k->request.path, span.p, span.n, k->bytes);
    rebase(&k->request.query, span.p, span.n, k->bytes);
    rebase(&k->request.host, span.p, span.n, k->bytes);
    for (size_t i = 0; i < r->field_count; i++) {
        rebase(&k->request.fields[i].name, span.p, span.n, k->bytes);
        rebase(&k->request.fields[i].value, span.p, span.n, k->bytes);
    }
    x->kept = k;
    x->head = &k->request;
    return 0;
}

/* ---- the request's body ---- */

void exchange_resume_body(struct exchange *x)
{
    if (!x->is_paused)
        return;
    x->is_paused = false;
    conn_kick(x->conn);
}

/* ---- the answer's head ---- */

static bool is_over(const struct exchange *x)
{
    return x->is_finished || x->is_aborted || x->conn->is_broken || x->conn->state != CONN_BUSY;
}

void exchange_head_begin(struct exchange *x, int status, struct slice reason)
{
    if (is_over(x) || x->head_begun)
        return;
    if (conn_out_begin(x->conn, &x->conn->writer) != 0) {
        log_warning("server", "no memory for an answer, closing the connection");
        exchange_abort(x);
        return;
    }
    x->head_begun = true;
    x->has_date = false;
    x->given_length = -1;
    x->status = status;
    http_put_status_line(&x->conn->writer, status, reason);
}

static void note_length(struct exchange *x, struct slice value)
{
    x->given_length = 0;
    for (size_t i = 0; i < value.n && i < 18; i++)
        x->given_length = x->given_length * 10 + (value.p[i] - '0');
}

/* Framing and connection fields are ours to decide; a length is remembered for answers that have no
 * body to count. */
static bool take_field(struct exchange *x, struct slice name, struct slice value)
{
    switch (name.n) {
    case 4:
        if (slice_eq_nocase(name, SLICE("date")))
            x->has_date = true;
        return false;
    case 10:
        return slice_eq_nocase(name, SLICE("connection")) ||
               slice_eq_nocase(name, SLICE("keep-alive"));
    case 14:
        if (!slice_eq_nocase(name, SLICE("content-length")))
            return false;
        note_length(x, value);
        return true;
    case 17:
        return slice_eq_nocase(name, SLICE("transfer-encoding"));
    default: /* a name of another length is none of these */
        return false;
    }
}

void exchange_head_field(struct exchange *x, struct slice name, struct slice value)
{
    if (is_over(x) || !x->head_begun || x->head_done || take_field(x, name, value))
        return;
    http_put_field(&x->conn->writer, name, value);
}

void exchange_head_relay(struct exchange *x, const struct http_field *f)
{
    if (is_over(x) || !x->head_begun || x->head_done)
        return;
    switch (f->id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_TRANSFER_ENCODING:
        return;
    case FIELD_CONTENT_LENGTH:
        note_length(x, f->value);
        return;
    case FIELD_DATE:
        x->has_date = true;
        break;
    default: /* the agent's */
        break;
    }
    http_put_clean_field(&x->conn->writer, f->name, f->value);
}

/* RFC 9112 section 6: how the end of this answer will show, to this client. */
static enum http_framing answer_framing(struct exchange *x, enum http_framing wanted)
{
    x->has_body = !x->is_head && x->status != 204 && x->status != 304 && wanted != HTTP_BODY_NONE;
    if (wanted == HTTP_BODY_CHUNKED && x->minor == 0)
        return HTTP_BODY_UNTIL_CLOSE;
    return wanted;
}

static void put_length(struct http_writer *w, int64_t length)
{
    http_put(w, SLICE("Content-Length: "));
    http_put_uint(w, (uint64_t)length);
    http_put(w, SLICE("\r\n"));
}

static void put_framing(struct exchange *x, int64_t length)
{
    struct http_writer *w = &x->conn->writer;

    if (x->status == 204)
        return;
    if (x->framing == HTTP_BODY_LENGTH)
        put_length(w, length);
    else if (x->framing == HTTP_BODY_CHUNKED && x->has_body)
        http_put(w, SLICE("Transfer-Encoding: chunked\r\n"));
    else if (x->framing == HTTP_BODY_NONE && (x->is_head || x->status == 304) &&
             x->given_length >= 0)
        put_length(w, x->given_length);
    else if (x->framing == HTTP_BODY_NONE && !x->is_head && x->status != 304)
        put_length(w, 0);
}

static bool must_close(struct exchange *x)
{
    return x->is_last || x->conn->server->is_last || !x->keep_alive ||
           (x->has_body && x->framing == HTTP_BODY_UNTIL_CLOSE) || !conn_body_is_here(x->conn);
}

int exchange_head_end(struct exchange *x, enum http_framing framing, int64_t length)
{
    struct http_writer *w = &x->conn->writer;

    if (is_over(x) || !x->head_begun || x->head_done)
        return 0;
    x->framing = answer_framing(x, framing);
    x->left = x->framing == HTTP_BODY_LENGTH && x->has_body ? length : 0;
    put_framing(x, length);
    x->is_last = must_close(x);
    if (x->is_last)
        http_put(w, SLICE("Connection: close\r\n"));
    else if (x->minor == 0)
        http_put(w, SLICE("Connection: keep-alive\r\n"));
    if (!x->has_date)
        http_put_clean_field(w, SLICE("Date"), http_date(clock_wall_ms()));
    http_put_end(w);
    if (w->overflow) { /* nothing of it was committed: another head may be begun */
        x->head_begun = false;
        x->status = 0;
        return -E2BIG;
    }
    conn_out_commit(x->conn, w);
    x->head_done = true;
    conn_kick(x->conn); /* nothing is held back for longer than this turn */
    return 0;
}

void exchange_interim(struct exchange *x, int status, const struct http_field *fields,
                      size_t field_count)
{
    struct http_writer w;

    if (is_over(x) || x->head_begun || x->minor == 0)
        return;
    if (conn_out_begin(x->conn, &w) != 0)
        return; /* optional by nature */
    http_put_status_line(&w, status, (struct slice){NULL, 0});
    for (size_t i = 0; i < field_count; i++) {
        if (!fields[i].is_hop)
            http_put_field(&w, fields[i].name, fields[i].value);
    }
    http_put_end(&w);
    if (!w.overflow)
        conn_out_commit(x->conn, &w);
    conn_flush(x->conn);
}

/* ---- the answer's body ---- */

static void send_content(struct exchange *x, struct slice bytes)
{
    char size[HTTP_CHUNK_HEAD_RESERVE];
    struct slice pieces[3];
    int count = 0;

    x->bytes_out += (int64_t)bytes.n;
    if (x->framing == HTTP_BODY_CHUNKED)
        pieces[count++] = (struct slice){size, http_chunk_head(size, bytes.n)};
    pieces[count++] = bytes;
    if (x->framing == HTTP_BODY_CHUNKED)
        pieces[count++] = SLICE("\r\n");
    /* The last bytes of a known length leave now, and so do events: a thousand streams that get one
     * in the same turn would all wait for the last of them. Others may find company. */
    conn_send(x->conn, pieces, count,
              !x->is_stream && (x->framing != HTTP_BODY_LENGTH || x->left > 0));
}

bool exchange_body(struct exchange *x, struct slice bytes)
{
    if (is_over(x) || !x->head_done)
        return false;
    if (!x->has_body || !bytes.n)
        return !x->conn->is_blocked;
    if (x->framing == HTTP_BODY_LENGTH) {
        if ((uint64_t)x->left < bytes.n) /* more than was promised would be the next answer */
            bytes.n = (size_t)x->left;
        x->left -= (int64_t)bytes.n;
    }
    if (bytes.n)
        send_content(x, bytes);
    if (x->conn->is_broken)
        return false;
    x->wants_drained = x->conn->is_blocked;
    return !x->wants_drained;
}

void exchange_flush(struct exchange *x)
{
    if (!is_over(x) && x->head_done && !x->conn->is_blocked)
        conn_flush(x->conn);
}

void exchange_finish(struct exchange *x)
{
    if (is_over(x))
        return;
    if (!x->head_done || x->left > 0) { /* an answer cut short must not look whole */
        exchange_abort(x);
        return;
    }
    if (x->has_body && x->framing == HTTP_BODY_CHUNKED) {
        struct slice end = SLICE("0\r\n\r\n");

        conn_send(x->conn, &end, 1, false);
    } else if (!x->conn->is_blocked) {
        conn_flush(x->conn);
    }
    x->is_finished = true;
    conn_kick(x->conn);
}

void exchange_abort(struct exchange *x)
{
    if (x->is_finished || x->is_aborted || x->conn->state != CONN_BUSY)
        return;
    x->is_aborted = true;
    conn_kick(x->conn);
}

void exchange_hang_up(struct exchange *x)
{
    x->is_hung_up = !x->head_begun;
    exchange_abort(x);
}

/* ---- a whole answer ---- */

void exchange_answer(struct exchange *x, int status, const char *content_type,
                     const struct answer_field *fields, size_t field_count, struct slice body)
{
    if (is_over(x) || x->head_begun)
        return;
    exchange_head_begin(x, status, (struct slice){NULL, 0});
    if (content_type)
        exchange_head_field(x, SLICE("Content-Type"), slice_of(content_type));
    for (size_t i = 0; i < field_count; i++)
        exchange_head_field(x, slice_of(fields[i].name), fields[i].value);
    if (exchange_head_end(x, HTTP_BODY_LENGTH, (int64_t)body.n) != 0) {
        exchange_abort(x);
        return;
    }
    (void)exchange_body(x, body); /* all of it is taken, whatever its size */
    exchange_finish(x);
}

void exchange_answer_json(struct exchange *x, int status, struct slice json)
{
    exchange_answer(x, status, "application/json", NULL, 0, json);
}

/* ---- manner ---- */

void exchange_set_stream(struct exchange *x, bool on)
{
    x->is_stream = on;
    if (on && x->conn->read_eof)
        conn_kick(x->conn);
}

void exchange_set_last(struct exchange *x)
{
    x->is_last = true;
}

void exchange_note(struct exchange *x, const char *outcome)
{
    x->outcome = outcome;
}
