/*
 * Reading a file of bearer tokens. Comparing with them is proxy/bearer.c's job.
 */
#include "config/tokens.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>

#include "base/banned.h"

static bool next_line(struct slice *rest, struct slice *ret)
{
    const char *end;

    if (rest->n == 0)
        return false;
    end = memchr(rest->p, '\n', rest->n);
    *ret = (struct slice){rest->p, end ? (size_t)(end - rest->p) : rest->n};
    rest->p += ret->n + (end ? 1 : 0);
    rest->n -= ret->n + (end ? 1 : 0);
    if (ret->n > 0 && ret->p[ret->n - 1] == '\r')
        ret->n--;
    *ret = slice_trim(*ret);
    return true;
}

static bool is_token_line(struct slice line)
{
    return line.n > 0 && line.p[0] != '#';
}

static int check_token(struct slice token, const char *name, unsigned line, struct err *err)
{
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.p[i] <= 0x20 || (unsigned char)token.p[i] >= 0x7F)
            return err_set(err, -EINVAL,
                           "%s:%u: a token holds a blank, a control or a non-ASCII character; "
                           "write one token per line and nothing else",
                           name, line);
    }
    if (token.n < TOKENS_BYTES_MIN || token.n > TOKENS_BYTES_MAX)
        return err_set(err, -EINVAL, "%s:%u: a token has %zu bytes, must have %d to %d", name, line,
                       token.n, TOKENS_BYTES_MIN, TOKENS_BYTES_MAX);
    return 0;
}

static int check_all_lines(struct slice content, const char *name, struct err *err)
{
    struct slice line;
    unsigned number = 0;
    size_t count = 0;

    while (next_line(&content, &line)) {
        int code;

        number++;
        if (!is_token_line(line))
            continue;
        code = check_token(line, name, number, err);
        if (code)
            return code;
        if (++count > TOKENS_MAX)
            return err_set(err, -EINVAL, "%s:%u: more than %d tokens", name, number, TOKENS_MAX);
    }
    if (count == 0)
        return err_set(err, -EINVAL,
                       "%s:%u: no token in the file, so nobody could call; write one per line",
                       name, number > 0 ? number : 1U);
    return 0;
}

int tokens_parse(struct slice content, const char *name, token_fn *fn, void *arg, struct err *err)
{
    struct slice line;
    int code = check_all_lines(content, name, err);

    if (code)
        return code;
    while (fn && next_line(&content, &line)) {
        if (is_token_line(line))
            fn(arg, line);
    }
    return 0;
}

int tokens_read(const char *path, token_fn *fn, void *arg, struct err *err)
{
    CLEANUP(str_wipe) struct str content = {0};
    int code = file_read(path, TOKENS_FILE_MAX, &content, err);

    return code ? code : tokens_parse(str_slice(&content), path, fn, arg, err);
}
