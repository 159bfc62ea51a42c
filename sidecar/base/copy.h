/*
 * Copying the short pieces that heads and log lines are made of. Most are shorter than what a call
 * of memcpy costs: two moves that may overlap do for any length up to 32.
 */
#ifndef BASE_COPY_H
#define BASE_COPY_H

#include <stddef.h>
#include <string.h>

/* Of a short array the compiler sees the branch for long pieces as well, and warns of it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wstringop-overread"
#endif

/* As memcpy(); n may be 0 whatever the pointers are. */
static inline void copy_bytes(char *to, const char *from, size_t n)
{
    if ((__builtin_constant_p(n) && n > 0) || n > 32) {
        memcpy(to, from, n); /* a constant length becomes moves without a branch */
    } else if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n > 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

#pragma GCC diagnostic pop

#endif
