/*
 * Classes of bytes in HTTP heads, and comparing without regard to case. Private to http/.
 *
 * Source: RFC 9110 section 5.6.2 (token), RFC 3986 (authority).
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include "base/slice.h"

#include <stdint.h>
#include <string.h>

enum {
    CHAR_TOKEN = 1,  /* tchar */
    CHAR_TARGET = 2, /* visible ASCII but '#': what a request target may hold; the rest is the
                        agent's business */
    CHAR_HOST = 4,   /* unreserved, sub-delims and '%' of a reg-name */
    CHAR_HEX = 8,
};
extern const uint8_t char_class[256];

static inline bool char_is(char c, int classes)
{
    return (char_class[(unsigned char)c] & classes) != 0;
}

/* How many bytes at the front of s belong to the class. */
static inline size_t chars_span(struct slice s, int classes)
{
    size_t n = 0;

    while (n < s.n && char_is(s.p[n], classes))
        n++;
    return n;
}

/* Is `s` equal to `lower` (n bytes of a-z 0-9 and -) in any case? For bytes of a head, which hold
 * no control characters: it folds by one bit, and would take a CR for '-'. The last eight may
 * overlap what was compared before. */
static inline bool token_is(struct slice s, const char *lower, size_t n)
{
    const uint64_t fold = 0x2020202020202020u;
    size_t i = 0;

    if (s.n != n)
        return false;
    if (n >= 8) {
        uint64_t a, b;

        for (; i < n; i += sizeof(a)) {
            size_t at = n - i < sizeof(a) ? n - sizeof(a) : i;

            memcpy(&a, s.p + at, sizeof(a));
            memcpy(&b, lower + at, sizeof(b));
            if ((a | fold) != b)
                return false;
        }
        return true;
    }
    for (; i < n; i++) {
        if ((s.p[i] | 0x20) != lower[i])
            return false;
    }
    return true;
}

#endif
