/*
 * Everything below us in the tree of processes, and how it ends: daemons that made sessions of
 * their own, grandchildren whose parents live, stopped ones, and programs that fork faster than
 * anybody can look.
 *
 * No number is signalled that may have become somebody else's. Our own children are safe by number:
 * nobody but us can reap them. Everybody else is held by a pidfd first, then looked at (does its
 * parent, held as well, still have it?), then signalled through the pidfd. On kernels without pidfd
 * (before 5.3, or a seccomp filter) only our own children are signalled; the others become ours as
 * their parents die, so that KILL reaches all of them and TERM some of them late.
 *
 * A sweep costs some 15 system calls per process and stops after DESCENDANTS_SWEEP_MS; the owner
 * sweeps again when something died. Source: design section 7, style section 8.
 */
#ifndef SUPERVISOR_DESCENDANTS_H
#define SUPERVISOR_DESCENDANTS_H

#include "base/str.h"
#include "supervisor/proc_tree.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    /* generations below us that one sweep looks into; as the upper ones die the lower ones rise */
    DESCENDANTS_DEPTH_MAX = 64,
    /* ms of our loop that all the rounds of one call may take */
    DESCENDANTS_SWEEP_MS = 250,
    /* how often a sweep looks for more to freeze before it kills those it has */
    DESCENDANTS_FREEZE_ROUNDS = 32,
    /* processes named by descendants_describe() */
    DESCENDANTS_NAMED_MAX = 5,
};

/*
 * Who has had the signal. Zeroed = nobody. `group`: the process group that has just had it, the
 * first time around; 0 = none.
 */
struct descendants_told {
    struct pid_list pids;
    pid_t group;
};
void descendants_told_release(struct descendants_told *t);

/*
 * TERM, with CONT for the stopped, to every descendant that has not had it by this. 0, or -errno
 * when /proc cannot be read: then nobody is found (as PID 1, all have it: the namespace is ours).
 */
int descendants_ask(struct descendants_told *told);

/*
 * KILL to every descendant. As PID 1 by one call, which no fork escapes, to all of the namespace:
 * it ends with us anyway. Else they are frozen (STOP) round by round until nobody new is found, for
 * what is stopped cannot fork and a dead one makes room for another; then killed. As above.
 */
int descendants_kill(void);

/* One of them is in that group, so the number cannot be anybody else's. */
bool descendants_are_in_group(pid_t group);

/* "2 processes: python3 (123, D), sh (124, Z)" of who is left now; returns how many that are. */
size_t descendants_describe(struct str *ret);

#endif
