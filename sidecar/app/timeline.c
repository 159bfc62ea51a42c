/*
 * The grace timeline as text: for `plan`, and in one line for the start-up log. The agent's signals
 * are planned by the very arithmetic that sends them (supervisor/stop_steps.h).
 */
#include "app/budget.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/signame.h"
#include "supervisor/stop_steps.h"

#include <stdio.h>

enum { PLAN_CLOCK_MS = 1 }; /* any time but 0, which means never */

static void add_row(struct str *out, int64_t from_ms, int64_t to_ms, const char *what)
{
    char from[FORMAT_MAX];
    char to[FORMAT_MAX];

    str_addf(out, "  %8s  %8s  %s\n", format_duration(from_ms, from), format_duration(to_ms, to),
             what);
}

static const char *whom(const struct config *cfg)
{
    return cfg->command ? "its process group" : "its process, or waiting for its socket to go";
}

/* One row per signal, and what KILL is for. Returns when that is. */
static int64_t add_signals(struct str *out, const struct budget *b, const struct config *cfg,
                           int64_t from_ms)
{
    const struct stop_sequence *q = &cfg->stop.signal;
    struct stop_steps s;
    int64_t at_ms = from_ms;
    char name[SIGNAL_WORDS_MAX];
    char line[160];

    stop_steps_begin(&s, q, from_ms + PLAN_CLOCK_MS, b->agent_grace);
    for (size_t i = 0; i < q->n; i++) {
        int signo = stop_steps_take(&s, at_ms + PLAN_CLOCK_MS);
        bool is_last = i + 1 == q->n;
        int64_t until_ms = (is_last ? s.end_ms : s.next_ms) - PLAN_CLOCK_MS;

        (void)snprintf(line, sizeof(line), "agent: %s to %s%s", signal_in_words(signo, name),
                       i == 0 ? whom(cfg) : "the same",
                       is_last ? ", then SIGKILL (ends early when it is gone)" : "");
        add_row(out, at_ms, until_ms, line);
        at_ms = until_ms;
    }
    return at_ms;
}

/* Nobody to end, nobody to wait for: the phase is over as it begins. */
static void add_nobody(struct str *out, const struct budget *b, const struct config *cfg,
                       int64_t from_ms)
{
    char kept[FORMAT_MAX];
    char line[160];

    (void)snprintf(line, sizeof(line), "agent: not ours to stop (no command, %s)%s%s%s",
                   cfg->stop.peer == STOP_PEER_OFF ? "stop.peer off" : "agent.protocol none",
                   b->agent_grace > 0 ? "; " : "",
                   b->agent_grace > 0 ? format_duration(b->agent_grace, kept) : "",
                   b->agent_grace > 0 ? " are left to who does it (stop.agent_grace)" : "");
    add_row(out, from_ms, from_ms, line);
}

/* Returns when the agent is gone at the latest. */
static int64_t add_agent(struct str *out, const struct budget *b, const struct config *cfg,
                         int64_t from_ms)
{
    if (!config_stops_agent(cfg)) {
        add_nobody(out, b, cfg, from_ms);
        return from_ms;
    }
    if (!cfg->command && cfg->stop.peer == STOP_PEER_WAIT) {
        add_row(out, from_ms, from_ms + b->agent_grace,
                "agent: waiting for its socket to go (stop.peer wait)");
        return from_ms + b->agent_grace;
    }
    return add_signals(out, b, cfg, from_ms);
}

static void add_drain(struct str *out, const struct budget *b)
{
    add_row(out, 0, b->drain_delay,
            "drain delay: not ready, still accepting, answers say Connection: close");
    add_row(out, b->drain_delay, b->drain_delay + b->drain_timeout,
            "drain: new requests get 503, work in flight finishes (ends early when idle)");
}

void budget_print(const struct budget *b, const struct config *cfg, struct str *out)
{
    bool is_first = cfg->stop.order == STOP_SIGNAL_FIRST;
    int64_t drained_ms = b->drain_delay + b->drain_timeout;
    int64_t agent_ms;
    char t[FORMAT_MAX];
    CLEANUP(str_release) struct str list = {0};

    stop_sequence_add_text(&list, &cfg->stop.signal);
    str_addf(out, "stop.grace %s (%s), order %s, signal %s\n\n      from        to  what\n",
             format_duration(b->grace, t), config_origin(cfg, "stop.grace"),
             is_first ? "signal-first" : "drain-first", str_z(&list));
    if (is_first) {
        agent_ms = add_agent(out, b, cfg, 0);
        add_drain(out, b);
    } else {
        add_drain(out, b);
        agent_ms = add_agent(out, b, cfg, drained_ms);
    }
    agent_ms = agent_ms > drained_ms ? agent_ms : drained_ms;
    add_row(out, agent_ms, agent_ms + b->reserve, "reserve: last heartbeat, flush, exit");
    if (is_first) {
        str_addz(out, "signal-first: the agent has its signal at 0 and drains itself; requests go "
                      "on beside it.\n");
    }
    str_addz(out, "A second TERM skips to the agent's phase, a third kills.\n");
}

void budget_print_line(const struct budget *b, const struct config *cfg, struct str *out)
{
    const struct stop_sequence *q = &cfg->stop.signal;
    char t[5][FORMAT_MAX];

    str_addf(out, "stop: at most %s = drain delay %s + drain %s %s agent %s + reserve %s",
             format_duration(b->grace, t[0]), format_duration(b->drain_delay, t[1]),
             format_duration(b->drain_timeout, t[2]),
             cfg->stop.order == STOP_SIGNAL_FIRST ? "beside" : "+",
             format_duration(b->agent_grace, t[3]), format_duration(b->reserve, t[4]));
    if (q->n > 1 || !stop_sequence_is_open(q)) {
        str_addz(out, "; agent: ");
        stop_sequence_add_text(out, q);
    }
}
