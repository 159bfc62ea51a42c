/*
 * The outbox against a scripted platform, with a journal that only remembers: an intent is
 * committed before each call, and each way a call can end leads where it must.
 */
#include "inbox/outbox.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "support/fake_http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN  "11111111-2222-4333-8444-555555555555"
#define PEER "22222222-2222-4333-8444-555555555555"

enum { CALLS_MAX = 64, MESSAGES_MAX = 8, PATIENCE_MS = 10 * 1000 };

static struct {
    struct loop *loop;
    struct curl_io *io;
    struct fake *fake;
    struct config cfg;
    struct transport transport;
    struct inbox i;
    char url[64];
    /* the platform, under fake_lock() */
    struct fake_answer say[CALLS_MAX]; /* of each call in turn; the last one for ever */
    unsigned said, say_count;
    char targets[CALLS_MAX][128];
    char bodies[CALLS_MAX][512];
    bool row_is_there;
    /* the journal */
    char history[1024]; /* "answering0 " ... */
    struct {
        journal_done_fn *done;
        void *arg;
    } pending[CALLS_MAX];
    unsigned pending_count;
    unsigned tries, resends; /* what it has of them, and for how long */
    int64_t trouble_ms;
    bool is_slow; /* commits are held back */
    struct journal_message equals[4];
    unsigned equal_count;
    journal_read_fn *read;
    void *read_arg;
    struct journal_message left; /* as answering by an earlier run; seq 0 = none */
    journal_read_fn *scan;
    void *scan_arg;
    int64_t scan_after;
    bool is_scan_slow;
    /* others */
    unsigned sweeps, state_checks, ended, work_changes;
    enum journal_state final[MESSAGES_MAX];
    char why[512];
    struct message m[MESSAGES_MAX];
    bool (*cond)(void);
    int64_t until_ms;
    struct timer tick;
} t;

/* ---- what answer.c stands on, here ---- */

int journal_set(struct journal *j, const struct journal_message *m,
                const struct journal_conversation *c, journal_done_fn *done, void *arg)
{
    size_t n = strlen(t.history);

    (void)j;
    (void)c;
    (void)snprintf(t.history + n, sizeof(t.history) - n, "%s%u ",
                   m->state == JOURNAL_ANSWERING ? "answering" : "delivered", m->parts_sent);
    t.tries = m->answer_tries;
    t.resends = m->answer_resends;
    t.trouble_ms = m->answer_trouble_ms;
    if (done) {
        t.pending[t.pending_count].done = done;
        t.pending[t.pending_count++].arg = arg;
    }
    return 0;
}

int journal_read(struct journal *j, const struct journal_query *q, journal_read_fn *done, void *arg)
{
    (void)j;
    if (q->states == 1U << JOURNAL_ANSWERING) { /* what an earlier run left */
        cr_assert_null(t.scan);
        t.scan = done;
        t.scan_arg = arg;
        t.scan_after = q->after_seq;
        return 0;
    }
    cr_assert_eq(q->states, 1U << JOURNAL_ANSWERED | 1U << JOURNAL_PARKED | 1U << JOURNAL_SKIPPED);
    cr_assert_not_null(q->answer, "not everything that was ever answered");
    cr_assert_gt(q->changed_from_ms, 0);
    t.read = done;
    t.read_arg = arg;
    return 0;
}

void queue_end(struct inbox *i, struct message *m)
{
    (void)i;
    t.final[m - t.m] = m->j.state;
    (void)snprintf(t.why, sizeof(t.why), "%s", m->j.why ? m->j.why : "");
    t.ended++;
}

void inbox_work_changed(struct inbox *i)
{
    (void)i;
    t.work_changes++;
}

void feed_sweep_now(struct inbox *i)
{
    (void)i;
    t.sweeps++;
}

void second_sends(struct inbox *i, struct slice text)
{
    (void)i;
    (void)text;
}

void platform_check_state_now(struct platform *p)
{
    (void)p;
    t.state_checks++;
}

/* ---- the platform ---- */

static void serve(void *arg, const struct fake_request *rq, struct fake_answer *ret)
{
    (void)arg;
    if (strcmp(rq->target, "/workspaces/" OWN) == 0) {
        ret->status = t.row_is_there ? 200 : 500;
        (void)snprintf(ret->body, sizeof(ret->body), "{\"error\":\"query failed\"}");
        return;
    }
    (void)snprintf(t.targets[t.said], sizeof(t.targets[0]), "%s", rq->target);
    (void)snprintf(t.bodies[t.said], sizeof(t.bodies[0]), "%s", rq->body);
    *ret = t.say[t.said < t.say_count ? t.said : t.say_count - 1];
    t.said++;
}

