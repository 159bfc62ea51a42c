/*
 * What one key alone cannot tell: required keys, ports that meet, files that must be there, items
 * of lists. URLs are check_url.c's, certificates check_tls.c's, the sums of a stop check_stop.c's.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/parse.h"
#include "config/report.h"
#include "config/tokens.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    CAPABILITY_MIN = 16,       /* characters of admin.drain_path's secret part */
    HEARTBEAT_LONG_MS = 60000, /* the platform sweeps at 90 s: one lost beat must be harmless */
};

static const char *place_of(struct loader *l, const char *section, const char *key)
{
    return loader_place(l, loader_row(section, key));
}

static enum source source_of(const struct loader *l, const char *section, const char *key)
{
    return loader_source(l, loader_row(section, key));
}

static void check_workspace(struct loader *l)
{
    const struct config *c = l->c;

    /* A malformed id was reported already, and then it is not "missing". */
    if (c->platform.enabled && !*c->workspace.id && l->report->error_count == 0)
        (void)report_error(
            l->report,
            "workspace.id is missing: set WORKSPACE_ID, the key workspace.id or "
            "--workspace-id to the UUID that POST /workspaces answered (the canvas shows "
            "it), or run without a platform: --platform-enabled false");
}

static void check_token(struct loader *l)
{
    const char *token = l->c->platform.token;
    size_t n = strlen(token);

    if (n > SECRET_FILE_MAX) {
        (void)report_error(l->report, "platform.token (%s) is longer than %d bytes",
                           place_of(l, "platform", "token"), SECRET_FILE_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)token[i] <= 0x20 || (unsigned char)token[i] >= 0x7F) {
            (void)report_error(
                l->report,
                "platform.token (%s) holds a blank, a control or a non-ASCII character; "
                "a token is one word",
                place_of(l, "platform", "token"));
            return;
        }
    }
}

/* Addresses we or the agent bind: equal ports cannot work, wherever they are bound. */
static void check_ports(struct loader *l)
{
    const struct config *c = l->c;
    const struct endpoint *agent = &c->agent.address;
    const struct {
        const char *section;
        const struct endpoint *at;
        bool is_here; /* bound in our network namespace */
    } ends[] = {
        {"listen", &c->listen.address, true},
        {"admin", &c->admin.address, true},
        {"agent", agent, agent->is_loopback || agent->is_any},
    };
    const size_t n = sizeof(ends) / sizeof(ends[0]);

    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            const struct endpoint *a = ends[i].at, *b = ends[k].at;

            if (!ends[i].is_here || !ends[k].is_here || a->kind != ENDPOINT_TCP ||
                b->kind != ENDPOINT_TCP || a->port == 0 || a->port != b->port)
                continue;
            (void)report_error(
                l->report,
                "%s.address (%s) and %s.address (%s) have the same port %u; give one of "
                "them another",
                ends[i].section, place_of(l, ends[i].section, "address"), ends[k].section,
                place_of(l, ends[k].section, "address"), (unsigned)a->port);
        }
    }
    if (agent->kind == ENDPOINT_TCP && agent->port == 0)
        (void)report_error(l->report, "agent.address is %s (%s): the agent's port must be known",
                           agent->text, place_of(l, "agent", "address"));
}

/* Paths of sockets: absolute, short enough for the kernel, and three different ones. */
static void check_sockets(struct loader *l)
{
    const struct config *c = l->c;
    const char *agent = endpoint_unix_path(&c->agent.address);
    const struct {
        const char *key;
        const char *path;
    } sockets[] = {{"socket", c->control.socket}, {"agent_socket", c->control.agent_socket}};
    const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        const char *path = sockets[i].path;

        if (*path != '/')
            (void)report_error(l->report, "control.%s is %s (%s): must be an absolute path",
                               sockets[i].key, value_shown(slice_of(path)).z,
                               place_of(l, "control", sockets[i].key));
        else if (strlen(path) > max)
            (void)report_error(
                l->report,
                "control.%s (%s) is %s, which has %zu bytes; the kernel takes at most "
                "%zu for a socket: choose a shorter directory",
                sockets[i].key, place_of(l, "control", sockets[i].key),
                value_shown(slice_of(path)).z, strlen(path), max);
        if (agent && strcmp(path, agent) == 0)
            (void)report_error(
                l->report,
                "control.%s (%s) and agent.address (%s) are the same socket; each needs "
                "a path of its own",
                sockets[i].key, place_of(l, "control", sockets[i].key),
                place_of(l, "agent", "address"));
    }
    if (strcmp(c->control.socket, c->control.agent_socket) == 0)
        (void)report_error(l->report,
                           "control.socket and control.agent_socket are the same path; what "
                           "the agent may do and what the operator may do are kept apart");
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!isalpha((unsigned char)s.p[i]) && s.p[i] != '_' &&
            !(i > 0 && isdigit((unsigned char)s.p[i])))
            return false;
    }
    return s.n > 0;
}

