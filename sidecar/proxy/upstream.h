/*
 * Connections to the agent: kept ones and fresh ones.
 *
 *   upstream_open ----> in use ---- upstream_release ----> idle ---- 2 s, or anything reported
 * ----> closed ^                 \--- upstream_close                |
 *        +-----------------------------------------------------+
 *
 * An idle connection is watched for reading: whatever shows on it, bytes or its end, means that it
 * must not carry another request. It is handed out from the turn after its release on and only when
 * that turn's poll reported nothing on it, so open connections at the end of a turn (loop_defer),
 * when all that was reported has been seen. No call to the kernel is needed for that, and none when
 * a kept connection is taken or given back.
 *
 * Source: design section 8; A sections 10.6, 10.9.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    UPSTREAM_IDLE_MS = 2000,  /* below any usual keep-alive of an agent (5 s is common) */
    UPSTREAM_IDLE_MAX = 256,  /* idle connections; more are closed when given back */
    UPSTREAM_SPARE_MAX = 256, /* closed objects kept for reuse, about 200 bytes each */
};

struct upstream;

struct upstream_events {
    /* WATCH_* bits that are true; only while it has a user */
    void (*on_ready)(void *user, int events);
    /* after upstream_open() returned 1. code: 0, or -errno and the connection is closed already */
    void (*on_connected)(void *user, int code);
};

struct upstream_pool { /* embedded in the proxy; private to upstream.c but the counters */
    struct loop *loop;
    const struct endpoint *at;
    const struct upstream_events *events;
    struct list idle;  /* usable; the latest released first */
    struct list fresh; /* released in turn fresh_turn, not usable before the next */
    struct list busy;
    struct list spare;
    int64_t fresh_turn;
    size_t idle_count; /* in idle and fresh */
    size_t spare_count;
    struct deadline_class idle_class;
    bool prefers_v6;  /* "localhost": ::1 answered last time */
    bool checks_peer; /* Unix sockets: only who listens as peer_uid is the agent */
    uid_t peer_uid;
    uint64_t connects_total, reused_total;
};

void upstream_pool_init(struct upstream_pool *pool, struct loop *l, const struct endpoint *at,
                        const struct upstream_events *events);
/*
 * An agent of another user owns the directory of its socket, so it could put a link to anybody's
 * socket there, and we may connect where it may not. From now on another listener's connection
 * fails with -EPERM before a byte was sent. Not for TCP.
 */
void upstream_expect_peer(struct upstream_pool *pool, uid_t uid);
void upstream_pool_release(struct upstream_pool *pool); /* closes all; nobody may be using one */
void upstream_drop_idle(struct upstream_pool *pool);

/*
 * A connection for `user`. 0: *ret is connected. 1: *ret is connecting, on_connected follows.
 * -ENOENT, -ECONNREFUSED (nobody there yet), -EAGAIN (a Unix socket whose backlog is full; with TCP
 * the kernel drops the attempt, and the caller's deadline is all there is to see), or another
 * -errno; upstream_explain() has the words. is_fresh: never a kept one.
 */
int upstream_open(struct upstream_pool *pool, void *user, bool is_fresh, struct upstream **ret);
void upstream_release(struct upstream *up); /* the answer is complete and it may carry another */
void upstream_close(struct upstream *up);   /* NULL is fine */

int upstream_fd(const struct upstream *up);
bool upstream_is_unix(const struct upstream *up);
void upstream_watch(struct upstream *up, int events); /* WATCH_READ when it was opened */

/* Would trying again help by itself: the agent is not there yet, or too busy to accept? */
bool upstream_is_absent(int code);
bool upstream_is_gone(int code); /* of those: the kernel says that nobody listens */
/* One sentence: address, error, and for EACCES the socket's mode and owner and what to do. */
void upstream_explain(const struct endpoint *at, int code, struct err *ret);

#endif
