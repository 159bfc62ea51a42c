/*
 * Small files with the checks that secrets need (P section 19). Everything here may block on a
 * disk.
 */
#include "base/file.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    FILE_READ_CHUNK = 4096, /* bytes per read */
    FILE_LOCK_TRIES = 40,   /* a stuck holder of the directory's lock delays a write by */
    FILE_LOCK_PAUSE_MS =
        25, /* tries x pause = one second, then we go on: rename is atomic without it */
};

/* Append all of fd to ret. -EFBIG when it holds more than max_bytes. */
static int read_all(int fd, size_t max_bytes, struct str *ret)
{
    char chunk[FILE_READ_CHUNK];
    int rc = 0;

    while (rc == 0) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n == 0)
            break;
        if (n < 0) {
            rc = errno == EINTR ? 0 : -errno;
            continue;
        }
        if ((size_t)n > max_bytes - ret->len)
            rc = -EFBIG;
        else
            str_add(ret, (struct slice){chunk, (size_t)n});
        if (!str_ok(ret))
            rc = -ENOMEM;
    }
    explicit_bzero(chunk, sizeof(chunk)); /* it may have been a token */
    return rc;
}

/* Open for reading without ever hanging on a FIFO or becoming a terminal's owner; regular files
 * only. */
static int open_regular(const char *path, int more_flags, int *ret_fd, struct stat *ret_st,
                        struct err *err)
{
    CLEANUP(fd_cleanup)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | more_flags);

    if (fd < 0) {
        if (errno == ELOOP && (more_flags & O_NOFOLLOW))
            return err_set(
                err, -ELOOP,
                "%s is a symbolic link, which is refused for a secret; give the real path", path);
        return err_set(err, -errno, "cannot open %s: %m", path);
    }
    if (fstat(fd, ret_st) < 0)
        return err_set(err, -errno, "cannot look at %s: %m", path);
    if (S_ISDIR(ret_st->st_mode))
        return err_set(err, -EISDIR, "%s is a directory, not a file", path);
    if (!S_ISREG(ret_st->st_mode))
        return err_set(err, -EINVAL, "%s is not a regular file", path);
    *ret_fd = fd_take(&fd);
    return 0;
}

static int read_opened(int fd, const char *path, size_t max_bytes, struct str *ret, struct err *err)
{
    int rc = read_all(fd, max_bytes, ret);

    if (rc == 0) {
        str_add(ret,
                (struct slice){NULL, 0}); /* an empty file gives an empty string, with its NUL */
        return str_ok(ret) ? 0 : err_set(err, -ENOMEM, "no memory to read %s", path);
    }
    if (rc == -EFBIG)
        return err_set(err, rc, "%s is larger than the %zu bytes allowed", path, max_bytes);
    errno = -rc;
    return err_set(err, rc, "cannot read %s: %m", path);
}

int file_read(const char *path, size_t max_bytes, struct str *ret, struct err *err)
{
    CLEANUP(fd_cleanup) int fd = -1;
    CLEANUP(str_wipe) struct str content = {0};
    struct stat st;
    int rc = open_regular(path, 0, &fd, &st, err);

    if (rc < 0)
        return rc;
    rc = read_opened(fd, path, max_bytes, &content, err);
    if (rc < 0)
        return rc;
    *ret = content;
    content = (struct str){0};
    return 0;
}

static int check_secret_owner(const char *path, const struct stat *st, struct err *err)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return err_set(err, -EPERM,
                       "%s belongs to uid %u, but we run as uid %u; secrets must be our own or "
                       "root's: chown %u %s",
                       path, (unsigned)st->st_uid, (unsigned)geteuid(), (unsigned)geteuid(), path);
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, -EPERM,
                       "%s has mode %04o, so others may read this secret: chmod 600 %s", path,
                       (unsigned)(st->st_mode & 07777), path);
    return 0;
}

