/*
 * What a service's unit files say about its stop and its watchdog. systemd is not asked: a call to
 * it could block, and its files say the same unless somebody forgot daemon-reload.
 */
#include "app/surroundings.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/parse.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNIT_FILE_MAX = 256 * 1024, /* bytes read of one file */
    UNIT_DROPINS_MAX = 64,      /* *.conf files of one unit that are looked at */
    STOP_DEFAULT_MS = 90000,    /* DefaultTimeoutStopSec when nobody sets it */
};

/* Where units are looked for; the first one counts. */
static const char *const unit_dirs[] = {
    "/etc/systemd/system",    "/run/systemd/transient",        "/run/systemd/system",
    "/run/systemd/generator", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system",
};
enum { UNIT_DIR_COUNT = sizeof(unit_dirs) / sizeof(unit_dirs[0]) };

static const struct {
    const char *name;
    int64_t ms;
} time_units[] = {
    {"ms", 1},          {"msec", 1},        {"s", 1000},         {"sec", 1000},
    {"second", 1000},   {"seconds", 1000},  {"m", 60000},        {"min", 60000},
    {"minute", 60000},  {"minutes", 60000}, {"h", 3600000},      {"hr", 3600000},
    {"hour", 3600000},  {"hours", 3600000}, {"d", 86400000},     {"day", 86400000},
    {"days", 86400000}, {"w", 604800000},   {"week", 604800000}, {"weeks", 604800000},
};

static size_t span_of(struct slice s, const char *set)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != '\0' && strchr(set, s.p[n]))
        n++;
    return n;
}

static struct slice cut_front(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

/* A number and its unit off the front of *rest; without one it is seconds. */
static int take_time(struct slice *rest, int64_t *ret_ms)
{
    size_t digits = span_of(*rest, "0123456789");
    int64_t number;
    int64_t unit_ms = 1000;
    struct slice word;

    if (parse_int64((struct slice){rest->p, digits}, 0, INT32_MAX, &number) < 0)
        return -EINVAL;
    *rest = slice_trim(cut_front(*rest, digits));
    word = (struct slice){rest->p, span_of(*rest, "abcdefghijklmnopqrstuvwxyz")};
    for (size_t i = 0; word.n > 0 && i <= sizeof(time_units) / sizeof(time_units[0]); i++) {
        if (i == sizeof(time_units) / sizeof(time_units[0]))
            return -EINVAL;
        if (slice_eq(word, slice_of(time_units[i].name))) {
            unit_ms = time_units[i].ms;
            break;
        }
    }
    *rest = slice_trim(cut_front(*rest, word.n));
    *ret_ms = number * unit_ms; /* below 2^31 times 2^30 */
    return 0;
}

int unit_time_parse(struct slice text, int64_t *ret_ms)
{
    struct slice rest = slice_trim(text);
    int64_t sum = 0;
    int64_t part;

    if (slice_eq(rest, SLICE("infinity"))) {
        *ret_ms = -1;
        return 0;
    }
    if (rest.n == 0)
        return -EINVAL;
    while (rest.n > 0) {
        if (take_time(&rest, &part) < 0 || __builtin_add_overflow(sum, part, &sum))
            return -EINVAL;
    }
    *ret_ms = sum == 0 ? -1 : sum; /* 0 switches the limit off, too */
    return 0;
}

struct setting { /* a time that is wanted, and where it goes; a list of them ends without a key */
    const char *section, *key, *other;
    int64_t default_ms;
    int64_t *ret_ms;
    char *ret_place; /* UNIT_PLACE_MAX; NULL: nobody asks */
};

static void take(const struct setting *s, int64_t ms, const char *place)
{
    *s->ret_ms = ms;
    if (s->ret_place)
        (void)snprintf(s->ret_place, UNIT_PLACE_MAX, "%s", place);
}

static void back_to_default(const struct setting *s)
{
    take(s, s->default_ms, "systemd's default");
}

static void assign(const struct setting *s, struct slice value, const char *path)
{
    int64_t ms;

    if (value.n == 0)
        back_to_default(s);
    else if (unit_time_parse(value, &ms) == 0)
        take(s, ms, path);
}

/* The last assignment of each key in its section of the file. False: the file is not there. */
static bool read_settings(const char *path, const struct setting *wanted)
{
    CLEANUP(str_release) struct str text = {0};
    struct slice rest, line, section = {0};

    if (file_read(path, UNIT_FILE_MAX, &text, NULL) < 0)
        return false;
    rest = str_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        const char *eq = line.n > 0 ? memchr(line.p, '=', line.n) : NULL;
        struct slice name, value;

        if (line.n > 1 && line.p[0] == '[') {
            section = (struct slice){line.p + 1, line.n - 2};
            continue;
        }
        if (!eq)
            continue;
        name = slice_trim((struct slice){line.p, (size_t)(eq - line.p)});
        value = slice_trim(cut_front(line, (size_t)(eq - line.p) + 1));
        for (const struct setting *s = wanted; s->key; s++) {
            if (slice_eq(section, slice_of(s->section)) &&
                (slice_eq(name, slice_of(s->key)) || slice_eq(name, slice_of(s->other))))
                assign(s, value, path);
        }
    }
    return true;
}

