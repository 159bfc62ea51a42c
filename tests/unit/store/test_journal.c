/* The journal on a good disk: what is written is read, in order, also by the next process. */
#include "store/journal_parts.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct journal_case c;

static void setup(void)
{
    journal_case_begin(&c);
    journal_case_open(&c);
}

static void teardown(void)
{
    journal_case_end(&c);
}

TestSuite(journal, .init = setup, .fini = teardown, .timeout = 600);

static void reopen(void)
{
    journal_case_close(&c);
    journal_case_open(&c);
}

static void add_many(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++)
        cr_assert_gt(journal_case_add(&c, n), 0);
}

static struct journal_message find(unsigned n)
{
    char row[JOURNAL_ID_LEN + 1];

    journal_case_row(n, row);
    return journal_case_find(&c, row);
}

static void assert_whole(void)
{
    char sentence[512];

    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
    cr_assert_str_eq(sentence, "ok");
}

Test(journal, names_its_states)
{
    cr_expect_str_eq(journal_state_name(JOURNAL_SEEN), "seen");
    cr_expect_str_eq(journal_state_name(JOURNAL_DELIVERED), "delivered");
    cr_expect_str_eq(journal_state_name(JOURNAL_ANSWERING), "answering");
    cr_expect_str_eq(journal_state_name(JOURNAL_ANSWERED), "answered");
    cr_expect_str_eq(journal_state_name(JOURNAL_PARKED), "parked");
    cr_expect_str_eq(journal_state_name(JOURNAL_DEAD), "dead");
    cr_expect_str_eq(journal_state_name(JOURNAL_SKIPPED), "skipped");
    cr_expect(!journal_state_is_final(JOURNAL_ANSWERING));
    cr_expect(journal_state_is_final(JOURNAL_ANSWERED));
    cr_expect(journal_state_is_final(JOURNAL_SKIPPED));
}

Test(journal, keeps_a_message_with_everything_in_it)
{
    struct journal_message m = journal_case_message(7), found;
    int64_t seq = journal_case_add(&c, 7);

    cr_assert_gt(seq, 0);
    m.seq = seq;
    m.state = JOURNAL_ANSWERING;
    m.due_ms = 123;
    m.attempts = 2;
    m.deaths = 3;
    m.parts_sent = 4;
    m.answer_tries = 5;
    m.answer_resends = 6;
    m.answer_trouble_ms = 7000000000;
    m.context_id = strdup("ctx");
    m.task_id = strdup("task");
    m.answer = strdup("an answer");
    m.why = strdup("a reason");
    free(m.request);
    m.request = NULL; /* what is set does not change it */
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    reopen();
    found = find(7);
    cr_expect_eq(found.seq, seq);
    cr_expect_eq(found.state, JOURNAL_ANSWERING);
    cr_expect_eq(found.created_us, 1007);
    cr_expect_gt(found.changed_ms, 0);
    cr_expect_eq(found.due_ms, 123);
    cr_expect_eq(found.attempts, 2U);
    cr_expect_eq(found.deaths, 3U);
    cr_expect_eq(found.parts_sent, 4U);
    cr_expect_eq(found.answer_tries, 5U);
    cr_expect_eq(found.answer_resends, 6U);
    cr_expect_eq(found.answer_trouble_ms, 7000000000);
    cr_expect_str_eq(found.message_id, "message-7");
    cr_expect_str_eq(found.conversation, "c1");
    cr_expect_str_eq(found.context_id, "ctx");
    cr_expect_str_eq(found.task_id, "task");
    cr_expect_str_eq(found.request, "{\"n\":7}");
    cr_expect_str_eq(found.answer, "an answer");
    cr_expect_str_eq(found.why, "a reason");
    journal_message_release(&found);
    journal_message_release(&m);
    assert_whole();
}

