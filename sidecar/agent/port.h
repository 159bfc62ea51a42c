/*
 * The way a message reaches the agent and its answer comes back: one call, one end. Today's only
 * implementation is `http` (agent/port_http.c): a POST to the agent's A2A server, over client/.
 * The one header of a feature that other features may include. Source: design section 9.
 */
#ifndef AGENT_PORT_H
#define AGENT_PORT_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/slice.h"
#include "loop/curl_io.h"
#include "loop/loop.h"

#include <stdint.h>

enum {
    PORT_ANSWER_MAX_BYTES = 10 * 1024 * 1024
}; /* P section 13.1: what the platform would read */

enum port_outcome {
    PORT_ANSWERED = 0, /* an HTTP answer, whole, of any status */
    PORT_NOT_REACHED,  /* nothing was handed over: nobody listens, no rights, no backlog */
    PORT_LOST,         /* handed over, and the connection ended without a whole answer */
    PORT_TIMED_OUT,    /* handed over, no whole answer in time; the connection was closed */
    PORT_UNREADABLE,   /* the answer is over PORT_ANSWER_MAX_BYTES, or no HTTP */
};

struct port_reply { /* borrowed by the callback */
    enum port_outcome outcome;
    int status; /* HTTP; 0 without an answer */
    struct slice body;
    int64_t wait_ms; /* Retry-After; 0 = none */
    char error[512]; /* a sentence unless outcome is PORT_ANSWERED */
};
typedef void port_fn(void *arg, const struct port_reply *r);

struct port;
struct port_call;
/* agent and base_path (agent.base_path) are borrowed until port_free. */
int port_new(struct loop *l, struct curl_io *io, const struct endpoint *agent,
             const char *base_path, struct port **ret, struct err *err);
void port_free(struct port *p); /* all calls must have ended or been cancelled; NULL is fine */

/*
 * body: JSON, copied. version: value of the A2A-Version header, NULL = none is sent. fn runs once,
 * from the loop, never from here. Never repeated by itself: one call is one hand-over.
 */
int port_send(struct port *p, struct slice body, const char *version, int64_t timeout_ms,
              port_fn *fn, void *arg, struct port_call **ret);
void port_cancel(struct port_call *c); /* fn does not run; NULL is fine */

#endif
