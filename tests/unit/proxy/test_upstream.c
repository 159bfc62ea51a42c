/* Connections to the agent: which are kept, which are not, and what is said when there is none. */
#include "proxy/upstream.h"

#include "support/no_ipv6.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOT_CALLED = 1 };

struct world {
    struct loop *loop;
    struct endpoint at;
    struct upstream_pool pool;
    struct timer timer;
    struct timer patience;
    int connected; /* code of on_connected */
    char path[64];
};

static struct world w;

static void on_ready(void *user, int events)
{
    (void)user;
    (void)events;
}

static void on_connected(void *user, int code)
{
    (void)user;
    w.connected = code;
    loop_stop(w.loop);
}

static const struct upstream_events events = {.on_ready = on_ready, .on_connected = on_connected};

static void on_stop(struct timer *t)
{
    (void)t;
    loop_stop(w.loop);
}

enum {
    PATIENCE_MS = 60 * 1000,
};

/* Let the loop run until something calls loop_stop(), at most so long. */
static void run(int64_t ms)
{
    timer_start(&w.timer, w.loop, loop_now_ms(w.loop) + ms, on_stop, NULL);
    loop_run(w.loop);
    timer_stop(&w.timer);
}

static void begin(const char *address)
{
    struct err err = {0};

    w = (struct world){.connected = NOT_CALLED};
    cr_assert_eq(loop_new(&w.loop, &err), 0);
    cr_assert_eq(endpoint_parse(slice_of(address), &w.at, &err), 0, "%s", err.msg);
    upstream_pool_init(&w.pool, w.loop, &w.at, &events);
    deadline_class_set(&w.pool.idle_class, PATIENCE_MS); /* we may be kept from running */
}

static void end(void)
{
    upstream_pool_release(&w.pool);
    loop_free(w.loop);
}

static int listen_at(int family, const void *sa, socklen_t len, int backlog)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, sa, len) < 0 || listen(fd, backlog) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A Unix socket in a fresh place; begin() was called with it. */
static int begin_unix(int backlog)
{
    char address[80], dir[] = "/tmp/upstream-XXXXXX", path[64];
    int fd;

    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    begin(address);
    memcpy(w.path, path, sizeof(path));
    fd = listen_at(AF_UNIX, &w.at.sa, w.at.sa_len, backlog);
    cr_assert_geq(fd, 0);
    return fd;
}

static void end_unix(int fd)
{
    end();
    close(fd);
    unlink(w.path);
    *strrchr(w.path, '/') = '\0';
    rmdir(w.path);
}

static struct upstream *open_now(void)
{
    struct upstream *up = NULL;

    cr_assert_eq(upstream_open(&w.pool, &w, false, &up), 0);
    return up;
}

Test(proxy_upstream, a_released_connection_is_used_again_from_the_next_turn_on)
{
    int fd = begin_unix(8);
    struct upstream *a = open_now(), *b;

    upstream_release(a);
    b = open_now(); /* the same turn: what is behind the last answer has not been looked for */
    cr_assert_eq(w.pool.connects_total, 2);
    run(1);
    cr_assert_eq(open_now(), a);
    cr_assert_eq(w.pool.reused_total, 1);
    upstream_close(a);
    upstream_close(b);
    end_unix(fd);
}

Test(proxy_upstream, whatever_shows_on_an_idle_connection_ends_it)
{
    int fd = begin_unix(8);
    struct upstream *up = open_now();
    int agent = accept(fd, NULL, NULL);

    upstream_release(up);
    cr_assert_eq(write(agent, "x", 1), 1);
    run(20);
    cr_assert_eq(w.pool.idle_count, 0);
    close(agent);
    up = open_now();
    agent = accept(fd, NULL, NULL);
    upstream_release(up);
    close(agent);
    run(20);
    cr_assert_eq(w.pool.idle_count, 0);
    end_unix(fd);
}

Test(proxy_upstream, idle_connections_do_not_stay)
{
    int fd = begin_unix(8);
    struct upstream *up = open_now();
    int64_t from_ms = loop_now_ms(w.loop);

    deadline_class_set(&w.pool.idle_class, UPSTREAM_IDLE_MS);
    upstream_release(up);
    run(UPSTREAM_IDLE_MS / 2);
    cr_assert(w.pool.idle_count == 1 || loop_now_ms(w.loop) - from_ms >= UPSTREAM_IDLE_MS);
    run(UPSTREAM_IDLE_MS / 2 + 200);
    cr_assert_eq(w.pool.idle_count, 0);
    upstream_release(open_now());
    upstream_drop_idle(&w.pool);
    cr_assert_eq(w.pool.idle_count, 0);
    end_unix(fd);
}

