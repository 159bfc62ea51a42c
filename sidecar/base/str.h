/*
 * A growing string for cold paths (JSON answers, messages, metrics text). Always NUL-terminated
 * once something was added. Out of memory is sticky: `failed` is set, later additions do nothing,
 * and str_ok() tells at the end.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/slice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
    char *p;    /* owned; NULL while empty */
    size_t len; /* without the NUL */
    size_t cap;
    bool failed;
};

/* also for CLEANUP(str_release) struct str s = {0}; scrubs nothing */
void str_release(struct str *s);
/* like release, but the bytes are overwritten first: for secrets */
void str_wipe(struct str *s);
void str_add(struct str *s, struct slice bytes);
void str_addz(struct str *s, const char *z);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_vaddf(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* invalid UTF-8 becomes U+FFFD, a byte each; NULs are left out */
void str_add_valid(struct str *s, struct slice text);
/* a quoted JSON string; invalid UTF-8 becomes U+FFFD */
void str_add_json(struct str *s, struct slice text);
/* control characters and invalid UTF-8 as \xNN, cut with "..." */
void str_add_printable(struct str *s, struct slice text, size_t max_bytes);
/*
 * One step of these two for other sinks: takes the next character (or bad byte) off *rest and puts
 * what stands for it into out. Returns its length, 0 when *rest is empty.
 */
enum { ESCAPE_MAX = 12 };
size_t escape_json(struct slice *rest, char out[ESCAPE_MAX]);
size_t escape_printable(struct slice *rest, char out[ESCAPE_MAX]);
void str_truncate(struct str *s, size_t len);
static inline bool str_ok(const struct str *s)
{
    return !s->failed;
}
static inline struct slice str_slice(const struct str *s)
{
    return (struct slice){s->p, s->len};
}
const char *str_z(const struct str *s); /* "" while empty */
/* hand the malloc'ed string over (never NULL unless failed) */
char *str_take(struct str *s);

#endif
