/*
 * Computes and prints the grace timeline. Keeping to it is stopping.c's work.
 */
#include "app/budget.h"

#include "base/parse.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESERVE_MAX_MS = 2000,      /* flushing and one beat need no more */
    AGENT_GRACE_MAX_MS = 10000, /* what `docker stop` gives; agents are written for that */
    DRAIN_DELAY_KUBERNETES_MS =
        5000, /* endpoints are removed from load balancers within a few seconds */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is left after the phases a user set; computed phases share it. */
static int refuse_if_over(const struct config_stop *s, struct err *err)
{
    int64_t sum = 0;
    const int64_t set[] = {s->drain_delay, s->drain_timeout, s->agent_grace, s->reserve};
    char a[FORMAT_MAX];
    char b[FORMAT_MAX];

    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        sum += set[i] > 0 ? set[i] : 0;
    }
    if (sum <= s->grace) {
        return 0;
    }
    return err_set(err, -EINVAL,
                   "stop.drain_delay, stop.drain_timeout, stop.agent_grace and stop.reserve add up "
                   "to %s, which is more than "
                   "stop.grace %s; make them shorter or stop.grace longer",
                   format_duration(sum, a), format_duration(s->grace, b));
}

int budget_compute(const struct config *cfg, struct budget *ret, struct err *err)
{
    const struct config_stop *s = &cfg->stop;
    int r = refuse_if_over(s, err);

    if (r < 0) {
        return r;
    }
    int64_t left = s->grace;
    const int64_t set[] = {s->drain_delay, s->drain_timeout, s->agent_grace, s->reserve};

    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        left -= set[i] > 0 ? set[i] : 0;
    }
    *ret = (struct budget){.grace = s->grace, .drain_delay_is_default = s->drain_delay < 0};

    /* Each computed phase takes its share of what is left, so that the sum never passes grace. */
    ret->reserve = s->reserve >= 0 ? s->reserve : min64(min64(RESERVE_MAX_MS, s->grace / 5), left);
    left -= s->reserve >= 0 ? 0 : ret->reserve;
    ret->drain_delay = s->drain_delay;
    if (s->drain_delay < 0) {
        ret->drain_delay =
            cfg->facts.is_kubernetes ? min64(DRAIN_DELAY_KUBERNETES_MS, left / 2) : 0;
        left -= ret->drain_delay;
    }
    ret->agent_grace = s->agent_grace;
    if (s->agent_grace < 0) {
        int64_t half = (s->grace - ret->reserve - ret->drain_delay) / 2;

        ret->agent_grace = min64(min64(AGENT_GRACE_MAX_MS, half), left);
        left -= ret->agent_grace;
    }
    ret->drain_timeout = s->drain_timeout >= 0 ? s->drain_timeout : left;
    return 0;
}

void budget_print_line(const struct budget *b, struct str *out)
{
    char t[5][FORMAT_MAX];

    str_addf(out, "stop: at most %s = drain delay %s + drain %s + agent %s + reserve %s",
             format_duration(b->grace, t[0]), format_duration(b->drain_delay, t[1]),
             format_duration(b->drain_timeout, t[2]), format_duration(b->agent_grace, t[3]),
             format_duration(b->reserve, t[4]));
}

static void add_phase(struct str *out, int64_t *at, int64_t length, const char *what)
{
    char from[FORMAT_MAX];
    char to[FORMAT_MAX];

    str_addf(out, "  %8s  %8s  %s\n", format_duration(*at, from), format_duration(*at + length, to),
             what);
    *at += length;
}

/* What the surroundings say about the time we have. */
static void add_warnings(const struct budget *b, const struct config *cfg, struct str *out)
{
    const char *text = getenv("TERMINATION_GRACE_PERIOD_SECONDS");
    int64_t given;
    char a[FORMAT_MAX];
    char name[STOP_SIGNAL_TEXT_MAX];

    if (text && parse_int64(slice_of(text), 0, 1000000, &given) == 0 && given * 1000 < b->grace) {
        str_addf(out,
                 "warning: stop.grace is %s but TERMINATION_GRACE_PERIOD_SECONDS is %lld: the "
                 "kubelet kills us first; set "
                 "terminationGracePeriodSeconds to at least %lld\n",
                 format_duration(b->grace, a), (long long)given,
                 (long long)((b->grace + 999) / 1000));
    }
    if (cfg->facts.is_kubernetes && !text) {
        str_addf(out,
                 "warning: stop.grace is %s; TERMINATION_GRACE_PERIOD_SECONDS is not set, so it "
                 "cannot be compared with the pod's "
                 "terminationGracePeriodSeconds (30 by default)\n",
                 format_duration(b->grace, a));
    }
    if (cfg->command && b->agent_grace < 1000) {
        str_addf(out, "warning: the agent gets only %s between %s and SIGKILL (stop.agent_grace)\n",
                 format_duration(b->agent_grace, a),
                 stop_signal_text(cfg->stop.signal.v[0].signo, name));
    }
    if (b->drain_timeout == 0) {
        str_addz(out,
                 "warning: no time is left for requests in flight (stop.drain_timeout is 0)\n");
    }
}

void budget_print(const struct budget *b, const struct config *cfg, struct str *out)
{
    int64_t at = 0;
    char t[FORMAT_MAX];
    char line[160];
    char name[STOP_SIGNAL_TEXT_MAX];
    const char *sig = stop_signal_text(cfg->stop.signal.v[0].signo, name);

    str_addf(out, "stop.grace %s (%s), order %s\n\n      from        to  what\n",
             format_duration(b->grace, t), config_origin(cfg, "stop.grace"),
             cfg->stop.order == STOP_SIGNAL_FIRST ? "signal-first" : "drain-first");
    add_phase(out, &at, b->drain_delay,
              "drain delay: not ready, still accepting, answers say Connection: close");
    add_phase(out, &at, b->drain_timeout,
              "drain: new requests get 503, work in flight finishes (ends early when idle)");
    if (cfg->command) {
        (void)snprintf(line, sizeof(line),
                       "agent: %s to its process group, then SIGKILL (ends early when it is gone)",
                       sig);
        add_phase(out, &at, b->agent_grace, line);
    } else {
        add_phase(out, &at, b->agent_grace, "agent: not ours to stop (no command); unused");
    }
    add_phase(out, &at, b->reserve, "reserve: last heartbeat, flush, exit");
    if (cfg->stop.order == STOP_SIGNAL_FIRST) {
        (void)snprintf(line, sizeof(line),
                       "signal-first: the agent gets %s at 0 and has until %s\n", sig,
                       format_duration(b->grace - b->reserve, t));
        str_addz(out, line);
    }
    str_addz(out, "A second TERM skips to the agent's phase, a third kills.\n");
    add_warnings(b, cfg, out);
}
