/*
 * However the agent's output is cut by reads, the pieces are the same; together they are what came
 * in, none is wider than a line of the log has room for, and part numbers count from 1. The first
 * byte is the size of the reads; its highest bit chooses the log's format.
 */
#include "log/log.h"
#include "supervisor/lines.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash; /* of all pieces: text, part, has_more */
    const char *at, *end;
    unsigned part; /* of the piece before, when it had more */
};

static void add(struct seen *s, unsigned char c)
{
    s->hash = (s->hash ^ c) * UINT64_C(1099511628211);
}

static void on_piece(void *arg, const struct piece *p)
{
    struct seen *s = arg;
    struct slice rest = p->text;
    size_t cost = 0;

    if (p->text.n > (size_t)(s->end - s->at) ||
        (p->text.n > 0 && memcmp(p->text.p, s->at, p->text.n) != 0)) {
        abort(); /* not what came in */
    }
    s->at += p->text.n;
    if (!p->has_more && s->at < s->end && *s->at++ != '\n') {
        abort(); /* a line ended where there is no end */
    }
    if (p->part != (s->part > 0 || p->has_more ? s->part + 1 : 0)) {
        abort();
    }
    s->part = p->has_more ? p->part : 0;
    while (rest.n > 0) {
        cost += log_char_cost(&rest);
    }
    if (cost > LOG_TEXT_MAX && s->at < s->end) {
        abort(); /* only the end of all may add half a character */
    }
    for (size_t i = 0; i < p->text.n; i++) {
        add(s, (unsigned char)p->text.p[i]);
    }
    add(s, p->has_more ? 1 : 2);
}

static uint64_t run(const uint8_t *data, size_t size, size_t step)
{
    struct lines *l = calloc(1, sizeof(*l));
    struct seen s = {.at = (const char *)data, .end = (const char *)data + size};

    for (size_t at = 0; at < size && l;) {
        size_t room;
        char *to = lines_room(l, &room);
        size_t n = step < size - at ? step : size - at;

        if (room < LINES_BUFFER_BYTES / 2) {
            abort();
        }
        n = n < room ? n : room;
        memcpy(to, data + at, n);
        lines_added(l, n, on_piece, &s);
        at += n;
    }
    if (l) {
        lines_end(l, on_piece, &s);
    }
    if (s.at != s.end || s.part != 0) {
        abort(); /* something is missing */
    }
    free(l);
    return s.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step;

    if (size == 0) {
        return 0;
    }
    step = data[0] % 128U + 1;
    log_init(LOG_INFO, data[0] & 128 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
    if (run(data + 1, size - 1, step) != run(data + 1, size - 1, LINES_BUFFER_BYTES)) {
        abort();
    }
    return 0;
}
