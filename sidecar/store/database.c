/*
 * Opening and closing a database file, and the few statements everybody needs. Its words for
 * failures are in database_error.c, moving files away in database_aside.c.
 */
#include "store/database.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum { WAL_HEAD_BYTES = 32, WAL_FRAME_HEAD_BYTES = 24 }; /* sqlite.org/fileformat2.html section 4 */

static void stmt_cleanup(sqlite3_stmt **p)
{
    (void)sqlite3_finalize(*p); /* repeats the error of its step, which was seen */
}

int database_exec(struct database *d, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(d->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : database_error(d, rc, err);
}

int database_number(struct database *d, const char *sql, int64_t *ret, struct err *err)
{
    CLEANUP(stmt_cleanup) sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(d->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return err_set(err, -EBADMSG, "%s is damaged: a row is missing", d->path);
    if (rc != SQLITE_ROW)
        return database_error(d, rc, err);
    *ret = sqlite3_column_int64(stmt, 0);
    return 0;
}

int database_check(struct database *d, enum database_check check, struct err *err)
{
    CLEANUP(stmt_cleanup) sqlite3_stmt *stmt = NULL;
    CLEANUP(str_release) struct str words = {0};
    const char *sql = check == DATABASE_CHECK_FULL ? "PRAGMA integrity_check(3)" /* findings */
                                                   : "PRAGMA quick_check(1)";
    int rc;

    if (check == DATABASE_CHECK_NONE)
        return 0;
    rc = sqlite3_prepare_v2(d->db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return database_error(d, rc, err);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(stmt, 0);

        if (line && strcmp(line, "ok") != 0) {
            str_addz(&words, words.len ? "; " : "");
            str_add_printable(&words, slice_of(line), 160);
        }
    }
    if (rc != SQLITE_DONE)
        return database_error(d, rc, err);
    if (words.len)
        return err_set(err, -EBADMSG, "%s is damaged: %s", d->path, str_z(&words));
    return 0;
}

/* ---- the schema ---- */

static int migrate(struct database *d, int64_t from, struct err *err)
{
    char end[96];
    int rc = database_exec(d, "BEGIN IMMEDIATE", err);

    for (int64_t i = from; rc == 0 && i < d->schema->version; i++)
        rc = database_exec(d, d->schema->step[i], err);
    (void)snprintf(end, sizeof(end), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
                   d->schema->application_id, d->schema->version);
    if (rc == 0)
        rc = database_exec(d, end, err);
    return rc;
}

static int describe(struct database *d, struct str *out, struct err *err)
{
    CLEANUP(stmt_cleanup) sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(
        d->db, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name, type", -1, &stmt,
        NULL);

    if (rc != SQLITE_OK)
        return database_error(d, rc, err);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        for (int i = 0; i < 4; i++) {
            str_addz(out, (const char *)sqlite3_column_text(stmt, i));
            str_addz(out, "\n");
        }
    }
    if (rc != SQLITE_DONE)
        return database_error(d, rc, err);
    return str_ok(out) ? 0 : err_set(err, -ENOMEM, "no memory to open %s", d->path);
}

/* Ours to the letter: a stranger's trigger or column is a reason to keep away from the file. */
static int compare_schema(struct database *d, struct err *err)
{
    CLEANUP(str_release) struct str is = {0}, should = {0};
    struct database model = {0};
    int rc = describe(d, &is, err);

    if (rc == 0)
        rc = database_open_memory(&model, d->schema, err);
    if (rc == 0)
        rc = describe(&model, &should, err);
    database_close(&model);
    if (rc == 0 && !slice_eq(str_slice(&is), str_slice(&should)))
        rc = err_set(err, -EBADMSG, "%s is not as this program made it: its tables are others",
                     d->path);
    return rc;
}

/* ---- opening ---- */

/* SQLite gives the -wal file the mode of the main one. */
static int touch(const char *path, struct err *err)
{
    CLEANUP(fd_cleanup)
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat st;

    if (fd < 0)
        return err_set(err, errno == EISDIR ? -EBADMSG : -errno, "cannot open %s: %m", path);
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "cannot look at %s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EBADMSG, "%s is not a regular file", path);
    if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) < 0)
        return err_set(err, -errno, "cannot set the mode of %s to 0600: %m", path);
    return 0;
}

