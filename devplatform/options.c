/*
 * Reads the command line. One table for parsing and for --help, so that they cannot drift apart.
 */
#include "devplatform/options.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum option_id {
    OPTION_LISTEN = 0,
    OPTION_WORKSPACE,
    OPTION_ADMIN_TOKEN,
    OPTION_ORG,
    OPTION_RATE_LIMIT,
    OPTION_STALE_AFTER,
    OPTION_DISPATCH_TIMEOUT,
    OPTION_DATA,
    OPTION_FEED,
    OPTION_ROWS,
    OPTION_RETENTION,
    OPTION_UPLOAD_TTL,
    OPTION_ALLOW_REMOTE,
    OPTION_SEND_INBOUND_SECRET,
    OPTION_DELEGATION_RESULTS,
    OPTION_QUIET,
    OPTION_CHECK,
    OPTION_HELP,
    OPTION_VERSION,
};
enum { OPTION_COUNT = OPTION_VERSION + 1 };

enum { ROWS_LIMIT = 10 * 1000 * 1000 };
#define RETENTION_MAX_MS (365LL * 24 * 3600 * 1000)

static const struct {
    const char *name;
    const char *value; /* NULL: takes none */
    const char *help;
} table[OPTION_COUNT] = {
    [OPTION_LISTEN] = {"--listen", "ADDRESS",
                       "where to answer (127.0.0.1:8080; port 0: a free one)"},
    [OPTION_WORKSPACE] =
        {"--workspace", "UUID[:TOKEN]",
         "a workspace to begin with; may be repeated. Without TOKEN the first register mints one"},
    [OPTION_ADMIN_TOKEN] =
        {"--admin-token", "TOKEN",
         "what creating and deleting asks for. Without it, calls without a bearer pass there"},
    [OPTION_ORG] = {"--org", "ID",
                    "serve one organisation: calls without X-Molecule-Org-Id: ID get an empty 404"},
    [OPTION_RATE_LIMIT] = {"--rate-limit", "N", "calls per minute and caller (600; 0: unlimited)"},
    [OPTION_STALE_AFTER] = {"--stale-after", "TIME",
                            "no heartbeat for so long: awaiting_agent (90s)"},
    [OPTION_DISPATCH_TIMEOUT] = {"--dispatch-timeout", "TIME",
                                 "first byte of a pushed message's answer (180s)"},
    [OPTION_DATA] = {"--data", "FILE",
                     "keep everything in an SQLite file: a killed platform goes on where it was"},
    [OPTION_FEED] = {"--feed", "KIND",
                     "target; old: no cursors; later: cursors by (time, seq), seq, peer_info, ack"},
    [OPTION_ROWS] = {"--rows", "N", "activity rows that are kept (100000); the oldest go"},
    [OPTION_RETENTION] = {"--retention", "TIME", "activity rows older than that vanish (7d)"},
    [OPTION_UPLOAD_TTL] = {"--upload-ttl", "TIME",
                           "files for workspaces that poll vanish after that (24h)"},
    [OPTION_ALLOW_REMOTE] = {"--allow-remote", NULL,
                             "allow --listen on an address that others can reach"},
    [OPTION_SEND_INBOUND_SECRET] = {"--send-inbound-secret", NULL,
                                    "pushed messages carry Authorization: Bearer <inbound secret>"},
    [OPTION_DELEGATION_RESULTS] =
        {"--delegation-results", NULL,
         "results of delegations come as messages, too (DELEGATION_RESULT_INBOX_PUSH=1)"},
    [OPTION_QUIET] = {"--quiet", NULL, "print only the address"},
    [OPTION_CHECK] = {"--check", NULL,
                      "ask the one that runs at --listen whether it is well: status 0 or 1"},
    [OPTION_HELP] = {"--help", NULL, "this text"},
    [OPTION_VERSION] = {"--version", NULL, "what this was built from"},
};

