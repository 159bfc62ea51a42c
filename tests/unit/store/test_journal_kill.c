/*
 * The journal of a process that is killed at random points, again and again on the same file. What
 * it was told is done is there, what it never began is not, and what is there is a beginning of
 * what it asked for: nothing later without what came before.
 *
 * JOURNAL_KILLS=1000 for more; JOURNAL_SEED=n repeats a run.
 */
#include "base/clock.h"
#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KILLS = 40,
    ROWS_MAX = 200000,
    OPS_MAX = 400000, /* of one life */
    IN_FLIGHT = 24,
    LIFE_MAX_MS = 60, /* of one life */
    LATE_MS = 20000,
    RUN_MAX_MS = 8000, /* whatever the machine does, unless JOURNAL_KILLS is given */
};

/* One line of the child's: what it begins, and what was acknowledged. */
struct word {
    char kind; /* 'b' or 'a' */
    unsigned op, row, version;
    int64_t seq;
};

struct known { /* of a row */
    int64_t seq;
    unsigned begun, acked, found; /* version + 1; 0 = none. A version is the number of sets */
};

static struct journal_case c;
static struct known *rows;
static unsigned row_count; /* all that was ever begun */
static struct {
    unsigned row, version;
} * ops; /* begun in this life, in order */
static unsigned op_count;
static unsigned long all_acked;

TestSuite(journal_kill, .timeout = 3600);

/* ---- the child ---- */

static int pipe_out;
static unsigned child_ops, in_flight, seed;

struct asked {
    unsigned op, row, version;
};

static unsigned dice(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static void say(char kind, const struct asked *a, int64_t seq)
{
    struct word w = {.kind = kind, .op = a->op, .row = a->row, .version = a->version, .seq = seq};

    if (write(pipe_out, &w, sizeof(w)) != (ssize_t)sizeof(w))
        _exit(3);
}

static void begin_more(void);

static void on_set(void *arg, int code)
{
    struct asked *a = arg;

    if (code != 0)
        _exit(4);
    rows[a->row].acked = a->version + 1;
    say('a', a, 0);
    free(a);
    in_flight--;
    begin_more();
}

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    struct asked *a = arg;

    if (code != 0 || n != 1 || v[0].seq == 0)
        _exit(5);
    rows[a->row].seq = v[0].seq;
    rows[a->row].acked = 1;
    say('a', a, v[0].seq);
    free(a);
    in_flight--;
    begin_more();
}

static struct asked *ask(unsigned row, unsigned version)
{
    struct asked *a = malloc(sizeof(*a));

    if (!a)
        _exit(6);
    *a = (struct asked){child_ops++, row, version};
    say('b', a, 0);
    in_flight++;
    return a;
}

static void begin_add(void)
{
    struct journal_message m = journal_case_message(row_count);
    struct journal_cursor cursor = {.created_us = (int64_t)row_count};

    memcpy(cursor.row_id, m.row_id, sizeof(cursor.row_id));
    if (dice(10) == 0) { /* some are long */
        free(m.request);
        m.request = calloc(1, 20000);
        memset(m.request, 'x', 19999);
    }
    if (journal_add(c.journal, &m, 1, &cursor, on_added, ask(row_count, 0)) < 0)
        _exit(7);
    rows[row_count++] = (struct known){.begun = 1};
    journal_message_release(&m);
}

/* The next version of a row that is there: its number is in `attempts`. */
static bool begin_set(void)
{
    unsigned row = row_count - 1 - dice(row_count < 50 ? row_count : 50);
    struct journal_message m;
    unsigned version = rows[row].begun;

    if (rows[row].seq == 0)
        return false;
    m = journal_case_message(row);
    m.seq = rows[row].seq;
    m.attempts = version;
    m.state = (enum journal_state)(JOURNAL_SEEN + version % JOURNAL_SKIPPED);
    rows[row].begun = version + 1;
    if (journal_set(c.journal, &m, NULL, on_set, ask(row, version)) < 0)
        _exit(8);
    journal_message_release(&m);
    return true;
}

static void begin_more(void)
{
    while (in_flight < IN_FLIGHT && row_count < ROWS_MAX && child_ops < OPS_MAX) {
        if (row_count == 0 || dice(3) == 0 || !begin_set())
            begin_add();
    }
}

static void open_journal(void)
{
    c.options.checkpoint_frames = 30;
    journal_case_open(&c);
}

static void child(int fd, unsigned child_seed)
{
    pipe_out = fd;
    seed = child_seed;
    open_journal();
    begin_more();
    loop_run(c.loop);
    _exit(9);
}

/* ---- the parent ---- */

static void hear(const struct word *w)
{
    struct known *k = &rows[w->row];

    if (w->kind == 'b') {
        cr_assert_eq(w->op, op_count);
        ops[op_count].row = w->row;
        ops[op_count++].version = w->version;
        if (w->row >= row_count)
            row_count = w->row + 1;
        k->begun = w->version + 1;
    } else {
        k->acked = w->version + 1;
        if (w->seq)
            k->seq = w->seq;
    }
}

/*
 * Listens for life_ms, kills, and hears what is left in the pipe. Most lives are counted from the
 * first acknowledgement, the others from the fork: they end while the file is opened.
 */
