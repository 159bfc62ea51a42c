/*
 * One turn of the loop: wait, call the watches whose descriptors are ready, then (before the next
 * wait) the timers that are due, the deferred work and the log. libuv does the waiting and the
 * descriptors, nothing else; no other file but watch.c and this one knows it.
 *
 * Timers stand behind one timerfd rather than a wait with a timeout: the kernel is asked only when
 * an earlier time than the armed one appears, not in each turn.
 */
#include "loop/loop.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "log/log.h"
#include "loop/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    LOOP_LOG_GATHER_MS = 10,   /* between two writes of the log, unless it is pressing */
    LOOP_LOG_RETRY_MS = 200,   /* how often to try stderr when nothing can be watched for it */
    LOOP_LAST_PASSES_MAX = 64, /* rounds of deferred work at the end; more is a loop of our own */
};

/* ---- the clock ---- */

void loop_refresh(struct loop *l)
{
    if (l->is_fresh)
        return;
    l->now_ms = clock_mono_ms();
    l->is_fresh = true;
}

int64_t loop_now_ms(const struct loop *l)
{
    return l->is_fresh ? l->now_ms : clock_mono_ms(); /* not fresh only outside of loop_run() */
}

int64_t loop_turns(const struct loop *l)
{
    return l->turns;
}

/* ---- timers ---- */

static struct timer *timer_of(struct list *node)
{
    return container_of(node, struct timer, node);
}

static void timer_insert(struct loop *l, struct timer *t)
{
    struct list *at = l->timers.prev;

    /* From the back: most are later than what waits. Equal times keep the order of their start. */
    while (at != &l->timers && timer_of(at)->at_ms > t->at_ms)
        at = at->prev;
    list_insert_before(at->next, &t->node);
}

void timer_start(struct timer *t, struct loop *l, int64_t at_ms, timer_fn *fn, void *arg)
{
    timer_stop(t);
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    t->at_ms = at_ms;
    t->armed = true;
    timer_insert(l, t);
}

void timer_stop(struct timer *t)
{
    if (!t->armed)
        return;
    list_remove(&t->node);
    t->armed = false;
}

static void timers_run(struct loop *l)
{
    struct list due, *first;

    if (list_is_empty(&l->timers) || timer_of(l->timers.next)->at_ms > l->now_ms)
        return;
    /*
     * Those due now move to a list of their own: one that starts again for a time in the past waits
     * for the next turn, one that is stopped meanwhile leaves the list and does not fire.
     */
    list_init(&due);
    while ((first = list_first(&l->timers)) && timer_of(first)->at_ms <= l->now_ms) {
        list_remove(first);
        list_append(&due, first);
    }
    while ((first = list_pop(&due))) {
        struct timer *t = timer_of(first);

        t->armed = false;
        t->fn(t);
    }
}

/* Have the kernel wake us for the earliest timer, unless it already will at that time or before. */
static void timers_arm(struct loop *l)
{
    int64_t at_ms = list_is_empty(&l->timers) ? INT64_MAX : timer_of(l->timers.next)->at_ms;
    struct itimerspec when = {0};

    if (!l->timer_fired && at_ms >= l->armed_ms)
        return;
    if (at_ms != INT64_MAX) {
        int64_t ms = at_ms > 0 ? at_ms : 1; /* zero would disarm */

        when.it_value.tv_sec = (time_t)(ms / 1000);
        when.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
    }
    /* Setting it also takes back an expiry that nobody has read, so it is never read. */
    (void)timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &when, NULL); /* valid by construction */
    l->armed_ms = at_ms;
    l->timer_fired = false;
}

static void on_timer_fd(struct watch *w, int events)
{
    struct loop *l = w->arg;

    (void)events;
    l->timer_fired = true; /* the timers run at the end of the turn, after what has arrived */
}

/* ---- deadline classes ---- */

static struct deadline *deadline_of(struct list *node)
{
    return container_of(node, struct deadline, node);
}

static void on_class_timer(struct timer *t)
{
    struct deadline_class *c = t->arg;
    struct list *first;

    while ((first = list_first(&c->waiting)) && deadline_of(first)->at_ms <= loop_now_ms(c->loop)) {
        struct deadline *d = deadline_of(first);

        list_remove(first);
        d->armed = false;
        c->fn(d, c->arg);
    }
    if (first)
        timer_start(t, c->loop, deadline_of(first)->at_ms, on_class_timer, c);
}

void deadline_class_init(struct deadline_class *c, struct loop *l, int64_t duration_ms,
                         deadline_fn *fn, void *arg)
{
    *c = (struct deadline_class){
        .loop = l, .fn = fn, .arg = arg, .duration_ms = duration_ms, .basis_ms = duration_ms};
    list_init(&c->waiting);
}

void deadline_class_set(struct deadline_class *c, int64_t duration_ms)
{
    int64_t moved = duration_ms - c->basis_ms;
    struct list *first = list_first(&c->waiting);

    c->duration_ms = duration_ms;
    if (duration_ms <= 0)
        return;
    c->basis_ms = duration_ms;
    if (!first)
        timer_stop(&c->timer); /* armed for one that has gone; the next may be earlier now */
    if (moved == 0 || !first)
        return;
    LIST_FOREACH(node, &c->waiting)
    {
        deadline_of(node)->at_ms += moved;
    }
    timer_start(&c->timer, c->loop, deadline_of(first)->at_ms, on_class_timer, c);
}

