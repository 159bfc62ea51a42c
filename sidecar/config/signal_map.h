/*
 * signals.map: what a signal becomes on its way to the agent. One entry is FROM=TO (or FROM:TO, as
 * dumb-init writes it); FROM and TO are names or numbers, TO may be `none`, `-` or 0: then the
 * agent does not get it.
 *
 * Some signals are never passed on and cannot be mapped; signal_unmappable() says why. What each
 * signal means to us is app/signal_table.h.
 */
#ifndef CONFIG_SIGNAL_MAP_H
#define CONFIG_SIGNAL_MAP_H

#include "base/err.h"
#include "base/signame.h"
#include "config/config.h"

enum { SIGNAL_DROPPED = -1 };

struct signal_map { /* zeroed = everything as it is */
    /* by number: 0 = nothing is said about it, SIGNAL_DROPPED, or what the agent gets instead */
    int to[SIGNAL_MAX + 1];
};

/* 0, or -EINVAL with the end of a sentence: what is wrong with the entry and what to write. */
int signal_map_add(struct signal_map *m, struct slice entry, struct err *err);

/* All entries of a list that config_load() has accepted. */
void signal_map_fill(struct signal_map *m, const struct string_list *entries);

/* Why this signal cannot stand on the left; NULL when it can. */
const char *signal_unmappable(int number);

#endif
