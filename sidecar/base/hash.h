/*
 * A keyed hash (SipHash-2-4) for tables whose keys strangers choose: without the key nobody can
 * make many of them fall into one bucket. And a plain one (FNV-1a) to know texts again by, where no
 * secret hangs on it.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

#include <stdint.h>

struct hash_key {
    uint64_t k[2];
};

struct hash_key hash_key_new(void); /* random */
uint64_t hash_of(const struct hash_key *key, struct slice text);
uint64_t hash_plain(struct slice text); /* the same in each process */

#endif