Test(journal, texts_can_be_taken_away_again)
{
    struct journal_message m = journal_case_message(1), found;

    m.seq = journal_case_add(&c, 1);
    m.answer = strdup("x");
    m.why = strdup("y");
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    free(m.answer);
    free(m.why);
    m.answer = m.why = NULL;
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    found = find(1);
    cr_expect_null(found.answer);
    cr_expect_null(found.why);
    cr_expect_null(found.task_id);
    journal_message_release(&found);
    journal_message_release(&m);
}

Test(journal, a_row_is_added_once)
{
    int64_t seq = journal_case_add(&c, 1);

    cr_assert_gt(seq, 0);
    cr_expect_eq(journal_case_add(&c, 1), 0);
    reopen();
    cr_expect_eq(journal_case_add(&c, 1), 0);
    cr_expect_gt(journal_case_add(&c, 2), seq);
    cr_expect_eq(journal_status(c.journal)->count[JOURNAL_SEEN], 2);
}

struct added {
    int calls;
    int64_t seq[8];
    size_t n;
};

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    struct added *a = arg;

    cr_assert_eq(code, 0);
    a->calls++;
    a->n = n;
    for (size_t i = 0; i < n; i++)
        a->seq[i] = v[i].seq;
    loop_stop(c.loop);
}

static void add_batch(struct journal_message *v, size_t n, const struct journal_cursor *cursor,
                      struct added *ret)
{
    *ret = (struct added){0};
    cr_assert_eq(journal_add(c.journal, v, n, cursor, on_added, ret), 0);
    loop_run(c.loop);
    cr_assert_eq(ret->calls, 1);
    for (size_t i = 0; i < n; i++)
        journal_message_release(&v[i]);
}

Test(journal, a_message_in_two_rows_is_one_piece_of_work)
{
    struct journal_message v[4], found;
    struct added a;

    for (unsigned i = 0; i < 4; i++)
        v[i] = journal_case_message(i + 1);
    free(v[1].message_id); /* again, in another row */
    v[1].message_id = strdup("message-1");
    free(v[2].message_id); /* another sender's */
    v[2].message_id = strdup("message-1");
    journal_case_row(99, v[2].sender);
    v[3].state = JOURNAL_SKIPPED; /* no work: its message id is not held against anybody */
    free(v[3].message_id);
    v[3].message_id = strdup("message-5");
    add_batch(v, 4, NULL, &a);
    cr_assert_eq(a.n, 4U);
    cr_expect_gt(a.seq[0], 0);
    cr_expect_eq(a.seq[1], 0);
    cr_expect_gt(a.seq[2], a.seq[0]);
    cr_expect_gt(a.seq[3], a.seq[2]);
    found = find(2);
    cr_expect_eq(found.state, JOURNAL_SKIPPED);
    cr_assert_not_null(found.why);
    cr_expect_not_null(strstr(found.why, "00000000-0000-4000-8000-000000000001"));
    journal_message_release(&found);
    cr_expect_gt(journal_case_add(&c, 5), 0);
    cr_expect_eq(journal_case_add(&c, 2), 0, "the twin's row is known");
    assert_whole();
}

Test(journal, messages_without_an_id_of_their_own_are_all_different)
{
    struct journal_message v[2] = {journal_case_message(1), journal_case_message(2)};
    struct added a;

    for (int i = 0; i < 2; i++) {
        free(v[i].message_id);
        v[i].message_id = NULL;
    }
    add_batch(v, 2, NULL, &a);
    cr_expect_gt(a.seq[0], 0);
    cr_expect_gt(a.seq[1], 0);
}

