#include "support/feed_case.h"

TestSuite(feed, .init = feed_open, .fini = feed_close, .timeout = 60);

static unsigned wanted;

static bool has_wanted(void)
{
    return got.n >= wanted;
}

static void until_got(unsigned n)
{
    wanted = n;
    case_until(has_wanted, "messages handed on");
}

static void expect(size_t at, unsigned k)
{
    cr_assert_lt(at, got.n);
    cr_assert_str_eq(got.ids[at], row_id_of(k), "message %zu is %s", at, got.ids[at]);
}

static void start_swept(void)
{
    feed_start(&box);
    UNTIL(is_swept);
}

/* Change the platform's feed while it answers. */
#define WITH_FEED(...)                                                                             \
    do {                                                                                           \
        fake_lock(pc->fake);                                                                       \
        __VA_ARGS__;                                                                               \
        fake_unlock(pc->fake);                                                                     \
    } while (0)

static int64_t recent(int64_t seconds)
{
    return 3600LL * 1000000 - seconds * 1000000; /* before the platform's now */
}

Test(feed, the_first_start_sweeps_ten_minutes_and_delivers_oldest_first)
{
    add_feed_row(1, recent(700), NULL); /* outside */
    add_feed_row(2, recent(500), NULL);
    add_feed_row(3, recent(400), NULL);
    add_feed_row(4, recent(1), NULL);
    start_swept();
    cr_assert_eq(got.n, 3);
    expect(0, 2);
    expect(1, 3);
    expect(2, 4);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(4));
    cr_assert_eq(box.status.fetched, 3);
    cr_assert(box.status.has_cursors);
    cr_assert_eq(fw.probes, 1);
    cr_assert(strstr(fw.last_sweep, "since_secs=600&limit=500"), "%s", fw.last_sweep);
    cr_assert(strstr(fw.last_sweep, "type=a2a_receive"), "%s", fw.last_sweep);
    cr_assert_str_eq(
        got.last.request,
        "{\"params\":{\"message\":{\"parts\":[{\"kind\":\"text\",\"text\":\"hello\"}]}}}");
}

Test(feed, then_it_polls_by_cursor)
{
    add_feed_row(1, recent(5), NULL);
    start_swept();
    WITH_FEED(add_feed_row(2, recent(4), NULL); add_feed_row(3, recent(3), NULL));
    until_got(3);
    expect(1, 2);
    expect(2, 3);
    cr_assert_eq(fw.sweeps, 1);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(3));
}

static bool is_saving(void)
{
    return jr.adds > 0;
}

Test(feed, nothing_is_asked_for_before_the_last_page_is_saved)
{
    add_feed_row(1, recent(5), NULL);
    jr.is_stuck = true;
    feed_start(&box);
    UNTIL(is_saving);
    case_run_ms(150);
    cr_assert_eq(fw.sweeps, 1);
    cr_assert_eq(fw.polls, 0);
    cr_assert_eq(got.n, 0);
    jr.is_stuck = false;
    until_got(1);
}

Test(feed, full_pages_follow_at_once_and_in_order)
{
    add_feed_row(1, recent(500), NULL);
    start_swept();
    pc->cfg.platform.poll_interval = 60 * 1000;
    for (unsigned k = 2; k <= 350; k++)
        WITH_FEED(add_feed_row(k, recent(400) + k, NULL));
    feed_poll_now(&box);
    until_got(350);
    for (unsigned k = 0; k < 350; k++)
        expect(k, k + 1);
    cr_assert_geq(fw.polls, 4);
}

static bool cursor_is_at_9(void)
{
    return strcmp(jr.cursor.row_id, row_id_of(9)) == 0;
}

/* Facts (a) of P section 10.6: the cursor's instant is not seen again. */
Test(feed, a_cursor_never_parts_rows_of_one_instant)
{
    box.feed->page = 4;
    add_feed_row(1, recent(500), NULL);
    start_swept();
    fake_lock(pc->fake);
    add_feed_row(2, recent(400), NULL);
    add_feed_row(3, recent(300), NULL);
    for (unsigned k = 4; k <= 8; k++) /* a page ends among them */
        add_feed_row(k, recent(200), NULL);
    add_feed_row(9, recent(100), NULL);
    fake_unlock(pc->fake);
    until_got(9);
    UNTIL(cursor_is_at_9);
    cr_assert_eq(fw.sweeps, 1, "by polls alone");
}

