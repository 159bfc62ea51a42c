/*
 * An HTTP/1.1 server on one address: listener, connections, deadlines, limits. What to answer is a
 * handler's business: the A2A proxy, the admin port, the local sockets and the development platform
 * are handlers of it.
 *
 * The life of a request, top to bottom:
 *
 *   listener_on_accept      connection cap: accepting pauses
 *   conn_on_readable        head deadline: 408; head over max_head: 431; garbage: 400; each closes
 *   http_request_parse      malformed or ambiguous framing: 400 and close
 *   handler->on_request     answers at once, or keeps the exchange and answers later
 *   handler->on_body ...    decoded bytes, with back-pressure; on_body_end
 *   exchange_* calls        the answer
 *   conn_finish             keep or close, one access line, counters
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/window.h"
#include "http/request.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server;
struct tls_context; /* server/tls.h */
struct exchange; /* one request and its answer; owned by the server, freed after on_end returned */

enum {
    EXCHANGE_WRITE_MAX = 64 * 1024, /* bytes per exchange_body() call */
    /* reading and dropping after a final error, so that a reset does not destroy the answer */
    SERVER_LINGER_MS = 2000,
    SERVER_LINGER_BYTES = 256 * 1024,
};

/*
 * The callbacks of whoever answers. ctx is what server_open was given. All but on_request may be
 * NULL. None is ever called from inside an exchange_*() call: what such a call leads to happens
 * after the callback that made it has returned, or at the end of the loop's turn.
 */
struct handler {
    /*
     * The head is complete and valid. exchange_request(x) is valid until this returns (see
     * exchange_keep_head).
     */
    void (*on_request)(void *ctx, struct exchange *x);
    /*
     * Decoded body bytes. Returns how many were taken; fewer than given pauses reading until
     * exchange_resume_body(). NULL: body is dropped. Bytes that came with the head follow
     * on_request at once. Not called any more after exchange_finish() or _abort().
     */
    size_t (*on_body)(struct exchange *x, struct slice bytes);
    /* The body is whole: once, also for a request without one. Not after exchange_finish(). */
    void (*on_body_end)(struct exchange *x);
    /* After exchange_body() returned false: the waiting bytes have left. */
    void (*on_drained)(struct exchange *x);
    /* Always the last call for x, exactly once. complete: the answer was handed to the kernel
     * whole. Not complete: the client is gone, stalled, or broke its request. Let go of x here.
     * Called also after exchange_abort(). */
    void (*on_end)(struct exchange *x, bool complete);
};

struct server_config {
    const char *name; /* "a2a", "admin", ...: in logs and metrics */
    struct endpoint at;
    /* a listening socket to use instead of binding `at` (socket activation); -1 for none */
    int inherited_fd;
    mode_t socket_mode; /* Unix sockets: 0600 */
    /* Unix sockets: peers that may connect (SO_PEERCRED); NULL = no check. Borrowed */
    const uid_t *allow_uids;
    size_t allow_uid_count;
    /* accepting pauses above, until one closes or has sent no whole head for a second */
    size_t max_connections;
    size_t max_head_bytes;
    int64_t max_body_bytes; /* 413; 0 = no limit */
    /* from the first byte (or accept, a TLS handshake included) to a complete head: 408 */
    int64_t head_timeout_ms;
    int64_t idle_timeout_ms;  /* kept connection without a request */
    int64_t body_timeout_ms;  /* between two reads of a body: 408 */
    int64_t write_timeout_ms; /* a client that takes nothing for so long is dropped */
    /* NULL: plain HTTP. Borrowed: longer than the server */
    struct tls_context *tls;
    bool access_log; /* one info line per request */
    bool is_quiet;   /* success lines at debug: probes */
};
/* design section 5 and A section 10.7; inherited_fd -1 */
void server_config_defaults(struct server_config *c);

struct server_stats {
    uint64_t connections_total;
    uint64_t requests_total;
    /* requests whose peer is not this machine: nobody else can notice that we leave */
    uint64_t outside_total;
    uint64_t refused_total; /* 400-class answers made by the server itself */
    /* handshakes that worked, and that did not: plain HTTP and too slow ones included */
    uint64_t tls_total, tls_failed_total;
    uint64_t bytes_in, bytes_out;
    size_t connections; /* now */
    size_t busy;        /* with an exchange now */
    uint64_t accept_paused_total;
    uint64_t by_class[6];     /* answers by status / 100; [0] = none sent */
    struct histogram latency; /* request head complete to answer complete, finished ones */
};

/*
 * Bind and listen. A Unix path that is in the way is tested by connecting: refused and a socket =
 * stale, removed; answered = -EADDRINUSE; not a socket = -EEXIST, untouched. Missing directory,
 * taken port, missing rights: each a sentence with the fix. cfg is copied; handler and ctx are
 * borrowed.
 */
int server_open(struct loop *l, const struct server_config *cfg, const struct handler *handler,
                void *ctx, struct server **ret, struct err *err);
const struct endpoint *server_address(const struct server *s); /* with the real port */
int server_listen_fd(const struct server *s);
const struct server_stats *server_stats(const struct server *s);
/* on: every answer carries Connection: close (draining) */
void server_set_last(struct server *s, bool on);
void server_stop_accepting(struct server *s); /* closes the listener */
/*
 * Closes connections without an exchange, and from now on, until server_set_last(), those whose
 * exchange ends, also when its head said nothing of it.
 */
