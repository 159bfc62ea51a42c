/*
 * The inside of platform/: one struct that the activities share, and what they ask of one another.
 * Nobody outside this folder (and its tests) includes it.
 *
 *   platform.c    owner: start order, the end, accessors
 *   token.c       which bearer we hold, where it came from, what a 401 makes of it
 *   state.c       what the workspace is (P section 5.2): the only one that concludes anything
 *   register.c    the register policy (P section 7.1)
 *   heartbeat.c   beats at fixed times
 *   secrets.c     pull, confirm a shrink, refresh
 *   inbound.c     the platform's inbound secret
 *   activity.c    timer, back-off and counters that each of them has
 *   transport.c, reply.c   one call and what its answer means
 *   disk.c        files by way of the storage thread
 */
#ifndef PLATFORM_INTERNAL_H
#define PLATFORM_INTERNAL_H

#include "platform/platform.h"

#include "base/list.h"
#include "platform/transport.h"

#include <linux/limits.h>

enum {
    TOKEN_FILE_COUNT = 8,       /* places where a token may lie */
    TOKEN_MAX = 4096,           /* bytes, P section 7.1 */
    UPTIME_MAX = 2147483647,    /* 32-bit column, P section 7.2 */
    CARD_ADVISED_BYTES = 65536, /* P section 7.1 */
    REFUSED_LOG_AFTER = 3,  /* 401s in a row until a beat's refusal is an error, P section 7.2 */
    REFUSED_LOG_EVERY = 20, /* beats between two such lines */
    FAILURE_LOG_EVERY = 20, /* further failures in a row between two warnings */
};

/* Milliseconds that no key sets. Tests shorten them before platform_start(). */
struct platform_times {
    int64_t backoff_base, backoff_cap; /* P section 4.4 */
    int64_t hurry;                     /* at most, once the platform answers again */
    int64_t refused_cap;               /* auth lost, P sections 4.4 and 5.2 */
    int64_t confirm_gap;               /* between two "not found" that make a removal */
    int64_t shrink_gap;                /* before a shrunken map of secrets is pulled again */
    int64_t extra_beat_gap;            /* design section 6 */
    int64_t extra_look_gap; /* between two looks whether one is worth it: requests are many */
    int64_t paused_slow_after, paused_slow; /* P section 20.3 */
    int64_t token_recheck;                  /* P section 19 */
    int64_t finish_check;                   /* at most, for the look before the last beat */
};

struct activity { /* embedded; one timer, one call, one status */
    struct platform *p;
    const char *name;
    struct activity_status *status;
    struct timer timer;
    struct call call;
    int64_t due_ms; /* what the timer was set to */
};

void activity_init(struct activity *a, struct platform *p, const char *name,
                   struct activity_status *status);
void activity_stop(struct activity *a);
void activity_at(struct activity *a, int64_t at_ms, timer_fn *fn); /* fn's timer->arg is a */
void activity_started(struct activity *a); /* first in fn: how late are we? */
void activity_good(struct activity *a, const struct reply *r);
void activity_bad(struct activity *a, const struct reply *r); /* counts, and says it now and then */
/* After activity_bad: when to try again. cap_ms 0 = the usual one. Retry-After is a floor. */
int64_t activity_retry_at(const struct activity *a, const struct reply *r, int64_t cap_ms);

/* ---- disk.c ------------------------------------------------------------------------------------
 */
typedef void disk_fn(struct platform *p, int code, struct slice content, const char *message);
/* fn runs later, from the loop, and not at all once p is freed. 0 or -errno. */
int disk_read_secret(struct platform *p, const char *path, bool mounted, disk_fn *fn);
int disk_write_secret(struct platform *p, const char *path, struct slice content, disk_fn *fn);
void disk_forget(struct platform *p);

/* ---- token.c -----------------------------------------------------------------------------------
 */
struct token_waiter { /* embedded; zeroed = not waiting */
    struct list node;
    bool is_waiting;
    unsigned age;
    void (*fn)(struct platform *p, bool is_new);
};

enum token_kind { TOKEN_NONE = 0, TOKEN_ENVIRONMENT, TOKEN_FILE, TOKEN_CACHED, TOKEN_MINTED };

