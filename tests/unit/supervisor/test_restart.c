#include "supervisor/restart.h"

#include <criterion/criterion.h>

static const struct restart_rules rules = {
    .when = RESTART_WHEN_FAILED,
    .backoff_ms = 500,
    .backoff_max_ms = 30000,
    .reset_after_ms = 30000,
    .max_failures = 5,
};

static struct restart_rules with_policy(enum restart_when when)
{
    struct restart_rules r = rules;

    r.when = when;
    return r;
}

Test(restart, policies_say_what_they_are_called)
{
    struct {
        enum restart_when when;
        bool failed, again;
    } cases[] = {
        {RESTART_WHEN_FAILED, false, false}, {RESTART_WHEN_FAILED, true, true},
        {RESTART_WHEN_NEVER, false, false},  {RESTART_WHEN_NEVER, true, false},
        {RESTART_WHEN_ALWAYS, false, true},  {RESTART_WHEN_ALWAYS, true, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct restart_rules r = with_policy(cases[i].when);
        unsigned failures = 0;
        struct restart_verdict v = restart_decide(&r, cases[i].failed, 10, &failures);

        cr_assert_eq(v.restart, cases[i].again, "case %zu", i);
        cr_assert_eq(failures, cases[i].failed ? 1 : 0);
    }
}

Test(restart, the_fifth_failure_in_a_row_is_the_last)
{
    unsigned failures = 0;

    for (unsigned i = 1; i <= 4; i++) {
        struct restart_verdict v = restart_decide(&rules, true, 10, &failures);

        cr_assert(v.restart, "failure %u", i);
        cr_assert_eq(failures, i);
    }
    struct restart_verdict v = restart_decide(&rules, true, 10, &failures);

    cr_assert_not(v.restart);
    cr_assert(v.is_over_max);
    cr_assert_eq(failures, 5);
}

Test(restart, delays_double_with_jitter_up_to_the_cap)
{
    struct restart_rules r = rules;
    unsigned failures = 0;
    int64_t whole = r.backoff_ms;

    r.max_failures = 0;
    for (int i = 0; i < 200; i++) {
        struct restart_verdict v = restart_decide(&r, true, 10, &failures);

        cr_assert(v.restart, "no limit");
        cr_assert(v.delay_ms >= whole / 2 && v.delay_ms <= whole, "failure %d: %jd", i + 1,
                  (intmax_t)v.delay_ms);
        whole = whole * 2 > r.backoff_max_ms ? r.backoff_max_ms : whole * 2;
    }
}

Test(restart, a_stable_run_resets_the_count)
{
    unsigned failures = 4;
    struct restart_verdict v = restart_decide(&rules, true, 30000, &failures);

    cr_assert(v.restart);
    cr_assert_eq(failures, 1);
    cr_assert(v.delay_ms <= 500);

    failures = 4;
    v = restart_decide(&rules, true, 29999, &failures);
    cr_assert_not(v.restart);
}

Test(restart, without_reset_after_nothing_resets)
{
    struct restart_rules r = rules;
    unsigned failures = 4;

    r.reset_after_ms = 0;
    cr_assert_not(restart_decide(&r, true, INT64_MAX, &failures).restart);
}

Test(restart, a_good_exit_forgives_the_failures_before_it)
{
    struct restart_rules r = with_policy(RESTART_WHEN_ALWAYS);
    unsigned failures = 4;
    struct restart_verdict v = restart_decide(&r, false, 10, &failures);

    cr_assert(v.restart);
    cr_assert_eq(failures, 0);
    cr_assert(v.delay_ms >= 250 && v.delay_ms <= 500, "a program that ends at once must not spin");
}

Test(restart, a_process_that_never_was_ready_was_not_stable)
{
    unsigned failures = 4;
    struct restart_verdict v = restart_decide(&rules, true, 0, &failures);

    cr_assert_not(v.restart, "or an agent that hangs at its start would be restarted for ever");
    cr_assert(v.is_over_max);
    cr_assert(restart_is_stable(&rules, 30000));
    cr_assert_not(restart_is_stable(&rules, 29999));
}
