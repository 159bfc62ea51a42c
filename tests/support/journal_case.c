#include "support/journal_case.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 60000, LOOK_MS = 5 };

void journal_case_begin(struct journal_case *c)
{
    const char *tmp = getenv("TMPDIR");
    struct err err;

    memset(c, 0, sizeof(*c));
    if (!tmp) /* each commit waits for the disk; memory is quicker */
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(c->dir, sizeof(c->dir), "%s/journal.XXXXXX", tmp);
    cr_assert_not_null(mkdtemp(c->dir));
    c->options.dir = c->dir;
    cr_assert_eq(loop_new(&c->loop, &err), 0);
    cr_assert_eq(store_new(c->loop, &c->store, &err), 0);
}

void journal_case_open(struct journal_case *c)
{
    struct err err = {0};

    if (!c->loop) {
        cr_assert_eq(loop_new(&c->loop, &err), 0);
        cr_assert_eq(store_new(c->loop, &c->store, &err), 0);
    }
    cr_assert_eq(journal_open(c->loop, c->store, &c->options, &c->journal, &err), 0, "%s", err.msg);
}

void journal_case_shut(struct journal_case *c)
{
    journal_close(c->journal);
    c->journal = NULL;
}

void journal_case_close(struct journal_case *c)
{
    journal_case_shut(c);
    store_free(c->store);
    c->store = NULL;
    loop_free(c->loop);
    c->loop = NULL;
}

void journal_case_clean(struct journal_case *c)
{
    DIR *d = opendir(c->dir);
    struct dirent *e;

    cr_assert_not_null(d);
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            cr_assert(unlinkat(dirfd(d), e->d_name, 0) == 0 ||
                      unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0);
    }
    (void)closedir(d);
}

void journal_case_end(struct journal_case *c)
{
    journal_case_close(c);
    journal_case_clean(c);
    cr_assert_eq(rmdir(c->dir), 0);
}

void journal_case_row(unsigned n, char ret[JOURNAL_ID_LEN + 1])
{
    (void)snprintf(ret, JOURNAL_ID_LEN + 1, "00000000-0000-4000-8000-%012u", n);
}

static char *text(const char *before, unsigned n, const char *behind)
{
    char buf[128];

    (void)snprintf(buf, sizeof(buf), "%s%u%s", before, n, behind);
    return strdup(buf);
}

struct journal_message journal_case_message(unsigned n)
{
    struct journal_message m = {.state = JOURNAL_SEEN, .created_us = 1000 + (int64_t)n};

    journal_case_row(n, m.row_id);
    m.message_id = text("message-", n, "");
    m.conversation = text("c", n % 3, "");
    m.request = text("{\"n\":", n, "}");
    return m;
}

/* ---- waiting ---- */

struct wait {
    struct journal_case *c;
    bool is_done;
    int code;
    int64_t seq;
    struct journal_message *v;
    size_t n;
    struct journal_conversation conversation;
    struct journal_cursor cursor;
    int64_t last_ms;
    bool is_good;
    char sentence[512];
};

static void wait_over(struct wait *w)
{
    w->is_done = true;
    loop_stop(w->c->loop);
}

static void on_late(struct timer *t)
{
    loop_stop(((struct journal_case *)t->arg)->loop);
}

static void wait_for(struct wait *w)
{
    struct timer late = {0};

    timer_start(&late, w->c->loop, loop_now_ms(w->c->loop) + WAIT_MS, on_late, w->c);
    loop_run(w->c->loop);
    timer_stop(&late);
    cr_assert(w->is_done, "no callback: %s", journal_status(w->c->journal)->problem);
}

struct until {
    struct journal_case *c;
    bool (*is_true)(void *arg);
    void *arg;
    bool was_true;
};

static void on_look(struct timer *t)
{
    struct until *u = t->arg;

    u->was_true = u->is_true(u->arg);
    if (u->was_true)
        loop_stop(u->c->loop);
    else
        timer_start(t, u->c->loop, loop_now_ms(u->c->loop) + LOOK_MS, on_look, u);
}

