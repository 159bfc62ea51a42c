/*
 * Delivery without a platform: the queue, deliver.c and follow.c on a journal in memory and an
 * agent that is a function of the test. What other files of inbox/ would do is here: an answer is
 * taken down and ends its message, uploads and peers are nobody. Header only.
 */
#ifndef SUPPORT_DELIVERY_CASE_H
#define SUPPORT_DELIVERY_CASE_H

#include "inbox/parts.h"
#include "support/fake_journal.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { CASE_CALLS_MAX = 20000, CASE_GUARD_MS = 5 * 60 * 1000 };

struct port_call { /* one hand-over, until the test answers it */
    struct list node;
    port_fn *fn;
    void *arg;
    char *body;
    char version[8];
    int64_t timeout_ms;
    unsigned n; /* counts from 1 */
};

struct delivery_case {
    struct loop *loop;
    struct timer guard;
    struct timer agent; /* answers what waits */
    struct config cfg;
    struct inbox in;
    struct list calls; /* at the agent */
    unsigned call_count, cancelled;
    unsigned at_once, at_once_max;
    bool is_manual; /* the test answers by itself */
    /* what the agent says; text into ret, an outcome back. NULL: "re: " and the text */
    enum port_outcome (*play)(struct delivery_case *d, struct port_call *c, char *ret, size_t cap,
                              int *status);
    bool speaks_1_0;
    void *arg;
    char *bodies[CASE_CALLS_MAX]; /* as they came */
    char *answers[CASE_CALLS_MAX];
    int64_t answered_seq[CASE_CALLS_MAX];
    unsigned answer_count, recovered;
    bool keeps_answers; /* answer_begin does not end the message: it waits to be sent */
    bool (*until)(struct delivery_case *d);
};

static struct delivery_case *the_case; /* one per test process */

/* ---- what else inbox/ has ---- */

void inbox_work_changed(struct inbox *i)
{
    (void)i;
}

char *uploads_rewrite(struct inbox *i, const char *body)
{
    (void)i;
    (void)body;
    return NULL;
}

static unsigned awaited_times; /* so often a file is not there yet */

bool uploads_is_awaited(struct inbox *i, const char *body)
{
    (void)i;
    (void)body;
    return awaited_times > 0 && awaited_times-- > 0;
}

void peers_find(struct inbox *i, const char *peer_id, struct peer_facts *ret)
{
    (void)i;
    (void)peer_id;
    *ret = (struct peer_facts){.name = "Bob"};
}

static inline void case_check(struct delivery_case *d)
{
    if (d->until && d->until(d))
        loop_stop(d->loop);
}

void answer_begin(struct inbox *i, struct message *m)
{
    struct delivery_case *d = the_case;

    m->step = STEP_ANSWERING;
    cr_assert(m->j.answer && m->j.answer[0]);
    cr_assert_eq(fake_row(i->journal, m->j.seq)->state, JOURNAL_DELIVERED, "committed first");
    d->answered_seq[d->answer_count] = m->j.seq;
    d->answers[d->answer_count++] = strdup(m->j.answer);
    if (!d->keeps_answers) {
        m->j.state = JOURNAL_ANSWERED;
        queue_end(i, m);
    }
    case_check(d);
}

void answer_recover(struct inbox *i, struct message *m)
{
    the_case->recovered++;
    m->step = STEP_ANSWERING;
    m->j.state = JOURNAL_PARKED;
    queue_end(i, m);
}

/* ---- the agent ---- */

static inline void case_reply(struct delivery_case *d, struct port_call *c,
                              enum port_outcome outcome, int status, const char *text)
{
    struct port_reply r = {.outcome = outcome, .status = status, .body = slice_of(text)};

    if (outcome != PORT_ANSWERED)
        (void)snprintf(r.error, sizeof(r.error), "the agent is out: %.100s", text);
    list_remove(&c->node);
    d->at_once--;
    c->fn(c->arg, &r);
    free(c->body);
    free(c);
    case_check(d);
}

static inline void case_said(char *ret, size_t cap, const char *text)
{
    (void)snprintf(
        ret, cap,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\",\"parts\":[{\"kind\":"
        "\"text\",\"text\":\"%s\"}]}}",
        text);
}

static inline void case_task(char *ret, size_t cap, const char *state, const char *text)
{
    (void)snprintf(
        ret, cap,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"task\",\"id\":\"T1\","
        "\"contextId\":\"C1\",\"status\":{\"state\":\"%s\",\"message\":{\"parts\":[{\"text\":"
        "\"%s\"}]}}}}",
        state, text);
}

/* The text of the message that c carries. */
static inline const char *case_text(const struct port_call *c)
{
    static char text[256];
    const char *at = strstr(c->body, "\"text\":\"");

    (void)snprintf(text, sizeof(text), "%.*s", at ? (int)strcspn(at + 8, "\"") : 0,
                   at ? at + 8 : "");
    return text;
}

static inline void case_play(struct timer *t)
{
    struct delivery_case *d = t->arg;
    struct list *first = list_first(&d->calls);
    char text[4096];
    char echo[300];
    int status = 200;
    enum port_outcome outcome = PORT_ANSWERED;

    if (!first)
        return;
    struct port_call *c = container_of(first, struct port_call, node);

    (void)snprintf(echo, sizeof(echo), "re: %s", case_text(c));
    case_said(text, sizeof(text), echo);
    if (d->play)
        outcome = d->play(d, c, text, sizeof(text), &status);
    if (first->next != &d->calls) /* another one waits */
        timer_start(&d->agent, d->loop, loop_now_ms(d->loop), case_play, d);
    case_reply(d, c, outcome, status, text);
}

