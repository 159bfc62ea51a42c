/*
 * Ownership that can be seen: locals that release themselves, and hand-over by name.
 *
 *   CLEANUP(free_cleanup) char *copy = NULL;      freed on every return
 *   *ret = ptr_take(&copy);                       ours until here; now the caller's
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* For pointers of any type from malloc. `p` points to the variable. */
static inline void free_cleanup(void *p)
{
    free(*(void **)p);
}

/* The value of *pp, which becomes NULL. A macro because it keeps the type. */
#define ptr_take(pp)                                                                               \
    __extension__({                                                                                \
        __typeof__(*(pp)) taken_ = *(pp);                                                          \
        *(pp) = NULL;                                                                              \
        taken_;                                                                                    \
    })

/* The object that embeds `member` at address `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
