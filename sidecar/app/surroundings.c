/*
 * Compares the grace timeline with what is given around us.
 */
#include "app/surroundings.h"

#include "base/parse.h"
#include "base/signame.h"

#include <stdlib.h>

enum {
    AGENT_GRACE_SHORT_MS = 1000,   /* less is no time to end in good order */
    GRACE_PERIOD_MAX_S = 31536000, /* a year: more is a typing error */
};

static long long whole_seconds(int64_t ms)
{
    return (long long)((ms + 999) / 1000);
}

static void compare_kubelet(const struct budget *b, const struct config *cfg, struct str *out)
{
    const char *text = getenv("TERMINATION_GRACE_PERIOD_SECONDS");
    int64_t given;
    char a[FORMAT_MAX];

    if (text && parse_int64(slice_of(text), 0, GRACE_PERIOD_MAX_S, &given) == 0) {
        if (given * 1000 < b->grace) {
            str_addf(out,
                     "warning: stop.grace is %s but TERMINATION_GRACE_PERIOD_SECONDS is %lld: the "
                     "kubelet kills us first; set terminationGracePeriodSeconds to at least %lld\n",
                     format_duration(b->grace, a), (long long)given, whole_seconds(b->grace));
        } else if (given * 1000 >= b->grace + 1000) {
            str_addf(out,
                     "warning: stop.grace is %s but TERMINATION_GRACE_PERIOD_SECONDS is %lld: we "
                     "use less than the pod is given; leave stop.grace out to use all of it\n",
                     format_duration(b->grace, a), (long long)given);
        }
    } else if (cfg->facts.is_kubernetes) {
        str_addf(out,
                 "note: stop.grace is %s; TERMINATION_GRACE_PERIOD_SECONDS is not set, so it "
                 "cannot be compared with the pod's terminationGracePeriodSeconds (30 by "
                 "default)\n",
                 format_duration(b->grace, a));
    }
}

/* With a notify socket we ask for the time we need (EXTEND_TIMEOUT_USEC), so nothing is cut. */
static void compare_systemd(const struct budget *b, const struct unit_facts *u, struct str *out)
{
    char a[FORMAT_MAX];
    char c[FORMAT_MAX];

    if (!u->name[0]) {
        return;
    }
    if (!u->is_known) {
        str_addf(out,
                 "note: TimeoutStopSec of %s cannot be read (no unit file of that name); it must "
                 "be at least %llds, see `systemctl show -p TimeoutStopUSec %s`\n",
                 u->name, whole_seconds(b->grace), u->name);
    } else if (u->stop_ms >= 0 && u->stop_ms < b->grace && !u->has_notify) {
        str_addf(out,
                 "warning: stop.grace is %s but systemd kills %s after %s (TimeoutStopSec, %s); "
                 "set TimeoutStopSec=%lld, or Type=notify so that we can ask for more\n",
                 format_duration(b->grace, a), u->name, format_duration(u->stop_ms, c), u->place,
                 whole_seconds(b->grace));
    } else if (u->stop_ms >= 0 && u->stop_ms < b->grace) {
        str_addf(out,
                 "note: stop.grace is %s, TimeoutStopSec of %s is %s (%s): we ask systemd for the "
                 "difference when we stop (EXTEND_TIMEOUT_USEC)\n",
                 format_duration(b->grace, a), u->name, format_duration(u->stop_ms, c), u->place);
    }
}

/* In a pod the kubelet signals the agent's container itself. */
static void compare_drain(const struct budget *b, const struct config *cfg, struct str *out)
{
    char a[FORMAT_MAX];
    char c[FORMAT_MAX];

    if (b->drain_timeout == 0) {
        str_addz(out,
                 "warning: no time is left for requests in flight (stop.drain_timeout is 0)\n");
    }
    if (!cfg->command && cfg->facts.is_kubernetes && !*cfg->admin.drain_path) {
        str_addz(out, "warning: admin.drain_path is off, so nothing holds the kubelet back from "
                      "ending the agent's container before the drain; set it, and in that "
                      "container preStop: httpGet, or exec molecule-sidecar drain --wait\n");
    }
    if (cfg->stop.order == STOP_SIGNAL_FIRST &&
        b->agent_grace < b->drain_delay + b->drain_timeout && config_stops_agent(cfg)) {
        str_addf(out,
                 "warning: signal-first: the agent is killed %s after the first signal, while "
                 "requests may be in flight until %s\n",
                 format_duration(b->agent_grace, a),
                 format_duration(b->drain_delay + b->drain_timeout, c));
    }
}

void surroundings_print(const struct budget *b, const struct config *cfg,
                        const struct unit_facts *unit, struct str *out)
{
    char a[FORMAT_MAX];
    char name[SIGNAL_WORDS_MAX];

    compare_kubelet(b, cfg, out);
    compare_systemd(b, unit, out);
    if (cfg->command && b->agent_grace < AGENT_GRACE_SHORT_MS) {
        str_addf(out, "warning: the agent gets only %s between %s and SIGKILL (stop.agent_grace)\n",
                 format_duration(b->agent_grace, a),
                 signal_in_words(cfg->stop.signal.v[0].signo, name));
    }
    compare_drain(b, cfg, out);
}
