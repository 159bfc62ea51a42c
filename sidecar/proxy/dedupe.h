/*
 * forward.dedupe_window: the same request, sent again, is not the agent's work again. The platform
 * repeats a message when the agent was slow (P section 17.3); without this a slow agent does it
 * twice.
 *
 *   request --gather--> key --known?-- yes --> guest of a share: what the answer holds so far, then
 *                             |                what comes
 *                             no ------------> a new share: the request goes to the agent without
 *                                              a client of its own (its leader), the client is its
 *                                              first guest
 *
 * The key is the SHA-256 of target, client certificate, every field but those that proxies and
 * tracers write anew for each attempt, and the whole body; so another caller or another text is
 * another message. A share lasts from its request's end
 * to the end of the window after a complete answer. Its leader is not ended when guests go: the one
 * who repeats comes after the first has given up. Until the agent has been reached nobody but
 * guests keeps it, though: what was never handed over may be sent anew.
 *
 * Never shared: streams (Accept names text/event-stream), Expect, bodies of more than
 * DEDUPE_BODY_MAX, and what finds no room; such requests take the usual way, byte for byte. Never
 * kept: event streams, answers with 5xx or that ask to come again, those over DEDUPE_ANSWER_MAX,
 * broken ones, and our own errors. Who waits for one of those gets it nevertheless, as it comes.
 *
 * dedupe.c gathers and remembers; share.c gives one answer to many. Private to proxy/. Source:
 * design section 8.
 */
#ifndef PROXY_DEDUPE_H
#define PROXY_DEDUPE_H

#include "proxy/state.h"

enum {
    DEDUPE_BODY_MAX = 1024 * 1024, /* bytes of a request's body; the platform sends no more */
    DEDUPE_GATHER_MAX = 64 * 1024 * 1024,  /* bytes of all request bodies that wait here */
    DEDUPE_ANSWER_MAX = 4 * 1024 * 1024,   /* bytes of an answer that is kept */
    DEDUPE_ANSWERS_MAX = 16 * 1024 * 1024, /* bytes of all of them; the oldest goes first */
    DEDUPE_ENTRIES_MAX = 1024,             /* shares that can be joined; the oldest goes first */
    DEDUPE_BUCKETS = 1024,
    DEDUPE_KEY_BYTES = 32, /* SHA-256 */
    /* of an answer that is not kept: how far the agent may be ahead of the slowest guest */
    SHARE_AHEAD_MAX = 2 * EXCHANGE_WRITE_MAX,
};

struct gather { /* a request's body on its way through memory */
    struct str body;
    size_t fed;    /* bytes that the pump has taken */
    bool is_whole; /* the request's last byte is in it */
};

struct share {
    struct dedupe *dedupe;
    struct list node;   /* in dedupe->all */
    struct list bucket; /* while it can be joined */
    struct list age;    /* in dedupe->stored: complete, the oldest first */
    uint8_t key[DEDUPE_KEY_BYTES];
    struct pump *leader; /* the request to the agent; NULL when it is over */
    struct list guests;  /* pumps that have a client, by their `guest` */
    struct deferred end; /* the leader's */
    struct deadline window;
    bool is_listed;   /* can be joined; from the first doubt about keeping the answer on, not */
    bool is_complete; /* the answer */
    bool is_json_rpc;
    struct str id; /* of the request, for our own errors */

    /* the answer's head, once status is not 0 */
    int status;
    struct str reason, fields; /* fields: "Name: value\r\n" each */
    enum http_framing framing;
    int64_t length;
    bool is_stream;
    /* its body: all of it while listed, else what the slowest guest has not got */
    struct str body;
    uint64_t base; /* where in the answer's body `body` begins */
};

struct dedupe {
    struct proxy *proxy;
    struct list all, stored;
    struct list buckets[DEDUPE_BUCKETS];
    struct deadline_class window_class;
    size_t listed;       /* shares */
    size_t gather_bytes; /* of all gathers */
    size_t answer_bytes; /* of all shares' answers, listed or not */
};

/* ---- dedupe.c ---- */
int dedupe_new(struct proxy *p, struct err *err); /* leaves proxy->dedupe NULL when it is off */
void dedupe_free(struct proxy *p);                /* ends the leaders that are left */

/* Is this request to be looked at? True: its pump gathers the body, see is_guest. */
bool dedupe_take(struct proxy *p, struct exchange *x);
size_t dedupe_on_body(struct pump *u, struct slice bytes);
void dedupe_on_body_end(struct pump *u);

/* The pump takes more of the body that was gathered for it. */
void gather_feed(struct pump *u);
void gather_free(struct pump *u); /* harmless without one */

/* Can n more bytes of an answer be kept? Forgets the oldest answers for it. */
bool dedupe_has_room(struct dedupe *d, size_t n);
void share_unlist(struct share *s); /* it cannot be joined any more */
/* Frees it when nobody is left; the caller forgets it. */
void share_put(struct share *s);

/* ---- share.c: guests ---- */
void share_join(struct share *s, struct pump *guest);
void guest_drained(struct pump *u);
void guest_leave(struct pump *u); /* its client is gone or served */

/* ---- share.c: the leader; pump.c and answer.c call these instead of the exchange's ---- */
void share_on_head(struct pump *u, const struct http_response *r, enum http_framing framing);
void share_on_interim(struct pump *u, const struct http_response *r);
/* False: enough for now, pump_drained() tells when to go on. The leader may be over. */
bool share_on_body(struct pump *u, struct slice bytes);
void share_on_complete(struct pump *u);
/* u->outcome is set. sentence may be NULL. */
void share_on_failure(struct pump *u, enum failure f, const char *sentence);
void share_on_abort(struct pump *u);

#endif
