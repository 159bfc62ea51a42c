/*
 * What register, heartbeat, state and secrets have in common: a timer of their own, back-off (P
 * section 4.4), counters, and the habit of saying a failure once and its end once.
 */
#include "platform/internal.h"

#include "base/clock.h"
#include "base/parse.h"
#include "log/log.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void activity_init(struct activity *a, struct platform *p, const char *name,
                   struct activity_status *status)
{
    a->p = p;
    a->name = name;
    a->status = status;
}

void activity_stop(struct activity *a)
{
    timer_stop(&a->timer);
    call_cancel(&a->call);
    if (a->status)
        a->status->next_ms = 0;
}

void activity_at(struct activity *a, int64_t at_ms, timer_fn *fn)
{
    if (a->p->is_finishing)
        return; /* a callback ended everything while its caller still had plans */
    a->due_ms = at_ms;
    a->status->next_ms = at_ms;
    timer_start(&a->timer, a->p->loop, at_ms, fn, a);
}

void activity_started(struct activity *a)
{
    int64_t late_ms = loop_now_ms(a->p->loop) - a->due_ms;

    if (late_ms > a->status->worst_late_ms)
        a->status->worst_late_ms = late_ms;
    a->status->next_ms = 0;
}

static void note_rate(struct platform *p)
{
    p->status.rate_limit = p->transport.rate_limit;
    p->status.rate_remaining = p->transport.rate_remaining;
}

void activity_good(struct activity *a, const struct reply *r)
{
    struct activity_status *s = a->status;

    if (s->failures > 0)
        log_info("platform", "%s works again after %u failures", a->name, s->failures);
    note_rate(a->p);
    s->ok_total++;
    s->failures = 0;
    s->last_ok_ms = loop_now_ms(a->p->loop);
    s->last_status = r->status;
    s->last_error[0] = '\0';
}

/* Nobody should wonder why nothing runs yet. */
static void say_when_the_agent_starts(struct platform *p)
{
    char text[FORMAT_MAX];

    if (!p->cfg->command || p->has_said_start_wait)
        return;
    p->has_said_start_wait = true;
    log_info("platform", "the agent starts all the same, at most %s after us (secrets.start_wait)",
             format_duration(p->cfg->secrets.start_wait, text));
}

void activity_bad(struct activity *a, const struct reply *r)
{
    struct activity_status *s = a->status;
    bool has_other_cause = s->failures > 0 && s->last_status != r->status;

    note_rate(a->p);
    s->failed_total++;
    s->failures++;
    s->last_status = r->status;
    (void)snprintf(s->last_error, sizeof(s->last_error), "%.*s", (int)sizeof(s->last_error) - 1,
                   r->error);
    if (s->failures % FAILURE_LOG_EVERY == 1 || has_other_cause)
        log_warning("platform", "%s failed%s: %s%s", a->name, s->failures > 1 ? " again" : "",
                    r->error, r->status == 0 ? " (platform.url); trying on" : "");
    else
        log_debug("platform", "%s failed: %s", a->name, r->error);
    if (r->status == 0 && !a->p->is_spawned)
        say_when_the_agent_starts(a->p);
}

int64_t activity_retry_at(const struct activity *a, const struct reply *r, int64_t cap_ms)
{
    const struct platform_times *times = &a->p->times;
    unsigned attempt = a->status->failures > 0 ? a->status->failures - 1 : 0;
    int64_t wait_ms =
        backoff_ms(times->backoff_base, cap_ms > 0 ? cap_ms : times->backoff_cap, attempt);

    if (r && wait_ms < r->wait_ms)
        wait_ms = r->wait_ms;
    return loop_now_ms(a->p->loop) + wait_ms;
}
