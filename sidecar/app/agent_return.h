/*
 * Sidecar mode: is the agent another one? A drain without TERM was a preStop hook, and that runs
 * too when only the agent's container is restarted: one that hangs, one that never answered, or a
 * healthy one. The probe does not tell: it asks every agent.health_interval, a hung agent that
 * answers late is no new one, and who never answered does not go down. So while such a drain lasts,
 * its address is looked at every RETURN_LOOK_MS: a Unix socket by its file (no connection is made),
 * TCP by connecting while it has no request. When nobody listens, or another one, the probe begins
 * anew, and its first answer ends the drain (agent_side.c).
 */
#ifndef APP_AGENT_RETURN_H
#define APP_AGENT_RETURN_H

#include "agent/connect.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* A container takes longer to be made anew. Also what a connection that is not accepted waits. */
enum { RETURN_LOOK_MS = 100 };

struct app;

struct agent_return { /* embedded in app; private */
    struct timer look;
    struct connect_try connect; /* TCP */
    bool was_there;             /* it has answered, or its socket was seen since the drain began */
    dev_t dev;
    ino_t ino;               /* of the socket when the drain began */
    struct timespec made_at; /* inode numbers are given out again */
};

/* A drain begins; nothing is done with a child or without a probe. */
void agent_return_watch(struct app *a);
void agent_return_stop(struct app *a); /* it is the end, or was called off; harmless when off */

#endif
