/*
 * What /proc/<pid>/stat tells of one process.
 *
 * It is a moment old: the process may have ended meanwhile, and its number may even be somebody
 * else's. Source: proc(5).
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PROC_NAME_MAX = 16,        /* TASK_COMM_LEN */
    PROC_GENERATIONS_MAX = 64, /* that proc_is_below() looks up through */
};

struct proc_facts {
    pid_t parent;             /* 0: outside of our PID namespace */
    char state;               /* R S D T Z ... */
    int64_t started_ticks;    /* since boot, sysconf(_SC_CLK_TCK) a second; -1 = not said */
    char name[PROC_NAME_MAX]; /* unprintable bytes became ? */
};

/* Zombies have facts, too. 0 or -errno: mostly -ENOENT, it is gone. */
int proc_facts_of(pid_t pid, struct proc_facts *ret);

/* `top` is a parent of pid, or of a parent of it. */
bool proc_is_below(pid_t pid, pid_t top);

/* A number that a process can have. */
bool proc_parse_pid(struct slice text, pid_t *ret);

#endif