Test(journal, the_cursor_moves_with_the_rows)
{
    struct journal_message v[1] = {journal_case_message(1)};
    struct journal_cursor cursor = {.created_us = 55}, found;
    struct added a;
    int64_t last_ms = -1;

    journal_case_start(&c, &found, &last_ms);
    cr_expect_str_eq(found.row_id, "");
    cr_expect_eq(last_ms, 0, "never");
    journal_case_row(1, cursor.row_id);
    add_batch(v, 1, &cursor, &a);
    journal_case_start(&c, &found, &last_ms);
    cr_expect_str_eq(found.row_id, cursor.row_id);
    cr_expect_eq(found.created_us, 55);
    cr_expect_eq(last_ms, 0, "of earlier openings");
    reopen();
    journal_case_start(&c, &found, &last_ms);
    cr_expect_str_eq(found.row_id, cursor.row_id);
    cr_expect_gt(last_ms, 0);
    assert_whole();
    cr_assert_eq(journal_drop_cursor(c.journal), 0);
    journal_case_start(&c, &found, &last_ms);
    cr_expect_str_eq(found.row_id, "");
    cr_expect_eq(found.created_us, 0);
    add_batch(NULL, 0, &cursor, &a); /* no rows, only the cursor */
    journal_case_start(&c, &found, &last_ms);
    cr_expect_eq(found.created_us, 55);
}

Test(journal, a_message_that_is_not_there_cannot_be_set)
{
    struct journal_message m = journal_case_message(1);

    m.seq = 12;
    cr_expect_eq(journal_case_set(&c, &m, NULL), -ENOENT);
    m.seq = journal_case_add(&c, 2); /* the number of another row */
    cr_expect_eq(journal_case_set(&c, &m, NULL), -ENOENT);
    journal_message_release(&m);
}

static size_t read_rows(const struct journal_query *q, unsigned *ret, size_t max)
{
    struct journal_message *v;
    size_t n = journal_case_read(&c, q, &v);

    for (size_t i = 0; i < n && i < max; i++)
        ret[i] = (unsigned)(v[i].created_us - 1000);
    journal_case_free(v, n);
    return n;
}

Test(journal, reads_by_state_conversation_and_number)
{
    struct journal_message m;
    unsigned rows[16] = {0};

    add_many(0, 9);
    m = find(4);
    m.state = JOURNAL_ANSWERED;
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    journal_message_release(&m);
    m = find(0);
    m.state = JOURNAL_DEAD;
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    journal_message_release(&m);

    cr_expect_eq(read_rows(&(struct journal_query){0}, rows, 16), 9U);
    cr_expect_eq(read_rows(&(struct journal_query){.states = 1U << JOURNAL_SEEN}, rows, 16), 7U);
    cr_expect_eq(rows[0], 1U);
    cr_expect_eq(rows[6], 8U);
    cr_expect_eq(
        read_rows(&(struct journal_query){.states = 1U << JOURNAL_DEAD | 1U << JOURNAL_ANSWERED,
                                          .newest_first = true},
                  rows, 16),
        2U);
    cr_expect_eq(rows[0], 4U);
    cr_expect_eq(rows[1], 0U);
    cr_expect_eq(
        read_rows(&(struct journal_query){.states = 1U << JOURNAL_SEEN, .conversation = "c1"}, rows,
                  16),
        2U);
    cr_expect_eq(rows[0], 1U);
    cr_expect_eq(rows[1], 7U);
    cr_expect_eq(read_rows(&(struct journal_query){.limit = 2, .after_seq = 3}, rows, 16), 2U);
    cr_expect_eq(rows[0], 3U);
    cr_expect_eq(
        read_rows(&(struct journal_query){.states = 1U << JOURNAL_SEEN, .per_conversation = 1},
                  rows, 16),
        3U);
    cr_expect_eq(rows[0], 1U);
    cr_expect_eq(rows[1], 2U);
    cr_expect_eq(rows[2], 3U);
    cr_expect_eq(
        read_rows(&(struct journal_query){.per_conversation = 2, .after_seq = 4}, rows, 16), 5U,
        "numbers 5 to 9 are two of each but one");
}

