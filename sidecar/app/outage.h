/*
 * Why the agent is down, since when it fails, and when it is started next: one sentence for probes,
 * refused requests, heartbeats, systemd and `status`.
 *
 * A crash loop is OUTAGE_LOOP_FAILURES failures in a row; it is over when the agent has
 * run for restart.reset_after since it answered. Requests are forwarded as soon as it answers.
 * Sentences are made when something happens, not when they are asked for: they name wall-clock
 * times.
 */
#ifndef APP_OUTAGE_H
#define APP_OUTAGE_H

#include "base/err.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <stddef.h>

struct app;

enum {
    OUTAGE_LOOP_FAILURES = 2, /* one may be an accident */
    OUTAGE_TEXT_MAX = 400,    /* bytes of a sentence; fits a heartbeat's sample_error */
};

struct outage {                 /* embedded in app; zeroed = never down */
    bool is_failing;            /* it failed, and has not answered since */
    bool is_unspawned;          /* the last failure: it could not even be started */
    bool is_late;               /* it runs without an answer for longer than agent.start_timeout */
    char last[OUTAGE_TEXT_MAX]; /* the last failure, without what follows from it */
    char text[OUTAGE_TEXT_MAX]; /* and with it; "" before the first end */
};

/* From the supervisor's callbacks, after the state has changed. */
void outage_on_exit(struct app *a, const struct child_exit *e);
void outage_on_spawn_failed(struct app *a, const struct err *why);
void outage_on_spawned(struct app *a);
void outage_on_late(struct app *a);
void outage_on_up(struct app *a); /* it answers */
/* The end for good, by itself; says why in full. */
const char *outage_on_lost(struct app *a, const struct child_exit *last);

/* Down or not answering when it should: the platform is told error_rate 1. */
bool outage_is_on(const struct app *a);
bool outage_is_crash_loop(const struct app *a);
/* for the heartbeat's sample_error; "" when neither is true */
const char *outage_sample(const struct app *a);
/* for STATUS= and the like: "answers", "starts, after 3 failures in a row", ...; returns ret */
const char *outage_words(const struct app *a, char *ret, size_t cap);

#endif
