/*
 * inbox: polled messages and what became of them, from the control socket; `verify` also looks at
 * the journal's file when nobody runs.
 */
#include "app/exits.h"
#include "base/cleanup.h"
#include "base/json_read.h"
#include "base/parse.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"
#include "store/journal.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* The sidecar answers within 4 s, if only with what holds it up: on a machine that has much to
     * do, that is worth waiting for. */
    ORDER_TIMEOUT_MS = 15 * 1000,
    VERIFY_TIMEOUT_MS = 10 * 60 * 1000, /* a large journal on a slow disk */
};

static const char help[] =
    "Usage: molecule-sidecar inbox [list [--state STATES]|show ROW|retry ROW|drop ROW|verify] "
    "[--json] [flags]\n\n"
    "Messages that were fetched from the platform (platform.delivery poll), from the running "
    "sidecar.\n"
    "  list      what needs somebody first: parked (nobody knows whether the answer arrived, or "
    "it was\n"
    "            refused) and dead (the agent could not take it); then what waits and is in work\n"
    "  show      one message with its request and its answer\n"
    "  retry     parked: its answer is sent again, even if that makes two; dead: the agent gets it "
    "again\n"
    "  drop      parked, dead or waiting: nothing more is done with it\n"
    "  verify    checks the journal's file; also when no sidecar runs\n"
    "  --state   only these, newest first: seen, delivered, answering, answered, parked, dead, "
    "skipped\n"
    "  --json    the answer as JSON\n";

static const struct verb {
    const char *name;
    const char *method, *path;
    bool takes_row;
    int64_t timeout_ms;
} verbs[] = {
    {"list", "GET", "/v1/inbox", false, ORDER_TIMEOUT_MS},
    {"show", "GET", "/v1/inbox/show?row=", true, ORDER_TIMEOUT_MS},
    {"retry", "POST", "/v1/inbox/retry?row=", true, ORDER_TIMEOUT_MS},
    {"drop", "POST", "/v1/inbox/drop?row=", true, ORDER_TIMEOUT_MS},
    {"verify", "POST", "/v1/inbox/verify", false, VERIFY_TIMEOUT_MS},
};

static const struct verb *verb_of(const char *name)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* ---- words
 * ---------------------------------------------------------------------------------------------------------------
 */

static const char *text(json_object *o, const char *key)
{
    json_object *v = NULL;
    const char *z = json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : NULL;

    return z ? z : "";
}

