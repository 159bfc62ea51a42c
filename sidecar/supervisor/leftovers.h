/*
 * What the agent leaves behind: the processes below us that are not the agent itself, between one
 * start and the next, and at the end. How they are found is descendants.h's, when each is asked or
 * killed child.c's.
 */
#ifndef SUPERVISOR_LEFTOVERS_H
#define SUPERVISOR_LEFTOVERS_H

#include "supervisor/cgroup.h"
#include "supervisor/descendants.h"

#include <stdbool.h>
#include <sys/types.h>

struct leftovers {        /* embedded; zeroed, then leftovers_open(); read only is_end_said */
    pid_t group;          /* of the last child; its members may outlive it; 0 = it shares ours */
    struct cgroup cgroup; /* of the agent's own, where we may make one */
    struct descendants_told told; /* descendants that have had their TERM */
    bool is_cleaning;             /* they were asked once since the last start */
    bool is_end_said;             /* about those who survive everything */
};

void leftovers_open(struct leftovers *l);
void leftovers_release(struct leftovers *l);

/*
 * Before a start. What the last child left in its group would hold sockets and ports of the next
 * one: it is killed. The child itself was reaped; but while a descendant of ours is in that group,
 * its number cannot be anybody else's, so the whole group may be killed at once. Where the child
 * shares our own group (agent.group: process) nothing tells its leftovers from others: they stay.
 */
void leftovers_clear(struct leftovers *l);
/* After the fork; group 0 = it shares ours. */
void leftovers_started(struct leftovers *l, pid_t group);

/* TERM to those who have not had it, KILL to all. Nothing when nobody is there. */
void leftovers_signal(struct leftovers *l, int signo);
/* At the end: what not even KILL has ended is named in the log, once. */
void leftovers_say_survivors(struct leftovers *l);

#endif
