/*
 * The activity feed: what polling agents read, what agents report, what they tell the human.
 * Source: P sections 10, 12 and 15.
 */
#include "devplatform/answers.h"
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdio.h>

enum {
    FEED_LIMIT_DEFAULT = 100,
    FEED_LIMIT_MAX = 500,
    FEED_SINCE_SECS_MAX = 2592000,
    QUERY_TEXT_MAX = 128
};

struct feed_query {
    char type[QUERY_TEXT_MAX];
    char source[16]; /* "", "canvas", "agent" */
    char peer[QUERY_TEXT_MAX];
    const struct row *cursor; /* NULL = none */
    int64_t after_us;         /* rows of since_secs: at or after; 0 = all */
    int64_t before_us;        /* rows strictly older; 0 = all */
    int64_t limit;
};

static bool refuse(struct call *c, int status, const char *text)
{
    call_error(c, status, text);
    return false;
}

/* since_id stands for its row's place in the feed. Servers without cursors do not know the word. */
static bool feed_read_cursor(struct call *c, const struct workspace *ws, struct feed_query *q)
{
    const struct rows *rows = &c->dp->world.rows;
    char id[QUERY_TEXT_MAX];

    if (c->dp->feed.kind == FEED_OLD || !call_query(c, "since_id", id, sizeof(id)) || !id[0])
        return true;
    if (!is_uuid(slice_of(id)))
        return refuse(c, 500, "cursor lookup failed");
    q->cursor = rows_find(rows, slice_of(id));
    if (q->cursor && strcmp(q->cursor->workspace_id, ws->id) == 0 &&
        q->cursor->seq > rows->lost_until)
        return true;
    q->cursor = NULL;
    return refuse(c, 410, "since_id not found: the row is gone or not of this workspace");
}

static bool feed_read(struct call *c, const struct workspace *ws, struct feed_query *q)
{
    char text[QUERY_TEXT_MAX];
    int64_t n;

    *q = (struct feed_query){.limit = FEED_LIMIT_DEFAULT};
    call_query(c, "type", q->type, sizeof(q->type));
    if (call_query(c, "source", q->source, sizeof(q->source)) && q->source[0] &&
        strcmp(q->source, "canvas") != 0 && strcmp(q->source, "agent") != 0)
        return refuse(c, 400, "source must be 'canvas' or 'agent'");
    if (call_query(c, "peer_id", q->peer, sizeof(q->peer)) && q->peer[0] &&
        !is_uuid(slice_of(q->peer)))
        return refuse(c, 400, "peer_id must be a UUID");
    if (call_query(c, "limit", text, sizeof(text)) &&
        parse_int64(slice_of(text), 1, INT64_MAX, &n) == 0)
        q->limit = n < FEED_LIMIT_MAX ? n : FEED_LIMIT_MAX;
    if (call_query(c, "since_secs", text, sizeof(text)) && text[0]) {
        if (parse_int64(slice_of(text), 1, INT64_MAX, &n) < 0)
            return refuse(c, 400, "since_secs must be a positive integer");
        q->after_us = wall_us() - (n < FEED_SINCE_SECS_MAX ? n : FEED_SINCE_SECS_MAX) * 1000000;
    }
    if (call_query(c, "before_ts", text, sizeof(text)) && text[0] &&
        !time_parse(slice_of(text), &q->before_us))
        return refuse(c, 400, "before_ts must be an RFC 3339 time");
    return feed_read_cursor(c, ws, q);
}

static bool feed_wants(const struct feed_query *q, const struct row *r)
{
    if (q->type[0] && strcmp(q->type, r->type) != 0)
        return false;
    if (q->source[0] && (strcmp(q->source, "canvas") == 0) != (r->source_id[0] == '\0'))
        return false;
    if (q->peer[0] && strcasecmp(q->peer, r->source_id) != 0 &&
        strcasecmp(q->peer, r->target_id) != 0)
        return false;
    return true;
}

/* ---- later platforms
 * ---------------------------------------------------------------------------------------------
 */

static struct json_object *attachments_of(const struct row *r)
{
    struct json_object *body = r->request_body ? json_tokener_parse(r->request_body) : NULL;
    struct json_object *message = body_message(body), *parts, *list = NULL;