static bool is_exit_code(struct slice s)
{
    int64_t n;

    return parse_int64(s, 0, 255, &n) == 0;
}

static bool is_uid(struct slice s)
{
    int64_t n;

    return parse_int64(s, 0, UINT32_MAX - 1, &n) == 0;
}

static bool is_assignment(struct slice s)
{
    const char *eq = memchr(s.p, '=', s.n);

    return eq && is_name((struct slice){s.p, (size_t)(eq - s.p)});
}

static void check_items(struct loader *l, const char *section, const char *key,
                        const struct string_list *list, bool (*is_good)(struct slice),
                        const char *must)
{
    bool is_masked = config_rows[loader_row(section, key)].flags & ROW_MASK_VALUES;

    for (size_t i = 0; i < list->n; i++) {
        if (is_good(slice_of(list->v[i])))
            continue;
        if (is_masked)
            (void)report_error(l->report, "%s.%s (%s): item %zu must be %s", section, key,
                               place_of(l, section, key), i + 1, must);
        else
            (void)report_error(l->report, "%s.%s holds %s (%s): must be %s", section, key,
                               value_shown(slice_of(list->v[i])).z, place_of(l, section, key),
                               must);
    }
}

static void check_lists(struct loader *l)
{
    const struct config *c = l->c;

    check_items(l, "listen", "trusted_proxies", &c->listen.trusted_proxies, is_cidr,
                "a network, such as 10.0.0.0/8 or fd00::/8");
    check_items(l, "listen", "allow_sources", &c->listen.allow_sources, is_cidr,
                "a network, such as 10.0.0.0/8 or fd00::/8");
    check_items(l, "control", "allow_uids", &c->control.allow_uids, is_uid,
                "a numeric user id, such as 1000");
    check_items(l, "stop", "success_codes", &c->stop.success_codes, is_exit_code,
                "an exit code, 0 to 255");
    check_items(l, "agent", "env", &c->agent.env, is_assignment,
                "NAME=value, the name of letters, digits and _");
}

/* /drain/<capability>: long enough that nobody guesses it. The value is never repeated. */
static void check_drain_path(struct loader *l)
{
    static const struct slice prefix = SLICE_INIT("/drain/");
    struct slice path = slice_of(l->c->admin.drain_path);
    bool is_good;

    if (path.n == 0)
        return;
    is_good = slice_starts_with(path, prefix) && path.n >= prefix.n + CAPABILITY_MIN;
    for (size_t i = prefix.n; is_good && i < path.n; i++)
        is_good = isalnum((unsigned char)path.p[i]) || path.p[i] == '-' || path.p[i] == '_';
    if (!is_good)
        (void)report_error(l->report,
                           "admin.drain_path (%s) must be /drain/ and at least %d characters of "
                           "A-Z a-z 0-9 - _ that nobody can guess, for example from `openssl rand "
                           "-hex 16`",
                           place_of(l, "admin", "drain_path"), CAPABILITY_MIN);
}

static void check_readable(struct loader *l, const char *section, const char *key, const char *path)
{
    if (*path && access(path, R_OK) != 0)
        (void)report_error(l->report, "%s.%s is %s (%s): %s", section, key,
                           value_shown(slice_of(path)).z, place_of(l, section, key),
                           strerror(errno));
}

static void check_card_file(struct loader *l)
{
    const char *path = l->c->card.file, *place = place_of(l, "card", "file");
    CLEANUP(str_release) struct str text = {0};
    struct json_tokener *tokener;
    struct json_object *card;
    struct err err = {0};

    if (!*path)
        return;
    if (file_read(path, CONFIG_CARD_FILE_MAX, &text, &err) < 0) {
        (void)report_error(l->report, "card.file (%s): %s", place, err.msg);
        return;
    }
    tokener = json_tokener_new();
    if (!tokener) {
        (void)report_error(l->report, "card.file: no memory");
        return;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    card = json_tokener_parse_ex(tokener, str_z(&text), (int)text.len + 1);
    if (!card)
        (void)report_error(l->report, "card.file (%s): %s is not JSON: %s, at byte %zu", place,
                           path, json_tokener_error_desc(json_tokener_get_error(tokener)),
                           json_tokener_get_parse_end(tokener));
    else if (!json_object_is_type(card, json_type_object))
        (void)report_error(l->report, "card.file (%s): %s must hold a JSON object", place, path);
    json_object_put(card);
    json_tokener_free(tokener);
}

/* Readable for others: said, not refused, because mounted secrets are like that by default. */
static void check_tokens_file(struct loader *l)
{
    const char *path = l->c->listen.bearer_tokens_file;
    const char *place = place_of(l, "listen", "bearer_tokens_file");
    struct err err = {0};
    struct stat st;

    if (!*path)
        return;
    if (tokens_read(path, NULL, NULL, &err) != 0)
        (void)report_error(l->report, "listen.bearer_tokens_file (%s): %s", place, err.msg);
    else if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)))
        report_warning(l->report,
                       "listen.bearer_tokens_file (%s): %s has mode %04o, so others may read the "
                       "tokens: chmod 600 %s (a mounted secret: defaultMode 0400)",
                       place, path, (unsigned)(st.st_mode & 07777), path);
}

