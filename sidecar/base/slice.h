/*
 * Views into bytes that somebody else owns. Not NUL-terminated; may hold any byte.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p; /* borrowed; NULL only when n is 0 */
    size_t n;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    } /* in initialisers of static tables */

static inline struct slice slice_of(const char *s) /* s may be NULL: empty */
{
    return (struct slice){s, s ? strlen(s) : 0};
}

bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII letters only */
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);
/* SP and HTAB (OWS, RFC 9110 section 5.6.3) at both ends */
struct slice slice_trim(struct slice s);
/* items between `sep`, trimmed; false at the end; an empty one is reported unless it is the last */
bool slice_next(struct slice *rest, char sep, struct slice *ret_item);
/*
 * Length in bytes (1 to 4) of the valid UTF-8 character at the front, 0 if there is none: empty,
 * cut, overlong or a surrogate.
 */
size_t slice_utf8_next(struct slice s);

/* Equal in time that depends on the lengths only. For secrets. */
bool slice_eq_secret(struct slice a, struct slice b);

/* A malloc'ed NUL-terminated copy (NULL when out of memory). The caller owns it. */
char *slice_dup(struct slice s);

#endif
