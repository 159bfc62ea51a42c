/*
 * The boundary scanner. When to send a comment is the pump's business.
 */
#include "proxy/sse.h"

#include "base/banned.h"

/* The longest end of an event: CR LF CR LF. What came before it cannot change the state. */
enum { SSE_WINDOW_BYTES = 4 };

void sse_begin(struct sse *s)
{
    *s = (struct sse){0};
}

void sse_feed(struct sse *s, struct slice bytes)
{
    if (bytes.n > SSE_WINDOW_BYTES) {
        bytes.p += bytes.n - SSE_WINDOW_BYTES;
        bytes.n = SSE_WINDOW_BYTES;
        s->state = SSE_TEXT;
        s->after_cr = false;
    }
    for (size_t i = 0; i < bytes.n; i++) {
        char c = bytes.p[i];

        if (c == '\n' && s->after_cr) {
            s->after_cr = false;
            continue;
        }
        s->after_cr = c == '\r';
        if (c != '\n' && c != '\r')
            s->state = SSE_TEXT;
        else
            s->state = s->state == SSE_TEXT ? SSE_LINE_END : SSE_BOUNDARY;
    }
}
