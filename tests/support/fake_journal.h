/*
 * A journal in memory behind store/journal.h, for tests of who uses it: commits happen when the
 * test lets them, reads come in the order they were asked for. Header only: a test that includes it
 * has all functions of the real one, which is then not linked.
 */
#ifndef SUPPORT_FAKE_JOURNAL_H
#define SUPPORT_FAKE_JOURNAL_H

#include "base/cleanup.h"
#include "store/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_ROWS_MAX = 20000, FAKE_TALKS_MAX = 1024 };

struct fake_op {
    struct list node;
    int kind; /* 0 set, 1 read, 2 conversation, 3 restore */
    struct journal_message m;
    struct journal_conversation c;
    bool has_c;
    struct journal_query q;
    char *key;
    void *done, *arg;
};

struct journal {
    struct loop *loop;
    struct list ops;
    struct timer timer;
    bool is_stuck; /* the disk refuses: nothing is committed, nothing called */
    int fail_with; /* the next write's code */
    struct journal_message rows[FAKE_ROWS_MAX];
    size_t count;
    struct journal_conversation talks[FAKE_TALKS_MAX];
    size_t talk_count;
    unsigned reads, writes;
    unsigned page_max; /* a read ends early behind so many, as the real one does behind many bytes;
                          0 = no */
    unsigned restores; /* messages given back */
    bool has_lost[FAKE_ROWS_MAX + 1]; /* by seq: the file that had it is gone */
    struct journal_status status;
};

const char *journal_state_name(enum journal_state s)
{
    static const char *const names[] = {"",         "seen",   "delivered", "answering",
                                        "answered", "parked", "dead",      "skipped"};

    return names[s];
}

bool journal_state_is_final(enum journal_state s)
{
    return s >= JOURNAL_ANSWERED;
}

void journal_message_release(struct journal_message *m)
{
    free(m->message_id);
    free(m->conversation);
    free(m->context_id);
    free(m->task_id);
    free(m->request);
    free(m->answer);
    free(m->why);
    *m = (struct journal_message){0};
}

static inline char *fake_dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

int journal_message_copy(const struct journal_message *from, struct journal_message *to)
{
    *to = *from;
    to->message_id = fake_dup(from->message_id);
    to->conversation = fake_dup(from->conversation);
    to->context_id = fake_dup(from->context_id);
    to->task_id = fake_dup(from->task_id);
    to->request = fake_dup(from->request);
    to->answer = fake_dup(from->answer);
    to->why = fake_dup(from->why);
    return 0;
}

void journal_conversation_release(struct journal_conversation *c)
{
    free(c->conversation);
    free(c->context_id);
    free(c->task_id);
    *c = (struct journal_conversation){0};
}

static inline struct journal_message *fake_row(struct journal *j, int64_t seq)
{
    return seq >= 1 && (size_t)seq <= j->count ? &j->rows[seq - 1] : NULL;
}

static inline struct journal_conversation *fake_talk(struct journal *j, const char *key, bool make)
{
    for (size_t i = 0; i < j->talk_count; i++)
        if (strcmp(j->talks[i].conversation, key) == 0)
            return &j->talks[i];
    if (!make)
        return NULL;
    assert(j->talk_count < FAKE_TALKS_MAX);
    j->talks[j->talk_count].conversation = strdup(key);
    return &j->talks[j->talk_count++];
}

static inline void fake_set(struct journal *j, struct fake_op *op)
{
    struct journal_message *row = fake_row(j, op->m.seq);
    int code = j->fail_with;

    j->fail_with = 0;
    if (code == 0 && row && j->has_lost[op->m.seq])
        code = -ENOENT;
    if (code == 0 && row) {
        journal_message_release(row);
        *row = op->m;
        op->m = (struct journal_message){0};
        j->writes++;
        if (op->has_c) {
            struct journal_conversation *c = fake_talk(j, op->c.conversation, true);

            free(c->context_id);
            free(c->task_id);
            c->context_id = ptr_take(&op->c.context_id);
            c->task_id = ptr_take(&op->c.task_id);
        }
    }
    if (op->done)
        ((journal_done_fn *)op->done)(op->arg, code);
}

static inline void fake_restore(struct journal *j, struct fake_op *op)
{
    struct journal_message *row = fake_row(j, op->m.seq);

    assert(row);
    if (!j->has_lost[op->m.seq])
        return;
    j->has_lost[op->m.seq] = false;
    j->restores++;
    journal_message_release(row);
    *row = op->m;
    op->m = (struct journal_message){0};
}

/* Its file is set aside, and a new one begun. */
static inline void fake_lose(struct journal *j)
{
    for (size_t i = 0; i < j->count; i++)
        j->has_lost[j->rows[i].seq] = true;
    j->status.generation++;
}

static inline void fake_read(struct journal *j, struct fake_op *op)
{
    const struct journal_query *q = &op->q;
    size_t most = q->limit ? q->limit : JOURNAL_READ_MAX;
    size_t limit = j->page_max && j->page_max < most ? j->page_max : most;
    struct journal_message *v = calloc(limit, sizeof(*v));
    size_t n = 0;

    assert(v);
    j->reads++;
    for (size_t i = 0; i < j->count && n < limit; i++) {
        const struct journal_message *m = &j->rows[i];
        unsigned same = 0;

        if ((q->states && !(q->states & 1U << m->state)) || m->seq <= q->after_seq)
            continue;
        for (size_t k = 0; q->per_conversation && k < n; k++)
            same += strcmp(v[k].conversation, m->conversation) == 0;
        if (q->per_conversation && same >= q->per_conversation)
            continue;
        (void)journal_message_copy(m, &v[n++]);
    }
    ((journal_read_fn *)op->done)(op->arg, 0, v, n);
    for (size_t i = 0; i < n; i++)
        journal_message_release(&v[i]);
    free(v);
}

