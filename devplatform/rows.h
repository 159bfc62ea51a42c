/*
 * The rows of the activity feed (P section 10), kept so that a page of the feed costs what is on
 * it: each workspace has its rows in the order of the feed, every row is found by its id, and the
 * oldest of all go when there are too many. In memory, no HTTP in here.
 *
 * A row is made (row_new), filled by its maker, and becomes visible (rows_insert). Its time is that
 * of its making, as the server's is that of its transaction: a row may become visible after younger
 * ones.
 */
#ifndef DEVPLATFORM_ROWS_H
#define DEVPLATFORM_ROWS_H

#include "base/list.h"
#include "base/slice.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ROWS_MAX_DEFAULT = 100000, /* rows of all workspaces: some 200 MB of ordinary messages */
    ROWS_ID_LEN = 36,
};

/* One row (P section 10.2). */
struct row {
    struct list node; /* by seq, of those that are visible */
    struct row *next_in_bucket;
    char id[ROWS_ID_LEN + 1];
    char workspace_id[ROWS_ID_LEN + 1];
    char type[24];
    char source_id[ROWS_ID_LEN + 1]; /* "" = null */
    char target_id[ROWS_ID_LEN + 1]; /* "" = null */
    char *method;                    /* malloc'ed or NULL = null, like summary and error_detail */
    char *summary;
    char *error_detail;
    char status[16];
    int64_t seq;            /* in the order they were made, from 1; shown by later platforms */
    int64_t duration_ms;    /* -1 = null */
    int64_t created_us;     /* wall clock */
    char *request_body;     /* JSON text, malloc'ed; NULL: the key is absent */
    char *response_body;    /* JSON text; NULL: see has_response_body */
    bool has_response_body; /* with response_body NULL: a present null */
};

/* The rows of one workspace by (created_us, seq); embedded in struct workspace. */
struct row_feed {
    struct row **at; /* at[first] is the oldest */
    size_t first, count, cap;
};

struct rows {
    struct list all;      /* struct row that are visible, by seq but for late ones */
    struct row **buckets; /* by id */
    size_t bucket_count, count, max;
    int64_t last_seq;   /* of the youngest row ever made */
    int64_t lost_until; /* since_id of rows up to this seq is not known any more; 0 = none */
};

void rows_init(struct rows *s);

/* ---- one row ---- */
/* A row that nobody sees yet: ids, time, seq, status "ok", duration null. NULL without memory. */
struct row *row_new(struct rows *s, const char *workspace_id, const char *type);
void row_free(struct row *r);                                  /* one that is not visible */
void row_set_request(struct row *r, struct json_object *body); /* keeps its text; NULL: absent */
/* NULL: a present null, as for an answer that was no JSON */
void row_set_response(struct row *r, struct json_object *body);
/* as the feed shows it; a new reference. has_seq: with `seq`, as later platforms do */
struct json_object *row_to_json(const struct row *r, bool has_seq);

/* ---- the store ---- */
/* Makes it visible in its workspace's feed. 0, or -ENOMEM: it is still the caller's. Too many rows
 * are the owner's to remove (world_show_row). */
int rows_insert(struct rows *s, struct row_feed *feed, struct row *r);
struct row *rows_find(const struct rows *s, struct slice id);           /* NULL when unknown */
void rows_remove(struct rows *s, struct row_feed *feed, struct row *r); /* frees it */
void rows_release(struct rows *s, struct row_feed *feed); /* all rows of a workspace */
void rows_close(struct rows *s);                          /* after every feed was released */

/* The index of the first row that is younger than (us, seq); feed->count when none is. */
size_t row_feed_after(const struct row_feed *feed, int64_t us, int64_t seq);
static inline struct row *row_feed_at(const struct row_feed *feed, size_t i)
{
    return feed->at[feed->first + i];
}

#endif