int port_send(struct port *p, struct slice body, const char *version, int64_t timeout_ms,
              port_fn *fn, void *arg, struct port_call **ret)
{
    struct delivery_case *d = the_case;
    struct port_call *c = calloc(1, sizeof(*c));

    (void)p;
    cr_assert(c && d->call_count < CASE_CALLS_MAX);
    list_append(&d->calls, &c->node);
    c->fn = fn;
    c->arg = arg;
    c->body = slice_dup(body);
    c->timeout_ms = timeout_ms;
    (void)snprintf(c->version, sizeof(c->version), "%s", version ? version : "");
    d->bodies[d->call_count] = slice_dup(body);
    c->n = ++d->call_count;
    if (++d->at_once > d->at_once_max)
        d->at_once_max = d->at_once;
    if (!d->is_manual)
        timer_start(&d->agent, d->loop, loop_now_ms(d->loop), case_play, d);
    *ret = c;
    return 0;
}

void port_cancel(struct port_call *c)
{
    if (!c)
        return;
    the_case->cancelled++;
    the_case->at_once--;
    list_remove(&c->node);
    free(c->body);
    free(c);
}

/* ---- the case ---- */

static inline void case_guard(struct timer *t)
{
    const struct delivery_case *d = t->arg;

    cr_assert_fail("never: %u calls, %u answers, dead %llu", d->call_count, d->answer_count,
                   (unsigned long long)d->in.status.dead);
}

static inline void case_begin(struct delivery_case *d)
{
    struct err err = {0};

    the_case = d;
    list_init(&d->calls);
    cr_assert_eq(loop_new(&d->loop, &err), 0);
    d->cfg.inbox = (struct config_inbox){.max_attempts = 5,
                                         .retry_max = 20, /* ms: tests do not wait */
                                         .task_timeout = 3600000,
                                         .concurrency = 1,
                                         .peer_markers = true};
    d->in = (struct inbox){.loop = d->loop, .cfg = &d->cfg, .journal = fake_journal_new(d->loop)};
    d->in.is_started = d->in.is_agent_ready = true;
    cr_assert_eq(queue_new(&d->in), 0);
    cr_assert_eq(deliver_new(&d->in), 0);
    timer_start(&d->guard, d->loop, loop_now_ms(d->loop) + CASE_GUARD_MS, case_guard, d);
}

static inline void case_end(struct delivery_case *d)
{
    timer_stop(&d->guard);
    timer_stop(&d->agent);
    d->in.is_finishing = true;
    queue_release(&d->in);
    deliver_free(&d->in);
    queue_free(&d->in);
    fake_journal_free(d->in.journal);
    for (unsigned i = 0; i < d->call_count; i++)
        free(d->bodies[i]);
    for (unsigned i = 0; i < d->answer_count; i++)
        free(d->answers[i]);
    loop_free(d->loop);
}

/* Another run of the sidecar over the same journal: all that was in memory is gone. */
static inline void case_restart(struct delivery_case *d)
{
    fake_drop_ops(d->in.journal);
    queue_release(&d->in);
    deliver_free(&d->in);
    queue_free(&d->in);
    cr_assert_eq(queue_new(&d->in), 0);
    cr_assert_eq(deliver_new(&d->in), 0);
    d->in.first_seq = 0;
    queue_refill(&d->in);
}

static inline void case_put(struct delivery_case *d, const char *conversation, const char *text)
{
    struct journal_message copy;

    (void)journal_message_copy(fake_journal_add(d->in.journal, conversation, text), &copy);
    if (d->in.first_seq == 0)
        d->in.first_seq = copy.seq;
    queue_put(&d->in, &copy);
}

static inline void case_run(struct delivery_case *d, bool (*until)(struct delivery_case *d))
{
    d->until = until;
    while (!until(d)) /* a stop that was asked for twice may end the next run */
        loop_run(d->loop);
    d->until = NULL;
}

static inline bool case_is_all_final(struct delivery_case *d)
{
    for (size_t i = 0; i < d->in.journal->count; i++)
        if (!journal_state_is_final(d->in.journal->rows[i].state))
            return false;
    return true;
}

static inline void case_look(struct timer *t)
{
    struct delivery_case *d = t->arg;

    case_check(d);
    timer_start(t, d->loop, loop_now_ms(d->loop) + 5, case_look, d);
}

/* Runs until every row is final. */
static inline void case_run_all(struct delivery_case *d)
{
    struct timer look = {0};

    timer_start(&look, d->loop, loop_now_ms(d->loop) + 5, case_look, d);
    case_run(d, case_is_all_final);
    timer_stop(&look);
}

/* Runs until `until` is true, looking every few milliseconds. */
static inline void case_run_until(struct delivery_case *d, bool (*until)(struct delivery_case *d))
{
    struct timer look = {0};

    timer_start(&look, d->loop, loop_now_ms(d->loop) + 5, case_look, d);
    case_run(d, until);
    timer_stop(&look);
}

static inline const struct journal_message *case_row(const struct delivery_case *d, int64_t seq)
{
    return fake_row(d->in.journal, seq);
}

#endif
