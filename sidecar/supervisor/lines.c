/*
 * The line cutter. Where bytes come from and pieces go to is output.c's.
 */
#include "supervisor/lines.h"

#include <string.h>

char *lines_room(struct lines *l, size_t *ret_room)
{
    *ret_room = sizeof(l->buf) - l->len;
    return l->buf + l->len;
}

static size_t bytes_of_char(unsigned char lead)
{
    if (lead < 0xC2 || lead > 0xF4) {
        return 1;
    }
    return lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
}

/* Its first bytes are here, and nothing says yet that it is bad: the rest may come. */
static bool is_half_a_char(struct slice s)
{
    size_t wanted = bytes_of_char((unsigned char)s.p[0]);

    if (s.n >= wanted) {
        return false;
    }
    for (size_t i = 1; i < s.n; i++) {
        if (((unsigned char)s.p[i] & 0xC0) != 0x80) {
            return false;
        }
    }
    return true;
}

static void tell(struct lines *l, struct slice text, bool has_more, piece_fn *fn, void *arg)
{
    struct piece p = {.text = text, .has_more = has_more};

    if (has_more || l->parts > 0) {
        p.part = ++l->parts;
    }
    if (!has_more) {
        l->parts = 0;
    }
    fn(arg, &p);
}

static void consume(struct lines *l, size_t n)
{
    l->len -= n;
    memmove(l->buf, l->buf + n, l->len);
}

void lines_added(struct lines *l, size_t n, piece_fn *fn, void *arg)
{
    size_t begin = 0;
    size_t at = l->scanned;

    l->len += n;
    while (at < l->len) {
        struct slice rest = {l->buf + at, l->len - at};
        size_t cost;

        if (rest.p[0] == '\n') {
            tell(l, (struct slice){l->buf + begin, at - begin}, false, fn, arg);
            begin = ++at;
            l->cost = 0;
            continue;
        }
        if (is_half_a_char(rest)) {
            break;
        }
        cost = log_char_cost(&rest);
        if (l->cost + cost > LOG_TEXT_MAX) {
            tell(l, (struct slice){l->buf + begin, at - begin}, true, fn, arg);
            begin = at;
            l->cost = 0;
        }
        l->cost += cost;
        at = l->len - rest.n;
    }
    l->scanned = at - begin;
    consume(l, begin);
}

void lines_flush(struct lines *l, piece_fn *fn, void *arg)
{
    size_t n = l->scanned;

    if (n == 0) {
        return;
    }
    tell(l, (struct slice){l->buf, n}, true, fn, arg);
    l->scanned = 0;
    l->cost = 0;
    consume(l, n);
}

void lines_end(struct lines *l, piece_fn *fn, void *arg)
{
    if (!lines_has_begun(l)) {
        return;
    }
    tell(l, (struct slice){l->buf, l->len}, false, fn, arg);
    l->len = l->scanned = l->cost = 0;
}
