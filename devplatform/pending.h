/*
 * Files that people attach for a workspace that polls (P section 16): kept here until the agent has
 * fetched and acknowledged them, or until they are too old. One upload is one transaction: its rows
 * share one time.
 */
#ifndef DEVPLATFORM_PENDING_H
#define DEVPLATFORM_PENDING_H

#include "devplatform/world.h"

enum {
    PENDING_FILES_MAX = 64,                  /* of one upload */
    PENDING_FILE_BYTES = 25 * 1024 * 1024,   /* one file */
    PENDING_TOTAL_BYTES = 512 * 1024 * 1024, /* all that wait; more is refused with 503 */
    PENDING_NAME_MAX = 255,
    PENDING_TYPE_MAX = 127,
};

struct pending_file {
    struct list node;
    char id[WORLD_ID_LEN + 1];
    char workspace_id[WORLD_ID_LEN + 1];
    char name[PENDING_NAME_MAX + 1];
    char type[PENDING_TYPE_MAX + 1];
    int64_t uploaded_us; /* wall clock */
    char *bytes;         /* malloc'ed */
    size_t size;
};

struct pending {
    struct list files; /* struct pending_file, oldest first */
    size_t total_bytes;
    int64_t ttl_ms;
};

void pending_init(struct pending *p, int64_t ttl_ms);
void pending_release(struct pending *p);
/* A copy of `bytes`; NULL without memory or room. */
struct pending_file *pending_add(struct pending *p, const char *workspace_id, struct slice name,
                                 struct slice type, struct slice bytes);
struct pending_file *pending_find(const struct pending *p, const char *workspace_id,
                                  struct slice id); /* NULL when unknown or another workspace's */
void pending_remove(struct pending *p, struct pending_file *f);
/* One that is too old; NULL: none is. */
struct pending_file *pending_expired(const struct pending *p, int64_t now_us);
struct pending_file *pending_of(const struct pending *p, const char *workspace_id); /* the first */

#endif
