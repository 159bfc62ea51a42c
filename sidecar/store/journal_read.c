/*
 * What the journal's readers get: messages by a query, a conversation, where the feed is read.
 */
#include "store/journal_parts.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* ---- messages ---- */

enum {
    BITS_OPEN = 1U << JOURNAL_SEEN | 1U << JOURNAL_DELIVERED | 1U << JOURNAL_ANSWERING,
    BITS_HELD = 1U << JOURNAL_PARKED | 1U << JOURNAL_DEAD,
};

static void add_columns(struct str *sql, bool has_texts)
{
    str_addf(sql,
             "SELECT m.seq, m.state, m.row_id, m.sender, m.created_us, m.changed_ms, m.due_ms,"
             " m.attempts, m.deaths, m.parts_sent, m.message_id, m.conversation, m.context_id,"
             " m.task_id, %s, m.why, m.answer_tries, m.answer_resends, m.answer_trouble_ms"
             " FROM message AS m ",
             has_texts ? "b.request, b.answer" : "NULL, NULL");
}

static const char *index_of(const struct journal_query *q, bool is_open, bool is_held)
{
    if (q->row_id)
        return ""; /* it has its own */
    if (is_open)
        return q->conversation ? "INDEXED BY message_turn " : "INDEXED BY message_open ";
    if (q->conversation)
        return "INDEXED BY message_talk ";
    return is_held ? "INDEXED BY message_held " : "";
}

/* A partial index is taken only where its own words stand in the query. */
static void add_query(struct str *sql, const struct journal_query *q)
{
    bool is_open = q->states != 0 && (q->states & ~(unsigned)BITS_OPEN) == 0;
    bool is_held = q->states != 0 && (q->states & ~(unsigned)BITS_HELD) == 0;

    add_columns(sql, !q->is_brief && !q->answer);
    str_addz(sql, index_of(q, is_open, is_held));
    if (!q->is_brief || q->answer)
        str_addz(sql, "LEFT JOIN body AS b ON b.seq = m.seq ");
    str_addz(sql, "WHERE m.seq > ?1");
    if (is_open)
        str_addz(sql, " AND m.state IN (1, 2, 3)");
    if (is_held)
        str_addz(sql, " AND m.state IN (5, 6)");
    if (q->states)
        str_addz(sql, " AND (?2 >> m.state) & 1");
    if (q->conversation)
        str_addz(sql, " AND m.conversation = ?3");
    if (q->row_id)
        str_addz(sql, " AND m.row_id = ?4");
    if (q->changed_from_ms)
        str_addz(sql, " AND m.changed_ms >= ?7");
    if (q->answer)
        str_addz(sql, " AND m.sender = '' AND b.answer = ?8");
    if (q->per_conversation) {
        /* older ones of the same conversation that match too: fewer than the limit */
        str_addf(sql,
                 " AND (SELECT count(*) FROM (SELECT 1 FROM message AS o %s WHERE "
                 "o.conversation = m.conversation AND o.seq > ?1 AND o.seq < m.seq",
                 is_open ? "INDEXED BY message_turn" : "INDEXED BY message_talk");
        if (is_open)
            str_addz(sql, " AND o.state IN (1, 2, 3)");
        if (q->states)
            str_addz(sql, " AND (?2 >> o.state) & 1");
        str_addz(sql, " LIMIT ?5)) < ?5");
    }
    str_addf(sql, " ORDER BY m.seq %s LIMIT ?6", q->newest_first ? "DESC" : "ASC");
}

static void copy_id(sqlite3_stmt *s, int i, char ret[JOURNAL_ID_LEN + 1])
{
    const char *text = (const char *)sqlite3_column_text(s, i);

    (void)snprintf(ret, JOURNAL_ID_LEN + 1, "%s", text ? text : "");
}

