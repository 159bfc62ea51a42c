/*
 * While less than a tenth of the rate limit is left (P section 4.3): who still asks the platform,
 * how often, and that all go on as before once there is more.
 */
#include "support/feed_case.h"

#define PEER "bbbbbbbb-0000-4000-8000-000000000001"
#define FILE_OF(k)                                                                                 \
    ",\"method\":\"chat_upload_receive\",\"source_id\":null,\"request_body\":{\"file_id\":"        \
    "\"cccccccc-0000-4000-8000-00000000000" k                                                      \
    "\",\"name\":\"x\",\"uri\":\"platform-pending:" CASE_ID                                        \
    "/cccccccc-0000-4000-8000-00000000000" k "\"}"

enum { LIMIT = 600, QUIET_MS = 150 };

static void left(int64_t calls)
{
    struct transport *t = platform_transport(pc->p);

    t->rate_limit = LIMIT;
    t->rate_remaining = calls;
    t->rate_read_ms = loop_now_ms(pc->loop);
}

static void open_short(void)
{
    feed_open();
    left(LIMIT / 10 - 1);
}

TestSuite(rate, .init = open_short, .fini = feed_close, .timeout = 60);

static unsigned counted(const unsigned *what)
{
    fake_lock(pc->fake);
    unsigned n = *what;
    fake_unlock(pc->fake);
    return n;
}

static void start_swept(void)
{
    add_feed_row(1, 3590LL * 1000000, NULL);
    feed_start(&box);
    UNTIL(is_swept);
    case_run_ms(10);
}

static bool has_polled(void)
{
    return counted(&fw.polls) > 0;
}
static bool has_swept_again(void)
{
    return counted(&fw.sweeps) > 2;
}
static bool has_fetched(void)
{
    return counted(&fw.content_calls) > 0;
}
static bool has_looked(void)
{
    return case_count(ROW) > 0;
}
static bool is_named(void)
{
    struct peer_facts facts;

    peers_find(&box, PEER, &facts);
    return facts.name[0] != '\0';
}

Test(rate, short_is_below_a_tenth_and_for_a_minute)
{
    struct transport *t = platform_transport(pc->p);

    cr_expect(transport_rate_is_short(t));
    left(LIMIT / 10);
    cr_expect_not(transport_rate_is_short(t));
    left(0);
    cr_expect(transport_rate_is_short(t));
    t->rate_read_ms -= 60 * 1000;
    cr_expect_not(transport_rate_is_short(t), "the window of these numbers is over");
}

Test(rate, polls_on_suspicion_are_rare)
{
    pc->cfg.platform.poll_interval = 5;
    start_swept();
    case_run_ms(QUIET_MS);
    cr_expect_eq(counted(&fw.polls), 0U);
    left(LIMIT);
    feed_configure(&box);
    UNTIL(has_polled);
}

Test(rate, polls_for_events_keep_a_longer_distance)
{
    pc->cfg.platform.poll_interval = 60 * 1000;
    box.feed->times.hint_gap_short = 60 * 1000;
    start_swept();
    feed_poll_now(&box);
    case_run_ms(QUIET_MS);
    cr_expect_eq(counted(&fw.polls), 0U);
    left(LIMIT);
    feed_poll_now(&box);
    UNTIL(has_polled);
}

Test(rate, and_they_do_come)
{
    pc->cfg.platform.poll_interval = 60 * 1000;
    box.feed->times.hint_gap_short = 100;
    start_swept();
    feed_poll_now(&box);
    UNTIL(has_polled);
}

Test(rate, sweeps_are_rare)
{
    pc->cfg.platform.poll_interval = 60 * 1000;
    box.feed->times.sweep = 5;
    start_swept();
    case_run_ms(QUIET_MS);
    cr_expect_eq(counted(&fw.sweeps), 1U);
    left(LIMIT);
    feed_configure(&box);
    UNTIL(has_swept_again);
}

Test(rate, files_wait)
{
    char dir[160];

    (void)snprintf(dir, sizeof(dir), "%s/up", pc->dir);
    pc->cfg.forward.uploads_dir = dir;
    pc->cfg.platform.poll_interval = 60 * 1000;
    fw.content = "bytes";
    uploads_start(&box);
    add_feed_row(2, 3591LL * 1000000, FILE_OF("1"));
    start_swept();
    case_run_ms(QUIET_MS);
    cr_expect_eq(counted(&fw.content_calls), 0U);
    left(LIMIT);
    fake_lock(pc->fake);
    add_feed_row(3, 3592LL * 1000000, FILE_OF("2")); /* it looks again when one comes */
    fake_unlock(pc->fake);
    feed_poll_now(&box);
    UNTIL(has_fetched);
    uploads_stop(&box);
}

Test(rate, peers_are_not_looked_up)
{
    struct peer_facts facts;

    fw.peers = "[{\"id\":\"" PEER "\",\"name\":\"Ann\"}]";
    peers_find(&box, PEER, &facts);
    cr_expect_str_eq(facts.name, "");
    cr_expect_neq(facts.card_url[0], '\0', "what needs no call is told");
    case_run_ms(QUIET_MS);
    cr_expect_eq(counted(&fw.peer_calls), 0U);
    left(LIMIT);
    UNTIL(is_named);
}

Test(rate, nobody_looks_for_a_second_sidecar)
{
    box.second->times.look = box.second->times.again = 10;
    start_swept();
    case_run_ms(QUIET_MS);
    cr_expect_eq(case_count(ROW), 0U);
    left(LIMIT);
    UNTIL(has_looked);
}
