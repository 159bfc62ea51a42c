/*
 * Many that wait: what letting them go costs. The looks for the agent are counted where they are
 * made, in connect(2), which this program defines.
 */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MANY = 200,
    IN_A_TURN = 40, /* HOLD_TURN_MAX and what else there may be */
    LOOKS = 20 * MANY,
};

static struct loop *counts_of; /* NULL: nobody counts */
static _Atomic int looks, most_in_a_turn;
static int64_t turn = -1;
static int in_turn;

int connect(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len)
{
    if (counts_of && sa.__sockaddr__->sa_family == AF_UNIX) { /* in the proxy's thread */
        if (turn != loop_turns(counts_of))
            in_turn = 0;
        turn = loop_turns(counts_of);
        in_turn++;
        looks++;
        if (in_turn > most_in_a_turn)
            most_in_a_turn = in_turn;
    }
    return (int)syscall(SYS_connect, fd, sa.__sockaddr__, len);
}

static void ask(struct raw *client, int id)
{
    char rq[160];

    (void)snprintf(rq, sizeof(rq), "POST /%03d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
                   id);
    raw_sendz(client, rq);
}

/* All of them wait; the agent's backlog shall be `backlog` when the gate opens. */
static void line_up(struct px *f, struct raw *clients, int backlog)
{
    px_start(f, "--platform-enabled", "false", "--forward-hold-timeout", "120s", NULL);
    px_gate(f, PROXY_WAIT);
    for (int i = 0; i < MANY; i++) {
        px_client(f, &clients[i]);
        ask(&clients[i], i);
        px_wait_stat(f, held, (size_t)i + 1);
    }
    cr_assert_eq(listen(f->listen_fd, backlog), 0);
    counts_of = f->loop;
}

/* The agent takes the next connection and answers its request. */
static int serve(struct px *f)
{
    struct raw agent;
    int id = -1;

    px_accept(f, &agent);
    cr_assert(raw_until(&agent, "{}"));
    cr_assert_eq(sscanf(agent.p, "POST /%d ", &id), 1, "%s", agent.p);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    raw_close(&agent);
    return id;
}

static void finish(struct px *f, struct raw *clients)
{
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(raw_answer(&clients[i], NULL), 200);
        raw_close(&clients[i]);
    }
    cr_assert_eq(px_stats(f)->held, 0);
    cr_assert_eq(f->stats.outcome_ok, MANY);
    counts_of = NULL;
    px_stop(f);
}

Test(proxy_hold_many, they_go_in_order_and_some_in_a_turn, .timeout = 300)
{
    static struct raw clients[MANY];
    struct px f;

    line_up(&f, clients, MANY);
    px_gate(&f, PROXY_OPEN);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(serve(&f), i);
    cr_assert_leq(most_in_a_turn, IN_A_TURN);
    cr_assert_eq(looks, MANY);
    finish(&f, clients);
}

Test(proxy_hold_many, a_small_backlog_is_not_besieged, .timeout = 300)
{
    static struct raw clients[MANY];
    bool was_served[MANY] = {false};
    struct px f;

    line_up(&f, clients, 1);
    px_gate(&f, PROXY_OPEN);
    for (int i = 0; i < MANY; i++) {
        int id = serve(&f);

        cr_assert(id >= 0 && id < MANY && !was_served[id]);
        was_served[id] = true;
    }
    cr_assert_leq(most_in_a_turn, IN_A_TURN);
    cr_assert_leq(looks, LOOKS, "%d looks for %d requests", looks, MANY);
    cr_assert_eq(f.failures, 0, "a full backlog is no reason to ask whether the agent lives");
    finish(&f, clients);
}
