/*
 * Messages into memory and out of it: from the feed (queue_put), from the journal (queue_refill).
 *
 * What is here of a conversation is the oldest of it, without a gap; newer ones may be in the
 * journal only: it is cut. While the window is full there may be whole conversations that are not
 * here: it is behind. Whatever comes meanwhile for these waits in the journal too, or it would
 * overtake. A refill reads the journal from its oldest message on, page by page, until the window
 * is full again or the end has been seen.
 */
#include "inbox/window.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const unsigned UNFINISHED =
    1U << JOURNAL_SEEN | 1U << JOURNAL_DELIVERED | 1U << JOURNAL_ANSWERING;

/* ---- conversations ---- */

static struct list *bucket_of(struct queue *q, const char *key)
{
    return &q->buckets[hash_of(&q->hash, slice_of(key)) % WINDOW_BUCKETS]; /* senders choose it */
}

static struct conversation *find(struct queue *q, const char *key)
{
    struct list *bucket = bucket_of(q, key);

    LIST_FOREACH(node, bucket)
    {
        struct conversation *c = container_of(node, struct conversation, bucket);

        if (strcmp(c->known.conversation, key) == 0)
            return c;
    }
    return NULL;
}

static void conversation_free(struct conversation *c)
{
    list_remove(&c->node);
    list_remove(&c->bucket);
    journal_conversation_release(&c->known);
    free(c);
}

/* The one that has been without messages for longest goes. */
static void forget_an_empty_one(struct queue *q)
{
    LIST_FOREACH(node, &q->rest)
    {
        struct conversation *c = container_of(node, struct conversation, node);

        if (c->count == 0 && c->is_known && !c->is_changed && !c->is_cut) {
            conversation_free(c);
            q->empty--;
            return;
        }
    }
}

static void on_known(void *arg, int code, struct journal_conversation *k)
{
    struct conversation *c = arg;
    struct queue *q = c->queue;

    c->is_known = true; /* also when it could not be read: its context is told anew */
    if (code == 0 && k) {
        c->known.context_id = ptr_take(&k->context_id);
        c->known.task_id = ptr_take(&k->task_id);
    }
    window_place(q, c);
    if (!q->inbox->is_finishing)
        loop_defer(q->inbox->loop, &q->wake, window_on_wake);
}

static struct conversation *conversation_new(struct queue *q, const char *key)
{
    struct conversation *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    list_init(&c->node);
    list_init(&c->bucket);
    list_init(&c->messages);
    c->queue = q;
    c->known.conversation = slice_dup(slice_of(key));
    if (!c->known.conversation ||
        journal_read_conversation(q->inbox->journal, key, on_known, c) < 0) {
        conversation_free(c);
        return NULL;
    }
    q->empty++;
    list_append(bucket_of(q, key), &c->bucket);
    list_append(&q->rest, &c->node);
    if (q->empty > QUEUE_CONVERSATIONS_KEPT)
        forget_an_empty_one(q);
    return c;
}

/* ---- messages ---- */

void window_start_work(struct conversation *c, struct message *m)
{
    c->working = m;
    c->queue->in_work++;
}

void window_end_work(struct conversation *c, const struct message *m)
{
    if (c->working != m)
        return;
    c->working = NULL;
    c->queue->in_work--;
}

int64_t window_due(const struct inbox *i, int64_t due_ms)
{
    int64_t wait_ms = due_ms > 0 ? due_ms - clock_wall_ms() : 0;

    if (wait_ms <= 0)
        return 0;
    return loop_now_ms(i->loop) + (wait_ms < QUEUE_DUE_MAX_MS ? wait_ms : QUEUE_DUE_MAX_MS);
}

size_t window_bytes_of(const struct journal_message *m)
{
    const char *texts[] = {m->message_id, m->conversation, m->context_id, m->task_id,
                           m->request,    m->answer,       m->why};
    size_t n = sizeof(struct message);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        n += texts[i] ? strlen(texts[i]) : 0;
    return n;
}

static void message_free(struct message *m)
{
    list_remove(&m->node);
    timer_stop(&m->timer);
    port_cancel(m->port);
    call_cancel(&m->call);
    str_release(&m->call.url);
    str_release(&m->call.body);
    free(m->scratch);
    journal_message_release(&m->j);
    free(m);
}

static void remember_end(struct queue *q, int64_t seq)
{
    if (!q->is_refilling || q->ended_count == SIZE_MAX)
        return;
    if (q->ended_count == q->ended_cap) {
        size_t cap = q->ended_cap ? q->ended_cap * 2 : 64;
        int64_t *more = realloc(q->ended, cap * sizeof(*more));

        if (!more) { /* what the read finds is then not to be used at all */
            q->ended_count = SIZE_MAX;
            return;
        }
        q->ended = more;
        q->ended_cap = cap;
    }
    q->ended[q->ended_count++] = seq;
}

