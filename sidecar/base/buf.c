/*
 * The byte queue and its pool of equal blocks. Who reads and writes the bytes is not known here.
 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* A block while it is free: the link lies in its first bytes. */
struct buf_block {
    struct buf_block *next;
};

void buf_pool_init(struct buf_pool *pool, size_t block_bytes, size_t max_blocks, size_t keep_blocks)
{
    assert(block_bytes >= sizeof(struct buf_block));
    *pool = (struct buf_pool){
        .block_bytes = block_bytes,
        .max_blocks = max_blocks,
        .keep_blocks = keep_blocks,
    };
}

void buf_pool_release(struct buf_pool *pool)
{
    struct buf_block *block = pool->free_list;

    assert(pool->used_blocks == 0);
    while (block) {
        struct buf_block *next = block->next;

        free(block);
        block = next;
    }
    pool->free_list = NULL;
    pool->free_blocks = 0;
}

int buf_borrow(struct buf *b, struct buf_pool *pool)
{
    struct buf_block *block;

    if (b->p)
        return 0;
    if (pool->free_list) {
        block = pool->free_list;
        pool->free_list = block->next;
        pool->free_blocks--;
    } else {
        if (pool->used_blocks >= pool->max_blocks)
            return -ENOMEM;
        block = malloc(pool->block_bytes);
        if (!block)
            return -ENOMEM;
    }
    pool->used_blocks++;
    *b = (struct buf){.p = (char *)block, .cap = pool->block_bytes};
    return 0;
}

void buf_return(struct buf *b, struct buf_pool *pool)
{
    if (!b->p)
        return;
    assert(b->cap == pool->block_bytes && pool->used_blocks > 0);
    pool->used_blocks--;
    if (pool->free_blocks < pool->keep_blocks) {
        struct buf_block *block = (struct buf_block *)(void *)b->p;

        block->next = pool->free_list;
        pool->free_list = block;
        pool->free_blocks++;
    } else {
        free(b->p);
    }
    *b = (struct buf){0};
}

int buf_alloc(struct buf *b, size_t cap)
{
    char *p = malloc(cap > 0 ? cap : 1);

    if (!p)
        return -ENOMEM;
    *b = (struct buf){.p = p, .cap = cap};
    return 0;
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

size_t buf_room(const struct buf *b)
{
    return b->cap - b->len;
}

static void buf_compact(struct buf *b)
{
    if (b->start > 0 && b->len > 0)
        memmove(b->p, b->p + b->start, b->len);
    b->start = 0;
}

char *buf_tail(struct buf *b, size_t *ret_room)
{
    if (!b->p) {
        *ret_room = 0;
        return NULL;
    }
    /* Moving is worth it once more is free in front than behind: at least half of the room can
     * always be used, and each byte moved was paid for by one consumed. */
    if (b->start > 0 && b->cap - b->start - b->len < b->start)
        buf_compact(b);
    *ret_room = b->cap - b->start - b->len;
    return b->p + b->start + b->len;
}

void buf_added(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->start - b->len);
    b->len += n;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len -= n;
    b->start = b->len == 0 ? 0 : b->start + n;
}

size_t buf_put(struct buf *b, const void *p, size_t n)
{
    if (n > buf_room(b))
        n = buf_room(b);
    if (n == 0)
        return 0;
    if (n > b->cap - b->start - b->len)
        buf_compact(b);
    memcpy(b->p + b->start + b->len, p, n);
    b->len += n;
    return n;
}

void buf_clear(struct buf *b)
{
    b->start = 0;
    b->len = 0;
}
