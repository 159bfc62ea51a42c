/* Requests that wait for the agent, and those that are turned away. */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define OFF "--platform-enabled", "false"

enum { MANY = 4 };

static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

static void ask(struct raw *client, int id)
{
    char body[32], rq[256];

    snprintf(body, sizeof(body), "{\"id\":%d}", id);
    snprintf(rq, sizeof(rq),
             "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
             "%zu\r\n\r\n%s",
             id, strlen(body), body);
    raw_sendz(client, rq);
}

static void serve(struct px *f, int id, struct raw *client)
{
    struct raw agent;
    char path[32];

    px_accept(f, &agent);
    snprintf(path, sizeof(path), "POST /%d HTTP/1.1", id);
    cr_assert(raw_until(&agent, "}"));
    cr_assert(strstr(agent.p, path), "in order: want %s, got %s", path, agent.p);
    raw_sendz(&agent, hello);
    cr_assert_eq(raw_answer(client, NULL), 200);
    raw_close(&agent);
}

static void expect_refusal(struct raw *client, int status, const char *reason, const char *field)
{
    struct slice body;
    int got = raw_answer(client, &body);

    cr_assert_eq(got, status, "%d: %s", got, client->p);
    cr_assert(memmem(body.p, body.n, reason, strlen(reason)), "%s", client->p);
    if (field)
        cr_assert(strstr(client->p, field), "%s: %s", field, client->p);
}

Test(proxy_hold, requests_wait_for_the_gate_and_go_in_order)
{
    struct px f;
    struct raw client[MANY];

    px_start(&f, OFF, NULL);
    px_gate(&f, PROXY_WAIT);
    for (int i = 0; i < MANY; i++) {
        px_client(&f, &client[i]);
        ask(&client[i], i);
        px_wait_stat(&f, held, (size_t)i + 1);
    }
    cr_assert(px_nobody_connects(&f, 50));
    cr_assert_eq(f.stats.in_flight, 0);
    px_gate(&f, PROXY_OPEN);
    for (int i = 0; i < MANY; i++)
        serve(&f, i, &client[i]);
    cr_assert_eq(px_stats(&f)->held, 0);
    cr_assert_eq(f.stats.held_total, MANY);
    cr_assert_eq(f.stats.outcome_ok, MANY);
    for (int i = 0; i < MANY; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_hold, a_restart_of_the_agent_costs_time_and_no_request)
{
    struct px f;
    struct raw client[MANY];

    px_start(&f, OFF, NULL);
    px_unlisten(&f);
    for (int i = 0; i < MANY; i++) { /* the gate is open: nobody has noticed yet */
        px_client(&f, &client[i]);
        ask(&client[i], i);
        px_wait_stat(&f, held, (size_t)i + 1);
    }
    cr_assert_eq(f.failures, MANY);
    cr_assert(strstr(f.stats.last_failure, "agent.sock"));
    px_listen(&f);
    for (int i = 0; i < MANY; i++)
        serve(&f, i, &client[i]);
    cr_assert_eq(px_stats(&f)->outcome_ok, MANY);
    for (int i = 0; i < MANY; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_hold, a_stale_socket_file_is_waited_for_too)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, NULL);
    close(f.listen_fd); /* the file stays: connection refused */
    px_client(&f, &client);
    ask(&client, 1);
    px_wait_stat(&f, held, 1);
    cr_assert(strstr(f.stats.last_failure, "nobody listens"));
    px_gate(&f, PROXY_WAIT);
    px_listen(&f);
    px_gate(&f, PROXY_OPEN);
    serve(&f, 1, &client);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_hold, waiting_has_an_end)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, "--forward-hold-timeout", "150ms", NULL);
    px_unlisten(&f);
    px_client(&f, &client);
    ask(&client, 42);
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", "Retry-After: 1\r\n");
    cr_assert(strstr(client.p, "\"id\":42,"));
    cr_assert(strstr(client.p, "agent.sock"), "those on this machine are told where: %s", client.p);
    ask(&client, 43); /* the connection is still good */
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", NULL);
    px_gate(&f, PROXY_WAIT);
    ask(&client, 44);
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", NULL);
    cr_assert_eq(px_stats(&f)->hold_timeouts_total, 3);
    cr_assert_eq(f.stats.outcome_agent_unavailable, 3);
    cr_assert_eq(f.stats.held, 0);
    cr_assert_eq(f.work_calls, 6,
                 "each told when it began to wait and when it ended: who drains "
                 "waits for these");
    cr_assert_gt(window_failure_rate(&f.stats.agent_window, f.stats.last_failure_ms), 0.9);
    raw_close(&client);
    px_listen(&f);
    px_stop(&f);
}

