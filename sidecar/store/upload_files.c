/*
 * Files of an upload, on the storage thread. What they are and who may send them is uploads.c's.
 */
#include "store/upload_files.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

#define TEMP_PREFIX "."
enum { TEMP_HEX_DIGITS = 16 };

enum {
    DIR_MODE = 0750,
    FILE_MODE = 0640, /* once it is whole: the agent may be somebody else of our group */
    TEMP_MODE = 0600,
};

void upload_files_init(struct upload_files *f, const char *dir)
{
    *f = (struct upload_files){.dir = dir, .dir_fd = -1, .fd = -1};
}

/* ---- names ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

void upload_safe_name(struct slice claimed, char ret[UPLOAD_NAME_BYTES])
{
    size_t n = 0;

    for (size_t i = claimed.n; i > 0; i--) {
        if (claimed.p[i - 1] == '/' || claimed.p[i - 1] == '\\') {
            claimed.p += i;
            claimed.n -= i;
            break;
        }
    }
    if (claimed.n > UPLOAD_NAME_MAX) { /* the end tells what kind of file it is */
        claimed.p += claimed.n - UPLOAD_NAME_MAX;
        claimed.n = UPLOAD_NAME_MAX;
    }
    for (size_t i = 0; i < claimed.n; i++) {
        bool is_good = is_plain(claimed.p[i]) && !(claimed.p[i] == '.' && n == 0);

        ret[n++] = claimed.p[i];
        if (!is_good)
            ret[n - 1] = '_';
    }
    if (n == 0)
        ret[n++] = '_';
    ret[n] = '\0';
}

static void temp_name(const char *name, char ret[UPLOAD_PATH_BYTES + 1])
{
    (void)snprintf(ret, UPLOAD_PATH_BYTES + 1, TEMP_PREFIX "%s", name);
}

/* One of ours, and nobody else's dotfile: ".<16 hex digits>-<name>". */
static bool is_temp_name(const char *name)
{
    size_t prefix = strlen(TEMP_PREFIX);

    return strncmp(name, TEMP_PREFIX, prefix) == 0 &&
           strspn(name + prefix, "0123456789abcdef") == TEMP_HEX_DIGITS &&
           name[prefix + TEMP_HEX_DIGITS] == '-';
}

/* ---- the directory ---- */

