/*
 * What the files of proxy/ share: the proxy and one request on its way. Private to proxy/.
 *
 *            gate WAIT, nobody there, or no place (forward.max_in_flight)
 *   (new) ------------------------------> HELD
 *     |                                    |  its turn: the gate opens, a place is free, or it is
 *     |  gate OPEN, place free             v  time to look again
 *     +--------------------------------> QUEUED --- end of turn ---> CONNECTING
 *                                                                        |
 *            answered or aborted   RELAYING <--- head of the answer --- SENT
 *   (gone) <------- DONE <-------------+
 *     on_end
 */
#ifndef PROXY_STATE_H
#define PROXY_STATE_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "http/body.h"
#include "http/memo.h"
#include "http/response.h"
#include "proxy/bearer.h"
#include "proxy/card_url.h"
#include "proxy/errors.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "proxy/sources.h"
#include "proxy/sse.h"
#include "proxy/stream_watch.h"
#include "proxy/turns.h"
#include "proxy/upstream.h"

enum {
    PUMP_READ_BYTES = EXCHANGE_WRITE_MAX, /* read from the agent at once */
    PUMP_READS_PER_EVENT = 4,             /* then others have their turn */
    PUMP_BLOCK_EXTRA = 32 * 1024, /* of a block, beyond max_head: our fields and a small body */
    PUMP_BLOCKS_KEPT = 128,       /* free blocks kept warm; only touched pages cost memory */
    PUMP_SPARE_MAX = 256,         /* pumps kept for reuse */
    PUMP_RESERVE = 2 * HTTP_CHUNK_HEAD_RESERVE, /* bytes of a block that body content leaves free */
    PUMP_DIRECT_BYTES = 8 * 1024, /* pieces from this size on go out without being copied */
    PUMP_INTERIM_MAX = 16,        /* 1xx answers per request; more is a broken agent */
    PUMP_STALL_MS = 60 * 1000,    /* an agent that takes no byte for so long is given up */
    PUMP_CONNECT_MS = 1000,       /* TCP: no answer to a SYN on this machine means trouble */
    PUMP_CARD_MS = 2000,          /* a card fetch; probes ask with a timeout of 5 s */
    HOLD_RETRY_MIN_MS = 10,       /* between two looks for an agent that is not there */
    HOLD_RETRY_MAX_MS = 200,
    HOLD_TURN_MAX = 32,      /* held requests that go in one turn: about 1 ms; others wait for us */
    HOLD_FOLLOWERS = 2,      /* held requests that go because one was let in */
    STREAM_FINISH_MS = 2000, /* an agent's time to end a finished stream itself, while draining */
    FAILURE_LOG_MS = 60 * 1000, /* the same sentence is logged once in this time */
    FAILURE_LOG_BURST = 5,      /* different ones: so many in a second, the rest is counted only */
};

enum pump_state {
    PUMP_QUEUED = 0, /* to be sent at the end of this turn */
    PUMP_HELD,       /* waits for the agent */
    PUMP_CONNECTING,
    PUMP_SENT,     /* the agent has the request, or is getting it; no answer yet */
    PUMP_RELAYING, /* the answer's head is out */
    PUMP_DONE,     /* nothing is left but on_end */
};

/* How a request ended, for the counters. */
enum outcome {
    OUTCOME_NONE = 0, /* decided by on_end: ok or client gone */
    OUTCOME_AGENT_UNAVAILABLE,
    OUTCOME_CONNECTION_LOST,
    OUTCOME_BAD_RESPONSE,
    OUTCOME_TIMEOUT,
    OUTCOME_PAUSED,
    OUTCOME_DRAINING,
    OUTCOME_OVERLOADED,
    OUTCOME_REFUSED,
    OUTCOME_LOCAL,
};

struct card_fetch;    /* card_fetch.c: what a request for the card needs beside a pump */
struct card_extended; /* card_extended.c: the same for an extended card */
struct pump;

/* Takes the agent's answer before the client gets anything: cards, whose bytes change. */
struct answer_hook {
    /* The final head. True: it is ours; false: relay it as it is, the hook has let go. */
    bool (*on_head)(struct pump *u, const struct http_response *r);
    void (*on_body)(struct pump *u, struct slice bytes);
    void (*on_complete)(struct pump *u); /* answer now */
};

