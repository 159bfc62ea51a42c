#include "support/proxy_fixture.h"

#include "proxy/state.h"
#include "server/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ORDER_STOP = 0,
    ORDER_GATE,
    ORDER_CARD,
    ORDER_STATS,
    ORDER_PLATFORM_CARD,
    ORDER_FAIL,
    ORDER_DROP,
    ORDER_OWN_TIMES,
    ORDER_RESPONSE_TIMEOUT,
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "proxy fixture: %s: %s\n", what, why);
    abort();
}

/* ---- what app/ would do ---- */

static void on_work(void *arg)
{
    struct px *f = arg;

    f->work_calls++;
    f->idle_calls += proxy_work_count(f->proxy) == 0;
}

static void on_restart_pending(void *arg, int64_t seconds)
{
    struct px *f = arg;

    f->restart_seconds = (long)seconds;
}

static void on_agent_failure(void *arg, const char *sentence)
{
    struct px *f = arg;

    (void)sentence;
    f->failures++;
}

static struct slice get_secret(void *arg)
{
    struct px *f = arg;

    return slice_of(f->inbound_secret);
}

static struct slice get_token(void *arg)
{
    struct px *f = arg;

    return slice_of(f->workspace_token);
}

static const struct proxy_callbacks callbacks = {
    .on_work = on_work,
    .on_restart_pending = on_restart_pending,
    .on_agent_failure = on_agent_failure,
    .inbound_secret = get_secret,
    .workspace_token = get_token,
};

/* ---- the thread ---- */

static void set_times(struct px *f, bool own)
{
    struct proxy *p = f->proxy;
    struct server *s = f->server;
    struct server_config usual;

    server_config_defaults(&usual);
    deadline_class_set(&p->card_class, own ? PUMP_CARD_MS : PX_PATIENCE_MS);
    deadline_class_set(&p->connect_class, own ? PUMP_CONNECT_MS : PX_PATIENCE_MS);
    deadline_class_set(&p->finish_class, own ? STREAM_FINISH_MS : PX_PATIENCE_MS);
    deadline_class_set(&p->pool.idle_class, own ? UPSTREAM_IDLE_MS : PX_PATIENCE_MS);
    deadline_class_set(&s->linger_class, own ? SERVER_LINGER_MS : PX_PATIENCE_MS);
    deadline_class_set(&s->head_class, own ? usual.head_timeout_ms : PX_PATIENCE_MS);
    deadline_class_set(&s->body_class, own ? usual.body_timeout_ms : PX_PATIENCE_MS);
    deadline_class_set(&s->write_class, own ? usual.write_timeout_ms : PX_PATIENCE_MS);
}

static void wake(struct px *f)
{
    uint64_t one = 1;

    if (write(f->wake_fd, &one, sizeof(one)) != sizeof(one))
        die("eventfd", strerror(errno));
}

static void on_wake(struct watch *w, int events)
{
    struct px *f = w->arg;
    struct err err = {0};
    uint64_t n;
    int order;

    (void)events;
    if (read(f->wake_fd, &n, sizeof(n)) != sizeof(n))
        return;
    order = f->order;
    switch (order) {
    case ORDER_GATE:
        proxy_set_gate(f->proxy, f->gate);
        break;
    case ORDER_CARD:
        proxy_set_card(f->proxy, f->card);
        break;
    case ORDER_STATS:
        if (f->turns_left-- > 0) {
            wake(f);
            return;
        }
        f->stats = *proxy_stats(f->proxy);
        proxy_work(f->proxy, &f->work);
        break;
    case ORDER_PLATFORM_CARD:
        str_truncate(&f->platform_card, 0);
        if (proxy_card_for_platform(f->proxy, &f->platform_card, &err) != 0)
            die("platform card", err.msg);
        break;
    case ORDER_FAIL:
        proxy_fail_in_flight(f->proxy);
        break;
    case ORDER_DROP:
        proxy_drop_upstreams(f->proxy);
        break;
    case ORDER_OWN_TIMES:
        set_times(f, true);
        break;
    case ORDER_RESPONSE_TIMEOUT:
        f->cfg->forward.response_timeout = f->response_timeout_ms;
        proxy_configure(f->proxy);
        break;
    default:
        loop_stop(f->loop);
    }
    f->order = -1;
}

static void *run(void *arg)
{
    struct px *f = arg;

    loop_run(f->loop);
    return NULL;
}

static void order(struct px *f, int what)
{
    f->order = what;
    wake(f);
    while (what != ORDER_STOP && f->order != -1)
        (void)poll(NULL, 0, 1);
}

void px_gate(struct px *f, enum proxy_gate gate)
{
    f->gate = gate;
    order(f, ORDER_GATE);
}

void px_card(struct px *f, const char *card)
{
    f->card = slice_of(card);
    order(f, ORDER_CARD);
}

const struct proxy_stats *px_stats(struct px *f)
{
    f->turns_left = 3;
    order(f, ORDER_STATS);
    return &f->stats;
}

const char *px_platform_card(struct px *f)
{
    order(f, ORDER_PLATFORM_CARD);
    return str_z(&f->platform_card);
}

void px_fail_in_flight(struct px *f)
{
    order(f, ORDER_FAIL);
}

