/*
 * The journal's tables, the statements that are kept prepared, and what is counted of them.
 * docs/journal.md explains them and shows this text (a test compares).
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* A step is never changed once it was released; what comes later is a further step. */
static const char step_1[] =
    "CREATE TABLE message (\n"
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival; never used again\n"
    "  row_id TEXT NOT NULL UNIQUE,           -- the feed's\n"
    "  state INTEGER NOT NULL,                -- 1 seen 2 delivered 3 answering 4 answered\n"
    "                                         -- 5 parked 6 dead 7 skipped\n"
    "  is_work INTEGER NOT NULL,              -- 1: came as something to do\n"
    "  sender TEXT NOT NULL,                  -- the peer's workspace; '' = a person\n"
    "  message_id TEXT NOT NULL,              -- the sender's\n"
    "  conversation TEXT NOT NULL,            -- order is kept within one\n"
    "  created_us INTEGER NOT NULL,           -- the platform's clock\n"
    "  changed_ms INTEGER NOT NULL,           -- our clock\n"
    "  due_ms INTEGER NOT NULL,               -- our clock: not before; 0 = now\n"
    "  attempts INTEGER NOT NULL,             -- answers of the agent that were failures\n"
    "  deaths INTEGER NOT NULL,               -- times the agent was lost with it in hand\n"
    "  parts_sent INTEGER NOT NULL,           -- of the answer\n"
    "  context_id TEXT,                       -- the agent's\n"
    "  task_id TEXT,                          -- the agent's\n"
    "  why TEXT                               -- a sentence\n"
    ");\n"
    "-- one message of one sender is one piece of work, whatever rows it comes in\n"
    "CREATE UNIQUE INDEX message_once ON message (sender, message_id)\n"
    "  WHERE is_work = 1 AND message_id <> '';\n"
    "CREATE INDEX message_open ON message (seq) WHERE state IN (1, 2, 3);\n"
    "CREATE INDEX message_talk ON message (conversation, seq);\n"
    "CREATE INDEX message_turn ON message (conversation, seq) WHERE state IN (1, 2, 3);\n"
    "CREATE INDEX message_final ON message (changed_ms, seq, state) WHERE state IN (4, 7);\n"
    "CREATE INDEX message_held ON message (state) WHERE state IN (5, 6);\n"
    "-- the long texts, so that a step forward does not write them again\n"
    "CREATE TABLE body (\n"
    "  seq INTEGER PRIMARY KEY,\n"
    "  request TEXT,                          -- as the feed gave it\n"
    "  answer TEXT                            -- what the agent said\n"
    ");\n"
    "-- what the agent knows of a conversation\n"
    "CREATE TABLE conversation (\n"
    "  name TEXT PRIMARY KEY,\n"
    "  context_id TEXT,\n"
    "  task_id TEXT,                          -- open: the next message goes to it\n"
    "  changed_ms INTEGER NOT NULL\n"
    ") WITHOUT ROWID;\n"
    "CREATE INDEX conversation_age ON conversation (changed_ms);\n"
    "CREATE TABLE place (\n"
    "  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row\n"
    "  cursor_row_id TEXT NOT NULL,           -- how far the feed is read; '' = nowhere\n"
    "  cursor_us INTEGER NOT NULL,\n"
    "  last_ms INTEGER NOT NULL               -- our clock at the last commit\n"
    ");\n"
    "INSERT INTO place VALUES (1, '', 0, 0);\n";

/* SQLite writes these words into the text of the table: that of every file is the same. */
static const char step_2[] =
    "-- of the answer's part that is next\n"
    "ALTER TABLE message ADD COLUMN answer_tries INTEGER NOT NULL DEFAULT 0;\n"
    "ALTER TABLE message ADD COLUMN answer_resends INTEGER NOT NULL DEFAULT 0;\n"
    "ALTER TABLE message ADD COLUMN answer_trouble_ms INTEGER NOT NULL DEFAULT 0;\n";

static const char *const steps[] = {step_1, step_2};

const struct database_schema journal_schema = {
    .application_id = 0x6D6F6C6A, /* "molj" */
    .version = sizeof(steps) / sizeof(steps[0]),
    .step = steps,
};

#define OPEN_ONES "state IN (1, 2, 3)"
/* As bind_message() gives them. */
#define COLUMNS                                                                                    \
    "row_id, state, is_work, sender, message_id, conversation, created_us, changed_ms, due_ms,"    \
    " attempts, deaths, parts_sent, context_id, task_id, why, answer_tries, answer_resends,"       \
    " answer_trouble_ms"
#define COLUMN_VALUES                                                                              \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18"

