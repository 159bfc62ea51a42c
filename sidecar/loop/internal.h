/*
 * What loop.c and watch.c share. Nothing outside of these two includes it: this is where libuv
 * ends, and where another way of waiting would be put in.
 */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include "loop/loop.h"

#include <stddef.h>
#include <uv.h>

struct watch_handle;

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* the end of each turn */
    uv_idle_t idle;       /* active while deferred work waits: no waiting then */
    int64_t now_ms;
    int64_t turns;
    bool is_fresh;    /* now_ms is this turn's */
    bool timer_fired; /* the timerfd has expired since it was set */
    int timer_fd;
    int64_t armed_ms;   /* what the timerfd is set to; INT64_MAX: nothing */
    struct list timers; /* by time */
    struct list deferred;
    struct watch timer_watch;
    struct watch log_watch;
    struct timer log_timer;
    int64_t log_next_ms;               /* not written before, unless pressing */
    struct watch_handle *free_handles; /* closed ones for the next watches */
    size_t free_count;
    size_t watch_count; /* active watches */
};

/* Read the clock if this turn has not yet. */
void loop_refresh(struct loop *l);

void watch_pool_release(struct loop *l);

#endif
