/*
 * Looking things up in the table: names in the three sources, nearest names, ranges and defaults in
 * words. The rows are table.c's.
 */
#include "config/schema.h"

#include "base/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { NEAR_MAX = 4 }; /* a name more than 3 edits away is not what was meant */

/* Short names must be nearer, or everything looks like everything. */
static size_t near_limit(struct slice name)
{
    if (name.n == 0)
        return 0;
    return name.n / 2 + 2 < NEAR_MAX ? name.n / 2 + 2 : NEAR_MAX;
}

int schema_find(const char *section, const char *key)
{
    for (size_t i = 0; i < config_row_count; i++) {
        if (strcmp(config_rows[i].section, section) == 0 && strcmp(config_rows[i].key, key) == 0)
            return (int)i;
    }
    return -1;
}

int schema_find_dotted(struct slice dotted)
{
    char name[CONFIG_KEY_MAX];

    for (size_t i = 0; i < config_row_count; i++) {
        if (slice_eq(slice_of(schema_dotted(&config_rows[i], name)), dotted))
            return (int)i;
    }
    return -1;
}

bool schema_has_section(const char *section)
{
    for (size_t i = 0; i < config_row_count; i++) {
        if (strcmp(config_rows[i].section, section) == 0)
            return true;
    }
    return false;
}

const char *schema_dotted(const struct config_row *row, char buf[CONFIG_KEY_MAX])
{
    (void)snprintf(buf, CONFIG_KEY_MAX, "%s.%s", row->section, row->key);
    return buf;
}

const char *schema_flag(const struct config_row *row, char buf[CONFIG_KEY_MAX])
{
    (void)snprintf(buf, CONFIG_KEY_MAX, "--%s-%s", row->section, row->key);
    for (char *p = buf; *p; p++) {
        if (*p == '_')
            *p = '-';
    }
    return buf;
}

