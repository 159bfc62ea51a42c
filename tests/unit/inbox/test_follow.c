/* Tasks that go on: looked at until they end, need somebody, are forgotten, or last too long. */
#include "base/clock.h"
#include "support/delivery_case.h"

static struct delivery_case d;

static bool is_look(const struct port_call *c)
{
    return strstr(c->body, "tasks/get") || strstr(c->body, "GetTask");
}

static unsigned looks;

static void begin(void)
{
    looks = 0;
    case_begin(&d);
    queue_refill(&d.in);
}

static enum port_outcome works_for_two_looks(struct delivery_case *c, struct port_call *call,
                                             char *ret, size_t cap, int *status)
{
    (void)c, (void)status;
    if (is_look(call))
        looks++;
    case_task(ret, cap, looks < 2 ? "working" : "completed", looks < 2 ? "" : "at last");
    return PORT_ANSWERED;
}

Test(follow, a_task_is_looked_at_until_it_has_ended)
{
    begin();
    d.play = works_for_two_looks;
    case_put(&d, "a", "go");
    case_run_all(&d);
    cr_assert_eq(looks, 2);
    cr_assert_str_eq(d.answers[0], "at last");
    cr_assert(strstr(d.bodies[1], "\"method\":\"tasks/get\",\"params\":{\"id\":\"T1\"}"));
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    case_end(&d);
}

static bool is_followed(struct delivery_case *c)
{
    return c->in.journal->rows[0].state == JOURNAL_DELIVERED;
}

static bool waits_again(struct delivery_case *c)
{
    return c->in.journal->rows[0].state == JOURNAL_SEEN;
}

static bool has_answer_2(struct delivery_case *c)
{
    return c->answer_count > 0 && c->answered_seq[0] == 2;
}

static enum port_outcome works_on_long(struct delivery_case *c, struct port_call *call, char *ret,
                                       size_t cap, int *status)
{
    (void)c, (void)status;
    if (is_look(call) || strcmp(case_text(call), "long") == 0)
        case_task(ret, cap, "working", "");
    return PORT_ANSWERED;
}

Test(follow, a_followed_task_takes_no_place_at_the_agent)
{
    begin();
    d.play = works_on_long;
    case_put(&d, "a", "long");
    case_put(&d, "b", "short");
    case_run_until(&d, has_answer_2);
    cr_assert_eq(queue_in_work(&d.in), 1);
    case_end(&d);
}

Test(follow, across_a_restart_it_goes_on)
{
    begin();
    d.play = works_for_two_looks;
    case_put(&d, "a", "go");
    case_run_until(&d, is_followed);
    case_restart(&d);
    case_run_all(&d);
    cr_assert_str_eq(d.answers[0], "at last");
    cr_assert_eq(d.call_count, 1 + looks, "delivered once");
    case_end(&d);
}

static enum port_outcome asks_in_the_end(struct delivery_case *c, struct port_call *call, char *ret,
                                         size_t cap, int *status)
{
    (void)c, (void)status;
    case_task(ret, cap, is_look(call) ? "input-required" : "working", "which?");
    return PORT_ANSWERED;
}

Test(follow, a_task_that_asks_is_open_for_the_next_message)
{
    begin();
    d.play = asks_in_the_end;
    case_put(&d, "a", "go");
    case_run_all(&d);
    cr_assert_str_eq(d.answers[0], "which?");
    cr_assert_str_eq(fake_talk(d.in.journal, "a", false)->task_id, "T1");
    case_end(&d);
}

static enum port_outcome forgets(struct delivery_case *c, struct port_call *call, char *ret,
                                 size_t cap, int *status)
{
    (void)c, (void)status;
    if (is_look(call))
        (void)snprintf(ret, cap, "{\"error\":{\"code\":-32001,\"message\":\"Task not found\"}}");
    else if (call->n == 1)
        case_task(ret, cap, "working", "");
    return PORT_ANSWERED;
}

Test(follow, a_task_that_the_agent_has_forgotten_is_begun_anew_under_the_same_name)
{
    begin();
    d.play = forgets;
    case_put(&d, "a", "go");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert_eq(case_row(&d, 1)->attempts, 1);
    cr_assert(strstr(d.bodies[2], "\"messageId\":\"m1\""));
    cr_assert(strstr(d.bodies[2], "message/send"));
    cr_assert_str_eq(d.answers[0], "re: go");
    case_end(&d);
}

/* Somebody else's poison may do that more often than a message may fail. */
Test(follow, a_task_that_was_lost_with_the_agent_is_no_failed_attempt)
{
    begin();
    d.play = forgets;
    case_put(&d, "a", "go");
    case_run_until(&d, is_followed);
    d.in.losses++;
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 1)->deaths, 1);
    cr_assert_str_eq(d.answers[0], "re: go");
    case_end(&d);
}

Test(follow, nor_is_one_that_was_lost_with_us)
{
    begin();
    d.play = forgets;
    case_put(&d, "a", "go");
    case_run_until(&d, is_followed);
    case_restart(&d);
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 1)->deaths, 1);
    case_end(&d);
}

Test(follow, a_task_that_is_forgotten_at_our_end_counts_for_nothing)
{
    begin();
    d.play = forgets;
    case_put(&d, "a", "go");
    case_run_until(&d, is_followed);
    d.in.losses++;
    d.in.is_draining = true;
    case_run_until(&d, waits_again);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 1)->deaths, 0);
    d.in.is_draining = false;
    deliver_pump(&d.in);
    case_run_all(&d);
    cr_assert_str_eq(d.answers[0], "re: go");
    case_end(&d);
}

static enum port_outcome is_away(struct delivery_case *c, struct port_call *call, char *ret,
                                 size_t cap, int *status)
{
    (void)c;
    if (!is_look(call)) {
        case_task(ret, cap, "working", "");
        return PORT_ANSWERED;
    }
    looks++;
    if (looks == 1)
        return PORT_NOT_REACHED;
    if (looks == 2)
        *status = 500;
    else
        case_task(ret, cap, "completed", "back");
    return PORT_ANSWERED;
}

Test(follow, an_agent_that_is_away_or_fails_to_say_is_asked_again)
{
    begin();
    d.play = is_away;
    case_put(&d, "a", "go");
    case_run_all(&d);
    cr_assert_eq(looks, 3);
    cr_assert_str_eq(d.answers[0], "back");
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 1)->deaths, 0);
    case_end(&d);
}

Test(follow, one_that_lasts_too_long_is_a_dead_letter)
{
    begin();
    d.play = works_on_long;
    d.cfg.inbox.task_timeout = 300;
    case_put(&d, "a", "long");
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert(strstr(case_row(&d, 1)->why, "inbox.task_timeout"), "%s", case_row(&d, 1)->why);
    case_end(&d);
}

Test(follow, the_time_of_an_earlier_run_counts)
{
    struct journal_message *m;

    case_begin(&d);
    m = fake_journal_add(d.in.journal, "a", "x");
    m->state = JOURNAL_DELIVERED;
    m->task_id = strdup("T1");
    m->changed_ms = clock_wall_ms() - 2 * 3600000;
    queue_refill(&d.in);
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert_eq(d.call_count, 0);
    case_end(&d);
}
