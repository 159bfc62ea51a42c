/* Handing over and what follows from the agent's answers, against an agent that is a function. */
#include "base/clock.h"
#include "support/delivery_case.h"

#include <unistd.h>

static struct delivery_case d; /* its lists are long: not on the stack */

static bool has_call(struct delivery_case *c)
{
    return !list_is_empty(&c->calls);
}

static struct port_call *first_call(void)
{
    struct list *first = list_first(&d.calls);

    cr_assert(first);
    return container_of(first, struct port_call, node);
}

static void begin(void)
{
    case_begin(&d);
    queue_refill(&d.in);
}

/* ---- the plain case ---- */

Test(deliver, a_message_is_delivered_committed_and_its_answer_sent)
{
    begin();
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 1);
    cr_assert_str_eq(d.answers[0], "re: hi");
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(queue_in_work(&d.in), 0);
    cr_assert_eq(d.in.status.delivered, 1);
    case_end(&d);
}

static bool has_pending_write(struct delivery_case *c)
{
    return !list_is_empty(&c->in.journal->ops);
}

Test(deliver, nothing_is_sent_before_its_commit)
{
    char text[512];

    begin();
    d.is_manual = true;
    case_put(&d, "a", "hi");
    case_run_until(&d, has_call);
    d.in.journal->is_stuck = true; /* the disk is full */
    case_said(text, sizeof(text), "done");
    case_reply(&d, first_call(), PORT_ANSWERED, 200, text);
    case_run_until(&d, has_pending_write);
    cr_assert_eq(d.answer_count, 0);
    fake_let_go(d.in.journal);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 1);
    case_end(&d);
}

static enum port_outcome says_nothing(struct delivery_case *c, struct port_call *call, char *ret,
                                      size_t cap, int *status)
{
    (void)c, (void)call, (void)status;
    case_said(ret, cap, " ");
    return PORT_ANSWERED;
}

Test(deliver, a_message_waits_a_little_for_its_file)
{
    begin();
    awaited_times = 2;
    case_put(&d, "a", "look at this");
    case_run_all(&d);
    cr_assert_eq(awaited_times, 0);
    cr_assert_eq(d.call_count, 1);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    cr_assert_eq(case_row(&d, 1)->attempts, 0, "that is no failure");
    case_end(&d);
}

/* The file with all messages is set aside while the agent has one: nothing of it is lost. */
Test(deliver, a_journal_begun_anew_is_given_back_what_is_in_memory)
{
    char text[512];

    begin();
    d.is_manual = true;
    case_put(&d, "a", "one");
    case_put(&d, "b", "two");
    case_run_until(&d, has_call);
    fake_lose(d.in.journal);
    d.is_manual = false;
    case_said(text, sizeof(text), "done");
    case_reply(&d, first_call(), PORT_ANSWERED, 200, text);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 2);
    cr_assert_eq(d.in.journal->restores, 2);
    cr_assert_eq(d.call_count, 2, "each was delivered once");
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    case_end(&d);
}

static bool is_answered_late(struct delivery_case *c)
{
    return case_row(c, 1)->state == JOURNAL_ANSWERED;
}

/* The last commit of a message meets the new file: it is not forgotten before it is in there. */
Test(deliver, the_end_of_a_message_is_written_into_a_journal_begun_anew)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "one");
    case_run_until(&d, has_call);
    fake_lose(d.in.journal);
    case_reply(&d, first_call(), PORT_ANSWERED, 200,
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\",\"parts\":[]}}");
    case_run_until(&d, is_answered_late);
    cr_assert_eq(d.in.journal->restores, 1);
    case_end(&d);
}

Test(deliver, an_empty_answer_is_an_answer)
{
    begin();
    d.play = says_nothing;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    cr_assert(strstr(case_row(&d, 1)->why, "nothing to say"));
    cr_assert_eq(d.answer_count, 0);
    case_end(&d);
}

Test(deliver, a_message_without_content_is_skipped_and_one_that_is_no_json_is_dead)
{
    begin();
    case_put(&d, "a", "");
    struct journal_message *bad = fake_journal_add(d.in.journal, "b", "x");
    struct journal_message copy;
    free(bad->request);
    bad->request = strdup("no json");
    (void)journal_message_copy(bad, &copy);
    queue_put(&d.in, &copy);
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_SKIPPED);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_DEAD);
    cr_assert_eq(d.call_count, 0);
    case_end(&d);
}

/* ---- gates ---- */

