/*
 * The byte queue: fixed capacity, start + length, 0 <= start <= start + len <= cap always.
 * Compacted by memmove.
 *
 * A buf borrows its memory from a pool (buf_pool) or owns it (buf_alloc); an idle connection holds
 * none (p == NULL, cap == 0).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

#include <stddef.h>

struct buf {
    char *p;      /* NULL while nothing is borrowed */
    size_t cap;   /* bytes at p */
    size_t start; /* first unread byte */
    size_t len;   /* unread bytes */
};

/*
 * Equal-sized blocks with a free list. Blocks are malloc'ed on demand up to `max_blocks` and kept
 * for reuse (`keep` of them).
 */
struct buf_pool {
    size_t block_bytes;
    size_t max_blocks;  /* hard cap, so that the worst case is a number */
    size_t keep_blocks; /* free blocks kept warm */
    size_t used_blocks; /* lent out now */
    size_t free_blocks;
    void *free_list; /* private */
};

void buf_pool_init(struct buf_pool *pool, size_t block_bytes, size_t max_blocks,
                   size_t keep_blocks);
void buf_pool_release(struct buf_pool *pool); /* asserts that nothing is lent out */

/* 0, -ENOMEM (cap reached or malloc failed); no-op when it has memory */
int buf_borrow(struct buf *b, struct buf_pool *pool);
/* gives the block back whatever is in it; no-op without one */
void buf_return(struct buf *b, struct buf_pool *pool);

int buf_alloc(struct buf *b, size_t cap); /* own memory; 0 or -ENOMEM */
void buf_free(struct buf *b);

static inline struct slice buf_bytes(const struct buf *b)
{
    return (struct slice){b->p ? b->p + b->start : NULL, b->len};
}

size_t buf_room(const struct buf *b); /* bytes that fit after a compaction */
/* compacts if needed; where to write next and how much fits */
char *buf_tail(struct buf *b, size_t *ret_room);
void buf_added(struct buf *b, size_t n);                /* n bytes were written at the tail */
void buf_consume(struct buf *b, size_t n);              /* n bytes at the front are done with */
size_t buf_put(struct buf *b, const void *p, size_t n); /* copies what fits, returns how much */
void buf_clear(struct buf *b);

#endif
