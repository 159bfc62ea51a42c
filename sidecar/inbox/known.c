/*
 * Two hash tables with open addressing, each at most half full: when the young one has its number,
 * it becomes the old one, and the one before goes.
 */
#include "inbox/known.h"

#include <stdlib.h>

#include "base/banned.h"

static struct known_id id_of(const char *uuid)
{
    struct known_id id = {0};

    for (const char *p = uuid; *p; p++) {
        unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                         : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
                         : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A') + 10
                                                  : 16;

        if (digit == 16)
            continue;
        id.high = id.high << 4 | id.low >> 60;
        id.low = id.low << 4 | digit;
    }
    return id;
}

/* Where id is, or where it would be. Ids are random: their own bits are the hash. */
static struct known_id *slot_of(struct known_id *table, struct known_id id)
{
    size_t at = (size_t)((id.high ^ id.low) * 0x9e3779b97f4a7c15U >> 40) % KNOWN_SLOTS;

    while ((table[at].high || table[at].low) &&
           (table[at].high != id.high || table[at].low != id.low))
        at = (at + 1) % KNOWN_SLOTS;
    return &table[at];
}

static bool is_in(struct known_id *table, struct known_id id)
{
    const struct known_id *slot = table ? slot_of(table, id) : NULL;

    return slot && (slot->high || slot->low);
}

bool known_has(const struct known *k, const char *uuid)
{
    struct known_id id = id_of(uuid);

    return is_in(k->young, id) || is_in(k->old, id);
}

void known_add(struct known *k, const char *uuid)
{
    struct known_id id = id_of(uuid);

    if ((id.high | id.low) == 0 || is_in(k->young, id))
        return;
    if (k->young_count == KNOWN_IDS) {
        free(k->old);
        k->old = k->young;
        k->young = NULL;
        k->young_count = 0;
    }
    if (!k->young)
        k->young = calloc(KNOWN_SLOTS, sizeof(*k->young));
    if (!k->young)
        return; /* the journal knows */
    *slot_of(k->young, id) = id;
    k->young_count++;
}

void known_release(struct known *k)
{
    free(k->young);
    free(k->old);
    *k = (struct known){0};
}
