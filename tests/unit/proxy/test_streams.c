/* Event streams: what a drain does with them, and whose place they take. */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define OFF "--platform-enabled", "false"
#define EVENT(state)                                                                               \
    "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"statusUpdate\":{\"status\":{\"state\":"     \
    "\"TASK_STATE_" state "\"}}}}\n\n"

static const char ask[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                          "Content-Length: 8\r\n\r\n{\"id\":7}";
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/* A stream with one event in it. */
static void open_stream(struct px *f, struct raw *client, struct raw *agent, const char *event)
{
    px_client(f, client);
    raw_sendz(client, ask);
    px_accept(f, agent);
    cr_assert(raw_until(agent, "}"));
    raw_sendz(agent, head);
    raw_sendz(agent, event);
    cr_assert(raw_until(client, "\n\n\r\n"), "%s", client->p);
}

static void close_both(struct raw *client, struct raw *agent)
{
    raw_close(client);
    raw_close(agent);
}

/* With the last chunk: a client library calls this a complete answer. */
static void expect_clean_end(struct raw *client, const char *last)
{
    cr_assert(raw_until(client, "\r\n0\r\n\r\n"), "%s", client->p);
    cr_assert(strstr(client->p, last), "%s", client->p);
}

Test(proxy_streams, a_drain_ends_those_of_finished_tasks_and_no_others)
{
    struct px f;
    struct raw done[2], done_agent[2], busy, busy_agent, unknown, unknown_agent;

    px_start(&f, OFF, NULL);
    open_stream(&f, &done[0], &done_agent[0], EVENT("WORKING") EVENT("COMPLETED"));
    open_stream(&f, &busy, &busy_agent, EVENT("WORKING"));
    open_stream(&f, &unknown, &unknown_agent, "data: \"completed\"\n\n");
    open_stream(&f, &done[1], &done_agent[1], EVENT("CANCELED"));
    px_wait_stat(&f, streams_finished, 2);
    cr_assert_eq(f.stats.streams, 4);
    px_gate(&f, PROXY_DRAINING);
    for (int i = 0; i < 2; i++) {
        expect_clean_end(&done[i], i ? "CANCELED" : "COMPLETED");
        cr_assert(raw_until_closed(&done_agent[i]), "the agent is told");
    }
    px_wait_stat(&f, outcome_ok, 2);
    cr_assert_eq(f.stats.streams_ended_total, 2);
    cr_assert_eq(f.stats.streams_finished, 0);
    cr_assert_eq(f.stats.in_flight, 2, "these are work");
    raw_sendz(&busy_agent, EVENT("WORKING"));
    raw_sendz(&unknown_agent, "data: more\n\n");
    cr_assert(raw_until(&unknown, "data: more\n\n\r\n"), "%s", unknown.p);
    raw_sendz(&busy_agent, EVENT("FAILED"));
    raw_close(&busy_agent); /* by itself, as agents do */
    expect_clean_end(&busy, "FAILED");
    raw_close(&unknown_agent);
    expect_clean_end(&unknown, "more");
    px_wait_stat(&f, outcome_ok, 4);
    cr_assert_eq(f.stats.streams_ended_total, 2, "two of them were not ours to end");
    for (int i = 0; i < 2; i++)
        close_both(&done[i], &done_agent[i]);
    raw_close(&busy);
    raw_close(&unknown);
    px_stop(&f);
}

Test(proxy_streams, one_that_finishes_while_draining_is_ended_when_the_agent_does_not)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    open_stream(&f, &client, &agent, EVENT("WORKING"));
    px_own_times(&f);
    px_gate(&f, PROXY_DRAINING);
    raw_sendz(&agent, EVENT("COMPLETED"));
    expect_clean_end(&client, "COMPLETED");
    px_wait_stat(&f, streams_ended_total, 1);
    close_both(&client, &agent);
    px_stop(&f);
}

Test(proxy_streams, none_is_cut_inside_an_event)
{
    struct px f;
    struct raw client, agent;
    size_t piece = strlen("data: {\"jsonrpc\":");

    px_start(&f, OFF, NULL);
    open_stream(&f, &client, &agent, EVENT("COMPLETED"));
    raw_send(&agent, (struct slice){EVENT("COMPLETED"), piece});
    cr_assert(raw_until(&client, "data: {\"jsonrpc\":\r\n"), "%s", client.p);
    px_own_times(&f);
    px_gate(&f, PROXY_DRAINING);
    cr_assert_eq(px_stats(&f)->streams_ended_total, 0);
    cr_assert_eq(f.stats.streams, 1);
    raw_drop(&client);
    raw_sendz(&agent, EVENT("COMPLETED") + piece);
    expect_clean_end(&client, "TASK_STATE_COMPLETED");
    px_wait_stat(&f, streams_ended_total, 1);
    close_both(&client, &agent);
    px_stop(&f);
}

Test(proxy_streams, a_drain_called_off_ends_nothing_more)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    open_stream(&f, &client, &agent, EVENT("WORKING"));
    px_gate(&f, PROXY_DRAINING);
    raw_sendz(&agent, EVENT("COMPLETED"));
    px_wait_stat(&f, streams_finished, 1);
    px_gate(&f, PROXY_OPEN);
    raw_drop(&client);
    cr_assert_eq(px_stats(&f)->streams_ended_total, 0);
    raw_close(&agent);
    cr_assert(raw_until(&client, "\r\n0\r\n\r\n"));
    px_wait_stat(&f, outcome_ok, 1);
    cr_assert_eq(f.stats.streams_ended_total, 0);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_streams, one_that_cannot_be_read_is_work)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "}"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      "Content-Encoding: gzip\r\n\r\n" EVENT("COMPLETED"));
    cr_assert(raw_until(&client, "COMPLETED"));
    cr_assert_eq(px_stats(&f)->streams, 1);
    cr_assert_eq(f.stats.streams_finished, 0);
    close_both(&client, &agent);
    px_wait_stat(&f, outcome_client_gone, 1);
    px_stop(&f);
}

Test(proxy_streams, take_a_place_while_their_task_works)
{
    struct px f;
    struct raw client, agent, reply, reply_agent, third, third_agent;

    px_start(&f, OFF, "--forward-max-in-flight", "1", NULL);
    open_stream(&f, &client, &agent, EVENT("WORKING"));
    px_client(&f, &reply);
    raw_sendz(&reply, ask);
    px_wait_stat(&f, held, 1);
    cr_assert(px_nobody_connects(&f, 20));
    raw_sendz(&agent, EVENT("INPUT_REQUIRED")); /* what it asks for must come in */
    px_accept(&f, &reply_agent);
    cr_assert(raw_until(&reply_agent, "}"));
    raw_drop(&client);
    raw_sendz(&agent, EVENT("WORKING"));
    cr_assert(raw_until(&client, "WORKING"));
    /* not kept, so that the third comes on a connection of its own */
    raw_sendz(&reply_agent, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    cr_assert_eq(raw_answer(&reply, NULL), 200);
    px_client(&f, &third);
    raw_sendz(&third, ask);
    px_wait_stat(&f, held, 1);
    cr_assert(px_nobody_connects(&f, 20), "the stream has its place again");
    raw_sendz(&agent, EVENT("COMPLETED"));
    px_accept(&f, &third_agent);
    cr_assert(raw_until(&third_agent, "}"), "the stream is open, but nobody works for it");
    close_both(&client, &agent);
    close_both(&third, &third_agent);
    close_both(&reply, &reply_agent);
    px_stop(&f);
}
