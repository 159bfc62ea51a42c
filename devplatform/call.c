/*
 * The life of a call: gathering, faults, gates. Its answer is reply.c; what a route does is the
 * handlers' business (handlers.h).
 */
#include "devplatform/call.h"

#include "base/cleanup.h"
#include "devplatform/events.h"
#include "devplatform/handlers.h"
#include "devplatform/routes.h"
#include "devplatform/uploads.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALL_JSON_DEPTH = 128 };

/* ---- reading
 * ---------------------------------------------------------------------------------------------------
 */

const struct http_request *call_request(const struct call *c)
{
    return exchange_request(c->x);
}

struct slice call_header(const struct call *c, const char *name)
{
    return http_request_value(call_request(c), name);
}

struct slice call_bearer(const struct call *c)
{
    struct slice v = call_header(c, "Authorization");

    if (!slice_starts_with(v, SLICE("Bearer "))) /* case-sensitive, as on the server */
        return (struct slice){0};
    return (struct slice){v.p + 7, v.n - 7};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool percent_decode(struct slice in, char *buf, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        char ch = in.p[i];
        if (ch == '+')
            ch = ' ';
        if (ch == '%' && i + 2 < in.n && hex_value(in.p[i + 1]) >= 0 &&
            hex_value(in.p[i + 2]) >= 0) {
            ch = (char)(hex_value(in.p[i + 1]) * 16 + hex_value(in.p[i + 2]));
            i += 2;
        }
        if (n + 1 >= cap)
            return false;
        buf[n++] = ch;
    }
    buf[n] = '\0';
    return true;
}

bool call_query(const struct call *c, const char *name, char *buf, size_t cap)
{
    struct slice rest = call_request(c)->query, pair;

    while (slice_next(&rest, '&', &pair)) {
        const char *equals = memchr(pair.p, '=', pair.n);
        struct slice key = {pair.p, equals ? (size_t)(equals - pair.p) : pair.n};
        if (!slice_eq(key, slice_of(name)))
            continue;
        if (!equals)
            return percent_decode((struct slice){0}, buf, cap);
        return percent_decode((struct slice){equals + 1, pair.n - key.n - 1}, buf, cap);
    }
    return false;
}

/* The first JSON value of the body, as the server reads it; the rest is not looked at. */
static void parse_body(struct call *c)
{
    struct json_tokener *tok;
    size_t n = c->body.len;

    if (n == 0)
        return;
    tok = json_tokener_new_ex(CALL_JSON_DEPTH);
    if (!tok)
        return;
    c->json = json_tokener_parse_ex(tok, c->body.p, (int)n);
    c->json_is_null = !c->json && json_tokener_get_error(tok) == json_tokener_success;
    if (json_tokener_get_error(tok) ==
        json_tokener_continue) { /* a bare number ends only at the end of its text */
        json_object_put(c->json);
        c->json = json_tokener_parse_ex(tok, "\n", 1);
    }
    json_tokener_free(tok);
}

bool call_need_object(struct call *c)
{
    if (json_object_is_type(c->json, json_type_object) && c->json)
        return true;
    call_error(c, 400, "invalid request body");
    return false;
}

void call_log_body(struct call *c, struct json_object *shown)
{
    json_set(&c->logged_body, shown);
}

void call_note(struct call *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->note, sizeof(c->note), fmt, ap);
    va_end(ap);
}

/* ---- the gates
 * -------------------------------------------------------------------------------------------------
 */

static bool gate_rate_limit(struct call *c)
{
    struct slice key = call_header(c, "X-Molecule-Org-Id");
    struct json_object *o;

    if (key.n == 0)
        key = call_bearer(c);
    if (key.n == 0)
        key = slice_of(exchange_peer(c->x));
    c->limit = limiter_take(&c->dp->limiter, key, loop_now_ms(c->dp->loop));
    if (c->limit.is_allowed)
        return true;
    o = json_object_new_object();
    json_object_object_add(o, "error", json_object_new_string("rate limit exceeded"));
    json_object_object_add(o, "retry_after", json_object_new_int64(c->limit.reset_s));
    call_note(c, "rate limit exceeded, %llds left", (long long)c->limit.reset_s);
    call_answer_retry(c, 429, o, c->limit.reset_s);
    return false;
}

/* P section 3.3: the request's own host with either scheme, or one of the web UI's addresses. */
static bool origin_is_allowed(const struct call *c)
{
    struct slice origin = call_header(c, "Origin");
    struct slice host = call_request(c)->host;

    if (origin.n == 0 || slice_eq(origin, SLICE("http://localhost:3000")) ||
        slice_eq(origin, SLICE("http://localhost:3001")))
        return true;
    if (slice_starts_with(origin, SLICE("http://")))
        return slice_eq((struct slice){origin.p + 7, origin.n - 7}, host);
    if (slice_starts_with(origin, SLICE("https://")))
        return slice_eq((struct slice){origin.p + 8, origin.n - 8}, host);
    return false;
}

