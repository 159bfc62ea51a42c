/*
 * Listeners and their frames. What is an event is decided where it happens; the words are here.
 */
#include "devplatform/events.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "devplatform/auth.h"
#include "devplatform/devplatform.h"
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct event_stream {
    struct list node;
    struct call *call;
    char workspace_id[WORLD_ID_LEN + 1];
    char *waiting[EVENTS_BUFFER_MAX]; /* frames, malloc'ed; a ring */
    size_t first, count;
    bool is_full; /* the connection takes no more until on_drained */
};

void events_init(struct events *e, struct devplatform *dp)
{
    *e = (struct events){.dp = dp};
    list_init(&e->streams);
}

void events_forget(struct event_stream *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        free(s->waiting[(s->first + i) % EVENTS_BUFFER_MAX]);
    s->call->stream = NULL;
    list_remove(&s->node);
    free(s);
}

size_t events_count(const struct events *e, const char *workspace_id)
{
    size_t n = 0;

    LIST_FOREACH(it, &e->streams)
    n += strcmp(container_of(it, struct event_stream, node)->workspace_id, workspace_id) == 0;
    return n;
}

void events_cut(struct events *e, bool in_order)
{
    LIST_FOREACH(it, &e->streams)
    {
        struct event_stream *s = container_of(it, struct event_stream, node);
        struct exchange *x = s->call->x;
        events_forget(s);
        if (in_order)
            exchange_finish(x);
        else
            exchange_abort(x);
    }
}

const char *events_set_mode(struct events *e, struct json_object *v)
{
    static const char *const words[] = {
        [EVENTS_ON] = "on", [EVENTS_SILENT] = "silent", [EVENTS_MUTE] = "mute"};
    const char *word = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";

    if (strcmp(word, "end") == 0 || strcmp(word, "reset") == 0) {
        events_cut(e, word[0] == 'e');
        return NULL;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(word, words[i]) == 0) {
            e->mode = (enum events_mode)i;
            return NULL;
        }
    }
    return "events must be on, silent, mute, end or reset";
}

/* ---- sending
 * ---------------------------------------------------------------------------------------------------
 */

/* A frame of any length, in pieces that the connection takes. False: it is full now. */
static bool send_bytes(struct exchange *x, const char *p)
{
    size_t left = strlen(p);
    bool has_room = true;

    while (left > 0) {
        size_t n = left < EXCHANGE_WRITE_MAX ? left : EXCHANGE_WRITE_MAX;
        has_room = exchange_body(x, (struct slice){p, n});
        p += n;
        left -= n;
    }
    exchange_flush(x);
    return has_room;
}

void events_on_drained(struct event_stream *s)
{
    s->is_full = false;
    while (s->count > 0 && !s->is_full) {
        char *frame = s->waiting[s->first];
        s->first = (s->first + 1) % EVENTS_BUFFER_MAX;
        s->count--;
        s->is_full = !send_bytes(s->call->x, frame);
        free(frame);
    }
}

static void give(struct events *e, struct event_stream *s, const char *frame)
{
    char *copy;

    e->sent++;
    if (!s->is_full) {
        s->is_full = !send_bytes(s->call->x, frame);
        return;
    }
    copy = s->count < EVENTS_BUFFER_MAX ? strdup(frame) : NULL;
    if (!copy) {
        e->sent--;
        e->dropped++;
        return;
    }
    s->waiting[(s->first + s->count++) % EVENTS_BUFFER_MAX] = copy;
}

void events_emit(struct events *e, const char *workspace_id, const char *type,
                 struct json_object *data)
{
    CLEANUP(str_release) struct str frame = {0};
    const char *text = data ? json_object_to_json_string_ext(
                                  data, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                            : "{}";

    if (e->mode == EVENTS_ON && events_count(e, workspace_id) > 0) {
        str_addf(&frame, "data: {\"type\":\"%s\",\"timestamp\":%lld,\"data\":", type,
                 (long long)(wall_us() / 1000));
        str_addz(&frame, text);
        str_addz(&frame, "}\n\n");
        LIST_FOREACH(it, &e->streams)
        {
            struct event_stream *s = container_of(it, struct event_stream, node);
            if (strcmp(s->workspace_id, workspace_id) == 0 && str_ok(&frame))
                give(e, s, str_z(&frame));
        }
    }
    json_object_put(data);
}

/* ---- what happens
 * ----------------------------------------------------------------------------------------------
 */

void events_on_row(struct events *e, const struct row *r)
{
    struct json_object *o;

    if (events_count(e, r->workspace_id) == 0)
        return;
    o = row_to_json(r, false);
    json_object_object_del(o, "id");
    events_emit(e, r->workspace_id, "ACTIVITY_LOGGED", o);
}

void events_on_status(struct events *e, const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();
    char type[40];
    int n = snprintf(type, sizeof(type), "WORKSPACE_%s", status_name(ws->status));

    for (int i = 0; i < n; i++)
        type[i] = (char)toupper((unsigned char)type[i]);
    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "name", json_object_new_string(ws->name));
    events_emit(e, ws->id, type, o);
}

static struct json_object *beat_to_json(const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "workspace_id", json_object_new_string(ws->id));
    json_object_object_add(o, "active_tasks", json_object_new_int64(ws->active_tasks));
    json_add_text(o, "current_task", ws->current_task);
    json_object_object_add(o, "error_rate", json_object_new_double(ws->error_rate));
    json_object_object_add(o, "uptime_seconds", json_object_new_int64(ws->uptime_s));
    return o;
}

void events_on_beat(struct events *e, const struct workspace *ws, bool has_new_task)
{
    if (has_new_task)
        events_emit(e, ws->id, "TASK_UPDATED", beat_to_json(ws));
    events_emit(e, ws->id, "WORKSPACE_HEARTBEAT", beat_to_json(ws));
}

/* ---- a listener comes
 * -------------------------------------------------------------------------------------------
 */

void handle_events(struct call *c)
{
    struct events *e = &c->dp->events;
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct event_stream *s;

    if (!auth_workspace(c, ws))
        return;
    if (!ws) {
        call_error(c, 404, "workspace not found");
        return;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        call_error(c, 500, "out of memory");
        return;
    }
    s->call = c;
    memcpy(s->workspace_id, ws->id, sizeof(s->workspace_id));
    c->stream = s;
    list_append(&e->streams, &s->node);
    call_note(c, "listens");
    if (!call_stream(c, "text/event-stream")) { /* a fault took its place */
        events_forget(s);
        return;
    }
    if (e->mode != EVENTS_MUTE)
        s->is_full = !send_bytes(c->x, ": ping\n\n");
    else
        exchange_flush(c->x);
}
