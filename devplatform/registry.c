/*
 * Register, heartbeat, update-card: how an agent makes itself known. Source: P
 * sections 5.1, 7.1-7.3, with the hazards told there.
 */
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"
#include "devplatform/urlcheck.h"

#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>

/* The runtime of a row that register makes for an id nobody knows: a container's, so the staleness
 * sweep passes it by. */
#define UNKNOWN_RUNTIME "container"

/* `degraded` rules of P section 5.1. */
enum { DEGRADE_PERCENT = 50, RECOVER_PERCENT = 10, UPTIME_MAX = 2147483647 };

static void add_inbound_secret(struct json_object *o, struct workspace *ws)
{
    char invented[48];

    if (!ws ||
        ws->status == STATUS_REMOVED) { /* the server makes one up for rows that are not there */
        token_make(invented);
        json_object_object_add(o, "platform_inbound_secret", json_object_new_string(invented));
        return;
    }
    json_object_object_add(o, "platform_inbound_secret",
                           json_object_new_string(workspace_inbound_secret(ws)));
}

/* payload, else stored, else "poll" for external rows, else "push" */
static const char *effective_mode(const char *asked, const struct workspace *ws)
{
    if (asked[0])
        return asked;
    if (ws && ws->delivery_mode[0])
        return ws->delivery_mode;
    return "push"; /* the column's default, which is what an omitted field meets in practice */
}

struct registration {
    const char *id;
    const char *url;
    const char *mode; /* as asked; "" when absent */
    struct json_object *card;
};

static bool registration_read(struct call *c, struct registration *r)
{
    struct json_object *id, *card;

    if (!call_need_object(c))
        return false;
    id = json_object_object_get(c->json, "id");
    card = json_object_object_get(c->json, "agent_card");
    if (!fields_are_strings(c->json, (const char *[]){"id", "url", "delivery_mode", NULL}) || !id ||
        !card) {
        call_error(c, 400, "invalid request body");
        return false;
    }
    *r = (struct registration){
        .id = json_object_get_string(id),
        .url = field_text(c->json, "url"),
        .mode = field_text(c->json, "delivery_mode"),
        .card = card,
    };
    if (!r->id[0]) {
        call_error(c, 400, "invalid request body");
        return false;
    }
    if (r->mode[0] && strcmp(r->mode, "push") != 0 && strcmp(r->mode, "poll") != 0) {
        call_error(c, 400, "delivery_mode must be 'push' or 'poll'");
        return false;
    }
    return true;
}

/* The upsert. A removed row stays as it is. */
static void registration_store(struct devplatform *dp, struct workspace *ws,
                               const struct registration *r, const char *mode)
{
    if (ws->status == STATUS_REMOVED)
        return;
    json_set(&ws->agent_card, r->card);
    text_copy(ws->url, sizeof(ws->url), slice_of(r->url));
    text_copy(ws->delivery_mode, sizeof(ws->delivery_mode), slice_of(mode));
    ws->heard_ms = loop_now_ms(dp->loop);
    ws->registrations++;
    ws->is_unsaved = true;
    if (ws->status == STATUS_ONLINE)
        events_on_status(&dp->events, ws); /* each register says so, also when nothing changed */
    workspace_set_status(dp, ws, STATUS_ONLINE, "register");
}