/* What a crash left is taken away; everything else counts. */
static int look_through(struct upload_files *f, struct err *err)
{
    int fd = fcntl(f->dir_fd, F_DUPFD_CLOEXEC, 0);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    time_t now = time(NULL);
    const struct dirent *entry;
    size_t count = 0;

    if (!d) {
        int code = errno;

        fd_close(&fd);
        errno = code;
        return err_set(err, -code, "cannot look through %s: %m", f->dir);
    }
    rewinddir(d);
    f->room_bytes = UPLOAD_DIR_BYTES_MAX;
    while (count <= UPLOAD_DIR_FILES_MAX && (entry = readdir(d))) {
        struct stat st;

        if (fstatat(f->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (is_temp_name(entry->d_name) && st.st_mtim.tv_sec < now - UPLOAD_STALE_S &&
            st.st_uid == geteuid()) {
            (void)unlinkat(f->dir_fd, entry->d_name, 0);
            continue;
        }
        count++;
        f->room_bytes -= st.st_size;
    }
    (void)closedir(d);
    if (count > UPLOAD_DIR_FILES_MAX)
        return err_set(err, -ENOSPC, "%s (forward.uploads_dir) holds more than %d files: clear it",
                       f->dir, UPLOAD_DIR_FILES_MAX);
    return 0;
}

/* The directory itself, and of somebody whom we may trust with it: whoever can put a link in its
 * place would choose where strangers' files land. */
static int open_real(struct upload_files *f, struct err *err)
{
    CLEANUP(free_cleanup) char *path = slice_dup(slice_of(f->dir));
    struct stat st;

    if (!path)
        return err_set(err, -ENOMEM, "no memory to open %s", f->dir);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0'; /* behind a slash a link is followed */
    f->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f->dir_fd < 0 && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return err_set(err, -ELOOP,
                       "%s (forward.uploads_dir) is a symbolic link, which is not followed; give "
                       "the real path",
                       f->dir);
    if (f->dir_fd < 0)
        return err_set(err, -errno, "cannot open %s (forward.uploads_dir): %m", f->dir);
    if (fstat(f->dir_fd, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0))
        return 0;
    fd_close(&f->dir_fd);
    return err_set(err, -EPERM,
                   "%s (forward.uploads_dir) belongs to uid %u; it must be ours (uid %u) or root's",
                   f->dir, (unsigned)st.st_uid, (unsigned)geteuid());
}

static int open_dir(struct upload_files *f, struct err *err)
{
    int code;

    if (f->dir_fd >= 0)
        return 0;
    code = dir_make(f->dir, DIR_MODE, err);
    if (code)
        return code;
    code = open_real(f, err);
    return code ? code : look_through(f, err);
}

/* ---- files ---- */

static int finish_file(struct upload_files *f, struct err *err)
{
    int code = 0;

    if (f->fd < 0)
        return 0;
    if (fchmod(f->fd, FILE_MODE) < 0 || fsync(f->fd) < 0)
        code = err_set(err, -errno, "cannot finish a file in %s: %m", f->dir);
    fd_close(&f->fd);
    return code;
}

int upload_files_add(struct upload_files *f, const char *safe_name, struct err *err)
{
    char temp[UPLOAD_PATH_BYTES + 1];
    int code = open_dir(f, err);

    if (!code)
        code = finish_file(f, err);
    if (code)
        return code;
    if (f->n == UPLOAD_FILES_MAX)
        return err_set(err, -E2BIG, "more than %d files", UPLOAD_FILES_MAX);
    (void)snprintf(f->v[f->n].name, sizeof(f->v[f->n].name), "%016llx-%s",
                   (unsigned long long)random_u64(), safe_name);
    f->v[f->n].is_named = false;
    temp_name(f->v[f->n].name, temp);
    f->fd =
        openat(f->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, TEMP_MODE);
    if (f->fd < 0)
        return err_set(err, -errno, "cannot make a file in %s (forward.uploads_dir): %m", f->dir);
    f->n++;
    return 0;
}

int upload_files_write(struct upload_files *f, struct slice bytes, struct err *err)
{
    int code;

    f->room_bytes -= (int64_t)bytes.n;
    if (f->room_bytes < 0)
        return err_set(err, -ENOSPC,
                       "%s (forward.uploads_dir) would hold more than %d MiB: clear it", f->dir,
                       UPLOAD_DIR_BYTES_MAX / (1024 * 1024));
    code = fd_write_all(f->fd, bytes.p, bytes.n);
    if (code == 0)
        return 0;
    errno = -code;
    return err_set(err, code, "cannot write to %s (forward.uploads_dir): %m", f->dir);
}

int upload_files_commit(struct upload_files *f, struct err *err)
{
    int code = finish_file(f, err);

    for (size_t i = 0; i < f->n && code == 0; i++) {
        char temp[UPLOAD_PATH_BYTES + 1];

        temp_name(f->v[i].name, temp);
        if (renameat(f->dir_fd, temp, f->dir_fd, f->v[i].name) < 0)
            code = err_set(err, -errno, "cannot name a file in %s: %m", f->dir);
        else
            f->v[i].is_named = true;
    }
    if (code == 0 && fsync(f->dir_fd) < 0 && errno != EINVAL)
        code = err_set(err, -errno, "cannot sync %s: %m", f->dir);
    return code;
}

void upload_files_discard(struct upload_files *f)
{
    for (size_t i = 0; i < f->n; i++) {
        char temp[UPLOAD_PATH_BYTES + 1];

        temp_name(f->v[i].name, temp);
        (void)unlinkat(f->dir_fd, f->v[i].is_named ? f->v[i].name : temp, 0);
    }
    f->n = 0;
    upload_files_close(f);
}

void upload_files_close(struct upload_files *f)
{
    fd_close(&f->fd);
    fd_close(&f->dir_fd);
}
