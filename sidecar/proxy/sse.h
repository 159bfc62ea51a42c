/*
 * Where are we in an event stream: may a comment be put in here? Pure.
 *
 * Line ends are LF, CRLF or CR; an event ends with an empty line. Only the position matters, so the
 * scanner looks at the last bytes of what passed and keeps nothing of it. Source: A sections 4.2,
 * 4.4.
 */
#ifndef PROXY_SSE_H
#define PROXY_SSE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum sse_state {
    SSE_BOUNDARY = 0, /* nothing sent yet, or the last line was empty */
    SSE_TEXT,         /* inside a line */
    SSE_LINE_END,     /* one line end; the event goes on */
};

struct sse {
    enum sse_state state;
    bool after_cr; /* an LF now belongs to the CR before it */
};

/* The comment we send; legal anywhere between events. */
#define SSE_KEEPALIVE ": keepalive\n\n"

void sse_begin(struct sse *s);
void sse_feed(struct sse *s, struct slice bytes);
static inline bool sse_is_boundary(const struct sse *s)
{
    return s->state == SSE_BOUNDARY;
}

#endif
