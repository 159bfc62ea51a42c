/*
 * The start (design section 6), the register policy (P section 7.1) and the token's files (P
 * section 19), against a scripted control plane.
 */
#include "support/platform_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(platform_start, .init = case_open, .fini = case_close, .timeout = 60);

static void start(void)
{
    case_new();
    platform_start(pc->p);
}

static void give_token(const char *token)
{
    static char given[64];

    (void)snprintf(given, sizeof(given), "%s", token);
    pc->cfg.platform.token = given;
    pc->cfg.platform.token_is_explicit = true;
}

static bool is_registered(void)
{
    return pc->registered > 0;
}

static bool is_spawned(void)
{
    return pc->spawned > 0;
}

static bool is_refused(void)
{
    return pc->refused > 0;
}

static bool is_paused(void)
{
    return pc->p->status.state == WORKSPACE_PAUSED;
}

static bool has_secrets(void)
{
    return pc->secret_calls > 0;
}

static bool has_beaten(void)
{
    return case_count(HEARTBEAT) >= 1;
}

static bool has_beaten_twice(void)
{
    return case_count(HEARTBEAT) >= 2;
}

static bool is_removed(void)
{
    return pc->p->status.state == WORKSPACE_REMOVED;
}

Test(platform_start, a_removed_workspace_is_not_registered)
{
    pc->world.is_removed = true;
    start();
    UNTIL(is_removed);
    cr_assert_eq(case_count(REGISTER), 0);
    cr_assert_eq(pc->refused, 0);
}

Test(platform_start, an_unknown_workspace_with_a_token_is_removed)
{
    give_token("tok");
    pc->world.is_purged = true;
    start();
    UNTIL(is_removed);
    cr_assert_eq(case_count(REGISTER), 0);
}

Test(platform_start, a_state_dir_that_cannot_be_made_loses_only_the_next_start)
{
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/file", pc->dir);
    case_file(path, "", 0600);
    (void)snprintf(pc->state_dir, sizeof(pc->state_dir), "%s/file/state", pc->dir);
    start();
    UNTIL(is_registered);
    UNTIL(has_beaten);
    cr_assert(slice_eq(platform_token(pc->p), SLICE("minted-token-1")));
}

Test(platform_start, two_on_one_state_dir_are_told_and_go_on)
{
    struct pcase *mine = pc;
    struct platform *first = NULL;

    case_new();
    first = pc->p;
    case_new(); /* a second one on the same directory */
    platform_free(first);
    cr_assert_eq(mine, pc);
    platform_start(pc->p);
    UNTIL(is_registered);
}

static bool is_auth_lost(void)
{
    return pc->p->status.state == WORKSPACE_AUTH_LOST;
}

static bool is_active(void)
{
    return pc->p->status.state == WORKSPACE_ACTIVE;
}

Test(platform_start, without_a_token_it_bootstraps_and_saves_what_was_minted)
{
    char path[256];
    struct stat st;

    start();
    UNTIL(is_registered);
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    char *saved = case_read(path);
    cr_assert_str_eq(saved, "minted-token-1");
    free(saved);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(stat(pc->state_dir, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700);
    cr_assert_str_eq(pc->p->status.token_source, "minted");
    cr_assert_str_eq(pc->p->status.token_prefix, "", "too short to show any of it");
    UNTIL(is_spawned);
    UNTIL(has_secrets);
    UNTIL(has_beaten_twice);
    cr_assert_eq(pc->world.order[0], 'W', "%s", pc->world.order);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "");
    cr_assert_str_eq(pc->world.last_bearer[HEARTBEAT], "minted-token-1");
    cr_assert_str_eq(pc->world.last_bearer[SECRETS], "minted-token-1");
    cr_assert_str_eq(pc->world.last_body[REGISTER],
                     "{\"id\":\"" CASE_ID "\",\"delivery_mode\":\"poll\",\"agent_card\":"
                     "{\"name\":\"agent\"}}");
    cr_assert_eq(case_count(REGISTER), 1);
    cr_assert_eq(pc->spawned, 1);
}

