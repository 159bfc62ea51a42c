/*
 * Secrets and tokens of a workspace. Values and tokens go into answers only, never into the log.
 * Source: P sections 6.3 and 9.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/parse.h"

enum { TOKENS_LIST_DEFAULT = 50, TOKENS_LIST_MAX = 200, TOKEN_PREFIX_LEN = 8 };

static struct workspace *named_by_path(const struct call *c)
{
    return world_find(&c->dp->world, c->params[0]);
}

static void answer_one(struct call *c, int status, const char *key, const char *value)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, key, json_object_new_string(value));
    call_answer(c, status, o);
}

/* ---- secrets
 * ---------------------------------------------------------------------------------------------------
 */

static bool id_is_lowercase(struct slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] >= 'A' && id.p[i] <= 'F')
            return false;
    }
    return is_uuid(id);
}

void handle_secret_values(struct call *c)
{
    struct workspace *ws = named_by_path(c);

    if (!auth_workspace(c, ws))
        return;
    if (!id_is_lowercase(c->params[0])) {
        call_error(c, 400, "invalid workspace ID");
        return;
    }
    if (!auth_own_token(c, ws))
        return;
    call_note(c, "%d secrets", json_object_object_length(ws->secrets));
    call_answer(c, 200, json_object_get(ws->secrets));
}

void handle_secret_names(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *list;

    if (!auth_workspace(c, ws))
        return;
    list = json_object_new_array();
    if (ws) {
        json_object_object_foreach(ws->secrets, key, value)
        {
            struct json_object *o = json_object_new_object();
            (void)value; /* never shown */
            json_object_object_add(o, "key", json_object_new_string(key));
            json_object_array_add(list, o);
        }
    }
    call_answer(c, 200, list);
}

void handle_secret_save(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;
    const char *key;

    if (!auth_workspace(c, ws) || !call_need_object(c))
        return;
    key = field_text(c->json, "key");
    if (!ws || !key[0] ||
        !json_object_is_type(json_object_object_get(c->json, "value"), json_type_string)) {
        call_error(c, ws ? 400 : 404, ws ? "key and value are required" : "workspace not found");
        return;
    }
    json_object_object_add(ws->secrets, key,
                           json_object_get(json_object_object_get(c->json, "value")));
    ws->is_unsaved = true;
    call_note(c, "%s saved", key);
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("saved"));
    json_object_object_add(o, "key", json_object_new_string(key));
    call_answer(c, 200, o);
}

/* ---- tokens
 * ----------------------------------------------------------------------------------------------------
 */

static int64_t query_int(const struct call *c, const char *name, int64_t min, int64_t max,
                         int64_t otherwise)
{
    char text[24];
    int64_t n;

    if (!call_query(c, name, text, sizeof(text)) || parse_int64(slice_of(text), min, max, &n) < 0)
        return otherwise;
    return n;
}

void handle_token_list(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    int64_t limit = query_int(c, "limit", 1, TOKENS_LIST_MAX, TOKENS_LIST_DEFAULT);
    int64_t offset = query_int(c, "offset", 0, INT64_MAX, 0), at = 0;
    struct json_object *o, *list;

    if (!auth_workspace(c, ws))
        return;
    list = json_object_new_array();
    if (ws) {
        LIST_FOREACH(it, &ws->tokens)
        {
            const struct token *t = container_of(it, struct token, node);
            char time[WORLD_TIME_MAX];
            if (t->is_revoked || at++ < offset || at > offset + limit)
                continue;
            o = json_object_new_object();
            json_object_object_add(o, "id", json_object_new_string(t->id));
            json_object_object_add(
                o, "prefix",
                json_object_new_string_len(
                    t->text, strlen(t->text) < TOKEN_PREFIX_LEN * 2 ? 1 : TOKEN_PREFIX_LEN));
            json_object_object_add(o, "created_at",
                                   json_object_new_string(time_text(t->created_us, time)));
            json_add_text(o, "last_used_at",
                          t->last_used_us ? time_text(t->last_used_us, time) : NULL);
            json_object_array_add(list, o);
        }
    }
    o = json_object_new_object();
    json_object_object_add(o, "count",
                           json_object_new_int64((int64_t)json_object_array_length(list)));
    json_object_object_add(o, "tokens", list);
    call_answer(c, 200, o);
}

void handle_token_mint(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;
    struct token *t;
    char mask[16];

    if (!auth_workspace(c, ws))
        return;
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return;
    }
    if (token_live_count(ws) >= WORLD_TOKENS_LIVE_MAX) {
        call_error(c, 429, "maximum 50 active tokens per workspace");
        return;
    }
    t = token_add(ws, NULL);
    if (!t) {
        call_error(c, 500, "failed to create token");
        return;
    }
    call_note(c, "minted %s", token_mask(slice_of(t->text), mask));
    o = json_object_new_object();
    json_object_object_add(o, "auth_token", json_object_new_string(t->text));
    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "message", json_object_new_string("shown once: keep it now"));
    call_answer(c, 201, o);
}

void handle_token_revoke(struct call *c)
{
    struct workspace *ws = named_by_path(c);

    if (!auth_workspace(c, ws))
        return;
    if (ws) {
        LIST_FOREACH(it, &ws->tokens)
        {
            struct token *t = container_of(it, struct token, node);
            if (!t->is_revoked && slice_eq(c->params[1], slice_of(t->id))) {
                t->is_revoked = true;
                ws->is_unsaved = true;
                answer_one(c, 200, "status", "revoked");
                return;
            }
        }
    }
    call_error(c, 404, "token not found");
}

void handle_rotate(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;
    struct token *t;
    char mask[16];

    if (!auth_workspace(c, ws))
        return;
    if (!ws || strcmp(ws->runtime, "external") != 0) {
        call_error(c, ws ? 400 : 404, ws ? "not an external workspace" : "workspace not found");
        return;
    }
    token_revoke_all(ws);
    t = token_add(ws, NULL);
    events_emit(&c->dp->events, ws->id, "EXTERNAL_CREDENTIALS_ROTATED", NULL);
    call_note(c, "all tokens revoked, minted %s", t ? token_mask(slice_of(t->text), mask) : "none");
    o = json_object_new_object();
    json_object_object_add(o, "connection", connection_to_json(c->dp, ws, t ? t->text : ""));
    call_answer(c, 200, o);
}

void handle_connection(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;

    if (!auth_workspace(c, ws))
        return;
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return;
    }
    o = json_object_new_object();
    json_object_object_add(o, "connection", connection_to_json(c->dp, ws, ""));
    call_answer(c, 200, o);
}