static const char *const sql[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_FIND_ROW] = "SELECT seq, state FROM message WHERE row_id = ?1",
    [STMT_FIND_TWIN] = "SELECT row_id FROM message WHERE sender = ?1 AND message_id = ?2"
                       " AND is_work = 1 AND message_id <> ''",
    [STMT_INSERT] = "INSERT INTO message (" COLUMNS ") VALUES (" COLUMN_VALUES ")",
    [STMT_RESTORE] = "INSERT INTO message (" COLUMNS ", seq) VALUES (" COLUMN_VALUES ", ?19)",
    [STMT_INSERT_BODY] = "INSERT INTO body (seq, request, answer) VALUES (?1, ?2, ?3)",
    [STMT_FIND_STATE] = "SELECT state, created_us FROM message WHERE seq = ?1 AND row_id = ?2",
    [STMT_SET] = "UPDATE message SET state = ?2, changed_ms = ?3, due_ms = ?4, attempts = ?5,"
                 " deaths = ?6, parts_sent = ?7, context_id = ?8, task_id = ?9, why = ?10,"
                 " answer_tries = ?11, answer_resends = ?12, answer_trouble_ms = ?13"
                 " WHERE seq = ?1",
    [STMT_SET_ANSWER] = "UPDATE body SET answer = ?2 WHERE seq = ?1 AND answer IS NOT ?2",
    [STMT_SET_CONVERSATION] =
        "INSERT INTO conversation (name, context_id, task_id, changed_ms) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (name) DO UPDATE SET context_id = ?2, task_id = ?3, changed_ms = ?4",
    [STMT_DROP_CONVERSATION] = "DELETE FROM conversation WHERE name = ?1",
    [STMT_GET_CONVERSATION] = "SELECT context_id, task_id FROM conversation WHERE name = ?1",
    [STMT_SET_CURSOR] = "UPDATE place SET cursor_row_id = ?1, cursor_us = ?2",
    [STMT_GET_CURSOR] = "SELECT cursor_row_id, cursor_us, last_ms FROM place",
    [STMT_SET_LAST] = "UPDATE place SET last_ms = ?1",
    [STMT_OLDEST] = "SELECT seq, created_us FROM message INDEXED BY message_open"
                    " WHERE " OPEN_ONES " AND state = 1 AND seq >= ?1 ORDER BY seq LIMIT 1",
    [STMT_OLD_ONES] =
        "SELECT seq, state FROM message INDEXED BY message_final"
        " WHERE state IN (4, 7) AND changed_ms < ?1 ORDER BY changed_ms, seq LIMIT ?2",
    [STMT_DELETE] = "DELETE FROM message WHERE seq = ?1",
    [STMT_DELETE_BODY] = "DELETE FROM body WHERE seq = ?1",
    [STMT_WITH_TEXTS] =
        "SELECT changed_ms, seq FROM message INDEXED BY message_final WHERE state IN (4, 7)"
        " AND (changed_ms, seq) > (?1, ?2) AND changed_ms < ?3 ORDER BY changed_ms, seq LIMIT ?4",
    [STMT_DELETE_CONVERSATIONS] =
        "DELETE FROM conversation WHERE name IN"
        " (SELECT name FROM conversation ORDER BY changed_ms, name LIMIT ?1)",
    [STMT_FREE_PAGES] = "PRAGMA freelist_count",
    [STMT_PAGES] = "PRAGMA page_count",
};

int disk_prepare(struct disk *k, struct err *err)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        int rc =
            sqlite3_prepare_v3(k->d.db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &k->stmt[i], NULL);

        if (rc != SQLITE_OK)
            return database_error(&k->d, rc, err);
    }
    return 0;
}

void disk_finalize(struct disk *k)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        (void)sqlite3_finalize(k->stmt[i]);
        k->stmt[i] = NULL;
    }
}

sqlite3_stmt *disk_stmt(struct disk *k, enum statement s)
{
    (void)sqlite3_reset(k->stmt[s]); /* repeats an error that was seen */
    (void)sqlite3_clear_bindings(k->stmt[s]);
    return k->stmt[s];
}

int disk_step(struct disk *k, sqlite3_stmt *s, struct err *err)
{
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE) {
        (void)sqlite3_reset(s);
        return 0;
    }
    rc = database_error(&k->d, rc, err);
    (void)sqlite3_reset(s);
    return rc;
}

int disk_run(struct disk *k, sqlite3_stmt *s, struct err *err)
{
    int rc = disk_step(k, s, err);

    (void)sqlite3_reset(s);
    return rc > 0 ? 0 : rc;
}

void bind_text(sqlite3_stmt *s, int i, const char *text)
{
    (void)sqlite3_bind_text(s, i, text ? text : "", -1, SQLITE_STATIC); /* no copy: cannot fail */
}

int column_text(sqlite3_stmt *s, int i, char **ret)
{
    const char *text = (const char *)sqlite3_column_text(s, i);

    *ret = NULL;
    if (!text)
        return sqlite3_column_type(s, i) == SQLITE_NULL ? 0 : -ENOMEM;
    if (text[0] == '\0')
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int count_states(struct disk *k, const char *text, struct err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(k->d.db, text, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return database_error(&k->d, rc, err);
    while ((rc = disk_step(k, s, err)) == 1) {
        int state = sqlite3_column_int(s, 0);

        if (state >= JOURNAL_SEEN && state <= JOURNAL_SKIPPED)
            k->tally.count[state] += sqlite3_column_int64(s, 1);
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int disk_load_tally(struct disk *k, struct err *err)
{
    static const char *const queries[] = {
        "SELECT state, count(*) FROM message INDEXED BY message_open"
        " WHERE " OPEN_ONES " GROUP BY state",
        "SELECT state, count(*) FROM message INDEXED BY message_final"
        " WHERE state IN (4, 7) GROUP BY state",
        "SELECT state, count(*) FROM message INDEXED BY message_held"
        " WHERE state IN (5, 6) GROUP BY state",
    };
    int rc = 0;

    k->tally = (struct tally){.is_oldest_stale = true};
    for (size_t i = 0; rc == 0 && i < sizeof(queries) / sizeof(queries[0]); i++)
        rc = count_states(k, queries[i], err);
    if (rc == 0)
        rc = database_number(&k->d, "SELECT count(*) FROM conversation", &k->tally.conversations,
                             err);
    return rc == 0 ? tally_refresh_oldest(k, err) : rc;
}
