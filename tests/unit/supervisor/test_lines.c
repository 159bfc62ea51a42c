#include "supervisor/lines.h"

#include "base/str.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what comes out, one piece per row: "0|text", "1+|begin", "2|end" ---- */

struct told {
    struct str text;
    size_t pieces, widest;
};

static void on_piece(void *arg, const struct piece *p)
{
    struct told *t = arg;
    struct slice rest = p->text;
    size_t cost = 0;

    while (rest.n > 0) {
        cost += log_char_cost(&rest);
    }
    t->widest = cost > t->widest ? cost : t->widest;
    t->pieces++;
    str_addf(&t->text, "%u%s|", p->part, p->has_more ? "+" : "");
    str_add(&t->text, p->text);
    str_addz(&t->text, "\n");
}

static void feed(struct lines *l, struct told *t, const char *p, size_t n, size_t step)
{
    while (n > 0) {
        size_t room;
        char *to = lines_room(l, &room);
        size_t k = step < n ? step : n;

        cr_assert_geq(room, (size_t)LINES_BUFFER_BYTES / 2, "it never fills up");
        k = k < room ? k : room;
        memcpy(to, p, k);
        lines_added(l, k, on_piece, t);
        p += k;
        n -= k;
    }
}

static void expect(const char *in, size_t n, const char *want)
{
    for (size_t step = 1; step <= n; step++) {
        struct lines l = {0};
        struct told t = {0};

        feed(&l, &t, in, n, step);
        lines_end(&l, on_piece, &t);
        cr_assert_str_eq(str_z(&t.text), want, "in steps of %zu", step);
        cr_assert_not(lines_has_begun(&l));
        str_release(&t.text);
    }
}

Test(lines, end_at_newlines_however_the_bytes_arrive)
{
    expect("a\nbb\n\nccc\n", 10, "0|a\n0|bb\n0|\n0|ccc\n");
}

Test(lines, the_last_one_needs_no_newline)
{
    expect("a\nrest", 6, "0|a\n0|rest\n");
}

Test(lines, carriage_returns_and_tabs_stay)
{
    expect("a\r\n\tb\n", 6, "0|a\r\n0|\tb\n");
}

Test(lines, bad_utf8_and_half_characters_stay_as_they_are)
{
    expect("\xff\xfe\n\xe2\x82\n\xc3", 7, "0|\xff\xfe\n0|\xe2\x82\n0|\xc3\n");
}

Test(lines, nul_bytes_are_bytes)
{
    struct lines l = {0};
    struct told t = {0};

    feed(&l, &t, "a\0b\n", 4, 4);
    cr_assert_eq(t.text.len, 6);
    cr_assert_arr_eq(t.text.p, "0|a\0b\n", 6);
    str_release(&t.text);
}

Test(lines, a_long_line_comes_in_numbered_parts)
{
    enum { BYTES = 3 * LOG_TEXT_MAX - 1 };
    char *in = malloc(BYTES + 1);

    memset(in, 'x', BYTES);
    in[BYTES] = '\n';
    for (size_t step = 1; step <= 5000; step += 617) {
        struct lines l = {0};
        struct told t = {0};

        feed(&l, &t, in, BYTES + 1, step);
        cr_assert_eq(t.pieces, 3);
        cr_assert_eq(t.widest, LOG_TEXT_MAX);
        cr_assert_eq(strncmp(str_z(&t.text), "1+|xxx", 6), 0);
        cr_assert(strstr(str_z(&t.text), "\n2+|xxx"));
        cr_assert(strstr(str_z(&t.text), "\n3|xxx"));
        cr_assert_not(lines_has_begun(&l));
        str_release(&t.text);
    }
    free(in);
}

Test(lines, exactly_the_limit_is_a_whole_line)
{
    char in[LOG_TEXT_MAX + 1];
    struct lines l = {0};
    struct told t = {0};

    memset(in, 'x', sizeof(in));
    in[LOG_TEXT_MAX] = '\n';
    feed(&l, &t, in, sizeof(in), sizeof(in));
    cr_assert_eq(t.pieces, 1);
    cr_assert_eq(strncmp(str_z(&t.text), "0|x", 3), 0);
    str_release(&t.text);
}

Test(lines, a_part_never_ends_inside_a_character)
{
    enum { COUNT = 2000 };
    struct str in = {0};

    for (int i = 0; i < COUNT; i++) {
        str_addz(&in, "\xf0\x9f\x8e\x88");
    }
    for (size_t step = 1; step < 9; step++) {
        struct lines l = {0};
        struct told t = {0};

        feed(&l, &t, in.p, in.len, step);
        lines_end(&l, on_piece, &t);
        cr_assert_eq(t.pieces, 3);
        for (struct slice rest = str_slice(&t.text); rest.n > 0;) {
            size_t k = slice_utf8_next(rest);

            cr_assert_gt(k, 0, "step %zu", step);
            rest.p += k;
            rest.n -= k;
        }
        str_release(&t.text);
    }
    str_release(&in);
}

Test(lines, escapes_count)
{
    char in[LOG_TEXT_MAX];
    struct lines l = {0};
    struct told t = {0};

    memset(in, 1, sizeof(in)); /* \x01 or \u0001 each */
    feed(&l, &t, in, sizeof(in), sizeof(in));
    lines_end(&l, on_piece, &t);
    cr_assert_geq(t.pieces, 4);
    cr_assert_leq(t.widest, (size_t)LOG_TEXT_MAX);
    str_release(&t.text);
}

Test(lines, what_was_flushed_is_a_part_and_its_line_still_ends)
{
    struct lines l = {0};
    struct told t = {0};

    lines_flush(&l, on_piece, &t);
    cr_assert_eq(t.pieces, 0, "nothing begun, nothing told");
    feed(&l, &t, "name? \xc3", 7, 7);
    lines_flush(&l, on_piece, &t);
    lines_flush(&l, on_piece, &t);
    cr_assert_str_eq(str_z(&t.text), "1+|name? \n", "half a character waits");
    cr_assert(lines_has_begun(&l));
    feed(&l, &t, "\xa9\nnext\n", 7, 7);
    cr_assert_str_eq(str_z(&t.text), "1+|name? \n2|\xc3\xa9\n0|next\n");
    feed(&l, &t, "again", 5, 5);
    lines_flush(&l, on_piece, &t);
    lines_end(&l, on_piece, &t);
    cr_assert(strstr(str_z(&t.text), "1+|again\n2|\n"), "the end of the line is told: %s",
              str_z(&t.text));
    str_release(&t.text);
}
