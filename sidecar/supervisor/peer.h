/*
 * An agent that is not our child: the process that listens on a Unix socket, found by the socket's
 * peer credentials, and stopped by the same sequence of signals as a child (design section 7, last
 * paragraph). For a pod whose containers share their process namespace.
 *
 * Signals go through a pidfd, never to a number: a process that has ended cannot be mistaken for
 * the one that got its number. They go to that process alone, with CONT; its group and its children
 * are not ours to know. Who may be signalled: a process that we can see, of our own user (or we are
 * root), that is not process 1 of our namespace, not ourselves and none of those that started us. A
 * socket that is reached through a symbolic link at its very name tells nobody.
 */
#ifndef SUPERVISOR_PEER_H
#define SUPERVISOR_PEER_H

#include "base/endpoint.h"
#include "base/err.h"
#include "loop/loop.h"
#include "supervisor/stop_steps.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer_query {
    const struct endpoint *at; /* where it listens */
    /*
     * CLOCK_BOOTTIME ms at which the agent last began to answer; 0 = it never did. On Linux before
     * 6.5 the kernel gives only the listener's number: a process that was started after that moment
     * is another one.
     */
    int64_t answered_at_boot_ms;
    bool by_number; /* for tests: as on Linux before 6.5 */
};

struct peer_found {
    int pidfd; /* the caller's to close */
    pid_t pid; /* for messages only */
};

/*
 * Who listens there. 1: found, and we may signal it. 0: nobody listens. Negative: somebody does,
 * but it cannot be signalled; the sentence says why: -EOPNOTSUPP not a Unix socket, -ESRCH not in
 * our process namespace or not to be found, -EPERM not ours to signal, else -errno. Does not block:
 * at most one connection to a local socket and a few files of /proc.
 */
int peer_find(const struct peer_query *q, struct peer_found *ret, struct err *err);

struct peer_callbacks { /* all required */
    /* a signal of the sequence was sent, KILL at its end too; left_ms: until the next; after KILL 0
     */
    void (*on_step)(void *arg, int signo, int64_t left_ms);
    void (*on_gone)(void *arg); /* it has ended; nothing follows */
};

struct peer_stop { /* embedded; zeroed = nobody is being stopped; private but is_on */
    bool is_on;
    struct loop *loop;
    struct stop_steps steps;
    struct watch gone;
    struct timer next;
    struct timer kill;
    const struct peer_callbacks *cb;
    void *arg;
    int pidfd;
};

/*
 * The sequence, then KILL, within grace_ms; on_gone follows from the loop, also when nothing helps
 * but the process ends one day. Takes found->pidfd. 0, or -errno when the pidfd cannot be watched
 * (nothing was sent then).
 */
int peer_stop_begin(struct peer_stop *p, struct loop *l, struct peer_found *found,
                    const struct stop_sequence *seq, int64_t grace_ms,
                    const struct peer_callbacks *cb, void *arg);
void peer_stop_kill(struct peer_stop *p);    /* now; nothing when it is off */
void peer_stop_release(struct peer_stop *p); /* also on a zeroed one; the process is left alone */

#endif
