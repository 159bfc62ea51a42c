/*
 * What happens to a registered workspace: the table of P section 5.2 row by row, outages, beats,
 * secrets and the end. Each test starts registered with a token.
 */
#include "support/platform_case.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void open_case(void)
{
    static char token[] = "the-token";

    case_open();
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "the-token");
    pc->cfg.platform.token = token;
    pc->cfg.platform.token_is_explicit = true;
}

TestSuite(platform, .init = open_case, .fini = case_close, .timeout = 30);

static unsigned mark[KIND_COUNT];

static void set_mark(void)
{
    fake_lock(pc->fake);
    memcpy(mark, pc->world.count, sizeof(mark));
    fake_unlock(pc->fake);
}

static unsigned since(enum kind k)
{
    return case_count(k) - mark[k];
}

static bool is_up(void)
{
    return pc->registered > 0 && pc->p->secrets.is_known && pc->p->heart.accepted &&
           pc->p->status.state == WORKSPACE_ACTIVE && pc->p->reg.step == REGISTER_REST;
}

static void start(void)
{
    case_new();
    platform_start(pc->p);
    UNTIL(is_up);
    set_mark();
}

static bool is_paused(void)
{
    return pc->p->status.state == WORKSPACE_PAUSED;
}

static bool is_active(void)
{
    return pc->p->status.state == WORKSPACE_ACTIVE;
}

static bool is_removed(void)
{
    return pc->p->status.state == WORKSPACE_REMOVED;
}

static bool is_auth_lost(void)
{
    return pc->p->status.state == WORKSPACE_AUTH_LOST;
}

static bool registers_again(void)
{
    return since(REGISTER) > 0 && pc->p->reg.step == REGISTER_REST;
}

static bool three_beats(void)
{
    return since(HEARTBEAT) >= 3;
}

static bool three_states(void)
{
    return since(STATE) >= 3;
}

static bool state_has_failed(void)
{
    return pc->p->status.state_poll.failures >= 2;
}

/* ---- P section 5.2 -----------------------------------------------------------------------------
 */

static void pause_it(struct world *w)
{
    (void)snprintf(w->status, sizeof(w->status), "paused");
}

static void resume_it(struct world *w)
{
    (void)snprintf(w->status, sizeof(w->status), "provisioning");
}

static void remove_it(struct world *w)
{
    w->is_removed = true;
}

static void purge_it(struct world *w)
{
    w->is_purged = true;
}

static void unpurge_it(struct world *w)
{
    w->is_purged = false;
}

static void revoke_all(struct world *w)
{
    w->token[0] = '\0';
}

static void rotate(struct world *w)
{
    (void)snprintf(w->token, sizeof(w->token), "rotated");
}

static void break_db(struct world *w)
{
    w->db_down = true;
}

static void mend_db(struct world *w)
{
    w->db_down = false;
}

static bool secrets_again(void)
{
    return since(SECRETS) > 0;
}

Test(platform, paused_holds_and_resumed_pulls_secrets_and_registers)
{
    pc->cfg.secrets.refresh = 0; /* so that a pull has one reason only */
    start();
    case_set(pause_it);
    UNTIL(is_paused);
    set_mark();
    UNTIL(three_beats);
    cr_assert_eq(since(REGISTER), 0);
    case_set(resume_it);
    UNTIL(is_active);
    UNTIL(registers_again);
    UNTIL(secrets_again);
    cr_assert_eq(since(REGISTER), 1);
    cr_assert_eq(pc->state_log[pc->states - 2], WORKSPACE_PAUSED);
    cr_assert_eq(pc->state_log[pc->states - 1], WORKSPACE_ACTIVE);
}

Test(platform, a_long_pause_is_asked_about_less_often)
{
    start();
    case_set(pause_it);
    UNTIL(is_paused);
    case_run_ms(300);
    int64_t wait = pc->p->status.state_poll.next_ms - loop_now_ms(pc->loop);
    int64_t since_pause = loop_now_ms(pc->loop) - pc->p->state.paused_since_ms;
    cr_assert(since_pause >= 200);
    set_mark();
    case_run_ms(200);
    cr_assert_leq(since(STATE), 4, "%u in 200 ms, next in %lld", since(STATE), (long long)wait);
}

