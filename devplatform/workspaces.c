/*
 * The rows themselves: create, read, pause, resume, delete, and the state an agent asks for.
 * Source: P sections 5.2, 6 and 8.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"
#include "devplatform/urlcheck.h"

#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>

enum { CREATE_SUFFIX_MAX = 20 /* " (2)" .. " (20)" when a name is taken */ };

static struct workspace *named_by_path(const struct call *c)
{
    return world_find(&c->dp->world, c->params[0]);
}

static void answer_status(struct call *c, int status, const char *value)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "status", json_object_new_string(value));
    call_answer(c, status, o);
}

/* ---- create
 * ----------------------------------------------------------------------------------------------------
 */

struct json_object *connection_to_json(const struct devplatform *dp, const struct workspace *ws,
                                       const char *token)
{
    struct json_object *o = json_object_new_object();
    char url[256];

    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "platform_url", json_object_new_string(dp->base_url));
    json_object_object_add(o, "auth_token", json_object_new_string(token));
    snprintf(url, sizeof(url), "%s/registry/register", dp->base_url);
    json_object_object_add(o, "registry_endpoint", json_object_new_string(url));
    snprintf(url, sizeof(url), "%s/registry/heartbeat", dp->base_url);
    json_object_object_add(o, "heartbeat_endpoint", json_object_new_string(url));
    return o;
}

static bool name_is_taken(const struct world *w, const char *name)
{
    LIST_FOREACH(it, &w->workspaces)
    {
        const struct workspace *ws = container_of(it, struct workspace, node);
        if (ws->status != STATUS_REMOVED && strcmp(ws->name, name) == 0)
            return true;
    }
    return false;
}

/* "name", or "name (2)" ... "name (20)" when that is taken; false when all are. */
static bool name_choose(const struct world *w, const char *wanted, char *ret, size_t cap)
{
    snprintf(ret, cap, "%s", wanted);
    for (int i = 2; name_is_taken(w, ret); i++) {
        if (i > CREATE_SUFFIX_MAX)
            return false;
        snprintf(ret, cap, "%s (%d)", wanted, i);
    }
    return true;
}

static const char *create_problem(struct json_object *o)
{
    static const char *const texts[] = {"name",          "role",      "runtime", "url",
                                        "delivery_mode", "parent_id", NULL};
    static const char *const integers[] = {"tier", "budget_limit", "max_concurrent_tasks", NULL};
    const char *name = field_text(o, "name"), *mode = field_text(o, "delivery_mode");

    if (!fields_are_strings(o, texts) || !fields_are_integers(o, integers) || !name[0])
        return "invalid workspace payload";
    if (strlen(name) > WORLD_NAME_MAX || strpbrk(name, "\r\n{}[]|>*&!") ||
        strlen(field_text(o, "role")) > 1000 ||
        (field_text(o, "parent_id")[0] && !is_uuid(slice_of(field_text(o, "parent_id")))) ||
        strlen(field_text(o, "url")) > WORLD_URL_MAX)
        return "invalid workspace fields";
    if (mode[0] && strcmp(mode, "push") != 0 && strcmp(mode, "poll") != 0)
        return "delivery_mode must be 'push' or 'poll'";
    return NULL;
}

static void create_fill(struct workspace *ws, struct json_object *o)
{
    struct json_object *secrets = json_object_object_get(o, "secrets"), *v;

    if (field_text(o, "role")[0])
        text_set(&ws->role, field_text(o, "role"));
    text_copy(ws->runtime, sizeof(ws->runtime),
              slice_of(field_text(o, "runtime")[0] ? field_text(o, "runtime") : "container"));
    text_copy(ws->url, sizeof(ws->url), slice_of(field_text(o, "url")));
    text_copy(ws->delivery_mode, sizeof(ws->delivery_mode),
              slice_of(field_text(o, "delivery_mode")));
    text_copy(ws->parent_id, sizeof(ws->parent_id), slice_of(field_text(o, "parent_id")));
    if (json_object_is_type(secrets, json_type_object))
        json_set(&ws->secrets, secrets);
    v = json_object_object_get(o, "max_concurrent_tasks");
    if (v && json_object_get_int64(v) > 0)
        ws->max_tasks = json_object_get_int64(v);
    v = json_object_object_get(o, "budget_limit");
    if (v)
        ws->budget_cents = json_object_get_int64(v);
}

