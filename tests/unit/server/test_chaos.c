/*
 * Many clients that do everything badly at once, from a fixed seed: afterwards every exchange has
 * ended, no buffer is lent out, and the server still answers.
 */
#include "base/fd.h"
#include "server/conn.h"
#include "support/server_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(server_chaos, .timeout = 300);

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

enum { CLIENTS = 48, STEPS = 6000, STEPS_A_TURN = 50 };

static const char *const scripts[] = {
    GET("/hello") GET("/later") GET("/hello"),
    GET("/two") GET("/big") GET("/nothing"),
    GET("/stream"),
    GET("/never"),
    GET("/abort") GET("/hello"),
    GET("/short"),
    GET("/interim") "HEAD /hello HTTP/1.1\r\n" HOST "\r\n",
    "GET /hello HTTP/1.0\r\n\r\n",
    "POST /size HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/close"),
    "POST /sip HTTP/1.1\r\n" HOST
    "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n",
    "POST /size HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nok",
    "POST /early HTTP/1.1\r\n" HOST "Content-Length: 500\r\n\r\nnot all of it",
    "POST /collect HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" GET("/kept"),
    "POST /stuck HTTP/1.1\r\n" HOST "Content-Length: 30\r\n\r\nabcabc",
    "POST /size HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nZ\r\n",
    "GET / HTTP/1.1\nbad\n\n",
    "\x16\x03\x01\x02",
};
enum { SCRIPT_COUNT = sizeof(scripts) / sizeof(scripts[0]) };

struct client {
    int fd;
    const char *left; /* of its script */
};

static void client_end(struct client *c)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (c->fd < 0)
        return;
    /* Only a reset shows that nobody waits any more: a FIN could be a half-close. */
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    fd_close(&c->fd);
}

static void client_step(struct client *c, const struct endpoint *at)
{
    static char drain[65536];
    size_t n;

    if (c->fd < 0) {
        c->fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(c->fd >= 0);
        if (connect(c->fd, (const struct sockaddr *)&at->sa, at->sa_len) < 0)
            client_end(c);
        c->left = scripts[random() % SCRIPT_COUNT];
        return;
    }
    switch (random() % 12) {
    case 0:
        client_end(c);
        return;
    case 1:
        (void)shutdown(c->fd, SHUT_WR);
        return;
    case 2:
    case 3:
        (void)recv(c->fd, drain, sizeof(drain), MSG_DONTWAIT);
        return;
    default: /* say some more */
        n = strlen(c->left);
        if (n > 1 && random() % 3)
            n = 1 + (size_t)random() % n;
        (void)send(c->fd, c->left, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        c->left += n;
        if (!*c->left)
            c->left = scripts[random() % SCRIPT_COUNT];
    }
}

static void chaos(const char *at)
{
    static struct fixture f;
    static struct raw r;
    struct client clients[CLIENTS];

    srandom(7);
    fixture_config(&f);
    cr_assert_eq(endpoint_parse(slice_of(at), &f.cfg.at, NULL), 0);
    f.cfg.max_connections = 40;
    f.cfg.write_timeout_ms = 50;
    f.cfg.head_timeout_ms = 50;
    f.cfg.body_timeout_ms = 50;
    f.cfg.idle_timeout_ms = 50;
    f.linger_ms = SERVER_LINGER_MS;
    fixture_start(&f);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){.fd = -1};
    for (int i = 0; i < STEPS; i++) {
        client_step(&clients[random() % CLIENTS], &f.at);
        if (i % STEPS_A_TURN == 0)
            fixture_order(&f, ORDER_TURN); /* it has seen some of it */
    }
    for (int i = 0; i < CLIENTS; i++)
        client_end(&clients[i]);
    fixture_pause(&f);
    raw_open(&r, &f.at);
    raw_sendz(&r, "GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    fixture_resume(&f);
    cr_expect_eq(raw_answer(&r, NULL), 200);
    cr_expect(raw_until_closed(&r));
    raw_close(&r);
    for (int i = 0; i < RAW_WAIT_MS && f.server->stats.connections; i++)
        (void)poll(NULL, 0, 1);
    fixture_order(&f, ORDER_STOP_ACCEPTING);
    cr_expect_eq(f.server->stats.connections, 0u);
    cr_expect_eq(f.server->stats.busy, 0u);
    cr_expect_eq(f.server->in_pool.used_blocks, 0u);
    cr_expect_eq(f.server->out_pool.used_blocks, 0u);
    cr_expect_eq(f.began, f.ended);
    cr_expect_gt(f.began, 100);
    fixture_stop(&f);
}

Test(server_chaos, over_tcp)
{
    chaos("127.0.0.1:0");
}

Test(server_chaos, over_a_unix_socket)
{
    char at[64];

    (void)snprintf(at, sizeof(at), "unix:/tmp/chaos-%d.sock", (int)getpid());
    chaos(at);
}

/* What design section 8 asks: an idle connection holds no buffer, and blocks are used again. */
Test(server_chaos, idle_connections_hold_no_memory)
{
    static struct fixture f;
    static struct raw r[20];

    fixture_config(&f);
    fixture_start(&f);
    for (int i = 0; i < 20; i++)
        raw_open(&r[i], &f.at);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++) {
            raw_sendz(&r[i], "POST /size HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
            cr_assert(fixture_wait(&f.began, round * 20 + i + 1));
            raw_sendz(&r[i], "llo");
            cr_assert_eq(raw_answer(&r[i], NULL), 200);
        }
    }
    fixture_order(&f, ORDER_STOP_ACCEPTING); /* also: the server's thread is between turns */
    cr_expect_eq(f.server->stats.connections, 20u);
    cr_expect_eq(f.server->in_pool.used_blocks, 0u);
    cr_expect_eq(f.server->out_pool.used_blocks, 0u);
    cr_expect_leq(f.server->out_pool.free_blocks, 2u);
    for (int i = 0; i < 20; i++)
        raw_close(&r[i]);
    fixture_stop(&f);
}
