/*
 * A ring of log entries and a printer. What an entry holds is call.c's business.
 */
#include "devplatform/devlog.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int devlog_init(struct devlog *log, bool is_quiet)
{
    *log = (struct devlog){.next_seq = 1, .is_quiet = is_quiet};
    log->entries = calloc(DEVLOG_MAX, sizeof(struct json_object *));
    return log->entries ? 0 : -ENOMEM;
}

void devlog_release(struct devlog *log)
{
    for (size_t i = 0; i < log->count; i++)
        json_object_put(log->entries[(log->first + i) % DEVLOG_MAX]);
    free(log->entries);
    *log = (struct devlog){0};
}

void devlog_add(struct devlog *log, struct json_object *entry)
{
    json_object_object_add(entry, "seq", json_object_new_int64(log->next_seq++));
    if (log->count == DEVLOG_MAX) {
        json_object_put(log->entries[log->first]);
        log->entries[log->first] = entry;
        log->first = (log->first + 1) % DEVLOG_MAX;
    } else {
        log->entries[(log->first + log->count++) % DEVLOG_MAX] = entry;
    }
}

static bool text_starts(struct json_object *entry, const char *key, const char *prefix)
{
    struct json_object *v = json_object_object_get(entry, key);

    return slice_starts_with(slice_of(json_object_get_string(v)), slice_of(prefix));
}

struct json_object *devlog_list(const struct devlog *log, int64_t since, const char *method,
                                const char *path)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < log->count; i++) {
        struct json_object *entry = log->entries[(log->first + i) % DEVLOG_MAX];
        if (json_object_get_int64(json_object_object_get(entry, "seq")) <= since)
            continue;
        if (text_starts(entry, "method", method) && text_starts(entry, "path", path))
            json_object_array_add(list, json_object_get(entry));
    }
    return list;
}

void devlog_say(const struct devlog *log, const char *fmt, ...)
{
    CLEANUP(str_release) struct str line = {0};
    CLEANUP(str_release) struct str shown = {0};
    char now[CLOCK_TEXT_MAX];
    va_list ap;

    if (log->is_quiet)
        return;
    va_start(ap, fmt);
    str_vaddf(&line, fmt, ap);
    va_end(ap);
    str_add_printable(&shown, str_slice(&line), 1000);
    clock_wall_text(clock_wall_ms(), now);
    printf("%.12s  %s\n", now + 11, str_z(&shown)); /* the time of day of an RFC 3339 text */
    fflush(stdout);
}
