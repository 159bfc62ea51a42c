/*
 * A control plane that is scripted, and a struct platform that talks to it: what the tests of
 * platform/ stand on. Every quirk of the real one that the client must know is here (P sections 5.2
 * and 7.1). Intervals are tens of milliseconds; that of beats grows while answers come too late.
 */
#ifndef TESTS_SUPPORT_PLATFORM_CASE_H
#define TESTS_SUPPORT_PLATFORM_CASE_H

#include "config/config.h"
#include "platform/internal.h"
#include "support/fake_http.h"

#define CASE_ID "11111111-2222-4333-8444-555555555555"

enum kind { REGISTER = 0, HEARTBEAT, CARD, STATE, ROW, SECRETS, ACTIVITY, OTHER };
enum { KIND_COUNT = OTHER + 1 };

struct override { /* instead of what the model would say */
    int times;    /* so many times; -1 = until changed; 0 = off */
    struct fake_answer answer;
};

/* Under fake_lock() while the platform runs. */
struct world {
    char token[64];  /* the live one; "" = none is live */
    char minted[64]; /* what register hands out when none is live; "" = nothing */
    char status[32]; /* of the row */
    bool is_removed, is_purged, db_down, wrong_org, refuses_origin, omits_mode;
    char secrets[256];
    char inbound[64];   /* platform_inbound_secret in answers */
    int64_t row_uptime; /* -1: what the last beat said */
    int64_t beat_uptime;
    char row_url[128];
    struct override over[KIND_COUNT];
    /* asked first, under the lock; true = it has answered */
    bool (*hook)(struct world *w, const struct fake_request *rq, struct fake_answer *ret);
    unsigned count[KIND_COUNT]; /* requests seen */
    unsigned with_origin;
    unsigned stopped_beats; /* heartbeats that said "stopped" */
    char order[256];        /* first letters: "RHCSWPA" */
    struct fake_request last[KIND_COUNT];
    char last_body[KIND_COUNT][4096];
    char last_bearer[KIND_COUNT][64];
};

struct pcase {
    struct loop *loop;
    struct curl_io *io;
    struct store *store;
    struct fake *fake;
    struct world world;
    struct config cfg;
    struct platform *p;
    char dir[64]; /* temporary; also HOME */
    char state_dir[128];
    char url[64];
    char beat_task[200];
    struct beat beat;
    char card[1024];
    unsigned spawned, registered, refused, max_iterations, states, secret_calls, finished;
    unsigned first_secrets;
    unsigned rows_at_state; /* case_since(ROW) when the state changed last */
    enum workspace_state state_log[32];
    char why[512];
};

extern struct pcase *pc;

void case_open(void); /* loop, fake, config; the platform object comes with case_new() */
void case_new(void);  /* after the test has changed pc->cfg */
void case_close(void);
void case_open_with_token(void); /* case_open() with "the-token", live and given by the operator */
void case_start(void);           /* case_new(), then until registered, with secrets and a beat */
bool case_beat_is_under_way(void);
void case_mark(void); /* count from here, also what is under way and not yet seen, unless its call
                         was given up */
unsigned case_since(enum kind k);
/* Run the loop until cond is true; fails the test after half a minute. */
void case_until(bool (*cond)(void), const char *what);
#define UNTIL(cond) case_until(cond, #cond)
void case_run_ms(int64_t ms); /* only to see that something does NOT happen */
void case_file(const char *path, const char *content, mode_t mode);
char *case_read(const char *path); /* malloc'ed; NULL when missing */
unsigned case_count(enum kind k);
void case_set(void (*change)(struct world *w)); /* under the lock */
void case_restart(void);                        /* a new platform object, same world and files */
void case_override(enum kind k, int times, int status, const char *fields, const char *body);
void case_action(enum kind k, int times, enum fake_action action);

#endif
