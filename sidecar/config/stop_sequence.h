/*
 * The value of stop.signal: the signals that end the agent, in order, each with its time. KILL
 * follows the last one and is not among them.
 *
 *   TERM                                   one signal; it has all of stop.agent_grace
 *   USR1 wait 20s, TERM, wait 10s, KILL    commas and blanks both part the words
 *   USR1 wait 20s, TERM                    the last one has what the others leave
 */
#ifndef CONFIG_STOP_SEQUENCE_H
#define CONFIG_STOP_SEQUENCE_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STOP_STEPS_MAX = 8, /* signals: more is no plan that a person can follow */
    STOP_WAIT_MIN_MS = 1,
    STOP_WAIT_MAX_MS = 24 * 3600 * 1000, /* as the other times of stop */
    STOP_WAIT_REST = -1,
};

struct stop_step {
    int signo;
    int64_t wait_ms; /* until the next signal, or KILL; STOP_WAIT_REST (last one only): what is left
                      */
};

struct stop_sequence { /* n >= 1 once read */
    struct stop_step v[STOP_STEPS_MAX];
    size_t n;
};

/*
 * 0, or -EINVAL with a sentence that says where (character of the text, from 1), what is wrong and
 * how it is written.
 */
int stop_sequence_parse(struct slice text, struct stop_sequence *ret, struct err *err);

/* "USR1 wait 20s, TERM wait 10s, KILL"; of one signal without a wait only its name. Reads back. */
void stop_sequence_add_text(struct str *out, const struct stop_sequence *s);

/* The sum of the waits that were given, milliseconds. */
int64_t stop_sequence_waits_ms(const struct stop_sequence *s);
/* The last signal has what is left. */
static inline bool stop_sequence_is_open(const struct stop_sequence *s)
{
    return s->n > 0 && s->v[s->n - 1].wait_ms == STOP_WAIT_REST;
}

#endif
