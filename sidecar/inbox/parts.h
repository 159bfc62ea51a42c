/*
 * The inside of inbox/: one struct that its files share, and what they ask of one another. Nobody
 * outside this folder (and its tests) includes it. Each message in memory is in one hand at a time:
 *
 *   queue.c     owns it while it waits its turn, and forgets it at the end
 *   deliver.c   hands it to the agent, reads what comes back, tries again, gives up; suspects.c
 *               says who may be handed over beside whom
 *   follow.c    asks after its task until that ends or needs somebody
 *   answer.c    sends what the agent said, part by part, with an intent written before each
 *   feed.c      fetches rows; wakeup.c says when; row.c reads them
 *   peers.c     who a peer is; uploads.c files that messages speak of
 *   inbox.c     the owner: start, drain, end, counters, the operator's questions
 */
#ifndef INBOX_PARTS_H
#define INBOX_PARTS_H

#include "inbox/inbox.h"

#include "base/list.h"
#include "inbox/row.h"
#include "platform/transport.h"

enum message_step {
    STEP_WAITING = 0, /* queue.c */
    STEP_AT_AGENT,    /* deliver.c */
    STEP_FOLLOWED,    /* follow.c */
    STEP_ANSWERING,   /* answer.c */
    STEP_SAVING,      /* final: its last commit is under way */
};

struct conversation;  /* queue.c's */
struct message {      /* one that is not final, in memory */
    struct list node; /* queue.c's: in its conversation, by seq */
    struct inbox *inbox;
    struct conversation *in;
    struct journal_message j; /* what is committed, or on its way there */
    enum message_step step;
    int64_t due_loop_ms;    /* queue.c's: j.due_ms on the loop's clock; 0 = now */
    struct timer timer;     /* of whoever has it: retry, next look, next try */
    struct port_call *port; /* deliver.c's, follow.c's */
    struct call call;       /* answer.c's */
    void *scratch;          /* of whoever has it, malloc'ed; freed before it is handed on */
    size_t bytes;           /* window.c's: what it counts for */
    bool is_left;           /* an earlier run of ours had it, too */
    bool is_counted;        /* deliver.c's: j.deaths has one more, in case we end by it */
};

/* ---- queue.c: which message is next ---- */
enum {
    QUEUE_MESSAGES_MAX = 4096,           /* in memory; the rest stays in the journal */
    QUEUE_BYTES_MAX = 32 * 1024 * 1024,  /* of their texts */
    QUEUE_PER_CONVERSATION = 128,        /* so that one does not take all of it */
    QUEUE_CONVERSATIONS_KEPT = 1024,     /* without messages: what the agent knows of them */
    QUEUE_DUE_MAX_MS = 24 * 3600 * 1000, /* a wall clock that jumps delays nothing for longer */
};
/*
 * m is moved. Only unfinished ones (seen, delivered, answering); one that is there already is
 * ignored. delivered and answering ones go on where they were (follow.c, answer.c).
 */
void queue_put(struct inbox *i, struct journal_message *m);
/* Conversations take turns among those of one kind, which is that of their oldest message. */
enum queue_kind {
    QUEUE_OTHERS = 0,
    QUEUE_SUSPECTS, /* suspect_is(): those with the fewest deaths first */
};
enum { QUEUE_KIND_COUNT = QUEUE_SUSPECTS + 1 };
/*
 * The oldest message of a conversation that has none in work, due now; it is yours until you give
 * it to another file, back (queue_return) or to queue_end. NULL: none, *ret_at_ms is when to look
 * again (loop time; 0 = when something changes).
 */
struct message *queue_next(struct inbox *i, enum queue_kind kind, int64_t *ret_at_ms);
bool queue_has(struct inbox *i, enum queue_kind kind); /* one that is due */
void queue_return(struct inbox *i, struct message *m); /* waits again, until m->j.due_ms */
/* m->j.state is final: saved, and forgotten after the commit; its conversation goes on. */
void queue_end(struct inbox *i, struct message *m);
void queue_refill(struct inbox *i); /* from the journal, when memory has room; at start */
struct message *queue_find(struct inbox *i, const char *row_id);
/* The first message for which fn is true, or NULL. fn neither ends nor moves any. */
typedef bool queue_match_fn(struct message *m, const void *arg);
struct message *queue_match(struct inbox *i, queue_match_fn *fn, const void *arg);
int64_t queue_in_work(const struct inbox *i);
/* The journal has begun a new file (status.generation): gives it all that is in memory. */
void queue_restore(struct inbox *i);
void queue_release(struct inbox *i); /* timers, calls and memory of every message */
/* What the agent knows of m's conversation (never NULL; texts may be): read before the first
 * delivery, kept with journal_set(). */
