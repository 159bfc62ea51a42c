/*
 * What can be seen of us: the probes' facts, the status page, the metrics. Reads everything,
 * changes nothing.
 */
#include "app/parts.h"

#include "base/json_write.h"
#include "base/version.h"
#include "health/health.h"
#include "log/log.h"
#include "metrics/metrics.h"

#include <stdio.h>
#include <unistd.h>

/* ---- words and numbers others need
 * ------------------------------------------------------------------------------------ */

int64_t observe_active_tasks(const struct app *a)
{
    return (int64_t)proxy_work_count(a->proxy) + inbox_side_work(a);
}

void observe_task_word(const struct app *a, char *ret, size_t cap)
{
    int64_t n = (int64_t)proxy_work_count(a->proxy);
    int64_t messages = inbox_side_work(a);

    if (a->life == LIFE_STOPPING || a->life == LIFE_STOPPED) {
        (void)snprintf(ret, cap, "stopped");
    } else if (a->life == LIFE_DRAINING) {
        (void)snprintf(ret, cap, "draining");
    } else if (n > 0 && messages > 0) {
        (void)snprintf(ret, cap, "%lld request%s, %lld message%s", (long long)n, n == 1 ? "" : "s",
                       (long long)messages, messages == 1 ? "" : "s");
    } else if (n + messages > 0) {
        (void)snprintf(ret, cap, "%lld %s%s", (long long)n + messages,
                       n > 0 ? "request" : "message", n + messages == 1 ? "" : "s");
    } else {
        (void)snprintf(ret, cap, "%s",
                       a->agent_answers || a->agent_ever_answered ? "idle" : "starting");
    }
}

/* ---- probes
 * --------------------------------------------------------------------------------------------------------------
 */

static struct health_facts facts_of(const struct app *a)
{
    const struct platform_status *ps = a->platform ? platform_status(a->platform) : NULL;

    return (struct health_facts){
        .is_bound = a->control != NULL,
        .has_child = a->supervisor != NULL,
        .child_was_spawned = a->was_spawned,
        .child_is_lost = a->child_is_lost,
        .secrets_are_settled = a->may_spawn && a->secret_files_pending == 0,
        .agent_is_probed = a->cfg->agent.ready_by.kind != READY_STARTED,
        .agent_answers = a->agent_answers,
        .agent_reason = agent_side_reason(a),
        .state = life_state_name(a->life),
        .state_reason = ps && a->life == LIFE_HELD ? ps->state_why : "",
        .is_running = a->life == LIFE_RUNNING,
        .platform_is_enabled = ps != NULL,
        .is_registered = ps && ps->is_registered,
        .registration_is_required = a->cfg->platform.required,
        .platform_reason = ps ? ps->reg.last_error : "",
        .journal_problem = inbox_side_problem(a),
    };
}

bool observe_probe(void *arg, enum control_probe which, bool verbose, struct str *json)
{
    static const enum health_question question[] = {
        [CONTROL_STARTED] = HEALTH_STARTED,
        [CONTROL_READY] = HEALTH_READY,
        [CONTROL_LIVE] = HEALTH_LIVE,
        [CONTROL_AGENT] = HEALTH_AGENT,
    };
    struct health_facts f = facts_of(arg);

    return health_answer(&f, question[which], verbose, json);
}

/* ---- status
 * ----------------------------------------------------------------------------------------------------------------
 */

static void add_activity(struct json_writer *w, const char *name, const struct activity_status *s,
                         int64_t now)
{
    json_open(w, name, '{');
    json_add_int(w, "ok", (int64_t)s->ok_total);
    json_add_int(w, "failed", (int64_t)s->failed_total);
    json_add_int(w, "failures_in_a_row", s->failures);
    json_add_int(w, "last_ok_ms_ago", s->last_ok_ms ? now - s->last_ok_ms : -1);
    json_add_int(w, "next_in_ms", s->next_ms ? s->next_ms - now : -1);
    json_add_int(w, "worst_late_ms", s->worst_late_ms);
    json_add_text(w, "last_error", s->last_error);
    json_close(w, '}');
}

