/*
 * POST /dev/rows: rows as if somebody had made them, all of one transaction. For tests that need a
 * certain time, a certain shape, or very many.
 */
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/parse.h"

#include <stdio.h>

enum { ROWS_AGE_MAX_MS = 1000 * 1000 * 1000, ROWS_APART_MAX_US = 1000 * 1000 };

/* What the rows of one call have in common. */
struct batch {
    struct workspace *ws;
    int64_t created_us;
    int64_t apart_us; /* between one row and the next */
    bool has_event;
};

static void add_or_make(struct json_object *o, const char *key, struct json_object *spec,
                        const char *from)
{
    char id[WORLD_ID_LEN + 1];

    uuid_make(id);
    json_object_object_add(
        o, key, json_object_new_string(field_text(spec, from)[0] ? field_text(spec, from) : id));
}

/* {"text": ..., "message_id": ..., "context_id": ..., "metadata": ...} as a message/send. */
static struct json_object *message_of(struct json_object *spec)
{
    struct json_object *body = json_object_new_object(), *params = json_object_new_object();
    struct json_object *message = json_object_new_object(), *parts = json_object_new_array();
    struct json_object *part = json_object_new_object();

    json_object_object_add(part, "kind", json_object_new_string("text"));
    json_object_object_add(part, "text", json_object_new_string(field_text(spec, "text")));
    json_object_array_add(parts, part);
    json_object_object_add(message, "role", json_object_new_string("user"));
    json_object_object_add(message, "kind", json_object_new_string("message"));
    add_or_make(message, "messageId", spec, "message_id");
    json_object_object_add(message, "parts", parts);
    if (field_text(spec, "context_id")[0])
        json_object_object_add(message, "contextId",
                               json_object_new_string(field_text(spec, "context_id")));
    if (json_object_object_get(spec, "metadata"))
        json_object_object_add(message, "metadata",
                               json_object_get(json_object_object_get(spec, "metadata")));
    json_object_object_add(params, "message", message);
    json_object_object_add(body, "jsonrpc", json_object_new_string("2.0"));
    add_or_make(body, "id", spec, "rpc_id");
    json_object_object_add(body, "method", json_object_new_string("message/send"));
    json_object_object_add(body, "params", params);
    return body;
}

static void bodies_fill(struct row *r, struct json_object *spec)
{
    struct json_object *body = json_object_object_get(spec, "text") ? message_of(spec) : NULL;

    row_set_request(r, body ? body : json_object_object_get(spec, "request_body"));
    json_object_put(body);
    if (json_object_object_get_ex(spec, "response_body", &body)) /* null is one, too */
        row_set_response(r, body);
}

static struct row *row_of(struct world *w, const struct batch *b, struct json_object *spec)
{
    const char *type = field_text(spec, "type"), *method = field_text(spec, "method");
    struct row *r = row_new(&w->rows, b->ws->id, type[0] ? type : "a2a_receive");

    if (!r)
        return NULL;
    r->created_us = b->created_us;
    text_copy(r->source_id, sizeof(r->source_id), slice_of(field_text(spec, "source_id")));
    text_copy(r->target_id, sizeof(r->target_id), slice_of(b->ws->id));
    text_set(&r->method, method[0] ? method : "message/send");
    text_set(&r->summary, field_text(spec, "summary"));
    text_set(&r->error_detail, field_text(spec, "error_detail"));
    if (field_text(spec, "status")[0])
        text_copy(r->status, sizeof(r->status), slice_of(field_text(spec, "status")));
    if (json_object_object_get(spec, "duration_ms"))
        r->duration_ms = field_int(spec, "duration_ms");
    bodies_fill(r, spec);
    return r;
}

static const char *batch_read(struct call *c, struct batch *b, struct json_object **ret_rows)
{
    int64_t age_ms = field_int(c->json, "age_ms"), apart_us = field_int(c->json, "apart_us");
    struct json_object *event = json_object_object_get(c->json, "event");

    *ret_rows = json_object_object_get(c->json, "rows");
    b->ws = world_find(&c->dp->world, slice_of(field_text(c->json, "workspace")));
    if (!b->ws)
        return "workspace must be the id of one";
    if (!json_object_is_type(*ret_rows, json_type_array) || !*ret_rows)
        return "rows must be an array of objects";
    if (age_ms < 0 || age_ms > ROWS_AGE_MAX_MS || apart_us < 0 || apart_us > ROWS_APART_MAX_US)
        return "age_ms must be 0 to 1000000000, apart_us 0 to 1000000";
    b->created_us = wall_us() - age_ms * 1000;
    b->apart_us = apart_us;
    b->has_event = !event || json_object_get_boolean(event);
    for (size_t i = 0; i < json_object_array_length(*ret_rows); i++) {
        if (!json_object_is_type(json_object_array_get_idx(*ret_rows, i), json_type_object))
            return "rows must be an array of objects";
    }
    return NULL;
}

void handle_dev_rows(struct call *c)
{
    struct json_object *o, *ids, *rows;
    const char *problem;
    struct batch b;

    if (!call_need_object(c))
        return;
    problem = batch_read(c, &b, &rows);
    if (problem) {
        call_error(c, 400, problem);
        return;
    }
    ids = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(rows); i++, b.created_us += b.apart_us) {
        struct row *r = row_of(&c->dp->world, &b, json_object_array_get_idx(rows, i));
        if (!r)
            continue;
        json_object_array_add(ids, json_object_new_string(r->id));
        feed_publish_now(&c->dp->feed, r, b.has_event);
    }
    o = json_object_new_object();
    json_object_object_add(o, "ids", ids);
    call_answer(c, 200, o);
}
