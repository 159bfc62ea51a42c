/*
 * The agent's stdout and stderr as lines of our log (log.child: wrap).
 *
 * One pair of pipes for our whole life, so that a daemon an agent left behind can go on writing
 * while the next one runs. We keep the writing ends too: nobody else's death ends the reading.
 * Nothing here waits: what the agent writes is read at once, whether or not stderr takes it. Lines
 * for which the log has no room (log_has_room()) are dropped, counted, and said where they are
 * missing. An unfinished line is told after OUTPUT_IDLE_MS as a part, and ended when the agent
 * ends.
 */
#ifndef SUPERVISOR_OUTPUT_H
#define SUPERVISOR_OUTPUT_H

#include "base/err.h"
#include "loop/loop.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    OUTPUT_IDLE_MS = 1000,          /* from an unfinished line's first byte to its being told */
    OUTPUT_SAY_MS = 1000,           /* between two tries to say how many lines were dropped */
    OUTPUT_END_BYTES = 1024 * 1024, /* read at the agent's end; a pipe holds no more */
};

struct output_stats {
    uint64_t lines;   /* of both streams that went into the log */
    uint64_t dropped; /* for which it had no room; the rest of a line counts with it */
};

struct output;

int output_new(struct loop *l, struct output **ret, struct err *err);
/* what the pipes hold is read, unfinished lines are told; NULL is fine */
void output_free(struct output *o);
const int *output_fds(const struct output *o); /* for the child: its stdout and stderr; borrowed */
void output_set_pid(struct output *o, pid_t pid); /* who writes from now on, as far as we know */
/* The agent has ended: all it wrote is told now, bounded, and its last lines are ended. */
void output_child_ended(struct output *o);
const struct output_stats *output_stats(const struct output *o);

#endif