Test(platform, removed_is_seen_behind_the_401)
{
    start();
    case_set(remove_it);
    UNTIL(is_removed);
    cr_assert(strstr(pc->why, "410"), "%s", pc->why);
    set_mark();
    case_run_ms(150);
    cr_assert_eq(since(HEARTBEAT), 0);
    cr_assert_eq(since(REGISTER), 0);
}

Test(platform, purged_needs_two_looks_apart)
{
    start();
    case_set(purge_it);
    UNTIL(is_removed);
    cr_assert_eq(since(ROW), 2);
    cr_assert_eq(since(REGISTER), 0);
}

static bool is_confirming(void)
{
    return pc->p->state.is_confirming;
}

Test(platform, not_found_once_is_nothing)
{
    start();
    case_set(purge_it);
    UNTIL(is_confirming);
    case_set(unpurge_it);
    set_mark();
    UNTIL(three_states);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

Test(platform, tokens_revoked_is_auth_lost_and_beats_go_on)
{
    start();
    case_set(revoke_all);
    UNTIL(is_auth_lost);
    set_mark();
    UNTIL(three_beats);
    cr_assert_eq(since(REGISTER), 0, "the operator gave the token: a new one is the operator's");
    cr_assert(strstr(pc->why, "rotate"), "%s", pc->why);
}

static bool is_minted_again(void)
{
    return slice_eq(platform_token(pc->p), SLICE("minted-token-1")) && is_active();
}

Test(platform, tokens_revoked_without_an_operators_token_bootstraps_once)
{
    static char none[] = "";
    char path[256];

    pc->cfg.platform.token = none;
    pc->cfg.platform.token_is_explicit = false;
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "first");
    mkdir(pc->state_dir, 0700);
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    case_file(path, "first", 0600);
    start();
    case_set(revoke_all);
    UNTIL(is_minted_again);
    cr_assert_eq(since(REGISTER), 1);
    char *saved = case_read(path);
    cr_assert_str_eq(saved, "minted-token-1");
    free(saved);
}

static bool beats_refused(void)
{
    return pc->p->heart.refused >= 3;
}

Test(platform, a_rotated_token_is_auth_lost_and_register_does_not_loop)
{
    start();
    case_set(rotate);
    UNTIL(is_auth_lost);
    UNTIL(beats_refused);
    cr_assert_eq(since(REGISTER), 0);
}

static void guard(struct world *w)
{
    w->wrong_org = true;
}

static void unguard(struct world *w)
{
    w->wrong_org = false;
}

static bool state_works(void)
{
    return pc->p->status.state_poll.failures == 0;
}

Test(platform, a_wrong_org_is_never_taken_for_removal)
{
    start();
    case_set(guard);
    UNTIL(state_has_failed);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    cr_assert(strstr(pc->p->status.state_poll.last_error, "platform.org_id"), "%s",
              pc->p->status.state_poll.last_error);
    set_mark();
    UNTIL(three_beats);
    cr_assert_eq(pc->p->status.heartbeat.failures, 0);
    case_set(unguard);
    UNTIL(state_works);
}

Test(platform, a_database_outage_decides_nothing)
{
    start();
    unsigned states = pc->states;
    case_set(break_db);
    UNTIL(state_has_failed);
    UNTIL(three_beats);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    case_set(mend_db);
    UNTIL(state_works);
    cr_assert_eq(pc->states, states);
    cr_assert_eq(since(REGISTER), 0);
}

Test(platform, deleted_in_the_state_is_believed)
{
    start();
    case_override(STATE, -1, 404, NULL, "{\"workspace_id\":\"x\",\"deleted\":true}");
    UNTIL(is_removed);
}

