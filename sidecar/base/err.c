/*
 * Formats one sentence into a fixed buffer. Cutting and errno are handled here, so that callers
 * need not think of them.
 */
#include "base/err.h"

#include "base/slice.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Copy text into err->msg: no newline, and never half of a UTF-8 character at a cut. */
static void err_store(struct err *err, const char *text)
{
    size_t n = 0;
    struct slice rest = slice_of(text);

    while (rest.n > 0) {
        size_t step = slice_utf8_next(rest);

        if (step == 0)
            step = 1; /* not UTF-8 (a file name, perhaps): kept as it is, the log escapes it */
        if (n + step >= sizeof(err->msg))
            break;
        memcpy(err->msg + n, rest.p, step);
        if (step == 1 && (err->msg[n] == '\n' || err->msg[n] == '\r'))
            err->msg[n] = ' ';
        n += step;
        rest.p += step;
        rest.n -= step;
    }
    err->msg[n] = '\0';
}

int(err_set)(struct err *err, int code, const char *fmt, ...)
{
    int saved = errno;
    char text[2 * ERR_MSG_MAX]; /* formatted aside: an argument may be err->msg itself */
    va_list ap;

    if (!err)
        return code;
    va_start(ap, fmt);
    errno = saved; /* %m */
    (void)vsnprintf(text, sizeof(text), fmt,
                    ap); /* a cut sentence is what we want when it is too long */
    va_end(ap);
    err->code = code;
    err_store(err, text);
    errno = saved;
    return code;
}

int(err_wrap)(struct err *err, const char *fmt, ...)
{
    int saved = errno;
    char text[2 * ERR_MSG_MAX];
    va_list ap;
    int n;

    if (!err)
        return -EIO;
    va_start(ap, fmt);
    errno = saved;
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n < sizeof(text))
        (void)snprintf(text + n, sizeof(text) - (size_t)n, ": %s", err->msg);
    err_store(err, text);
    errno = saved;
    return err->code;
}
