/*
 * One row of the feed, understood: what it is, who sent it, what it says. Reads what the server
 * really sends and what the SDK's documentation says it sends. Pure: no clock, no socket, no
 * journal. Source: P sections 10.2 to 10.5, 12, 16.
 */
#ifndef INBOX_ROW_H
#define INBOX_ROW_H

#include "base/json_scan.h"
#include "base/slice.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    ROW_ID_TEXT_MAX = 512, /* bytes of a message or context id; a longer one counts as absent */
    /* levels of a request, also of one that was sent as a string: what the feed takes */
    ROW_JSON_DEPTH_MAX = JSON_SCAN_DEPTH_MAX + 2,
    ROW_JSON_VALUES_MAX = 20000, /* of a row or such a string: each costs json-c up to 2 KiB */
};

/* Our key in the metadata of a message: how many sidecars answered by themselves before it. */
#define ROW_HOPS_KEY "hops"

enum row_kind {                  /* P section 10.5 */
                ROW_MESSAGE = 0, /* work */
                ROW_ECHO,        /* our own words to a person (notify with a null source) */
                ROW_UPLOAD,      /* a file waits (chat_upload_receive) */
                ROW_DELEGATION,  /* outcome of a delegation: told to the agent, never answered */
                ROW_DELEGATION_OPEN, /* not an outcome yet */
                ROW_OWN,             /* source is our own workspace */
                ROW_PUSHED, /* a push attempt of another time: its caller has its answer, or tries
                               again */
                ROW_OTHER_METHOD, /* tasks/get, message/stream, ...: nobody waits for the answer */
                ROW_OTHER_TYPE,   /* not a2a_receive */
                ROW_UNREADABLE,   /* no id, no time, no sender, or not an object */
                ROW_COSTLY,       /* more than ROW_JSON_VALUES_MAX */
};
const char *row_kind_name(enum row_kind k); /* for journal "why" and logs, in words */

struct row { /* slices and json point into the parsed page: they die with it */
    enum row_kind kind;
    char id[37];
    char source_id[37]; /* "" = a person */
    char peer_id[37];   /* ROW_DELEGATION: who did it; "" = the row does not say */
    int64_t created_us;
    int64_t seq;            /* [L]; -1 = absent */
    const char *method;     /* "" = null */
    const char *message_id; /* "" = none */
    const char *context_id;
    /*
     * request_body as an object; a string is parsed once more. When the row has its text elsewhere
     * (data.text, or only a summary) that is in it, so that it alone is the message. NULL = none.
     * Owned by ret.
     */
    struct json_object *request;
    bool is_request_made;  /* it is not, byte for byte, what the row's request_body was */
    const char *echo_text; /* ROW_ECHO: response_body.result */
    const char *peer_name, *peer_role, *card_url; /* [L] enrichment; "" = absent */
};

/* own_id: this workspace. Returns false (kind ROW_UNREADABLE) when it cannot even be named. */
bool row_read(struct json_object *o, const char *own_id, struct row *ret);
void row_release(struct row *r);

/* RFC 3339 with 0 to 9 digits of a second (beyond 6 they are cut) to microseconds since 1970. */
bool row_time_us(struct slice text, int64_t *ret);

/*
 * ---- of a request (P section 10.4) ----
 * The one reading of where the message is, for whoever journals it, hands it to the agent or
 * answers it. Ids, role and parts are those of params.message, params, message or the request
 * itself: of the first that has parts (or v0.2 content).
 */
/* 0: an object, also one that was a string; -EBADMSG: no object or too deep; -E2BIG: more than
 * ROW_JSON_VALUES_MAX values; -ENOMEM. */
int row_request_parse(const char *text, struct json_object **ret);
struct json_object *row_message(struct json_object *request); /* never NULL for an object */
struct json_object *row_parts(struct json_object *request);   /* an array with elements, or NULL */
/* Where a text may be when there are no parts: a string that is not empty, or NULL. */
struct json_object *row_lone_text(struct json_object *request);

struct row_about { /* borrowed from the request; "" = absent, or too long */
    const char *message_id, *context_id;
    /* for the loop guard: what any of the four places, or a metadata in it, says */
    bool is_from_agent; /* role */
    bool is_reply;      /* metadata.reply, or metadata.in_reply_to is there */
    int64_t hops;       /* the highest; 0 = absent */
};
void row_about(struct json_object *request, struct row_about *ret);

#endif
