/*
 * The environment: MOLECULE_SIDECAR_<SECTION>_<KEY> for every key, the names others defined (P
 * section 2.1), and a word about variables of our prefix that mean nothing.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "config/report.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

enum {
    ENV_PLACE_MAX = CONFIG_ENV_MAX + 16, /* "environment NAME" */
    ENV_SECONDS_MAX = 86400,             /* of the variables that count seconds */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice env_value(const struct loader *l, const char *name)
{
    size_t n = strlen(name);

    for (char **e = l->in->env; e && *e; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
            struct slice v = slice_of(*e + n + 1);

            while (v.n > 0 && is_space(v.p[0])) {
                v.p++;
                v.n--;
            }
            while (v.n > 0 && is_space(v.p[v.n - 1]))
                v.n--;
            return v;
        }
    }
    return (struct slice){NULL, 0};
}

static const char *env_place(const char *name, char buf[ENV_PLACE_MAX])
{
    (void)snprintf(buf, ENV_PLACE_MAX, "environment %s", name);
    return buf;
}

/* Lists in one variable: commas between, or line feeds where items may hold commas. */
static void set_list(struct loader *l, size_t row, const char *place, struct slice value)
{
    char sep = config_rows[row].flags & ROW_WHOLE_ITEMS ? '\n' : ',';
    struct slice items[CONFIG_LIST_MAX + 1], item;
    size_t n = 0;

    while (n <= CONFIG_LIST_MAX && slice_next(&value, sep, &item)) {
        if (item.n > 0)
            items[n++] = item;
    }
    (void)loader_set_items(l, row, FROM_ENVIRONMENT, place, items, n);
}

static void set_milliseconds(struct loader *l, size_t row, const char *place, struct slice value,
                             bool is_seconds)
{
    char key[CONFIG_KEY_MAX], text[FORMAT_MAX];
    double number;

    if (parse_double(value, 0, is_seconds ? ENV_SECONDS_MAX : ENV_SECONDS_MAX * 1000.0, &number) <
        0) {
        (void)report_error(l->report, "%s is %s (%s): must be a number of %s, without a unit",
                           schema_dotted(&config_rows[row], key), value_shown(value).z, place,
                           is_seconds ? "seconds" : "milliseconds");
        return;
    }
    (void)snprintf(text, sizeof(text), "%lldms",
                   (long long)(number * (is_seconds ? 1000 : 1) + 0.5));
    (void)loader_set_text(l, row, FROM_ENVIRONMENT, place, slice_of(text));
}

static bool is_service_url(struct slice v)
{
    return slice_starts_with(v, SLICE("tcp://")) || slice_starts_with(v, SLICE("udp://")) ||
           slice_starts_with(v, SLICE("sctp://"));
}

/* PORT chooses the port; where we run chooses the address. */
static void set_port(struct loader *l, size_t row, const char *place, struct slice value)
{
    char key[CONFIG_KEY_MAX], text[FORMAT_MAX];
    int64_t port;

    if (is_service_url(value)) {
        report_warning(
            l->report,
            "%s looks like the address of a Kubernetes Service, not like a port; ignoring "
            "it",
            place);
        return;
    }
    if (parse_int64(value, 1, UINT16_MAX, &port) < 0) {
        (void)report_error(l->report, "%s: PORT is %s (%s), must be a port, 1 to 65535",
                           schema_dotted(&config_rows[row], key), value_shown(value).z, place);
        return;
    }
    (void)snprintf(text, sizeof(text), "%s:%d", l->c->facts.is_container ? "[::]" : "127.0.0.1",
                   (int)port);
    (void)loader_set_text(l, row, FROM_ENVIRONMENT, place, slice_of(text));
}

/* Levels as Python and others spell them. The variable is shared with the agent, so an unknown word
 * is no reason to stop. */
