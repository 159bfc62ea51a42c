/*
 * What the tests of fetching stand on: platform_case's control plane with a feed, a journal in
 * memory, and ends for what feed.c hands on. Definitions, not declarations: for one file of a test.
 */
#ifndef TESTS_SUPPORT_FEED_CASE_H
#define TESTS_SUPPORT_FEED_CASE_H

#include "inbox/feed.h"
#include "inbox/second.h"
#include "inbox/wakeup.h"

#include "base/clock.h"
#include "base/parse.h"
#include "support/platform_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_ROWS_MAX = 1024, JOURNAL_MAX = 2048 };

struct feed_row { /* of the platform */
    char id[37];
    int64_t us;
    bool is_hidden;  /* not committed yet */
    char rest[400];  /* further members: ",\"method\":..." */
    unsigned values; /* JSON values in it, beside those */
};

/* All under the fake's lock while the loop runs. */
static struct feed_world {
    struct feed_row v[FEED_ROWS_MAX];
    size_t n;
    int64_t now_us; /* the platform's clock */
    bool has_no_cursors, wraps_items, has_ack;
    unsigned polls, sweeps, probes, acks;
    unsigned status;       /* != 0: this instead of a page, `times` times (0 = for ever) */
    unsigned status_times; /* of polls and sweeps */
    bool only_sweeps;      /* the status is for sweeps only */
    const char *status_fields;
    char last_poll[512], last_sweep[512], last_ack[64];
    /* the event stream: raw bytes behind a head, then the end; NULL = 404 */
    const char *stream;
    bool stream_hangs; /* never answered */
    unsigned streams;
    /* peers and files */
    const char *peers, *discover; /* bodies; NULL = 404 */
    unsigned peer_calls, discover_calls;
    const char *content;                    /* of every file; NULL = 404 */
    unsigned content_status, content_times; /* instead, so many times */
    unsigned content_calls, file_acks, ack_status;
    unsigned pad; /* bytes of a text more in each row */
} fw;

static struct inbox box;

/* ---- the journal -------------------------------------------------------------------------------
 */

struct journal {
    struct journal_message v[JOURNAL_MAX];
    size_t n;
    struct journal_cursor cursor;
    struct journal_status status;
    unsigned refuses_sets; /* so many times: no memory */
    int64_t last_ms;
    bool is_stuck; /* commits nothing */
    unsigned adds;
    struct timer timer;
    struct added {
        struct journal_message *v;
        size_t n;
        struct journal_cursor cursor;
        bool moves_cursor;
        journal_added_fn *done;
        void *arg;
    } waiting[8];
    size_t waiting_n;
    journal_start_fn *start;
    void *start_arg;
    struct timer start_timer;
};
static struct journal jr;

void journal_message_release(struct journal_message *m)
{
    char **texts[] = {&m->message_id, &m->conversation, &m->context_id, &m->task_id,
                      &m->request,    &m->answer,       &m->why};

    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
        free(*texts[k]);
        *texts[k] = NULL;
    }
}

static char *copy_of(const char *z)
{
    return z ? strdup(z) : NULL;
}

int journal_message_copy(const struct journal_message *from, struct journal_message *to)
{
    *to = *from;
    to->message_id = copy_of(from->message_id);
    to->conversation = copy_of(from->conversation);
    to->context_id = copy_of(from->context_id);
    to->task_id = copy_of(from->task_id);
    to->request = copy_of(from->request);
    to->answer = copy_of(from->answer);
    to->why = copy_of(from->why);
    return 0;
}

const struct journal_status *journal_status(const struct journal *j)
{
    return &j->status;
}

__attribute__((unused)) static struct journal_message *journal_of(const char *row_id)
{
    for (size_t k = 0; k < jr.n; k++) {
        if (strcmp(jr.v[k].row_id, row_id) == 0)
            return &jr.v[k];
    }
    return NULL;
}

static bool is_there(const struct journal_message *m)
{
    for (size_t k = 0; k < jr.n; k++) {
        if (strcmp(jr.v[k].row_id, m->row_id) == 0 ||
            (m->message_id && jr.v[k].message_id && strcmp(jr.v[k].sender, m->sender) == 0 &&
             strcmp(jr.v[k].message_id, m->message_id) == 0))
            return true;
    }
    return false;
}

