/*
 * signals.map and agent.group: entries that make no sense, and what does not go together.
 */
#include "config/source.h"

#include "config/report.h"
#include "config/signal_map.h"

#include "base/banned.h"

void check_signals(struct loader *l)
{
    const struct config *c = l->c;
    const char *place = loader_place(l, loader_row("signals", "map"));
    struct signal_map map = {0};

    for (size_t i = 0; i < c->signals.map.n; i++) {
        struct slice entry = slice_of(c->signals.map.v[i]);
        struct err err = {0};

        if (signal_map_add(&map, entry, &err) < 0)
            (void)report_error(l->report, "signals.map holds %s (%s): %s", value_shown(entry).z,
                               place, err.msg);
    }
    if (c->signals.map.n > 0 && !c->command)
        report_warning(l->report,
                       "signals.map (%s): without a command after -- there is no child to pass "
                       "signals on to",
                       place);
}
