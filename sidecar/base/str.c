/*
 * The growing string. Growth copies into new memory and wipes the old, so that a secret built here
 * leaves no copy behind; cold paths can afford it.
 */
#include "base/str.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { STR_FIRST_BYTES = 64 }; /* the smallest allocation */

void str_release(struct str *s)
{
    free(s->p);
    *s = (struct str){0};
}

void str_wipe(struct str *s)
{
    if (s->p)
        explicit_bzero(s->p, s->cap);
    str_release(s);
}

/* Room for n more bytes and the NUL. */
static bool str_reserve(struct str *s, size_t n)
{
    size_t need, cap;
    char *p;

    if (s->failed)
        return false;
    if (__builtin_add_overflow(s->len, n, &need) || __builtin_add_overflow(need, 1, &need)) {
        s->failed = true;
        return false;
    }
    if (need <= s->cap)
        return true;
    cap = s->cap > 0 ? s->cap : STR_FIRST_BYTES;
    while (cap < need) {
        if (__builtin_mul_overflow(cap, 2, &cap))
            cap = need;
    }
    p = malloc(cap);
    if (!p) {
        s->failed = true;
        return false;
    }
    if (s->p) {
        memcpy(p, s->p, s->len + 1);
        explicit_bzero(s->p, s->cap);
        free(s->p);
    }
    s->p = p;
    s->p[s->len] = '\0';
    s->cap = cap;
    return true;
}

void str_add(struct str *s, struct slice bytes)
{
    if (!str_reserve(s, bytes.n))
        return;
    if (bytes.n > 0)
        memcpy(s->p + s->len, bytes.p, bytes.n);
    s->len += bytes.n;
    s->p[s->len] = '\0';
}

void str_addz(struct str *s, const char *z)
{
    str_add(s, slice_of(z));
}

void str_vaddf(struct str *s, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    if (!str_reserve(s, STR_FIRST_BYTES))
        return;
    va_copy(again, ap);
    n = vsnprintf(s->p + s->len, s->cap - s->len, fmt, ap);
    if (n >= 0 && (size_t)n >= s->cap - s->len) {
        s->p[s->len] = '\0';
        if (str_reserve(s, (size_t)n))
            n = vsnprintf(s->p + s->len, s->cap - s->len, fmt, again);
        else
            n = -1;
    }
    va_end(again);
    if (n < 0) {
        s->failed = true;
        s->p[s->len] = '\0';
        return;
    }
    s->len += (size_t)n;
}

void str_addf(struct str *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    str_vaddf(s, fmt, ap);
    va_end(ap);
}

/* C1 controls (U+0080 to U+009F) steer terminals as ESC does; their UTF-8 form is C2 80..9F. */
static bool is_c1(const char *p, size_t step)
{
    return step == 2 && (unsigned char)p[0] == 0xC2 && (unsigned char)p[1] < 0xA0;
}

static void str_add_json_escape(struct str *s, unsigned code)
{
    static const char short_for[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    if (code < sizeof(short_for) && short_for[code])
        str_addf(s, "\\%c", short_for[code]);
    else if (code == '"' || code == '\\')
        str_addf(s, "\\%c", (int)code);
    else
        str_addf(s, "\\u%04x", code);
}

void str_add_json(struct str *s, struct slice text)
{
    str_add(s, SLICE("\""));
    while (text.n > 0 && !s->failed) {
        size_t step = slice_utf8_next(text);
        unsigned char c = (unsigned char)text.p[0];

        if (step == 0) {
            str_add(s, SLICE("\xEF\xBF\xBD"));
            step = 1;
        } else if (step == 1 && (c < 0x20 || c == 0x7F || c == '"' || c == '\\')) {
            str_add_json_escape(s, c);
        } else if (is_c1(text.p, step)) {
            str_add_json_escape(s, (unsigned char)text.p[1]);
        } else {
            str_add(s, (struct slice){text.p, step});
        }
        text.p += step;
        text.n -= step;
    }
    str_add(s, SLICE("\""));
}

void str_add_printable(struct str *s, struct slice text, size_t max_bytes)
{
    size_t from = s->len;

    while (text.n > 0 && !s->failed) {
        size_t step = slice_utf8_next(text);
        unsigned char c = (unsigned char)text.p[0];
        bool is_bad = step == 0 || (step == 1 && (c < 0x20 || c == 0x7F)) || is_c1(text.p, step);
        size_t before = s->len;

        if (step == 0)
            step = 1;
        for (size_t i = 0; is_bad && i < step; i++)
            str_addf(s, "\\x%02X", (unsigned)(unsigned char)text.p[i]);
        if (!is_bad)
            str_add(s, (struct slice){text.p, step});
        if (s->len - from > max_bytes) {
            str_truncate(s, before);
            str_add(s, SLICE("..."));
            return;
        }
        text.p += step;
        text.n -= step;
    }
}

void str_truncate(struct str *s, size_t len)
{
    if (len < s->len) {
        s->len = len;
        s->p[len] = '\0';
    }
}

const char *str_z(const struct str *s)
{
    return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
    char *taken;

    if (!str_reserve(s, 0)) {
        str_release(s);
        return NULL;
    }
    taken = ptr_take(&s->p);
    *s = (struct str){0};
    return taken;
}
