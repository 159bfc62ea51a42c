/*
 * A sorted array per workspace, one hash table of ids, one list by age. What a row means and who
 * may see it is the handlers' business.
 */
#include "devplatform/rows.h"

#include "base/parse.h"
#include "devplatform/fields.h"
#include "devplatform/world.h"

#include <errno.h>
#include <stdlib.h>

enum { BUCKETS_MIN = 1024, FEED_MIN = 64 };

void rows_init(struct rows *s)
{
    *s = (struct rows){.max = ROWS_MAX_DEFAULT};
    list_init(&s->all);
}

/* ---- one row
 * ---------------------------------------------------------------------------------------------------
 */

struct row *row_new(struct rows *s, const char *workspace_id, const char *type)
{
    struct row *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    uuid_make(r->id);
    text_copy(r->workspace_id, sizeof(r->workspace_id), slice_of(workspace_id));
    text_copy(r->type, sizeof(r->type), slice_of(type));
    text_copy(r->status, sizeof(r->status), SLICE("ok"));
    r->seq = ++s->last_seq;
    r->duration_ms = -1;
    r->created_us = wall_us();
    return r;
}

void row_free(struct row *r)
{
    free(r->method);
    free(r->summary);
    free(r->error_detail);
    free(r->request_body);
    free(r->response_body);
    free(r);
}

static void set_json(char **dst, struct json_object *body)
{
    text_set(dst, body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE)
                       : NULL);
}

void row_set_request(struct row *r, struct json_object *body)
{
    set_json(&r->request_body, body);
}

void row_set_response(struct row *r, struct json_object *body)
{
    set_json(&r->response_body, body);
    r->has_response_body = true;
}

/* A value that prints the text it was given: bodies need not be parsed to be shown. The text must
 * live as long as the value: pages are printed before rows can go. */
static struct json_object *json_of_text(char *text)
{
    struct json_object *o = json_object_new_object();

    json_object_set_serializer(o, json_object_userdata_to_json_string, text, NULL);
    return o;
}

struct json_object *row_to_json(const struct row *r, bool has_seq)
{
    struct json_object *o = json_object_new_object();
    char time[WORLD_TIME_MAX];

    json_add_text(o, "id", r->id);
    json_add_text(o, "workspace_id", r->workspace_id);
    json_add_text(o, "activity_type", r->type);
    json_add_text(o, "source_id", r->source_id);
    json_add_text(o, "target_id", r->target_id);
    json_add_text(o, "method", r->method);
    json_add_text(o, "summary", r->summary);
    json_object_object_add(o, "duration_ms",
                           r->duration_ms < 0 ? NULL : json_object_new_int64(r->duration_ms));
    json_add_text(o, "status", r->status);
    json_add_text(o, "error_detail", r->error_detail);
    json_add_text(o, "created_at", time_text(r->created_us, time));
    if (has_seq)
        json_object_object_add(o, "seq", json_object_new_int64(r->seq));
    if (r->request_body)
        json_object_object_add(o, "request_body", json_of_text(r->request_body));
    if (r->has_response_body)
        json_object_object_add(o, "response_body",
                               r->response_body ? json_of_text(r->response_body) : NULL);
    return o;
}

/* ---- by id
 * -----------------------------------------------------------------------------------------------------
 */

static size_t bucket_of(const struct rows *s, struct slice id)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a; ids are random, any spreading will do */

    for (size_t i = 0; i < id.n; i++) {
        h ^= (unsigned char)(id.p[i] | 0x20); /* hex of any case */
        h *= 1099511628211ULL;
    }
    return (size_t)(h & (s->bucket_count - 1));
}

static void bucket_add(struct rows *s, struct row *r)
{
    size_t b = bucket_of(s, slice_of(r->id));

    r->next_in_bucket = s->buckets[b];
    s->buckets[b] = r;
}

/* A power of two, at least as many as there are rows. */
static int buckets_grow(struct rows *s)
{
    size_t n = s->bucket_count ? s->bucket_count * 2 : BUCKETS_MIN;
    struct row **more;

    if (s->count < s->bucket_count)
        return 0;
    more = calloc(n, sizeof(struct row *));
    if (!more)
        return -ENOMEM;
    free(s->buckets);
    s->buckets = more;
    s->bucket_count = n;
    LIST_FOREACH(it, &s->all)
    bucket_add(s, container_of(it, struct row, node));
    return 0;
}

static void bucket_remove(struct rows *s, struct row *r)
{
    struct row **at = &s->buckets[bucket_of(s, slice_of(r->id))];

    while (*at != r)
        at = &(*at)->next_in_bucket;
    *at = r->next_in_bucket;
}

struct row *rows_find(const struct rows *s, struct slice id)
{
    struct row *r = s->bucket_count ? s->buckets[bucket_of(s, id)] : NULL;

    while (r && !slice_eq_nocase(id, slice_of(r->id)))
        r = r->next_in_bucket;
    return r;
}

/* ---- by time
 * ---------------------------------------------------------------------------------------------------
 */

static bool is_younger(const struct row *r, int64_t us, int64_t seq)
{
    return r->created_us != us ? r->created_us > us : r->seq > seq;
}

size_t row_feed_after(const struct row_feed *feed, int64_t us, int64_t seq)
{
    size_t low = 0, high = feed->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (is_younger(row_feed_at(feed, mid), us, seq))
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Room for one more behind the last: moves to the front when half is empty there, else grows. */
static int feed_reserve(struct row_feed *feed)
{
    size_t cap = feed->cap ? feed->cap * 2 : FEED_MIN;
    struct row **more;

    if (feed->first + feed->count < feed->cap)
        return 0;
    if (feed->first > feed->cap / 2) {
        memmove(feed->at, feed->at + feed->first, feed->count * sizeof(struct row *));
        feed->first = 0;
        return 0;
    }
    more = realloc(feed->at, cap * sizeof(struct row *));
    if (!more)
        return -ENOMEM;
    feed->at = more;
    feed->cap = cap;
    return 0;
}

static void feed_add(struct row_feed *feed, struct row *r)
{
    size_t i = row_feed_after(feed, r->created_us, r->seq);
    struct row **at = feed->at + feed->first + i;

    memmove(at + 1, at, (feed->count - i) * sizeof(struct row *));
    *at = r;
    feed->count++;
}

static void feed_take(struct row_feed *feed, const struct row *r)
{
    size_t i = row_feed_after(feed, r->created_us, r->seq) - 1;
    struct row **at = feed->at + feed->first + i;

    if (i == 0)
        feed->first++;
    else
        memmove(at, at + 1, (feed->count - i - 1) * sizeof(struct row *));
    feed->count--;
}

/* ---- the store
 * -------------------------------------------------------------------------------------------------
 */

int rows_insert(struct rows *s, struct row_feed *feed, struct row *r)
{
    if (buckets_grow(s) < 0 || feed_reserve(feed) < 0)
        return -ENOMEM;
    bucket_add(s, r);
    feed_add(feed, r);
    list_append(&s->all, &r->node);
    s->count++;
    return 0;
}

void rows_remove(struct rows *s, struct row_feed *feed, struct row *r)
{
    bucket_remove(s, r);
    feed_take(feed, r);
    list_remove(&r->node);
    s->count--;
    row_free(r);
}

void rows_release(struct rows *s, struct row_feed *feed)
{
    while (feed->count > 0)
        rows_remove(s, feed, row_feed_at(feed, 0));
    free(feed->at);
    *feed = (struct row_feed){0};
}

void rows_close(struct rows *s)
{
    free(s->buckets);
    *s = (struct rows){0};
}
