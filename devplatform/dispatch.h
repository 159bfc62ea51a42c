/*
 * Pushing a message to the URL an agent registered, and the queue for agents that were too busy to
 * answer (P sections 13.1, 13.4, 17).
 */
#ifndef DEVPLATFORM_DISPATCH_H
#define DEVPLATFORM_DISPATCH_H

#include "base/list.h"
#include "base/slice.h"
#include "devplatform/world.h"

#include <json-c/json.h>
#include <stdint.h>

struct devplatform;
struct call;

enum {
    DISPATCH_ANSWER_MAX =
        10 * 1024 * 1024, /* bytes of an answer that are read; the rest is cut without a word */
    DISPATCH_CONNECT_MS = 10 * 1000,
    DISPATCH_IDLE_MS =
        5 * 60 * 1000, /* no byte and no heartbeat for so long, once the answer has begun */
    DISPATCH_TOTAL_MS = 30 * 60 * 1000,          /* for workspace callers */
    DISPATCH_CANVAS_TOTAL_MS = 24 * 3600 * 1000, /* the canvas waits; a day is our "for ever" */
    QUEUE_ATTEMPTS_MAX = 5,
    QUEUE_ITEMS_MAX = 10000,
};

/* A message that waits for its agent to be free, or did. */
struct queue_item {
    struct list node;
    char id[WORLD_ID_LEN + 1];
    char workspace_id[WORLD_ID_LEN + 1];
    char source_id[WORLD_ID_LEN + 1]; /* "" = the canvas */
    char message_id[128];
    struct json_object *body;
    const char *status; /* "queued" "dispatched" "completed" "failed" "dropped" */
    char last_error[128];
    int attempts;
    int64_t enqueued_us, dispatched_us, completed_us; /* wall clock; 0 = not yet */
    int64_t expires_us;                               /* wall clock; 0 = never */
};

struct dispatch; /* one push under way */

struct dispatcher {
    struct devplatform *dp;
    struct list active; /* struct dispatch */
    struct list queue;  /* struct queue_item, oldest first */
    size_t item_count;
};

void dispatcher_init(struct dispatcher *d, struct devplatform *dp);
void dispatcher_release(struct dispatcher *d); /* cancels what is under way */

/* Send `body` to ws->url and answer `c` with what comes back. source_id empty: the canvas. */
void dispatch_start(struct dispatcher *d, struct call *c, struct workspace *ws,
                    struct slice source_id, struct json_object *body);
void dispatch_forget(struct dispatch *p); /* the caller is gone; the push goes on */
void dispatch_on_beat(struct dispatcher *d,
                      const struct workspace *ws); /* a heartbeat came: one queued message may go */
void dispatch_on_purge(
    struct dispatcher *d,
    const struct workspace *ws); /* its row goes; pushes and queue items go too */

/* An item out of --data, to be filled: one that was on its way waits again. NULL without room. */
struct queue_item *queue_restore(struct dispatcher *d, const char *status);
struct queue_item *queue_find(const struct dispatcher *d, struct slice id); /* NULL when unknown */
struct json_object *queue_item_to_json(const struct queue_item *it);        /* a new reference */
size_t queue_depth(const struct dispatcher *d, const char *workspace_id);

#endif
