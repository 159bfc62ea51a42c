/*
 * What happens to a registered workspace: the table of P section 5.2 row by row, outages, the
 * Origin rule and the end. Each test starts registered with a token.
 */
#include "support/platform_case.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(platform, .init = case_open_with_token, .fini = case_close, .timeout = 60);

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
    return case_since(REGISTER) > 0 && pc->p->reg.step == REGISTER_REST;
}

static bool three_beats(void)
{
    return case_since(HEARTBEAT) >= 3;
}

static bool three_states(void)
{
    return case_since(STATE) >= 3;
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

static bool no_beat_under_way(void)
{
    return !case_beat_is_under_way();
}

static void mend_db(struct world *w)
{
    w->db_down = false;
}

static bool secrets_again(void)
{
    return case_since(SECRETS) > 0;
}

Test(platform, paused_holds_and_resumed_pulls_secrets_and_registers)
{
    pc->cfg.secrets.refresh = 0; /* so that a pull has one reason only */
    case_start();
    case_set(pause_it);
    UNTIL(is_paused);
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(case_since(REGISTER), 0);
    case_set(resume_it);
    UNTIL(is_active);
    UNTIL(registers_again);
    UNTIL(secrets_again);
    cr_assert_eq(case_since(REGISTER), 1);
    cr_assert_eq(pc->state_log[pc->states - 2], WORKSPACE_PAUSED);
    cr_assert_eq(pc->state_log[pc->states - 1], WORKSPACE_ACTIVE);
}

Test(platform, a_long_pause_is_asked_about_less_often)
{
    case_start();
    case_set(pause_it);
    UNTIL(is_paused);
    case_run_ms(300);
    int64_t wait = pc->p->status.state_poll.next_ms - loop_now_ms(pc->loop);
    int64_t since_pause = loop_now_ms(pc->loop) - pc->p->state.paused_since_ms;
    cr_assert(since_pause >= 200);
    case_mark();
    case_run_ms(200);
    cr_assert_leq(case_since(STATE), 4, "%u in 200 ms, next in %lld", case_since(STATE),
                  (long long)wait);
}

Test(platform, removed_is_seen_behind_the_401)
{
    case_start();
    case_set(remove_it);
    UNTIL(is_removed);
    cr_assert(strstr(pc->why, "410"), "%s", pc->why);
    UNTIL(no_beat_under_way);
    case_mark();
    case_run_ms(150);
    cr_assert_eq(case_since(HEARTBEAT), 0);
    cr_assert_eq(case_since(REGISTER), 0);
}

Test(platform, purged_needs_two_looks_apart)
{
    case_start();
    case_set(purge_it);
    UNTIL(is_removed);
    cr_assert_eq(pc->rows_at_state, 2);
    cr_assert_eq(case_since(REGISTER), 0);
}

static bool is_confirming(void)
{
    return pc->p->state.is_confirming;
}

Test(platform, not_found_once_is_nothing)
{
    case_start();
    case_set(purge_it);
    UNTIL(is_confirming);
    case_set(unpurge_it);
    case_mark();
    UNTIL(three_states);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

Test(platform, tokens_revoked_is_auth_lost_and_beats_go_on)
{
    case_start();
    case_set(revoke_all);
    UNTIL(is_auth_lost);
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(case_since(REGISTER), 0,
                 "the operator gave the token: a new one is the operator's");
    cr_assert(strstr(pc->why, "rotate"), "%s", pc->why);
}

static bool is_minted_again(void)
{
    return slice_eq(platform_token(pc->p), SLICE("minted-token-1")) && is_active();
}

/* Nobody gave a token; "first" is the one that an earlier start has stored. */
static void start_with_a_stored_token(char *ret_path, size_t cap)
{
    static char none[] = "";

    pc->cfg.platform.token = none;
    pc->cfg.platform.token_is_explicit = false;
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "first");
    mkdir(pc->state_dir, 0700);
    (void)snprintf(ret_path, cap, "%s/.auth_token", pc->state_dir);
    case_file(ret_path, "first", 0600);
    case_start();
}

Test(platform, tokens_revoked_without_an_operators_token_bootstraps_once)
{
    char path[256];

    start_with_a_stored_token(path, sizeof(path));
    case_set(revoke_all);
    UNTIL(is_minted_again);
    cr_assert_eq(case_since(REGISTER), 1);
    char *saved = case_read(path);
    cr_assert_str_eq(saved, "minted-token-1");
    free(saved);
}

static bool has_minted(void)
{
    return slice_eq(platform_token(pc->p), SLICE("minted-token-1"));
}

static void mint_again_while_the_state_hangs(void)
{
    char path[256];

    start_with_a_stored_token(path, sizeof(path));
    case_set(revoke_all);
    UNTIL(is_auth_lost);
    case_action(STATE, -1, FAKE_HANG);
    UNTIL(has_minted);
}

Test(platform, a_beat_with_the_new_token_before_the_state_is_known_is_no_second_revocation)
{
    mint_again_while_the_state_hangs();
    unsigned registers = case_since(REGISTER);
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(registers, 1);
    cr_assert_eq(case_since(REGISTER), 0);
}

static unsigned late_answers;

static bool beat_with_the_new_token_is_under_way(void)
{
    return case_beat_is_under_way() && pc->p->heart.a.call.token_age == pc->p->transport.token_age;
}

static bool another_beat_is_good(void)
{
    return pc->p->status.heartbeat.ok_total > late_answers;
}

/* The beat was taken before there was a new token, and its answer is the last to arrive. */
Test(platform, the_late_answer_to_a_beat_with_the_old_token_is_no_second_revocation)
{
    mint_again_while_the_state_hangs();
    case_mark();
    UNTIL(beat_with_the_new_token_is_under_way);
    late_answers = pc->p->status.heartbeat.ok_total;
    pc->p->heart.a.call.token_age = pc->p->state.lost_age;
    UNTIL(another_beat_is_good);
    UNTIL(three_beats);
    cr_assert_eq(case_since(REGISTER), 0);
}

Test(platform, a_platform_in_trouble_does_not_use_up_the_bootstrap_after_a_revocation)
{
    char path[256];

    start_with_a_stored_token(path, sizeof(path));
    case_override(REGISTER, 1, 503, NULL, "{}");
    case_set(revoke_all);
    UNTIL(is_minted_again);
    cr_assert_eq(case_since(REGISTER), 2, "%u; %s", case_since(REGISTER), pc->world.order);
}

static bool beats_refused(void)
{
    return pc->p->heart.refused >= 3;
}

Test(platform, a_rotated_token_is_auth_lost_and_register_does_not_loop)
{
    case_start();
    case_set(rotate);
    UNTIL(is_auth_lost);
    UNTIL(beats_refused);
    cr_assert_eq(case_since(REGISTER), 0);
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

static bool beats_work(void)
{
    return pc->p->status.heartbeat.failures == 0;
}

Test(platform, a_wrong_org_is_never_taken_for_removal)
{
    case_start();
    case_set(guard);
    UNTIL(state_has_failed);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    cr_assert(strstr(pc->p->status.state_poll.last_error, "platform.org_id"), "%s",
              pc->p->status.state_poll.last_error);
    case_mark();
    UNTIL(three_beats);
    UNTIL(beats_work);
    case_set(unguard);
    UNTIL(state_works);
}

Test(platform, a_database_outage_decides_nothing)
{
    case_start();
    unsigned states = pc->states;
    case_set(break_db);
    UNTIL(state_has_failed);
    UNTIL(three_beats);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    case_set(mend_db);
    UNTIL(state_works);
    cr_assert_eq(pc->states, states);
    cr_assert_eq(case_since(REGISTER), 0);
}

Test(platform, deleted_in_the_state_is_believed)
{
    case_start();
    case_override(STATE, -1, 404, NULL, "{\"workspace_id\":\"x\",\"deleted\":true}");
    UNTIL(is_removed);
}

Test(platform, a_404_without_deleted_is_not_believed)
{
    case_start();
    case_override(STATE, -1, 404, NULL, "{\"error\":\"not here\"}");
    UNTIL(state_has_failed);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

/* An answer of before it was registered again may still say so, and then it is once more. */
static bool registers_again_and_the_state_knows(void)
{
    return registers_again() && !call_is_busy(&pc->p->state.a.call);
}

static void fail_it(struct world *w)
{
    (void)snprintf(w->status, sizeof(w->status), "failed");
}

Test(platform, a_failed_workspace_is_registered_again)
{
    case_start();
    case_set(fail_it);
    UNTIL(registers_again_and_the_state_knows);
    case_mark();
    UNTIL(three_states);
    cr_assert_eq(case_since(REGISTER), 0);
}

Test(platform, missing_and_null_keys_of_the_state_mean_running)
{
    case_start();
    case_override(STATE, -1, 200, NULL, "{\"status\":null,\"paused\":null,\"new\":[{}]}");
    UNTIL(three_states);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
}

/* ---- the Origin rule ---------------------------------------------------------------------------
 */

static unsigned with_origin(void)
{
    fake_lock(pc->fake);
    unsigned n = pc->world.with_origin;
    fake_unlock(pc->fake);
    return n;
}

Test(platform, an_empty_403_is_tried_once_without_origin_and_remembered)
{
    pc->world.refuses_origin = true;
    case_start();
    cr_assert_eq(pc->p->transport.origin_mode, ORIGIN_REFUSED);
    UNTIL(three_beats); /* what was under way has arrived */
    unsigned before = with_origin();
    case_mark();
    UNTIL(three_beats);
    cr_assert_eq(with_origin(), before);
}

Test(platform, origin_is_scheme_and_authority_and_other_headers_are_right)
{
    static char org[] = "99999999-2222-4333-8444-555555555555";

    pc->cfg.platform.org_id = org;
    case_start();
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

static unsigned stopped_beats(void)
{
    fake_lock(pc->fake);
    unsigned n = pc->world.stopped_beats;
    fake_unlock(pc->fake);
    return n;
}

/* An ordinary beat may be under way; only the last one says "stopped". */
static void finish(int64_t budget_ms)
{
    (void)snprintf(pc->beat.current_task, sizeof(pc->beat.current_task), "stopped");
    platform_finish(pc->p, budget_ms, on_finished, NULL);
    cr_assert_eq(pc->finished, 0);
    UNTIL(is_finished);
}

enum { ENOUGH_MS = 60 * 1000 }; /* a budget that no test uses up */

Test(platform, the_last_beat_says_stopped_and_then_all_is_quiet)
{
    case_start();
    finish(ENOUGH_MS);
    cr_assert_eq(stopped_beats(), 1);
    case_mark();
    case_run_ms(150);
    for (int k = REGISTER; k < KIND_COUNT; k++)
        cr_assert_eq(case_since((enum kind)k), 0);
    cr_assert_eq(pc->finished, 1);
}

static void other_beats(struct world *w)
{
    w->row_uptime = 4;
}

Test(platform, no_last_beat_when_another_instance_has_beaten)
{
    pc->beat.uptime_seconds = 1000;
    case_start();
    case_set(other_beats);
    finish(ENOUGH_MS);
    cr_assert_eq(stopped_beats(), 0);
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
    case_start();
    case_set(other_url);
    finish(ENOUGH_MS);
    cr_assert_eq(stopped_beats(), 0);
}

Test(platform, the_end_is_bounded_by_its_budget)
{
    case_start();
    case_action(ROW, -1, FAKE_HANG);
    case_action(HEARTBEAT, -1, FAKE_HANG);
    pc->p->transport.timeout_ms = ENOUGH_MS; /* of a call: more than UNTIL waits */
    int64_t from = clock_mono_ms();
    finish(150);
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
    finish(ENOUGH_MS);
    cr_assert_eq(case_count(HEARTBEAT), 0);
}

Test(platform, an_hour_of_outage_ends_nothing_and_heals)
{
    case_start();
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_RESET);
    UNTIL(state_has_failed);
    platform_card_changed(pc->p);
    case_run_ms(300);
    cr_assert_eq(pc->p->status.state, WORKSPACE_ACTIVE);
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, 0, FAKE_ANSWER);
    case_mark();
    UNTIL(state_works);
    UNTIL(three_beats);
    cr_assert_eq(case_since(REGISTER), 0);
}

Test(platform, freeing_with_everything_under_way_is_clean)
{
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_HANG);
    case_new();
    platform_start(pc->p);
    case_run_ms(30);
}