static void add_platform(const struct app *a, struct json_writer *w)
{
    const struct platform_status *s = a->platform ? platform_status(a->platform) : NULL;
    int64_t now = loop_now_ms(a->loop);

    json_open(w, "platform", '{');
    json_add_bool(w, "enabled", s != NULL);
    if (s) {
        json_add_text(w, "url", a->cfg->platform.url);
        json_add_bool(w, "registered", s->is_registered);
        json_add_text(w, "delivery", s->delivery);
        json_add_text(w, "workspace_state", workspace_state_name(s->state));
        json_add_text(w, "why", s->state_why);
        json_add_text(w, "token_source", s->token_source);
        json_add_text(w, "token_prefix", s->token_prefix);
        json_add_int(w, "secrets", (int64_t)s->secret_count);
        json_add_int(w, "rate_remaining", s->rate_remaining);
        add_activity(w, "register", &s->reg, now);
        add_activity(w, "heartbeat", &s->heartbeat, now);
        add_activity(w, "state", &s->state_poll, now);
        add_activity(w, "secrets_pull", &s->secrets, now);
    }
    json_close(w, '}');
}

static void add_restarts(const struct app *a, struct json_writer *w)
{
    const struct supervisor_status *s = supervisor_status(a->supervisor);
    char text[EXIT_WORDS_MAX];

    json_add_int(w, "failures_in_a_row", s->failures);
    json_add_int(w, "failures_max", a->cfg->restart.max);
    json_add_bool(w, "crash_loop", outage_is_crash_loop(a));
    json_add_int(w, "next_start_in_ms",
                 s->next_start_ms ? s->next_start_ms - loop_now_ms(a->loop) : -1);
    json_add_text(w, "last_exit", a->has_exit ? exit_in_words(&a->last_exit, text) : NULL);
    json_add_text(w, "last_failure", a->outage.last);
    if (a->cfg->log.child == LOG_CHILD_WRAP) {
        json_add_int(w, "output_lines", (int64_t)s->output_lines);
        json_add_int(w, "output_lines_dropped", (int64_t)s->output_dropped);
    }
}

static void add_agent(const struct app *a, struct json_writer *w)
{
    int64_t now = loop_now_ms(a->loop);

    json_open(w, "agent", '{');
    json_add_text(w, "mode", a->supervisor ? "wrapper" : "sidecar");
    json_add_text(w, "address", a->cfg->agent.address.text);
    json_add_bool(w, "answers", a->agent_answers);
    json_add_text(w, "reason", agent_side_reason(a));
    json_add_text(w, "says", a->start.says);
    if (a->supervisor) {
        const struct supervisor_status *s = supervisor_status(a->supervisor);

        json_add_text(w, "process", child_state_name(s->state));
        json_add_int(w, "pid", s->pid);
        json_add_int(w, "uptime_ms", s->pid && s->spawned_at_ms ? now - s->spawned_at_ms : 0);
        json_add_int(w, "restarts", (int64_t)s->restarts_total);
        json_add_int(w, "orphans_reaped", (int64_t)s->orphans_reaped_total);
        json_add_text(w, "orphans_often", s->orphans_often);
        add_restarts(a, w);
    }
    json_close(w, '}');
}

static void add_tls(const struct app *a, struct json_writer *w)
{
    const struct tls_status *s = a->tls ? tls_context_status(a->tls) : NULL;
    char when[TLS_TIME_TEXT_MAX];

    json_add_text(w, "scheme", s ? "https" : "http");
    if (s) {
        json_open(w, "certificate", '{');
        json_add_text(w, "subject", s->facts.subject);
        json_add_text(w, "not_after", tls_time_text(s->facts.not_after, when));
        json_add_bool(w, "asks_clients", s->asks_client);
        json_add_int(w, "loads", (int64_t)s->loads_total);
        json_add_int(w, "failed_loads", (int64_t)s->failures_total);
        json_close(w, '}');
    }
}

