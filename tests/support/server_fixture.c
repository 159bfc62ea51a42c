#include "support/server_fixture.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "server/conn.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the handler ---- */

struct job {
    struct exchange *x;
    struct fixture *f;
    struct timer timer;
    char what[32];
    long bytes;
    long sent;
    int step;
};

static bool job_is(const struct job *j, const char *what)
{
    return strcmp(j->what, what) == 0;
}

static void job_later(struct job *j, timer_fn *fn, int64_t ms)
{
    timer_start(&j->timer, j->f->loop, loop_now_ms(j->f->loop) + ms, fn, j);
}

static void answer_text(struct exchange *x, const char *text)
{
    exchange_answer(x, 200, "text/plain", NULL, 0, slice_of(text));
}

static void on_later(struct timer *t)
{
    struct job *j = t->arg;

    answer_text(j->x, "hello");
}

static void on_event(struct timer *t)
{
    struct job *j = t->arg;

    if (exchange_body(j->x, SLICE("data: x\n\n")))
        job_later(j, on_event, 10);
}

static void on_second_piece(struct timer *t)
{
    struct job *j = t->arg;

    if (job_is(j, "/abort")) {
        exchange_abort(j->x);
        return;
    }
    (void)exchange_body(j->x, SLICE("two"));
    exchange_finish(j->x);
}

static void on_resume(struct timer *t)
{
    struct job *j = t->arg;

    exchange_resume_body(j->x);
}

static void on_kept(struct timer *t)
{
    struct job *j = t->arg;
    const struct http_request *r = exchange_request(j->x);
    struct slice value = r->path.n > 1 ? http_request_value(r, "x-test") : r->host;
    char text[128];

    (void)snprintf(text, sizeof(text), "%.*s %.*s", (int)r->target.n, r->target.p, (int)value.n,
                   value.p);
    answer_text(j->x, text);
}

enum { BIG_BYTES = 1024 * 1024 };

static void send_big(struct job *j)
{
    static char piece[16 * 1024];

    memset(piece, 'b', sizeof(piece));
    while (j->sent < BIG_BYTES) {
        j->sent += (long)sizeof(piece);
        if (!exchange_body(j->x, (struct slice){piece, sizeof(piece)}))
            return;
    }
    exchange_finish(j->x);
}

static void send_huge(struct job *j)
{
    static char piece[16 * 1024];

    while (j->sent < HUGE_BYTES) {
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = huge_byte((size_t)j->sent + i);
        j->sent += (long)sizeof(piece);
        if (!exchange_body(j->x, (struct slice){piece, sizeof(piece)}))
            return;
    }
    exchange_finish(j->x);
}

static void begin_chunked(struct job *j, const char *type)
{
    exchange_head_begin(j->x, 200, (struct slice){NULL, 0});
    exchange_head_field(j->x, SLICE("Content-Type"), slice_of(type));
    (void)exchange_head_end(j->x, HTTP_BODY_CHUNKED, 0);
}

static void collected(struct exchange *x, struct slice body)
{
    exchange_answer(x, 200, "text/plain", NULL, 0, body);
}

static void begin_stream(struct job *j)
{
    exchange_set_stream(j->x, true);
    begin_chunked(j, "text/event-stream");
    exchange_flush(j->x);
    job_later(j, on_event, 10);
}

static void begin_pieces(struct job *j)
{
    begin_chunked(j, "text/plain");
    (void)exchange_body(j->x, SLICE("one"));
    job_later(j, on_second_piece, 20);
}

static void answer_short(struct exchange *x)
{
    exchange_head_begin(x, 200, (struct slice){NULL, 0});
    (void)exchange_head_end(x, HTTP_BODY_LENGTH, 10);
    (void)exchange_body(x, SLICE("short"));
    exchange_finish(x);
}

static void answer_interim(struct exchange *x)
{
    const struct http_field link = {.name = SLICE("Link"), .value = SLICE("</x>")};

    exchange_interim(x, 103, &link, 1);
    answer_text(x, "hello");
}

