/*
 * One message kills the agent, or us, with others in hand: it is the only one that is lost. The
 * agent is a model: at each look it dies of a poison that it has, with all that it has, or answers
 * one.
 */
#include "base/clock.h"
#include "support/delivery_case.h"

enum {
    HAND = 8,
    MESSAGES = 24,
    LOOK_MS = 1,
    SHORT_MS = 60, /* alone: where a test waits until it is over; else it is as long as it is */
};

static struct delivery_case d;
static struct timer look;
static bool is_deadly, is_ours; /* what poison does, and to whom */
static unsigned deaths, shared_deaths, suspects_most, beside_suspect;

static struct message *message_of(struct list *node)
{
    return container_of(node, struct port_call, node)->arg;
}

static bool is_text(struct list *node, const char *text)
{
    return strcmp(case_text(container_of(node, struct port_call, node)), text) == 0;
}

static struct list *in_hand(const char *text)
{
    LIST_FOREACH(node, &d.calls)
    {
        if (is_text(node, text))
            return node;
    }
    return NULL;
}

static unsigned suspects_in_hand(void)
{
    unsigned n = 0;

    LIST_FOREACH(node, &d.calls)
    {
        n += suspect_is(message_of(node));
    }
    return n;
}

static void note_who_is_there(void)
{
    unsigned suspects = suspects_in_hand();

    if (suspects > suspects_most)
        suspects_most = suspects;
    if (suspects > 0 && d.at_once - suspects > beside_suspect)
        beside_suspect = d.at_once - suspects;
}

static void answer(struct list *node)
{
    char text[512];

    case_said(text, sizeof(text), "done");
    case_reply(&d, container_of(node, struct port_call, node), PORT_ANSWERED, 200, text);
}

static void answer_a_quick_one(void)
{
    LIST_FOREACH(node, &d.calls)
    {
        if (!is_text(node, "slow")) {
            answer(node);
            return;
        }
    }
}

/* The agent has died: the messages it had come back, those handed over meanwhile do not. */
static void die(void)
{
    struct port_call *gone[HAND];
    unsigned n = 0;

    LIST_FOREACH(node, &d.calls)
    {
        gone[n++] = container_of(node, struct port_call, node);
    }
    for (unsigned k = 0; k < n; k++)
        case_reply(&d, gone[k], PORT_LOST, 0, "");
}

static void on_look(struct timer *timer)
{
    timer_start(timer, d.loop, loop_now_ms(d.loop) + LOOK_MS, on_look, NULL);
    note_who_is_there();
    if (is_deadly && in_hand("poison")) {
        deaths++;
        shared_deaths += d.at_once > 1;
        if (is_ours)
            case_restart(&d); /* and what was not committed is lost */
        else
            die();
    } else {
        answer_a_quick_one();
    }
}

static void begin(void)
{
    deaths = shared_deaths = suspects_most = beside_suspect = 0;
    is_deadly = true;
    is_ours = false;
    case_begin(&d);
    d.is_manual = true;
    d.cfg.inbox.concurrency = HAND;
    look = (struct timer){0};
    timer_start(&look, d.loop, loop_now_ms(d.loop) + LOOK_MS, on_look, NULL);
}

static void end(void)
{
    timer_stop(&look);
    case_end(&d);
}

static const char *name_of(unsigned n)
{
    static char name[8];

    (void)snprintf(name, sizeof(name), "c%u", n);
    return name;
}

/* The poison, and how many deaths the others have seen at most. */
static void check_all_but(int64_t poison)
{
    for (int64_t seq = 1; seq <= (int64_t)d.in.journal->count; seq++) {
        const struct journal_message *m = case_row(&d, seq);

        if (seq == poison) {
            cr_assert_eq(m->state, JOURNAL_DEAD);
            continue;
        }
        cr_assert_eq(m->state, JOURNAL_ANSWERED, "message %lld: %s", (long long)seq, m->why);
        cr_assert_leq(m->deaths, SUSPECT_DEATHS, "message %lld", (long long)seq);
        cr_assert_eq(m->attempts, 0);
    }
}

Test(suspects, the_poison_is_the_only_dead_letter_where_the_agent_dies)
{
    begin();
    queue_refill(&d.in);
    for (unsigned n = 0; n < MESSAGES; n++)
        case_put(&d, name_of(n), n == 3 ? "poison" : "x");
    case_run_all(&d);
    check_all_but(4);
    cr_assert_eq(case_row(&d, 4)->deaths, DELIVER_DEATHS_MAX);
    cr_assert_eq(deaths, DELIVER_DEATHS_MAX);
    cr_assert_eq(shared_deaths, SUSPECT_DEATHS, "from then on it died alone");
    cr_assert_eq(suspects_most, 1);
    cr_assert_eq(beside_suspect, 0);
    end();
}

Test(suspects, the_poison_is_the_only_dead_letter_where_we_die)
{
    begin();
    is_ours = true;
    for (unsigned n = 0; n < MESSAGES; n++)
        (void)fake_journal_add(d.in.journal, name_of(n), n == 3 ? "poison" : "x");
    queue_refill(&d.in);
    case_run_all(&d);
    check_all_but(4);
    cr_assert_eq(case_row(&d, 4)->deaths, DELIVER_DEATHS_MAX);
    cr_assert_eq(deaths, DELIVER_DEATHS_MAX);
    cr_assert_leq(shared_deaths, SUSPECT_DEATHS);
    cr_assert_eq(suspects_most, 1);
    end();
}

static bool are_the_others_answered(struct delivery_case *c)
{
    return c->answer_count == c->in.journal->count - 1;
}

static bool has_read_all(struct delivery_case *c)
{
    return list_is_empty(&c->in.journal->ops) && c->in.journal->reads > 1;
}

