/*
 * sd_notify(3): what we tell a service manager, and what it hands us. Without $NOTIFY_SOCKET
 * everything here does nothing.
 *
 * Sends never block (a datagram that does not fit is dropped; the next one tells again). The
 * variables stay in our environment; app/ keeps NOTIFY_SOCKET, WATCHDOG_* and LISTEN_* out of the
 * agent's.
 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct notify;

int notify_new(struct notify **ret, struct err *err); /* reads the environment once */
void notify_free(struct notify *n);
bool notify_is_on(const struct notify *n);

void notify_ready(struct notify *n, const char *status); /* READY=1 and STATUS= */
/* STATUS=; not sent again while it is the same */
void notify_status(struct notify *n, const char *status);
void notify_stopping(struct notify *n, const char *status); /* STOPPING=1 and STATUS= */
void notify_extend(struct notify *n, int64_t ms);           /* EXTEND_TIMEOUT_USEC= */
void notify_watchdog(struct notify *n);                     /* WATCHDOG=1 */
void notify_errno(struct notify *n, int errnum); /* ERRNO=; the agent's, see agent_message.h */
/* half of WATCHDOG_USEC when it is meant for us; 0 = none asked for */
int64_t notify_watchdog_interval_ms(const struct notify *n);

/*
 * Socket activation: the first listening stream socket handed over with LISTEN_FDS that is not the
 * agent's (listen_fds.h), made close-on-exec and non-blocking; -1 when there is none.
 */
int notify_listen_fd(void);

#endif
