/*
 * What the sidecar as a whole is doing. Behaviour is one table, state x event; app.c acts on what
 * it says.
 *
 *   starting -> running -> draining -> stopping -> stopped
 *   held stands beside running (paused or removed); draining goes back when a preStop drain turns
 * out not to be the end.
 *
 * Source: design section 6.
 */
#ifndef APP_LIFECYCLE_H
#define APP_LIFECYCLE_H

enum life_state {
    LIFE_STARTING = 0,
    LIFE_RUNNING,
    LIFE_HELD,
    LIFE_DRAINING,
    LIFE_STOPPING,
    LIFE_STOPPED
};
enum { LIFE_STATE_COUNT = LIFE_STOPPED + 1 };

enum life_event {
    LIFE_AGENT_UP = 0, /* the agent answers (or there is nothing to wait for) */
    LIFE_HOLD,         /* paused or removed, and we are to hold */
    LIFE_RELEASE,      /* active again */
    LIFE_DRAIN,        /* a trigger of design section 7 */
    LIFE_RESUME,       /* the drain was not the end */
    LIFE_TERMINATE,    /* the agent is being stopped; no way back */
    LIFE_END,          /* nothing is left to do */
};
enum { LIFE_EVENT_COUNT = LIFE_END + 1 };

enum life_state life_next(enum life_state s, enum life_event e);
const char *life_state_name(enum life_state s); /* "starting", ... */

#endif