static void add_forward(const struct app *a, struct json_writer *w)
{
    const struct proxy_stats *s = proxy_stats(a->proxy);
    int64_t now = loop_now_ms(a->loop);
    struct proxy_work work;

    proxy_work(a->proxy, &work);
    json_open(w, "forward", '{');
    json_add_text(w, "listen", a->a2a ? server_address(a->a2a)->text : NULL);
    json_add_int(w, "in_flight", (int64_t)s->in_flight);
    json_add_int(w, "streams", (int64_t)s->streams);
    json_add_int(w, "held", (int64_t)s->held);
    json_add_int(w, "uploads", (int64_t)s->uploads);
    json_add_int(w, "streams_finished", (int64_t)s->streams_finished);
    json_add_int(w, "forwarded", (int64_t)s->forwarded_total);
    json_add_int(w, "shed", (int64_t)s->shed_total);
    json_add_int(w, "waited_for", (int64_t)work.count);
    json_add_text(w, "longest", work.longest);
    json_add_int(w, "longest_ms", work.longest_since_ms ? now - work.longest_since_ms : 0);
    json_add_int(w, "deduped", (int64_t)s->deduped_total);
    json_add_number(w, "error_rate_60s", window_failure_rate(&s->agent_window, now));
    json_add_text(w, "last_failure", s->last_failure);
    add_tls(a, w);
    json_close(w, '}');
}

void observe_status(void *arg, struct str *json)
{
    const struct app *a = arg;
    struct json_writer w = {.out = json};

    json_open(&w, NULL, '{');
    json_add_text(&w, "version", build_facts.version);
    json_add_int(&w, "pid", getpid());
    json_add_text(&w, "state", life_state_name(a->life));
    json_add_int(&w, "uptime_ms", loop_now_ms(a->loop) - a->started_ms);
    json_add_text(&w, "workspace", a->cfg->workspace.id);
    add_agent(a, &w);
    add_platform(a, &w);
    add_forward(a, &w);
    inbox_side_status(a, &w);
    json_open(&w, "stop", '{');
    json_add_text(&w, "phase", stop_phase_name(a->stopping.phase));
    json_add_int(&w, "grace_ms", a->budget.grace);
    json_add_int(&w, "left_ms",
                 stopping_is_on(&a->stopping) ? stopping_left_ms(&a->stopping) : a->budget.grace);
    json_close(&w, '}');
    json_open(&w, "doors", '{');
    json_add_text(&w, "admin", control_admin_address(a->control));
    json_add_text(&w, "control", a->cfg->control.socket);
    json_add_text(&w, "agent_api", a->cfg->control.agent_socket);
    json_close(&w, '}');
    json_add_int(&w, "log_lines_dropped", (int64_t)log_dropped());
    json_close(&w, '}');
    str_addz(json, "\n");
}

void observe_self(void *arg, struct str *json)
{
    const struct app *a = arg;
    const struct platform_status *s = a->platform ? platform_status(a->platform) : NULL;
    struct json_writer w = {.out = json};

    json_open(&w, NULL, '{');
    json_add_text(&w, "workspace_id", a->cfg->workspace.id);
    json_add_text(&w, "parent_id", a->cfg->workspace.parent_id);
    json_add_text(&w, "platform_url", s ? a->cfg->platform.url : NULL);
    json_add_bool(&w, "registered", s && s->is_registered);
    json_add_text(&w, "workspace_state", s ? workspace_state_name(s->state) : NULL);
    json_add_text(&w, "state", life_state_name(a->life));
    json_add_text(&w, "public_url", a->cfg->listen.public_url);
    json_close(&w, '}');
    str_addz(json, "\n");
}

/* ---- metrics
 * ----------------------------------------------------------------------------------------------------------------
 */

static void add_labelled(struct str *out, const char *name, const char *label, const char *value,
                         uint64_t n)
{
    struct str labels = {0};

    metrics_label(&labels, label, value);
    metrics_count(out, name, str_z(&labels), n);
    str_release(&labels);
}

static void add_build_and_state(const struct app *a, struct str *out)
{
    struct str labels = {0};

    metrics_label(&labels, "version", build_facts.version);
    metrics_label(&labels, "revision", build_facts.revision);
    metrics_label(&labels, "compiler", build_facts.compiler);
    metrics_family(out, "molecule_sidecar_build_info", "gauge",
                   "What this binary was built from; the value is always 1.");
    metrics_count(out, "molecule_sidecar_build_info", str_z(&labels), 1);
    str_release(&labels);

    metrics_family(out, "molecule_sidecar_state", "gauge", "1 for the state the sidecar is in.");
    for (int s = 0; s < LIFE_STATE_COUNT; s++) {
        add_labelled(out, "molecule_sidecar_state", "state", life_state_name((enum life_state)s),
                     a->life == (enum life_state)s);
    }
    metrics_gauge(out, "molecule_sidecar_uptime_seconds", "Since the sidecar was started.",
                  (double)(loop_now_ms(a->loop) - a->started_ms) / 1000.0);
    metrics_gauge(out, "molecule_sidecar_agent_answers",
                  "1 while the agent answers its health check.", a->agent_answers);
    metrics_counter(out, "molecule_sidecar_log_lines_dropped_total",
                    "Log lines lost because stderr did not take them.", log_dropped());
}

