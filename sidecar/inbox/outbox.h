/*
 * The inside of the outbox, for answer.c, answer_evidence.c and answer_left.c (and their tests).
 *
 *   QUEUED -> INTENT (its commit) -> CALLING -> next part: QUEUED ... -> queue_end(ANSWERED)
 *                                       |-> WAITING (class N: back to delivered) -> QUEUED
 *                                       |-> ASKING (403, 404: is it an outage?) -> parked or
 * WAITING
 *                                       |-> DOUBTFUL (class U, to a person) -> the feed decides
 *                                       '-> parked
 */
#ifndef INBOX_OUTBOX_H
#define INBOX_OUTBOX_H

#include "inbox/answer_body.h"
#include "inbox/answer_judge.h"
#include "inbox/parts.h"
#include "inbox/split.h"

enum {
    ANSWER_CALLS_MAX = 64,                /* under way at once; the rest waits its turn */
    ANSWER_NOTIFY_TIMEOUT_MS = 15 * 1000, /* P section 4.1 */
    ANSWER_PEER_TIMEOUT_MS = 300 * 1000,
    ANSWER_REPLY_BYTES = 64 * 1024, /* of what comes back; of a longer one the status counts */
    ANSWER_BACKOFF_BASE_MS = 1000,  /* P section 4.4 */
    ANSWER_BACKOFF_CAP_MS = 30 * 1000,
    ANSWER_AUTH_CAP_MS = 60 * 1000,
    ANSWER_RESENDS_MAX = 5, /* inbox.on_unknown: resend */
    ANSWER_TEXT_BUCKETS = 1024,
    ANSWER_RATE_PEERS = 256, /* peers whose answers are counted; the oldest count goes first */
    ANSWER_RATE_WINDOW_MS = 60 * 1000,
    ANSWER_ECHOES_MAX = 64,    /* echoes of one text that are told apart */
    ANSWER_SKEW_MS = 2 * 1000, /* by which a clock may jump or drift unnoticed */
    ANSWER_SENT_KEPT = 64,     /* acknowledged ones whose echo would measure the clocks */
    /* After this nothing of a call whose end we did not see comes any more: an edge cuts a call at
     * about 100 s and the platform may still carry it out, echo rows are 30 s late (P section
     * 10.6). Only then the feed's silence proves something. */
    ANSWER_SETTLE_MS = 130 * 1000,
    ANSWER_EARLY_MS = 10 * 1000,     /* first look: an echo that is there decides at once */
    ANSWER_ASK_AGAIN_MS = 15 * 1000, /* the next looks */
    ANSWER_NEAR_MS = 10 * 60 * 1000, /* equal answers older than this explain no echo */
    /* A drain waits so long for the feed to be asked about an answer; see answer_times.early */
    ANSWER_DRAIN_MS = 30 * 1000,
};

/* Tests shorten them. */
struct answer_times {
    int64_t backoff_base, backoff_cap;
    int64_t early, settle; /* for a sweep: that may find an echo, whose silence is a proof too */
    int64_t ask_again;
    int64_t drain;    /* since the doubt began */
    int64_t peer_try; /* what may never be taken is tried so long */
};

enum answer_phase {
    ANSWER_QUEUED = 0,
    ANSWER_INTENT,
    ANSWER_CALLING,
    ANSWER_ASKING,
    ANSWER_WAITING,
    ANSWER_DOUBTFUL,
};

struct answer_evidence {     /* while DOUBTFUL */
    int64_t unknown_ms;      /* loop time: since when */
    int64_t intent_ms;       /* wall clock: it was not sent before */
    bool is_reading, is_cut; /* of equal answers in the journal */
    bool is_asked;           /* a sweep that could have shown its echo did not */
    unsigned equal_count;    /* answers with the same text that arrived and may have an echo */
    unsigned equal_newer;    /* those of them that certainly have one we count */
    int64_t equal_last_ms;   /* wall clock: when the last of them had arrived */
    char echoes[ANSWER_ECHOES_MAX][JOURNAL_ID_LEN + 1];
    unsigned echo_count;
    int64_t echo_last_us; /* the platform's clock */
};