static bool has_ended(const struct queue *q, int64_t seq)
{
    for (size_t i = 0; i < q->ended_count; i++)
        if (q->ended[i] == seq)
            return true;
    return false;
}

void window_forget(struct message *m)
{
    struct conversation *c = m->in;
    struct queue *q = c->queue;

    remember_end(q, m->j.seq);
    window_end_work(c, m);
    q->messages--;
    q->bytes -= m->bytes;
    c->count--;
    q->empty += c->count == 0;
    q->is_low = q->is_low || (c->is_cut && c->count <= QUEUE_PER_CONVERSATION / 4);
    message_free(m);
}

/* Behind those of smaller seq. false: it is there already. */
static bool insert(struct conversation *c, struct message *m)
{
    struct list *at = c->messages.prev;

    while (at != &c->messages) {
        int64_t seq = container_of(at, struct message, node)->j.seq;

        if (seq == m->j.seq)
            return false;
        if (seq < m->j.seq)
            break;
        at = at->prev;
    }
    list_insert_before(at->next, &m->node);
    return true;
}

static bool has_room(const struct queue *q, size_t bytes)
{
    if (q->messages == 0)
        return true; /* whatever its size: one must fit */
    return q->messages < QUEUE_MESSAGES_MAX && bytes <= QUEUE_BYTES_MAX &&
           q->bytes <= QUEUE_BYTES_MAX - bytes;
}

/* The newest of c here; 0: none. */
static int64_t newest_of(const struct conversation *c)
{
    return list_is_empty(&c->messages)
               ? 0
               : container_of(c->messages.prev, struct message, node)->j.seq;
}

static void cut(struct queue *q, struct conversation *c)
{
    c->is_cut = true;
    q->is_low = q->is_low || c->count <= QUEUE_PER_CONVERSATION / 4;
}

static void fall_behind(struct queue *q)
{
    q->is_behind = true;
    q->has_dropped = true;
}

/* Moves j in. 0; -EEXIST; -ENOMEM. */
static int admit(struct queue *q, struct conversation *c, struct journal_message *j)
{
    struct message *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    *m = (struct message){.inbox = q->inbox, .in = c, .j = *j, .bytes = window_bytes_of(j)};
    m->is_left = q->inbox->first_seq == 0 || j->seq < q->inbox->first_seq;
    m->timer.arg = m;
    list_init(&m->node);
    if (!insert(c, m)) {
        free(m);
        return -EEXIST;
    }
    *j = (struct journal_message){0};
    m->due_loop_ms = window_due(q->inbox, m->j.due_ms);
    q->empty -= c->count == 0;
    q->messages++;
    q->bytes += m->bytes;
    c->count++;
    if (!c->working)
        window_place(q, c);
    return 0;
}

static const char *key_of(const struct journal_message *m)
{
    return m->conversation ? m->conversation : "";
}

/* May m, which is news, be put behind what is here of c (NULL: nothing is)? */
static bool is_next(struct queue *q, struct conversation *c, const struct journal_message *m)
{
    if (c && m->seq < newest_of(c))
        return true; /* the operator's retry of an old one; or it is here already */
    if (!c)
        return !q->is_behind && has_room(q, window_bytes_of(m));
    return !c->is_cut && c->count < QUEUE_PER_CONVERSATION &&
           (has_room(q, window_bytes_of(m)) || c->count == 0);
}

void queue_put(struct inbox *i, struct journal_message *m)
{
    struct queue *q = i->queue;
    struct conversation *c = find(q, key_of(m));
    int rc = -ENOMEM;

    if (!journal_state_is_final(m->state) && m->seq != 0) {
        if (is_next(q, c, m)) {
            c = c ? c : conversation_new(q, key_of(m));
            rc = c ? admit(q, c, m) : -ENOMEM;
        }
        if (rc == -ENOMEM && c) {
            c->dropped_in = q->refill;
            cut(q, c);
        } else if (rc == -ENOMEM) {
            fall_behind(q);
        }
        loop_defer(i->loop, &q->wake, window_on_wake);
    }
    journal_message_release(m);
    *m = (struct journal_message){0};
}

/* ---- from the journal ---- */

static void on_page(void *arg, int code, struct journal_message *v, size_t n);

static void refill_ends(struct queue *q, bool has_seen_all)
{
    q->is_refilling = false;
    q->ended_count = 0;
    q->refilled_ms = loop_now_ms(q->inbox->loop);
    if (has_seen_all && !q->has_dropped)
        q->is_behind = false;
    for (size_t b = 0; b < WINDOW_BUCKETS; b++) {
        LIST_FOREACH(node, &q->buckets[b])
        {
            struct conversation *c = container_of(node, struct conversation, bucket);

            /* what was not read may hold more of any of them */
            c->is_cut = !has_seen_all ||
                        (c->is_cut && (c->stopped_in == q->refill || c->dropped_in == q->refill));
        }
    }
    loop_defer(q->inbox->loop, &q->wake, window_on_wake);
}