void px_drop_upstreams(struct px *f)
{
    order(f, ORDER_DROP);
}

void px_own_times(struct px *f)
{
    order(f, ORDER_OWN_TIMES);
}

void px_response_timeout(struct px *f, int64_t ms)
{
    f->response_timeout_ms = ms;
    order(f, ORDER_RESPONSE_TIMEOUT);
}

/* ---- the two sides ---- */

void px_listen(struct px *f)
{
    (void)unlink(endpoint_unix_path(&f->agent));
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->listen_fd < 0 ||
        bind(f->listen_fd, (const struct sockaddr *)&f->agent.sa, f->agent.sa_len) < 0 ||
        listen(f->listen_fd, 64) < 0)
        die("listen", strerror(errno));
}

void px_unlisten(struct px *f)
{
    (void)close(f->listen_fd);
    (void)unlink(endpoint_unix_path(&f->agent));
    f->listen_fd = -1;
}

void px_client(struct px *f, struct raw *r)
{
    raw_open(r, &f->at);
}

bool px_nobody_connects(struct px *f, int ms)
{
    struct pollfd p = {.fd = f->listen_fd, .events = POLLIN};

    return poll(&p, 1, ms) == 0;
}

void px_accept(struct px *f, struct raw *r)
{
    if (px_nobody_connects(f, RAW_WAIT_MS))
        die("accept", "nobody connects to the agent");
    *r = (struct raw){.fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC)};
    r->p = malloc(RAW_MAX + 1);
    if (r->fd < 0 || !r->p)
        die("accept", strerror(errno));
    r->p[0] = '\0';
}

/* ---- begin and end ---- */

static void load(struct px *f, char **flags)
{
    struct config_report report = {0};
    char *env[] = {NULL};
    char *file = NULL;
    struct config_input in = {.args = flags, .env = env, .file = file};

    if (config_load(&in, &f->cfg, &report) != 0)
        die("configuration", report.error_count ? str_z(&report.errors[0]) : "?");
    config_report_release(&report);
}

void px_start(struct px *f, ...)
{
    static char hold_timeout[] = "--forward-hold-timeout", hold_for[] = "5m";
    char address[128], runtime[] = "--state-dir";
    bool has_hold_timeout = false;
    char *flags[PX_FLAGS_MAX + 8];
    struct server_config sc;
    struct err err = {0};
    size_t n = 0, skipped = 0;
    va_list ap;
    char *flag;

    *f = (struct px){.wake_fd = -1, .listen_fd = -1, .order = -1, .restart_seconds = -1};
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/px-XXXXXX");
    if (!mkdtemp(f->dir))
        die("mkdtemp", strerror(errno));
    (void)snprintf(address, sizeof(address), "unix:%s/agent.sock", f->dir);
    flags[n++] = (char[]){"--listen-address"};
    flags[n++] = (char[]){"127.0.0.1:0"};
    flags[n++] = (char[]){"--agent-address"};
    flags[n++] = address;
    flags[n++] = runtime;
    flags[n++] = f->dir;
    va_start(ap, f);
    while ((flag = va_arg(ap, char *)) != NULL && n < PX_FLAGS_MAX) {
        if (strcmp(flag, flags[0]) == 0)
            skipped = 2; /* it has another address */
        has_hold_timeout |= strcmp(flag, hold_timeout) == 0;
        flags[n++] = flag;
    }
    va_end(ap);
    if (n == 6) {
        flags[n++] = (char[]){"--platform-enabled"};
        flags[n++] = (char[]){"false"};
    }
    if (!has_hold_timeout) {
        flags[n++] = hold_timeout;
        flags[n++] = hold_for;
    }
    flags[n] = NULL;
    load(f, flags + skipped);
    if (endpoint_parse(slice_of(address), &f->agent, &err) != 0)
        die("address", err.msg);
    px_listen(f);
    server_config_defaults(&sc);
    sc.name = "a2a";
    sc.at = f->cfg->listen.address;
    sc.access_log = false;
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop_new(&f->loop, &err) != 0 || store_new(f->loop, &f->store, &err) != 0 ||
        proxy_new(f->loop, f->cfg, &callbacks, f, &f->proxy, &err) != 0 ||
        server_open(f->loop, &sc, &proxy_handler, f->proxy, &f->server, &err) != 0 ||
        watch_start(&f->wake, f->loop, f->wake_fd, WATCH_READ, on_wake, f) != 0)
        die("start", err.msg);
    set_times(f, false);
    proxy_set_store(f->proxy, f->store); /* no request has come yet: the loop does not run */
    f->at = *server_address(f->server);
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        die("thread", strerror(errno));
    px_gate(f, PROXY_OPEN);
}

void px_stop(struct px *f)
{
    order(f, ORDER_STOP);
    (void)pthread_join(f->thread, NULL);
    server_free(f->server);
    proxy_free(f->proxy);
    store_free(f->store);
    watch_stop(&f->wake);
    loop_free(f->loop);
    (void)close(f->wake_fd);
    if (f->listen_fd >= 0)
        px_unlisten(f);
    (void)rmdir(f->dir);
    str_release(&f->platform_card);
    config_free(f->cfg);
}
