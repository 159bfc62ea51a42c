/*
 * The journal: each message that the platform's feed ever gave us, and how far it got. An SQLite
 * database in state.dir (WAL, synchronous=FULL, exclusive locking) that only the storage thread
 * touches. docs/journal.md shows the schema.
 *
 *   seen -> delivered -> answering -> answered      the usual way
 *   skipped                                         known, and no work of ours (echoes, uploads,
 * ...) dead, parked                                    given up; answer's fate unknown: `inbox
 * list`
 *
 * Writes are queued on the loop and gathered into one transaction per turn of the thread; each
 * one's `done` runs on the loop, in order, only after the commit. While the disk refuses (full,
 * read-only, failing) the batch is tried again with back-off and nothing is called: a step counts
 * as done only after its commit, so whoever waits for one simply waits. journal_status() says why.
 *
 * Threads: all functions are the loop's. Errors in words: err, status.problem. Source: design
 * section 11; P section 10.6.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "base/err.h"
#include "base/slice.h"
#include "loop/loop.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JOURNAL_ID_LEN = 36,                     /* a UUID */
    JOURNAL_KEEP_MS = 8 * 24 * 3600 * 1000,  /* finished ones; longer than the feed has them */
    JOURNAL_KEEP_COUNT = 100000,             /* finished ones, P section 10.6 */
    JOURNAL_KEEP_CONVERSATIONS = 100000,     /* what the agent knows of; the longest unused goes */
    JOURNAL_KEEP_BYTES = 1024 * 1024 * 1024, /* of the file; beyond it finished ones lose their
                                                texts, oldest first */
};

/* The numbers are in the file: never change one. */
enum journal_state {
    JOURNAL_SEEN = 1,      /* waits for the agent */
    JOURNAL_DELIVERED = 2, /* the agent took it: with an answer, that waits to be sent; without, its
                              task goes on and is followed */
    JOURNAL_ANSWERING = 3, /* part parts_sent of the answer may or may not have left */
    JOURNAL_ANSWERED = 4,  /* final; also when there was nothing to say */
    JOURNAL_PARKED = 5, /* final until the operator says: nobody knows whether the answer arrived */
    JOURNAL_DEAD = 6,   /* final until the operator says: the agent could not take it */
    JOURNAL_SKIPPED = 7, /* final: not ours to answer; kept so that it is known */
};
const char *journal_state_name(enum journal_state s); /* "seen", ... */
bool journal_state_is_final(enum journal_state s);

/* All texts malloc'ed and owned, NULL = "". */
struct journal_message {
    int64_t seq; /* ours: order of arrival; 0 = not in the journal yet */
    enum journal_state state;
    char row_id[JOURNAL_ID_LEN + 1]; /* the feed's; unique */
    char sender[JOURNAL_ID_LEN + 1]; /* the peer's workspace; "" = a person */
    int64_t created_us;              /* the platform's clock */
    int64_t changed_ms;              /* our wall clock; set by the journal */
    int64_t due_ms;                  /* our wall clock: not before; 0 = now */
    unsigned attempts;               /* answers of the agent that were failures */
    unsigned deaths;                 /* times the agent was lost with it in hand */
    unsigned parts_sent;             /* of the answer */
    unsigned answer_tries;           /* of the part that is next: refused for now, in a row */
    unsigned answer_resends;         /* the same, its fate unknown */
    int64_t answer_trouble_ms; /* how long these have lasted, the pause after the last included;
                                  without the time when no sidecar ran */
    char *message_id;          /* the sender's; the agent gets it unchanged, at each attempt */
    char *conversation;        /* order is kept within one */
    char *context_id;          /* what the agent is given, or has given */
    char *task_id;             /* the agent's task that works on it */
    char *request;             /* request_body as it came */
    char *answer;              /* text */
    char *why;                 /* a sentence: last failure, why dead, parked, skipped */
};
void journal_message_release(struct journal_message *m);
/* A copy that owns its texts; 0 or -ENOMEM. */
int journal_message_copy(const struct journal_message *from, struct journal_message *to);

/* What the agent knows of a conversation: where its next message goes. Empty texts clear. */
struct journal_conversation {
    char *conversation;
    char *context_id; /* as the agent named it */
    char *task_id;    /* open and interrupted: the next message goes to it */
};
void journal_conversation_release(struct journal_conversation *c);

struct journal_cursor {
    char row_id[JOURNAL_ID_LEN + 1]; /* "" = none */
    int64_t created_us;
};

struct journal_status { /* of the last commit or attempt */
    bool is_open;
    bool is_memory; /* what happens now is lost with us (inbox.on_disk_error: memory) */
    char path[512];
    char problem[512]; /* a sentence, "" = none: why nothing is written at the moment */
    char notice[512];  /* a sentence, "" = none: a damaged file was set aside, and where it is */
    bool was_refilled; /* opened without any message: the first start, or after such a file */
    /* Raised when a new file is begun while running, in place of one that is damaged or gone: what
     * the journal had is lost, who has it in memory gives it back (journal_restore). */
    unsigned generation;
    uint64_t commits, writes; /* writes / commits = how much one batch gathers */
    uint64_t batch_max;
    int64_t commit_worst_ms;
    int64_t count[JOURNAL_SKIPPED + 1]; /* by state, kept up to date */
    int64_t oldest_waiting_us;          /* created_us of the oldest seen one; 0 = none */
};

