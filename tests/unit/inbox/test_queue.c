/* Which message is next: order within a conversation, turns between them, and a window that is
 * smaller than what waits. */
#include "base/clock.h"
#include "support/delivery_case.h"

#include "inbox/window.h"

static struct delivery_case d;

static bool has_call_at_agent(struct delivery_case *c)
{
    return !list_is_empty(&c->calls);
}

static void begin(void)
{
    case_begin(&d);
    queue_refill(&d.in);
}

/* Per conversation, answers came in the order of the rows, each once. */
static void check_order(void)
{
    int64_t last[64] = {0};

    for (unsigned n = 0; n < d.answer_count; n++) {
        const struct journal_message *m = case_row(&d, d.answered_seq[n]);
        unsigned c =
            (unsigned)(m->conversation[0] - '0') * 8 + (unsigned)(m->conversation[1] - '0');

        cr_assert(last[c] < m->seq, "conversation %s: %lld after %lld", m->conversation,
                  (long long)m->seq, (long long)last[c]);
        last[c] = m->seq;
    }
}

static const char *name_of(unsigned n)
{
    static char name[8];

    (void)snprintf(name, sizeof(name), "%u%u", n / 8 % 8, n % 8);
    return name;
}

Test(queue, order_is_kept_within_each_conversation_under_concurrency)
{
    begin();
    d.cfg.inbox.concurrency = 8;
    for (unsigned n = 0; n < 400; n++)
        case_put(&d, name_of((unsigned)random_between(0, 10)), "x");
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 400);
    check_order();
    case_end(&d);
}

static bool is_busy(struct delivery_case *c)
{
    return c->at_once == 2;
}

Test(queue, one_conversation_has_one_message_in_work_until_it_is_final)
{
    char text[512];

    begin();
    d.is_manual = true;
    d.keeps_answers = true; /* the platform does not take them */
    d.cfg.inbox.concurrency = 8;
    case_put(&d, "00", "a");
    case_put(&d, "00", "b");
    case_put(&d, "01", "c");
    case_run_until(&d, is_busy);
    case_said(text, sizeof(text), "done");
    case_reply(&d, container_of(list_first(&d.calls), struct port_call, node), PORT_ANSWERED, 200,
               text);
    for (int i = 0; i < 50; i++)
        deliver_pump(&d.in);
    cr_assert_eq(d.call_count, 2, "b waits until a's answer has gone");
    cr_assert_eq(queue_in_work(&d.in), 2);
    case_end(&d);
}

Test(queue, conversations_take_turns)
{
    begin();
    for (unsigned n = 0; n < 20; n++)
        case_put(&d, "00", "much");
    case_put(&d, "01", "little");
    case_run_all(&d);
    cr_assert(d.answered_seq[0] == 21 || d.answered_seq[1] == 21 || d.answered_seq[2] == 21,
              "the one message of 01 does not wait for all of 00");
    case_end(&d);
}

static enum port_outcome stuck_one(struct delivery_case *c, struct port_call *call, char *ret,
                                   size_t cap, int *status)
{
    (void)c, (void)ret, (void)cap;
    if (strcmp(case_text(call), "stuck") == 0)
        *status = 500;
    return PORT_ANSWERED;
}

static bool has_30_answers(struct delivery_case *c)
{
    return c->answer_count == 30;
}

Test(queue, one_that_is_tried_again_holds_up_nobody_else)
{
    struct journal_message copy;

    begin();
    d.play = stuck_one;
    d.cfg.inbox.retry_max = 3600000;
    fake_journal_add(d.in.journal, "00", "stuck")->attempts = 3; /* so that it waits for long */
    (void)journal_message_copy(case_row(&d, 1), &copy);
    d.in.first_seq = copy.seq;
    queue_put(&d.in, &copy);
    case_put(&d, "00", "behind");
    for (unsigned n = 0; n < 30; n++)
        case_put(&d, name_of(1 + n % 5), "x");
    case_run_until(&d, has_30_answers);
    cr_assert_eq(case_row(&d, 1)->state, JOURNAL_SEEN);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_SEEN);
    cr_assert(case_row(&d, 1)->due_ms > clock_wall_ms());
    case_end(&d);
}