Test(feed, a_page_of_one_instant_is_asked_for_longer)
{
    box.feed->page = 3;
    add_feed_row(1, recent(500), NULL);
    start_swept();
    fake_lock(pc->fake);
    for (unsigned k = 2; k <= 9; k++)
        add_feed_row(k, recent(200), NULL);
    fake_unlock(pc->fake);
    until_got(9);
    cr_assert_eq(fw.sweeps, 1, "by polls alone");
}

static void one_commits_late(void)
{
    for (size_t k = 0; k < fw.n; k++)
        fw.v[k].is_hidden = false;
}

/* Facts (b): a row older than the cursor's appears afterwards. */
Test(feed, a_late_commit_is_found_by_the_sweep)
{
    add_feed_row(1, recent(60), NULL);
    add_feed_row(2, recent(50), NULL);
    fw.v[1].is_hidden = true;
    add_feed_row(3, recent(40), NULL);
    start_swept();
    cr_assert_eq(got.n, 2);
    WITH_FEED(one_commits_late());
    case_run_ms(100);
    cr_assert_eq(got.n, 2, "polls do not see it");
    feed_sweep_now(&box);
    until_got(3);
    expect(2, 2);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(3), "and the cursor stays where it was");
    cr_assert(strstr(fw.last_sweep, "since_secs="), "%s", fw.last_sweep);
}

static bool three_sweeps(void)
{
    return got.complete >= 3;
}

Test(feed, sweeps_come_by_themselves)
{
    box.feed->times.sweep = 50;
    add_feed_row(1, recent(60), NULL);
    start_swept();
    UNTIL(three_sweeps);
    cr_assert_eq(got.n, 1, "and hand nothing on twice");
    cr_assert(strstr(fw.last_sweep, "since_secs=180&"), "%s", fw.last_sweep);
}

Test(feed, a_sweep_pages_backwards_and_saves_oldest_first)
{
    box.feed->sweep_page = 4;
    for (unsigned k = 1; k <= 4; k++)
        add_feed_row(k, recent(500) + k, NULL);
    for (unsigned k = 5; k <= 8; k++) /* one instant across pages */
        add_feed_row(k, recent(300), NULL);
    for (unsigned k = 9; k <= 18; k++)
        add_feed_row(k, recent(200) + k, NULL);
    start_swept();
    cr_assert_eq(got.n, 18);
    for (unsigned k = 0; k < 4; k++)
        expect(k, k + 1);
    for (unsigned k = 8; k < 18; k++)
        expect(k, k + 1);
    cr_assert(strstr(fw.last_sweep, "before_ts=2025-11-24T"), "%s", fw.last_sweep);
    cr_assert(strstr(fw.last_sweep, "%3A"), "%s", fw.last_sweep);
}

Test(feed, a_sweep_that_is_too_much_takes_rounds)
{
    box.feed->sweep_page = 10;
    box.feed->gather_bytes = 10 * 600;
    for (unsigned k = 1; k <= 200; k++)
        add_feed_row(k, recent(500) + k, NULL);
    start_swept();
    cr_assert_eq(got.n, 200);
    for (unsigned k = 0; k < 200; k++)
        expect(k, k + 1);
    cr_assert_gt(jr.adds, 3);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(200));
}

static void forget_rows(unsigned n)
{
    memmove(fw.v, fw.v + n, (fw.n - n) * sizeof(fw.v[0]));
    fw.n -= n;
}

Test(feed, a_lost_cursor_is_replaced_after_a_sweep)
{
    add_feed_row(1, recent(100), NULL);
    start_swept();
    WITH_FEED(forget_rows(1); add_feed_row(2, recent(50), NULL));
    until_got(2);
    UNTIL(is_swept);
    cr_assert_eq(fw.sweeps, 2);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(2));
}