static void commit_one(struct added *a)
{
    for (size_t k = 0; k < a->n; k++) {
        if (is_there(&a->v[k]))
            continue;
        cr_assert_lt(jr.n, JOURNAL_MAX);
        a->v[k].seq = (int64_t)jr.n + 1;
        (void)journal_message_copy(&a->v[k], &jr.v[jr.n++]);
    }
    if (a->moves_cursor)
        jr.cursor = a->cursor;
}

static void on_commit(struct timer *t)
{
    if (jr.is_stuck) {
        timer_start(t, pc->loop, loop_now_ms(pc->loop) + 2, on_commit, NULL);
        return;
    }
    while (jr.waiting_n > 0) {
        struct added a = jr.waiting[0];

        memmove(jr.waiting, jr.waiting + 1, --jr.waiting_n * sizeof(a));
        commit_one(&a);
        a.done(a.arg, 0, a.v, a.n);
        for (size_t k = 0; k < a.n; k++)
            journal_message_release(&a.v[k]);
        free(a.v);
    }
}

int journal_add(struct journal *j, const struct journal_message *v, size_t n,
                const struct journal_cursor *cursor, journal_added_fn *done, void *arg)
{
    struct added *a = &j->waiting[j->waiting_n++];

    cr_assert_leq(j->waiting_n, 1, "a page was asked for before the last one was saved");
    *a = (struct added){.v = calloc(n + 1, sizeof(*v)), .n = n, .done = done, .arg = arg};
    for (size_t k = 0; k < n; k++)
        (void)journal_message_copy(&v[k], &a->v[k]);
    if (cursor) {
        a->cursor = *cursor;
        a->moves_cursor = true;
    }
    j->adds++;
    timer_start(&j->timer, pc->loop, loop_now_ms(pc->loop) + 1, on_commit, NULL);
    return 0;
}

static void on_start(struct timer *t)
{
    (void)t;
    jr.start(jr.start_arg, &jr.cursor, jr.last_ms);
}

int journal_read_start(struct journal *j, journal_start_fn *done, void *arg)
{
    j->start = done;
    j->start_arg = arg;
    j->status.is_open = true;
    j->status.was_refilled = j->n == 0;
    timer_start(&j->start_timer, pc->loop, loop_now_ms(pc->loop) + 1, on_start, NULL);
    return 0;
}

int journal_drop_cursor(struct journal *j)
{
    j->cursor = (struct journal_cursor){0};
    return 0;
}

int journal_set(struct journal *j, const struct journal_message *m,
                const struct journal_conversation *c, journal_done_fn *done, void *arg)
{
    struct journal_message *at = journal_of(m->row_id);

    (void)c;
    if (j->refuses_sets > 0) {
        j->refuses_sets--;
        return -ENOMEM;
    }
    if (at) {
        free(at->why);
        at->why = copy_of(m->why);
        at->state = m->state;
    }
    if (done)
        done(arg, at ? 0 : -ENOENT);
    return 0;
}

static struct {
    journal_read_fn *done;
    void *arg;
    char conversation[64];
    int64_t after;
    struct timer timer;
} reading;

static void on_read(struct timer *t)
{
    struct journal_message v[JOURNAL_READ_MAX];
    size_t n = 0;

    (void)t;
    for (size_t k = 0; k < jr.n && n < JOURNAL_READ_MAX; k++) {
        if (jr.v[k].seq > reading.after && jr.v[k].conversation &&
            strcmp(jr.v[k].conversation, reading.conversation) == 0)
            (void)journal_message_copy(&jr.v[k], &v[n++]);
    }
    reading.done(reading.arg, 0, v, n);
    for (size_t k = 0; k < n; k++)
        journal_message_release(&v[k]);
}

int journal_read(struct journal *j, const struct journal_query *q, journal_read_fn *done, void *arg)
{
    (void)j;
    reading.done = done;
    reading.arg = arg;
    reading.after = q->after_seq;
    (void)snprintf(reading.conversation, sizeof(reading.conversation), "%s", q->conversation);
    timer_start(&reading.timer, pc->loop, loop_now_ms(pc->loop) + 1, on_read, NULL);
    return 0;
}

/* ---- what fetching hands on --------------------------------------------------------------------
 */

static struct {
    char ids[JOURNAL_MAX][37]; /* in the order of queue_put */
    size_t n;
    struct journal_message last; /* texts owned */
    unsigned echoes, complete, pumped, restored;
    char in_memory[37]; /* the queue has it */
    int64_t complete_ms, evidence_since_ms;
} got;

