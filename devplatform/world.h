/*
 * What the development platform knows: workspaces, their tokens, secrets and activity rows, all in
 * memory. No HTTP in here.
 *
 * One struct world per process (tests may make more). Everything reachable from it is owned by it;
 * pointers to workspaces and tokens are good until the next call that can purge. Source: P sections
 * 3, 5, 6, 7, 10.
 */
#ifndef DEVPLATFORM_WORLD_H
#define DEVPLATFORM_WORLD_H

#include "base/cleanup.h"
#include "base/list.h"
#include "base/slice.h"
#include "devplatform/rows.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WORLD_TOKENS_LIVE_MAX = 50, /* live tokens of one workspace (P section 6.3) */
    WORLD_TOKEN_BYTES = 32,     /* random bytes of a token: 43 characters of base64url */
    WORLD_TOKEN_TEXT_MAX = 512, /* characters of a token given on the command line */
    WORLD_URL_MAX = 2048,       /* characters of a registered URL */
    WORLD_NAME_MAX = 255,       /* bytes of a workspace name (P section 6.1) */
    WORLD_ANCESTORS_MAX = 32,   /* length of a parent chain that is followed (P section 14.3) */
    WORLD_ID_LEN = 36,
    WORLD_TIME_MAX = 40, /* bytes of an RFC 3339 time with its NUL */
};

enum status {
    STATUS_PROVISIONING = 0,
    STATUS_ONLINE,
    STATUS_OFFLINE,
    STATUS_DEGRADED,
    STATUS_FAILED,
    STATUS_REMOVED,
    STATUS_PAUSED,
    STATUS_HIBERNATED,
    STATUS_HIBERNATING,
    STATUS_AWAITING_AGENT,
};
const char *status_name(enum status s);

struct token {
    struct list node;
    char id[WORLD_ID_LEN + 1];
    char text[WORLD_TOKEN_TEXT_MAX + 1];
    int64_t created_us;   /* wall clock */
    int64_t last_used_us; /* 0 = never */
    bool is_revoked;
};

struct workspace {
    struct list node;
    char id[WORLD_ID_LEN + 1];
    char name[WORLD_NAME_MAX + 1];
    char *role;       /* malloc'ed; NULL = null */
    char runtime[32]; /* "external", or a container runtime for rows made by register */
    enum status status;
    char url[WORLD_URL_MAX + 1];      /* "" = none */
    char delivery_mode[8];            /* "push" or "poll"; "" = never said */
    char parent_id[WORLD_ID_LEN + 1]; /* "" = root */
    struct json_object *agent_card;   /* NULL = null */
    struct json_object *secrets;      /* object of strings */
    struct list tokens;               /* struct token, oldest first */
    char inbound_secret[48];          /* made when first shown */
    int64_t removed_us;               /* wall clock; with STATUS_REMOVED */
    int64_t budget_cents;             /* -1 = none */
    struct row_feed feed;             /* its activity rows */
    int64_t acked_seq;                /* POST .../activity/ack of later platforms; 0 = none */
    bool is_unsaved;                  /* data.c has to write it */

    int64_t heard_ms; /* loop time of the last register or heartbeat; 0 = never */
    uint64_t beats;
    uint64_t registrations;
    struct json_object *last_beat; /* the last heartbeat's body as it came; NULL = none */
    double error_rate;
    char *sample_error; /* malloc'ed or NULL, like current_task */
    char *current_task;
    int64_t active_tasks;
    int64_t max_tasks;
    int64_t uptime_s;
    int64_t spend_cents;
    char runtime_state[16];
};

struct world {
    struct list workspaces; /* in the order they were made */
    struct rows rows;
};

void world_init(struct world *w);
void world_release(struct world *w);

struct workspace *world_find(const struct world *w,
                             struct slice id); /* removed ones too; NULL when unknown */
/* A new row: external, awaiting_agent, no tokens. `id` must be a lowercase UUID that is not known;
 * NULL only without memory. */
struct workspace *world_add(struct world *w, const char *id, const char *name);
void world_purge(struct world *w,
                 struct workspace *ws); /* with tokens and activity, as if it had never been */
bool workspace_is_below(const struct world *w, const struct workspace *ws,
                        const struct workspace *top);
bool world_may_talk(const struct world *w, const struct workspace *a,
                    const struct workspace *b); /* P section 14.3 */

/* ---- tokens
 * ----------------------------------------------------------------------------------------------------
 */
struct token *token_add(struct workspace *ws,
                        const char *text); /* text NULL: minted. NULL without memory */
size_t token_live_count(const struct workspace *ws);
void token_revoke_all(struct workspace *ws);
/* A live token of exactly this workspace, which is not removed (P section 3.2); marks it used. */
struct token *token_check(struct workspace *ws, struct slice text);
struct workspace *token_owner(
    const struct world *w, struct slice text); /* the workspace a live token belongs to, or NULL */
const char *workspace_inbound_secret(struct workspace *ws);
/* "abcd…" of a secret, for logs; "" stays "". */
const char *token_mask(struct slice text, char ret[16]);
void token_make(char ret[48]); /* 43 characters of base64url */

/* ---- activity
 * --------------------------------------------------------------------------------------------------
 */
/* Shows a finished row (rows.h) in its workspace's feed; the oldest rows go when there are too
 * many. Takes it over. False, and it was freed, without memory or without such a workspace. */
bool world_show_row(struct world *w, struct row *r);
/* Rows older than that vanish, as by the server's retention. Returns how many. */
size_t world_forget_rows(struct world *w, int64_t before_us);

/* ---- small helpers
 * --------------------------------------------------------------------------------------------- */
int64_t wall_us(void);
const char *time_text(
    int64_t us, char ret[WORLD_TIME_MAX]); /* RFC 3339, Z, trailing zeros of the fraction trimmed */
bool time_parse(struct slice text, int64_t *ret_us);     /* RFC 3339 */
void text_copy(char *dst, size_t cap, struct slice src); /* cut to fit, NUL-terminated */
void text_set(char **dst, const char *src); /* frees, then duplicates; NULL stays NULL */
void json_set(struct json_object **dst,
              struct json_object *value); /* puts the old one; takes a reference of its own */

#endif