void options_print_help(struct str *out)
{
    str_addz(
        out,
        "usage: molecule-devplatform [flags]\n\n"
        "A control plane for development and tests, in memory or in a file. It answers what an "
        "agent-side "
        "client asks\n"
        "the Molecule platform, with the platform's quirks, and tells on stdout what happens.\n\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s %s", table[i].name, table[i].value ? table[i].value : "");
        str_addf(out, "  %-26s %s\n", left, table[i].help);
    }
    str_addz(out, "\nGET /dev/log, GET /dev/state and POST /dev/faults are for tests: see "
                  "docs/devplatform.md.\n");
}

static int set_workspace(struct options *o, const char *value, struct err *err)
{
    const char *colon = strchr(value, ':');
    struct slice id = {value, colon ? (size_t)(colon - value) : strlen(value)};
    struct workspace_option *ws;

    if (!is_uuid(id))
        return err_set(err, -EINVAL,
                       "--workspace %.*s: the id must be a UUID, such as "
                       "6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10, then an optional :TOKEN",
                       (int)(id.n < 64 ? id.n : 64), value);
    if (o->workspace_count == OPTIONS_WORKSPACES_MAX)
        return err_set(
            err, -EINVAL,
            "--workspace: more than %d workspaces; create the others with POST /workspaces",
            OPTIONS_WORKSPACES_MAX);
    ws = &o->workspaces[o->workspace_count];
    memcpy(ws->id, id.p, id.n);
    ws->id[id.n] = '\0';
    uuid_lower(ws->id);
    for (size_t i = 0; i < o->workspace_count; i++) {
        if (strcmp(o->workspaces[i].id, ws->id) == 0)
            return err_set(err, -EINVAL, "--workspace %s is given twice", ws->id);
    }
    ws->token = NULL;
    if (colon) {
        size_t n = strlen(colon + 1);
        if (n == 0 || n > 512 || strpbrk(colon + 1, " \t\r\n"))
            return err_set(
                err, -EINVAL,
                "--workspace %s: the token after ':' must have 1 to 512 characters, no blanks",
                ws->id);
        ws->token = colon + 1;
    }
    o->workspace_count++;
    return 0;
}

static int set_duration(const char *flag, const char *value, int64_t *ret_ms, struct err *err)
{
    if (parse_duration_ms(slice_of(value), 100, 24 * 3600 * 1000, ret_ms) < 0)
        return err_set(err, -EINVAL, "%s %s: must be a time from 100ms to 24h, such as 90s or 2m",
                       flag, value);
    return 0;
}

static int set_retention(const char *value, int64_t *ret_ms, struct err *err)
{
    if (parse_duration_ms(slice_of(value), 100, RETENTION_MAX_MS, ret_ms) < 0)
        return err_set(err, -EINVAL, "--retention %s: must be a time from 100ms to 365d", value);
    return 0;
}

static int set(struct options *o, enum option_id id, const char *value, struct err *err)
{
    switch (id) {
    case OPTION_LISTEN:
        if (endpoint_parse(slice_of(value), &o->listen, err) < 0)
            return err_wrap(err, "--listen %s", value);
        return 0;
    case OPTION_WORKSPACE:
        return set_workspace(o, value, err);
    case OPTION_ADMIN_TOKEN:
        if (!value[0])
            return err_set(err, -EINVAL, "--admin-token is empty; leave the flag out to have none");
        o->admin_token = value;
        return 0;
    case OPTION_ORG:
        o->org_id = value;
        return 0;
    case OPTION_RATE_LIMIT:
        if (parse_int64(slice_of(value), 0, 1000000, &o->rate_limit) < 0)
            return err_set(err, -EINVAL,
                           "--rate-limit %s: must be a number from 0 (unlimited) to 1000000",
                           value);
        return 0;
    case OPTION_STALE_AFTER:
        return set_duration("--stale-after", value, &o->stale_after_ms, err);
    case OPTION_DISPATCH_TIMEOUT:
        return set_duration("--dispatch-timeout", value, &o->dispatch_timeout_ms, err);
    case OPTION_DATA:
        if (!value[0])
            return err_set(err, -EINVAL, "--data is empty; leave the flag out to keep nothing");
        o->data = value;
        return 0;
    case OPTION_FEED:
        if (!feed_kind_parse(slice_of(value), &o->feed))
            return err_set(err, -EINVAL, "--feed %s: must be target, old or later", value);
        return 0;
    case OPTION_ROWS:
        if (parse_int64(slice_of(value), 1, ROWS_LIMIT, &o->rows_max) < 0)
            return err_set(err, -EINVAL, "--rows %s: must be a number from 1 to %d", value,
                           ROWS_LIMIT);
        return 0;
    case OPTION_RETENTION:
        return set_retention(value, &o->retention_ms, err);
    case OPTION_UPLOAD_TTL:
        return set_duration("--upload-ttl", value, &o->upload_ttl_ms, err);
    case OPTION_ALLOW_REMOTE:
        o->allow_remote = true;
        return 0;
    case OPTION_SEND_INBOUND_SECRET:
        o->send_inbound_secret = true;
        return 0;
    case OPTION_DELEGATION_RESULTS:
        o->delegation_results = true;
        return 0;
    case OPTION_QUIET:
        o->is_quiet = true;
        return 0;
    case OPTION_CHECK:
        o->wants_check = true;
        return 0;
    case OPTION_HELP:
        o->wants_help = true;
        return 0;
    case OPTION_VERSION:
        o->wants_version = true;
        return 0;
    }
    return -EINVAL;
}

