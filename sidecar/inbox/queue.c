/*
 * The window of unfinished messages: by conversation, by order of arrival, one at a time. Who may
 * be handed over, and when, is deliver.c's; what is written when is everybody's own.
 *
 * A conversation is in one of three lists:
 *
 *   ready   its oldest message waits and none is in work: taken in turns; those whose message is a
 *           suspect (suspects.c) have a list of their own
 *   later   the same, but that message is not due yet
 *   rest    a message of it is in work, or it has none (kept for what the agent knows of it), or
 *           the journal has not said yet what the agent knows of it
 *
 * What does not fit stays in the journal (window.c).
 */
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "inbox/window.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { SAVE_AGAIN_MS = 1000, QUEUE_RESTORE_PART = 16 };

/* ---- places of a conversation ---- */

/* The oldest that waits. One that the operator ended may still be there, until its commit. */
static struct message *head_of(const struct conversation *c)
{
    LIST_FOREACH(node, &c->messages)
    {
        struct message *m = container_of(node, struct message, node);

        if (m->step == STEP_WAITING)
            return m;
    }
    return NULL;
}

/*
 * Suspects are ordered by their deaths: the innocent among them are through before the guilty one
 * kills again, which counts most where each death is ours and ends all else, too.
 */
static void make_ready(struct queue *q, struct conversation *c, const struct message *m)
{
    struct list *head = &q->ready[suspect_is(m) ? QUEUE_SUSPECTS : QUEUE_OTHERS];
    struct list *at = head->prev;

    for (; suspect_is(m) && at != head; at = at->prev) {
        const struct message *before = head_of(container_of(at, struct conversation, node));

        assert(before);
        if (before->j.deaths <= m->j.deaths)
            break;
    }
    list_insert_before(at->next, &c->node);
}

/* Puts c into the list it belongs to. A conversation that was served goes to the end. */
static void place(struct queue *q, struct conversation *c)
{
    struct message *m = head_of(c);

    list_remove(&c->node);
    if (!m || c->working || !c->is_known) {
        list_append(&q->rest, &c->node);
        return;
    }
    if (m->j.state != JOURNAL_SEEN) {
        list_append(&q->resumes, &c->node);
        loop_defer(q->inbox->loop, &q->wake, window_on_wake);
    } else if (m->due_loop_ms > loop_now_ms(q->inbox->loop)) {
        list_append(&q->later, &c->node);
        if (q->later_ms == 0 || m->due_loop_ms < q->later_ms)
            q->later_ms = m->due_loop_ms;
    } else {
        make_ready(q, c, m);
    }
}

/* Those whose time has come are ready; *ret: the next one's time, 0 = none. */
static void look_at_later(struct queue *q)
{
    int64_t now = loop_now_ms(q->inbox->loop);

    if (q->later_ms == 0 || q->later_ms > now)
        return;
    q->later_ms = 0;
    LIST_FOREACH(node, &q->later)
    {
        struct conversation *c = container_of(node, struct conversation, node);
        const struct message *m = head_of(c);

        assert(m);
        int64_t due = m->due_loop_ms;
        if (due <= now) {
            list_remove(&c->node);
            make_ready(q, c, m);
        } else if (q->later_ms == 0 || due < q->later_ms) {
            q->later_ms = due;
        }
    }
}

bool queue_has(struct inbox *i, enum queue_kind kind)
{
    look_at_later(i->queue);
    return !list_is_empty(&i->queue->ready[kind]);
}

struct message *queue_next(struct inbox *i, enum queue_kind kind, int64_t *ret_at_ms)
{
    struct queue *q = i->queue;
    struct list *first;

    look_at_later(q);
    *ret_at_ms = q->later_ms;
    first = list_first(&q->ready[kind]);
    /* texts that wait to be sent count: when they are too many, no more are asked for */
    if (!first || (q->in_work > 0 && q->bytes > QUEUE_BYTES_MAX))
        return NULL;
    struct conversation *c = container_of(first, struct conversation, node);
    struct message *m = head_of(c);

    assert(m);
    window_start_work(c, m);
    m->step = STEP_AT_AGENT;
    place(q, c);
    inbox_work_changed(i);
    return m;
}

void queue_return(struct inbox *i, struct message *m)
{
    struct conversation *c = m->in;

    timer_stop(&m->timer);
    m->step = STEP_WAITING;
    m->due_loop_ms = window_due(i, m->j.due_ms);
    window_end_work(c, m);
    place(i->queue, c);
    inbox_work_changed(i);
    loop_defer(i->loop, &i->queue->wake, window_on_wake);
}

/* Found in the journal in the middle of its way: it goes on from there. */
static void resume(struct queue *q, struct conversation *c)
{
    struct message *m = head_of(c);

    assert(m);
    window_start_work(c, m);
    place(q, c);
    if (m->j.state == JOURNAL_ANSWERING)
        answer_recover(q->inbox, m);
    else if (m->j.answer && m->j.answer[0])
        answer_begin(q->inbox, m);
    else if (m->j.task_id && m->j.task_id[0])
        follow_begin(q->inbox, m);
    else /* delivered, and the reason why is not there: an answer without text */
        deliver_bury(q->inbox, m, "the journal has neither an answer nor a task of it");
    inbox_work_changed(q->inbox);
}

void window_on_wake(struct deferred *d)
{
    struct queue *q = container_of(d, struct queue, wake);
    struct list *first;

    while (!q->inbox->is_finishing && (first = list_first(&q->resumes)))
        resume(q, container_of(first, struct conversation, node));
    window_refill_if_low(q);
    deliver_pump(q->inbox);
}

void window_place(struct queue *q, struct conversation *c)
{
    place(q, c);
}

/* ---- the end of a message ---- */

static void end_again(struct timer *t);

