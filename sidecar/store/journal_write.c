/*
 * What the journal's writes do to its tables, inside the transaction of their batch.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- counts ---- */

/* from 0: new; to 0: deleted */
void tally_move(struct disk *k, int64_t seq, int from, int to, int64_t created_us)
{
    struct tally *t = &k->tally;

    k->changes++;
    if (from == to)
        return;
    t->count[from]--;
    t->count[to]++;
    t->count[0] = 0;
    if (from == JOURNAL_SEEN && seq == t->oldest_seq)
        t->is_oldest_stale = true;
    if (to == JOURNAL_SEEN && (t->oldest_seq == 0 || seq < t->oldest_seq)) {
        t->oldest_seq = seq;
        t->oldest_us = created_us;
        t->is_oldest_stale = false; /* whatever was older is not there any more */
    }
}

int tally_refresh_oldest(struct disk *k, struct err *err)
{
    struct tally *t = &k->tally;
    sqlite3_stmt *s;
    int rc;

    if (!t->is_oldest_stale)
        return 0;
    s = disk_stmt(k, STMT_OLDEST);
    (void)sqlite3_bind_int64(s, 1, t->oldest_seq);
    rc = disk_step(k, s, err);
    if (rc < 0)
        return rc;
    t->oldest_seq = rc == 1 ? sqlite3_column_int64(s, 0) : 0;
    t->oldest_us = rc == 1 ? sqlite3_column_int64(s, 1) : 0;
    t->is_oldest_stale = false;
    (void)sqlite3_reset(s);
    return 0;
}

/* ---- add ---- */

static int is_known(struct disk *k, const struct journal_message *m, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_FIND_ROW);
    int rc;

    bind_text(s, 1, m->row_id);
    rc = disk_step(k, s, err);
    (void)sqlite3_reset(s);
    return rc;
}

/* 1: the same message came in another row, and why says in which. */
static int is_twin(struct disk *k, const struct journal_message *m, char *why, size_t size,
                   struct err *err)
{
    sqlite3_stmt *s;
    int rc;

    if (m->state == JOURNAL_SKIPPED || !m->message_id || !m->message_id[0])
        return 0;
    s = disk_stmt(k, STMT_FIND_TWIN);
    bind_text(s, 1, m->sender);
    bind_text(s, 2, m->message_id);
    rc = disk_step(k, s, err);
    if (rc == 1)
        (void)snprintf(why, size, "the same message as row %s: its sender and message id are known",
                       (const char *)sqlite3_column_text(s, 0));
    (void)sqlite3_reset(s);
    return rc;
}

static int insert_body(struct disk *k, const struct journal_message *m, int64_t seq,
                       struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_INSERT_BODY);

    (void)sqlite3_bind_int64(s, 1, seq);
    if (m->request)
        bind_text(s, 2, m->request);
    if (m->answer)
        bind_text(s, 3, m->answer);
    return disk_run(k, s, err);
}

static void bind_message(struct disk *k, sqlite3_stmt *s, const struct journal_message *m,
                         int state, bool is_work, const char *why)
{
    bind_text(s, 1, m->row_id);
    (void)sqlite3_bind_int(s, 2, state);
    (void)sqlite3_bind_int(s, 3, is_work);
    bind_text(s, 4, m->sender);
    bind_text(s, 5, m->message_id);
    bind_text(s, 6, m->conversation);
    (void)sqlite3_bind_int64(s, 7, m->created_us);
    (void)sqlite3_bind_int64(s, 8, k->now_ms);
    (void)sqlite3_bind_int64(s, 9, m->due_ms);
    (void)sqlite3_bind_int64(s, 10, m->attempts);
    (void)sqlite3_bind_int64(s, 11, m->deaths);
    (void)sqlite3_bind_int64(s, 12, m->parts_sent);
    if (m->context_id)
        bind_text(s, 13, m->context_id);
    if (m->task_id)
        bind_text(s, 14, m->task_id);
    if (why)
        bind_text(s, 15, why);
    (void)sqlite3_bind_int64(s, 16, m->answer_tries);
    (void)sqlite3_bind_int64(s, 17, m->answer_resends);
    (void)sqlite3_bind_int64(s, 18, m->answer_trouble_ms);
}