static void platform_says(enum fake_action action, int status, const char *body)
{
    struct fake_answer *a = &t.say[t.say_count++];

    a->action = action;
    a->status = status;
    (void)snprintf(a->body, sizeof(a->body), "%s", body);
}

static unsigned calls(void)
{
    fake_lock(t.fake);
    unsigned n = t.said;
    fake_unlock(t.fake);
    return n;
}

/* ---- running ---- */

static void commit_all(void)
{
    while (t.pending_count > 0 && !t.is_slow) {
        journal_done_fn *done = t.pending[0].done;
        void *arg = t.pending[0].arg;

        t.pending_count--;
        memmove(t.pending, t.pending + 1, t.pending_count * sizeof(t.pending[0]));
        done(arg, 0);
    }
}

static void answer_read(void)
{
    journal_read_fn *read = t.read, *scan = t.scan;

    if (scan && !t.is_scan_slow) {
        bool has_one = t.left.seq > t.scan_after;

        t.scan = NULL;
        scan(t.scan_arg, 0, has_one ? &t.left : NULL, has_one);
    }

    if (read) {
        t.read = NULL;
        read(t.read_arg, 0, t.equals, t.equal_count);
    }
}

static void on_tick(struct timer *timer)
{
    commit_all();
    answer_read();
    if (t.cond() || loop_now_ms(t.loop) > t.until_ms)
        loop_stop(t.loop);
    else
        timer_start(timer, t.loop, loop_now_ms(t.loop) + 2, on_tick, NULL);
}

static bool never(void)
{
    return false;
}

static void run(bool (*cond)(void), int64_t ms)
{
    t.cond = cond;
    t.until_ms = clock_mono_ms() + ms;
    timer_start(&t.tick, t.loop, 0, on_tick, NULL);
    loop_run(t.loop);
    timer_stop(&t.tick);
    cr_assert(cond == never || cond(), "not in time; history: %s", t.history);
}
#define UNTIL(cond) run(cond, 3 * PATIENCE_MS)

static bool one_ended(void)
{
    return t.ended == 1;
}
static bool two_ended(void)
{
    return t.ended == 2;
}
static bool all_three_ended(void)
{
    return t.ended == 3;
}
static bool is_doubtful(void)
{
    return !list_is_empty(&t.i.answers->doubtful) && !t.read;
}
static bool swept(void)
{
    return t.sweeps > 0;
}
static bool swept_often(void)
{
    return t.sweeps > 2;
}
static bool called_once(void)
{
    return calls() == 1;
}
static bool called_four_times(void)
{
    return calls() >= 4;
}

static void open_case(void)
{
    struct err err;

    cr_assert_eq(loop_new(&t.loop, &err), 0);
    cr_assert_eq(curl_io_new(t.loop, &t.io, &err), 0);
    t.fake = fake_open(serve, NULL);
    (void)snprintf(t.url, sizeof(t.url), "http://127.0.0.1:%u", fake_port(t.fake));
    t.cfg.platform.url = t.url;
    t.cfg.platform.org_id = t.cfg.platform.origin = t.cfg.platform.proxy = (char *)"";
    t.cfg.platform.ca_file = t.cfg.platform.client_cert = t.cfg.platform.client_key = (char *)"";
    t.cfg.workspace.id = (char *)OWN;
    cr_assert_eq(transport_init(&t.transport, t.loop, t.io, &t.cfg, &err), 0, "%s", err.msg);
    t.i = (struct inbox){.loop = t.loop, .io = t.io, .cfg = &t.cfg, .transport = &t.transport};
    cr_assert_eq(answers_new(&t.i), 0);
    t.i.answers->times = (struct answer_times){.backoff_base = 2,
                                               .backoff_cap = 10,
                                               .early = 20,
                                               .settle = 20,
                                               .ask_again = 20,
                                               .peer_try = 6 * PATIENCE_MS};
    t.row_is_there = true;
}

static void close_case(void)
{
    t.i.is_finishing = true;
    for (size_t k = 0; k < MESSAGES_MAX; k++) {
        timer_stop(&t.m[k].timer);
        call_cancel(&t.m[k].call);
        journal_message_release(&t.m[k].j);
    }
    answers_free(&t.i);
    transport_release(&t.transport);
    curl_io_free(t.io);
    fake_free(t.fake);
    loop_free(t.loop);
}

