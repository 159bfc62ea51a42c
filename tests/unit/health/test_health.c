/* The four questions in the states of design section 6. */
#include "base/cleanup.h"
#include "health/health.h"

#include <criterion/criterion.h>
#include <string.h>

static struct health_facts healthy(void)
{
    return (struct health_facts){.is_bound = true,
                                 .has_child = true,
                                 .child_was_spawned = true,
                                 .secrets_are_settled = true,
                                 .agent_is_probed = true,
                                 .agent_answers = true,
                                 .agent_reason = "",
                                 .state = "running",
                                 .is_running = true,
                                 .platform_is_enabled = true,
                                 .is_registered = true,
                                 .platform_reason = ""};
}

static void expect(const struct health_facts *f, bool started, bool ready, bool live, bool agent)
{
    const bool want[] = {started, ready, live, agent};

    for (int q = 0; q < HEALTH_QUESTION_COUNT; q++) {
        CLEANUP(str_release) struct str json = {0};

        cr_assert_eq(health_answer(f, (enum health_question)q, false, &json), want[q],
                     "question %d: %s", q, str_z(&json));
    }
}

Test(health, all_is_well)
{
    struct health_facts f = healthy();

    expect(&f, true, true, true, true);
}

Test(health, starting_is_started_and_live_but_not_ready)
{
    struct health_facts f = healthy();

    f.agent_answers = false;
    f.is_running = false;
    f.state = "starting";
    expect(&f, true, false, true, false);
}

Test(health, waiting_for_secrets_is_not_started)
{
    struct health_facts f = healthy();

    f.secrets_are_settled = false;
    f.child_was_spawned = false;
    f.agent_answers = false;
    f.is_running = false;
    expect(&f, false, false, true, false);
}

Test(health, held_and_draining_are_live_and_not_ready)
{
    struct health_facts f = healthy();

    f.is_running = false;
    f.state = "held";
    expect(&f, true, false, true, true);
    f.state = "draining";
    expect(&f, true, false, true, true);
}

Test(health, an_agent_lost_for_good_is_not_live)
{
    struct health_facts f = healthy();

    f.child_is_lost = true;
    f.agent_answers = false;
    expect(&f, true, false, false, false);
}

Test(health, registration_counts_only_when_it_is_required)
{
    struct health_facts f = healthy();

    f.is_registered = false;
    f.platform_reason = "cannot resolve platform.example";
    expect(&f, true, true, true, true);
    f.registration_is_required = true;
    expect(&f, true, false, true, true);
}

Test(health, a_disk_that_refuses_the_journal_is_told_and_keeps_nobody_away)
{
    struct health_facts f = healthy();
    CLEANUP(str_release) struct str json = {0};

    f.journal_problem = "the disk is full";
    expect(&f, true, true, true, true);
    (void)health_answer(&f, HEALTH_READY, true, &json);
    cr_assert_not_null(strstr(str_z(&json), "{\"name\":\"journal\",\"ok\":false,\"counts\":false,"
                                            "\"reason\":\"the disk is full\"}"),
                       "%s", str_z(&json));
}

Test(health, reasons_are_json_and_verbose_lists_every_check)
{
    CLEANUP(str_release) struct str json = {0};
    struct health_facts f = healthy();

    f.agent_answers = false;
    f.agent_reason = "said \"no\"\n";
    cr_assert_not(health_answer(&f, HEALTH_READY, true, &json));
    cr_assert_not_null(strstr(str_z(&json), "agent_answers: said \\\"no\\\"\\n"), "%s",
                       str_z(&json));
    cr_assert_not_null(
        strstr(str_z(&json), "\"name\":\"registration\",\"ok\":true,\"counts\":false"), "%s",
        str_z(&json));
}