static void harden(sqlite3 *db)
{
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
                              SQLITE_DBCONFIG_DQS_DML,
                              SQLITE_DBCONFIG_DQS_DDL,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA};

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
        (void)sqlite3_db_config(db, off[i], 0,
                                NULL); /* unknown to an older library: no such risk */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, DATABASE_TEXT_MAX);
    (void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_extended_result_codes(db, 1);
}

/*
 * We never write a rollback journal (avoid_journal()), so one is a stranger's, and SQLite would
 * believe it: its pages, and that the file which it names as its super-journal is to be deleted. An
 * empty database has nothing to roll back: there the journal goes, which is what SQLite does too.
 */
static int refuse_journal(const char *path, bool may_remove, struct err *err)
{
    char journal[DATABASE_PATH_MAX + 16];
    struct stat st;

    (void)snprintf(journal, sizeof(journal), "%s-journal", path);
    if (lstat(journal, &st) < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "cannot look at %s: %m", journal);
    if (may_remove && lstat(path, &st) == 0 && st.st_size == 0 && unlink(journal) == 0)
        return 0;
    return err_set(err, -EBADMSG, "%s has a rollback journal beside it, which we never write",
                   path);
}

/* SQLite refuses links in all of the path; those that lead to the directory are the user's. */
static int open_handle(struct database *d, const char *vfs, struct err *err)
{
    char dir[DATABASE_PATH_MAX], real[PATH_MAX], path[PATH_MAX + DATABASE_PATH_MAX];
    const char *slash = strrchr(d->path, '/');
    int rc;

    (void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - d->path) + 1 : 1,
                   slash ? d->path : ".");
    if (!realpath(dir, real))
        return err_set(err, -errno, "cannot find %s: %m", dir);
    (void)snprintf(path, sizeof(path), "%s/%s", real, slash ? slash + 1 : d->path);
    rc = sqlite3_open_v2(path, &d->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, vfs);
    if (rc != SQLITE_OK)
        return database_error(d, rc, err);
    harden(d->db);
    return 0;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int frames)
{
    struct database *d = arg;

    (void)db;
    (void)name;
    d->wal_frames = frames; /* called once the commit is durable */
    return SQLITE_OK;
}

static int begin_new(struct database *d, struct err *err)
{
    d->was_new = true;
    return database_exec(d, "PRAGMA auto_vacuum=INCREMENTAL", err); /* before the first table */
}

/* Whose it is and of what version, before anything else is believed. */
static int identify(struct database *d, int64_t *ret_version, struct err *err)
{
    int64_t id = 0, tables = 0;
    int rc = database_number(d, "PRAGMA application_id", &id, err);

    if (rc == 0)
        rc = database_number(d, "PRAGMA user_version", ret_version, err);
    if (rc == 0)
        rc = database_number(d, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (rc < 0)
        return rc;
    if (id == 0 && *ret_version == 0 && tables == 0)
        return begin_new(d, err);
    if (id != d->schema->application_id || *ret_version < 1)
        return err_set(err, -EBADMSG, "%s is not our database (application_id %lld, we write %d)",
                       d->path, (long long)id, d->schema->application_id);
    if (*ret_version > d->schema->version)
        return err_set(err, -ENOTSUP,
                       "%s was written by a newer version of this program (its schema is %lld, "
                       "we know %d): start that one, or move the file away",
                       d->path, (long long)*ret_version, d->schema->version);
    return 0;
}

static int set_pragmas(struct database *d, struct err *err)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL;"
                   "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;"
                   "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
                   "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=%d",
                   DATABASE_WAL_KEEP_BYTES);
    return database_exec(d, sql, err);
}

/* "wal", "delete", ... as the pragma answers. */
static int ask_mode(struct database *d, const char *sql, bool *ret_is_wal, struct err *err)
{
    CLEANUP(stmt_cleanup) sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(d->db, sql, -1, &stmt, NULL);
    const char *mode;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        return database_error(d, rc == SQLITE_DONE ? SQLITE_ERROR : rc, err);
    mode = (const char *)sqlite3_column_text(stmt, 0);
    *ret_is_wal = mode && strcmp(mode, "wal") == 0;
    return 0;
}

/* What is written before the file has its WAL is a page or two of an empty database: the way back
 * is kept in memory, so that a -journal beside the file is never ours. */
