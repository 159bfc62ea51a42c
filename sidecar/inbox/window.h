/*
 * The inside of queue.c and window.c: which messages are in memory. queue.c says which is next,
 * window.c puts them in, takes them out and reads more from the journal.
 */
#ifndef INBOX_WINDOW_H
#define INBOX_WINDOW_H

#include "inbox/parts.h"

#include "base/hash.h"

enum {
    WINDOW_BUCKETS = 1024,       /* of the hash of conversations */
    WINDOW_REFILL_PAUSE_MS = 50, /* between two refills: each reads a part of the journal */
};

struct conversation {
    struct list node;   /* in one of the queue's lists */
    struct list bucket; /* in the hash */
    struct queue *queue;
    struct list messages; /* by seq */
    size_t count;
    struct message *working;           /* in work; NULL = free */
    struct journal_conversation known; /* conversation: the key */
    bool is_known;                     /* the journal has said what is known */
    bool is_changed;                   /* known is to be written */
    bool is_cut;                       /* the journal may have newer ones that are not here */
    unsigned stopped_in;               /* the refill that has left some of it out */
    unsigned dropped_in;               /* the refill during which news of it were left out */
    unsigned page;                     /* the last one that showed it, */
    unsigned shown;                    /* and how many of it */
};

struct queue {
    struct inbox *inbox;
    struct list ready[QUEUE_KIND_COUNT], later, rest, resumes;
    struct list buckets[WINDOW_BUCKETS];
    struct hash_key hash; /* of the buckets */
    struct deferred wake;
    struct timer refill_timer;
    int64_t later_ms; /* the earliest of `later`; 0 = none */
    size_t messages, bytes, in_work;
    size_t empty;          /* conversations without messages */
    bool is_behind;        /* the journal may have conversations that are not here */
    bool is_low;           /* one that is cut has few left */
    bool is_refilling;     /* a read is under way */
    bool has_dropped;      /* of a conversation that is not here, since this refill began */
    unsigned refill, page; /* they count */
    unsigned generation;   /* of the journal: what is here is in that file */
    int64_t refilled_ms;
    int64_t *ended; /* seqs that ended while a read was under way: its pages may show them */
    size_t ended_count, ended_cap;
};

/* queue.c */
void window_on_wake(struct deferred *d);
void window_place(struct queue *q, struct conversation *c);

/* window.c */
size_t window_bytes_of(const struct journal_message *m);
void window_start_work(struct conversation *c, struct message *m);
void window_end_work(struct conversation *c, const struct message *m);
int64_t window_due(const struct inbox *i, int64_t due_ms); /* wall clock -> the loop's */
void window_forget(struct message *m);                     /* frees it */
void window_refill_if_low(struct queue *q);
void window_drop_all(struct queue *q);

#endif