bool journal_case_until(struct journal_case *c, bool (*is_true)(void *arg), void *arg)
{
    struct until u = {c, is_true, arg, false};
    struct timer look = {0}, late = {0};

    timer_start(&look, c->loop, loop_now_ms(c->loop), on_look, &u);
    timer_start(&late, c->loop, loop_now_ms(c->loop) + WAIT_MS, on_late, c);
    loop_run(c->loop);
    timer_stop(&look);
    timer_stop(&late);
    return u.was_true;
}

/* ---- calls ---- */

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    struct wait *w = arg;

    w->code = code;
    w->seq = n > 0 ? v[0].seq : 0;
    wait_over(w);
}

int64_t journal_case_add(struct journal_case *c, unsigned n)
{
    struct journal_message m = journal_case_message(n);
    struct wait w = {.c = c};

    cr_assert_eq(journal_add(c->journal, &m, 1, NULL, on_added, &w), 0);
    journal_message_release(&m);
    wait_for(&w);
    cr_assert_eq(w.code, 0);
    return w.seq;
}

static void on_set(void *arg, int code)
{
    struct wait *w = arg;

    w->code = code;
    wait_over(w);
}

int journal_case_set(struct journal_case *c, const struct journal_message *m,
                     const struct journal_conversation *conversation)
{
    struct wait w = {.c = c};

    cr_assert_eq(journal_set(c->journal, m, conversation, on_set, &w), 0);
    wait_for(&w);
    return w.code;
}

static void on_read(void *arg, int code, struct journal_message *v, size_t n)
{
    struct wait *w = arg;

    w->code = code;
    w->n = n;
    w->v = calloc(n ? n : 1, sizeof(*v));
    cr_assert_not_null(w->v);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(journal_message_copy(&v[i], &w->v[i]), 0);
    wait_over(w);
}

size_t journal_case_read(struct journal_case *c, const struct journal_query *q,
                         struct journal_message **ret)
{
    struct wait w = {.c = c};

    cr_assert_eq(journal_read(c->journal, q, on_read, &w), 0);
    wait_for(&w);
    cr_assert_eq(w.code, 0);
    *ret = w.v;
    return w.n;
}

void journal_case_free(struct journal_message *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        journal_message_release(&v[i]);
    free(v);
}

struct journal_message journal_case_find(struct journal_case *c, const char *row_id)
{
    struct journal_message *v, m = {0};
    size_t n = journal_case_read(c, &(struct journal_query){.row_id = row_id}, &v);

    cr_assert_leq(n, 1U);
    if (n == 1) {
        m = v[0];
        n = 0; /* its texts are m's */
    }
    journal_case_free(v, n);
    return m;
}

static void on_conversation(void *arg, int code, struct journal_conversation *k)
{
    struct wait *w = arg;

    w->code = code;
    w->conversation = *k;
    *k = (struct journal_conversation){0};
    wait_over(w);
}

struct journal_conversation journal_case_conversation(struct journal_case *c, const char *name)
{
    struct wait w = {.c = c};

    cr_assert_eq(journal_read_conversation(c->journal, name, on_conversation, &w), 0);
    wait_for(&w);
    cr_assert_eq(w.code, 0);
    return w.conversation;
}

static void on_verified(void *arg, bool is_good, const char *sentence)
{
    struct wait *w = arg;

    w->is_good = is_good;
    (void)snprintf(w->sentence, sizeof(w->sentence), "%s", sentence);
    wait_over(w);
}

bool journal_case_verify(struct journal_case *c, char *sentence, size_t size)
{
    struct wait w = {.c = c};

    cr_assert_eq(journal_verify(c->journal, on_verified, &w), 0);
    wait_for(&w);
    (void)snprintf(sentence, size, "%s", w.sentence);
    return w.is_good;
}

static void on_start(void *arg, const struct journal_cursor *cursor, int64_t last_ms)
{
    struct wait *w = arg;

    w->cursor = *cursor;
    w->last_ms = last_ms;
    wait_over(w);
}

void journal_case_start(struct journal_case *c, struct journal_cursor *cursor, int64_t *last_ms)
{
    struct wait w = {.c = c};

    cr_assert_eq(journal_read_start(c->journal, on_start, &w), 0);
    wait_for(&w);
    *cursor = w.cursor;
    *last_ms = w.last_ms;
}
