/*
 * Whole request streams, pipelined, read by us and by a second parser (other_parser.h): what we
 * accept must be the same messages for both, or somebody behind us could be made to see other
 * requests than we did. Compared are method, target, version, decoded body, and where each message
 * ends, to the byte; and then what we would send to the agent, which must be that one message.
 *
 * We may refuse what the other takes: we are the strict one. It may refuse what we take only for
 * the reasons in may_refuse().
 */
#include "http/body.h"
#include "http/request.h"
#include "http/write.h"
#include "other_parser.h"
#include "proxy/headers.h"
#include "proxy/route.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SENT_EXTRA = 8 * 1024 }; /* what a generated head adds to one that came, and more */

static struct http_request rq;

/* One message of the stream as we read it. */
struct message {
    size_t from, head_end, end; /* offsets */
    char *body;
    size_t body_n;
    bool has_trailers;
};

static void fail(const char *what, const struct message *m, const struct other_stream *o)
{
    fprintf(stderr,
            "message at %zu, head to %zu, end %zu: %s\n"
            "ours:   %.*s %.*s, body %zu\n"
            "other:  %s %.*s, body %zu, %zu complete, error %s\n",
            m->from, m->head_end, m->end, what, (int)rq.method_text.n, rq.method_text.p,
            (int)rq.target.n, rq.target.p, m->body_n, o->method, (int)o->target_n, o->target,
            o->body_n, o->complete, o->error ? o->error : "none");
    abort();
}

/* ---- when the other one may refuse what we take ---- */

static bool is_its_method(struct slice m)
{
    static const char known[] =
        " DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH "
        "SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY "
        "SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK SOURCE ";
    char word[32];

    if (m.n > 16)
        return false;
    (void)snprintf(word, sizeof(word), " %.*s ", (int)m.n, m.p);
    return strstr(known, word) != NULL;
}

/* It notes Transfer-Encoding when these letters are read, and forgets to take that back when the
 * name goes on. */
static bool has_longer_coding(void)
{
    static const struct slice name = SLICE_INIT("transfer-encoding");

    for (size_t i = 0; i < rq.field_count; i++) {
        struct slice begin = rq.fields[i].name;

        if (begin.n > name.n && slice_eq_nocase((struct slice){begin.p, name.n}, name))
            return true;
    }
    return false;
}

static bool may_refuse(const char *error, bool has_trailers)
{
    if (strcmp(error, "HPE_INVALID_METHOD") == 0)
        return !is_its_method(rq.method_text); /* any token is a method (RFC 9110 section 9.1) */
    if (strcmp(error, "HPE_INVALID_TRANSFER_ENCODING") == 0 ||
        strcmp(error, "HPE_UNEXPECTED_CONTENT_LENGTH") == 0)
        return has_longer_coding() || has_trailers;
    /* what a trailer says is nothing to us: it is dropped; the other one believes some of it */
    return has_trailers;
}

/* ---- comparing ---- */

static bool same_target(struct slice ours, struct slice other)
{
    if (slice_eq(ours, other))
        return true;
    if (other.n == 0 || other.p[0] == '/' || other.p[0] == '*')
        return false;
    /* absolute-form, of which we keep the path */
    return slice_ends_with(other, ours) || slice_eq(ours, SLICE("*")) || slice_eq(ours, SLICE("/"));
}

static void compare(const struct message *m, const struct other_stream *o, int minor)
{
    if (!slice_eq(rq.method_text, slice_of(o->method)))
        fail("another method", m, o);
    if (!same_target(rq.target, (struct slice){o->target, o->target_n}))
        fail("another target", m, o);
    if (minor != (o->minor > 0))
        fail("another version", m, o);
    if (o->body_n != m->body_n || memcmp(o->body, m->body, m->body_n) != 0)
        fail("another body", m, o);
}

