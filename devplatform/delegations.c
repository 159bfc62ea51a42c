/*
 * Tasks handed to other workspaces (P sections 13.5 and 13.6). With the defect of the target
 * revision: the dispatch dies with the request, so the target never sees the task and the status
 * stays `dispatched`, until somebody updates it.
 *
 * A delegation is its rows in the feed, type `delegation`: there is no other store.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/parse.h"

#include <stdio.h>

enum { DELEGATIONS_LIST_MAX = 50, DELEGATION_PREVIEW_MAX = 300, DELEGATION_SUMMARY_MAX = 200 };

#define TYPE "delegation"

/* The youngest `delegate` row of this workspace whose request has that text under `key`. */
static struct row *find(const struct workspace *ws, const char *key, const char *text)
{
    for (size_t i = ws->feed.count; i > 0; i--) {
        struct row *r = row_feed_at(&ws->feed, i - 1);
        struct json_object *o;
        bool is_it;
        if (strcmp(r->type, TYPE) != 0 || strcmp(r->method, "delegate") != 0 || !r->request_body)
            continue;
        o = json_tokener_parse(r->request_body);
        is_it = strcmp(field_text(o, key), text) == 0;
        json_object_put(o);
        if (is_it)
            return r;
    }
    return NULL;
}

static void delegation_id_of(const struct row *r, char ret[WORLD_ID_LEN + 1])
{
    struct json_object *o = json_tokener_parse(r->request_body);

    text_copy(ret, WORLD_ID_LEN + 1, slice_of(field_text(o, "delegation_id")));
    json_object_put(o);
}

static void tell(struct call *c, const char *type, const struct row *r, const char *id)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "delegation_id", json_object_new_string(id));
    json_add_text(o, "target_id", r->target_id);
    json_object_object_add(o, "status", json_object_new_string(r->status));
    events_emit(&c->dp->events, r->workspace_id, type, o);
}

/* The row of a new delegation; NULL without memory. */
static struct row *begin(struct call *c, const struct workspace *ws, const char *id,
                         const char *status)
{
    struct row *r = row_new(&c->dp->world.rows, ws->id, TYPE);
    struct json_object *o;
    char summary[DELEGATION_SUMMARY_MAX];

    if (!r)
        return NULL;
    o = json_object_new_object();
    json_object_object_add(o, "delegation_id", json_object_new_string(id));
    json_object_object_add(o, "task", json_object_new_string(field_text(c->json, "task")));
    json_add_text(o, "idempotency_key", field_text(c->json, "idempotency_key"));
    text_copy(r->source_id, sizeof(r->source_id), slice_of(ws->id));
    text_copy(r->target_id, sizeof(r->target_id), slice_of(field_text(c->json, "target_id")));
    text_copy(r->status, sizeof(r->status), slice_of(status));
    text_set(&r->method, "delegate");
    snprintf(summary, sizeof(summary), "Delegating: %.100s", field_text(c->json, "task"));
    text_set(&r->summary, summary);
    row_set_request(r, o);
    json_object_put(o);
    tell(c, "DELEGATION_SENT", r, id);
    feed_publish_now(&c->dp->feed, r, true);
    return r;
}

/* The workspace of a well-formed call; NULL: it was answered. */
static struct workspace *delegator(struct call *c)
{
    static const char *const texts[] = {"target_id", "task", "idempotency_key", "delegation_id",
                                        NULL};
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    const char *target;

    if (!auth_workspace(c, ws))
        return NULL;
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return NULL;
    }
    if (!json_object_is_type(c->json, json_type_object) || !c->json ||
        !fields_are_strings(c->json, texts) || !field_text(c->json, "target_id")[0] ||
        !field_text(c->json, "task")[0]) {
        call_error(c, 400, "invalid delegation request");
        return NULL;
    }
    target = field_text(c->json, "target_id");
    if (!is_uuid(slice_of(target)))
        call_error(c, 400, "target_id must be a valid UUID");
    else if (strcmp(target, ws->id) == 0)
        call_error(c, 400, "self-delegation not permitted");
    else
        return ws;
    return NULL;
}

static void answer(struct call *c, int status, const char *id, const char *word, const char *target,
                   bool is_hit)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "delegation_id", json_object_new_string(id));
    json_object_object_add(o, "status", json_object_new_string(word));
    if (target)
        json_object_object_add(o, "target_id", json_object_new_string(target));
    if (is_hit)
        json_object_object_add(o, "idempotent_hit", json_object_new_boolean(true));
    call_answer(c, status, o);
}

void handle_delegate(struct call *c)
{
    const struct workspace *ws = delegator(c);
    const char *key;
    struct row *r;
    char id[WORLD_ID_LEN + 1];

    if (!ws)
        return;
    key = field_text(c->json, "idempotency_key");
    r = key[0] ? find(ws, "idempotency_key", key) : NULL;
    if (r && strcmp(r->status, "failed") != 0) {
        delegation_id_of(r, id);
        answer(c, 200, id, r->status, r->target_id, true);
        return;
    }
    uuid_make(id);
    if (!begin(c, ws, id, "dispatched")) {
        call_error(c, 500, "out of memory");
        return;
    }
    call_note(c, "the target will not see it: the server's own defect");
    answer(c, 202, id, "delegated", field_text(c->json, "target_id"), false);
}

void handle_delegation_record(struct call *c)
{
    const struct workspace *ws = delegator(c);
    const char *id;

    if (!ws)
        return;
    id = field_text(c->json, "delegation_id");
    if (!id[0] || !begin(c, ws, id, "dispatched"))
        call_error(c, 400, "invalid delegation request");
    else
        answer(c, 202, id, "recorded", NULL, false);
}