void handle_create(struct call *c)
{
    struct devplatform *dp = c->dp;
    struct err err = {0};
    struct workspace *ws;
    struct json_object *o;
    struct token *t = NULL;
    const char *problem;
    char id[WORLD_ID_LEN + 1], name[WORLD_NAME_MAX + 8], mask[16];

    if (!auth_admin(c))
        return;
    if (!json_object_is_type(c->json, json_type_object) || !c->json) {
        call_error(c, 400, "invalid workspace payload");
        return;
    }
    problem = create_problem(c->json);
    if (problem) {
        call_error(c, 400, problem);
        return;
    }
    if (field_text(c->json, "url")[0] &&
        url_check(field_text(c->json, "url"), URL_CHECK_REGISTER, &err) < 0) {
        err_wrap(&err, "unsafe workspace URL");
        call_error(c, 400, err.msg);
        return;
    }
    if (!name_choose(&dp->world, field_text(c->json, "name"), name, sizeof(name))) {
        call_error(c, 409, "workspace name exhausted");
        return;
    }
    uuid_make(id);
    ws = dp->database_is_down ? NULL : world_add(&dp->world, id, name);
    if (!ws) {
        call_error(c, 500, "failed to create workspace");
        return;
    }
    create_fill(ws, c->json);
    ws->status = ws->url[0] ? STATUS_ONLINE : STATUS_AWAITING_AGENT;
    o = json_object_new_object();
    json_object_object_add(o, "id", json_object_new_string(ws->id));
    json_object_object_add(o, "external",
                           json_object_new_boolean(strcmp(ws->runtime, "external") == 0));
    json_object_object_add(o, "status", json_object_new_string(status_name(ws->status)));
    if (!ws->url[0]) {
        t = token_add(ws, NULL);
        json_object_object_add(o, "connection", connection_to_json(dp, ws, t ? t->text : ""));
    }
    call_note(c, "created %s \"%s\"%s%s", ws->id, ws->name, t ? ", token " : ", no token yet",
              t ? token_mask(slice_of(t->text), mask) : "");
    call_answer(c, 201, o);
}

/* ---- read
 * ------------------------------------------------------------------------------------------------------
 */

static struct json_object *workspace_to_json(const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "id", json_object_new_string(ws->id));
    json_object_object_add(o, "name", json_object_new_string(ws->name));
    json_add_text(o, "role", ws->role);
    json_object_object_add(o, "tier", json_object_new_int(3));
    json_object_object_add(o, "status", json_object_new_string(status_name(ws->status)));
    json_object_object_add(o, "url", json_object_new_string(ws->url));
    json_add_text(o, "parent_id", ws->parent_id);
    json_object_object_add(o, "active_tasks", json_object_new_int64(ws->active_tasks));
    json_object_object_add(o, "max_concurrent_tasks", json_object_new_int64(ws->max_tasks));
    json_object_object_add(o, "last_error_rate", json_object_new_double(ws->error_rate));
    json_object_object_add(o, "uptime_seconds", json_object_new_int64(ws->uptime_s));
    json_object_object_add(o, "runtime", json_object_new_string(ws->runtime));
    json_object_object_add(o, "agent_card", json_object_get(ws->agent_card));
    json_object_object_add(o, "x", json_object_new_int(0));
    json_object_object_add(o, "y", json_object_new_int(0));
    json_object_object_add(o, "collapsed", json_object_new_boolean(false));
    json_object_object_add(o, "last_outbound_at", NULL);
    return o;
}

