/*
 * The life of a connection (drawn in conn.h): events come in, conn_run takes steps, conn_settle
 * leaves it with as little as possible: no buffer while no bytes wait, one deadline, the fewest
 * changes of what is watched.
 *
 * Leaves to others: heads and bodies (conn_request.c), the answer (exchange.c), errors of our own
 * (refuse.c), the handshake (conn_tls.c).
 */
#include "server/conn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/banned.h"

/* ---- deadlines ---- */

static void conn_stop_deadline(struct conn *c)
{
    if (c->deadline_class)
        deadline_stop(c->deadline_class, &c->deadline);
    c->deadline_class = NULL;
}

static void conn_start_deadline(struct conn *c, struct deadline_class *class)
{
    conn_stop_deadline(c);
    c->deadline_class = class;
    deadline_start(class, &c->deadline);
}

/* ---- closing ---- */

static void conn_end_exchange(struct conn *c, bool complete)
{
    struct exchange *x = &c->x;
    struct server *s = c->server;
    int class = x->status / 100;

    assert(s->stats.busy > 0);
    s->stats.busy--;
    s->stats.by_class[class >= 1 && class <= 5 ? class : 0]++;
    if (complete)
        histogram_add(&s->stats.latency, (double)(loop_now_ms(s->loop) - x->began_ms) / 1000.0);
    access_line(x, complete);
    if (s->handler->on_end)
        s->handler->on_end(x, complete);
    exchange_release(x);
    x->head_begun = false;
    x->head_done = false;
}

void conn_fail_exchange(struct conn *c)
{
    c->state = CONN_HEAD;
    conn_end_exchange(c, false);
}

/* Back to the free list. At the end of the turn, when nobody up the stack looks at it any more. */
static void conn_recycle(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, free_later);
    struct server *s = c->server;

    deferred_cancel(&c->run_later);
    list_remove(&c->node);
    list_append(&s->free_conns, &c->node);
    s->stats.connections--;
    listener_on_room(s);
}

static void conn_shut(struct conn *c)
{
    struct server *s = c->server;

    watch_stop(&c->watch);
    tls_session_free(c->tls);
    c->tls = NULL;
    fd_close(&c->fd);
    conn_stop_deadline(c);
    deadline_stop(&s->write_class, &c->write_deadline);
    if (c->in.p == s->scratch)
        c->in = (struct buf){0};
    buf_return(&c->in, &s->in_pool);
    conn_out_release(c);
}

void conn_close(struct conn *c)
{
    bool was_busy = c->state == CONN_BUSY;

    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED; /* first: on_end may ask */
    if (c->tls && !was_busy)
        conn_part(c);
    conn_shut(c);
    if (was_busy)
        conn_end_exchange(c, false);
    loop_defer(c->server->loop, &c->free_later, conn_recycle);
}

/* So that what was sent so far cannot pass for a complete answer: the kernel throws away what waits
 * and resets; no close_notify. */
static void conn_reset(struct conn *c)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (c->is_tcp && c->fd >= 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once,
                         sizeof(at_once)); /* without it: a plain close */
    tls_session_free(c->tls);
    c->tls = NULL;
    conn_close(c);
}

/*
 * Our last word is said: once it has left, end our side, then read and drop for a while, since
 * closing on unread bytes would reset and destroy that word.
 */
void conn_linger(struct conn *c)
{
    c->state = CONN_LINGER;
    c->linger_bytes = 0;
    buf_clear(&c->in);
    conn_start_deadline(c, &c->server->linger_class);
}

static void conn_serve_linger(struct conn *c)
{
    if (!c->is_blocked)
        conn_flush(c);
    if (c->is_broken || c->out.len || (!c->is_shut && !conn_send_end(c)))
        return;
    if (!c->is_shut && shutdown(c->fd, SHUT_WR) < 0)
        c->read_eof = true; /* nobody is there */
    c->is_shut = true;
    if (c->read_eof)
        conn_close(c);
}

/* ---- steps ---- */

static void conn_await_request(struct conn *c)
{
    c->state = c->in.len ? CONN_HEAD : CONN_IDLE;
    conn_start_deadline(c, c->in.len ? &c->server->head_class : &c->server->idle_class);
}

/* The answer is with the kernel: one access line, then keep or close. */
static void conn_finish(struct conn *c)
{
    struct exchange *x = &c->x;
    bool is_last = x->is_last;
    bool asked_to_close = !x->keep_alive;
    bool read_all = conn_skip_body(c);

    c->state = CONN_IDLE;
    conn_end_exchange(c, true);
    if (!is_last && read_all && !(c->server->closes_idle && conn_is_idle(c)))
        conn_await_request(c);
    else if (asked_to_close && read_all && !c->in.len)
        conn_close(c); /* both sides are done: no need to wait for each other */
    else
        conn_linger(c);
}

/* A client that ended its side is gone when it was reading a stream, or when its request is not
 * whole; else it may wait for its answer. */