static void set_level(struct loader *l, size_t row, const char *place, struct slice value)
{
    static const struct {
        struct slice word;
        const char *level;
    } levels[] = {
        {SLICE_INIT("debug"), "debug"},  {SLICE_INIT("trace"), "debug"},
        {SLICE_INIT("info"), "info"},    {SLICE_INIT("notice"), "info"},
        {SLICE_INIT("warn"), "warning"}, {SLICE_INIT("warning"), "warning"},
        {SLICE_INIT("error"), "error"},  {SLICE_INIT("critical"), "error"},
        {SLICE_INIT("fatal"), "error"},
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (slice_eq_nocase(value, levels[i].word)) {
            (void)loader_set_text(l, row, FROM_ENVIRONMENT, place, slice_of(levels[i].level));
            return;
        }
    }
    report_warning(l->report,
                   "LOG_LEVEL is %s, which is none of debug, info, warning, error; ignoring it for "
                   "our own log",
                   value_shown(value).z);
}

/* True when the variable was used, so that the next name is not asked. */
static bool set_from_variable(struct loader *l, size_t row, const char *name, enum env_form form)
{
    struct slice value = env_value(l, name);
    CLEANUP(free_cleanup) char *copy = NULL;
    char place[ENV_PLACE_MAX];

    if (value.n == 0)
        return false;
    (void)env_place(name, place);
    switch (form) {
    case ENV_TEXT:
        if (config_rows[row].type == TYPE_LIST)
            set_list(l, row, place, value);
        else
            (void)loader_set_text(l, row, FROM_ENVIRONMENT, place, value);
        return true;
    case ENV_SECONDS:
    case ENV_MS:
        set_milliseconds(l, row, place, value, form == ENV_SECONDS);
        return true;
    case ENV_PORT:
        set_port(l, row, place, value);
        return true;
    case ENV_DIR:
        copy = slice_dup(value);
        if (copy && facts_is_writable_dir(l, copy)) {
            (void)loader_set_text(l, row, FROM_ENVIRONMENT, place, value);
            return true;
        }
        report_warning(l->report,
                       "%s is %s, which is no directory we can write to; ignoring it for state.dir",
                       name, value_shown(value).z);
        return false;
    case ENV_LEVEL:
        set_level(l, row, place, value);
        return true;
    }
    return false;
}

/* The token comes as text or as a file; the names have one order across both keys (P section 2.1).
 */
static void set_token(struct loader *l)
{
    static const struct {
        const char *name;
        const char *key;
    } names[] = {
        {CONFIG_ENV_PREFIX "PLATFORM_TOKEN", "token"},
        {"MOLECULE_WORKSPACE_TOKEN", "token"},
        {CONFIG_ENV_PREFIX "PLATFORM_TOKEN_FILE", "token_file"},
        {"MOLECULE_WORKSPACE_TOKEN_FILE", "token_file"},
        {"MOLECULE_API_KEY", "token"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (set_from_variable(l, loader_row("platform", names[i].key), names[i].name, ENV_TEXT))
            return;
    }
}

/* A text member of a JSON object, or NULL. */
static const char *json_text(struct json_object *object, const char *name)
{
    struct json_object *member;

    if (!json_object_object_get_ex(object, name, &member) ||
        !json_object_is_type(member, json_type_string) || json_object_get_string_len(member) == 0)
        return NULL;
    return json_object_get_string(member);
}

/* MOLECULE_WORKSPACES=[{"id":..., "token":...}]: true when it is set; then the single pair of
 * variables does not count. */
static bool set_workspaces(struct loader *l)
{
    static const char name[] = "MOLECULE_WORKSPACES";
    struct slice value = env_value(l, name);
    struct json_tokener *tokener;
    struct json_object *list, *entry;
    const char *id, *token;
    char place[ENV_PLACE_MAX];
    size_t count;

    if (value.n == 0)
        return false;
    tokener = json_tokener_new();
    list = tokener && value.n <= CONFIG_STRING_MAX * 4
               ? json_tokener_parse_ex(tokener, value.p, (int)value.n)
               : NULL;
    if (tokener && json_tokener_get_error(tokener) == json_tokener_continue) {
        json_object_put(list);
        list = NULL;
    }
    count = list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    entry = count == 1 ? json_object_array_get_idx(list, 0) : NULL;
    if (!list || !json_object_is_type(list, json_type_array)) {
        (void)report_error(l->report,
                           "environment %s is not a JSON list; it must look like "
                           "[{\"id\":\"<uuid>\",\"token\":\"...\"}]",
                           name);
    } else if (count != 1) {
        (void)report_error(
            l->report,
            "environment %s names %zu workspaces, but one sidecar serves exactly one; "
            "start one sidecar per workspace",
            name, count);
    } else if (!json_object_is_type(entry, json_type_object) || !json_text(entry, "id") ||
               !json_text(entry, "token")) {
        (void)report_error(
            l->report, "environment %s: the entry needs \"id\" and \"token\", both texts", name);
    } else {
        id = json_text(entry, "id");
        token = json_text(entry, "token");
        (void)env_place(name, place);
        (void)loader_set_text(l, loader_row("workspace", "id"), FROM_ENVIRONMENT, place,
                              slice_of(id));
        (void)loader_set_text(l, loader_row("platform", "token"), FROM_ENVIRONMENT, place,
                              slice_of(token));
    }
    json_object_put(list);
    json_tokener_free(tokener);
    return true;
}

/*
 * The variables Kubernetes makes for a Service called molecule-sidecar or molecule-sidecar-<more>:
 * ..._SERVICE_HOST,
 * ..._SERVICE_PORT, ..._SERVICE_PORT_HTTP, ..._PORT=tcp://..., ..._PORT_8000_TCP,
 * ..._PORT_8000_TCP_ADDR.
 */
static bool is_service_variable(struct slice name, struct slice value)
{
    static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
    char z[256];
    const char *port;

    if (name.n >= sizeof(z))
        return false;
    memcpy(z, name.p, name.n);
    z[name.n] = '\0';
    if (slice_ends_with(name, SLICE("_SERVICE_HOST")) ||
        slice_ends_with(name, SLICE("_SERVICE_PORT")) || strstr(z, "_SERVICE_PORT_"))
        return true;
    if (slice_ends_with(name, SLICE("_PORT")) && is_service_url(value))
        return true;
    port = strstr(z, "_PORT_");
    if (!port || !isdigit((unsigned char)port[6]))
        return false;
    port += 6 + strspn(port + 6, "0123456789");
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (strncmp(port, protocols[i], strlen(protocols[i])) == 0)
            return true;
    }
    return false;
}

