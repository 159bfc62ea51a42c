/*
 * inbox.on_disk_error: memory. When the disk refuses, a copy of what can be read goes on in memory,
 * and from time to time the whole of it is tried to be brought back to the disk. A file that was
 * not read is never written over: without a copy memory begins only where there is no file, and it
 * goes back only to the file that was copied.
 */
#include "store/journal_parts.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

/* Not for a file that somebody else has, or that a newer version wrote: two truths would arise. */
static bool is_the_disks(int code)
{
    return code != -EBUSY && code != -ENOTSUP && code != -ENOMEM && code != -EBADMSG &&
           code != -EINVAL;
}

/* Bytes of the open file, 0 if none is. */
static int64_t file_bytes(struct disk *k)
{
    int64_t pages = 0;

    if (!k->d.db || database_number(&k->d, "PRAGMA page_count", &pages, NULL) < 0)
        return 0;
    return pages * k->d.page_bytes;
}

static void describe(struct turn_state *t, const struct err *err, bool is_last)
{
    (void)snprintf(t->memory_problem, sizeof(t->memory_problem),
                   "%.300s; what %s (inbox.on_disk_error: memory)", err->msg,
                   is_last ? "was kept in memory is lost with us"
                           : "happens now is kept in memory and lost when this process ends");
}

static bool is_nothing_at(const char *path, const char *tail)
{
    char name[DATABASE_PATH_MAX + 8];
    struct stat st;

    (void)snprintf(name, sizeof(name), "%s%s", path, tail);
    if (lstat(name, &st) < 0)
        return errno == ENOENT;
    return S_ISREG(st.st_mode) && st.st_size == 0;
}

static int refuse(struct err *err, const char *why)
{
    size_t n = strlen(err->msg);

    (void)snprintf(err->msg + n, sizeof(err->msg) - n, "; %s", why);
    return err->code;
}

static int read_last(struct database *d, int64_t *ret, struct err *err)
{
    return database_number(d, "SELECT last_ms FROM place", ret, err);
}

/* memory becomes what is at the disk: a copy, or nothing where there is nothing. */
static int fill_memory(struct turn_state *t, struct database *memory, bool *ret_has_copy)
{
    struct disk *k = &t->disk;
    int rc = 0;

    *ret_has_copy = k->d.db != NULL;
    t->file_last_ms = t->tried_last_ms = 0;
    if (k->d.db) {
        (void)disk_run(k, disk_stmt(k, STMT_ROLLBACK), NULL); /* nothing to roll back is fine */
        rc = database_copy(&k->d, memory, NULL);
        disk_close_failed(t);
        if (rc == 0)
            rc = read_last(memory, &t->file_last_ms, NULL);
    } else if (!is_nothing_at(t->status.path, "") || !is_nothing_at(t->status.path, "-wal")) {
        rc = -EEXIST;
    }
    return rc;
}

int memory_enter(struct turn_state *t, struct err *err)
{
    struct disk *k = &t->disk;
    struct database memory = {0};
    bool has_copy = false;
    int rc;

    if (!t->memory_on_error || t->status.is_memory || !is_the_disks(err->code))
        return err->code;
    if (file_bytes(k) > JOURNAL_MEMORY_MAX_BYTES)
        return refuse(err, "too large to go on in memory");
    if (database_open_memory(&memory, &journal_schema, NULL) < 0)
        return err->code;
    rc = fill_memory(t, &memory, &has_copy);
    if (rc < 0) {
        database_close(&memory);
        return refuse(err, "it cannot be read into memory either, and is not replaced unread");
    }
    t->file = k->d; /* how much of its WAL counts */
    k->d = memory;
    rc = disk_load(t, NULL);
    if (rc == 0 && !has_copy)
        rc = turn_begin_anew(t, NULL);
    if (rc < 0) {
        disk_finalize(k);
        database_close(&k->d);
        k->d = t->file;
        return err->code;
    }
    describe(t, err, false);
    t->status.is_memory = t->status.is_open = true;
    t->status.was_refilled = t->status.was_refilled || !has_copy;
    t->memory_since_ms = clock_mono_ms();
    *err = (struct err){0};
    return 0;
}

/* Is it what memory began with, or nothing? Another sidecar may have had it, or another disk. */
static int compare(struct turn_state *t, struct database *file, struct err *err)
{
    int64_t last_ms = 0;
    int rc = file->was_new ? 0 : read_last(file, &last_ms, err);

    if (rc < 0)
        return rc;
    if (last_ms == 0 || last_ms == t->file_last_ms || last_ms == t->tried_last_ms) {
        t->file_last_ms = last_ms;
        return 0;
    }
    return err_set(err, -EEXIST,
                   "%s is not the journal that was read, and is not replaced: move it away, or "
                   "start anew to go on with it",
                   file->path);
}

/* A commit told nobody how many pages of the WAL it took: a checkpoint makes the number known. */
static int bring_back(struct turn_state *t, struct database *file, struct err *err)
{
    const char *vfs = t->vfs[0] ? t->vfs : NULL;
    int rc = 0;

    if (t->must_abandon)
        rc = database_abandon(file, err);
    t->must_abandon = rc < 0;
    if (rc == 0)
        rc = database_open(file, t->status.path, vfs, &journal_schema, DATABASE_CHECK_QUICK, err);
    if (rc == 0)
        rc = compare(t, file, err);
    if (rc == 0)
        rc = read_last(&t->disk.d, &t->tried_last_ms, err);
    if (rc == 0)
        rc = database_copy(&t->disk.d, file, err);
    if (rc == 0)
        rc = database_checkpoint(file, err);
    if (rc < 0 && file->db)
        t->must_abandon = database_abandon(file, NULL) < 0;
    return rc;
}

void memory_try_leave(struct turn_state *t, bool is_last)
{
    struct disk *k = &t->disk;
    struct err err = {0};
    int64_t now_ms = clock_mono_ms();

    if (!t->status.is_memory || (!is_last && now_ms - t->memory_since_ms < t->memory_retry_ms))
        return;
    t->memory_since_ms = now_ms;
    if (bring_back(t, &t->file, &err) < 0) {
        describe(t, &err, is_last);
        return;
    }
    disk_finalize(k);
    database_close(&k->d);
    database_move(&t->file, &k->d);
    t->status.is_memory = false;
    t->wants_checkpoint = false;
    if (disk_load(t, &err) < 0) /* the next turn opens it anew: all is on the disk */
        disk_close_failed(t);
}
