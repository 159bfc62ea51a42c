/*
 * The activity feed: what polling agents read, what agents report, what they tell the human.
 * Source: P sections 10, 12 and 15.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdlib.h>

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

static bool feed_read_cursor(struct call *c, const struct workspace *ws, struct feed_query *q)
{
    const struct world *w = &c->dp->world;
    char id[QUERY_TEXT_MAX];

    if (!call_query(c, "since_id", id, sizeof(id)) || !id[0])
        return true;
    if (!is_uuid(slice_of(id)))
        return refuse(c, 500, "cursor lookup failed");
    LIST_FOREACH(it, &w->rows)
    {
        const struct row *r = container_of(it, struct row, node);
        if (strcasecmp(r->id, id) == 0 && strcmp(r->workspace_id, ws->id) == 0)
            q->cursor = r;
    }
    return q->cursor
               ? true
               : refuse(c, 410, "since_id not found: the row is gone or not of this workspace");
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

static bool feed_wants(const struct feed_query *q, const struct workspace *ws, const struct row *r)
{
    if (strcmp(r->workspace_id, ws->id) != 0)
        return false;
    if (q->type[0] && strcmp(q->type, r->type) != 0)
        return false;
    if (q->source[0] && (strcmp(q->source, "canvas") == 0) != (r->source_id[0] == '\0'))
        return false;
    if (q->peer[0] && strcasecmp(q->peer, r->source_id) != 0 &&
        strcasecmp(q->peer, r->target_id) != 0)
        return false;
    if (q->cursor &&
        r->created_us <= q->cursor->created_us) /* the cursor is its time: equal times are lost */
        return false;
    return r->created_us >= q->after_us && (q->before_us == 0 || r->created_us < q->before_us);
}

void handle_activity(struct call *c)
{
    const struct world *w = &c->dp->world;
    struct workspace *ws = world_find(w, c->params[0]);
    struct list *it;
    struct json_object *list;
    struct feed_query q;

    if (!auth_workspace(c, ws))
        return;
    if (!ws) {
        call_answer(c, 200, json_object_new_array());
        return;
    }
    if (!feed_read(c, ws, &q))
        return;
    list = json_object_new_array();
    it = q.cursor ? w->rows.next : w->rows.prev; /* oldest first only with a cursor */
    while (it != &w->rows && (int64_t)json_object_array_length(list) < q.limit) {
        const struct row *r = container_of(it, struct row, node);
        if (feed_wants(&q, ws, r))
            json_object_array_add(list, row_to_json(r));
        it = q.cursor ? it->next : it->prev;
    }
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
    r = json_has_nul(c->json) ? NULL : row_add(&c->dp->world, ws->id, types[type]);
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
        json_set(&r->request_body, body ? body : json_object_object_get(c->json, "metadata"));
        json_set(&r->response_body, json_object_object_get(c->json, "response_body"));
        r->has_response_body = r->response_body != NULL;
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

void handle_notify(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct json_object *o, *result;
    const char *problem, *message;
    struct row *r;

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
    r = json_has_nul(c->json) ? NULL : row_add(&c->dp->world, ws->id, "a2a_receive");
    if (r) { /* the echo row of P section 10.5 */
        result = json_object_new_object();
        json_object_object_add(result, "result", json_object_new_string(message));
        text_set(&r->method, "notify");
        text_set(&r->summary, "agent message");
        r->response_body = result;
        r->has_response_body = true;
    }
    call_note(c, "to the human: %.100s", message);
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("sent"));
    call_answer(c, 200, o);
}
