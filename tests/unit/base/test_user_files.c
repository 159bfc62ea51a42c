/* passwd(5) and group(5) read as files: what the static build has instead of the name service. */
#include "base/user_files.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "support/scratch.h"

static const char passwd_rows[] = "root:x:0:0:root:/root:/bin/bash\n"
                                  "# a remark\n"
                                  "\n"
                                  "not a row\n"
                                  "agent:x:1000:1000:An agent,,,:/home/agent:/bin/sh\n"
                                  "+nis::::::\n"
                                  "last:x:65532:65532::/:";

static const char group_rows[] = "root:x:0:\n"
                                 "agent:x:1000:\n"
                                 "video:x:44:other,agent\n"
                                 "broken\n"
                                 "docker:x:999:agent\n"
                                 "agents:x:998:agent2,agen\n";

static struct passwd row;
static struct passwd *found;
static char buf[256];

static int passwd_of(const char *name, uid_t uid)
{
    return user_files_passwd(scratch_path("passwd"), name, uid, &row, buf, sizeof(buf), &found);
}

static void files_make(void)
{
    scratch_make();
    scratch_file_bytes("passwd", passwd_rows, strlen(passwd_rows), 0644);
    scratch_file_bytes("group", group_rows, strlen(group_rows), 0644);
}

TestSuite(user_files, .init = files_make, .fini = scratch_remove);

Test(user_files, finds_a_user_by_name_and_by_number)
{
    cr_assert_eq(passwd_of("agent", 0), 0);
    cr_assert_eq(found, &row);
    cr_expect_eq(row.pw_uid, 1000);
    cr_expect_eq(row.pw_gid, 1000);
    cr_expect_str_eq(row.pw_dir, "/home/agent");
    cr_assert_eq(passwd_of(NULL, 65532), 0);
    cr_assert_eq(found, &row, "the last row has no newline");
    cr_expect_str_eq(row.pw_name, "last");
    cr_expect_str_eq(row.pw_shell, "");
}

Test(user_files, knows_nobody_who_is_not_there)
{
    cr_expect_eq(passwd_of("agen", 0), 0);
    cr_expect_null(found);
    cr_expect_eq(passwd_of(NULL, 12345), 0);
    cr_expect_null(found);
    cr_expect_eq(passwd_of("+nis", 0), 0);
    cr_expect_null(found, "a reference to NIS is no user");
    cr_expect_eq(
        user_files_passwd(scratch_path("missing"), "root", 0, &row, buf, sizeof(buf), &found), 0);
    cr_expect_null(found);
}

Test(user_files, asks_for_a_larger_buffer)
{
    cr_expect_eq(user_files_passwd(scratch_path("passwd"), "agent", 0, &row, buf, 16, &found),
                 ERANGE);
    cr_expect_null(found);
}

Test(user_files, finds_a_group_by_name)
{
    struct group group;
    struct group *got = NULL;

    cr_assert_eq(user_files_group(scratch_path("group"), "docker", &group, buf, sizeof(buf), &got),
                 0);
    cr_assert_eq(got, &group);
    cr_expect_eq(group.gr_gid, 999);
    cr_expect_eq(user_files_group(scratch_path("group"), "none", &group, buf, sizeof(buf), &got),
                 0);
    cr_expect_null(got);
}

Test(user_files, lists_the_groups_of_a_user)
{
    gid_t groups[3];
    int n = 3;

    cr_assert_eq(user_files_group_list(scratch_path("group"), "agent", 1000, groups, &n), 3);
    cr_expect_eq(n, 3);
    cr_expect_eq(groups[0], 1000);
    cr_expect_eq(groups[1], 44);
    cr_expect_eq(groups[2], 999);
    n = 1;
    cr_expect_eq(user_files_group_list(scratch_path("group"), "agent", 1000, groups, &n), -1);
    cr_expect_eq(n, 3, "what it takes");
    n = 3;
    cr_expect_eq(user_files_group_list(scratch_path("group"), "stranger", 7, groups, &n), 1);
    cr_expect_eq(groups[0], 7);
    n = 3;
    cr_expect_eq(user_files_group_list(scratch_path("missing"), "agent", 7, groups, &n), 1);
}

Test(user_files, reads_groups_with_very_many_members)
{
    enum { MEMBERS = 3000 };
    static char text[64 + MEMBERS * 8];
    size_t at = (size_t)snprintf(text, sizeof(text), "many:x:50:");
    gid_t groups[2];
    int n = 2;

    for (int i = 0; i < MEMBERS; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "u%d,", i + 1000);
    at += (size_t)snprintf(text + at, sizeof(text) - at, "agent\nnext:x:51:agent\n");
    scratch_file_bytes("group", text, at, 0644);
    cr_expect_eq(user_files_group_list(scratch_path("group"), "agent", 50, groups, &n), 2);
    cr_expect_eq(groups[1], 51);
}