static void answer_none(struct exchange *x, int status, struct slice length)
{
    exchange_head_begin(x, status, (struct slice){NULL, 0});
    if (length.n)
        exchange_head_field(x, SLICE("content-length"), length);
    (void)exchange_head_end(x, HTTP_BODY_NONE, 0);
    exchange_finish(x);
}

static void on_request(void *ctx, struct exchange *x)
{
    struct fixture *f = ctx;
    struct job *j = calloc(1, sizeof(*j));
    struct slice path = exchange_request(x)->path;

    if (!j || path.n >= sizeof(j->what))
        abort();
    j->x = x;
    j->f = f;
    memcpy(j->what, path.p, path.n);
    exchange_set_user(x, j);
    f->began++;
    if (job_is(j, "/hello"))
        answer_text(x, "hello");
    else if (job_is(j, "/later"))
        job_later(j, on_later, 20);
    else if (job_is(j, "/stream"))
        begin_stream(j);
    else if (job_is(j, "/two") || job_is(j, "/abort"))
        begin_pieces(j);
    else if (job_is(j, "/big")) {
        begin_chunked(j, "text/plain");
        send_big(j);
    } else if (job_is(j, "/huge")) {
        begin_chunked(j, "text/plain");
        send_huge(j);
    } else if (job_is(j, "/who"))
        exchange_answer(x, 200, "text/plain", NULL, 0, exchange_client(x));
    else if (job_is(j, "/early"))
        exchange_answer_json(x, 403, SLICE("{}"));
    else if (job_is(j, "/collect"))
        exchange_collect(x, 100, collected);
    else if (job_is(j, "/kept") || job_is(j, "/")) {
        if (exchange_keep_head(x) != 0)
            abort();
        job_later(j, on_kept, 20);
    } else if (job_is(j, "/short"))
        answer_short(x);
    else if (job_is(j, "/interim"))
        answer_interim(x);
    else if (job_is(j, "/nothing"))
        answer_none(x, 204, SLICE(""));
    else if (job_is(j, "/stale-length"))
        answer_none(x, 200, SLICE("77"));
    else if (job_is(j, "/close")) {
        exchange_set_last(x);
        answer_text(x, "hello");
    }
}

static size_t on_body(struct exchange *x, struct slice bytes)
{
    struct job *j = exchange_user(x);

    if (job_is(j, "/collect"))
        return collect_on_body(x, bytes);
    if ((long)bytes.n > j->f->most_bytes)
        j->f->most_bytes = (long)bytes.n;
    if (job_is(j, "/stuck"))
        return 0;
    if (job_is(j, "/sip") && bytes.n > 7) {
        bytes.n = 7;
        job_later(j, on_resume, 0);
    }
    j->bytes += (long)bytes.n;
    j->f->body_bytes += (long)bytes.n;
    return bytes.n;
}

static void on_body_end(struct exchange *x)
{
    struct job *j = exchange_user(x);
    char text[32];

    j->f->body_ends++;
    if (job_is(j, "/collect"))
        collect_on_body_end(x);
    if (!job_is(j, "/size") && !job_is(j, "/sip"))
        return;
    (void)snprintf(text, sizeof(text), "%ld", j->bytes);
    answer_text(x, text);
}

static void on_drained(struct exchange *x)
{
    struct job *j = exchange_user(x);

    if (job_is(j, "/big"))
        send_big(j);
    else if (job_is(j, "/huge"))
        send_huge(j);
    else if (job_is(j, "/stream"))
        job_later(j, on_event, 10);
}

static void on_end(struct exchange *x, bool complete)
{
    struct job *j = exchange_user(x);

    collect_on_end(x, complete);
    timer_stop(&j->timer);
    j->f->complete += complete;
    j->f->ended++;
    free(j);
}

static const struct handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_end = on_end,
};

/* ---- the thread ---- */

