#include "base/slice.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(slice, compares_with_and_without_case)
{
    cr_assert(slice_eq(SLICE("abc"), SLICE("abc")));
    cr_assert(slice_eq((struct slice){NULL, 0}, SLICE("")));
    cr_assert_not(slice_eq(SLICE("abc"), SLICE("abd")));
    cr_assert(slice_eq_nocase(SLICE("Content-LENGTH"), SLICE("content-length")));
    cr_assert_not(slice_eq_nocase(SLICE("[a"), SLICE("{a")));
    cr_assert(slice_starts_with(SLICE("unix:/x"), SLICE("unix:")));
    cr_assert_not(slice_starts_with(SLICE("uni"), SLICE("unix:")));
    cr_assert(slice_ends_with(SLICE("a.json"), SLICE(".json")));
    cr_assert(slice_ends_with((struct slice){NULL, 0}, SLICE("")));
    cr_assert_not(slice_ends_with(SLICE("n"), SLICE(".json")));
}

Test(slice, trims_blanks_and_tabs_only)
{
    cr_assert(slice_eq(slice_trim(SLICE(" \t a b \t")), SLICE("a b")));
    cr_assert(slice_eq(slice_trim(SLICE("\ra\n")), SLICE("\ra\n")));
    cr_assert_eq(slice_trim(SLICE(" \t ")).n, 0);
}

Test(slice, walks_items)
{
    struct slice rest = SLICE("a, b ,,c,"), item;

    cr_assert(slice_next(&rest, ',', &item) && slice_eq(item, SLICE("a")));
    cr_assert(slice_next(&rest, ',', &item) && slice_eq(item, SLICE("b")));
    cr_assert(slice_next(&rest, ',', &item) && item.n == 0);
    cr_assert(slice_next(&rest, ',', &item) && slice_eq(item, SLICE("c")));
    cr_assert_not(slice_next(&rest, ',', &item));
    rest = (struct slice){NULL, 0};
    cr_assert_not(slice_next(&rest, ',', &item));
}

Test(slice, compares_secrets)
{
    cr_assert(slice_eq_secret(SLICE("token"), SLICE("token")));
    cr_assert_not(slice_eq_secret(SLICE("token"), SLICE("tokeN")));
    cr_assert_not(slice_eq_secret(SLICE("token"), SLICE("token2")));
    cr_assert_not(slice_eq_secret(SLICE(""), SLICE("x")));
    cr_assert(slice_eq_secret(SLICE(""), (struct slice){NULL, 0}));
}

Test(slice, steps_over_valid_utf8_only)
{
    cr_assert_eq(slice_utf8_next(SLICE("")), 0);
    cr_assert_eq(slice_utf8_next(SLICE("a")), 1);
    cr_assert_eq(slice_utf8_next(SLICE("\xC3\xA9")), 2);
    cr_assert_eq(slice_utf8_next(SLICE("\xE2\x82\xAC")), 3);
    cr_assert_eq(slice_utf8_next(SLICE("\xF4\x8F\xBF\xBF")), 4);
    cr_assert_eq(slice_utf8_next(SLICE("\xC0\x80")), 0, "overlong NUL");
    cr_assert_eq(slice_utf8_next(SLICE("\xE0\x80\x80")), 0, "overlong");
    cr_assert_eq(slice_utf8_next(SLICE("\xED\xA0\x80")), 0, "surrogate");
    cr_assert_eq(slice_utf8_next(SLICE("\xF4\x90\x80\x80")), 0, "above U+10FFFF");
    cr_assert_eq(slice_utf8_next(SLICE("\xE2\x82")), 0, "cut");
    cr_assert_eq(slice_utf8_next(SLICE("\x80")), 0);
    cr_assert_eq(slice_utf8_next(SLICE("\xFF")), 0);
}

Test(slice, copies)
{
    char *copy = slice_dup((struct slice){"abcdef", 3});

    cr_assert_str_eq(copy, "abc");
    free(copy);
    copy = slice_dup((struct slice){NULL, 0});
    cr_assert_str_eq(copy, "");
    free(copy);
}