static int is_conf(const struct dirent *d)
{
    return slice_ends_with(slice_of(d->d_name), SLICE(".conf"));
}

/* Drop-ins of all directories; of later ones in unit_dirs first, so that the stronger come last.
 * (systemd goes by file name alone where two directories have files of other names.) */
static void read_dropins(const char *root, const char *name, const struct setting *wanted)
{
    for (size_t i = UNIT_DIR_COUNT; i-- > 0;) {
        char dir[PATH_MAX], path[PATH_MAX];
        struct dirent **list = NULL;
        int n;

        (void)snprintf(dir, sizeof(dir), "%s%s/%s.d", root, unit_dirs[i], name);
        n = scandir(dir, &list, is_conf, alphasort);
        for (int k = 0; k < n; k++) {
            if (k < UNIT_DROPINS_MAX &&
                snprintf(path, sizeof(path), "%s/%s", dir, list[k]->d_name) < (int)sizeof(path))
                (void)read_settings(path, wanted);
            free(list[k]);
        }
        free(list);
    }
}

/* The innermost unit of our cgroup if it is a service: "0::/system.slice/x.service". In a scope
 * below one (a terminal below user@1000.service) we are not what that service starts. */
static void find_unit(const char *root, struct unit_facts *u)
{
    CLEANUP(str_release) struct str text = {0};
    char path[PATH_MAX];
    struct slice rest, line, part;

    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (file_read(path, UNIT_FILE_MAX, &text, NULL) < 0)
        return;
    rest = str_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        if (!slice_starts_with(line, SLICE("0::/")) && !memmem(line.p, line.n, "name=systemd", 12))
            continue;
        while (slice_next(&line, '/', &part)) {
            if (slice_ends_with(part, SLICE(".service")) && part.n < sizeof(u->name)) {
                memcpy(u->name, part.p, part.n);
                u->name[part.n] = '\0';
            } else if (slice_ends_with(part, SLICE(".scope")) ||
                       slice_ends_with(part, SLICE(".slice"))) {
                u->name[0] = '\0';
            }
        }
    }
}

/* "x@y.service" is made from "x@.service"; the unit's own file counts first. */
static bool read_fragment(const char *root, const char *name, const struct setting *wanted)
{
    const char *at = strchr(name, '@');
    char path[PATH_MAX];

    for (size_t i = 0; i < 2 * UNIT_DIR_COUNT; i++) {
        if (i < UNIT_DIR_COUNT)
            (void)snprintf(path, sizeof(path), "%s%s/%s", root, unit_dirs[i], name);
        else if (at)
            (void)snprintf(path, sizeof(path), "%s%s/%.*s@.service", root,
                           unit_dirs[i - UNIT_DIR_COUNT], (int)(at - name), name);
        else
            return false;
        if (read_settings(path, wanted))
            return true;
    }
    return false;
}

void unit_facts_read(const char *root, struct unit_facts *ret)
{
    const struct setting of_all[] = {{"Manager", "DefaultTimeoutStopSec", "DefaultTimeoutStopSec",
                                      STOP_DEFAULT_MS, &ret->stop_ms, ret->place},
                                     {0}};
    const struct setting of_unit[] = {
        {"Service", "TimeoutStopSec", "TimeoutSec", STOP_DEFAULT_MS, &ret->stop_ms, ret->place},
        {"Service", "WatchdogSec", "WatchdogSec", 0, &ret->watchdog_ms, NULL},
        {0}};
    char path[PATH_MAX];

    *ret = (struct unit_facts){.has_notify = getenv("NOTIFY_SOCKET") != NULL};
    for (const struct setting *s = of_unit; s->key; s++)
        back_to_default(s);
    find_unit(root, ret);
    if (!ret->name[0])
        return;
    (void)snprintf(path, sizeof(path), "%s/etc/systemd/system.conf", root);
    (void)read_settings(path, of_all);
    ret->is_known = read_fragment(root, ret->name, of_unit);
    read_dropins(root, ret->name, of_unit);
    if (ret->watchdog_ms < 0)
        ret->watchdog_ms = 0; /* "infinity" and 0 are both none */
}
