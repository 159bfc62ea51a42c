/*
 * What TLS adds to the life of a connection: the handshake before it, close_notify behind it, and
 * input that OpenSSL has read already, of which no event tells. Everything in between is the same
 * for all connections; conn_io.c reads and writes.
 *
 *   accept --> first byte --> handshake --> as in conn.h
 *                  |              +-------> LINGER, after the alert
 *                  +--> it is plain HTTP: 400 in plain HTTP
 *
 * All of it within the head deadline that began with accept.
 */
#include "server/conn.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/banned.h"

/* ---- the handshake ---- */

/* One line like that of a refused request. */
static void note_failure(struct conn *c, const char *reason)
{
    const struct log_field fields[] = {
        LOG_STR("peer", c->peer_text),
        LOG_STR("outcome", "no_handshake"),
        LOG_STR("reason", reason),
    };

    c->server->stats.tls_failed_total++;
    if (c->server->cfg.access_log && log_wants(LOG_INFO))
        log_event(LOG_INFO, c->server->cfg.name, fields, sizeof(fields) / sizeof(fields[0]),
                  "TLS handshake failed");
}

void conn_note_slow_handshake(struct conn *c)
{
    if (c->is_shaking && c->tls)
        note_failure(c, "it was not done in time");
}

/* The session goes, the descriptor stays: for our last word to get through, what the client still
 * sends is read and dropped. */
static void conn_drop_tls(struct conn *c)
{
    tls_session_free(c->tls);
    c->tls = NULL;
    c->is_shaking = false;
}

static void conn_answer_plain(struct conn *c)
{
    static const struct http_refusal why = {
        400, "this port expects TLS; use https:// instead of http://"};

    conn_drop_tls(c);
    c->server->stats.tls_failed_total++;
    conn_on_readable(c);
    conn_refuse(c, &why);
    conn_run(c);
}

/* A request line begins with a letter, a TLS record with its type, which is none. */
static bool is_http(char first)
{
    return (first >= 'A' && first <= 'Z') || first == '\r' || first == '\n';
}

/* False: not yet, or it turned out that there is nothing to begin. */
static bool conn_begin_tls(struct conn *c)
{
    char first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0 && is_http(first)) {
        conn_answer_plain(c);
        return false;
    }
    if (n > 0)
        c->tls = tls_session_new(c->server->cfg.tls, c->fd);
    if (!c->tls)
        conn_close(c); /* gone without a word, or no memory */
    return c->tls != NULL;
}

/* Signing takes a millisecond and more with RSA: a crowd of greetings waits for the next turn, so
 * that requests and beats come in between. */
static bool conn_must_wait(const struct server *s)
{
    return s->shake_turn == loop_turns(s->loop) && s->shake_us >= SERVER_HANDSHAKE_TURN_US;
}

static int conn_step_handshake(struct conn *c, char reason[TLS_REASON_MAX])
{
    struct server *s = c->server;
    int64_t began_us = clock_mono_us();
    int code = tls_session_handshake(c->tls, reason);

    if (s->shake_turn != loop_turns(s->loop))
        s->shake_us = 0;
    s->shake_turn = loop_turns(s->loop);
    s->shake_us += clock_mono_us() - began_us;
    return code;
}

bool conn_shake_hands(struct conn *c)
{
    char reason[TLS_REASON_MAX];
    int code;

    if (conn_must_wait(c->server) || (!c->tls && !conn_begin_tls(c)))
        return false; /* level-triggered: the event comes again */
    code = conn_step_handshake(c, reason);
    if (code == -EAGAIN) {
        watch_set(&c->watch, tls_session_waits(c->tls));
        return false;
    }
    if (code < 0) {
        note_failure(c, reason);
        conn_drop_tls(c);
        conn_linger(c);
        conn_run(c);
        return false;
    }
    c->is_shaking = false;
    c->server->stats.tls_total++;
    return true;
}

/* ---- in between ---- */

/* LINGER reads from the descriptor itself. */
bool conn_has_hidden_input(const struct conn *c)
{
    return c->state != CONN_LINGER && !c->is_shaking && tls_session_has_input(c->tls);
}

bool conn_is_midway(const struct conn *c)
{
    return c->is_shaking || tls_session_is_midway(c->tls);
}

/* ---- the end ---- */

void conn_part(struct conn *c)
{
    bool all_said = !c->is_shaking && !c->is_broken && !c->is_blocked && !c->out.len;

    if (all_said && !c->is_shut)
        (void)tls_session_end(c->tls); /* without room for it the client sees just the end */
}
