/*
 * What stands around us and has its own idea of how long a stop may take: the kubelet, systemd, a
 * preStop hook. Read once, before the loop or by `plan`; blocks on a few small files.
 */
#ifndef APP_SURROUNDINGS_H
#define APP_SURROUNDINGS_H

#include "app/budget.h"

#include <stdbool.h>
#include <stdint.h>

enum { UNIT_NAME_MAX = 256, UNIT_PLACE_MAX = 384 };

/* The service we run in, as its unit files tell; systemd itself is not asked. */
struct unit_facts {
    char name[UNIT_NAME_MAX];   /* "x.service"; "" = we run in none */
    bool is_known;              /* false: no unit file could be read */
    int64_t stop_ms;            /* TimeoutStopSec; -1 = infinity */
    char place[UNIT_PLACE_MAX]; /* the file it stands in, or "systemd's default" */
    int64_t watchdog_ms;        /* WatchdogSec; 0 = none */
    bool has_notify;            /* NOTIFY_SOCKET is set: we can ask for more time */
};
/* root: put before every path, "" = the real tree */
void unit_facts_read(const char *root, struct unit_facts *ret);

/* "5min 20s", "90", "infinity" (-1): as in a unit file. 0 or -EINVAL. */
int unit_time_parse(struct slice text, int64_t *ret_ms);

/* Each contradiction as a line that begins with "warning: ", what cannot be known with "note: ". */
void surroundings_print(const struct budget *b, const struct config *cfg,
                        const struct unit_facts *unit, struct str *out);

#endif
