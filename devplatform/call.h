/*
 * One HTTP call to the development platform, from its head to its answer.
 *
 * The life of a call, top to bottom (call.c; its answer: reply.c):
 *
 *   call_on_request    a struct call is made; the head is kept, the body gathered
 *   call_begin         a matching fault delays, answers, drops or hangs
 *   call_gates         rate limit -> Origin rule -> tenant guard -> route
 *   the handler        authenticates (auth.h), reads, changes the world, answers at once or later
 *   call_answer*       one answer, one entry in /dev/log, one line of story
 *   call_on_end        the call is freed
 *
 * A handler answers exactly once. After call_answer* or call_error the call may be gone: return at
 * once.
 */
#ifndef DEVPLATFORM_CALL_H
#define DEVPLATFORM_CALL_H

#include "devplatform/devplatform.h"

#include "base/str.h"
#include "server/server.h"

#include <json-c/json.h>

enum {
    CALL_BODY_MAX =
        1024 *
        1024, /* bytes of a body that are looked at; longer ones are cut, as the server does */
    CALL_BODY_REFUSE = 64 * 1024 * 1024, /* bytes above which even reading stops */
    CALL_PARAMS_MAX = 2,                 /* ids in one path */
    CALL_NOTE_MAX = 200,                 /* bytes of the story's remark */
};

struct route;

struct call {
    struct devplatform *dp;
    struct exchange *x;
    const struct route *route;            /* NULL until routed */
    struct slice params[CALL_PARAMS_MAX]; /* the path's variable parts; point into the kept head */
    struct str body;
    struct json_object *json; /* the body's first JSON value; NULL when there is none */
    bool json_is_null;        /* the body was the word null */
    struct fault_effect fault;
    bool has_fault;
    bool is_begun;
    bool is_answered;
    struct timer delay;
    int64_t arrived_ms;
    struct limit_verdict limit;
    char note[CALL_NOTE_MAX];        /* the story's remark, without secrets */
    char disposition[CALL_NOTE_MAX]; /* header Content-Disposition; "" = none */
    struct dispatch *dispatch; /* a push under way that answers this call; it outlives the client */
    struct upload *upload;     /* files under way that answer this call */
    struct held_answer *held;  /* waits for its turn's commit (reply.c) */
    struct event_stream *stream; /* the call is an open event stream */
    char *rest;                  /* the second half of a slow answer, malloc'ed */
    size_t rest_len;
    size_t body_max; /* bytes of the body that are kept: CALL_BODY_MAX but for files */
    struct json_object *logged_body; /* what /dev/log shows of the request; NULL = nothing */
};

extern const struct handler call_handler; /* ctx is a struct devplatform */

/* The head's parts. Valid as long as the call. */
const struct http_request *call_request(const struct call *c);
struct slice call_header(const struct call *c, const char *name); /* empty when absent */
struct slice call_bearer(const struct call *c); /* after "Bearer "; empty when absent */
/* A query parameter, percent-decoded into buf; false when absent or too long. An empty value counts
 * as present. */
bool call_query(const struct call *c, const char *name, char *buf, size_t cap);

/* Parses the body. False (and 400 `invalid request body` was answered) when it is not a JSON
 * object. */
bool call_need_object(struct call *c);
void call_log_body(struct call *c,
                   struct json_object *shown); /* /dev/log shows it; takes a reference of its own */
void call_note(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Answers; each takes over `body`'s reference. */
void call_answer(struct call *c, int status, struct json_object *body);
void call_answer_text(struct call *c, int status, const char *content_type, struct slice body);
void call_answer_retry(struct call *c, int status, struct json_object *body,
                       int64_t retry_after_s);                 /* with Retry-After */
void call_error(struct call *c, int status, const char *text); /* {"error": text} */
/* A file to be stored by whoever asked. `name` is quoted as a header may carry it. */
void call_answer_file(struct call *c, const char *content_type, const char *name,
                      struct slice body);
/* Begins a 200 that goes on until its client leaves: exchange_body(c->x). False: a fault took its
 * place. */
bool call_stream(struct call *c, const char *content_type);

/* The commit is done: what waited for it leaves. For data.c. */
void call_release_held(struct devplatform *dp);
void call_forget_held(struct call *c); /* the client is gone */

/* True when a fault takes the place of the answer: nothing is left to do. For call.c and reply.c.
 */
bool call_fault_applies(struct call *c);

#endif
