/*
 * Only brackets, quotes and commas are looked at here. Whether a row is good JSON, others ask.
 */
#include "inbox/page.h"

#include <errno.h>

#include "base/banned.h"

static void skip(struct slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static void skip_blanks(struct slice *s)
{
    while (s->n > 0 && memchr(" \t\r\n", s->p[0], 4))
        skip(s, 1);
}

/* Bytes of the string at the front, its quotes included; 0 when it has no end. */
static size_t string_length(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

static size_t nested_length(struct slice s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '"') {
            size_t n = string_length((struct slice){s.p + i, s.n - i});

            if (n == 0)
                return 0;
            i += n - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t value_length(struct slice s)
{
    size_t n = 0;

    if (s.n == 0)
        return 0;
    if (s.p[0] == '"')
        return string_length(s);
    if (s.p[0] == '{' || s.p[0] == '[')
        return nested_length(s);
    while (n < s.n && !memchr(" \t\r\n,:]}\"", s.p[n], 9))
        n++;
    return n < s.n ? n : 0; /* something always follows */
}

/* 1: an element is at the front; 0: the container ended; -EBADMSG. */
static int next_element(struct slice *s, char closing)
{
    skip_blanks(s);
    if (s->n > 0 && s->p[0] == ',') {
        skip(s, 1);
        skip_blanks(s);
    }
    if (s->n == 0)
        return -EBADMSG;
    return s->p[0] != closing;
}

int page_next(struct slice *rows, struct slice *ret_row)
{
    int code = next_element(rows, ']');
    size_t n;

    if (code <= 0)
        return code;
    n = value_length(*rows);
    if (n == 0)
        return -EBADMSG;
    *ret_row = (struct slice){rows->p, n};
    skip(rows, n);
    return 1;
}

bool page_member(struct slice object, const char *name, struct slice *ret_value)
{
    struct slice wanted = slice_of(name);

    if (object.n == 0 || object.p[0] != '{')
        return false;
    skip(&object, 1);
    while (next_element(&object, '}') == 1 && object.p[0] == '"') {
        size_t n = string_length(object);
        struct slice key = {object.p + 1, n > 1 ? n - 2 : 0};

        if (n == 0)
            return false;
        skip(&object, n);
        skip_blanks(&object);
        if (object.n == 0 || object.p[0] != ':')
            return false;
        skip(&object, 1);
        skip_blanks(&object);
        n = value_length(object);
        if (n == 0)
            return false;
        if (slice_eq(key, wanted)) {
            *ret_value = (struct slice){object.p, n};
            return true;
        }
        skip(&object, n);
    }
    return false;
}

bool page_plain_text(struct slice value, struct slice *ret_text)
{
    if (value.n < 2 || value.p[0] != '"' || memchr(value.p, '\\', value.n))
        return false;
    *ret_text = (struct slice){value.p + 1, value.n - 2};
    return true;
}

int page_begin(struct slice body, struct slice *ret_rows)
{
    struct slice items;

    skip_blanks(&body);
    if (body.n > 0 && body.p[0] == '{' && page_member(body, "items", &items))
        body = items;
    if (body.n == 0 || body.p[0] != '[')
        return -EBADMSG;
    skip(&body, 1);
    *ret_rows = body;
    return 0;
}
