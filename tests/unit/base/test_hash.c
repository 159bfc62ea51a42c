#include "base/hash.h"

#include <criterion/criterion.h>

/* The key 00 01 .. 0f, the messages "", 00, .., 00 .. 0e: vectors of the paper and its reference.
 */
Test(hash, is_what_its_authors_say)
{
    const struct hash_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    char text[15];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    cr_assert_eq(hash_of(&key, (struct slice){text, 0}), UINT64_C(0x726fdb47dd0e0e31));
    cr_assert_eq(hash_of(&key, (struct slice){text, 1}), UINT64_C(0x74f839c593dc67fd));
    cr_assert_eq(hash_of(&key, (struct slice){text, 8}), UINT64_C(0x93f5f5799a932462));
    cr_assert_eq(hash_of(&key, (struct slice){text, 15}), UINT64_C(0xa129ca6149be45e5));
}

/* FNV-1a of 64 bits: vectors of its authors. */
Test(hash, the_plain_one_is_what_its_authors_say)
{
    cr_assert_eq(hash_plain(SLICE("")), UINT64_C(0xcbf29ce484222325));
    cr_assert_eq(hash_plain(SLICE("a")), UINT64_C(0xaf63dc4c8601ec8c));
    cr_assert_eq(hash_plain(SLICE("foobar")), UINT64_C(0x85944171f73967e8));
}

Test(hash, each_key_has_its_own_values)
{
    const struct hash_key a = hash_key_new(), b = hash_key_new();

    cr_assert_neq(hash_of(&a, SLICE("conversation")), hash_of(&b, SLICE("conversation")));
    cr_assert_eq(hash_of(&a, SLICE("conversation")), hash_of(&a, SLICE("conversation")));
}
