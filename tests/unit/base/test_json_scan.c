#include "base/json_scan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(json_scan, knows_the_types)
{
    cr_assert_eq(json_validate(SLICE(" {} ")), JSON_OBJECT);
    cr_assert_eq(json_validate(SLICE("[]")), JSON_ARRAY);
    cr_assert_eq(json_validate(SLICE("\"\"")), JSON_STRING);
    cr_assert_eq(json_validate(SLICE("-0.5e+3")), JSON_NUMBER);
    cr_assert_eq(json_validate(SLICE("true")), JSON_TRUE);
    cr_assert_eq(json_validate(SLICE("false")), JSON_FALSE);
    cr_assert_eq(json_validate(SLICE("\r\n\tnull ")), JSON_NULL);
    cr_assert_eq(json_validate(SLICE("0")), JSON_NUMBER);
    cr_assert_eq(json_validate(SLICE("{\"a\":[1,{\"b\":[]},[[]]],\"\":{}}")), JSON_OBJECT);
    cr_assert_eq(json_type_of(SLICE("  [1")), JSON_ARRAY);
    cr_assert_eq(json_type_of((struct slice){0}), JSON_BAD);
}

Test(json_scan, refuses_what_the_rfc_refuses)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{a:1}",
        "[1 2]",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "tru",
        "truex",
        "nulL",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\n\"",
        "{} {}",
        "1 2",
        "[}",
        "{]",
        "// x\n1",
        "\xEF\xBB\xBF{}",
        "\"\xFF\"",
        "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xE2\x82\"",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "[1]]",
        ("\x0b"
         "1"),
        "\"a\" :",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(json_validate(slice_of(bad[i])), JSON_BAD, "%s", bad[i]);
    cr_assert_eq(json_validate(SLICE("1\0")), JSON_BAD);
    cr_assert_eq(json_validate(SLICE("\"\0\"")), JSON_BAD);
    cr_assert_eq(json_validate((struct slice){NULL, 0}), JSON_BAD);
}

Test(json_scan, stops_at_its_depth)
{
    char text[2 * (JSON_SCAN_DEPTH_MAX + 1)];
    struct json_iter it;

    memset(text, '[', JSON_SCAN_DEPTH_MAX);
    memset(text + JSON_SCAN_DEPTH_MAX, ']', JSON_SCAN_DEPTH_MAX);
    cr_assert_eq(json_validate((struct slice){text, 2 * JSON_SCAN_DEPTH_MAX}), JSON_ARRAY);
    memset(text, '[', JSON_SCAN_DEPTH_MAX + 1);
    memset(text + JSON_SCAN_DEPTH_MAX + 1, ']', JSON_SCAN_DEPTH_MAX + 1);
    cr_assert_eq(json_validate((struct slice){text, sizeof(text)}), JSON_BAD);
    cr_assert(json_iter_begin(&it, (struct slice){text, sizeof(text)}));
    cr_assert(!json_next(&it) && it.failed, "walking refuses what validating refuses");
}

static const char sample[] = "{\"jsonrpc\":\"2.0\",\"id\":12345678901234567890.50,\"params\":{"
                             "\"m\":[1,-2.5e3,true,null,\"\\ud83d\\ude00\\n\"]},"
                             "\"id\":\"two\",\"\\u0069d\":3, \"\xC3\xA9\" : { } }";

Test(json_scan, cut_at_any_offset_fails_cleanly)
{
    size_t n = strlen(sample);

    for (size_t cut = 0; cut <= n; cut++) {
        char *exact =
            slice_dup((struct slice){sample, cut}); /* so that a sanitizer sees a read too far */
        struct slice text = {exact, cut}, value;
        struct json_iter it;

        exact = realloc(exact, cut > 0 ? cut : 1);
        text.p = exact;
        cr_assert_eq(json_validate(text) != JSON_BAD, cut == n, "cut at %zu", cut);
        if (json_iter_begin(&it, text)) {
            while (json_next(&it))
                cr_assert_neq(json_validate(it.value), JSON_BAD);
            cr_assert_eq(it.failed, cut < n, "cut at %zu", cut);
        }
        cr_assert_eq(json_member(text, "params", &value, NULL), cut == n);
        free(exact);
    }
}

