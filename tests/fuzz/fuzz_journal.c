/*
 * A journal's file that was damaged or made by somebody hostile: opening and using it ends, in
 * bounds, with a journal that works: this one, or a new one with the file set aside.
 *
 * The first byte says what the rest is: bytes put over a good database (0) or over a good WAL (1),
 * five each (place, value), or the database file itself (2), or bytes put over a rollback journal
 * that has SQLite delete a file (3).
 */
#include "store/journal_parts.h"

#include "base/cleanup.h"
#include "support/hot_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 40, GOOD_MAX = 512 * 1024, ATTEMPTS_MAX = 8 };

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct bytes {
    uint8_t p[GOOD_MAX];
    size_t n;
};

static char dir[64];
static struct bytes good, good_wal, hot, now;

static const char *path_of(const char *tail)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/inbox.db%s", dir, tail);
    return path;
}

static void load(const char *tail, struct bytes *ret)
{
    int fd = open(path_of(tail), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret->p, sizeof(ret->p)) : 0;

    MUST(n >= 0 && n < (ssize_t)sizeof(ret->p));
    ret->n = (size_t)n;
    if (fd >= 0)
        (void)close(fd);
}

static void save(const char *tail, const struct bytes *b)
{
    int fd = open(path_of(tail), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    MUST(fd >= 0 && write(fd, b->p, b->n) == (ssize_t)b->n);
    (void)close(fd);
}

static void empty_dir(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    MUST(d);
    while ((e = readdir(d))) {
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    (void)closedir(d);
}

static void clean(void)
{
    empty_dir();
    (void)rmdir(dir);
}

/* ---- what is done with it ---- */

static struct op *op_of_kind(struct list *batch, enum op_kind kind)
{
    struct op *op = calloc(1, sizeof(*op));

    MUST(op);
    op->kind = kind;
    list_init(&op->node);
    list_append(batch, &op->node);
    return op;
}

static void give_message(struct op *op, unsigned n)
{
    op->v = calloc(1, sizeof(*op->v));
    MUST(op->v);
    op->n = 1;
    op->v->state = JOURNAL_SEEN + n % JOURNAL_SKIPPED;
    op->v->seq = n;
    op->v->created_us = n;
    (void)snprintf(op->v->row_id, sizeof(op->v->row_id), "00000000-0000-4000-8000-%012u", n);
    op->v->conversation = strdup(n % 2 ? "one" : "two");
    op->v->message_id = strdup(op->v->row_id);
    op->v->request = calloc(1, 200);
    MUST(op->v->request && op->v->message_id && op->v->conversation);
    memset(op->v->request, 'r', 150);
}

static void free_batch(struct list *batch)
{
    struct list *node;

    while ((node = list_pop(batch)))
        op_free(container_of(node, struct op, node));
}

static void begin(struct turn_state *t)
{
    *t = (struct turn_state){.checkpoint_frames = 1000};
    t->disk.keep_ms = INT64_MAX / 4;
    t->disk.keep_count = t->disk.keep_conversations = 1000;
    t->disk.keep_bytes = GOOD_MAX;
    (void)snprintf(t->dir, sizeof(t->dir), "%s", dir);
    (void)snprintf(t->status.path, sizeof(t->status.path), "%s", path_of(""));
}

/* False: the attempts were too few. */
static bool run(struct turn_state *t, struct list *batch)
{
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct err err = {0};
        int rc = turn_run(t, batch, &err);

        if (rc == 0)
            return true;
        MUST(rc == err.code && err.msg[0]);
        if (rc == -ENOTSUP) /* of a newer version: left alone, rightly */
            return true;
        if (i == ATTEMPTS_MAX - 1)
            (void)fprintf(stderr, "%s\n", err.msg);
    }
    return false;
}

static void make_good(void)
{
    struct turn_state t;
    struct list batch;

    list_init(&batch);
    begin(&t);
    for (unsigned n = 1; n <= ROWS; n++)
        give_message(op_of_kind(&batch, OP_ADD), n);
    MUST(run(&t, &batch));
    free_batch(&batch);
    MUST(database_checkpoint(&t.disk.d, NULL) == 0);
    for (unsigned n = 1; n <= ROWS; n += 3)
        give_message(op_of_kind(&batch, OP_SET), n);
    MUST(run(&t, &batch));
    free_batch(&batch);
    load("", &good);
    load("-wal", &good_wal);
    MUST(good.n > 0 && good_wal.n > 0);
    turn_close(&t);
}

/* Nothing that SQLite is made to believe may reach this one. */
static const char *victim(void)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/victim", dir);
    return path;
}

static void make_hot(void)
{
    empty_dir();
    save("", &good);
    hot_journal_make(path_of(""), victim());
    load("-journal", &hot);
}

static void save_hot(const struct bytes *journal)
{
    int fd = open(victim(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    MUST(fd >= 0 && write(fd, "precious", 8) == 8);
    (void)close(fd);
    save("", &good);
    save("-journal", journal);
}

static void use(void)
{
    struct turn_state t;
    struct list batch;
    struct op *op;

    list_init(&batch);
    begin(&t);
    op_of_kind(&batch, OP_READ);
    op = op_of_kind(&batch, OP_READ);
    op->q = (struct journal_query){.states = 1U << JOURNAL_SEEN, .per_conversation = 1};
    op_of_kind(&batch, OP_READ_START);
    op = op_of_kind(&batch, OP_READ_CONVERSATION);
    op->c.conversation = strdup("one");
    for (unsigned n = ROWS - 3; n < ROWS + 3; n++) {
        give_message(op_of_kind(&batch, OP_SET), n);
        give_message(op_of_kind(&batch, OP_ADD), n);
    }
    op_of_kind(&batch, OP_VERIFY);
    MUST(run(&t, &batch));
    free_batch(&batch);
    turn_close(&t);
}

static void patch(struct bytes *b, const uint8_t *data, size_t size)
{
    for (; size >= 5; data += 5, size -= 5) {
        uint32_t at;

        memcpy(&at, data, sizeof(at));
        b->p[at % b->n] = data[4];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dir[0]) {
        (void)snprintf(dir, sizeof(dir), "%s/fuzz_journal.XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        MUST(mkdtemp(dir));
        (void)atexit(clean);
        make_good();
        make_hot();
    }
    if (size < 1 || size > GOOD_MAX / 2)
        return 0;
    empty_dir();
    now = data[0] % 4 == 1 ? good_wal : data[0] % 4 == 3 ? hot : good;
    if (data[0] % 4 == 2) {
        memcpy(now.p, data + 1, size - 1);
        now.n = size - 1;
    } else {
        patch(&now, data + 1, size - 1);
    }
    if (data[0] % 4 == 3) {
        save_hot(&now);
    } else if (data[0] % 4 == 1) {
        save("", &good);
        save("-wal", &now);
    } else {
        save("", &now);
    }
    use();
    MUST(data[0] % 4 != 3 || access(victim(), F_OK) == 0);
    return 0;
}
