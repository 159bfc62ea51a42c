/*
 * Builds the agent's environment. Built anew for each start, so that secrets that changed are
 * there.
 */
#include "app/child_env.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "log/log.h"
#include "platform/secrets.h"
#include "supervisor/spawn.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENV_FILE_MAX_BYTES = 1024 * 1024, /* agent.env_file */
    ENV_COUNT_MAX =
        8192, /* variables in all; the kernel's limit on their bytes comes first in practice */
};

/* Ours alone: the bearer, the capability to drain us, the proxy's password, and what a service
 * manager gave to us and not to the agent. */
static const char *const kept_back_always[] = {"NOTIFY_SOCKET",
                                               "WATCHDOG_USEC",
                                               "WATCHDOG_PID",
                                               "LISTEN_FDS",
                                               "LISTEN_PID",
                                               "LISTEN_FDNAMES",
                                               "LISTEN_PIDFDID",
                                               "FDSTORE",
                                               "MOLECULE_SIDECAR_ADMIN_DRAIN_PATH",
                                               "MOLECULE_SIDECAR_PLATFORM_PROXY"};
static const char *const kept_back_token[] = {"MOLECULE_WORKSPACE_TOKEN",
                                              "MOLECULE_WORKSPACE_TOKEN_FILE",
                                              "MOLECULE_API_KEY",
                                              "MOLECULE_WORKSPACES",
                                              "MOLECULE_SIDECAR_PLATFORM_TOKEN",
                                              "MOLECULE_SIDECAR_PLATFORM_TOKEN_FILE"};

/* With agent.user: these name places and sessions of the user we are. */
static const char *const kept_back_user[] = {"USER", "LOGNAME", "XDG_RUNTIME_DIR",
                                             "DBUS_SESSION_BUS_ADDRESS"};

struct env {
    char **v;
    size_t n;
    size_t cap;
};

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

static bool is_in(const char *entry, const char *const *names, size_t count)
{
    size_t n = name_length(entry);

    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) == n && memcmp(entry, names[i], n) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes ownership of entry, which replaces one of the same name. */
static int env_put(struct env *e, char *entry, struct err *err)
{
    if (!entry) {
        return err_set(err, -ENOMEM, "out of memory for the agent's environment");
    }
    size_t n = name_length(entry);

    for (size_t i = 0; i < e->n; i++) {
        if (name_length(e->v[i]) == n && memcmp(e->v[i], entry, n) == 0) {
            free(e->v[i]);
            e->v[i] = entry;
            return 0;
        }
    }
    if (e->n == ENV_COUNT_MAX) {
        free(entry);
        return err_set(err, -E2BIG, "the agent's environment would have more than %d variables",
                       ENV_COUNT_MAX);
    }
    if (e->n + 1 >= e->cap) {
        size_t cap = e->cap ? e->cap * 2 : 64;
        char **v = realloc(e->v, cap * sizeof(*v));

        if (!v) {
            free(entry);
            return err_set(err, -ENOMEM, "out of memory for the agent's environment");
        }
        e->v = v;
        e->cap = cap;
    }
    e->v[e->n++] = entry;
    e->v[e->n] = NULL;
    return 0;
}

static char *join(const char *name, const char *value)
{
    struct str s = {0};

    str_addf(&s, "%s=%s", name, value);
    return str_take(&s);
}