static int avoid_journal(struct database *d, struct err *err)
{
    bool is_wal = false;
    int rc = ask_mode(d, "PRAGMA journal_mode", &is_wal, err);

    return rc < 0 || is_wal ? rc : database_exec(d, "PRAGMA journal_mode=MEMORY", err);
}

static int set_wal(struct database *d, struct err *err)
{
    bool is_wal = false;
    int rc = ask_mode(d, "PRAGMA journal_mode=WAL", &is_wal, err);

    if (rc == 0 && !is_wal)
        rc = err_set(err, -EIO, "%s cannot have a write-ahead log here", d->path);
    return rc;
}

/* Before anything in it is believed: is it ours, and of which version? */
static int first_steps(struct database *d, int64_t *ret_version, struct err *err)
{
    int rc = set_pragmas(d, err);

    if (rc == 0)
        rc = avoid_journal(d, err);
    if (rc == 0)
        rc = identify(d, ret_version, err);
    return rc;
}

static int open_steps(struct database *d, enum database_check check, struct err *err)
{
    int64_t version = 0;
    int rc = first_steps(d, &version, err);

    /* The file could be opened for writing: it is its header that forbids it. */
    if (rc == 0 && sqlite3_db_readonly(d->db, "main") == 1)
        rc = err_set(err, -EBADMSG, "%s is damaged: its header asks for a newer SQLite", d->path);
    if (rc == 0 && !d->was_new)
        rc = database_check(d, check, err);
    if (rc == 0)
        rc = set_wal(d, err);
    /* The pragma for automatic checkpoints sets a hook of its own: ours after it. */
    (void)sqlite3_wal_hook(d->db, on_wal, d);
    if (rc == 0)
        rc = database_number(d, "PRAGMA page_size", &d->page_bytes, err);
    if (rc == 0 && version < d->schema->version)
        rc = migrate(d, version, err);
    if (rc == 0)
        rc = compare_schema(d, err);
    /* The frames of a run that was killed may be in the page cache only: copied anew and synced. */
    if (rc == 0 && !d->is_wal_known)
        rc = database_checkpoint(d, err);
    if (rc == 0)
        d->is_wal_known = true;
    return rc;
}

int database_open(struct database *d, const char *path, const char *vfs,
                  const struct database_schema *schema, enum database_check check, struct err *err)
{
    int rc;

    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* a lock less; too late: as it was */
    d->schema = schema;
    d->was_new = false;
    (void)snprintf(d->path, sizeof(d->path), "%s", path);
    rc = touch(path, err);
    if (rc == 0)
        rc = refuse_journal(path, true, err);
    if (rc < 0)
        return rc;
    rc = open_handle(d, vfs, err);
    if (rc == 0)
        rc = open_steps(d, check, err);
    if (rc == -EINVAL) { /* SQL as plain as ours fails only on a file that is not ours */
        rc = -EBADMSG;
        if (err)
            err->code = rc;
    }
    if (rc < 0)
        (void)database_abandon(d, NULL); /* what it cannot cut, the next opening finds */
    return rc;
}

/* As open_steps(), but that nothing is made, brought up to date or believed unseen. */
static int look_steps(struct database *d, struct err *err)
{
    int64_t version = 0;
    int rc = first_steps(d, &version, err);

    if (rc == 0 && d->was_new)
        rc = err_set(err, -EBADMSG, "%s has no tables: a first start was cut short", d->path);
    if (rc == 0 && version < d->schema->version)
        rc = err_set(err, -ENOTSUP,
                     "%s was written by an older version of this program (its schema is %lld, ours "
                     "%d): the next start brings it up to date",
                     d->path, (long long)version, d->schema->version);
    if (rc == 0)
        rc = database_check(d, DATABASE_CHECK_FULL, err);
    return rc == 0 ? compare_schema(d, err) : rc;
}

