/*
 * An SQLite database file as we use them: opened for us alone, checked, brought to this program's
 * version, and set aside when it is damaged or somebody else's. What the tables mean is the
 * caller's business (journal.c).
 *
 * WAL, synchronous=FULL, locking_mode=EXCLUSIVE (so the WAL's index is in memory: no -shm file, and
 * a second process gets SQLITE_BUSY). Checkpoints are ours to call. Nothing in a file that others
 * may have written is run: no triggers, no views, and its schema must be ours to the letter.
 *
 * Every function blocks: storage thread only. Sentences in err name the file.
 */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include "base/err.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    DATABASE_PATH_MAX = 448,
    DATABASE_SET_ASIDE_MAX = 3,                 /* damaged files kept; the oldest goes */
    DATABASE_WAL_KEEP_BYTES = 16 * 1024 * 1024, /* of the WAL file after a checkpoint */
    DATABASE_TEXT_MAX = 256 * 1024 * 1024,      /* bytes of one value or row */
};

struct database_schema {
    int application_id;      /* in the file's header: whose it is */
    int version;             /* = number of steps; in the header as user_version */
    const char *const *step; /* SQL that leads from version i to i + 1 */
};

struct database {
    sqlite3 *db; /* NULL = closed */
    const struct database_schema *schema;
    char path[DATABASE_PATH_MAX]; /* "" = in memory */
    bool was_new;                 /* the last opening began an empty file */
    int64_t page_bytes;
    bool is_wal_known;  /* from here on wal_frames is the truth; before, the WAL is an earlier run's
                         */
    int64_t wal_frames; /* of the WAL, durable and not yet in the file: what a commit has told */
};

enum database_check { DATABASE_CHECK_NONE = 0, DATABASE_CHECK_QUICK, DATABASE_CHECK_FULL };

/*
 * Opens path (made with mode 0600 when missing). vfs NULL = the default. The first opening also
 * brings an earlier run's WAL into the file. A rollback journal beside the file is never ours, and
 * SQLite is not given it. 0, or as database_error(), with nothing open:
 * -EBADMSG  damaged, or not ours: may be set aside
 * -ENOTSUP  written by a newer version of this program
 */
int database_open(struct database *d, const char *path, const char *vfs,
                  const struct database_schema *schema, enum database_check check, struct err *err);
/*
 * Opens what is at path to look at it, for a command: nothing is made, migrated or set aside. Only
 * our user's file in our user's directory. 0 after a full check, -ENOENT, -EPERM (not ours), or as
 * database_open().
 */
int database_look(struct database *d, const char *path, const struct database_schema *schema,
                  struct err *err);
/* A database that is gone with us, with the schema. */
int database_open_memory(struct database *d, const struct database_schema *schema, struct err *err);
/* Ends it in order: the WAL is brought into the file. Statements must be finalised. */
void database_close(struct database *d);
/*
 * After a failure: nothing is written any more, and what may have reached the WAL since the last
 * commit that succeeded is cut off it. (Its commit record may be there although it could not be
 * synced, and recovery would believe it, as long as the page cache lasts.) 0, or -errno: call it
 * again, and do not open before it has succeeded.
 */
int database_abandon(struct database *d, struct err *err);

/* An open one gets another place; from is closed then. */
void database_move(struct database *from, struct database *to);

/* The WAL's pages into the file. */
int database_checkpoint(struct database *d, struct err *err);

/* One or more statements without results. */
int database_exec(struct database *d, const char *sql, struct err *err);
/* The first column of the first row. */
int database_number(struct database *d, const char *sql, int64_t *ret, struct err *err);
/* PRAGMA quick_check or integrity_check: 0, -EBADMSG with what it found, or a failure. */
int database_check(struct database *d, enum database_check check, struct err *err);
/* All of `from` into `to`, which is empty or of the same schema. */
int database_copy(struct database *from, struct database *to, struct err *err);

/*
 * What the last call on d met, as a code and a sentence ("the journal /x/inbox.db cannot be
 * written: the disk is full (12 KiB free)").
 * -ENOSPC -EROFS -EIO -EBUSY -ENOMEM -EACCES -EBADMSG
 */
int database_error(struct database *d, int rc, struct err *err);

/*
 * path, path-wal, path-shm and path-journal become path.damaged-<UTC>, ...-wal and so on; older
 * ones beyond DATABASE_SET_ASIDE_MAX are deleted. Nothing may be open. ret_name: the new name. 0 or
 * -errno.
 */
int database_set_aside(const char *path, int64_t wall_ms, char *ret_name, size_t size,
                       struct err *err);

#endif
