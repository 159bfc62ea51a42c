/*
 * SipHash-2-4 as its authors define it; the tests hold it to their vectors.
 */
#include "base/hash.h"

#include "base/clock.h"

#include "base/banned.h"

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

struct hash_key hash_key_new(void)
{
    return (struct hash_key){{random_u64(), random_u64()}};
}

uint64_t hash_of(const struct hash_key *key, struct slice text)
{
    uint64_t v[4] = {
        key->k[0] ^ UINT64_C(0x736f6d6570736575),
        key->k[1] ^ UINT64_C(0x646f72616e646f6d),
        key->k[0] ^ UINT64_C(0x6c7967656e657261),
        key->k[1] ^ UINT64_C(0x7465646279746573),
    };
    uint64_t word = 0;

    for (size_t i = 0; i < text.n; i++) {
        word |= (uint64_t)(unsigned char)text.p[i] << i % 8 * 8;
        if (i % 8 == 7) {
            take(v, word);
            word = 0;
        }
    }
    take(v, word | (uint64_t)(text.n & 0xff) << 56);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_plain(struct slice text)
{
    uint64_t h = 0xcbf29ce484222325U;

    for (size_t k = 0; k < text.n; k++)
        h = (h ^ (unsigned char)text.p[k]) * 0x100000001b3U;
    return h;
}
