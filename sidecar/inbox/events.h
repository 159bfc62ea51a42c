/*
 * The platform's event stream, read as hints (P section 11): lines become events, events become
 * what we do about them. Pure; memory is bounded whatever comes.
 *
 * Line ends are LF, CRLF or CR; an event ends with an empty line. Of an event that is longer than
 * EVENT_BYTES the beginning is kept: its type stands there.
 */
#ifndef INBOX_EVENTS_H
#define INBOX_EVENTS_H

#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>

enum { EVENT_BYTES = 64 * 1024 };

enum event_hint {
    EVENT_NOTHING = 0,
    EVENT_MESSAGE, /* a row for us may be there */
    EVENT_STATE,   /* paused, removed, back, credentials rotated: ask */
};

struct events { /* embedded; zeroed = at the beginning of a stream */
    struct str line, data;
    bool after_cr; /* an LF now belongs to the CR before it */
    bool is_alive; /* a comment or a field came: this is an event stream */
};

typedef void event_fn(void *arg, struct slice data);

void events_feed(struct events *e, struct slice bytes, event_fn *fn, void *arg);
void events_release(struct events *e); /* also to begin anew */
enum event_hint event_hint_of(struct slice data);

#endif
