/*
 * Putting a damaged or foreign database out of the way, with the files that belong to it, and not
 * keeping them without end.
 */
#include "store/database.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/slice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

static const char mark[] = ".damaged-";
/* The database goes last: a new one beside an old WAL or journal would be given its pages. */
static const char *const tails[] = {"-wal", "-shm", "-journal", ""};
enum { TAIL_COUNT = sizeof(tails) / sizeof(tails[0]) };

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void dir_of(const char *path, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%.*s", (int)(last_part(path) - path), path);
    if (ret[0] == '\0')
        (void)snprintf(ret, size, ".");
}

static bool is_set_aside(const char *name, const char *prefix)
{
    struct slice s = slice_of(name);

    if (!slice_starts_with(s, slice_of(prefix)))
        return false;
    for (size_t t = 0; tails[t][0] != '\0'; t++) {
        if (slice_ends_with(s, slice_of(tails[t])))
            return false;
    }
    return true;
}

static void delete_with_tails(const char *dir, const char *name)
{
    for (size_t t = 0; t < TAIL_COUNT; t++) {
        char path[DATABASE_PATH_MAX + 320];

        (void)snprintf(path, sizeof(path), "%s/%s%s", dir, name, tails[t]);
        (void)unlink(path); /* one that stays is one too many, no more */
    }
}

/* Names sort by time. */
static void delete_oldest(const char *path)
{
    char dir[DATABASE_PATH_MAX], prefix[DATABASE_PATH_MAX + 16];
    struct dirent **entries = NULL;
    int n, found = 0;

    dir_of(path, dir, sizeof(dir));
    (void)snprintf(prefix, sizeof(prefix), "%s%s", last_part(path), mark);
    n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++)
        found += is_set_aside(entries[i]->d_name, prefix);
    for (int i = 0; i < n; i++) {
        if (is_set_aside(entries[i]->d_name, prefix) && found-- > DATABASE_SET_ASIDE_MAX)
            delete_with_tails(dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void sync_dir(const char *path)
{
    char dir[DATABASE_PATH_MAX];

    dir_of(path, dir, sizeof(dir));
    CLEANUP(fd_cleanup) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd); /* after a power cut it is found damaged once more */
}

/* A database without its WAL may look whole, and is older than what was committed. */
static void put_back(const char *path, const char *aside, size_t n)
{
    while (n-- > 0) {
        char from[DATABASE_PATH_MAX + 64], to[DATABASE_PATH_MAX + 64];

        (void)snprintf(from, sizeof(from), "%s%s", aside, tails[n]);
        (void)snprintf(to, sizeof(to), "%s%s", path, tails[n]);
        (void)rename(from, to); /* one that is not there, or stays aside */
    }
}

int database_set_aside(const char *path, int64_t wall_ms, char *ret_name, size_t size,
                       struct err *err)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char stamp[32];

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    (void)snprintf(ret_name, size, "%s%s%s", path, mark, stamp);
    for (size_t t = 0; t < TAIL_COUNT; t++) {
        char from[DATABASE_PATH_MAX + 64], to[DATABASE_PATH_MAX + 64];

        (void)snprintf(from, sizeof(from), "%s%s", path, tails[t]);
        (void)snprintf(to, sizeof(to), "%s%s", ret_name, tails[t]);
        if (rename(from, to) < 0 && errno != ENOENT) {
            (void)err_set(err, -errno, "cannot set the damaged %s aside: %m", from);
            put_back(path, ret_name, t);
            return err->code;
        }
    }
    sync_dir(path);
    delete_oldest(path);
    return 0;
}
