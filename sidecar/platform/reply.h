/*
 * What an answer of the platform means, whichever call it was: the outcome class (P section 4.2),
 * how long to wait (P section 4.3), and one sentence for a person. Pure: no clock, no socket.
 */
#ifndef PLATFORM_REPLY_H
#define PLATFORM_REPLY_H

#include "base/slice.h"
#include "client/client.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RETRY_AFTER_MAX_MS = 60 * 1000, /* P section 4.3: more than a window helps nobody */
    REPLY_TEXT_MAX = 160,           /* bytes of the platform's own words that we repeat */
};

enum reply_class {
    REPLY_OK = 0,        /* S: 2xx with JSON */
    REPLY_NOT_DELIVERED, /* N: nothing happened over there; safe to repeat */
    REPLY_UNKNOWN,       /* U: it may have happened; repeat only what is idempotent */
};

struct reply { /* borrowed by the callback it is given to */
    enum reply_class class;
    int status;         /* HTTP; 0 = no answer */
    struct slice json;  /* the body when it is JSON, else empty */
    struct slice body;  /* as it came, whatever it is; empty without a whole answer */
    bool is_too_big;    /* the answer was longer than the caller takes, */
    int long_status;    /* and its HTTP status was this; status is 0 then */
    bool is_empty;      /* an answer without a body */
    bool is_misrouted;  /* 404 or 200 that the platform's API did not write (P section 3.3) */
    int64_t wait_ms;    /* Retry-After as a floor; 0 = none */
    unsigned token_age; /* which bearer it was sent with (transport.h); 0 = none */
    char error[512];    /* a sentence unless class is REPLY_OK */
};

struct reply_context {
    const char *host;   /* authority of platform.url, for sentences */
    const char *org_id; /* "" = none is sent */
    const char *origin; /* that was sent; "" = none */
    int64_t wall_ms;    /* for Retry-After with a date */
};

/* ret's slices point into the answer. */
void reply_read(const struct client_answer *a, const struct reply_context *c, struct reply *ret);

/* Retry-After: seconds ("0" counts as 1) or an HTTP date; capped. 0 = absent or unreadable. */
int64_t retry_after_ms(const char *text, int64_t wall_ms);

/* Members of a JSON object; absent, null or of another type: false (and ret is ""). */
bool reply_text(struct slice json, const char *name, char *ret, size_t cap);
bool reply_is_true(struct slice json, const char *name);
bool reply_number(struct slice json, const char *name, int64_t *ret);

#endif