static bool conn_client_is_gone(const struct conn *c)
{
    const struct exchange *x = &c->x;

    if (x->is_stream && (c->read_eof || c->hangup_seen))
        return true;
    return c->read_eof && !x->body.done && !x->is_paused && !c->in.len;
}

static bool conn_serve(struct conn *c)
{
    struct exchange *x = &c->x;

    if (x->is_aborted && x->is_hung_up) {
        conn_fail_exchange(c);
        conn_linger(c);
        return true;
    }
    if (x->is_aborted) {
        conn_reset(c);
        return false;
    }
    if (!c->is_blocked)
        conn_flush(c);
    if (c->is_broken)
        return true;
    if (x->is_finished) {
        if (c->out.len)
            return false;
        conn_finish(c);
        return true;
    }
    if (x->wants_drained && !c->out.len) {
        x->wants_drained = false;
        if (c->server->handler->on_drained)
            c->server->handler->on_drained(x);
        return true;
    }
    if (conn_feed_body(c))
        return true;
    if (conn_client_is_gone(c))
        conn_close(c);
    return false;
}

/* One step; true when another may follow. */
static bool conn_step(struct conn *c)
{
    if (c->is_broken && c->state != CONN_CLOSED) {
        conn_close(c);
        return false;
    }
    switch (c->state) {
    case CONN_IDLE:
    case CONN_HEAD:
        return conn_take_head(c);
    case CONN_BUSY:
        return conn_serve(c);
    case CONN_LINGER:
        conn_serve_linger(c);
        return c->is_broken;
    case CONN_CLOSED:
        return false;
    }
    return false;
}

/* ---- what is left when no step is left ---- */

/* Bytes that nobody has taken yet move from the server's scratch to a block of our own; a block
 * without bytes goes back. */
static int settle_input(struct conn *c)
{
    struct server *s = c->server;
    struct buf own = {0};

    if (!c->in.len) {
        if (c->in.p == s->scratch)
            c->in = (struct buf){0};
        buf_return(&c->in, &s->in_pool);
        return 0;
    }
    if (c->in.p != s->scratch)
        return 0;
    if (buf_borrow(&own, &s->in_pool) != 0)
        return -ENOMEM;
    (void)buf_put(&own, c->in.p + c->in.start,
                  c->in.len); /* fits: blocks are as big as the scratch */
    c->in = own;
    return 0;
}

static bool wants_read(const struct conn *c)
{
    if (c->read_eof)
        return false;
    if (c->state != CONN_BUSY)
        return true;
    if (c->x.is_finished || (c->x.is_paused && !c->x.body.done))
        return false;
    return !c->in.p || buf_room(&c->in) > 0; /* requests sent ahead: up to one block */
}

static void settle_deadline(struct conn *c)
{
    const struct exchange *x = &c->x;

    if (c->state == CONN_HEAD && c->deadline_class != &c->server->head_class) {
        conn_start_deadline(c, &c->server->head_class);
    } else if (c->state == CONN_BUSY) {
        bool is_receiving = !x->body.done && !x->is_paused && !x->is_finished;

        if (!is_receiving)
            conn_stop_deadline(c);
        else if (c->deadline_class != &c->server->body_class)
            conn_start_deadline(c, &c->server->body_class);
    }
}

static void conn_run_later(struct deferred *d);

static void conn_settle(struct conn *c)
{
    int events = 0;

    if (settle_input(c) != 0) {
        log_warning(c->server->cfg.name, "no memory for a connection's input, closing it");
        conn_reset(c);
        return;
    }
    settle_deadline(c);
    if (wants_read(c))
        events |= WATCH_READ;
    else
        events |= c->read_eof || c->hangup_seen ? WATCH_ERROR : WATCH_HANGUP;
    if (c->is_blocked)
        events |= WATCH_WRITE;
    if (c->tls) {
        events = tls_session_watches(c->tls, events);
        if (wants_read(c) && conn_has_hidden_input(c))
            loop_defer(c->server->loop, &c->run_later, conn_run_later);
    }
    watch_set(&c->watch, events);
}

/* Has a client that sent many requests ahead had enough of this turn? The others, and the beats,
 * wait for its end. */
static bool conn_turn_is_over(const struct conn *c, int64_t *began_ms)
{
    if (c->state != CONN_HEAD)
        return false;
    if (*began_ms == 0)
        *began_ms = clock_mono_ms();
    return clock_mono_ms() - *began_ms >= SERVER_TURN_MS;
}

void conn_run(struct conn *c)
{
    int64_t began_ms = 0; /* of the second request: most turns have one */

    if (c->is_running)
        return;
    c->is_running = true;
    while (conn_step(c)) {
        if (c->x.is_finished && conn_turn_is_over(c, &began_ms)) {
            loop_defer(c->server->loop, &c->run_later, conn_run_later);
            break;
        }
    }
    if (!c->is_blocked)
        conn_flush(c); /* what the last step has put together */
    if (c->is_broken)
        conn_close(c);
    c->is_running = false;
    if (c->state != CONN_CLOSED)
        conn_settle(c);
}