static bool gate_origin(struct call *c)
{
    if (origin_is_allowed(c))
        return true;
    call_note(c, "Origin is not http(s)://%.*s: empty 403", (int)call_request(c)->host.n,
              call_request(c)->host.p);
    call_answer_text(c, 403, NULL, (struct slice){0});
    return false;
}

static bool gate_org(struct call *c)
{
    static const char *const open[] = {"/health", "/buildinfo", "/metrics", "/registry/register",
                                       "/registry/heartbeat"};
    struct slice path = call_request(c)->path;

    if (!c->dp->options->org_id[0] || slice_starts_with(path, SLICE("/cp/")))
        return true;
    for (size_t i = 0; i < sizeof(open) / sizeof(*open); i++) {
        if (slice_eq(path, slice_of(open[i])))
            return true;
    }
    if (slice_eq(call_header(c, "X-Molecule-Org-Id"), slice_of(c->dp->options->org_id)))
        return true;
    call_note(c, "X-Molecule-Org-Id is missing or another one: empty 404");
    call_answer_text(c, 404, NULL, (struct slice){0});
    return false;
}

static void call_gates(struct call *c)
{
    bool is_tool = slice_starts_with(call_request(c)->path,
                                     SLICE("/dev/")); /* ours: no gate but the Origin rule */

    if (!is_tool && !gate_rate_limit(c))
        return;
    if (!gate_origin(c))
        return;
    if (!is_tool && !gate_org(c))
        return;
    c->route = routes_find(call_request(c), c->params);
    if (!c->route) {
        call_answer_text(c, 404, "text/plain", SLICE("404 page not found"));
        return;
    }
    if (c->body_max == CALL_BODY_MAX)
        parse_body(c);
    c->route->handle(c);
}

/* ---- the steps
 * -------------------------------------------------------------------------------------------------
 */

static void after_delay(struct timer *t)
{
    struct call *c = t->arg;

    if (c->has_fault && !c->fault.after && call_fault_applies(c))
        return;
    call_gates(c);
}

static void call_begin(struct call *c)
{
    const struct http_request *rq = call_request(c);

    if (c->is_begun)
        return;
    c->is_begun = true;
    if (!slice_starts_with(rq->path, SLICE("/dev/")))
        c->has_fault = faults_take(&c->dp->faults, rq->method_text, rq->path, &c->fault);
    if (c->fault.latency_ms > 0)
        timer_start(&c->delay, c->dp->loop, loop_now_ms(c->dp->loop) + c->fault.latency_ms,
                    after_delay, c);
    else {
        c->delay.arg = c;
        after_delay(&c->delay);
    }
}

/* Files may be large, and one byte more tells that they are too large. */
static size_t body_max(const struct http_request *rq)
{
    struct slice params[CALL_PARAMS_MAX];
    const struct route *route = routes_find(rq, params);

    return route && route->handle == handle_upload ? UPLOAD_BODY_MAX + 1 : CALL_BODY_MAX;
}

static void call_on_request(void *ctx, struct exchange *x)
{
    struct devplatform *dp = ctx;
    struct call *c = calloc(1, sizeof(*c));

    if (!c || exchange_keep_head(x) < 0) {
        free(c);
        exchange_answer(x, 503, NULL, NULL, 0, (struct slice){0});
        return;
    }
    c->dp = dp;
    c->x = x;
    c->arrived_ms = loop_now_ms(dp->loop);
    c->body_max = body_max(exchange_request(x));
    exchange_set_user(x, c);
    if (exchange_request(x)->framing == HTTP_BODY_NONE ||
        (exchange_request(x)->framing == HTTP_BODY_LENGTH &&
         exchange_request(x)->content_length == 0))
        call_begin(c);
}

static size_t call_on_body(struct exchange *x, struct slice bytes)
{
    struct call *c = exchange_user(x);
    struct slice part = bytes;

    if (!c)
        return bytes.n;
    if (part.n > c->body_max - c->body.len)
        part.n = c->body_max - c->body.len; /* cut without a word, P section 13.1 */
    str_add(&c->body, part);
    return bytes.n;
}

static void call_on_body_end(struct exchange *x)
{
    struct call *c = exchange_user(x);

    if (c)
        call_begin(c);
}

static void call_on_end(struct exchange *x, bool complete)
{
    struct call *c = exchange_user(x);

    (void)complete; /* the trace was left when the answer was decided */
    if (!c)
        return;
    exchange_set_user(x, NULL);
    timer_stop(&c->delay);
    if (c->dispatch)
        dispatch_forget(c->dispatch);
    upload_forget(c->upload);
    events_forget(c->stream);
    call_forget_held(c);
    free(c->rest);
    str_wipe(&c->body);
    json_object_put(c->json);
    json_object_put(c->logged_body);
    free(c->fault.body);
    free(c);
}

static void call_on_drained(struct exchange *x)
{
    struct call *c = exchange_user(x);

    if (c && c->stream)
        events_on_drained(c->stream);
}

const struct handler call_handler = {
    .on_drained = call_on_drained,
    .on_request = call_on_request,
    .on_body = call_on_body,
    .on_body_end = call_on_body_end,
    .on_end = call_on_end,
};