static int64_t number(json_object *o, const char *key)
{
    json_object *v = NULL;

    return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

/* On one line whatever is in it: ids and reasons repeat words of others. */
static void print_line(FILE *to, json_object *o, const char *key)
{
    char out[ESCAPE_MAX];
    struct slice rest = slice_of(text(o, key));

    for (size_t n; (n = escape_printable(&rest, out)) > 0;) {
        (void)fwrite(out, 1, n, to);
    }
}

static void print_message(FILE *to, json_object *m)
{
    char age[FORMAT_MAX];
    int64_t ms = number(m, "age_ms");

    /* whole seconds: nobody reads the rest */
    (void)fprintf(to, "%s  %-9s from %s, %s old", text(m, "row_id"), text(m, "state"),
                  text(m, "sender"), format_duration(ms < 1000 ? 0 : ms - ms % 1000, age));
    if (text(m, "step")[0] && strcmp(text(m, "step"), "done") != 0) {
        (void)fprintf(to, ", %s", text(m, "step"));
    }
    if (number(m, "attempts") + number(m, "deaths") > 0) {
        (void)fprintf(to, ", %lld failed attempts, %lld deaths with it in hand",
                      (long long)number(m, "attempts"), (long long)number(m, "deaths"));
    }
    (void)fprintf(to, "\n");
    if (text(m, "why")[0]) {
        (void)fprintf(to, "    ");
        print_line(to, m, "why");
        (void)fprintf(to, "\n");
    }
}

static void print_list(FILE *to, json_object *o)
{
    json_object *messages = NULL, *counts = NULL;

    (void)json_object_object_get_ex(o, "messages", &messages);
    (void)json_object_object_get_ex(o, "counts", &counts);
    size_t n = messages ? json_object_array_length(messages) : 0;
    for (size_t i = 0; i < n; i++) {
        print_message(to, json_object_array_get_idx(messages, i));
    }
    if (n == 0) {
        (void)fprintf(to, "nothing\n");
    }
    if (number(o, "more")) {
        (void)fprintf(to, "... and more\n");
    }
    (void)fprintf(to,
                  "%lld parked, %lld dead, %lld waiting, %lld delivered, %lld being answered, "
                  "%lld answered, %lld skipped; journal %s\n",
                  (long long)number(counts, "parked"), (long long)number(counts, "dead"),
                  (long long)number(counts, "seen"), (long long)number(counts, "delivered"),
                  (long long)number(counts, "answering"), (long long)number(counts, "answered"),
                  (long long)number(counts, "skipped"), text(o, "journal"));
    if (text(o, "problem")[0]) {
        (void)fprintf(to, "the journal: %s\n", text(o, "problem"));
    }
    if (text(o, "notice")[0]) {
        (void)fprintf(to, "the journal: %s\n", text(o, "notice"));
    }
}

static void print_one(FILE *to, json_object *o)
{
    static const char *const keys[] = {"message_id", "conversation", "context_id", "task_id",
                                       "created_at", "changed_at",   "due_at"};
    json_object *request = NULL;

    print_message(to, o);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (text(o, keys[i])[0]) {
            (void)fprintf(to, "    %s: ", keys[i]);
            print_line(to, o, keys[i]);
            (void)fprintf(to, "\n");
        }
    }
    if (json_object_object_get_ex(o, "request", &request)) {
        (void)fprintf(to, "request\n%s\n",
                      json_object_to_json_string_ext(request, JSON_C_TO_STRING_PRETTY |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    }
    if (text(o, "answer")[0]) {
        (void)fprintf(to, "answer (%lld parts arrived)\n%s\n", (long long)number(o, "parts_sent"),
                      text(o, "answer"));
    }
}

static void print_answer(FILE *to, const struct verb *v, json_object *o)
{
    if (strcmp(v->name, "list") == 0) {
        print_list(to, o);
    } else if (strcmp(v->name, "show") == 0) {
        print_one(to, o);
    } else if (strcmp(v->name, "verify") == 0) {
        (void)fprintf(to, "%s: %s\n", text(o, "journal"), text(o, "detail"));
    } else {
        (void)fprintf(to, "%s: now %s\n", text(o, "row_id"), text(o, "state"));
    }
}

/* Gathered first: it repeats what peers and agents have said. */
static void say(const struct verb *v, json_object *o)
{
    char *p = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&p, &n);

    if (to) {
        print_answer(to, v, o);
        if (fclose(to) == 0) {
            cmd_print_text(stdout, (struct slice){p, n});
        }
    }
    free(p);
}

/* ---- asking
 * --------------------------------------------------------------------------------------------------------------
 */

static int show_answer(const struct verb *v, const struct talk_answer *answer, bool as_json)
{
    json_object *o = json_read(str_slice(&answer->body));
    int status = answer->status / 100 == 2 ? EXIT_OK : EXIT_NO;

    if (as_json) {
        (void)fputs(str_z(&answer->body), stdout);
    } else if (!o) {
        status = cmd_fail(EXIT_NO, "what answered is no sidecar of this version: HTTP %d",
                          answer->status);
    } else if (status == EXIT_OK) {
        say(v, o);
    } else {
        (void)cmd_fail(0, "%s", text(o, "error")[0] ? text(o, "error") : text(o, "detail"));
    }
    if (status == EXIT_OK && strcmp(v->name, "verify") == 0 && o && !number(o, "ok")) {
        status = EXIT_NO;
    }
    json_object_put(o);
    return status;
}

/* Nobody runs: the file is looked at from here. */
static int verify_file(const struct config *cfg, bool as_json)
{
    struct err err = {0};
    bool ok = journal_verify_file(cfg->state.dir, &err) == 0;

    if (as_json) {
        CLEANUP(str_release) struct str json = {0};

        str_addf(&json, "{\"ok\":%s,\"detail\":", ok ? "true" : "false");
        str_add_json(&json, slice_of(ok ? "ok" : err.msg));
        str_addz(&json, "}\n");
        (void)fputs(str_z(&json), stdout);
        return ok ? EXIT_OK : EXIT_NO;
    }
    if (!ok) {
        return cmd_fail(EXIT_NO, "%s", err.msg);
    }
    (void)printf("%s: the journal is ok (no sidecar runs here)\n", cfg->state.dir);
    return EXIT_OK;
}

static int ask(const struct config *cfg, const struct verb *v, const char *word, bool as_json)
{
    CLEANUP(str_release) struct str path = {0};
    struct talk_answer answer = {0};
    struct err err = {0};
    int status = EXIT_OK;
    int r;

    if (talk_several(cfg)) {
        return cmd_fail(EXIT_USAGE,
                        "more than one sidecar runs here; say which one with --control-socket or "
                        "WORKSPACE_ID: %s",
                        talk_several(cfg));
    }
    str_addf(&path, "%s%s%s", v->path, !v->takes_row && word ? "?state=" : "", word ? word : "");
    r = talk_control(cfg, v->method, str_z(&path), v->timeout_ms, &answer, &err);
    if (r < 0 && strcmp(v->name, "verify") == 0) {
        status = verify_file(cfg, as_json);
    } else if (r < 0) {
        status = cmd_fail(EXIT_NO, "%s", err.msg);
    } else {
        status = show_answer(v, &answer, as_json);
    }
    str_release(&answer.body);
    return status;
}

/* What goes into the path. */
static bool is_plain(const char *word)
{
    return word[0] && strlen(word) < 100 &&
           word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789-,")] == '\0';
}

int cmd_inbox(int argc, char **argv)
{
    bool as_json = false;
    const char *states = NULL;
    const struct cmd_option options[] = {{"--json", &as_json, NULL}, {"--state", NULL, &states}};
    struct cmd_args args;
    struct config *cfg = NULL;
    int status = cmd_args_split(argc, argv, options, 2, help, false, &args);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    const struct verb *v = verb_of(args.word_count ? args.words[0] : "list");
    const char *row = args.word_count > 1 ? args.words[1] : NULL;
    if (!v) {
        return cmd_fail(EXIT_USAGE, "inbox takes list, show, retry, drop or verify; not %s",
                        args.words[0]);
    }
    if (args.word_count > (v->takes_row ? 2 : 1) || (v->takes_row && !row) ||
        (states && strcmp(v->name, "list") != 0)) {
        return cmd_fail(EXIT_USAGE,
                        v->takes_row ? "inbox %s takes the row id of one message, as "
                                       "`inbox list` shows it"
                                     : "inbox %s takes nothing more",
                        v->name);
    }
    if ((row && !is_plain(row)) || (states && !is_plain(states))) {
        return cmd_fail(EXIT_USAGE, "%s is no %s", row ? row : states,
                        row ? "row id" : "list of states");
    }
    args.finds_running = true;
    status = cmd_load_config(&args, NULL, &cfg, NULL);
    if (status == 0) {
        status = ask(cfg, v, row ? row : states, as_json);
        (void)fflush(stdout);
    }
    config_free(cfg);
    return status;
}