static bool inbound_is_saved(void)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/.platform_inbound_secret", pc->state_dir);
    char *saved = case_read(path);
    bool ok = saved && strcmp(saved, "inbound-1") == 0;
    free(saved);
    return ok;
}

Test(platform_start, the_inbound_secret_of_register_is_held_and_saved)
{
    start();
    UNTIL(is_registered);
    cr_assert(slice_eq(platform_inbound_secret(pc->p), SLICE("inbound-1")));
    UNTIL(inbound_is_saved);
}

Test(platform_start, the_minted_token_is_used_after_a_restart)
{
    start();
    UNTIL(is_registered);
    case_restart();
    platform_start(pc->p);
    UNTIL(is_registered);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "minted-token-1");
    cr_assert(strstr(pc->world.order, "S") < strstr(pc->world.order, "R"), "%s", pc->world.order);
    cr_assert(strstr(pc->world.order, "W") < strstr(pc->world.order, "R"), "%s", pc->world.order);
    cr_assert(strncmp(pc->p->status.token_source, "file ", 5) == 0);
}

Test(platform_start, push_sends_the_url)
{
    static char url[] = "https://agent.example/a2a";

    pc->cfg.platform.delivery = DELIVERY_PUSH;
    pc->cfg.platform.reported_url = url;
    start();
    UNTIL(is_registered);
    cr_assert(strstr(pc->world.last_body[REGISTER],
                     "\"delivery_mode\":\"push\",\"url\":\"https://agent.example/a2a\""),
              "%s", pc->world.last_body[REGISTER]);
    cr_assert_str_eq(pc->p->status.delivery, "push");
}

Test(platform_start, nul_in_the_card_is_left_out)
{
    (void)snprintf(pc->card, sizeof(pc->card), "{\"n\":\"a\\u0000b\\\\u0000\"}");
    start();
    UNTIL(is_registered);
    cr_assert(strstr(pc->world.last_body[REGISTER], "{\"n\":\"ab\\\\u0000\"}"), "%s",
              pc->world.last_body[REGISTER]);
}

Test(platform_start, a_platform_that_answers_again_is_registered_with_before_the_back_off_ends)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "the-token");
    give_token("the-token");
    case_new();
    pc->p->times.backoff_base = pc->p->times.backoff_cap = 600 * 1000;
    case_action(REGISTER, 1, FAKE_RESET);
    platform_start(pc->p);
    UNTIL(is_registered); /* in ten seconds, not ten minutes */
    cr_assert_eq(case_count(REGISTER), 2);
}

Test(platform_start, a_401_at_bootstrap_is_told_once_and_not_tried_again)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "somebody-elses");
    start();
    UNTIL(is_refused);
    cr_assert(strstr(pc->why, "rotate"), "%s", pc->why);
    case_run_ms(200);
    cr_assert_eq(case_count(REGISTER), 1);
    cr_assert_eq(case_count(HEARTBEAT), 0);
    cr_assert_eq(pc->refused, 1);
    cr_assert_eq(pc->spawned, 0);
}

Test(platform_start, after_a_refusal_a_token_that_appears_is_used)
{
    char path[256];

    (void)snprintf(pc->world.token, sizeof(pc->world.token), "given-later");
    start();
    UNTIL(is_refused);
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    case_file(path, "given-later\n", 0600);
    UNTIL(is_registered);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "given-later");
}

Test(platform_start, a_paused_workspace_is_not_registered)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "tok");
    (void)snprintf(pc->world.status, sizeof(pc->world.status), "paused");
    give_token("tok");
    start();
    UNTIL(is_paused);
    UNTIL(is_spawned);
    UNTIL(has_beaten_twice);
    cr_assert_eq(case_count(REGISTER), 0);
}