static bool has_waited(struct delivery_case *c)
{
    return c->in.journal->ops.next == &c->in.journal->ops && loop_turns(c->loop) > 20;
}

Test(deliver, nothing_goes_while_a_gate_is_shut)
{
    bool *gates[] = {&d.in.is_held, &d.in.is_draining, &d.in.is_agent_ready, &d.in.is_started};

    begin();
    case_put(&d, "a", "hi");
    for (size_t i = 0; i < 4; i++) {
        *gates[i] = i < 2;
        deliver_pump(&d.in);
        case_run_until(&d, has_waited);
        cr_assert_eq(d.call_count, 0);
        *gates[i] = i >= 2;
    }
    deliver_pump(&d.in);
    case_run_all(&d);
    cr_assert_eq(d.call_count, 1);
    case_end(&d);
}

static bool is_at_agent_4(struct delivery_case *c)
{
    return c->at_once >= 4;
}

Test(deliver, concurrency_is_a_limit_that_can_change)
{
    char name[8];

    begin();
    d.is_manual = true;
    d.cfg.inbox.concurrency = 4;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i);
        case_put(&d, name, "x");
    }
    case_run_until(&d, is_at_agent_4);
    case_run_until(&d, has_waited);
    cr_assert_eq(d.at_once, 4);
    d.cfg.inbox.concurrency = 1;
    d.is_manual = false;
    timer_start(&d.agent, d.loop, loop_now_ms(d.loop), case_play, &d);
    d.at_once_max = 4;
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 10);
    cr_assert_eq(d.at_once_max, 4);
    case_end(&d);
}

/* ---- failures ---- */

static enum port_outcome fails_twice(struct delivery_case *c, struct port_call *call, char *ret,
                                     size_t cap, int *status)
{
    (void)c, (void)status;
    if (call->n <= 2)
        (void)snprintf(ret, cap,
                       "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,"
                       "\"message\":\"boom\"}}");
    return PORT_ANSWERED;
}

Test(deliver, a_failed_answer_is_counted_and_tried_again_with_the_same_bytes)
{
    begin();
    d.play = fails_twice;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert_str_eq(d.bodies[0], d.bodies[1]);
    cr_assert_str_eq(d.bodies[0], d.bodies[2]);
    cr_assert_eq(case_row(&d, 1)->attempts, 2);
    cr_assert_eq(d.in.status.retried, 2);
    cr_assert_str_eq(d.answers[0], "re: hi");
    case_end(&d);
}

static enum port_outcome always_fails(struct delivery_case *c, struct port_call *call, char *ret,
                                      size_t cap, int *status)
{
    (void)c;
    if (strcmp(case_text(call), "bad") == 0) {
        *status = 500;
        (void)snprintf(ret, cap, "oops");
    }
    return PORT_ANSWERED;
}

static enum port_outcome fails_in_words(struct delivery_case *c, struct port_call *call, char *ret,
                                        size_t cap, int *status)
{
    (void)c, (void)call, (void)status;
    (void)snprintf(ret, cap, "{\"error\":{\"code\":-32603,\"message\":\"the password is 1234\"}}");
    return PORT_ANSWERED;
}

Test(deliver, the_words_of_an_error_are_in_the_journal_and_not_in_the_log)
{
    char log[4096] = "";
    FILE *file = tmpfile();
    int stderr_fd = dup(STDERR_FILENO);

    cr_assert(file && stderr_fd >= 0);
    cr_assert(dup2(fileno(file), STDERR_FILENO) >= 0);
    begin();
    d.play = fails_in_words;
    d.cfg.inbox.max_attempts = 2;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert(dup2(stderr_fd, STDERR_FILENO) >= 0);
    rewind(file);
    log[fread(log, 1, sizeof(log) - 1, file)] = '\0';
    cr_assert(strstr(case_row(&d, 1)->why, "the password"), "%s", case_row(&d, 1)->why);
    cr_assert(strstr(log, "error -32603"), "%s", log);
    cr_assert_null(strstr(log, "password"), "%s", log);
    case_end(&d);
    (void)fclose(file);
    (void)close(stderr_fd);
}

Test(deliver, after_max_attempts_it_is_a_dead_letter_and_its_conversation_goes_on)
{
    begin();
    d.play = always_fails;
    d.cfg.inbox.max_attempts = 3;
    case_put(&d, "a", "bad");
    case_put(&d, "a", "good");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 4);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert_eq(case_row(&d, 1)->attempts, 3);
    cr_assert(strstr(case_row(&d, 1)->why, "status 500"), "%s", case_row(&d, 1)->why);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_ANSWERED);
    cr_assert_eq(d.in.status.dead, 1);
    case_end(&d);
}

