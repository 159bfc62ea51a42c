/*
 * One attempt to connect to the agent, closed at once: does anybody accept? For agent.ready:
 * connect and as the cheap test before a request. Never blocks; has a deadline.
 */
#ifndef AGENT_CONNECT_H
#define AGENT_CONNECT_H

#include "base/endpoint.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Once, from the loop: 0, or the errno (ETIMEDOUT at the deadline). */
typedef void connect_fn(void *arg, int errnum);

struct connect_try { /* embedded; zeroed = idle; private */
    struct loop *loop;
    const struct endpoint *at;
    struct watch watch;
    struct timer deadline;
    int fd;
    bool is_active;
    int first_errno; /* localhost: why the first address failed; 0 = it is being tried */
    connect_fn *fn;
    void *arg;
};

/*
 * 0 it accepts, an errno it does not: known at once, as always with Unix sockets. -1: fn tells
 * later. "localhost" is both loopback addresses.
 */
int connect_try_start(struct connect_try *t, struct loop *l, const struct endpoint *at,
                      int64_t timeout_ms, connect_fn *fn, void *arg);
void connect_try_stop(struct connect_try *t); /* harmless when idle */

/* Of "localhost": [::1], where who is not at 127.0.0.1 may be. */
void connect_second_address(const struct endpoint *at, struct sockaddr_storage *ret, socklen_t *n);

#endif
