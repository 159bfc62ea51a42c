/*
 * Announced files in memory: a list, and buckets of a keyed hash, as messages look ids up.
 */
#include "inbox/upload_table.h"

#include "base/cleanup.h"

#include <stdlib.h>

#include "base/banned.h"

static struct list *bucket_of(struct upload_table *t, struct slice file_id)
{
    char lower[UPLOAD_ID_MAX];
    size_t n = file_id.n < sizeof(lower) ? file_id.n : sizeof(lower);

    for (size_t k = 0; k < n; k++) {
        char c = file_id.p[k];

        lower[k] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return &t->buckets[hash_of(&t->hash, (struct slice){lower, n}) % UPLOADS_BUCKETS];
}

void upload_table_init(struct upload_table *t)
{
    t->n = t->waiting = 0;
    t->hash = hash_key_new();
    list_init(&t->all);
    for (size_t k = 0; k < UPLOADS_BUCKETS; k++)
        list_init(&t->buckets[k]);
}

void upload_table_clear(struct upload_table *t)
{
    while (!list_is_empty(&t->all))
        upload_forget(t, container_of(list_first(&t->all), struct upload, node));
}

struct upload *upload_find(struct upload_table *t, struct slice file_id)
{
    struct list *bucket = bucket_of(t, file_id);

    LIST_FOREACH(node, bucket)
    {
        struct upload *up = container_of(node, struct upload, bucket);

        if (slice_eq_nocase(slice_of(up->file_id), file_id))
            return up;
    }
    return NULL;
}

void upload_add(struct upload_table *t, struct upload *up)
{
    list_append(&t->all, &up->node);
    list_append(bucket_of(t, slice_of(up->file_id)), &up->bucket);
    t->n++;
    t->waiting += up->step == UPLOAD_WAITING;
}

void upload_set_step(struct upload_table *t, struct upload *up, enum upload_step step)
{
    t->waiting -= up->step == UPLOAD_WAITING;
    t->waiting += step == UPLOAD_WAITING;
    up->step = step;
}

void upload_forget(struct upload_table *t, struct upload *up)
{
    list_remove(&up->node);
    list_remove(&up->bucket);
    t->n--;
    t->waiting -= up->step == UPLOAD_WAITING;
    free(up->path);
    free(up);
}

bool upload_make_room(struct upload_table *t)
{
    LIST_FOREACH(node, &t->all)
    {
        struct upload *up = container_of(node, struct upload, node);

        if (t->n < UPLOADS_KNOWN_MAX)
            break;
        if (up->step >= UPLOAD_DONE)
            upload_forget(t, up);
    }
    return t->n < UPLOADS_KNOWN_MAX;
}

struct upload *upload_oldest_waiting(struct upload_table *t, const struct upload *other)
{
    LIST_FOREACH(node, &t->all)
    {
        struct upload *up = container_of(node, struct upload, node);

        if (up->step == UPLOAD_WAITING && up != other)
            return up;
    }
    return NULL;
}
