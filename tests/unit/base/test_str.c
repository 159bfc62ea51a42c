#include "base/str.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char *json_of(struct slice text)
{
    static struct str s;

    str_release(&s);
    str_add_json(&s, text);
    return str_z(&s);
}

static const char *printable_of(struct slice text, size_t max)
{
    static struct str s;

    str_release(&s);
    str_add_printable(&s, text, max);
    return str_z(&s);
}

Test(str, grows)
{
    struct str s = {0};
    char *taken;

    cr_assert_str_eq(str_z(&s), "");
    for (int i = 0; i < 1000; i++)
        str_addf(&s, "%d,", i);
    cr_assert(str_ok(&s));
    cr_assert_eq(s.len, 10 * 2 + 90 * 3 + 900 * 4);
    cr_assert_eq(strlen(str_z(&s)), s.len);
    str_truncate(&s, 3);
    str_addz(&s, "end");
    str_addz(&s, NULL);
    cr_assert_str_eq(str_z(&s), "0,1end");
    taken = str_take(&s);
    cr_assert_str_eq(taken, "0,1end");
    cr_assert_null(s.p);
    free(taken);
    taken = str_take(&s);
    cr_assert_str_eq(taken, "");
    free(taken);
}

Test(str, formats_text_longer_than_its_room)
{
    struct str s = {0};
    char big[5000];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    str_addf(&s, "<%s>", big);
    cr_assert_eq(s.len, sizeof(big) + 1);
    cr_assert_eq(s.p[s.len - 1], '>');
    str_wipe(&s);
}

Test(str, failure_is_sticky)
{
    struct str s = {.failed = true};

    str_addz(&s, "x");
    str_addf(&s, "%d", 1);
    str_add_json(&s, SLICE("x"));
    cr_assert_not(str_ok(&s));
    cr_assert_str_eq(str_z(&s), "");
    cr_assert_null(str_take(&s));
}

Test(str, quotes_json)
{
    cr_assert_str_eq(json_of(SLICE("plain \xC3\xA9")), "\"plain \xC3\xA9\"");
    cr_assert_str_eq(json_of(SLICE("\"\\/\b\f\n\r\t")), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    cr_assert_str_eq(json_of(SLICE("\x1b[2J\x7f\0x")), "\"\\u001b[2J\\u007f\\u0000x\"");
    cr_assert_str_eq(json_of(SLICE("\xC2\x9B")), "\"\\u009b\"");
    cr_assert_str_eq(json_of(SLICE("a\xFF\xE2\x82")), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

Test(str, makes_text_printable)
{
    cr_assert_str_eq(printable_of(SLICE("a\n\x1b\xC3\xA9\xFF"), 100), "a\\x0A\\x1B\xC3\xA9\\xFF");
    cr_assert_str_eq(printable_of(SLICE("\xC2\x9B"), 100), "\\xC2\\x9B");
    cr_assert_str_eq(printable_of(SLICE("abcdef"), 6), "abcdef");
    cr_assert_str_eq(printable_of(SLICE("abcdefg"), 6), "abcdef...");
    cr_assert_str_eq(printable_of(SLICE("abcde\n"), 6), "abcde...");
    cr_assert_str_eq(printable_of(SLICE("abc\xC3\xA9"), 4), "abc...");
}

Test(str, valid_text_stays_and_the_rest_becomes_u_fffd)
{
    struct str s = {0};

    str_add_valid(&s, (struct slice){NULL, 0});
    cr_assert_str_eq(str_z(&s), "");
    str_add_valid(&s, SLICE("a\xc3\xa4\0b\xff\xc3"));
    cr_assert_str_eq(str_z(&s), "a\xc3\xa4"
                                "b\xef\xbf\xbd\xef\xbf\xbd");
    str_release(&s);
}
