/*
 * Cuts a stream of bytes into lines, and lines that are too long for one line of the log into
 * parts. Pure: no clock, no descriptor. However the bytes arrive, the pieces are the same, but for
 * lines_flush().
 *
 * Only '\n' ends a line and only it is left out; all other bytes are handed on as they are, NUL and
 * what is no UTF-8 too. A part never ends inside a character and takes at most LOG_TEXT_MAX bytes
 * in the log, escapes counted.
 */
#ifndef SUPERVISOR_LINES_H
#define SUPERVISOR_LINES_H

#include "base/slice.h"
#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>

enum { LINES_BUFFER_BYTES = 8 * 1024 }; /* at least half of it is always free for reading */

_Static_assert(LINES_BUFFER_BYTES >= 2 * LOG_TEXT_MAX, "a part and what is read behind it fit");

struct piece {
    struct slice text; /* dies with the callback */
    unsigned part;     /* of its line, from 1; 0 = the whole line */
    bool has_more;     /* further parts of this line follow */
};
typedef void piece_fn(void *arg, const struct piece *p);

struct lines { /* zeroed = empty; private */
    size_t len;
    size_t scanned; /* of these: whole characters of an unfinished part */
    size_t cost;    /* bytes they take in the log */
    unsigned parts; /* of the current line that were told already */
    char buf[LINES_BUFFER_BYTES];
};

char *lines_room(struct lines *l, size_t *ret_room); /* where to read to; never full */
void lines_added(struct lines *l, size_t n, piece_fn *fn, void *arg);
/* A line has begun and not ended. */
static inline bool lines_has_begun(const struct lines *l)
{
    return l->len > 0 || l->parts > 0;
}
/* Tell what there is as a part, but for an unfinished character. */
void lines_flush(struct lines *l, piece_fn *fn, void *arg);
/* The same, and the line ends here although no '\n' came. */
void lines_end(struct lines *l, piece_fn *fn, void *arg);

#endif
