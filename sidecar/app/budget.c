/*
 * Computes the grace timeline. Printing it is timeline.c's work, keeping to it stopping.c's.
 */
#include "app/budget.h"

#include "base/clock.h"
#include "base/parse.h"

#include <errno.h>

enum {
    RESERVE_MAX_MS = 2000,      /* flushing and one beat need no more */
    AGENT_GRACE_MAX_MS = 10000, /* what `docker stop` gives; agents are written for that */
    DRAIN_DELAY_KUBERNETES_MS =
        5000, /* endpoints are removed from load balancers within a few seconds */
};

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t or_0(int64_t ms)
{
    return ms > 0 ? ms : 0;
}

/* What a user has set of the agent's time: the key, else the waits of the list; 0 = neither. */
static int64_t agent_part(const struct config *cfg)
{
    return cfg->stop.agent_grace >= 0 ? cfg->stop.agent_grace : config_stop_waits_ms(cfg);
}

/*
 * Nobody set how long the agent may take, or not for the last signal, and somebody ends it. In a
 * pod, where we do not, the kubelet does: with what our drain leaves of the same grace.
 */
static bool is_agent_open(const struct config *cfg)
{
    if (cfg->stop.agent_grace >= 0) {
        return false;
    }
    return config_stops_agent(cfg) ? stop_sequence_is_open(&cfg->stop.signal)
                                   : config_sees_agent(cfg) && cfg->facts.is_kubernetes;
}

/* All that was set and follows one another: the longer of two that run beside each other. */
static int64_t set_sum(const struct config *cfg)
{
    const struct config_stop *s = &cfg->stop;
    int64_t drain = or_0(s->drain_delay) + or_0(s->drain_timeout);
    int64_t agent = agent_part(cfg);

    return or_0(s->reserve) + (s->order == STOP_SIGNAL_FIRST ? max64(drain, agent) : drain + agent);
}

/* config_load has refused it already, with the places (check_stop.c). */
static int refuse_if_over(const struct config *cfg, struct err *err)
{
    const struct config_stop *s = &cfg->stop;
    int64_t sum = set_sum(cfg);
    char a[FORMAT_MAX];
    char b[FORMAT_MAX];

    if (sum <= s->grace) {
        return 0;
    }
    return err_set(err, -EINVAL,
                   "stop.drain_delay, stop.drain_timeout, stop.agent_grace (or the waits of "
                   "stop.signal) and stop.reserve add up to %s, which is more than stop.grace %s; "
                   "make them shorter or stop.grace longer",
                   format_duration(sum, a), format_duration(s->grace, b));
}

/* Time for a signal that nobody gave a time. */
static int64_t lone_signal_ms(const struct budget *b, int64_t left)
{
    int64_t half = (b->grace - b->reserve - b->drain_delay) / 2;

    return ms_min(ms_min(AGENT_GRACE_MAX_MS, half), left);
}

/* Each computed phase takes its share of what is left, so that the sum never passes grace. */
static void compute_in_turn(const struct config *cfg, struct budget *ret, int64_t left)
{
    const struct config_stop *s = &cfg->stop;

    ret->agent_grace = agent_part(cfg);
    if (is_agent_open(cfg)) {
        int64_t last = lone_signal_ms(ret, left);

        ret->agent_grace += last;
        left -= last;
    }
    ret->drain_timeout = s->drain_timeout >= 0 ? s->drain_timeout : left;
}

/* signal-first: the drain and the agent both have all but the reserve. */
static void compute_together(const struct config *cfg, struct budget *ret)
{
    const struct config_stop *s = &cfg->stop;
    int64_t room = ret->grace - ret->reserve;

    ret->agent_grace = is_agent_open(cfg) ? room : agent_part(cfg);
    ret->drain_timeout = s->drain_timeout >= 0 ? s->drain_timeout : room - ret->drain_delay;
}

int budget_compute(const struct config *cfg, struct budget *ret, struct err *err)
{
    const struct config_stop *s = &cfg->stop;
    int64_t left = s->grace - set_sum(cfg);
    int r = refuse_if_over(cfg, err);

    if (r < 0) {
        return r;
    }
    *ret = (struct budget){.grace = s->grace, .drain_delay_is_default = s->drain_delay < 0};
    ret->reserve =
        s->reserve >= 0 ? s->reserve : ms_min(ms_min(RESERVE_MAX_MS, s->grace / 5), left);
    left -= s->reserve >= 0 ? 0 : ret->reserve;
    ret->drain_delay = s->drain_delay;
    if (s->drain_delay < 0) {
        ret->drain_delay =
            cfg->facts.is_kubernetes ? ms_min(DRAIN_DELAY_KUBERNETES_MS, left / 2) : 0;
        left -= ret->drain_delay;
    }
    if (s->order == STOP_SIGNAL_FIRST) {
        compute_together(cfg, ret);
    } else {
        compute_in_turn(cfg, ret, left);
    }
    return 0;
}