struct answer { /* of one message in STEP_ANSWERING */
    struct list node;
    struct list text_node; /* in answers->texts while is_holding */
    bool is_holding;       /* its text is under way to a person: equal ones wait */
    uint64_t text_hash;
    struct answers *answers;
    struct message *m;
    enum answer_phase phase;
    struct asked asked;
    struct split split;
    struct str words; /* of the part under way */
    bool is_to_peer, is_counted;
    int64_t troubled_ms; /* loop time: since when m->j.answer_trouble_ms lasts, earlier runs
                            included; means nothing while that is 0 */
    int64_t begun_ms;
    int64_t sent_ms;      /* wall clock: the call under way */
    struct judged judged; /* of the last reply */
    struct answer_evidence evidence;
};

struct left_answer { /* to a person, found as answering in the journal */
    int64_t seq;
    uint64_t text_hash;
    bool is_resumed; /* only while the journal is being read */
};
struct left_answers {
    enum { LEFT_UNREAD = 0, LEFT_READING, LEFT_READ } state;
    struct left_answer *v; /* not resumed yet */
    size_t n, cap;
    int64_t after_seq;
    struct timer again; /* memory was short */
};

/* How far the platform's clock is from ours: the echo of an acknowledged answer was written down
 * between its sending and its acknowledgement. */
struct clock_offset {
    int64_t min_ms, max_ms; /* theirs minus ours */
    bool is_known;
};
struct answer_sent {
    uint64_t text_hash; /* 0 = none, or its echo was seen */
    int64_t sent_ms, acknowledged_ms;
};
struct answer_clocks {
    struct answer_sent sent[ANSWER_SENT_KEPT];
    unsigned next;
    int64_t newest_us; /* of all echoes seen; the platform's clock */
    bool has_last;
    struct clock_offset last;   /* of one echo */
    struct clock_offset offset; /* of two that agree */
};

struct peer_rate {
    char peer[JOURNAL_ID_LEN + 1];
    int64_t window_ms; /* loop time of its first answer */
    int64_t count;
};

struct answers {
    struct inbox *inbox;
    struct list queued, busy, waiting, doubtful; /* of struct answer, by phase */
    struct list texts;                           /* those that are holding theirs */
    unsigned text_buckets[ANSWER_TEXT_BUCKETS];  /* how many, by hash: mostly none, and no search */
    unsigned calls;                              /* INTENT, CALLING, ASKING */
    bool is_pumping;
    struct answer_times times;
    struct timer turn; /* the next peer may be answered again */
    struct left_answers left;
    struct answer_clocks clocks;
    struct timer settle; /* the next doubtful one is to be looked for */
    int64_t asked_ms;    /* loop time of the last sweep for them; 0 = none */
    struct peer_rate rates[ANSWER_RATE_PEERS];
};

/* answer.c */
void answer_move(struct answer *a, enum answer_phase phase);
void answer_queue(struct answer *a); /* its part is to be sent */
void answer_arrived(struct answer *a);
void answer_unsure(struct answer *a); /* nothing decides: parked, or sent again */
void answer_retry(struct answer *a);  /* by a->judged: backs off, and parks in the end */
void answers_pump(struct answers *as);
int answer_text_hash(const char *text, uint64_t *ret); /* of an answer to a person; or -ENOMEM */
/* Another one with the same words whose echo could be taken for a's; NULL = none. */
struct answer *answer_equal_of(const struct answer *a);
/* answer_evidence.c */
void answer_doubt(struct answer *a, int64_t intent_ms);
void answer_doubt_stop(struct answers *as);
/* answer_clocks.c */
void answer_clocks_sent(struct answers *as, struct slice text, int64_t sent_ms); /* acknowledged */
void answer_clocks_echo(struct answers *as, const struct row *r);
/* answer_left.c */
bool answer_left_is_read(struct answers *as); /* begins to read; answers_pump() when it is */
bool answer_left_has(const struct answers *as, uint64_t text_hash); /* not resumed yet */
void answer_left_resumed(struct answers *as, int64_t seq);
void answer_left_stop(struct answers *as);

#endif