struct pump {
    struct list node;   /* in proxy->queue, proxy->held or proxy->spare */
    struct list flight; /* in proxy->flight from PUMP_SENT on */
    struct list way;    /* in proxy->on_way: let in, and its work is in no other list */
    struct proxy *proxy;
    struct exchange *x;    /* the server's; lives until on_end; NULL: see share */
    uint64_t order;        /* of arrival */
    struct turn_peer peer; /* of a leader, which has no x to ask */
    struct upstream *up;
    enum pump_state state;
    enum outcome outcome;

    /* towards the agent */
    struct buf out;    /* head and body; kept until the answer begins, for the id and a retry */
    size_t out_sent;   /* bytes of out that have left */
    size_t peek_at;    /* where in out the body begins ... */
    size_t peek_n;     /* ... and how many contiguous bytes of it are there */
    struct slice id;   /* found when those bytes had to go; points to id_copy */
    bool peek_is_over; /* no more body bytes join the peek */
    bool is_json_rpc;
    bool is_chunked;    /* our framing of the body */
    bool is_whole;      /* the request's last byte is in out or gone */
    bool client_paused; /* on_body took less than it was offered */
    bool is_blocked;    /* the agent takes no more for now */
    bool is_write_over; /* it never will: what still comes is dropped */
    bool was_retried;
    bool has_sent; /* a byte of this request went out on this connection */

    /* from the agent */
    struct buf in;  /* a head that came in pieces */
    size_t scanned; /* of it */
    struct http_body body;
    struct sse sse;
    struct stream_watch watch;
    unsigned interim_count;
    int status;
    bool to_head;     /* the request was a HEAD */
    bool is_reusable; /* the connection, after this answer */
    bool is_stream;
    bool is_followed;  /* a stream that can be read: no content coding */
    bool task_is_news; /* tell app/ when it is safe to */
    bool may_comment;
    bool is_paused; /* the client takes no more for now */

    struct deadline hold; /* proxy->hold_class; runs from the first wait on */
    int hold_code;        /* why it waits: -errno of connecting, 0 = the gate */
    bool is_held;         /* in proxy->held */
    struct turn turn;     /* in proxy->turns while held */
    bool has_place;       /* one of forward.max_in_flight; from the queue on */
    struct deadline wait; /* connect_class, response_class, card_class or comment_class */
    struct deadline_class *wait_class;
    struct deadline stall;  /* proxy->stall_class */
    struct deadline finish; /* proxy->finish_class */
    int64_t arrived_ms;
    const struct answer_hook *hook; /* NULL: the answer is relayed. Set for all of `card` */
    struct card_fetch *card;        /* owned by card_fetch.c; NULL for everything but cards */
    struct card_extended *extended; /* owned by card_extended.c; NULL unless it may be one */
    bool is_peeking;                /* PUMP_QUEUED, but not to be sent before its method is known */

    struct upload *upload; /* owned by uploads.c; NULL for everything but uploads */

    /* with forward.dedupe_window only; see dedupe.h */
    struct gather *gather; /* owned: the request's body, gathered before it goes on */
    struct share *share;   /* whose leader (then x is NULL) or guest this is */
    bool is_guest;         /* has a client, and no way to the agent of its own */
    struct list guest;     /* in share->guests */
    uint64_t guest_at;     /* bytes of the share's answer that the client was given */

    char id_copy[ERROR_ID_MAX]; /* last: the one thing that is not zeroed for each request */
};

struct proxy {
    struct loop *loop;
    const struct config *cfg;
    struct proxy_callbacks cb;
    void *cb_arg;
    enum proxy_gate gate;
    bool is_last;

    struct route_rules routes;
    struct sources trusted, allowed;
    struct store *store;      /* the storage thread; NULL: uploads are refused */
    struct list uploads;      /* under way, in order of start; uploads.c's */
    struct dedupe *dedupe;    /* NULL: forward.dedupe_window is off */
    struct bearer *bearer;    /* NULL: callers need no token */
    struct str reported_path; /* routes.registered_path points here */
    struct str configured_card;
    struct str agent_card; /* the last good one, as the agent sent it */
    int card_remarks;      /* enum card_remark: said already */

