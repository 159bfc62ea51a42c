/*
 * The grace timeline: one budget, one clock (design section 7). Pure.
 *
 *   0 .. drain_delay            still accepting, so that others learn that we leave
 *     .. drain_timeout          work in flight finishes; new requests get 503
 *     .. agent_grace            the agent has its signals (stop.signal); then SIGKILL
 *     .. reserve                flush, last beat, exit
 *
 * With stop.order signal-first the agent's time begins at 0 and runs beside the first two.
 *
 * Phases that nobody set are computed so that they fit; only numbers a user set are refused. The
 * waits of stop.signal are such numbers: without stop.agent_grace the agent has as long as they
 * say, and a last signal without a wait of its own what a lone one would have on top.
 *
 * Where a stop has no agent to end or to wait for (config_stops_agent), nothing is kept for its
 * end: the drain has that time. An agent of another container that is stopped by its pid or waited
 * for has what a child would have, and in a pod any that we serve: its TERM comes from the kubelet
 * when our drain is done, out of the same grace.
 */
#ifndef APP_BUDGET_H
#define APP_BUDGET_H

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

#include <stdint.h>

struct budget { /* milliseconds; reserve and the others (signal-first: the first two, and the
                   agent's alone) never sum up to more than grace */
    int64_t grace;
    int64_t drain_delay;
    int64_t drain_timeout;
    int64_t agent_grace;
    int64_t reserve;
    bool drain_delay_is_default; /* may be skipped by a pod that was never ready, or polls and is
                                    called by nobody */
};

/* 0, or -EINVAL naming the keys, their sum, and what would fit. */
int budget_compute(const struct config *cfg, struct budget *ret, struct err *err);

/* The timeline for people, several lines (timeline.c). */
void budget_print(const struct budget *b, const struct config *cfg, struct str *out);
void budget_print_line(const struct budget *b, const struct config *cfg,
                       struct str *out); /* one line for the log */

#endif