struct tokens {
    struct str explicit_value; /* of the operator: environment, configuration or token_file */
    struct str cached_value;   /* on disk, or minted */
    char cached_path[PATH_MAX];
    bool is_minted;    /* cached_value came from register in this run */
    bool uses_cached;  /* although there is an explicit one */
    bool cached_tried; /* since the explicit one last worked */
    bool is_reading;
    bool is_loaded;
    bool files_warned[TOKEN_FILE_COUNT];
    char *files[TOKEN_FILE_COUNT]; /* owned; [0] is where minted ones go */
    size_t file_count, file_at;
    bool reads_explicit; /* the read under way is token_file's */
    struct str found;    /* what this round of reads found on disk */
    char found_path[PATH_MAX];
    struct list waiters;
    struct timer recheck;
    int lock_fd;
    void (*minted_fn)(struct platform *p);
};

int tokens_init(struct platform *p, struct err *err);
void tokens_release(struct platform *p);
void tokens_start(struct platform *p); /* reads all sources, then platform_token_settled() */
void tokens_stop(struct platform *p);
/*
 * The bearer of that age got a 401. Reads the sources again; fn(p, true) when another bearer is
 * held now (try again), fn(p, false) when not. fn may run before this returns.
 */
void token_refused(struct platform *p, unsigned age, struct token_waiter *w,
                   void (*fn)(struct platform *p, bool is_new));
void token_worked(struct platform *p, unsigned age); /* a call that proves it answered 200 */
/* Saved first, then held, then fn. */
void token_minted(struct platform *p, struct slice token, void (*fn)(struct platform *p));
bool token_is_plausible(struct slice token); /* one line, no blanks, at most TOKEN_MAX */

/* ---- inbound.c ---------------------------------------------------------------------------------
 */
struct inbound {
    struct str secret;
    struct str candidate; /* named by a beat; adopted when the row is next seen alive */
    bool is_early;        /* the state was being asked already: that answer proves nothing of it */
    char path[PATH_MAX];
};
void inbound_start(struct platform *p); /* the one saved by an earlier run */
/* From a beat (may be invented for a row that is gone: waits) or from a register after a look. */
void inbound_named(struct platform *p, struct slice json, bool row_is_known);
void inbound_row_is_alive(struct platform *p);
void inbound_release(struct platform *p);

/* ---- state.c -----------------------------------------------------------------------------------
 */
enum state_step {
    STATE_REST = 0,
    STATE_ASKING,  /* GET state */
    STATE_REREAD,  /* 401: the token sources are read again */
    STATE_LOOKING, /* GET the row */
    STATE_GAP,     /* not found once: waiting to look again */
    STATE_REPEAT,  /* the row is there: is the state still 401? */
    STATE_WHOSE,   /* still: does the token open what an admin's would? */
};
struct state_watch {
    struct activity a;
    enum state_step step;
    bool again;         /* asked for while one was under way */
    bool is_first_done; /* the phase was set */
    bool is_confirming; /* the row was not found once already */
    unsigned lost_age;  /* the bearer that AUTH_LOST was said of (transport.h) */
    int64_t paused_since_ms;
    struct token_waiter waiter;
};
void state_start(struct platform *p);
void state_stop(struct platform *p);
void state_check_now(struct platform *p); /* at once, or once more after the one under way */
/* What a row says: true when registering is allowed (P section 7.1b). ret_why: else why not. */
bool row_allows_register(const struct reply *r, char *ret_why, size_t cap);
bool row_is_removed(const struct reply *r);   /* 410, or 200 with that status */
bool row_is_not_found(const struct reply *r); /* 404 with the platform's own words */

/* ---- register.c --------------------------------------------------------------------------------
 */
enum register_step {
    REGISTER_REST = 0, /* nothing to do */
    REGISTER_CHECKING, /* a token is held: the state activity is asking (P 7.1a) */
    REGISTER_LOOKING,  /* GET the row (P 7.1b) */
    REGISTER_SENDING,  /* POST register; its token is being saved */
    REGISTER_CARD,     /* POST update-card */
    REGISTER_WAITING,  /* back-off, then from the top */
    REGISTER_BARRED,   /* paused, removed or auth lost: the state activity knows */
    REGISTER_REFUSED,  /* 401 at bootstrap: only a token helps (P 7.1e) */
};
enum { REGISTER_STEP_COUNT = REGISTER_REFUSED + 1 };
enum register_event {
    REGISTER_WANTED = 0, /* start, after paused, failed */
    REGISTER_NEW_CARD,
    REGISTER_CLEAR,   /* the state activity: the workspace is active */
    REGISTER_BAR,     /* paused, removed, auth lost: by the state activity or the row */
    REGISTER_ALLOWED, /* the row: may be registered */
    REGISTER_DONE,    /* the platform took it */
    REGISTER_TROUBLE, /* try again later */
    REGISTER_DENIED,  /* 401 and no other token to be had */
    REGISTER_REVOKED, /* every token is gone (P 7.1c) and the operator left tokens to us */
    REGISTER_TIMER,
    REGISTER_TOKEN, /* another bearer is held */
};
enum { REGISTER_EVENT_COUNT = REGISTER_TOKEN + 1 };

