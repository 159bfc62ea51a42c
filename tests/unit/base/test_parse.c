#include "base/parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static int duration(const char *z, int64_t *ret)
{
    return parse_duration_ms(slice_of(z), 0, INT64_MAX, ret);
}

Test(parse, takes_whole_integers_in_range)
{
    int64_t v = 0;

    cr_assert_eq(parse_int64(SLICE("65535"), 0, 65535, &v), 0);
    cr_assert_eq(v, 65535);
    cr_assert_eq(parse_int64(SLICE("-12"), -20, 0, &v), 0);
    cr_assert_eq(v, -12);
    cr_assert_eq(parse_int64(SLICE("9223372036854775807"), 0, INT64_MAX, &v), 0);
    cr_assert_eq(v, INT64_MAX);
    cr_assert_eq(parse_int64(SLICE("70000"), 0, 65535, &v), -ERANGE);
    cr_assert_eq(parse_int64(SLICE("-1"), 0, 65535, &v), -ERANGE);
    cr_assert_eq(parse_int64(SLICE("9223372036854775808"), 0, INT64_MAX, &v), -ERANGE);
    cr_assert_eq(parse_int64(SLICE("99999999999999999999999"), 0, INT64_MAX, &v), -ERANGE);
    for (const char **bad = (const char *[]){"", "-", "+1", " 1", "1 ", "1x", "0x10", "1.0",
                                             "99999999999999999999x", NULL};
         *bad; bad++)
        cr_assert_eq(parse_int64(slice_of(*bad), 0, 100, &v), -EINVAL, "%s", *bad);
}

Test(parse, takes_plain_decimals)
{
    double v = 0;

    cr_assert_eq(parse_double(SLICE("0.25"), 0, 1, &v), 0);
    cr_assert_float_eq(v, 0.25, 1e-12);
    cr_assert_eq(parse_double(SLICE("-1e2"), -100, 1, &v), 0);
    cr_assert_eq(parse_double(SLICE("2"), 0, 1, &v), -ERANGE);
    cr_assert_eq(parse_double(SLICE("1e999"), 0, 1, &v), -ERANGE);
    for (const char **bad =
             (const char *[]){"", ".5", "5.", "inf", "nan", "0x1p3", " 1", "1e", "1,5", NULL};
         *bad; bad++)
        cr_assert_eq(parse_double(slice_of(*bad), -1e9, 1e9, &v), -EINVAL, "%s", *bad);
}

Test(parse, takes_truth_in_the_usual_words)
{
    bool v = false;

    cr_assert(parse_bool(SLICE("YES"), &v) == 0 && v);
    cr_assert(parse_bool(SLICE("off"), &v) == 0 && !v);
    cr_assert(parse_bool(SLICE("1"), &v) == 0 && v);
    cr_assert_eq(parse_bool(SLICE("maybe"), &v), -EINVAL);
    cr_assert_eq(parse_bool(SLICE(""), &v), -EINVAL);
}

Test(parse, takes_durations_with_a_unit)
{
    int64_t v = -1;

    cr_assert(duration("500ms", &v) == 0 && v == 500);
    cr_assert(duration("30s", &v) == 0 && v == 30000);
    cr_assert(duration("2m", &v) == 0 && v == 120000);
    cr_assert(duration("1h", &v) == 0 && v == 3600000);
    cr_assert(duration("1d", &v) == 0 && v == 86400000);
    cr_assert(duration("0", &v) == 0 && v == 0);
    for (const char **bad = (const char *[]){"", "30", "s", "1.5s", "30 s", "-1s", "1S", "1w", "00",
                                             "1m30s", NULL};
         *bad; bad++)
        cr_assert_eq(duration(*bad, &v), -EINVAL, "%s", *bad);
    cr_assert_eq(duration("106751991168d", &v), -ERANGE);
    cr_assert_eq(duration("99999999999999999999ms", &v), -ERANGE);
    cr_assert_eq(parse_duration_ms(SLICE("0"), 1, 10, &v), -ERANGE);
    cr_assert_eq(parse_duration_ms(SLICE("2s"), 0, 1999, &v), -ERANGE);
}