/* Whose files these are, before SQLite does with them what they say. */
static int is_ours(const char *path, struct err *err)
{
    char dir[DATABASE_PATH_MAX];
    struct stat st, of_dir;

    (void)snprintf(dir, sizeof(dir), "%s", path);
    if (strrchr(dir, '/'))
        *(strrchr(dir, '/') + 1) = '\0';
    if (lstat(path, &st) < 0 || stat(strrchr(path, '/') ? dir : ".", &of_dir) < 0)
        return err_set(err, -errno, "no journal to look at: %s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EBADMSG, "%s is not a regular file", path);
    if (st.st_uid != geteuid() || of_dir.st_uid != geteuid())
        return err_set(err, -EPERM,
                       "%s belongs to user %lu and its directory to user %lu, we are user %lu: run "
                       "this as the user that the sidecar runs as",
                       path, (unsigned long)st.st_uid, (unsigned long)of_dir.st_uid,
                       (unsigned long)geteuid());
    if (st.st_size == 0)
        return err_set(err, -EBADMSG, "%s is empty: it holds no journal", path);
    return 0;
}

int database_look(struct database *d, const char *path, const struct database_schema *schema,
                  struct err *err)
{
    int rc = is_ours(path, err);

    d->schema = schema;
    d->was_new = false;
    (void)snprintf(d->path, sizeof(d->path), "%s", path);
    if (rc == 0)
        rc = refuse_journal(path, false, err);
    if (rc == 0)
        rc = open_handle(d, NULL, err);
    if (rc == 0)
        rc = look_steps(d, err);
    if (rc < 0)
        (void)database_abandon(d, NULL);
    return rc;
}

int database_open_memory(struct database *d, const struct database_schema *schema, struct err *err)
{
    int rc;

    *d = (struct database){.schema = schema, .was_new = true};
    rc = sqlite3_open_v2(":memory:", &d->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_MEMORY, NULL);
    if (rc != SQLITE_OK)
        rc = database_error(d, rc, err);
    if (rc == 0) {
        harden(d->db);
        rc = database_exec(d, "PRAGMA auto_vacuum=INCREMENTAL", err);
    }
    if (rc == 0)
        rc = database_number(d, "PRAGMA page_size", &d->page_bytes, err);
    if (rc == 0)
        rc = migrate(d, 0, err);
    if (rc < 0)
        database_close(d);
    return rc;
}

void database_move(struct database *from, struct database *to)
{
    *to = *from;
    *from = (struct database){0};
    if (to->db)
        (void)sqlite3_wal_hook(to->db, on_wal, to); /* it counts what must not be cut off */
}

/* ---- the end, and after a failure ---- */

void database_close(struct database *d)
{
    if (!d->db)
        return;
    /* Without a checkpoint the WAL stays, and the next opening reads it. */
    (void)sqlite3_close_v2(d->db);
    d->db = NULL;
    d->wal_frames = 0;
}

static int cut_wal(const struct database *d, struct err *err)
{
    if (!d->is_wal_known)
        return 0;

    const int64_t frame_bytes = WAL_FRAME_HEAD_BYTES + d->page_bytes;
    const int64_t keep = d->wal_frames > 0 ? WAL_HEAD_BYTES + d->wal_frames * frame_bytes : 0;
    char wal[DATABASE_PATH_MAX + 8];
    struct stat st;

    (void)snprintf(wal, sizeof(wal), "%s-wal", d->path);
    CLEANUP(fd_cleanup) int fd = open(wal, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0 || (st.st_size > keep && ftruncate(fd, keep) < 0) ||
        fsync(fd) < 0)
        return err_set(err, -errno, "cannot cut what failed off %s: %m", wal);
    return 0;
}

int database_checkpoint(struct database *d, struct err *err)
{
    int frames = 0, copied = 0;
    int rc;

    if (d->path[0] == '\0')
        return 0;
    rc = sqlite3_wal_checkpoint_v2(d->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    if (rc != SQLITE_OK)
        return database_error(d, rc, err);
    if (copied == frames)
        d->wal_frames = 0; /* all is in the file; the next commit begins the WAL anew */
    return 0;
}

int database_copy(struct database *from, struct database *to, struct err *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to->db, "main", from->db, "main");
    int rc;

    if (!b)
        return database_error(to, sqlite3_errcode(to->db), err);
    rc = sqlite3_backup_step(b, -1);
    (void)sqlite3_backup_finish(b); /* repeats the step's error */
    return rc == SQLITE_DONE ? 0 : database_error(to, rc, err);
}

int database_abandon(struct database *d, struct err *err)
{
    if (d->db) {
        (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close_v2(d->db);
        d->db = NULL;
    }
    return cut_wal(d, err);
}
