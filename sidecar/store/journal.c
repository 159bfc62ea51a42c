/*
 * The loop's side of the journal: ops are copied and queued, batches of them given to the storage
 * thread one at a time, callbacks run in order, and what failed is tried again later. What a batch
 * does is journal_turn.c's.
 */
#include "store/journal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "config/config.h"
#include "log/log.h"
#include "store/journal_parts.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum turn_at { TURN_GIVEN = 0, TURN_RUNNING, TURN_DONE };

/* A job of the storage thread. It outlives the journal when that is closed before its turn came. */
struct turn {
    struct journal *j; /* the thread's while running; NULL: not to be run, or nobody waits */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    enum turn_at at;
    struct err err;
};

struct journal {
    struct loop *loop;
    struct store *store;
    struct list waiting; /* ops, in order */
    size_t waiting_bytes;
    struct list batch; /* ops of the turn under way, or of the one to be tried again */
    struct turn *turn; /* NULL: none under way */
    struct deferred soon;
    struct timer again;
    unsigned failures; /* in a row */
    int64_t backoff_ms;
    bool is_closing;
    struct journal_status status;
    struct turn_state t; /* the thread's while a turn is under way */
};

static struct op *op_of(struct list *node)
{
    return container_of(node, struct op, node);
}

/* ---- callbacks ---- */

static void op_call_back(struct op *op, int code)
{
    switch (op->kind) {
    case OP_ADD:
        if (op->done.added)
            op->done.added(op->arg, code, op->v, op->n);
        break;
    case OP_SET:
        if (op->done.set)
            op->done.set(op->arg, code);
        break;
    case OP_RESTORE:
    case OP_DROP_CURSOR:
        break;
    case OP_READ:
        op->done.read(op->arg, code, op->v, op->n);
        break;
    case OP_READ_CONVERSATION:
        op->done.conversation(op->arg, code, &op->c);
        break;
    case OP_READ_START:
        op->done.start(op->arg, &op->cursor, op->last_ms);
        break;
    case OP_VERIFY:
        op->done.verify(op->arg, op->is_good, op->sentence);
        break;
    }
}

/* code 0: each op's own */
static void call_back_all(struct list *ops, int code)
{
    struct list *node;

    while ((node = list_pop(ops))) {
        struct op *op = op_of(node);

        if (code < 0) {
            op_forget_results(op);
            op->is_good = false;
            (void)snprintf(op->sentence, sizeof(op->sentence), "the journal is being closed");
        }
        op_call_back(op, code < 0 ? code : op->code);
        op_free(op);
    }
}

/* ---- turns ---- */

static void turn_free(struct turn *turn)
{
    (void)pthread_cond_destroy(&turn->ended);
    (void)pthread_mutex_destroy(&turn->lock);
    free(turn);
}

/* On the storage thread. */
static void turn_work(void *arg, struct err *err)
{
    struct turn *turn = arg;
    struct journal *j;

    (void)err; /* the turn has its own */
    (void)pthread_mutex_lock(&turn->lock);
    j = turn->j;
    turn->at = j ? TURN_RUNNING : TURN_DONE;
    (void)pthread_mutex_unlock(&turn->lock);
    if (!j)
        return;
    (void)turn_run(&j->t, &j->batch, &turn->err);
    (void)pthread_mutex_lock(&turn->lock);
    turn->at = TURN_DONE;
    (void)pthread_cond_signal(&turn->ended);
    (void)pthread_mutex_unlock(&turn->lock);
}

static void fill_batch(struct journal *j)
{
    size_t ops = 0, bytes = 0;

    while (ops < JOURNAL_BATCH_OPS && bytes < JOURNAL_BATCH_BYTES) {
        struct list *node = list_pop(&j->waiting);

        if (!node)
            break;
        ops++;
        bytes += op_of(node)->bytes;
        j->waiting_bytes -= op_of(node)->bytes;
        list_append(&j->batch, node);
    }
}

static void on_turn(void *arg, int code, const char *message);
static void on_again(struct timer *timer);

static void try_later(struct journal *j, int code)
{
    int64_t cap_ms = code == -EBUSY ? JOURNAL_BUSY_MAX_MS : JOURNAL_BACKOFF_MAX_MS;
    int64_t wait_ms = backoff_ms(j->backoff_ms, cap_ms, j->failures);

    timer_start(&j->again, j->loop, loop_now_ms(j->loop) + wait_ms, on_again, j);
}

static void turn_give(struct journal *j)
{
    struct turn *turn = calloc(1, sizeof(*turn));

    if (!turn) {
        try_later(j, -ENOMEM);
        return;
    }
    turn->j = j;
    (void)pthread_mutex_init(&turn->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&turn->ended, NULL);
    j->turn = turn;
    if (store_run(j->store, turn_work, on_turn, turn) < 0) { /* its queue is full, or no memory */
        j->turn = NULL;
        turn_free(turn);
        try_later(j, -EAGAIN);
    }
}

