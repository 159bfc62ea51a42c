#include "support/raw_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "raw socket: %s: %s\n", what, strerror(errno));
    abort();
}

static long now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void raw_open(struct raw *r, const struct endpoint *to)
{
    *r = (struct raw){.fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    r->p = malloc(RAW_MAX + 1);
    if (r->fd < 0 || !r->p)
        die("socket");
    r->p[0] = '\0';
    if (connect(r->fd, (const struct sockaddr *)&to->sa, to->sa_len) < 0)
        die("connect");
    if (to->kind == ENDPOINT_TCP) /* what is sent in two calls shall arrive as two pieces, soon */
        (void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

void raw_close(struct raw *r)
{
    if (r->fd >= 0)
        (void)close(r->fd);
    r->fd = -1;
    free(r->p);
    r->p = NULL;
}

void raw_reset(struct raw *r)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    raw_close(r);
}

void raw_send(struct raw *r, struct slice bytes)
{
    while (bytes.n) {
        ssize_t n = send(r->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

        if (n < 0) {
            r->cut = true;
            return;
        }
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
}

void raw_sendz(struct raw *r, const char *text)
{
    raw_send(r, slice_of(text));
}

size_t raw_send_some(struct raw *r, struct slice bytes)
{
    ssize_t n = send(r->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);

    return n > 0 ? (size_t)n : 0;
}

void raw_shut(struct raw *r)
{
    (void)shutdown(r->fd, SHUT_WR);
}

/* One read of at most what fits before the deadline. False at the end of everything. */
static bool raw_read(struct raw *r, long deadline)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    long left = deadline - now_ms();
    ssize_t n;

    if (r->eof || r->reset || r->len == RAW_MAX || poll(&p, 1, left > 0 ? (int)left : 0) != 1)
        return false;
    n = recv(r->fd, r->p + r->len, RAW_MAX - r->len, 0);
    if (n > 0)
        r->len += (size_t)n;
    r->p[r->len] = '\0';
    r->eof = n == 0 && !r->cut;
    r->reset = n < 0 || (n == 0 && r->cut); /* the failed send has taken the error away */
    return n > 0;
}

bool raw_until(struct raw *r, const char *text)
{
    long deadline = now_ms() + RAW_WAIT_MS;

    while (!memmem(r->p, r->len, text, strlen(text))) {
        if (!raw_read(r, deadline))
            return false;
    }
    return true;
}

bool raw_until_bytes(struct raw *r, size_t n)
{
    long deadline = now_ms() + RAW_WAIT_MS;

    while (r->len < n) {
        if (!raw_read(r, deadline))
            return false;
    }
    return true;
}

bool raw_until_closed(struct raw *r)
{
    long deadline = now_ms() + RAW_WAIT_MS;

    while (raw_read(r, deadline)) {
        if (r->len == RAW_MAX)
            raw_drop(r);
    }
    return r->eof || r->reset;
}

void raw_drop(struct raw *r)
{
    r->len = 0;
    r->taken = 0;
    r->p[0] = '\0';
}

size_t raw_count(const struct raw *r, const char *text)
{
    size_t count = 0;
    const char *at = r->p;

    while ((at = memmem(at, r->len - (size_t)(at - r->p), text, strlen(text))) != NULL) {
        count++;
        at += strlen(text);
    }
    return count;
}

static size_t answer_length(const struct raw *r)
{
    const char *field = memmem(r->p, r->len, "Content-Length: ", 16);
    const char *head_end = memmem(r->p, r->len, "\r\n\r\n", 4);
    size_t n = 0;

    for (field = field && field < head_end ? field + 16 : NULL;
         field && *field >= '0' && *field <= '9'; field++)
        n = n * 10 + (size_t)(*field - '0');
    return n;
}

int raw_answer(struct raw *r, struct slice *ret_body)
{
    size_t head, body;

    memmove(r->p, r->p + r->taken, r->len - r->taken + 1);
    r->len -= r->taken;
    r->taken = 0;
    if (!raw_until(r, "\r\n\r\n") || r->len < 12)
        return -1;
    head = (size_t)((char *)memmem(r->p, r->len, "\r\n\r\n", 4) - r->p) + 4;
    body = answer_length(r);
    if (!raw_until_bytes(r, head + body))
        return -1;
    if (ret_body)
        *ret_body = (struct slice){r->p + head, body};
    r->taken = head + body;
    return (r->p[9] - '0') * 100 + (r->p[10] - '0') * 10 + (r->p[11] - '0');
}