Test(queue, a_conversation_longer_than_the_window_is_read_again_and_again)
{
    begin();
    for (unsigned n = 0; n < 3000; n++)
        case_put(&d, n % 10 == 0 ? "01" : "00", "x");
    cr_assert(d.in.queue->messages <= (size_t)2 * QUEUE_PER_CONVERSATION);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 3000);
    check_order();
    cr_assert_eq(d.call_count, 3000, "each once");
    cr_assert_not(d.in.queue->is_behind);
    case_end(&d);
}

/* As behind 16 MiB of texts: nothing may be taken for the end but an empty page. */
Test(queue, a_page_that_ends_early_is_not_the_last)
{
    begin();
    d.in.journal->page_max = 7;
    d.is_manual = true; /* what is put waits in the journal: the window is read anew below */
    for (unsigned n = 0; n < 60; n++)
        (void)fake_journal_add(d.in.journal, name_of(n % 3), "x");
    d.is_manual = false;
    queue_refill(&d.in);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 60);
    check_order();
    case_end(&d);
}

static unsigned fed;

static void feed_more(struct timer *t)
{
    for (unsigned n = 0; n < 40 && fed < 500; n++, fed++)
        case_put(&d, name_of((unsigned)random_between(0, 40) % 50), "x");
    if (fed < 500)
        timer_start(t, d.loop, loop_now_ms(d.loop) + 1, feed_more, NULL);
}

static bool is_all_fed(struct delivery_case *c)
{
    return fed == 500 && case_is_all_final(c);
}

Test(queue, what_comes_while_the_window_is_read_again_overtakes_nothing)
{
    struct timer feed = {0};

    case_begin(&d);
    for (unsigned n = 0; n < 4500; n++) /* of an earlier run */
        (void)fake_journal_add(d.in.journal, name_of(n % 50), "x");
    d.cfg.inbox.concurrency = 16;
    queue_refill(&d.in);
    timer_start(&feed, d.loop, loop_now_ms(d.loop), feed_more, NULL);
    case_run_until(&d, is_all_fed);
    cr_assert_eq(d.answer_count, 5000);
    check_order();
    case_end(&d);
}

static unsigned enough;

static bool has_enough_answers(struct delivery_case *c)
{
    return c->answer_count >= enough && (enough < 500 || !c->in.queue->is_refilling);
}

Test(queue, news_do_not_overtake_what_the_window_has_left_out)
{
    begin();
    for (unsigned n = 0; n < 300; n++)
        case_put(&d, "00", "x");
    enough = 50; /* there is room again, and nothing was read again yet */
    case_run(&d, has_enough_answers);
    cr_assert(d.in.queue->messages < QUEUE_PER_CONVERSATION);
    case_put(&d, "00", "news");
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 301);
    check_order();
    case_end(&d);
}

Test(queue, news_do_not_overtake_what_a_full_window_has_not_read)
{
    case_begin(&d);
    for (unsigned n = 0; n < 4500; n++)
        (void)fake_journal_add(d.in.journal, n < 3 || n >= 4497 ? "00" : name_of(1 + n % 49), "x");
    d.cfg.inbox.concurrency = 16;
    queue_refill(&d.in);
    enough = 500;
    case_run(&d, has_enough_answers);
    cr_assert(d.in.queue->is_behind);
    for (unsigned n = 0; n < 60; n++) /* ten of them are not here yet */
        case_put(&d, name_of(n), "news");
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 4560, "%u rows %zu", d.answer_count, d.in.journal->count);
    check_order();
    case_end(&d);
}

Test(queue, news_do_not_overtake_what_is_being_read)
{
    case_begin(&d);
    (void)fake_journal_add(d.in.journal, "00", "first");
    for (unsigned n = 0; n < 3000; n++)
        (void)fake_journal_add(d.in.journal, name_of(1 + n % 40), "x");
    (void)fake_journal_add(d.in.journal, "00", "second");
    queue_refill(&d.in);
    enough = 1;
    case_run(&d, has_enough_answers);
    cr_assert(d.in.queue->is_refilling, "the pages are not all here yet");
    case_put(&d, "00", "third");
    case_put(&d, "70", "another");
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 3004, "%u rows %zu", d.answer_count, d.in.journal->count);
    check_order();
    case_end(&d);
}

