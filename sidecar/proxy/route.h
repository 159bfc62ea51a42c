/*
 * Who answers a request: we or the agent. Pure: method and path in, a decision out.
 *
 * Paths are compared as raw octets: nothing is decoded, no dot segment is resolved (A section 9),
 * because what we would call equal the agent might not.
 *
 * Source: design section 8; A sections 3.1, 10.1; P section 17.5.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "base/slice.h"
#include "http/http.h"

#include <stdbool.h>

enum route_kind {
    ROUTE_UPSTREAM = 0, /* the agent's */
    /* the card under a name everybody knows: at the root, below the registered path or base_path */
    ROUTE_CARD,
    /* a card under another prefix: fetched from the agent and rewritten, without a fallback */
    ROUTE_CARD_ELSEWHERE,
    /* an extended card: the agent's, but its addresses are rewritten (card.rewrite_extended) */
    ROUTE_EXTENDED,
    /* the platform's own calls; only when a platform is configured */
    ROUTE_TRANSCRIPT,
    ROUTE_UPLOADS,
    ROUTE_FILE_READ,
    ROUTE_RESTART_PENDING,
};

struct route_rules { /* slices borrowed; all prefixes without a trailing slash, "" = none */
    struct slice strip_prefix;    /* forward.strip_prefix */
    struct slice registered_path; /* path of platform.reported_url */
    struct slice base_path;       /* agent.base_path */
    bool has_platform;
    bool has_extended; /* card.rewrite_extended */
};

struct route {
    enum route_kind kind;
    /* what the agent is asked for: the target behind strip_prefix, byte for byte */
    struct slice target;
    bool needs_slash;  /* write "/" in front of target: the prefix was the whole path */
    struct slice path; /* target without its query; "" when needs_slash */
};

/* "/foo/" and "/foo" are the same prefix, "/" is none. */
struct slice route_prefix(struct slice configured);

/*
 * Decide. path is target up to '?' (http_request has both). A prefix matches whole segments only:
 * "/foo" is a prefix of "/foo", "/foo/x" and "/foo?x", not of "/foobar".
 */
struct route route_pick(const struct route_rules *rules, enum http_method method,
                        struct slice target, struct slice path);

/* Is `prefix` a prefix of `path` on a segment boundary? An empty prefix is one of every path. */
bool route_has_prefix(struct slice path, struct slice prefix);

#endif
