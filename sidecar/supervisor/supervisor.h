/*
 * The life of the agent's process: spawn, starting, ready, exit, back-off, spawn again; or stop,
 * TERM, KILL, reaped.
 *
 * One child, in a process group of its own or as agent.group says (job.h). As PID 1, or as child
 * subreaper elsewhere, every orphan is reaped too. Behaviour is the table state x event in child.c.
 * Spawned and ready are different facts with different time stamps. A pid is never signalled after
 * it was reaped. Source: design sections 4, 6, 7, 13; style section 8.
 *
 * What happens to the processes the agent leaves behind: when it is started again (after a crash,
 * or supervisor_restart) its group is ended, nothing else; when it is not started again, every
 * descendant is ended (descendants.h, cgroup.h), TERM first, KILL when the grace is over. What
 * survives that is named in the log.
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
#include "base/user.h"
#include "config/stop_sequence.h"
#include "loop/loop.h"
#include "loop/signals.h"
#include "supervisor/exit_codes.h"

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
    CHILD_STOPPING,   /* signalled, signal by signal; grace deadline runs, then KILL */
    CHILD_RESTARTING, /* as STOPPING, but it is started again afterwards */
    CHILD_CLEANING,   /* the child is gone for good; its descendants have until the deadline */
    CHILD_KILLING,    /* KILL was sent to all; waiting until they are gone */
    CHILD_ENDED,      /* for good: the policy says so, too many failures, or we stopped it */
};
enum { CHILD_STATE_COUNT = CHILD_ENDED + 1 };
const char *child_state_name(enum child_state s); /* "down", "spawning", ... */

/* What the child is alone in, and what a signal to "it" is sent to. */
enum child_group {
    CHILD_GROUP_OWN = 0, /* a process group of its own, in our session */
    CHILD_GROUP_PROCESS, /* shares our group; only its process is signalled */
    CHILD_GROUP_SESSION, /* a session of its own, without a controlling terminal */
};

/* A descriptor of ours and the number the child has it under; fd -1 = leave this one out. */
struct child_fd {
    int fd; /* borrowed; stays open here */
    int as; /* 3 and up; each number once */
};
enum { CHILD_FDS_MAX = 80 };

struct child_limit {
    int resource;     /* RLIMIT_* */
    const char *name; /* for the sentence: "nofile" */
    struct rlimit value;
};

/* What the child is given besides its program; all of it borrowed. Zeroed: what we have. */
struct child_gifts {
    const struct user *run_as; /* NULL = as we are */
    bool has_umask;            /* else the one we were started with */
    mode_t umask;
    const struct child_limit *limits; /* over those we were started with */
    size_t limit_count;
    const struct child_fd *fds; /* read anew at each spawn, after build_env */
    size_t fd_count;            /* at most CHILD_FDS_MAX */
};

struct supervisor_config {
    char *const *argv; /* NULL-terminated; borrowed */
    enum child_group group;
    const char *cwd; /* "" = ours; borrowed */
    bool no_new_privs;
    struct child_gifts gifts;
    bool first_may_wait; /* the first spawn: spawn_request.may_wait */
    bool wrap_output;    /* its stdout and stderr become lines of our log: output.h */
    int policy;          /* enum restart_policy's number: 0 on-failure, 1 never, 2 always */
    int64_t backoff_ms, backoff_max_ms, reset_after_ms;
    int64_t max_failures;        /* in a row; 0 = no limit */
    int64_t start_timeout_ms;    /* from the fork; 0 = no limit */
    bool start_timeout_restarts; /* counts as a failure; else it is only reported */
    struct stop_sequence stop;   /* at least one signal */
    struct exit_codes success;   /* statuses that are no failure, besides 0; 128+n: by signal n */
    const struct process_origin *origin; /* borrowed */
};

