/*
 * Beats at fixed times (P section 7.2): start + k intervals, whatever the rest of us is doing. A
 * beat that is not answered when the next one is due is given up for it; a failed one is not
 * repeated, the next one is the repetition. Extra beats when the work crosses zero (design section
 * 6).
 */
#include "platform/internal.h"

#include "base/clock.h"
#include "log/log.h"

#include <stdio.h>

#include "base/banned.h"

static void send_beat(struct platform *p, bool is_extra);
static void on_due(struct timer *t);

/* ---- the body ----------------------------------------------------------------------------------
 */

static int64_t clamp(int64_t n, int64_t max)
{
    return n < 0 ? 0 : n > max ? max : n;
}

/* 0.0 to 1.0 in thousandths, written without the locale's comma. NaN counts as 0. */
static int thousandths(double rate)
{
    if (!(rate > 0.0))
        return 0;
    return rate >= 1.0 ? 1000 : (int)(rate * 1000.0 + 0.5);
}

void heartbeat_body(const struct platform *p, const struct beat *b, struct str *ret)
{
    int rate = thousandths(b->error_rate);

    str_addf(ret, "{\"workspace_id\":\"%s\",\"error_rate\":%d.%03d,\"sample_error\":",
             p->cfg->workspace.id, rate / 1000, rate % 1000);
    str_add_json(
        ret, (struct slice){b->sample_error, strnlen(b->sample_error, sizeof(b->sample_error))});
    str_addf(ret, ",\"active_tasks\":%lld,\"current_task\":",
             (long long)clamp(b->active_tasks, UPTIME_MAX));
    str_add_json(
        ret, (struct slice){b->current_task, strnlen(b->current_task, sizeof(b->current_task))});
    str_addf(ret, ",\"uptime_seconds\":%lld,\"runtime_state\":\"%s\"}",
             (long long)clamp(b->uptime_seconds, UPTIME_MAX), b->is_wedged ? "wedged" : "");
}

void heartbeat_note_sent(struct platform *p, const struct beat *b)
{
    p->heart.sent_uptime = clamp(b->uptime_seconds, UPTIME_MAX);
    p->heart.last_sent_ms = loop_now_ms(p->loop);
    p->heart.said = *b;
}

/* ---- the answer --------------------------------------------------------------------------------
 */

static void beat_finished(struct platform *p)
{
    int64_t max = p->cfg->platform.max_iterations;

    p->heart.beats++;
    if (max > 0 && p->heart.beats >= max && !p->heart.is_max_told) {
        p->heart.is_max_told = true;
        if (p->cb.on_max_iterations)
            p->cb.on_max_iterations(p->arg);
    }
}

static void on_reread(struct platform *p, bool is_new)
{
    struct heart *h = &p->heart;

    if (is_new && !call_is_busy(&h->a.call)) {
        h->is_repeat = true;
        send_beat(p, h->was_extra);
        return;
    }
    if (!is_new)
        state_check_now(p); /* P section 5.2: what does it mean? */
}

static void refused(struct platform *p, const struct reply *r)
{
    struct heart *h = &p->heart;
    bool may_repeat = !h->is_repeat;

    h->refused++;
    h->is_repeat = false;
    if (h->refused >= REFUSED_LOG_AFTER &&
        (h->refused - REFUSED_LOG_AFTER) % REFUSED_LOG_EVERY == 0)
        log_error("platform", "%u heartbeats in a row refused with 401: token %s... from %s",
                  h->refused, p->status.token_prefix, p->status.token_source);
    if (may_repeat)
        token_refused(p, r->token_age, &h->waiter, on_reread);
    else
        state_check_now(p);
}

static void on_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;
    struct heart *h = &p->heart;

    if (r->class == REPLY_OK) {
        activity_good(&h->a, r);
        h->accepted = true;
        h->accepted_uptime = h->sent_uptime;
        h->refused = 0;
        h->is_repeat = false;
        inbound_named(p, r->json, false);
        /* 401 there, 200 here, with one bearer that we still hold: no token is left, P section
         * 7.1c. With a new one the verdict is still to come. */
        if (p->status.state == WORKSPACE_AUTH_LOST && r->token_age == p->state.lost_age &&
            r->token_age == p->transport.token_age)
            register_on_revoked(p);
    } else {
        activity_bad(&h->a, r);
        h->not_before_ms = loop_now_ms(p->loop) + r->wait_ms;
        if (r->status == 401)
            refused(p, r);
    }
    /* The timer of the next one stands, activity_good and _bad do not touch it. */
    beat_finished(p);
}