void handle_get(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;
    char text[WORLD_TIME_MAX], removed[8] = "";

    if (!is_uuid(c->params[0])) {
        call_error(c, 400, "invalid workspace ID");
        return;
    }
    if (c->dp->database_is_down) {
        call_error(c, 500, "query failed");
        return;
    }
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return;
    }
    call_query(c, "include_removed", removed, sizeof(removed));
    if (ws->status == STATUS_REMOVED && strcmp(removed, "true") != 0) {
        o = json_object_new_object();
        json_object_object_add(o, "error", json_object_new_string("workspace removed"));
        json_object_object_add(o, "id", json_object_new_string(ws->id));
        json_object_object_add(o, "removed_at",
                               json_object_new_string(time_text(ws->removed_us, text)));
        json_object_object_add(o, "hint",
                               json_object_new_string("pass include_removed=true to read it"));
        call_answer(c, 410, o);
        return;
    }
    call_note(c, "%s", status_name(ws->status));
    call_answer(c, 200, workspace_to_json(ws));
}

void handle_state(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;

    if (!auth_workspace(c, ws))
        return;
    if (!ws ||
        ws->status == STATUS_REMOVED) { /* only the admin token or development mode come this far */
        o = json_object_new_object();
        json_object_object_add(o, "workspace_id",
                               json_object_new_string_len(c->params[0].p, (int)c->params[0].n));
        json_object_object_add(o, "deleted", json_object_new_boolean(true));
        if (ws)
            json_object_object_add(o, "status", json_object_new_string("removed"));
        call_answer(c, 404, o);
        return;
    }
    if (!auth_own_token(c, ws))
        return;
    o = json_object_new_object();
    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "status", json_object_new_string(status_name(ws->status)));
    json_object_object_add(o, "paused", json_object_new_boolean(ws->status == STATUS_PAUSED));
    json_object_object_add(o, "deleted", json_object_new_boolean(false));
    call_note(c, "%s", status_name(ws->status));
    call_answer(c, 200, o);
}

void handle_budget(struct call *c)
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
    json_object_object_add(o, "budget_limit",
                           ws->budget_cents < 0 ? NULL : json_object_new_int64(ws->budget_cents));
    json_object_object_add(o, "monthly_spend", json_object_new_int64(ws->spend_cents));
    json_object_object_add(
        o, "budget_remaining",
        ws->budget_cents < 0 ? NULL : json_object_new_int64(ws->budget_cents - ws->spend_cents));
    call_answer(c, 200, o);
}

/* ---- pause, resume, restart, delete
 * ---------------------------------------------------------------------------- */

/* The workspace and everything below it that is not removed: fn for each; returns how many. */
static int for_each_below(struct devplatform *dp, struct workspace *top,
                          void (*fn)(struct devplatform *, struct workspace *))
{
    int n = 1;

    LIST_FOREACH(it, &dp->world.workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        if (ws != top && ws->status != STATUS_REMOVED && workspace_is_below(&dp->world, ws, top)) {
            fn(dp, ws);
            n++;
        }
    }
    fn(dp, top);
    return n;
}

static void pause_one(struct devplatform *dp, struct workspace *ws)
{
    ws->url[0] = '\0';
    workspace_set_status(dp, ws, STATUS_PAUSED, "paused by an operator");
}

void handle_pause(struct call *c)
{
    struct workspace *ws = named_by_path(c);
    struct json_object *o;

    if (!auth_workspace(c, ws))
        return;
    if (!ws || ws->status == STATUS_PAUSED || ws->status == STATUS_REMOVED) {
        call_error(c, 404, "workspace not found or already paused");
        return;
    }
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("paused"));
    json_object_object_add(o, "paused_count",
                           json_object_new_int(for_each_below(c->dp, ws, pause_one)));
    call_answer(c, 200, o);
}

static void resume_one(struct devplatform *dp, struct workspace *ws)
{
    if (ws->status == STATUS_PAUSED)
        workspace_set_status(dp, ws,
                             dp->resume_mode == RESUME_FAILED ? STATUS_FAILED : STATUS_PROVISIONING,
                             dp->resume_mode == RESUME_FAILED
                                 ? "resumed: no container to start, only a register lifts it"
                                 : "resumed");
}

