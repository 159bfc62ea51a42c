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

Test(budget, nothing_is_kept_for_an_agent_that_is_not_ours_to_stop)
{
    static char name[] = "agent";
    static char *command[] = {name, NULL};
    struct config c = config_with(10000, false);
    struct budget b;

    c.stop.peer = STOP_PEER_OFF;
    c.stop.signal = (struct stop_sequence){.v = {{SIGTERM, 30000}}, .n = 1};
    cr_assert_eq(budget_compute(&c, &b, NULL), 0, "waits of signals that nobody gets");
    cr_assert(b.agent_grace == 0 && b.drain_timeout == 8000 && b.reserve == 2000);

    c = config_with(10000, false);
    c.stop.peer = STOP_PEER_OFF;
    c.stop.order = STOP_SIGNAL_FIRST;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert(b.agent_grace == 0 && b.drain_timeout == 8000);

    c.stop.order = STOP_DRAIN_FIRST;
    c.stop.agent_grace = 3000;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert(b.agent_grace == 3000 && b.drain_timeout == 5000, "what was set is kept");

    c.stop.agent_grace = -1;
    c.command = command;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert(b.agent_grace == 4000, "a child is ours whatever stop.peer says");
}

Test(budget, an_agent_that_is_waited_for_has_its_time_if_we_can_see_it)
{
    static const enum stop_peer peers[] = {STOP_PEER_SIGNAL, STOP_PEER_WAIT};

    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        struct config c = config_with(30000, true);
        struct budget b;

        c.stop.peer = peers[i];
        cr_assert_eq(budget_compute(&c, &b, NULL), 0);
        cr_assert(b.agent_grace == 10000 && b.drain_timeout == 13000);
        c.agent.protocol = AGENT_NONE;
        cr_assert_eq(budget_compute(&c, &b, NULL), 0);
        cr_assert(b.agent_grace == 0 && b.drain_timeout == 23000, "no socket to look at");
        c.agent.ready_by.kind = READY_CONNECT;
        cr_assert_eq(budget_compute(&c, &b, NULL), 0);
        cr_assert(b.agent_grace == 10000);
    }
}

Test(budget, in_a_pod_the_kubelet_ends_the_agent_with_what_the_drain_leaves)
{
    struct config c = config_with(30000, true);
    struct budget b;

    c.stop.peer = STOP_PEER_OFF;
    c.stop.signal = (struct stop_sequence){.v = {{SIGTERM, 40000}}, .n = 1};
    cr_assert_eq(budget_compute(&c, &b, NULL), 0, "the signals are not ours to send");
    cr_assert(b.agent_grace == 10000 && b.drain_timeout == 13000);
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

static struct stop_sequence sequence(const char *text)
{
    struct stop_sequence s;

    cr_assert_eq(stop_sequence_parse(slice_of(text), &s, NULL), 0, "%s", text);
    return s;
}

Test(budget, the_waits_of_the_sequence_are_the_agents_time)
{
    struct config c = config_with(60000, false);
    struct budget b;

    c.stop.signal = sequence("USR1 wait 20s, TERM wait 10s, KILL");
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.agent_grace, 30000);
    cr_assert_eq(b.drain_timeout, 28000);
    cr_assert_eq(b.reserve, 2000);

    c.stop.signal = sequence("USR1 wait 20s, TERM");
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.agent_grace, 30000, "the last one has what a lone one would have");
    cr_assert_eq(b.drain_delay + b.drain_timeout + b.agent_grace + b.reserve, 60000);

    c.stop.agent_grace = 25000;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert_eq(b.agent_grace, 25000);

    c = config_with(10000, false);
    c.stop.signal = sequence("TERM wait 10s");
    cr_assert_eq(budget_compute(&c, &b, NULL), 0, "all of it: nothing else was set");
    cr_assert(b.agent_grace == 10000 && b.drain_timeout == 0 && b.reserve == 0);
    c.stop.signal = sequence("TERM wait 11s");
    cr_assert_lt(budget_compute(&c, &b, NULL), 0);
}

Test(budget, computed_phases_fit_for_every_grace_order_and_sequence)
{
    static const char *const lists[] = {"TERM", "TERM wait 1s", "USR1 wait 500ms, TERM",
                                        "INT wait 100ms, TERM wait 200ms"};

    for (int how = 0; how < 16; how++) {
        for (int64_t grace = 1; grace < 60000; grace += 97) {
            struct config c = config_with(grace, how & 1);
            struct budget b;

            c.stop.order = how & 2 ? STOP_SIGNAL_FIRST : STOP_DRAIN_FIRST;
            c.stop.signal = sequence(lists[how / 4]);
            if (stop_sequence_waits_ms(&c.stop.signal) > grace) {
                cr_assert_lt(budget_compute(&c, &b, NULL), 0);
                continue;
            }
            cr_assert_eq(budget_compute(&c, &b, NULL), 0);
            cr_assert(b.drain_delay >= 0 && b.drain_timeout >= 0 && b.reserve >= 0);
            cr_assert_geq(b.agent_grace, stop_sequence_waits_ms(&c.stop.signal));
            cr_assert_leq(b.drain_delay + b.drain_timeout + b.reserve, grace);
            cr_assert_leq(b.agent_grace + b.reserve, grace);
            if (c.stop.order == STOP_DRAIN_FIRST)
                cr_assert_leq(b.drain_delay + b.drain_timeout + b.agent_grace + b.reserve, grace);
        }
    }
}

Test(budget, signal_first_gives_both_all_but_the_reserve)
{
    struct config c = config_with(30000, true);
    struct budget b;

    c.stop.order = STOP_SIGNAL_FIRST;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0);
    cr_assert(b.agent_grace == 28000 && b.drain_delay == 5000 && b.drain_timeout == 23000);
    c.stop.agent_grace = 20000;
    c.stop.drain_timeout = 20000;
    cr_assert_eq(budget_compute(&c, &b, NULL), 0, "they run beside each other");
    cr_assert(b.agent_grace == 20000 && b.drain_timeout == 20000);
    c.stop.agent_grace = 29000;
    c.stop.reserve = 2000;
    cr_assert_lt(budget_compute(&c, &b, NULL), 0);
}