void handle_register(struct call *c)
{
    struct devplatform *dp = c->dp;
    struct registration r;
    struct workspace *ws;
    struct token *minted = NULL;
    struct json_object *o;
    struct err err = {0};
    const char *mode;
    char mask[16];

    if (!registration_read(c, &r))
        return;
    call_log_body(c, c->json);
    ws = world_find(&dp->world, slice_of(r.id));
    mode = effective_mode(r.mode, ws);
    if (strcmp(mode, "push") == 0) {
        if (!r.url[0]) {
            call_error(c, 400, "url is required for push-mode workspaces");
            return;
        }
        if (url_check(r.url, URL_CHECK_REGISTER, &err) < 0) {
            call_error(c, 400, err.msg);
            return;
        }
    }
    if (!auth_registry(c, ws))
        return;
    if (dp->database_is_down || !is_uuid(slice_of(r.id)) || json_has_nul(r.card) ||
        strlen(r.url) > WORLD_URL_MAX) {
        call_error(c, 500, "registration failed");
        return;
    }
    if (!ws) {
        ws = world_add(&dp->world, r.id, r.id);
        if (!ws) {
            call_error(c, 500, "registration failed");
            return;
        }
        text_copy(ws->runtime, sizeof(ws->runtime), SLICE(UNKNOWN_RUNTIME));
        devlog_say(&dp->log, "  nobody knew workspace %s: register has created it", ws->id);
    }
    registration_store(dp, ws, &r, mode);
    if (token_live_count(ws) == 0)
        minted = token_add(ws, NULL);
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("registered"));
    json_object_object_add(o, "delivery_mode", json_object_new_string(mode));
    if (minted)
        json_object_object_add(o, "auth_token", json_object_new_string(minted->text));
    add_inbound_secret(o, ws);
    call_note(c, "%s %s%s%s%s%s", mode, ws->url, minted ? ", token minted " : "",
              minted ? token_mask(slice_of(minted->text), mask) : "",
              ws->status == STATUS_REMOVED
                  ? ", but the workspace is removed: that token will never work"
                  : "",
              r.mode[0] ? "" : ", no delivery_mode in the request");
    call_answer(c, 200, o);
}

/* ---- heartbeat
 * -------------------------------------------------------------------------------------------------
 */

static bool beat_is_well_typed(struct json_object *beat)
{
    static const char *const texts[] = {"workspace_id", "sample_error", "current_task",
                                        "runtime_state", NULL};
    static const char *const integers[] = {"active_tasks", "uptime_seconds", "monthly_spend", NULL};
    struct json_object *rate, *meta;

    if (!fields_are_strings(beat, texts) || !fields_are_integers(beat, integers) ||
        !field_text(beat, "workspace_id")[0])
        return false;
    rate = json_object_object_get(beat, "error_rate");
    if (rate && !json_object_is_type(rate, json_type_double) &&
        !json_object_is_type(rate, json_type_int))
        return false;
    meta = json_object_object_get(beat, "runtime_metadata");
    if (!meta)
        return true;
    return json_object_is_type(meta, json_type_object) &&
           fields_are_integers(meta, (const char *[]){"idle_timeout_seconds", NULL});
}

static bool beat_fits_columns(struct json_object *beat)
{
    int64_t uptime = field_int(beat, "uptime_seconds"), tasks = field_int(beat, "active_tasks");

    return uptime >= -UPTIME_MAX - 1LL && uptime <= UPTIME_MAX && tasks >= -UPTIME_MAX - 1LL &&
           tasks <= UPTIME_MAX && !json_has_nul(beat) &&
           is_uuid(slice_of(field_text(beat, "workspace_id")));
}

/* Every column is overwritten, also by what is absent. */
static void beat_store(struct devplatform *dp, struct workspace *ws, struct json_object *beat)
{
    int64_t spend = field_int(beat, "monthly_spend");

    bool has_new_task =
        strcmp(ws->current_task ? ws->current_task : "", field_text(beat, "current_task")) != 0;

    json_set(&ws->last_beat, beat);
    ws->heard_ms = loop_now_ms(dp->loop);
    ws->beats++;
    ws->error_rate = json_object_get_double(json_object_object_get(beat, "error_rate"));
    text_set(&ws->sample_error, field_text(beat, "sample_error"));
    text_set(&ws->current_task, field_text(beat, "current_task"));
    ws->active_tasks = field_int(beat, "active_tasks");
    ws->uptime_s = field_int(beat, "uptime_seconds");
    text_copy(ws->runtime_state, sizeof(ws->runtime_state),
              slice_of(field_text(beat, "runtime_state")));
    if (spend > 0)
        ws->spend_cents = spend;
    events_on_beat(&dp->events, ws, has_new_task);
}

