/*
 * What the child does next, as a table: state x event -> action. No system call in here; the world
 * is reached through struct child_ops, so that a test can walk every cell and every sequence.
 *
 * The states are drawn in supervisor.h. Every waiting state has a deadline, set when it is entered
 * and cleared when it is left. STARTING has none after a failed health check, or when
 * start_timeout_ms is 0. STOPPING and RESTARTING may have a second time: that of the next signal of
 * the stop sequence (CHILD_EV_STEP), which sends it and changes nothing else. Whatever the sequence
 * does, the deadline kills.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "base/err.h"
#include "supervisor/restart.h"
#include "supervisor/stop_steps.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

enum child_event {
    CHILD_EV_START = 0,
    CHILD_EV_EXEC_OK,     /* the program runs */
    CHILD_EV_EXEC_FAILED, /* there is no process (any more); see child_input.failure */
    CHILD_EV_READY,
    CHILD_EV_UNREADY,
    CHILD_EV_STOP,
    CHILD_EV_RESTART,
    CHILD_EV_KILL,
    CHILD_EV_EXIT,  /* the process is a zombie: it and its group may still be signalled */
    CHILD_EV_EMPTY, /* no descendant is left; only told in CLEANING and KILLING */
    CHILD_EV_STEP,  /* the next stop signal is due; only told while steps.next_ms is set */
    CHILD_EV_DEADLINE,
};
enum { CHILD_EVENT_COUNT = CHILD_EV_DEADLINE + 1 };

enum {
    /* a child that missed its start deadline gets this long for the stop sequence before KILL */
    CHILD_LATE_GRACE_MS = 5000,
    /* what an agent that ended by itself left behind gets this long between TERM and KILL */
    CHILD_LEFTOVER_GRACE_MS = 2000,
    /* after KILL; a process that is still there hangs in the kernel */
    CHILD_KILL_WAIT_MS = 5000,
};

/* What an event brings along; fields that it has no use for are 0. */
struct child_input {
    int64_t now_ms;
    int64_t grace_ms;          /* STOP, RESTART */
    int wait_status;           /* EXIT */
    bool is_final;             /* EXIT by itself: a person has ended it, it is not started again */
    const struct err *failure; /* EXEC_FAILED */
    bool is_permanent;         /* EXEC_FAILED: trying again in a moment will not help */
};

struct child_ops {
    /* Begin to spawn. Its outcome comes as an event, never from inside. Returns the pid or 0. */
    pid_t (*spawn)(void *arg);
    void (*signal_group)(void *arg, int signo);
    /* Every other child of ours. TERM: those that have not had it, by this or with the group */
    void (*signal_rest)(void *arg, int signo);
    void (*set_deadline)(void *arg, int64_t at_ms); /* loop time; 0 = none */
    void (*set_step)(void *arg, int64_t at_ms);     /* the same for CHILD_EV_STEP */
    const struct supervisor_callbacks *report;      /* called last in an action; NULLs are fine */
    void *report_arg;
};

struct child_rules {
    struct restart_rules restart;
    int64_t start_timeout_ms; /* 0 = none */
    bool start_timeout_restarts;
    struct stop_sequence stop; /* at least one signal */
    struct exit_codes success; /* no failures, besides 0 */
};

struct child { /* embedded; fields private but for reading */
    enum child_state state;
    const struct child_rules *rules; /* borrowed */
    const struct child_ops *ops;     /* borrowed */
    void *arg;                       /* for ops */
    pid_t pid;                       /* 0 while there is no process */
    int64_t deadline_ms;             /* loop time; 0 = none */
    struct stop_steps steps;         /* this process; next_ms only in STOPPING and RESTARTING */
    int64_t spawned_at_ms, ready_at_ms;
    unsigned failures; /* in a row */
    uint64_t spawned_total;
    int64_t first_ready_at_ms; /* this process, when it was_ready; ready_at_ms forgets */
    bool was_ready;            /* this process */
    bool we_killed_it;         /* this process */
    bool restart_counts;       /* RESTARTING because of a missed deadline: a failure */
    bool has_exited;
    struct child_exit last;
};

void child_init(struct child *c, const struct child_rules *rules, const struct child_ops *ops,
                void *arg);
/* Asserts that the cell is filled. */
void child_dispatch(struct child *c, enum child_event ev, const struct child_input *in);
/* How long its process has run since it was ready for the first time; 0: it never was. */
int64_t child_well_ms(const struct child *c, int64_t now_ms);
/* For the test that walks the table. */
bool child_cell_is_filled(enum child_state s, enum child_event ev);

#endif
