/*
 * Opening, keeping and closing connections to the agent. What is said on them is pump.c's business.
 */
#include "proxy/upstream.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

struct upstream {
    struct list node; /* in one of the pool's lists */
    struct upstream_pool *pool;
    void *user; /* NULL while idle */
    int fd;     /* owned; -1 while spare */
    struct watch watch;
    struct deadline idle;
    bool is_connecting;
    bool is_v6_try;  /* the second address of "localhost" */
    int first_errno; /* why the first one failed; 0 = it is being tried */
};

static struct upstream *upstream_of(struct list *node)
{
    return container_of(node, struct upstream, node);
}

static void on_idle_deadline(struct deadline *d, void *arg)
{
    (void)arg;
    upstream_close(container_of(d, struct upstream, idle));
}

void upstream_pool_init(struct upstream_pool *pool, struct loop *l, const struct endpoint *at,
                        const struct upstream_events *events)
{
    *pool = (struct upstream_pool){.loop = l, .at = at, .events = events, .fresh_turn = -1};
    list_init(&pool->idle);
    list_init(&pool->fresh);
    list_init(&pool->busy);
    list_init(&pool->spare);
    deadline_class_init(&pool->idle_class, l, UPSTREAM_IDLE_MS, on_idle_deadline, NULL);
}

void upstream_expect_peer(struct upstream_pool *pool, uid_t uid)
{
    pool->checks_peer = pool->at->kind == ENDPOINT_UNIX;
    pool->peer_uid = uid;
}

void upstream_drop_idle(struct upstream_pool *pool)
{
    struct list *first;

    while ((first = list_first(&pool->fresh)) || (first = list_first(&pool->idle)))
        upstream_close(upstream_of(first));
}

void upstream_pool_release(struct upstream_pool *pool)
{
    struct list *first;

    if (!pool->loop)
        return;
    upstream_drop_idle(pool);
    assert(list_is_empty(&pool->busy));
    while ((first = list_first(&pool->spare))) {
        list_remove(first);
        free(upstream_of(first));
    }
    deadline_class_release(&pool->idle_class);
    pool->loop = NULL;
}

static struct upstream *upstream_get(struct upstream_pool *pool)
{
    struct list *first = list_first(&pool->spare);
    struct upstream *up;

    if (first) {
        list_remove(first);
        pool->spare_count--;
        up = upstream_of(first);
    } else {
        up = malloc(sizeof(*up));
        if (!up)
            return NULL;
    }
    *up = (struct upstream){.pool = pool, .fd = -1};
    list_init(&up->node);
    return up;
}

void upstream_close(struct upstream *up)
{
    struct upstream_pool *pool;

    if (!up)
        return;
    pool = up->pool;
    watch_stop(&up->watch);
    fd_close(&up->fd);
    if (!up->user && !list_is_empty(&up->node))
        pool->idle_count--;
    deadline_stop(&pool->idle_class, &up->idle);
    list_remove(&up->node);
    up->user = NULL;
    if (pool->spare_count >= UPSTREAM_SPARE_MAX) {
        free(up);
        return;
    }
    pool->spare_count++;
    list_prepend(&pool->spare, &up->node);
}

/* Those released in an earlier turn become usable. */
static void ripen(struct upstream_pool *pool)
{
    struct list *from = &pool->fresh;

    if (pool->fresh_turn == loop_turns(pool->loop) || list_is_empty(from))
        return;
    from->prev->next = pool->idle.next; /* the whole list in front of the others */
    pool->idle.next->prev = from->prev;
    pool->idle.next = from->next;
    from->next->prev = &pool->idle;
    list_init(from);
}

void upstream_release(struct upstream *up)
{
    struct upstream_pool *pool = up->pool;

    assert(up->user);
    if (pool->idle_count >= UPSTREAM_IDLE_MAX) {
        upstream_close(up);
        return;
    }
    ripen(pool);
    pool->fresh_turn = loop_turns(pool->loop);
    up->user = NULL;
    list_remove(&up->node);
    list_prepend(&pool->fresh, &up->node);
    pool->idle_count++;
    watch_set(&up->watch, WATCH_READ);
    deadline_start(&pool->idle_class, &up->idle);
}

static int start_connect(struct upstream *up);

/*
 * An address has failed with `code`: "localhost" has another. 0 connected, 1 connecting, or the
 * -errno of the two that tells more.
 */
static int try_other(struct upstream *up, int code)
{
    int rc;

    if (!up->pool->at->is_localhost)
        return code;
    if (up->first_errno)
        return -endpoint_localhost_errno(up->first_errno, -code);
    up->first_errno = -code;
    up->is_v6_try = !up->is_v6_try;
    rc = start_connect(up);
    return rc < 0 ? -endpoint_localhost_errno(-code, -rc) : rc;
}