Test(journal, finds_equal_answers_without_their_texts)
{
    static const char *const answers[] = {"yes", "no", "yes", "yes, or no"};
    struct journal_query q = {.states = 1U << JOURNAL_ANSWERED, .answer = "yes"};
    struct journal_message *v;
    unsigned rows[16];

    for (unsigned n = 1; n <= 4; n++) {
        struct journal_message m = journal_case_message(n);

        m.seq = journal_case_add(&c, n);
        m.state = JOURNAL_ANSWERED;
        m.answer = slice_dup(slice_of(answers[n - 1]));
        cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
        journal_message_release(&m);
    }
    cr_expect_eq(read_rows(&q, rows, 16), 2U);
    cr_expect_eq(rows[0], 1U);
    cr_expect_eq(rows[1], 3U);
    size_t n = journal_case_read(&c, &q, &v);
    cr_assert_eq(n, 2U);
    cr_expect_null(v[0].answer);
    cr_expect_null(v[0].request);
    q.changed_from_ms = v[1].changed_ms;
    journal_case_free(v, n);
    cr_expect_geq(read_rows(&q, rows, 16), 1U);
    q.changed_from_ms += 3600 * 1000;
    cr_expect_eq(read_rows(&q, rows, 16), 0U);
}

static void assert_conversation(const char *context_id, const char *task_id)
{
    struct journal_conversation k = journal_case_conversation(&c, "c1");

    cr_expect_str_eq(k.conversation, "c1");
    cr_expect_str_eq(k.context_id ? k.context_id : "none", context_id);
    cr_expect_str_eq(k.task_id ? k.task_id : "none", task_id);
    journal_conversation_release(&k);
}

Test(journal, every_kind_of_query_finds_an_index)
{
    static const unsigned states[] = {
        0,
        1U << JOURNAL_SEEN,
        1U << JOURNAL_SEEN | 1U << JOURNAL_DELIVERED | 1U << JOURNAL_ANSWERING,
        1U << JOURNAL_DEAD | 1U << JOURNAL_PARKED,
        1U << JOURNAL_SKIPPED | 1U << JOURNAL_ANSWERED,
        1U << JOURNAL_SEEN | 1U << JOURNAL_DEAD,
    };
    unsigned rows[16], n = 0;

    for (unsigned state = JOURNAL_SEEN; state <= JOURNAL_SKIPPED; state++) {
        struct journal_message m = journal_case_message(state);

        m.seq = journal_case_add(&c, state);
        m.state = (enum journal_state)state;
        cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
        journal_message_release(&m);
    }
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        for (unsigned how = 0; how < 16; how++) {
            char row[JOURNAL_ID_LEN + 1];
            struct journal_query q = {.states = states[i],
                                      .conversation = how & 1 ? "c1" : NULL,
                                      .per_conversation = how & 4 ? 9 : 0,
                                      .newest_first = how & 8};
            size_t expected = 0;

            journal_case_row(4, row);
            q.row_id = how & 2 ? row : NULL;
            for (unsigned state = JOURNAL_SEEN; state <= JOURNAL_SKIPPED; state++)
                expected += (!q.states || q.states >> state & 1) &&
                            (!q.conversation || state % 3 == 1) && (!q.row_id || state == 4);
            cr_expect_eq(read_rows(&q, rows, 16), expected, "states %x, way %u", q.states, how);
            n++;
        }
    }
    cr_expect_eq(n, 96U);
    cr_expect_str_eq(journal_status(c.journal)->notice, "");
}

Test(journal, remembers_what_the_agent_knows_of_a_conversation)
{
    struct journal_message m = journal_case_message(1);
    char name[] = "c1", context[] = "ctx", task[] = "task";
    struct journal_conversation k = {name, context, task};

    m.seq = journal_case_add(&c, 1);
    assert_conversation("none", "none");
    cr_assert_eq(journal_case_set(&c, &m, &k), 0);
    assert_conversation("ctx", "task");
    k.task_id = NULL;
    cr_assert_eq(journal_case_set(&c, &m, &k), 0);
    reopen();
    assert_conversation("ctx", "none");
    k.context_id = NULL;
    cr_assert_eq(journal_case_set(&c, &m, &k), 0);
    assert_conversation("none", "none");
    journal_message_release(&m);
    assert_whole();
}

