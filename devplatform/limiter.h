/*
 * The rate limiter: one fixed window of a minute per key (P section 4.3). Key = organisation
 * header, else bearer, else address.
 */
#ifndef DEVPLATFORM_LIMITER_H
#define DEVPLATFORM_LIMITER_H

#include "base/list.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LIMITER_WINDOW_MS = 60 * 1000,
    LIMITER_KEYS_MAX = 4096, /* keys remembered; the oldest window is forgotten for a new one */
};

struct limiter {
    struct list keys; /* struct limiter_key, private */
    size_t key_count;
    int64_t limit; /* calls per window; 0 = unlimited */
};

struct limit_verdict {
    bool is_allowed;
    int64_t limit, remaining; /* limit 0 = unlimited */
    int64_t reset_s;          /* whole seconds until the window ends; may be 0 */
};

void limiter_init(struct limiter *l, int64_t limit);
void limiter_release(struct limiter *l);
void limiter_set(struct limiter *l, int64_t limit); /* forgets all windows */
struct limit_verdict limiter_take(struct limiter *l, struct slice key, int64_t now_ms);

#endif
