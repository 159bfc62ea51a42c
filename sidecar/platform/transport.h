/*
 * One call to the platform: URL, headers (P section 3.1), the Origin rule (P section 3.3), the
 * bearer, timeouts (P section 4.1), the rate limit's numbers. Who calls, when and what follows is
 * the activities'.
 */
#ifndef PLATFORM_TRANSPORT_H
#define PLATFORM_TRANSPORT_H

#include "base/err.h"
#include "base/str.h"
#include "client/client.h"
#include "config/config.h"
#include "loop/curl_io.h"
#include "loop/loop.h"
#include "platform/reply.h"

enum {
    TRANSPORT_CONNECT_MS = 5000, /* P section 4.1 */
    TRANSPORT_TOTAL_MS = 10000,
    RATE_WINDOW_MS = 60000, /* P section 4.3: older numbers say nothing */
};

enum origin_mode {
    ORIGIN_SENT = 0, /* as the rule says */
    ORIGIN_REFUSED,  /* an empty 403 went away without it: never sent again */
    ORIGIN_NO_HELP,  /* it made no difference: sent, and not tried again */
};

struct transport { /* embedded in struct platform */
    struct loop *loop;
    struct curl_io *io;
    const struct config *cfg;
    struct client_tls tls;
    char host[300];   /* authority, for sentences */
    char origin[300]; /* what is sent; "" = nothing */
    enum origin_mode origin_mode;
    int64_t timeout_ms;                 /* of calls that give none */
    struct str bearer;                  /* "" = none held */
    unsigned token_age;                 /* counts changes of the bearer; 0 = never had one */
    int64_t rate_limit, rate_remaining; /* -1 = unknown */
    int64_t rate_read_ms;
};

typedef void reply_fn(void *arg, const struct reply *r);

struct call { /* embedded; zeroed = idle; one request at a time */
    struct transport *transport;
    struct client_call *client;
    struct timer local_failure; /* a call that could not even start is told from the loop */
    const char *method;
    struct str url, body;
    int64_t timeout_ms;
    /* The caller's, set before call_send. */
    bool is_once; /* on a connection of its own: curl repeats a request whose kept one was dead */
    size_t max_answer_bytes; /* 0 = the client's usual */
    const char *accept;      /* NULL = JSON */
    /* Each piece of the body, with arg, instead of gathering it; false ends the call. Nothing may
     * be cancelled from inside. */
    bool (*on_data)(void *arg, struct slice bytes);
    unsigned token_age;
    bool has_origin;
    bool is_second; /* this is the one without Origin */
    reply_fn *fn;
    void *arg;
};

int transport_init(struct transport *t, struct loop *l, struct curl_io *io,
                   const struct config *cfg, struct err *err);
void transport_release(struct transport *t);
void transport_set_bearer(struct transport *t, struct slice token); /* empty = none */
bool transport_rate_is_short(const struct transport *t);            /* below a tenth is left */

/*
 * path: "/registry/heartbeat". body.p NULL: GET, else POST; copied. timeout_ms 0 = default. fn runs
 * once, from the loop, unless the call is cancelled; c may be used again from inside it.
 */
void call_send(struct call *c, struct transport *t, const char *path, struct slice body,
               int64_t timeout_ms, reply_fn *fn, void *arg);
void call_cancel(struct call *c); /* fn does not run; harmless when idle */
bool call_is_busy(const struct call *c);

/* "http://host:80" -> what curl puts into Host: no default port. 0 or -EINVAL with a sentence. */
int origin_of(const char *url, char *ret_origin, size_t cap, char *ret_host, size_t host_cap,
              struct err *err);

#endif
