/*
 * The answer of a call: its head, what faults make of it, its trace in /dev/log and in the story.
 */
#include "devplatform/call.h"

#include "base/clock.h"
#include "devplatform/routes.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALL_FIELDS_MAX = 12, CALL_NUMBER_MAX = 24 };

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

struct head_numbers {
    char limit[CALL_NUMBER_MAX], remaining[CALL_NUMBER_MAX], reset[CALL_NUMBER_MAX],
        retry[CALL_NUMBER_MAX];
};

/* What every answer carries (P section 1). Returns how many fields. */
static size_t head_fields(const struct call *c, int status, int64_t retry_after_s,
                          struct head_numbers *t, struct answer_field fields[CALL_FIELDS_MAX])
{
    struct slice origin = call_header(c, "Origin");
    size_t n = 0;

    if (c->limit.limit > 0) {
        snprintf(t->limit, CALL_NUMBER_MAX, "%lld", (long long)c->limit.limit);
        snprintf(t->remaining, CALL_NUMBER_MAX, "%lld", (long long)c->limit.remaining);
    } else {
        snprintf(t->limit, CALL_NUMBER_MAX, "unlimited");
        snprintf(t->remaining, CALL_NUMBER_MAX, "unlimited");
    }
    snprintf(t->reset, CALL_NUMBER_MAX, "%lld", (long long)c->limit.reset_s);
    fields[n++] = (struct answer_field){"X-RateLimit-Limit", slice_of(t->limit)};
    fields[n++] = (struct answer_field){"X-RateLimit-Remaining", slice_of(t->remaining)};
    fields[n++] = (struct answer_field){"X-RateLimit-Reset", slice_of(t->reset)};
    if (retry_after_s >= 0) {
        snprintf(t->retry, CALL_NUMBER_MAX, "%lld", (long long)retry_after_s);
        fields[n++] = (struct answer_field){"Retry-After", slice_of(t->retry)};
    }
    if (origin.n > 0 && status != 403)
        fields[n++] = (struct answer_field){"Access-Control-Allow-Origin", origin};
    if (c->disposition[0])
        fields[n++] = (struct answer_field){"Content-Disposition", slice_of(c->disposition)};
    fields[n++] = (struct answer_field){"X-Content-Type-Options", SLICE("nosniff")};
    fields[n++] = (struct answer_field){"X-Frame-Options", SLICE("DENY")};
    fields[n++] =
        (struct answer_field){"Referrer-Policy", SLICE("strict-origin-when-cross-origin")};
    return n;
}

static void send_bytes(struct call *c, struct slice bytes)
{
    while (bytes.n > 0) {
        size_t n = bytes.n < EXCHANGE_WRITE_MAX ? bytes.n : EXCHANGE_WRITE_MAX;
        exchange_body(c->x, (struct slice){bytes.p, n});
        bytes = (struct slice){bytes.p + n, bytes.n - n};
    }
    exchange_flush(c->x);
}

static void on_rest(struct timer *t)
{
    struct call *c = t->arg;

    send_bytes(c, (struct slice){c->rest, c->rest_len});
    exchange_finish(c->x);
}

/* The head and one half of the body; then the end of the connection, or the other half in time. */
static void send_in_halves(struct call *c, int status, const char *content_type, struct slice body,
                           const struct answer_field *fields, size_t field_count)
{
    struct slice rest = {body.p + body.n / 2, body.n - body.n / 2};
    struct loop *l = c->dp->loop;

    exchange_head_begin(c->x, status, slice_of(http_reason(status)));
    for (size_t i = 0; i < field_count; i++)
        exchange_head_field(c->x, slice_of(fields[i].name), fields[i].value);
    if (content_type)
        exchange_head_field(c->x, SLICE("Content-Type"), slice_of(content_type));
    if (exchange_head_end(c->x, HTTP_BODY_LENGTH, (int64_t)body.n) < 0) {
        exchange_abort(c->x);
        return;
    }
    send_bytes(c, (struct slice){body.p, body.n - rest.n});
    c->rest = c->fault.cut_body ? NULL : slice_dup(rest);
    if (!c->rest) {
        exchange_abort(c->x);
        return;
    }
    c->rest_len = rest.n;
    timer_start(&c->delay, l, loop_now_ms(l) + c->fault.slow_body_ms, on_rest, c);
}

