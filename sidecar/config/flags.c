/*
 * The command line: --section-key VALUE or --section-key=VALUE for every key, and --config FILE.
 * Values that may be secret are never repeated in a sentence.
 */
#include "config/source.h"

#include "config/report.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct flag_list { /* values of one list row, gathered over repeated flags */
    struct slice items[CONFIG_LIST_MAX + 1];
    size_t n;
};

/* Row of "--listen-address" (underscores do as well), or -1. */
static int row_of_flag(struct slice flag)
{
    char wanted[CONFIG_KEY_MAX], known[CONFIG_KEY_MAX];

    if (flag.n >= sizeof(wanted))
        return -1;
    for (size_t i = 0; i < flag.n; i++)
        wanted[i] = flag.p[i] == '_' ? '-' : flag.p[i];
    wanted[flag.n] = '\0';
    for (size_t i = 0; i < config_row_count; i++) {
        if (strcmp(wanted, schema_flag(&config_rows[i], known)) == 0)
            return (int)i;
    }
    return -1;
}

static bool looks_like_flag(const char *arg)
{
    return strncmp(arg, "--", 2) == 0;
}

static void refuse_unknown(struct loader *l, struct slice flag)
{
    char buf[CONFIG_KEY_MAX];
    const char *near = schema_nearest_flag(flag, buf);

    (void)report_error(l->report, "unknown flag %s%s%s%s", value_shown(flag).z,
                       near ? "; did you mean " : "; molecule-sidecar run --help lists them all",
                       near ? near : "", near ? "?" : "");
}

static void refuse_secret(struct loader *l, size_t row, const char *place)
{
    char key[CONFIG_KEY_MAX], env[CONFIG_ENV_MAX];
    bool is_token = strcmp(config_rows[row].key, "token") == 0;

    (void)report_error(
        l->report,
        "%s: a secret on the command line can be read by every user of this machine; "
        "use the variable %s, the key %s in the configuration file%s",
        place, is_token ? "MOLECULE_WORKSPACE_TOKEN" : schema_env(&config_rows[row], env),
        schema_dotted(&config_rows[row], key), is_token ? " or --platform-token-file" : "");
}

/* One value of a list row: gathered, so that repeating the flag adds. */
static void add_items(struct flag_list *list, const struct config_row *row, struct slice value)
{
    struct slice item;

    if (row->flags & ROW_WHOLE_ITEMS) {
        if (list->n <= CONFIG_LIST_MAX)
            list->items[list->n++] = value;
        return;
    }
    while (list->n <= CONFIG_LIST_MAX && slice_next(&value, ',', &item)) {
        if (item.n > 0)
            list->items[list->n++] = item;
    }
}

struct flag_state {
    struct loader *l;
    bool *seen;              /* per row */
    struct flag_list **list; /* per row; owned */
    bool has_file;
};

static void take_value(struct flag_state *s, size_t row, const char *place, const char *value)
{
    struct loader *l = s->l;
    bool is_list = config_rows[row].type == TYPE_LIST && !config_rows[row].reserved.what;

    if (s->seen[row] && !is_list) {
        (void)report_error(l->report, "%s is given twice", place);
        return;
    }
    s->seen[row] = true;
    if (!is_list) {
        (void)loader_set_text(l, row, FROM_FLAG, place, slice_of(value));
        return;
    }
    if (!s->list[row])
        s->list[row] = calloc(1, sizeof(*s->list[row]));
    if (!s->list[row]) {
        (void)report_error(l->report, "%s: no memory", place);
        return;
    }
    add_items(s->list[row], &config_rows[row], slice_of(value));
}

/* One argument and, unless it is --flag=value, the one behind it. Returns how many were used. */
static int take_argument(struct flag_state *s, char **args)
{
    struct loader *l = s->l;
    const char *eq = strchr(args[0], '=');
    struct slice flag = {args[0], eq ? (size_t)(eq - args[0]) : strlen(args[0])};
    const char *value = eq ? eq + 1 : NULL;
    char place[CONFIG_KEY_MAX + 8];
    int row, used = 1;

    if (!looks_like_flag(args[0])) {
        (void)report_error(l->report, "unexpected argument %s; the agent's command comes after --",
                           value_shown(flag).z);
        return 1;
    }
    if (!value && args[1] && !looks_like_flag(args[1])) {
        value = args[1];
        used = 2;
    }
    (void)snprintf(place, sizeof(place), "flag %.*s", (int)(flag.n < 60 ? flag.n : 60), flag.p);
    row = row_of_flag(flag);
    if (slice_eq(flag, SLICE("--config"))) {
        if (!value || !*value)
            (void)report_error(l->report, "%s needs a file name", place);
        else if (s->has_file)
            (void)report_error(l->report, "%s is given twice", place);
        else
            l->file = value;
        s->has_file = true;
    } else if (row < 0) {
        refuse_unknown(l, flag); /* its value, if it was one, goes with it unseen */
    } else if (config_rows[row].flags & ROW_NO_FLAG) {
        refuse_secret(l, (size_t)row, place);
    } else if (!value) {
        (void)report_error(l->report,
                           "%s needs a value (a value that begins with -- is written "
                           "%.*s=VALUE)",
                           place, (int)flag.n, flag.p);
    } else {
        take_value(s, (size_t)row, place, value);
    }
    return used;
}

void source_flags(struct loader *l)
{
    struct flag_state s = {.l = l};

    s.seen = calloc(config_row_count, sizeof(*s.seen));
    s.list = calloc(config_row_count, sizeof(struct flag_list *));
    if (!s.seen || !s.list) {
        (void)report_error(l->report, "no memory for the flags");
    } else {
        for (char **a = l->in->args; a && *a && strcmp(*a, "--") != 0;)
            a += take_argument(&s, a);
        for (size_t i = 0; i < config_row_count; i++) {
            char flag[CONFIG_KEY_MAX], place[CONFIG_KEY_MAX + 8];

            if (!s.list[i])
                continue;
            (void)snprintf(place, sizeof(place), "flag %s", schema_flag(&config_rows[i], flag));
            (void)loader_set_items(l, i, FROM_FLAG, place, s.list[i]->items, s.list[i]->n);
            free(s.list[i]);
        }
    }
    free(s.seen);
    free(s.list);
}