void handle_resume(struct call *c)
{
    struct workspace *ws = named_by_path(c), *parent;
    struct json_object *o;

    if (!auth_workspace(c, ws))
        return;
    if (!ws || ws->status != STATUS_PAUSED) {
        call_error(c, 404, "workspace not found or not paused");
        return;
    }
    parent = ws->parent_id[0] ? world_find(&c->dp->world, slice_of(ws->parent_id)) : NULL;
    if (parent && parent->status == STATUS_PAUSED) {
        call_error(c, 409, "parent workspace is paused");
        return;
    }
    if (c->dp->resume_mode == RESUME_UNAVAILABLE) {
        call_error(c, 503, "provisioner not available");
        return;
    }
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("provisioning"));
    json_object_object_add(o, "resumed_count",
                           json_object_new_int(for_each_below(c->dp, ws, resume_one)));
    call_answer(c, 200, o);
}

void handle_restart(struct call *c)
{
    struct workspace *ws = named_by_path(c);

    if (!auth_workspace(c, ws))
        return;
    if (!ws)
        call_error(c, 404, "workspace not found");
    else
        answer_status(c, 200, "noop");
}

static void remove_one(struct devplatform *dp, struct workspace *ws)
{
    token_revoke_all(ws);
    ws->removed_us = wall_us();
    workspace_set_status(dp, ws, STATUS_REMOVED, "deleted");
}

static struct json_object *children_of(const struct world *w, const struct workspace *parent)
{
    struct json_object *list = json_object_new_array();

    LIST_FOREACH(it, &w->workspaces)
    {
        const struct workspace *ws = container_of(it, struct workspace, node);
        if (ws->status != STATUS_REMOVED && strcmp(ws->parent_id, parent->id) == 0) {
            struct json_object *o = json_object_new_object();
            json_object_object_add(o, "id", json_object_new_string(ws->id));
            json_object_object_add(o, "name", json_object_new_string(ws->name));
            json_object_array_add(list, o);
        }
    }
    return list;
}

static void forget(struct devplatform *dp, struct workspace *ws)
{
    struct pending_file *f;

    dispatch_on_purge(&dp->dispatcher, ws);
    feed_on_purge(&dp->feed, ws);
    while ((f = pending_of(&dp->pending, ws->id))) {
        data_drop_file(dp->data, f->id);
        pending_remove(&dp->pending, f);
    }
    data_drop_workspace(dp->data, ws->id);
    world_purge(&dp->world, ws);
}

static void purge_below(struct devplatform *dp, struct workspace *top)
{
    struct list *it = dp->world.workspaces.prev, *before;

    for (; it != &dp->world.workspaces;
         it = before) { /* youngest first: a chain is followed through its parents */
        struct workspace *ws = container_of(it, struct workspace, node);
        before = it->prev;
        if (ws != top && workspace_is_below(&dp->world, ws, top)) {
            forget(dp, ws);
        }
    }
    forget(dp, top);
}

void handle_delete(struct call *c)
{
    struct devplatform *dp = c->dp;
    struct workspace *ws = named_by_path(c);
    struct json_object *o, *children;
    char confirm[8] = "", purge[8] = "";
    int removed = 0;

    if (!auth_admin(c))
        return;
    if (dp->database_is_down) {
        call_error(c, 500, "failed to remove workspace");
        return;
    }
    call_query(c, "confirm", confirm, sizeof(confirm));
    call_query(c, "purge", purge, sizeof(purge));
    o = json_object_new_object();
    if (ws) {
        children = children_of(&dp->world, ws);
        if (json_object_array_length(children) > 0 && strcmp(confirm, "true") != 0) {
            json_object_object_add(o, "status", json_object_new_string("confirmation_required"));
            json_object_object_add(o, "children", children);
            call_answer(c, 409, o);
            return;
        }
        json_object_put(children);
        removed = ws->status == STATUS_REMOVED ? 1 : for_each_below(dp, ws, remove_one);
        if (strcmp(purge, "true") == 0)
            purge_below(dp, ws);
    }
    json_object_object_add(
        o, "status", json_object_new_string(strcmp(purge, "true") == 0 ? "purged" : "removed"));
    json_object_object_add(o, "cascade_deleted",
                           json_object_new_int(removed > 0 ? removed - 1 : 0));
    call_answer(c, 200, o);
}