static struct message *message_of(unsigned k, const char *sender, const char *answer,
                                  int64_t created_ms)
{
    struct message *m = &t.m[k];

    m->j.state = JOURNAL_DELIVERED;
    m->j.seq = k + 1;
    m->j.created_us = created_ms * 1000;
    (void)snprintf(m->j.row_id, sizeof(m->j.row_id), "%08u-2222-4333-8444-555555555555", k);
    (void)snprintf(m->j.sender, sizeof(m->j.sender), "%s", sender);
    m->j.request = slice_dup(SLICE("{\"parts\":[{\"text\":\"hello?\"}]}"));
    m->j.answer = slice_dup(slice_of(answer));
    m->j.message_id = slice_dup(SLICE("theirs"));
    return m;
}

static struct message *message(unsigned k, const char *sender, const char *answer)
{
    return message_of(k, sender, answer, clock_wall_ms() - 1000);
}

static void echo(const char *id, const char *text, int64_t at_ms)
{
    struct row r = {.kind = ROW_ECHO, .created_us = at_ms * 1000, .echo_text = text};

    (void)snprintf(r.id, sizeof(r.id), "%s", id);
    answer_saw_echo(&t.i, &r);
}

static void feed_is_complete(void)
{
    answer_feed_is_complete(&t.i, loop_now_ms(t.loop));
}

/* Of the one that is in doubt: a sweep of that time is too early, however slow we are. */
static int64_t doubt_began_ms(void)
{
    return container_of(list_first(&t.i.answers->doubtful), struct answer, node)
        ->evidence.unknown_ms;
}

TestSuite(inbox_answer, .init = open_case, .fini = close_case, .timeout = 60);

/* ---- the usual way ---- */

Test(inbox_answer, a_person_is_told_after_the_intent_is_committed)
{
    platform_says(FAKE_ANSWER, 200, "{\"status\":\"sent\"}");
    t.is_slow = true;
    answer_begin(&t.i, message(0, "", "hello"));
    run(never, 50);
    cr_assert_eq(calls(), 0, "nothing leaves before the commit");
    cr_assert_str_eq(t.history, "answering0 ");
    t.is_slow = false;
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_eq(t.m[0].j.parts_sent, 1);
    cr_assert_str_eq(t.targets[0], "/workspaces/" OWN "/notify");
    cr_assert_str_eq(t.bodies[0], "{\"message\":\"hello\"}");
    cr_assert_eq(t.i.status.answered, 1);
}

Test(inbox_answer, a_peer_gets_a_message_with_correlation)
{
    platform_says(FAKE_ANSWER, 200, "{\"status\":\"queued\",\"delivery_mode\":\"poll\"}");
    answer_begin(&t.i, message(0, PEER, "hello"));
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_str_eq(t.targets[0], "/workspaces/" PEER "/a2a");
    cr_assert_not_null(strstr(t.bodies[0], "\"in_reply_to\":\"theirs\",\"reply\":true"));
}

Test(inbox_answer, each_part_has_an_intent_of_its_own)
{
    char *text = malloc(200001);

    memset(text, 'x', 200000);
    text[200000] = '\0';
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", text));
    UNTIL(one_ended);
    cr_assert_eq(calls(), 4);
    cr_assert_str_eq(t.history, "answering0 answering1 answering2 answering3 ");
    cr_assert_eq(strncmp(t.bodies[2], "{\"message\":\"(3/4)\\nxxx", 22), 0, "%.40s", t.bodies[2]);
    free(text);
}

Test(inbox_answer, nothing_to_say_and_replies_need_no_call)
{
    answer_begin(&t.i, message(0, "", " \n"));
    cr_assert_eq(t.ended, 1);
    struct message *m = message(1, PEER, "hello");
    free(m->j.request);
    m->j.request = slice_dup(SLICE("{\"params\":{\"message\":{\"role\":\"agent\"}}}"));
    answer_begin(&t.i, m);
    cr_assert_eq(t.ended, 2);
    cr_assert_eq(t.final[1], JOURNAL_ANSWERED);
    cr_assert_not_null(strstr(t.why, "replies to replies"));
    m = message(2, "", "hello"); /* a person may say what it likes */
    free(m->j.request);
    m->j.request = slice_dup(SLICE("{\"params\":{\"message\":{\"role\":\"agent\"}}}"));
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, m);
    cr_assert_eq(t.ended, 2);
    UNTIL(called_once);
}

Test(inbox_answer, a_peer_that_asks_too_often_waits_and_another_does_not)
{
    t.cfg.inbox.peer_replies = 1;
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, PEER, "a"));
    answer_begin(&t.i, message(1, PEER, "b"));
    answer_begin(&t.i, message(2, OWN, "c"));
    UNTIL(two_ended);
    run(never, 50);
    cr_assert_eq(t.ended, 2);
    cr_assert_eq(t.final[2], JOURNAL_ANSWERED);
    cr_assert_eq(t.m[1].j.state, JOURNAL_DELIVERED, "it waits, and is not lost");
}

