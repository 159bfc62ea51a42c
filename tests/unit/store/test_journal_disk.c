/*
 * Disks that stay bad for a while, files that are not what they should be, power cuts, and going on
 * in memory.
 */
#include "config/config.h"
#include "store/database.h"
#include "support/fault_vfs.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { STEP = 3 }; /* each third call: the other builds look at all */
#else
enum { STEP = 1 };
#endif

enum { BUSY_MS = 60000 };

static struct journal_case c;

static void setup(void)
{
    fault_vfs_register();
    journal_case_begin(&c);
    c.options.vfs = "fault";
    c.options.backoff_ms = 1;
    c.options.checkpoint_frames = 12;
    c.options.memory_retry_ms = 1;
}

static void teardown(void)
{
    fault_vfs_clear();
    journal_case_end(&c);
}

TestSuite(journal_disk, .init = setup, .fini = teardown, .timeout = 600);

static const struct journal_status *status(void)
{
    return journal_status(c.journal);
}

static bool has_problem(void *arg)
{
    (void)arg;
    return status()->problem[0] != '\0';
}

static bool has_none(void *arg)
{
    return !has_problem(arg) && status()->is_open;
}

static bool is_on_disk(void *arg)
{
    (void)arg;
    return !status()->is_memory && has_none(NULL);
}

static const char *file(const char *tail)
{
    static char path[600];

    (void)snprintf(path, sizeof(path), "%s/inbox.db%s", c.dir, tail);
    return path;
}

static bool is_found(unsigned n)
{
    char row[JOURNAL_ID_LEN + 1];
    struct journal_message m;
    bool is_there;

    journal_case_row(n, row);
    m = journal_case_find(&c, row);
    is_there = m.seq != 0;
    journal_message_release(&m);
    return is_there;
}

static void assert_whole(void)
{
    char sentence[512];

    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
}

/* ---- a disk that refuses for a while ---- */

static int calls, last_code;
static int64_t last_seq;

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    (void)arg;
    calls++;
    last_code = code;
    last_seq = n ? v[0].seq : 0;
}

static bool is_called(void *arg)
{
    return calls == *(const int *)arg;
}

static void add_soon(unsigned n)
{
    struct journal_message m = journal_case_message(n);

    cr_assert_eq(journal_add(c.journal, &m, 1, NULL, on_added, NULL), 0);
    journal_message_release(&m);
}

static void holds_and_recovers(int rc, const char *words)
{
    int both = 2;

    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    fault_vfs_refuse(rc);
    add_soon(2);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect_not_null(strstr(status()->problem, words), "%s", status()->problem);
    cr_expect_not_null(strstr(status()->problem, file("")), "%s", status()->problem);
    cr_expect_eq(calls, 0, "nothing is done that is not on the disk");
    add_soon(3);
    fault_vfs_clear();
    cr_assert(journal_case_until(&c, is_called, &both));
    cr_assert(has_none(NULL));
    cr_expect_eq(last_seq, 3);
    assert_whole();
}

Test(journal_disk, a_full_disk_is_told_and_waited_for)
{
    holds_and_recovers(SQLITE_FULL, "the disk is full");
    cr_expect_eq(status()->notice[0], '\0');
}

Test(journal_disk, a_read_only_disk_is_told_and_waited_for)
{
    holds_and_recovers(SQLITE_READONLY, "read-only");
}

Test(journal_disk, a_failing_disk_is_told_and_waited_for)
{
    holds_and_recovers(SQLITE_IOERR_WRITE, "input/output error");
}

Test(journal_disk, a_failing_sync_is_told_and_waited_for)
{
    holds_and_recovers(SQLITE_IOERR_FSYNC, "fsync");
}

Test(journal_disk, a_disk_that_is_full_at_the_start)
{
    fault_vfs_refuse(SQLITE_FULL);
    journal_case_open(&c);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect(!status()->is_open);
    cr_expect_not_null(strstr(status()->problem, "free"), "%s", status()->problem);
    fault_vfs_clear();
    cr_expect_eq(journal_case_add(&c, 1), 1);
    cr_expect(status()->was_refilled);
}

Test(journal_disk, closing_on_a_bad_disk_ends_and_says_so)
{
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    fault_vfs_refuse(SQLITE_IOERR_FSYNC);
    add_soon(2);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    journal_case_close(&c);
    cr_expect_eq(calls, 1);
    cr_expect_eq(last_code, -EBUSY);
    cr_expect_eq(last_seq, 0);
    fault_vfs_clear();
    journal_case_open(&c);
    cr_expect(is_found(1));
    cr_expect(!is_found(2), "a commit that could not be synced is cut off");
}

