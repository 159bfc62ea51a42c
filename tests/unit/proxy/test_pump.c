/* The forward path with real sockets on both sides: what the agent sees, what the client sees. */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define OFF "--platform-enabled", "false"
#define HEAD_FOR_AGENT                                                                             \
    "POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"                            \
    "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n"             \
    "Via: 1.1 molecule\r\nContent-Length: 19\r\n\r\n{\"id\":7,\"params\":1}"

static const char ask[] = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                          "Content-Length: 19\r\n\r\n{\"id\":7,\"params\":1}";
static const char hello[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/* A request that is answered, so that a connection to the agent is kept. */
static void round_trip(struct px *f, struct raw *client, struct raw *agent, bool accept)
{
    struct slice body;

    raw_sendz(client, ask);
    if (accept)
        px_accept(f, agent);
    cr_assert(raw_until(agent, "\"params\":1}"));
    raw_drop(agent);
    raw_sendz(agent, hello);
    cr_assert_eq(raw_answer(client, &body), 200);
    cr_assert(slice_eq(body, SLICE("hello")));
}

Test(proxy_pump, the_agent_gets_a_generated_head_and_the_client_the_agents_bytes)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    cr_assert_str_eq(agent.p, HEAD_FOR_AGENT);
    raw_sendz(&agent,
              "HTTP/1.1 201 Made\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: x\r\n"
              "X: 1\r\nDate: now\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(raw_until(&client, "\r\n\r\nok"));
    cr_assert_str_eq(
        client.p, "HTTP/1.1 201 Made\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: now\r\n"
                  "Via: 1.1 molecule\r\nContent-Length: 2\r\n\r\nok");
    raw_close(&client);
    raw_close(&agent);
    px_wait_stat(&f, outcome_ok, 1);
    cr_assert_eq(f.stats.in_flight, 0);
    cr_assert_eq(f.stats.forwarded_total, 1);
    cr_assert_eq(f.work_calls, 2);
    px_stop(&f);
}

Test(proxy_pump, a_connection_is_kept_and_used_again)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    round_trip(&f, &client, &agent, true);
    for (int i = 0; i < 5; i++)
        round_trip(&f, &client, &agent, false);
    cr_assert_eq(px_stats(&f)->upstream_connects_total, 1);
    cr_assert_eq(f.stats.upstream_reused_total, 5);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, a_kept_connection_that_the_agent_closes_is_not_used)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    /* the close races with the next request: whoever is first, the client gets its answer */
    for (int i = 0; i < 200; i++) {
        round_trip(&f, &client, &agent, true);
        raw_close(&agent);
    }
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_pump, bytes_behind_an_answer_end_the_connection)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 "
                      "OK\r\nContent-Length: 4\r\n\r\nevil");
    cr_assert_eq(raw_answer(&client, NULL), 200);
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    round_trip(&f, &client, &agent, true);
    raw_sendz(&agent, "junk while idle");
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    round_trip(&f, &client, &agent, true);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, chunks_are_decoded_and_framed_anew)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client,
              "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n"
              "2\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "0\r\n\r\n"));
    cr_assert(
        strstr(agent.p, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") ||
        strstr(agent.p, "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                      "chunked\r\n\r\n1\r\na\r\n2;q\r\nbc\r\n0\r\nX: y\r\n\r\n");
    cr_assert(raw_until(&client, "0\r\n\r\n"));
    cr_assert(strstr(client.p, "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "%s", client.p);
    cr_assert_null(strstr(client.p, "X: y"));
    raw_drop(&client);
    raw_drop(&agent);
    round_trip(&f, &client, &agent, false);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, an_answer_may_come_byte_by_byte)
{
    struct px f;
    struct raw client, agent;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    for (size_t i = 0; i < sizeof(answer) - 1; i++) {
        raw_send(&agent, (struct slice){answer + i, 1});
        if (i % 7 == 0)
            (void)px_stats(&f); /* the other side has had a turn */
    }
    cr_assert(raw_until(&client, "0\r\n\r\n"));
    raw_drop(&agent);
    raw_drop(&client);
    round_trip(&f, &client, &agent, false);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, answers_without_a_body)
{
    static const struct {
        const char *method, *answer, *want;
    } rows[] = {
        {"HEAD", "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 5\r\n\r\n",
         "HTTP/1.1 200 OK\r\nDate: d\r\nVia: 1.1 molecule\r\nContent-Length: 5\r\n\r\n"},
        {"GET", "HTTP/1.1 204 No Content\r\nDate: d\r\n\r\n",
         "HTTP/1.1 204 No Content\r\nDate: d\r\nVia: 1.1 molecule\r\n\r\n"},
        {"GET", "HTTP/1.1 304 Not Modified\r\nDate: d\r\nETag: \"x\"\r\nContent-Length: 9\r\n\r\n",
         "HTTP/1.1 304 Not Modified\r\nDate: d\r\nETag: \"x\"\r\nVia: 1.1 "
         "molecule\r\nContent-Length: 9\r\n\r\n"},
        {"GET", "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nDate: d\r\nVia: 1.1 molecule\r\nContent-Length: 0\r\n\r\n"},
    };
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rq[64];

        snprintf(rq, sizeof(rq), "%s / HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].method);
        raw_sendz(&client, rq);
        if (i == 0)
            px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "\r\n\r\n"));
        raw_drop(&agent);
        raw_sendz(&agent, rows[i].answer);
        cr_assert(raw_until(&client, "\r\n\r\n"));
        cr_assert_str_eq(client.p, rows[i].want);
        raw_drop(&client);
    }
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, a_204_with_a_body_costs_the_connection)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    raw_sendz(&agent, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(raw_until(&client, "\r\n\r\n"));
    cr_assert_null(strstr(client.p, "hello"));
    cr_assert(raw_until_closed(&agent));
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, an_old_client_gets_an_end_by_closing)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, "GET / HTTP/1.0\r\n\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    cr_assert(strstr(agent.p, "GET / HTTP/1.1\r\nHost: localhost\r\n"));
    raw_sendz(&agent, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 "
                      "OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5\r\nhello\r\n0\r\n\r\n");
    cr_assert(raw_until_closed(&client));
    cr_assert_null(strstr(client.p, "chunked"));
    cr_assert_null(strstr(client.p, "103"));
    cr_assert(strstr(client.p, "\r\n\r\nhello") && !strstr(client.p, "hello\r\n"));
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, an_answer_without_length_ends_with_its_connection)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, "HTTP/1.0 200 OK\r\n\r\nhel");
    raw_sendz(&agent, "lo");
    raw_close(&agent);
    cr_assert(raw_until(&client, "0\r\n\r\n"));
    cr_assert(strstr(client.p, "Transfer-Encoding: chunked"));
    raw_drop(&client);
    round_trip(&f, &client, &agent, true);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, interim_answers_pass_but_not_without_end)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    cr_assert(raw_until(&client, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"));
    for (int i = 0; i < 20; i++)
        raw_sendz(&agent, "HTTP/1.1 102 Processing\r\n\r\n");
    cr_assert(raw_until(&client, "AGENT_BAD_RESPONSE"));
    cr_assert_eq(raw_count(&client, "HTTP/1.1 102"), 15);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

static void expect_error(const char *answer, bool close, int status, const char *reason)
{
    struct px f;
    struct raw client, agent;
    struct slice body;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, answer);
    if (close)
        raw_close(&agent);
    cr_assert_eq(raw_answer(&client, &body), status, "%s: %s", answer, client.p);
    cr_assert(memmem(body.p, body.n, reason, strlen(reason)), "%s", client.p);
    cr_assert(memmem(body.p, body.n, "\"id\":7,", 7), "the request's id: %s", client.p);
    cr_assert(*px_stats(&f)->last_failure);
    if (!close) {
        cr_assert(raw_until_closed(&agent));
        raw_close(&agent);
    }
    round_trip(&f, &client, &agent, true);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, what_is_no_answer_is_a_502)
{
    expect_error("", true, 502, "AGENT_CONNECTION_LOST");
    expect_error("HTTP/1.1 200 OK\r\nConte", true, 502, "AGENT_BAD_RESPONSE");
    expect_error("SSH-2.0-OpenSSH_9.2\r\n\r\n", false, 502, "AGENT_BAD_RESPONSE");
    expect_error("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false,
                 502, "AGENT_BAD_RESPONSE");
    expect_error("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, 502,
                 "AGENT_BAD_RESPONSE");
    expect_error("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, 502, "AGENT_BAD_RESPONSE");
}

/* What the agent did before it ended decides what a caller is told (design section 8). */
static void expect_lost(const char *sent, const char *read_until, const char *sentence)
{
    struct px f;
    struct raw client, agent;
    struct slice body;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, sent);
    if (read_until) {
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, read_until));
        raw_close(&agent);
    } else {
        px_wait_stat(&f, in_flight, 1); /* in the backlog of a listener that dies */
        px_unlisten(&f);
    }
    cr_assert_eq(raw_answer(&client, &body), 502, "%s", client.p);
    cr_assert(memmem(body.p, body.n, "AGENT_CONNECTION_LOST", 21), "%s", client.p);
    cr_assert(memmem(body.p, body.n, sentence, strlen(sentence)), "%s", client.p);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_pump, a_lost_request_is_told_how_far_it_came)
{
    expect_lost(ask, "\"params\":1}", "the message may have been handled");
    expect_lost(ask, NULL, "before it had read the whole request");
    expect_lost("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                "Content-Length: 99\r\n\r\n{\"id\":7",
                "{\"id\":7", "before the whole request had reached it");
}

Test(proxy_pump, a_head_without_end_is_a_502)
{
    struct px f;
    struct raw client, agent;
    char line[1024];

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\n");
    memset(line, 'x', sizeof(line));
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    for (int i = 0; i < 100; i++)
        raw_send(&agent, (struct slice){line, sizeof(line)});
    cr_assert(raw_until(&client, "AGENT_BAD_RESPONSE"));
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

/* Never a clean end after the agent has cut its answer. */
static void expect_cut(const char *answer)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_sendz(&agent, answer);
    cr_assert(raw_until(&client, "hel"));
    raw_close(&agent);
    cr_assert(raw_until_closed(&client));
    cr_assert_null(strstr(client.p, "0\r\n\r\n"), "%s", client.p);
    cr_assert(client.reset, "a reset, so that nobody takes it for the end");
    raw_close(&client);
    px_wait_stat(&f, outcome_connection_lost, 1);
    px_stop(&f);
}

Test(proxy_pump, an_answer_cut_short_never_ends_cleanly)
{
    expect_cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    expect_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    expect_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
    expect_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    expect_cut(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "a\r\ndata: hel\n\r\n");
}

Test(proxy_pump, a_slow_agent_is_a_504)
{
    struct px f;
    struct raw client, agent;
    struct slice body;

    px_start(&f, OFF, "--forward-response-timeout", "150ms", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert_eq(raw_answer(&client, &body), 504);
    cr_assert(memmem(body.p, body.n, "AGENT_TIMEOUT", 13) && memmem(body.p, body.n, "\"id\":7", 6));
    cr_assert(raw_until_closed(&agent));
    cr_assert_eq(px_stats(&f)->outcome_timeout, 1);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, an_answer_that_stops_half_way_is_cut_and_a_stream_is_not)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, "--forward-keepalive-interval", "0", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    cr_assert(raw_until(&client, "hello"));
    px_response_timeout(&f, 100); /* now that the answer has begun */
    cr_assert(raw_until_closed(&client));
    cr_assert(client.reset);
    raw_close(&client);
    raw_close(&agent);
    cr_assert_eq(px_stats(&f)->outcome_timeout, 1);
    px_response_timeout(&f, PX_PATIENCE_MS);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    cr_assert(raw_until(&client, "data: 1\n\n\r\n"));
    px_response_timeout(&f, 100);
    {
        struct pollfd p = {.fd = client.fd, .events = POLLIN};

        cr_assert_eq(poll(&p, 1, 500), 0);
    }
    raw_sendz(&agent, "data: 2\n\n");
    cr_assert(raw_until(&client, "data: 2"));
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, a_client_that_goes_takes_its_connection_to_the_agent_along)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client); /* while the agent thinks */
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    raw_reset(&client);
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    px_client(&f, &client); /* in a stream, by a plain close */
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(
        &agent,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "9\r\ndata: x\n\n\r\n");
    cr_assert(raw_until(&client, "data: x\n\n"));
    cr_assert_eq(px_stats(&f)->streams, 1);
    raw_close(&client);
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    px_client(&f, &client); /* in the middle of its body: the agent must not see a whole request */
    raw_sendz(&client,
              "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "hello\r\n"));
    raw_close(&client);
    cr_assert(raw_until_closed(&agent));
    cr_assert_null(strstr(agent.p, "0\r\n\r\n"));
    raw_close(&agent);
    px_wait_stat(&f, outcome_client_gone, 3);
    cr_assert_eq(f.stats.streams, 0);
    cr_assert_eq(window_failure_rate(&f.stats.agent_window, f.stats.last_failure_ms), 0.0);
    px_stop(&f);
}

