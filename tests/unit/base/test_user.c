/* Users by name and number, and what mode bits let them do. */
#include "base/user.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct user found(const char *text)
{
    struct user u;
    struct err err = {0};

    cr_assert_eq(user_lookup(slice_of(text), &u, &err), 0, "%s: %s", text, err.msg);
    cr_assert(u.is_set);
    return u;
}

static void not_found(const char *text, const char *piece)
{
    struct user u;
    struct err err = {0};

    cr_assert_eq(user_lookup(slice_of(text), &u, &err), -ENOENT, "%s", text);
    cr_assert(strstr(err.msg, piece), "wanted \"%s\" in: %s", piece, err.msg);
    cr_assert_not(u.is_set);
    user_release(&u);
}

Test(user, a_name_brings_its_row)
{
    struct user u = found("root");

    cr_expect_eq(u.uid, 0);
    cr_expect_eq(u.gid, 0);
    cr_expect_str_eq(u.name, "root");
    cr_expect_str_eq(u.home, "/root");
    cr_expect_eq(u.shell[0], '/');
    cr_expect_geq(u.group_count, 1);
    user_release(&u);
    cr_expect_null(u.name);
}

Test(user, a_known_number_is_the_same_as_its_name)
{
    struct user u = found("0:65534");

    cr_expect_str_eq(u.name, "root");
    cr_expect_eq(u.gid, 65534);
    cr_expect_eq(u.groups[0], 65534);
    user_release(&u);
    u = found("root:root");
    cr_expect_eq(u.gid, 0);
    user_release(&u);
}

Test(user, a_number_nobody_knows_needs_its_group)
{
    struct user u = found("123456789:23");

    cr_expect_eq(u.uid, 123456789);
    cr_expect_eq(u.gid, 23);
    cr_expect_null(u.name);
    cr_expect_eq(u.group_count, 1);
    cr_expect_eq(u.groups[0], 23);
    user_release(&u);
    not_found("123456789", "so its group must be named: 123456789:123456789");
}

Test(user, what_is_not_there_is_named)
{
    not_found("no-such-user", "there is no user \"no-such-user\" on this system");
    not_found("root:no-such-group", "there is no group \"no-such-group\" on this system");
    not_found("root:", "there is no group \"\"");
    not_found(":root", "there is no user \"\"");
    not_found("4294967295:0",
              "there is no user \"4294967295\""); /* means "leave it" to the kernel */
}

Test(user, mode_bits_decide_by_owner_group_and_others)
{
    gid_t groups[] = {10, 20};
    const struct user u = {.is_set = true, .uid = 5, .gid = 10, .groups = groups, .group_count = 2};
    const struct user root = {.is_set = true};
    struct stat st = {.st_uid = 5, .st_gid = 99, .st_mode = S_IFREG | 0477};

    cr_expect(user_may(&u, &st, 4));
    cr_expect_not(user_may(&u, &st, 2), "the owner's bits count, not the others'");
    st.st_uid = 6;
    st.st_gid = 20;
    st.st_mode = S_IFREG | 0717;
    cr_expect(user_may(&u, &st, 1));
    cr_expect_not(user_may(&u, &st, 4));
    st.st_gid = 99;
    cr_expect(user_may(&u, &st, 7));
    cr_expect(user_may(&root, &st, 7));
    st.st_mode = S_IFREG | 0666;
    cr_expect_not(user_may(&root, &st, 1), "not even root executes what nobody may");
}

Test(user, the_first_closed_directory_is_told)
{
    char dir[] = "/tmp/user-XXXXXX", inner[64], closed[128] = "";
    const struct user u = {.is_set = true, .uid = 4711, .gid = 4711};

    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(inner, sizeof(inner), "%s/inner", dir);
    cr_assert_eq(mkdir(inner, 0755), 0);
    cr_assert_eq(chmod(inner, 0755), 0);
    cr_expect_not(user_may_enter(&u, inner, closed, sizeof(closed)));
    cr_expect_str_eq(closed, dir);
    cr_assert_eq(chmod(dir, 0711), 0);
    cr_expect(user_may_enter(&u, inner, closed, sizeof(closed)), "%s", closed);
    cr_expect(user_may_enter(&u, "/", closed, sizeof(closed)));
    (void)rmdir(inner);
    cr_expect_not(user_may_enter(&u, inner, closed, sizeof(closed)));
    cr_expect_str_eq(closed, inner);
    (void)rmdir(dir);
}