static int unknown(const char *arg, size_t name_len, struct err *err)
{
    size_t dashes = name_len >= 2 && strncmp(arg, "--", 2) == 0 ? 2 : 0;
    size_t best = name_len - dashes < 5 ? name_len - dashes : 5; /* edits; farther is no hint */
    const char *nearest = NULL;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        size_t d = edit_distance((struct slice){arg, name_len}, slice_of(table[i].name), best);
        if (d < best) {
            best = d;
            nearest = table[i].name;
        }
    }
    if (nearest)
        return err_set(err, -EINVAL, "unknown argument %.*s; did you mean %s?", (int)name_len, arg,
                       nearest);
    return err_set(err, -EINVAL, "unknown argument %.*s; --help lists what there is", (int)name_len,
                   arg);
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
    int code;

    *ret = (struct options){
        .admin_token = "",
        .org_id = "",
        .data = "",
        .rate_limit = 600,
        .stale_after_ms = 90 * 1000,
        .dispatch_timeout_ms = 180 * 1000,
        .rows_max = ROWS_MAX_DEFAULT,
        .retention_ms = 7LL * 24 * 3600 * 1000,
        .upload_ttl_ms = 24LL * 3600 * 1000,
    };
    code = endpoint_parse(SLICE("127.0.0.1:8080"), &ret->listen, err);
    if (code < 0)
        return code;
    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const char *value = equals ? equals + 1 : NULL;
        size_t id = 0;

        while (id < OPTION_COUNT && !slice_eq((struct slice){argv[i], n}, slice_of(table[id].name)))
            id++;
        if (id == OPTION_COUNT)
            return unknown(argv[i], n, err);
        if (!table[id].value && value)
            return err_set(err, -EINVAL, "%s takes no value", table[id].name);
        if (table[id].value && !value) {
            if (i + 1 >= argc)
                return err_set(err, -EINVAL, "%s needs a value: %s %s", table[id].name,
                               table[id].name, table[id].value);
            value = argv[++i];
        }
        code = set(ret, (enum option_id)id, value ? value : "", err);
        if (code < 0)
            return code;
    }
    if (ret->wants_check && ret->listen.kind == ENDPOINT_TCP && ret->listen.port == 0)
        return err_set(err, -EINVAL,
                       "--check with --listen %s: say the port at which it runs, as its first line "
                       "does",
                       ret->listen.text);
    if (!ret->listen.is_loopback && !ret->allow_remote && !ret->wants_help && !ret->wants_version &&
        !ret->wants_check)
        return err_set(
            err, -EINVAL,
            "--listen %s can be reached by others, and this program trusts whoever calls it: use "
            "127.0.0.1, or add --allow-remote",
            ret->listen.text);
    return 0;
}