static void on_wake(struct watch *w, int events)
{
    struct fixture *f = w->arg;
    uint64_t n;
    int order;

    (void)events;
    if (read(f->wake_fd, &n, sizeof(n)) != sizeof(n))
        return;
    order = f->order;
    switch (order) {
    case ORDER_LAST:
        server_set_last(f->server, true);
        break;
    case ORDER_CLOSE_IDLE:
        server_close_idle(f->server);
        break;
    case ORDER_STOP_ACCEPTING:
        server_stop_accepting(f->server);
        break;
    case ORDER_TLS_CHECK:
        tls_context_check(f->tls);
        break;
    case ORDER_PAUSE:
        f->order = -1;
        while (f->is_paused)
            (void)poll(NULL, 0, 1);
        return;
    case ORDER_TURN:
        break;
    case ORDER_NO_HEAD:
        deadline_class_set(&f->server->head_class, 1);
        break;
    default:
        loop_stop(f->loop);
    }
    if (f->tls)
        f->tls_status = *tls_context_status(f->tls);
    f->order = -1;
}

static void *run(void *arg)
{
    struct fixture *f = arg;

    loop_run(f->loop);
    return NULL;
}

void fixture_config(struct fixture *f)
{
    *f = (struct fixture){.wake_fd = -1};
    server_config_defaults(&f->cfg);
    f->cfg.name = "test";
    f->cfg.access_log = false;
    f->cfg.head_timeout_ms = 60000;
    f->cfg.idle_timeout_ms = 60000;
    f->cfg.body_timeout_ms = 60000;
    f->cfg.write_timeout_ms = 60000;
    f->linger_ms = 60000;
    if (endpoint_parse(SLICE("127.0.0.1:0"), &f->cfg.at, NULL) != 0)
        abort();
}

void fixture_start(struct fixture *f)
{
    struct err err = {0};

    f->order = -1;
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake_fd < 0 || loop_new(&f->loop, &err) != 0 ||
        (f->tls_files.cert && tls_context_new(f->loop, &f->tls_files, &f->tls, &err) != 0)) {
        fprintf(stderr, "fixture: %s\n", err.msg);
        abort();
    }
    f->cfg.tls = f->tls;
    if (server_open(f->loop, &f->cfg, &handler, f, &f->server, &err) != 0 ||
        watch_start(&f->wake, f->loop, f->wake_fd, WATCH_READ, on_wake, f) != 0) {
        fprintf(stderr, "fixture: %s\n", err.msg);
        abort();
    }
    deadline_class_set(&f->server->linger_class, f->linger_ms);
    f->at = *server_address(f->server);
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        abort();
}

void fixture_order(struct fixture *f, int order)
{
    uint64_t one = 1;

    f->order = order;
    if (write(f->wake_fd, &one, sizeof(one)) != sizeof(one))
        abort();
    while (order != ORDER_STOP && f->order != -1)
        (void)poll(NULL, 0, 1);
}

void fixture_pause(struct fixture *f)
{
    f->is_paused = true;
    fixture_order(f, ORDER_PAUSE);
}

void fixture_resume(struct fixture *f)
{
    f->is_paused = false;
}

void fixture_has_read(struct fixture *f, const struct raw *r)
{
    int on_its_way = 1;

    for (int i = 0; i < RAW_WAIT_MS && on_its_way > 0; i++) {
        if (ioctl(r->fd, SIOCOUTQ, &on_its_way) < 0)
            abort();
        (void)poll(NULL, 0, 1);
    }
    for (int turns = 0; turns < 4; turns++) /* accepted, read, and what follows from it */
        fixture_order(f, ORDER_TURN);
}

void fixture_free_server(struct fixture *f)
{
    fixture_order(f, ORDER_STOP);
    (void)pthread_join(f->thread, NULL);
    f->stats = *server_stats(f->server);
    server_free(f->server);
    f->server = NULL;
    tls_context_free(f->tls);
    f->tls = NULL;
}

void fixture_stop(struct fixture *f)
{
    if (f->server)
        fixture_free_server(f);
    watch_stop(&f->wake);
    loop_free(f->loop);
    (void)close(f->wake_fd);
}

bool fixture_wait(_Atomic int *counter, int at_least)
{
    for (int i = 0; i < RAW_WAIT_MS && *counter < at_least; i++)
        (void)poll(NULL, 0, 1);
    return *counter >= at_least;
}
