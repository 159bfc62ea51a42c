/*
 * What the journal's callers hold: messages, conversations, the names of states.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

const char *journal_state_name(enum journal_state s)
{
    switch (s) {
    case JOURNAL_SEEN:
        return "seen";
    case JOURNAL_DELIVERED:
        return "delivered";
    case JOURNAL_ANSWERING:
        return "answering";
    case JOURNAL_ANSWERED:
        return "answered";
    case JOURNAL_PARKED:
        return "parked";
    case JOURNAL_DEAD:
        return "dead";
    case JOURNAL_SKIPPED:
        return "skipped";
    }
    return "unknown";
}

bool journal_state_is_final(enum journal_state s)
{
    return s >= JOURNAL_ANSWERED;
}

enum { TEXT_COUNT = 7 };
static void texts_of(struct journal_message *m, char **ret[TEXT_COUNT])
{
    ret[0] = &m->message_id;
    ret[1] = &m->conversation;
    ret[2] = &m->context_id;
    ret[3] = &m->task_id;
    ret[4] = &m->request;
    ret[5] = &m->answer;
    ret[6] = &m->why;
}

void journal_message_release(struct journal_message *m)
{
    char **text[TEXT_COUNT];

    texts_of(m, text);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        free(*text[i]);
        *text[i] = NULL;
    }
}

int journal_message_copy(const struct journal_message *from, struct journal_message *to)
{
    struct journal_message copy = *from;
    char **text[TEXT_COUNT];
    bool is_short = false;

    texts_of(&copy, text);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (!*text[i])
            continue;
        *text[i] = strdup(*text[i]);
        is_short = is_short || !*text[i];
    }
    *to = copy;
    if (!is_short)
        return 0;
    journal_message_release(to);
    return -ENOMEM;
}

void journal_conversation_release(struct journal_conversation *c)
{
    free(c->conversation);
    free(c->context_id);
    free(c->task_id);
    *c = (struct journal_conversation){0};
}

static void messages_free(struct op *op)
{
    for (size_t i = 0; i < op->n; i++)
        journal_message_release(&op->v[i]);
    free(op->v);
    op->v = NULL;
    op->n = 0;
}

void op_forget_results(struct op *op)
{
    op->code = 0;
    for (size_t i = 0; op->kind == OP_ADD && i < op->n; i++)
        op->v[i].seq = 0;
    if (op->kind == OP_READ)
        messages_free(op);
    if (op->kind == OP_READ_CONVERSATION) {
        free(op->c.context_id);
        free(op->c.task_id);
        op->c.context_id = op->c.task_id = NULL;
    }
}

void op_free(struct op *op)
{
    if (!op)
        return;
    messages_free(op);
    journal_conversation_release(&op->c);
    free(op->conversation);
    free(op->row_id);
    free(op->answer);
    free(op);
}