const char *schema_env(const struct config_row *row, char buf[CONFIG_ENV_MAX])
{
    (void)snprintf(buf, CONFIG_ENV_MAX, CONFIG_ENV_PREFIX "%s_%s", row->section, row->key);
    for (char *p = buf; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return buf;
}

const char *schema_nearest_key(struct slice dotted, char buf[CONFIG_KEY_MAX])
{
    size_t best = near_limit(dotted);
    const struct config_row *found = NULL;
    const char *dot = dotted.n > 0 ? memchr(dotted.p, '.', dotted.n) : NULL;
    struct slice key = dotted;

    for (size_t i = 0; i < config_row_count; i++) {
        size_t d = edit_distance(dotted, slice_of(schema_dotted(&config_rows[i], buf)), best);

        if (d < best) {
            best = d;
            found = &config_rows[i];
        }
    }
    /* The right key in the wrong section. */
    if (dot) {
        key.p = dot + 1;
        key.n = dotted.n - (size_t)(dot + 1 - dotted.p);
    }
    /* Only the section is like it: no hint. */
    if (found && dot && edit_distance(key, slice_of(found->key), key.n) >= key.n)
        found = NULL;
    for (size_t i = 0; !found && i < config_row_count; i++) {
        if (slice_eq(key, slice_of(config_rows[i].key)))
            found = &config_rows[i];
    }
    return found ? schema_dotted(found, buf) : NULL;
}

const char *schema_nearest_section(struct slice name)
{
    size_t best = near_limit(name);
    const char *found = NULL;

    for (size_t i = 0; i < config_row_count; i++) {
        size_t d = edit_distance(name, slice_of(config_rows[i].section), best);

        if (d < best) {
            best = d;
            found = config_rows[i].section;
        }
    }
    return found;
}

const char *schema_nearest_flag(struct slice flag, char buf[CONFIG_KEY_MAX])
{
    size_t best = near_limit(flag);
    const struct config_row *found = NULL;

    for (size_t i = 0; i < config_row_count; i++) {
        size_t d = edit_distance(flag, slice_of(schema_flag(&config_rows[i], buf)), best);

        if (d < best) {
            best = d;
            found = &config_rows[i];
        }
    }
    if (edit_distance(flag, SLICE("--config"), best) < best) {
        (void)snprintf(buf, CONFIG_KEY_MAX, "--config");
        return buf;
    }
    /* Only the key was written: --address, --grace. */
    for (size_t i = 0; !found && i < config_row_count; i++) {
        struct slice full = slice_of(schema_flag(&config_rows[i], buf));

        if (flag.n > 2 && slice_ends_with(full, (struct slice){flag.p + 1, flag.n - 1}))
            found = &config_rows[i];
    }
    return found ? schema_flag(found, buf) : NULL;
}

const char *schema_nearest_env(struct slice name, char buf[CONFIG_ENV_MAX])
{
    size_t best = near_limit(name);
    const struct config_row *found = NULL;

    for (size_t i = 0; i < config_row_count; i++) {
        size_t d = edit_distance(name, slice_of(schema_env(&config_rows[i], buf)), best);

        if (d < best) {
            best = d;
            found = &config_rows[i];
        }
    }
    return found ? schema_env(found, buf) : NULL;
}

static void add_words(struct str *out, const struct config_row *row)
{
    for (size_t i = 0; row->words[i]; i++) {
        if (i > 0)
            str_addz(out, row->words[i + 1] ? ", " : " or ");
        str_addz(out, row->words[i]);
    }
}

void schema_add_range(struct str *out, const struct config_row *row)
{
    char low[FORMAT_MAX], high[FORMAT_MAX];

    switch (row->type) {
    case TYPE_BOOL:
        str_addz(out, "true or false");
        break;
    case TYPE_INT:
        str_addf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
        if (row->unit)
            str_addf(out, " %s", row->unit);
        break;
    case TYPE_DURATION:
        str_addf(out, "%s to %s", format_duration(row->min, low), format_duration(row->max, high));
        break;
    case TYPE_SIZE:
        str_addf(out, "%s to %s", format_size(row->min, low), format_size(row->max, high));
        break;
    case TYPE_ENUM:
        add_words(out, row);
        break;
    case TYPE_STRING:
        str_addz(out, row->flags & ROW_FROM_SLASH ? "a path that begins with /" : "text");
        break;
    case TYPE_PATH:
        str_addz(out, "a path");
        break;
    case TYPE_URL:
        str_addz(out, "an http or https URL");
        break;
    case TYPE_UUID:
        str_addz(out, "a UUID");
        break;
    case TYPE_ENDPOINT:
        str_addz(out, "unix:/path, address:port or :port");
        break;
    case TYPE_LIST:
        str_addz(out, "a list");
        break;
    case TYPE_SIGNAL:
        str_addz(out, "a signal, such as TERM");
        break;
    case TYPE_SIGNALS:
        str_addz(out, "a signal, such as TERM, or several with their times, such as USR1 wait 20s, "
                      "TERM wait 10s, KILL");
        break;
    case TYPE_OCTAL:
        str_addf(out, "000 to %03llo", (unsigned long long)row->max);
        break;
    }
    if (row->flags & ROW_ZERO_OFF)
        str_addz(out, ", or 0");
}

void schema_add_reserved(struct str *out, const struct config_row *row)
{
    str_addf(out, "%s is not in this version; remove the key", row->reserved.what);
    if (row->reserved.instead)
        str_addf(out, " and %s", row->reserved.instead);
}

void schema_add_default(struct str *out, const struct config_row *row)
{
    if (row->fallback_words && row->fallback && *row->fallback)
        str_addf(out, "%s: %s", row->fallback, row->fallback_words);
    else if (row->fallback_words)
        str_addz(out, row->fallback_words);
    else if (row->fallback && *row->fallback)
        str_addz(out, row->fallback);
    else
        str_addz(out, row->type == TYPE_LIST ? "empty" : "not set");
}
