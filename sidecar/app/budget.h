/*
 * The grace timeline: one budget, one clock (design section 7). Pure.
 *
 *   0 .. drain_delay            still accepting, so that others learn that we leave
 *     .. drain_timeout          work in flight finishes; new requests get 503
 *     .. agent_grace            the agent has its signal; then SIGKILL
 *     .. reserve                flush, last beat, exit
 *
 * Phases that nobody set are computed so that they fit; only numbers a user set are refused.
 */
#ifndef APP_BUDGET_H
#define APP_BUDGET_H

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

#include <stdint.h>

struct budget { /* milliseconds; the last four sum up to grace */
    int64_t grace;
    int64_t drain_delay;
    int64_t drain_timeout;
    int64_t agent_grace;
    int64_t reserve;
    bool drain_delay_is_default; /* may be skipped when no request ever came from outside */
};

/* 0, or -EINVAL naming the keys, their sum, and what would fit. */
int budget_compute(const struct config *cfg, struct budget *ret, struct err *err);

/* The timeline for people, several lines; what contradicts the surroundings follows as lines that
 * begin with "warning:". */
void budget_print(const struct budget *b, const struct config *cfg, struct str *out);
void budget_print_line(const struct budget *b, struct str *out); /* one line for the log */

#endif