struct journal_conversation *queue_conversation(struct message *m);
/*
 * Sets what the agent knows of m's conversation; it goes into the journal with the next write of m
 * (queue_save, queue_end). 0 or -ENOMEM.
 */
int queue_set_conversation(struct message *m, const char *context_id, const char *task_id);
/* Writes m (and its conversation when that has changed). done as journal_set's; may be NULL. */
int queue_save(struct message *m, journal_done_fn *done, void *arg);

/* ---- deliver.c ---- */
enum {
    DELIVER_RETRY_MS = 2000, /* after the first failed answer; four times as long after each more */
    /* Deaths of the agent (or lost connections), or of the sidecar, with one message in hand. A
     * message that kills it must end somewhere; one that was only there when something else did
     * must not: with every second delivery ended by a kill this happens to one in a million. */
    DELIVER_DEATHS_MAX = 20,
    DELIVER_LOST_MS = 250, /* before it is tried again; doubled at each death, up to retry_max */
    DELIVER_UNREACHED_MAX_MS = 2000,          /* pause of all deliveries while nobody listens */
    DELIVER_NO_TIMEOUT_MS = 24 * 3600 * 1000, /* forward.response_timeout: 0 */
    DELIVER_MEMORY_MS = 1000,                 /* until the next try when memory is short */
    DELIVER_FILE_MS = 500,                    /* the same while a file of it is on its way */
};
void deliver_pump(struct inbox *i); /* hands over what may be; cheap: call it freely */
bool deliver_speaks_1_0(const struct inbox *i);
/* What an answer of the agent means for m, which is with the agent or followed. Takes a's texts. */
struct agent_answer;
void deliver_take(struct inbox *i, struct message *m, struct agent_answer *a, int64_t wait_ms);
/* A failed answer: tried again, at the earliest after wait_ms, or dead after max_attempts. */
void deliver_fail(struct inbox *i, struct message *m, const char *why, int64_t wait_ms);
/* The agent was lost with m, which it had in hand or was working on: counted apart (deaths). */
void deliver_lose(struct inbox *i, struct message *m, const char *why);
void deliver_bury(struct inbox *i, struct message *m, const char *why); /* dead at once */
/* We end in order, with messages still at the agent: that is no death. Before the journal closes.
 */
void deliver_spare(struct inbox *i);

/* ---- suspects.c: who may be handed over beside whom ---- */
enum {
    /* From so many deaths on. One is mostly an accident (the agent is updated, somebody else ran
     * out of memory), and then all that was in hand would go one by one for nothing. */
    SUSPECT_DEATHS = 2,
    /* How long a suspect has the agent to itself, and how long others are held back before, for
     * the hand to become empty. What kills does so soon; a suspect that works for hours must not
     * stop the rest. */
    SUSPECT_ALONE_MS = 30 * 1000,
};
struct suspects {
    const struct message *hand; /* the one in hand; NULL = none */
    int64_t until_ms;           /* loop time: nobody else is handed over before; 0 = now */
    int64_t others;             /* handed over since the last suspect */
    int64_t alone_ms;           /* tests shorten it */
};
/* It was in hand at several deaths, of the agent or ours. (What is counted in advance is none.) */
bool suspect_is(const struct message *m);
/* As queue_next(): the next to be handed over while at_agent messages are in hand. */
struct message *suspects_next(struct inbox *i, int64_t at_agent, int64_t *ret_at_ms);
void suspects_took(struct inbox *i, const struct message *m); /* deliver.c has it in hand now */
void suspects_left(struct inbox *i, const struct message *m); /* and not any more */

/* ---- follow.c ---- */
enum {
    FOLLOW_FIRST_MS = 1000, /* doubled after each look */
    FOLLOW_MAX_MS = 30000,
    FOLLOW_CALL_MS = 30000, /* one look */
};
void follow_begin(struct inbox *i, struct message *m); /* m->j.task_id is set, state delivered */

/* ---- answer.c ---- */
/* m->j.state is delivered, m->j.answer is set, and both are committed. */
void answer_begin(struct inbox *i, struct message *m);
/* Found as answering in the journal: an earlier run ended in the middle of a call. */
void answer_recover(struct inbox *i, struct message *m);
/* A row of the feed that is our own words to a person: evidence for answers whose fate is unknown.
 */