void queue_put(struct inbox *i, struct journal_message *m)
{
    (void)i;
    cr_assert_gt(m->seq, 0);
    cr_assert_not_null(journal_of(m->row_id), "handed on before it was saved");
    (void)snprintf(got.ids[got.n++], 37, "%s", m->row_id);
    journal_message_release(&got.last);
    got.last = *m;
}
struct message *queue_find(struct inbox *i, const char *row_id)
{
    static struct message there;

    (void)i;
    return strcmp(got.in_memory, row_id) == 0 ? &there : NULL;
}
void queue_restore(struct inbox *i)
{
    (void)i;
    got.restored++;
}
void deliver_pump(struct inbox *i)
{
    (void)i;
    got.pumped++;
}
void answer_saw_echo(struct inbox *i, const struct row *r)
{
    (void)i;
    (void)r;
    got.echoes++;
}
void answer_feed_is_complete(struct inbox *i, int64_t at_ms)
{
    (void)i;
    got.complete++;
    got.complete_ms = at_ms;
}
bool answer_wants_sweep(const struct inbox *i)
{
    (void)i;
    return false;
}
int64_t answer_evidence_since_ms(const struct inbox *i)
{
    (void)i;
    return got.evidence_since_ms;
}

/* ---- the platform's feed -----------------------------------------------------------------------
 */

static void write_time(int64_t us, char *ret, size_t cap)
{
    char text[CLOCK_TEXT_MAX];

    clock_wall_text(us / 1000, text);
    text[19] = '\0';
    (void)snprintf(ret, cap, "%s.%06dZ", text, (int)(us % 1000000));
}

static const char *query_text(const char *target, const char *name, char *ret, size_t cap)
{
    char wanted[40];
    size_t n = 0;

    (void)snprintf(wanted, sizeof(wanted), "%s=", name);
    const char *at = strstr(target, wanted);
    ret[0] = '\0';
    if (!at)
        return NULL;
    for (at += strlen(wanted); *at && *at != '&' && n + 1 < cap; at++) {
        if (*at == '%') {
            unsigned c = 0;

            (void)sscanf(at + 1, "%2x", &c);
            ret[n++] = (char)c;
            at += 2;
        } else {
            ret[n++] = *at;
        }
    }
    ret[n] = '\0';
    return ret;
}

static const struct feed_row *row_of(const char *id)
{
    for (size_t k = 0; k < fw.n; k++) {
        if (!fw.v[k].is_hidden && strcmp(fw.v[k].id, id) == 0)
            return &fw.v[k];
    }
    return NULL;
}

static int newer_first(const void *a, const void *b)
{
    const struct feed_row *const *x = a, *const *y = b;

    return (*x)->us > (*y)->us ? -1 : (*x)->us < (*y)->us;
}

static void write_page(const struct feed_row **v, size_t n, bool oldest_first, struct str *out)
{
    static char pad[8192];

    memset(pad, 'x', sizeof(pad) - 1);
    str_addz(out, fw.wraps_items ? "{\"items\":[" : "[");
    for (size_t k = 0; k < n; k++) {
        const struct feed_row *r = v[oldest_first ? n - 1 - k : k];
        char time[40];

        write_time(r->us, time, sizeof(time));
        str_addf(out, "%s{\"id\":\"%s\",\"activity_type\":\"a2a_receive\",\"created_at\":\"%s\"%s",
                 k ? "," : "", r->id, time, r->rest);
        if (r->values)
            str_addz(out, ",\"tool_trace\":[0");
        for (unsigned j = 1; j < r->values; j++)
            str_addz(out, ",0");
        if (r->values)
            str_addz(out, "]");
        if (fw.pad)
            str_addf(out, ",\"tool_trace\":\"%.*s\"", (int)fw.pad, pad);
        str_addz(out, "}");
    }
    str_addz(out, fw.wraps_items ? "]}" : "]");
}

