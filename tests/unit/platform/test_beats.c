/*
 * Beats (P section 7.2), secrets (P section 9) and the inbound secret of a registered workspace.
 */
#include "support/platform_case.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

TestSuite(platform_beats, .init = case_open_with_token, .fini = case_close, .timeout = 60);

static bool is_removed(void)
{
    return pc->p->status.state == WORKSPACE_REMOVED;
}

static bool three_beats(void)
{
    return case_since(HEARTBEAT) >= 3;
}

static bool three_states(void)
{
    return case_since(STATE) >= 3;
}

static bool secrets_again(void)
{
    return case_since(SECRETS) > 0;
}

/* ---- beats -------------------------------------------------------------------------------------
 */

Test(platform_beats, a_beat_without_an_answer_does_not_delay_the_next)
{
    case_start();
    case_action(HEARTBEAT, -1, FAKE_HANG);
    case_mark();
    int64_t from = loop_now_ms(pc->loop);
    UNTIL(three_beats);
    cr_assert_lt(loop_now_ms(pc->loop) - from, 15000); /* and not three timeouts of 10 s */
    cr_assert(strstr(pc->p->status.heartbeat.last_error, "before the next"), "%s",
              pc->p->status.heartbeat.last_error);
}

Test(platform_beats, beats_survive_resets_and_garbage)
{
    case_start();
    case_action(HEARTBEAT, 2, FAKE_RESET);
    UNTIL(three_beats);
    case_override(HEARTBEAT, 2, 200, NULL, "{\"status");
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

static bool five_beats(void)
{
    return case_since(HEARTBEAT) >= 5;
}

static bool beats_work(void)
{
    return pc->p->status.heartbeat.failures == 0;
}

Test(platform_beats, one_failing_endpoint_slows_no_other)
{
    case_start();
    pc->p->transport.timeout_ms = 60 * 1000; /* it hangs for as long as the test lasts */
    case_action(STATE, -1, FAKE_HANG);
    case_mark();
    case_override(SECRETS, -1, 500, NULL, "{\"error\":\"auth check failed\"}");
    UNTIL(five_beats);
    cr_assert_leq(case_since(STATE), 1, "it still hangs");
    UNTIL(beats_work);
}

static bool beat_was_limited(void)
{
    return strstr(pc->p->status.heartbeat.last_error, "rate limit exceeded");
}

static int64_t last_sent_ms;

static bool another_beat_was_sent(void)
{
    return pc->p->heart.last_sent_ms != last_sent_ms;
}

Test(platform_beats, a_429_silences_beats_for_as_long_as_it_says)
{
    case_start();
    case_override(HEARTBEAT, -1, 429, "Retry-After: 2\r\n",
                  "{\"error\":\"rate limit exceeded\",\"retry_after\":2}");
    UNTIL(beat_was_limited); /* not the first, perhaps: an answer may come too late */
    case_override(HEARTBEAT, 0, 0, NULL, NULL);
    case_mark();
    last_sent_ms = pc->p->heart.last_sent_ms;
    UNTIL(another_beat_was_sent);
    cr_assert_geq(pc->p->heart.last_sent_ms - last_sent_ms, 2000);
    UNTIL(three_beats);
}

Test(platform_beats, a_beat_tells_the_true_numbers_within_the_platforms_ranges)
{
    struct beat b = {
        .error_rate = 7.0, .active_tasks = -3, .uptime_seconds = 1LL << 40, .is_wedged = true};
    struct str body = {0};

    case_new();
    (void)snprintf(b.sample_error, sizeof(b.sample_error), "a \"quoted\"\nline");
    (void)snprintf(b.current_task, sizeof(b.current_task), "idle");
    heartbeat_body(pc->p, &b, &body);
    cr_assert_str_eq(str_z(&body),
                     "{\"workspace_id\":\"" CASE_ID "\",\"error_rate\":1.000,"
                     "\"sample_error\":\"a \\\"quoted\\\"\\nline\",\"active_tasks\":0,"
                     "\"current_task\":\"idle\",\"uptime_seconds\":2147483647,"
                     "\"runtime_state\":\"wedged\"}");
    str_release(&body);
    b = (struct beat){.error_rate = (double)NAN, .active_tasks = 3, .uptime_seconds = 9};
    heartbeat_body(pc->p, &b, &body);
    cr_assert(strstr(str_z(&body), "\"error_rate\":0.000"));
    cr_assert(strstr(str_z(&body), "\"active_tasks\":3"));
    cr_assert(strstr(str_z(&body), "\"runtime_state\":\"\""));
    str_release(&body);
    b.error_rate = 0.0625;
    heartbeat_body(pc->p, &b, &body);
    cr_assert(strstr(str_z(&body), "\"error_rate\":0.063"));
    str_release(&body);
}

static bool one_beat(void)
{
    return case_since(HEARTBEAT) >= 1 && !call_is_busy(&pc->p->heart.a.call);
}

/* The next regular one is 100 s away, and none is under way. */
static bool regular_beats_are_far(void)
{
    pc->cfg.platform.heartbeat_interval = 100000; /* counts from the next regular one on */
    return pc->p->heart.a.due_ms > loop_now_ms(pc->loop) + 50000 && !case_beat_is_under_way();
}

Test(platform_beats, extra_beats_keep_their_distance)
{
    case_start();
    UNTIL(regular_beats_are_far);
    case_mark();
    pc->p->times.extra_beat_gap = 30;
    int64_t last = pc->p->heart.last_sent_ms;
    pc->beat.active_tasks = 1;
    platform_work_changed(pc->p);
    platform_work_changed(pc->p);
    UNTIL(one_beat);
    cr_assert_geq(pc->p->heart.last_sent_ms - last, 30);
    cr_assert_eq(case_since(HEARTBEAT), 1);
    case_mark();
    platform_beat_now(pc->p);
    UNTIL(one_beat);
}

Test(platform_beats, an_extra_beat_waits_for_a_retry_after_that_came_later_than_its_plan)
{
    case_start();
    UNTIL(regular_beats_are_far);
    pc->p->times.extra_beat_gap = 200;
    pc->beat.active_tasks = 1;
    case_override(HEARTBEAT, -1, 429, "Retry-After: 30\r\n", "{\"error\":\"rate limit exceeded\"}");
    platform_beat_now(pc->p);
    pc->beat.active_tasks = 0;
    platform_work_changed(pc->p); /* planned while the answer is still out */
    UNTIL(beat_was_limited);
    case_mark();
    case_run_ms(400);
    cr_assert_eq(case_since(HEARTBEAT), 0);
    platform_beat_now(pc->p);
    cr_assert_eq(case_since(HEARTBEAT), 0, "nor does a drain shout");

    const struct heart *h = &pc->p->heart;

    cr_assert(h->extra_timer.armed && h->extra_timer.at_ms >= h->not_before_ms);
}

Test(platform_beats, no_extra_beat_without_news)
{
    case_start();
    UNTIL(regular_beats_are_far);
    pc->p->times.extra_beat_gap = 0;
    case_mark();
    for (int i = 0; i < 100; i++)
        platform_work_changed(pc->p);
    case_run_ms(50);
    cr_assert_eq(case_since(HEARTBEAT), 0);
    pc->beat.is_wedged = true;
    platform_work_changed(pc->p);
    UNTIL(one_beat);
}

Test(platform_beats, no_extra_beats_when_the_rate_budget_is_short)
{
    case_start();
    case_override(STATE, -1, 200, "X-RateLimit-Limit: 600\r\nX-RateLimit-Remaining: 59\r\n", "{}");
    UNTIL(regular_beats_are_far);
    UNTIL(three_states);
    pc->p->times.extra_beat_gap = 0;
    pc->beat.active_tasks = 1;
    case_mark();
    platform_work_changed(pc->p);
    case_run_ms(60);
    cr_assert_eq(case_since(HEARTBEAT), 0);
    cr_assert_eq(pc->p->status.rate_remaining, 59);
}

static bool max_reached(void)
{
    return pc->max_iterations > 0;
}

Test(platform_beats, max_iterations_is_told_once)
{
    pc->cfg.platform.max_iterations = 3;
    case_new();
    platform_start(pc->p);
    UNTIL(max_reached);
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(pc->max_iterations, 1);
}

/* ---- secrets -----------------------------------------------------------------------------------
 */

static void change_secrets(struct world *w)
{
    (void)snprintf(w->secrets, sizeof(w->secrets), "{\"A\":\"1\",\"B\":\"3\",\"C\":\"4\"}");
}

static void drop_secret(struct world *w)
{
    (void)snprintf(w->secrets, sizeof(w->secrets), "{\"A\":\"1\"}");
}

static bool has_three(void)
{
    return pc->p->secrets.n == 3;
}

static bool has_one(void)
{
    return pc->p->secrets.n == 1;
}

Test(platform_beats, changed_secrets_are_told)
{
    case_start();
    cr_assert_eq(pc->secret_calls, 1);
    cr_assert_str_eq(platform_secrets(pc->p)->v[1].value, "2");
    case_set(change_secrets);
    UNTIL(has_three);
    cr_assert_eq(pc->secret_calls, 2);
    cr_assert_eq(pc->first_secrets, 1);
    cr_assert_str_eq(platform_secrets(pc->p)->v[1].value, "3");
    case_mark();
    UNTIL(secrets_again);
    cr_assert_eq(pc->secret_calls, 2);
}

Test(platform_beats, a_shrink_that_lasts_is_believed)
{
    case_start();
    case_mark();
    case_set(drop_secret);
    UNTIL(has_one);
    cr_assert_geq(case_since(SECRETS), 2);
}

static bool three_pulls(void)
{
    return case_since(SECRETS) >= 3;
}

Test(platform_beats, a_shrink_for_a_moment_is_not_believed)
{
    case_start();
    case_override(SECRETS, 1, 200, NULL, "{}");
    case_mark();
    UNTIL(three_pulls);
    cr_assert_eq(pc->secret_calls, 1);
    cr_assert_eq(pc->p->secrets.n, 2);
}

static bool secrets_fail(void)
{
    return pc->p->status.secrets.failures > 0;
}

Test(platform_beats, keys_that_the_platform_cannot_decrypt_are_named)
{
    case_start();
    case_override(SECRETS, -1, 500, NULL,
                  "{\"error\":\"decrypt failed\",\"failed_keys\":[\"global:K\",\"workspace:L\"]}");
    UNTIL(secrets_fail);
    cr_assert(strstr(pc->p->status.secrets.last_error, "global:K workspace:L"), "%s",
              pc->p->status.secrets.last_error);
    cr_assert_eq(pc->p->secrets.n, 2);
}

Test(platform_beats, an_answer_that_is_no_map_changes_nothing)
{
    case_start();
    case_override(SECRETS, -1, 200, NULL, "[1]");
    UNTIL(secrets_fail);
    cr_assert_eq(pc->p->secrets.n, 2);
}

/* ---- the inbound secret ------------------------------------------------------------------------
 */

static void remove_and_invent(struct world *w)
{
    w->is_removed = true;
    (void)snprintf(w->inbound, sizeof(w->inbound), "unused");
}

static void new_inbound(struct world *w)
{
    (void)snprintf(w->inbound, sizeof(w->inbound), "inbound-2");
}

static bool inbound_is_new(void)
{
    return slice_eq(platform_inbound_secret(pc->p), SLICE("inbound-2"));
}

Test(platform_beats, an_inbound_secret_of_a_beat_counts_once_the_row_is_seen_alive)
{
    case_start();
    cr_assert(slice_eq(platform_inbound_secret(pc->p), SLICE("inbound-1")));
    case_set(new_inbound);
    UNTIL(inbound_is_new);
    case_set(remove_and_invent);
    UNTIL(is_removed);
    cr_assert(inbound_is_new());
}

static unsigned state_answers;

static bool state_is_asked(void)
{
    state_answers = pc->p->status.state_poll.ok_total;
    return call_is_busy(&pc->p->state.a.call);
}

/* Two answers may overtake each other: the row was alive when this was asked, not when that came.
 */
Test(platform_beats, an_inbound_secret_of_a_beat_needs_a_look_that_began_after_it)
{
    case_start();
    UNTIL(regular_beats_are_far); /* none of them names another one */
    UNTIL(state_is_asked);
    inbound_named(pc->p, SLICE("{\"platform_inbound_secret\":\"inbound-2\"}"), false);
    inbound_named(pc->p, SLICE("{\"platform_inbound_secret\":\"inbound-2\"}"), false);
    UNTIL(inbound_is_new);
    cr_assert_geq(pc->p->status.state_poll.ok_total, state_answers + 2, "the next look tells");
}
