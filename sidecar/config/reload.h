/*
 * A second reading of the configuration while we run.
 *
 * There is one struct config, and everybody points to it. A reload loads a second one, compares,
 * and then moves into the first what may change: the members of rows that are live, whole. The
 * second one holds the old values afterwards and is freed. So whoever reads such a member reads it
 * through the struct, each time, and keeps no pointer into it; whoever keeps a copy (a deadline, a
 * parsed list) is told by app/reload.c. Members of other rows never move.
 */
#ifndef CONFIG_RELOAD_H
#define CONFIG_RELOAD_H

#include "base/str.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_CHANGES_MAX = 256 }; /* more than there are keys */

struct config_change {
    size_t row;    /* of the schema */
    char key[64];  /* "section.key" */
    bool can_move; /* while we run */
};

struct config_changes {
    size_t n;
    struct config_change v[CONFIG_CHANGES_MAX];
};

/* Which keys have another value in `next`. What is computed from facts is compared like the rest;
 * a token that was read from platform.token_file is not: that file is read again anyway. Who may
 * call (inbound_auth, allow_sources, trusted_proxies) does not move while a change of what else
 * keeps callers out (tokens, certificates) waits for a restart. */
void config_compare(const struct config *live, const struct config *next,
                    struct config_changes *ret);

/* "log.level: info -> debug"; secrets masked. Before config_move(). */
void config_describe_change(const struct config *live, const struct config *next,
                            const struct config_change *c, struct str *out);

/* Exchange the members of what changes and can move, with where they came from. */
void config_move(struct config *live, struct config *next, const struct config_changes *changes);

#endif
