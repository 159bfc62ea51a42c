/*
 * The agent of the benchmarks: as fast as one core can be, so that what is measured is the
 * forwarder in front. Listens on a Unix socket. Answers every request with the same small JSON
 * message; GET /stream opens an event stream with one event of 300 bytes a second, which carries
 * the time it was sent at.
 *
 *   bench_agent SOCKET
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    IN_BYTES = 16 * 1024,
    EVENT_BYTES = 300,
    EVENTS_AT_ONCE = 128,
    BACKLOG = 4096,
};

struct conn {
    int fd;
    bool is_stream;
    size_t len;
    char in[IN_BYTES];
};

static struct conn *conns[CONNECTIONS_MAX]; /* by descriptor */
static int poller;

static const char answer_body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\",\"messageId\":\"7d3f\","
    "\"role\":\"agent\",\"parts\":[{\"kind\":\"text\",\"text\":\"the answer of the benchmark, "
    "00000000\"}]}}";
static char answer[1024];
static size_t answer_len;
static char *answer_number; /* eight digits in it: no two answers are equal, and all are as long */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(struct conn *c)
{
    close(c->fd);
    conns[c->fd] = NULL;
    free(c);
}

static void say(struct conn *c, const char *bytes, size_t n)
{
    /* A full socket would mean that the forwarder does not read: it loses the connection. */
    if (send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
        shutdown(c->fd, SHUT_RDWR);
}

static void give_answer(struct conn *c)
{
    for (char *digit = answer_number + 7; digit >= answer_number && ++*digit > '9'; digit--)
        *digit = '0';
    say(c, answer, answer_len);
}

static void begin_stream(struct conn *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

    c->is_stream = true;
    say(c, head, sizeof(head) - 1);
}

static void tell_streams(void)
{
    char event[EVENT_BYTES + 1];
    char chunk[EVENT_BYTES + 32];
    struct timespec now;
    int n;

    for (int fd = 0; fd < CONNECTIONS_MAX; fd++) {
        if (!conns[fd] || !conns[fd]->is_stream)
            continue;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        n = snprintf(event, sizeof(event), "data: {\"t\":%lld,\"pad\":\"",
                     (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
        memset(event + n, 'x', (size_t)(EVENT_BYTES - n));
        memcpy(event + EVENT_BYTES - 4, "\"}\n\n", 4);
        event[EVENT_BYTES] = '\0';
        n = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", EVENT_BYTES, event);
        say(conns[fd], chunk, (size_t)n);
    }
}

/* The bytes of the request at the front of `in`, or 0 while it is not whole. */
static size_t request_bytes(const struct conn *c)
{
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    const char *length;
    size_t total;

    if (!end)
        return 0;
    total = (size_t)(end - c->in) + 4;
    length = memmem(c->in, total, "ontent-", 7);
    while (length && strncasecmp(length, "ontent-length:", 14) != 0)
        length = memmem(length + 1, total - (size_t)(length + 1 - c->in), "ontent-", 7);
    if (length)
        total += strtoul(length + 14, NULL, 10);
    return total <= c->len ? total : 0;
}

static void on_readable(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, MSG_DONTWAIT);
    size_t whole;

    if (n <= 0 && errno != EAGAIN) {
        drop(c);
        return;
    }
    c->len += n > 0 ? (size_t)n : 0;
    c->in[c->len] = '\0';
    while ((whole = request_bytes(c)) > 0) {
        if (strncmp(c->in, "GET /stream", 11) == 0)
            begin_stream(c);
        else
            give_answer(c);
        c->len -= whole;
        memmove(c->in, c->in + whole, c->len + 1);
    }
    if (c->len == sizeof(c->in) - 1)
        drop(c);
}

static void on_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX || !(conns[fd] = calloc(1, sizeof(*conns[fd])))) {
        close(fd);
        return;
    }
    conns[fd]->fd = fd;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
        drop(conns[fd]);
}

static int listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
        fail(path);
    return fd;
}

static int tick_each_second(void)
{
    struct itimerspec second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0 || timerfd_settime(fd, 0, &second, NULL) < 0)
        fail("timerfd");
    return fd;
}

static void poll_add(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
        fail("epoll_ctl");
}

int main(int argc, char **argv)
{
    struct epoll_event ready[EVENTS_AT_ONCE];
    uint64_t ticks;
    int listener, clock;

    if (argc != 2) {
        fprintf(stderr, "usage: bench_agent SOCKET\n");
        return 2;
    }
    answer_len = (size_t)snprintf(answer, sizeof(answer),
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  sizeof(answer_body) - 1, answer_body);
    answer_number = strstr(answer, "00000000");
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_at(argv[1]);
    clock = tick_each_second();
    poll_add(listener);
    poll_add(clock);
    for (;;) {
        int n = epoll_wait(poller, ready, EVENTS_AT_ONCE, -1);

        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;

            if (fd == listener)
                on_accept(listener);
            else if (fd == clock && read(clock, &ticks, sizeof(ticks)) > 0)
                tell_streams();
            else if (fd != clock && conns[fd])
                on_readable(conns[fd]);
        }
    }
}
