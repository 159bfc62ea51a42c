/*
 * Reading the configuration again while we run: SIGHUP, `reload`. What may change does, what may
 * not is named, and a file with a mistake changes nothing.
 *
 * The files are read on the loop, as at the start: they are local and have some kilobytes, and a
 * reload is a rare act of the operator's. The struct that everybody points to stays the same one
 * (config/reload.h).
 */
#include "app/reload.h"

#include "app/parts.h"
#include "app/watchdog.h"
#include "base/cleanup.h"
#include "base/json_write.h"
#include "config/reload.h"
#include "log/log.h"

#include <assert.h>
#include <string.h>

/* Who keeps a copy of a value and must be told. Nobody: it is read when it is used. */
enum {
    TELL_NOBODY = 0,
    TELL_LOG = 1 << 0,
    TELL_PLATFORM = 1 << 1,
    TELL_PROBE = 1 << 2,
    TELL_SUPERVISOR = 1 << 3,
    TELL_PROXY = 1 << 4,
    TELL_STOP = 1 << 5,
    TELL_INBOX = 1 << 6,
};

#define NEXT_BEAT  "with the next heartbeat"
#define NEXT_START "at the agent's next start"
#define NEXT_EXIT  "when the agent ends the next time"

/* Every key that is live in config/table.c, and no other: a test compares. */
static const struct {
    const char *key;
    unsigned tell;
    const char *when;
} live_keys[] = {
    {"platform.heartbeat_interval", TELL_NOBODY, NEXT_BEAT},
    {"platform.state_interval", TELL_NOBODY, "with the next question for the state"},
    {"platform.poll_interval", TELL_INBOX, "with the next fetch"},
    {"platform.required", TELL_NOBODY, "now"},
    {"platform.on_paused", TELL_NOBODY, "at the next change of the state"},
    {"platform.on_removed", TELL_NOBODY, "at the next change of the state"},
    {"platform.max_iterations", TELL_NOBODY, NEXT_BEAT},
    {"agent.start_timeout", TELL_SUPERVISOR, NEXT_START},
    {"agent.on_start_timeout", TELL_SUPERVISOR, "now"},
    {"agent.health_interval", TELL_PROBE, "with the next health check"},
    {"agent.health_failures", TELL_PROBE, "with the next health check"},
    {"agent.env", TELL_NOBODY, NEXT_START},
    {"agent.env_remove", TELL_NOBODY, NEXT_START},
    {"agent.env_file", TELL_NOBODY, NEXT_START},
    {"agent.pass_token", TELL_NOBODY, NEXT_START},
    {"listen.trusted_proxies", TELL_PROXY, "now"},
    {"listen.allow_sources", TELL_PROXY, "with the next request"},
    {"listen.cors_origins", TELL_NOBODY, "with the next request"},
    {"listen.inbound_auth", TELL_NOBODY, "with the next request"},
    {"admin.drain_path", TELL_NOBODY, "now"},
    {"forward.hold_max", TELL_NOBODY, "now"},
    {"forward.hold_timeout", TELL_PROXY, "now"},
    {"forward.max_in_flight", TELL_PROXY, "now"},
    {"forward.response_timeout", TELL_PROXY, "with the next request"},
    {"forward.keepalive_interval", TELL_PROXY, "with the next request"},
    {"forward.shed", TELL_NOBODY, "now"},
    {"forward.via", TELL_NOBODY, "with the next request"},
    {"stop.grace", TELL_STOP, "now"},
    {"stop.drain_delay", TELL_STOP, "now"},
    {"stop.drain_timeout", TELL_STOP, "now"},
    {"stop.agent_grace", TELL_STOP, "now"},
    {"stop.reserve", TELL_STOP, "now"},
    {"stop.order", TELL_STOP, "now"},
    {"stop.success_codes", TELL_SUPERVISOR, "now"},
    {"restart.policy", TELL_SUPERVISOR, NEXT_EXIT},
    {"restart.backoff", TELL_SUPERVISOR, NEXT_EXIT},
    {"restart.backoff_max", TELL_SUPERVISOR, NEXT_EXIT},
    {"restart.reset_after", TELL_SUPERVISOR, NEXT_EXIT},
    {"restart.max", TELL_SUPERVISOR, NEXT_EXIT},
    {"secrets.refresh", TELL_PLATFORM, "with the next pull"},
    {"secrets.on_change", TELL_NOBODY, "now"},
    {"secrets.signal", TELL_NOBODY, "now"},
    {"inbox.max_attempts", TELL_INBOX, "at the next failure"},
    {"inbox.retry_max", TELL_INBOX, "at the next failure"},
    {"inbox.task_timeout", TELL_INBOX, "with the next look at a task"},
    {"inbox.concurrency", TELL_INBOX, "now"},
    {"inbox.peer_markers", TELL_INBOX, "with the next message"},
    {"inbox.peer_replies", TELL_INBOX, "with the next answer"},
    {"inbox.on_unknown", TELL_INBOX, "with the next answer"},
    {"log.level", TELL_LOG, "now"},
    {"log.format", TELL_LOG, "now"},
};
enum { LIVE_COUNT = sizeof(live_keys) / sizeof(live_keys[0]) };