/* NAME, or NAME* for all that begin so. */
static bool is_removed(const char *entry, const struct string_list *patterns)
{
    size_t n = name_length(entry);

    for (size_t i = 0; i < patterns->n; i++) {
        const char *pattern = patterns->v[i];
        size_t length = strcspn(pattern, "*");

        if (pattern[length] == '*' ? n >= length : n == length) {
            if (memcmp(entry, pattern, length) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool is_kept_back(const char *entry, const struct config *cfg)
{
    return is_in(entry, kept_back_always, sizeof(kept_back_always) / sizeof(kept_back_always[0])) ||
           (!cfg->agent.pass_token &&
            is_in(entry, kept_back_token, sizeof(kept_back_token) / sizeof(kept_back_token[0]))) ||
           (cfg->agent.run_as.is_set &&
            is_in(entry, kept_back_user, sizeof(kept_back_user) / sizeof(kept_back_user[0]))) ||
           is_removed(entry, &cfg->agent.env_remove);
}

static int put_own(struct env *e, const struct config *cfg, char *const *own, struct err *err)
{
    for (; *own; own++) {
        if (is_kept_back(*own, cfg)) {
            continue;
        }
        int r = env_put(e, strdup(*own), err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* As systemd's User= does it. A number without a name has no home; / is what containers give it. */
static int put_user(struct env *e, const struct user *u, struct err *err)
{
    int r = 0;

    if (!u->is_set) {
        return 0;
    }
    r = env_put(e, join("HOME", u->home ? u->home : "/"), err);
    if (r == 0 && u->name) {
        r = env_put(e, join("USER", u->name), err);
    }
    if (r == 0 && u->name) {
        r = env_put(e, join("LOGNAME", u->name), err);
    }
    if (r == 0 && u->shell) {
        r = env_put(e, join("SHELL", u->shell), err);
    }
    return r;
}

static int put_secrets(struct env *e, const struct secrets *secrets, struct err *err)
{
    for (size_t i = 0; secrets && i < secrets->n; i++) {
        if (!secret_name_is_exportable(secrets->v[i].name)) {
            continue;
        }
        int r = env_put(e, join(secrets->v[i].name, secrets->v[i].value), err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Why a line of the file is none; NULL when it is one. */
static const char *bad_line(struct slice line)
{
    const char *eq = memchr(line.p, '=', line.n);
    size_t n = eq ? (size_t)(eq - line.p) : line.n;

    if (memchr(line.p, '\0', line.n)) {
        return "holds a NUL byte, which no variable can";
    }
    if (!eq || n == 0) {
        return "is not NAME=value";
    }
    if (slice_starts_with(line, SLICE("export "))) {
        return "begins with export, as in a shell; write NAME=value alone";
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)line.p[i];

        if (!isalpha(c) && c != '_' && !(i > 0 && (isdigit(c) || c == '.' || c == '-'))) {
            return "has a name that is not made of letters, digits and _";
        }
    }
    return NULL;
}

/* NAME=value lines; blank lines and # comments; no quoting, no expansion: what stands there is what
 * the agent gets, without blanks and CR at the ends of the line. */
static int put_file(struct env *e, const char *path, struct err *err)
{
    CLEANUP(str_wipe) struct str text = {0};
    int r = path[0] ? file_read(path, ENV_FILE_MAX_BYTES, &text, err) : 0;
    struct slice rest = str_slice(&text);
    int line_number = 0;

    if (r < 0) {
        err_wrap(err, "agent.env_file");
        return r;
    }
    while (rest.n > 0) {
        const char *nl = memchr(rest.p, '\n', rest.n);
        struct slice line = {rest.p, nl ? (size_t)(nl - rest.p) : rest.n};

        rest.p += line.n + (nl ? 1 : 0);
        rest.n -= line.n + (nl ? 1 : 0);
        line_number++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--; /* a file from Windows */
        }
        line = slice_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        const char *why = bad_line(line);

        if (why) {
            return err_set(err, -EINVAL, "%s:%d: this line %s (agent.env_file)", path, line_number,
                           why);
        }
        r = env_put(e, slice_dup(line), err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int put_ours(struct env *e, const struct config *cfg, struct err *err)
{
    const struct endpoint *at = &cfg->agent.address;
    const char *path = endpoint_unix_path(at);
    char port[8];
    int r = 0;

    if (path) {
        r = env_put(e, join("MOLECULE_AGENT_SOCKET", path), err);
    }
    if (r == 0) {
        r = env_put(e, join("MOLECULE_SIDECAR_SOCKET", cfg->control.agent_socket), err);
    }
    if (r == 0 && cfg->agent.port_env[0]) {
        (void)snprintf(port, sizeof(port), "%u", (unsigned)at->port);
        r = env_put(e, join(cfg->agent.port_env, path ? path : port),
                    err); /* Node's listen() takes a path as well */
    }
    return r;
}

/* The child's half of sd_notify and of socket activation. */
static int put_start(struct env *e, const struct child_env_start *start, struct err *err)
{
    char count[16];
    int r = 0;

    if (start && start->notify_socket) {
        r = env_put(e, join("NOTIFY_SOCKET", start->notify_socket), err);
    }
    if (r < 0 || !start || start->listen_count == 0) {
        return r;
    }
    (void)snprintf(count, sizeof(count), "%zu", start->listen_count);
    r = env_put(e, join("LISTEN_FDS", count), err);
    if (r == 0) {
        r = env_put(e, join("LISTEN_PID", SPAWN_PID_TO_COME), err);
    }
    return r == 0 ? env_put(e, join("LISTEN_FDNAMES", start->listen_names), err) : r;
}

char **child_env_build(const struct config *cfg, char *const *own, const struct secrets *secrets,
                       const struct child_env_start *start, struct err *err)
{
    struct env e = {0};
    int r = put_own(&e, cfg, own, err);

    if (r == 0) {
        r = put_user(&e, &cfg->agent.run_as, err);
    }
    if (r == 0 && cfg->secrets.mode == SECRETS_ENV) {
        r = put_secrets(&e, secrets, err);
    }
    if (r == 0) {
        r = put_file(&e, cfg->agent.env_file, err);
    }
    for (size_t i = 0; r == 0 && i < cfg->agent.env.n; i++) {
        r = env_put(&e, strdup(cfg->agent.env.v[i]), err);
    }
    if (r == 0) {
        r = put_ours(&e, cfg, err);
    }
    if (r == 0) {
        r = put_start(&e, start, err);
    }
    if (r < 0) {
        child_env_free(e.v);
        return NULL;
    }
    return e.v;
}

void child_env_free(char **env)
{
    for (char **p = env; p && *p; p++) {
        free(*p);
    }
    free(env);
}
