/*
 * A journal that is looked at while no sidecar has it, and rollback journals that somebody has put
 * beside one.
 */
#include "store/database.h"
#include "support/hot_journal.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct journal_case c;
static struct err err;

static void setup(void)
{
    journal_case_begin(&c);
}

static void teardown(void)
{
    journal_case_end(&c);
}

TestSuite(journal_offline, .init = setup, .fini = teardown, .timeout = 600);

static const char *file(const char *name)
{
    static char path[600];

    (void)snprintf(path, sizeof(path), "%s/%s", c.dir, name);
    return path;
}

static bool is_there(const char *name)
{
    return access(file(name), F_OK) == 0;
}

static int64_t bytes(const char *name)
{
    struct stat st;

    cr_assert_eq(stat(file(name), &st), 0);
    return st.st_size;
}

static void run_sql(const char *sql)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(file("inbox.db"), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void make(void)
{
    journal_case_open(&c);
    for (unsigned n = 1; n <= 3; n++)
        cr_assert_gt(journal_case_add(&c, n), 0);
    journal_case_close(&c);
}

static void finds(int code, const char *words)
{
    err = (struct err){0};
    cr_expect_eq(journal_verify_file(c.dir, &err), code, "%s: %d %s", words, err.code, err.msg);
    cr_expect_not_null(strstr(err.msg, words), "%s", err.msg);
}

Test(journal_offline, a_good_one_is_ok)
{
    make();
    cr_expect_eq(journal_verify_file(c.dir, &err), 0, "%s", err.msg);
    cr_expect(!is_there("inbox.db-journal"));
    journal_case_open(&c);
    cr_expect_eq(journal_case_add(&c, 4), 4);
}

static void sql_finds(const char *sql, const char *words)
{
    make();
    run_sql(sql);
    finds(-EBADMSG, words);
    cr_expect(is_there("inbox.db"), "nothing is set aside");
    journal_case_clean(&c);
}

Test(journal_offline, each_rule_is_looked_at)
{
    sql_finds("UPDATE message SET state = 9 WHERE seq = 2", "1 messages have no known state");
    sql_finds("DELETE FROM body WHERE seq > 1", "2 unfinished messages have lost their texts");
    sql_finds("UPDATE message SET row_id = '' WHERE seq = 2", "1 messages have no number or row");
    sql_finds("DELETE FROM place", "1 cursors are missing");
    sql_finds("CREATE TABLE theirs (x)", "not as this program made it");
}

Test(journal_offline, an_empty_or_missing_one_is_not_ok_and_not_begun)
{
    int fd;

    finds(-ENOENT, "no journal to look at");
    cr_expect(!is_there("inbox.db"));
    fd = open(file("inbox.db"), O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    finds(-EBADMSG, "is empty");
    cr_expect_eq(bytes("inbox.db"), 0);
    run_sql("CREATE TABLE t (x); DROP TABLE t"); /* a page, and nothing on it */
    finds(-EBADMSG, "has no tables");
}

Test(journal_offline, a_truncated_one_is_damaged)
{
    make();
    cr_assert_eq(truncate(file("inbox.db"), bytes("inbox.db") / 2 / 4096 * 4096), 0);
    finds(-EBADMSG, "damaged");
    cr_expect(is_there("inbox.db"));
}

Test(journal_offline, a_link_is_not_followed_but_the_directory_may_be_one)
{
    char dir[300];

    make();
    (void)snprintf(dir, sizeof(dir), "%s.link", c.dir);
    cr_assert_eq(symlink(c.dir, dir), 0);
    cr_expect_eq(journal_verify_file(dir, &err), 0, "%s", err.msg);
    c.options.dir = dir;
    journal_case_open(&c);
    cr_expect_eq(journal_case_add(&c, 4), 4);
    journal_case_close(&c);
    c.options.dir = c.dir;
    cr_assert_eq(unlink(dir), 0);
    cr_assert_eq(rename(file("inbox.db"), dir), 0);
    cr_assert_eq(symlink(dir, file("inbox.db")), 0);
    finds(-EBADMSG, "not a regular file");
    cr_assert_eq(unlink(dir), 0);
}

Test(journal_offline, another_users_files_are_not_opened)
{
    make();
    if (geteuid() != 0) /* whose files are all ours */
        cr_skip_test("needs root");
    cr_assert_eq(chown(file("inbox.db"), 65534, (gid_t)-1), 0);
    finds(-EPERM, "belongs to user 65534");
    cr_assert_eq(chown(file("inbox.db"), 0, (gid_t)-1), 0);
    cr_assert_eq(chown(c.dir, 65534, (gid_t)-1), 0);
    finds(-EPERM, "its directory to user 65534");
}

/* ---- rollback journals ---- */

static char precious[600];

static void make_hot(void)
{
    int fd;

    (void)snprintf(precious, sizeof(precious), "%s", file("precious"));
    fd = open(precious, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0 && write(fd, "precious\n", 9) == 9);
    close(fd);
    make();
    run_sql("PRAGMA journal_mode=DELETE");
    hot_journal_make(file("inbox.db"), precious);
}

/* Or else the tests below prove nothing. */
Test(journal_offline, a_hot_journal_as_these_deletes_what_it_names)
{
    make_hot();
    run_sql("SELECT * FROM place");
    cr_expect(!is_there("precious"));
}

Test(journal_offline, a_rollback_journal_is_refused)
{
    make_hot();
    finds(-EBADMSG, "a rollback journal");
    cr_expect(is_there("precious"));
    cr_expect(is_there("inbox.db-journal"), "nothing is touched");
    cr_assert_eq(truncate(file("inbox.db"), 0), 0);
    finds(-EBADMSG, "is empty");
    cr_expect(is_there("inbox.db-journal"), "nothing is touched");
}

Test(journal_offline, a_rollback_journal_is_set_aside_at_the_start)
{
    make_hot();
    journal_case_open(&c);
    cr_expect_eq(journal_case_add(&c, 1), 1, "of the new one");
    cr_expect(is_there("precious"));
    cr_expect(!is_there("inbox.db-journal"));
    cr_expect_not_null(strstr(journal_status(c.journal)->notice, "a rollback journal"), "%s",
                       journal_status(c.journal)->notice);
    cr_expect_not_null(strstr(journal_status(c.journal)->notice, ".damaged-"));
}

Test(journal_offline, beside_an_empty_file_it_goes)
{
    make_hot();
    cr_assert_eq(unlink(file("inbox.db")), 0);
    journal_case_open(&c);
    cr_expect_eq(journal_case_add(&c, 1), 1);
    cr_expect(is_there("precious"));
    cr_expect(!is_there("inbox.db-journal"));
    cr_expect_str_eq(journal_status(c.journal)->notice, "");
}
