/*
 * One push = one client call. What may be pushed is a2a.c's decision; this file sends, waits, and
 * turns outcomes into the answers and rows of P sections 13.1 and 17.3.
 */
#include "devplatform/dispatch.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "client/client.h"
#include "devplatform/call.h"
#include "devplatform/fields.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXPIRY_MAX_S = 1000 * 1000 * 1000 }; /* seconds; longer is for ever */

struct dispatch {
    struct list node;
    struct dispatcher *owner;
    struct call *call;       /* NULL: the caller is gone, or the message comes out of the queue */
    struct queue_item *item; /* NULL: a first attempt */
    struct client_call *client;
    struct json_object *body;
    char workspace_id[WORLD_ID_LEN + 1];
    char source_id[WORLD_ID_LEN + 1];
    struct str answer;
    struct timer quiet; /* first byte, later the idle limit */
    int64_t started_ms;
};

void dispatcher_init(struct dispatcher *d, struct devplatform *dp)
{
    *d = (struct dispatcher){.dp = dp};
    list_init(&d->active);
    list_init(&d->queue);
}

static void push_free(struct dispatch *p)
{
    list_remove(&p->node);
    timer_stop(&p->quiet);
    client_cancel(p->client);
    if (p->call)
        p->call->dispatch = NULL;
    json_object_put(p->body);
    str_release(&p->answer);
    free(p);
}

static void item_free(struct dispatcher *d, struct queue_item *it)
{
    list_remove(&it->node);
    d->item_count--;
    json_object_put(it->body);
    free(it);
}

void dispatcher_release(struct dispatcher *d)
{
    LIST_FOREACH(it, &d->active)
    push_free(container_of(it, struct dispatch, node));
    LIST_FOREACH(it, &d->queue)
    item_free(d, container_of(it, struct queue_item, node));
}

void dispatch_forget(struct dispatch *p)
{
    p->call = NULL;
}

/* ---- the queue
 * -------------------------------------------------------------------------------------------------
 */

static bool item_is_active(const struct queue_item *it)
{
    return strcmp(it->status, "queued") == 0 || strcmp(it->status, "dispatched") == 0;
}

size_t queue_depth(const struct dispatcher *d, const char *workspace_id)
{
    size_t n = 0;

    LIST_FOREACH(node, &d->queue)
    {
        const struct queue_item *it = container_of(node, struct queue_item, node);
        n += strcmp(it->workspace_id, workspace_id) == 0 && strcmp(it->status, "queued") == 0;
    }
    return n;
}

struct queue_item *queue_find(const struct dispatcher *d, struct slice id)
{
    LIST_FOREACH(node, &d->queue)
    {
        struct queue_item *it = container_of(node, struct queue_item, node);
        if (slice_eq(id, slice_of(it->id)))
            return it;
    }
    return NULL;
}

static void add_database_time(struct json_object *o, const char *key, int64_t us)
{
    char text[WORLD_TIME_MAX], shown[WORLD_TIME_MAX + 4];

    if (us == 0)
        return;
    time_text(us, text);
    text[strlen(text) - 1] = '\0';
    text[10] = ' ';
    snprintf(shown, sizeof(shown), "%s+00", text);
    json_object_object_add(o, key, json_object_new_string(shown));
}

struct json_object *queue_item_to_json(const struct queue_item *it)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "queue_id", json_object_new_string(it->id));
    json_object_object_add(o, "workspace_id", json_object_new_string(it->workspace_id));
    json_object_object_add(o, "status", json_object_new_string(it->status));
    json_object_object_add(o, "priority", json_object_new_int(0));
    json_object_object_add(o, "attempts", json_object_new_int(it->attempts));
    if (it->last_error[0])
        json_object_object_add(o, "last_error", json_object_new_string(it->last_error));
    add_database_time(o, "enqueued_at", it->enqueued_us);
    add_database_time(o, "dispatched_at", it->dispatched_us);
    add_database_time(o, "completed_at", it->completed_us);
    add_database_time(o, "expires_at", it->expires_us);
    return o;
}

static const char *message_id_of(struct json_object *body)
{
    struct json_object *message = body_message(body);

    return message ? field_text(message, "messageId") : "";
}