Test(platform, a_404_without_deleted_is_not_believed)
{
    start();
    case_override(STATE, -1, 404, NULL, "{\"error\":\"not here\"}");
    UNTIL(state_has_failed);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

static void fail_it(struct world *w)
{
    (void)snprintf(w->status, sizeof(w->status), "failed");
}

Test(platform, a_failed_workspace_is_registered_again)
{
    start();
    case_set(fail_it);
    UNTIL(registers_again);
    set_mark();
    UNTIL(three_states);
    cr_assert_eq(since(REGISTER), 0);
}

Test(platform, missing_and_null_keys_of_the_state_mean_running)
{
    start();
    case_override(STATE, -1, 200, NULL, "{\"status\":null,\"paused\":null,\"new\":[{}]}");
    UNTIL(three_states);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

/* ---- beats -------------------------------------------------------------------------------------
 */

Test(platform, a_beat_without_an_answer_does_not_delay_the_next)
{
    start();
    case_action(HEARTBEAT, -1, FAKE_HANG);
    set_mark();
    int64_t from = loop_now_ms(pc->loop);
    UNTIL(three_beats);
    cr_assert_lt(loop_now_ms(pc->loop) - from, 2000); /* and not three timeouts of 10 s */
    cr_assert(strstr(pc->p->status.heartbeat.last_error, "before the next"), "%s",
              pc->p->status.heartbeat.last_error);
}

Test(platform, beats_survive_resets_and_garbage)
{
    start();
    case_action(HEARTBEAT, 2, FAKE_RESET);
    UNTIL(three_beats);
    case_override(HEARTBEAT, 2, 200, NULL, "{\"status");
    set_mark();
    UNTIL(three_beats);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

static bool five_beats(void)
{
    return since(HEARTBEAT) >= 5;
}

Test(platform, one_failing_endpoint_slows_no_other)
{
    start();
    case_action(STATE, -1, FAKE_HANG);
    case_override(SECRETS, -1, 500, NULL, "{\"error\":\"auth check failed\"}");
    UNTIL(five_beats);
    cr_assert_eq(pc->p->status.heartbeat.failures, 0);
}

static bool beat_was_limited(void)
{
    return pc->p->status.heartbeat.failures > 0;
}

Test(platform, a_429_silences_beats_for_as_long_as_it_says)
{
    start();
    case_override(HEARTBEAT, 1, 429, "Retry-After: 1\r\n",
                  "{\"error\":\"rate limit exceeded\",\"retry_after\":1}");
    UNTIL(beat_was_limited);
    set_mark();
    case_run_ms(300);
    cr_assert_eq(since(HEARTBEAT), 0);
    cr_assert(strstr(pc->p->status.heartbeat.last_error, "rate limit exceeded"));
    UNTIL(three_beats);
}

Test(platform, a_beat_tells_the_true_numbers_within_the_platforms_ranges)
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
    return since(HEARTBEAT) >= 1 && !call_is_busy(&pc->p->heart.a.call);
}

Test(platform, extra_beats_keep_their_distance)
{
    start();
    pc->cfg.platform.heartbeat_interval = 100000; /* from the next regular one on */
    UNTIL(one_beat);
    set_mark();
    pc->p->times.extra_beat_gap = 30;
    int64_t last = pc->p->heart.last_sent_ms;
    pc->beat.active_tasks = 1;
    platform_work_changed(pc->p);
    platform_work_changed(pc->p);
    UNTIL(one_beat);
    cr_assert_geq(pc->p->heart.last_sent_ms - last, 30);
    cr_assert_eq(since(HEARTBEAT), 1);
    platform_beat_now(pc->p);
    set_mark();
    UNTIL(one_beat);
}

Test(platform, no_extra_beat_without_news)
{
    start();
    pc->cfg.platform.heartbeat_interval = 100000;
    UNTIL(one_beat);
    pc->p->times.extra_beat_gap = 0;
    set_mark();
    for (int i = 0; i < 100; i++)
        platform_work_changed(pc->p);
    case_run_ms(50);
    cr_assert_eq(since(HEARTBEAT), 0);
    pc->beat.is_wedged = true;
    platform_work_changed(pc->p);
    UNTIL(one_beat);
}

Test(platform, no_extra_beats_when_the_rate_budget_is_short)
{
    start();
    pc->cfg.platform.heartbeat_interval = 100000;
    case_override(STATE, -1, 200, "X-RateLimit-Limit: 600\r\nX-RateLimit-Remaining: 59\r\n", "{}");
    UNTIL(one_beat);
    UNTIL(three_states);
    pc->p->times.extra_beat_gap = 0;
    pc->beat.active_tasks = 1;
    set_mark();
    platform_work_changed(pc->p);
    case_run_ms(60);
    cr_assert_eq(since(HEARTBEAT), 0);
    cr_assert_eq(pc->p->status.rate_remaining, 59);
}

static bool max_reached(void)
{
    return pc->max_iterations > 0;
}

Test(platform, max_iterations_is_told_once)
{
    pc->cfg.platform.max_iterations = 3;
    case_new();
    platform_start(pc->p);
    UNTIL(max_reached);
    set_mark();
    UNTIL(three_beats);
    cr_assert_eq(pc->max_iterations, 1);
}

/* ---- the Origin rule ---------------------------------------------------------------------------
 */

Test(platform, an_empty_403_is_tried_once_without_origin_and_remembered)
{
    pc->world.refuses_origin = true;
    start();
    cr_assert_eq(pc->p->transport.origin_mode, ORIGIN_REFUSED);
    unsigned before = pc->world.with_origin;
    UNTIL(three_beats);
    cr_assert_eq(pc->world.with_origin, before);
}

Test(platform, origin_is_scheme_and_authority_and_other_headers_are_right)
{
    static char org[] = "99999999-2222-4333-8444-555555555555";

    pc->cfg.platform.org_id = org;
    start();
    fake_lock(pc->fake);
    struct fake_request copy = pc->world.last[STATE];
    fake_unlock(pc->fake);
    const struct fake_request *rq = &copy;
    cr_assert_str_eq(fake_field(rq, "origin"), pc->url);
    cr_assert_str_eq(fake_field(rq, "x-workspace-id"), CASE_ID);
    cr_assert_str_eq(fake_field(rq, "x-molecule-org-id"), org);
    cr_assert_str_eq(fake_field(rq, "accept"), "application/json");
    cr_assert_str_eq(fake_field(rq, "authorization"), "Bearer the-token");
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

Test(platform, changed_secrets_are_told)
{
    start();
    cr_assert_eq(pc->secret_calls, 1);
    cr_assert_str_eq(platform_secrets(pc->p)->v[1].value, "2");
    case_set(change_secrets);
    UNTIL(has_three);
    cr_assert_eq(pc->secret_calls, 2);
    cr_assert_eq(pc->first_secrets, 1);
    cr_assert_str_eq(platform_secrets(pc->p)->v[1].value, "3");
    set_mark();
    UNTIL(secrets_again);
    cr_assert_eq(pc->secret_calls, 2);
}

Test(platform, a_shrink_that_lasts_is_believed)
{
    start();
    case_set(drop_secret);
    set_mark();
    UNTIL(has_one);
    cr_assert_geq(since(SECRETS), 2);
}

static bool three_pulls(void)
{
    return since(SECRETS) >= 3;
}

Test(platform, a_shrink_for_a_moment_is_not_believed)
{
    start();
    case_override(SECRETS, 1, 200, NULL, "{}");
    set_mark();
    UNTIL(three_pulls);
    cr_assert_eq(pc->secret_calls, 1);
    cr_assert_eq(pc->p->secrets.n, 2);
}

static bool secrets_fail(void)
{
    return pc->p->status.secrets.failures > 0;
}

Test(platform, keys_that_the_platform_cannot_decrypt_are_named)
{
    start();
    case_override(SECRETS, -1, 500, NULL,
                  "{\"error\":\"decrypt failed\",\"failed_keys\":[\"global:K\",\"workspace:L\"]}");
    UNTIL(secrets_fail);
    cr_assert(strstr(pc->p->status.secrets.last_error, "global:K workspace:L"), "%s",
              pc->p->status.secrets.last_error);
    cr_assert_eq(pc->p->secrets.n, 2);
}

Test(platform, an_answer_that_is_no_map_changes_nothing)
{
    start();
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

Test(platform, an_inbound_secret_of_a_beat_counts_once_the_row_is_seen_alive)
{
    start();
    cr_assert(slice_eq(platform_inbound_secret(pc->p), SLICE("inbound-1")));
    case_set(new_inbound);
    UNTIL(inbound_is_new);
    case_set(remove_and_invent);
    UNTIL(is_removed);
    cr_assert(inbound_is_new());
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static void on_finished(void *arg)
{
    (void)arg;
    pc->finished++;
}

static bool is_finished(void)
{
    return pc->finished > 0;
}

static void finish(int64_t budget_ms)
{
    set_mark();
    (void)snprintf(pc->beat.current_task, sizeof(pc->beat.current_task), "stopped");
    platform_finish(pc->p, budget_ms, on_finished, NULL);
    cr_assert_eq(pc->finished, 0);
    UNTIL(is_finished);
}

Test(platform, the_last_beat_says_stopped_and_then_all_is_quiet)
{
    start();
    finish(2000);
    cr_assert_eq(since(HEARTBEAT), 1);
    cr_assert(strstr(pc->world.last_body[HEARTBEAT], "\"current_task\":\"stopped\""));
    set_mark();
    case_run_ms(150);
    for (int k = REGISTER; k < KIND_COUNT; k++)
        cr_assert_eq(since((enum kind)k), 0);
    cr_assert_eq(pc->finished, 1);
}

static void other_beats(struct world *w)
{
    w->row_uptime = 4;
}

Test(platform, no_last_beat_when_another_instance_has_beaten)
{
    pc->beat.uptime_seconds = 1000;
    start();
    case_set(other_beats);
    finish(2000);
    cr_assert_eq(since(HEARTBEAT), 0);
}

static void other_url(struct world *w)
{
    (void)snprintf(w->row_url, sizeof(w->row_url), "https://other.example/a2a");
}

Test(platform, no_last_beat_when_another_url_is_registered)
{
    static char url[] = "https://agent.example/a2a";

    pc->cfg.platform.delivery = DELIVERY_PUSH;
    pc->cfg.platform.reported_url = url;
    start();
    case_set(other_url);
    finish(2000);
    cr_assert_eq(since(HEARTBEAT), 0);
}

Test(platform, the_end_is_bounded_by_its_budget)
{
    start();
    case_action(ROW, -1, FAKE_HANG);
    case_action(HEARTBEAT, -1, FAKE_HANG);
    int64_t from = clock_mono_ms();
    finish(150);
    cr_assert_lt(clock_mono_ms() - from, 1500);
    cr_assert_geq(clock_mono_ms() - from, 100);
}

Test(platform, the_end_without_ever_a_token_is_immediate)
{
    static char none[] = "";

    pc->cfg.platform.token = none;
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_HANG);
    case_new();
    platform_start(pc->p);
    finish(5000);
    cr_assert_eq(since(HEARTBEAT), 0);
}

Test(platform, an_hour_of_outage_ends_nothing_and_heals)
{
    start();
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_RESET);
    UNTIL(state_has_failed);
    platform_card_changed(pc->p);
    case_run_ms(300);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, 0, FAKE_ANSWER);
    set_mark();
    UNTIL(state_works);
    UNTIL(three_beats);
    cr_assert_eq(since(REGISTER), 0);
}

Test(platform, freeing_with_everything_under_way_is_clean)
{
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_HANG);
    case_new();
    platform_start(pc->p);
    case_run_ms(30);
}
