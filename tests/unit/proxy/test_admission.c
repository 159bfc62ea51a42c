/* forward.max_in_flight: who waits, whose turn it is, and what ends the waiting. */
#include "support/proxy_fixture.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define OFF "--platform-enabled", "false"

enum { MANY = 5 };

/* From another address of this machine: another client, as far as anybody can tell. */
static void open_from(struct px *f, struct raw *r, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET};

    cr_assert_eq(inet_pton(AF_INET, address, &from.sin_addr), 1);
    *r = (struct raw){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    r->p = malloc(RAW_MAX + 1);
    cr_assert(r->fd >= 0 && r->p);
    r->p[0] = '\0';
    cr_assert_eq(bind(r->fd, (const struct sockaddr *)&from, sizeof(from)), 0);
    cr_assert_eq(connect(r->fd, (const struct sockaddr *)&f->at.sa, f->at.sa_len), 0);
}

static void ask(struct raw *client, int id)
{
    char rq[160];

    snprintf(rq, sizeof(rq),
             "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
             "Content-Length: %d\r\n\r\n{\"id\":%d}",
             id, id < 10 ? 8 : 9, id);
    raw_sendz(client, rq);
}

/* Number 0 goes to the agent, which may have one; the others wait, in order. */
static void line_up(struct px *f, struct raw *clients, int count)
{
    for (int i = 0; i < count; i++) {
        px_client(f, &clients[i]);
        ask(&clients[i], i);
        if (i == 0)
            px_wait_stat(f, in_flight, 1);
        else
            px_wait_stat(f, held, (size_t)i);
    }
}

/* The agent gets number `id` now, and nothing else. */
static void meet(struct px *f, struct raw *agent, int id)
{
    char path[32];

    snprintf(path, sizeof(path), "POST /%d HTTP/1.1", id);
    px_accept(f, agent);
    cr_assert(raw_until(agent, "}"));
    cr_assert(strstr(agent->p, path), "want %s, got %s", path, agent->p);
    cr_assert(px_nobody_connects(f, 20), "one more than the limit");
}

static void answer(struct raw *agent, struct raw *client)
{
    raw_sendz(agent, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    cr_assert_eq(raw_answer(client, NULL), 200);
    raw_close(agent);
}

static void expect_refusal(struct raw *client, const char *reason, const char *id)
{
    struct slice body;
    int got = raw_answer(client, &body);

    cr_assert_eq(got, 503, "%d: %s", got, client->p);
    cr_assert(strstr(client->p, "Retry-After: 1\r\n"), "%s", client->p);
    cr_assert(memmem(body.p, body.n, reason, strlen(reason)), "%s", client->p);
    cr_assert(memmem(body.p, body.n, id, strlen(id)), "%s", client->p);
}

Test(proxy_admission, the_agent_has_no_more_than_the_limit_and_peers_take_turns)
{
    static const int order[] = {1, 10, 2, 11, 3, 4}; /* of two clients, five and two requests */
    struct px f;
    struct raw greedy[MANY], modest[2], agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", NULL);
    line_up(&f, greedy, MANY);
    for (int i = 0; i < 2; i++) {
        open_from(&f, &modest[i], "127.0.0.2");
        ask(&modest[i], 10 + i);
        px_wait_stat(&f, held, (size_t)(MANY + i));
    }
    meet(&f, &agent, 0);
    answer(&agent, &greedy[0]);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        meet(&f, &agent, order[i]);
        answer(&agent, order[i] >= 10 ? &modest[order[i] - 10] : &greedy[order[i]]);
    }
    cr_assert_eq(px_stats(&f)->held, 0);
    cr_assert_eq(f.stats.in_flight, 0);
    cr_assert_eq(f.stats.outcome_ok, MANY + 2);
    for (int i = 0; i < MANY; i++)
        raw_close(&greedy[i]);
    for (int i = 0; i < 2; i++)
        raw_close(&modest[i]);
    px_stop(&f);
}

Test(proxy_admission, a_client_that_sends_ahead_waits_behind_the_others)
{
    struct px f;
    struct raw ahead, other, agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", NULL);
    px_client(&f, &ahead);
    for (int i = 0; i < 3; i++)
        ask(&ahead, i);
    px_wait_stat(&f, in_flight, 1);
    open_from(&f, &other, "127.0.0.2");
    ask(&other, 10);
    px_wait_stat(&f, held, 1);
    meet(&f, &agent, 0);
    answer(&agent, &ahead);
    meet(&f, &agent, 10);
    answer(&agent, &other);
    for (int i = 1; i < 3; i++) {
        meet(&f, &agent, i);
        answer(&agent, &ahead);
    }
    raw_close(&ahead);
    raw_close(&other);
    px_stop(&f);
}

Test(proxy_admission, waiting_for_a_place_has_an_end)
{
    struct px f;
    struct raw first, second, agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", "--forward-hold-timeout", "100ms", NULL);
    px_client(&f, &first);
    ask(&first, 1);
    meet(&f, &agent, 1);
    px_client(&f, &second);
    ask(&second, 2);
    expect_refusal(&second, "OVERLOADED", "\"id\":2,");
    cr_assert_eq(px_stats(&f)->hold_timeouts_total, 1);
    cr_assert_eq(f.stats.outcome_overloaded, 1);
    cr_assert_eq(f.stats.last_failure[0], '\0', "the agent is not to blame");
    answer(&agent, &first);
    ask(&second, 3); /* the connection is still good, and the place is free */
    meet(&f, &agent, 3);
    answer(&agent, &second);
    raw_close(&first);
    raw_close(&second);
    px_stop(&f);
}

