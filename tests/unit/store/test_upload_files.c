#include "store/upload_files.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], real_dir[96], path[128];

static void make_top(void)
{
    (void)snprintf(top, sizeof(top), "/tmp/upload-files-XXXXXX");
    cr_assert_not_null(mkdtemp(top));
    (void)snprintf(real_dir, sizeof(real_dir), "%s/real", top);
    cr_assert_eq(mkdir(real_dir, 0750), 0);
    (void)snprintf(path, sizeof(path), "%s/up", top);
}

static void drop_top(void)
{
    if (unlink(path) < 0)
        (void)rmdir(path);
    (void)rmdir(real_dir);
    cr_assert_eq(rmdir(top), 0, "something was left in it");
}

TestSuite(upload_files, .init = make_top, .fini = drop_top);

static int try_in(const char *dir, struct err *err)
{
    struct upload_files f;
    int code;

    *err = (struct err){0};
    upload_files_init(&f, dir);
    code = upload_files_add(&f, "a", err);
    upload_files_discard(&f);
    return code;
}

Test(upload_files, a_directory_is_made_and_used)
{
    struct err err;

    cr_assert_eq(try_in(path, &err), 0, "%s", err.msg);
    cr_assert_eq(try_in(path, &err), 0, "%s", err.msg);
}

Test(upload_files, a_link_in_its_place_is_not_followed)
{
    char slashes[160];
    struct err err;

    cr_assert_eq(symlink(real_dir, path), 0);
    cr_assert_eq(try_in(path, &err), -ELOOP, "%s", err.msg);
    cr_assert(strstr(err.msg, "symbolic link"), "%s", err.msg);
    (void)snprintf(slashes, sizeof(slashes), "%s//", path);
    cr_assert_eq(try_in(slashes, &err), -ELOOP, "%s", err.msg);
}

Test(upload_files, a_link_on_the_way_is)
{
    char deep[160];
    struct err err;

    cr_assert_eq(symlink(real_dir, path), 0);
    (void)snprintf(deep, sizeof(deep), "%s/in", path);
    cr_assert_eq(try_in(deep, &err), 0, "%s", err.msg);
    cr_assert_eq(rmdir(deep), 0);
}

Test(upload_files, it_must_be_ours_or_roots)
{
    struct err err;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert_eq(chown(real_dir, 65534, 65534), 0);
    cr_assert_eq(try_in(real_dir, &err), -EPERM, "%s", err.msg);
    cr_assert(strstr(err.msg, "65534"), "%s", err.msg);
}