Test(feed, three_500s_with_a_cursor_are_a_lost_one)
{
    add_feed_row(1, recent(100), NULL);
    start_swept();
    WITH_FEED(fw.status = 500; fw.status_times = 3; add_feed_row(2, recent(50), NULL));
    until_got(2);
    cr_assert_eq(fw.sweeps, 2);
}

static bool is_failing(void)
{
    return box.status.feed.failures >= 3;
}

Test(feed, the_platform_down_and_up_again)
{
    add_feed_row(1, recent(100), NULL);
    start_swept();
    WITH_FEED(fw.status = 502; add_feed_row(2, recent(50), NULL));
    UNTIL(is_failing);
    cr_assert(strstr(box.status.feed.last_error, "502"), "%s", box.status.feed.last_error);
    WITH_FEED(fw.status = 0);
    until_got(2);
    cr_assert_eq(box.status.feed.failures, 0);
}

Test(feed, failing_sweeps_do_not_stop_polls)
{
    add_feed_row(1, recent(100), NULL);
    start_swept();
    WITH_FEED(fw.status = 500; fw.only_sweeps = true; add_feed_row(2, recent(50), NULL));
    feed_sweep_now(&box);
    until_got(2);
}

static bool asked_for_the_state(void)
{
    return case_since(STATE) > 0;
}

Test(feed, a_401_asks_for_the_state)
{
    platform_start(pc->p);
    start_swept();
    case_mark();
    WITH_FEED(fw.status = 401; fw.status_times = 2);
    UNTIL(asked_for_the_state);
}

static bool has_429(void)
{
    return box.status.feed.last_status == 429;
}

Test(feed, retry_after_is_a_floor)
{
    add_feed_row(1, recent(100), NULL);
    start_swept();
    WITH_FEED(fw.status = 429; fw.status_fields = "Retry-After: 50\r\n");
    UNTIL(has_429);
    cr_assert_geq(box.status.feed.next_ms - box.feed->poll_began_ms, 50000);
}

Test(feed, a_server_without_cursors_is_swept)
{
    fw.has_no_cursors = true;
    add_feed_row(1, recent(100), NULL);
    start_swept();
    cr_assert_not(box.status.has_cursors);
    WITH_FEED(add_feed_row(2, recent(50), NULL));
    until_got(2);
    cr_assert_eq(fw.polls, 0);
    cr_assert_str_eq(jr.cursor.row_id, "");
}

Test(feed, an_empty_feed_gets_its_cursor_with_the_first_row)
{
    start_swept();
    cr_assert_str_eq(jr.cursor.row_id, "");
    WITH_FEED(add_feed_row(1, recent(1), NULL));
    until_got(1);
    WITH_FEED(add_feed_row(2, recent(0), NULL));
    until_got(2);
    cr_assert_gt(fw.polls, 0);
}

Test(feed, a_restart_goes_on_at_its_cursor_and_sweeps_its_absence)
{
    add_feed_row(1, recent(1000), NULL);
    fw.now_us -= 900LL * 1000000;
    start_swept();
    cr_assert_eq(got.n, 1);
    feed_again();
    jr.last_ms = clock_wall_ms() - 800 * 1000;
    WITH_FEED(fw.now_us += 900LL * 1000000; add_feed_row(2, recent(500), NULL);
              add_feed_row(3, recent(400), NULL));
    start_swept();
    cr_assert_eq(got.n, 2);
    expect(0, 2);
    expect(1, 3);
    const char *since = strstr(fw.last_sweep, "since_secs=");
    cr_assert_not_null(since);
    cr_assert_geq(atoi(since + 11), 860, "%s", since);
    cr_assert_lt(atoi(since + 11), 960, "%s", since); /* it may take us a while */
}

Test(feed, a_bad_cursor_in_the_journal_is_none)
{
    (void)snprintf(jr.cursor.row_id, sizeof(jr.cursor.row_id), "not-a-uuid");
    jr.last_ms = clock_wall_ms();
    add_feed_row(1, recent(10), NULL);
    start_swept();
    cr_assert_eq(got.n, 1);
    cr_assert_null(strstr(fw.last_poll, "not-a-uuid"), "%s", fw.last_poll);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(1));
}

