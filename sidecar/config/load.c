/*
 * From nothing to one const struct config: flags, environment, file, defaults, what is computed
 * from facts, then the checks. All mistakes are gathered; the first does not hide the second.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/parse.h"
#include "config/report.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    GRACE_KUBERNETES_MS = 30000, /* what a pod gets by default */
    GRACE_ELSEWHERE_MS = 10000,  /* what `docker stop` gives */
    PORT_A2A = 8000,
    PORT_ADMIN = 8081,
};

static const char default_file[] = "/etc/molecule-sidecar/config.yaml";

size_t loader_row(const char *section, const char *key)
{
    int row = schema_find(section, key);

    assert(row >= 0);
    return (size_t)row;
}

enum source loader_source(const struct loader *l, size_t row)
{
    return l->c->origins->v[row].source;
}

const char *loader_place(const struct loader *l, size_t row)
{
    const char *text = l->c->origins->v[row].text;

    return text ? text : "default";
}

void loader_note_origin(struct loader *l, size_t row, enum source source, const char *text)
{
    struct origin *o = &l->c->origins->v[row];

    free(o->text);
    o->text = strdup(text); /* NULL reads as "default": a wrong word, no wrong value */
    o->source = source;
}

static int loader_set(struct loader *l, size_t row, enum source source, struct value_in *in)
{
    bool is_stored = source >= l->c->origins->v[row].source;
    int rc;

    in->home = l->home;
    rc = value_set(is_stored ? l->c : NULL, &config_rows[row], in, l->report);
    if (rc == 0 && is_stored && source != FROM_DEFAULT)
        loader_note_origin(l, row, source, in->place);
    return rc;
}

int loader_set_text(struct loader *l, size_t row, enum source source, const char *place,
                    struct slice text)
{
    struct value_in in = {.text = text, .place = place};

    return loader_set(l, row, source, &in);
}

int loader_set_items(struct loader *l, size_t row, enum source source, const char *place,
                     const struct slice *items, size_t count)
{
    struct value_in in = {.items = items, .item_count = count, .is_list = true, .place = place};

    return loader_set(l, row, source, &in);
}

void source_file(struct loader *l, const struct yaml_doc *doc, const char *name)
{
    for (size_t i = 0; i < doc->n; i++) {
        const struct yaml_entry *e = &doc->v[i];
        int row = schema_find(e->section, e->key);
        CLEANUP(str_release) struct str dotted = {0};
        CLEANUP(str_release) struct str place = {0};
        char buf[CONFIG_KEY_MAX];
        const char *near;

        str_addf(&dotted, "%s.%s", e->section, e->key);
        str_addf(&place, "%s:%d", name, e->line);
        if (!str_ok(&dotted) || !str_ok(&place)) {
            (void)report_error(l->report, "%s: no memory", name);
            return;
        }
        if (row < 0) {
            near = schema_nearest_key(str_slice(&dotted), buf);
            (void)report_error(l->report, "%s: unknown key %s%s%s%s", str_z(&place),
                               value_shown(str_slice(&dotted)).z, near ? "; did you mean " : "",
                               near ? near : "", near ? "?" : "");
        } else if (e->is_nested && !config_rows[row].reserved.what) {
            (void)report_error(l->report, "%s (%s) holds further keys, must be %s", str_z(&dotted),
                               str_z(&place),
                               config_rows[row].type == TYPE_LIST ? "a list" : "one value");
        } else if (e->is_nested) {
            (void)loader_set_text(l, (size_t)row, FROM_FILE, str_z(&place), SLICE("{...}"));
        } else if (e->is_list) {
            (void)loader_set_items(l, (size_t)row, FROM_FILE, str_z(&place), e->items,
                                   e->item_count);
        } else if (!e->is_null) { /* `key:` alone is as good as no key */
            (void)loader_set_text(l, (size_t)row, FROM_FILE, str_z(&place), e->text);
        }
    }
}

