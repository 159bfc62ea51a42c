/*
 * Long answers in parts: nothing is lost, characters stay whole, the cuts are where a reader wants
 * them, and the same text gives the same parts.
 */
#include "inbox/split.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n times s */
static char *many(const char *s, size_t n)
{
    struct str out = {0};

    for (size_t i = 0; i < n; i++)
        str_addz(&out, s);
    return str_take(&out);
}

static void split(const char *text, bool is_for_peer, struct split *ret)
{
    cr_assert_eq(split_text(slice_of(text), is_for_peer, ret), 0);
}

static const char *words(const struct split *s, unsigned k)
{
    static struct str out;

    str_release(&out);
    split_words(s, k, &out);
    return str_z(&out);
}

Test(inbox_split, a_short_text_is_one_part_as_it_is)
{
    struct split s;

    split("  hello\n\n  world\n", false, &s);
    cr_assert_eq(s.count, 1);
    cr_assert_str_eq(words(&s, 0), "  hello\n\n  world");
    split_release(&s);
}

Test(inbox_split, blanks_alone_are_nothing_to_say)
{
    const char *const texts[] = {"", " ", "\n\t \r\n"};

    for (size_t i = 0; i < 3; i++) {
        struct split s;

        split(texts[i], i == 1, &s);
        cr_assert_eq(s.count, 0);
        split_release(&s);
    }
    struct split s;
    cr_assert_eq(split_text((struct slice){"\0\0", 2}, false, &s), 0);
    cr_assert_eq(s.count, 0);
    split_release(&s);
}

Test(inbox_split, a_long_one_is_cut_at_paragraphs_and_numbered)
{
    CLEANUP(free_cleanup) char *paragraph = many("some words of it. ", 1000); /* 18,000 bytes */
    struct str text = {0};
    struct split s;

    for (int i = 0; i < 6; i++)
        str_addf(&text, "%d %s\n\n", i, paragraph);
    split(str_z(&text), false, &s);
    cr_assert_eq(s.count, 2);
    cr_assert_eq(strncmp(words(&s, 0), "(1/2)\n0 some", 12), 0);
    cr_assert_eq(strncmp(words(&s, 1), "(2/2)\n3 some", 12), 0, "%.20s", words(&s, 1));
    cr_assert_eq(s.left_out, 0);
    split_release(&s);
    str_release(&text);
}

Test(inbox_split, without_paragraphs_at_lines_without_lines_at_words)
{
    CLEANUP(free_cleanup) char *lines = many("a line of words\n", 8000);
    CLEANUP(free_cleanup) char *line = many("word ", 20000);
    struct split s;

    split(lines, false, &s);
    cr_assert_gt(s.count, 1);
    for (unsigned k = 0; k < s.count; k++)
        cr_assert(slice_ends_with(s.parts[k], SLICE("words")));
    split_release(&s);
    split(line, false, &s);
    cr_assert_gt(s.count, 1);
    for (unsigned k = 0; k < s.count; k++)
        cr_assert(slice_ends_with(s.parts[k], SLICE("word")));
    split_release(&s);
}

Test(inbox_split, characters_stay_whole_and_each_call_is_within_its_limit)
{
    static const char *const units[] = {"a",  "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                        "\"", "\x01"};

    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        for (int shift = 0; shift < 4; shift++) {
            CLEANUP(free_cleanup) char *body = many(units[u], 300000 / strlen(units[u]));
            struct str text = {0};
            struct split s;
            size_t total = 0;

            str_addf(&text, "%.*s%s", shift, "xxx", body);
            split(str_z(&text), false, &s);
            for (unsigned k = 0; k < s.count; k++) {
                struct slice rest = s.parts[k];

                cr_assert_leq(strlen(words(&s, k)), SPLIT_PERSON_BYTES);
                for (size_t n; rest.n > 0; rest = (struct slice){rest.p + n, rest.n - n})
                    cr_assert_gt(n = slice_utf8_next(rest), 0);
                total += s.parts[k].n;
            }
            cr_assert_eq(total, text.len, "nothing is lost");
            split_release(&s);
            str_release(&text);
        }
    }
}

Test(inbox_split, for_peers_the_json_is_what_is_bounded)
{
    CLEANUP(free_cleanup) char *body = many("\x02", 700000); /* six times as much in JSON */
    struct str json = {0};
    struct split s;

    split(body, true, &s);
    cr_assert_gt(s.count, 4);
    for (unsigned k = 0; k < s.count; k++) {
        str_truncate(&json, 0);
        str_add_json(&json, s.parts[k]);
        cr_assert_leq(json.len, SPLIT_PEER_JSON_BYTES);
    }
    cr_assert_eq(words(&s, 0)[0], '\x02', "no marks for peers");
    str_release(&json);
    split_release(&s);
}

Test(inbox_split, what_is_longer_than_all_parts_is_cut_and_says_so)
{
    CLEANUP(free_cleanup) char *body = many("0123456789", 200000);
    struct split s;

    split(body, false, &s);
    cr_assert_eq(s.count, SPLIT_PARTS_MAX);
    cr_assert_gt(s.left_out, 900000);
    cr_assert_not_null(strstr(words(&s, SPLIT_PARTS_MAX - 1), "are left out here"));
    cr_assert_leq(strlen(words(&s, SPLIT_PARTS_MAX - 1)), SPLIT_PERSON_BYTES);
    split_release(&s);
}

Test(inbox_split, invalid_bytes_and_zeros_never_reach_the_platform)
{
    struct split s;

    cr_assert_eq(split_text((struct slice){"a\0b\xff"
                                           "c\xc3",
                                           6},
                            false, &s),
                 0);
    cr_assert_str_eq(words(&s, 0), "ab\xef\xbf\xbd"
                                   "c\xef\xbf\xbd");
    split_release(&s);
}