/* What the agent gets: one message, the same. */
static void compare_sent(const struct message *m)
{
    struct header_context c = {.via = true, .peer = "203.0.113.7"};
    struct route_rules rules = {0};
    struct route route = route_pick(&rules, rq.method, rq.target, rq.path);
    size_t cap = 2 * (m->head_end - m->from) + m->body_n + SENT_EXTRA;
    char size[HTTP_CHUNK_HEAD_RESERVE];
    struct http_writer w = {.p = malloc(cap), .cap = cap};
    struct other_stream o;

    if (!w.p)
        abort();
    if (headers_to_agent(&w, &rq, rq.method_text, &route, &c) == 0) {
        if (rq.framing == HTTP_BODY_CHUNKED && m->body_n > 0)
            http_put(&w, (struct slice){size, http_chunk_head(size, m->body_n)});
        http_put(&w, (struct slice){m->body, m->body_n});
        if (rq.framing == HTTP_BODY_CHUNKED)
            http_put(&w, m->body_n > 0 ? SLICE("\r\n0\r\n\r\n") : SLICE("0\r\n\r\n"));
        other_open(&o, w.len);
        other_feed(&o, w.p, w.len - 1);
        if (o.complete != 0)
            fail("the agent sees its end too early", m, &o);
        other_feed(&o, w.p + w.len - 1, 1);
        if (o.error && !may_refuse(o.error, false))
            fail("the agent cannot read what we send", m, &o);
        if (!o.error && o.complete != 1)
            fail("the agent sees another number of messages", m, &o);
        if (!o.error)
            compare(m, &o, 1); /* whatever the client spoke */
        other_close(&o);
    }
    free(w.p);
}

/* ---- reading ---- */

enum read_result { READ_WHOLE = 0, READ_CUT, READ_REFUSED };

/* rq and m, from in[m->from..n). CUT: the head is good, the body may go on. */
static enum read_result read_message(const char *in, size_t n, struct message *m)
{
    struct http_refusal why = {0};
    struct http_body b;
    size_t scanned = 0;
    size_t head = http_head_end(in + m->from, n - m->from, &scanned, NULL);

    if (head == 0 || http_request_precheck(in + m->from, head, &why) != 0 ||
        http_request_parse(in + m->from, head, NULL, &rq, &why) != 0)
        return READ_REFUSED;
    m->head_end = m->end = m->from + head;
    m->body_n = 0;
    http_body_begin(&b, rq.framing, rq.content_length);
    while (!b.done && m->end < n) {
        struct slice data;
        long used = http_body_feed(&b, (struct slice){in + m->end, n - m->end}, &data, &why);

        if (used < 0)
            return READ_REFUSED;
        memcpy(m->body + m->body_n, data.p, data.n);
        m->body_n += data.n;
        m->end += (size_t)used;
    }
    m->has_trailers = rq.framing == HTTP_BODY_CHUNKED && b.extra_bytes > 0;
    return b.done ? READ_WHOLE : READ_CUT;
}

/* The other one reads the same message; false when it refuses it, and may. */
static bool agrees(const char *in, const struct message *m, struct other_stream *o, bool is_whole)
{
    size_t before = o->complete;

    other_feed(o, in + m->from, m->end - m->from - is_whole);
    if (!o->error && o->complete != before)
        fail("the other one sees its end earlier", m, o);
    if (is_whole)
        other_feed(o, in + m->end - 1, 1);
    if (o->error) {
        if (is_whole && !may_refuse(o->error, m->has_trailers))
            fail("the other one refuses it", m, o);
        return false;
    }
    if (!is_whole)
        return true;
    if (o->complete != before + 1)
        fail("the other one does not see its end", m, o);
    compare(m, o, rq.minor);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message m = {.body = malloc(size + 1)};
    struct other_stream other;
    char *in = malloc(size ? size : 1); /* exact size */

    if (!in || !m.body)
        abort();
    if (size)
        memcpy(in, data, size);
    other_open(&other, size);
    while (m.from < size) {
        enum read_result result = read_message(in, size, &m);

        if (result == READ_REFUSED || !agrees(in, &m, &other, result == READ_WHOLE))
            break;
        if (result == READ_CUT)
            break;
        compare_sent(&m);
        if (!rq.keep_alive)
            break; /* we close: what follows is nobody's */
        m.from = m.end;
    }
    other_close(&other);
    free(m.body);
    free(in);
    return 0;
}
