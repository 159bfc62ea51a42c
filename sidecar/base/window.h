/*
 * What happened lately: counts over a rolling minute, in one-second buckets; and a latency
 * histogram for the metrics page. Fixed size, no allocation, O(1) per event.
 */
#ifndef BASE_WINDOW_H
#define BASE_WINDOW_H

#include <stdint.h>

enum { WINDOW_SECONDS = 60 };

struct window {
    int64_t bucket_s[WINDOW_SECONDS]; /* the second each bucket stands for */
    uint32_t total[WINDOW_SECONDS];
    uint32_t failed[WINDOW_SECONDS];
};

void window_add(struct window *w, int64_t now_ms, int failed); /* one event; failed is 0 or 1 */
/* 0.0..1.0 of the last 60 s; 0 without events */
double window_failure_rate(const struct window *w, int64_t now_ms);
uint32_t window_total(const struct window *w, int64_t now_ms);

/* Prometheus-style cumulative histogram of seconds; bounds are fixed for the program. */
enum { HISTOGRAM_BUCKETS = 14 };
/* 0.0005 .. 60, the last is +Inf and not in the table */
extern const double histogram_bounds_s[HISTOGRAM_BUCKETS];

struct histogram {
    /* not cumulative; [HISTOGRAM_BUCKETS] = above the last bound */
    uint64_t bucket[HISTOGRAM_BUCKETS + 1];
    uint64_t count;
    double sum_s;
};
void histogram_add(struct histogram *h, double seconds);

#endif