static int read_row(sqlite3_stmt *s, struct journal_message *m)
{
    char **const text[] = {&m->message_id, &m->conversation, &m->context_id, &m->task_id,
                           &m->request,    &m->answer,       &m->why};
    int rc = 0;

    m->seq = sqlite3_column_int64(s, 0);
    m->state = (enum journal_state)sqlite3_column_int(s, 1);
    copy_id(s, 2, m->row_id);
    copy_id(s, 3, m->sender);
    m->created_us = sqlite3_column_int64(s, 4);
    m->changed_ms = sqlite3_column_int64(s, 5);
    m->due_ms = sqlite3_column_int64(s, 6);
    m->attempts = (unsigned)sqlite3_column_int(s, 7);
    m->deaths = (unsigned)sqlite3_column_int(s, 8);
    m->parts_sent = (unsigned)sqlite3_column_int(s, 9);
    for (int i = 0; rc == 0 && i < (int)(sizeof(text) / sizeof(text[0])); i++)
        rc = column_text(s, 10 + i, text[i]);
    m->answer_tries = (unsigned)sqlite3_column_int(s, 17);
    m->answer_resends = (unsigned)sqlite3_column_int(s, 18);
    m->answer_trouble_ms = sqlite3_column_int64(s, 19);
    return rc;
}

static size_t row_bytes(sqlite3_stmt *s)
{
    return (size_t)sqlite3_column_bytes(s, 14) + (size_t)sqlite3_column_bytes(s, 15);
}

static int read_rows(struct disk *k, sqlite3_stmt *s, unsigned limit, struct op *op,
                     struct err *err)
{
    size_t bytes = 0;
    int rc;

    op->v = calloc(limit, sizeof(*op->v));
    if (!op->v) {
        op->code = -ENOMEM;
        return 0;
    }
    while (bytes < JOURNAL_READ_BYTES && op->n < limit && (rc = disk_step(k, s, err)) != 0) {
        if (rc < 0)
            return rc;
        bytes += row_bytes(s);
        if (read_row(s, &op->v[op->n++]) < 0) {
            op_forget_results(op);
            op->code = -ENOMEM;
            return 0;
        }
    }
    return 0;
}

int read_messages(struct disk *k, struct op *op, struct err *err)
{
    const struct journal_query *q = &op->q;
    unsigned limit = q->limit && q->limit < JOURNAL_READ_MAX ? q->limit : JOURNAL_READ_MAX;
    CLEANUP(str_release) struct str sql = {0};
    sqlite3_stmt *s = NULL;
    int rc;

    add_query(&sql, q);
    if (!str_ok(&sql)) {
        op->code = -ENOMEM;
        return 0;
    }
    rc = sqlite3_prepare_v2(k->d.db, str_z(&sql), -1, &s, NULL);
    if (rc != SQLITE_OK)
        return database_error(&k->d, rc, err);
    (void)sqlite3_bind_int64(s, 1, q->after_seq); /* those the query does not name are ignored */
    (void)sqlite3_bind_int64(s, 2, q->states);
    if (q->conversation)
        bind_text(s, 3, q->conversation);
    if (q->row_id)
        bind_text(s, 4, q->row_id);
    (void)sqlite3_bind_int64(s, 5, q->per_conversation);
    (void)sqlite3_bind_int64(s, 6, limit);
    (void)sqlite3_bind_int64(s, 7, q->changed_from_ms);
    if (q->answer)
        bind_text(s, 8, q->answer);
    rc = read_rows(k, s, limit, op, err);
    (void)sqlite3_finalize(s);
    return rc;
}

/* ---- the small ones ---- */

int read_conversation(struct disk *k, struct op *op, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_GET_CONVERSATION);
    int rc;

    bind_text(s, 1, op->c.conversation);
    rc = disk_step(k, s, err);
    if (rc == 1 &&
        (column_text(s, 0, &op->c.context_id) < 0 || column_text(s, 1, &op->c.task_id) < 0)) {
        op_forget_results(op);
        op->code = -ENOMEM;
    }
    (void)sqlite3_reset(s);
    return rc < 0 ? rc : 0;
}

int read_start(struct disk *k, struct op *op, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_GET_CURSOR);
    int rc = disk_step(k, s, err);

    op->cursor = (struct journal_cursor){0};
    if (rc == 1) {
        copy_id(s, 0, op->cursor.row_id);
        op->cursor.created_us = sqlite3_column_int64(s, 1);
    }
    op->last_ms = k->last_ms;
    (void)sqlite3_reset(s);
    return rc < 0 ? rc : 0;
}