/* params.expires_in_seconds, any number; 0: never. */
static int64_t expiry_of(struct json_object *body, int64_t now_us)
{
    struct json_object *params = json_object_object_get(body, "params");
    struct json_object *v = json_object_is_type(params, json_type_object)
                                ? json_object_object_get(params, "expires_in_seconds")
                                : NULL;
    double seconds =
        json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)
            ? json_object_get_double(v)
            : 0;

    return seconds > 0 && seconds < EXPIRY_MAX_S ? now_us + (int64_t)(seconds * 1e6) : 0;
}

static struct queue_item *item_new(struct dispatcher *d)
{
    struct queue_item *it = d->item_count < QUEUE_ITEMS_MAX ? calloc(1, sizeof(*it)) : NULL;

    if (!it)
        return NULL;
    list_append(&d->queue, &it->node);
    d->item_count++;
    return it;
}

/* The active item of this message, or a new one: a resend joins the one that waits. NULL without
 * room. */
static struct queue_item *item_enqueue(struct dispatcher *d, const struct dispatch *p)
{
    const char *message_id = message_id_of(p->body);
    struct queue_item *it;

    LIST_FOREACH(node, &d->queue)
    {
        it = container_of(node, struct queue_item, node);
        if (item_is_active(it) && strcmp(it->workspace_id, p->workspace_id) == 0 &&
            strcmp(it->message_id, message_id) == 0)
            return it;
    }
    it = item_new(d);
    if (!it)
        return NULL;
    uuid_make(it->id);
    memcpy(it->workspace_id, p->workspace_id, sizeof(it->workspace_id));
    memcpy(it->source_id, p->source_id, sizeof(it->source_id));
    text_copy(it->message_id, sizeof(it->message_id), slice_of(message_id));
    it->body = json_object_get(p->body);
    it->status = "queued";
    it->enqueued_us = wall_us();
    it->expires_us = expiry_of(p->body, it->enqueued_us);
    data_on_item(d->dp->data, it);
    return it;
}

struct queue_item *queue_restore(struct dispatcher *d, const char *status)
{
    static const char *const finished[] = {"completed", "failed", "dropped"};
    struct queue_item *it = item_new(d);

    if (!it)
        return NULL;
    it->status = "queued";
    for (size_t i = 0; i < sizeof(finished) / sizeof(*finished); i++) {
        if (strcmp(status, finished[i]) == 0)
            it->status = finished[i];
    }
    return it;
}

/* ---- outcomes
 * --------------------------------------------------------------------------------------------------
 */

static void leave_row(struct dispatch *p, const char *error, struct json_object *response)
{
    struct devplatform *dp = p->owner->dp;
    const struct workspace *ws = world_find(&dp->world, slice_of(p->workspace_id));
    struct row *r;
    char summary[WORLD_NAME_MAX + 64];

    if (!ws || json_has_nul(p->body))
        return;
    r = row_new(&dp->world.rows, p->workspace_id, "a2a_receive");
    if (!r)
        return;
    text_copy(r->source_id, sizeof(r->source_id), slice_of(p->source_id));
    text_copy(r->target_id, sizeof(r->target_id), slice_of(p->workspace_id));
    text_set(&r->method, field_text(p->body, "method"));
    snprintf(summary, sizeof(summary), "%s → %s", field_text(p->body, "method"), ws->name);
    text_set(&r->summary, summary);
    text_set(&r->error_detail, error);
    if (error)
        text_copy(r->status, sizeof(r->status), SLICE("error"));
    r->duration_ms = loop_now_ms(dp->loop) - p->started_ms;
    row_set_request(r, p->body);
    if (!error) /* a present null when the answer was no JSON */
        row_set_response(r, response);
    feed_publish(&dp->feed, r);
}

static void give_error(struct dispatch *p, int status, const char *text)
{
    struct call *c = p->call;

    leave_row(p, text, NULL);
    p->call = NULL;
    if (c) {
        c->dispatch = NULL;
        call_error(c, status, text);
    }
}

/* No answer came: the agent may be busy with it. The message waits for a heartbeat that says
 * otherwise. */
static void give_queued(struct dispatch *p, const char *why)
{
    struct dispatcher *d = p->owner;
    struct call *c = p->call;
    struct queue_item *it = item_enqueue(d, p);
    struct json_object *o;

    leave_row(p, why, NULL);
    p->call = NULL;
    if (!c)
        return;
    c->dispatch = NULL;
    if (!it) {
        call_error(c, 503, "queue is full");
        return;
    }
    o = json_object_new_object();
    json_object_object_add(o, "queued", json_object_new_boolean(true));
    json_object_object_add(o, "queue_id", json_object_new_string(it->id));
    json_object_object_add(o, "queue_depth",
                           json_object_new_int64((int64_t)queue_depth(d, p->workspace_id)));
    json_object_object_add(o, "message",
                           json_object_new_string("workspace agent is busy; request queued"));
    call_note(c, "%s: queued", why);
    call_answer(c, 202, o);
}