    parts = message ? json_object_object_get(message, "parts") : NULL;
    for (size_t i = 0; json_object_is_type(parts, json_type_array) && parts &&
                       i < json_object_array_length(parts);
         i++) {
        struct json_object *part = json_object_array_get_idx(parts, i);
        struct json_object *file = json_object_is_type(part, json_type_object) && part
                                       ? json_object_object_get(part, "file")
                                       : NULL;
        if (!json_object_is_type(file, json_type_object) || !file)
            continue;
        if (!list)
            list = json_object_new_array();
        json_object_array_add(list, json_object_get(file));
    }
    json_object_put(body);
    return list;
}

/* include=peer_info; what is not known is left out. */
static void add_peer_info(const struct devplatform *dp, const struct row *r, struct json_object *o)
{
    const struct workspace *peer =
        r->source_id[0] ? world_find(&dp->world, slice_of(r->source_id)) : NULL;
    struct json_object *attachments = attachments_of(r);
    char url[ENDPOINT_TEXT_MAX + 64];

    if (peer) {
        json_object_object_add(o, "peer_name", json_object_new_string(peer->name));
        if (peer->role)
            json_object_object_add(o, "peer_role", json_object_new_string(peer->role));
        snprintf(url, sizeof(url), "%s/registry/discover/%s", dp->base_url, peer->id);
        json_object_object_add(o, "agent_card_url", json_object_new_string(url));
    }
    if (attachments)
        json_object_object_add(o, "attachments", attachments);
}

void handle_activity_ack(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct json_object *o, *acked;

    if (c->dp->feed.kind != FEED_LATER) {
        call_answer_text(c, 404, "text/plain", SLICE("404 page not found"));
        return;
    }
    if (!auth_workspace(c, ws) || !call_need_object(c))
        return;
    acked = json_object_object_get(c->json, "acked_seq");
    if (!ws || !json_object_is_type(acked, json_type_int)) {
        call_error(c, ws ? 400 : 404, ws ? "invalid request body" : "workspace not found");
        return;
    }
    if (json_object_get_int64(acked) > ws->acked_seq) {
        ws->acked_seq = json_object_get_int64(acked);
        ws->is_unsaved = true;
    }
    o = json_object_new_object();
    json_object_object_add(o, "last_acked_seq", json_object_new_int64(ws->acked_seq));
    call_answer(c, 200, o);
}

/* ---- the feed
 * ----------------------------------------------------------------------------------------------------
 */

/* Only the rows between two places in the feed are looked at: a page costs what is on it, and what
 * filters leave out. */
static struct json_object *page(const struct call *c, const struct workspace *ws,
                                const struct feed_query *q, bool has_peer_info)
{
    const struct row_feed *feed = &ws->feed;
    bool is_later = c->dp->feed.kind == FEED_LATER;
    size_t begin = row_feed_after(feed, q->after_us - 1, INT64_MAX);
    size_t end = q->before_us ? row_feed_after(feed, q->before_us - 1, INT64_MAX) : feed->count;
    struct json_object *list = json_object_new_array();

    if (q->cursor) { /* its time is what counts: rows of the same time are lost, but later on */
        size_t after =
            row_feed_after(feed, q->cursor->created_us, is_later ? q->cursor->seq : INT64_MAX);
        begin = after > begin ? after : begin;
    }
    for (size_t n = end > begin ? end - begin : 0, i = 0;
         i < n && (int64_t)json_object_array_length(list) < q->limit; i++) {
        /* oldest first only with a cursor */
        const struct row *r = row_feed_at(feed, q->cursor ? begin + i : end - 1 - i);
        struct json_object *o;
        if (!feed_wants(q, r))
            continue;
        o = row_to_json(r, is_later);
        if (is_later && has_peer_info)
            add_peer_info(c->dp, r, o);
        json_object_array_add(list, o);
    }
    return list;
}

void handle_activity(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct json_object *list;
    struct feed_query q;
    char include[QUERY_TEXT_MAX] = "";

    if (!auth_workspace(c, ws))
        return;
    if (!ws) {
        call_answer(c, 200, json_object_new_array());
        return;
    }
    if (!feed_read(c, ws, &q))
        return;
    call_query(c, "include", include, sizeof(include));
    list = page(c, ws, &q, strstr(include, "peer_info") != NULL);
    call_note(c, "%zu rows", json_object_array_length(list));
    call_answer(c, 200, list);
}