Test(parse, takes_sizes)
{
    int64_t v = -1;

    cr_assert(parse_size_bytes(SLICE("512"), 0, INT64_MAX, &v) == 0 && v == 512);
    cr_assert(parse_size_bytes(SLICE("64KiB"), 0, INT64_MAX, &v) == 0 && v == 65536);
    cr_assert(parse_size_bytes(SLICE("10MiB"), 0, INT64_MAX, &v) == 0 && v == 10485760);
    cr_assert(parse_size_bytes(SLICE("1GiB"), 0, INT64_MAX, &v) == 0 && v == 1073741824);
    cr_assert(parse_size_bytes(SLICE("10kB"), 0, INT64_MAX, &v) == 0 && v == 10000);
    cr_assert_eq(parse_size_bytes(SLICE("64 KiB"), 0, INT64_MAX, &v), -EINVAL);
    cr_assert_eq(parse_size_bytes(SLICE("64K"), 0, INT64_MAX, &v), -EINVAL);
    cr_assert_eq(parse_size_bytes(SLICE("9999999999GiB"), 0, INT64_MAX, &v), -ERANGE);
    cr_assert_eq(parse_size_bytes(SLICE("1KiB"), 0, 1000, &v), -ERANGE);
}

Test(parse, formats_the_shortest_exact_form)
{
    char buf[FORMAT_MAX];

    cr_assert_str_eq(format_duration(1500, buf), "1500ms");
    cr_assert_str_eq(format_duration(30000, buf), "30s");
    cr_assert_str_eq(format_duration(90000, buf), "90s");
    cr_assert_str_eq(format_duration(600000, buf), "10m");
    cr_assert_str_eq(format_duration(0, buf), "0s");
    cr_assert_str_eq(format_duration(INT64_MAX, buf), "9223372036854775807ms");
    cr_assert_str_eq(format_size(65536, buf), "64KiB");
    cr_assert_str_eq(format_size(1000, buf), "1000B");
    cr_assert_str_eq(format_size(0, buf), "0B");
}

Test(parse, what_is_formatted_parses_back)
{
    char buf[FORMAT_MAX];

    for (int64_t v = 0; v < INT64_MAX / 13; v = v * 13 + 1000) {
        int64_t back = -1;

        cr_assert_eq(duration(format_duration(v, buf), &back), 0, "%s", buf);
        cr_assert_eq(back, v);
        cr_assert_eq(parse_size_bytes(slice_of(format_size(v, buf)), 0, INT64_MAX, &back), 0, "%s",
                     buf);
        cr_assert_eq(back, v);
    }
}

Test(parse, takes_octal)
{
    unsigned v = 0;

    cr_assert(parse_octal(SLICE("022"), 0777, &v) == 0 && v == 022);
    cr_assert(parse_octal(SLICE("0o077"), 0777, &v) == 0 && v == 077);
    cr_assert_eq(parse_octal(SLICE("1000"), 0777, &v), -ERANGE);
    cr_assert_eq(parse_octal(SLICE("7777777777777777"), 0777, &v), -ERANGE);
    cr_assert_eq(parse_octal(SLICE("8"), 0777, &v), -EINVAL);
    cr_assert_eq(parse_octal(SLICE("0o"), 0777, &v), -EINVAL);
    cr_assert_eq(parse_octal(SLICE(""), 0777, &v), -EINVAL);
}

Test(parse, knows_uuids)
{
    char text[37], other[37];

    cr_assert(is_uuid(SLICE("7F3a9c1e-0000-4000-8000-00000000abCD")));
    cr_assert_not(is_uuid(SLICE("ws-123")));
    cr_assert_not(is_uuid(SLICE("7f3a9c1e-0000-4000-8000-00000000abcg")));
    cr_assert_not(is_uuid(SLICE("7f3a9c1e-0000-4000-8000-00000000abcd0")));
    cr_assert_not(is_uuid(SLICE("7f3a9c1e00000-4000-8000-00000000abcd")));
    uuid_make(text);
    uuid_make(other);
    cr_assert(is_uuid(slice_of(text)));
    cr_assert_eq(text[14], '4');
    cr_assert(strchr("89ab", text[19]) != NULL);
    cr_assert_str_neq(text, other);
    memcpy(text, "7F3A9C1E-0000-4000-8000-00000000ABCD", 37);
    uuid_lower(text);
    cr_assert_str_eq(text, "7f3a9c1e-0000-4000-8000-00000000abcd");
}

Test(parse, measures_typing_errors)
{
    cr_assert_eq(edit_distance(SLICE("listen.adress"), SLICE("listen.address"), 4), 1);
    cr_assert_eq(edit_distance(SLICE("abc"), SLICE("abc"), 4), 0);
    cr_assert_eq(edit_distance(SLICE("kitten"), SLICE("sitting"), 10), 3);
    cr_assert_eq(edit_distance(SLICE("kitten"), SLICE("sitting"), 2), 2);
    cr_assert_eq(edit_distance(SLICE(""), SLICE("abcdef"), 3), 3);
}