static void beat_move_status(struct devplatform *dp, struct workspace *ws)
{
    bool is_wedged = strcmp(ws->runtime_state, "wedged") == 0;

    switch (ws->status) {
    case STATUS_PROVISIONING:
    case STATUS_OFFLINE:
    case STATUS_AWAITING_AGENT:
        workspace_set_status(dp, ws, STATUS_ONLINE, "heartbeat");
        break;
    case STATUS_ONLINE:
        if (ws->error_rate * 100 >= DEGRADE_PERCENT)
            workspace_set_status(dp, ws, STATUS_DEGRADED, "error_rate of 0.5 or more");
        else if (is_wedged)
            workspace_set_status(dp, ws, STATUS_DEGRADED, "wedged");
        break;
    case STATUS_DEGRADED:
        if (ws->error_rate * 100 < RECOVER_PERCENT && !ws->runtime_state[0])
            workspace_set_status(dp, ws, STATUS_ONLINE, "error_rate below 0.1");
        break;
    case STATUS_FAILED: /* only register lifts these */
    case STATUS_PAUSED:
    case STATUS_HIBERNATED:
    case STATUS_HIBERNATING:
    case STATUS_REMOVED:
        break;
    }
}

void handle_heartbeat(struct call *c)
{
    struct devplatform *dp = c->dp;
    struct json_object *o;
    struct workspace *ws;
    bool is_known;

    if (!call_need_object(c))
        return;
    call_log_body(c, c->json);
    if (!beat_is_well_typed(c->json)) {
        call_error(c, 400, "invalid request body");
        return;
    }
    ws = world_find(&dp->world, slice_of(field_text(c->json, "workspace_id")));
    if (!auth_registry(c, ws))
        return;
    if (dp->database_is_down || !beat_fits_columns(c->json)) {
        call_error(c, 500, "failed to update");
        return;
    }
    is_known = ws && ws->status != STATUS_REMOVED;
    if (is_known) {
        beat_store(dp, ws, c->json);
        beat_move_status(dp, ws);
        call_note(c, "%lld active, %s%s%s%s", (long long)ws->active_tasks,
                  ws->current_task && ws->current_task[0] ? ws->current_task : "no task",
                  ws->error_rate > 0 ? ", errors: " : "",
                  ws->error_rate > 0 && ws->sample_error ? ws->sample_error : "",
                  ws->runtime_state[0] ? ", wedged" : "");
    } else {
        call_note(c, "%s workspace: answered 200 all the same", ws ? "removed" : "unknown");
    }
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("ok"));
    add_inbound_secret(o, ws);
    if (is_known)
        dispatch_on_beat(&dp->dispatcher, ws); /* one waiting message may go now */
    call_answer(c, 200, o);
}

static struct json_object *card_to_json(const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "agent_card", json_object_get(ws->agent_card));
    return o;
}

void handle_update_card(struct call *c)
{
    struct json_object *o, *card;
    struct workspace *ws;

    if (!call_need_object(c))
        return;
    card = json_object_object_get(c->json, "agent_card");
    if (!fields_are_strings(c->json, (const char *[]){"workspace_id", NULL}) ||
        !field_text(c->json, "workspace_id")[0] || !card) {
        call_error(c, 400, "invalid request body");
        return;
    }
    call_log_body(c, c->json);
    ws = world_find(&c->dp->world, slice_of(field_text(c->json, "workspace_id")));
    if (!auth_registry(c, ws))
        return;
    if (c->dp->database_is_down || json_has_nul(card)) {
        call_error(c, 500, "failed to update card");
        return;
    }
    if (ws && ws->status != STATUS_REMOVED) {
        json_set(&ws->agent_card, card);
        ws->is_unsaved = true;
        events_emit(&c->dp->events, ws->id, "AGENT_CARD_UPDATED", card_to_json(ws));
    }
    call_note(c, "card of %s", ws ? ws->name : "nobody");
    o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string("updated"));
    call_answer(c, 200, o);
}
