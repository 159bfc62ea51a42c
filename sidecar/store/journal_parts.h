/*
 * The inside of the journal. journal.c has the loop's side, journal_turn.c the thread's; what the
 * thread does with the tables is in journal_write.c, journal_read.c, journal_verify.c and
 * journal_tidy.c.
 *
 *   loop                              storage thread
 *   journal_add() ... -> waiting
 *   turn_give():  waiting -> batch
 *   store_run() --------------------> turn_run(): one transaction of the whole batch
 *   on_turn():  callbacks in order <- done
 */
#ifndef STORE_JOURNAL_PARTS_H
#define STORE_JOURNAL_PARTS_H

#include "store/journal.h"

#include "base/list.h"
#include "store/database.h"

#define JOURNAL_FILE "inbox.db"

enum {
    JOURNAL_BATCH_OPS = 256,                      /* one transaction's; so many callbacks at once */
    JOURNAL_BATCH_BYTES = 8 * 1024 * 1024,        /* and its texts */
    JOURNAL_QUEUE_BYTES = 64 * 1024 * 1024,       /* waiting while the disk refuses; then -ENOMEM */
    JOURNAL_READ_BYTES = 16 * 1024 * 1024,        /* texts of one read: it ends behind them */
    JOURNAL_CHECKPOINT_FRAMES = 1000,             /* pages of the WAL, about 4 MiB */
    JOURNAL_TIDY_STEP = 64,                       /* rows or pages a transaction tidies away */
    JOURNAL_TIDY_LOOK = 512,                      /* finished ones it looks at for their texts */
    JOURNAL_MEMORY_MAX_BYTES = 256 * 1024 * 1024, /* a larger file is not copied into memory */
    JOURNAL_MEMORY_RETRY_MS = 60 * 1000,          /* how often the disk is tried again then */
    JOURNAL_BACKOFF_MS = 100,
    JOURNAL_BACKOFF_MAX_MS = 10 * 1000,
    JOURNAL_BUSY_MAX_MS = 1000, /* another sidecar has the file: at a rollout we wait for its end */
};

enum op_kind {
    OP_ADD = 0,
    OP_SET,
    OP_RESTORE,
    OP_DROP_CURSOR,
    OP_READ,
    OP_READ_CONVERSATION,
    OP_READ_START,
    OP_VERIFY,
};

struct op {
    struct list node;
    enum op_kind kind;
    int code;                  /* for its callback */
    size_t bytes;              /* of its texts */
    struct journal_message *v; /* add, set: given; read: found. Owned */
    size_t n;
    bool has_cursor, has_conversation;
    struct journal_cursor cursor;  /* add: given; read_start: found */
    struct journal_conversation c; /* set: given; read_conversation: name given, rest found */
    struct journal_query q;        /* its texts are owned by the three below */
    char *conversation, *row_id, *answer;
    int64_t last_ms; /* read_start */
    bool is_good;    /* verify */
    char sentence[ERR_MSG_MAX];
    union {
        journal_added_fn *added;
        journal_done_fn *set;
        journal_read_fn *read;
        journal_conversation_fn *conversation;
        journal_start_fn *start;
        journal_verify_fn *verify;
    } done;
    void *arg;
};
void op_free(struct op *op);
void op_forget_results(struct op *op); /* before it is tried again */
static inline bool op_is_write(const struct op *op)
{
    return op->kind <= OP_DROP_CURSOR;
}

enum statement {
    STMT_BEGIN = 0,
    STMT_COMMIT,
    STMT_ROLLBACK,
    STMT_FIND_ROW,
    STMT_FIND_TWIN,
    STMT_INSERT,
    STMT_RESTORE,
    STMT_INSERT_BODY,
    STMT_FIND_STATE,
    STMT_SET,
    STMT_SET_ANSWER,
    STMT_SET_CONVERSATION,
    STMT_DROP_CONVERSATION,
    STMT_GET_CONVERSATION,
    STMT_SET_CURSOR,
    STMT_GET_CURSOR,
    STMT_SET_LAST,
    STMT_OLDEST,
    STMT_OLD_ONES,
    STMT_DELETE,
    STMT_DELETE_BODY,
    STMT_WITH_TEXTS,
    STMT_DELETE_CONVERSATIONS,
    STMT_FREE_PAGES,
    STMT_PAGES,
};
enum { STMT_COUNT = STMT_PAGES + 1 };

