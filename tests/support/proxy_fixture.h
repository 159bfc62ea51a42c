/*
 * A real server with the proxy as its handler, in a thread of its own; the test is both the client
 * and the agent, with raw sockets, so that each byte on each side is the test's.
 *
 *   struct px f;
 *   px_start(&f, "--forward-hold-timeout", "1s", NULL);    gate open, agent listening
 *   px_client(&f, &client); raw_sendz(&client, "POST ...");
 *   px_accept(&f, &agent);  raw_until(&agent, ...); raw_sendz(&agent, "HTTP/1.1 200 OK...");
 *   px_stop(&f);
 *
 * Test, proxy and agent may each be kept from running for seconds. So what the product gives up
 * after a second or two (a card fetch, an idle connection to the agent, ...) it waits for much
 * longer here, held requests too; a test that is about such a time asks for it: px_own_times(),
 * --forward-hold-timeout.
 */
#ifndef SUPPORT_PROXY_FIXTURE_H
#define SUPPORT_PROXY_FIXTURE_H

#include "config/config.h"
#include "proxy/proxy.h"
#include "support/raw_socket.h"

#include <pthread.h>

enum {
    PX_FLAGS_MAX = 32,
    PX_PATIENCE_MS = 5 * 60 * 1000,
    PX_WAIT_TURNS = 60000, /* of at least 1 ms each */
};

struct px {
    struct loop *loop;
    struct config *cfg;
    struct store *store;
    struct proxy *proxy;
    struct server *server;
    struct endpoint at;
    struct endpoint agent;
    int listen_fd; /* the agent's; -1 while it is down */
    char dir[64];
    pthread_t thread;
    struct watch wake;
    int wake_fd;
    /* what the thread shall do, and with what */
    _Atomic int order;
    enum proxy_gate gate;
    int turns_left; /* before the stats are taken */
    int64_t response_timeout_ms;
    struct slice card;
    struct proxy_stats stats; /* filled by px_stats() */
    struct proxy_work work;   /* the same */
    struct str platform_card; /* filled by px_platform_card() */
    /* what app/ would know */
    const char *inbound_secret, *workspace_token;
    _Atomic int work_calls, failures;
    _Atomic int idle_calls; /* of those: there was no work */
    _Atomic long restart_seconds;
};

/*
 * Flags of the configuration, NULL-terminated; platform off unless given, --listen-address a free
 * port.
 */
void px_start(struct px *f, ...) __attribute__((sentinel));
void px_stop(struct px *f); /* the proxy and everything in it must be gone without a leak */

void px_listen(struct px *f);   /* the agent is there */
void px_unlisten(struct px *f); /* its socket is gone */
void px_gate(struct px *f, enum proxy_gate gate);
void px_card(struct px *f, const char *card); /* proxy_set_card() */
/* A copy taken in the thread, when what was deferred in the turns before is done: a client may have
 * its answer a turn before it is counted. */
const struct proxy_stats *px_stats(struct px *f);
const char *px_platform_card(struct px *f);
void px_fail_in_flight(struct px *f);
void px_drop_upstreams(struct px *f);
/* The product's own times from now on, see above. */
void px_own_times(struct px *f);
/* As a reload sets forward.response_timeout: who is waited for is given up at the new time. */
void px_response_timeout(struct px *f, int64_t ms);

void px_client(struct px *f, struct raw *r);
void px_accept(struct px *f, struct raw *r); /* the agent's next connection; aborts if none comes */
bool px_nobody_connects(struct px *f, int ms); /* none comes within ms */

/* Waits until this of f->stats and f->work is true. */
#define px_wait_for(f, condition)                                                                  \
    do {                                                                                           \
        for (int i_ = 0; px_stats(f) && !(condition) && i_ < PX_WAIT_TURNS; i_++)                  \
            (void)poll(NULL, 0, 1);                                                                \
        cr_assert(condition);                                                                      \
    } while (0)

/* Waits until a number in the stats is at least that. */
#define px_wait_stat(f, member, at_least)                                                          \
    do {                                                                                           \
        for (int i_ = 0; px_stats(f)->member < (at_least) && i_ < PX_WAIT_TURNS; i_++)             \
            (void)poll(NULL, 0, 1);                                                                \
        cr_assert_geq((f)->stats.member, (at_least));                                              \
    } while (0)

#endif