/* A token in a file that others can read is not a secret. */
static void warn_of_open_file(struct loader *l, const char *path)
{
    struct stat st;

    if (loader_source(l, loader_row("platform", "token")) == FROM_FILE && stat(path, &st) == 0 &&
        (st.st_mode & (S_IRGRP | S_IROTH)))
        report_warning(l->report,
                       "%s holds platform.token and has mode %04o, so others can read it: "
                       "chmod 600 %s",
                       path, (unsigned)(st.st_mode & 07777), path);
}

static void load_file(struct loader *l)
{
    struct slice by_env = env_value(l, CONFIG_ENV_PREFIX "CONFIG");
    CLEANUP(str_release) struct str path = {0};
    CLEANUP(str_wipe) struct str text = {0};
    const char *why = "";
    struct yaml_doc doc = {0};
    struct err err = {0};
    int rc;

    if (l->in->file) {
        str_addz(&path, l->in->file);
    } else if (l->file) {
        str_addz(&path, l->file);
        why = " (--config)";
    } else if (by_env.n > 0) {
        str_add(&path, by_env);
        why = " (environment " CONFIG_ENV_PREFIX "CONFIG)";
    } else {
        str_addf(&path, "%s%s", l->system.root, default_file);
        if (!str_ok(&path) || access(path.p, F_OK) != 0)
            return;
    }
    if (!str_ok(&path)) {
        (void)report_error(l->report, "no memory for the configuration file");
        return;
    }
    rc = file_read(str_z(&path), CONFIG_FILE_MAX, &text, &err);
    if (rc < 0) {
        (void)report_error(l->report, "configuration file%s: %s", why, err.msg);
        return;
    }
    (void)yaml_read(str_slice(&text), str_z(&path), &doc, l->report);
    source_file(l, &doc, str_z(&path));
    yaml_doc_release(&doc);
    warn_of_open_file(l, str_z(&path));
}

static void apply_defaults(struct loader *l)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (loader_source(l, i) != FROM_DEFAULT || row->offset == ROW_NO_MEMBER || !row->fallback ||
            row->reserved.what)
            continue;
        if (row->type == TYPE_LIST) /* every list begins empty */
            assert(*row->fallback == '\0');
        else if (loader_set_text(l, i, FROM_DEFAULT, "default", slice_of(row->fallback)) < 0)
            assert(l->report->error_count > 0);
    }
}

/* Set a row nobody set. */
static void compute_text(struct loader *l, const char *section, const char *key, const char *why,
                         struct slice text)
{
    size_t row = loader_row(section, key);

    if (loader_source(l, row) == FROM_DEFAULT)
        (void)loader_set_text(l, row, FROM_COMPUTED, why, text);
}

static void compute_below_runtime(struct loader *l, const char *section, const char *key,
                                  const char *prefix, const char *name)
{
    CLEANUP(str_release) struct str s = {0};

    str_addf(&s, "%s%s/%s", prefix, l->c->facts.runtime_dir, name);
    compute_text(l, section, key, "default, runtime directory", str_slice(&s));
}

static void compute_addresses(struct loader *l)
{
    const struct config_facts *f = &l->c->facts;
    const char *host = f->is_container ? "[::]" : "127.0.0.1";
    const char *why = f->is_container ? "default, container" : "default, no container";
    size_t listen = loader_row("listen", "address"), admin = loader_row("admin", "address");
    char text[FORMAT_MAX];

    (void)snprintf(text, sizeof(text), "%s:%d", host, PORT_A2A);
    compute_text(l, "listen", "address", why, slice_of(text));
    (void)snprintf(text, sizeof(text), "%s:%d", host, PORT_ADMIN);
    compute_text(l, "admin", "address", why, slice_of(text));
    l->c->listen.address_is_default = loader_source(l, listen) <= FROM_COMPUTED ||
                                      strcmp(loader_place(l, listen), "environment PORT") == 0;
    l->c->admin.address_is_default = loader_source(l, admin) <= FROM_COMPUTED;
    /* another user needs a directory that it may write, and ours stay ours */
    compute_below_runtime(l, "agent", "address",
                          "unix:", *l->c->agent.user ? "agent/agent.sock" : "agent.sock");
    compute_below_runtime(l, "control", "socket", "", "control.sock");
    compute_below_runtime(l, "control", "agent_socket", "", "agent-api/sidecar.sock");
    compute_below_runtime(l, "secrets", "dir", "", "secrets");
}

