/*
 * The storage thread's side of the journal: one attempt at a batch. It opens the file when none is
 * open, looks whether it is whole, sets aside what is not, and after a failure leaves nothing open
 * that could not be trusted. Trying again, and when, is journal.c's.
 */
#include "store/journal_parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- opening ---- */

int disk_load(struct turn_state *t, struct err *err)
{
    struct disk *k = &t->disk;
    int64_t last_ms = 0, top_seq = 0;
    int rc = disk_prepare(k, err);

    if (rc == -EINVAL) /* a table of ours that takes no statement of ours */
        rc = -EBADMSG;
    if (rc < 0 && err)
        err->code = rc;
    if (rc == 0)
        rc = disk_load_tally(k, err);
    if (rc == 0)
        rc = database_number(&k->d, "SELECT last_ms FROM place", &last_ms, err);
    if (rc == 0)
        rc = database_number(&k->d,
                             "SELECT coalesce(max(seq), 0) FROM sqlite_sequence"
                             " WHERE name = 'message'",
                             &top_seq, err);
    if (rc == 0 && top_seq > k->top_seq)
        k->top_seq = top_seq;
    if (rc == 0 && !k->has_last) {
        k->last_ms = last_ms;
        k->has_last = true;
    }
    return rc;
}

void disk_close_failed(struct turn_state *t)
{
    disk_finalize(&t->disk);
    t->must_abandon = database_abandon(&t->disk.d, NULL) < 0;
}

static int open_file(struct turn_state *t, struct err *err)
{
    const char *vfs = t->vfs[0] ? t->vfs : NULL;
    enum database_check check = t->was_damaged           ? DATABASE_CHECK_FULL
                                : t->disk.d.is_wal_known ? DATABASE_CHECK_NONE
                                                         : DATABASE_CHECK_QUICK;
    int rc;

    if (t->must_abandon) {
        rc = database_abandon(&t->disk.d, err);
        if (rc < 0)
            return rc;
        t->must_abandon = false;
    }
    rc = dir_make(t->dir, 0700, err);
    if (rc == 0)
        rc = database_open(&t->disk.d, t->status.path, vfs, &journal_schema, check, err);
    if (rc < 0)
        return rc;
    t->is_anew = t->is_anew || t->disk.d.was_new;
    rc = disk_load(t, err);
    if (rc < 0)
        disk_close_failed(t);
    return rc;
}

/* Its numbers go on behind those of the last one: messages in memory keep theirs. */
int turn_begin_anew(struct turn_state *t, struct err *err)
{
    char sql[192];
    int rc = 0;

    (void)snprintf(sql, sizeof(sql),
                   "BEGIN IMMEDIATE; DELETE FROM sqlite_sequence WHERE name = 'message';"
                   "INSERT INTO sqlite_sequence (name, seq) VALUES ('message', %lld); COMMIT",
                   (long long)t->disk.top_seq);
    if (t->disk.top_seq > 0)
        rc = database_exec(&t->disk.d, sql, err);
    if (rc == 0 && t->status.is_open)
        t->status.generation++;
    return rc;
}

static int set_aside(struct turn_state *t, struct err *err)
{
    char name[DATABASE_PATH_MAX + 64];
    struct err moved = {0};
    int rc = database_set_aside(t->status.path, clock_wall_ms(), name, sizeof(name), &moved);

    if (rc < 0)
        return err_wrap(err, "%s", moved.msg);
    t->disk.d = (struct database){0};
    t->must_abandon = false;
    t->is_anew = true;
    (void)snprintf(
        t->status.notice, sizeof(t->status.notice),
        "%s; it is kept as %s and a new one was begun, which the platform's feed refills", err->msg,
        name);
    *err = (struct err){0};
    return 0;
}

static bool is_empty(const struct tally *t)
{
    int64_t all = 0;

    for (int i = JOURNAL_SEEN; i <= JOURNAL_SKIPPED; i++)
        all += t->count[i];
    return all == 0;
}

static int open_or_begin(struct turn_state *t, struct err *err)
{
    int rc = open_file(t, err);

    /* Whole by every check, and still a statement met damage twice: it goes too. */
    if (rc == 0 && t->was_damaged && t->damaged_in_a_row > 1) {
        disk_close_failed(t);
        rc = err_set(err, -EBADMSG, "%s; the checks find nothing", t->damage);
    }
    if (rc == -EBADMSG) {
        rc = set_aside(t, err);
        t->was_damaged = false;
        if (rc == 0)
            rc = open_file(t, err);
    }
    if (rc < 0)
        return rc;
    t->was_damaged = false;
    if (t->is_anew)
        rc = turn_begin_anew(t, err);
    if (rc < 0) {
        disk_close_failed(t);
        return rc;
    }
    if (!t->status.is_open || t->is_anew)
        t->status.was_refilled = is_empty(&t->disk.tally);
    t->is_anew = false;
    t->status.is_open = true;
    return 0;
}

