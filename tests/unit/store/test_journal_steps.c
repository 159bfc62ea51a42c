/* Files that earlier versions of this program have made: each goes on as one of today. */
#include "store/journal_parts.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static struct journal_case c;

static void setup(void)
{
    journal_case_begin(&c);
}

static void teardown(void)
{
    journal_case_end(&c);
}

TestSuite(journal_steps, .init = setup, .fini = teardown, .timeout = 600);

static int64_t number(const char *sql)
{
    char path[600];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t n;

    (void)snprintf(path, sizeof(path), "%s/inbox.db", c.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    cr_assert_eq(sqlite3_step(s), SQLITE_ROW);
    n = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return n;
}

/* The file of a version that knew so many steps, with an answer that is being sent. */
static void make_file(int steps)
{
    struct database_schema schema = journal_schema;
    struct database d = {0};
    struct err err = {0};
    char path[600];

    schema.version = steps;
    (void)snprintf(path, sizeof(path), "%s/inbox.db", c.dir);
    cr_assert_eq(database_open(&d, path, NULL, &schema, DATABASE_CHECK_FULL, &err), 0, "%s",
                 err.msg);
    cr_assert_eq(
        database_exec(&d,
                      "INSERT INTO message (row_id, state, is_work, sender, message_id,"
                      " conversation, created_us, changed_ms, due_ms, attempts, deaths,"
                      " parts_sent) VALUES ('00000000-0000-4000-8000-000000000001', 2, 1, '',"
                      " 'm', 'c', 1, 2, 3, 4, 5, 6);"
                      "INSERT INTO body VALUES (1, '{}', 'an answer')",
                      &err),
        0, "%s", err.msg);
    database_close(&d);
}

Test(journal_steps, files_of_every_version_are_brought_up_to_date)
{
    char row[JOURNAL_ID_LEN + 1], sentence[512];

    journal_case_row(1, row);
    for (int steps = 1; steps <= journal_schema.version; steps++) {
        make_file(steps);
        cr_expect_eq(number("PRAGMA user_version"), steps);
        journal_case_open(&c);
        struct journal_message m = journal_case_find(&c, row);

        cr_expect_eq(journal_status(c.journal)->notice[0], '\0', "nothing was set aside");
        cr_expect_eq(m.seq, 1);
        cr_expect_str_eq(m.answer, "an answer");
        cr_expect_eq(m.deaths, 5U);
        cr_expect_eq(m.parts_sent, 6U);
        cr_expect_eq(m.answer_tries, 0U);
        cr_expect_eq(m.answer_resends, 0U);
        cr_expect_eq(m.answer_trouble_ms, 0);
        m.answer_tries = 7;
        cr_expect_eq(journal_case_set(&c, &m, NULL), 0);
        journal_message_release(&m);
        cr_expect(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
        journal_case_close(&c);
        cr_expect_eq(number("PRAGMA user_version"), journal_schema.version);
        cr_expect_eq(number("SELECT answer_tries FROM message"), 7);
        journal_case_clean(&c);
    }
    journal_case_open(&c);
}
