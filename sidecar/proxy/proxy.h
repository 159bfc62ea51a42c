/*
 * The forward path: requests on the A2A port go to the agent's socket, answers and event streams
 * come back, byte for byte.
 *
 *   route (route.h, pure)   the card, the platform's own calls, or upstream
 *   dedupe (dedupe.h)       a repeat gets the first one's answer (forward.dedupe_window)
 *   hold (hold.c, turns.h)  while the agent starts or restarts, or has forward.max_in_flight
 *                           requests already, more wait, bounded in number and time, and go fairly
 *   upstream (upstream.h)   a kept or fresh connection to the agent
 *   pump (pump.c, send.c, answer.c)   bytes both ways through bounded buffers; deadlines;
 *                           keep-alive comments on silent event streams
 *   finish                  counters; the server writes the access line
 *
 * The proxy knows no lifecycle: app/ opens and shuts the gate. It is a handler of server/
 * (proxy_handler, ctx = struct proxy). Source: design section 8; A sections 3.6, 4, 5.5, 10; P
 * sections 17.1, 17.5.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "base/err.h"
#include "base/str.h"
#include "base/window.h"
#include "config/config.h"
#include "loop/loop.h"
#include "server/server.h"
#include "store/store.h"

struct proxy;

/*
 * What happens to a request that wants the agent. Work in flight is never touched by a change of
 * gate.
 */
enum proxy_gate {
    /* the agent starts or restarts: hold, then 503 AGENT_UNAVAILABLE with Retry-After */
    PROXY_WAIT = 0,
    PROXY_OPEN,   /* forward */
    PROXY_PAUSED, /* 503 PAUSED with Retry-After at once */
    /*
     * 503 DRAINING and Connection: close at once; what is held already goes on waiting. Streams
     * whose task is finished are ended cleanly, between two events: at once, or
     * STREAM_FINISH_MS after the event that says so when the agent does not.
     */
    PROXY_DRAINING,
    /*
     * the agent is gone for good: 503 AGENT_UNAVAILABLE at once; held requests are answered so too
     */
    PROXY_LOST,
};

struct proxy_callbacks { /* all may be NULL; called from the loop */
    /* a request began to wait for the agent, reached it, or ended: see in_flight and held */
    void (*on_work)(void *arg);
    /* P section 17.5; anybody may have sent it */
    void (*on_restart_pending)(void *arg, int64_t drain_seconds);
    /* a request found that nobody listens where the agent should (one it only has to wait for,
     * since the agent is busy, is no reason): probe now */
    void (*on_agent_failure)(void *arg, const char *sentence);
    /* why the agent does not answer, for the 503 of a held request; "" = nothing better to say */
    const char *(*agent_reason)(void *arg);
    /* empty = none known; borrowed for the call */
    struct slice (*inbound_secret)(void *arg);
    /* to recognise our own bearer; it never reaches the agent */
    struct slice (*workspace_token)(void *arg);
};

struct proxy_stats {
    /* requests that wait for or exchange bytes with the agent now (not held ones) */
    size_t in_flight;
    size_t streams; /* of those: open event streams */
    /* of those: their task is finished, so that nobody works for them any more */
    size_t streams_finished;
    size_t held;    /* waiting for the agent now */
    size_t on_way;  /* let in, and neither; or still read by its client, of an answer for many */
    size_t uploads; /* being stored (forward.uploads_dir): work of ours, not the agent's */
    uint64_t forwarded_total, held_total, hold_timeouts_total;
    uint64_t outcome_ok, outcome_client_gone, outcome_agent_unavailable, outcome_connection_lost,
        outcome_bad_response, outcome_timeout,
        /* one per finished request */
        outcome_paused, outcome_draining, outcome_overloaded, outcome_refused, outcome_local;
    /* of those: closed without an answer, see forward.shed */
    uint64_t shed_total;
    /* streams of finished tasks that we ended because of a drain */
    uint64_t streams_ended_total;
    uint64_t upstream_connects_total, upstream_reused_total, keepalive_comments_total;
    uint64_t deduped_total; /* repeats that got the first one's answer */
    /* requests and agent-side failures (5xx, timeouts, lost), rolling 60 s */
    struct window agent_window;
    char last_failure[256];  /* a sentence, printable, no secrets; "" = none */
    int64_t last_failure_ms; /* loop time */
};

int proxy_new(struct loop *l, const struct config *cfg, const struct proxy_callbacks *cb, void *arg,
              struct proxy **ret, struct err *err);
/*
 * A reload. Would `next` do? 0, or a sentence. Then, when its values stand in the struct that
 * proxy_new() was given: take over what was copied from it.
 */
int proxy_check(const struct config *next, struct err *err);
void proxy_configure(struct proxy *p);
void proxy_free(struct proxy *p); /* after its servers were freed, before the store is */
/* For forward.uploads_dir; borrowed until proxy_free(). Without one uploads are refused. */
void proxy_set_store(struct proxy *p, struct store *store);
extern const struct handler proxy_handler;

void proxy_set_gate(struct proxy *p, enum proxy_gate gate);
enum proxy_gate proxy_gate(const struct proxy *p);
/* draining: answers carry Connection: close */
void proxy_set_last(struct proxy *p, bool on);
/* the agent ended: idle connections to it are closed */
void proxy_drop_upstreams(struct proxy *p);
void proxy_fail_in_flight(struct proxy *p); /* the end: what is still open is aborted */

/*
 * The last good card of the agent as it sent it (copied), or the configured one. From the probe.
 * Empty: forget.
 */
void proxy_set_card(struct proxy *p, struct slice card);
/*
 * What we register and publish to the platform (design section 8): `url` and interfaces are
 * reported_url or absent, no signatures. Always yields an object.
 */
int proxy_card_for_platform(const struct proxy *p, struct str *out, struct err *err);

const struct proxy_stats *proxy_stats(const struct proxy *p);

/*
 * Work: requests that somebody waits for. All in flight, held and being stored, but not the streams
 * of finished tasks.
 */
enum { PROXY_WORK_WORDS = 256 };
struct proxy_work {
    size_t count;
    size_t in_flight, streams, held, uploads; /* of those; streams are in flight as well */
    int64_t longest_since_ms; /* loop time of the longest waiter's arrival; 0 = none */
    /* "POST /a2a from 10.0.0.1: event stream, task working"; printable; "" = none */
    char longest[PROXY_WORK_WORDS];
};
size_t proxy_work_count(const struct proxy *p); /* the agent's: without uploads */
/* For people: looks at every request. */
void proxy_work(const struct proxy *p, struct proxy_work *ret);

#endif
