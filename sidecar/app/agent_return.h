/*
 * Sidecar mode: is the agent another one? A drain without TERM was a preStop hook, and that runs
 * too when only the agent's container is restarted. The probe asks every agent.health_interval,
 * and an agent that went and came back in between would go unnoticed: drained, and no TERM to
 * come. So while such a drain lasts, its address is looked at every RETURN_LOOK_MS: a Unix socket
 * by its file (no connection is made), TCP by connecting. When it has gone, or is another one, the
 * probe begins anew, and its first answer ends the drain (agent_side.c).
 */
#ifndef APP_AGENT_RETURN_H
#define APP_AGENT_RETURN_H

#include "loop/loop.h"

#include <sys/types.h>
#include <time.h>

enum { RETURN_LOOK_MS = 100 }; /* a container takes longer to be made anew */

struct app;

struct agent_return { /* embedded in app; private */
    struct timer look;
    dev_t dev;
    ino_t ino;               /* of the socket when the drain began */
    struct timespec made_at; /* inode numbers are given out again */
};

/* A drain begins; nothing is done with a child, without a probe, or before the agent answers. */
void agent_return_watch(struct app *a);
void agent_return_stop(struct app *a); /* it is the end, or was called off; harmless when off */

#endif