Test(proxy_upstream, the_number_of_idle_ones_is_bounded)
{
    int fd = begin_unix(UPSTREAM_IDLE_MAX + 16);
    struct upstream *up[UPSTREAM_IDLE_MAX + 1];

    for (int i = 0; i <= UPSTREAM_IDLE_MAX; i++)
        up[i] = open_now();
    for (int i = 0; i <= UPSTREAM_IDLE_MAX; i++)
        upstream_release(up[i]);
    cr_assert_eq(w.pool.idle_count, UPSTREAM_IDLE_MAX);
    end_unix(fd);
}

Test(proxy_upstream, a_full_backlog_is_told_apart)
{
    int fd = begin_unix(0);
    struct upstream *up[8] = {NULL};
    int code = 0;

    for (size_t i = 0; i < 8 && code == 0; i++)
        code = upstream_open(&w.pool, &w, false, &up[i]);
    cr_assert_eq(code, -EAGAIN);
    cr_assert(upstream_is_absent(code));
    for (size_t i = 0; i < 8; i++)
        upstream_close(up[i]);
    end_unix(fd);
}

Test(proxy_upstream, an_absent_socket_is_told_at_once)
{
    struct upstream *up = NULL;
    int fd;

    begin("unix:/tmp/no-such-place/s");
    cr_assert_eq(upstream_open(&w.pool, &w, false, &up), -ENOENT);
    end();
    fd = begin_unix(1);
    close(fd);
    cr_assert_eq(upstream_open(&w.pool, &w, false, &up), -ECONNREFUSED);
    end_unix(-1);
}

/* A TCP port that nobody listens on: bound and never listened to. */
static int dead_port(uint16_t *ret_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* Opens and waits for the result. */
static int open_tcp(struct upstream **ret)
{
    int code;

    w.connected = NOT_CALLED;
    code = upstream_open(&w.pool, &w, true, ret);
    if (code != 1)
        return code;
    run(PATIENCE_MS);
    return w.connected;
}

Test(proxy_upstream, a_refused_port_is_a_refusal)
{
    struct upstream *up = NULL;
    char address[64];
    uint16_t port;
    int fd = dead_port(&port);

    snprintf(address, sizeof(address), "http://127.0.0.1:%u", port);
    begin(address);
    cr_assert_eq(open_tcp(&up), -ECONNREFUSED);
    end();
    snprintf(address, sizeof(address), "http://localhost:%u", port);
    begin(address);
    cr_assert_eq(open_tcp(&up), -ECONNREFUSED, "both families");
    end();
    close(fd);
}

Test(proxy_upstream, a_machine_without_ipv6_knows_a_refusal_too)
{
    static const int lacks[] = {EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH};
    struct upstream *up = NULL;
    char address[64];
    uint16_t port;
    int fd = dead_port(&port);

    snprintf(address, sizeof(address), "http://localhost:%u", port);
    for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
        int code;

        begin(address);
        no_ipv6_errno = lacks[i];
        code = open_tcp(&up);
        cr_assert_eq(code, -ECONNREFUSED, "%s", strerror(-code));
        w.pool.prefers_v6 = true; /* it was there before */
        code = open_tcp(&up);
        cr_assert_eq(code, -ECONNREFUSED, "%s", strerror(-code));
        no_ipv6_errno = 0;
        end();
    }
    close(fd);
}

Test(proxy_upstream, localhost_means_both_families)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct upstream *up = NULL;
    char address[64];
    uint16_t port;
    int fd4 = dead_port(&port), fd6;
    int one = 1;

    six.sin6_port = htons(port);
    fd6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd6 >= 0)
        (void)setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (fd6 < 0 || bind(fd6, (struct sockaddr *)&six, sizeof(six)) < 0 || listen(fd6, 8) < 0)
        cr_skip_test("no IPv6 on this machine");
    snprintf(address, sizeof(address), "http://localhost:%u", port);
    begin(address);
    cr_assert_eq(open_tcp(&up), 0);
    upstream_close(up);
    cr_assert(w.pool.prefers_v6, "remembered");
    cr_assert_eq(open_tcp(&up), 0);
    upstream_close(up);
    end();
    close(fd4);
    close(fd6);
}

Test(proxy_upstream, sentences_name_the_place_and_the_fix)
{
    int fd = begin_unix(1);
    struct err err = {0};

    cr_assert_eq(chmod(w.path, 0600), 0);
    upstream_explain(&w.at, -EACCES, &err);
    cr_assert(strstr(err.msg, w.path) && strstr(err.msg, "mode 0600") &&
                  strstr(err.msg, "owner ") && strstr(err.msg, "0660"),
              "%s", err.msg);
    upstream_explain(&w.at, -ENOENT, &err);
    cr_assert(strstr(err.msg, "no such socket"), "%s", err.msg);
    upstream_explain(&w.at, -ECONNREFUSED, &err);
    cr_assert(strstr(err.msg, "nobody listens"), "%s", err.msg);
    upstream_explain(&w.at, -EMFILE, &err);
    cr_assert(strstr(err.msg, "Too many open files"), "%s", err.msg);
    end_unix(fd);
}
