/*
 * The life of a call: gathering, faults, gates, the answer and its trace. What a route does is the
 * handlers' business (handlers.h).
 */
#include "devplatform/call.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "devplatform/handlers.h"
#include "devplatform/routes.h"
#include "devplatform/uploads.h"
#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALL_JSON_DEPTH = 128, CALL_FIELDS_MAX = 10, CALL_NUMBER_MAX = 24 };

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

/* ---- the answer
 * ------------------------------------------------------------------------------------------------
 */

/* One entry in the log, one line of story. `status` 0: no answer was given. */
static void leave_trace(struct call *c, int status, const char *instead)
{
    const struct http_request *rq = call_request(c);
    struct json_object *entry;
    char mask[16], time[CLOCK_TEXT_MAX];
    struct slice ws = call_header(c, "X-Workspace-ID");
    struct slice org = call_header(c, "X-Molecule-Org-Id");
    struct slice origin = call_header(c, "Origin");
    struct slice agent = call_header(c, "User-Agent");

    if (c->route && c->route->is_untraced)
        return;
    token_mask(call_bearer(c), mask);
    entry = json_object_new_object();
    clock_wall_text(clock_wall_ms(), time);
    json_object_object_add(entry, "at", json_object_new_string(time));
    json_object_object_add(entry, "at_ms", json_object_new_int64(c->arrived_ms));
    json_object_object_add(entry, "method",
                           json_object_new_string_len(rq->method_text.p, (int)rq->method_text.n));
    json_object_object_add(entry, "path", json_object_new_string_len(rq->path.p, (int)rq->path.n));
    json_object_object_add(
        entry, "query",
        json_object_new_string_len(rq->query.p ? rq->query.p : "", (int)rq->query.n));
    json_object_object_add(entry, "status", json_object_new_int(status));
    json_object_object_add(entry, "fault", instead ? json_object_new_string(instead) : NULL);
    json_object_object_add(entry, "took_ms",
                           json_object_new_int64(loop_now_ms(c->dp->loop) - c->arrived_ms));
    json_object_object_add(entry, "token", json_object_new_string(mask));
    json_object_object_add(entry, "workspace_header",
                           json_object_new_string_len(ws.p ? ws.p : "", (int)ws.n));
    json_object_object_add(entry, "org",
                           json_object_new_string_len(org.p ? org.p : "", (int)org.n));
    json_object_object_add(entry, "origin",
                           json_object_new_string_len(origin.p ? origin.p : "", (int)origin.n));
    json_object_object_add(entry, "user_agent",
                           json_object_new_string_len(agent.p ? agent.p : "", (int)agent.n));
    json_object_object_add(entry, "note", json_object_new_string(c->note));
    if (c->logged_body)
        json_object_object_add(entry, "body", json_object_get(c->logged_body));
    devlog_add(&c->dp->log, entry);
    if (instead)
        devlog_say(&c->dp->log, "%-6.*s %.*s -> %s (fault)", (int)rq->method_text.n,
                   rq->method_text.p, (int)rq->path.n, rq->path.p, instead);
    else
        devlog_say(&c->dp->log, "%-6.*s %.*s -> %d%s%s", (int)rq->method_text.n, rq->method_text.p,
                   (int)rq->path.n, rq->path.p, status, c->note[0] ? "  " : "", c->note);
}

static void send_answer(struct call *c, int status, const char *content_type, struct slice body,
                        int64_t retry_after_s)
{
    struct answer_field fields[CALL_FIELDS_MAX];
    char limit[CALL_NUMBER_MAX], remaining[CALL_NUMBER_MAX], reset[CALL_NUMBER_MAX],
        retry[CALL_NUMBER_MAX];
    struct slice origin = call_header(c, "Origin");
    size_t n = 0;

    if (c->limit.limit > 0) {
        snprintf(limit, sizeof(limit), "%lld", (long long)c->limit.limit);
        snprintf(remaining, sizeof(remaining), "%lld", (long long)c->limit.remaining);
    } else {
        snprintf(limit, sizeof(limit), "unlimited");
        snprintf(remaining, sizeof(remaining), "unlimited");
    }
    snprintf(reset, sizeof(reset), "%lld", (long long)c->limit.reset_s);
    fields[n++] = (struct answer_field){"X-RateLimit-Limit", slice_of(limit)};
    fields[n++] = (struct answer_field){"X-RateLimit-Remaining", slice_of(remaining)};
    fields[n++] = (struct answer_field){"X-RateLimit-Reset", slice_of(reset)};
    if (retry_after_s >= 0) {
        snprintf(retry, sizeof(retry), "%lld", (long long)retry_after_s);
        fields[n++] = (struct answer_field){"Retry-After", slice_of(retry)};
    }
    if (origin.n > 0 && status != 403)
        fields[n++] = (struct answer_field){"Access-Control-Allow-Origin", origin};
    fields[n++] = (struct answer_field){"X-Content-Type-Options", SLICE("nosniff")};
    fields[n++] = (struct answer_field){"X-Frame-Options", SLICE("DENY")};
    fields[n++] =
        (struct answer_field){"Referrer-Policy", SLICE("strict-origin-when-cross-origin")};
    exchange_answer(c->x, status, content_type, fields, n, body);
}

static void fault_answer(struct call *c)
{
    const char *body = c->fault.body ? c->fault.body : "{\"error\":\"injected fault\"}";
    const char *type =
        c->fault.content_type[0] ? c->fault.content_type : "application/json; charset=utf-8";

    leave_trace(c, c->fault.status, NULL);
    send_answer(c, c->fault.status, type, slice_of(body), c->fault.retry_after_s);
}

/* True when a fault takes the place of the answer. */
static bool fault_applies(struct call *c)
{
    if (!c->has_fault)
        return false;
    if (c->fault.hang) {
        leave_trace(c, 0, "no answer");
        c->is_answered = true;
        return true; /* until the client goes or the server is closed */
    }
    if (c->fault.drop) {
        leave_trace(c, 0, "connection dropped");
        c->is_answered = true;
        exchange_abort(c->x);
        return true;
    }
    if (c->fault.status) {
        c->is_answered = true;
        fault_answer(c);
        return true;
    }
    return false;
}

static void answer(struct call *c, int status, const char *content_type, struct slice body,
                   int64_t retry_after_s)
{
    if (c->is_answered) /* the client's connection is as good as gone: a fault took the answer's
                           place */
        return;
    if (c->has_fault && c->fault.after && fault_applies(c))
        return;
    c->is_answered = true;
    leave_trace(c, status, NULL);
    send_answer(c, status, content_type, body, retry_after_s);
}

void call_answer_text(struct call *c, int status, const char *content_type, struct slice body)
{
    answer(c, status, content_type, body, -1);
}

void call_answer_retry(struct call *c, int status, struct json_object *body, int64_t retry_after_s)
{
    const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);

    answer(c, status, "application/json; charset=utf-8", slice_of(text), retry_after_s);
    json_object_put(body);
}

void call_answer(struct call *c, int status, struct json_object *body)
{
    call_answer_retry(c, status, body, -1);
}

void call_error(struct call *c, int status, const char *text)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "error", json_object_new_string(text));
    if (!c->note[0])
        call_note(c, "%s", text);
    call_answer(c, status, o);
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

    if (c->has_fault && !c->fault.after && fault_applies(c))
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
    str_wipe(&c->body);
    json_object_put(c->json);
    json_object_put(c->logged_body);
    free(c->fault.body);
    free(c);
}

const struct handler call_handler = {
    .on_request = call_on_request,
    .on_body = call_on_body,
    .on_body_end = call_on_body_end,
    .on_end = call_on_end,
};