Test(feed, first_start_skip_leaves_the_backlog_alone)
{
    pc->cfg.inbox.first_start = INBOX_SKIP;
    add_feed_row(1, recent(10), NULL);
    start_swept();
    cr_assert_eq(got.n, 0);
    cr_assert_eq(journal_of(row_id_of(1))->state, JOURNAL_SKIPPED);
    WITH_FEED(add_feed_row(2, recent(1), NULL));
    until_got(1);
    expect(0, 2);
}

Test(feed, a_damaged_journal_is_refilled_whatever_first_start_says)
{
    pc->cfg.inbox.first_start = INBOX_SKIP;
    (void)snprintf(jr.status.notice, sizeof(jr.status.notice), "set aside");
    add_feed_row(1, recent(3000), NULL); /* had waited for the agent */
    start_swept();
    cr_assert_eq(got.n, 1);
    cr_assert(strstr(fw.last_sweep, "since_secs=604800&"), "%s", fw.last_sweep);
}

static bool swept_twice(void)
{
    return got.complete == 2;
}

/* The file is set aside while running: all that the platform has refills the new one. */
Test(feed, a_journal_lost_while_running_is_refilled_from_the_whole_feed)
{
    add_feed_row(1, recent(500), NULL);
    add_feed_row(2, recent(400), NULL);
    add_feed_row(3, recent(30), ECHO_BODY);
    add_feed_row(4, recent(20), NULL);
    start_swept();
    cr_assert_eq(got.n, 1);
    for (size_t k = 0; k < jr.n; k++)
        journal_message_release(&jr.v[k]);
    jr.n = 0;
    jr.status.generation++;
    (void)snprintf(got.in_memory, sizeof(got.in_memory), "%s", row_id_of(4));
    UNTIL(swept_twice);
    cr_assert_eq(got.restored, 1);
    cr_assert(strstr(fw.last_sweep, "since_secs=604800&"), "%s", fw.last_sweep);
    cr_assert_eq(jr.n, 4, "all rows are journaled again");
    cr_assert_eq(journal_of(row_id_of(1))->state, JOURNAL_ANSWERED);
    cr_assert_eq(got.n, 1, "and what is in memory is not handed on twice");
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(4));
    cr_assert_str_eq(box.status.other, "", "old words of ours are no other sidecar's");
}

Test(feed, echoes_tell_what_a_new_journal_does_not_know)
{
    add_feed_row(1, recent(30), NULL);
    add_feed_row(2, recent(20), ECHO_BODY);
    add_feed_row(3, recent(10), NULL);
    add_feed_row(
        4, recent(25),
        ",\"method\":\"message/send\",\"source_id\":\"bbbbbbbb-0000-4000-8000-000000000001\","
        "\"request_body\":{\"params\":{\"message\":{\"parts\":[{\"text\":\"peer\"}]}}}");
    start_swept();
    cr_assert_eq(got.n, 2);
    expect(0, 4);
    expect(1, 3);
    cr_assert_eq(journal_of(row_id_of(1))->state, JOURNAL_ANSWERED);
    cr_assert_eq(journal_of(row_id_of(2))->state, JOURNAL_SKIPPED);
    /* later on an echo says nothing of what came before it */
    WITH_FEED(add_feed_row(5, recent(5), NULL); add_feed_row(6, recent(4), ECHO_BODY));
    until_got(3);
    expect(2, 5);
    cr_assert_geq(got.echoes, 2);
}

static bool five_echoes(void)
{
    return got.echoes >= 5;
}

Test(feed, known_echoes_are_shown_again)
{
    box.feed->times.sweep = 20;
    add_feed_row(1, recent(30), ECHO_BODY);
    feed_start(&box);
    UNTIL(five_echoes);
    cr_assert_eq(jr.n, 1);
}

