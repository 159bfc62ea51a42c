/*
 * Counting over time without keeping events.
 */
#include "base/window.h"

#include "base/banned.h"

const double histogram_bounds_s[HISTOGRAM_BUCKETS] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
};

void window_add(struct window *w, int64_t now_ms, int failed)
{
    int64_t second = now_ms / 1000;
    int i = (int)(second % WINDOW_SECONDS);

    if (w->bucket_s[i] != second) { /* left over from an earlier round */
        w->bucket_s[i] = second;
        w->total[i] = 0;
        w->failed[i] = 0;
    }
    w->total[i]++;
    if (failed)
        w->failed[i]++;
}

static void window_sum(const struct window *w, int64_t now_ms, uint64_t *ret_total,
                       uint64_t *ret_failed)
{
    int64_t second = now_ms / 1000;

    *ret_total = 0;
    *ret_failed = 0;
    for (int i = 0; i < WINDOW_SECONDS; i++) {
        if (w->bucket_s[i] <= second - WINDOW_SECONDS || w->bucket_s[i] > second)
            continue;
        *ret_total += w->total[i];
        *ret_failed += w->failed[i];
    }
}

double window_failure_rate(const struct window *w, int64_t now_ms)
{
    uint64_t total, failed;

    window_sum(w, now_ms, &total, &failed);
    return total == 0 ? 0.0 : (double)failed / (double)total;
}

uint32_t window_total(const struct window *w, int64_t now_ms)
{
    uint64_t total, failed;

    window_sum(w, now_ms, &total, &failed);
    return total > UINT32_MAX ? UINT32_MAX : (uint32_t)total;
}

void histogram_add(struct histogram *h, double seconds)
{
    int i = 0;

    while (i < HISTOGRAM_BUCKETS && seconds > histogram_bounds_s[i])
        i++;
    h->bucket[i]++;
    h->count++;
    h->sum_s += seconds;
}