Test(proxy_admission, a_drain_waits_for_all_whose_turn_comes)
{
    struct px f;
    struct raw client[3], agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", NULL);
    line_up(&f, client, 3);
    px_gate(&f, PROXY_DRAINING);
    for (int i = 0; i < 3; i++) {
        meet(&f, &agent, i);
        cr_assert_eq(f.idle_calls, 0, "nobody may think that all is done");
        answer(&agent, &client[i]);
    }
    px_wait_stat(&f, outcome_ok, 3);
    cr_assert_geq(f.idle_calls, 1);
    for (int i = 0; i < 3; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_admission, waiting_can_be_off)
{
    struct px f;
    struct raw first, second, agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", "--forward-hold-timeout", "0", NULL);
    px_client(&f, &first);
    ask(&first, 1);
    meet(&f, &agent, 1);
    px_client(&f, &second);
    ask(&second, 2);
    expect_refusal(&second, "OVERLOADED", "2");
    answer(&agent, &first);
    raw_close(&first);
    raw_close(&second);
    px_stop(&f);
}

Test(proxy_admission, a_full_list_has_room_for_who_has_less_in_it)
{
    struct px f;
    struct raw greedy[4], modest, agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", "--forward-hold-max", "2", NULL);
    for (int i = 0; i < 4; i++) {
        px_client(&f, &greedy[i]);
        ask(&greedy[i], i);
        if (i == 0)
            px_wait_stat(&f, in_flight, 1);
        else if (i < 3)
            px_wait_stat(&f, held, (size_t)i);
    }
    expect_refusal(&greedy[3], "OVERLOADED", "3");
    open_from(&f, &modest, "127.0.0.2");
    ask(&modest, 10);
    expect_refusal(&greedy[2], "OVERLOADED", "2"); /* its newest */
    meet(&f, &agent, 0);
    answer(&agent, &greedy[0]);
    meet(&f, &agent, 1);
    answer(&agent, &greedy[1]);
    meet(&f, &agent, 10);
    answer(&agent, &modest);
    for (int i = 0; i < 4; i++)
        raw_close(&greedy[i]);
    raw_close(&modest);
    px_stop(&f);
}

Test(proxy_admission, whatever_ends_a_request_frees_its_place)
{
    struct px f;
    struct raw client[4], agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", NULL);
    line_up(&f, client, 4);
    meet(&f, &agent, 0);
    raw_reset(&client[0]); /* its client goes */
    raw_close(&agent);
    meet(&f, &agent, 1);
    raw_close(&agent); /* the agent ends it without a word */
    cr_assert_eq(raw_answer(&client[1], NULL), 502);
    meet(&f, &agent, 2);
    raw_sendz(&agent, "nonsense\r\n\r\n");
    cr_assert_eq(raw_answer(&client[2], NULL), 502);
    raw_close(&agent);
    meet(&f, &agent, 3);
    answer(&agent, &client[3]);
    for (int i = 1; i < 4; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_admission, a_restart_under_the_limit_loses_nothing)
{
    struct px f;
    struct raw client[MANY], agent;

    px_start(&f, OFF, "--forward-max-in-flight", "2", NULL);
    px_unlisten(&f);
    for (int i = 0; i < MANY; i++) {
        px_client(&f, &client[i]);
        ask(&client[i], i);
        px_wait_stat(&f, held, (size_t)i + 1);
    }
    px_gate(&f, PROXY_WAIT);
    px_listen(&f);
    px_gate(&f, PROXY_OPEN);
    for (int i = 0; i < MANY; i++) {
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "}"));
        answer(&agent, &client[i]);
    }
    cr_assert_eq(px_stats(&f)->outcome_ok, MANY);
    for (int i = 0; i < MANY; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_admission, a_full_backlog_is_waited_for)
{
    struct px f;
    struct raw client[MANY], agent;
    size_t in_flight;

    px_start(&f, OFF, NULL);
    px_unlisten(&f);
    f.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(f.listen_fd, (const struct sockaddr *)&f.agent.sa, f.agent.sa_len), 0);
    cr_assert_eq(listen(f.listen_fd, 0), 0); /* the kernel takes one or two on its own */
    for (int i = 0; i < MANY; i++) {
        px_client(&f, &client[i]);
        ask(&client[i], i);
        px_wait_for(&f, f.stats.held + f.stats.in_flight == (size_t)i + 1);
    }
    in_flight = px_stats(&f)->in_flight;
    cr_assert_lt(in_flight, MANY);
    cr_assert_eq(f.stats.held, MANY - in_flight, "the others wait");
    cr_assert(strstr(f.stats.last_failure, "backlog is full"), "%s", f.stats.last_failure);
    for (int i = 0; i < MANY; i++) { /* in whatever order they find room */
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "}"));
        raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        raw_close(&agent);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(raw_answer(&client[i], NULL), 200);
    px_wait_stat(&f, outcome_ok, MANY); /* and none is lost */
    for (int i = 0; i < MANY; i++)
        raw_close(&client[i]);
    px_stop(&f);
}
