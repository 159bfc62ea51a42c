/*
 * The event stream of a workspace, GET /workspaces/:id/events/stream (P section 11): a hint that
 * something happened, never a proof. Whoever connects gets what happens from now on; a listener
 * that does not read loses events without a word.
 *
 * The token is looked at when a stream begins and never again: a stream outlives its token, a pause
 * and the removal of its workspace.
 */
#ifndef DEVPLATFORM_EVENTS_H
#define DEVPLATFORM_EVENTS_H

#include "devplatform/world.h"

#include <json-c/json.h>

struct call;
struct devplatform;
struct event_stream; /* one listener; it ends with its call */

enum { EVENTS_BUFFER_MAX = 64 /* events kept for a listener that does not read */ };

/* The switch "events" of POST /dev/faults. */
enum events_mode {
    EVENTS_ON = 0,
    EVENTS_SILENT, /* streams open with their ping, then nothing comes */
    EVENTS_MUTE,   /* streams open with their head, then nothing comes, not even the ping */
};

struct events {
    struct devplatform *dp;
    struct list streams; /* struct event_stream */
    enum events_mode mode;
    uint64_t sent, dropped;
};

void events_init(struct events *e, struct devplatform *dp);
const char *events_set_mode(struct events *e, struct json_object *v); /* NULL, or what is wrong */
/* Every stream ends: in order, or by a reset of its connection. */
void events_cut(struct events *e, bool in_order);
size_t events_count(const struct events *e, const char *workspace_id); /* listeners */

/* One event for the listeners of a workspace. Takes the reference; data may be NULL: {}. */
void events_emit(struct events *e, const char *workspace_id, const char *type,
                 struct json_object *data);
void events_on_row(struct events *e,
                   const struct row *r); /* ACTIVITY_LOGGED, without the row's id */
void events_on_status(struct events *e, const struct workspace *ws); /* WORKSPACE_... */
void events_on_beat(struct events *e, const struct workspace *ws, bool has_new_task);

void events_on_drained(struct event_stream *s);
void events_forget(struct event_stream *s); /* its call is over; NULL is fine */

#endif
