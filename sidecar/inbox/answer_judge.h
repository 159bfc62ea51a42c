/*
 * What the platform's reply to an answer of ours means: did it arrive, may it be sent again, does
 * it make no sense to. Pure. Source: P sections 4.2, 4.5, 12, the table of 13.1.
 */
#ifndef INBOX_ANSWER_JUDGE_H
#define INBOX_ANSWER_JUDGE_H

#include "platform/reply.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    JUDGE_RESTART_MS = 15 * 1000, /* P section 13.1: restarting, waking */
    JUDGE_NO_URL_MS = 60 * 1000,  /* "back off long" */
    JUDGE_REACH_TRIES = 3,        /* "failed to reach workspace agent": retried so often */
    JUDGE_PEER_TRIES = 5,         /* what the peer's own HTTP server refuses */
};

enum judgement {
    JUDGED_ARRIVED = 0, /* class S, or the platform says that the peer has it */
    JUDGED_AGAIN,       /* class N: nothing happened over there */
    JUDGED_UNKNOWN,     /* class U */
    JUDGED_REFUSED,     /* will not be taken however often: parked, with the words */
    /* looks like refused, and so does an outage of the platform's database (P section 4.5): to be
     * believed only if the platform knows our own row at the same time */
    JUDGED_DENIED,
};
enum { JUDGEMENT_COUNT = JUDGED_DENIED + 1 };

struct judged {
    enum judgement what;
    int64_t wait_ms;    /* floor of the pause before the next try; 0 = none */
    unsigned tries_max; /* JUDGED_AGAIN: then refused; 0 = as long as it takes */
    bool is_peers;      /* JUDGED_AGAIN: the peer's trouble, not the platform's: has an end */
    bool has_end;       /* JUDGED_AGAIN: may be a refusal all the same: has an end too */
    bool asks_state;    /* the workspace's state should be looked at (P section 5.2) */
    char why[512];      /* a sentence; "" = all is well */
};

void answer_judge(const struct reply *r, bool is_to_peer, struct judged *ret);

#endif
