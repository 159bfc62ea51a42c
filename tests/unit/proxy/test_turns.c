/* Who goes next among those who wait. */
#include "proxy/turns.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

enum { WAITERS = 64 };

struct waiter {
    struct turn turn;
    int id;
};

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};

    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&sa)->sin_addr) == 1)
        sa.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&sa)->sin6_addr) == 1)
        sa.ss_family = AF_INET6;
    return sa;
}

static void add(struct turns *t, struct waiter *w, int id, const char *from)
{
    struct sockaddr_storage sa = peer(from);

    w->id = id;
    cr_assert_eq(turns_add(t, &w->turn, turn_peer_of(&sa), (uint64_t)id, false), 0);
}

static int take(struct turns *t)
{
    struct turn *w = turns_take(t);

    return w ? container_of(w, struct waiter, turn)->id : -1;
}

static int who_yields(const struct turns *t, const char *to)
{
    struct sockaddr_storage sa = peer(to);
    struct turn *w = turns_who_yields(t, turn_peer_of(&sa));

    return w ? container_of(w, struct waiter, turn)->id : -1;
}

Test(proxy_turns, one_peer_goes_in_order_of_arrival)
{
    struct waiter w[4] = {0};
    struct turns t;

    turns_init(&t);
    for (int i = 0; i < 4; i++)
        add(&t, &w[i], i, "10.0.0.1");
    for (int i = 0; i < 4; i++)
        cr_assert_eq(take(&t), i);
    cr_assert_eq(take(&t), -1);
}

Test(proxy_turns, peers_take_turns)
{
    static const int wanted[] = {0, 4, 5, 1, 6, 2, 3, -1};
    struct waiter w[7] = {0};
    struct turns t;

    turns_init(&t);
    for (int i = 0; i < 4; i++)
        add(&t, &w[i], i, "10.0.0.1");
    add(&t, &w[4], 4, "10.0.0.2");
    add(&t, &w[5], 5, "2001:db8::1");
    add(&t, &w[6], 6, "10.0.0.2");
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        cr_assert_eq(take(&t), wanted[i], "%zu", i);
}

Test(proxy_turns, an_address_is_one_peer_in_each_of_its_spellings)
{
    struct waiter w[6] = {0};
    struct turns t;

    turns_init(&t);
    add(&t, &w[0], 0, "10.0.0.1");
    add(&t, &w[1], 1, "::ffff:10.0.0.1");
    add(&t, &w[2], 2, "2001:db8:0:1::1");
    add(&t, &w[3], 3, "2001:db8:0:1:ffff::2"); /* the same /64 */
    add(&t, &w[4], 4, "unix");
    add(&t, &w[5], 5, "2001:db8:0:2::1");
    cr_assert_eq(take(&t), 0);
    cr_assert_eq(take(&t), 2);
    cr_assert_eq(take(&t), 4);
    cr_assert_eq(take(&t), 5);
    cr_assert_eq(take(&t), 1);
    cr_assert_eq(take(&t), 3);
}

Test(proxy_turns, who_comes_back_goes_first)
{
    struct sockaddr_storage sa = peer("10.0.0.1");
    struct waiter w[4] = {0};
    struct turns t;

    turns_init(&t);
    for (int i = 0; i < 3; i++)
        add(&t, &w[i], i, "10.0.0.1");
    add(&t, &w[3], 3, "10.0.0.2");
    cr_assert_eq(take(&t), 0);
    cr_assert_eq(turns_add(&t, &w[0].turn, turn_peer_of(&sa), 0, true), 0);
    cr_assert_eq(take(&t), 0);
    cr_assert_eq(take(&t), 3);
    cr_assert_eq(take(&t), 1);
    turns_remove(&t, &w[2].turn); /* gone by itself */
    turns_remove(&t, &w[2].turn);
    cr_assert_eq(take(&t), -1);
}

Test(proxy_turns, the_longest_lane_makes_room)
{
    struct waiter w[WAITERS] = {0};
    struct turns t;
    int n = 0;

    turns_init(&t);
    cr_assert_eq(who_yields(&t, "10.0.0.1"), -1);
    for (int i = 0; i < 3; i++, n++)
        add(&t, &w[n], n, "10.0.0.1");
    cr_assert_eq(who_yields(&t, "10.0.0.1"), -1, "not for one's own next");
    cr_assert_eq(who_yields(&t, "10.0.0.2"), 2, "the newest of who has most");
    add(&t, &w[n], n, "10.0.0.2");
    n++;
    add(&t, &w[n], n, "10.0.0.2");
    n++;
    cr_assert_eq(who_yields(&t, "10.0.0.2"), -1, "3 is not more than 2 and one more");
    cr_assert_eq(who_yields(&t, "10.0.0.3"), 2);
    while (take(&t) >= 0)
        n--;
    cr_assert_eq(n, 0);
}