/* ---- power cuts ---- */

/* The n-th sync fails, the rest goes well, then the power. False: there is no n-th one. */
static bool cut_after_failed_sync(unsigned n, unsigned times)
{
    int64_t seq[13] = {0};
    bool was_hit;

    fault_vfs_remember();
    fault_vfs_plan(FAULT_SYNC, n, times, SQLITE_IOERR_FSYNC);
    journal_case_open(&c);
    for (unsigned row = 1; row <= 12; row++) {
        seq[row] = journal_case_add(&c, row);
        cr_assert_gt(seq[row], 0, "sync %u: row %u was taken for known", n, row);
    }
    was_hit = fault_vfs_hits() > 0;
    fault_vfs_clear();
    journal_case_shut(&c);
    fault_vfs_power_cut(c.dir);
    journal_case_open(&c);
    for (unsigned row = 1; row <= 12; row++)
        cr_assert(is_found(row), "sync %u: row %u is lost", n, row);
    cr_assert_str_eq(status()->notice, "");
    assert_whole();
    journal_case_shut(&c);
    journal_case_clean(&c);
    return was_hit;
}

Test(journal_disk, what_was_acknowledged_after_a_failed_sync_survives_a_power_cut)
{
    unsigned n = 1;

    while (n < 200 && cut_after_failed_sync(n, 1) && cut_after_failed_sync(n, 2))
        n += STEP;
    cr_expect_gt(n, 12U);
    cr_expect_lt(n, 200U);
}

/* ---- files that are not ours, or not whole ---- */

static unsigned count_set_aside(void)
{
    DIR *d = opendir(c.dir);
    struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(d)))
        n += strstr(e->d_name, "inbox.db.damaged-") == e->d_name && !strstr(e->d_name, "-wal");
    closedir(d);
    return n;
}