static void check_files(struct loader *l)
{
    const struct config *c = l->c;

    check_readable(l, "platform", "ca_file", c->platform.ca_file);
    check_readable(l, "platform", "client_cert", c->platform.client_cert);
    check_readable(l, "platform", "client_key", c->platform.client_key);
    check_readable(l, "agent", "env_file", c->agent.env_file);
    if (!*c->platform.client_cert != !*c->platform.client_key)
        (void)report_error(l->report,
                           "platform.client_cert and platform.client_key go together; only "
                           "%s is set",
                           *c->platform.client_cert ? "client_cert" : "client_key");
    if (*c->agent.cwd && access(c->agent.cwd, X_OK) != 0)
        (void)report_error(l->report, "agent.cwd is %s (%s): %s",
                           value_shown(slice_of(c->agent.cwd)).z, place_of(l, "agent", "cwd"),
                           strerror(errno));
    check_card_file(l);
    check_tokens_file(l);
}

/* "/agents/a/" and "/agents/a" cut the same prefix; the second form is the one that is kept. */
static void trim_slashes(char *path)
{
    for (size_t n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
}

static void check_odd(struct loader *l)
{
    const struct config *c = l->c;
    char text[FORMAT_MAX], other_text[FORMAT_MAX];

    trim_slashes(c->forward.strip_prefix);
    if (c->restart.backoff > c->restart.backoff_max)
        (void)report_error(
            l->report, "restart.backoff %s (%s) is more than restart.backoff_max %s (%s)",
            format_duration(c->restart.backoff, text), place_of(l, "restart", "backoff"),
            format_duration(c->restart.backoff_max, other_text),
            place_of(l, "restart", "backoff_max"));
    if (!*c->agent.base_path)
        (void)report_error(l->report, "agent.base_path is empty (%s): must begin with /",
                           place_of(l, "agent", "base_path"));

    if (*c->agent.port_env && !is_name(slice_of(c->agent.port_env)))
        (void)report_error(l->report, "agent.port_env is %s (%s): must be the name of a variable",
                           value_shown(slice_of(c->agent.port_env)).z,
                           place_of(l, "agent", "port_env"));
    if (c->platform.enabled && c->platform.heartbeat_interval > HEARTBEAT_LONG_MS)
        report_warning(
            l->report,
            "platform.heartbeat_interval is %s (%s): the platform calls a workspace stale "
            "after 90s, so a single lost beat will show",
            format_duration(c->platform.heartbeat_interval, text),
            place_of(l, "platform", "heartbeat_interval"));
    if (c->secrets.mode == SECRETS_ENV && !c->command &&
        source_of(l, "secrets", "mode") > FROM_COMPUTED)
        report_warning(
            l->report,
            "secrets.mode is env (%s), but without a command after -- there is no child to "
            "give them to; use file",
            place_of(l, "secrets", "mode"));
    if (*c->forward.uploads_dir && *c->forward.uploads_dir != '/')
        (void)report_error(l->report, "forward.uploads_dir is %s (%s): must be an absolute path",
                           value_shown(slice_of(c->forward.uploads_dir)).z,
                           place_of(l, "forward", "uploads_dir"));
    if (*c->state.dir && *c->state.dir != '/')
        (void)report_error(l->report, "state.dir is %s (%s): must be an absolute path",
                           value_shown(slice_of(c->state.dir)).z, place_of(l, "state", "dir"));
}

void check_all(struct loader *l)
{
    if (!l->in->finds_running) {
        check_workspace(l);
        check_files(l);
        check_tls(l);
    }
    check_token(l);
    check_ports(l);
    check_sockets(l);
    check_lists(l);
    check_drain_path(l);
    check_odd(l);
    check_start(l);
    check_stop(l); /* asks what check_start has made of agent.ready */
    check_urls(l);
    check_signals(l);
}
