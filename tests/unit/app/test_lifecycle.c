/* The whole table, cell by cell, against the rules in words. */
#include "app/lifecycle.h"

#include <criterion/criterion.h>

static enum life_state expected(enum life_state s, enum life_event e)
{
    if (s == LIFE_STOPPED || e == LIFE_END)
        return LIFE_STOPPED;
    if (s == LIFE_STOPPING || e == LIFE_TERMINATE)
        return LIFE_STOPPING;
    if (s == LIFE_DRAINING)
        return e == LIFE_RESUME ? LIFE_STARTING : LIFE_DRAINING;
    if (e == LIFE_DRAIN)
        return LIFE_DRAINING;
    if (e == LIFE_HOLD)
        return LIFE_HELD;
    if (s == LIFE_HELD)
        return e == LIFE_RELEASE ? LIFE_STARTING : LIFE_HELD;
    if (e == LIFE_AGENT_UP)
        return LIFE_RUNNING;
    return s;
}

Test(lifecycle, every_cell_follows_the_rules)
{
    for (int s = 0; s < LIFE_STATE_COUNT; s++) {
        for (int e = 0; e < LIFE_EVENT_COUNT; e++) {
            cr_assert_eq(life_next((enum life_state)s, (enum life_event)e),
                         expected((enum life_state)s, (enum life_event)e), "state %s, event %d",
                         life_state_name((enum life_state)s), e);
        }
    }
}

Test(lifecycle, nothing_leads_back_from_stopping)
{
    for (int e = 0; e < LIFE_EVENT_COUNT; e++) {
        cr_assert_geq((int)life_next(LIFE_STOPPING, (enum life_event)e), LIFE_STOPPING);
    }
}
