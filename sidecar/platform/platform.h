/*
 * The control plane: register, heartbeat, state, secrets, each an activity of its own with its own
 * timer, back-off and health.
 *
 * Nothing here decides what the sidecar does: app/ is told what was learnt and answers what it is
 * asked for. An outage never ends anything.
 *
 *   start      token sources read -> state asked, row looked at, registered; secrets; beats
 *   running    beats at fixed times, state every state_interval, secrets every secrets.refresh
 *   finish     a look whether somebody took over, one last beat, silence
 *
 * Callbacks run on the loop, never from inside platform_new or platform_start. platform_finish()
 * may be called from any of them, platform_free() from none. Sentences hold no secret; of a token
 * at most the first 8 characters. Source: P sections 3, 4, 5, 7, 8, 9, 19, 20; design section 6.
 */
#ifndef PLATFORM_PLATFORM_H
#define PLATFORM_PLATFORM_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"
#include "config/config.h"
#include "loop/curl_io.h"
#include "loop/loop.h"
#include "platform/secrets.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct platform;
struct transport; /* platform/transport.h */
struct reply;     /* platform/reply.h */

enum {
    TOKEN_PREFIX_CHARS = 8,     /* of a token that logs and status may show */
    SECRETS_LEFT_OUT_MAX = 256, /* bytes of the list of secrets the agent does not get */
};

/* What we believe the workspace is, as far as the platform has told (P section 5). */
enum workspace_state {
    WORKSPACE_UNKNOWN = 0, /* nothing heard yet */
    WORKSPACE_ACTIVE,      /* registered or running */
    WORKSPACE_PAUSED,
    WORKSPACE_REMOVED,
    WORKSPACE_AUTH_LOST, /* our token is not accepted; the agent goes on */
};
const char *workspace_state_name(enum workspace_state s);

/* The numbers of one heartbeat (P section 7.2); filled by app/ each time one is due. */
struct beat {
    double error_rate;
    char sample_error[500];
    int64_t active_tasks;
    char current_task[200];
    int64_t uptime_seconds;
    bool is_wedged;
};

struct secret {
    char *name;
    char *value; /* wiped when replaced */
};
struct secrets {
    struct secret *v; /* sorted by name */
    size_t n;
    /* those the agent cannot be given: names that are ours, change how programs run or are none;
     * values with U+0000. "A, B"; printable, may be cut */
    char left_out[SECRETS_LEFT_OUT_MAX];
    size_t left_out_count;
    bool is_known; /* pulled at least once */
};

struct platform_callbacks {
    void (*fill_beat)(void *arg, struct beat *ret);
    int (*make_card)(void *arg, struct str *ret, struct err *err); /* what to register */
    /*
     * once: token settled (or platform unreachable) and first secrets there, or secrets.start_wait
     * over
     */
    void (*on_ready_to_spawn)(void *arg);
    void (*on_registered)(void *arg);
    void (*on_state)(void *arg, enum workspace_state s, const char *why); /* changes only */
    /* first pull, and changes */
    void (*on_secrets)(void *arg, const struct secrets *s, bool is_first);
    /* bootstrap refused (P section 7.1e), or no such workspace, and no agent ran yet: exit 3 */
    void (*on_refused)(void *arg, const char *why);
    void (*on_max_iterations)(void *arg);
};

struct activity_status { /* of register, heartbeat, state, secrets */
    uint64_t ok_total, failed_total;
    unsigned failures;    /* in a row */
    int64_t last_ok_ms;   /* loop time; 0 = never */
    int64_t next_ms;      /* loop time of the next try; 0 = none planned */
    int last_status;      /* HTTP; 0 = no answer */
    char last_error[256]; /* a sentence without secrets */
    /* largest lateness of a due start since the beginning: heartbeats must stay on time */
    int64_t worst_late_ms;
};
struct platform_status {
    enum workspace_state state;
    char state_why[256];
    bool is_registered;
    bool has_token;
    char token_source[160]; /* "environment", "file /...", "minted"; never the token */
    /* its first characters, a quarter of them at most; "" when it is too short for that */
    char token_prefix[TOKEN_PREFIX_CHARS + 1];
    uint64_t registrations_total; /* accepted ones; `reg` counts update-card too */
    const char *delivery;         /* "push" "poll" "off": in effect */
    struct activity_status reg, heartbeat, state_poll, secrets;
    int64_t rate_limit, rate_remaining; /* -1 = unknown */
    size_t secret_count;
};

/*
 * cfg, l, io and store are borrowed until platform_free; cb is copied. Makes state.dir and takes
 * its lock (blocks for a moment: before the loop runs). 0, -EINVAL (platform.url, platform.token,
 * workspace.id, state.dir: the sentence names the key), -ENOMEM.
 */
int platform_new(struct loop *l, struct curl_io *io, struct store *store, const struct config *cfg,
                 const struct platform_callbacks *cb, void *arg, struct platform **ret,
                 struct err *err);
void platform_configure(struct platform *p); /* values in cfg have changed */
void platform_free(struct platform *p);      /* NULL is fine; what is under way is dropped */
void platform_start(struct platform *p);
/* the agent's card is new: update-card (or register if that was never done) */
void platform_card_changed(struct platform *p);
/* a request began or ended, the agent came or went: maybe an extra beat. Cheap: call it freely */
void platform_work_changed(struct platform *p);
/* draining begins: a beat with the true numbers, as soon as the platform wants one */
void platform_beat_now(struct platform *p);
void platform_check_state_now(struct platform *p);
/*
 * The end: one last beat (skipped when another instance registered since), then done. Bounded by
 * budget_ms. Other activities stop.
 */
void platform_finish(struct platform *p, int64_t budget_ms, void (*done)(void *arg), void *arg);
const struct platform_status *platform_status(const struct platform *p);
const struct secrets *platform_secrets(const struct platform *p);
struct slice platform_inbound_secret(const struct platform *p); /* empty = none */
struct slice platform_token(const struct platform *p);          /* empty = none */
/* Of an answer to GET /workspaces/:id: has another instance beaten, or registered, since we did? */
bool platform_is_taken_over(const struct platform *p, const struct reply *r);
/* For calls of a layer above us. After a 401 of one of them: platform_check_state_now(). */
struct transport *platform_transport(struct platform *p);

#endif