static void answer_page(const char *target, struct fake_answer *a)
{
    static const struct feed_row *v[FEED_ROWS_MAX];
    char text[128], before[128];
    const struct feed_row *since = NULL;
    int64_t before_us = INT64_MAX, from_us = 0;
    size_t n = 0, limit = 100, skip = 0;
    struct str out = {0};
    bool has_since = query_text(target, "since_id", text, sizeof(text)) && !fw.has_no_cursors;

    if (has_since) {
        since = row_of(text);
        if (!since) {
            a->status = 410;
            (void)snprintf(a->body, sizeof(a->body), "{\"error\":\"since_id is gone\"}");
            return;
        }
        from_us = since->us;
    }
    if (query_text(target, "limit", text, sizeof(text)))
        limit = (size_t)atol(text);
    if (query_text(target, "since_secs", text, sizeof(text)))
        from_us = fw.now_us - atol(text) * 1000000;
    if (query_text(target, "before_ts", before, sizeof(before)))
        cr_assert(row_time_us(slice_of(before), &before_us), "%s", before);
    for (size_t k = 0; k < fw.n; k++) {
        if (!fw.v[k].is_hidden && fw.v[k].us > from_us && fw.v[k].us < before_us)
            v[n++] = &fw.v[k];
    }
    qsort(v, n, sizeof(v[0]), newer_first);
    if (has_since && n > limit) /* the oldest of them */
        skip = n - limit;
    write_page(v + skip, n - skip > limit ? limit : n - skip, has_since, &out);
    a->status = 200;
    cr_assert_lt(out.len, sizeof(a->body), "a page too long for the fake");
    (void)snprintf(a->body, sizeof(a->body), "%s", str_z(&out));
    str_release(&out);
}

static void say_json(struct fake_answer *a, const char *body)
{
    a->status = body ? 200 : 404;
    (void)snprintf(a->body, sizeof(a->body), "%s", body ? body : "{\"error\":\"not here\"}");
}

static bool stream_hook(struct fake_answer *a)
{
    fw.streams++;
    if (fw.stream_hangs) {
        a->action = FAKE_HANG;
    } else if (fw.stream) {
        a->action = FAKE_RAW;
        (void)snprintf(a->body, sizeof(a->body),
                       "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n%s", fw.stream);
    } else {
        a->status = 404;
        (void)snprintf(a->body, sizeof(a->body), "404 page not found");
    }
    return true;
}

static bool file_hook(const char *at, struct fake_answer *a)
{
    if (strstr(at, "/ack")) {
        fw.file_acks++;
        a->status = fw.ack_status ? (int)fw.ack_status : 200;
        (void)snprintf(a->body, sizeof(a->body), "{\"acked\":true}");
        return true;
    }
    fw.content_calls++;
    if (fw.content_times > 0) {
        fw.content_times--;
        a->status = (int)fw.content_status;
        (void)snprintf(a->body, sizeof(a->body), "{\"error\":\"later\"}");
        return true;
    }
    say_json(a, fw.content);
    a->fields = "Content-Type: application/octet-stream\r\n";
    return true;
}

static bool other_hook(const struct fake_request *rq, struct fake_answer *a)
{
    if (strstr(rq->target, "/events/stream"))
        return stream_hook(a);
    if (strstr(rq->target, "/pending-uploads/"))
        return file_hook(rq->target, a);
    if (strstr(rq->target, "/registry/discover/")) {
        fw.discover_calls++;
        say_json(a, fw.discover);
        return true;
    }
    if (strstr(rq->target, "/peers")) {
        fw.peer_calls++;
        say_json(a, fw.peers);
        return true;
    }
    return false;
}

static bool feed_hook(struct world *w, const struct fake_request *rq, struct fake_answer *a)
{
    const char *at = strstr(rq->target, "/activity");

    (void)w;
    if (!at)
        return other_hook(rq, a);
    if (strcmp(at, "/activity/ack") == 0) {
        fw.acks++;
        (void)snprintf(fw.last_ack, sizeof(fw.last_ack), "%s", rq->body);
        a->status = fw.has_ack ? 200 : 404;
        (void)snprintf(a->body, sizeof(a->body), "{}");
        return true;
    }
    if (strstr(at, "since_id=00000000")) {
        fw.probes++;
        answer_page(at, a);
        return true;
    }
    bool is_sweep = strstr(at, "since_secs=") != NULL;
    *(is_sweep ? &fw.sweeps : &fw.polls) += 1;
    (void)snprintf(is_sweep ? fw.last_sweep : fw.last_poll, sizeof(fw.last_poll), "%s", at);
    if (fw.status && (is_sweep || !fw.only_sweeps)) {
        a->status = (int)fw.status;
        a->fields = fw.status_fields;
        (void)snprintf(a->body, sizeof(a->body), "{\"error\":\"as the test wants\"}");
        if (fw.status_times > 0 && --fw.status_times == 0)
            fw.status = 0;
        return true;
    }
    answer_page(at, a);
    return true;
}

