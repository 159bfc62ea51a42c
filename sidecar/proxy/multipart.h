/*
 * multipart/form-data (RFC 7578, RFC 2046 section 5.1), read as a stream: bytes in, parts out,
 * nothing gathered but one part's head. Pure: never allocates, logs or blocks; however the input is
 * cut, the same events and the same content come out.
 *
 * Ours, because Debian has no maintained C library for it that a server could use: gmime and its
 * relatives build trees in memory and repair what they read.
 *
 *   multipart_begin(&m, content_type)
 *   while bytes: multipart_feed(&m, bytes, &event)  -> PART, DATA..., PART_END, ..., END
 *
 * Refused, not repaired: a part without `form-data` and a name, folded lines, control characters, a
 * bare LF in a head, bytes between a boundary and its line's end.
 */
#ifndef PROXY_MULTIPART_H
#define PROXY_MULTIPART_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MULTIPART_BOUNDARY_MAX = 70,   /* bytes: RFC 2046 section 5.1.1 */
    MULTIPART_HEAD_MAX = 4 * 1024, /* bytes of one part's head */
    MULTIPART_PARTS_MAX = 64,      /* parts of one body */
};

enum multipart_event_kind {
    MULTIPART_MORE = 0, /* nothing to tell: give more bytes */
    MULTIPART_PART,     /* a part begins: name, filename, type */
    MULTIPART_DATA,     /* content of it; any number, cut anywhere */
    MULTIPART_PART_END,
    MULTIPART_END, /* the last boundary; what follows is ignored */
};

struct multipart_event {
    enum multipart_event_kind kind;
    struct slice data; /* points into the input or into m; until the next call */
    /* of PART; point into m, until the next call. filename.p is NULL when there is none */
    struct slice name, filename, type;
};

struct multipart {                              /* private */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF - - boundary */
    size_t delimiter_n;
    int state;
    size_t matched;  /* bytes of delimiter seen and not yet known to be content */
    size_t borrowed; /* of those: not content in any case, they belong to what was before */
    bool is_inside;  /* a part has begun */
    unsigned parts;
    char head[MULTIPART_HEAD_MAX];
    size_t head_n;
    char names[2][MULTIPART_HEAD_MAX]; /* name and filename, unquoted */
};

/* 0, or -EINVAL: no multipart/form-data, or no usable boundary. */
int multipart_begin(struct multipart *m, struct slice content_type);

/*
 * Takes bytes from the front of `in` until there is something to tell. Returns how many were taken
 * (0 is fine with an event), or -EBADMSG with a literal in *why. Call again with the rest until the
 * event is MULTIPART_MORE; then all of `in` was taken.
 */
long multipart_feed(struct multipart *m, struct slice in, struct multipart_event *ret,
                    const char **why);

/* Was the last boundary seen? A body that ends before was cut. */
bool multipart_is_complete(const struct multipart *m);

#endif