static enum port_outcome refuses(struct delivery_case *c, struct port_call *call, char *ret,
                                 size_t cap, int *status)
{
    (void)c, (void)call, (void)status;
    (void)snprintf(ret, cap, "{\"error\":{\"code\":-32602,\"message\":\"no such part\"}}");
    return PORT_ANSWERED;
}

Test(deliver, a_refused_request_is_dead_at_once)
{
    begin();
    d.play = refuses;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 1);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert_eq(case_row(&d, 1)->attempts, 1);
    case_end(&d);
}

static enum port_outcome loses(struct delivery_case *c, struct port_call *call, char *ret,
                               size_t cap, int *status)
{
    (void)c, (void)ret, (void)cap, (void)status;
    return strcmp(case_text(call), "poison") == 0 ? PORT_LOST : PORT_ANSWERED;
}

static bool has_one_call(struct delivery_case *c)
{
    return c->at_once == 1;
}

Test(deliver, deaths_are_counted_apart_and_end_somewhere)
{
    begin();
    d.play = loses;
    case_put(&d, "a", "poison");
    case_put(&d, "b", "hi");
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert_eq(case_row(&d, 1)->deaths, DELIVER_DEATHS_MAX);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_ANSWERED);
    cr_assert_eq(d.answered_seq[0], 2, "b did not wait for the end of a");
    case_end(&d);
}

static bool is_uncounted(struct delivery_case *c)
{
    return case_row(c, 1)->deaths == 0 && c->at_once == 0;
}

static bool is_counted_dead(struct delivery_case *c)
{
    return case_row(c, 1)->state == JOURNAL_DEAD;
}

/* A message that the sidecar dies of: the first run does not know yet. */
Test(deliver, our_own_deaths_end_somewhere_too)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "poison");
    case_put(&d, "a", "hi");
    case_run_until(&d, has_one_call);
    cr_assert_eq(case_row(&d, 1)->deaths, 0, "no commit before a delivery that is the first");
    for (unsigned k = 1; k <= DELIVER_DEATHS_MAX; k++) {
        case_restart(&d);
        case_run_until(&d, has_one_call);
        cr_assert_eq(case_row(&d, 1)->deaths, k);
    }
    case_restart(&d);
    case_run_until(&d, is_counted_dead);
    cr_assert(strstr(case_row(&d, 1)->why, "20 times"), "%s", case_row(&d, 1)->why);
    cr_assert_leq(d.call_count, DELIVER_DEATHS_MAX + 2U, "and once the other one");
    case_end(&d);
}

static enum port_outcome lost_failed_unreached(struct delivery_case *c, struct port_call *call,
                                               char *ret, size_t cap, int *status)
{
    (void)c, (void)cap;
    *status = call->n == 3 ? 500 : 200;
    if (call->n == 3)
        ret[0] = '\0';
    return call->n == 2 ? PORT_LOST : call->n == 4 ? PORT_NOT_REACHED : PORT_ANSWERED;
}

Test(deliver, what_did_not_kill_us_is_not_counted)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "hi");
    case_run_until(&d, has_one_call);
    d.is_manual = false;
    d.play = lost_failed_unreached;
    case_restart(&d);
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_ANSWERED);
    cr_assert_eq(d.call_count, 5);
    cr_assert_eq(case_row(&d, 1)->deaths, 1, "the agent's");
    cr_assert_eq(case_row(&d, 1)->attempts, 1);
    case_end(&d);
}

Test(deliver, what_waits_at_our_end_was_not_in_hand)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "hi");
    case_run_until(&d, has_one_call);
    case_restart(&d);
    case_run_until(&d, has_one_call);
    cr_assert_eq(case_row(&d, 1)->deaths, 1);
    d.in.is_agent_ready = false;
    case_reply(&d, container_of(list_first(&d.calls), struct port_call, node), PORT_NOT_REACHED, 0,
               "");
    case_run_until(&d, is_uncounted);
    case_end(&d);
}

Test(deliver, what_our_own_stop_cuts_off_is_no_death)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "hi");
    case_run_until(&d, has_one_call);
    d.in.is_draining = true;
    case_reply(&d, container_of(list_first(&d.calls), struct port_call, node), PORT_LOST, 0, "");
    cr_assert_eq(case_row(&d, 1)->deaths, 0);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_SEEN);
    cr_assert_eq(d.in.status.retried, 0);
    case_end(&d);
}

