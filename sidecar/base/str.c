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

/* Take one character (or one bad byte: *ret_ok is false) off *rest. */
static struct slice take_char(struct slice *rest, bool *ret_ok)
{
    size_t step = slice_utf8_next(*rest);
    struct slice taken = {rest->p, step > 0 ? step : 1};

    *ret_ok = step > 0;
    rest->p += taken.n;
    rest->n -= taken.n;
    return taken;
}

size_t escape_json(struct slice *rest, char out[ESCAPE_MAX])
{
    static const char short_for[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char replacement[] = {'\xEF', '\xBF', '\xBD'}; /* U+FFFD */
    struct slice c;
    unsigned code;
    bool ok;

    if (rest->n == 0)
        return 0;
    c = take_char(rest, &ok);
    code = (unsigned char)c.p[0];
    if (!ok) {
        memcpy(out, replacement, sizeof(replacement));
        return sizeof(replacement);
    }
    if (code == '"' || code == '\\' || (code < sizeof(short_for) && short_for[code])) {
        out[0] = '\\';
        out[1] = code < sizeof(short_for) ? short_for[code] : (char)code;
        return 2;
    }
    if (is_c1(c.p, c.n))
        code = (unsigned char)c.p[1];
    else if (code >= 0x20 && code != 0x7F) {
        memcpy(out, c.p, c.n);
        return c.n;
    }
    (void)snprintf(out, ESCAPE_MAX, "\\u%04x", code);
    return 6;
}

size_t escape_printable(struct slice *rest, char out[ESCAPE_MAX])
{
    struct slice c;
    bool ok;

    if (rest->n == 0)
        return 0;
    c = take_char(rest, &ok);
    if (ok && !is_c1(c.p, c.n) && (unsigned char)c.p[0] >= 0x20 && c.p[0] != 0x7F) {
        memcpy(out, c.p, c.n);
        return c.n;
    }
    for (size_t i = 0; i < c.n; i++)
        (void)snprintf(out + 4 * i, ESCAPE_MAX - 4 * i, "\\x%02X", (unsigned)(unsigned char)c.p[i]);
    return 4 * c.n; /* at most 8: only C1 controls are longer than one byte */
}

void str_add_valid(struct str *s, struct slice text)
{
    size_t begin = 0;

    for (size_t at = 0; at < text.n;) {
        size_t n = slice_utf8_next((struct slice){text.p + at, text.n - at});

        if (n > 0 && text.p[at] != '\0') {
            at += n;
            continue;
        }
        str_add(s, (struct slice){text.p + begin, at - begin});
        if (n == 0)
            str_addz(s, "\xef\xbf\xbd");
        begin = ++at;
    }
    str_add(s, text.n > 0 ? (struct slice){text.p + begin, text.n - begin} : text);
}

void str_add_json(struct str *s, struct slice text)
{
    char out[ESCAPE_MAX];
    size_t n;

    str_add(s, SLICE("\""));
    while (!s->failed && (n = escape_json(&text, out)) > 0)
        str_add(s, (struct slice){out, n});
    str_add(s, SLICE("\""));
}

void str_add_printable(struct str *s, struct slice text, size_t max_bytes)
{
    size_t from = s->len, n;
    char out[ESCAPE_MAX];

    while (!s->failed && (n = escape_printable(&text, out)) > 0) {
        if (s->len - from + n > max_bytes) {
            str_add(s, SLICE("..."));
            return;
        }
        str_add(s, (struct slice){out, n});
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
