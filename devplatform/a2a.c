/*
 * POST /workspaces/:target/a2a: who may send, what the message must look like, and whether it is
 * pushed or waits to be fetched. Source: P sections 13.1, 13.4, 14.3 and 17.2.
 */
#include "devplatform/answers.h"
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"
#include "devplatform/urlcheck.h"

#include "base/parse.h"

#include <stdio.h>

static void add_uuid(struct json_object *o, const char *key)
{
    char id[WORLD_ID_LEN + 1];

    uuid_make(id);
    json_object_object_add(o, key, json_object_new_string(id));
}

/* v0.2 `content` (a string or an array of parts) becomes `parts`; a missing messageId is made up.
 * NULL, or what is wrong. */
static const char *message_normalise(struct json_object *message)
{
    struct json_object *parts = json_object_object_get(message, "parts"), *content, *part;

    if (!json_object_is_type(parts, json_type_array) || !parts) {
        content = json_object_object_get(message, "content");
        if (content && json_object_is_type(content, json_type_string)) {
            part = json_object_new_object();
            json_object_object_add(part, "kind", json_object_new_string("text"));
            json_object_object_add(part, "text", json_object_get(content));
            parts = json_object_new_array();
            json_object_array_add(parts, part);
        } else if (content && json_object_is_type(content, json_type_array)) {
            parts = json_object_get(content);
        } else {
            return "params.message must contain 'parts' or 'content'";
        }
        json_object_object_add(message, "parts", parts);
        json_object_object_del(message, "content");
    }
    if (!field_text(message, "messageId")[0])
        add_uuid(message, "messageId");
    return NULL;
}

/* The JSON-RPC body as it is passed on: a new reference, or NULL with *ret_problem. */
static struct json_object *body_normalise(struct json_object *in, const char **ret_problem)
{
    struct json_object *out, *params, *message;

    *ret_problem = NULL;
    if (!json_object_is_type(in, json_type_object) || !in) {
        *ret_problem = "invalid JSON";
        return NULL;
    }
    out = json_object_get(in);
    if (!json_object_object_get(in,
                                "jsonrpc")) { /* wrapped: other members at the top are dropped */
        out = json_object_new_object();
        json_object_object_add(out, "jsonrpc", json_object_new_string("2.0"));
        add_uuid(out, "id");
        json_object_object_add(out, "method",
                               json_object_get(json_object_object_get(in, "method")));
        json_object_object_add(out, "params",
                               json_object_get(json_object_object_get(in, "params")));
        json_object_put(in);
    }
    params = json_object_object_get(out, "params");
    message = json_object_is_type(params, json_type_object)
                  ? json_object_object_get(params, "message")
                  : NULL;
    if (json_object_is_type(message, json_type_object) && message)
        *ret_problem = message_normalise(message);
    else if (slice_starts_with(slice_of(field_text(out, "method")), SLICE("message/")))
        *ret_problem = "params.message is required";
    if (*ret_problem) {
        json_object_put(out);
        return NULL;
    }
    return out;
}

/* The text of a message, for the story. */
static const char *first_text(struct json_object *body)
{
    struct json_object *params = json_object_object_get(body, "params"), *message, *parts, *part;

    message = json_object_is_type(params, json_type_object)
                  ? json_object_object_get(params, "message")
                  : NULL;
    parts = json_object_is_type(message, json_type_object)
                ? json_object_object_get(message, "parts")
                : NULL;
    part = json_object_is_type(parts, json_type_array) ? json_object_array_get_idx(parts, 0) : NULL;
    return json_object_is_type(part, json_type_object) ? field_text(part, "text") : "";
}

static void store_for_polling(struct call *c, const struct workspace *ws, struct slice caller,
                              struct json_object *body)
{
    struct row *r = json_has_nul(body) ? NULL : row_new(&c->dp->world.rows, ws->id, "a2a_receive");
    const char *method = field_text(body, "method");
    char summary[WORLD_NAME_MAX + 96];
    struct json_object *o;

