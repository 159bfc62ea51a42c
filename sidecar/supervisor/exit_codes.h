/*
 * A set of exit statuses, 0 to 255. Zeroed = empty; a value, copied freely.
 */
#ifndef SUPERVISOR_EXIT_CODES_H
#define SUPERVISOR_EXIT_CODES_H

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_CODE_COUNT = 256 };

struct exit_codes {
    uint64_t bits[EXIT_CODE_COUNT / 64];
};

static inline void exit_codes_add(struct exit_codes *s, uint8_t code)
{
    s->bits[code / 64] |= UINT64_C(1) << code % 64;
}

static inline bool exit_codes_have(const struct exit_codes *s, uint8_t code)
{
    return (s->bits[code / 64] >> code % 64 & 1) != 0;
}

#endif
