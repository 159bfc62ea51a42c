/*
 * Where a stop stands in its list of signals (stop.signal) and when the next one is due. Pure:
 * whoever stops somebody (the child's table, sidecar mode's peer) sends what it hands out and
 * arms its own timers.
 *
 * The end, at which KILL is due, never moves past the grace given. Where the waits add up to more
 * than the time that is left they shrink in proportion, so that no signal of the list is left out;
 * where they add up to less, KILL comes when the last of them is over.
 */
#ifndef SUPERVISOR_STOP_STEPS_H
#define SUPERVISOR_STOP_STEPS_H

#include "config/stop_sequence.h"

#include <stdint.h>

/* a last signal without a wait of its own counts as this much, or as the wait before it, where time
 * is too short for all */
enum { STOP_LAST_SHARE_MS = 1000 };

struct stop_steps {                  /* zeroed = nobody is being stopped; fields for reading */
    const struct stop_sequence *seq; /* borrowed */
    size_t next;                     /* index of the signal that follows */
    int64_t next_ms;                 /* loop time at which it is due; 0 = none follows */
    int64_t end_ms;                  /* loop time of KILL */
    uint64_t sent;                   /* bit n-1: signal n was handed out */
};

/* The first signal is due at once. */
void stop_steps_begin(struct stop_steps *s, const struct stop_sequence *seq, int64_t now_ms,
                      int64_t grace_ms);
/* The signal that is due; the next one is planned. 0 when none is left. */
int stop_steps_take(struct stop_steps *s, int64_t now_ms);
/* Less time than planned: what is left shrinks. More changes nothing. True: the end has moved. */
bool stop_steps_shorten(struct stop_steps *s, int64_t now_ms, int64_t grace_ms);
/* Other time than planned, less or more. */
void stop_steps_replan(struct stop_steps *s, int64_t now_ms, int64_t grace_ms);
/* KILL was sent: no signal follows, and what is waited for ends at end_ms. */
void stop_steps_end(struct stop_steps *s, int64_t end_ms);

#endif