/* The one in the inbox names neither the target nor another source than its reader. */
static void make_inbox_copy(struct row *result, const char *id, const char *workspace_id)
{
    bool is_failed = strcmp(result->status, "failed") == 0;
    struct json_object *o = json_object_new_object();

    text_copy(result->source_id, sizeof(result->source_id), slice_of(workspace_id));
    result->target_id[0] = '\0';
    text_copy(result->status, sizeof(result->status), slice_of(is_failed ? "error" : "ok"));
    text_set(&result->summary, is_failed ? "Delegation failed" : "Delegation result delivered");
    json_object_object_add(o, "delegation_id", json_object_new_string(id));
    row_set_request(result, o);
    json_object_put(o);
}

/* The result as a row: for whoever looks at delegations, or in the inbox. */
static void leave_result(struct call *c, const struct row *r, const char *id, const char *type)
{
    struct row *result = row_new(&c->dp->world.rows, r->workspace_id, type);
    struct json_object *o;

    if (!result)
        return;
    o = json_object_new_object();
    json_object_object_add(o, "delegation_id", json_object_new_string(id));
    json_object_object_add(o, "text",
                           json_object_new_string(field_text(c->json, "response_preview")));
    text_copy(result->source_id, sizeof(result->source_id), slice_of(r->workspace_id));
    text_copy(result->target_id, sizeof(result->target_id), slice_of(r->target_id));
    text_copy(result->status, sizeof(result->status), slice_of(r->status));
    text_set(&result->method, "delegate_result");
    text_set(&result->summary,
             strcmp(r->status, "failed") == 0 ? "Delegation failed" : "Delegation completed");
    if (field_text(c->json, "error")[0])
        text_set(&result->error_detail, field_text(c->json, "error"));
    row_set_response(result, o);
    json_object_put(o);
    if (strcmp(type, TYPE) != 0)
        make_inbox_copy(result, id, r->workspace_id);
    feed_publish_now(&c->dp->feed, result, true);
}

void handle_delegation_update(struct call *c)
{
    static const char *const texts[] = {"status", "error", "response_preview", NULL};
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct row *r, seen;
    const char *status;
    char id[WORLD_ID_LEN + 1];

    if (!auth_workspace(c, ws) || !call_need_object(c))
        return;
    status = fields_are_strings(c->json, texts) ? field_text(c->json, "status") : "";
    if (strcmp(status, "completed") != 0 && strcmp(status, "failed") != 0) {
        call_error(c, 400, "status must be 'completed' or 'failed'");
        return;
    }
    text_copy(id, sizeof(id), c->params[1]);
    r = ws ? find(ws, "delegation_id", id) : NULL;
    if (!r) {
        call_error(c, 404, "delegation not found");
        return;
    }
    text_copy(r->status, sizeof(r->status), slice_of(status));
    if (field_text(c->json, "error")[0])
        text_set(&r->error_detail, field_text(c->json, "error"));
    data_on_row(c->dp->data, r);
    tell(c, strcmp(status, "failed") == 0 ? "DELEGATION_FAILED" : "DELEGATION_COMPLETE", r, id);
    seen = *r; /* its ids and status: a new row may push the old one out */
    leave_result(c, &seen, id, TYPE);
    if (c->dp->options->delegation_results)
        leave_result(c, &seen, id, "a2a_receive");
    answer(c, 200, id, status, NULL, false);
}

/* P section 13.6: a failed result has no delegation_id, previews are cut. */
static struct json_object *log_row(const struct row *r)
{
    struct json_object *o = json_object_new_object();
    struct json_object *request = r->request_body ? json_tokener_parse(r->request_body) : NULL;
    struct json_object *response = r->response_body ? json_tokener_parse(r->response_body) : NULL;
    const char *text = response ? field_text(response, "text") : "";
    bool is_lost = response && strcmp(r->status, "failed") == 0;
    char time[WORLD_TIME_MAX], preview[DELEGATION_PREVIEW_MAX + 1];

    json_object_object_add(o, "id", json_object_new_string(r->id));
    json_object_object_add(o, "type", json_object_new_string(r->type));
    json_add_text(o, "source_id", r->source_id);
    json_add_text(o, "target_id", r->target_id);
    json_add_text(o, "summary", r->summary);
    json_object_object_add(o, "status", json_object_new_string(r->status));
    json_object_object_add(o, "created_at", json_object_new_string(time_text(r->created_us, time)));
    if (!is_lost)
        json_add_text(o, "delegation_id",
                      field_text(response ? response : request, "delegation_id"));
    if (r->error_detail)
        json_object_object_add(o, "error", json_object_new_string(r->error_detail));
    if (text[0]) {
        text_copy(preview, sizeof(preview), slice_of(text));
        json_object_object_add(o, "response_preview", json_object_new_string(preview));
    }
    json_object_put(request);
    json_object_put(response);
    return o;
}

void handle_delegations(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct json_object *list;

    if (!auth_workspace(c, ws))
        return;
    list = json_object_new_array();
    for (size_t i = ws ? ws->feed.count : 0;
         i > 0 && json_object_array_length(list) < DELEGATIONS_LIST_MAX; i--) {
        const struct row *r = row_feed_at(&ws->feed, i - 1);
        if (strcmp(r->type, TYPE) == 0)
            json_object_array_add(list, log_row(r));
    }
    call_answer(c, 200, list);
}
