/*
 * How many orphans were reaped, and by what names when there are many: who finds thousands of dead
 * processes at his agent's door wants to know what they were.
 *
 * Names are read from the zombies (/proc/<pid>/stat), the first ORPHANS_MANY of a window only, so
 * that reaping a storm costs no more than reaping. No timer: a window begins with the first orphan
 * after the last one is over.
 */
#ifndef SUPERVISOR_ORPHANS_H
#define SUPERVISOR_ORPHANS_H

#include "base/proc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ORPHANS_WINDOW_MS = 60 * 1000, /* at most one line of the log in it */
    ORPHANS_MANY = 100,            /* in a window: worth a line */
    ORPHANS_KINDS_MAX = 16,        /* names told apart in a window */
    ORPHANS_SHOWN = 3,             /* of them in the line */
    ORPHANS_TEXT_MAX = 160,
};

struct orphans { /* embedded; zeroed = none yet; private but total and text */
    uint64_t total;
    /* "sh 70, curl 20, other 10" of the first ORPHANS_MANY of the last window that had so many */
    char text[ORPHANS_TEXT_MAX];
    int64_t window_ms; /* when it began, loop time */
    uint64_t in_window;
    struct {
        char name[PROC_NAME_MAX];
        unsigned n;
    } kinds[ORPHANS_KINDS_MAX];
    size_t kind_count;
    unsigned nameless; /* more kinds than fit, or gone from /proc */
};

/*
 * One more. Call while it is a zombie. true: many have come, say so now (orphans_say).
 */
bool orphans_add(struct orphans *o, pid_t pid, int64_t now_ms);
/* The same with the name known; NULL: unknown. */
bool orphans_add_named(struct orphans *o, const char *name, int64_t now_ms);
void orphans_say(const struct orphans *o, int64_t now_ms); /* the line */

#endif