static inline void fake_read_conversation(struct journal *j, struct fake_op *op)
{
    const struct journal_conversation *c = fake_talk(j, op->key, false);
    struct journal_conversation copy = {0};

    if (c) {
        copy.conversation = strdup(c->conversation);
        copy.context_id = fake_dup(c->context_id);
        copy.task_id = fake_dup(c->task_id);
    }
    ((journal_conversation_fn *)op->done)(op->arg, 0, &copy);
    journal_conversation_release(&copy);
}

static inline void fake_run(struct timer *t)
{
    struct journal *j = t->arg;
    struct list batch;
    struct list *first;

    list_init(&batch);
    while (!j->is_stuck && (first = list_pop(&j->ops)))
        list_append(&batch, first);
    while ((first = list_pop(&batch))) {
        struct fake_op *op = container_of(first, struct fake_op, node);

        if (op->kind == 0)
            fake_set(j, op);
        else if (op->kind == 3)
            fake_restore(j, op);
        else if (op->kind == 1)
            fake_read(j, op);
        else
            fake_read_conversation(j, op);
        journal_message_release(&op->m);
        journal_conversation_release(&op->c);
        free(op->key);
        free(op);
    }
}

static inline void fake_let_go(struct journal *j)
{
    j->is_stuck = false;
    timer_start(&j->timer, j->loop, loop_now_ms(j->loop), fake_run, j);
}

static inline struct fake_op *fake_op_new(struct journal *j, int kind, void *done, void *arg)
{
    struct fake_op *op = calloc(1, sizeof(*op));

    assert(op);
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    list_append(&j->ops, &op->node);
    if (!j->is_stuck)
        timer_start(&j->timer, j->loop, loop_now_ms(j->loop), fake_run, j);
    return op;
}

int journal_set(struct journal *j, const struct journal_message *m,
                const struct journal_conversation *c, journal_done_fn *done, void *arg)
{
    struct fake_op *op = fake_op_new(j, 0, (void *)done, arg);

    (void)journal_message_copy(m, &op->m);
    op->has_c = c != NULL;
    if (c) {
        op->c.conversation = fake_dup(c->conversation);
        op->c.context_id = fake_dup(c->context_id);
        op->c.task_id = fake_dup(c->task_id);
    }
    return 0;
}

int journal_restore(struct journal *j, const struct journal_message *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)journal_message_copy(&v[i], &fake_op_new(j, 3, NULL, NULL)->m);
    return 0;
}

const struct journal_status *journal_status(const struct journal *j)
{
    return &j->status;
}

int journal_read(struct journal *j, const struct journal_query *q, journal_read_fn *done, void *arg)
{
    fake_op_new(j, 1, (void *)done, arg)->q = *q;
    return 0;
}

int journal_read_conversation(struct journal *j, const char *conversation,
                              journal_conversation_fn *done, void *arg)
{
    fake_op_new(j, 2, (void *)done, arg)->key = strdup(conversation);
    return 0;
}

static inline struct journal *fake_journal_new(struct loop *l)
{
    struct journal *j = calloc(1, sizeof(*j));

    assert(j);
    j->loop = l;
    list_init(&j->ops);
    return j;
}

/* Whoever asked is gone: nothing more is committed or called. */
static inline void fake_drop_ops(struct journal *j)
{
    struct list *first;

    timer_stop(&j->timer);
    while ((first = list_pop(&j->ops))) {
        struct fake_op *op = container_of(first, struct fake_op, node);

        journal_message_release(&op->m);
        journal_conversation_release(&op->c);
        free(op->key);
        free(op);
    }
}

static inline void fake_journal_free(struct journal *j)
{
    fake_drop_ops(j);
    for (size_t i = 0; i < j->count; i++)
        journal_message_release(&j->rows[i]);
    for (size_t i = 0; i < j->talk_count; i++)
        journal_conversation_release(&j->talks[i]);
    free(j);
}

/* A new row, committed at once; borrowed until the next write of it. */
static inline struct journal_message *fake_journal_add(struct journal *j, const char *conversation,
                                                       const char *text)
{
    struct journal_message *m = &j->rows[j->count];
    char request[512];

    assert(j->count < FAKE_ROWS_MAX);
    m->seq = (int64_t)++j->count;
    m->state = JOURNAL_SEEN;
    (void)snprintf(m->row_id, sizeof(m->row_id), "00000000-0000-4000-8000-%012u", (unsigned)m->seq);
    (void)snprintf(request, sizeof(request), "m%u", (unsigned)m->seq);
    m->message_id = strdup(request);
    m->conversation = strdup(conversation);
    (void)snprintf(request, sizeof(request),
                   "{\"params\":{\"message\":{\"parts\":[{\"kind\":\"text\",\"text\":\"%s\"}]}}}",
                   text);
    m->request = strdup(request);
    return m;
}

#endif