    struct upstream_pool pool;
    struct buf_pool blocks;
    struct list queue;  /* to be looked at at the end of this turn */
    struct list held;   /* in order of arrival */
    struct turns turns; /* the same ones: whose turn it is */
    size_t places;      /* taken, of forward.max_in_flight */
    struct list flight; /* in order of start */
    struct list on_way; /* the same */
    struct list spare;
    size_t spare_count;
    struct deferred turn_end;
    struct timer retry;
    int64_t retry_ms;  /* the current pause between two looks */
    size_t may_go;     /* so many of held, HOLD_TURN_MAX in each turn; 0 = none, or retry's one */
    int64_t gone_turn; /* in which ... */
    size_t gone;       /* ... so many have gone */

    struct deadline_class hold_class, connect_class, response_class, card_class, comment_class,
        stall_class, finish_class;
    struct proxy_stats stats;
    int64_t failure_logged_ms; /* of the last line, and how many in that second */
    unsigned failure_log_count;
    struct http_response response;  /* scratch of pump_read */
    struct http_response_memo memo; /* the head of the last answer */
    char *read_buf; /* same; PUMP_READ_BYTES, apart from what is zeroed at the start */
};

/* ---- proxy.c ---- */
/* Remember, tell app/, and log (not more often than FAILURE_LOG_MS for one sentence). */
void proxy_note_failure(struct proxy *p, const char *sentence);
void proxy_count(struct proxy *p, enum outcome outcome);
void proxy_work_changed(struct proxy *p); /* tells app/ */
/* One of our own error answers (A section 5.5); nothing may have been answered yet. */
void proxy_error_answer(struct exchange *x, enum failure f, const char *sentence, bool is_json_rpc,
                        struct slice id);
/*
 * For a request of which the agent has seen nothing: the same, or with forward.shed no answer at
 * all.
 */
void proxy_shed_answer(struct proxy *p, struct exchange *x, enum failure f, const char *sentence,
                       bool is_json_rpc, struct slice id);
/* proxy_error_answer() for a request that has no pump, counted. */
void proxy_refuse(struct proxy *p, struct exchange *x, enum failure f, enum outcome outcome);
/* May nobody, or no more, ask the agent now? */
bool proxy_turns_away(const struct proxy *p, enum failure *ret);
/* On its way to the agent: queued, held, or answered with why not. */
void proxy_launch(struct pump *u, const struct http_request *rq, const struct route *route);
/* It may go to the agent, as far as the gate lets it. */
void proxy_admit(struct pump *u);

/* ---- pump.c ---- */
struct pump *pump_new(struct proxy *p, struct exchange *x);
struct pump *pump_alloc(struct proxy *p); /* without an exchange */
enum outcome pump_outcome(enum failure f);
/* The head for the agent into u->out. 0, -ENOMEM, -ELOOP, -E2BIG. */
int pump_prepare(struct pump *u, const struct http_request *rq, const struct route *route);
void pump_queue(struct pump *u); /* send it at the end of this turn */
void pump_dispatch(struct pump *u, bool is_fresh);
void pump_connected(void *user, int code);    /* upstream_events */
void pump_take_back(struct pump *u);          /* nothing of it was delivered: it is not in flight */
void pump_ready(void *user, int events);      /* upstream_events */
void pump_drained(struct pump *u);            /* answer.c: the client takes more */
void pump_end(struct pump *u, bool complete); /* the exchange is over; frees u */
/* Give up: an error answer if none has begun, else the connection dies. sentence may be NULL. */
void pump_fail(struct pump *u, enum failure f, const char *sentence);
void pump_abort(struct pump *u); /* at once and without a word */
/*
 * It was let in and is work from now on, until it is held, with the agent, over, or the guest of a
 * leader, which is work itself.
 */
void pump_on_way(struct pump *u);
void pump_off_way(struct pump *u); /* harmless when it is not on it */
void pump_on_turn_end(struct deferred *d);
void pump_on_wait(struct deadline *d, void *arg);             /* deadline_fn */
void pump_on_stall(struct deadline *d, void *arg);            /* deadline_fn */
void pump_wait(struct pump *u, struct deadline_class *class); /* NULL: for nothing */
/* Let go of the connection and of what was sent, to ask again (card fetches). */
void pump_reset(struct pump *u);

/* ---- send.c: what the agent gets ---- */
size_t pump_body(struct pump *u, struct slice bytes);
void pump_body_end(struct pump *u);
void pump_flush(struct pump *u); /* what waits */
void pump_out_release(struct pump *u);
/* It takes no more, for good: what still comes of the request is dropped, its answer may follow. */
void pump_write_over(struct pump *u);

