#include "support/fake_http.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONNECTIONS = 256, IN_MAX = 256 * 1024 }; /* at once */

struct conn {
    struct fake *fake;
    pthread_t thread;
    int fd;
    unsigned number;
};

struct fake {
    fake_fn *fn;
    void *arg;
    int fd;
    uint16_t port;
    bool is_stopping;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    struct conn conns[CONNECTIONS]; /* fd -1: its thread has ended, the place is free */
    unsigned conn_count;            /* places ever used */
    unsigned last_number;
};

const char *fake_field(const struct fake_request *rq, const char *name)
{
    static _Thread_local char value[2048];
    size_t n = strlen(name);

    for (const char *line = rq->head; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + n + 2, "\r"),
                           line + n + 2);
            return value;
        }
    }
    return NULL;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static void reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/* Whoever has cancelled its call has closed its connection. */
static bool is_abandoned(const struct conn *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* False: the connection is done with. */
static bool answer(struct conn *c, const struct fake_request *rq)
{
    struct fake *f = c->fake;
    struct fake_answer *a = calloc(1, sizeof(*a));
    char head[4096];
    bool keep = false;

    assert(a);
    a->status = 200;
    pthread_mutex_lock(&f->lock);
    if (is_abandoned(c)) { /* else a test would count it long after it was given up */
        pthread_mutex_unlock(&f->lock);
        free(a);
        return false;
    }
    f->fn(f->arg, rq, a);
    while (a->action == FAKE_HANG && !f->is_stopping)
        pthread_cond_wait(&f->stopping, &f->lock);
    pthread_mutex_unlock(&f->lock);
    size_t n = strlen(a->body);
    bool typed = a->fields && strcasestr(a->fields, "content-type:");
    switch (a->action) {
    case FAKE_ANSWER:
    case FAKE_CUT:
        (void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%s%sContent-Length: %zu\r\n\r\n",
                       a->status, a->fields ? a->fields : "",
                       typed ? "" : "Content-Type: application/json\r\n",
                       a->action == FAKE_CUT ? n + 100 : n);
        keep = send_all(c->fd, head, strlen(head)) && send_all(c->fd, a->body, n) &&
               a->action == FAKE_ANSWER;
        break;
    case FAKE_RAW:
        (void)send_all(c->fd, a->body, n);
        break;
    case FAKE_RESET:
        reset(c->fd);
        break;
    case FAKE_HANG:
    case FAKE_CLOSE:
        break;
    }
    free(a);
    return keep;
}

/* Reads one request; false at the end of the connection. */
static bool read_request(struct conn *c, char *in, struct fake_request *rq)
{
    size_t n = 0;
    size_t need = 0;
    char *body = NULL;

    for (;;) {
        ssize_t got = recv(c->fd, in + n, IN_MAX - 1 - n, 0);
        if (got <= 0 || in[0] == 0x16) /* the end, or a TLS hello, which we do not speak */
            return false;
        n += (size_t)got;
        in[n] = '\0';
        if (!body && (body = strstr(in, "\r\n\r\n")) != NULL) {
            const char *length = strcasestr(in, "\r\ncontent-length: ");
            body += 4;
            need = (size_t)(body - in);
            if (length && length < body)
                need += strtoul(length + 18, NULL, 10);
        }
        if (body && n >= need)
            break;
    }
    rq->connection = c->number;
    if (sscanf(in, "%7s %1023s", rq->method, rq->target) != 2)
        return false;
    char *fields = strstr(in, "\r\n") + 2;
    (void)snprintf(rq->head, sizeof(rq->head), "%.*s", (int)(body - fields), fields);
    rq->body = body;
    rq->body_bytes = need - (size_t)(body - in);
    return true;
}

static void *serve_conn(void *arg)
{
    struct conn *c = arg;
    struct fake_request *rq = calloc(1, sizeof(*rq));
    char *in = malloc(IN_MAX);

    assert(rq && in);
    while (read_request(c, in, rq) && answer(c, rq))
        ;
    free(in);
    free(rq);
    pthread_mutex_lock(&c->fake->lock);
    close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&c->fake->lock);
    return NULL;
}

/* A place, with the lock held; NULL: all are taken. */
static struct conn *place(struct fake *f)
{
    for (unsigned i = 0; i < f->conn_count; i++) {
        if (f->conns[i].fd < 0) {
            pthread_join(f->conns[i].thread, NULL); /* it has nothing more to do but to return */
            return &f->conns[i];
        }
    }
    return f->conn_count < CONNECTIONS ? &f->conns[f->conn_count++] : NULL;
}

static void *serve(void *arg)
{
    struct fake *f = arg;

    for (;;) {
        int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        pthread_mutex_lock(&f->lock);
        struct conn *c = f->is_stopping ? NULL : place(f);
        if (!c) {
            close(fd);
        } else {
            int one = 1; /* head and body leave in two writes: no waiting for the first one's ACK */
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            *c = (struct conn){.fake = f, .fd = fd, .number = ++f->last_number};
            int rc = pthread_create(&c->thread, NULL, serve_conn, c);
            assert(rc == 0);
        }
        pthread_mutex_unlock(&f->lock);
    }
}

static struct fake *open_at(const struct sockaddr *at, socklen_t len, fake_fn *fn, void *arg)
{
    struct fake *f = calloc(1, sizeof(*f));
    struct sockaddr_in bound = {0};
    socklen_t bound_len = sizeof(bound);

    assert(f);
    f->fn = fn;
    f->arg = arg;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->stopping, NULL);
    f->fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(f->fd, at, len);
    assert(rc == 0);
    rc = listen(f->fd, 64);
    assert(rc == 0);
    if (at->sa_family == AF_INET) {
        rc = getsockname(f->fd, (struct sockaddr *)&bound, &bound_len);
        assert(rc == 0);
        f->port = ntohs(bound.sin_port);
    }
    rc = pthread_create(&f->thread, NULL, serve, f);
    assert(rc == 0);
    return f;
}

struct fake *fake_open(fake_fn *fn, void *arg)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return open_at((struct sockaddr *)&at, sizeof(at), fn, arg);
}

struct fake *fake_open_unix(const char *path, fake_fn *fn, void *arg)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    (void)unlink(path);
    return open_at((struct sockaddr *)&at, sizeof(at), fn, arg);
}

uint16_t fake_port(const struct fake *f)
{
    return f->port;
}

void fake_lock(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
}

void fake_unlock(struct fake *f)
{
    pthread_mutex_unlock(&f->lock);
}

void fake_free(struct fake *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_broadcast(&f->stopping);
    pthread_mutex_unlock(&f->lock);
    (void)shutdown(f->fd, SHUT_RDWR); /* wakes accept */
    pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < f->conn_count; i++) {
        pthread_mutex_lock(&f->lock);
        if (f->conns[i].fd >= 0)
            (void)shutdown(f->conns[i].fd, SHUT_RDWR);
        pthread_mutex_unlock(&f->lock);
        pthread_join(f->conns[i].thread, NULL);
    }
    close(f->fd);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->stopping);
    free(f);
}
