/*
 * The table. No cell is empty: what has no effect stays where it is.
 */
#include "app/lifecycle.h"

/* clang-format off: the columns are the point */
static const enum life_state table[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] = {
    /*                   AGENT_UP       HOLD           RELEASE        DRAIN          RESUME
       TERMINATE      END */
    [LIFE_STARTING] = {LIFE_RUNNING, LIFE_HELD, LIFE_STARTING, LIFE_DRAINING, LIFE_STARTING,
                       LIFE_STOPPING, LIFE_STOPPED},
    [LIFE_RUNNING] = {LIFE_RUNNING, LIFE_HELD, LIFE_RUNNING, LIFE_DRAINING, LIFE_RUNNING,
                      LIFE_STOPPING, LIFE_STOPPED},
    [LIFE_HELD] = {LIFE_HELD, LIFE_HELD, LIFE_STARTING, LIFE_DRAINING, LIFE_HELD, LIFE_STOPPING,
                   LIFE_STOPPED},
    [LIFE_DRAINING] = {LIFE_DRAINING, LIFE_DRAINING, LIFE_DRAINING, LIFE_DRAINING, LIFE_STARTING,
                       LIFE_STOPPING, LIFE_STOPPED},
    [LIFE_STOPPING] = {LIFE_STOPPING, LIFE_STOPPING, LIFE_STOPPING, LIFE_STOPPING, LIFE_STOPPING,
                       LIFE_STOPPING, LIFE_STOPPED},
    [LIFE_STOPPED] = {LIFE_STOPPED, LIFE_STOPPED, LIFE_STOPPED, LIFE_STOPPED, LIFE_STOPPED,
                      LIFE_STOPPED, LIFE_STOPPED},
};
/* clang-format on */

enum life_state life_next(enum life_state s, enum life_event e)
{
    return table[s][e];
}

const char *life_state_name(enum life_state s)
{
    static const char *const names[LIFE_STATE_COUNT] = {
        [LIFE_STARTING] = "starting", [LIFE_RUNNING] = "running",   [LIFE_HELD] = "held",
        [LIFE_DRAINING] = "draining", [LIFE_STOPPING] = "stopping", [LIFE_STOPPED] = "stopped",
    };

    return names[s];
}