static int find(const char *key)
{
    for (int i = 0; i < LIVE_COUNT; i++) {
        if (strcmp(live_keys[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

const char *reload_when(const char *key)
{
    int i = find(key);

    return i < 0 ? NULL : live_keys[i].when;
}

/* ---- one reload
 * ---------------------------------------------------------------------------------------------------------
 */

struct reload {
    struct app *a;
    struct config *next; /* the old values, once they have moved */
    struct budget budget;
    struct config_report report;
    struct config_changes changes;
    struct str words[CONFIG_CHANGES_MAX]; /* one sentence each */
};

/* Is what stands there now fit to run with? Nothing is changed. 0 or -errno, errors in the report.
 */
static int read_again(struct reload *r)
{
    struct err err = {0};
    struct stop_sequence wanted;
    int code = config_load(r->a->again, &r->next, &r->report);

    if (code < 0) {
        return code;
    }
    /* with the signals that are in force: a new list waits for a restart */
    wanted = r->next->stop.signal;
    r->next->stop.signal = r->a->cfg->stop.signal;
    code = budget_compute(r->next, &r->budget, &err);
    r->next->stop.signal = wanted;
    if (code == 0) {
        code = proxy_check(r->next, &err);
    }
    if (code < 0) {
        str_addz(&r->report.errors[r->report.error_count++], err.msg); /* the load left it empty */
    }
    return code;
}

static void describe(struct reload *r)
{
    config_compare(r->a->cfg, r->next, &r->changes);
    for (size_t i = 0; i < r->changes.n; i++) {
        const struct config_change *c = &r->changes.v[i];
        const char *when = reload_when(c->key);

        config_describe_change(r->a->cfg, r->next, c, &r->words[i]);
        assert(!c->can_move || when);
        if (c->can_move) {
            str_addf(&r->words[i], " (%s)", when);
        } else {
            str_addz(&r->words[i], " needs a restart");
        }
    }
}

static void tell(const struct reload *r, unsigned whom)
{
    struct app *a = r->a;
    const struct config *c = a->cfg;

    if (whom & TELL_LOG) {
        log_init(c->log.level, c->log.format);
    }
    if ((whom & TELL_PLATFORM) && a->platform) {
        platform_configure(a->platform);
    }
    if ((whom & TELL_PROBE) && a->probe) {
        probe_configure(a->probe, c->agent.health_interval, c->agent.health_failures);
    }
    if ((whom & TELL_SUPERVISOR) && a->supervisor) {
        agent_side_configure(a);
    }
    if (whom & TELL_PROXY) {
        proxy_configure(a->proxy);
    }
    if ((whom & TELL_INBOX) && a->inbox) {
        inbox_configure(a->inbox);
    }
    if (whom & TELL_STOP) {
        a->budget = r->budget;
        stopping_configure(&a->stopping, &a->budget, c->stop.order);
    }
}

static void take_over(struct reload *r)
{
    unsigned whom = 0;

    for (size_t i = 0; i < r->changes.n; i++) {
        if (r->changes.v[i].can_move) {
            whom |= live_keys[find(r->changes.v[i].key)].tell;
        }
    }
    config_move(r->a->live, r->next, &r->changes);
    tell(r, whom);
    if (whom & TELL_SUPERVISOR) {
        watchdog_say(r->a);
    }
}

/* ---- telling what came of it
 * ------------------------------------------------------------------------------------------ */

static void say(const struct reload *r, bool is_done)
{
    size_t moved = 0;

    for (size_t i = 0; i < r->report.warning_count; i++) {
        log_warning("config", "%s", str_z(&r->report.warnings[i]));
    }
    for (size_t i = 0; i < r->report.error_count; i++) {
        log_error("config", "%s", str_z(&r->report.errors[i]));
    }
    for (size_t i = 0; i < r->changes.n; i++) {
        moved += r->changes.v[i].can_move;
        log_event(r->changes.v[i].can_move ? LOG_INFO : LOG_WARNING, "config", NULL, 0, "%s",
                  str_z(&r->words[i]));
    }
    if (is_done) {
        log_info("config", "read again: %zu changed, %zu waiting for a restart", moved,
                 r->changes.n - moved);
    } else {
        log_error("config", "read again and refused: nothing was changed");
    }
}

static void add_sentences(struct json_writer *w, const char *name, const struct str *v, size_t n)
{
    json_open(w, name, '[');
    for (size_t i = 0; i < n; i++) {
        json_add_text(w, NULL, str_z(&v[i]));
    }
    json_close(w, ']');
}

static void add_changes(struct json_writer *w, const char *name, const struct reload *r,
                        bool can_move)
{
    json_open(w, name, '[');
    for (size_t i = 0; i < r->changes.n; i++) {
        if (r->changes.v[i].can_move == can_move) {
            json_add_text(w, NULL, str_z(&r->words[i]));
        }
    }
    json_close(w, ']');
}

static void write_json(const struct reload *r, bool is_done, struct str *json)
{
    struct json_writer w = {.out = json};

    json_open(&w, NULL, '{');
    json_add_bool(&w, "reloaded", is_done);
    add_changes(&w, "changed", r, true);
    add_changes(&w, "needs_restart", r, false);
    add_sentences(&w, "errors", r->report.errors, r->report.error_count);
    add_sentences(&w, "warnings", r->report.warnings, r->report.warning_count);
    json_close(&w, '}');
    str_addz(json, "\n");
}

static void reload_release(struct reload *r)
{
    for (size_t i = 0; i < r->changes.n; i++) {
        str_release(&r->words[i]);
    }
    config_report_release(&r->report);
    config_free(r->next);
}

int reload_now(struct app *a, const char *who, struct str *json)
{
    struct reload r = {.a = a};
    bool is_done;

    log_info("config", "%s: reading the configuration again", who);
    if (stopping_is_on(&a->stopping)) { /* its budget runs already */
        str_addz(&r.report.errors[r.report.error_count++],
                 "the sidecar drains or stops; the configuration stays as it is");
    } else {
        if (a->was_ready) { /* before that the manager waits for READY=1 anyway */
            notify_reloading(a->notify);
        }
        if (read_again(&r) == 0) {
            describe(&r);
            take_over(&r);
        }
        if (a->tls) {
            tls_context_check(a->tls); /* what a renewed certificate's hook sends HUP for */
        }
        if (a->was_ready) {
            app_tell_ready(a);
        }
    }
    is_done = r.report.error_count == 0;
    say(&r, is_done);
    if (json) {
        write_json(&r, is_done, json);
    }
    reload_release(&r);
    return is_done ? 200 : 409;
}

void app_reload(struct app *a, const char *who)
{
    (void)reload_now(a, who, NULL); /* the log has it */
}
