/*
 * One row of the feed, understood: what it is, who sent it, what it says. Reads what the server
 * really sends and what the SDK's documentation says it sends. Pure: no clock, no socket, no
 * journal. Source: P sections 10.2 to 10.5, 12, 16.
 */
#ifndef INBOX_ROW_H
#define INBOX_ROW_H

#include "base/slice.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum row_kind {                  /* P section 10.5 */
                ROW_MESSAGE = 0, /* work */
                ROW_ECHO,        /* our own words to a person (notify with a null source) */
                ROW_UPLOAD,      /* a file waits (chat_upload_receive) */
                ROW_DELEGATION,  /* outcome of a delegation */
                ROW_OWN,         /* source is our own workspace */
                ROW_PUSHED, /* a push attempt of another time: its caller has its answer, or tries
                               again */
                ROW_OTHER_METHOD, /* tasks/get, message/stream, ...: nobody waits for the answer */
                ROW_OTHER_TYPE,   /* not a2a_receive */
                ROW_UNREADABLE,   /* no id, no time, or not an object */
};
const char *row_kind_name(enum row_kind k); /* for journal "why" and logs, in words */

struct row { /* slices and json point into the parsed page: they die with it */
    enum row_kind kind;
    char id[37];
    char source_id[37]; /* "" = a person */
    int64_t created_us;
    int64_t seq;            /* [L]; -1 = absent */
    const char *method;     /* "" = null */
    const char *message_id; /* "" = none */
    const char *context_id;
    const char *role; /* "user", "agent" (loop guard), "" */
    bool is_reply;    /* metadata says so (loop guard) */
    int64_t hops;     /* metadata; 0 = absent */
    const char *in_reply_to;
    struct json_object
        *request; /* request_body as an object (a string is parsed once more: owned by ret) */
    const char *echo_text;                        /* ROW_ECHO: response_body.result */
    const char *peer_name, *peer_role, *card_url; /* [L] enrichment; "" = absent */
};

/* own_id: this workspace. Returns false (kind ROW_UNREADABLE) when it cannot even be named. */
bool row_read(struct json_object *o, const char *own_id, struct row *ret);
void row_release(struct row *r);

#endif
