/*
 * Comparing and cutting borrowed bytes. ASCII only, except for the UTF-8 stepper everybody shares.
 */
#include "base/slice.h"

#include <stdlib.h>

#include "base/banned.h"

static unsigned char ascii_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
            return false;
    }
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq((struct slice){s.p, prefix.n}, prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    if (suffix.n == 0)
        return true;
    return s.n >= suffix.n && slice_eq((struct slice){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_ows(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_ows(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool slice_next(struct slice *rest, char sep, struct slice *ret_item)
{
    const char *hit;

    if (rest->n == 0)
        return false;
    hit = memchr(rest->p, sep, rest->n);
    if (!hit) {
        *ret_item = slice_trim(*rest);
        *rest = (struct slice){NULL, 0};
        return true;
    }
    *ret_item = slice_trim((struct slice){rest->p, (size_t)(hit - rest->p)});
    rest->n -= (size_t)(hit - rest->p) + 1;
    rest->p = hit + 1;
    return true;
}

size_t slice_utf8_next(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char low = 0x80,
                  high = 0xBF; /* allowed range of the second byte (Unicode table 3-7) */
    size_t n;

    if (s.n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    if (p[0] < 0xE0) {
        n = 2;
    } else if (p[0] < 0xF0) {
        n = 3;
        if (p[0] == 0xE0)
            low = 0xA0;
        else if (p[0] == 0xED)
            high = 0x9F;
    } else {
        n = 4;
        if (p[0] == 0xF0)
            low = 0x90;
        else if (p[0] == 0xF4)
            high = 0x8F;
    }
    if (s.n < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

bool slice_eq_secret(struct slice a, struct slice b)
{
    volatile unsigned char diff = a.n == b.n ? 0 : 1;
    size_t n = a.n < b.n ? a.n : b.n;

    for (size_t i = 0; i < n; i++)
        diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
    return diff == 0;
}

char *slice_dup(struct slice s)
{
    char *copy = malloc(s.n + 1);

    if (!copy)
        return NULL;
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}