/* Derived from the tables, so that nothing is counted by scanning. */
struct tally {
    int64_t count[JOURNAL_SKIPPED + 1];
    int64_t conversations;
    int64_t oldest_seq, oldest_us;     /* the oldest seen one; 0 = none */
    bool is_oldest_stale;              /* to be looked up from oldest_seq on */
    int64_t textless_ms, textless_seq; /* finished ones up to here have lost their texts */
};

struct disk { /* the thread's, but while no turn runs */
    struct database d;
    sqlite3_stmt *stmt[STMT_COUNT];
    struct tally tally;
    int64_t keep_ms, keep_count, keep_conversations, keep_bytes;
    int64_t top_seq; /* the largest number given, also by a file that is gone */
    int64_t now_ms;  /* wall clock of this turn */
    int64_t last_ms; /* of the last commit before the first opening */
    bool has_last;
    uint64_t changes; /* rows that this transaction has written */
};

extern const struct database_schema journal_schema;

/* ---- journal_schema.c ---- */
int disk_prepare(struct disk *k, struct err *err);
void disk_finalize(struct disk *k);
sqlite3_stmt *disk_stmt(struct disk *k, enum statement s); /* reset, bindings cleared */
/* Run to its end: 0 (no row), 1 (a row: reset it after reading) or as database_error(). */
int disk_step(struct disk *k, sqlite3_stmt *s, struct err *err);
int disk_run(struct disk *k, sqlite3_stmt *s, struct err *err); /* no row wanted */
void bind_text(sqlite3_stmt *s, int i, const char *text);       /* NULL = ""; borrowed */
int column_text(sqlite3_stmt *s, int i, char **ret); /* malloc'ed, "" = NULL; 0 or -ENOMEM */
int disk_load_tally(struct disk *k, struct err *err);

/* ---- what an op does; 0, or a failure of the disk. Its own outcome is in op->code ---- */
int write_add(struct disk *k, struct op *op, struct err *err);
int write_set(struct disk *k, struct op *op, struct err *err);
int write_restore(struct disk *k, struct op *op, struct err *err);
int write_drop_cursor(struct disk *k, struct err *err);
int write_end(struct disk *k, struct err *err); /* before COMMIT */
void tally_move(struct disk *k, int64_t seq, int from, int to, int64_t created_us);
int tally_refresh_oldest(struct disk *k, struct err *err);
int read_messages(struct disk *k, struct op *op, struct err *err);
int read_conversation(struct disk *k, struct op *op, struct err *err);
int read_start(struct disk *k, struct op *op, struct err *err);
int verify(struct disk *k, struct op *op, struct err *err);
/* What must be true of the tables. ret_broken: a sentence about the first that is not, or "". */
int verify_rules(struct database *d, char *ret_broken, size_t size, struct err *err);
int tidy(struct disk *k, struct err *err); /* one small step of retention */

/* ---- journal_turn.c ---- */
struct turn_state { /* the thread's, but while no turn runs */
    struct disk disk;
    struct journal_status status; /* copied to the loop's after each turn */
    char vfs[32];
    char dir[DATABASE_PATH_MAX];
    int64_t checkpoint_frames;
    bool memory_on_error;
    bool must_abandon; /* a failure was not cleaned up after yet */
    bool is_anew;      /* a new file was begun; it is not open yet */
    bool was_damaged;  /* a statement met damage: look thoroughly at the next opening */
    unsigned damaged_in_a_row;
    char damage[ERR_MSG_MAX]; /* what it met */
    bool wants_checkpoint;
    struct database file;    /* while in memory: what is known of the file */
    int64_t file_last_ms;    /* the last commit in it: no other file is written over; 0 = none */
    int64_t tried_last_ms;   /* what came back may be there although that failed */
    int64_t memory_since_ms; /* monotonic: when the disk was last tried */
    int64_t memory_retry_ms;
    char memory_problem[512]; /* the sentence of that time */
};
/* One attempt at all of batch. 0: done and durable; else nothing of it is, and err says why. */
int turn_run(struct turn_state *t, struct list *batch, struct err *err);
void turn_close(struct turn_state *t);
int disk_load(struct turn_state *t, struct err *err); /* of an open database */
void disk_close_failed(struct turn_state *t);
int turn_begin_anew(struct turn_state *t, struct err *err); /* of an open, empty database */

/* ---- journal_memory.c ---- */
/* After a failure: 0 if the batch may be tried at once in memory, else err's code. */
int memory_enter(struct turn_state *t, struct err *err);
/* Back to the disk if it is time. */
void memory_try_leave(struct turn_state *t, bool is_last);

#endif
