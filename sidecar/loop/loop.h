/*
 * The event loop: a thin layer over libuv with three kinds of sources (descriptors, timers,
 * deadline classes) and one place for work at the end of a turn. One thread. Nothing blocks.
 *
 * A turn: descriptors that are ready, then timers that are due, then deferred work, then the log is
 * written (gathered for some milliseconds under load). loop_run() switches the log to buffered.
 *
 * Every source can be stopped and its object freed synchronously, from any callback: libuv's
 * handles live in a free list inside the loop, never in the caller's object. A stopped source never
 * fires again, not even later in the same turn.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

int loop_new(struct loop **ret, struct err *err);
void loop_free(struct loop *l); /* all sources must be stopped; NULL is fine */
void loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l);

/* Monotonic milliseconds, read once per turn. */
int64_t loop_now_ms(const struct loop *l);
int64_t loop_turns(const struct loop *l); /* turns so far: the watchdog and tests look at it */

/* ---- descriptors ---- */
/*
 * HANGUP: the other side has ended its direction. ERROR: both directions are over (a reset, or a
 * Unix peer that has closed); for who waits after a half-close, which alone does not wake it.
 */
enum { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_HANGUP = 4, WATCH_ERROR = 8 };

struct watch;
/*
 * events: WATCH_* bits that are true now. An error on the descriptor shows as all interests that
 * were asked for: the next call tells.
 */
typedef void watch_fn(struct watch *w, int events);

struct watch { /* embedded by its owner; all fields private but `arg` */
    struct loop *loop;
    watch_fn *fn;
    void *arg; /* the owner's, for its callback */
    void *handle;
    int fd;
    int events;
};

/*
 * Begin to watch fd (non-blocking; borrowed: the owner closes it after watch_stop). events may be
 * 0. 0 or -errno. Level-triggered.
 */
int watch_start(struct watch *w, struct loop *l, int fd, int events, watch_fn *fn, void *arg);
void watch_set(struct watch *w, int events); /* cheap when nothing changes */
void watch_stop(struct watch *w);            /* also on a zeroed or stopped watch */
static inline bool watch_is_active(const struct watch *w)
{
    return w->handle != NULL;
}

/* ---- timers: for the few, at an absolute time ---- */
struct timer;
typedef void timer_fn(struct timer *t);

struct timer { /* embedded; zeroed = stopped; private but `arg` */
    struct list node;
    struct loop *loop;
    timer_fn *fn;
    void *arg;
    int64_t at_ms;
    bool armed;
};

/* restarts if armed */
void timer_start(struct timer *t, struct loop *l, int64_t at_ms, timer_fn *fn, void *arg);
void timer_stop(struct timer *t);

/* ---- deadline classes: for the many, all of one duration ---- */
/*
 * Equal durations expire in the order they were started, so a list is enough; the loop arms one
 * timer for the earliest of all.
 */
struct deadline { /* embedded; zeroed = stopped */
    struct list node;
    int64_t at_ms;
    bool armed;
};
typedef void deadline_fn(struct deadline *d, void *arg);

struct deadline_class {
    struct list waiting;
    struct timer timer;
    struct loop *loop;
    deadline_fn *fn;
    void *arg;
    int64_t duration_ms; /* 0 = never: start does nothing */
    int64_t basis_ms;    /* the last duration that was not 0: that of all that waits */
};

void deadline_class_init(struct deadline_class *c, struct loop *l, int64_t duration_ms,
                         deadline_fn *fn, void *arg);
/*
 * Another duration from now on. What waits is moved by the difference, so that the order stays one;
 * with 0 it keeps its time, and nothing new waits.
 */
void deadline_class_set(struct deadline_class *c, int64_t duration_ms);
void deadline_class_release(struct deadline_class *c);             /* nothing may be waiting */
void deadline_start(struct deadline_class *c, struct deadline *d); /* from now; restarts if armed */
void deadline_stop(struct deadline_class *c, struct deadline *d);

/* ---- end of turn ---- */
struct deferred;
typedef void deferred_fn(struct deferred *d);
struct deferred { /* embedded; zeroed = not queued */
    struct list node;
    deferred_fn *fn;
    bool queued;
};
/*
 * Run fn once, after this turn's sources: for freeing an object that a caller up the stack may
 * still touch, or to gather writes.
 */
void loop_defer(struct loop *l, struct deferred *d, deferred_fn *fn);
void deferred_cancel(struct deferred *d); /* it does not run; harmless when not queued */

#endif
