#include "support/feed_case.h"

TestSuite(second, .init = feed_open, .fini = feed_close, .timeout = 60);

static void add(unsigned k, const char *rest)
{
    fake_lock(pc->fake);
    add_feed_row(k, 3600LL * 1000000 - 1000000 + k, rest);
    fake_unlock(pc->fake);
}

static bool is_noticed(void)
{
    return box.status.other[0] != '\0';
}

static unsigned wanted;
static bool has_rows(void)
{
    return jr.n >= wanted;
}

static void start(int64_t settle_ms)
{
    box.second->times.settle = settle_ms;
    feed_start(&box);
    UNTIL(is_swept);
}

Test(second, an_answer_that_we_did_not_send)
{
    add(1, ECHO_BODY); /* of before us */
    start(0);
    cr_assert_not(is_noticed());
    add(2, ECHO_BODY);
    UNTIL(is_noticed);
    cr_assert(strstr(box.status.other, row_id_of(2)), "%s", box.status.other);
}

Test(second, our_own_are_known)
{
    start(0);
    second_sends(&box, SLICE(" said\n"));
    add(1, ECHO_BODY);
    wanted = 1;
    UNTIL(has_rows);
    cr_assert_not(is_noticed());
    add(2, ",\"method\":\"notify\",\"response_body\":{\"result\":\"other words\"}");
    UNTIL(is_noticed);
}

Test(second, those_of_an_earlier_run_may_still_come)
{
    start(60 * 1000);
    add(1, ECHO_BODY);
    wanted = 1;
    UNTIL(has_rows);
    cr_assert_not(is_noticed());
}

static void strange_uptime(struct world *w)
{
    w->row_uptime = 7777;
}

static bool has_beaten(void)
{
    return pc->p->heart.accepted;
}

/* Nobody else looks at the row any more. */
static bool has_registered(void)
{
    return pc->registered > 0;
}

Test(second, beats_that_are_not_ours)
{
    pc->cfg.platform.heartbeat_interval = 100;
    pc->beat.uptime_seconds = 5;
    transport_set_bearer(platform_transport(pc->p), SLICE("")); /* the platform's own start */
    platform_start(pc->p);
    UNTIL(has_beaten);
    box.second->times.look = box.second->times.again = 10;
    start(60 * 1000);
    case_run_ms(100);
    cr_assert_not(is_noticed(), "%s", box.status.other);
    case_set(strange_uptime);
    UNTIL(is_noticed);
    cr_assert(strstr(box.status.other, "heartbeats"), "%s", box.status.other);
}

static unsigned row_looks;

/* Every other look at the row is strange: a restart of the platform, a beat on its way. */
static bool now_and_then(struct world *w, const struct fake_request *rq, struct fake_answer *a)
{
    if (strcmp(rq->target, "/workspaces/" CASE_ID) == 0)
        w->row_uptime = row_looks++ % 2 ? -1 : 7777;
    return feed_hook(w, rq, a);
}

static bool was_looked_at(void)
{
    fake_lock(pc->fake);
    bool is_enough = row_looks >= 9;
    fake_unlock(pc->fake);
    return is_enough;
}

Test(second, single_odd_looks_with_good_ones_between_say_nothing)
{
    pc->cfg.platform.heartbeat_interval = 100;
    pc->beat.uptime_seconds = 5;
    transport_set_bearer(platform_transport(pc->p), SLICE(""));
    platform_start(pc->p);
    UNTIL(has_beaten);
    UNTIL(has_registered);
    box.second->times.look = box.second->times.again = 10;
    row_looks = 0;
    fake_lock(pc->fake);
    pc->world.hook = now_and_then;
    fake_unlock(pc->fake);
    start(60 * 1000);
    UNTIL(was_looked_at);
    cr_assert_not(is_noticed(), "%s", box.status.other);
}

static bool is_forgotten(void)
{
    return box.status.other[0] == '\0';
}

Test(second, without_a_further_sign_it_is_forgotten)
{
    box.second->times.look = 20;
    start(0);
    add(1, ECHO_BODY);
    UNTIL(is_noticed);
    box.second->times.forget = 60;
    UNTIL(is_forgotten);
}