/* At the end of the loop's turn, so that what came in it shares a transaction. */
static void on_soon(struct deferred *d)
{
    struct journal *j = container_of(d, struct journal, soon);

    if (j->turn || j->again.armed)
        return;
    if (list_is_empty(&j->batch))
        fill_batch(j);
    if (!list_is_empty(&j->batch) || !j->status.is_open || j->t.wants_checkpoint)
        turn_give(j);
}

static void give_soon(struct journal *j)
{
    if (!j->turn && !j->again.armed)
        loop_defer(j->loop, &j->soon, on_soon);
}

static void on_again(struct timer *timer)
{
    give_soon(timer->arg);
}

/* Once for each change: the disk is tried every few seconds. */
static void log_changes(const struct journal_status *before, const struct journal_status *now)
{
    if (now->notice[0] && strcmp(before->notice, now->notice) != 0)
        log_warning("store", "%s", now->notice);
    if (now->problem[0] && !before->problem[0])
        log_error("store", "%s%s", now->problem,
                  now->is_memory ? "" : "; messages wait until it is written again");
    else if (now->problem[0] && strcmp(before->problem, now->problem) != 0)
        log_warning("store", "%s", now->problem);
    if (!now->problem[0] && before->problem[0])
        log_info("store", "%s is written again", now->path);
}

static void on_turn(void *arg, int code, const char *message)
{
    struct turn *turn = arg;
    struct journal *j = turn->j;
    int rc = turn->err.code;

    (void)code;
    (void)message;
    turn_free(turn);
    if (!j)
        return;
    j->turn = NULL;
    log_changes(&j->status, &j->t.status);
    j->status = j->t.status;
    if (rc < 0) {
        try_later(j, rc);
        j->failures++;
        return;
    }
    j->failures = 0;
    call_back_all(&j->batch, 0);
    give_soon(j);
}

/* ---- opening and closing ---- */

int journal_open(struct loop *l, struct store *store, const struct journal_options *o,
                 struct journal **ret, struct err *err)
{
    const char *network = config_network_fs(o->dir);
    struct journal *j;
    int n;

    if (network)
        return err_set(err, -EINVAL,
                       "state.dir %s is on %s, a network file system: SQLite's locks and syncs "
                       "cannot be relied upon there; use a local disk",
                       o->dir, network);
    j = calloc(1, sizeof(*j));
    if (!j)
        return err_set(err, -ENOMEM, "no memory for the journal");
    j->loop = l;
    j->store = store;
    list_init(&j->waiting);
    list_init(&j->batch);
    j->backoff_ms = o->backoff_ms ? o->backoff_ms : JOURNAL_BACKOFF_MS;
    j->t.checkpoint_frames =
        o->checkpoint_frames ? o->checkpoint_frames : JOURNAL_CHECKPOINT_FRAMES;
    j->t.memory_on_error = o->memory_on_error;
    j->t.memory_retry_ms = o->memory_retry_ms ? o->memory_retry_ms : JOURNAL_MEMORY_RETRY_MS;
    j->t.disk.keep_ms = o->keep_ms ? o->keep_ms : JOURNAL_KEEP_MS;
    j->t.disk.keep_count = o->keep_count ? o->keep_count : JOURNAL_KEEP_COUNT;
    j->t.disk.keep_conversations =
        o->keep_conversations ? o->keep_conversations : JOURNAL_KEEP_CONVERSATIONS;
    j->t.disk.keep_bytes = o->keep_bytes ? o->keep_bytes : JOURNAL_KEEP_BYTES;
    (void)snprintf(j->t.vfs, sizeof(j->t.vfs), "%s", o->vfs ? o->vfs : "");
    (void)snprintf(j->t.dir, sizeof(j->t.dir), "%s", o->dir);
    n = snprintf(j->t.status.path, sizeof(j->t.status.path), "%s/" JOURNAL_FILE, o->dir);
    if (n < 0 || (size_t)n >= DATABASE_PATH_MAX) {
        free(j);
        return err_set(err, -EINVAL, "state.dir is longer than %d bytes: use a shorter path",
                       DATABASE_PATH_MAX - 16);
    }
    j->status = j->t.status;
    give_soon(j);
    *ret = j;
    return 0;
}

/* The turn under way has ended, or will never begin: its batch is ours again. */
static void take_back(struct journal *j)
{
    struct turn *turn = j->turn;
    int rc = -EBUSY;

    if (!turn)
        return;
    (void)pthread_mutex_lock(&turn->lock);
    if (turn->at != TURN_GIVEN) {
        while (turn->at != TURN_DONE) /* as long as the disk takes */
            (void)pthread_cond_wait(&turn->ended, &turn->lock);
        rc = turn->err.code;
    }
    turn->j = NULL;
    (void)pthread_mutex_unlock(&turn->lock);
    j->turn = NULL; /* freed by on_turn() */
    if (rc == 0)
        call_back_all(&j->batch, 0);
}

