/*
 * Whether and when an agent that ended is started again. Pure but for the jitter: no clock, no
 * process.
 */
#ifndef SUPERVISOR_RESTART_H
#define SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

enum restart_when { /* same numbers as config's enum restart_policy */
                    RESTART_WHEN_FAILED = 0,
                    RESTART_WHEN_NEVER,
                    RESTART_WHEN_ALWAYS,
};

struct restart_rules {
    enum restart_when when;
    int64_t backoff_ms;     /* after the first failure */
    int64_t backoff_max_ms; /* the delay doubles up to this */
    int64_t reset_after_ms; /* well for so long: the count starts anew; 0 = never */
    int64_t max_failures;   /* in a row, then it is over; 0 = no limit */
};

struct restart_verdict {
    bool restart;
    int64_t delay_ms; /* 0.5 to 1 times the back-off, so that many agents do not start in step */
    bool is_over_max; /* would be started again, had it not failed max_failures times in a row */
};

/*
 * well_ms: how long a process ran since it was ready for the first time, 0 when it never was: one
 * that hangs, or needs long to start, is not well, and restart.max must be reached. true: it has
 * made up for the failures before it.
 */
bool restart_is_stable(const struct restart_rules *rules, int64_t well_ms);

/*
 * One process ended (failed: see exit_is_failure(), or it could not be spawned) after well_ms.
 * *failures counts failures in a row and is updated.
 */
struct restart_verdict restart_decide(const struct restart_rules *rules, bool failed,
                                      int64_t well_ms, unsigned *failures);

#endif