static void write_file(const char *path, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static void is_begun_anew(const char *words)
{
    journal_case_open(&c);
    cr_assert_eq(journal_case_add(&c, 1), 1);
    cr_expect_not_null(strstr(status()->notice, words), "%s", status()->notice);
    cr_expect_not_null(strstr(status()->notice, ".damaged-"), "%s", status()->notice);
    cr_expect(status()->was_refilled);
    cr_expect_eq(count_set_aside(), 1U);
    assert_whole();
}

Test(journal_disk, a_file_that_is_no_database_is_set_aside)
{
    char page[8192];

    memset(page, 'x', sizeof(page));
    write_file(file(""), page, sizeof(page));
    is_begun_anew("damaged");
}

Test(journal_disk, somebody_elses_database_is_set_aside)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(file(""), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    is_begun_anew("not our database");
}

static void run_sql(const char *sql)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(file(""), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, BUSY_MS); /* a journal that tries again holds the file at times */
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void make_one(unsigned rows)
{
    journal_case_open(&c);
    for (unsigned n = 1; n <= rows; n++)
        cr_assert_gt(journal_case_add(&c, n), 0);
    journal_case_close(&c);
}

Test(journal_disk, a_database_with_a_strangers_trigger_is_set_aside)
{
    make_one(1);
    run_sql("CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM body; END");
    is_begun_anew("not as this program made it");
}

Test(journal_disk, a_damaged_page_is_found_at_the_start)
{
    int fd;
    char page[4096];

    make_one(200);
    memset(page, 0xA5, sizeof(page));
    fd = open(file(""), O_WRONLY);
    cr_assert_eq(pwrite(fd, page, sizeof(page), 4 * 4096), 4096);
    close(fd);
    is_begun_anew("damaged");
}

static void add_large(unsigned from, unsigned to)
{
    int all;

    calls = 0;
    for (unsigned n = from; n < to; n++) {
        struct journal_message m = journal_case_message(n);

        free(m.request);
        m.request = calloc(1, 20001);
        cr_assert_not_null(m.request);
        memset(m.request, 'r', 20000);
        cr_assert_eq(journal_add(c.journal, &m, 1, NULL, on_added, NULL), 0);
        journal_message_release(&m);
    }
    all = (int)(to - from);
    cr_assert(journal_case_until(&c, is_called, &all));
}

Test(journal_disk, damage_met_while_running_is_set_aside_too)
{
    char zero[4096] = {0};
    struct journal_message *v;
    struct stat st;
    size_t n;
    int fd;

    journal_case_open(&c);
    add_large(0, 300); /* more than the cache holds */
    journal_case_close(&c);
    journal_case_open(&c);
    cr_assert(is_found(1));
    cr_expect_eq(status()->notice[0], '\0');
    cr_assert_eq(stat(file(""), &st), 0);
    fd = open(file(""), O_WRONLY);
    for (off_t at = 4096; at < st.st_size; at += 4096)
        cr_assert_eq(pwrite(fd, zero, sizeof(zero), at), 4096);
    close(fd);
    n = journal_case_read(&c, &(struct journal_query){0}, &v);
    journal_case_free(v, n);
    cr_expect_eq(n, 0U, "of the new one");
    cr_expect_not_null(strstr(status()->notice, ".damaged-"), "%s", status()->notice);
    cr_expect_eq(status()->generation, 1U);
    cr_expect(status()->was_refilled);
    cr_assert_eq(journal_case_add(&c, 1), 301, "numbers are not given again");
    assert_whole();
}

static void give_back(const struct journal_message *m)
{
    cr_assert_eq(journal_restore(c.journal, m, 1), 0);
}

/* What is in memory when a file is set aside goes into the new one as it is. */
Test(journal_disk, a_new_file_is_given_back_what_is_in_memory)
{
    struct journal_message m = journal_case_message(7), found, same = journal_case_message(8);
    char sentence[512];

    journal_case_open(&c);
    cr_assert_eq(journal_case_add(&c, 1), 1);
    m.seq = 40; /* the gone file's */
    m.state = JOURNAL_DELIVERED;
    m.attempts = 2;
    m.answer = strdup("said");
    give_back(&m);
    give_back(&m); /* it is there: left as it is */
    m.state = JOURNAL_ANSWERING;
    cr_expect_eq(journal_case_set(&c, &m, NULL), 0);
    found = journal_case_find(&c, m.row_id);
    cr_expect_eq(found.seq, 40);
    cr_expect_eq(found.state, JOURNAL_ANSWERING);
    cr_expect_eq(found.attempts, 2U);
    cr_expect_str_eq(found.answer, "said");
    cr_expect_str_eq(found.request, m.request);
    journal_message_release(&found);
    cr_expect_eq(journal_case_add(&c, 7), 0, "the feed's row is known");
    /* the feed came first: the number in memory counts */
    cr_assert_eq(journal_case_add(&c, 8), 41);
    same.seq = 20;
    same.state = JOURNAL_DELIVERED;
    give_back(&same);
    cr_expect_eq(journal_case_set(&c, &same, NULL), 0);
    cr_expect_eq(status()->count[JOURNAL_SEEN], 1);
    cr_expect_eq(status()->count[JOURNAL_DELIVERED], 1);
    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
    cr_expect_eq(status()->generation, 0U);
    journal_message_release(&m);
    journal_message_release(&same);
}

Test(journal_disk, a_state_that_nobody_knows_is_damage)
{
    struct journal_message m = journal_case_message(1);

    make_one(1);
    run_sql("UPDATE message SET state = 99");
    journal_case_open(&c);
    m.seq = 1;
    cr_expect_eq(journal_case_set(&c, &m, NULL), -ENOENT, "of the new file");
    cr_expect_not_null(strstr(status()->notice, "state 99"), "%s", status()->notice);
    journal_message_release(&m);
    assert_whole();
}

Test(journal_disk, a_missing_row_of_ours_is_damage)
{
    make_one(1);
    run_sql("DELETE FROM place");
    is_begun_anew("a row is missing");
}

static void verify_finds(const char *sql, const char *words)
{
    char sentence[512];

    make_one(3);
    run_sql(sql);
    journal_case_open(&c);
    cr_expect(!journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sql);
    cr_expect_not_null(strstr(sentence, words), "%s", sentence);
    cr_expect_not_null(strstr(sentence, file("")), "%s", sentence);
    journal_case_close(&c);
    journal_case_clean(&c);
}

Test(journal_disk, verify_says_what_is_wrong)
{
    verify_finds("UPDATE message SET state = 99 WHERE seq = 2", "1 messages have no known state");
    verify_finds("DELETE FROM body WHERE seq > 1", "2 unfinished messages have lost their texts");
    verify_finds("INSERT INTO body VALUES (70, 'x', NULL)", "1 texts belong to no message");
    verify_finds("UPDATE place SET cursor_row_id = 'x'", "1 cursors are not the id of a row");
    verify_finds("UPDATE sqlite_sequence SET seq = 1",
                 "2 messages have numbers that were not given");
    journal_case_open(&c);
}

Test(journal_disk, a_newer_versions_file_is_left_alone)
{
    make_one(1);
    run_sql("PRAGMA user_version=1000");
    journal_case_open(&c);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect_not_null(strstr(status()->problem, "newer version"), "%s", status()->problem);
    cr_expect_eq(count_set_aside(), 0U);
    run_sql("PRAGMA user_version=2");
    cr_assert(journal_case_until(&c, has_none, NULL));
    cr_expect(is_found(1));
}

Test(journal_disk, a_second_sidecar_waits_for_the_first)
{
    struct journal_case other = c;

    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    other.loop = c.loop;
    journal_case_open(&other);
    {
        struct journal *first = c.journal;

        c.journal = other.journal;
        cr_assert(journal_case_until(&c, has_problem, NULL));
        cr_expect_not_null(strstr(status()->problem, "another process"), "%s", status()->problem);
        cr_expect_eq(count_set_aside(), 0U);
        journal_close(first);
        cr_assert(journal_case_until(&c, has_none, NULL));
        cr_expect(is_found(1));
    }
}

Test(journal_disk, only_three_damaged_files_are_kept)
{
    struct err err = {0};
    char name[600], last[600] = "";

    for (int i = 0; i < 5; i++) {
        write_file(file(""), "x", 1);
        write_file(file("-wal"), "y", 1);
        cr_assert_eq(
            database_set_aside(file(""), 1000000000000 + i * 1000, name, sizeof(name), &err), 0,
            "%s", err.msg);
        if (i == 1)
            (void)snprintf(last, sizeof(last), "%s-wal", name);
    }
    cr_expect_eq(count_set_aside(), 3U);
    cr_expect_eq(access(name, F_OK), 0);
    cr_expect_eq(access(last, F_OK), -1, "the WAL goes with its file");
    cr_expect_eq(access(file("-wal"), F_OK), -1);
}

Test(journal_disk, a_rename_that_fails_is_told_and_tried_again)
{
    struct err err = {0};
    char name[600];

    write_file(file(""), "x", 1);
    cr_assert_eq(database_set_aside(file(""), 1000000000000, name, sizeof(name), &err), 0);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(mkdir(name, 0700), 0); /* in the way */
    write_file(file(""), "x", 1);
    cr_expect_lt(database_set_aside(file(""), 1000000000000, name, sizeof(name), &err), 0);
    cr_expect_not_null(strstr(err.msg, "cannot set the damaged"), "%s", err.msg);
    cr_expect_eq(access(file(""), F_OK), 0);
}

/* ---- renames that fail ---- */

static struct {
    char from[600];
    _Atomic bool is_on; /* the storage thread asks */
} no_rename;

/* In the place of libc's, for everything linked into this test. */
int rename(const char *from, const char *to)
{
    if (no_rename.is_on && strcmp(from, no_rename.from) == 0) {
        errno = EIO;
        return -1;
    }
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static const char *const tails[] = {"-wal", "-shm", "-journal", ""};
enum { TAILS = sizeof(tails) / sizeof(tails[0]) };

static bool has_content(const char *path, const char *tail)
{
    char name[700], read_back[16] = "";
    int fd;

    (void)snprintf(name, sizeof(name), "%s%s", path, tail);
    fd = open(name, O_RDONLY);
    if (fd < 0)
        return false;
    cr_assert_geq(read(fd, read_back, sizeof(read_back) - 1), 0);
    close(fd);
    return strcmp(read_back, tail[0] ? tail : "the file") == 0;
}

static void all_are_at(const char *path, size_t failed)
{
    for (size_t t = 0; t < TAILS; t++)
        cr_expect(has_content(path, tails[t]), "the rename of %s failed: where is %s?",
                  tails[failed], tails[t]);
}

Test(journal_disk, whichever_rename_fails_all_stays_together_and_is_tried_again)
{
    for (size_t n = 0; n < TAILS; n++) {
        struct err err = {0};
        char name[600], words[700];
        int64_t when_ms = 1000000000000 + (int64_t)n * 10000;

        for (size_t t = 0; t < TAILS; t++) {
            const char *text = tails[t][0] ? tails[t] : "the file";

            write_file(file(tails[t]), text, strlen(text));
        }
        (void)snprintf(no_rename.from, sizeof(no_rename.from), "%s", file(tails[n]));
        no_rename.is_on = true;
        cr_expect_eq(database_set_aside(file(""), when_ms, name, sizeof(name), &err), -EIO);
        (void)snprintf(words, sizeof(words), "cannot set the damaged %s aside", no_rename.from);
        cr_expect_not_null(strstr(err.msg, words), "%s", err.msg);
        all_are_at(file(""), n);
        no_rename.is_on = false;
        err = (struct err){0};
        cr_expect_eq(database_set_aside(file(""), when_ms + 1000, name, sizeof(name), &err), 0);
        all_are_at(name, n);
        cr_expect_eq(access(file(""), F_OK), -1);
    }
}

Test(journal_disk, a_journal_whose_file_cannot_be_set_aside_waits_and_says_so)
{
    char page[8192];

    memset(page, 'x', sizeof(page));
    for (size_t n = 0; n < TAILS; n++) {
        journal_case_clean(&c);
        write_file(file(""), page, sizeof(page));
        (void)snprintf(no_rename.from, sizeof(no_rename.from), "%s", file(tails[n]));
        no_rename.is_on = true;
        journal_case_open(&c);
        cr_assert(journal_case_until(&c, has_problem, NULL));
        cr_expect_not_null(strstr(status()->problem, "cannot set the damaged"), "%s",
                           status()->problem);
        cr_expect_eq(count_set_aside(), 0U);
        cr_expect_eq(access(file(""), F_OK), 0);
        no_rename.is_on = false;
        cr_assert(journal_case_until(&c, has_none, NULL));
        cr_expect_eq(count_set_aside(), 1U);
        cr_assert_eq(journal_case_add(&c, 1), 1);
        assert_whole();
        journal_case_shut(&c);
    }
}

Test(journal_disk, a_link_in_the_place_of_the_file_is_not_followed)
{
    cr_assert_eq(symlink("/dev/null", file("")), 0);
    journal_case_open(&c);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect_not_null(strstr(status()->problem, "cannot open"), "%s", status()->problem);
}

/* ---- in memory ---- */

Test(journal_disk, goes_on_in_memory_when_asked_and_comes_back)
{
    c.options.memory_on_error = true;
    c.options.memory_retry_ms = 3600 * 1000;
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    fault_vfs_refuse(SQLITE_FULL);
    cr_expect_eq(journal_case_add(&c, 2), 2, "numbers go on");
    cr_expect(status()->is_memory);
    cr_expect(!status()->was_refilled || status()->count[JOURNAL_SEEN] == 2);
    cr_expect_not_null(strstr(status()->problem, "the disk is full"), "%s", status()->problem);
    cr_expect_not_null(strstr(status()->problem, "in memory"), "%s", status()->problem);
    cr_expect(is_found(1), "what could be read was copied");
    assert_whole();
    fault_vfs_clear();
    journal_case_close(&c); /* the last chance to write it */
    journal_case_open(&c);
    cr_expect(is_found(1));
    cr_expect(is_found(2));
    cr_expect(!status()->is_memory);
}

Test(journal_disk, comes_back_from_memory_while_running)
{
    unsigned n = 3;

    c.options.memory_on_error = true;
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    fault_vfs_refuse(SQLITE_IOERR_FSYNC);
    cr_assert_gt(journal_case_add(&c, 2), 0);
    cr_expect(status()->is_memory);
    fault_vfs_clear();
    while (!is_on_disk(NULL) && n < 500)
        cr_assert_gt(journal_case_add(&c, n++), 0);
    cr_assert(is_on_disk(NULL), "%s", status()->problem);
    cr_assert_gt(journal_case_add(&c, 600), 0);
    fault_vfs_refuse(SQLITE_IOERR_FSYNC); /* and what is cut off after a failure is cut rightly */
    cr_assert_gt(journal_case_add(&c, 601), 0);
    fault_vfs_clear();
    journal_case_close(&c);
    journal_case_open(&c);
    for (unsigned i = 1; i < n; i++)
        cr_assert(is_found(i), "row %u", i);
    cr_expect(is_found(600));
    cr_expect(is_found(601));
    assert_whole();
}

/* A file that cannot be opened is not taken for an empty one. */
Test(journal_disk, memory_never_replaces_a_file_that_was_not_read)
{
    c.options.memory_on_error = true;
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    journal_case_close(&c);
    fault_vfs_plan(FAULT_OPEN, 1, 1000000, SQLITE_CANTOPEN);
    journal_case_open(&c);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect(!status()->is_memory);
    cr_expect_not_null(strstr(status()->problem, "not replaced unread"), "%s", status()->problem);
    fault_vfs_clear();
    cr_assert(journal_case_until(&c, has_none, NULL));
    cr_expect(is_found(1));
    cr_expect_eq(journal_case_add(&c, 2), 2, "and it goes on by itself");
}

/* The log keeps the stderr that it found first, so this comes before anything is said. */
static int hear(void)
{
    int into = memfd_create("log", MFD_CLOEXEC);

    cr_assert(into >= 0 && dup2(into, STDERR_FILENO) >= 0);
    return into;
}

static const char *heard(int from)
{
    static char text[8192];
    ssize_t n = pread(from, text, sizeof(text) - 1, 0);

    cr_assert_geq(n, 0);
    text[n] = '\0';
    return text;
}

/* There was none, and one appears: a volume that is mounted late. */
Test(journal_disk, memory_does_not_go_back_to_another_file)
{
    char kept[600], path[600];
    int log = hear();

    c.options.memory_on_error = true;
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    journal_case_close(&c);
    (void)snprintf(path, sizeof(path), "%s", file(""));
    (void)snprintf(kept, sizeof(kept), "%s", file(".kept"));
    cr_assert_eq(rename(path, kept), 0);
    fault_vfs_refuse(SQLITE_READONLY);
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 2), 0);
    cr_assert(status()->is_memory);
    cr_assert_eq(rename(kept, path), 0);
    fault_vfs_clear();
    /* the disk is looked at each millisecond: a quick machine adds many within one */
    for (unsigned n = 3; n < 20 || (n < 5000 && !strstr(status()->problem, "is not the")); n++)
        cr_assert_gt(journal_case_add(&c, n), 0);
    cr_expect(status()->is_memory);
    cr_expect_not_null(strstr(status()->problem, "not the journal that was read"), "%s",
                       status()->problem);
    cr_expect_null(strstr(heard(log), "was kept in memory"));
    journal_case_close(&c);
    cr_expect_not_null(strstr(heard(log), "what was kept in memory is lost"), "%s", heard(log));
    (void)close(log);
    journal_case_open(&c);
    cr_expect(is_found(1));
    cr_expect(!is_found(2));
}

