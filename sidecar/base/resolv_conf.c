/*
 * Reads options lines word by word. Everything else in the file is the resolver's to read.
 */
#include "base/resolv_conf.h"

#include "base/parse.h"

#include <stdbool.h>

#include "base/banned.h"

static bool option(struct slice word, struct slice name, int max, int *ret)
{
    int64_t number;

    if (!slice_starts_with(word, name))
        return false;
    word.p += name.n;
    word.n -= name.n;
    if (parse_int64(word, 1, INT64_MAX, &number) == 0)
        *ret = number < max ? (int)number : max;
    return true;
}

/* The next word of a line; empty at its end. */
static struct slice next_word(struct slice *line)
{
    struct slice word = {line->p, 0};

    while (line->n > 0 && (*line->p == ' ' || *line->p == '\t' || *line->p == '\r')) {
        line->p++;
        line->n--;
    }
    word.p = line->p;
    while (line->n > 0 && *line->p != ' ' && *line->p != '\t' && *line->p != '\r') {
        line->p++;
        line->n--;
        word.n++;
    }
    return word;
}

struct resolv_options resolv_options_parse(struct slice text)
{
    struct resolv_options o = {.timeout_ms = RESOLV_TIMEOUT_MS, .tries = RESOLV_TRIES};
    struct slice line;
    struct slice word;
    int seconds = 0;

    while (slice_next(&text, '\n', &line)) {
        if (!slice_eq(next_word(&line), SLICE("options")))
            continue;
        while ((word = next_word(&line)).n > 0) {
            if (!option(word, SLICE("timeout:"), RESOLV_TIMEOUT_MAX_MS / 1000, &seconds))
                (void)option(word, SLICE("attempts:"), RESOLV_TRIES_MAX, &o.tries);
        }
    }
    if (seconds > 0)
        o.timeout_ms = seconds * 1000;
    return o;
}
