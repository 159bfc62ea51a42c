/*
 * "I am ready" as a newline on a descriptor, s6's notification-fd: the agent is started with the
 * writing end of a pipe, writes what it likes up to a newline, and closes it. What follows the
 * newline is not read. The end of the pipe without a newline means that it will not say so any
 * more.
 */
#ifndef AGENT_READY_FD_H
#define AGENT_READY_FD_H

#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    READY_LINE_MAX_BYTES = 4096, /* before the newline; more is no readiness message */
};

enum ready_fd_event { READY_FD_SAID = 0, READY_FD_CLOSED, READY_FD_TOO_LONG };
/* Once, from the loop; our end is closed by then. */
typedef void ready_fd_fn(void *arg, enum ready_fd_event event);

struct ready_fd { /* embedded; zeroed = none; private but childs_end */
    struct watch watch;
    int ours;
    int childs_end; /* for the spawn; -1 after ready_fd_spawned() */
    bool is_open;
    size_t seen_bytes;
    ready_fd_fn *fn;
    void *arg;
};

/* A new pipe, for the next start. 0 or -errno. */
int ready_fd_open(struct ready_fd *r, struct loop *l, ready_fd_fn *fn, void *arg);
void ready_fd_spawned(struct ready_fd *r); /* the child has its end: ours of it closes */
void ready_fd_close(struct ready_fd *r);   /* harmless when there is none */

#endif
