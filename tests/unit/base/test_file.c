#include "base/file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char path[128];
static char other[160];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_file.XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/token", dir);
    snprintf(other, sizeof(other), "%s/other", dir);
}

static void teardown(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(file, .init = setup, .fini = teardown);

static void put(const char *where, const void *text, size_t n, mode_t mode)
{
    int fd = open(where, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void refused(bool mounted, int code, const char *word)
{
    struct str s = {0};
    struct err err = {0};

    cr_assert_eq(file_read_secret(path, mounted, &s, &err), code, "got %d: %s", err.code, err.msg);
    cr_assert_not_null(strstr(err.msg, word), "%s", err.msg);
    cr_assert_null(s.p);
}

Test(file, reads_whole_files_up_to_a_limit)
{
    struct str s = {0};
    struct err err = {0};

    put(path, "hello", 5, 0644);
    cr_assert_eq(file_read(path, 5, &s, &err), 0);
    cr_assert_str_eq(str_z(&s), "hello");
    str_release(&s);
    cr_assert_eq(file_read(path, 4, &s, &err), -EFBIG);
    cr_assert_not_null(strstr(err.msg, "4 bytes"));
    cr_assert_eq(file_read(other, 4, &s, &err), -ENOENT);
    cr_assert_eq(file_read(dir, 4, &s, &err), -EISDIR);
    cr_assert_eq(mkfifo(other, 0600), 0);
    cr_assert_eq(file_read(other, 4, &s, &err), -EINVAL,
                 "a FIFO without a writer must not hang us");
    cr_assert_eq(file_read("/proc/self/status", 65536, &s, &err), 0,
                 "files that claim to be empty");
    cr_assert_gt(s.len, 100);
    str_release(&s);
}

Test(file, reads_a_secret_and_trims_it)
{
    struct str s = {0};
    struct err err = {0};

    put(path, " \tabc-DEF_123\r\n", 15, 0600);
    cr_assert_eq(file_read_secret(path, false, &s, &err), 0, "%s", err.msg);
    cr_assert_str_eq(str_z(&s), "abc-DEF_123");
    str_wipe(&s);
    cr_assert_null(s.p);
}

Test(file, refuses_a_secret_others_can_read)
{
    struct str s = {0};
    struct err err = {0};

    put(path, "abc", 3, 0640);
    refused(false, -EPERM, "mode 0640");
    refused(false, -EPERM, "chmod 600");
    cr_assert_eq(file_read_secret(path, true, &s, &err), 0,
                 "a mounted one is the operator's business");
    str_wipe(&s);
}

Test(file, refuses_a_secret_of_somebody_else)
{
    if (geteuid() != 0)
        cr_skip_test("needs root to give a file away");
    put(path, "abc", 3, 0600);
    cr_assert_eq(chown(path, 12345, (gid_t)-1), 0);
    refused(false, -EPERM, "uid 12345");
    refused(false, -EPERM, "chown 0");
}

Test(file, refuses_a_symbolic_link)
{
    struct str s = {0};
    struct err err = {0};

    put(other, "abc", 3, 0600);
    cr_assert_eq(symlink(other, path), 0);
    refused(false, -ELOOP, "symbolic link");
    cr_assert_eq(file_read_secret(path, true, &s, &err), 0);
    str_wipe(&s);
}

Test(file, refuses_secrets_of_the_wrong_shape)
{
    char big[SECRET_FILE_MAX + 1];

    refused(false, -ENOENT, path);
    put(path, "a b", 3, 0600);
    refused(false, -EINVAL, "blank");
    put(path, "a\nb\n", 4, 0600);
    refused(false, -EINVAL, "line break");
    put(path, "a\0b", 3, 0600);
    refused(false, -EINVAL, "control");
    put(path, " \n", 2, 0600);
    refused(false, -EINVAL, "empty");
    put(path, "", 0, 0600);
    refused(true, -EINVAL, "empty");
    memset(big, 'a', sizeof(big));
    put(path, big, sizeof(big), 0600);
    refused(false, -EFBIG, "4096");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    refused(false, -EISDIR, "directory");
}

Test(file, never_repeats_a_secret_in_a_sentence)
{
    struct str s = {0};
    struct err err = {0};

    put(path, "s3cr3t x", 8, 0600);
    cr_assert_eq(file_read_secret(path, false, &s, &err), -EINVAL);
    cr_assert_null(strstr(err.msg, "s3cr3t"));
}

Test(file, writes_whole_with_the_mode_asked_for)
{
    struct str s = {0};
    struct err err = {0};
    struct stat st;

    umask(0);
    cr_assert_eq(file_write_atomic(path, SLICE("one"), 0600, &err), 0, "%s", err.msg);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    umask(077);
    cr_assert_eq(file_write_atomic(path, SLICE("two"), 0644, &err), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0644);
    cr_assert_eq(file_read(path, 10, &s, &err), 0);
    cr_assert_str_eq(str_z(&s), "two");
    cr_assert_eq(entries(), 1, "no temporary file is left");
    str_release(&s);
}

Test(file, leaves_unchanged_content_alone)
{
    struct err err = {0};
    struct stat before, after;

    cr_assert_eq(file_write_atomic(path, SLICE("one"), 0600, &err), 0);
    cr_assert_eq(stat(path, &before), 0);
    cr_assert_eq(file_write_atomic(path, SLICE("one"), 0600, &err), 0);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    cr_assert_eq(file_write_atomic(path, SLICE("onf"), 0600, &err), 0);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_neq(before.st_ino, after.st_ino, "the live file is never written into");
}

Test(file, replaces_a_link_rather_than_what_it_points_to)
{
    struct str s = {0};
    struct err err = {0};

    put(other, "keep", 4, 0600);
    cr_assert_eq(symlink(other, path), 0);
    cr_assert_eq(file_write_atomic(path, SLICE("new"), 0600, &err), 0);
    cr_assert_eq(file_read(other, 10, &s, &err), 0);
    cr_assert_str_eq(str_z(&s), "keep");
    str_release(&s);
}

Test(file, failed_writes_leave_nothing_behind)
{
    struct err err = {0};

    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(file_write_atomic(path, SLICE("x"), 0600, &err), -EISDIR);
    cr_assert_eq(entries(), 1);
    snprintf(other, sizeof(other), "%s/no/such", dir);
    cr_assert_eq(file_write_atomic(other, SLICE("x"), 0600, &err), -ENOENT);
    cr_assert_not_null(strstr(err.msg, "/no"));
    snprintf(other, sizeof(other), "%s/", dir);
    cr_assert_eq(file_write_atomic(other, SLICE("x"), 0600, &err), -EISDIR);
}

Test(file, makes_directories_on_the_way)
{
    struct err err = {0};
    struct stat st;

    umask(077);
    snprintf(other, sizeof(other), "%s/a//b/c/", dir);
    cr_assert_eq(dir_make(other, 0750, &err), 0, "%s", err.msg);
    cr_assert_eq(stat(other, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0750);
    cr_assert_eq(dir_make(other, 0700, &err), 0);
    cr_assert_eq(stat(other, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0750, "what exists keeps its mode");
    put(path, "x", 1, 0600);
    cr_assert_eq(dir_make(path, 0700, &err), -ENOTDIR);
    snprintf(other, sizeof(other), "%s/below", path);
    cr_assert_eq(dir_make(other, 0700, &err), -ENOTDIR);
    cr_assert(dir_is_writable(dir));
    cr_assert_not(dir_is_writable(path));
    cr_assert_not(dir_is_writable("/proc/self"));
}