/* ---- the case ----------------------------------------------------------------------------------
 */

#define FEED_BEGIN_US 1764000000000000

__attribute__((unused)) static const char *row_id_of(unsigned k)
{
    static char id[4][37];
    static unsigned at;
    char *ret = id[at++ % 4];

    (void)snprintf(ret, 37, "aaaaaaaa-0000-4000-8000-%012u", k);
    return ret;
}

#define TEXT_BODY(text)                                                                            \
    ",\"method\":\"message/send\",\"source_id\":null,\"request_body\":{\"params\":{\"message\":{"  \
    "\"parts\":[{\"kind\":\"text\",\"text\":\"" text "\"}]}}}"
#define ECHO_BODY                                                                                  \
    ",\"method\":\"notify\",\"source_id\":null,\"response_body\":{\"result\":\"said\"}"

/* at_us after FEED_BEGIN_US; under the lock or before the loop runs. */
__attribute__((unused)) static void add_feed_row(unsigned k, int64_t at_us, const char *rest)
{
    struct feed_row *r = &fw.v[fw.n++];

    *r = (struct feed_row){.us = FEED_BEGIN_US + at_us};
    (void)snprintf(r->id, sizeof(r->id), "%s", row_id_of(k));
    (void)snprintf(r->rest, sizeof(r->rest), "%s", rest ? rest : TEXT_BODY("hello"));
}

static void quick_feed(void)
{
    box.feed->times = (struct feed_times){.backoff_base = 4,
                                          .backoff_cap = 20,
                                          .refused_cap = 30,
                                          .sweep = 60 * 1000,
                                          .sweep_short = 60 * 1000,
                                          .hint_gap = 1,
                                          .hint_gap_short = 1,
                                          .relaxed = 60 * 1000,
                                          .phase = 1};
}

static void make_box(void)
{
    box = (struct inbox){.loop = pc->loop,
                         .io = pc->io,
                         .store = pc->store,
                         .cfg = &pc->cfg,
                         .platform = pc->p,
                         .transport = platform_transport(pc->p),
                         .journal = &jr};
    cr_assert_eq(feed_new(&box), 0);
    cr_assert_eq(second_new(&box), 0);
    cr_assert_eq(peers_new(&box), 0);
    cr_assert_eq(uploads_new(&box), 0);
    cr_assert_eq(wakeup_new(&box), 0);
    quick_feed();
}

static void feed_open(void)
{
    static char no_dir[] = "";

    case_open_with_token();
    pc->cfg.platform.poll_interval = 20;
    pc->cfg.platform.heartbeat_interval = 60 * 1000;
    pc->cfg.platform.state_interval = 60 * 1000;
    pc->cfg.forward.uploads_dir = no_dir;
    fw = (struct feed_world){.now_us = FEED_BEGIN_US + 3600LL * 1000000};
    pc->world.hook = feed_hook;
    (void)snprintf(pc->world.status, sizeof(pc->world.status), "online");
    case_new();
    transport_set_bearer(platform_transport(pc->p), SLICE("the-token"));
    make_box();
}

static void free_box(void)
{
    feed_stop(&box);
    wakeup_stop(&box);
    uploads_stop(&box);
    timer_stop(&jr.timer);
    timer_stop(&jr.start_timer);
    timer_stop(&reading.timer);
    jr.is_stuck = false;
    if (jr.waiting_n > 0)
        on_commit(&jr.timer);
    wakeup_free(&box);
    uploads_free(&box);
    peers_free(&box);
    second_free(&box);
    feed_free(&box);
}

static void feed_close(void)
{
    free_box();
    for (size_t k = 0; k < jr.n; k++)
        journal_message_release(&jr.v[k]);
    journal_message_release(&got.last);
    case_close();
}

/* Another run of the sidecar with the same journal. */
__attribute__((unused)) static void feed_again(void)
{
    free_box();
    got.n = 0;
    got.complete = 0;
    jr.last_ms = clock_wall_ms();
    make_box();
}

__attribute__((unused)) static bool is_swept(void)
{
    return got.complete > 0;
}

#endif
