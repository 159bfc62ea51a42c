/*
 * The store of activity rows against a plain list of them: order, places of cursors, ids, removal.
 * Source: P section 10.6.
 */
#include "devplatform/world.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define A "aaaaaaaa-0000-4000-8000-000000000001"

static struct world w;
static struct workspace *a;

static void open_world(void)
{
    world_init(&w);
    a = world_add(&w, A, "a");
}

static void close_world(void)
{
    world_release(&w);
}

TestSuite(rows, .init = open_world, .fini = close_world);

static struct row *show(int64_t us)
{
    struct row *r = row_new(&w.rows, A, "a2a_receive");

    r->created_us = us;
    cr_assert(world_show_row(&w, r));
    return r;
}

static void assert_sorted(void)
{
    for (size_t i = 1; i < a->feed.count; i++) {
        const struct row *before = row_feed_at(&a->feed, i - 1), *r = row_feed_at(&a->feed, i);
        cr_assert(before->created_us < r->created_us ||
                  (before->created_us == r->created_us && before->seq < r->seq));
    }
}

Test(rows, late_ones_find_their_place)
{
    struct row *late;

    show(100);
    show(300);
    late = show(200);
    cr_assert_eq(row_feed_at(&a->feed, 1), late);
    cr_assert_eq(row_feed_after(&a->feed, 200, INT64_MAX), 2);
    cr_assert_eq(row_feed_after(&a->feed, 199, INT64_MAX), 1);
    cr_assert_eq(row_feed_after(&a->feed, 300, INT64_MAX), 3);
}

Test(rows, equal_times_are_told_apart_by_seq_only)
{
    struct row *one = show(100), *two = show(100);

    cr_assert_eq(row_feed_after(&a->feed, one->created_us, INT64_MAX), 2, "both are passed");
    cr_assert_eq(row_feed_after(&a->feed, one->created_us, one->seq), 1);
    cr_assert_eq(row_feed_after(&a->feed, two->created_us, two->seq), 2);
}

Test(rows, ids_are_found_in_any_case)
{
    struct row *r = show(1);
    char upper[ROWS_ID_LEN + 1];

    for (size_t i = 0; i <= ROWS_ID_LEN; i++)
        upper[i] = r->id[i] >= 'a' && r->id[i] <= 'f' ? (char)(r->id[i] - 32) : r->id[i];
    cr_assert_eq(rows_find(&w.rows, slice_of(r->id)), r);
    cr_assert_eq(rows_find(&w.rows, slice_of(upper)), r);
    cr_assert_null(rows_find(&w.rows, SLICE(A)));
    cr_assert_null(rows_find(&w.rows, SLICE("")));
}

Test(rows, a_thousand_steps_keep_the_order_and_the_ids)
{
    unsigned dice = 1;
    size_t shown = 0;

    w.rows.max = 300;
    for (int step = 0; step < 3000; step++) {
        dice = dice * 1103515245 + 12345;
        if (dice >> 16 & 7) {
            show(step * 10 - (dice >> 20 & 7) * 40);
            shown++;
        } else {
            world_forget_rows(&w, step * 10 - 2000);
        }
        cr_assert_leq(w.rows.count, 300);
        cr_assert_eq(w.rows.count, a->feed.count);
    }
    assert_sorted();
    cr_assert_gt(shown, 2000);
    cr_assert_gt(w.rows.count, 100);
    LIST_FOREACH(it, &w.rows.all)
    {
        struct row *r = container_of(it, struct row, node);
        cr_assert_eq(rows_find(&w.rows, slice_of(r->id)), r);
    }
}

Test(rows, bodies_are_shown_as_they_came)
{
    struct json_object *body = json_tokener_parse("{\"b\":[1,{\"a\":\"\\u00e4/\\\"\"}]}"), *o,
                       *back;
    struct row *r = show(1);

    row_set_request(r, body);
    row_set_response(r, NULL);
    o = row_to_json(r, true);
    back = json_tokener_parse(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    cr_assert_not_null(back);
    cr_assert(json_object_equal(json_object_object_get(back, "request_body"), body));
    cr_assert(json_object_object_get_ex(back, "response_body", NULL), "a present null");
    cr_assert_eq(json_object_get_int64(json_object_object_get(back, "seq")), r->seq);
    json_object_put(o);
    json_object_put(back);
    json_object_put(body);
    o = row_to_json(show(2), false);
    cr_assert_not(json_object_object_get_ex(o, "request_body", NULL), "an absent key");
    cr_assert_not(json_object_object_get_ex(o, "response_body", NULL));
    cr_assert_not(json_object_object_get_ex(o, "seq", NULL));
    json_object_put(o);
}