void handle_activity_report(struct call *c)
{
    static const char *const types[] = {
        "a2a_send",        "a2a_receive",  "task_update", "agent_log",
        "skill_promotion", "memory_write", "error",       NULL};
    static const char *const texts[] = {"activity_type", "method", "summary",      "target_id",
                                        "source_id",     "status", "error_detail", NULL};
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct json_object *o, *body;
    size_t type = 0;
    struct row *r;

    if (!auth_workspace(c, ws) || !call_need_object(c))
        return;
    if (!ws || !fields_are_strings(c->json, texts) ||
        !fields_are_integers(c->json, (const char *[]){"duration_ms", NULL})) {
        call_error(c, 400, "invalid request body");
        return;
    }
    while (types[type] && strcmp(types[type], field_text(c->json, "activity_type")) != 0)
        type++;
    if (!types[type]) {
        call_error(c, 400, "invalid activity_type");
        return;
    }
    if (field_text(c->json, "source_id")[0] &&
        strcmp(field_text(c->json, "source_id"), ws->id) != 0) {
        call_error(c, 403, "source_id must match authenticated workspace");
        return;
    }
    r = json_has_nul(c->json) ? NULL : row_new(&c->dp->world.rows, ws->id, types[type]);
    if (r) { /* an insert that fails answers 200 all the same */
        text_copy(r->source_id, sizeof(r->source_id), slice_of(ws->id));
        text_copy(r->target_id, sizeof(r->target_id), slice_of(field_text(c->json, "target_id")));
        text_set(&r->method, field_text(c->json, "method"));
        text_set(&r->summary, field_text(c->json, "summary"));
        text_set(&r->error_detail, field_text(c->json, "error_detail"));
        if (field_text(c->json, "status")[0])
            text_copy(r->status, sizeof(r->status), slice_of(field_text(c->json, "status")));
        if (json_object_object_get(c->json, "duration_ms"))
            r->duration_ms = field_int(c->json, "duration_ms");
        body = json_object_object_get(c->json, "request_body");
        row_set_request(r, body ? body : json_object_object_get(c->json, "metadata"));
        body = json_object_object_get(c->json, "response_body");
        if (body)
            row_set_response(r, body);
        feed_publish(&c->dp->feed, r);
    }
    call_note(c, "%s: %s", types[type], field_text(c->json, "summary"));
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("logged"));
    call_answer(c, 200, o);
}

static const char *attachments_problem(struct json_object *list)
{
    static char text[64];

    if (!list)
        return NULL;
    if (!json_object_is_type(list, json_type_array))
        return "message is required"; /* a body that cannot be decoded */
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *a = json_object_array_get_idx(list, i);
        if (!json_object_is_type(a, json_type_object) || !field_text(a, "uri")[0] ||
            !field_text(a, "name")[0]) {
            snprintf(text, sizeof(text), "attachment[%zu]: uri and name are required", i);
            return text;
        }
    }
    return NULL;
}

/* The echo row of P section 10.5, made inside the call: it is never late. */
static void leave_echo(struct call *c, const struct workspace *ws, const char *message)
{
    struct row *r = row_new(&c->dp->world.rows, ws->id, "a2a_receive");
    struct json_object *o;

    if (!r)
        return;
    text_set(&r->method, "notify");
    text_set(&r->summary, "agent message");
    o = json_object_new_object();
    json_object_object_add(o, "result", json_object_new_string(message));
    row_set_response(r, o);
    json_object_put(o);
    feed_publish_now(&c->dp->feed, r, false);
    o = json_object_new_object();
    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "message", json_object_new_string(message));
    events_emit(&c->dp->events, ws->id, "AGENT_MESSAGE", o);
}

void handle_notify(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    const struct answered *answered;
    struct json_object *o;
    const char *problem, *message;

    if (!auth_workspace(c, ws))
        return;
    message = c->json && json_object_is_type(c->json, json_type_object)
                  ? field_text(c->json, "message")
                  : "";
    if (!message[0]) {
        call_error(c, 400, "message is required");
        return;
    }
    problem = attachments_problem(json_object_object_get(c->json, "attachments"));
    if (problem) {
        call_error(c, 400, problem);
        return;
    }
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return;
    }
    if (!json_has_nul(c->json))
        leave_echo(c, ws, message);
    answered = answers_add(&c->dp->answers,
                           &(struct answered){.kind = "notify", .from = ws->id, .text = message});
    if (answered)
        data_on_answer(c->dp->data, answered);
    call_note(c, "to the human: %.100s", message);
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("sent"));
    call_answer(c, 200, o);
}
