/*
 * The journal on a disk that fails: each call in turn, once and for a while, then a power cut. What
 * was acknowledged is there, once and in order; what was not is tried again by itself.
 */
#include "support/fault_vfs.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
enum { STEP = 3 }; /* each third call: the other builds look at all */
#else
enum { STEP = 1 };
#endif
enum { ROWS = 3, CALLS_MAX = 2000 };

static struct journal_case c;

static void setup(void)
{
    fault_vfs_register();
    journal_case_begin(&c);
    c.options.backoff_ms = 1;
    c.options.checkpoint_frames = 12;
}

static void teardown(void)
{
    journal_case_end(&c);
}

TestSuite(journal_faults, .init = setup, .fini = teardown, .timeout = 600);

/* ---- what is done, and what must then be there ---- */

struct model {
    int64_t seq[ROWS + 1]; /* 0 = not acknowledged */
    enum journal_state state[ROWS + 1];
    char answer[ROWS + 1]; /* its first letter; 0 = none */
    bool has_conversation;
};

static char *long_text(char letter, size_t n)
{
    char *text = malloc(n + 1);

    cr_assert_not_null(text);
    memset(text, letter, n);
    text[n] = '\0';
    return text;
}

static void add(struct model *model, unsigned n)
{
    model->seq[n] = journal_case_add(&c, n);
    cr_assert_gt(model->seq[n], 0, "row %u was taken for known", n);
    model->state[n] = JOURNAL_SEEN;
}

static void set(struct model *model, unsigned n, enum journal_state state, char letter,
                bool with_conversation)
{
    char name[] = "c1", context[] = "ctx";
    struct journal_conversation k = {name, context, NULL};
    struct journal_message m = journal_case_message(n);

    m.seq = model->seq[n];
    m.state = state;
    if (letter)
        m.answer = long_text(letter, 5000);
    cr_assert_eq(journal_case_set(&c, &m, with_conversation ? &k : NULL), 0);
    journal_message_release(&m);
    model->state[n] = state;
    model->answer[n] = letter;
    model->has_conversation = model->has_conversation || with_conversation;
}

static void act(struct model *model)
{
    add(model, 1);
    add(model, 2);
    set(model, 1, JOURNAL_DELIVERED, 'a', true);
    set(model, 1, JOURNAL_ANSWERING, 'a', false);
    add(model, 3);
    set(model, 1, JOURNAL_ANSWERED, 'a', false);
    set(model, 2, JOURNAL_DEAD, 'b', false);
}

/* By a reader that knows nothing of faults. */
static void compare(const struct model *model, const char *what, unsigned n)
{
    struct journal_message *v;
    char sentence[512];
    size_t found;
    int64_t last = 0;

    c.options.vfs = NULL;
    journal_case_open(&c);
    found = journal_case_read(&c, &(struct journal_query){0}, &v);
    for (size_t i = 0; i < found; i++) {
        unsigned row = (unsigned)(v[i].created_us - 1000);

        cr_assert(row >= 1 && row <= ROWS);
        cr_assert_gt(v[i].seq, last);
        last = v[i].seq;
        if (!model->seq[row])
            continue;
        cr_assert_eq(v[i].seq, model->seq[row], "%s %u: row %u", what, n, row);
        cr_assert_eq(v[i].state, model->state[row], "%s %u: row %u is %s", what, n, row,
                     journal_state_name(v[i].state));
        cr_assert_eq(v[i].answer ? v[i].answer[0] : '\0', model->answer[row]);
    }
    for (unsigned row = 1; row <= ROWS; row++) {
        bool is_there = false;

        for (size_t i = 0; i < found; i++)
            is_there = is_there || v[i].seq == model->seq[row];
        cr_assert(is_there || !model->seq[row], "%s %u: row %u is lost", what, n, row);
    }
    journal_case_free(v, found);
    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s %u: %s", what, n, sentence);
    journal_case_shut(&c);
}

/* ---- one call fails ---- */

/* false: there is no n-th call of that kind any more */
static bool fail_nth(enum fault_call call, const char *what, unsigned n, unsigned times, int rc)
{
    struct model model = {0};
    bool was_hit;

    c.options.vfs = "fault";
    fault_vfs_plan(call, n, times, rc);
    journal_case_open(&c);
    act(&model);
    cr_assert_str_eq(journal_status(c.journal)->problem, "", "%s %u", what, n);
    cr_assert_str_eq(journal_status(c.journal)->notice, "", "%s %u: %s", what, n,
                     journal_status(c.journal)->notice);
    was_hit = fault_vfs_hits() > 0;
    journal_case_shut(&c);
    was_hit = was_hit || fault_vfs_hits() > 0; /* while closing */
    fault_vfs_clear();
    compare(&model, what, n);
    journal_case_clean(&c);
    return was_hit;
}

static void fail_each(enum fault_call call, const char *what, unsigned times, int rc)
{
    unsigned n = 1;

    while (n < CALLS_MAX && fail_nth(call, what, n, times, rc))
        n += STEP;
    cr_assert_gt(n, 1U, "%s: no call was made to fail", what);
    cr_assert_lt(n, (unsigned)CALLS_MAX);
}

Test(journal_faults, each_open_that_fails)
{
    fail_each(FAULT_OPEN, "open", 1, SQLITE_CANTOPEN);
    fail_each(FAULT_OPEN, "open, twice", 2, SQLITE_CANTOPEN);
}

Test(journal_faults, each_read_that_fails)
{
    fail_each(FAULT_READ, "read", 1, SQLITE_IOERR_READ);
}

Test(journal_faults, each_write_on_a_full_disk)
{
    fail_each(FAULT_WRITE, "write", 1, SQLITE_FULL);
}

Test(journal_faults, each_write_that_is_short_and_fails)
{
    fail_each(FAULT_SHORT_WRITE, "short write", 2, SQLITE_IOERR_WRITE);
}

Test(journal_faults, each_sync_that_fails)
{
    fail_each(FAULT_SYNC, "sync", 1, SQLITE_IOERR_FSYNC);
    fail_each(FAULT_SYNC, "sync, twice", 2, SQLITE_IOERR_FSYNC);
}

Test(journal_faults, each_truncate_delete_and_look_that_fails)
{
    fail_each(FAULT_TRUNCATE, "truncate", 1, SQLITE_IOERR_TRUNCATE);
    fail_each(FAULT_DELETE, "delete", 1, SQLITE_IOERR_DELETE);
    fail_each(FAULT_FILE_SIZE, "size", 1, SQLITE_IOERR_FSTAT);
    fail_each(FAULT_ACCESS, "access", 1, SQLITE_IOERR_ACCESS);
}

Test(journal_faults, each_lock_that_fails)
{
    fail_each(FAULT_LOCK, "lock", 1, SQLITE_IOERR_LOCK);
    fail_each(FAULT_LOCK, "lock, busy", 2, SQLITE_BUSY);
}