/* ~/.molecule/<workspace id>, the SDK's place; without a usable home a place that lives as long as
 * the machine runs. */
static void compute_state_dir(struct loader *l)
{
    const char *id = *l->c->workspace.id ? l->c->workspace.id : "local";
    CLEANUP(str_release) struct str s = {0};
    size_t row = loader_row("state", "dir");

    if (loader_source(l, row) != FROM_DEFAULT)
        return;
    if (l->home && l->home[0] == '/') {
        str_addf(&s, "%s/.molecule/%s", strcmp(l->home, "/") == 0 ? "" : l->home, id);
        if (s.p && facts_can_make_dir(l, s.p)) {
            compute_text(l, "state", "dir", "default, home directory", str_slice(&s));
            return;
        }
        str_truncate(&s, 0);
    }
    str_addf(&s, "%s/state", l->c->facts.runtime_dir);
    compute_text(l, "state", "dir", "default, no writable home", str_slice(&s));
    if (l->c->platform.enabled)
        report_warning(
            l->report,
            "state.dir: there is no writable home directory, so the token is kept in %s, "
            "which does not survive a restart of the machine or pod; set state.dir or "
            "CONFIGS_DIR to a lasting directory",
            str_z(&s));
}

static void compute_stop(struct loader *l)
{
    static const char *const phases[] = {"drain_delay", "drain_timeout", "agent_grace", "reserve"};
    bool is_kubernetes = l->c->facts.is_kubernetes;
    char text[FORMAT_MAX];

    compute_text(
        l, "stop", "grace", is_kubernetes ? "default, Kubernetes" : "default, no Kubernetes",
        slice_of(format_duration(is_kubernetes ? GRACE_KUBERNETES_MS : GRACE_ELSEWHERE_MS, text)));
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        size_t row = loader_row("stop", phases[i]);

        if (loader_source(l, row) == FROM_DEFAULT) {
            *value_number(l->c, &config_rows[row]) = -1;
            loader_note_origin(l, row, FROM_COMPUTED, "computed, see `plan`");
        }
    }
}

/* Who ends the agent of another container: in a pod a stop of ours is a stop of the pod. Elsewhere
 * nobody told us that the agent is ours to end. */
static void decide_peer(struct loader *l)
{
    struct config *c = l->c;
    bool is_pod = c->facts.is_kubernetes && !c->command;

    if (c->stop.peer != STOP_PEER_AUTO)
        return;
    c->stop.peer = is_pod ? STOP_PEER_SIGNAL : STOP_PEER_OFF;
    loader_note_origin(l, loader_row("stop", "peer"), FROM_COMPUTED,
                       c->command ? "auto: the agent is our child"
                       : is_pod   ? "auto: Kubernetes, no child"
                                  : "auto: no Kubernetes");
}

/* Words that stand for a decision. */
static void compute_decisions(struct loader *l)
{
    struct config *c = l->c;
    bool has_child = c->command != NULL;
    const char *why;

    compute_text(l, "secrets", "mode", has_child ? "default, with a child" : "default, no child",
                 has_child ? SLICE("env") : SLICE("off"));
    if (c->platform.delivery == DELIVERY_AUTO) {
        bool is_push = *c->platform.reported_url != '\0';

        c->platform.delivery = is_push ? DELIVERY_PUSH : DELIVERY_POLL;
        loader_note_origin(l, loader_row("platform", "delivery"), FROM_COMPUTED,
                           is_push ? "auto: platform.reported_url is set"
                                   : "auto: platform.reported_url is not set");
    }
    if (c->platform.on_removed == ON_REMOVED_AUTO) {
        bool is_hold = c->facts.is_kubernetes || !has_child;

        why = c->facts.is_kubernetes ? "auto: Kubernetes"
              : has_child            ? "auto: with a child"
                                     : "auto: no child";
        c->platform.on_removed = is_hold ? ON_REMOVED_HOLD : ON_REMOVED_EXIT;
        loader_note_origin(l, loader_row("platform", "on_removed"), FROM_COMPUTED, why);
    }
    decide_peer(l);
}