/* Where each death is ours nothing else would be done before the poison's end. */
Test(suspects, others_and_the_less_suspected_go_first)
{
    begin();
    is_ours = true;
    for (unsigned n = 0; n < MESSAGES; n++) {
        struct journal_message *m =
            fake_journal_add(d.in.journal, name_of(n), n == 3 ? "poison" : "x");

        m->deaths = n == 3 ? 5 : n < 12 ? 2 : 0;
    }
    d.in.is_agent_ready = false; /* until all of them are in memory */
    queue_refill(&d.in);
    case_run_until(&d, has_read_all);
    d.in.is_agent_ready = true;
    deliver_pump(&d.in);
    case_run_until(&d, are_the_others_answered);
    cr_assert_leq(deaths, 1, "the turn of the loop that ends with the last answer may go on");
    end();
}

static bool is_seq_in_hand(int64_t seq)
{
    LIST_FOREACH(node, &d.calls)
    {
        if (message_of(node)->j.seq == seq)
            return true;
    }
    return false;
}

static bool is_slow_in_hand(struct delivery_case *c)
{
    (void)c;
    return in_hand("slow") != NULL;
}

static bool is_slow_with_others(struct delivery_case *c)
{
    (void)c;
    return in_hand("slow") && d.answer_count >= 10;
}

/* Of one that works for long the others are held back for a bounded time; suspects all of it. */
Test(suspects, a_slow_one_does_not_stop_the_others)
{
    int64_t began_ms;

    begin();
    is_deadly = false;
    d.in.suspects.alone_ms = SHORT_MS;
    for (unsigned n = 0; n < 2; n++)
        fake_journal_add(d.in.journal, name_of(n), n == 0 ? "slow" : "x")->deaths = 2;
    queue_refill(&d.in);
    case_run_until(&d, is_slow_in_hand);
    began_ms = d.in.suspects.until_ms - SHORT_MS; /* we may see it later */
    for (unsigned n = 2; n < 12; n++)
        case_put(&d, name_of(n), "x");
    case_run_until(&d, is_slow_with_others);
    cr_assert_geq(loop_now_ms(d.loop) - began_ms, SHORT_MS, "it was alone at first");
    cr_assert_eq(case_row(&d, 2)->state, JOURNAL_SEEN, "the other suspect waits for its end");
    cr_assert_eq(suspects_most, 1);
    answer(in_hand("slow"));
    case_run_all(&d);
    cr_assert_eq(suspects_most, 1);
    end();
}

static bool is_suspect_in_hand(struct delivery_case *c)
{
    (void)c;
    return suspects_in_hand() == 1;
}

/* A hand that does not become empty is waited for, and not for ever. */
Test(suspects, a_suspect_does_not_wait_for_a_slow_one_for_ever)
{
    int64_t began_ms;

    begin();
    is_deadly = false;
    d.in.suspects.alone_ms = SHORT_MS;
    (void)fake_journal_add(d.in.journal, "a", "slow");
    queue_refill(&d.in);
    case_run_until(&d, is_slow_in_hand);
    began_ms = loop_now_ms(d.loop);
    fake_journal_add(d.in.journal, "b", "slow")->deaths = 2;
    struct journal_message copy;
    (void)journal_message_copy(case_row(&d, 2), &copy);
    queue_put(&d.in, &copy);
    case_run_until(&d, is_suspect_in_hand);
    cr_assert_geq(loop_now_ms(d.loop) - began_ms, SHORT_MS - 2 * LOOK_MS);
    cr_assert(is_seq_in_hand(2));
    end();
}

/* Of many suspects each lets as many others go before it as there are places. */
Test(suspects, many_of_them_and_others_take_turns)
{
    unsigned others_before_the_second_half = 0;

    begin();
    is_deadly = false;
    for (unsigned n = 0; n < 2 * MESSAGES; n++)
        fake_journal_add(d.in.journal, name_of(n), "x")->deaths = n % 2 ? 2 : 0;
    d.cfg.inbox.concurrency = 2;
    queue_refill(&d.in);
    case_run_all(&d);
    for (unsigned n = 0; n < MESSAGES; n++)
        others_before_the_second_half += d.answered_seq[n] % 2;
    cr_assert_geq(others_before_the_second_half, MESSAGES / 2, "%u", others_before_the_second_half);
    cr_assert_lt(others_before_the_second_half, MESSAGES, "nor do they starve");
    end();
}

static bool is_order_kept(void)
{
    int64_t last[3] = {0};

    for (unsigned n = 0; n < d.answer_count; n++) {
        const struct journal_message *m = case_row(&d, d.answered_seq[n]);
        unsigned c = (unsigned)(m->conversation[1] - '0');

        if (m->seq < last[c])
            return false;
        last[c] = m->seq;
    }
    return true;
}

Test(suspects, order_is_kept_within_their_conversations)
{
    begin();
    queue_refill(&d.in);
    for (unsigned n = 0; n < MESSAGES; n++)
        case_put(&d, name_of(n % 3), n == 6 ? "poison" : "x");
    case_run_all(&d);
    check_all_but(7);
    cr_assert(is_order_kept());
    end();
}

static bool has_hand_full(struct delivery_case *c)
{
    return c->at_once == HAND;
}

Test(suspects, one_death_makes_nobody_a_suspect)
{
    begin();
    is_deadly = false;
    timer_stop(&look);
    queue_refill(&d.in);
    for (unsigned n = 0; n < HAND; n++)
        case_put(&d, name_of(n), "x");
    case_run_until(&d, has_hand_full);
    die();
    case_run_until(&d, has_hand_full);
    cr_assert_eq(case_row(&d, 1)->deaths, 1);
    end();
}
