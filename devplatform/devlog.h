/*
 * What happened: the last calls for GET /dev/log, and the story on stdout, one line per event.
 * Tokens are masked, bodies appear only where a handler says what to show.
 */
#ifndef DEVPLATFORM_DEVLOG_H
#define DEVPLATFORM_DEVLOG_H

#include "base/slice.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVLOG_MAX = 5000 /* entries kept; the oldest go */ };

struct devlog {
    struct json_object **entries; /* a ring of objects as GET /dev/log shows them */
    size_t first, count;
    int64_t next_seq; /* of the next entry; the first is 1 */
    bool is_quiet;    /* no story */
};

int devlog_init(struct devlog *log, bool is_quiet); /* 0 or -ENOMEM */
void devlog_release(struct devlog *log);
void devlog_add(struct devlog *log,
                struct json_object *entry); /* takes the reference; gives it a seq */
/* Entries with seq > since whose path begins with `path` and whose method is `method` (both may be
 * ""). A new array. */
struct json_object *devlog_list(const struct devlog *log, int64_t since, const char *method,
                                const char *path);

/* One line of story: time, then the sentence. Control characters are escaped. */
void devlog_say(const struct devlog *log, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