Test(journal, counts_without_looking)
{
    const struct journal_status *s;
    struct journal_message m;

    add_many(1, 6);
    s = journal_status(c.journal);
    cr_expect_eq(s->count[JOURNAL_SEEN], 5);
    cr_expect_eq(s->oldest_waiting_us, 1001);
    for (unsigned n = 1; n < 4; n++) {
        m = find(n);
        m.state = n == 3 ? JOURNAL_PARKED : JOURNAL_DELIVERED;
        cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
        journal_message_release(&m);
        cr_expect_eq(s->oldest_waiting_us, 1001 + (int64_t)n);
    }
    cr_expect_eq(s->count[JOURNAL_SEEN], 2);
    cr_expect_eq(s->count[JOURNAL_DELIVERED], 2);
    cr_expect_eq(s->count[JOURNAL_PARKED], 1);
    m = find(3); /* an operator's retry brings an older one back */
    m.state = JOURNAL_SEEN;
    cr_assert_eq(journal_case_set(&c, &m, NULL), 0);
    journal_message_release(&m);
    cr_expect_eq(s->oldest_waiting_us, 1003);
    assert_whole();
    reopen();
    m = find(1);
    journal_message_release(&m);
    s = journal_status(c.journal);
    cr_expect_eq(s->count[JOURNAL_SEEN], 3);
    cr_expect_eq(s->oldest_waiting_us, 1003);
    cr_expect(!s->was_refilled);
}

Test(journal, one_turn_of_the_loop_is_one_commit)
{
    struct added a[50] = {{0}};
    uint64_t commits;

    cr_assert_gt(journal_case_add(&c, 1000), 0);
    commits = journal_status(c.journal)->commits;
    for (unsigned n = 0; n < 50; n++) {
        struct journal_message m = journal_case_message(n);

        cr_assert_eq(journal_add(c.journal, &m, 1, NULL, on_added, &a[n]), 0);
        journal_message_release(&m);
    }
    while (!a[49].calls)
        loop_run(c.loop);
    for (unsigned n = 1; n < 50; n++)
        cr_expect_eq(a[n].seq[0], a[n - 1].seq[0] + 1);
    cr_expect_eq(journal_status(c.journal)->commits, commits + 1);
    cr_expect_eq(journal_status(c.journal)->batch_max, 50U);
}

static int codes[4];
static void on_code(void *arg, int code)
{
    *(int *)arg = code;
}

Test(journal, closing_writes_what_is_queued)
{
    struct journal_message m = journal_case_message(1);
    struct added a = {0};

    cr_assert_eq(journal_add(c.journal, &m, 1, NULL, on_added, &a), 0);
    journal_message_release(&m);
    m = journal_case_message(2);
    m.seq = 77;
    cr_assert_eq(journal_set(c.journal, &m, NULL, on_code, &codes[0]), 0);
    journal_message_release(&m);
    reopen();
    cr_expect_eq(a.calls, 1);
    cr_expect_eq(codes[0], -ENOENT);
    m = find(1);
    cr_expect_eq(m.seq, a.seq[0]);
    journal_message_release(&m);
}

Test(journal, the_file_is_ours_alone)
{
    char path[512];
    struct stat st;

    cr_assert_gt(journal_case_add(&c, 1), 0);
    cr_assert_eq(stat(journal_status(c.journal)->path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    (void)snprintf(path, sizeof(path), "%s-wal", journal_status(c.journal)->path);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    (void)snprintf(path, sizeof(path), "%s-shm", journal_status(c.journal)->path);
    cr_expect_neq(stat(path, &st), 0, "the WAL's index is in memory");
}

Test(journal, its_page_shows_the_schema)
{
    static char page[64 * 1024];
    FILE *f = fopen(SOURCE_DIR "/docs/journal.md", "r");

    cr_assert_not_null(f);
    cr_assert_gt(fread(page, 1, sizeof(page) - 1, f), 0U);
    (void)fclose(f);
    for (int i = 0; i < journal_schema.version; i++)
        cr_expect_not_null(strstr(page, journal_schema.step[i]), "step %d", i + 1);
}
