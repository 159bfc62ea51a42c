/*
 * The table of checks and the four questions over it. Gathering the facts is app/'s work, serving
 * the answer control/'s.
 */
#include "health/health.h"

#include "base/cleanup.h"

#include <stddef.h>
#include <string.h>

enum {
    STARTED = 1 << HEALTH_STARTED,
    READY = 1 << HEALTH_READY,
    LIVE = 1 << HEALTH_LIVE,
    AGENT = 1 << HEALTH_AGENT
};

/* NULL = fine, else the reason in words. */
typedef const char *check_fn(const struct health_facts *f);

static const char *check_listeners(const struct health_facts *f)
{
    return f->is_bound ? NULL : "the listeners are not bound yet";
}

static const char *check_process(const struct health_facts *f)
{
    if (!f->has_child || f->child_was_spawned) {
        return NULL;
    }
    return "the agent's process has not been started yet";
}

static const char *check_secrets(const struct health_facts *f)
{
    return f->secrets_are_settled ? NULL : "waiting for the first secrets (secrets.start_wait)";
}

static const char *check_not_lost(const struct health_facts *f)
{
    return f->child_is_lost ? "the agent ended and will not be started again" : NULL;
}

static const char *check_agent(const struct health_facts *f)
{
    if (!f->agent_is_probed || f->agent_answers) {
        return NULL;
    }
    return f->agent_reason[0] ? f->agent_reason : "the agent has not answered yet";
}

static const char *check_state(const struct health_facts *f)
{
    if (f->is_running) {
        return NULL;
    }
    return f->state_reason && f->state_reason[0] ? f->state_reason : f->state;
}

static const char *check_registration(const struct health_facts *f)
{
    if (!f->platform_is_enabled || f->is_registered) {
        return NULL;
    }
    return f->platform_reason[0] ? f->platform_reason : "not registered with the platform yet";
}

/* Requests pass all the same, and another instance would have the same disk. */
static const char *check_journal(const struct health_facts *f)
{
    return f->journal_problem && f->journal_problem[0] ? f->journal_problem : NULL;
}

static const struct check {
    const char *name;
    check_fn *fn;
    int counts_for;         /* questions */
    int counts_if_required; /* questions, with platform.required */
} checks[] = {
    {"listeners", check_listeners, STARTED | READY, 0},
    {"process", check_process, STARTED | READY, 0},
    {"secrets", check_secrets, STARTED, 0},
    {"agent_not_lost", check_not_lost, READY | LIVE | AGENT, 0},
    {"agent_answers", check_agent, READY | AGENT, 0},
    {"state", check_state, READY, 0},
    {"registration", check_registration, 0, READY},
    {"journal", check_journal, 0, 0},
};
enum { CHECK_COUNT = sizeof(checks) / sizeof(checks[0]) };

static bool counts(const struct check *c, const struct health_facts *f, enum health_question q)
{
    int mask = c->counts_for | (f->registration_is_required ? c->counts_if_required : 0);

    return (mask & (1 << q)) != 0;
}

static void add_reasons(const struct health_facts *f, enum health_question q, struct str *json)
{
    bool is_first = true;

    str_addz(json, ",\"reasons\":[");
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        const char *reason = checks[i].fn(f);

        if (!reason || !counts(&checks[i], f, q)) {
            continue;
        }
        if (!is_first) {
            str_addz(json, ",");
        }
        is_first = false;
        CLEANUP(str_release) struct str line = {0};
        str_addf(&line, "%s: %s", checks[i].name, reason);
        str_add_json(json, str_slice(&line));
    }
    str_addz(json, "]");
}

static void add_checks(const struct health_facts *f, enum health_question q, struct str *json)
{
    str_addz(json, ",\"checks\":[");
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        const char *reason = checks[i].fn(f);

        str_addf(json, "%s{\"name\":\"%s\",\"ok\":%s,\"counts\":%s,\"reason\":", i ? "," : "",
                 checks[i].name, reason ? "false" : "true",
                 counts(&checks[i], f, q) ? "true" : "false");
        str_add_json(json, slice_of(reason ? reason : ""));
        str_addz(json, "}");
    }
    str_addz(json, "]");
}

bool health_answer(const struct health_facts *f, enum health_question q, bool verbose,
                   struct str *json)
{
    bool ok = true;

    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (counts(&checks[i], f, q) && checks[i].fn(f)) {
            ok = false;
        }
    }
    str_addf(json, "{\"status\":\"%s\",\"state\":\"%s\"", ok ? "ok" : "fail", f->state);
    if (!ok) {
        add_reasons(f, q, json);
    }
    if (verbose) {
        add_checks(f, q, json);
    }
    str_addz(json, "}");
    return ok;
}

bool health_question_by_name(const char *name, enum health_question *ret)
{
    static const char *const names[HEALTH_QUESTION_COUNT] = {
        [HEALTH_STARTED] = "started",
        [HEALTH_READY] = "ready",
        [HEALTH_LIVE] = "live",
        [HEALTH_AGENT] = "agent",
    };

    for (int q = 0; q < HEALTH_QUESTION_COUNT; q++) {
        if (strcmp(name, names[q]) == 0) {
            *ret = (enum health_question)q;
            return true;
        }
    }
    return false;
}
