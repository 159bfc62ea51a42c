/*
 * What this process was started with, and what we make of ourselves (design section 13). For `run`
 * only, first thing.
 */
#ifndef APP_ORIGIN_H
#define APP_ORIGIN_H

#include "supervisor/supervisor.h"

/*
 * Note mask, ignored signals, umask and limits for the child, then: signals blocked, umask 077, no
 * core files, not dumpable (the bearer and the agent's secrets are in our memory), descriptors up
 * to the hard limit. Before any thread exists.
 */
void origin_take(struct process_origin *ret);

/* Without a child: no new privileges. Cannot be given back, so not in wrapper mode (the agent may
 * need sudo). */
void origin_drop_privileges(void);

#endif