void server_close_idle(struct server *s);
/*
 * Closes everything at once: on_end(x, false) for what is open; removes a Unix socket it made. Not
 * from a callback of its handler.
 */
void server_free(struct server *s);

/* ---- the exchange, for handlers ---- */
void exchange_set_user(struct exchange *x, void *user);
void *exchange_user(const struct exchange *x);
void *exchange_ctx(const struct exchange *x); /* the server's ctx */
struct loop *exchange_loop(const struct exchange *x);
/* unique in the process; in the access line as id */
uint64_t exchange_id(const struct exchange *x);
const char *exchange_peer(const struct exchange *x); /* "127.0.0.1", "unix" */
const struct sockaddr_storage *exchange_peer_sa(const struct exchange *x);
bool exchange_peer_is_loopback(const struct exchange *x);
bool exchange_is_tls(const struct exchange *x);
/*
 * The verified TLS client as the value of an X-Forwarded-Client-Cert field (tls_session_client);
 * empty when none was asked for.
 */
struct slice exchange_client(const struct exchange *x);
int exchange_minor(const struct exchange *x); /* of the client's HTTP/1.x */
/* For people, as in the access line: without the query, cut; "" when there are no access lines. */
const char *exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x);
bool exchange_is_head(const struct exchange *x);

/*
 * Valid inside on_request; afterwards only when exchange_keep_head() was called (a heap copy that
 * lives as long as x).
 */
const struct http_request *exchange_request(const struct exchange *x);
int exchange_keep_head(struct exchange *x); /* 0 or -ENOMEM */

/* on_body may take more now; calls it again from the loop */
void exchange_resume_body(struct exchange *x);
bool exchange_body_seen(const struct exchange *x); /* the request's body has ended */

/*
 * A whole answer. fields are extra ones. Refuses to be called twice. Content-Length is set; HEAD
 * gets no body.
 */
struct answer_field {
    const char *name;
    struct slice value;
};
void exchange_answer(struct exchange *x, int status, const char *content_type,
                     const struct answer_field *fields, size_t field_count, struct slice body);
void exchange_answer_json(struct exchange *x, int status, struct slice json);

/*
 * A streamed answer: begin, fields, end of head, body..., finish. What is put together in one turn
 * of the loop leaves in one write: at exchange_finish(), with a piece of more than 16 KiB, at
 * exchange_flush(), or at the end of the turn, whichever is first. An answer whose head ends before
 * the request's body has arrived closes the connection.
 */
void exchange_head_begin(struct exchange *x, int status, struct slice reason);
/*
 * Connection, Keep-Alive and Transfer-Encoding are dropped, they are the server's to decide;
 * Content-Length counts only with HTTP_BODY_NONE in an answer to HEAD or a 304.
 */
void exchange_head_field(struct exchange *x, struct slice name, struct slice value);
void exchange_head_relay(struct exchange *x, const struct http_field *f); /* of a parsed head */
/*
 * framing: HTTP_BODY_LENGTH with length, CHUNKED (close-delimited by itself for HTTP/1.0), or NONE.
 * Adds framing, Connection and, when missing, Date. 0, or -E2BIG: nothing was kept, another head
 * may be begun.
 */
int exchange_head_end(struct exchange *x, enum http_framing framing, int64_t length);
/* 1xx, HTTP/1.1 clients only */
void exchange_interim(struct exchange *x, int status, const struct http_field *fields,
                      size_t field_count);
/* Takes all of `bytes` (at most EXCHANGE_WRITE_MAX). false: stop until on_drained. */
bool exchange_body(struct exchange *x, struct slice bytes);
void exchange_flush(struct exchange *x);
void exchange_finish(struct exchange *x); /* the clean end */
/*
 * The connection dies without a clean end: never looks like a complete answer. exchange_finish()
 * before the promised length was given is the same.
 */
void exchange_abort(struct exchange *x);
/*
 * No answer at all: our side of the connection ends in order (FIN), what the client still sends is
 * read and dropped for a while, earlier answers on the connection arrive. To the client: the server
 * took the connection and closed it without a byte. After a head was begun: exchange_abort().
 */
void exchange_hang_up(struct exchange *x);
/* an answer has begun: only finish or abort are left */
bool exchange_head_sent(const struct exchange *x);
/* a read-EOF of the client now means it is gone (A section 10.6) */
void exchange_set_stream(struct exchange *x, bool on);
void exchange_set_last(struct exchange *x); /* close the connection after this answer */
/* a literal for the access line: "agent_unavailable", "card", ... */
void exchange_note(struct exchange *x, const char *outcome);

/* ---- for handlers that want the whole body first ---- */
/*
 * Keeps the head, gathers at most max_bytes (more: 413), then calls fn once. Use inside on_request,
 * with collect_on_body/_body_end/_end in the handler table.
 */
typedef void collect_fn(struct exchange *x, struct slice body);
void exchange_collect(struct exchange *x, size_t max_bytes, collect_fn *fn);
size_t collect_on_body(struct exchange *x, struct slice bytes);
void collect_on_body_end(struct exchange *x);
void collect_on_end(struct exchange *x, bool complete);

#endif