/* ---- class N ---- */

Test(inbox_answer, what_was_not_delivered_goes_back_and_is_sent_again)
{
    platform_says(FAKE_ANSWER, 429, "{\"error\":\"rate limit exceeded\",\"retry_after\":0}");
    platform_says(FAKE_ANSWER, 401, "{\"error\":\"invalid workspace auth token\"}");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(one_ended);
    cr_assert_str_eq(t.history, "answering0 delivered0 answering0 delivered0 answering0 ");
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_eq(t.state_checks, 1, "of the 401");
    cr_assert_eq(t.i.status.retried, 2);
}

Test(inbox_answer, a_peer_that_cannot_be_reached_is_tried_three_times_more)
{
    platform_says(FAKE_ANSWER, 502, "{\"error\":\"failed to reach workspace agent\"}");
    answer_begin(&t.i, message(0, PEER, "hello"));
    UNTIL(one_ended);
    cr_assert_eq(calls(), 4);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "failed to reach"), "%s", t.why);
}

Test(inbox_answer, what_will_never_be_taken_is_parked_at_once)
{
    platform_says(FAKE_ANSWER, 403, "{\"error\":\"talk_to_user_disabled\"}");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(one_ended);
    cr_assert_eq(calls(), 1);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "may not talk to people"), "%s", t.why);
}

Test(inbox_answer, what_is_never_taken_is_parked_in_the_end)
{
    t.i.answers->times.peer_try = 50;
    platform_says(FAKE_ANSWER, 415, "{\"error\":\"x\"}");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_gt(calls(), 1);
    cr_assert_not_null(strstr(t.why, "not taken in"), "%s", t.why);
}

/* ---- what earlier runs have tried ---- */

static bool has_kept_a_try(void)
{
    return t.tries == 1;
}

Test(inbox_answer, each_try_is_kept_and_one_that_arrives_begins_anew)
{
    char *text = malloc(100001);

    memset(text, 'x', 100000);
    text[100000] = '\0';
    t.i.answers->times.backoff_base = t.i.answers->times.backoff_cap = 300;
    platform_says(FAKE_ANSWER, 415, "{\"error\":\"x\"}");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", text));
    UNTIL(has_kept_a_try);
    cr_assert_geq(t.trouble_ms, 100, "with the pause that follows: %lld", (long long)t.trouble_ms);
    UNTIL(one_ended);
    cr_assert_str_eq(t.history, "answering0 delivered0 answering0 answering1 ");
    cr_assert_eq(t.tries, 0, "of the second part");
    cr_assert_eq(t.trouble_ms, 0);
    free(text);
}

Test(inbox_answer, tries_of_earlier_runs_count)
{
    struct message *m = message(0, PEER, "hello");

    m->j.answer_tries = 3;
    platform_says(FAKE_ANSWER, 502, "{\"error\":\"failed to reach workspace agent\"}");
    answer_begin(&t.i, m);
    UNTIL(one_ended);
    cr_assert_eq(calls(), 1);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "not taken in 4 tries"), "%s", t.why);
}

Test(inbox_answer, the_hour_of_earlier_runs_counts)
{
    struct message *m = message(0, "", "hello");

    t.i.answers->times.peer_try = 3600 * 1000;
    m->j.answer_trouble_ms = 3600 * 1000;
    platform_says(FAKE_ANSWER, 415, "{\"error\":\"x\"}");
    answer_begin(&t.i, m);
    UNTIL(one_ended);
    cr_assert_leq(calls(), 2);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "not taken in"), "%s", t.why);
}

Test(inbox_answer, a_trouble_that_ends_by_itself_forgets_the_hour)
{
    struct message *m = message(0, "", "hello");

    t.i.answers->times.peer_try = 3600 * 1000;
    m->j.answer_trouble_ms = 3600 * 1000 - 1;
    platform_says(FAKE_ANSWER, 429, "{\"error\":\"rate limit exceeded\"}");
    platform_says(FAKE_ANSWER, 415, "{\"error\":\"x\"}");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, m);
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
}