static enum port_outcome unreached_thrice(struct delivery_case *c, struct port_call *call,
                                          char *ret, size_t cap, int *status)
{
    (void)c, (void)ret, (void)cap, (void)status;
    return call->n <= 3 ? PORT_NOT_REACHED : PORT_ANSWERED;
}

Test(deliver, nobody_there_counts_for_nothing)
{
    begin();
    d.play = unreached_thrice;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 4);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_eq(case_row(&d, 1)->deaths, 0);
    cr_assert_eq(d.in.status.retried, 0);
    case_end(&d);
}

static enum port_outcome too_late(struct delivery_case *c, struct port_call *call, char *ret,
                                  size_t cap, int *status)
{
    (void)c, (void)ret, (void)cap, (void)status;
    return call->n == 1 ? PORT_TIMED_OUT : call->n == 2 ? PORT_UNREADABLE : PORT_ANSWERED;
}

Test(deliver, no_answer_in_time_and_garbage_are_failed_answers)
{
    begin();
    d.play = too_late;
    d.cfg.forward.response_timeout = 1234;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->attempts, 2);
    cr_assert_eq(case_row(&d, 1)->deaths, 0);
    case_end(&d);
}

/* ---- conversations ---- */

static enum port_outcome asks_first(struct delivery_case *c, struct port_call *call, char *ret,
                                    size_t cap, int *status)
{
    (void)c, (void)status;
    case_task(ret, cap, call->n == 1 ? "input-required" : "completed",
              call->n == 1 ? "which?" : "thanks");
    return PORT_ANSWERED;
}

Test(deliver, the_next_message_goes_to_the_task_that_asked_and_ends_it)
{
    begin();
    d.play = asks_first;
    case_put(&d, "a", "one");
    case_put(&d, "b", "other");
    case_run_all(&d);
    cr_assert_str_eq(fake_talk(d.in.journal, "a", false)->task_id, "T1");
    cr_assert_str_eq(fake_talk(d.in.journal, "a", false)->context_id, "C1");
    case_put(&d, "a", "two");
    case_run_all(&d);
    cr_assert_str_eq(d.answers[0], "which?");
    cr_assert_str_eq(d.answers[2], "thanks");
    cr_assert(strstr(d.bodies[2], "\"contextId\":\"C1\",\"taskId\":\"T1\""), "%s", d.bodies[2]);
    cr_assert(strstr(d.bodies[1], "taskId") == NULL, "b is another conversation");
    cr_assert_str_eq(fake_talk(d.in.journal, "a", false)->task_id, "");
    case_put(&d, "a", "three");
    case_run_all(&d);
    cr_assert(strstr(d.bodies[3], "taskId") == NULL);
    cr_assert(strstr(d.bodies[3], "\"contextId\":\"C1\""));
    case_end(&d);
}

static enum port_outcome has_forgotten(struct delivery_case *c, struct port_call *call, char *ret,
                                       size_t cap, int *status)
{
    (void)c, (void)status;
    if (call->n == 1)
        case_task(ret, cap, "input-required", "which?");
    else if (strstr(call->body, "taskId"))
        (void)snprintf(ret, cap, "{\"error\":{\"code\":-32001,\"message\":\"Task not found\"}}");
    return PORT_ANSWERED;
}

Test(deliver, a_task_the_agent_has_forgotten_is_left_out_and_counts_for_nothing)
{
    begin();
    d.play = has_forgotten;
    case_put(&d, "a", "one");
    case_put(&d, "a", "two");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert(strstr(d.bodies[1], "\"taskId\":\"T1\""));
    cr_assert(strstr(d.bodies[2], "taskId") == NULL);
    cr_assert_eq(case_row(&d, 2)->attempts, 0);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_ANSWERED);
    case_end(&d);
}

static enum port_outcome knows_no_context(struct delivery_case *c, struct port_call *call,
                                          char *ret, size_t cap, int *status)
{
    (void)c, (void)status;
    if (call->n == 1)
        case_task(ret, cap, "completed", "one");
    else if (strstr(call->body, "contextId"))
        (void)snprintf(ret, cap, "{\"error\":{\"code\":-32602,\"message\":\"no context\"}}");
    return PORT_ANSWERED;
}

