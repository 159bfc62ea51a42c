/*
 * The platform's event stream (P section 11): a hint that something is there, never a message, and
 * no proof of anything. With it, polls are rare and messages quick; without it, polls come at their
 * interval.
 */
#include "inbox/wakeup.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

static const struct wakeup_times default_times = {
    .silence = 90 * 1000, /* our own heartbeats echo every 30 s */
    .backoff_base = 1000,
    .backoff_cap = 30 * 1000,
    .refused_cap = 60 * 1000,
    .unsupported = 10 * 60 * 1000,
    .late = 1000,
    .whole = 24 * 60 * 60 * 1000,
};

static void connect_stream(struct wakeup *w);

int wakeup_new(struct inbox *i)
{
    struct wakeup *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->i = i;
    w->times = default_times;
    i->wakeup = w;
    return 0;
}

void wakeup_free(struct inbox *i)
{
    wakeup_stop(i);
    free(i->wakeup);
    i->wakeup = NULL;
}

static void set_stream(struct wakeup *w, bool is_up)
{
    if (w->i->status.has_stream == is_up)
        return;
    w->i->status.has_stream = is_up;
    feed_configure(w->i); /* polls become rarer, or usual again */
}

/* ---- what it says ------------------------------------------------------------------------------
 */

static void on_late(struct timer *t)
{
    struct wakeup *w = t->arg;

    feed_poll_now(w->i);
}

static void on_silence(struct timer *t);

static void on_life(struct wakeup *w)
{
    struct loop *l = w->i->loop;

    timer_start(&w->silence, l, loop_now_ms(l) + w->times.silence, on_silence, w);
    if (!w->events.is_alive || w->i->status.has_stream)
        return;
    if (w->failures > 0 || w->was_up) {
        log_debug("inbox", "the event stream is up again");
        feed_sweep_now(w->i); /* nothing is replayed */
    } else {
        log_info("inbox", "the event stream is up: messages are fetched when it tells of them");
    }
    w->was_up = true;
    w->failures = 0;
    set_stream(w, true);
    feed_poll_now(w->i);
}

/* Outside of curl's callback: what follows may end the call. */
static void on_act(struct timer *t)
{
    struct wakeup *w = t->arg;
    bool saw_message = w->saw_message, saw_state = w->saw_state;

    w->saw_life = w->saw_message = w->saw_state = false;
    on_life(w);
    if (saw_message) {
        feed_poll_now(w->i);
        if (!w->late.armed) /* many events, one look behind them */
            timer_start(&w->late, w->i->loop, loop_now_ms(w->i->loop) + w->times.late, on_late, w);
    }
    if (saw_state && w->i->cb.on_state_hint)
        w->i->cb.on_state_hint(w->i->arg);
}

static void on_event(void *arg, struct slice data)
{
    struct wakeup *w = arg;
    enum event_hint hint = event_hint_of(data);

    w->saw_message |= hint == EVENT_MESSAGE;
    w->saw_state |= hint == EVENT_STATE;
}

static bool on_data(void *arg, struct slice bytes)
{
    struct wakeup *w = arg;

    events_feed(&w->events, bytes, on_event, w);
    if (!w->saw_life) {
        w->saw_life = true;
        timer_start(&w->act, w->i->loop, loop_now_ms(w->i->loop), on_act, w);
    }
    return true;
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static void on_retry(struct timer *t)
{
    connect_stream(t->arg);
}

static void connect_later(struct wakeup *w, const struct reply *r)
{
    int64_t cap_ms = r->status == 401 ? w->times.refused_cap : w->times.backoff_cap;
    int64_t wait_ms = backoff_ms(w->times.backoff_base, cap_ms, w->failures++);
    bool is_unsupported = r->status == 404 || r->status == 405 || r->status == 501;

    timer_stop(&w->silence);
    timer_stop(&w->act);
    w->saw_life = w->saw_message = w->saw_state = false;
    events_release(&w->events);
    if (w->failures == 1)
        log_info("inbox", "%s: %s; messages are fetched every poll_interval",
                 is_unsupported ? "this platform has no event stream" : "the event stream ended",
                 r->error[0] ? r->error : "closed by the platform");
    set_stream(w, false);
    if (is_unsupported)
        wait_ms = w->times.unsupported;
    if (wait_ms < r->wait_ms)
        wait_ms = r->wait_ms;
    timer_start(&w->retry, w->i->loop, loop_now_ms(w->i->loop) + wait_ms, on_retry, w);
    if (r->status == 401)
        platform_check_state_now(w->i->platform);
}

static void on_end(void *arg, const struct reply *r)
{
    connect_later(arg, r);
}

static void on_silence(struct timer *t)
{
    struct wakeup *w = t->arg;
    struct reply silent = {.class = REPLY_UNKNOWN, .error = "no sign of life in time"};

    call_cancel(&w->call);
    connect_later(w, &silent);
}

static void connect_stream(struct wakeup *w)
{
    struct loop *l = w->i->loop;
    struct str path = {0};

    str_addf(&path, "/workspaces/%s/events/stream", w->i->cfg->workspace.id);
    w->call.on_data = on_data;
    w->call.accept = "text/event-stream";
    call_send(&w->call, w->i->transport, str_z(&path), (struct slice){0}, w->times.whole, on_end,
              w);
    str_release(&path);
    timer_start(&w->silence, l, loop_now_ms(l) + w->times.silence, on_silence, w);
}

void wakeup_start(struct inbox *i)
{
    struct wakeup *w = i->wakeup;

    if (w->is_on || !i->cfg->platform.events)
        return;
    w->is_on = true;
    w->failures = 0;
    w->was_up = false;
    timer_start(&w->retry, i->loop, loop_now_ms(i->loop) + random_between(0, w->times.backoff_base),
                on_retry, w);
}

void wakeup_stop(struct inbox *i)
{
    struct wakeup *w = i->wakeup;

    if (!w)
        return;
    w->is_on = false;
    timer_stop(&w->retry);
    timer_stop(&w->silence);
    timer_stop(&w->late);
    timer_stop(&w->act);
    call_cancel(&w->call);
    events_release(&w->events);
    w->saw_life = w->saw_message = w->saw_state = false;
    i->status.has_stream = false;
}
