/*
 * status: the control socket's JSON, as it is or in words.
 */
#include "app/exits.h"
#include "base/json_read.h"
#include "base/parse.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"

#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WATCH_INTERVAL_MS = 1000 };

static const char help[] = "Usage: molecule-sidecar status [--json] [--watch] [flags]\n\n"
                           "What the running sidecar does, from its control socket.\n"
                           "  --json    the whole status as JSON\n"
                           "  --watch   again every second, until interrupted\n";

static json_object *at(json_object *o, const char *section, const char *key)
{
    json_object *s = NULL;
    json_object *v = NULL;

    if (section && !json_object_object_get_ex(o, section, &s)) {
        return NULL;
    }
    return json_object_object_get_ex(section ? s : o, key, &v) ? v : NULL;
}

static const char *text(json_object *o, const char *section, const char *key)
{
    json_object *v = at(o, section, key);
    const char *z = v ? json_object_get_string(v) : NULL;

    return z ? z : "-";
}

static int64_t number(json_object *o, const char *section, const char *key)
{
    json_object *v = at(o, section, key);

    return v ? json_object_get_int64(v) : 0;
}

static bool yes(json_object *o, const char *section, const char *key)
{
    json_object *v = at(o, section, key);

    return v && json_object_get_boolean(v);
}

enum { SECOND_MS = 1000, MINUTE_S = 60, HOUR_S = 60 * 60, DAY_S = 24 * HOUR_S };

/* Milliseconds as a person reads them: 350ms, 7s, 10m1s, 5h12m, 3d4h. */
static const char *ago(int64_t ms, char buf[FORMAT_MAX])
{
    long long s = ms / SECOND_MS;

    if (s < 1) {
        (void)snprintf(buf, FORMAT_MAX, "%lldms", (long long)ms);
    } else if (s < MINUTE_S) {
        (void)snprintf(buf, FORMAT_MAX, "%llds", s);
    } else if (s < HOUR_S) {
        (void)snprintf(buf, FORMAT_MAX, "%lldm%llds", s / MINUTE_S, s % MINUTE_S);
    } else if (s < DAY_S) {
        (void)snprintf(buf, FORMAT_MAX, "%lldh%lldm", s / HOUR_S, s % HOUR_S / MINUTE_S);
    } else {
        (void)snprintf(buf, FORMAT_MAX, "%lldd%lldh", s / DAY_S, s % DAY_S / HOUR_S);
    }
    return buf;
}

/* How far a crash loop has come, and when it goes on. */
static void print_failures(FILE *to, json_object *o)
{
    int64_t count = number(o, "agent", "failures_in_a_row");
    int64_t max = number(o, "agent", "failures_max");
    int64_t next = number(o, "agent", "next_start_in_ms");
    char in[FORMAT_MAX];

    if (count == 0) {
        return;
    }
    (void)fprintf(to, "\n           %s%lld failure%s in a row",
                  yes(o, "agent", "crash_loop") ? "crash loop: " : "", (long long)count,
                  count == 1 ? "" : "s");
    if (max > 0) {
        (void)fprintf(to, ", the end at %lld (restart.max)", (long long)max);
    }
    if (next >= 0) {
        (void)fprintf(to, ", next start in %s", ago(next, in));
    }
}

static void print_agent(FILE *to, json_object *o)
{
    char up[FORMAT_MAX];

    (void)fprintf(to, "agent      %s at %s",
                  yes(o, "agent", "answers") ? "answers" : "does not answer",
                  text(o, "agent", "address"));
    if (!yes(o, "agent", "answers")) {
        (void)fprintf(to, " (%s)", text(o, "agent", "reason"));
    }
    if (strcmp(text(o, "agent", "mode"), "wrapper") == 0) {
        (void)fprintf(to, "\n           process %s, pid %lld, up %s, %lld restarts, last end: %s",
                      text(o, "agent", "process"), (long long)number(o, "agent", "pid"),
                      ago(number(o, "agent", "uptime_ms"), up),
                      (long long)number(o, "agent", "restarts"), text(o, "agent", "last_exit"));
        print_failures(to, o);
    }
    (void)fprintf(to, "\n");
}