/* ---- answer.c: the agent's answer ---- */
void answer_read(struct pump *u);    /* the connection is readable */
void answer_comment(struct pump *u); /* the stream was silent for forward.keepalive_interval */

/* The clean end: the client has all it needs, whatever the agent would still say. */
void pump_finish(struct pump *u);

/* ---- streams.c: what event streams say about their tasks, and what follows ---- */
void stream_begin(struct pump *u, const struct http_response *r);
void stream_follow(struct pump *u, struct slice content); /* as it passes */
void stream_tell(struct pump *u); /* after stream_follow(); it may end the request */
void stream_over(struct pump *u); /* counted off */
/* Draining begins: those of finished tasks end. */
void stream_end_finished(struct proxy *p);
void stream_on_finish(struct deadline *d, void *arg); /* deadline_fn */

/* ---- hold.c ---- */
bool hold_is_for_place(const struct proxy *p); /* what they wait for, else the agent */
/* May a new one go past those who wait? Then it takes a place (hold_take_place). */
bool hold_may_pass(const struct proxy *p);
void hold_take_place(struct pump *u);
/* The agent is done with it: whose turn it is goes in this turn. Harmless without a place. */
void hold_leave_place(struct pump *u);
/* False: there is no room, or holding is off; the caller answers. */
bool hold_put(struct pump *u, int code); /* code: -errno of connecting, 0 = gate or no place */
void hold_leave(struct pump *u);         /* harmless when not held */
void hold_open(struct proxy *p);         /* the agent is there: all may go that have a place */
void hold_follow(struct proxy *p);       /* one got through: some more may go */
void hold_fail(struct proxy *p, enum failure f);
void hold_on_deadline(struct deadline *d, void *arg); /* deadline_fn */

/* ---- configure.c ---- */
int proxy_load_sources(const struct config *cfg, struct sources *trusted, struct sources *allowed,
                       struct err *err);

/* ---- local.c: what we answer ourselves ---- */
bool local_answer(struct proxy *p, struct exchange *x, const struct route *route);

/* ---- card_fetch.c ---- */
void card_begin(struct proxy *p, struct exchange *x, const struct route *route);
/* The agent could not be asked: the last good card, or the error. */
void card_on_failure(struct pump *u, enum failure f, const char *sentence);
void card_free(struct pump *u);
bool card_preflight(struct proxy *p, struct exchange *x);
/*
 * A browser asks, for any path, whether a page of one of listen.cors_origins may call. It asks
 * without credentials, so it cannot be asked for any (Fetch standard, section 4.8).
 */
bool card_is_preflight(const struct proxy *p, struct exchange *x);

/*
 * Under which address the world knows us: configured, else what a trusted proxy says, else Host (a
 * claim, but the caller's own). *url stays empty without any; *ret's slices point to it and to p.
 */
void card_find_base(const struct proxy *p, struct exchange *x, struct str *url,
                    struct card_base *ret);
/* The agent's end-to-end fields, "Name: value\r\n" each; false: no memory. */
bool card_keep_fields(struct str *to, const struct http_response *r);
/*
 * 200 or 304 with our own validators. kept: from card_keep_fields(), or "" for a card from memory.
 */
void card_send(struct proxy *p, struct exchange *x, struct slice card, struct slice kept);
/* The kept fields into a begun head; without those that speak of the agent's bytes unless whole. */
void card_put_fields(struct exchange *x, struct slice kept, bool is_304, bool is_whole);
/* Vary: what our rewriting depends on, beside what the agent said. */
void card_put_vary(const struct proxy *p, struct exchange *x);
/* Compressed, though identity was asked? */
bool card_is_compressed(const struct http_response *r);
/* card_rewrite()'s remarks, each said once. */
void card_say(struct proxy *p, int remarks);

/* ---- card_extended.c: card.rewrite_extended ---- */
/*
 * Before pump_prepare(), when the configuration asks for it: may the answer be an extended card? A
 * REST path says so (u->hook is set); a JSON-RPC request must show its method first
 * (u->is_peeking). 0 or -ENOMEM.
 */
int extended_begin(struct pump *u, const struct http_request *rq, const struct route *route);
/* While is_peeking: these bytes of the body were taken; is_full: no more can be. */
void extended_peek(struct pump *u, struct slice bytes, bool is_full);
void extended_free(struct pump *u);
bool extended_is_named(struct slice body); /* does this JSON-RPC request ask for the card? */

#endif
