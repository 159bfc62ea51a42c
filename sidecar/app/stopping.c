/*
 * The sequencer of the stop phases.
 */
#include "app/stopping.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "log/log.h"

#include <assert.h>
#include <stddef.h>

static void enter(struct stopping *s, enum stop_phase p);

const char *stop_phase_name(enum stop_phase p)
{
    static const char *const names[] = {
        [PHASE_NONE] = "none",      [PHASE_DELAY] = "drain delay", [PHASE_DRAIN] = "drain",
        [PHASE_PARKED] = "drained", [PHASE_AGENT] = "agent",       [PHASE_FINISH] = "finish",
        [PHASE_OVER] = "over",
    };

    return names[p];
}

int64_t stopping_left_ms(const struct stopping *s)
{
    int64_t left = s->started_ms + s->budget.grace - loop_now_ms(s->loop);

    return left > 0 ? left : 0;
}

static void arm_phase(struct stopping *s, int64_t duration_ms);

static void end_delay(struct stopping *s)
{
    if (s->delay_is_over) {
        enter(s, PHASE_DRAIN);
        return;
    }
    s->delay_is_over = true;
    s->ops->delay_ends(s->arg);
    if (s->phase == PHASE_DELAY) { /* no callback has gone on */
        arm_phase(s, STOP_LINGER_MS);
    }
}

/* The phase's own time is up. */
static void on_phase_deadline(struct timer *t)
{
    struct stopping *s = t->arg;

    switch (s->phase) {
    case PHASE_DELAY:
        end_delay(s);
        break;
    case PHASE_DRAIN:
        s->ops->drain_late(s->arg);
        enter(s, s->is_final ? PHASE_AGENT : PHASE_PARKED);
        break;
    case PHASE_FINISH:
        enter(s, PHASE_OVER);
        break;
    case PHASE_NONE:
    case PHASE_PARKED:
    case PHASE_AGENT:
    case PHASE_OVER:
        break;
    }
}

/* The whole budget is up. */
static void on_cap(struct timer *t)
{
    struct stopping *s = t->arg;

    if (!s->is_final) {
        char text[FORMAT_MAX];

        log_warning("app", "drained %s ago and no TERM came: serving again",
                    format_duration(s->budget.grace, text));
        stopping_resume(s);
        return;
    }
    if (!s->ops->agent_is_gone(s->arg)) {
        s->ops->agent_kill(s->arg);
    }
    enter(s, PHASE_OVER);
}

static void arm_phase(struct stopping *s, int64_t duration_ms)
{
    timer_start(&s->phase_timer, s->loop, loop_now_ms(s->loop) + duration_ms, on_phase_deadline, s);
}

static void signal_agent(struct stopping *s)
{
    int64_t room = stopping_left_ms(s) - s->budget.reserve;
    int64_t wanted_ms = s->budget.agent_grace;

    if (s->agent_signalled) {
        return;
    }
    s->agent_signalled = true;
    s->ops->agent_stop(s->arg, room < 0 ? 0 : (wanted_ms < room ? wanted_ms : room));
}

static void enter_delay(struct stopping *s)
{
    int64_t delay = s->ops->drain_delay(s->arg);

    s->delay_is_over = false;
    s->ops->drain_begins(s->arg);
    if (s->is_final && s->order == STOP_SIGNAL_FIRST) {
        signal_agent(s);
    }
    if (s->phase != PHASE_DELAY) { /* a callback went on already */
        return;
    }
    if (delay == 0) {
        enter(s, PHASE_DRAIN);
        return;
    }
    arm_phase(s, delay);
    stopping_changed(s);
}

static void enter_drain(struct stopping *s)
{
    s->ops->refuse_begins(s->arg);
    arm_phase(s, s->budget.drain_timeout);
    stopping_changed(s);
}

static void enter_agent(struct stopping *s)
{
    s->is_final = true;
    signal_agent(s);
    stopping_changed(s);
}

