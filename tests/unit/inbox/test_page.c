#include "inbox/known.h"
#include "inbox/page.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void expect_rows(const char *body, int end, const char *joined)
{
    char all[256] = "";
    struct slice rows, row;
    int code = page_begin(slice_of(body), &rows);

    while (code >= 0 && (code = page_next(&rows, &row)) == 1) {
        size_t n = strlen(all);

        (void)snprintf(all + n, sizeof(all) - n, "%.*s;", (int)row.n, row.p);
    }
    cr_expect_eq(code, end, "%s: %d", body, code);
    cr_expect_str_eq(all, joined, "%s: %s", body, all);
}

Test(page, is_cut_into_rows)
{
    expect_rows("[]", 0, "");
    expect_rows(" [ ] ", 0, "");
    expect_rows("[{\"a\":1},{\"b\":[2,{}]} , 3 ,\"x\\\"]\",null]", 0,
                "{\"a\":1};{\"b\":[2,{}]};3;\"x\\\"]\";null;");
    expect_rows("{\"items\":[1,2],\"more\":false}", 0, "1;2;");
    expect_rows("{\"n\":{\"items\":[7]},\"items\":[1]}", 0, "1;");
    expect_rows("", -EBADMSG, "");
    expect_rows("{}", -EBADMSG, "");
    expect_rows("{\"items\":3}", -EBADMSG, "");
    expect_rows("[1,2", -EBADMSG, "1;");
    expect_rows("[{\"a\":1}", -EBADMSG, "{\"a\":1};");
    expect_rows("[{\"a\":\"}", -EBADMSG, "");
    expect_rows("[:]", -EBADMSG, "");
}

Test(page, members_are_found_without_looking_into_others)
{
    struct slice v, text;
    const char *row = "{\"x\":{\"id\":\"inner\"},\"deep\":[[[[\"id\"]]]], \"id\" : \"outer\"}";

    cr_assert(page_member(slice_of(row), "id", &v));
    cr_assert(page_plain_text(v, &text));
    cr_assert(slice_eq(text, SLICE("outer")));
    cr_assert_not(page_member(slice_of(row), "none", &v));
    cr_assert_not(page_member(SLICE("[1]"), "id", &v));
    cr_assert_not(page_member(SLICE("{\"id\""), "id", &v));
    cr_assert_not(page_plain_text(SLICE("\"a\\n\""), &text));
    cr_assert_not(page_plain_text(SLICE("7"), &text));
}

Test(page, depth_costs_nothing)
{
    size_t n = 128 * 1024;
    char *body = malloc(2 * n + 64);
    struct slice rows, row;

    cr_assert_not_null(body);
    body[0] = '[';
    memset(body + 1, '[', n);
    memset(body + 1 + n, ']', n);
    (void)snprintf(body + 1 + 2 * n, 16, ",7]");
    cr_assert_eq(page_begin(slice_of(body), &rows), 0);
    cr_assert_eq(page_next(&rows, &row), 1);
    cr_assert_eq(row.n, 2 * n);
    cr_assert_eq(page_next(&rows, &row), 1);
    cr_assert(slice_eq(row, SLICE("7")));
    free(body);
}

static const char *id_of(unsigned k)
{
    static char id[37];

    (void)snprintf(id, sizeof(id), "aaaaaaaa-0000-4000-8000-%012u", k);
    return id;
}

Test(known, remembers_the_last_ones)
{
    struct known k = {0};

    cr_assert_not(known_has(&k, id_of(1)));
    for (unsigned n = 0; n < 3 * KNOWN_IDS; n++) {
        known_add(&k, id_of(n));
        cr_assert(known_has(&k, id_of(n)));
    }
    cr_assert(known_has(&k, "AAAAAAAA-0000-4000-8000-000000049000"), "of any case");
    cr_assert(known_has(&k, id_of(2 * KNOWN_IDS + 1)));
    cr_assert(known_has(&k, id_of(KNOWN_IDS + 1)));
    cr_assert_not(known_has(&k, id_of(1)), "the oldest are forgotten");
    cr_assert_not(known_has(&k, id_of(3 * KNOWN_IDS)));
    known_release(&k);
}