static void print_activity(FILE *to, json_object *o, const char *name)
{
    json_object *platform = at(o, NULL, "platform");
    char when[FORMAT_MAX];
    int64_t last = number(platform, name, "last_ok_ms_ago");

    (void)fprintf(
        to, "           %-12s %lld ok, %lld failed, last %s%s%s%s\n", name,
        (long long)number(platform, name, "ok"), (long long)number(platform, name, "failed"),
        last < 0 ? "never" : ago(last, when), last < 0 ? "" : " ago",
        number(platform, name, "failures_in_a_row") ? "; now failing: " : "",
        number(platform, name, "failures_in_a_row") ? text(platform, name, "last_error") : "");
}

static void print_platform(FILE *to, json_object *o)
{
    static const char *const activities[] = {"register", "heartbeat", "state", "secrets_pull"};

    if (!yes(o, "platform", "enabled")) {
        (void)fprintf(to, "platform   off (platform.enabled false)\n");
        return;
    }
    (void)fprintf(to, "platform   %s at %s, delivery %s, workspace %s\n",
                  yes(o, "platform", "registered") ? "registered" : "not registered",
                  text(o, "platform", "url"), text(o, "platform", "delivery"),
                  text(o, "platform", "workspace_state"));
    if (text(o, "platform", "token_source")[0] == '\0') {
        (void)fprintf(to, "           no token yet\n");
    } else {
        (void)fprintf(to, "           token from %s, begins %s...\n",
                      text(o, "platform", "token_source"), text(o, "platform", "token_prefix"));
    }
    for (size_t i = 0; i < sizeof(activities) / sizeof(activities[0]); i++) {
        print_activity(to, o, activities[i]);
    }
}

/* What a drain would wait for, or waits for. */
static void print_work(FILE *to, json_object *o)
{
    int64_t count = number(o, "forward", "waited_for");
    char since[FORMAT_MAX];

    if (count > 0) {
        (void)fprintf(to, "           %lld waited for, the longest for %s: %s\n", (long long)count,
                      ago(number(o, "forward", "longest_ms"), since),
                      text(o, "forward", "longest"));
    }
}

static void print_certificate(FILE *to, json_object *o)
{
    json_object *forward = at(o, NULL, "forward");

    if (!at(o, "forward", "certificate")) {
        return;
    }
    (void)fprintf(to, "           https, certificate of %s, valid until %s%s%s\n",
                  text(forward, "certificate", "subject"),
                  text(forward, "certificate", "not_after"),
                  yes(forward, "certificate", "asks_clients") ? "; clients must show one" : "",
                  number(forward, "certificate", "failed_loads")
                      ? "; a newer one did not load, the log says why"
                      : "");
}

/* Polled messages. */
static void print_inbox(FILE *to, json_object *o)
{
    json_object *in = at(o, NULL, "inbox");
    char age[FORMAT_MAX];

    if (!in || !yes(o, "inbox", "enabled")) {
        return;
    }
    (void)fprintf(to, "inbox      %lld waiting, %lld in work, %lld answered; %s%s\n",
                  (long long)number(o, "inbox", "waiting"),
                  (long long)number(o, "inbox", "in_work"),
                  (long long)number(o, "inbox", "answered"),
                  yes(o, "inbox", "stream") ? "told by the event stream" : "asking now and then",
                  number(o, "inbox", "failures_in_a_row") ? "; fetching fails" : "");
    if (number(o, "inbox", "oldest_waiting_ms") > 0) {
        (void)fprintf(to, "           the oldest waits for %s\n",
                      ago(number(o, "inbox", "oldest_waiting_ms"), age));
    }
    if (number(o, "inbox", "parked") + number(o, "inbox", "dead") > 0) {
        (void)fprintf(to, "           %lld parked, %lld dead: molecule-sidecar inbox list\n",
                      (long long)number(o, "inbox", "parked"),
                      (long long)number(o, "inbox", "dead"));
    }
    if (number(o, "inbox", "failures_in_a_row") > 0) {
        (void)fprintf(to, "           %s\n", text(o, "inbox", "last_error"));
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const keys[] = {"problem", "notice", "other_sidecar"};

        if (strcmp(text(o, "inbox", keys[i]), "-") != 0) {
            (void)fprintf(to, "           %s\n", text(o, "inbox", keys[i]));
        }
    }
}

