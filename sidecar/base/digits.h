/*
 * A number in decimal, straight to where it belongs: log lines and heads have several each, and
 * snprintf costs more than the rest of them.
 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>

enum { DIGITS_MAX = 20 }; /* bytes of the longest */

/* How many there are; 0 has one. */
static inline size_t digits_count(uint64_t n)
{
    size_t count = 1;

    for (; n >= 1000; n /= 1000)
        count += 3;
    return count + (n >= 10) + (n >= 100);
}

/* Exactly `count` = digits_count(n) bytes, no NUL. */
static inline void digits_put(char *to, uint64_t n, size_t count)
{
    for (; count > 1; n /= 10)
        to[--count] = (char)('0' + n % 10);
    to[0] = (char)('0' + n);
}

#endif