Test(feed, conversations_and_contexts)
{
    add_feed_row(1, recent(30), NULL);
    start_swept();
    char derived[37];
    cr_assert(is_uuid(slice_of(got.last.context_id)), "%s", got.last.context_id);
    (void)snprintf(derived, sizeof(derived), "%s", got.last.context_id);
    cr_assert(strncmp(got.last.conversation, "user/", 5) == 0);
    cr_assert_str_eq(got.last.conversation + 5, derived);
    cr_assert_str_eq(got.last.message_id, row_id_of(1));
    WITH_FEED(add_feed_row(2, recent(20),
                           ",\"source_id\":\"BBBBBBBB-0000-4000-8000-000000000001\","
                           "\"request_body\":{\"params\":{\"message\":{\"messageId\":\"m-1\","
                           "\"contextId\":\"c-1\",\"parts\":[{\"text\":\"peer\"}]}}}"));
    until_got(2);
    cr_assert_str_eq(got.last.sender, "bbbbbbbb-0000-4000-8000-000000000001");
    char theirs[37];
    cr_assert(is_uuid(slice_of(got.last.context_id)), "a peer's context is its own: %s",
              got.last.context_id);
    (void)snprintf(theirs, sizeof(theirs), "%s", got.last.context_id);
    cr_assert(strncmp(got.last.conversation, "bbbbbbbb-0000-4000-8000-000000000001/", 37) == 0);
    cr_assert_str_eq(got.last.conversation + 37, theirs);
    cr_assert(strstr(got.last.request, "\"contextId\":\"c-1\""), "for the reply");
    cr_assert_str_eq(got.last.message_id, "m-1");
    WITH_FEED(add_feed_row(3, recent(10), NULL));
    until_got(3);
    cr_assert_str_eq(got.last.context_id, derived, "the same each time");
    WITH_FEED(add_feed_row(4, recent(9),
                           ",\"request_body\":{\"params\":{\"message\":{"
                           "\"contextId\":\"c-1\",\"parts\":[{\"text\":\"x\"}]}}}"));
    until_got(4);
    cr_assert_str_eq(got.last.context_id, "c-1", "a person's stays as it is");
}

Test(feed, a_delegation_has_a_conversation_of_its_own)
{
    static const char body[] =
        ",\"method\":\"delegate_result\",\"status\":\"ok\",\"source_id\":\"" CASE_ID
        "\",\"target_id\":%s,\"response_body\":{\"text\":\"x\","
        "\"delegation_id\":\"%s\"}";
    char first[128], text[512];

    (void)snprintf(text, sizeof(text), body, "null", "d-1");
    add_feed_row(1, recent(30), text);
    start_swept();
    cr_assert_str_eq(got.last.sender, CASE_ID, "nobody is named, and it is no person's");
    cr_assert(strncmp(got.last.conversation, "delegation/", 11) == 0);
    cr_assert(is_uuid(slice_of(got.last.context_id)));
    (void)snprintf(first, sizeof(first), "%s", got.last.conversation);
    (void)snprintf(text, sizeof(text), body, "\"BBBBBBBB-0000-4000-8000-000000000001\"", "d-2");
    WITH_FEED(add_feed_row(2, recent(20), text));
    until_got(2);
    cr_assert_str_eq(got.last.sender, "bbbbbbbb-0000-4000-8000-000000000001");
    cr_assert(strncmp(got.last.conversation, "delegation/", 11) == 0);
    cr_assert_str_neq(got.last.conversation, first);
    cr_assert_str_eq(got.last.message_id, "delegation-d-2-completed");
}

/* It can be computed: a peer that names it must not get into the person's talk. */
Test(feed, a_peer_cannot_name_the_context_of_a_person_or_another_peer)
{
    char rest[3][300], seen[4][37];

    add_feed_row(1, recent(50), NULL);
    start_swept();
    (void)snprintf(seen[0], 37, "%s", got.last.context_id);
    for (unsigned k = 0; k < 3; k++) {
        /* the first peer names the person's, the second the first's, then none at all */
        (void)snprintf(rest[k], sizeof(rest[k]),
                       ",\"source_id\":\"bbbbbbbb-0000-4000-8000-00000000000%u\","
                       "\"request_body\":{\"params\":{\"message\":{\"contextId\":\"%s\","
                       "\"parts\":[{\"text\":\"peer\"}]}}}",
                       k ? 2U : 1U, k < 2 ? seen[k] : "");
        WITH_FEED(add_feed_row(k + 2, recent(40 - k), rest[k]));
        until_got(k + 2);
        (void)snprintf(seen[k + 1], 37, "%s", got.last.context_id);
        for (unsigned j = 0; j <= k; j++)
            cr_assert_str_neq(seen[k + 1], seen[j], "%u and %u", k + 1, j);
    }
}