static void print_words(FILE *to, json_object *o)
{
    char t[FORMAT_MAX];
    char u[FORMAT_MAX];

    (void)fprintf(to, "sidecar    %s, pid %lld, up %s, version %s\n", text(o, NULL, "state"),
                  (long long)number(o, NULL, "pid"), ago(number(o, NULL, "uptime_ms"), t),
                  text(o, NULL, "version"));
    (void)fprintf(to, "workspace  %s\n", text(o, NULL, "workspace"));
    print_agent(to, o);
    print_platform(to, o);
    (void)fprintf(
        to,
        "requests   %lld in flight (%lld streams), %lld held, %lld forwarded; listening on %s\n",
        (long long)number(o, "forward", "in_flight"), (long long)number(o, "forward", "streams"),
        (long long)number(o, "forward", "held"), (long long)number(o, "forward", "forwarded"),
        text(o, "forward", "listen"));
    print_work(to, o);
    print_certificate(to, o);
    if (strcmp(text(o, "forward", "last_failure"), "-") != 0) {
        (void)fprintf(to, "           last failure: %s\n", text(o, "forward", "last_failure"));
    }
    print_inbox(to, o);
    (void)fprintf(to, "stop       phase %s, %s of %s left\n", text(o, "stop", "phase"),
                  ago(number(o, "stop", "left_ms"), t),
                  format_duration(number(o, "stop", "grace_ms"), u));
    (void)fprintf(to, "doors      admin %s, control %s, agent %s\n", text(o, "doors", "admin"),
                  text(o, "doors", "control"), text(o, "doors", "agent_api"));
}

/* Gathered first: reasons and last errors repeat what others have said. */
static int say(json_object *o)
{
    char *p = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&p, &n);
    bool ok = to != NULL;

    if (to) {
        print_words(to, o);
        ok = fclose(to) == 0;
    }
    if (ok) {
        cmd_print_text(stdout, (struct slice){p, n});
    }
    free(p);
    return ok ? EXIT_OK : cmd_fail(EXIT_INTERNAL, "out of memory");
}

static int ask_once(const struct config *cfg, bool as_json)
{
    struct talk_answer answer = {0};
    struct err err = {0};
    int status = EXIT_OK;

    if (talk_control(cfg, "GET", "/v1/status", TALK_TIMEOUT_MS, &answer, &err) < 0) {
        str_release(&answer.body);
        return cmd_fail(EXIT_NO, "%s", err.msg);
    }
    if (as_json) {
        (void)fputs(str_z(&answer.body), stdout);
    } else {
        json_object *o = json_read(str_slice(&answer.body));

        if (o) {
            status = say(o);
            json_object_put(o);
        } else {
            status = cmd_fail(EXIT_NO, "what answered at %s is no sidecar of this version",
                              cfg->control.socket);
        }
    }
    (void)fflush(stdout);
    str_release(&answer.body);
    return status;
}

int cmd_status(int argc, char **argv)
{
    bool as_json = false;
    bool again = false;
    const struct cmd_option options[] = {{"--json", &as_json, NULL}, {"--watch", &again, NULL}};
    struct config *cfg = NULL;
    int status = cmd_load_running(argc, argv, options, 2, help, &cfg);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (talk_several(cfg)) {
        (void)cmd_fail(0,
                       "more than one sidecar runs here, this is the newest; --control-socket or "
                       "WORKSPACE_ID chooses: %s",
                       talk_several(cfg));
    }
    do {
        status = ask_once(cfg, as_json);
    } while (again && status == EXIT_OK && printf("\n") > 0 &&
             poll(NULL, 0, WATCH_INTERVAL_MS) == 0);
    config_free(cfg);
    return status;
}