Test(inbox_answer, sendings_of_earlier_runs_whose_fate_is_unknown_count)
{
    struct message *m = message(0, PEER, "hello");

    t.cfg.inbox.on_unknown = INBOX_RESEND;
    m->j.state = JOURNAL_ANSWERING;
    m->j.answer_resends = ANSWER_RESENDS_MAX - 1;
    platform_says(FAKE_CLOSE, 0, "");
    answer_recover(&t.i, m);
    UNTIL(one_ended);
    cr_assert_eq(calls(), 1);
    cr_assert_eq(t.resends, ANSWER_RESENDS_MAX);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
}

Test(inbox_answer, denied_counts_only_while_the_platform_knows_us)
{
    platform_says(FAKE_ANSWER, 403, "{\"error\":\"access denied: x\"}");
    t.row_is_there = false; /* its database is down */
    answer_begin(&t.i, message(0, PEER, "hello"));
    UNTIL(called_four_times);
    cr_assert_eq(t.ended, 0);
    fake_lock(t.fake);
    t.row_is_there = true;
    fake_unlock(t.fake);
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
}

/* ---- class U ---- */

Test(inbox_answer, of_a_peer_nothing_can_decide_it_is_parked)
{
    platform_says(FAKE_CLOSE, 0, "");
    answer_begin(&t.i, message(0, PEER, "hello"));
    UNTIL(one_ended);
    cr_assert_eq(calls(), 1);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "nobody knows"), "%s", t.why);
    cr_assert_eq(t.i.status.parked, 1);
}

Test(inbox_answer, or_sent_again_if_the_operator_wants_that)
{
    t.cfg.inbox.on_unknown = INBOX_RESEND;
    platform_says(FAKE_CLOSE, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, PEER, "hello"));
    UNTIL(one_ended);
    cr_assert_eq(calls(), 2);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_not_null(strstr(t.bodies[0], "\"messageId\""));
    cr_assert_str_eq(t.bodies[0], t.bodies[1], "recognisable as the same");
}

Test(inbox_answer, an_echo_shows_that_it_arrived)
{
    platform_says(FAKE_CLOSE, 0, "");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(is_doubtful);
    echo("e1", "other words", clock_wall_ms());
    echo("e2", "hello", clock_wall_ms() - 100000); /* before the message */
    cr_assert_eq(t.ended, 0);
    echo("e3", "hello", clock_wall_ms());
    cr_assert_eq(t.ended, 1);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_eq(calls(), 1);
}

Test(inbox_answer, a_complete_sweep_without_one_shows_that_it_did_not)
{
    platform_says(FAKE_RESET, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(is_doubtful);
    answer_feed_is_complete(&t.i, doubt_began_ms());
    cr_assert_eq(calls(), 1, "a sweep that began too early proves nothing");
    cr_assert(!list_is_empty(&t.i.answers->doubtful));
    UNTIL(swept);
    cr_assert(answer_wants_sweep(&t.i));
    cr_assert_gt(answer_evidence_since_ms(&t.i), 0);
    feed_is_complete();
    UNTIL(one_ended);
    cr_assert_eq(calls(), 2);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_not(answer_wants_sweep(&t.i));
}

Test(inbox_answer, what_the_platform_carries_out_late_is_not_sent_twice)
{
    struct answer_times *times = &t.i.answers->times;

    cr_assert_geq(ANSWER_SETTLE_MS, 120 * 1000, "edges cut at 100 s, rows are 30 s late");
    times->settle = PATIENCE_MS * 10;
    times->early = 10;
    times->ask_again = 5;
    platform_says(FAKE_RESET, 0, "");
    answer_begin(&t.i, message(0, "", "hello"));
    UNTIL(is_doubtful);
    UNTIL(swept_often);
    cr_assert(answer_wants_sweep(&t.i));
    feed_is_complete();
    run(never, 30);
    cr_assert_eq(t.ended, 0);
    cr_assert_eq(calls(), 1, "early silence proves nothing");
    echo("e1", "hello", clock_wall_ms());
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED, "early words do");
    cr_assert_eq(t.ended, 1);
}

Test(inbox_answer, after_a_crash_the_same_evidence_decides)
{
    struct message *m = message(0, "", "hello");

    platform_says(FAKE_ANSWER, 200, "{}");
    m->j.state = JOURNAL_ANSWERING;
    m->j.changed_ms = clock_wall_ms();
    answer_recover(&t.i, m);
    UNTIL(is_doubtful);
    echo("e1", "hello", clock_wall_ms());
    cr_assert_eq(t.ended, 1);
    cr_assert_eq(calls(), 0, "it is not sent twice");
    m = message(1, PEER, "hello");
    m->j.state = JOURNAL_ANSWERING;
    answer_recover(&t.i, m);
    cr_assert_eq(t.final[1], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "ended in the middle"), "%s", t.why);
}