static int insert(struct disk *k, const struct journal_message *m, int state, const char *why,
                  int64_t *ret_seq, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_INSERT);
    int rc;

    bind_message(k, s, m, state, state != JOURNAL_SKIPPED, why);
    rc = disk_run(k, s, err);
    if (rc < 0)
        return rc;
    *ret_seq = sqlite3_last_insert_rowid(k->d.db);
    if (*ret_seq > k->top_seq)
        k->top_seq = *ret_seq;
    tally_move(k, *ret_seq, 0, state, m->created_us);
    return insert_body(k, m, *ret_seq, err);
}

static int add_one(struct disk *k, struct journal_message *m, struct err *err)
{
    char why[128];
    int64_t seq = 0;
    int rc;

    m->seq = 0;
    rc = is_known(k, m, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = is_twin(k, m, why, sizeof(why), err);
    if (rc == 1) /* written down, so that the row is known too; but no work */
        return insert(k, m, JOURNAL_SKIPPED, why, &seq, err);
    if (rc == 0)
        rc = insert(k, m, (int)m->state, m->why, &seq, err);
    if (rc == 0) {
        m->seq = seq;
        m->changed_ms = k->now_ms;
    }
    return rc;
}

static int set_cursor(struct disk *k, const struct journal_cursor *cursor, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_SET_CURSOR);

    bind_text(s, 1, cursor->row_id);
    (void)sqlite3_bind_int64(s, 2, cursor->created_us);
    return disk_run(k, s, err);
}

int write_add(struct disk *k, struct op *op, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < op->n; i++)
        rc = add_one(k, &op->v[i], err);
    if (rc == 0 && op->has_cursor)
        rc = set_cursor(k, &op->cursor, err);
    return rc;
}

/* ---- restore ---- */

static int find_state(struct disk *k, const struct journal_message *m, int *ret_state,
                      struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_FIND_STATE);
    int rc;

    (void)sqlite3_bind_int64(s, 1, m->seq);
    bind_text(s, 2, m->row_id);
    rc = disk_step(k, s, err);
    if (rc == 1)
        *ret_state = sqlite3_column_int(s, 0);
    (void)sqlite3_reset(s);
    return rc;
}

/* The feed has shown it to the new file before us: its number, and how far it is, are ours. */
static int drop_newer(struct disk *k, const struct journal_message *m, struct err *err)
{
    static const enum statement both[] = {STMT_DELETE, STMT_DELETE_BODY};
    sqlite3_stmt *s = disk_stmt(k, STMT_FIND_ROW);
    int64_t seq = 0;
    int state = 0, rc;

    bind_text(s, 1, m->row_id);
    rc = disk_step(k, s, err);
    if (rc == 1) {
        seq = sqlite3_column_int64(s, 0);
        state = sqlite3_column_int(s, 1);
    }
    (void)sqlite3_reset(s);
    if (rc <= 0)
        return rc;
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        s = disk_stmt(k, both[i]);
        (void)sqlite3_bind_int64(s, 1, seq);
        rc = disk_run(k, s, err);
        if (rc < 0)
            return rc;
    }
    tally_move(k, seq, state, 0, 0);
    return 0;
}

/* All of them were work. A twin that the new file took in meanwhile holds the index: both stay. */
static int restore_one(struct disk *k, const struct journal_message *m, struct err *err)
{
    char why[128];
    int state = 0;
    int rc = find_state(k, m, &state, err);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = drop_newer(k, m, err);
    if (rc == 0)
        rc = is_twin(k, m, why, sizeof(why), err);
    if (rc < 0)
        return rc;
    sqlite3_stmt *s = disk_stmt(k, STMT_RESTORE);

    bind_message(k, s, m, (int)m->state, rc == 0, m->why);
    (void)sqlite3_bind_int64(s, 19, m->seq);
    rc = disk_run(k, s, err);
    if (rc < 0)
        return rc;
    tally_move(k, m->seq, 0, (int)m->state, m->created_us);
    return insert_body(k, m, m->seq, err);
}

