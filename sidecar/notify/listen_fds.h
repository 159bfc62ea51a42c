/*
 * Socket activation for the agent: the descriptors that a service manager handed us and named
 * `agent` or `agent-...` (FileDescriptorName= in the socket unit, LISTEN_FDNAMES here). They stay
 * open for every start of the agent. All others are ours (notify.h).
 */
#ifndef NOTIFY_LISTEN_FDS_H
#define NOTIFY_LISTEN_FDS_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    LISTEN_FDS_START = 3, /* sd_listen_fds(3); the agent's begin there, too */
    LISTEN_FDS_MAX = 64,  /* more than anybody hands over */
};

struct listen_fds {
    int fd[LISTEN_FDS_MAX]; /* ours to keep; close-on-exec */
    size_t n;
    struct str names; /* LISTEN_FDNAMES for the agent: without "agent-", joined by ':' */
};

/* Reads our environment. 0, also when there are none, or -errno with a sentence. */
int listen_fds_of_agent(struct listen_fds *ret, struct err *err);
void listen_fds_release(struct listen_fds *l); /* leaves the descriptors open */

/* For listen.c: how many descriptors were handed to us (0: none, or they are another process's),
 * the name of one of them ("" = none), and whether such a name makes it the agent's. */
int listen_fds_count(void);
struct slice listen_fds_name(int index);
bool listen_name_is_agents(struct slice name);

#endif
