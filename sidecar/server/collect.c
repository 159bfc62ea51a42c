/*
 * For handlers that want the whole body at once: gathers it up to a bound and calls once. Made of
 * the same callbacks that any handler has.
 */
#include "server/conn.h"

#include "base/str.h"

#include <stdlib.h>

#include "base/banned.h"

struct collect {
    size_t max_bytes;
    collect_fn *fn;
    struct str body;
};

void collect_free(struct collect *collect)
{
    if (!collect)
        return;
    str_wipe(&collect->body); /* it may have held a secret */
    free(collect);
}

static void answer_too_large(struct exchange *x)
{
    exchange_note(x, "body_too_large");
    exchange_answer_json(x, 413,
                         SLICE("{\"error\":\"body_too_large\",\"message\":\"the request body is "
                               "larger than this path accepts\"}\n"));
}

static void answer_no_memory(struct exchange *x)
{
    exchange_note(x, "no_memory");
    exchange_answer_json(x, 503,
                         SLICE("{\"error\":\"no_memory\",\"message\":\"no memory for this request, "
                               "try again later\"}\n"));
}

void exchange_collect(struct exchange *x, size_t max_bytes, collect_fn *fn)
{
    struct collect *c;

    if (x->body.framing == HTTP_BODY_LENGTH && (uint64_t)x->body.left > max_bytes) {
        answer_too_large(x);
        return;
    }
    c = calloc(1, sizeof(*c));
    if (!c || exchange_keep_head(x) != 0) {
        free(c);
        answer_no_memory(x);
        return;
    }
    c->max_bytes = max_bytes;
    c->fn = fn;
    collect_free(x->collect);
    x->collect = c;
}

size_t collect_on_body(struct exchange *x, struct slice bytes)
{
    struct collect *c = x->collect;

    if (!c || x->is_finished)
        return bytes.n;
    if (bytes.n > c->max_bytes - c->body.len) {
        answer_too_large(x);
        return bytes.n;
    }
    str_add(&c->body, bytes);
    if (!str_ok(&c->body))
        answer_no_memory(x);
    return bytes.n;
}

void collect_on_body_end(struct exchange *x)
{
    struct collect *c = x->collect;

    if (c && !x->is_finished)
        c->fn(x, str_slice(&c->body));
}

void collect_on_end(struct exchange *x, bool complete)
{
    (void)complete;
    collect_free(x->collect);
    x->collect = NULL;
}
