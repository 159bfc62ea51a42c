/*
 * Whether the phases of a stop fit into stop.grace, and the list of signals into the agent's phase.
 * Only numbers somebody set are refused; what is computed (app/budget.c) always fits.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "config/report.h"

#include "base/banned.h"

static const char *place_of(struct loader *l, const char *key)
{
    return loader_place(l, loader_row("stop", key));
}

/* Numbers that follow one another, and what they add up to. */
struct sum {
    struct str names;
    int64_t ms;
};

static void add(struct loader *l, struct sum *sum, const char *key, int64_t ms)
{
    if (ms < 0)
        return;
    sum->ms += ms;
    str_addf(&sum->names, "%sstop.%s (%s)", sum->names.len ? " + " : "", key, place_of(l, key));
}

/* The agent's part: what was set, else what the list of signals asks for. */
static void add_agent(struct loader *l, struct sum *sum)
{
    const struct config_stop *s = &l->c->stop;
    int64_t waits = config_stop_waits_ms(l->c);

    if (s->agent_grace >= 0 || waits == 0) {
        add(l, sum, "agent_grace", s->agent_grace);
        return;
    }
    sum->ms += waits;
    str_addf(&sum->names, "%sthe waits of stop.signal (%s)", sum->names.len ? " + " : "",
             place_of(l, "signal"));
}

static void check_sum(struct loader *l, const struct sum *sum)
{
    const struct config_stop *s = &l->c->stop;
    char sum_text[FORMAT_MAX], grace_text[FORMAT_MAX];

    if (sum->ms > s->grace)
        (void)report_error(
            l->report,
            "%s = %s, which is more than stop.grace %s (%s); make them shorter, or grace "
            "longer if what stops us gives that much",
            str_z(&sum->names), format_duration(sum->ms, sum_text),
            format_duration(s->grace, grace_text), place_of(l, "grace"));
}

/* signal-first: the agent's time runs beside the drain's, so there are two sums. */
static void check_phases(struct loader *l)
{
    const struct config_stop *s = &l->c->stop;
    bool is_together = s->order == STOP_SIGNAL_FIRST;
    struct sum drain = {0}, agent = {0};

    add(l, &drain, "drain_delay", s->drain_delay);
    add(l, &drain, "drain_timeout", s->drain_timeout);
    add_agent(l, is_together ? &agent : &drain);
    add(l, &drain, "reserve", s->reserve);
    if (is_together)
        add(l, &agent, "reserve", s->reserve);
    check_sum(l, &drain);
    check_sum(l, &agent);
    str_release(&drain.names);
    str_release(&agent.names);
}

static void check_stop_signals(struct loader *l)
{
    const struct config_stop *s = &l->c->stop;
    int64_t waits = config_stop_waits_ms(l->c);
    int64_t limit = s->agent_grace >= 0 ? s->agent_grace : s->grace;
    const char *key = s->agent_grace >= 0 ? "agent_grace" : "grace";
    char waits_text[FORMAT_MAX], limit_text[FORMAT_MAX];

    if (waits > limit && s->agent_grace >= 0)
        (void)report_error(
            l->report,
            "the waits of stop.signal (%s) add up to %s, which is more than stop.agent_grace %s "
            "(%s); make them shorter, or agent_grace longer, or leave it out",
            place_of(l, "signal"), format_duration(waits, waits_text),
            format_duration(limit, limit_text), place_of(l, "agent_grace"));
    else if (waits == limit && stop_sequence_is_open(&s->signal) && waits > 0)
        (void)report_error(
            l->report,
            "the waits of stop.signal (%s) add up to %s, all of stop.%s (%s), which leaves nothing "
            "for the last signal; make them shorter, or %s longer",
            place_of(l, "signal"), format_duration(waits, waits_text), key, place_of(l, key), key);
}

void check_stop(struct loader *l)
{
    check_stop_signals(l);
    check_phases(l);
}
