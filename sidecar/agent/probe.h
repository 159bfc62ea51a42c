/*
 * Does the agent answer? A real answer to a real request (GET ready_path, by default the card), not
 * only a connect: a listening backlog accepts for a hung process. The first good answer's card is
 * handed on. An answer is any HTTP head below 500; a body without an end, or over
 * PROBE_CARD_MAX_BYTES, does not make it a miss (for a card it is no card, said once). With
 * is_connect a connection that is accepted is enough; a card is then asked for once, and whether it
 * comes changes nothing.
 *
 * Before the first answer it asks often (PROBE_START_MIN_MS growing to PROBE_START_MAX_MS),
 * afterwards every health_interval; health_failures misses in a row make it down. Uses client/
 * (curl) so that it never blocks; one request at a time. Source: design section 6; A section 3.1.
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/slice.h"
#include "loop/curl_io.h"
#include "loop/loop.h"

#include <stdbool.h>

enum {
    PROBE_START_MIN_MS = 20,
    PROBE_START_MAX_MS = 500,
    PROBE_TIMEOUT_MS = 5000,
    PROBE_CARD_MAX_BYTES = 1024 * 1024,
};

struct probe;
struct probe_config {
    const struct endpoint *agent; /* borrowed */
    /*
     * "/.well-known/agent-card.json" (falling back to /.well-known/agent.json on 404) or ready_path
     */
    const char *path;
    bool is_card;    /* path is the card's: the body is kept */
    bool is_connect; /* only whether it accepts; path is not used */
    int64_t interval_ms;
    int64_t failures;   /* in a row until down */
    int64_t timeout_ms; /* of one request; 0 = PROBE_TIMEOUT_MS */
};
struct probe_callbacks {
    void (*on_up)(void *arg);                    /* first answer, or again after down */
    void (*on_down)(void *arg, const char *why); /* failures reached; a sentence */
    /* a 200 with a JSON object that differs from the last one */
    void (*on_card)(void *arg, struct slice card);
};
struct probe_status {
    bool is_up;
    bool has_answered;  /* since probe_start */
    unsigned misses;    /* in a row */
    int64_t last_ok_ms; /* loop time */
    /*
     * of the last miss: "cannot connect to unix:/run/molecule/agent.sock: Permission denied (mode
     * 0600, owner 1000; ...)"
     */
    char reason[512];
    bool is_blocked; /* EACCES and the like: trying again will not help by itself */
};

int probe_new(struct loop *l, struct curl_io *io, const struct probe_config *cfg,
              const struct probe_callbacks *cb, void *arg, struct probe **ret, struct err *err);
/* From the next check on. */
void probe_configure(struct probe *p, int64_t interval_ms, int64_t failures);
void probe_free(struct probe *p);
void probe_start(struct probe *p); /* from scratch: the agent was just (re)started */
void probe_stop(struct probe *p);  /* and forgets: the agent has ended */
void probe_now(struct probe *p);   /* a request failed: look sooner */
const struct probe_status *probe_status(const struct probe *p);

/*
 * Why connecting failed, in words that name socket, mode, owner and fix. Also used for the proxy's
 * 503 by way of app/.
 */
void agent_connect_error(const struct endpoint *agent, int errnum, char *ret, size_t cap);

#endif
