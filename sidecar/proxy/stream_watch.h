/*
 * What an event stream says about its task, for those who must know whether somebody still works
 * for it: a drain, and the limit on requests at the agent. The bytes are looked at as they pass and
 * never changed; nothing here sends or ends anything.
 *
 * Only `data:` events count, by JSON path, so that no text in a message can fool us. Both versions
 * of A2A, JSON-RPC and REST (A sections 1.4, 4.2, 6.4):
 *
 *   result.statusUpdate.status.state   result.task.status.state     1.0
 *   result.status.state                (kind status-update or task) 0.3; "final": true ends it too
 *   the same without result                                         REST
 *
 * What an event does not speak of does not change what is known. An event that is longer than
 * STREAM_EVENT_MAX, no JSON, or says a thing twice makes it unknown, and unknown counts as work.
 *
 * Cost: one memchr pass over the stream, one memmem for `state` per event, and JSON only for those
 * that have it, in place. A block is borrowed only while an event came in pieces.
 */
#ifndef PROXY_STREAM_WATCH_H
#define PROXY_STREAM_WATCH_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { STREAM_EVENT_MAX = 64 * 1024 }; /* bytes of an event that are gathered; or a block's size */

enum stream_task {
    STREAM_UNKNOWN = 0, /* nothing said yet, or not understood */
    STREAM_WORKING,
    STREAM_WAITING,  /* interrupted: input or an authorization is needed to go on */
    STREAM_FINISHED, /* terminal, or the last event of its stream */
};
enum { STREAM_TASK_COUNT = STREAM_FINISHED + 1 };
const char *stream_task_words(enum stream_task task); /* "task working", ... */

struct stream_watch { /* embedded; private but task */
    enum stream_task task;
    struct buf_pool *pool;
    struct buf part;    /* of an event that came in pieces */
    size_t event_bytes; /* of the event under way */
    bool in_line;       /* the last byte was no line end */
    bool after_cr;      /* an LF now belongs to the CR before it */
    bool is_too_big;    /* the event under way */
    bool is_begun;      /* an event has passed: no byte order mark any more */
};

/* pool: of blocks to gather pieces in; borrowed */
void stream_watch_begin(struct stream_watch *w, struct buf_pool *pool);
void stream_watch_feed(struct stream_watch *w, struct slice bytes);
void stream_watch_end(struct stream_watch *w); /* gives the block back; task stays */

#endif
