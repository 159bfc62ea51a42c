/*
 * Retention, a small step within each transaction that writes: finished messages go when they are
 * older than the feed could show them again, or too many; unfinished, parked and dead ones never.
 * Freed pages are given back to the file system when they are a quarter of the file.
 */
#include "store/journal_parts.h"

#include "base/clock.h"

#include "base/banned.h"

struct old_one {
    int64_t seq;
    int state;
};

/* The oldest finished ones before a time, at most `limit` (<= JOURNAL_TIDY_STEP). */
static int find_old(struct disk *k, int64_t before_ms, int64_t limit,
                    struct old_one ret[JOURNAL_TIDY_STEP], int *ret_n, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_OLD_ONES);
    int n = 0, rc;

    (void)sqlite3_bind_int64(s, 1, before_ms);
    (void)sqlite3_bind_int64(s, 2, limit);
    while ((rc = disk_step(k, s, err)) == 1)
        ret[n++] = (struct old_one){sqlite3_column_int64(s, 0), sqlite3_column_int(s, 1)};
    *ret_n = n;
    return rc;
}

static int delete_one(struct disk *k, const struct old_one *o, struct err *err)
{
    static const enum statement both[] = {STMT_DELETE, STMT_DELETE_BODY};

    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        sqlite3_stmt *s = disk_stmt(k, both[i]);
        int rc;

        (void)sqlite3_bind_int64(s, 1, o->seq);
        rc = disk_run(k, s, err);
        if (rc < 0)
            return rc;
    }
    tally_move(k, o->seq, o->state, 0, 0);
    return 0;
}

/* As many as were written with it, so that the number cannot grow under any load. */
static int delete_old(struct disk *k, struct err *err)
{
    struct old_one old[JOURNAL_TIDY_STEP];
    const struct tally *t = &k->tally;
    int64_t excess = t->count[JOURNAL_ANSWERED] + t->count[JOURNAL_SKIPPED] - k->keep_count;
    int64_t room = (int64_t)k->changes + JOURNAL_TIDY_STEP;
    int rc = 0, n = 0;

    while (rc == 0 && room > 0) {
        int64_t step = ms_min(room, JOURNAL_TIDY_STEP);
        bool is_excess = excess > 0;

        rc = find_old(k, is_excess ? INT64_MAX : k->now_ms - k->keep_ms,
                      is_excess ? ms_min(step, excess) : step, old, &n, err);
        for (int i = 0; rc == 0 && i < n; i++)
            rc = delete_one(k, &old[i], err);
        room -= n;
        excess -= n;
        if (n == 0)
            break;
    }
    return rc;
}

/* What the agent calls conversations that nobody has used for the longest time. */
static int delete_conversations(struct disk *k, struct err *err)
{
    int64_t excess = k->tally.conversations - k->keep_conversations;
    sqlite3_stmt *s;
    int rc;

    if (excess <= 0)
        return 0;
    s = disk_stmt(k, STMT_DELETE_CONVERSATIONS);
    (void)sqlite3_bind_int64(s, 1, excess);
    rc = disk_run(k, s, err);
    if (rc == 0)
        k->tally.conversations -= sqlite3_changes64(k->d.db);
    return rc;
}

/* ---- the size of the file ---- */

static int number_of(struct disk *k, enum statement which, int64_t *ret, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, which);
    int rc = disk_step(k, s, err);

    *ret = rc == 1 ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return rc < 0 ? rc : 0;
}

static int delete_body(struct disk *k, int64_t seq, int64_t *room, struct err *err)
{
    sqlite3_stmt *s = disk_stmt(k, STMT_DELETE_BODY);
    int rc;

    (void)sqlite3_bind_int64(s, 1, seq);
    rc = disk_run(k, s, err);
    if (rc == 0)
        *room -= sqlite3_changes64(k->d.db);
    return rc;
}

/*
 * That a message is known stays; what it said goes. In the order in which they were finished, from
 * where the last transaction ended: with nothing but unfinished ones left, nothing is looked at.
 * Those of this millisecond may still get company before them.
 */
static int delete_texts(struct disk *k, struct err *err)
{
    struct tally *t = &k->tally;
    sqlite3_stmt *s = disk_stmt(k, STMT_WITH_TEXTS);
    int64_t room = JOURNAL_TIDY_STEP + (int64_t)k->changes;
    int rc = 0, more = 0;

    if (t->textless_ms >= k->now_ms) /* the clock went back: newer ones may be before it */
        t->textless_ms = t->textless_seq = 0;
    (void)sqlite3_bind_int64(s, 1, t->textless_ms);
    (void)sqlite3_bind_int64(s, 2, t->textless_seq);
    (void)sqlite3_bind_int64(s, 3, k->now_ms);
    (void)sqlite3_bind_int64(s, 4, JOURNAL_TIDY_LOOK + (int64_t)k->changes);
    while (rc == 0 && room > 0 && (more = disk_step(k, s, err)) == 1) {
        t->textless_ms = sqlite3_column_int64(s, 0);
        t->textless_seq = sqlite3_column_int64(s, 1);
        rc = delete_body(k, t->textless_seq, &room, err);
    }
    (void)sqlite3_reset(s);
    return more < 0 ? more : rc;
}

static int bound_file(struct disk *k, struct err *err)
{
    int64_t free_pages, pages;
    int rc = number_of(k, STMT_FREE_PAGES, &free_pages, err);

    if (rc == 0)
        rc = number_of(k, STMT_PAGES, &pages, err);
    if (rc == 0 && k->d.page_bytes * (pages - free_pages) > k->keep_bytes)
        rc = delete_texts(k, err);
    /* Some room is left: the next messages need it. */
    if (rc < 0 || free_pages < pages / 4 || free_pages < 4 * (int64_t)JOURNAL_TIDY_STEP)
        return rc;
    return database_exec(&k->d, "PRAGMA incremental_vacuum(64)", err);
}

int tidy(struct disk *k, struct err *err)
{
    int rc = delete_old(k, err);

    if (rc == 0)
        rc = delete_conversations(k, err);
    return rc == 0 ? bound_file(k, err) : rc;
}
