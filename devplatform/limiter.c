/*
 * Fixed windows per key in a list, most recently used first. A development tool has few keys.
 */
#include "devplatform/limiter.h"

#include "base/cleanup.h"

#include <stdlib.h>

struct limiter_key {
    struct list node;
    int64_t ends_ms;
    int64_t used;
    size_t len;
    char text[]; /* compared, never shown: it may be a token */
};

void limiter_init(struct limiter *l, int64_t limit)
{
    *l = (struct limiter){.limit = limit};
    list_init(&l->keys);
}

static void key_free(struct limiter *l, struct limiter_key *k)
{
    list_remove(&k->node);
    l->key_count--;
    free(k);
}

void limiter_release(struct limiter *l)
{
    LIST_FOREACH(it, &l->keys)
    key_free(l, container_of(it, struct limiter_key, node));
}

void limiter_set(struct limiter *l, int64_t limit)
{
    limiter_release(l);
    l->limit = limit;
}

static struct limiter_key *key_get(struct limiter *l, struct slice key)
{
    struct limiter_key *k;

    LIST_FOREACH(it, &l->keys)
    {
        k = container_of(it, struct limiter_key, node);
        if (slice_eq(key, (struct slice){k->text, k->len})) {
            list_remove(&k->node);
            list_prepend(&l->keys, &k->node);
            return k;
        }
    }
    if (l->key_count == LIMITER_KEYS_MAX)
        key_free(l, container_of(l->keys.prev, struct limiter_key, node));
    k = calloc(1, sizeof(*k) + key.n);
    if (!k)
        return NULL;
    memcpy(k->text, key.p, key.n);
    k->len = key.n;
    list_prepend(&l->keys, &k->node);
    l->key_count++;
    return k;
}

struct limit_verdict limiter_take(struct limiter *l, struct slice key, int64_t now_ms)
{
    struct limit_verdict v = {.is_allowed = true, .limit = l->limit};
    struct limiter_key *k;

    if (l->limit == 0)
        return v;
    k = key_get(l, key);
    if (!k)
        return v;
    if (now_ms >= k->ends_ms) {
        k->ends_ms = now_ms + LIMITER_WINDOW_MS;
        k->used = 0;
    }
    v.is_allowed = k->used < l->limit;
    k->used += v.is_allowed;
    v.remaining = l->limit - k->used;
    v.reset_s = (k->ends_ms - now_ms) / 1000;
    return v;
}
