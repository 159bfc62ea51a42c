/*
 * The development platform's memory: tokens, families, rows and times. Source: P sections
 * 1, 3.2, 10.2, 14.3.
 */
#include "devplatform/world.h"

#include <criterion/criterion.h>
#include <string.h>

#define A "aaaaaaaa-0000-4000-8000-000000000001"
#define B "aaaaaaaa-0000-4000-8000-000000000002"
#define C "aaaaaaaa-0000-4000-8000-000000000003"

static struct world w;

static void open_world(void)
{
    world_init(&w);
}

static void close_world(void)
{
    world_release(&w);
}

TestSuite(world, .init = open_world, .fini = close_world);

Test(world, a_token_is_43_characters_of_base64url_and_never_the_same)
{
    char one[48], two[48];

    token_make(one);
    token_make(two);
    cr_assert_eq(strlen(one), 43);
    cr_assert_eq(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                 43);
    cr_assert_str_neq(one, two);
}

Test(world, a_token_belongs_to_one_workspace_while_it_lives)
{
    struct workspace *a = world_add(&w, A, "a"), *b = world_add(&w, B, "b");
    struct token *t = token_add(a, "the-token-of-a-0123");

    cr_assert_eq(token_check(a, SLICE("the-token-of-a-0123")), t);
    cr_assert_null(token_check(a, SLICE("the-token-of-a-012")));
    cr_assert_null(token_check(b, SLICE("the-token-of-a-0123")));
    cr_assert_eq(token_owner(&w, SLICE("the-token-of-a-0123")), a);
    token_revoke_all(a);
    cr_assert_null(token_check(a, SLICE("the-token-of-a-0123")));
    cr_assert_eq(token_live_count(a), 0);
}

Test(world, no_token_of_a_removed_workspace_is_good)
{
    struct workspace *a = world_add(&w, A, "a");

    token_add(a, "minted-after-removal");
    a->status = STATUS_REMOVED;
    cr_assert_null(token_check(a, SLICE("minted-after-removal")));
    cr_assert_eq(token_live_count(a), 1, "it counts all the same");
}

Test(world, masks_show_little_and_nothing_of_short_ones)
{
    char mask[16];

    cr_assert_str_eq(token_mask(SLICE("abcdefghijklmnopqrstuvwxyz"), mask), "abcd…");
    cr_assert_str_eq(token_mask(SLICE("short"), mask), "…");
    cr_assert_str_eq(token_mask(SLICE("\nbcdefghijklmnopqrstuvwxyz"), mask), "?bcd…");
    cr_assert_str_eq(token_mask(SLICE(""), mask), "");
}

Test(world, families_talk_and_strangers_do_not)
{
    struct workspace *root = world_add(&w, A, "root"), *child = world_add(&w, B, "child");
    struct workspace *grandchild = world_add(&w, C, "grandchild");
    struct workspace *other = world_add(&w, "aaaaaaaa-0000-4000-8000-000000000004", "other");

    memcpy(child->parent_id, A, sizeof(A));
    memcpy(grandchild->parent_id, B, sizeof(B));
    cr_assert(world_may_talk(&w, root, grandchild));
    cr_assert(world_may_talk(&w, grandchild, root));
    cr_assert(world_may_talk(&w, root, other), "both are roots");
    cr_assert_not(world_may_talk(&w, other, child));
    cr_assert_not(workspace_is_below(&w, root, root));
}

Test(world, a_circle_of_parents_ends)
{
    struct workspace *a = world_add(&w, A, "a"), *b = world_add(&w, B, "b"),
                     *c = world_add(&w, C, "c");

    memcpy(a->parent_id, B, sizeof(B));
    memcpy(b->parent_id, A, sizeof(A));
    cr_assert_not(world_may_talk(&w, a, c));
}

Test(world, purging_takes_the_rows_along)
{
    struct workspace *a = world_add(&w, A, "a");

    world_add(&w, B, "b");
    world_show_row(&w, row_new(&w.rows, A, "a2a_receive"));
    world_show_row(&w, row_new(&w.rows, B, "a2a_receive"));
    world_purge(&w, a);
    cr_assert_null(world_find(&w, SLICE(A)));
    cr_assert_eq(w.rows.count, 1);
}

Test(world, the_oldest_rows_go)
{
    const struct workspace *a = world_add(&w, A, "a");

    w.rows.max = 100;
    for (size_t i = 0; i < 110; i++)
        cr_assert(world_show_row(&w, row_new(&w.rows, A, "agent_log")));
    cr_assert_eq(w.rows.count, 100);
    cr_assert_eq(w.rows.last_seq, 110);
    cr_assert_eq(row_feed_at(&a->feed, 0)->seq, 11);
    cr_assert_not(world_show_row(&w, row_new(&w.rows, B, "agent_log")), "nobody's");
}

Test(world, times_are_rfc_3339_with_trailing_zeros_trimmed)
{
    char text[WORLD_TIME_MAX];
    static const struct {
        int64_t us;
        const char *text;
    } table[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1795419333565408, "2026-11-23T07:35:33.565408Z"},
        {1500000, "1970-01-01T00:00:01.5Z"},
        {1000010, "1970-01-01T00:00:01.00001Z"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        int64_t back = -1;
        time_text(table[i].us, text);
        cr_assert_str_eq(text, table[i].text);
        cr_assert(time_parse(slice_of(text), &back));
        cr_assert_eq(back, table[i].us);
    }
}

Test(world, times_with_offsets_are_read_and_others_refused)
{
    int64_t us;

    cr_assert(time_parse(SLICE("1970-01-01T01:00:00+01:00"), &us));
    cr_assert_eq(us, 0);
    cr_assert(time_parse(SLICE("1969-12-31T22:30:00.25-01:30"), &us));
    cr_assert_eq(us, 250000);
    static const char *const bad[] = {"",
                                      "yesterday",
                                      "1970-01-01",
                                      "1970-01-01T00:00:00",
                                      "1970-01-01T00:00:00+1:00",
                                      "1970-01-01T00:00:00+01:0x",
                                      "1970-01-01T00:00:00Zz"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_not(time_parse(slice_of(bad[i]), &us), "%s", bad[i]);
}
