/*
 * The announced files that are known, by the order of their announcements and by id. uploads.c says
 * what becomes of each; nothing here but memory.
 */
#ifndef INBOX_UPLOAD_TABLE_H
#define INBOX_UPLOAD_TABLE_H

#include "base/hash.h"
#include "base/list.h"
#include "store/journal.h"
#include "store/upload_files.h"

enum {
    UPLOADS_KNOWN_MAX = 4096,   /* announcements in memory; the oldest ended ones go */
    UPLOADS_WAITING_MAX = 1024, /* of them not fetched yet; the oldest are given up */
    UPLOADS_BUCKETS = 1024,     /* of the hash of ids */
    UPLOAD_ID_MAX = 64,
};

enum upload_step { UPLOAD_WAITING = 0, UPLOAD_STORED, UPLOAD_DONE, UPLOAD_GONE };

struct upload {
    struct list node; /* in the order of their announcements */
    struct list bucket;
    enum upload_step step; /* upload_set_step */
    char file_id[UPLOAD_ID_MAX + 1];
    char row_id[JOURNAL_ID_LEN + 1];
    int64_t seq;
    char safe_name[UPLOAD_NAME_BYTES];
    char *path; /* owned; NULL = not stored */
    unsigned failures;
    int64_t due_ms, seen_ms; /* loop time */
};

struct upload_table {
    struct list all;
    struct list buckets[UPLOADS_BUCKETS];
    struct hash_key hash;
    size_t n, waiting;
};

void upload_table_init(struct upload_table *t);
void upload_table_clear(struct upload_table *t);
/* Without regard to case; NULL = not known. */
struct upload *upload_find(struct upload_table *t, struct slice file_id);
/* up (of malloc) with its file_id and step; from then on it is the table's. */
void upload_add(struct upload_table *t, struct upload *up);
void upload_set_step(struct upload_table *t, struct upload *up, enum upload_step step);
void upload_forget(struct upload_table *t, struct upload *up); /* frees it */
/* Forgets ended ones until there is room for one more; false: there is none. */
bool upload_make_room(struct upload_table *t);
/* NULL: there is none but `other` */
struct upload *upload_oldest_waiting(struct upload_table *t, const struct upload *other);

#endif
