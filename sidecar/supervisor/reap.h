/*
 * Children that ended, ours and adopted ones; and the list of those that are left.
 *
 * A zombie keeps its number: look first (WNOWAIT), act while the pid cannot be anybody else's, then
 * take. Only direct children are ever listed: nobody but us can reap them, so their pids are safe
 * to signal. As PID 1 or subreaper every descendant whose parent ended becomes one.
 */
#ifndef SUPERVISOR_REAP_H
#define SUPERVISOR_REAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pid_list { /* zeroed = empty */
    pid_t *v;     /* owned, ascending */
    size_t n, cap;
};

/* Orphans come to us from now on. 0 or -errno; nothing to do as PID 1. */
int reap_become_subreaper(void);

/*
 * A child that ended and was not taken yet: its pid, and its status as waitpid gives it; 0: there
 * is none; -errno: the kernel does not say, ask again later.
 */
pid_t reap_look(int *ret_wait_status);
void reap_take(pid_t pid);
bool reap_has_children(void); /* running or ended, adopted ones too */

/* All our children. 0 or -errno; the list is empty then. */
int reap_list(struct pid_list *ret);
/* The slow way, for kernels without /proc/<pid>/task/<tid>/children; here for its test. */
int reap_list_by_parents(struct pid_list *ret);
bool pid_list_has(const struct pid_list *l, pid_t pid);
void pid_list_release(struct pid_list *l);

#endif
