/* What the journal lets go, and what it never does. */
#include "store/journal_parts.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct journal_case c;

static void setup(void)
{
    journal_case_begin(&c);
}

static void teardown(void)
{
    journal_case_end(&c);
}

TestSuite(journal_retention, .init = setup, .fini = teardown, .timeout = 600);

static int64_t count(enum journal_state s)
{
    return journal_status(c.journal)->count[s];
}

static void add_as(unsigned n, enum journal_state state)
{
    struct journal_message m = journal_case_message(n);

    m.seq = journal_case_add(&c, n);
    cr_assert_gt(m.seq, 0);
    m.state = state;
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    journal_message_release(&m);
}

static bool is_there(unsigned n)
{
    char row[JOURNAL_ID_LEN + 1];
    struct journal_message m;
    bool found;

    journal_case_row(n, row);
    m = journal_case_find(&c, row);
    found = m.seq != 0;
    journal_message_release(&m);
    return found;
}

static void assert_whole(void)
{
    char sentence[512];

    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
}

Test(journal_retention, finished_ones_beyond_the_count_go_oldest_first)
{
    c.options.keep_count = 3;
    journal_case_open(&c);
    add_as(1, JOURNAL_DEAD);
    add_as(2, JOURNAL_PARKED);
    add_as(3, JOURNAL_DELIVERED);
    add_as(4, JOURNAL_ANSWERING);
    for (unsigned n = 5; n < 12; n++)
        add_as(n, n % 2 ? JOURNAL_ANSWERED : JOURNAL_SKIPPED);
    cr_expect_eq(count(JOURNAL_ANSWERED) + count(JOURNAL_SKIPPED), 3);
    for (unsigned n = 1; n < 5; n++)
        cr_expect(is_there(n), "unfinished, parked and dead ones stay: %u", n);
    for (unsigned n = 5; n < 9; n++)
        cr_expect(!is_there(n), "%u", n);
    for (unsigned n = 9; n < 12; n++)
        cr_expect(is_there(n), "%u", n);
    assert_whole();
    cr_expect_gt(journal_case_add(&c, 20), 11, "a number is never used again");
}

static bool is_over(void *arg)
{
    (void)arg;
    add_as(100 + (unsigned)count(JOURNAL_DEAD), JOURNAL_DEAD); /* retention goes with writing */
    return count(JOURNAL_ANSWERED) == 0;
}

Test(journal_retention, finished_ones_go_when_they_are_old)
{
    unsigned n = 0;

    c.options.keep_ms = 50;
    journal_case_open(&c);
    add_as(1, JOURNAL_ANSWERED);
    add_as(2, JOURNAL_SEEN);
    while (!is_over(NULL) && n < 20000)
        n++;
    cr_expect(!is_there(1));
    cr_expect(is_there(2));
    assert_whole();
}

static int added;
static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    (void)arg;
    (void)v;
    (void)n;
    cr_assert_eq(code, 0);
    added++;
    loop_stop(c.loop);
}

static void add_large(unsigned from, unsigned to, size_t bytes)
{
    added = 0;
    for (unsigned n = from; n < to; n++) {
        struct journal_message m = journal_case_message(n);

        m.state = JOURNAL_SKIPPED;
        free(m.request);
        m.request = calloc(1, bytes + 1);
        cr_assert_not_null(m.request);
        memset(m.request, 'r', bytes);
        cr_assert_eq(journal_add(c.journal, &m, 1, NULL, on_added, NULL), 0);
        journal_message_release(&m);
    }
    while (added < (int)(to - from))
        loop_run(c.loop);
}

static int64_t file_bytes(void)
{
    struct stat st;

    cr_assert_eq(stat(journal_status(c.journal)->path, &st), 0);
    return st.st_size;
}

Test(journal_retention, a_large_file_loses_the_texts_of_finished_ones_first)
{
    c.options.keep_bytes = 4 * 1024 * 1024;
    c.options.checkpoint_frames = 100;
    journal_case_open(&c);
    cr_assert_gt(journal_case_add(&c, 1), 0);
    for (unsigned n = 0; n < 10; n++)
        add_large(100 + 100 * n, 200 + 100 * n, 20000); /* 2 MB each */
    cr_expect(is_there(1));
    cr_expect(is_there(100));
    cr_expect_eq(count(JOURNAL_SKIPPED), 1000, "that they are known stays");
    journal_case_close(&c);
    journal_case_open(&c);
    cr_assert(is_there(1));
    cr_expect_lt(file_bytes(), 9 * 1024 * 1024, "%lld", (long long)file_bytes());
    assert_whole();
}