struct journal;
struct journal_options {
    const char *dir;      /* state.dir; copied */
    bool memory_on_error; /* inbox.on_disk_error: memory */
    const char *vfs;      /* SQLite VFS, NULL = the default; tests give one that fails */
    int64_t keep_ms;      /* 0 = JOURNAL_KEEP_MS */
    int64_t keep_count;   /* 0 = JOURNAL_KEEP_COUNT */
    int64_t keep_conversations, keep_bytes; /* 0 = as above */
    /* For tests: 0 = as it should be. */
    int64_t backoff_ms;        /* the first wait after a failure */
    int64_t checkpoint_frames; /* pages of the WAL that are brought into the file at once */
    int64_t memory_retry_ms;   /* while in memory: how often the disk is tried */
};

/*
 * Opening, checking and migrating happen on the storage thread; everything below may be called at
 * once and is queued behind it. A damaged or foreign file is set aside (status.notice). 0, or
 * -EINVAL (dir on a network file system) or -ENOMEM with a sentence.
 */
int journal_open(struct loop *l, struct store *store, const struct journal_options *o,
                 struct journal **ret, struct err *err);
/*
 * What is queued is written if the disk takes it now, else its callbacks get -EBUSY; then closed.
 * Waits for the disk; what callbacks ask for meanwhile is refused. Not from a callback of the
 * journal. NULL is fine.
 */
void journal_close(struct journal *j);
const struct journal_status *journal_status(const struct journal *j);

/*
 * Functions return 0, or -ENOMEM (also when 64 MiB of texts wait for a disk that refuses), or
 * -EBUSY while closing. Callbacks get 0; -ENOMEM; -ENOENT (no such seq, or not with this row_id:
 * a new file was begun: journal_restore); -EBUSY (closing). Never a disk's failure: that waits.
 */
typedef void journal_done_fn(void *arg, int code);

/*
 * Add those of v that are not there (by row_id, and by sender + message_id) and move the cursor
 * (NULL: leave it), in one transaction. v is copied. done gets v back in the same order: seq is 0
 * where it was known already. The same sender and message_id in another row is written down as
 * skipped, with the first row in `why`, and is known too (seq 0); one that is added as skipped is
 * not held against later ones, and an empty message_id against nobody.
 */
typedef void journal_added_fn(void *arg, int code, struct journal_message *v, size_t n);
int journal_add(struct journal *j, const struct journal_message *v, size_t n,
                const struct journal_cursor *cursor, journal_added_fn *done, void *arg);
/*
 * Saves all of m but row_id (which must be m's), sender, created_us, message_id, conversation and
 * request, and with it c (may be NULL). Copied. done may be NULL.
 */
int journal_set(struct journal *j, const struct journal_message *m,
                const struct journal_conversation *c, journal_done_fn *done, void *arg);

/*
 * Gives back what a file begun anew (status.generation) does not know: all of v with their numbers,
 * which no other message has got since; those that are there are left as they are. Copied.
 */
int journal_restore(struct journal *j, const struct journal_message *v, size_t n);

enum { JOURNAL_READ_MAX = 500 }; /* messages of one read */
struct journal_query {
    unsigned states;          /* bits 1 << state; 0 = any */
    int64_t after_seq;        /* newer ones only */
    const char *conversation; /* NULL = any; copied */
    const char *row_id;       /* NULL = any; copied */
    const char *answer;       /* NULL = any; copied. Else exactly this text to a person, and v comes
                                 without request and answer: only how many and when is asked */
    int64_t changed_from_ms;  /* changed_ms is not before */
    unsigned per_conversation; /* at most so many of each, oldest first; 0 = no limit */
    bool newest_first;
    bool is_brief;  /* without request and answer: such a read is as long as its limit says */
    unsigned limit; /* 0 = JOURNAL_READ_MAX */
};
/*
 * v: the callback may take texts out of it (set them NULL). May be fewer than the limit although
 * there are more: a read ends behind 16 MiB of texts. None left is n = 0.
 */
typedef void journal_read_fn(void *arg, int code, struct journal_message *v, size_t n);
int journal_read(struct journal *j, const struct journal_query *q, journal_read_fn *done,
                 void *arg);
typedef void journal_conversation_fn(void *arg, int code, struct journal_conversation *c);
int journal_read_conversation(struct journal *j, const char *conversation,
                              journal_conversation_fn *done, void *arg);

/*
 * cursor.row_id "" = none. last_ms: wall clock of the last commit before this opening; 0 = never.
 * While closing: none and 0.
 */
typedef void journal_start_fn(void *arg, const struct journal_cursor *cursor, int64_t last_ms);
int journal_read_start(struct journal *j, journal_start_fn *done, void *arg);
int journal_drop_cursor(struct journal *j);

/* `inbox verify`: SQLite's own integrity check and ours. sentence: "ok", or what is wrong. */
typedef void journal_verify_fn(void *arg, bool is_good, const char *sentence);
int journal_verify(struct journal *j, journal_verify_fn *done, void *arg);
/*
 * The same of the file in dir while no sidecar has it. Blocks: for the command. Nothing is made,
 * migrated or set aside, and only our own user's files are opened (-EPERM); what a killed run left
 * in the WAL is brought into the file, as the next start would do. 0, or -errno with a sentence.
 */
int journal_verify_file(const char *dir, struct err *err);

#endif