static void conn_run_later(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, run_later);

    if (c->tls && wants_read(c) && conn_has_hidden_input(c))
        conn_on_readable(c);
    conn_run(c);
}

void conn_kick(struct conn *c)
{
    if (!c->is_running)
        loop_defer(c->server->loop, &c->run_later, conn_run_later);
}

/* ---- events ---- */

static void conn_on_lingering_bytes(struct conn *c, long n)
{
    buf_clear(&c->in);
    c->linger_bytes += (size_t)n;
    if (c->linger_bytes > SERVER_LINGER_BYTES)
        conn_close(c);
}

void conn_on_readable(struct conn *c)
{
    size_t room;
    char *p;
    long n;

    if (!c->in.p)
        c->in = (struct buf){.p = c->server->scratch, .cap = c->server->in_pool.block_bytes};
    p = buf_tail(&c->in, &room);
    n = conn_read(c, p, room);
    if (n == -EAGAIN)
        return;
    if (n < 0) {
        c->is_broken = true;
        return;
    }
    c->read_eof = n == 0;
    buf_added(&c->in, (size_t)n);
    if (c->state == CONN_LINGER)
        conn_on_lingering_bytes(c, n);
    else if (c->state == CONN_BUSY && c->deadline_class == &c->server->body_class)
        conn_start_deadline(c, &c->server->body_class);
}

/* Both directions are over (a reset, or a Unix peer that has closed): other than after a
 * half-close, nobody can read an answer. */
static bool is_hung_up(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd};

    return c->state != CONN_CLOSED && poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void conn_on_event(struct watch *w, int events)
{
    struct conn *c = w->arg;

    if (c->is_shaking) {
        if (!conn_shake_hands(c))
            return;
        events = WATCH_READ; /* a request may have come along with the client's last word */
    } else if (c->tls && tls_session_is_crossed(c->tls)) {
        events |= WATCH_WRITE | (wants_read(c) ? WATCH_READ : 0);
    }
    if (events & WATCH_WRITE)
        conn_flush(c);
    if (events & WATCH_READ)
        conn_on_readable(c);
    if (events & WATCH_HANGUP)
        c->hangup_seen = true;
    if ((c->read_eof || c->hangup_seen) && is_hung_up(c))
        c->is_broken = true;
    conn_run(c);
}

void conn_on_deadline(struct deadline *d, void *arg)
{
    static const struct http_refusal slow_head = {408, "the request head did not arrive in time"};
    static const struct http_refusal slow_body = {408, "the request body stopped arriving"};
    struct conn *c = container_of(d, struct conn, deadline);
    struct deadline_class *class = c->deadline_class;

    (void)arg;
    c->deadline_class = NULL;
    if (c->is_shaking)
        conn_note_slow_handshake(c);
    if (class == &c->server->head_class && c->in.len)
        conn_refuse(c, &slow_head);
    else if (class == &c->server->body_class)
        conn_refuse(c, &slow_body);
    else
        conn_close(c); /* idle, or silent since it was accepted, or lingered long enough */
    conn_run(c);
}

void conn_on_write_deadline(struct deadline *d, void *arg)
{
    struct conn *c = container_of(d, struct conn, write_deadline);

    (void)arg;
    if (c->state == CONN_BUSY && !c->x.outcome)
        c->x.outcome = "client_stalled";
    conn_reset(c);
}

/* ---- birth and death ---- */

static struct conn *conn_get(struct server *s)
{
    struct list *free_one = list_first(&s->free_conns);
    struct conn *c;

    if (free_one) {
        list_remove(free_one);
        c = container_of(free_one, struct conn, node);
        *c = (struct conn){.fd = -1};
    } else {
        c = calloc(1, sizeof(*c));
        if (!c)
            return NULL;
        c->fd = -1;
    }
    return c;
}

int conn_open(struct server *s, int fd, const struct sockaddr_storage *peer, socklen_t peer_len)
{
    struct conn *c = conn_get(s);
    int err;

    if (!c)
        return -ENOMEM;
    c->server = s;
    c->state = CONN_HEAD;
    c->is_tcp = s->at.kind == ENDPOINT_TCP;
    c->is_shaking = s->cfg.tls != NULL;
    c->peer = *peer;
    if (c->is_tcp)
        endpoint_peer_text((const struct sockaddr *)peer, peer_len, c->peer_text,
                           sizeof(c->peer_text));
    else
        memcpy(c->peer_text, "unix", sizeof("unix"));
    err = watch_start(&c->watch, s->loop, fd, WATCH_READ, conn_on_event, c);
    if (err < 0) {
        free(c);
        return err;
    }
    c->fd = fd;
    list_append(&s->conns, &c->node);
    s->stats.connections++;
    s->stats.connections_total++;
    conn_start_deadline(c, &s->head_class);
    return 0;
}

void conn_destroy(struct conn *c)
{
    conn_close(c);
    deferred_cancel(&c->run_later);
    deferred_cancel(&c->free_later);
    list_remove(&c->node);
    free(c);
}