static void equal(unsigned k, int64_t created_ms, int64_t answered_ms)
{
    t.equals[k] = (struct journal_message){
        .state = JOURNAL_ANSWERED, .created_us = created_ms * 1000, .changed_ms = answered_ms};
    if (t.equal_count <= k)
        t.equal_count = k + 1;
}

/* The platform's clock is that far ahead, as two answers with their echoes show. */
static void measure_clocks(int64_t ahead_ms)
{
    static const char *const texts[] = {"first", "second"};

    for (size_t k = 0; k < 2; k++) {
        int64_t sent_ms = clock_wall_ms();

        answer_clocks_sent(t.i.answers, slice_of(texts[k]), sent_ms);
        echo(texts[k], texts[k], sent_ms + ahead_ms + 100 * (int64_t)k);
    }
    cr_assert(t.i.answers->clocks.offset.is_known);
}

Test(inbox_answer, the_echo_of_another_answer_proves_nothing)
{
    int64_t now = clock_wall_ms();

    measure_clocks(0);
    platform_says(FAKE_RESET, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    equal(0, now - 60000, now - 30000); /* the same words to somebody else, long before */
    struct message *m = message(0, "", "hello");
    m->j.created_us = (now - 40000) * 1000;
    answer_begin(&t.i, m);
    UNTIL(is_doubtful);
    echo("e1", "hello", now - 30000);
    echo("e1", "hello", now - 30000); /* seen twice, it is one */
    cr_assert_eq(t.ended, 0);
    UNTIL(swept);
    feed_is_complete();
    UNTIL(one_ended);
    cr_assert_eq(calls(), 2, "it had not arrived");
}

/* One echo, one other answer that may have made it, long before ours; the platform's clock is off.
 */
static void tell_by_time(int64_t ahead_ms, bool is_ours, enum journal_state expected)
{
    int64_t now = clock_wall_ms();

    platform_says(FAKE_RESET, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    equal(0, now - 60000 + ahead_ms, now - 30000);
    struct message *m = message(0, "", "hello");
    m->j.created_us = (now - 40000 + ahead_ms) * 1000;
    answer_begin(&t.i, m);
    UNTIL(is_doubtful);
    echo("e1", "hello", (is_ours ? clock_wall_ms() : now - 30000) + ahead_ms);
    UNTIL(swept);
    feed_is_complete();
    UNTIL(one_ended);
    cr_assert_eq(t.final[0], expected);
}

Test(inbox_answer, without_a_measured_clock_it_is_parked_not_guessed)
{
    tell_by_time(0, false, JOURNAL_PARKED);
    cr_assert_eq(calls(), 1);
}

Test(inbox_answer, a_clock_that_is_ahead_does_not_make_an_old_echo_ours)
{
    measure_clocks(60 * 1000);
    tell_by_time(60 * 1000, false, JOURNAL_ANSWERED);
    cr_assert_eq(calls(), 2, "it had not arrived");
}

Test(inbox_answer, a_clock_that_is_behind_does_not_make_ours_an_old_echo)
{
    measure_clocks(-60 * 1000);
    tell_by_time(-60 * 1000, true, JOURNAL_ANSWERED);
    cr_assert_eq(calls(), 1, "it had arrived");
}

Test(inbox_answer, one_echo_measures_no_clock)
{
    struct answers *as = t.i.answers;
    int64_t now = clock_wall_ms(); /* one for all: it may take us seconds from line to line */

    answer_clocks_sent(as, SLICE("ok"), now);
    echo("e1", "ok", now - 60000); /* of an earlier run that said the same */
    cr_assert_not(as->clocks.offset.is_known);
    answer_clocks_sent(as, SLICE("well"), now);
    echo("e2", "well", now);
    cr_assert_not(as->clocks.offset.is_known, "they contradict each other");
    answer_clocks_sent(as, SLICE("good"), now);
    echo("e2", "good", now - 1000); /* an older row, which a sweep shows again */
    cr_assert_not(as->clocks.offset.is_known);
    echo("e3", "good", now + 100);
    cr_assert(as->clocks.offset.is_known);
    cr_assert_leq(as->clocks.offset.max_ms - as->clocks.offset.min_ms, 3 * PATIENCE_MS);
}

Test(inbox_answer, one_echo_more_than_others_can_have_made_is_its_own)
{
    int64_t now = clock_wall_ms();

    platform_says(FAKE_RESET, 0, "");
    equal(0, now - 100, now - 50);
    answer_begin(&t.i, message_of(0, "", "hello", now - 1000));
    UNTIL(is_doubtful);
    echo("e1", "hello", now - 50);
    cr_assert_eq(t.ended, 0);
    echo("e2", "hello", now);
    cr_assert_eq(t.ended, 1);
    cr_assert_eq(calls(), 1);
}

Test(inbox_answer, what_cannot_be_told_apart_is_parked_not_guessed)
{
    int64_t now = clock_wall_ms();

    platform_says(FAKE_RESET, 0, "");
    equal(0, now - 5000, now - 10); /* its echo may be before our message, or not */
    answer_begin(&t.i, message_of(0, "", "hello", now - 1000));
    UNTIL(is_doubtful);
    echo("e1", "hello", now - 10);
    UNTIL(swept);
    feed_is_complete();
    cr_assert_eq(t.ended, 1);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_eq(calls(), 1);
}

Test(inbox_answer, two_answers_of_one_text_are_never_under_way_together)
{
    platform_says(FAKE_CLOSE, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", "hello"));
    answer_begin(&t.i, message(1, "", "hello"));
    UNTIL(is_doubtful);
    run(never, 30);
    cr_assert_eq(calls(), 1, "the second waits for the verdict on the first");
    echo("e1", "hello", clock_wall_ms());
    UNTIL(two_ended);
    cr_assert_eq(calls(), 2);
    cr_assert_eq(t.final[0], JOURNAL_ANSWERED);
    cr_assert_eq(t.final[1], JOURNAL_ANSWERED);
}

Test(inbox_answer, what_never_arrives_is_sent_more_and_more_seldom_and_parked)
{
    struct answer_times *times = &t.i.answers->times;
    struct message *m = message(0, "", "hello");

    times->backoff_base = times->backoff_cap = 50;
    times->peer_try = 120;
    platform_says(FAKE_RESET, 0, "");
    answer_begin(&t.i, m);
    for (unsigned k = 0; k < 8 && t.ended == 0; k++) {
        UNTIL(is_doubtful);
        run(never, 30);
        int64_t before_ms = clock_wall_ms();
        feed_is_complete();
        if (t.ended == 0)
            cr_assert_gt(m->j.due_ms, before_ms, "it backs off");
        run(never, 60);
    }
    cr_assert_eq(t.ended, 1);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_not_null(strstr(t.why, "did not arrive"), "%s", t.why);
}

static void left_by_an_earlier_run(unsigned k)
{
    struct message *m = message(k, "", "hello");

    m->j.state = JOURNAL_ANSWERING;
    m->j.changed_ms = clock_wall_ms();
    t.left = m->j; /* the journal's, which owns no texts */
}

Test(inbox_answer, nothing_is_said_to_people_before_it_is_known_what_an_earlier_run_left)
{
    platform_says(FAKE_ANSWER, 200, "{}");
    t.is_scan_slow = true;
    answer_begin(&t.i, message(0, "", "hello"));
    answer_begin(&t.i, message(1, PEER, "hello"));
    UNTIL(one_ended);
    run(never, 30);
    cr_assert_eq(t.final[1], JOURNAL_ANSWERED, "peers do not wait");
    cr_assert_eq(calls(), 1);
    t.is_scan_slow = false;
    UNTIL(two_ended);
}

Test(inbox_answer, an_equal_one_does_not_overtake_what_an_earlier_run_left)
{
    platform_says(FAKE_ANSWER, 200, "{}");
    left_by_an_earlier_run(1);
    answer_begin(&t.i, message(0, "", "hello")); /* older, so the window resumes it first */
    answer_begin(&t.i, message(2, "", "other words"));
    UNTIL(one_ended);
    run(never, 30);
    cr_assert_eq(t.final[2], JOURNAL_ANSWERED, "other words need not wait");
    cr_assert_eq(calls(), 1, "its echo would count for the one that was lost");
    answer_recover(&t.i, &t.m[1]);
    UNTIL(is_doubtful);
    run(never, 30);
    cr_assert_eq(calls(), 1, "nor while that one is doubtful");
    UNTIL(swept);
    feed_is_complete();
    UNTIL(all_three_ended);
    cr_assert_eq(calls(), 3, "it had not arrived, and both are sent");
}

Test(inbox_answer, it_may_be_resumed_while_the_journal_is_read)
{
    platform_says(FAKE_ANSWER, 200, "{}");
    t.is_scan_slow = true;
    left_by_an_earlier_run(1);
    answer_begin(&t.i, message(0, "", "hello"));
    answer_recover(&t.i, &t.m[1]);
    t.is_scan_slow = false;
    UNTIL(is_doubtful);
    echo("e1", "hello", clock_wall_ms());
    UNTIL(two_ended);
    cr_assert_eq(calls(), 1, "only the other one is sent");
}

Test(inbox_answer, two_equal_ones_that_are_doubtful_together_are_not_guessed)
{
    left_by_an_earlier_run(0);
    answer_recover(&t.i, &t.m[0]);
    UNTIL(is_doubtful);
    left_by_an_earlier_run(1);
    answer_recover(&t.i, &t.m[1]);
    UNTIL(is_doubtful);
    echo("e1", "hello", clock_wall_ms());
    cr_assert_eq(t.ended, 0, "whose is it?");
    run(never, 50); /* both have settled */
    feed_is_complete();
    cr_assert_eq(t.ended, 2);
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_eq(t.final[1], JOURNAL_PARKED);
}

Test(inbox_answer, an_equal_one_that_was_given_up_may_have_made_the_echo)
{
    int64_t now = clock_wall_ms();

    platform_says(FAKE_RESET, 0, "");
    equal(0, now - 100, now - 50);
    t.equals[0].state = JOURNAL_PARKED;
    answer_begin(&t.i, message_of(0, "", "hello", now - 1000));
    UNTIL(is_doubtful);
    echo("e1", "hello", now);
    cr_assert_eq(t.ended, 0);
    UNTIL(swept);
    feed_is_complete();
    cr_assert_eq(t.final[0], JOURNAL_PARKED);
    cr_assert_eq(calls(), 1);
}

static bool is_told(void)
{
    return t.work_changes > 0;
}

static bool is_left_to_next(void)
{
    return answers_left_to_next(&t.i) > 0;
}

/* 0 and 1 have one text, 2 another; the call for 0 ended without a word. */
static void one_is_doubtful(void)
{
    t.i.answers->times.early = 5;
    t.i.answers->times.settle = t.i.answers->times.drain = 6 * PATIENCE_MS;
    t.i.answers->times.ask_again = 6 * PATIENCE_MS;
    platform_says(FAKE_CLOSE, 0, "");
    platform_says(FAKE_ANSWER, 200, "{}");
    answer_begin(&t.i, message(0, "", "yes"));
    UNTIL(called_once);
    answer_begin(&t.i, message(1, "", "yes"));
    UNTIL(is_doubtful);
}

Test(inbox_answer, a_drain_waits_until_the_feed_was_asked_once)
{
    one_is_doubtful();
    answer_feed_is_complete(&t.i, doubt_began_ms()); /* begun too early to show anything */
    cr_expect_eq(answers_left_to_next(&t.i), 0);
    UNTIL(swept);
    cr_expect_eq(answers_left_to_next(&t.i), 0);
    t.work_changes = 0;
    feed_is_complete();
    cr_expect_eq(answers_left_to_next(&t.i), 2, "it, and the one of the same text behind it");
    cr_expect_gt(t.work_changes, 0U, "whoever waits is told");
    cr_expect_eq(t.m[0].j.state, JOURNAL_ANSWERING, "as the next run finds it");
    answer_begin(&t.i, message(2, "", "no"));
    UNTIL(one_ended); /* others go on */
    cr_expect_eq(t.final[2], JOURNAL_ANSWERED);
    cr_expect_eq(answers_left_to_next(&t.i), 2);
}

Test(inbox_answer, what_the_feed_shows_in_a_drain_is_no_longer_left)
{
    one_is_doubtful();
    UNTIL(swept);
    echo("e", "yes", clock_wall_ms());
    UNTIL(two_ended);
    cr_expect_eq(answers_left_to_next(&t.i), 0);
    cr_expect_eq(calls(), 2U);
}

Test(inbox_answer, a_drain_does_not_wait_for_ever_for_a_feed_that_fails)
{
    t.i.answers->times.drain = 60;
    t.i.answers->times.early = t.i.answers->times.settle = PATIENCE_MS;
    platform_says(FAKE_CLOSE, 0, "");
    answer_begin(&t.i, message(0, "", "yes"));
    UNTIL(is_doubtful);
    UNTIL(is_left_to_next);
    UNTIL(is_told);
}

Test(inbox_answer, at_the_end_nothing_new_leaves_and_what_is_committed_says_so)
{
    platform_says(FAKE_ANSWER, 200, "{}");
    t.is_slow = true;
    answer_begin(&t.i, message(0, PEER, "hello"));
    t.i.is_finishing = true;
    t.is_slow = false;
    run(never, 50);
    cr_assert_eq(calls(), 0);
    cr_assert_str_eq(t.history, "answering0 delivered0 ", "not taken for unknown by the next run");
}
