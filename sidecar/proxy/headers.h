/*
 * Which fields cross the sidecar, one function per direction. A head is always generated, never
 * copied (A section 10): the request line and framing are ours, the agent's and client's end-to-end
 * fields pass byte for byte and in order.
 *
 * Source: A sections 9, 10.3; design section 5 (listen.inbound_auth, trusted_proxies).
 */
#ifndef PROXY_HEADERS_H
#define PROXY_HEADERS_H

#include "config/config.h"
#include "http/request.h"
#include "http/response.h"
#include "http/write.h"
#include "proxy/bearer.h"
#include "proxy/route.h"
#include "proxy/sources.h"

enum {
    VIA_LOOP_MAX = 8, /* our own name this often in Via: a forwarding loop, answered with 508 */
};

/* Who sends the request, by its Authorization fields. */
enum auth_verdict {
    AUTH_OTHER = 0, /* none, or one that is the agent's business */
    AUTH_PLATFORM,  /* a bearer equal to the platform's inbound secret */
};

/*
 * Compared in constant time. An empty secret matches nothing. "Bearer" in any case, one blank.
 */
enum auth_verdict headers_auth(const struct http_request *rq, struct slice inbound_secret);
/* The token of "Bearer <token>", the scheme in any case. False: the value is something else. */
bool headers_bearer(struct slice value, struct slice *ret_token);
/* Is one of the Authorization fields this bearer? Constant time; empty matches nothing. */
bool headers_has_bearer(const struct http_request *rq, struct slice token);

struct header_context {
    enum inbound_auth auth;
    bool via;
    bool is_trusted; /* the peer is one of listen.trusted_proxies */
    bool is_card;    /* a card fetch: as is_edited, and without a body */
    bool is_edited;  /* its answer's bytes will change: identity, no validators, no range (A 3.6) */
    bool is_https;   /* the client's connection */
    const char *peer;    /* "203.0.113.7"; "unix" has no address and adds no X-Forwarded-For */
    struct slice client; /* verified TLS client, for X-Forwarded-Client-Cert; "" = none */
    struct slice strip_prefix;    /* what route_pick cut off, for X-Forwarded-Prefix; "" = none */
    struct slice inbound_secret;  /* removed in mode auto and require; "" = none known */
    struct slice workspace_token; /* never goes to the agent; "" = none known */
    const struct bearer *bearer;  /* its tokens do not either; NULL = none */
};

/*
 * The whole head for the agent, with its empty line. 0, -ELOOP (we are in Via too often), -E2BIG
 * (w is too small).
 */
int headers_to_agent(struct http_writer *w, const struct http_request *rq, struct slice method,
                     const struct route *route, const struct header_context *c);

/*
 * A head from headers_to_agent() that has not left yet, in bytes[0..head_n) with something of its
 * body behind it, len bytes in all: nobody may compress what comes back. Returns the new len, or 0
 * when cap has no room for it.
 */
size_t headers_ask_identity(char *bytes, size_t head_n, size_t len, size_t cap);

/* Does this field of the agent's answer go to the client? */
bool headers_passes_back(const struct http_response *r, const struct http_field *f);

/* The Via that we add to answers. */
extern const struct http_field headers_via;

/*
 * X-Accel-Buffering: no, which asks an nginx in front of us (many an ingress) not to hold events
 * back (A section 4.1). Does this answer want ours? An event stream whose agent says nothing of it.
 */
extern const struct http_field headers_unbuffered;
bool headers_wants_unbuffered(const struct http_response *r);

#endif
