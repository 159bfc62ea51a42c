/*
 * Short HTTP calls over curl, to a URL or to a Unix socket: the platform's calls, health checks of
 * the agent, `send`, `status`. Answers are gathered up to a cap. No redirects, no netrc, http and
 * https only, a proxy only when one is given.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"
#include "loop/curl_io.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLIENT_HEADERS_MAX = 16, CLIENT_ANSWER_DEFAULT_BYTES = 1024 * 1024 };

struct client_tls { /* all borrowed, NULL = default */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *proxy;   /* "http://host:3128"; NULL or "": none, whatever the environment says */
    const char *ca_hint; /* ends the sentence about a certificate that is not trusted */
};

struct client_request {
    const char *method;    /* "GET", "POST", ... */
    const char *url;       /* for Unix sockets: http://localhost/path */
    const char *unix_path; /* NULL: TCP */
    bool is_once; /* never on a kept connection: curl repeats a request whose connection was dead */
    const char *headers[CLIENT_HEADERS_MAX]; /* "Name: value", NULL-terminated; copied */
    struct slice body;                       /* copied; sent when body.p is not NULL */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    size_t max_answer_bytes;      /* 0 = CLIENT_ANSWER_DEFAULT_BYTES; more is an error */
    const struct client_tls *tls; /* borrowed until done */
    /* Streaming: called with each piece instead of gathering; return false to stop. */
    bool (*on_data)(void *arg, struct slice bytes);
};

enum client_outcome {
    CLIENT_OK = 0,   /* an HTTP answer came, whole (any status) */
    CLIENT_NOT_SENT, /* name, connect or TLS failed: nothing reached the other side */
    CLIENT_TIMEOUT,  /* sent, no whole answer in time */
    CLIENT_LOST,     /* sent, then reset or cut */
    CLIENT_TOO_BIG,  /* answer over the cap */
    CLIENT_STOPPED,  /* on_data said so */
    CLIENT_FAILED,   /* local failure: memory, bad URL */
    CLIENT_NOT_HTTP, /* sent, and what came back is no HTTP/1 */
};

struct client_answer { /* borrowed by the callback */
    enum client_outcome outcome;
    int status;               /* 0 without an answer */
    int errnum;               /* of connect(2) when outcome is CLIENT_NOT_SENT; 0 = not known */
    struct slice body;        /* wiped after the callback: it may hold secrets */
    const char *content_type; /* "" when absent */
    const char *retry_after;  /* "" when absent; raw text */
    int64_t rate_limit;       /* X-RateLimit-*, -1 when absent */
    int64_t rate_remaining;
    int64_t elapsed_ms;
    int64_t sent_bytes; /* of the request, head included: 0 = nothing was handed over */
    /* a sentence when outcome != CLIENT_OK: "connection refused by 127.0.0.1:8080" */
    char error[512];
};

struct client_call;
typedef void client_done_fn(void *arg, const struct client_answer *answer);

/*
 * Asynchronous, on the loop. *ret is valid until done ran. 0, or -errno with a sentence (bad URL,
 * memory). done is never called from here.
 */
int client_start(struct curl_io *io, const struct client_request *rq, client_done_fn *done,
                 void *arg, struct client_call **ret, struct err *err);
void client_cancel(struct client_call *call); /* done is not called; NULL is fine */

/*
 * Blocking, for commands (health, status, send). done is called before it returns. Returns 0 when
 * done ran.
 */
int client_run(const struct client_request *rq, client_done_fn *done, void *arg, struct err *err);

#endif
