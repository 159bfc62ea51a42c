/*
 * The sentences about an agent that is down. Who restarts it is supervisor/'s; whether requests
 * wait meanwhile is agent_side_gate()'s.
 */
#include "app/outage.h"

#include "app/parts.h"
#include "base/clock.h"

#include <stdio.h>

/* When the next start is due, on everybody's clock. */
static const char *next_start(struct app *a, char buf[CLOCK_TEXT_MAX])
{
    int64_t in_ms = supervisor_status(a->supervisor)->next_start_ms - loop_now_ms(a->loop);

    return clock_wall_text(clock_wall_ms() + (in_ms > 0 ? in_ms : 0), buf);
}

/* "failure 3 in a row (restart.max 5); " */
static void count_words(const struct app *a, char *ret, size_t cap)
{
    unsigned failures = supervisor_status(a->supervisor)->failures;
    int n = 0;

    ret[0] = '\0';
    if (failures > 0) {
        n = snprintf(ret, cap, "failure %u in a row", failures);
    }
    if (n > 0 && a->cfg->restart.max > 0) {
        n += snprintf(ret + n, cap - (size_t)n, " (restart.max %lld)",
                      (long long)a->cfg->restart.max);
    }
    if (n > 0) {
        (void)snprintf(ret + n, cap - (size_t)n, "; ");
    }
}

/* We stop: that the agent does not answer is no outage any more. */
static bool is_over(const struct app *a)
{
    return a->life == LIFE_STOPPING || a->life == LIFE_STOPPED;
}

static bool is_waiting(const struct app *a)
{
    return a->supervisor && supervisor_status(a->supervisor)->state == CHILD_BACKOFF;
}

static void say_next_start(struct app *a)
{
    struct outage *o = &a->outage;
    char when[CLOCK_TEXT_MAX];
    char count[80];

    if (is_waiting(a)) {
        count_words(a, count, sizeof(count));
        (void)snprintf(o->text, sizeof(o->text), "%.250s; %snext start at %s", o->last, count,
                       next_start(a, when));
    } else {
        (void)snprintf(o->text, sizeof(o->text), "%s", o->last);
    }
}

void outage_on_exit(struct app *a, const struct child_exit *e)
{
    struct outage *o = &a->outage;
    char what[EXIT_WORDS_MAX];

    o->is_late = false;
    o->is_failing = e->failures > 0;
    o->is_unspawned = false;
    (void)snprintf(o->last, sizeof(o->last), "the agent %s", exit_in_words(e, what));
    say_next_start(a);
}

void outage_on_spawn_failed(struct app *a, const struct err *why)
{
    struct outage *o = &a->outage;

    o->is_late = false;
    o->is_failing = true;
    o->is_unspawned = true;
    (void)snprintf(o->last, sizeof(o->last), "%s", why->msg);
    say_next_start(a);
}

void outage_on_spawned(struct app *a)
{
    struct outage *o = &a->outage;
    unsigned failures = supervisor_status(a->supervisor)->failures;

    if (o->is_failing) {
        (void)snprintf(o->text, sizeof(o->text),
                       "the agent starts again after %u failure%s in a row; the last: %.250s",
                       failures, failures == 1 ? "" : "s", o->last);
    }
}

void outage_on_late(struct app *a)
{
    a->outage.is_late = true;
}

void outage_on_up(struct app *a)
{
    struct outage *o = &a->outage;
    unsigned failures = a->supervisor ? supervisor_status(a->supervisor)->failures : 0;

    o->is_failing = false;
    o->is_late = false;
    if (failures >= OUTAGE_LOOP_FAILURES) {
        (void)snprintf(o->text, sizeof(o->text),
                       "the agent answers again, after %u failures in a row; the last: %.250s",
                       failures, o->last);
    }
}

const char *outage_on_lost(struct app *a, const struct child_exit *last)
{
    struct outage *o = &a->outage;
    unsigned failures = supervisor_status(a->supervisor)->failures;

    if (!o->last[0]) {
        (void)snprintf(o->last, sizeof(o->last), "the agent never ran");
    }
    o->is_failing = failures > 0 || !last;
    if (failures > 1 && a->cfg->restart.max > 0 && failures >= (unsigned)a->cfg->restart.max) {
        (void)snprintf(o->text, sizeof(o->text), "%.250s, %u failures in a row (restart.max)",
                       o->last, failures);
    } else {
        (void)snprintf(o->text, sizeof(o->text), "%s", o->last);
    }
    return o->text;
}

bool outage_is_on(const struct app *a)
{
    const struct outage *o = &a->outage;

    if (a->child_is_lost) {
        return o->is_failing; /* also in the last beat: nobody will start it here again */
    }
    if (a->agent_answers || is_over(a)) {
        return false;
    }
    if (o->is_failing || o->is_late || a->agent_ever_answered) {
        return true;
    }
    return a->was_spawned && supervisor_status(a->supervisor)->state != CHILD_STARTING;
}

bool outage_is_crash_loop(const struct app *a)
{
    if (!a->supervisor || supervisor_status(a->supervisor)->failures < OUTAGE_LOOP_FAILURES ||
        (is_over(a) && !a->child_is_lost)) {
        return false;
    }
    /* The supervisor forgets failures after reset_after; told never to, an answer has to do. */
    return a->child_is_lost || !a->agent_answers || a->cfg->restart.reset_after > 0;
}

const char *outage_sample(const struct app *a)
{
    if (outage_is_on(a)) {
        return agent_side_reason(a);
    }
    return outage_is_crash_loop(a) ? a->outage.text : "";
}

const char *outage_words(const struct app *a, char *ret, size_t cap)
{
    const struct supervisor_status *s = a->supervisor ? supervisor_status(a->supervisor) : NULL;

    if (a->child_is_lost) {
        (void)snprintf(ret, cap, "lost for good: %s", a->outage.text);
    } else if (a->agent_answers) {
        int n = snprintf(ret, cap, "answers");

        if (outage_is_crash_loop(a) && (size_t)n < cap) {
            (void)snprintf(ret + n, cap - (size_t)n, ", after %u failures in a row", s->failures);
        }
    } else if (s && !is_over(a) && is_waiting(a)) {
        (void)snprintf(ret, cap, "down: %s", a->outage.text);
    } else if (s && !is_over(a) && a->outage.is_failing) {
        (void)snprintf(ret, cap, "starts, after %u failure%s in a row", s->failures,
                       s->failures == 1 ? "" : "s");
    } else {
        observe_task_word(a, ret, cap);
    }
    return ret;
}