static void add_requests(const struct app *a, struct str *out)
{
    const struct proxy_stats *s = proxy_stats(a->proxy);
    struct proxy_work work;
    const struct {
        const char *word;
        uint64_t n;
    } outcomes[] = {
        {"ok", s->outcome_ok},
        {"local", s->outcome_local},
        {"refused", s->outcome_refused},
        {"client_gone", s->outcome_client_gone},
        {"agent_unavailable", s->outcome_agent_unavailable},
        {"connection_lost", s->outcome_connection_lost},
        {"bad_response", s->outcome_bad_response},
        {"timeout", s->outcome_timeout},
        {"paused", s->outcome_paused},
        {"draining", s->outcome_draining},
        {"overloaded", s->outcome_overloaded},
    };

    metrics_family(out, "molecule_sidecar_requests_total", "counter",
                   "Finished requests on the A2A port by outcome.");
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        add_labelled(out, "molecule_sidecar_requests_total", "outcome", outcomes[i].word,
                     outcomes[i].n);
    }
    metrics_counter(out, "molecule_sidecar_requests_deduped_total",
                    "Repeated requests that got the first one's answer.", s->deduped_total);
    metrics_gauge(out, "molecule_sidecar_requests_in_flight", "Requests with the agent now.",
                  (double)s->in_flight);
    metrics_gauge(out, "molecule_sidecar_requests_held",
                  "Requests that wait for the agent or for their turn now.", (double)s->held);
    proxy_work(a->proxy, &work);
    metrics_gauge(
        out, "molecule_sidecar_work",
        "What a drain waits for: requests in flight and held, and uploads, without streams of "
        "finished tasks.",
        (double)work.count);
    metrics_gauge(out, "molecule_sidecar_work_longest_seconds",
                  "How long the oldest of it has been here; 0 without any.",
                  work.longest_since_ms
                      ? (double)(loop_now_ms(a->loop) - work.longest_since_ms) / 1000.0
                      : 0.0);
    metrics_gauge(out, "molecule_sidecar_streams", "Open event streams.", (double)s->streams);
    metrics_gauge(out, "molecule_sidecar_streams_finished",
                  "Of those: streams whose task is finished.", (double)s->streams_finished);
    metrics_counter(out, "molecule_sidecar_streams_ended_total",
                    "Streams of finished tasks that were ended by a drain.",
                    s->streams_ended_total);
    metrics_counter(out, "molecule_sidecar_hold_timeouts_total",
                    "Held requests that were answered 503.", s->hold_timeouts_total);
    metrics_counter(out, "molecule_sidecar_requests_shed_total",
                    "Requests whose connection was closed instead of a 503 (forward.shed).",
                    s->shed_total);
    metrics_counter(out, "molecule_sidecar_upstream_connects_total",
                    "Connections made to the agent.", s->upstream_connects_total);
    metrics_counter(out, "molecule_sidecar_upstream_reused_total",
                    "Requests sent on a kept connection.", s->upstream_reused_total);
    if (a->a2a) {
        const struct server_stats *v = server_stats(a->a2a);

        metrics_family(out, "molecule_sidecar_request_duration_seconds", "histogram",
                       "From a request's complete head to its answer's end.");
        metrics_histogram(out, "molecule_sidecar_request_duration_seconds", "", &v->latency);
        metrics_gauge(out, "molecule_sidecar_connections", "Open client connections.",
                      (double)v->connections);
        metrics_counter(out, "molecule_sidecar_connections_total", "Client connections accepted.",
                        v->connections_total);
        metrics_counter(out, "molecule_sidecar_bad_requests_total",
                        "Requests refused for what they were.", v->refused_total);
    }
}

