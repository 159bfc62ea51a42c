/*
 * Children that ended, ours and adopted ones: as PID 1 or subreaper every descendant whose parent
 * ended becomes ours.
 *
 * A zombie keeps its number: look first (WNOWAIT), act while the pid cannot be anybody else's, then
 * take.
 */
#ifndef SUPERVISOR_REAP_H
#define SUPERVISOR_REAP_H

#include <stdbool.h>
#include <sys/types.h>

/* Orphans come to us from now on. 0 or -errno; nothing to do as PID 1. */
int reap_become_subreaper(void);

/*
 * A child that ended and was not taken yet: its pid, and its status as waitpid gives it; 0: there
 * is none; -errno: the kernel does not say, ask again later.
 */
pid_t reap_look(int *ret_wait_status);
void reap_take(pid_t pid);
/* A child of ours that was stopped (by *ret_signo) or continued (0) since the last look. */
bool reap_look_stopped(pid_t pid, int *ret_signo);
bool reap_has_children(void); /* running or ended, adopted ones too */

#endif
