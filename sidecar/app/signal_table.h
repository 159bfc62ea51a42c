/*
 * What each signal means to us: one row for every number. signal_side.c acts on it,
 * docs/supervision.md is printed from it, tests/e2e/test_signals.py proves it row by row.
 */
#ifndef APP_SIGNAL_TABLE_H
#define APP_SIGNAL_TABLE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum signal_act {
    SIGNAL_PASS_ON = 0, /* to the agent, as it is or as signals.map says */
    SIGNAL_STOP,        /* begins our stop, hurries it, ends it by KILL */
    SIGNAL_HANGUP,      /* with a controlling terminal: stop; else: re-read the configuration */
    SIGNAL_SUSPEND,     /* passed on; when the agent has stopped, so do we */
    SIGNAL_CONTINUE,    /* passed on, after the agent got its terminal back */
    SIGNAL_REAP,        /* look at the children */
    SIGNAL_LIMIT,       /* from the kernel: about a limit of ours; from others: passed on */
    SIGNAL_LEAVE,       /* never read: the kernel's default, or ignored */
};
enum { SIGNAL_ACT_COUNT = SIGNAL_LEAVE + 1 };

struct signal_row {
    int first, last; /* numbers; one of them but for the real-time ones */
    enum signal_act act;
    const char *remark; /* "" = nothing to add */
};

extern const struct signal_row signal_rows[];
extern const size_t signal_row_count;

/* The row of a number from 1 to SIGNAL_MAX. */
const struct signal_row *signal_row_of(int number);

/* May stand on the left in signals.map. */
bool signal_is_mappable(const struct signal_row *row);

/* The table of docs/supervision.md, in Markdown. */
void signal_table_print(struct str *out);

#endif