static bool is_edge(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One line without blanks, or a sentence that never repeats the content. */
static int check_secret_text(const char *path, struct slice content, struct slice *ret,
                             struct err *err)
{
    while (content.n > 0 && is_edge(content.p[0])) {
        content.p++;
        content.n--;
    }
    while (content.n > 0 && is_edge(content.p[content.n - 1]))
        content.n--;
    if (content.n == 0)
        return err_set(err, -EINVAL, "%s is empty; it must hold the secret on one line", path);
    for (size_t i = 0; i < content.n; i++) {
        unsigned char c = (unsigned char)content.p[i];

        if (c <= 0x20 || c == 0x7F)
            return err_set(err, -EINVAL,
                           "%s holds a blank, a line break or a control character inside (byte "
                           "%zu); it must hold the secret "
                           "on one line and nothing else",
                           path, i + 1);
    }
    *ret = content;
    return 0;
}

int file_read_secret(const char *path, bool mounted, struct str *ret, struct err *err)
{
    CLEANUP(fd_cleanup) int fd = -1;
    CLEANUP(str_wipe) struct str content = {0};
    struct str secret = {0};
    struct slice text;
    struct stat st;
    int rc = open_regular(path, mounted ? 0 : O_NOFOLLOW, &fd, &st, err);

    if (rc == 0 && !mounted)
        rc = check_secret_owner(path, &st, err);
    if (rc == 0)
        rc = read_opened(fd, path, SECRET_FILE_MAX, &content, err);
    if (rc == 0)
        rc = check_secret_text(path, str_slice(&content), &text, err);
    if (rc < 0)
        return rc;
    str_add(&secret, text);
    if (!str_ok(&secret))
        return err_set(err, -ENOMEM, "no memory to read %s", path);
    *ret = secret;
    return 0;
}

/* Where a path's last part begins. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int open_parent(const char *path, int *ret_fd, struct err *err)
{
    const char *base = base_name(path);
    struct slice parent = {path, (size_t)(base - path)};
    CLEANUP(free_cleanup) char *dir = parent.n > 0 ? slice_dup(parent) : slice_dup(SLICE("."));

    if (!dir)
        return err_set(err, -ENOMEM, "no memory to write %s", path);
    if (*base == '\0')
        return err_set(err, -EISDIR, "%s names a directory, not a file", path);
    *ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0)
        return err_set(err, -errno, "cannot open the directory %s: %m", dir);
    return 0;
}

/*
 * One writer of a directory at a time, so that "unchanged" is judged and acted on as one. Advisory
 * and best effort: flock() itself has no timeout, so the wait for a stuck holder is counted here.
 */
static void lock_dir(int dir_fd)
{
    for (int i = 0; i < FILE_LOCK_TRIES; i++) {
        if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            return;
        (void)poll(NULL, 0, FILE_LOCK_PAUSE_MS);
    }
}

static bool is_unchanged(int dir_fd, const char *name, struct slice content, mode_t mode)
{
    CLEANUP(fd_cleanup)
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    CLEANUP(str_wipe) struct str old = {0};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != mode ||
        st.st_uid != geteuid() || st.st_size < 0 || (size_t)st.st_size != content.n)
        return false;
    return read_all(fd, content.n, &old) == 0 && slice_eq(str_slice(&old), content);
}

static int write_temp(int dir_fd, const char *temp, struct slice content, mode_t mode)
{
    CLEANUP(fd_cleanup)
    int fd =
        openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0700);
    int rc;

    if (fd < 0)
        return -errno;
    rc = fd_write_all(fd, content.p, content.n);
    if (rc == 0 && fchmod(fd, mode) < 0) /* exactly this mode, whatever the umask */
        rc = -errno;
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    return rc;
}

int file_write_atomic(const char *path, struct slice content, mode_t mode, struct err *err)
{
    CLEANUP(fd_cleanup) int dir_fd = -1;
    const char *name = base_name(path);
    char temp[NAME_MAX + 1];
    int rc = open_parent(path, &dir_fd, err);

    if (rc < 0)
        return rc;
    /* Room for the affixes: a name near NAME_MAX is cut, the random part keeps it unique. */
    (void)snprintf(temp, sizeof(temp), ".%.200s.%016llx.tmp", name,
                   (unsigned long long)random_u64());
    lock_dir(dir_fd);
    if (is_unchanged(dir_fd, name, content, mode))
        return 0;
    rc = write_temp(dir_fd, temp, content, mode);
    if (rc < 0) {
        (void)unlinkat(dir_fd, temp, 0);
        errno = -rc;
        return err_set(err, rc, "cannot write %s (through a temporary file beside it): %m", path);
    }
    if (renameat(dir_fd, temp, dir_fd, name) < 0) {
        rc = err_set(err, -errno, "cannot replace %s: %m", path);
        (void)unlinkat(dir_fd, temp, 0);
        return rc;
    }
    /* The new name itself must survive a power cut. Some file systems cannot sync a directory
     * (EINVAL): nothing more to do there. */
    if (fsync(dir_fd) < 0 && errno != EINVAL && errno != EROFS)
        return err_set(err, -errno, "cannot sync the directory of %s: %m", path);
    return 0;
}

static int make_one(const char *path, mode_t mode, struct err *err)
{
    struct stat st;

    if (mkdir(path, mode) == 0) {
        if (chmod(path, mode) < 0) /* whatever the umask */
            return err_set(err, -errno, "cannot set the mode of the new directory %s: %m", path);
        return 0;
    }
    if (errno != EEXIST) {
        int failed = errno;

        /* A read-only or foreign parent is no reason when the directory is there already. */
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
        errno = failed;
        return err_set(err, -errno, "cannot make the directory %s: %m", path);
    }
    if (stat(path, &st) < 0)
        return err_set(err, -errno, "cannot look at %s: %m", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s is in the way: it is not a directory", path);
    return 0;
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
    CLEANUP(free_cleanup) char *copy = slice_dup(slice_of(path));
    int rc;

    if (!copy)
        return err_set(err, -ENOMEM, "no memory to make %s", path);
    if (*copy == '\0')
        return err_set(err, -EINVAL, "the directory's path is empty");
    for (char *p = copy + 1; *p != '\0'; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        rc = make_one(copy, mode, err);
        if (rc < 0)
            return rc;
        *p = '/';
    }
    return make_one(copy, mode, err);
}

bool dir_is_writable(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
}
