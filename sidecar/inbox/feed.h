/*
 * The inside of fetching: what feed.c, sweep.c and batch.c share. Nobody else includes it, but
 * their tests.
 *
 *   rest -> (probe) -> poll by cursor -> saving -> rest           every poll_interval
 *   rest -> sweep, page by page backwards -> saving -> rest       every minute, and when in doubt
 *
 *   off -> sweep -> off                                           in a drain, for answers only
 *
 * One call is under way at a time, and none while its rows are not committed.
 */
#ifndef INBOX_FEED_H
#define INBOX_FEED_H

#include "inbox/parts.h"

#include "inbox/known.h"

enum {
    FEED_PAGE = 100,                      /* rows of a poll, P section 10.6 */
    FEED_PAGE_MIN = 2,                    /* one alone cannot move the cursor */
    FEED_PAGE_MAX = 500,                  /* of a sweep's page; the server's most */
    FEED_TIMEOUT_MS = 15 * 1000,          /* P section 4.1 */
    FEED_PAGE_BYTES = 512 * 1024,         /* a longer answer is asked for in smaller pages */
    FEED_ROW_BYTES = 48 * 1024 * 1024,    /* the smallest page: two rows of 16 MiB, and more */
    FEED_GATHER_BYTES = 16 * 1024 * 1024, /* what a sweep holds before it is saved */
    FEED_WINDOW_S = 180,                  /* a sweep looks back so far */
    FEED_WINDOW_START_S = 600,            /* the first one */
    FEED_WINDOW_MORE_S = 60,              /* beyond the time we know nothing of */
    FEED_WINDOW_MAX_S = 604800,           /* a week: what the platform keeps */
    FEED_BROKEN_CURSORS = 3,              /* 500s in a row that mean 410 */
    FEED_PROBES = 3,                      /* unclear answers; then cursors are believed in */
    FEED_CURSOR_BYTES = 128,              /* of a created_at as it was written */
    FEED_SWEEP_FAILURES = 3,              /* in a row, then polls go on without it */
    FEED_LOG_EVERY = 20,                  /* failures in a row between two warnings */
};

/* Milliseconds that no key sets. Tests shorten them. */
struct feed_times {
    int64_t backoff_base, backoff_cap; /* P section 4.4 */
    int64_t refused_cap;               /* 401 */
    int64_t sweep;                     /* between the begins of two sweeps */
    int64_t sweep_short;               /* the same while the rate limit is nearly used up */
    int64_t hint_gap, hint_gap_short;  /* between two polls that hints ask for */
    int64_t relaxed;                   /* at least so long between polls with a healthy stream */
    int64_t phase;                     /* at most, before the first call */
};

/* ---- batch.c: rows on their way into the journal ---- */
struct batch_row {
    struct journal_message m; /* row_id "" = known or of another type: not saved */
    char id[37];
    int64_t created_us, seq;
    size_t arrival;
    enum row_kind kind;
};
struct batch {
    struct batch_row *v; /* owned */
    size_t n, cap, arrivals;
    size_t bytes;                   /* of what is to be saved */
    int64_t oldest_us;              /* of the last page; INT64_MAX = it had no row */
    int64_t acked_seq;              /* [L] largest one; -1 = none */
    int64_t newest_echo_us;         /* 0 = none */
    char oldest[FEED_CURSOR_BYTES]; /* created_at of the oldest row of the last page */
    char second[FEED_CURSOR_BYTES]; /* and of the next other instant; "" = there is none */
};
/* Adds the rows of an answer; ret_count (rows in it, readable or not) may be NULL. 0, -EBADMSG
 * (not a feed) or -ENOMEM. */
int batch_add_page(struct batch *b, struct inbox *i, const struct known *known, struct slice body,
                   size_t *ret_count);
void batch_sort(struct batch *b); /* by (created_at, seq or arrival) */
/* Forgets rows that are not to be saved, but the newest. Sorted before. */
void batch_compact(struct batch *b);
/* Drops the newest until at most so many bytes are left, one instant at least. Sorted before. */
void batch_cut(struct batch *b, size_t bytes_max);
/* The row a cursor may stand on; is_full: the page may have ended inside an instant. -1 = none. */
long batch_cursor(const struct batch *b, bool is_full);
void batch_release(struct batch *b);