    if (r) { /* U+0000 cannot be stored: answered all the same, and lost */
        text_copy(r->source_id, sizeof(r->source_id), caller);
        text_copy(r->target_id, sizeof(r->target_id), slice_of(ws->id));
        text_set(&r->method, method);
        snprintf(summary, sizeof(summary), "%.64s → %s (queued for poll)", method, ws->name);
        text_set(&r->summary, summary);
        row_set_request(r, body);
        feed_publish(&c->dp->feed, r);
    }
    call_note(c, "\"%.60s\" waits to be fetched", first_text(body));
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("queued"));
    json_object_object_add(o, "delivery_mode", json_object_new_string("poll"));
    json_object_object_add(o, "method", json_object_new_string(method));
    call_answer(c, 200, o);
}

/* The target, when this caller may send to it; else the call was answered. */
static struct workspace *target_for(struct call *c, struct slice *ret_caller)
{
    const struct world *w = &c->dp->world;
    struct workspace *ws = world_find(w, c->params[0]), *from;

    if (!auth_caller(c, (struct slice){0}, ret_caller))
        return NULL;
    if (ret_caller->n > 0) {
        from = world_find(w, *ret_caller);
        if (c->dp->database_is_down || !from || !ws || !world_may_talk(w, from, ws)) {
            call_error(c, 403, "access denied: workspaces cannot communicate per hierarchy");
            return NULL;
        }
    }
    if (c->dp->database_is_down) {
        call_error(c, 500, "lookup failed");
        return NULL;
    }
    if (!ws)
        call_error(c, 404, "workspace not found");
    return ws;
}

static void push(struct call *c, struct workspace *ws, struct slice caller,
                 struct json_object *body)
{
    struct json_object *o;
    struct err err = {0};

    if (!ws->url[0]) {
        o = json_object_new_object();
        json_object_object_add(o, "error", json_object_new_string("workspace has no URL"));
        json_object_object_add(o, "status", json_object_new_string(status_name(ws->status)));
        call_note(c, "workspace has no URL (%s)", status_name(ws->status));
        call_answer(c, 503, o);
        return;
    }
    if (url_check(ws->url, URL_CHECK_DISPATCH, &err) < 0) {
        call_error(c, 502, "workspace URL is not publicly routable");
        return;
    }
    devlog_say(&c->dp->log, "  pushing \"%.60s\" to %s", first_text(body), ws->url);
    dispatch_start(&c->dp->dispatcher, c, ws, caller, body);
}

void handle_a2a(struct call *c)
{
    const struct answered *answered;
    struct workspace *ws;
    struct json_object *body;
    struct slice caller;
    const char *problem;

    ws = target_for(c, &caller);
    if (!ws)
        return;
    body = body_normalise(c->json, &problem);
    if (!body) {
        call_error(c, 400, problem);
        return;
    }
    answered = answers_on_message(&c->dp->answers, caller, ws, body);
    if (answered)
        data_on_answer(c->dp->data, answered);
    if (strcmp(ws->delivery_mode, "poll") == 0)
        store_for_polling(c, ws, caller, body); /* removed ones too: nobody will ever read it */
    else
        push(c, ws, caller, body);
    json_object_put(body);
}

void handle_queue_status(struct call *c)
{
    const struct queue_item *it = queue_find(&c->dp->dispatcher, c->params[1]);
    struct slice caller;

    if (!auth_caller(c, (struct slice){0}, &caller))
        return;
    if (!it || !slice_eq(c->params[0], slice_of(it->workspace_id)) ||
        (!slice_eq(caller, slice_of(it->workspace_id)) &&
         !slice_eq(caller, slice_of(it->source_id)))) {
        call_error(c, 404, "queue item not found");
        return;
    }
    call_answer(c, 200, queue_item_to_json(it));
}