Test(proxy_hold, waiting_can_be_off)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, "--forward-hold-timeout", "0", NULL);
    px_unlisten(&f);
    px_client(&f, &client);
    ask(&client, 1);
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", NULL);
    px_gate(&f, PROXY_WAIT);
    ask(&client, 2);
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", NULL);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_hold, the_number_that_may_wait_is_bounded)
{
    struct px f;
    struct raw client[3];

    px_start(&f, OFF, "--forward-hold-max", "2", NULL);
    px_gate(&f, PROXY_WAIT);
    for (int i = 0; i < 3; i++) {
        px_client(&f, &client[i]);
        ask(&client[i], i);
        if (i < 2)
            px_wait_stat(&f, held, (size_t)i + 1);
    }
    expect_refusal(&client[2], 503, "OVERLOADED", "Retry-After");
    px_gate(&f, PROXY_OPEN);
    serve(&f, 0, &client[0]);
    serve(&f, 1, &client[1]);
    for (int i = 0; i < 3; i++)
        raw_close(&client[i]);
    px_stop(&f);
}

Test(proxy_hold, a_client_that_goes_no_longer_waits)
{
    struct px f;
    struct raw client[2];

    px_start(&f, OFF, NULL);
    px_gate(&f, PROXY_WAIT);
    for (int i = 0; i < 2; i++) {
        px_client(&f, &client[i]);
        ask(&client[i], i);
        px_wait_stat(&f, held, (size_t)i + 1);
    }
    raw_reset(&client[0]);
    px_wait_stat(&f, outcome_client_gone, 1);
    cr_assert_eq(f.stats.held, 1);
    px_gate(&f, PROXY_OPEN);
    serve(&f, 1, &client[1]);
    raw_close(&client[1]);
    px_stop(&f);
}

Test(proxy_hold, a_body_waits_with_its_request)
{
    struct px f;
    struct raw client, agent;
    static char body[400 * 1024];
    size_t sent;

    px_start(&f, OFF, NULL);
    px_gate(&f, PROXY_WAIT);
    memset(body, 'b', sizeof(body));
    px_client(&f, &client);
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 409600\r\n\r\n");
    px_wait_stat(&f, held, 1);
    sent = raw_send_some(&client, (struct slice){body, sizeof(body)});
    cr_assert_gt(sent, 0);
    px_gate(&f, PROXY_OPEN);
    px_accept(&f, &agent);
    raw_send(&client, (struct slice){body + sent, sizeof(body) - sent});
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    while (raw_count(&agent, "b") < sizeof(body))
        cr_assert(raw_until_bytes(&agent, agent.len + 1));
    raw_sendz(&agent, hello);
    cr_assert_eq(raw_answer(&client, NULL), 200);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_hold, other_gates_answer_at_once)
{
    struct px f;
    struct raw client, held;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    px_gate(&f, PROXY_WAIT);
    px_client(&f, &held);
    ask(&held, 5);
    px_wait_stat(&f, held, 1);
    px_gate(&f, PROXY_PAUSED);
    expect_refusal(&held, 503, "PAUSED", "Retry-After: 30\r\n");
    ask(&client, 1);
    expect_refusal(&client, 503, "PAUSED", "Retry-After: 30\r\n");
    px_gate(&f, PROXY_LOST);
    ask(&client, 2);
    expect_refusal(&client, 503, "AGENT_UNAVAILABLE", NULL);
    px_gate(&f, PROXY_DRAINING);
    ask(&client, 3);
    expect_refusal(&client, 503, "DRAINING", "Connection: close\r\n");
    cr_assert(raw_until_closed(&client));
    cr_assert_eq(px_stats(&f)->outcome_paused, 2);
    cr_assert_eq(f.stats.outcome_draining, 1);
    raw_close(&client);
    raw_close(&held);
    px_stop(&f);
}

Test(proxy_hold, work_in_flight_is_not_touched_by_the_gate)
{
    static const enum proxy_gate gates[] = {PROXY_WAIT, PROXY_PAUSED, PROXY_DRAINING, PROXY_LOST};
    struct px f;

    px_start(&f, OFF, NULL);
    for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
        struct raw client, agent;

        px_gate(&f, PROXY_OPEN);
        px_client(&f, &client);
        ask(&client, 1);
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "}"));
        px_gate(&f, gates[i]);
        raw_sendz(&agent, hello);
        cr_assert_eq(raw_answer(&client, NULL), 200);
        raw_close(&client);
        raw_close(&agent);
        px_drop_upstreams(&f);
    }
    px_stop(&f);
}

Test(proxy_hold, plain_clients_get_plain_errors)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, NULL);
    px_gate(&f, PROXY_PAUSED);
    px_client(&f, &client);
    raw_sendz(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_refusal(&client, 503, "{\"error\":\"the workspace is paused\"", NULL);
    raw_close(&client);
    px_stop(&f);
}
