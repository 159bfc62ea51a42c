/*
 * A control group (v2) of the agent's own, below ours, so that one write ends every process in it,
 * however fast it forks and wherever it has moved in the tree of processes.
 *
 * Made only where our group is ours to divide: it is a v2 group, it holds nobody but us, we may
 * make groups in it and move processes there, and a service manager that started us has said so
 * (systemd: Delegate=yes, which it notes in an extended attribute). No controller is switched on
 * in it, so that the rule "no processes in inner groups" does not touch us and limits stay where
 * they are. Everywhere else (a shell's session, a container with a read-only /sys/fs/cgroup, v1)
 * there is none, and the end is descendants.h's alone.
 */
#ifndef SUPERVISOR_CGROUP_H
#define SUPERVISOR_CGROUP_H

#include "base/str.h"

struct cgroup {      /* all -1 and empty = none */
    struct str path; /* of the agent's group; owned */
    int procs_fd;    /* its cgroup.procs, for writing; close-on-exec */
    int kill_fd;     /* its cgroup.kill */
};

/*
 * Makes it when all that is given. Never fails: ret->procs_fd < 0 = none, and *why says why in some
 * words (a literal).
 */
void cgroup_make(struct cgroup *ret, const char **why);
/*
 * The calling process moves into it; between fork and exec, async-signal-safe. 0 or -errno;
 * nothing when procs_fd is none (-1, or 0 to 2, which are the child's).
 */
int cgroup_enter(int procs_fd);
void cgroup_kill(const struct cgroup *c); /* KILL to all in it; nothing when there is none */
/* Removes it when it is empty; what is left in it goes with the group above. */
void cgroup_release(struct cgroup *c);

#endif
