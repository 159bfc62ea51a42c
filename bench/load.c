/*
 * The load generator of the benchmarks: one thread, a fixed number of kept connections, one request
 * in flight on each. Loopback only.
 *
 *   bench_load PORT post CONNECTIONS SECONDS [COUNT]   until SECONDS are over, or COUNT answers
 *   bench_load PORT streams CONNECTIONS SECONDS        GET /stream; the delay of each event
 *
 * Prints one line of key=value. `streams` prints "open" first, when all streams have their heads.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    IN_BYTES = 8 * 1024,
    SAMPLES_MAX = 8 * 1000 * 1000,
    EVENTS_AT_ONCE = 128,
    SECONDS_MAX = 3600,
};

struct conn {
    int fd;
    bool has_head;
    int64_t sent_ns;
    size_t len;
    char in[IN_BYTES];
};

/* how long all streams together may take to open */
static const int64_t HEADS_NS = 30 * (int64_t)1000000000;
static const int64_t FIRST_NS = 30 * (int64_t)1000000000;

static struct conn *conns;
static uint32_t *samples; /* nanoseconds */
static size_t sample_count;
static size_t head_count;
static uint64_t errors;
static char request[2048];
static size_t request_len;

static const char post_body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"message/send\",\"params\":{\"message\":{"
    "\"kind\":\"message\",\"messageId\":\"0f6c2a5e\",\"role\":\"user\",\"parts\":[{\"kind\":"
    "\"text\",\"text\":\"a question of the usual length, about two lines of text in a chat window, "
    "which an agent is asked many times a day\"}]}}}";

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void sample(int64_t ns)
{
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static void ask(struct conn *c)
{
    c->len = 0;
    c->sent_ns = now_ns();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        errors++;
}

static void open_all(int port, int count, int poller)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    for (int i = 0; i < count; i++) {
        struct conn *c = &conns[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
            fail("connect");
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) < 0)
            fail("epoll_ctl");
    }
}

/* Reads what is there. False: the connection has ended, which no answer of ours ends with. */
static bool fill(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0) {
        errors++;
        close(c->fd);
        c->fd = -1;
        return false;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    return true;
}

static bool is_whole(const struct conn *c)
{
    const char *end = strstr(c->in, "\r\n\r\n");
    const char *length = strcasestr(c->in, "\r\ncontent-length:");

    return end && length && c->len >= (size_t)(end - c->in) + 4 + strtoul(length + 17, NULL, 10);
}

static void on_answer(struct conn *c)
{
    if (!fill(c) || !is_whole(c))
        return;
    sample(now_ns() - c->sent_ns);
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0)
        errors++;
    ask(c);
}

static void on_head(struct conn *c)
{
    if (c->has_head || !fill(c) || !strstr(c->in, "\r\n\r\n"))
        return;
    c->has_head = true;
    head_count++;
}

static void on_events(struct conn *c)
{
    char *at;

    if (!fill(c))
        return;
    while ((at = strstr(c->in, "\"t\":"))) {
        char *end = strstr(at, "\n\n");

        if (!end)
            break;
        sample(now_ns() - strtoll(at + 4, NULL, 10));
        c->len -= (size_t)(end + 2 - c->in);
        memmove(c->in, end + 2, c->len + 1);
    }
}

/* Until the time is over, or *counter has reached `enough`. What stays at nothing gets more time:
 * on a machine that has much to do, all of it may pass before anybody's turn comes. */
static void run(int poller, int64_t until_ns, const size_t *counter, size_t enough,
                void (*on_ready)(struct conn *c))
{
    struct epoll_event ready[EVENTS_AT_ONCE];

    while (now_ns() < until_ns + (*counter ? 0 : FIRST_NS) && *counter < enough) {
        int n = epoll_wait(poller, ready, EVENTS_AT_ONCE, 100);

        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;

            if (c->fd >= 0)
                on_ready(c);
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double quantile_us(double q)
{
    return sample_count ? samples[(size_t)(q * (double)(sample_count - 1))] / 1000.0 : 0;
}

static long number(const char *text, long max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || n < 1 || n > max) {
        fprintf(stderr, "bench_load: %s is no number from 1 to %ld\n", text, max);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    bool is_streams = argc >= 5 && strcmp(argv[2], "streams") == 0;

    if (argc < 5 || (!is_streams && strcmp(argv[2], "post") != 0)) {
        fprintf(stderr, "usage: bench_load PORT post|streams CONNECTIONS SECONDS [COUNT]\n");
        return 2;
    }
    int port = (int)number(argv[1], 65535);
    int count = (int)number(argv[3], CONNECTIONS_MAX);
    int64_t seconds = number(argv[4], SECONDS_MAX);
    size_t answers = argc > 5 ? (size_t)number(argv[5], SAMPLES_MAX) : SIZE_MAX;
    int poller = epoll_create1(EPOLL_CLOEXEC);

    conns = calloc((size_t)count, sizeof(*conns));
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (!conns || !samples || poller < 0)
        fail("start");
    if (is_streams)
        request_len = (size_t)snprintf(request, sizeof(request),
                                       "GET /stream HTTP/1.1\r\nHost: localhost\r\n"
                                       "Accept: text/event-stream\r\n\r\n");
    else
        request_len = (size_t)snprintf(
            request, sizeof(request),
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            "application/json\r\nA2A-Version: 1.0\r\nContent-Length: %zu\r\n\r\n%s",
            sizeof(post_body) - 1, post_body);
    open_all(port, count, poller);
    for (int i = 0; i < count; i++)
        ask(&conns[i]);
    if (is_streams) {
        run(poller, now_ns() + HEADS_NS, &head_count, (size_t)count, on_head);
        if (head_count < (size_t)count) {
            fprintf(stderr, "bench_load: only %zu of %d streams were opened\n", head_count, count);
            return 1;
        }
        printf("open\n");
        (void)fflush(stdout);
    }
    int64_t from_ns = now_ns();
    run(poller, from_ns + seconds * 1000000000, &sample_count, answers,
        is_streams ? on_events : on_answer);
    double took = (double)(now_ns() - from_ns) / 1e9;
    qsort(samples, sample_count, sizeof(*samples), compare);
    printf("n=%zu seconds=%.3f p50_us=%.1f p99_us=%.1f max_us=%.1f errors=%llu\n", sample_count,
           took, quantile_us(0.5), quantile_us(0.99), quantile_us(1), (unsigned long long)errors);
    return 0;
}
