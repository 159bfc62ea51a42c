/*
 * The life of the agent's process: spawn, starting, ready, exit, back-off, spawn again; or stop,
 * TERM, KILL, reaped.
 *
 * One child, in a process group of its own. As PID 1, or as child subreaper elsewhere, every orphan
 * is reaped too. Behaviour is the table state x event in child.c. Spawned and ready are different
 * facts with different time stamps. A pid is never signalled after it was reaped. Source: design
 * sections 4, 6, 7, 13; style section 8.
 *
 * What happens to the processes the agent leaves behind: when it is started again (after a crash,
 * or supervisor_restart) its group is ended, nothing else; when it is not started again, every
 * descendant is ended, TERM first, KILL when the grace is over.
 *
 * The child also dies with us: it asks the kernel for KILL when the thread that spawned it (the
 * loop's, which lives as long as the process) is gone. Only a killed or crashed sidecar makes that
 * happen; as PID 1 of a container the kernel does the same anyway. Lost on exec of a set-uid file.
 *
 * Callbacks come from the loop, from supervisor_on_sigchld() or, on_ended and on_exit only, from
 * supervisor_stop() and supervisor_kill(); never from supervisor_start(). They may call everything
 * here but supervisor_free().
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "base/err.h"
#include "loop/loop.h"
#include "loop/signals.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct supervisor;

/*
 * What we were started with; the child gets it back (design section 13). Taken first thing in
 * main(), before we change any of it.
 */
struct process_origin {
    struct signals_origin signals;
    mode_t umask;
    struct rlimit nofile; /* before it was raised */
    struct rlimit core;   /* before it was lowered */
};

/*
 *   DOWN -> SPAWNING -> STARTING <-> READY
 *              ^            |          |        exit, policy says again
 *              +-- BACKOFF <-----------+
 *              +-- RESTARTING <--------+        supervisor_restart, start deadline
 *   stop:  STOPPING -> CLEANING -> ENDED        the agent, then what it left behind
 *                 \-> KILLING --/               a grace that ran out, or supervisor_kill
 */
enum child_state {
    CHILD_DOWN = 0,   /* never started */
    CHILD_SPAWNING,   /* forked; whether exec worked is not known yet */
    CHILD_STARTING,   /* exec succeeded; not ready yet; start deadline runs */
    CHILD_READY,      /* app said so (supervisor_mark_ready) */
    CHILD_BACKOFF,    /* ended; will be started again at a deadline */
    CHILD_STOPPING,   /* signalled; grace deadline runs, then KILL */
    CHILD_RESTARTING, /* as STOPPING, but it is started again afterwards */
    CHILD_CLEANING,   /* the child is gone for good; its descendants have until the deadline */
    CHILD_KILLING,    /* KILL was sent to all; waiting until they are gone */
    CHILD_ENDED,      /* for good: the policy says so, too many failures, or we stopped it */
};
enum { CHILD_STATE_COUNT = CHILD_ENDED + 1 };
const char *child_state_name(enum child_state s); /* "down", "spawning", ... */

struct supervisor_config {
    char *const *argv; /* NULL-terminated; borrowed */
    const char *cwd;   /* "" = ours; borrowed */
    bool no_new_privs;
    int policy; /* enum restart_policy's number: 0 on-failure, 1 never, 2 always */
    int64_t backoff_ms, backoff_max_ms, reset_after_ms;
    int64_t max_failures;        /* in a row; 0 = no limit */
    int64_t start_timeout_ms;    /* from the fork; 0 = no limit */
    bool start_timeout_restarts; /* counts as a failure; else it is only reported */
    int stop_signal;
    const struct process_origin *origin; /* borrowed */
};

struct child_exit {
    pid_t pid;
    int wait_status;    /* as waitpid gives it */
    bool we_stopped_it; /* after supervisor_stop/_restart */
    bool we_killed_it;  /* KILL after the grace */
    bool was_ready;
    int64_t ran_ms;
    bool will_restart;
    int64_t restart_in_ms;
    unsigned failures; /* in a row */
};

struct supervisor_callbacks {
    /*
     * The environment for the next spawn: malloc'ed NULL-terminated array of malloc'ed strings; the
     * supervisor frees it. NULL: it could not be built (a failure like any other). Required.
     */
    char **(*build_env)(void *arg);
    void (*on_spawned)(void *arg, pid_t pid); /* exec succeeded */
    /*
     * exec errors: "cannot exec /app/agent: Permission denied (it is not executable: chmod +x)". A
     * first start that fails with an error that does not heal by itself (missing, not executable,
     * wrong format) is not tried again: on_ended follows.
     */
    void (*on_spawn_failed)(void *arg, const struct err *why, bool will_restart);
    void (*on_start_timeout)(void *arg); /* start deadline passed while STARTING */
    void (*on_exit)(void *arg, const struct child_exit *e);
    /* CHILD_ENDED reached, exactly once; `last` NULL when no process ever ran */
    void (*on_ended)(void *arg, const struct child_exit *last);
    void (*on_reaped)(void *arg, pid_t pid, int wait_status); /* an orphan */
};                                                            /* all but build_env may be NULL */

struct supervisor_status {
    enum child_state state;
    pid_t pid; /* 0 = none */
    uint64_t spawned_total, restarts_total, orphans_reaped_total;
    unsigned failures;                  /* in a row */
    int64_t spawned_at_ms, ready_at_ms; /* loop time; 0 = not */
    int64_t next_start_ms;              /* loop time, BACKOFF */
    bool has_exited;
    struct child_exit last;
};

/* becomes subreaper unless PID 1 */
int supervisor_new(struct loop *l, const struct supervisor_config *cfg,
                   const struct supervisor_callbacks *cb, void *arg, struct supervisor **ret,
                   struct err *err);
/* The policy, the back-off and the start timeout of cfg, from the next start or end of the child
 * on. */
void supervisor_configure(struct supervisor *s, const struct supervisor_config *cfg);
/* a child that still runs is killed with its group, and waited for briefly */
void supervisor_free(struct supervisor *s);
/* Only a child that was never started; nothing in other states. */
void supervisor_start(struct supervisor *s);
void supervisor_mark_ready(struct supervisor *s);
/* READY -> STARTING without a start deadline (health check failed) */
void supervisor_mark_unready(struct supervisor *s);
/*
 * stop_signal and CONT to the group; grace; KILL; no restart. on_ended follows, at once (before
 * this returns) when nothing runs. Again: a shorter grace shortens the one that runs.
 */
void supervisor_stop(struct supervisor *s, int64_t grace_ms);
/* KILL now (third TERM, end of the budget); no restart */
void supervisor_kill(struct supervisor *s);
/*
 * For secrets.on_change: restart. Nothing while it is down, backs off (its next environment is
 * built anew anyway) or stops.
 */
void supervisor_restart(struct supervisor *s, int64_t grace_ms);
/* pass a signal on to the group; nothing when no child runs */
void supervisor_signal(struct supervisor *s, int signo);
/* look and reap until nothing is left */
void supervisor_on_sigchld(struct supervisor *s);
/* any child of ours left (orphans adopted, too) */
bool supervisor_has_descendants(const struct supervisor *s);
/* As of now; valid until the next call of this function. */
const struct supervisor_status *supervisor_status(struct supervisor *s);

/* Also in sidecar mode without a command: reap whatever is there; how many. */
uint64_t reap_orphans(void);

/*
 * Design section 4: the exit status of `run` for an agent that ended so. The agent's own code; 0
 * when it died of the stop signal we sent; 137 when we had to kill it; 128+n otherwise.
 */
int exit_status_of(const struct child_exit *e, int stop_signal);

#endif