/* ---- the batch ---- */

static int run_op(struct disk *k, struct op *op, struct err *err)
{
    switch (op->kind) {
    case OP_ADD:
        return write_add(k, op, err);
    case OP_SET:
        return write_set(k, op, err);
    case OP_RESTORE:
        return write_restore(k, op, err);
    case OP_DROP_CURSOR:
        return write_drop_cursor(k, err);
    case OP_READ:
        return read_messages(k, op, err);
    case OP_READ_CONVERSATION:
        return read_conversation(k, op, err);
    case OP_READ_START:
        return read_start(k, op, err);
    case OP_VERIFY:
        return verify(k, op, err);
    }
    return 0;
}

static int run_ops(struct disk *k, struct list *batch, struct err *err)
{
    LIST_FOREACH(node, batch)
    {
        struct op *op = container_of(node, struct op, node);
        int rc;

        op_forget_results(op);
        rc = run_op(k, op, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int run_transaction(struct turn_state *t, struct list *batch, struct err *err)
{
    struct disk *k = &t->disk;
    int rc = disk_run(k, disk_stmt(k, STMT_BEGIN), err);

    k->changes = 0;
    if (rc == 0)
        rc = run_ops(k, batch, err);
    if (rc == 0)
        rc = tidy(k, err);
    if (rc == 0)
        rc = write_end(k, err);
    if (rc == 0)
        rc = disk_run(k, disk_stmt(k, STMT_COMMIT), err);
    return rc;
}

static size_t count_writes(struct list *batch)
{
    size_t n = 0;

    LIST_FOREACH(node, batch)
    {
        n += op_is_write(container_of(node, struct op, node));
    }
    return n;
}

static void note_commit(struct turn_state *t, size_t writes, int64_t took_ms)
{
    t->status.commits++;
    t->status.writes += writes;
    if (writes > t->status.batch_max)
        t->status.batch_max = writes;
    if (took_ms > t->status.commit_worst_ms)
        t->status.commit_worst_ms = took_ms;
    t->wants_checkpoint = t->disk.d.wal_frames >= t->checkpoint_frames;
}

static int run_batch(struct turn_state *t, struct list *batch, struct err *err)
{
    int64_t began_ms = clock_mono_ms();
    size_t writes = count_writes(batch);
    int rc;

    if (writes == 0)
        return run_ops(&t->disk, batch, err);
    rc = run_transaction(t, batch, err);
    if (rc == 0)
        note_commit(t, writes, clock_mono_ms() - began_ms);
    return rc;
}

/* ---- a turn ---- */

static void publish(struct turn_state *t, const struct err *err)
{
    struct journal_status *s = &t->status;
    const char *problem = err->code < 0 ? err->msg : s->is_memory ? t->memory_problem : "";

    if (t->disk.d.db) {
        memcpy(s->count, t->disk.tally.count, sizeof(s->count));
        s->oldest_waiting_us = t->disk.tally.oldest_us;
    }
    (void)snprintf(s->problem, sizeof(s->problem), "%s", problem);
}

static int attempt(struct turn_state *t, struct list *batch, struct err *err)
{
    int rc = t->disk.d.db ? 0 : open_or_begin(t, err);

    if (rc == 0 && t->wants_checkpoint)
        rc = database_checkpoint(&t->disk.d, err);
    if (rc == 0) {
        t->wants_checkpoint = false;
        rc = run_batch(t, batch, err);
    }
    return rc;
}

/* Nothing of the attempt is left, and nothing is open that could not be trusted. */
static void clean_up(struct turn_state *t, const struct err *err)
{
    if (!t->disk.d.db)
        return;
    t->was_damaged = err->code == -EBADMSG;
    t->damaged_in_a_row += t->was_damaged;
    if (t->was_damaged)
        (void)snprintf(t->damage, sizeof(t->damage), "%.400s", err->msg);
    if (!t->status.is_memory) {
        disk_close_failed(t);
        return;
    }
    (void)disk_run(&t->disk, disk_stmt(&t->disk, STMT_ROLLBACK), NULL); /* it is all there is */
    (void)disk_load_tally(&t->disk, NULL);
}

int turn_run(struct turn_state *t, struct list *batch, struct err *err)
{
    int rc;

    t->disk.now_ms = clock_wall_ms();
    memory_try_leave(t, false);
    rc = attempt(t, batch, err);
    if (rc < 0) {
        rc = memory_enter(t, err);
        if (rc == 0)
            rc = attempt(t, batch, err);
    }
    if (rc < 0)
        clean_up(t, err);
    else
        t->damaged_in_a_row = 0;
    publish(t, err);
    return rc;
}

void turn_close(struct turn_state *t)
{
    memory_try_leave(t, true);
    disk_finalize(&t->disk);
    if (t->must_abandon)
        (void)database_abandon(t->status.is_memory ? &t->file : &t->disk.d, NULL);
    database_close(&t->disk.d);
}