Test(deliver, a_context_the_agent_has_forgotten_is_left_out_before_giving_up)
{
    begin();
    d.play = knows_no_context;
    case_put(&d, "a", "one");
    case_put(&d, "a", "two");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert(strstr(d.bodies[1], "\"contextId\":\"C1\""));
    cr_assert(strstr(d.bodies[2], "contextId") == NULL);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_ANSWERED);
    cr_assert_eq(case_row(&d, 2)->attempts, 0);
    case_end(&d);
}

/* ---- versions ---- */

static bool speaks(void *arg)
{
    return *(bool *)arg;
}

static enum port_outcome only_1_0(struct delivery_case *c, struct port_call *call, char *ret,
                                  size_t cap, int *status)
{
    (void)c, (void)status;
    if (strcmp(call->version, "1.0") != 0)
        (void)snprintf(ret, cap, "{\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}");
    else
        (void)snprintf(ret, cap,
                       "{\"result\":{\"message\":{\"role\":\"ROLE_AGENT\",\"parts\":[{"
                       "\"text\":\"one point o\"}]}}}");
    return PORT_ANSWERED;
}

Test(deliver, the_card_says_which_version_is_spoken)
{
    bool says = true;

    begin();
    d.play = only_1_0;
    d.in.cb.agent_speaks_1_0 = speaks;
    d.in.arg = &says;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 1);
    cr_assert(strstr(d.bodies[0], "SendMessage"));
    cr_assert_str_eq(d.answers[0], "one point o");
    case_end(&d);
}

Test(deliver, an_agent_that_knows_the_other_version_only_is_found_out_once)
{
    begin();
    d.play = only_1_0;
    case_put(&d, "a", "hi");
    case_put(&d, "a", "ho");
    case_run_all(&d);
    cr_assert_eq(d.call_count, 3);
    cr_assert_eq(case_row(&d, 1)->attempts, 0);
    cr_assert_str_eq(d.answers[1], "one point o");
    case_end(&d);
}

static enum port_outcome knows_nothing(struct delivery_case *c, struct port_call *call, char *ret,
                                       size_t cap, int *status)
{
    (void)c, (void)call, (void)status;
    (void)snprintf(ret, cap, "{\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}");
    return PORT_ANSWERED;
}

Test(deliver, an_agent_that_knows_neither_fails)
{
    begin();
    d.play = knows_nothing;
    case_put(&d, "a", "hi");
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_DEAD);
    cr_assert_eq(case_row(&d, 1)->attempts, 5);
    cr_assert_eq(d.call_count, 6);
    case_end(&d);
}

/* ---- ends ---- */

Test(deliver, the_end_cancels_and_the_next_run_delivers_again)
{
    begin();
    d.is_manual = true;
    case_put(&d, "a", "hi");
    case_run_until(&d, has_call);
    case_restart(&d);
    cr_assert_eq(d.cancelled, 1);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_SEEN);
    d.is_manual = false;
    case_run_all(&d);
    cr_assert_eq(d.call_count, 2);
    cr_assert_str_eq(d.bodies[0], d.bodies[1]);
    case_end(&d);
}

Test(deliver, a_run_goes_on_from_every_journaled_state)
{
    struct journal_message *m;

    case_begin(&d);
    m = fake_journal_add(d.in.journal, "a", "x"); /* answered, not sent */
    m->state = JOURNAL_DELIVERED;
    m->answer = strdup("from before");
    (void)fake_journal_add(d.in.journal, "a", "next");
    m = fake_journal_add(d.in.journal, "b", "x"); /* in the middle of sending */
    m->state = JOURNAL_ANSWERING;
    m->answer = strdup("half sent");
    m = fake_journal_add(d.in.journal, "c", "x"); /* its task goes on */
    m->state = JOURNAL_DELIVERED;
    m->task_id = strdup("T1");
    m = fake_journal_add(d.in.journal, "d", "x"); /* neither: nobody knows */
    m->state = JOURNAL_DELIVERED;
    m = fake_journal_add(d.in.journal, "e", "x"); /* waits for its time */
    m->due_ms = clock_wall_ms() + 50;
    m->attempts = 2;
    queue_refill(&d.in);
    case_run_all(&d);
    cr_assert_str_eq(d.answers[0], "from before");
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_ANSWERED);
    cr_assert_eq(d.recovered, 1);
    cr_assert_eq(case_row(&d, 3)->state, JOURNAL_PARKED);
    cr_assert_eq(case_row(&d, 4)->state, JOURNAL_ANSWERED);
    cr_assert_eq(case_row(&d, 5)->state, JOURNAL_DEAD);
    cr_assert_eq(case_row(&d, 6)->state, JOURNAL_ANSWERED);
    case_end(&d);
}
