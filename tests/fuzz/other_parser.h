/*
 * A second HTTP/1.1 parser, behind an interface of its own because its names collide with ours:
 * http_parser 2.9 (Debian's libhttp-parser-dev), strict. For fuzz_differential.c.
 */
#ifndef FUZZ_OTHER_PARSER_H
#define FUZZ_OTHER_PARSER_H

#include <stdbool.h>
#include <stddef.h>

/* What it read of one request stream. The texts of the last message begun; sizes in bytes. */
struct other_stream {
    size_t complete;   /* messages whose end it has seen */
    const char *error; /* why it reads no further, its own name for it; NULL while all is well */
    char *method;      /* NUL-terminated; "" before it is known */
    char *target;
    size_t target_n;
    char *body; /* decoded */
    size_t body_n;
    int minor;
    void *parser; /* private */
};

/* max: bytes that will be given in all. Aborts without memory. */
void other_open(struct other_stream *s, size_t max);
void other_close(struct other_stream *s);
/* More of the stream; nothing once error is set. */
void other_feed(struct other_stream *s, const char *bytes, size_t n);

#endif