/* ---- feed.c ---- */
enum feed_step {
    FEED_OFF = 0,
    FEED_OPENING, /* the journal is being opened */
    FEED_REST,
    FEED_PROBING,
    FEED_POLLING,
    FEED_SWEEPING,
    FEED_SAVING,
};

struct sweep {
    struct batch gathered;
    int64_t began_ms; /* 0 = none under way */
    int64_t window_s;
    int64_t floor_us; /* older ones are saved already in this sweep; 0 = none */
    char before[FEED_CURSOR_BYTES];
    bool is_cut; /* the newest were dropped: another round */
    int64_t newest_echo_us;
};

struct feed {
    struct inbox *i;
    enum feed_step step;
    struct timer timer;
    struct call call, ack;
    struct feed_times times;
    int64_t due_ms, poll_began_ms, next_sweep_ms;
    int64_t sweep_pause_ms; /* no sweep before this: they fail, polls may not */
    int64_t swept_ms;       /* when the last whole sweep began; 0 = none yet */
    int64_t downtime_s;     /* before us */
    int64_t started_ms;     /* we */
    bool is_reading;        /* the journal's start was asked for */
    bool is_read;           /* and read */
    bool is_first;          /* a journal without any message, and no sweep yet */
    bool is_really_first;   /* and it was not made in place of a damaged one */
    bool is_lost;           /* what the journal had: the next sweep shows all there is */
    unsigned generation;    /* of the journal, when it was last looked at */
    bool is_probed, has_cursors, has_no_ack;
    bool wants_poll, wants_sweep, wants_more;
    bool is_looking;   /* feed_look_only(): nothing is saved, and OFF is the rest between sweeps */
    bool is_caught_up; /* the last page was not full: a sweep overtakes nothing */
    int64_t to_ack;    /* [L] of the page being saved; -1 = none */
    unsigned probes, broken_cursors;
    unsigned page, sweep_page; /* rows asked for: less while they are long */
    bool is_generous;          /* pages of one instant: a longer answer is taken */
    bool is_stuck;             /* even that was too long: the cursor goes into the middle of it */
    size_t page_bytes, gather_bytes; /* FEED_PAGE_BYTES, FEED_GATHER_BYTES; tests want less */
    struct journal_cursor cursor;
    struct sweep sweep;
    struct known known;
    struct saving *saving; /* the commit under way; the journal's callback frees it */
};

void feed_plan(struct feed *f); /* what is next, and when */
void feed_good(struct feed *f, const struct reply *r);
void feed_bad(struct feed *f, const struct reply *r); /* counts, says, and plans the next try */
void feed_lose_cursor(struct feed *f, const char *why);
bool feed_answer_is_page(const struct reply *r);
/* Too long an answer: smaller pages from now on. False: they cannot be smaller. */
bool feed_shrink(unsigned *page);
void feed_grow(const struct feed *f, unsigned *page, unsigned most, size_t bytes);
void feed_poll_path(const struct feed *f, const char *query, struct str *ret);

/* ---- saving.c ---- */
/* b is emptied. then runs after the commit, unless nothing is to be saved and no cursor moves: then
 * at once. cursor may be NULL. 0 or -ENOMEM. */
int feed_save(struct feed *f, struct batch *b, const struct journal_cursor *cursor,
              void (*then)(struct feed *f));
void feed_acknowledge(struct feed *f); /* [L] f->to_ack, which is journaled */

/* ---- sweep.c ---- */
void sweep_begin(struct feed *f);
void sweep_stop(struct feed *f);

/* ---- second.c: is there another sidecar of this workspace? ---- */
void second_start(struct inbox *i);
void second_stop(struct inbox *i);
void second_swept(struct inbox *i); /* what is new from now on happened in our time */
void second_saw_echo(struct inbox *i, const struct row *r); /* a new one */

#endif
