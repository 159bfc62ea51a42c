/*
 * Clients and agents that do anything at any moment: send parts of messages, stop reading, close,
 * reset, while the gate opens and shuts and the agent's socket comes and goes. Nothing may crash,
 * leak or be left over. The seeds are fixed; what the kernel makes of it is not.
 */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 10, STEPS = 4000 };

struct peer {
    int fd;
    const char *text; /* what is being sent; NULL between two messages */
    size_t at;
};

static struct px f;
static struct peer clients[PEERS], agents[PEERS];
static unsigned seed;
static char big[200 * 1024];

static const char *const requests[] = {
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
    "8\r\n\r\n{\"id\":1}",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
    "chunked\r\n\r\n3\r\nabc\r\n5;x\r\nhello\r\n0\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /.well-known/agent-card.json HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /v1/card HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
    "40\r\n\r\n{\"id\":1,\"method\":\"GetExtendedAgentCard\"}",
    "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "nonsense\r\n\r\n",
    big,
};
static const char *const answers[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: "
    "chunked\r\n\r\n9\r\ndata: x\n\n\r\n",
    "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"url\":\"http://h\"}",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    "26\r\n\r\n{\"result\":{\"url\":\"http:\"}}",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more than was promised",
    "no answer at all\r\n\r\n",
    "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
};

static unsigned roll(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static void hang_up(struct peer *p)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (p->fd < 0)
        return;
    if (roll(2))
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(p->fd);
    *p = (struct peer){.fd = -1};
}

static void say_something(struct peer *p, const char *const *texts, unsigned count)
{
    size_t left, n;
    ssize_t sent;

    if (!p->text) {
        p->text = texts[roll(count)];
        p->at = 0;
    }
    left = strlen(p->text) - p->at;
    n = roll(3) ? left : 1 + roll((unsigned)left);
    sent = send(p->fd, p->text + p->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        p->at += (size_t)sent;
    if (p->at == strlen(p->text))
        p->text = NULL;
}

/* False when the other side is gone. */
static bool listen_to(struct peer *p)
{
    static char sink[64 * 1024];
    ssize_t n = recv(p->fd, sink, 1 + roll(sizeof(sink) - 1), MSG_DONTWAIT);

    return n > 0 || (n < 0 && errno == EAGAIN);
}

static void step_client(struct peer *p)
{
    if (p->fd < 0) {
        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(p->fd, (struct sockaddr *)&f.at.sa, f.at.sa_len), 0);
    }
    switch (roll(12)) {
    case 0:
        hang_up(p);
        break;
    case 1:
        (void)shutdown(p->fd, SHUT_WR);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        if (!listen_to(p))
            hang_up(p);
        break;
    default:
        say_something(p, requests, sizeof(requests) / sizeof(requests[0]));
    }
}

static void step_agent(struct peer *p)
{
    if (p->fd < 0 && f.listen_fd >= 0)
        p->fd = accept4(f.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (p->fd < 0)
        return;
    switch (roll(12)) {
    case 0:
        hang_up(p);
        break;
    case 1:
        (void)shutdown(p->fd, roll(2) ? SHUT_RD : SHUT_WR);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        if (!listen_to(p))
            hang_up(p);
        break;
    default:
        say_something(p, answers, sizeof(answers) / sizeof(answers[0]));
    }
}

static void step_world(void)
{
    switch (roll(8)) {
    case 0:
        if (f.listen_fd >= 0)
            px_unlisten(&f);
        break;
    case 1:
        px_gate(&f, (enum proxy_gate)roll(PROXY_LOST + 1));
        break;
    case 2:
        px_fail_in_flight(&f);
        break;
    case 3:
        px_drop_upstreams(&f);
        break;
    case 4:
        px_card(&f, roll(2) ? "{\"url\":\"http://h\"}" : "");
        break;
    default:
        px_gate(&f, PROXY_OPEN);
        if (f.listen_fd < 0)
            px_listen(&f);
        if (f.listen_fd >= 0)
            (void)fcntl(f.listen_fd, F_SETFL, O_NONBLOCK);
    }
}

static bool is_busy(void)
{
    const struct proxy_stats *s = px_stats(&f);

    return s->in_flight > 0 || s->held > 0 || s->streams > 0;
}

static void play(unsigned with)
{
    seed = with;
    px_start(&f, "--platform-enabled", "false", "--forward-hold-timeout", "100ms",
             "--forward-hold-max", "4", "--forward-response-timeout", "200ms",
             "--forward-keepalive-interval", "100ms", "--card-rewrite-extended",
             with % 2 ? "true" : "false", NULL);
    px_own_times(&f);
    (void)fcntl(f.listen_fd, F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < PEERS; i++)
        clients[i].fd = agents[i].fd = -1;
    for (int i = 0; i < STEPS; i++) {
        unsigned who = roll(200);

        if (who == 0)
            step_world();
        else if (who < 110)
            step_client(&clients[roll(PEERS)]);
        else
            step_agent(&agents[roll(PEERS)]);
        if (roll(24) == 0)
            (void)px_stats(&f); /* let the proxy have its turn */
    }
    if (roll(2)) { /* else it ends with everything open */
        for (size_t i = 0; i < PEERS; i++)
            hang_up(&clients[i]);
        for (int i = 0; i < PX_WAIT_TURNS && is_busy(); i++)
            (void)poll(NULL, 0, 1);
        cr_assert_not(is_busy(), "seed %u: %zu in flight, %zu held, %zu streams: %s", with,
                      f.stats.in_flight, f.stats.held, f.stats.streams, f.work.longest);
    }
    px_stop(&f);
    for (size_t i = 0; i < PEERS; i++) {
        hang_up(&clients[i]);
        hang_up(&agents[i]);
    }
}

Test(proxy_random, nothing_is_left_over_whatever_the_peers_do, .timeout = 600)
{
    int head =
        snprintf(big, sizeof(big), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                 sizeof(big) - 1 - 60);

    memset(big + head, 'b', sizeof(big) - 1 - (size_t)head);
    for (unsigned i = 1; i <= 6; i++)
        play(i);
}
