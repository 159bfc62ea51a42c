#include "base/buf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

Test(buf, agrees_with_a_model_under_random_splits)
{
    enum { CAP = 97, STEPS = 60000 };
    struct buf b = {0};
    unsigned char model[CAP];
    size_t model_len = 0;
    unsigned char next = 0;

    srand(7); /* the same run every time */
    cr_assert_eq(buf_alloc(&b, CAP), 0);
    for (int step = 0; step < STEPS; step++) {
        size_t n = (size_t)rand() % (CAP + 10);

        if (rand() % 3 == 0) { /* through the tail */
            size_t room;
            char *tail = buf_tail(&b, &room);

            cr_assert_leq(room, buf_room(&b));
            cr_assert(2 * room >= buf_room(&b), "less than half of the room is usable");
            n = n < room ? n : room;
            for (size_t i = 0; i < n; i++)
                tail[i] = (char)(model[model_len + i] = next++);
            buf_added(&b, n);
            model_len += n;
        } else if (rand() % 2 == 0) { /* by copy */
            unsigned char bytes[CAP + 10];
            size_t put;

            for (size_t i = 0; i < n; i++)
                bytes[i] = (unsigned char)(next + i);
            put = buf_put(&b, bytes, n);
            cr_assert_eq(put, n < CAP - model_len ? n : CAP - model_len);
            memcpy(model + model_len, bytes, put);
            model_len += put;
            next = (unsigned char)(next + put);
        } else {
            n = n < model_len ? n : model_len;
            buf_consume(&b, n);
            memmove(model, model + n, model_len - n);
            model_len -= n;
        }
        cr_assert_eq(b.len, model_len);
        cr_assert_leq(b.start + b.len, b.cap);
        cr_assert_eq(buf_room(&b), CAP - model_len);
        cr_assert_eq(memcmp(buf_bytes(&b).p, model, model_len), 0);
    }
    buf_free(&b);
}

Test(buf, without_memory_holds_nothing)
{
    struct buf b = {0};
    size_t room = 1;

    cr_assert_null(buf_tail(&b, &room));
    cr_assert_eq(room, 0);
    cr_assert_eq(buf_put(&b, "x", 1), 0);
    cr_assert_eq(buf_bytes(&b).n, 0);
    buf_free(&b);
}

Test(buf, pool_lends_up_to_its_cap_and_keeps_some_warm)
{
    struct buf_pool pool;
    struct buf b[3] = {{0}};

    buf_pool_init(&pool, 64, 2, 1);
    cr_assert_eq(buf_borrow(&b[0], &pool), 0);
    cr_assert_eq(buf_borrow(&b[0], &pool), 0, "a second borrow changes nothing");
    cr_assert_eq(buf_borrow(&b[1], &pool), 0);
    cr_assert_eq(buf_borrow(&b[2], &pool), -ENOMEM);
    cr_assert_eq(pool.used_blocks, 2);
    cr_assert_eq(buf_put(&b[0], "abc", 3), 3);
    buf_return(&b[0], &pool);
    buf_return(&b[0], &pool);
    cr_assert_null(b[0].p);
    cr_assert_eq(b[0].len, 0);
    buf_return(&b[1], &pool);
    cr_assert_eq(pool.used_blocks, 0);
    cr_assert_eq(pool.free_blocks, 1);
    cr_assert_eq(buf_borrow(&b[2], &pool), 0);
    cr_assert_eq(pool.free_blocks, 0);
    buf_return(&b[2], &pool);
    buf_pool_release(&pool);
}