Test(queue, the_window_is_bounded_in_bytes)
{
    struct journal_message *m;

    case_begin(&d);
    for (unsigned n = 0; n < 40; n++) {
        m = fake_journal_add(d.in.journal, name_of(n % 50), "x");
        free(m->why);
        m->why = calloc(1, 1024 * 1024);
        memset(m->why, 'w', 1024 * 1024 - 1);
    }
    d.is_manual = true;
    queue_refill(&d.in);
    case_run_until(&d, has_call_at_agent);
    cr_assert(d.in.queue->bytes <= QUEUE_BYTES_MAX);
    d.is_manual = false;
    timer_start(&d.agent, d.loop, loop_now_ms(d.loop), case_play, &d);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 40);
    check_order();
    case_end(&d);
}

Test(queue, the_operator_may_end_one_that_waits)
{
    begin();
    d.is_manual = true;
    case_put(&d, "00", "a");
    case_put(&d, "00", "b");
    case_put(&d, "00", "c");
    case_run_until(&d, has_call_at_agent);
    struct message *b = queue_find(&d.in, case_row(&d, 2)->row_id);

    cr_assert(b && b->step == STEP_WAITING);
    cr_assert_null(queue_find(&d.in, "none"));
    b->j.state = JOURNAL_SKIPPED;
    queue_end(&d.in, b);
    d.is_manual = false;
    timer_start(&d.agent, d.loop, loop_now_ms(d.loop), case_play, &d);
    case_run_all(&d);
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_SKIPPED);
    cr_assert_eq(d.answer_count, 2);
    cr_assert_eq(queue_in_work(&d.in), 0);
    case_end(&d);
}

Test(queue, the_same_message_twice_is_one)
{
    struct journal_message copy;

    begin();
    d.is_manual = true;
    case_put(&d, "00", "a");
    case_run_until(&d, has_call_at_agent);
    (void)journal_message_copy(case_row(&d, 1), &copy);
    queue_put(&d.in, &copy);
    queue_refill(&d.in);
    d.is_manual = false;
    timer_start(&d.agent, d.loop, loop_now_ms(d.loop), case_play, &d);
    case_run_all(&d);
    cr_assert_eq(d.call_count, 1);
    case_end(&d);
}

Test(queue, a_commit_that_fails_for_memory_is_tried_again)
{
    begin();
    d.is_manual = true;
    case_put(&d, "00", "a");
    case_run_until(&d, has_call_at_agent);
    d.in.journal->fail_with = -ENOMEM;
    d.is_manual = false;
    timer_start(&d.agent, d.loop, loop_now_ms(d.loop), case_play, &d);
    case_run_all(&d);
    cr_assert_eq(d.answer_count, 1);
    case_end(&d);
}

Test(queue, conversations_without_messages_are_kept_up_to_a_number)
{
    char name[16];

    begin();
    for (unsigned n = 0; n < QUEUE_CONVERSATIONS_KEPT + 200; n++) {
        (void)snprintf(name, sizeof(name), "n%u", n);
        case_put(&d, name, "x");
    }
    case_run_all(&d);
    for (unsigned n = 0; n < 200; n++) {
        (void)snprintf(name, sizeof(name), "late%u", n);
        case_put(&d, name, "x");
    }
    case_run_all(&d);
    cr_assert(d.in.queue->empty <= QUEUE_CONVERSATIONS_KEPT + 200);
    case_end(&d);
}

Test(queue, senders_cannot_choose_their_bucket)
{
    begin();
    struct hash_key mine = d.in.queue->hash;
    case_end(&d);
    begin();
    cr_assert(mine.k[0] != d.in.queue->hash.k[0] && mine.k[1] != d.in.queue->hash.k[1],
              "another key at each start");
    case_end(&d);
}
