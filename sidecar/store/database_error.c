/*
 * What SQLite's result codes mean to a person, and what can be done.
 */
#include "store/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/banned.h"

/* "3 MiB free for us" of the file system; "" when nobody can say. */
static const char *free_words(const char *path, char *buf, size_t size)
{
    char dir[DATABASE_PATH_MAX];
    struct statvfs fs;
    char *slash;

    (void)snprintf(dir, sizeof(dir), "%s", path);
    slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    buf[0] = '\0';
    if (statvfs(slash && dir[0] ? dir : "/", &fs) == 0)
        (void)snprintf(buf, size, " (%llu KiB free, %llu files)",
                       (unsigned long long)fs.f_bavail * fs.f_frsize / 1024,
                       (unsigned long long)fs.f_favail);
    return buf;
}

static const char *io_words(int rc)
{
    switch (rc) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
        return "reading";
    case SQLITE_IOERR_WRITE:
        return "writing";
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
        return "syncing (fsync)";
    case SQLITE_IOERR_TRUNCATE:
        return "truncating";
    case SQLITE_IOERR_DELETE:
    case SQLITE_IOERR_DELETE_NOENT:
        return "deleting";
    case SQLITE_IOERR_LOCK:
    case SQLITE_IOERR_RDLOCK:
    case SQLITE_IOERR_UNLOCK:
    case SQLITE_IOERR_CHECKRESERVEDLOCK:
        return "locking";
    case SQLITE_IOERR_FSTAT:
    case SQLITE_IOERR_ACCESS:
        return "looking at it";
    default:
        return "input or output";
    }
}

static int no_room(const struct database *d, struct err *err)
{
    char room[64];

    return err_set(err, -ENOSPC, "cannot write %s: the disk is full%s; make room", d->path,
                   free_words(d->path, room, sizeof(room)));
}

static int io_error(const struct database *d, int rc, struct err *err)
{
    int system = d->db ? sqlite3_system_errno(d->db) : 0;

    if (system == ENOSPC || system == EDQUOT)
        return no_room(d, err);
    if (system == EROFS)
        return err_set(err, -EROFS, "cannot write %s: its file system is read-only", d->path);
    if (system == 0)
        return err_set(err, -EIO, "%s: %s failed: an input/output error", d->path, io_words(rc));
    errno = system;
    return err_set(err, -EIO, "%s: %s failed: %m", d->path, io_words(rc));
}

static int cannot_open(const struct database *d, struct err *err)
{
    int system = d->db ? sqlite3_system_errno(d->db) : 0;

    if (system == ENOSPC || system == EDQUOT)
        return no_room(d, err);
    errno = system ? system : EACCES;
    return err_set(err, -EACCES, "cannot open %s or the files beside it: %m", d->path);
}

int database_error(struct database *d, int rc, struct err *err)
{
    switch (rc & 0xFF) {
    case SQLITE_FULL:
        return no_room(d, err);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return err_set(err, -EROFS,
                       "cannot write %s: it, its directory or its file system is read-only to us",
                       d->path);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return err_set(err, -ENOMEM, "no memory for %s", d->path);
        if (rc == SQLITE_IOERR_CORRUPTFS)
            return err_set(err, -EBADMSG, "%s is damaged, or its file system is", d->path);
        return io_error(d, rc, err);
    case SQLITE_CANTOPEN:
        return cannot_open(d, err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return err_set(err, -EBUSY,
                       "%s is in use by another process: one sidecar may have a state.dir at a "
                       "time; it is tried again",
                       d->path);
    case SQLITE_NOMEM:
        return err_set(err, -ENOMEM, "no memory for %s", d->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return err_set(err, -EBADMSG, "%s is damaged: %s", d->path, sqlite3_errstr(rc));
    default:
        return err_set(err, -EINVAL, "%s: %s", d->path,
                       d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(rc));
    }
}