static void read_page(struct queue *q, int64_t after_seq)
{
    const struct journal_query query = {.states = UNFINISHED,
                                        .after_seq = after_seq,
                                        .per_conversation = QUEUE_PER_CONVERSATION,
                                        .limit = JOURNAL_READ_MAX};

    q->page++;
    if (journal_read(q->inbox->journal, &query, on_page, q) < 0)
        refill_ends(q, false);
}

static void count_shown(struct queue *q, struct conversation *c)
{
    c->shown = c->page == q->page ? c->shown + 1 : 1;
    c->page = q->page;
}

/* One row of a page. false: the window is full. */
static bool take_row(struct queue *q, struct journal_message *m)
{
    struct conversation *c = find(q, key_of(m));

    if (c)
        count_shown(q, c);
    if (has_ended(q, m->seq))
        return true;
    if (c && c->stopped_in == q->refill)
        return true; /* there are older ones that are not here */
    if (c && c->count >= QUEUE_PER_CONVERSATION && m->seq > newest_of(c)) {
        c->stopped_in = q->refill;
        cut(q, c);
        return true;
    }
    if (!has_room(q, window_bytes_of(m)) && !(c && m->seq <= newest_of(c)))
        return false;
    if (!c) {
        c = conversation_new(q, key_of(m));
        if (!c)
            return false;
        c->is_cut = true; /* until all pages were read: news must not overtake what they show */
        count_shown(q, c);
    }
    return admit(q, c, m) != -ENOMEM;
}

/* Of whom a page shows as many as it may, it may have left some out. */
static void stop_full_ones(struct queue *q)
{
    for (size_t b = 0; b < WINDOW_BUCKETS; b++) {
        LIST_FOREACH(node, &q->buckets[b])
        {
            struct conversation *c = container_of(node, struct conversation, bucket);

            if (c->page == q->page && c->shown >= QUEUE_PER_CONVERSATION) {
                c->stopped_in = q->refill;
                cut(q, c);
            }
        }
    }
}

static void on_page(void *arg, int code, struct journal_message *v, size_t n)
{
    struct queue *q = arg;
    int64_t last = n > 0 ? v[n - 1].seq : 0;
    bool is_good = !q->inbox->is_finishing && code == 0 && q->ended_count != SIZE_MAX;
    size_t at = 0;

    for (; is_good && at < n && take_row(q, &v[at]); at++)
        ;
    if (at < n) {
        q->is_behind = true;
        refill_ends(q, false);
        return;
    }
    stop_full_ones(q);
    if (n > 0 &&
        is_good) /* a page may end early, behind many texts: only an empty one is the end */
        read_page(q, last);
    else
        refill_ends(q, is_good);
}

void queue_refill(struct inbox *i)
{
    struct queue *q = i->queue;

    if (q->is_refilling || i->is_finishing)
        return;
    timer_stop(&q->refill_timer);
    q->is_refilling = true;
    q->has_dropped = false;
    q->is_low = false;
    q->refill++;
    read_page(q, 0);
}

static void on_refill_due(struct timer *t)
{
    struct queue *q = t->arg;

    queue_refill(q->inbox);
}

void window_refill_if_low(struct queue *q)
{
    bool has_much_room = q->messages <= QUEUE_MESSAGES_MAX / 2 && q->bytes <= QUEUE_BYTES_MAX / 2;
    int64_t at_ms = q->refilled_ms + WINDOW_REFILL_PAUSE_MS;

    bool has_some_room = q->messages <= QUEUE_MESSAGES_MAX / 4 * 3;
    bool is_wanted =
        (q->is_behind && has_much_room) || (q->is_low && (!q->is_behind || has_some_room));
    if (q->is_refilling || q->refill_timer.armed || !is_wanted)
        return;
    if (at_ms <= loop_now_ms(q->inbox->loop))
        queue_refill(q->inbox);
    else
        timer_start(&q->refill_timer, q->inbox->loop, at_ms, on_refill_due, q);
}

void window_drop_all(struct queue *q)
{
    struct list *first;

    timer_stop(&q->refill_timer);
    deferred_cancel(&q->wake);
    for (size_t b = 0; b < WINDOW_BUCKETS; b++) {
        while ((first = list_first(&q->buckets[b]))) {
            struct conversation *c = container_of(first, struct conversation, bucket);
            struct list *m;

            while ((m = list_first(&c->messages)))
                message_free(container_of(m, struct message, node));
            conversation_free(c);
        }
    }
    q->messages = q->bytes = q->in_work = q->empty = 0;
    q->later_ms = 0;
}