static void on_ended(void *arg, int code)
{
    struct message *m = arg;
    struct inbox *i = m->inbox;
    struct conversation *c = m->in;

    if (code == -ENOENT) /* of the file before this one */
        queue_restore(i);
    if (code == -ENOMEM || code == -ENOENT) {
        timer_start(&m->timer, i->loop, loop_now_ms(i->loop) + SAVE_AGAIN_MS, end_again, m);
        return;
    }
    if (code == -EBUSY) /* closing: the next run finds it as it was */
        return;
    window_forget(m);
    place(i->queue, c);
    inbox_work_changed(i);
    loop_defer(i->loop, &i->queue->wake, window_on_wake);
}

static void end_try(struct message *m)
{
    if (queue_save(m, on_ended, m) < 0)
        on_ended(m, -ENOMEM);
}

static void end_again(struct timer *t)
{
    end_try(t->arg);
}

void queue_end(struct inbox *i, struct message *m)
{
    struct conversation *c = m->in;

    assert(journal_state_is_final(m->j.state) && !m->port);
    timer_stop(&m->timer);
    free(ptr_take(&m->scratch));
    if (!c->working)
        window_start_work(c, m);
    m->step = STEP_SAVING;
    place(i->queue, c);
    end_try(m);
}

/* ---- what is written ---- */

struct journal_conversation *queue_conversation(struct message *m)
{
    return &m->in->known;
}

static int set_text(char **at, const char *text, bool *ret_changed)
{
    char *copy = NULL;

    text = text ? text : "";
    if (strcmp(*at ? *at : "", text) == 0)
        return 0;
    copy = slice_dup(slice_of(text));
    if (!copy)
        return -ENOMEM;
    free(*at);
    *at = copy;
    *ret_changed = true;
    return 0;
}

int queue_set_conversation(struct message *m, const char *context_id, const char *task_id)
{
    struct conversation *c = m->in;
    int rc = set_text(&c->known.context_id, context_id, &c->is_changed);

    return rc < 0 ? rc : set_text(&c->known.task_id, task_id, &c->is_changed);
}

int queue_save(struct message *m, journal_done_fn *done, void *arg)
{
    struct conversation *c = m->in;
    struct queue *q = c->queue;

    q->bytes -= m->bytes;
    m->bytes = window_bytes_of(&m->j);
    q->bytes += m->bytes;
    int rc = journal_set(m->inbox->journal, &m->j, c->is_changed ? &c->known : NULL, done, arg);

    if (rc == 0)
        c->is_changed = false;
    return rc;
}

/* ---- a journal begun anew ---- */

/* Given back in parts: what the journal has no room for now, its next write gives. */
static int restore_conversation(struct queue *q, struct conversation *c)
{
    struct journal_message v[QUEUE_RESTORE_PART];
    size_t n = 0;
    int rc = 0;

    c->is_changed = (c->known.context_id && c->known.context_id[0]) ||
                    (c->known.task_id && c->known.task_id[0]);
    LIST_FOREACH(node, &c->messages)
    {
        v[n++] = container_of(node, struct message, node)->j; /* borrowed: the journal copies */
        if (n < QUEUE_RESTORE_PART && node->next != &c->messages)
            continue;
        rc = journal_restore(q->inbox->journal, v, n);
        n = 0;
        if (rc < 0)
            break;
    }
    return rc;
}

void queue_restore(struct inbox *i)
{
    struct queue *q = i->queue;
    unsigned now = journal_status(i->journal)->generation;

    if (q->generation == now)
        return;
    for (size_t b = 0; b < WINDOW_BUCKETS; b++) {
        LIST_FOREACH(node, &q->buckets[b])
        {
            if (restore_conversation(q, container_of(node, struct conversation, bucket)) < 0)
                return; /* no memory: whoever meets it next tries again */
        }
    }
    q->generation = now;
}

/* ---- questions ---- */

struct message *queue_match(struct inbox *i, queue_match_fn *fn, const void *arg)
{
    struct queue *q = i->queue;
    struct list *all[] = {&q->ready[QUEUE_OTHERS], &q->ready[QUEUE_SUSPECTS], &q->later, &q->rest,
                          &q->resumes};

    for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        LIST_FOREACH(at, all[n])
        {
            LIST_FOREACH(node, &container_of(at, struct conversation, node)->messages)
            {
                struct message *m = container_of(node, struct message, node);

                if (fn(m, arg))
                    return m;
            }
        }
    }
    return NULL;
}

static bool has_row_id(struct message *m, const void *arg)
{
    return strcmp(m->j.row_id, arg) == 0;
}

struct message *queue_find(struct inbox *i, const char *row_id)
{
    return queue_match(i, has_row_id, row_id);
}

int64_t queue_in_work(const struct inbox *i)
{
    return (int64_t)i->queue->in_work;
}

/* ---- life ---- */

int queue_new(struct inbox *i)
{
    struct queue *q = calloc(1, sizeof(*q));

    if (!q)
        return -ENOMEM;
    q->inbox = i;
    q->is_behind = true; /* until the journal was read */
    q->hash = hash_key_new();
    for (size_t n = 0; n < QUEUE_KIND_COUNT; n++)
        list_init(&q->ready[n]);
    list_init(&q->later);
    list_init(&q->rest);
    list_init(&q->resumes);
    for (size_t n = 0; n < WINDOW_BUCKETS; n++)
        list_init(&q->buckets[n]);
    i->queue = q;
    return 0;
}

void queue_release(struct inbox *i)
{
    window_drop_all(i->queue);
}

void queue_free(struct inbox *i)
{
    struct queue *q = i->queue;

    if (!q)
        return;
    window_drop_all(q);
    free(q->ended);
    free(q);
    i->queue = NULL;
}
