/*
 * The agent's NOTIFY_SOCKET: a datagram socket of ours, so that the agent's sd_notify reaches us
 * and not the service manager. Who sent it is told by the kernel (SCM_CREDENTIALS): taken from a
 * process of the child's uid, or from a descendant of ours; others are counted and dropped.
 * Descriptors that come along are closed once the message was read, which is what
 * sd_notify_barrier(3) waits for.
 *
 * Bounded: AGENT_SOCKET_MAX_BYTES a datagram, AGENT_SOCKET_PER_SECOND of them; beyond that they
 * wait in the kernel's queue, and a sender that blocks, waits too.
 */
#ifndef NOTIFY_AGENT_SOCKET_H
#define NOTIFY_AGENT_SOCKET_H

#include "base/err.h"
#include "loop/loop.h"
#include "notify/agent_message.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    AGENT_SOCKET_MAX_BYTES = 4096, /* what systemd takes; longer ones are dropped */
    AGENT_SOCKET_PER_SECOND = 50,
    AGENT_SOCKET_PER_TURN = 8,    /* then other sources of the loop have their turn */
    AGENT_SOCKET_FDS_MAX = 16,    /* received and closed; the kernel closes more */
    AGENT_SOCKET_QUEUE_MAX = 1024 /* of the last child, thrown away; the kernel keeps fewer */
};

struct agent_socket;
typedef void agent_message_fn(void *arg, const struct agent_message *m);

struct agent_socket_stats {
    uint64_t taken, strangers, too_long, dropped_words;
};

/* Binds `path`, in the place of a socket that is left there; anybody may write to it. */
int agent_socket_new(struct loop *l, const char *path, agent_message_fn *fn, void *arg,
                     struct agent_socket **ret, struct err *err);
void agent_socket_free(struct agent_socket *s); /* removes the path; NULL is fine */
/*
 * A child of that uid is about to be started: its messages count from now on, and what was sent
 * before is thrown away.
 */
void agent_socket_expect(struct agent_socket *s, uid_t uid);
void agent_socket_expect_nobody(struct agent_socket *s);
const char *agent_socket_path(const struct agent_socket *s);
const struct agent_socket_stats *agent_socket_stats(const struct agent_socket *s);

#endif