static bool is_known_variable(struct slice name)
{
    char buf[CONFIG_ENV_MAX];

    /* The file's name, and what we tell the child ourselves. */
    if (slice_eq(name, SLICE(CONFIG_ENV_PREFIX "CONFIG")) ||
        slice_eq(name, SLICE(CONFIG_ENV_PREFIX "SOCKET")))
        return true;
    for (size_t i = 0; i < config_row_count; i++) {
        if (slice_eq(name, slice_of(schema_env(&config_rows[i], buf))))
            return true;
    }
    return false;
}

static void warn_of_unknown(struct loader *l)
{
    for (char **e = l->in->env; e && *e; e++) {
        const char *eq = strchr(*e, '=');
        struct slice name = {*e, eq ? (size_t)(eq - *e) : 0};
        char buf[CONFIG_ENV_MAX];
        const char *near;

        if (!slice_starts_with(name, SLICE(CONFIG_ENV_PREFIX)) || is_known_variable(name) ||
            is_service_variable(name, slice_of(eq + 1)))
            continue;
        near = schema_nearest_env(name, buf);
        report_warning(l->report, "environment %s is no key of ours%s%s%s, ignoring it",
                       value_shown(name).z, near ? " (did you mean " : "", near ? near : "",
                       near ? "?)" : "");
    }
}

void source_environment(struct loader *l)
{
    bool has_workspaces = set_workspaces(l);
    size_t id = loader_row("workspace", "id"), token = loader_row("platform", "token"),
           token_file = loader_row("platform", "token_file");

    if (!has_workspaces)
        set_token(l);
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char own[CONFIG_ENV_MAX];
        bool is_set;

        if (i == token || i == token_file || (i == id && has_workspaces))
            continue;
        is_set = set_from_variable(l, i, schema_env(row, own), ENV_TEXT);
        for (size_t k = 0; !is_set && k < ROW_ENV_MAX && row->env[k].name; k++)
            is_set = set_from_variable(l, i, row->env[k].name, row->env[k].form);
    }
    if (env_value(l, "MOLECULE_CURSOR_FILE").n > 0)
        report_warning(l->report, "MOLECULE_CURSOR_FILE is set, but this version does not fetch "
                                  "messages; the file is left alone for the version that does");
    warn_of_unknown(l);
}