struct registrar {
    struct activity a;
    enum register_step step;
    bool wants_register, wants_card; /* to be done; taken back when the call leaves */
    bool sent_register;              /* what the call under way is */
    unsigned denied_age;             /* the bearer that register refused: not again with it */
    bool is_revoked;                 /* the register to come follows a revocation */
    unsigned revoked_age;            /* the bearer after whose revocation we were answered once */
    int64_t retry_cap_ms;            /* of the trouble at hand; 0 = the usual */
    int64_t retry_floor_ms;
    bool card_warned, mode_warned;
    struct token_waiter waiter;
};
void register_start(struct platform *p);
void register_stop(struct platform *p);
void register_want(struct platform *p); /* by state.c, which has just seen it active */
void register_want_card(struct platform *p);
void register_on_verdict(struct platform *p, bool is_clear); /* each conclusion of state.c */
void register_on_token(struct platform *p);
void register_on_revoked(struct platform *p); /* auth lost, yet beats are taken without a token */
bool register_is_defined(enum register_step s, enum register_event e); /* for the table's test */

/* ---- heartbeat.c -------------------------------------------------------------------------------
 */
struct heart {
    struct activity a;
    struct call extra; /* unused while a.call serves both */
    struct timer extra_timer;
    int64_t last_sent_ms;    /* 0 = never */
    int64_t looked_ms;       /* when an extra one was last considered */
    struct beat said;        /* the last one sent */
    int64_t not_before_ms;   /* Retry-After */
    int64_t beats;           /* finished */
    bool is_max_told;        /* platform.max_iterations was reached, and that was said */
    int64_t sent_uptime;     /* uptime_seconds of the last beat: "is the row still ours?" */
    int64_t accepted_uptime; /* and of the last one that got a 200 */
    bool accepted;           /* any beat got a 200 */
    bool was_extra;          /* the one under way */
    unsigned refused;        /* 401s in a row */
    bool is_repeat;          /* the one retry after a 401 */
    bool is_started;
    struct token_waiter waiter;
};
void heartbeat_start(struct platform *p);
void heartbeat_stop(struct platform *p);
void heartbeat_extra(struct platform *p, bool now);
void heartbeat_body(const struct platform *p, const struct beat *b, struct str *ret);
void heartbeat_note_sent(struct platform *p, const struct beat *b);

/* ---- secrets.c ---------------------------------------------------------------------------------
 */
struct secret_puller {
    struct activity a;
    bool is_started;
    bool is_confirming; /* the last map was smaller than ours */
    struct token_waiter waiter;
};
void secrets_start(struct platform *p);
void secrets_stop(struct platform *p);
void secrets_pull_now(struct platform *p);
void secrets_configure(struct platform *p); /* secrets.refresh may have changed */
void secrets_release(struct secrets *s);    /* wipes */
/* Members of the map: more than any workspace has, and each new one is compared with the others. */
enum { SECRETS_MAX = 2048 };
/* A flat object of strings, sorted by name. 0, -EBADMSG (not such a thing), -E2BIG or -ENOMEM. */
int secrets_parse(struct slice json, struct secrets *ret);

/* ---- platform.c --------------------------------------------------------------------------------
 */
struct platform {
    struct loop *loop;
    struct store *store;
    const struct config *cfg;
    struct platform_callbacks cb;
    void *arg;
    struct platform_times times;
    struct platform_status status;
    struct transport transport;
    struct tokens tokens;
    struct inbound inbound;
    struct state_watch state;
    struct registrar reg;
    struct heart heart;
    struct secret_puller puller;
    struct secrets secrets;
    struct list disk_jobs;
    struct timer start_wait;
    bool is_started, is_spawned, is_refused, is_finishing;
    bool has_said_start_wait; /* that the agent starts without the platform, too */
    /* the end */
    struct call last_call;
    struct timer last_timer;
    int64_t last_deadline_ms;
    void (*last_done)(void *arg);
    void *last_arg;
};

void platform_token_settled(struct platform *p); /* the sources were read for the first time */
void platform_token_changed(struct platform *p);
void platform_maybe_spawn(struct platform *p);
void platform_set_state(struct platform *p, enum workspace_state s, const char *why);
void platform_refused(struct platform *p, const char *why);
/* "/workspaces/<id><suffix>" */
void platform_path(const struct platform *p, const char *suffix, char *ret, size_t cap);

#endif