struct child_exit {
    pid_t pid;
    int wait_status;       /* as waitpid gives it */
    uint64_t stop_signals; /* that we sent to end it: bit n-1 for signal n */
    bool we_killed_it;     /* KILL after the grace */
    bool was_ready;
    int64_t ran_ms;
    int64_t well_ms; /* of these, since it was ready for the first time; 0: it never was */
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
    /* a later signal of the stop sequence was sent; left_ms: until the next one, or KILL */
    void (*on_stop_step)(void *arg, int signo, int64_t left_ms);
    void (*on_exit)(void *arg, const struct child_exit *e);
    /* CHILD_ENDED reached, exactly once; `last` NULL when no process ever ran */
    void (*on_ended)(void *arg, const struct child_exit *last);
    void (*on_reaped)(void *arg, pid_t pid, int wait_status); /* an orphan */
    void (*on_stopped)(void *arg, int signo); /* the child was stopped by it; 0: continued */
};                                            /* all but build_env may be NULL */

struct supervisor_status {
    enum child_state state;
    pid_t pid; /* 0 = none */
    uint64_t spawned_total, restarts_total, orphans_reaped_total;
    const char *orphans_often; /* "sh 70, curl 30" of the last hundred when many came; or "" */
    unsigned failures;         /* in a row; 0 once the one that runs is stable */
    int64_t spawned_at_ms, ready_at_ms; /* loop time; 0 = not */
    int64_t next_start_ms;              /* loop time, BACKOFF */
    bool has_exited;
    struct child_exit last;
    uint64_t output_lines, output_dropped; /* wrap_output: lines in the log, and lost */
};

/* becomes subreaper unless PID 1 */
int supervisor_new(struct loop *l, const struct supervisor_config *cfg,
                   const struct supervisor_callbacks *cb, void *arg, struct supervisor **ret,
                   struct err *err);
/* The policy, the back-off, the success codes and the start timeout of cfg, from the next start or
 * end of the child on. */
void supervisor_configure(struct supervisor *s, const struct supervisor_config *cfg);
/* what still runs below us is killed, and waited for briefly */
void supervisor_free(struct supervisor *s);
/* Only a child that was never started; nothing in other states. */
void supervisor_start(struct supervisor *s);
void supervisor_mark_ready(struct supervisor *s);
/* READY -> STARTING without a start deadline (health check failed) */
void supervisor_mark_unready(struct supervisor *s);
/*
 * The stop sequence, each signal with CONT to the group; KILL when it or the grace is over
 * (stop_steps.h: waits that do not fit shrink); no restart. on_ended follows, at once (before this
 * returns) when nothing runs. Again: a shorter grace shortens the one that runs.
 */
void supervisor_stop(struct supervisor *s, int64_t grace_ms);
/* KILL now (third TERM, end of the budget); no restart */
void supervisor_kill(struct supervisor *s);
/*
 * For secrets.on_change: restart. Nothing while it is down, backs off (its next environment is
 * built anew anyway) or stops.
 */
void supervisor_restart(struct supervisor *s, int64_t grace_ms);
/* send a signal to the group; nothing when no child runs */
void supervisor_signal(struct supervisor *s, int signo);
/*
 * The same for one that came to us, as it came or as another one: a queued value is kept, and what
 * the kernel has sent to both of us because of a terminal is not sent again. False when no child
 * runs.
 */
bool supervisor_pass_on(struct supervisor *s, int signo, const struct signalfd_siginfo *info);
/*
 * TSTP, TTIN or TTOU came to us, and was passed on: when the child has stopped, so do we. May stop
 * this process before it returns.
 */
void supervisor_ask_stop(struct supervisor *s, int signo);
/* CONT came to us, and is about to be passed on: the child gets the terminal again. */
void supervisor_continue(struct supervisor *s);
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
 * when it died of a stop signal we sent, whichever of the sequence; 137 when we had to kill it;
 * 128+n otherwise.
 */
int exit_status_of(const struct child_exit *e);
/* Of an end nobody asked for: neither 0 nor in `success`, where 128+n stands for signal n. */
bool exit_is_failure(int wait_status, const struct exit_codes *success);
/* "exited with status 7 after 12ms", "was ended by SIGSEGV (core dumped) after 3s"; returns ret */
enum { EXIT_WORDS_MAX = 96 };
const char *exit_in_words(const struct child_exit *e, char ret[EXIT_WORDS_MAX]);

#endif
