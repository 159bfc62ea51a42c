/*
 * The answers the forwarder makes itself when the agent cannot: status, reason, body. Pure.
 *
 * A caller that spoke JSON-RPC gets a JSON-RPC error with its own id; anybody else a JSON object
 * with one sentence. Never HTTP 200, never a made-up task. Source: A section 5.5.
 */
#ifndef PROXY_ERRORS_H
#define PROXY_ERRORS_H

#include "base/slice.h"
#include "base/str.h"
#include "http/request.h"

#include <stdbool.h>

enum failure {
    FAILURE_UNAVAILABLE = 0, /* no connection to the agent */
    FAILURE_LOST,            /* it ended without an answer */
    FAILURE_BAD_RESPONSE,    /* what came is no HTTP answer */
    FAILURE_TIMEOUT,         /* no answer in time */
    FAILURE_PAUSED,
    FAILURE_DRAINING,
    FAILURE_OVERLOADED,
    FAILURE_LOOP, /* our own name too often in Via */
    FAILURE_HEAD_TOO_LARGE,
    FAILURE_FORBIDDEN, /* listen.allow_sources */
    FAILURE_UNAUTHORIZED,
    FAILURE_BAD_HOST, /* the card's address would be made of it */
};
enum { FAILURE_COUNT = FAILURE_BAD_HOST + 1 };

struct failure_answer {
    int status;
    const char *reason;   /* "AGENT_UNAVAILABLE", for programs */
    const char *note;     /* for the access line */
    const char *sentence; /* for people, when there is nothing better to say */
    int retry_after_s;    /* 0 = no Retry-After */
    bool closes;          /* Connection: close */
    /*
     * forward.shed: close answers with the end of the connection instead, and this is its note;
     * NULL: never. Only what the agent has not seen and may see later: after EOF or a reset the
     * platform queues the message and sends it again, a 503 goes to the caller and is the end of it
     * (P section 17.3). PAUSED is not among them: the platform itself ordered the pause, it sends
     * nothing meanwhile, and whoever else calls can do more with the reason than with a closed
     * connection.
     */
    const char *shed_note;
};
const struct failure_answer *failure_answer(enum failure f);

enum {
    ERROR_PEEK_BYTES = 64 * 1024, /* of a request body, to find the id in */
    ERROR_ID_MAX = 256,           /* bytes of an id token; a longer one is not echoed */
};

/* Does the request look like JSON-RPC: a POST with a JSON type? */
bool error_is_json_rpc(const struct http_request *rq);

/*
 * The `id` token (string, number or null, exactly its bytes) at the top level of the JSON object
 * that begins with `peek`, which may be cut. Empty when there is none in it, when it is none of
 * those types, or too long.
 */
struct slice error_find_id(struct slice peek);

/* The body. id: a raw token, empty = null. sentence may be NULL: the table's. */
void error_body(struct str *out, enum failure f, const char *sentence, bool is_json_rpc,
                struct slice id);

#endif
