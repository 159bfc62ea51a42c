/*
 * One connection of a server and the exchange on it. Private to server/; handlers see server.h
 * only.
 *
 *          accept             head complete                answer handed over
 *   (none) -------> HEAD ------------------------> BUSY -----------------------> IDLE
 *                    ^    on_request, on_body ...        on_end(x, true)           |
 *                    +-------------------------------------------------------------+
 *                                             first byte
 *
 *   HEAD, BUSY -- refused, early or last answer --> LINGER -- EOF, enough, 2 s --> CLOSED
 *   any --------- reset, stalled, aborted, idle too long ------------------------> CLOSED
 *
 * Who drives: events (readable, writable, deadlines) and exchange_*() calls only note facts;
 * conn_run() looks at the facts and takes steps until there is none left. Calls from outside of
 * conn_run() queue one for the end of the turn (conn_kick), so that no callback of a handler ever
 * runs inside a call it made, and nothing is freed under anybody's feet: a closed conn goes to the
 * free list at the end of the turn.
 *
 * Memory: `in` and `out` hold blocks of the server's pools only while bytes are in them. What is
 * read goes to the server's scratch block first; only what is left over after conn_run() is copied
 * to a block of the connection's own.
 */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "base/buf.h"
#include "http/body.h"
#include "http/memo.h"
#include "http/request.h"
#include "http/write.h"
#include "server/server.h"
#include "server/tls.h"

#include <sys/uio.h>

enum {
    SERVER_MEMOS = 4,             /* heads remembered, 6 KiB each */
    SERVER_BACKLOG = 1024,        /* connections the kernel holds for us while accepting pauses */
    SERVER_ACCEPT_BATCH = 64,     /* per turn, so that a flood does not starve who is already in */
    SERVER_ACCEPT_RETRY_MS = 100, /* after running out of descriptors or memory */
    SERVER_TURN_MS = 5,           /* of one turn for the requests that one client sent ahead */
    SERVER_HANDSHAKE_TURN_US =
        5000, /* of one turn for all TLS handshakes: an RSA key signs in 1 ms */
    /* at the cap, when somebody else waits, one goes that is idle or without a whole head for */
    SERVER_YIELD_MS = 1000,
    SERVER_YIELD_HEAD_MS = 250,
    SERVER_KEEP_BLOCKS = 16,            /* free blocks of each pool kept warm */
    SERVER_IN_MIN = 16 * 1024,          /* bytes read at once, whatever max_head says */
    SERVER_ANSWER_HEAD_MAX = 72 * 1024, /* an agent's head of 64 KiB and what we add */
    SERVER_OUT_BYTES = SERVER_ANSWER_HEAD_MAX + EXCHANGE_WRITE_MAX + 1024, /* one block of output */
    SERVER_CORK_BYTES = 16 * 1024, /* pieces up to this leave together at the end of the turn */
    ACCESS_PATH_MAX = 160,         /* bytes of a path in the access line */
    ACCESS_METHOD_MAX = 16,
    PEER_TEXT_MAX = 64,
};

enum conn_state { CONN_IDLE = 0, CONN_HEAD, CONN_BUSY, CONN_LINGER, CONN_CLOSED };

struct conn;
struct collect;

struct exchange {
    struct conn *conn;
    void *user;
    uint64_t id;
    /* the server's (its scratch or a memo) inside on_request, `kept` after, or NULL */
    const struct http_request *head;
    void *kept;              /* heap copy of the head; owned */
    struct collect *collect; /* owned */
    struct http_body body;   /* of the request */
    size_t pending_bytes; /* decoded content at the front of conn->in that on_body has not taken */
    size_t pending_skip;  /* framing behind it that was already consumed by `body` */
    int64_t began_ms;
    int64_t bytes_out;         /* content of the answer */
    int64_t left;              /* of it still to come, with HTTP_BODY_LENGTH */
    int64_t given_length;      /* Content-Length the handler gave as a field, or -1 */
    int status;                /* 0 while no answer was begun */
    enum http_framing framing; /* of the answer */
    const char *outcome;       /* literal for the access line */
    uint8_t minor;
    bool is_head;    /* method HEAD */
    bool keep_alive; /* the client would like that */
    bool wants_continue;
    bool is_paused; /* on_body took less than it was given */
    bool end_told;  /* on_body_end was called */
    bool head_begun;
    bool head_done;
    bool has_date;
    bool has_body; /* body bytes of the answer go out (not HEAD, 204, 304) */
    bool is_finished;
    bool is_aborted;
    bool is_hung_up;    /* aborted, but politely: exchange_hang_up() */
    bool wants_drained; /* exchange_body() said false */
    bool is_stream;
    bool is_last;
    char method[ACCESS_METHOD_MAX];
    char path[ACCESS_PATH_MAX];
};

struct conn {
    struct server *server;
    struct list node; /* in server->conns */
    int fd;           /* owned */
    struct watch watch;
    enum conn_state state;
    struct buf in;  /* NULL, the server's scratch (inside conn_on_event only), or a pool's block */
    struct buf out; /* NULL, a pool's block, or own memory */
    size_t scanned; /* of an incomplete head */
    struct http_writer writer; /* of an answer's head in the making; into out */
    struct deadline deadline;
    struct deadline_class *deadline_class; /* that `deadline` is in */
    struct deadline write_deadline;
    struct deferred run_later;
    struct deferred free_later;
    size_t linger_bytes;
    struct tls_session *tls; /* owned; NULL: plain bytes (conn_tls.c) */
    bool is_shaking;         /* TLS, and the handshake is not done */
    bool is_running;
    bool out_is_own; /* out was malloc'ed for a big answer */
    bool is_blocked; /* the kernel takes no more output */
    bool read_eof;
    bool hangup_seen;
    bool is_shut;   /* our side has ended */
    bool is_broken; /* reading or writing failed for good */
    bool is_tcp;
    struct exchange x;
    struct sockaddr_storage peer;
    char peer_text[PEER_TEXT_MAX];
};

