/* The grace timeline: computed phases always fit, set ones are refused when they do not. */
#include "app/budget.h"
#include "base/cleanup.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct config config_with(int64_t grace, bool is_kubernetes)
{
    struct config c = {0};

    c.stop.grace = grace;
    c.stop.drain_delay = c.stop.drain_timeout = c.stop.agent_grace = c.stop.reserve = -1;
    c.stop.signal = (struct stop_sequence){.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1};
    c.facts.is_kubernetes = is_kubernetes;
    return c;
}

Test(budget, computed_phases_add_up_to_grace_for_every_grace)
{
    for (int kube = 0; kube < 2; kube++) {
        for (int64_t grace = 1; grace < 200000; grace += 37) {
            struct config c = config_with(grace, kube);
            struct budget b;
            struct err err = {0};

            cr_assert_eq(budget_compute(&c, &b, &err), 0, "%s", err.msg);
            cr_assert_eq(b.drain_delay + b.drain_timeout + b.agent_grace + b.reserve, grace,
                         "grace %ld", (long)grace);
            cr_assert(b.drain_delay >= 0 && b.drain_timeout >= 0 && b.agent_grace >= 0 &&
                      b.reserve >= 0);
        }
    }
}

Test(budget, follows_the_formula_of_the_design)
{
    struct config c = config_with(30000, true);
    struct budget b;

    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.reserve, 2000);
    cr_assert_eq(b.drain_delay, 5000);
    cr_assert_eq(b.agent_grace, 10000);
    cr_assert_eq(b.drain_timeout, 13000);

    c = config_with(10000, false);
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.reserve, 2000);
    cr_assert_eq(b.drain_delay, 0);
    cr_assert_eq(b.agent_grace, 4000);
    cr_assert_eq(b.drain_timeout, 4000);
}

Test(budget, phases_a_user_set_are_kept_and_the_rest_shrinks)
{
    struct config c = config_with(10000, false);
    struct budget b;

    c.stop.agent_grace = 9500;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.agent_grace, 9500);
    cr_assert_leq(b.drain_delay + b.drain_timeout + b.agent_grace + b.reserve, 10000);
}

Test(budget, refuses_set_phases_that_do_not_fit_and_says_the_sum)
{
    struct config c = config_with(10000, false);
    struct budget b;
    struct err err = {0};

    c.stop.drain_timeout = 8000;
    c.stop.agent_grace = 8000;
    cr_assert_lt(budget_compute(&c, &b, &err), 0);
    cr_assert_not_null(strstr(err.msg, "16s"), "%s", err.msg);
    cr_assert_not_null(strstr(err.msg, "stop.grace 10s"), "%s", err.msg);
}