/* Forget one of token and token_file. */
static void drop_text(struct loader *l, size_t row, const char *because)
{
    struct value_in empty = {.place = because};

    (void)value_set(l->c, &config_rows[row], &empty, l->report);
    loader_note_origin(l, row, FROM_COMPUTED, because);
}

/* token and token_file are two ways to say one thing: the stronger source counts. The file's
 * content becomes the token. */
static void settle_token(struct loader *l)
{
    struct config_platform *p = &l->c->platform;
    size_t token = loader_row("platform", "token"), file = loader_row("platform", "token_file");
    CLEANUP(str_wipe) struct str content = {0};
    struct err err = {0};

    if (*p->token && *p->token_file) {
        if (loader_source(l, token) == FROM_FILE && loader_source(l, file) == FROM_FILE)
            (void)report_error(
                l->report,
                "platform.token (%s) and platform.token_file (%s) are both set; keep one",
                loader_place(l, token), loader_place(l, file));
        else if (loader_source(l, token) > loader_source(l, file))
            drop_text(l, file, "not used: platform.token comes from a stronger source");
        else
            drop_text(l, token, "not used: platform.token_file comes from a stronger source");
    }
    if (l->in->finds_running)
        return;
    if (*p->token_file && !*p->token) {
        if (file_read_secret(p->token_file, true, &content, &err) < 0) {
            (void)report_error(l->report, "platform.token_file (%s): %s", loader_place(l, file),
                               err.msg);
            return;
        }
        if (loader_set_text(l, token, loader_source(l, file), p->token_file, str_slice(&content)) <
            0)
            return;
    }
    p->token_is_explicit = *p->token != '\0';
}

static struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->origins = calloc(1, sizeof(*c->origins));
    if (c->origins) {
        c->origins->v = calloc(config_row_count, sizeof(*c->origins->v));
        c->origins->n = config_row_count;
    }
    for (size_t i = 0; i < config_row_count; i++) {
        if (value_init(c, &config_rows[i]) < 0) {
            config_free(c);
            return NULL;
        }
    }
    if (!c->origins || !c->origins->v) {
        config_free(c);
        return NULL;
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < config_row_count; i++)
        value_release(c, &config_rows[i]);
    for (size_t i = 0; c->origins && c->origins->v && i < c->origins->n; i++)
        free(c->origins->v[i].text);
    if (c->origins)
        free(c->origins->v);
    free(c->origins);
    user_release(&c->agent.run_as);
    free(c->facts.runtime_dir);
    free(c->facts.runtime_dir_from);
    free(c->facts.several);
    free(c);
}

const char *config_origin(const struct config *c, const char *key)
{
    int row = schema_find_dotted(slice_of(key));

    if (row < 0 || !c->origins->v[row].text)
        return "default";
    return c->origins->v[row].text;
}

static char *home_of(const struct loader *l)
{
    struct slice home = env_value(l, "HOME");

    return home.n > 0 ? slice_dup(home) : NULL;
}

int config_load(const struct config_input *in, struct config **ret, struct config_report *report)
{
    struct loader l = {.c = config_new(), .report = report, .in = in};
    CLEANUP(free_cleanup) char *home = NULL;

    if (!l.c)
        return report_error(report, "no memory for the configuration");
    if (in->system)
        l.system = *in->system;
    else
        l.system = (struct config_system){.root = "", .pid = getpid(), .uid = geteuid()};
    home = home_of(&l);
    l.home = home;
    l.c->command = in->command && in->command[0] ? in->command : NULL;
    facts_find(&l);
    source_flags(&l);
    source_environment(&l);
    load_file(&l);
    apply_defaults(&l);
    if (facts_runtime_dir(&l) < 0) {
        config_free(l.c);
        return report_error(report, "no memory for the configuration");
    }
    settle_token(&l);
    compute_addresses(&l);
    compute_state_dir(&l);
    compute_stop(&l);
    compute_decisions(&l);
    check_all(&l);
    if (report->error_count > 0) {
        config_free(l.c);
        return -EINVAL;
    }
    *ret = l.c;
    return 0;
}