Test(feed, items_are_taken_too)
{
    fw.wraps_items = true;
    add_feed_row(1, recent(30), NULL);
    start_swept();
    cr_assert_eq(got.n, 1);
}

Test(feed, one_unreadable_row_hides_no_other)
{
    char deep[400];
    size_t n = (size_t)snprintf(deep, sizeof(deep), ",\"request_body\":");

    memset(deep + n, '[', 100);
    memset(deep + n + 100, ']', 100);
    deep[n + 200] = '\0';
    add_feed_row(1, recent(30), NULL);
    add_feed_row(2, recent(20), deep);
    add_feed_row(3, recent(10), NULL);
    start_swept();
    cr_assert_eq(got.n, 2);
    cr_assert_eq(journal_of(row_id_of(2))->state, JOURNAL_SKIPPED);
    WITH_FEED(add_feed_row(4, recent(5), deep); add_feed_row(5, recent(4), NULL));
    until_got(3);
    cr_assert_str_eq(jr.cursor.row_id, row_id_of(5));
}

Test(feed, a_row_of_very_many_values_is_skipped_in_words)
{
    add_feed_row(1, recent(30), NULL);
    fw.v[0].values = ROW_JSON_VALUES_MAX;
    add_feed_row(2, recent(20), NULL);
    fw.v[1].values = ROW_JSON_VALUES_MAX / 4;
    start_swept();
    cr_assert_eq(got.n, 1);
    expect(0, 2);
    cr_assert_eq(journal_of(row_id_of(1))->state, JOURNAL_SKIPPED);
    cr_assert(strstr(journal_of(row_id_of(1))->why, "20000 JSON values"), "%s",
              journal_of(row_id_of(1))->why);
}

Test(feed, long_answers_are_asked_for_in_smaller_pages)
{
    box.feed->page_bytes = 20000;
    fw.pad = 3000;
    for (unsigned k = 1; k <= 15; k++)
        add_feed_row(k, recent(400) + k, NULL);
    start_swept();
    cr_assert_eq(got.n, 15);
    fake_lock(pc->fake);
    for (unsigned k = 16; k <= 35; k++)
        add_feed_row(k, recent(300) + k, NULL);
    fake_unlock(pc->fake);
    until_got(35);
    for (unsigned k = 0; k < 35; k++)
        expect(k, k + 1);
}

/* Each row is longer than a page may be: two at a time, and no page twice for ever. */
Test(feed, rows_longer_than_a_page_come_too)
{
    box.feed->page_bytes = 2000;
    fw.pad = 3000;
    for (unsigned k = 1; k <= 4; k++)
        add_feed_row(k, recent(400) + k, NULL);
    start_swept();
    cr_assert_eq(got.n, 4);
    fake_lock(pc->fake);
    for (unsigned k = 5; k <= 8; k++)
        add_feed_row(k, recent(300) + k, NULL);
    for (unsigned k = 9; k <= 13; k++) /* and of one instant */
        add_feed_row(k, recent(200), NULL);
    add_feed_row(14, recent(100), NULL);
    fake_unlock(pc->fake);
    until_got(14);
    for (unsigned k = 0; k < 8; k++)
        expect(k, k + 1);
    expect(13, 14);
}

static bool acked(void)
{
    fake_lock(pc->fake); /* and its text is there, too */
    bool ret = fw.acks > 0;
    fake_unlock(pc->fake);
    return ret;
}

Test(feed, rows_with_seq_are_acknowledged_and_404_ends_that)
{
    add_feed_row(1, recent(30), ",\"seq\":17" ECHO_BODY);
    feed_start(&box);
    UNTIL(acked);
    cr_assert_str_eq(fw.last_ack, "{\"acked_seq\":17}");
    UNTIL(is_swept);
    WITH_FEED(add_feed_row(2, recent(20), ",\"seq\":18" TEXT_BODY("x")));
    until_got(1);
    case_run_ms(60);
    cr_assert_eq(fw.acks, 1);
}