int write_restore(struct disk *k, struct op *op, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < op->n; i++)
        rc = restore_one(k, &op->v[i], err);
    return rc;
}

int write_drop_cursor(struct disk *k, struct err *err)
{
    static const struct journal_cursor none;

    return set_cursor(k, &none, err);
}

/* ---- set ---- */

static int set_message(struct disk *k, const struct journal_message *m, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_SET);

    (void)sqlite3_bind_int64(s, 1, m->seq);
    (void)sqlite3_bind_int(s, 2, (int)m->state);
    (void)sqlite3_bind_int64(s, 3, k->now_ms);
    (void)sqlite3_bind_int64(s, 4, m->due_ms);
    (void)sqlite3_bind_int64(s, 5, m->attempts);
    (void)sqlite3_bind_int64(s, 6, m->deaths);
    (void)sqlite3_bind_int64(s, 7, m->parts_sent);
    if (m->context_id)
        bind_text(s, 8, m->context_id);
    if (m->task_id)
        bind_text(s, 9, m->task_id);
    if (m->why)
        bind_text(s, 10, m->why);
    (void)sqlite3_bind_int64(s, 11, m->answer_tries);
    (void)sqlite3_bind_int64(s, 12, m->answer_resends);
    (void)sqlite3_bind_int64(s, 13, m->answer_trouble_ms);
    return disk_run(k, s, err);
}

static int set_answer(struct disk *k, const struct journal_message *m, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_SET_ANSWER);

    (void)sqlite3_bind_int64(s, 1, m->seq);
    if (m->answer)
        bind_text(s, 2, m->answer);
    return disk_run(k, s, err);
}

static bool is_empty(const char *text)
{
    return !text || !text[0];
}

static int set_conversation(struct disk *k, const struct journal_conversation *c, struct err *err)
{
    bool is_gone = is_empty(c->context_id) && is_empty(c->task_id);
    sqlite3_stmt *get = disk_stmt(k, STMT_GET_CONVERSATION), *s;
    bool was_there;
    int rc;

    bind_text(get, 1, c->conversation);
    rc = disk_step(k, get, err);
    (void)sqlite3_reset(get);
    if (rc < 0)
        return rc;
    was_there = rc == 1;
    if (is_gone && !was_there)
        return 0;
    k->tally.conversations += !is_gone - was_there;
    s = disk_stmt(k, is_gone ? STMT_DROP_CONVERSATION : STMT_SET_CONVERSATION);
    bind_text(s, 1, c->conversation);
    if (is_gone)
        return disk_run(k, s, err);
    bind_text(s, 2, c->context_id);
    bind_text(s, 3, c->task_id);
    (void)sqlite3_bind_int64(s, 4, k->now_ms);
    return disk_run(k, s, err);
}

int write_set(struct disk *k, struct op *op, struct err *err)
{
    const struct journal_message *m = op->v;
    sqlite3_stmt *find = disk_stmt(k, STMT_FIND_STATE);
    int64_t created_us;
    int rc, from;

    (void)sqlite3_bind_int64(find, 1, m->seq);
    bind_text(find, 2, m->row_id); /* after a new beginning another message may have the number */
    rc = disk_step(k, find, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        op->code = -ENOENT;
        return 0;
    }
    from = sqlite3_column_int(find, 0);
    created_us = sqlite3_column_int64(find, 1);
    (void)sqlite3_reset(find);
    if (from < JOURNAL_SEEN || from > JOURNAL_SKIPPED)
        return err_set(err, -EBADMSG, "%s is damaged: message %lld has the state %d", k->d.path,
                       (long long)m->seq, from);
    rc = set_message(k, m, err);
    if (rc == 0)
        rc = set_answer(k, m, err);
    if (rc == 0 && op->has_conversation)
        rc = set_conversation(k, &op->c, err);
    if (rc == 0)
        tally_move(k, m->seq, from, (int)m->state, created_us);
    return rc;
}

int write_end(struct disk *k, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_SET_LAST);
    int rc;

    (void)sqlite3_bind_int64(s, 1, k->now_ms);
    rc = disk_run(k, s, err);
    return rc == 0 ? tally_refresh_oldest(k, err) : rc;
}