static void give_cut(struct dispatch *p, int status)
{
    struct call *c = p->call;
    struct json_object *o;

    leave_row(p, "failed to read agent response", NULL);
    p->call = NULL;
    if (!c)
        return;
    c->dispatch = NULL;
    o = json_object_new_object();
    json_object_object_add(o, "error", json_object_new_string("failed to read agent response"));
    json_object_object_add(o, "delivery_confirmed",
                           json_object_new_boolean(status == 0 || status / 100 == 2));
    call_note(c, "the agent's answer was cut");
    call_answer(c, 502, o);
}

/* The peer's own failure, mirrored: its string error or the words of its status. */
static void give_mirrored(struct dispatch *p, int status, struct json_object *answer)
{
    const char *text =
        json_object_is_type(answer, json_type_object) ? field_text(answer, "error") : "";

    give_error(p, status,
               text[0]                  ? text
               : http_reason(status)[0] ? http_reason(status)
                                        : "agent error");
}

static void give_answer(struct dispatch *p, int status)
{
    struct json_object *answer = p->answer.len ? json_tokener_parse(str_z(&p->answer)) : NULL;
    struct call *c = p->call;

    if (status >= 300) {
        give_mirrored(p, status, answer);
    } else if (p->answer.len == 0) {
        give_error(p, status, "agent returned empty response body");
    } else {
        leave_row(p, NULL, answer);
        p->call = NULL;
        if (c) {
            c->dispatch = NULL;
            call_note(c, "answered by the agent in %lldms",
                      (long long)(loop_now_ms(p->owner->dp->loop) - p->started_ms));
            call_answer_text(c, status, "application/json", str_slice(&p->answer));
        }
    }
    json_object_put(answer);
}

static void finish_item(struct dispatch *p, bool is_delivered, const char *why)
{
    struct queue_item *it = p->item;

    if (is_delivered) {
        it->status = "completed";
        it->completed_us = wall_us();
    } else {
        text_copy(it->last_error, sizeof(it->last_error), slice_of(why));
        it->status = it->attempts >= QUEUE_ATTEMPTS_MAX ? "failed" : "queued";
    }
    data_on_item(p->owner->dp->data, it);
    devlog_say(&p->owner->dp->log, "  queued message %.8s for %.8s: %s%s%s", it->id,
               it->workspace_id, it->status, is_delivered ? "" : ", ", is_delivered ? "" : why);
}

static void push_done(struct dispatch *p, enum client_outcome outcome, int status)
{
    bool is_whole = outcome == CLIENT_OK ||
                    outcome == CLIENT_STOPPED; /* stopped by us: the answer was long enough */

    if (p->item)
        finish_item(p, is_whole && status < 300,
                    is_whole ? "the agent refused it" : "no answer from the agent");
    else if (is_whole)
        give_answer(p, status);
    else if (outcome == CLIENT_NOT_SENT || outcome == CLIENT_FAILED)
        give_error(p, 502, "failed to reach workspace agent");
    else if (p->answer.len > 0)
        give_cut(p, status);
    else
        give_queued(p, outcome == CLIENT_TIMEOUT ? "no answer in time"
                                                 : "the agent's connection was lost");
    push_free(p);
}

/* ---- sending
 * ---------------------------------------------------------------------------------------------------
 */

static void on_done(void *arg, const struct client_answer *answer)
{
    struct dispatch *p = arg;

    p->client = NULL;
    push_done(p, answer->outcome, answer->status);
}

static void on_quiet(struct timer *t)
{
    struct dispatch *p = t->arg;

    client_cancel(p->client);
    p->client = NULL;
    push_done(p, CLIENT_TIMEOUT, 0);
}

static bool on_data(void *arg, struct slice bytes)
{
    struct dispatch *p = arg;
    struct loop *l = p->owner->dp->loop;
    size_t room = DISPATCH_ANSWER_MAX - p->answer.len;

    str_add(&p->answer, (struct slice){bytes.p, bytes.n < room ? bytes.n : room});
    timer_start(&p->quiet, l, loop_now_ms(l) + DISPATCH_IDLE_MS, on_quiet, p);
    return bytes.n <= room;
}