Test(proxy_pump, a_client_that_ends_its_side_still_gets_its_answer)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    raw_shut(&client);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\"params\":1}"));
    (void)px_stats(&f);
    raw_sendz(&agent, hello);
    cr_assert_eq(raw_answer(&client, NULL), 200);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, comments_are_put_between_events_only)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, "--forward-keepalive-interval", "100ms", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(&agent,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 34\r\n\r\n");
    cr_assert(raw_until(&client, ": keepalive\n\n"), "before the first event");
    cr_assert(strstr(client.p, "Transfer-Encoding: chunked"), "a length would be wrong");
    raw_sendz(&agent, "data: {\"a");
    cr_assert(raw_until(&client, "data: {\"a\r\n"), "%s", client.p); /* the chunk's end, too */
    {
        struct pollfd p = {.fd = client.fd, .events = POLLIN};

        cr_assert_eq(poll(&p, 1, 350), 0, "nothing inside an event");
    }
    raw_sendz(&agent, "\":1}\r\n");
    cr_assert(raw_until(&client, "\":1}\r\n"));
    raw_drop(&client);
    raw_sendz(&agent, "\r\n");
    cr_assert(raw_until(&client, ": keepalive\n\n"));
    raw_sendz(&agent, "data: last 1234\n\n");
    cr_assert(raw_until(&client, "0\r\n\r\n"));
    cr_assert_geq(px_stats(&f)->keepalive_comments_total, 2);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

static void expect_no_comment(const char *head)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, "--forward-keepalive-interval", "100ms", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(&agent, head);
    cr_assert(raw_until(&client, "\r\n\r\n"));
    {
        struct pollfd p = {.fd = client.fd, .events = POLLIN};

        cr_assert_eq(poll(&p, 1, 300), 0, "%s", head);
    }
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, no_comments_where_they_would_change_something)
{
    expect_no_comment(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_no_comment(
        "HTTP/1.1 500 No\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_no_comment(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
        "Transfer-Encoding: chunked\r\n\r\n");
    expect_no_comment(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-cache, no-transform\r\nTransfer-Encoding: chunked\r\n\r\n");
}

Test(proxy_pump, an_answer_before_the_end_of_the_request_is_relayed)
{
    struct px f;
    struct raw client, agent;
    static char piece[64 * 1024];

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 33554432\r\n\r\n");
    (void)raw_send_some(&client, (struct slice){piece, sizeof(piece)});
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    raw_sendz(&agent, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    raw_close(&agent); /* with unread bytes in it */
    cr_assert(raw_until(&client, "\r\n\r\nbig"), "%s", client.p);
    cr_assert(strstr(client.p, "HTTP/1.1 413 Too Large\r\n") &&
              strstr(client.p, "Connection: close\r\n"));
    raw_close(&client);
    px_wait_stat(&f, outcome_ok, 1);
    px_stop(&f);
}

Test(proxy_pump, what_was_refused_before_its_first_byte_goes_out_once_more)
{
    struct px f;
    struct raw client, agent, second;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    round_trip(&f, &client, &agent, true);
    /* Shows nothing on our side and makes the next write fail with EPIPE: nothing is delivered. */
    cr_assert_eq(shutdown(agent.fd, SHUT_RD), 0);
    round_trip(&f, &client, &second, true);
    cr_assert_eq(px_stats(&f)->forwarded_total, 2);
    cr_assert_eq(f.stats.upstream_connects_total, 2);
    raw_close(&client);
    raw_close(&agent);
    raw_close(&second);
    px_stop(&f);
}

Test(proxy_pump, what_was_refused_and_then_finds_nobody_is_counted_once)
{
    struct px f;
    struct raw client, agent, second;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    round_trip(&f, &client, &agent, true);
    cr_assert_eq(shutdown(agent.fd, SHUT_RD), 0); /* as above: EPIPE */
    px_unlisten(&f);
    raw_sendz(&client, "POST /again HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    px_wait_stat(&f, held, 1);
    cr_assert_eq(f.stats.in_flight, 0);
    cr_assert_eq(f.work.count, 1);
    px_listen(&f);
    px_accept(&f, &second);
    cr_assert(raw_until(&second, "POST /again HTTP/1.1\r\n"));
    cr_assert_eq(px_stats(&f)->in_flight, 1);
    cr_assert_eq(f.stats.held, 0);
    cr_assert_eq(f.stats.forwarded_total, 2, "one is no two because it went twice");
    raw_sendz(&second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(raw_answer(&client, NULL), 200);
    px_wait_stat(&f, outcome_ok, 2);
    cr_assert_eq(f.stats.in_flight, 0);
    raw_close(&client);
    raw_close(&agent);
    raw_close(&second);
    px_stop(&f);
}

Test(proxy_pump, an_agent_that_stops_reading_may_still_answer)
{
    struct px f;
    struct raw client, agent;
    static char piece[300 * 1024];

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    (void)raw_send_some(&client, (struct slice){piece, sizeof(piece)});
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    cr_assert_eq(shutdown(agent.fd, SHUT_RD), 0);
    (void)raw_send_some(&client, (struct slice){piece, sizeof(piece)});
    (void)px_stats(&f);
    raw_sendz(&agent, "HTTP/1.1 429 Slow Down\r\nContent-Length: 4\r\n\r\nslow");
    cr_assert(raw_until(&client, "\r\n\r\nslow"), "%s", client.p);
    cr_assert(strstr(client.p, "HTTP/1.1 429 "));
    cr_assert_eq(px_stats(&f)->forwarded_total, 1, "and is never asked twice");
    cr_assert(px_nobody_connects(&f, 20));
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

/* ---- big bodies, slow readers ---- */

enum { BIG = 16 * 1024 * 1024 };

static char big_byte(size_t i)
{
    return (char)('a' + (i * 7 + i / 251) % 26);
}

struct writer {
    struct raw *r;
    size_t n;
    pthread_t thread;
};

static void *write_big(void *arg)
{
    struct writer *w = arg;
    static _Thread_local char piece[50000];
    size_t at = 0;

    while (at < w->n) {
        size_t n = w->n - at < sizeof(piece) ? w->n - at : sizeof(piece);

        for (size_t i = 0; i < n; i++)
            piece[i] = big_byte(at + i);
        raw_send(w->r, (struct slice){piece, n});
        at += n;
    }
    return NULL;
}

/* Reads n bytes of content, slowly at first. The bytes in r come first. */
static void read_big(struct px *f, struct raw *r, size_t n)
{
    size_t at = 0;
    int waits = 20;

    while (at < n) {
        size_t have = r->len < n - at ? r->len : n - at;

        for (size_t i = 0; i < have; i++)
            cr_assert_eq(r->p[i], big_byte(at + i), "byte %zu", at + i);
        at += have;
        raw_drop(r);
        if (waits > 0) {
            waits--;
            (void)px_stats(f);
            (void)poll(NULL, 0, 5);
        }
        if (at < n)
            cr_assert(raw_until_bytes(r, n - at < 60000 ? n - at : 60000), "at %zu", at);
    }
}

static void drop_head(struct raw *r)
{
    size_t head;

    cr_assert(raw_until(r, "\r\n\r\n"));
    head = (size_t)((char *)memmem(r->p, r->len, "\r\n\r\n", 4) - r->p) + 4;
    memmove(r->p, r->p + head, r->len - head + 1);
    r->len -= head;
}

Test(proxy_pump, big_bodies_pass_both_ways_with_slow_readers, .timeout = 300)
{
    struct px f;
    struct raw client, agent;
    struct writer w;
    char head[128];

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", BIG);
    raw_sendz(&client, head);
    w = (struct writer){.r = &client, .n = BIG};
    cr_assert_eq(pthread_create(&w.thread, NULL, write_big, &w), 0);
    px_accept(&f, &agent);
    drop_head(&agent);
    read_big(&f, &agent, BIG);
    pthread_join(w.thread, NULL);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
    raw_sendz(&agent, head);
    w = (struct writer){.r = &agent, .n = BIG};
    cr_assert_eq(pthread_create(&w.thread, NULL, write_big, &w), 0);
    drop_head(&client);
    read_big(&f, &client, BIG);
    pthread_join(w.thread, NULL);
    raw_drop(&agent);
    round_trip(&f, &client, &agent, false);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, a_big_chunked_body_arrives_whole, .timeout = 300)
{
    struct px f;
    struct raw client, agent;
    static char piece[40000];
    struct slice chunk = {piece, sizeof(piece)};
    size_t content = 0, rounds = 60;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    memset(piece, 'z', sizeof(piece));
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    px_accept(&f, &agent);
    drop_head(&agent);
    for (size_t i = 0; i < rounds; i++) {
        size_t want = content + sizeof(piece);

        raw_sendz(&client, "9c40\r\n");
        raw_send(&client, chunk);
        raw_sendz(&client, "\r\n");
        while (raw_count(&agent, "z") + content < want) {
            cr_assert(raw_until_bytes(&agent, agent.len + 1));
        }
        content += raw_count(&agent, "z");
        raw_drop(&agent);
    }
    raw_sendz(&client, "0\r\n\r\n");
    cr_assert(raw_until(&agent, "0\r\n\r\n"));
    raw_sendz(&agent, hello);
    cr_assert_eq(raw_answer(&client, NULL), 200);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_pump, what_is_open_at_the_end_is_aborted)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    cr_assert(raw_until(&client, "hello"));
    px_fail_in_flight(&f);
    cr_assert(raw_until_closed(&client));
    cr_assert(raw_until_closed(&agent));
    raw_close(&client);
    raw_close(&agent);
    px_wait_stat(&f, outcome_client_gone, 1);
    px_stop(&f);
}

Test(proxy_pump, everything_can_be_freed_at_any_moment)
{
    struct px f;
    struct raw client[3], agent;

    px_start(&f, OFF, NULL);
    for (int i = 0; i < 3; i++) {
        px_client(&f, &client[i]);
        raw_sendz(&client[i], ask);
    }
    px_accept(&f, &agent);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    px_wait_stat(&f, streams, 1);
    px_gate(&f, PROXY_WAIT);
    {
        struct raw held;

        px_client(&f, &held);
        raw_sendz(&held, ask);
        px_wait_stat(&f, held, 1);
        px_stop(&f);
        raw_close(&held);
    }
    for (int i = 0; i < 3; i++)
        raw_close(&client[i]);
    raw_close(&agent);
}