/* ---- when --------------------------------------------------------------------------------------
 */

static void send_beat(struct platform *p, bool is_extra)
{
    struct heart *h = &p->heart;
    struct beat b = {0};
    struct str body = {0};

    if (call_is_busy(&h->a.call)) {
        struct reply late = {.class = REPLY_UNKNOWN,
                             .error = "no answer before the next heartbeat was due"};
        call_cancel(&h->a.call);
        activity_bad(&h->a, &late);
        beat_finished(p); /* its answer is not waited for any more */
        if (p->is_finishing)
            return;
    }
    h->was_extra = is_extra;
    p->cb.fill_beat(p->arg, &b);
    heartbeat_body(p, &b, &body);
    heartbeat_note_sent(p, &b);
    call_send(&h->a.call, &p->transport, "/registry/heartbeat", str_slice(&body), 0, on_reply, p);
    str_release(&body);
}

/* By a Retry-After. */
static bool is_silenced(const struct platform *p)
{
    return loop_now_ms(p->loop) < p->heart.not_before_ms;
}

static void on_due(struct timer *t)
{
    struct activity *a = t->arg;
    struct platform *p = a->p;
    int64_t interval = p->cfg->platform.heartbeat_interval;
    int64_t now = loop_now_ms(p->loop);
    int64_t next = a->due_ms + interval;

    activity_started(a);
    if (next <= now) /* we were stopped for a while: no burst, same phase */
        next += (now - next + interval) / interval * interval;
    activity_at(a, next, on_due);
    if (p->status.state == WORKSPACE_REMOVED || is_silenced(p))
        return;
    p->heart.is_repeat = false;
    timer_stop(&p->heart.extra_timer);
    send_beat(p, false);
}

/* What an extra beat is for: work or no work, healthy or not. Numbers alone can wait. */
static bool has_news(const struct heart *h, const struct beat *b)
{
    return h->beats == 0 || (b->active_tasks > 0) != (h->said.active_tasks > 0) ||
           b->is_wedged != h->said.is_wedged ||
           (b->error_rate >= 0.5) != (h->said.error_rate >= 0.5);
}

static void on_extra(struct timer *t)
{
    struct platform *p = t->arg;
    struct beat b = {0};

    if (is_silenced(p)) { /* since this look was planned */
        heartbeat_extra(p, false);
        return;
    }
    p->heart.looked_ms = loop_now_ms(p->loop);
    p->cb.fill_beat(p->arg, &b);
    if (has_news(&p->heart, &b))
        send_beat(p, true);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Called with every request that begins or ends: while a look is planned, nothing is done. */
void heartbeat_extra(struct platform *p, bool now)
{
    struct heart *h = &p->heart;

    if ((h->extra_timer.armed && !now) || !h->is_started || p->is_finishing ||
        p->status.state == WORKSPACE_REMOVED)
        return;
    if (now && !is_silenced(p)) {
        timer_stop(&h->extra_timer);
        send_beat(p, true);
        return;
    }
    int64_t now_ms = loop_now_ms(p->loop);
    int64_t at =
        later(h->last_sent_ms + p->times.extra_beat_gap, h->looked_ms + p->times.extra_look_gap);
    at = later(later(at, h->not_before_ms), now_ms);
    if (at < h->a.due_ms && !transport_rate_is_short(&p->transport))
        timer_start(&h->extra_timer, p->loop, at, on_extra, p);
    /* else the regular one is soon enough */
}

void heartbeat_start(struct platform *p)
{
    if (p->heart.is_started)
        return;
    p->heart.is_started = true;
    p->heart.last_sent_ms = loop_now_ms(p->loop) - p->times.extra_beat_gap;
    p->heart.looked_ms = loop_now_ms(p->loop) - p->times.extra_look_gap;
    activity_at(&p->heart.a,
                loop_now_ms(p->loop) +
                    random_between(1, p->cfg->platform.heartbeat_interval), /* phase, P 4.4 */
                on_due);
}

void heartbeat_stop(struct platform *p)
{
    timer_stop(&p->heart.extra_timer);
    activity_stop(&p->heart.a);
    p->heart.is_started = false;
}
