/* When each signal of a stop is due: as written, with less time, with other time. */
#include "supervisor/stop_steps.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

static const struct stop_sequence three = {
    .v = {{SIGUSR1, 20000}, {SIGTERM, 10000}, {SIGINT, 5000}}, .n = 3};
static const struct stop_sequence open_two = {.v = {{SIGUSR1, 2000}, {SIGTERM, STOP_WAIT_REST}},
                                              .n = 2};
static const struct stop_sequence plain = {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1};

Test(stop_steps, a_plain_signal_has_the_whole_grace)
{
    struct stop_steps s;

    stop_steps_begin(&s, &plain, 1000, 700);
    cr_assert_eq(stop_steps_take(&s, 1000), SIGTERM);
    cr_assert(s.next_ms == 0 && s.end_ms == 1700);
    cr_assert_eq(s.sent, UINT64_C(1) << (SIGTERM - 1));
}

Test(stop_steps, waits_that_fit_are_kept_and_kill_follows_the_last)
{
    struct stop_steps s;

    stop_steps_begin(&s, &three, 1000, 60000);
    cr_assert_eq(stop_steps_take(&s, 1000), SIGUSR1);
    cr_assert(s.next_ms == 21000 && s.end_ms == 36000);
    cr_assert_eq(stop_steps_take(&s, 21000), SIGTERM);
    cr_assert_eq(s.next_ms, 31000);
    cr_assert_eq(stop_steps_take(&s, 31000), SIGINT);
    cr_assert(s.next_ms == 0 && s.end_ms == 36000);
    cr_assert_eq(stop_steps_take(&s, 31001), 0, "there is no fourth");
}

Test(stop_steps, an_open_last_signal_has_what_the_others_leave)
{
    struct stop_steps s;

    stop_steps_begin(&s, &open_two, 1000, 10000);
    cr_assert_eq(stop_steps_take(&s, 1000), SIGUSR1);
    cr_assert(s.next_ms == 3000 && s.end_ms == 11000);
}

Test(stop_steps, waits_that_do_not_fit_shrink_in_proportion)
{
    struct stop_steps s;

    stop_steps_begin(&s, &three, 1000, 3500);
    (void)stop_steps_take(&s, 1000);
    cr_assert_eq(s.next_ms, 3000);
    (void)stop_steps_take(&s, 3000);
    cr_assert_eq(s.next_ms, 4000);
    (void)stop_steps_take(&s, 4000);
    cr_assert_eq(s.end_ms, 4500);

    stop_steps_begin(&s, &open_two, 1000, 2000);
    (void)stop_steps_take(&s, 1000);
    cr_assert(s.next_ms > 2000 && s.next_ms < 3000, "the open one has its share");
}

Test(stop_steps, a_late_loop_costs_the_later_signals_time_but_none_is_left_out)
{
    struct stop_steps s;

    stop_steps_begin(&s, &three, 1000, 60000);
    (void)stop_steps_take(&s, 1000);
    (void)stop_steps_take(&s, 33000);
    cr_assert_eq(s.next_ms, 35000, "2 s of 3 s that are left for 10 s and 5 s");
    (void)stop_steps_take(&s, 37000);
    cr_assert_eq(s.end_ms, 36000, "the end does not move");
}

Test(stop_steps, shortening_only_shortens)
{
    struct stop_steps s;

    stop_steps_begin(&s, &three, 1000, 60000);
    (void)stop_steps_take(&s, 1000);
    cr_assert_not(stop_steps_shorten(&s, 1000, 35000));
    cr_assert_eq(s.next_ms, 21000);
    cr_assert(stop_steps_shorten(&s, 11000, 5000));
    cr_assert(s.next_ms == 13000 && s.end_ms == 16000, "10, 10 and 5 s of what was wanted");
    cr_assert(stop_steps_shorten(&s, 12000, 0));
    cr_assert(s.next_ms == 12000 && s.end_ms == 12000);
}

Test(stop_steps, replanning_may_lengthen_up_to_what_the_list_wants)
{
    struct stop_steps s;

    stop_steps_begin(&s, &three, 1000, 3500);
    (void)stop_steps_take(&s, 1000);
    stop_steps_replan(&s, 2000, 60000);
    cr_assert(s.next_ms == 3000 && s.end_ms == 18000);
    stop_steps_begin(&s, &plain, 1000, 3500);
    (void)stop_steps_take(&s, 1000);
    stop_steps_replan(&s, 2000, 60000);
    cr_assert(s.next_ms == 0 && s.end_ms == 62000);
}

Test(stop_steps, random_plans_send_every_signal_in_order_and_keep_to_the_grace)
{
    unsigned seed = 4711;

    for (int run = 0; run < 20000; run++) {
        struct stop_sequence q = {.n = 1 + (size_t)rand_r(&seed) % STOP_STEPS_MAX};
        struct stop_steps s;
        int64_t now_ms = 1 + rand_r(&seed) % 1000, grace_ms = rand_r(&seed) % 5000;
        int64_t end_ms = now_ms + grace_ms;
        size_t sent = 0;

        for (size_t i = 0; i < q.n; i++)
            q.v[i] = (struct stop_step){.signo = 1 + (int)i, .wait_ms = 1 + rand_r(&seed) % 2000};
        if (rand_r(&seed) % 2)
            q.v[q.n - 1].wait_ms = STOP_WAIT_REST;
        stop_steps_begin(&s, &q, now_ms, grace_ms);
        for (;;) {
            cr_assert_eq(stop_steps_take(&s, now_ms), 1 + (int)sent++);
            cr_assert_leq(s.end_ms, end_ms);
            if (s.next_ms == 0)
                break;
            cr_assert(s.next_ms >= now_ms && s.next_ms <= s.end_ms);
            if (rand_r(&seed) % 4 == 0)
                (void)stop_steps_shorten(&s, now_ms, rand_r(&seed) % 5000);
            now_ms = s.next_ms;
        }
        cr_assert_eq(sent, q.n);
    }
}