Test(json_scan, finds_the_exact_bytes_of_members)
{
    struct slice value, inner;
    size_t count = 0;

    cr_assert(json_member(SLICE(sample), "id", &value, &count));
    cr_assert(slice_eq(value, SLICE("12345678901234567890.50")), "the first one, to the digit");
    cr_assert_eq(count, 3, "escaped names count too");
    cr_assert(json_member(SLICE(sample), "params", &value, &count) && count == 1);
    cr_assert(json_member(value, "m", &inner, NULL));
    cr_assert(slice_eq(inner, SLICE("[1,-2.5e3,true,null,\"\\ud83d\\ude00\\n\"]")));
    cr_assert_not(json_member(SLICE(sample), "nope", &value, &count));
    cr_assert_eq(count, 0);
    cr_assert_not(json_member(SLICE("[1]"), "0", &value, NULL));
    cr_assert(json_member(SLICE(sample), "\xC3\xA9", &value, NULL));
    cr_assert(slice_eq(value, SLICE("{ }")));
}

Test(json_scan, walks_arrays)
{
    struct json_iter it;
    int n = 0;

    cr_assert(json_iter_begin(&it, SLICE(" [ 1 , \"a\" , [ ] ] ")));
    cr_assert_not(it.is_object);
    while (json_next(&it)) {
        static const enum json_kind types[] = {JSON_NUMBER, JSON_STRING, JSON_ARRAY};

        cr_assert_lt(n, 3);
        cr_assert_eq(it.type, types[n]);
        n++;
    }
    cr_assert_not(it.failed);
    cr_assert_eq(n, 3);
    cr_assert_not(json_next(&it), "stays at the end");
    cr_assert(json_iter_begin(&it, SLICE("{}")) && !json_next(&it) && !it.failed);
    cr_assert(json_iter_begin(&it, SLICE("[] x")) && !json_next(&it) && it.failed);
    cr_assert_not(json_iter_begin(&it, SLICE("\"a\"")));
}

Test(json_scan, decodes_strings)
{
    char dst[32];

    cr_assert_eq(json_string_decode(SLICE("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\""), dst, sizeof(dst)), 9);
    cr_assert_str_eq(dst, "a\"\\/\b\f\n\r\t");
    cr_assert_eq(json_string_decode(SLICE("\"\\u00e9\\u20AC\\uD83D\\uDE00\""), dst, sizeof(dst)),
                 9);
    cr_assert_str_eq(dst, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    cr_assert_eq(json_string_decode(SLICE("\"\""), dst, sizeof(dst)), 0);
    cr_assert_str_eq(dst, "");
    cr_assert_eq(json_string_decode(SLICE("\"abc\""), dst, 4), 3);
    cr_assert_eq(json_string_decode(SLICE("\"abcd\""), dst, 4), -E2BIG);
    cr_assert_eq(json_string_decode(SLICE("\"\""), dst, 0), -E2BIG);
}

Test(json_scan, does_not_decode_what_has_no_utf8)
{
    static const char *const bad[] = {
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "abc",
        "\"abc",
        "\"abc\" ",
        "",
    };
    char dst[32];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(json_string_decode(slice_of(bad[i]), dst, sizeof(dst)), -EINVAL, "%s", bad[i]);
        cr_assert_not(json_string_eq(slice_of(bad[i]), "abc"), "%s", bad[i]);
    }
    cr_assert_eq(json_validate(SLICE("\"\\ud800\"")), JSON_STRING,
                 "the grammar allows it; only decoding refuses");
}

Test(json_scan, compares_decoded_names)
{
    cr_assert(json_string_eq(SLICE("\"url\""), "url"));
    cr_assert(json_string_eq(SLICE("\"\\u0075rl\""), "url"));
    cr_assert_not(json_string_eq(SLICE("\"urls\""), "url"));
    cr_assert_not(json_string_eq(SLICE("\"ur\""), "url"));
    cr_assert_not(json_string_eq(SLICE("\"url\\u0000\""), "url"));
    cr_assert(json_string_eq(SLICE("\"\""), ""));
}

Test(json_scan, counts_the_values_a_parser_would_make)
{
    static const struct {
        const char *text;
        size_t most;
    } v[] = {
        {"7", 1},
        {"{}", 1},
        {"[]", 1},
        {" [ {} , {} , 1 ] ", 4},
        {"{\"a\":{\"b\":[1,\"x,{[\",null]},\"c\":[[]]}", 8},
        {"", 1},
        {"['\"', {}, {}]", 6}, /* a lenient parser takes it: its string hides nothing */
        {"[1,2", 3},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        cr_expect_eq(json_values_most(slice_of(v[i].text)), v[i].most, "%s: %zu", v[i].text,
                     json_values_most(slice_of(v[i].text)));
}