Test(platform_start, a_paused_row_is_not_registered_without_a_token_either)
{
    (void)snprintf(pc->world.status, sizeof(pc->world.status), "hibernated");
    start();
    UNTIL(is_paused);
    cr_assert_eq(case_count(REGISTER), 0);
}

Test(platform_start, an_unknown_workspace_is_refused_and_never_made_anew)
{
    pc->world.is_purged = true;
    start();
    UNTIL(is_refused);
    cr_assert(strstr(pc->why, "workspace.id"), "%s", pc->why);
    cr_assert_eq(case_count(REGISTER), 0);
    cr_assert_eq(case_count(HEARTBEAT), 0);
    cr_assert_geq(case_count(ROW), 2);
}

Test(platform_start, an_outage_lets_the_agent_start_and_heals_later)
{
    pc->cfg.secrets.start_wait = 80;
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_RESET);
    start();
    UNTIL(is_spawned);
    cr_assert_eq(pc->registered, 0);
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, 0, FAKE_ANSWER);
    UNTIL(is_registered);
    UNTIL(has_secrets);
    cr_assert_eq(pc->spawned, 1);
    cr_assert_eq(pc->first_secrets, 1);
}

Test(platform_start, a_silent_platform_delays_the_agent_by_start_wait_at_most)
{
    pc->cfg.secrets.start_wait = 60;
    for (int k = REGISTER; k < KIND_COUNT; k++)
        case_action((enum kind)k, -1, FAKE_HANG);
    start();
    UNTIL(is_spawned);
    cr_assert_eq(pc->spawned, 1);
}

Test(platform_start, garbage_and_web_pages_are_an_outage)
{
    case_override(ROW, 2, 200, "Content-Type: text/html\r\n", "<html>hello</html>");
    case_override(REGISTER, 2, 200, NULL, "{\"status\":");
    start();
    UNTIL(is_registered);
    cr_assert_geq(pc->p->status.reg.failed_total,
                  2); /* the state activity may have met the others */
}

static bool register_has_failed(void)
{
    return pc->p->status.reg.failed_total > 0;
}

Test(platform_start, without_secrets_wanted_an_unreachable_platform_holds_nobody)
{
    pc->cfg.secrets.mode = SECRETS_OFF;
    case_override(ROW, -1, 502, "Content-Type: text/html\r\n", "<html>bad gateway</html>");
    start();
    UNTIL(register_has_failed);
    cr_assert_eq(pc->spawned, 1);
    cr_assert(strstr(pc->p->status.reg.last_error, "edge"), "%s", pc->p->status.reg.last_error);
}

Test(platform_start, the_explicit_token_wins_and_stays)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "explicit");
    give_token("explicit");
    mkdir(pc->state_dir, 0700);
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    case_file(path, "cached", 0600);
    start();
    UNTIL(is_registered);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "explicit");
    cr_assert_str_eq(pc->p->status.token_source, "environment");
}

Test(platform_start, a_refused_explicit_token_gives_way_to_the_cached_one_once)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "cached");
    give_token("explicit");
    mkdir(pc->state_dir, 0700);
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    case_file(path, "cached", 0600);
    start();
    UNTIL(is_registered);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "cached");
}

Test(platform_start, tokens_in_the_sdks_place_are_found)
{
    char path[256];

    (void)snprintf(pc->world.token, sizeof(pc->world.token), "sdk-token");
    (void)snprintf(path, sizeof(path), "%s/.molecule", pc->dir);
    mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/.molecule/" CASE_ID, pc->dir);
    mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/.molecule/" CASE_ID "/.auth_token", pc->dir);
    case_file(path, "sdk-token\n", 0600);
    start();
    UNTIL(is_registered);
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "sdk-token");
}

