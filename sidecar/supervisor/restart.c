/*
 * The restart policy. Who carries it out: child.c.
 */
#include "supervisor/restart.h"

#include "base/clock.h"

#include <limits.h>

static bool policy_wants(enum restart_when when, bool failed)
{
    switch (when) {
    case RESTART_WHEN_FAILED:
        return failed;
    case RESTART_WHEN_NEVER:
        return false;
    case RESTART_WHEN_ALWAYS:
        return true;
    }
    return false;
}

bool restart_is_stable(const struct restart_rules *rules, int64_t well_ms)
{
    return rules->reset_after_ms > 0 && well_ms >= rules->reset_after_ms;
}

struct restart_verdict restart_decide(const struct restart_rules *rules, bool failed,
                                      int64_t well_ms, unsigned *failures)
{
    struct restart_verdict v = {0};

    if (!failed || restart_is_stable(rules, well_ms)) {
        *failures = 0;
    }
    if (failed && *failures < UINT_MAX) {
        (*failures)++;
    }
    if (!policy_wants(rules->when, failed)) {
        return v;
    }
    if (rules->max_failures > 0 && *failures >= rules->max_failures) {
        v.is_over_max = true;
        return v;
    }
    v.restart = true;
    v.delay_ms =
        backoff_ms(rules->backoff_ms, rules->backoff_max_ms, *failures > 0 ? *failures - 1 : 0);
    return v;
}
