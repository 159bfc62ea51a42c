#include "base/cleanup.h"
#include "base/list.h"

#include <criterion/criterion.h>

struct item {
    int value;
    struct list node;
};

static void expect(struct list *head, const int *values, int count)
{
    int n = 0;

    LIST_FOREACH(it, head)
    {
        cr_assert_lt(n, count);
        cr_assert_eq(container_of(it, struct item, node)->value, values[n]);
        n++;
    }
    cr_assert_eq(n, count);
}

Test(list, keeps_order)
{
    struct list head;
    struct item items[4];

    list_init(&head);
    cr_assert(list_is_empty(&head));
    cr_assert_null(list_first(&head));
    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        list_init(&items[i].node);
    }
    list_append(&head, &items[1].node);
    list_append(&head, &items[3].node);
    list_prepend(&head, &items[0].node);
    list_insert_before(&items[3].node, &items[2].node);
    expect(&head, (const int[]){0, 1, 2, 3}, 4);
    list_remove(&items[2].node);
    list_remove(&items[2].node);
    expect(&head, (const int[]){0, 1, 3}, 3);
    LIST_FOREACH(it, &head)
    list_remove(it);
    cr_assert(list_is_empty(&head));
}