Test(platform_start, a_token_file_that_others_can_read_is_not_used)
{
    char path[256];

    mkdir(pc->state_dir, 0700);
    (void)snprintf(path, sizeof(path), "%s/.auth_token", pc->state_dir);
    case_file(path, "open-to-all", 0644);
    start();
    UNTIL(is_registered); /* as bootstrap */
    cr_assert_str_eq(pc->world.last_bearer[REGISTER], "");
}

Test(platform_start, a_wrong_token_is_auth_lost_and_the_agent_runs)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "right");
    give_token("wrong-token-of-somebody-else-12345");
    start();
    UNTIL(is_auth_lost);
    UNTIL(is_spawned);
    cr_assert(strstr(pc->why, "token wrong-to... from"), "%s", pc->why);
    cr_assert_null(strstr(pc->why, "wrong-tok"));
    cr_assert_eq(case_count(REGISTER), 0);
}

Test(platform_start, an_admin_token_is_recognised)
{
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "right");
    give_token("the-admins");
    case_override(ACTIVITY, -1, 200, NULL, "[]");
    start();
    UNTIL(is_auth_lost);
    cr_assert(strstr(pc->why, "MOLECULE_API_KEY"), "%s", pc->why);
}

Test(platform_start, a_mounted_token_file_is_read_again_when_it_changes)
{
    static char file[256];

    (void)snprintf(pc->world.token, sizeof(pc->world.token), "first");
    (void)snprintf(file, sizeof(file), "%s/mounted", pc->dir);
    case_file(file, "first\n", 0644); /* mounts are world-readable: allowed for this one */
    give_token("first");              /* config/ fills it from the file */
    pc->cfg.platform.token_file = file;
    start();
    UNTIL(is_registered);
    fake_lock(pc->fake);
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "second");
    fake_unlock(pc->fake);
    UNTIL(is_auth_lost);
    case_file(file, "second\n", 0644);
    UNTIL(is_active);
    cr_assert_eq(case_count(REGISTER), 1);
}

Test(platform_start, a_register_that_the_platform_delays_is_tried_from_the_top)
{
    case_override(REGISTER, 2, 500, NULL, "{\"error\":\"registration failed\"}");
    start();
    UNTIL(is_registered);
    cr_assert_eq(case_count(REGISTER), 3);
    cr_assert_geq(case_count(ROW), 3);
}

static bool card_was_sent(void)
{
    return case_count(CARD) > 0;
}

Test(platform_start, a_new_card_is_sent_by_update_card)
{
    start();
    UNTIL(is_registered);
    (void)snprintf(pc->card, sizeof(pc->card), "{\"name\":\"new\"}");
    platform_card_changed(pc->p);
    UNTIL(card_was_sent);
    cr_assert_str_eq(pc->world.last_body[CARD],
                     "{\"workspace_id\":\"" CASE_ID "\",\"agent_card\":{\"name\":\"new\"}}");
    cr_assert_eq(case_count(REGISTER), 1);
}

Test(platform_start, an_old_servers_answer_without_a_mode_is_accepted)
{
    pc->world.omits_mode = true;
    start();
    UNTIL(is_registered);
    cr_assert(pc->p->reg.mode_warned);
}

Test(platform_start, a_platform_that_is_off_lets_the_agent_start_at_once)
{
    pc->cfg.platform.enabled = false;
    start();
    UNTIL(is_spawned);
    cr_assert_eq(case_count(ROW), 0);
}

Test(platform_start, each_cell_of_the_register_table_that_can_happen_is_filled)
{
    static const enum register_event always[] = {REGISTER_WANTED,  REGISTER_NEW_CARD,
                                                 REGISTER_CLEAR,   REGISTER_BAR,
                                                 REGISTER_REVOKED, REGISTER_TOKEN};

    for (int s = 0; s < REGISTER_STEP_COUNT; s++) {
        for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
            cr_assert(register_is_defined((enum register_step)s, always[i]), "step %d", s);
        cr_assert_eq(register_is_defined((enum register_step)s, REGISTER_TIMER),
                     s == REGISTER_WAITING);
    }
}