static void add_tls_metrics(const struct app *a, struct str *out)
{
    const struct tls_status *s = a->tls ? tls_context_status(a->tls) : NULL;
    const struct server_stats *v = a->a2a ? server_stats(a->a2a) : NULL;
    int64_t end;

    if (!s || !v) {
        return;
    }
    end = s->facts.not_after > 0 ? s->facts.not_after : 0;
    metrics_family(out, "molecule_sidecar_tls_certificate_not_after_seconds", "gauge",
                   "When the listener's certificate expires, in seconds since 1970.");
    metrics_count(out, "molecule_sidecar_tls_certificate_not_after_seconds", "", (uint64_t)end);
    metrics_counter(out, "molecule_sidecar_tls_certificate_load_failures_total",
                    "Times that changed TLS files did not load.", s->failures_total);
    metrics_counter(out, "molecule_sidecar_tls_handshakes_total", "TLS handshakes that worked.",
                    v->tls_total);
    metrics_counter(out, "molecule_sidecar_tls_handshake_failures_total",
                    "TLS handshakes that failed, plain HTTP on the TLS port included.",
                    v->tls_failed_total);
}

static void add_process(const struct app *a, struct str *out)
{
    const struct supervisor_status *s;

    if (!a->supervisor) {
        return;
    }
    s = supervisor_status(a->supervisor);
    metrics_counter(out, "molecule_sidecar_agent_starts_total",
                    "Times the agent's process was started.", s->spawned_total);
    metrics_counter(out, "molecule_sidecar_agent_restarts_total", "Times it was started again.",
                    s->restarts_total);
    if (a->cfg->log.child == LOG_CHILD_WRAP) {
        metrics_counter(out, "molecule_sidecar_agent_output_lines_total",
                        "Lines of the agent that went into the log (log.child: wrap).",
                        s->output_lines);
        metrics_counter(out, "molecule_sidecar_agent_output_dropped_lines_total",
                        "Lines of the agent lost because stderr did not take them.",
                        s->output_dropped);
    }
    metrics_gauge(out, "molecule_sidecar_agent_failures_in_a_row",
                  "Times it failed since it last ran stably.", (double)s->failures);
    metrics_gauge(out, "molecule_sidecar_agent_crash_loop",
                  "1 while it fails again and again; the platform is told error_rate 1.",
                  outage_is_crash_loop(a));
    metrics_counter(out, "molecule_sidecar_reaped_children_total", "Orphans reaped.",
                    s->orphans_reaped_total);
}

static void add_platform_metrics(const struct app *a, struct str *out)
{
    const struct platform_status *s = a->platform ? platform_status(a->platform) : NULL;
    int64_t now = loop_now_ms(a->loop);

    if (!s) {
        return;
    }
    const struct {
        const char *word;
        const struct activity_status *s;
    } calls[] = {{"register", &s->reg},
                 {"heartbeat", &s->heartbeat},
                 {"state", &s->state_poll},
                 {"secrets", &s->secrets}};

    metrics_gauge(out, "molecule_sidecar_registered", "1 while registered with the platform.",
                  s->is_registered);
    metrics_counter(out, "molecule_sidecar_registrations_total",
                    "Registrations the platform took; calls of `register` count card updates too.",
                    s->registrations_total);
    metrics_family(out, "molecule_sidecar_platform_calls_total", "counter",
                   "Calls to the platform that worked.");
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        add_labelled(out, "molecule_sidecar_platform_calls_total", "call", calls[i].word,
                     calls[i].s->ok_total);
    }
    metrics_family(out, "molecule_sidecar_platform_failures_total", "counter",
                   "Calls to the platform that failed.");
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        add_labelled(out, "molecule_sidecar_platform_failures_total", "call", calls[i].word,
                     calls[i].s->failed_total);
    }
    metrics_gauge(out, "molecule_sidecar_heartbeat_age_seconds",
                  "Since the last heartbeat the platform took; -1 before the first.",
                  s->heartbeat.last_ok_ms ? (double)(now - s->heartbeat.last_ok_ms) / 1000.0
                                          : -1.0);
    metrics_gauge(out, "molecule_sidecar_heartbeat_late_seconds",
                  "The latest that a due heartbeat was begun, so far.",
                  (double)s->heartbeat.worst_late_ms / 1000.0);
}

void observe_metrics(void *arg, struct str *text)
{
    const struct app *a = arg;

    add_build_and_state(a, text);
    add_requests(a, text);
    add_tls_metrics(a, text);
    add_process(a, text);
    add_platform_metrics(a, text);
    inbox_side_metrics(a, text);
}