static void one_life(int64_t life_ms, bool is_young, unsigned child_seed)
{
    int64_t end_ms = clock_mono_ms() + (is_young ? life_ms : LATE_MS), left_ms;
    int fds[2], status;
    unsigned acked = 0;
    struct word w;
    pid_t pid;

    op_count = 0;
    cr_assert_eq(pipe(fds), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        close(fds[0]);
        child(fds[1], child_seed);
    }
    close(fds[1]);
    while ((left_ms = end_ms - clock_mono_ms()) > 0) {
        struct pollfd p = {fds[0], POLLIN, 0};

        if (poll(&p, 1, (int)left_ms) == 1) {
            if (read(fds[0], &w, sizeof(w)) != (ssize_t)sizeof(w))
                break;
            hear(&w);
            if (w.kind == 'a' && acked++ == 0 && !is_young)
                end_ms = clock_mono_ms() + life_ms;
        }
    }
    all_acked += acked;
    cr_assert_eq(kill(pid, SIGKILL), 0);
    while (read(fds[0], &w, sizeof(w)) == (ssize_t)sizeof(w))
        hear(&w);
    close(fds[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status), "the child gave up by itself: %d", WEXITSTATUS(status));
}

static void look(void)
{
    struct journal_message *v;
    int64_t after = 0;
    unsigned last = 0;
    size_t n;

    for (unsigned i = 0; i < row_count; i++)
        rows[i].found = 0;
    while ((n = journal_case_read(&c, &(struct journal_query){.after_seq = after}, &v)) > 0) {
        for (size_t i = 0; i < n; i++) {
            unsigned row = (unsigned)(v[i].created_us - 1000);

            cr_assert_lt(row, row_count, "row %u was never begun", row);
            cr_assert(after == 0 || row > last, "the order is another");
            cr_assert_eq(v[i].state,
                         (enum journal_state)(JOURNAL_SEEN + v[i].attempts % JOURNAL_SKIPPED));
            cr_assert(rows[row].seq == 0 || rows[row].seq == v[i].seq);
            rows[row].seq = v[i].seq;
            rows[row].found = v[i].attempts + 1;
            after = v[i].seq;
            last = row;
        }
        journal_case_free(v, n);
    }
    journal_case_free(v, n);
}

static void compare(void)
{
    struct journal_cursor cursor;
    unsigned last_op = 0;
    int64_t last_ms;
    char sentence[512];

    open_journal();
    look();
    for (unsigned i = 0; i < row_count; i++) {
        cr_assert_geq(rows[i].found, rows[i].acked, "row %u: version %u was acknowledged", i,
                      rows[i].acked);
        cr_assert_leq(rows[i].found, rows[i].begun, "row %u: version %u was never begun", i,
                      rows[i].found);
    }
    for (unsigned i = 0; i < op_count; i++) {
        if (rows[ops[i].row].found >= ops[i].version + 1)
            last_op = i;
    }
    for (unsigned i = 0; i < last_op; i++)
        cr_assert_geq(rows[ops[i].row].found, ops[i].version + 1,
                      "op %u is there without op %u before it", last_op, i);
    journal_case_start(&c, &cursor, &last_ms);
    for (unsigned i = row_count; i-- > 0;) {
        if (!rows[i].found)
            continue;
        cr_assert_eq(cursor.created_us, (int64_t)i, "the cursor moves with its rows");
        break;
    }
    cr_assert_str_eq(journal_status(c.journal)->notice, "");
    cr_assert(journal_case_verify(&c, sentence, sizeof(sentence)), "%s", sentence);
    journal_case_close(&c);
}

/* What was found is the truth the next life begins with. */
static void settle(void)
{
    while (row_count > 0 && !rows[row_count - 1].found)
        row_count--;
    for (unsigned i = 0; i < row_count; i++)
        rows[i].begun = rows[i].acked = rows[i].found;
}

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

Test(journal_kill, what_was_acknowledged_survives_any_kill)
{
    long kills = number("JOURNAL_KILLS", KILLS), done = 0;
    bool is_bounded = getenv("JOURNAL_KILLS") == NULL;
    unsigned dice_seed = (unsigned)number("JOURNAL_SEED", (long)(random_u64() & 0xFFFFFF));
    int64_t end_ms = clock_mono_ms() + RUN_MAX_MS;

    rows = calloc(ROWS_MAX, sizeof(*rows));
    ops = calloc(OPS_MAX, sizeof(*ops));
    cr_assert(rows && ops);
    journal_case_begin(&c);
    journal_case_close(&c); /* no thread before fork() */
    printf("JOURNAL_SEED=%u\n", dice_seed);
    (void)fflush(stdout);
    while (done < kills && (!is_bounded || done < 5 || clock_mono_ms() < end_ms)) {
        int64_t life_ms = 1 + rand_r(&dice_seed) % LIFE_MAX_MS;

        one_life(life_ms, done % 4 == 3, (unsigned)rand_r(&dice_seed));
        compare();
        settle();
        done++;
    }
    printf("%ld kills, %lu acknowledged, %u rows\n", done, all_acked, row_count);
    cr_expect_gt(row_count, 0U);
    journal_case_end(&c);
    free(rows);
    free(ops);
}
