/*
 * A directory of its own for a test, and small files in it. Header only; each test file uses a part
 * of it.
 */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[PATH_MAX / 4];

static inline void scratch_make(void)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(scratch, sizeof(scratch), "%s/sup.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(scratch));
}

static inline void scratch_remove(void)
{
    char command[PATH_MAX];

    (void)snprintf(command, sizeof(command), "chmod -R u+rwx '%s'; rm -rf '%s'", scratch, scratch);
    cr_assert_eq(system(command), 0);
}

/* The path of `name` in the scratch directory; four live at a time. */
static inline const char *scratch_path(const char *name)
{
    static char path[4][PATH_MAX / 2];
    static int next;
    char *ret = path[next++ % 4];

    (void)snprintf(ret, sizeof(path[0]), "%s/%s", scratch, name);
    return ret;
}

static inline const char *scratch_file_bytes(const char *name, const void *p, size_t n, mode_t mode)
{
    const char *path = scratch_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    cr_assert_eq(fchmod(fd, mode), 0);
    (void)close(fd);
    return path;
}

static inline const char *scratch_file(const char *name, const char *text, mode_t mode)
{
    return scratch_file_bytes(name, text, strlen(text), mode);
}

/* The whole file, NUL-terminated; "" when it is missing. Valid until the next call. */
static inline const char *scratch_read(const char *name)
{
    static char text[64 * 1024];
    int fd = open(scratch_path(name), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

    if (fd >= 0)
        (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

#endif
