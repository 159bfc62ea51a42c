/*
 * Which rows are in the journal for sure: the last tens of thousands, so that a sweep over known
 * ones costs neither the disk nor a copy. Forgetting one is harmless: the journal knows.
 */
#ifndef INBOX_KNOWN_H
#define INBOX_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KNOWN_IDS = 16384,          /* of one generation; the last two are kept */
    KNOWN_SLOTS = 2 * KNOWN_IDS /* of 16 bytes */
};

struct known_id {
    uint64_t high, low; /* a UUID; 0 and 0 = an empty slot */
};

struct known {                    /* embedded; zeroed = empty */
    struct known_id *young, *old; /* owned; NULL while empty */
    size_t young_count;
};

bool known_has(const struct known *k, const char *uuid);
void known_add(struct known *k, const char *uuid);
void known_release(struct known *k);

#endif