Test(journal_disk, what_memory_brought_back_needs_no_words)
{
    int log = hear();

    c.options.memory_on_error = true;
    c.options.memory_retry_ms = 3600 * 1000;
    journal_case_open(&c);
    fault_vfs_refuse(SQLITE_FULL);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    cr_assert(status()->is_memory);
    fault_vfs_clear();
    journal_case_close(&c);
    cr_expect_not_null(strstr(heard(log), "in memory"), "%s", heard(log));
    cr_expect_null(strstr(heard(log), "was kept in memory"), "%s", heard(log));
    (void)close(log);
}

Test(journal_disk, starts_in_memory_when_the_disk_never_worked)
{
    c.options.memory_on_error = true;
    fault_vfs_refuse(SQLITE_READONLY);
    journal_case_open(&c);
    cr_expect_eq(journal_case_add(&c, 1), 1);
    cr_expect(status()->is_memory);
    cr_expect(status()->was_refilled);
    cr_expect_not_null(strstr(status()->problem, "read-only"), "%s", status()->problem);
}

Test(journal_disk, does_not_go_into_memory_beside_another_sidecar)
{
    c.options.memory_on_error = true;
    fault_vfs_plan(FAULT_LOCK, 1, 1000000, SQLITE_BUSY);
    journal_case_open(&c);
    cr_assert(journal_case_until(&c, has_problem, NULL));
    cr_expect(!status()->is_memory);
    cr_expect(!status()->is_open);
}

/* ---- where it may be ---- */

Test(journal_disk, a_local_file_system_is_none_of_the_networks)
{
    cr_expect_null(config_network_fs(c.dir));
    cr_expect_null(config_network_fs("/proc"));
    cr_expect_null(config_network_fs("/nowhere/at/all"));
}

Test(journal_disk, a_path_that_is_too_long_is_refused_in_words)
{
    static char dir[700];
    struct err err = {0};

    memset(dir, 'd', sizeof(dir) - 1);
    dir[0] = '/';
    c.options.dir = dir;
    cr_expect_eq(journal_open(c.loop, c.store, &c.options, &c.journal, &err), -EINVAL);
    cr_expect_not_null(strstr(err.msg, "state.dir"), "%s", err.msg);
    c.journal = NULL;
    c.options.dir = c.dir;
}