/* True when it is under way; else push_done has run. */
static void push_send(struct dispatch *p, struct workspace *ws)
{
    struct devplatform *dp = p->owner->dp;
    const char *body = json_object_to_json_string_ext(p->body, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE);
    struct client_request rq = {
        .method = "POST",
        .url = ws->url,
        .headers = {"User-Agent: Go-http-client/1.1", "Content-Type: application/json",
                    "Accept:", "Expect:"},
        .body = slice_of(body),
        .connect_timeout_ms = DISPATCH_CONNECT_MS,
        .timeout_ms = p->source_id[0] ? DISPATCH_TOTAL_MS : DISPATCH_CANVAS_TOTAL_MS,
        .on_data = on_data,
    };
    char authorization[96];
    struct err err = {0};

    if (dp->options->send_inbound_secret) {
        snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s",
                 workspace_inbound_secret(ws));
        rq.headers[4] = authorization;
    }
    p->started_ms = loop_now_ms(dp->loop);
    if (client_start(dp->curl, &rq, on_done, p, &p->client, &err) < 0) {
        devlog_say(&dp->log, "  cannot push to %s: %s", ws->url, err.msg);
        push_done(p, CLIENT_FAILED, 0);
        return;
    }
    timer_start(&p->quiet, dp->loop, p->started_ms + dp->options->dispatch_timeout_ms, on_quiet, p);
}

static struct dispatch *push_new(struct dispatcher *d, const struct workspace *ws,
                                 struct json_object *body, struct slice source_id)
{
    struct dispatch *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->owner = d;
    p->body = json_object_get(body);
    memcpy(p->workspace_id, ws->id, sizeof(p->workspace_id));
    text_copy(p->source_id, sizeof(p->source_id), source_id);
    list_append(&d->active, &p->node);
    return p;
}

void dispatch_start(struct dispatcher *d, struct call *c, struct workspace *ws,
                    struct slice source_id, struct json_object *body)
{
    struct dispatch *p = push_new(d, ws, body, source_id);

    if (!p) {
        call_error(c, 500, "out of memory");
        return;
    }
    p->call = c;
    c->dispatch = p;
    push_send(p, ws);
}

void dispatch_on_beat(struct dispatcher *d, const struct workspace *ws)
{
    LIST_FOREACH(it, &d->active)
    { /* a sign of life of the target: the idle limit begins again */
        struct dispatch *p = container_of(it, struct dispatch, node);
        if (strcmp(p->workspace_id, ws->id) == 0 && p->answer.len > 0)
            timer_start(&p->quiet, d->dp->loop, loop_now_ms(d->dp->loop) + DISPATCH_IDLE_MS,
                        on_quiet, p);
    }
    if (ws->active_tasks >= ws->max_tasks || !ws->url[0])
        return;
    LIST_FOREACH(node, &d->queue)
    {
        struct queue_item *it = container_of(node, struct queue_item, node);
        struct workspace *target;
        struct dispatch *p;
        if (strcmp(it->workspace_id, ws->id) != 0 || strcmp(it->status, "queued") != 0)
            continue;
        if (it->expires_us > 0 && it->expires_us <= wall_us()) {
            it->status = "dropped";
            data_on_item(d->dp->data, it);
            continue;
        }
        target = world_find(&d->dp->world, slice_of(it->workspace_id));
        p = target ? push_new(d, target, it->body, slice_of(it->source_id)) : NULL;
        if (!p)
            return;
        p->item = it;
        it->attempts++;
        it->status = "dispatched";
        it->dispatched_us = wall_us();
        data_on_item(d->dp->data, it);
        push_send(p, target);
        return; /* one per heartbeat */
    }
}

void dispatch_on_purge(struct dispatcher *d, const struct workspace *ws)
{
    LIST_FOREACH(it, &d->active)
    {
        struct dispatch *p = container_of(it, struct dispatch, node);
        if (p->item && strcmp(p->workspace_id, ws->id) == 0)
            push_free(p); /* a push that a caller waits for ends by itself */
    }
    LIST_FOREACH(node, &d->queue)
    {
        struct queue_item *it = container_of(node, struct queue_item, node);
        if (strcmp(it->workspace_id, ws->id) == 0) {
            data_drop_item(d->dp->data, it->id);
            item_free(d, it);
        }
    }
}
