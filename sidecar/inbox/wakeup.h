/*
 * The inside of wakeup.c, for its tests.
 */
#ifndef INBOX_WAKEUP_H
#define INBOX_WAKEUP_H

#include "inbox/events.h"
#include "inbox/parts.h"

struct wakeup_times { /* milliseconds that no key sets; tests shorten them */
    int64_t silence;  /* then the stream counts as dead, P section 11 */
    int64_t backoff_base, backoff_cap;
    int64_t refused_cap; /* 401 */
    int64_t unsupported; /* until a platform without streams is asked again */
    int64_t late;        /* rows are committed after their event: a second look */
    int64_t whole;       /* the longest life of one connection */
};

struct wakeup {
    struct inbox *i;
    struct call call;
    struct timer retry, silence, late, act;
    struct events events;
    struct wakeup_times times;
    unsigned failures;
    bool is_on;
    bool was_up;                           /* once since wakeup_start */
    bool saw_life, saw_message, saw_state; /* since `act` ran: nothing is done inside curl */
};

#endif