void answer_saw_echo(struct inbox *i, const struct row *r);
/* The sweep that began after time at_ms has shown all that is to be seen. */
void answer_feed_is_complete(struct inbox *i, int64_t at_ms);
bool answer_wants_sweep(const struct inbox *i); /* something waits for the feed's evidence */
/* How far back such a sweep must reach at least: wall clock, 0 = nothing waits. */
int64_t answer_evidence_since_ms(const struct inbox *i);
/*
 * Answers that a drain need not wait for: doubtful ones that the feed was asked about, or could not
 * be for ANSWER_DRAIN_MS, and those that wait behind one of equal text. The next run asks again.
 */
int64_t answers_left_to_next(const struct inbox *i);

/* ---- feed.c ---- */
void feed_start(struct inbox *i);
void feed_stop(struct inbox *i); /* no new calls; the one under way is dropped */
/* Behind feed_stop(): sweeps that feed_sweep_now() asks for go on, their rows are evidence for
 * answer_evidence.c and nothing else. Until feed_start() or feed_stop(). */
void feed_look_only(struct inbox *i);
void feed_poll_now(struct inbox *i);  /* wakeup.c: something is there */
void feed_sweep_now(struct inbox *i); /* wakeup.c after a reconnect; answer.c for evidence */
void feed_configure(struct inbox *i); /* platform.poll_interval may have changed */

/* ---- wakeup.c ---- */
void wakeup_start(struct inbox *i);
void wakeup_stop(struct inbox *i);

/* ---- second.c: is there another sidecar of this workspace? ---- */
/* answer.c: this text is about to be said to a person by /notify, so its echo is ours. Without
 * these calls no echo is taken for a stranger's. */
void second_sends(struct inbox *i, struct slice text);

/* ---- uploads.c, peers.c ---- */
#define UPLOADS_CONVERSATION "upload" /* of announcements in the journal, which are skipped */
#define UPLOADS_WAITS        "upload: not here yet" /* their `why` until the file is here or given up */
void uploads_saw(struct inbox *i, const struct journal_message *m); /* an announcement, journaled */
void uploads_start(struct inbox *i); /* what an earlier run did not finish */
void uploads_stop(struct inbox *i);
/* body speaks of a file that is on its way: deliver a little later. False in the end, whatever
 * became of the file: nothing is held for longer than UPLOADS_HOLD_MS after its announcement. */
bool uploads_is_awaited(struct inbox *i, const char *body);
enum {
    UPLOADS_HOLD_MS = 30 * 1000,
    UPLOADS_URIS_MAX = 64, /* of a message are looked at; the others stay as they are */
};
/* Known "platform-pending:" URIs of body become local ones. A new string; NULL = nothing to do. */
char *uploads_rewrite(struct inbox *i, const char *body);
struct peer_facts { /* "" = not known (yet); clean already (P section 14.2) */
    char name[64 + 1], role[64 + 1];
    char card_url[512];
};
void peers_find(struct inbox *i, const char *peer_id, struct peer_facts *ret); /* never waits */
void peers_learn(struct inbox *i, const struct row *r); /* what a row says of its sender ([L]) */

/* ---- inbox.c ---- */
struct inbox {
    struct loop *loop;
    struct curl_io *io;
    struct store *store;
    const struct config *cfg;
    struct platform *platform;
    struct transport *transport;
    struct port *port;
    struct journal *journal;
    struct inbox_callbacks cb;
    void *arg;
    struct inbox_status status;
    bool is_started, is_agent_ready, is_held, is_draining, is_finishing;
    bool is_told_idle;       /* on_idle came since inbox_finish() */
    unsigned losses;         /* of the agent: what it had in memory may be gone */
    int64_t first_seq;       /* of the first message that this run has fetched; 0 = none yet */
    struct timer finish;     /* its budget */
    struct deferred settled; /* inbox_work_changed(), at the end of the turn */
    struct feed *feed;       /* each file's own state; made by <file>_new, freed by <file>_free */
    struct wakeup *wakeup;
    struct queue *queue;
    struct deliver *deliver;
    struct suspects suspects;
    struct answers *answers;
    struct peers *peers;
    struct uploads *uploads;
    struct second *second;
};
void inbox_work_changed(struct inbox *i);

int feed_new(struct inbox *i), wakeup_new(struct inbox *i), queue_new(struct inbox *i);
int deliver_new(struct inbox *i), answers_new(struct inbox *i), peers_new(struct inbox *i);
int second_new(struct inbox *i),
    uploads_new(struct inbox *i); /* 0 or -ENOMEM; sets the member above */
void feed_free(struct inbox *i), wakeup_free(struct inbox *i), queue_free(struct inbox *i);
void deliver_free(struct inbox *i), answers_free(struct inbox *i), peers_free(struct inbox *i);
void second_free(struct inbox *i), uploads_free(struct inbox *i); /* NULL members are fine */

#endif
