/*
 * Who is there and who may talk to whom. Source: P sections 7.4 and 14.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include <stdio.h>

void handle_check_access(struct call *c)
{
    const struct world *w = &c->dp->world;
    const struct workspace *a, *b;
    struct json_object *o;

    if (!call_need_object(c))
        return;
    if (!fields_are_strings(c->json, (const char *[]){"caller_id", "target_id", NULL}) ||
        !field_text(c->json, "caller_id")[0] || !field_text(c->json, "target_id")[0]) {
        call_error(c, 400, "invalid request body");
        return;
    }
    a = world_find(w, slice_of(field_text(c->json, "caller_id")));
    b = world_find(w, slice_of(field_text(c->json, "target_id")));
    o = json_object_new_object();
    json_object_object_add(
        o, "allowed",
        json_object_new_boolean(!c->dp->database_is_down && a && b && world_may_talk(w, a, b)));
    call_answer(c, 200, o);
}

static struct json_object *peer_to_json(const struct workspace *ws)
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
    json_object_object_add(o, "agent_card", json_object_get(ws->agent_card));
    return o;
}

static bool peer_is_wanted(const struct workspace *ws, const char *wanted)
{
    return ws->status != STATUS_REMOVED && (!wanted[0] || strcasestr(ws->name, wanted) ||
                                            (ws->role && strcasestr(ws->role, wanted)));
}

void handle_peers(struct call *c)
{
    const struct world *w = &c->dp->world;
    struct workspace *self = world_find(w, c->params[0]);
    struct json_object *list;
    struct slice caller;
    char wanted[256] = "";

    if (!auth_caller(c, c->params[0], &caller))
        return;
    if (c->dp->database_is_down || !self) {
        call_error(c, self ? 500 : 404, self ? "query failed" : "workspace not found");
        return;
    }
    call_query(c, "q", wanted, sizeof(wanted));
    list = json_object_new_array();
    for (int step = 0; step < 3; step++) { /* siblings, then children, then the parent */
        LIST_FOREACH(it, &w->workspaces)
        {
            const struct workspace *ws = container_of(it, struct workspace, node);
            const bool is_step[] = {
                ws != self && strcmp(ws->parent_id, self->parent_id) == 0,
                strcmp(ws->parent_id, self->id) == 0,
                strcmp(ws->id, self->parent_id) == 0,
            };
            if (is_step[step] && peer_is_wanted(ws, wanted))
                json_object_array_add(list, peer_to_json(ws));
        }
    }
    call_answer(c, 200, list);
}

void handle_discover(struct call *c)
{
    const struct world *w = &c->dp->world;
    struct workspace *target = world_find(w, c->params[0]), *self;
    struct json_object *o;
    struct slice caller;
    char url[WORLD_URL_MAX + 1];

    if (call_header(c, "X-Workspace-ID").n == 0) {
        call_error(c, 400, "X-Workspace-ID header is required");
        return;
    }
    if (!auth_caller(c, (struct slice){0}, &caller))
        return;
    self = world_find(w, caller);
    if (c->dp->database_is_down || !self || !target || !world_may_talk(w, self, target)) {
        call_error(c, 403, "not authorized to discover this workspace");
        return;
    }
    if (target->status == STATUS_REMOVED) {
        call_error(c, 404, "workspace not found");
        return;
    }
    if (!target->url[0] && strcmp(target->delivery_mode, "poll") != 0) {
        o = json_object_new_object();
        json_object_object_add(o, "error", json_object_new_string("workspace not available"));
        json_object_object_add(o, "status", json_object_new_string(status_name(target->status)));
        call_answer(c, 503, o);
        return;
    }
    if (target->url[0])
        snprintf(url, sizeof(url), "%s", target->url);
    else
        snprintf(url, sizeof(url), "http://ws-%.12s:8000",
                 target->id); /* invented, as the server does */
    o = json_object_new_object();
    json_object_object_add(o, "id", json_object_new_string(target->id));
    json_object_object_add(o, "url", json_object_new_string(url));
    json_object_object_add(o, "name", json_object_new_string(target->name));
    call_answer(c, 200, o);
}
