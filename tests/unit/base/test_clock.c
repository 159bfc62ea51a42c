#include "base/clock.h"
#include "base/window.h"

#include <criterion/criterion.h>
#include <math.h>

Test(clock, writes_wall_time_as_rfc_3339)
{
    char buf[CLOCK_TEXT_MAX];

    cr_assert_str_eq(clock_wall_text(0, buf), "1970-01-01T00:00:00.000Z");
    cr_assert_str_eq(clock_wall_text(1714565045123, buf), "2024-05-01T12:04:05.123Z");
    cr_assert_str_eq(clock_wall_text(-1, buf), "1969-12-31T23:59:59.999Z");
    cr_assert_str_eq(clock_wall_text(INT64_MAX, buf), "0000-00-00T00:00:00.000Z");
}

Test(clock, monotonic_time_goes_forward)
{
    int64_t us = clock_mono_us(), ms = clock_mono_ms();

    cr_assert_leq(us / 1000, ms);
    cr_assert_leq(ms, clock_mono_ms());
    cr_assert_gt(clock_wall_ms(), 1600000000000);
}

Test(clock, random_numbers_stay_in_range_and_reach_its_ends)
{
    int seen[4] = {0};

    for (int i = 0; i < 1000; i++)
        seen[random_between(-1, 2) + 1]++;
    for (int i = 0; i < 4; i++)
        cr_assert_gt(seen[i], 100);
    cr_assert_eq(random_between(5, 5), 5);
    (void)random_between(INT64_MIN, INT64_MAX);
    cr_assert_neq(random_u64(), random_u64());
}

Test(clock, back_off_doubles_with_jitter_up_to_its_cap)
{
    for (int i = 0; i < 200; i++) {
        int64_t first = backoff_ms(1000, 30000, 0), fourth = backoff_ms(1000, 30000, 3),
                late = backoff_ms(1000, 30000, 4000000000U);

        cr_assert(first >= 500 && first <= 1000);
        cr_assert(fourth >= 4000 && fourth <= 8000);
        cr_assert(late >= 15000 && late <= 30000);
    }
    cr_assert_eq(backoff_ms(0, 30000, 0), 0);
    cr_assert_leq(backoff_ms(INT64_MAX / 2 + 5, INT64_MAX, 9), INT64_MAX);
}

Test(window, counts_the_last_minute_only)
{
    struct window w = {0};

    cr_assert_eq(window_total(&w, 5000), 0);
    cr_assert_float_eq(window_failure_rate(&w, 5000), 0.0, 1e-9);
    window_add(&w, 1000, 1);
    window_add(&w, 1999, 0);
    window_add(&w, 30000, 0);
    window_add(&w, 30000, 0);
    cr_assert_eq(window_total(&w, 60999), 4);
    cr_assert_float_eq(window_failure_rate(&w, 60999), 0.25, 1e-9);
    cr_assert_eq(window_total(&w, 61000), 2, "second 1 has left the minute");
    cr_assert_float_eq(window_failure_rate(&w, 61000), 0.0, 1e-9);
    window_add(&w, 61000, 1); /* the same bucket again */
    cr_assert_eq(window_total(&w, 61000), 3);
    cr_assert_eq(window_total(&w, 1000000000), 0);
}

Test(window, histogram_puts_each_value_below_its_bound)
{
    struct histogram h = {0};

    for (int i = 0; i + 1 < HISTOGRAM_BUCKETS; i++)
        cr_assert_lt(histogram_bounds_s[i], histogram_bounds_s[i + 1]);
    histogram_add(&h, 0.0);
    histogram_add(&h, 0.0005);
    histogram_add(&h, 0.0006);
    histogram_add(&h, 60.0);
    histogram_add(&h, 61.0);
    cr_assert_eq(h.bucket[0], 2);
    cr_assert_eq(h.bucket[1], 1);
    cr_assert_eq(h.bucket[HISTOGRAM_BUCKETS - 1], 1);
    cr_assert_eq(h.bucket[HISTOGRAM_BUCKETS], 1);
    cr_assert_eq(h.count, 5);
    cr_assert_float_eq(h.sum_s, 121.0011, 1e-9);
}
