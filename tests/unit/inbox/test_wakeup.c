#include "support/feed_case.h"

static unsigned hints;

static void on_hint(void *arg)
{
    (void)arg;
    hints++;
}

static void open_it(void)
{
    feed_open();
    pc->cfg.platform.events = true;
    pc->cfg.platform.poll_interval = 60 * 1000; /* so that only hints make polls */
    box.cb.on_state_hint = on_hint;
    box.wakeup->times = (struct wakeup_times){.silence = 60 * 1000,
                                              .backoff_base = 5,
                                              .backoff_cap = 10,
                                              .refused_cap = 20,
                                              .unsupported = 5,
                                              .late = 20,
                                              .whole = 60 * 1000};
    add_feed_row(1, 3600LL * 1000000 - 5000000, NULL);
    feed_start(&box);
    UNTIL(is_swept);
    got.complete = 0;
}

TestSuite(wakeup, .init = open_it, .fini = feed_close, .timeout = 60);

static bool has_polled(void)
{
    return fw.polls >= 2;
}

static bool has_second(void)
{
    return got.n >= 2;
}

static void say_stream(const char *frames)
{
    fake_lock(pc->fake);
    fw.stream = frames;
    fake_unlock(pc->fake);
}

#define LOGGED                                                                                     \
    "data: {\"type\":\"ACTIVITY_LOGGED\",\"data\":{\"activity_type\":\"a2a_receive\"}}\n\n"

Test(wakeup, an_event_makes_a_poll_and_another_for_what_comes_late)
{
    fw.polls = 0;
    say_stream(": ping\n\n" LOGGED LOGGED LOGGED);
    wakeup_start(&box);
    UNTIL(has_polled);
    fake_lock(pc->fake);
    add_feed_row(2, 3600LL * 1000000 - 4000000, NULL);
    fake_unlock(pc->fake);
    UNTIL(has_second);
}

Test(wakeup, a_stream_that_ends_is_opened_again_and_followed_by_a_sweep)
{
    say_stream(": ping\n\n");
    unsigned before = fw.sweeps;
    wakeup_start(&box);
    UNTIL(is_swept);
    cr_assert_geq(fw.streams, 2);
    cr_assert_gt(fw.sweeps, before);
}

static bool is_hinted(void)
{
    return hints > 0;
}

Test(wakeup, news_of_the_workspace_are_a_hint_to_ask)
{
    say_stream("data: {\"type\":\"WORKSPACE_PAUSED\",\"data\":{}}\n\n");
    wakeup_start(&box);
    UNTIL(is_hinted);
}

static bool three_streams(void)
{
    return fw.streams >= 3;
}

static bool has_ended_thrice(void)
{
    return box.wakeup->failures >= 3;
}

Test(wakeup, silence_is_an_end)
{
    box.wakeup->times.silence = 50;
    fw.stream_hangs = true;
    wakeup_start(&box);
    UNTIL(has_ended_thrice);
    cr_assert_not(box.status.has_stream);
}

Test(wakeup, without_a_stream_polls_come_at_their_interval)
{
    pc->cfg.platform.poll_interval = 20;
    feed_configure(&box);
    wakeup_start(&box); /* 404 */
    UNTIL(three_streams);
    fake_lock(pc->fake);
    add_feed_row(2, 3600LL * 1000000 - 4000000, NULL);
    fake_unlock(pc->fake);
    UNTIL(has_second);
    cr_assert_not(box.status.has_stream);
}

Test(wakeup, platform_events_off_opens_none)
{
    pc->cfg.platform.events = false;
    wakeup_start(&box);
    case_run_ms(50);
    cr_assert_eq(fw.streams, 0);
    wakeup_stop(&box);
}

Test(wakeup, stopped_and_started_again)
{
    say_stream(": ping\n\n");
    wakeup_start(&box);
    UNTIL(three_streams);
    wakeup_stop(&box);
    cr_assert_not(box.status.has_stream);
    fake_lock(pc->fake);
    fw.streams = 0;
    fake_unlock(pc->fake);
    case_run_ms(60);
    cr_assert_leq(fw.streams, 1, "one may have been under way");
    wakeup_start(&box);
    UNTIL(three_streams);
}