struct server {
    struct loop *loop;
    struct server_config cfg;
    const struct handler *handler;
    void *ctx;
    struct endpoint at;
    int listen_fd;
    struct watch listen_watch;
    struct timer accept_timer;
    bool accept_is_off; /* cap reached, or waiting for descriptors */
    bool accept_is_starved;
    bool uid_was_refused;
    uid_t refused_uid;
    bool owns_path; /* we made the Unix socket with this inode */
    dev_t path_dev;
    ino_t path_ino;
    bool is_last;
    bool closes_idle; /* a connection whose answer is out does not wait for another request */
    struct buf_pool in_pool;
    struct buf_pool out_pool;
    char *scratch;                   /* in_pool.block_bytes */
    struct http_request head;        /* scratch of conn_take_head() */
    struct http_request_memo *memos; /* SERVER_MEMOS; NULL until the first head */
    int64_t shake_turn;              /* the loop's turn that shake_us belongs to */
    int64_t shake_us;                /* spent with TLS handshakes */
    struct deadline_class head_class;
    struct deadline_class idle_class;
    struct deadline_class body_class;
    struct deadline_class linger_class;
    struct deadline_class write_class;
    struct list conns;
    struct list free_conns;
    struct server_stats stats;
};

/* ---- server.c ---- */
bool conn_is_idle(struct conn *c); /* no request, not even in the kernel's buffer */

/* ---- listener.c: accepting ---- */
int listener_start(struct server *s, struct err *err);
void listener_stop(struct server *s);
void listener_on_room(struct server *s); /* a connection has gone */

/* ---- bind.c: the listening socket ---- */
/* fills listen_fd, at, and the path's identity */
int listen_socket_open(struct server *s, struct err *err);
void listen_socket_close(struct server *s);

/* ---- conn.c: the life ---- */
/* takes fd on success */
int conn_open(struct server *s, int fd, const struct sockaddr_storage *peer, socklen_t peer_len);
void conn_run(struct conn *c);
void conn_kick(struct conn *c);                       /* conn_run soon */
void conn_destroy(struct conn *c);                    /* server_free: at once, memory and all */
void conn_on_deadline(struct deadline *d, void *arg); /* head, idle, body, linger */
void conn_on_write_deadline(struct deadline *d, void *arg);
void conn_linger(struct conn *c); /* after our last word: out leaves, then read and drop */
/* on_end(false); the connection lives on for our own answer */
void conn_fail_exchange(struct conn *c);
void conn_close(struct conn *c); /* no more traffic; the memory follows at the end of the turn */
void conn_on_readable(struct conn *c);

/* ---- conn_tls.c: what TLS adds to it; but for the first two, for connections with a session ----
 */
/* An event of one that is_shaking. True: done, look for input. */
bool conn_shake_hands(struct conn *c);
void conn_note_slow_handshake(struct conn *c);
bool conn_has_hidden_input(const struct conn *c); /* read already: no event will tell */
bool conn_is_midway(const struct conn *c);        /* in the handshake, or in a record */
void conn_part(struct conn *c); /* before closing on a clean end: close_notify, if there is room */

/* ---- conn_request.c: input to the handler ---- */
bool conn_take_head(struct conn *c); /* true: a step was taken, look again */
bool conn_feed_body(struct conn *c);
bool conn_body_is_here(const struct conn *c); /* the rest of the request's body is in `in` */
bool conn_skip_body(struct conn *c); /* drop that rest; false: it was not all there after all */

/* ---- conn_io.c: bytes in and out; the seam where TLS sits ---- */
long conn_read(struct conn *c, char *p, size_t n);                   /* > 0, 0 at EOF, -errno */
long conn_write(struct conn *c, const struct iovec *iov, int count); /* > 0 or -errno */
/* all of it: now, at the end of the turn (may_wait), when the peer takes it, or never (is_broken)
 */
void conn_send(struct conn *c, const struct slice *pieces, int count, bool may_wait);
void conn_flush(struct conn *c);
/* close_notify after all that was sent, with TLS. False: it waits for room, see is_blocked. */
bool conn_send_end(struct conn *c);
/* room for a head at the end of out: 0 or -ENOMEM */
int conn_out_begin(struct conn *c, struct http_writer *ret);
void conn_out_commit(struct conn *c, const struct http_writer *w);
void conn_out_release(struct conn *c);

/* ---- refuse.c: answers of the server itself ---- */
/* answer, then linger; ends an open exchange */
void conn_refuse(struct conn *c, const struct http_refusal *why);

/* ---- access.c ---- */
void access_begin(struct exchange *x, const struct http_request *r);
void access_line(struct exchange *x, bool complete);
void access_refused(struct conn *c, const struct http_refusal *why);

/* ---- exchange.c, collect.c ---- */
void exchange_begin(struct exchange *x, struct conn *c, const struct http_request *r);
void exchange_release(struct exchange *x); /* what it owns */
void collect_free(struct collect *collect);

#endif