static void send_answer(struct call *c, int status, const char *content_type, struct slice body,
                        int64_t retry_after_s)
{
    struct answer_field fields[CALL_FIELDS_MAX];
    struct head_numbers numbers;
    size_t n = head_fields(c, status, retry_after_s, &numbers, fields);

    if (c->fault.slow_body_ms > 0 || c->fault.cut_body)
        send_in_halves(c, status, content_type, body, fields, n);
    else
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

bool call_fault_applies(struct call *c)
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

/* ---- answers that wait for the commit of their turn
 * -------------------------------------------------------------- */

struct held_answer {
    struct list node;
    struct call *call;
    int status;
    bool has_type;
    char content_type[PENDING_TYPE_MAX + 1];
    int64_t retry_after_s;
    size_t len;
    char body[];
};

static bool hold(struct call *c, int status, const char *content_type, struct slice body,
                 int64_t retry_after_s)
{
    struct held_answer *h = malloc(sizeof(*h) + body.n + 1);

    if (!h)
        return false;
    h->call = c;
    h->status = status;
    h->has_type = content_type != NULL;
    text_copy(h->content_type, sizeof(h->content_type), slice_of(content_type));
    h->retry_after_s = retry_after_s;
    h->len = body.n;
    if (body.n > 0)
        memcpy(h->body, body.p, body.n);
    c->held = h;
    list_append(&c->dp->held, &h->node);
    return true;
}

void call_forget_held(struct call *c)
{
    if (!c->held)
        return;
    list_remove(&c->held->node);
    free(c->held);
    c->held = NULL;
}

void call_release_held(struct devplatform *dp)
{
    struct list *first;

    while ((first = list_pop(&dp->held))) {
        struct held_answer *h = container_of(first, struct held_answer, node);
        h->call->held = NULL;
        send_answer(h->call, h->status, h->has_type ? h->content_type : NULL,
                    (struct slice){h->body, h->len}, h->retry_after_s);
        free(h);
    }
}

/* ---- answering
 * -----------------------------------------------------------------------------------------------------
 */

static void answer(struct call *c, int status, const char *content_type, struct slice body,
                   int64_t retry_after_s)
{
    bool has_news = data_has_news(c->dp->data);

    if (c->is_answered) /* the client's connection is as good as gone: a fault took the answer's
                           place */
        return;
    if (c->has_fault && c->fault.after && call_fault_applies(c))
        return;
    c->is_answered = true;
    leave_trace(c, status, NULL);
    if (!has_news || !hold(c, status, content_type, body, retry_after_s))
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

void call_answer_file(struct call *c, const char *content_type, const char *name, struct slice body)
{
    size_t n = (size_t)snprintf(c->disposition, sizeof(c->disposition), "attachment; filename=\"");

    for (; *name && n + 2 < sizeof(c->disposition); name++) {
        if (*name >= ' ' && *name < 127 && *name != '"' && *name != '\\')
            c->disposition[n++] = *name;
    }
    c->disposition[n++] = '"';
    c->disposition[n] = '\0';
    call_answer_text(c, 200, content_type, body);
}

bool call_stream(struct call *c, const char *content_type)
{
    struct answer_field fields[CALL_FIELDS_MAX];
    struct head_numbers numbers;
    size_t n = head_fields(c, 200, -1, &numbers, fields);

    if (c->has_fault && c->fault.after && call_fault_applies(c))
        return false;
    c->is_answered = true;
    leave_trace(c, 200, NULL);
    exchange_set_stream(c->x, true);
    exchange_head_begin(c->x, 200, SLICE("OK"));
    for (size_t i = 0; i < n; i++)
        exchange_head_field(c->x, slice_of(fields[i].name), fields[i].value);
    exchange_head_field(c->x, SLICE("Content-Type"), slice_of(content_type));
    exchange_head_field(c->x, SLICE("Cache-Control"), SLICE("no-cache"));
    if (exchange_head_end(c->x, HTTP_BODY_CHUNKED, 0) == 0)
        return true;
    exchange_abort(c->x);
    return false;
}
