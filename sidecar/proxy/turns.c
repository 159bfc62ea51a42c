/*
 * Lanes of waiting requests. When somebody may go is hold.c's business.
 */
#include "proxy/turns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct turn_lane {
    struct list node; /* in turns->lanes */
    struct list waiting;
    size_t count;
    struct turn_peer key;
};

struct turn_peer turn_peer_of(const struct sockaddr_storage *peer)
{
    struct turn_peer key = {.family = peer->ss_family};

    if (peer->ss_family == AF_INET) {
        key.prefix = ((const struct sockaddr_in *)(const void *)peer)->sin_addr.s_addr;
    } else if (peer->ss_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
        uint32_t v4;

        if (!IN6_IS_ADDR_V4MAPPED(a)) {
            memcpy(&key.prefix, a->s6_addr, sizeof(key.prefix));
            return key;
        }
        memcpy(&v4, a->s6_addr + 12, sizeof(v4)); /* a listener for both families sees these */
        key = (struct turn_peer){.family = AF_INET, .prefix = v4};
    }
    return key;
}

static struct turn_lane *lane_of(struct list *node)
{
    return container_of(node, struct turn_lane, node);
}

static struct turn_lane *find(const struct turns *t, struct turn_peer key)
{
    LIST_FOREACH(node, &t->lanes)
    {
        struct turn_lane *lane = lane_of(node);

        if (lane->key.family == key.family && lane->key.prefix == key.prefix)
            return lane;
    }
    return NULL;
}

void turns_init(struct turns *t)
{
    list_init(&t->lanes);
}

static struct turn_lane *lane_new(struct turns *t, struct turn_peer key)
{
    struct turn_lane *lane = malloc(sizeof(*lane));

    if (!lane)
        return NULL;
    *lane = (struct turn_lane){.key = key};
    list_init(&lane->waiting);
    list_append(&t->lanes, &lane->node);
    return lane;
}

int turns_add(struct turns *t, struct turn *w, struct turn_peer key, uint64_t order, bool was_here)
{
    struct turn_lane *lane = find(t, key);
    struct list *at;

    if (!lane)
        lane = lane_new(t, key);
    if (!lane)
        return -ENOMEM;
    if (was_here) {
        list_remove(&lane->node);
        list_prepend(&t->lanes, &lane->node);
    }
    /* A new one is among the last, one that was here among the first. */
    at = was_here ? lane->waiting.next : lane->waiting.prev;
    while (!was_here && at != &lane->waiting && container_of(at, struct turn, node)->order > order)
        at = at->prev;
    while (was_here && at != &lane->waiting && container_of(at, struct turn, node)->order < order)
        at = at->next;
    w->lane = lane;
    w->order = order;
    list_insert_before(was_here ? at : at->next, &w->node);
    lane->count++;
    return 0;
}

void turns_remove(struct turns *t, struct turn *w)
{
    struct turn_lane *lane = w->lane;

    (void)t;
    if (!lane)
        return;
    list_remove(&w->node);
    w->lane = NULL;
    lane->count--;
    if (lane->count == 0) {
        list_remove(&lane->node);
        free(lane);
    }
}

struct turn *turns_take(struct turns *t)
{
    struct list *first = list_first(&t->lanes);
    struct turn_lane *lane;
    struct turn *w;

    if (!first)
        return NULL;
    lane = lane_of(first);
    w = container_of(list_first(&lane->waiting), struct turn, node);
    list_remove(&lane->node); /* the others have their turn before it has another */
    list_append(&t->lanes, &lane->node);
    turns_remove(t, w);
    return w;
}

struct turn *turns_who_yields(const struct turns *t, struct turn_peer key)
{
    const struct turn_lane *own = find(t, key);
    const struct turn_lane *longest = NULL;
    size_t wanted = (own ? own->count : 0) + 1;

    LIST_FOREACH(node, &t->lanes)
    {
        const struct turn_lane *lane = lane_of(node);

        if (!longest || lane->count > longest->count)
            longest = lane;
    }
    if (!longest || longest->count <= wanted)
        return NULL;
    return container_of(longest->waiting.prev, struct turn, node);
}
