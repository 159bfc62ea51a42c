/*
 * Answers that the server makes by itself, because there is no request a handler could answer:
 * malformed, too large, too slow. Each is a small JSON body with a word to branch on and a sentence
 * to read, and the end of the connection.
 */
#include "server/conn.h"

#include "base/clock.h"

#include <stdio.h>

#include "base/banned.h"

enum { REFUSAL_BODY_MAX = 512 };

static const char *refusal_word(int status)
{
    switch (status) {
    case 405:
        return "method_not_allowed";
    case 408:
        return "timeout";
    case 413:
        return "body_too_large";
    case 414:
        return "target_too_long";
    case 417:
        return "expectation_failed";
    case 431:
        return "head_too_large";
    case 501:
        return "not_implemented";
    case 505:
        return "version_not_supported";
    default: /* 400 and what may come */
        return "bad_request";
    }
}

/* The texts are literals of ours without quotes or control characters, but a backtick, so they need
 * no escaping. */
static void put_answer(struct http_writer *w, const struct http_refusal *why, bool with_body)
{
    char body[REFUSAL_BODY_MAX];
    int n = snprintf(body, sizeof(body), "{\"error\":\"%s\",\"message\":\"%s\"}\n",
                     refusal_word(why->status), why->text);
    struct slice bytes = {body, n > 0 && n < REFUSAL_BODY_MAX ? (size_t)n : 0};

    http_put_status_line(w, why->status, (struct slice){NULL, 0});
    http_put_field(w, SLICE("Content-Type"), SLICE("application/json"));
    http_put(w, SLICE("Content-Length: "));
    http_put_uint(w, bytes.n);
    http_put(w, SLICE("\r\n"));
    if (why->status == 405)
        http_put_field(w, SLICE("Allow"), SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    http_put_field(w, SLICE("Connection"), SLICE("close"));
    http_put_field(w, SLICE("Date"), http_date(clock_wall_ms()));
    http_put_end(w);
    if (with_body)
        http_put(w, bytes);
}

/* An open exchange ends as not complete. True when an answer may still be written: none was begun.
 */
static bool end_exchange(struct conn *c, const struct http_refusal *why)
{
    struct exchange *x = &c->x;

    if (c->state != CONN_BUSY)
        return true;
    if (x->head_begun) {
        exchange_abort(x);
        return false;
    }
    x->status = why->status;
    if (!x->outcome)
        x->outcome = refusal_word(why->status);
    conn_fail_exchange(c);
    return true;
}

void conn_refuse(struct conn *c, const struct http_refusal *why)
{
    struct http_writer w;
    bool is_open = c->state == CONN_BUSY;
    bool is_head = is_open ? c->x.is_head : slice_starts_with(buf_bytes(&c->in), SLICE("HEAD "));

    if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
        return;
    c->server->stats.refused_total++;
    if (!end_exchange(c, why))
        return;
    if (!is_open) {
        c->server->stats.by_class[why->status / 100 == 5 ? 5 : 4]++;
        access_refused(c, why);
    }
    if (conn_out_begin(c, &w) == 0) {
        put_answer(&w, why, !is_head);
        conn_out_commit(c, &w);
        conn_flush(c);
    }
    conn_linger(c);
}