static void enter(struct stopping *s, enum stop_phase p)
{
    if (s->phase == PHASE_OVER) {
        return;
    }
    timer_stop(&s->phase_timer);
    s->phase = p;
    switch (p) {
    case PHASE_NONE:
        timer_stop(&s->cap_timer);
        break;
    case PHASE_DELAY:
        enter_delay(s);
        break;
    case PHASE_DRAIN:
        enter_drain(s);
        break;
    case PHASE_PARKED:
        s->ops->parked(s->arg);
        break;
    case PHASE_AGENT:
        enter_agent(s);
        break;
    case PHASE_FINISH:
        arm_phase(s, s->budget.reserve);
        s->ops->finish(s->arg, stopping_left_ms(s) < s->budget.reserve ? stopping_left_ms(s)
                                                                       : s->budget.reserve);
        break;
    case PHASE_OVER:
        timer_stop(&s->cap_timer);
        s->ops->over(s->arg);
        break;
    }
}

void stopping_changed(struct stopping *s)
{
    switch (s->phase) {
    case PHASE_DELAY: /* time for others to learn that we leave, not a wait for work; without an
                         agent it has no sense */
        if (s->is_final && s->ops->nothing_to_serve(s->arg)) {
            enter(s, PHASE_AGENT);
        }
        break;
    case PHASE_DRAIN:
        if (!s->ops->has_work(s->arg)) {
            enter(s, s->is_final ? PHASE_AGENT : PHASE_PARKED);
        }
        break;
    case PHASE_AGENT:
        if (s->ops->agent_is_gone(s->arg)) {
            enter(s, PHASE_FINISH);
        }
        break;
    case PHASE_NONE:
    case PHASE_PARKED:
    case PHASE_FINISH:
    case PHASE_OVER:
        break;
    }
}

static void begin(struct stopping *s)
{
    s->started_ms = loop_now_ms(s->loop);
    timer_start(&s->cap_timer, s->loop, s->started_ms + s->budget.grace, on_cap, s);
    enter(s, PHASE_DELAY);
}

void stopping_drain(struct stopping *s)
{
    if (s->phase == PHASE_NONE) {
        begin(s);
    }
}

/* A drain that was under way, or done, turns out to be the end. */
static void become_final(struct stopping *s)
{
    s->is_final = true;
    s->ops->becomes_final(s->arg);
    if (s->order == STOP_SIGNAL_FIRST && s->phase != PHASE_PARKED) {
        signal_agent(s);
    }
    if (s->phase == PHASE_PARKED) {
        enter(s, PHASE_AGENT);
    } else {
        stopping_changed(s);
    }
}

void stopping_end(struct stopping *s)
{
    if (s->phase == PHASE_NONE) {
        s->is_final = true;
        begin(s);
    } else if (!s->is_final) {
        become_final(s);
    } else {
        stopping_changed(s);
    }
}

void stopping_stop(struct stopping *s)
{
    s->stop_count++;
    if (s->stop_count == 1) {
        stopping_end(s);
    } else if (s->stop_count == 2) {
        if (s->phase < PHASE_AGENT) {
            enter(s, PHASE_AGENT);
        }
    } else if (s->phase == PHASE_FINISH) {
        enter(s, PHASE_OVER); /* the last words are not worth a fourth TERM */
    } else if (!s->ops->agent_is_gone(s->arg)) {
        s->ops->agent_kill(s->arg);
    }
}

void stopping_resume(struct stopping *s)
{
    if (s->phase == PHASE_NONE || s->is_final) {
        return;
    }
    enter(s, PHASE_NONE);
    s->ops->resumed(s->arg);
}

void stopping_finished(struct stopping *s)
{
    if (s->phase == PHASE_FINISH) {
        enter(s, PHASE_OVER);
    }
}

void stopping_init(struct stopping *s, struct loop *l, const struct budget *b,
                   enum stop_order order, const struct stopping_ops *ops, void *arg)
{
    *s = (struct stopping){.loop = l, .budget = *b, .order = order, .ops = ops, .arg = arg};
}

void stopping_configure(struct stopping *s, const struct budget *b, enum stop_order order)
{
    assert(s->phase == PHASE_NONE);
    s->budget = *b;
    s->order = order;
}

void stopping_release(struct stopping *s)
{
    timer_stop(&s->phase_timer);
    timer_stop(&s->cap_timer);
}
