/*
 * Who is whose child, as /proc tells it.
 *
 * What it says is a moment old: a process may have ended meanwhile, and its number may even be
 * somebody else's. Only our own children are safe by their number (nobody but us can reap them);
 * for all others see descendants.h.
 */
#ifndef SUPERVISOR_PROC_TREE_H
#define SUPERVISOR_PROC_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pid_list { /* zeroed = empty */
    pid_t *v;     /* owned, ascending */
    size_t n, cap;
};

bool pid_list_has(const struct pid_list *l, pid_t pid);
int pid_list_insert(struct pid_list *l, pid_t pid); /* 0 (also when it is there), -ENOMEM */
void pid_list_release(struct pid_list *l);

/*
 * /proc shows the process numbers that kill(2) takes. It does not when it belongs to another PID
 * namespace (unshare --pid without --mount-proc) or is not there at all.
 */
bool proc_is_ours(void);

/* The kernel has /proc/<pid>/task/<tid>/children (CONFIG_PROC_CHILDREN). */
bool proc_lists_children(void);
/* With it: the children of a process, of all its threads. 0 or -errno; the list is empty then. */
int proc_children(pid_t parent, struct pid_list *ret);
/* Without it: every process is asked for its parent. Slow, and works on every kernel. */
int proc_children_by_parents(pid_t parent, struct pid_list *ret);

#endif