Test(journal_retention, the_file_shrinks_when_its_messages_have_gone)
{
    int64_t full;

    c.options.checkpoint_frames = 100;
    journal_case_open(&c);
    add_large(100, 400, 20000);
    journal_case_close(&c);
    journal_case_open(&c);
    cr_assert(is_there(100));
    full = file_bytes();
    cr_assert_gt(full, 5 * 1024 * 1024);
    journal_case_close(&c);
    c.options.keep_count = 10;
    journal_case_open(&c);
    for (unsigned n = 1000; n < 1060; n++)
        cr_assert_gt(journal_case_add(&c, n), 0);
    assert_whole();
    journal_case_close(&c);
    journal_case_open(&c);
    cr_assert(is_there(1000));
    cr_expect_lt(file_bytes(), full / 2, "%lld of %lld", (long long)file_bytes(), (long long)full);
}

Test(journal_retention, conversations_are_bounded)
{
    c.options.keep_conversations = 3;
    journal_case_open(&c);
    for (unsigned n = 1; n < 8; n++) {
        char name[16], context[] = "ctx";
        struct journal_conversation k = {name, context, NULL};
        struct journal_message m = journal_case_message(n);

        (void)snprintf(name, sizeof(name), "talk-%u", n);
        m.seq = journal_case_add(&c, n);
        cr_assert_eq(journal_case_set(&c, &m, &k), 0);
        journal_message_release(&m);
    }
    for (unsigned n = 1; n < 8; n++) {
        struct journal_conversation k;
        char name[16];

        (void)snprintf(name, sizeof(name), "talk-%u", n);
        k = journal_case_conversation(&c, name);
        cr_expect_eq(k.context_id != NULL, n >= 5, "%s", name);
        journal_conversation_release(&k);
    }
    assert_whole();
}

/* ---- what a transaction costs ---- */

static void begin_turns(struct turn_state *t)
{
    *t = (struct turn_state){.checkpoint_frames = 1000};
    t->disk.keep_ms = JOURNAL_KEEP_MS;
    t->disk.keep_count = t->disk.keep_conversations = 100000;
    t->disk.keep_bytes = 64 * 1024;
    (void)snprintf(t->dir, sizeof(t->dir), "%s", c.dir);
    (void)snprintf(t->status.path, sizeof(t->status.path), "%s/inbox.db", c.dir);
}

static void turn_add(struct turn_state *t, unsigned from, unsigned to, enum journal_state state)
{
    struct err err = {0};
    struct list batch;
    struct op op = {.kind = OP_ADD, .n = to - from};

    list_init(&batch);
    list_init(&op.node);
    list_append(&batch, &op.node);
    op.v = calloc(op.n, sizeof(*op.v));
    cr_assert_not_null(op.v);
    for (size_t i = 0; i < op.n; i++) {
        op.v[i] = journal_case_message(from + (unsigned)i);
        op.v[i].state = state;
    }
    cr_assert_eq(turn_run(t, &batch, &err), 0, "%s", err.msg);
    journal_case_free(op.v, op.n);
}

static int64_t steps_of(struct turn_state *t)
{
    int64_t n = 0;

    for (int i = 0; i < STMT_COUNT; i++)
        n += sqlite3_stmt_status(t->disk.stmt[i], SQLITE_STMTSTATUS_VM_STEP, 1);
    return n;
}

static int64_t texts(struct turn_state *t)
{
    int64_t n = -1;

    cr_assert_eq(database_number(&t->disk.d, "SELECT count(*) FROM body", &n, NULL), 0);
    return n;
}

Test(journal_retention, a_full_file_of_unfinished_ones_is_not_searched_at_each_commit)
{
    struct turn_state t;
    int64_t cost;

    begin_turns(&t);
    turn_add(&t, 1, 3000, JOURNAL_SEEN);
    (void)steps_of(&t);
    turn_add(&t, 3000, 3001, JOURNAL_SEEN);
    cost = steps_of(&t);
    cr_expect_lt(cost, 2000, "%lld", (long long)cost);
    for (unsigned n = 3001; n < 3021; n++) { /* one is finished each time */
        turn_add(&t, n, n + 1, JOURNAL_SKIPPED);
        cost = steps_of(&t);
        cr_expect_lt(cost, 2000, "%u: %lld", n, (long long)cost);
    }
    turn_close(&t);
}

Test(journal_retention, texts_go_although_the_clock_went_back)
{
    struct turn_state t;
    unsigned n = 2000;

    begin_turns(&t);
    turn_add(&t, 1, 400, JOURNAL_SEEN);
    t.disk.tally.textless_ms = INT64_MAX - 1; /* as a clock that was far ahead leaves it */
    turn_add(&t, 1000, 1010, JOURNAL_SKIPPED);
    do
        turn_add(&t, n, n + 1, JOURNAL_SEEN);
    while (texts(&t) != 399 + n++ - 1999 && n < 9000); /* the same millisecond, at the worst */
    cr_expect_lt(n, 9000U, "%lld texts", (long long)texts(&t));
    turn_close(&t);
}
