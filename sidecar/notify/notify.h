/*
 * sd_notify(3): what we tell a service manager, and what it hands us. Without $NOTIFY_SOCKET
 * everything here does nothing.
 *
 * Sends never block: what a busy manager has no room for waits and is sent again (datagrams.h). The
 * variables stay in our environment; app/ keeps NOTIFY_SOCKET, WATCHDOG_* and LISTEN_* out of the
 * agent's.
 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct notify;

/* Reads the environment once. The loop must outlive it. */
int notify_new(struct loop *loop, struct notify **ret, struct err *err);
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

/* WATCHDOG_USEC as it stands in the environment, whoever it is meant for; 0 = none. For `plan`. */
int64_t notify_watchdog_of_env_ms(void);

/* RELOADING=1 with MONOTONIC_USEC= as of now. notify_ready() must follow, whatever came of it. */
void notify_reloading(struct notify *n);

/*
 * The manager's store of descriptors (FDSTORE=1, FileDescriptorStoreMax=): it keeps a copy that
 * outlives us and hands it to our next process with LISTEN_FDS. name: a literal, short. The
 * manager looks at what is closed there by itself; removing what is not there is harmless.
 */
void notify_store_fd(struct notify *n, const char *name, int fd);
void notify_remove_fd(struct notify *n, const char *name);

/*
 * Sockets that were handed over with LISTEN_FDS, known by LISTEN_FDNAMES: `a2a`, `admin`, or what
 * we stored ourselves. Without one named `a2a` that port is the first one whose name is none of
 * ours and not `agent` or `agent-...`: those are the agent's (listen_fds.h), and left as they are.
 *
 * notify_listen_fd() gives the first listening stream socket of its kind, made close-on-exec and
 * non-blocking; -1 when there is none.
 */
enum notify_fd { NOTIFY_FD_A2A = 0, NOTIFY_FD_ADMIN, NOTIFY_FD_KEPT };
#define NOTIFY_KEPT_NAME "kept-a2a" /* not `a2a`: what a .socket unit says must win over it */
int notify_listen_fd(enum notify_fd which);

#endif