void journal_close(struct journal *j)
{
    struct err err = {0};
    int rc = 0;

    if (!j)
        return;
    j->is_closing = true;
    deferred_cancel(&j->soon);
    timer_stop(&j->again);
    take_back(j);
    while (rc == 0 && (!list_is_empty(&j->batch) || !list_is_empty(&j->waiting))) {
        if (list_is_empty(&j->batch))
            fill_batch(j);
        rc = turn_run(&j->t, &j->batch, &err); /* here: the thread has nothing of ours any more */
        j->status = j->t.status;
        if (rc == 0)
            call_back_all(&j->batch, 0);
    }
    if (rc < 0)
        log_error("store", "%s; what was not written is lost with us", err.msg);
    call_back_all(&j->batch, -EBUSY);
    call_back_all(&j->waiting, -EBUSY);
    turn_close(&j->t);
    if (j->t.status.is_memory)
        log_error("store", "%s", j->t.memory_problem);
    free(j);
}

const struct journal_status *journal_status(const struct journal *j)
{
    return &j->status;
}

/* ---- what callers ask ---- */

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) : 0;
}

static struct op *op_new(struct journal *j, enum op_kind kind, void *arg)
{
    struct op *op = j->is_closing ? NULL : calloc(1, sizeof(*op));

    if (!op)
        return NULL;
    list_init(&op->node);
    op->kind = kind;
    op->arg = arg;
    return op;
}

/* Takes over op, also when it fails. */
static int op_give(struct journal *j, struct op *op)
{
    if (j->waiting_bytes + op->bytes > JOURNAL_QUEUE_BYTES) {
        op_free(op);
        return -ENOMEM;
    }
    j->waiting_bytes += op->bytes;
    list_append(&j->waiting, &op->node);
    give_soon(j);
    return 0;
}

static int op_refuse(const struct journal *j, struct op *op)
{
    op_free(op);
    return j->is_closing ? -EBUSY : -ENOMEM;
}

/* op->n counts those copied, so that op_free() frees no more. */
static int op_copy_messages(struct op *op, const struct journal_message *v, size_t n)
{
    op->bytes += sizeof(*op);
    op->v = calloc(n ? n : 1, sizeof(*v));
    if (!op->v)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (journal_message_copy(&v[i], &op->v[i]) < 0)
            return -ENOMEM;
        op->n++;
        op->bytes += sizeof(v[i]) + text_bytes(v[i].request) + text_bytes(v[i].answer);
    }
    return 0;
}

static int copy_text(const char *from, char **to)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -ENOMEM : 0;
}

int journal_add(struct journal *j, const struct journal_message *v, size_t n,
                const struct journal_cursor *cursor, journal_added_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_ADD, arg);

    if (!op || op_copy_messages(op, v, n) < 0)
        return op_refuse(j, op);
    op->done.added = done;
    op->has_cursor = cursor != NULL;
    if (cursor)
        op->cursor = *cursor;
    return op_give(j, op);
}

int journal_set(struct journal *j, const struct journal_message *m,
                const struct journal_conversation *c, journal_done_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_SET, arg);
    struct journal_message short_one = *m;

    short_one.request = NULL; /* never written again: not worth a copy */
    if (!op || op_copy_messages(op, &short_one, 1) < 0)
        return op_refuse(j, op);
    op->done.set = done;
    op->has_conversation = c != NULL;
    if (c && (copy_text(c->conversation, &op->c.conversation) < 0 ||
              copy_text(c->context_id, &op->c.context_id) < 0 ||
              copy_text(c->task_id, &op->c.task_id) < 0))
        return op_refuse(j, op);
    return op_give(j, op);
}

int journal_restore(struct journal *j, const struct journal_message *v, size_t n)
{
    struct op *op = op_new(j, OP_RESTORE, NULL);

    return op && op_copy_messages(op, v, n) == 0 ? op_give(j, op) : op_refuse(j, op);
}

int journal_read(struct journal *j, const struct journal_query *q, journal_read_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_READ, arg);

    if (!op || copy_text(q->conversation, &op->conversation) < 0 ||
        copy_text(q->row_id, &op->row_id) < 0 || copy_text(q->answer, &op->answer) < 0)
        return op_refuse(j, op);
    op->q = *q;
    op->q.conversation = op->conversation;
    op->q.row_id = op->row_id;
    op->q.answer = op->answer;
    op->done.read = done;
    return op_give(j, op);
}

int journal_read_conversation(struct journal *j, const char *conversation,
                              journal_conversation_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_READ_CONVERSATION, arg);

    if (!op || copy_text(conversation ? conversation : "", &op->c.conversation) < 0)
        return op_refuse(j, op);
    op->done.conversation = done;
    return op_give(j, op);
}

int journal_read_start(struct journal *j, journal_start_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_READ_START, arg);

    if (!op)
        return op_refuse(j, op);
    op->done.start = done;
    return op_give(j, op);
}

int journal_drop_cursor(struct journal *j)
{
    struct op *op = op_new(j, OP_DROP_CURSOR, NULL);

    return op ? op_give(j, op) : op_refuse(j, op);
}

int journal_verify(struct journal *j, journal_verify_fn *done, void *arg)
{
    struct op *op = op_new(j, OP_VERIFY, arg);

    if (!op)
        return op_refuse(j, op);
    op->done.verify = done;
    return op_give(j, op);
}