/* The connection attempt has an end. */
static void finish_connect(struct upstream *up)
{
    const struct upstream_events *events = up->pool->events;
    void *user = up->user;
    int code = 0;
    socklen_t len = sizeof(code);

    if (getsockopt(up->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code == 0) {
        up->is_connecting = false;
        up->pool->prefers_v6 = up->is_v6_try;
        watch_set(&up->watch, WATCH_READ);
        events->on_connected(user, 0);
        return;
    }
    code = try_other(up, -code);
    if (code == 0)
        events->on_connected(user, 0);
    if (code >= 0)
        return; /* connected, or connecting again */
    upstream_close(up);
    events->on_connected(user, code);
}

static void on_event(struct watch *w, int events)
{
    struct upstream *up = w->arg;

    if (!up->user)
        upstream_close(up); /* bytes nobody asked for, or its end: never to be used again */
    else if (up->is_connecting)
        finish_connect(up);
    else
        up->pool->events->on_ready(up->user, events);
}

/* The address to try: for "localhost" the other family's loopback has the same port. */
static void address_of(const struct upstream *up, struct sockaddr_storage *sa, socklen_t *len)
{
    const struct endpoint *at = up->pool->at;

    *sa = at->sa;
    *len = at->sa_len;
    if (at->is_localhost && up->is_v6_try) {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                                   .sin6_port = htons(at->port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};

        memset(sa, 0, sizeof(*sa));
        memcpy(sa, &six, sizeof(six));
        *len = sizeof(six);
    }
}

static bool is_right_peer(const struct upstream *up)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    return getsockopt(up->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
           who.uid == up->pool->peer_uid;
}

/* 0 connected, 1 connecting, -errno. Closes an earlier attempt. */
static int start_connect(struct upstream *up)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int one = 1;
    int rc;

    watch_stop(&up->watch);
    fd_close(&up->fd);
    address_of(up, &sa, &len);
    up->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (up->fd < 0)
        return -errno;
    if (sa.ss_family != AF_UNIX) /* without it: slower, not wrong */
        (void)setsockopt(up->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(up->fd, (const struct sockaddr *)&sa, len) == 0)
        up->is_connecting = false;
    else if (errno == EINPROGRESS)
        up->is_connecting = true;
    else
        return -errno;
    if (up->pool->checks_peer && !is_right_peer(up)) /* a Unix socket: connected by now */
        return -EPERM;
    rc = watch_start(&up->watch, up->pool->loop, up->fd,
                     up->is_connecting ? WATCH_WRITE : WATCH_READ, on_event, up);
    return rc < 0 ? rc : up->is_connecting;
}

static int connect_fresh(struct upstream_pool *pool, void *user, struct upstream **ret)
{
    struct upstream *up = upstream_get(pool);
    int rc;

    if (!up)
        return -ENOMEM;
    up->user = user;
    list_append(&pool->busy, &up->node);
    up->is_v6_try = pool->at->is_localhost && pool->prefers_v6;
    rc = start_connect(up);
    if (rc < 0)
        rc = try_other(up, rc);
    if (rc < 0) {
        upstream_close(up);
        return rc;
    }
    pool->connects_total++;
    *ret = up;
    return rc;
}

int upstream_open(struct upstream_pool *pool, void *user, bool is_fresh, struct upstream **ret)
{
    struct upstream *up;

    if (pool->at->kind == ENDPOINT_NONE)
        return -EDESTADDRREQ;
    ripen(pool);
    if (is_fresh || list_is_empty(&pool->idle))
        return connect_fresh(pool, user, ret);
    up = upstream_of(list_first(&pool->idle));
    list_remove(&up->node);
    list_append(&pool->busy, &up->node);
    deadline_stop(&pool->idle_class, &up->idle);
    pool->idle_count--;
    up->user = user;
    pool->reused_total++;
    *ret = up;
    return 0;
}

int upstream_fd(const struct upstream *up)
{
    return up->fd;
}

bool upstream_is_unix(const struct upstream *up)
{
    return up->pool->at->kind == ENDPOINT_UNIX;
}

void upstream_watch(struct upstream *up, int events)
{
    watch_set(&up->watch, events);
}

bool upstream_is_gone(int code)
{
    return code == -ENOENT || code == -ECONNREFUSED;
}

bool upstream_is_absent(int code)
{
    return upstream_is_gone(code) || code == -EAGAIN || code == -ETIMEDOUT || code == -ECONNRESET;
}

/* Whose socket is it, and who are we? */
static void explain_access(const struct endpoint *at, struct err *ret)
{
    struct stat st;

    if (stat(endpoint_unix_path(at), &st) < 0)
        (void)err_set(ret, -EACCES,
                      "cannot connect to %s (agent.address): permission denied: we (uid %u) may "
                      "not enter its directory; give it mode 0750 and a group we are in",
                      at->text, (unsigned)geteuid());
    else
        (void)err_set(ret, -EACCES,
                      "cannot connect to %s (agent.address): permission denied: mode %04o, owner "
                      "%u:%u, we are uid %u; let the agent make it with mode 0660 and a group we "
                      "are in, or run both as one user",
                      at->text, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid,
                      (unsigned)st.st_gid, (unsigned)geteuid());
}

void upstream_explain(const struct endpoint *at, int code, struct err *ret)
{
    const char *why = NULL;

    if (code == -EACCES && at->kind == ENDPOINT_UNIX) {
        explain_access(at, ret);
        return;
    }
    if (code == -ENOENT)
        why = "there is no such socket (yet)";
    else if (code == -ECONNREFUSED)
        why = at->kind == ENDPOINT_UNIX ? "the socket is there, but nobody listens on it"
                                        : "connection refused: nobody listens there";
    else if (code == -EAGAIN)
        why = "the agent accepts no connections: its backlog is full";
    else if (code == -ETIMEDOUT)
        why =
            "nothing answers: the agent accepts no connections (its backlog is full), or its host "
            "is not there";
    else if (code == -EPERM && at->kind == ENDPOINT_UNIX)
        why = "who listens there is not the user of agent.user";
    else if (code == -EDESTADDRREQ)
        why = "no address is configured";
    errno = -code;
    if (why)
        (void)err_set(ret, code, "cannot connect to %s (agent.address): %s", at->text, why);
    else
        (void)err_set(ret, code, "cannot connect to %s (agent.address): %m", at->text);
}
