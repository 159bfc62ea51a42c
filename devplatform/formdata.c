/*
 * Splits a body at its boundary. The agent's own reader (a stream) is another one on purpose: one
 * mistake is not made twice.
 */
#include "devplatform/formdata.h"

#include <stdio.h>

enum { BOUNDARY_MAX = 70, DELIMITER_MAX = BOUNDARY_MAX + 4 };

/* The end of an item of "a; key=value; key2=\"va;lue\"": the next ';' outside of quotes. */
static struct slice item_next(struct slice *rest)
{
    struct slice item = *rest;
    bool is_quoted = false;
    size_t i = 0;

    for (; i < rest->n && (is_quoted || rest->p[i] != ';'); i++)
        is_quoted ^= rest->p[i] == '"';
    item.n = i;
    i += i < rest->n;
    *rest = (struct slice){rest->p + i, rest->n - i};
    return slice_trim(item);
}

/* The value of `key` in such a field, without its quotes. */
static struct slice parameter(struct slice field, const char *key)
{
    size_t n = strlen(key);

    while (field.n > 0) {
        struct slice item = item_next(&field);
        if (item.n <= n || item.p[n] != '=' ||
            !slice_eq_nocase((struct slice){item.p, n}, slice_of(key)))
            continue;
        item = (struct slice){item.p + n + 1, item.n - n - 1};
        if (item.n >= 2 && item.p[0] == '"' && item.p[item.n - 1] == '"')
            item = (struct slice){item.p + 1, item.n - 2};
        return item;
    }
    return (struct slice){0};
}

static bool skip(struct slice *s, struct slice what)
{
    if (!slice_starts_with(*s, what))
        return false;
    s->p += what.n;
    s->n -= what.n;
    return true;
}

bool form_begin(struct form *f, struct slice content_type, struct slice body)
{
    char delimiter[DELIMITER_MAX + 1];
    const char *first;

    *f = (struct form){.boundary = parameter(content_type, "boundary")};
    if (!slice_starts_with(content_type, SLICE("multipart/form-data")) || f->boundary.n == 0 ||
        f->boundary.n > BOUNDARY_MAX || body.n == 0)
        return false;
    snprintf(delimiter, sizeof(delimiter), "--%.*s", (int)f->boundary.n, f->boundary.p);
    first = memmem(body.p, body.n, delimiter, strlen(delimiter));
    if (!first)
        return false;
    f->rest = (struct slice){first + strlen(delimiter),
                             body.n - (size_t)(first - body.p) - strlen(delimiter)};
    return true;
}

/* The lines of a part's head up to the empty one. */
static bool head_read(struct slice *rest, struct form_part *ret)
{
    for (;;) {
        const char *end = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;
        struct slice line;
        if (!end)
            return false;
        line = (struct slice){rest->p, (size_t)(end - rest->p)};
        rest->p = end + 2;
        rest->n -= line.n + 2;
        if (line.n == 0)
            return true;
        if (line.n > 20 &&
            slice_eq_nocase((struct slice){line.p, 20}, SLICE("Content-Disposition:"))) {
            ret->name = parameter(line, "name");
            ret->filename = parameter(line, "filename");
        } else if (line.n > 13 &&
                   slice_eq_nocase((struct slice){line.p, 13}, SLICE("Content-Type:"))) {
            ret->type = slice_trim((struct slice){line.p + 13, line.n - 13});
        }
    }
}

bool form_next(struct form *f, struct form_part *ret)
{
    char delimiter[DELIMITER_MAX + 1];
    const char *end;

    *ret = (struct form_part){0};
    if (skip(&f->rest, SLICE("--"))) {
        f->is_over = true;
        return false;
    }
    if (!skip(&f->rest, SLICE("\r\n")) || !head_read(&f->rest, ret))
        return false;
    snprintf(delimiter, sizeof(delimiter), "\r\n--%.*s", (int)f->boundary.n, f->boundary.p);
    end = f->rest.n ? memmem(f->rest.p, f->rest.n, delimiter, strlen(delimiter)) : NULL;
    if (!end)
        return false;
    ret->bytes = (struct slice){f->rest.p, (size_t)(end - f->rest.p)};
    f->rest.p = end + strlen(delimiter);
    f->rest.n -= ret->bytes.n + strlen(delimiter);
    return true;
}