static bool polled_twice(void)
{
    return fw.polls >= 2;
}

Test(feed, a_healthy_stream_relaxes_polls_and_a_hint_does_not_wait)
{
    add_feed_row(1, recent(30), NULL);
    box.status.has_stream = true;
    pc->cfg.platform.poll_interval = 10;
    start_swept();
    WITH_FEED(add_feed_row(2, recent(20), NULL));
    case_run_ms(120);
    cr_assert_eq(got.n, 1);
    feed_poll_now(&box);
    until_got(2);
    box.status.has_stream = false;
    feed_configure(&box); /* the interval is read anew */
    UNTIL(polled_twice);
}

Test(feed, stopped_it_asks_for_nothing_and_goes_on_later)
{
    add_feed_row(1, recent(30), NULL);
    start_swept();
    feed_stop(&box);
    WITH_FEED(add_feed_row(2, recent(20), NULL));
    unsigned before = fw.polls;
    case_run_ms(80);
    cr_assert_leq(fw.polls, before + 1, "one may have been under way");
    cr_assert_eq(box.status.feed.next_ms, 0);
    cr_assert_eq(got.n, 1);
    got.complete = 0;
    feed_start(&box);
    until_got(2);
    UNTIL(is_swept);
}

static bool is_complete_twice(void)
{
    return got.complete >= 2;
}

static bool is_complete_thrice(void)
{
    return got.complete >= 3;
}

/* A drain: rows are looked at for what they say of our answers, and stay where they are. */
Test(feed, looking_only_it_saves_nothing_and_asks_for_sweeps_only)
{
    add_feed_row(1, recent(30), NULL);
    pc->cfg.platform.poll_interval = 60 * 1000; /* no poll is under way when it stops */
    start_swept();
    feed_stop(&box);
    pc->cfg.platform.poll_interval = 20;
    feed_look_only(&box);
    WITH_FEED(add_feed_row(2, recent(20), NULL); add_feed_row(3, recent(19), ECHO_BODY);
              add_feed_row(4, recent(18), NULL); fw.polls = fw.sweeps = 0; fw.status = 500;
              fw.status_times = 1);
    struct journal_cursor before = jr.cursor;
    case_run_ms(60);
    cr_expect_eq(fw.sweeps, 0U, "nobody has asked");
    got.echoes = 0;
    got.complete_ms = 0;
    int64_t asked_ms = loop_now_ms(pc->loop);
    feed_sweep_now(&box);
    UNTIL(is_complete_twice); /* in spite of a failure */
    cr_expect_geq(got.complete_ms, asked_ms);
    cr_expect_eq(got.echoes, 1U);
    feed_sweep_now(&box);
    UNTIL(is_complete_thrice);
    cr_expect_eq(got.n, 1U);
    cr_expect_eq(jr.n, 1U);
    cr_expect_str_eq(jr.cursor.row_id, before.row_id);
    cr_expect_eq(fw.polls, 0U);
    feed_start(&box); /* the drain was not the end */
    until_got(3);
    expect(1, 2);
    expect(2, 4);
}

Test(feed, looking_only_a_sweep_under_way_is_dropped_with_it)
{
    start_swept();
    feed_stop(&box);
    feed_look_only(&box);
    feed_sweep_now(&box);
    feed_stop(&box);
    got.complete = 0;
    case_run_ms(60);
    cr_expect_eq(got.complete, 0U);
    feed_sweep_now(&box); /* off is off */
    case_run_ms(60);
    cr_expect_eq(got.complete, 0U);
}

Test(feed, what_is_saved_while_it_stops_is_handed_on)
{
    add_feed_row(1, recent(30), NULL);
    jr.is_stuck = true;
    feed_start(&box);
    UNTIL(is_saving);
    feed_stop(&box);
    jr.is_stuck = false;
    until_got(1);
    feed_start(&box);
    UNTIL(is_swept);
    cr_assert_eq(got.n, 1);
}