void deadline_class_release(struct deadline_class *c)
{
    if (!c->loop)
        return;
    assert(list_is_empty(&c->waiting));
    timer_stop(&c->timer);
    c->loop = NULL;
}

void deadline_start(struct deadline_class *c, struct deadline *d)
{
    deadline_stop(c, d);
    if (c->duration_ms <= 0)
        return;
    d->at_ms = loop_now_ms(c->loop) + c->duration_ms;
    d->armed = true;
    list_append(&c->waiting, &d->node);
    if (!c->timer.armed)
        timer_start(&c->timer, c->loop, d->at_ms, on_class_timer, c);
}

/* The class's timer stays as it is: when it comes too early, it looks for the new first one. */
void deadline_stop(struct deadline_class *c, struct deadline *d)
{
    (void)c;
    if (!d->armed)
        return;
    list_remove(&d->node);
    d->armed = false;
}

/* ---- end of turn ---- */

void loop_defer(struct loop *l, struct deferred *d, deferred_fn *fn)
{
    d->fn = fn;
    if (d->queued)
        return;
    d->queued = true;
    list_append(&l->deferred, &d->node);
}

void deferred_cancel(struct deferred *d)
{
    if (!d->queued)
        return;
    list_remove(&d->node);
    d->queued = false;
}

/* What was deferred before this pass; what these defer in turn waits for the next one. */
static void deferred_run(struct loop *l)
{
    struct list now, *first;

    if (list_is_empty(&l->deferred))
        return;
    list_init(&now);
    while ((first = list_pop(&l->deferred)))
        list_append(&now, first);
    while ((first = list_pop(&now))) {
        struct deferred *d = container_of(first, struct deferred, node);

        d->queued = false;
        d->fn(d);
    }
}

/* Both only end the waiting: the flush at the end of the turn follows. */
static void on_log_timer(struct timer *t)
{
    (void)t;
}

static void on_log_writable(struct watch *w, int events)
{
    (void)events;
    watch_stop(w);
}

/*
 * Write what was logged. The first line after a pause goes out at once; under load, lines of some
 * milliseconds leave in one write. When stderr is full, come back when it is not.
 */
static void log_turn(struct loop *l)
{
    int64_t now_ms = loop_now_ms(l);
    int fd;

    if (log_pending() == 0 || watch_is_active(&l->log_watch))
        return;
    if (now_ms < l->log_next_ms && !log_is_pressing()) {
        if (!l->log_timer.armed)
            timer_start(&l->log_timer, l, l->log_next_ms, on_log_timer, l);
        return;
    }
    timer_stop(&l->log_timer);
    l->log_next_ms = now_ms + LOOP_LOG_GATHER_MS;
    if (log_flush())
        return;
    fd = log_wait_fd();
    if (fd < 0 || watch_start(&l->log_watch, l, fd, WATCH_READ, on_log_writable, l) < 0)
        timer_start(&l->log_timer, l, now_ms + LOOP_LOG_RETRY_MS, on_log_timer, l);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being there makes the next wait end at once */
}

static void end_of_turn(struct loop *l)
{
    loop_refresh(l);
    timers_run(l);
    deferred_run(l);
    log_turn(l);
    timers_arm(l);
    if (list_is_empty(&l->deferred))
        (void)uv_idle_stop(&l->idle); /* neither can fail: the callback is given */
    else
        (void)uv_idle_start(&l->idle, on_idle);
    l->turns++;
    l->is_fresh = false;
}

static void on_prepare(uv_prepare_t *prepare)
{
    end_of_turn(prepare->data);
}

/* ---- the loop itself ---- */

int loop_new(struct loop **ret, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return err_set(err, -ENOMEM, "no memory for the event loop");
    list_init(&l->timers);
    list_init(&l->deferred);
    l->timer_fd = -1;
    l->armed_ms = INT64_MAX;
    rc = uv_loop_init(&l->uv);
    if (rc < 0) {
        free(l);
        return err_set(err, rc, "cannot make an event loop: %s", uv_strerror(rc));
    }
    (void)uv_prepare_init(&l->uv, &l->prepare); /* these four cannot fail */
    (void)uv_idle_init(&l->uv, &l->idle);
    l->prepare.data = l;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    rc = l->timer_fd < 0 ? -errno
                         : watch_start(&l->timer_watch, l, l->timer_fd, WATCH_READ, on_timer_fd, l);
    if (rc < 0) {
        loop_free(l);
        errno = -rc;
        return err_set(err, rc, "cannot make the event loop's timer: %m");
    }
    *ret = l;
    return 0;
}

void loop_run(struct loop *l)
{
    log_set_buffered(true);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT); /* ends by uv_stop() only: the prepare handle is active */
    end_of_turn(l);                       /* of the turn in which loop_stop() was called */
    log_set_buffered(false);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

void loop_free(struct loop *l)
{
    int rc;

    if (!l)
        return;
    /* What is deferred is mostly the freeing of something. */
    for (int i = 0; i < LOOP_LAST_PASSES_MAX && !list_is_empty(&l->deferred); i++)
        deferred_run(l);
    timer_stop(&l->log_timer);
    watch_stop(&l->log_watch);
    watch_stop(&l->timer_watch);
    assert(list_is_empty(&l->timers));
    assert(l->watch_count == 0);
    fd_close(&l->timer_fd);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0) {
        /* until the closed handles are gone; a late loop_stop() costs one more round */
    }
    watch_pool_release(l);
    rc = uv_loop_close(&l->uv);
    assert(rc == 0);
    free(l);
}
