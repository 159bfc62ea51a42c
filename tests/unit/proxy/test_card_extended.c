/* Extended cards with card.rewrite_extended: by REST, and as the result of a JSON-RPC call. */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define OFF    "--platform-enabled", "false"
#define PUBLIC "--listen-public-url", "https://pub.example/a"
#define ON     OFF, PUBLIC, "--card-rewrite-extended", "true"

#define CALL                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":\"a-1\",\"method\":\"GetExtendedAgentCard\",\"params\":{}}"
#define CARD                                                                                       \
    "{\"url\":\"http://127.0.0.1:9000/rpc\",\"supportedInterfaces\":[{\"url\":\"http://h/\","      \
    "\"protocolBinding\":\"JSONRPC\"}],\"signatures\":[{}]}"
#define CARD_OUT                                                                                   \
    "{\"url\":\"https://pub.example/a/rpc\",\"supportedInterfaces\":[{\"url\":"                    \
    "\"https://pub.example/a/\",\"protocolBinding\":\"JSONRPC\"}]}"
#define ANSWER(card)                                                                               \
    " {\"jsonrpc\" : \"2.0\", \"url\":\"http://h/x\", \"result\":" card                            \
    " , \"id\":\"a\\u002d1\", \"n\":1.50 }\r\n"

static struct px f;
static struct raw client, agent;

static void post(const char *fields, const char *body)
{
    char head[512];

    snprintf(head, sizeof(head),
             "POST /rpc HTTP/1.1\r\nHost: seen.example\r\nContent-Type: application/json\r\n"
             "Accept-Encoding: gzip, br\r\nAuthorization: Bearer b\r\n%sContent-Length: "
             "%zu\r\n\r\n",
             fields, strlen(body));
    raw_sendz(&client, head);
    raw_sendz(&client, body);
}

/* The agent has got a whole request that ends with `end`; was it asked for plain bytes? */
static bool agent_got(const char *end)
{
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, end), "%s", agent.p);
    cr_assert(strstr(agent.p, "Authorization: Bearer b\r\n"));
    if (strstr(agent.p, "Accept-Encoding: identity\r\n"))
        cr_assert_null(strstr(agent.p, "gzip"));
    else
        cr_assert(strstr(agent.p, "Accept-Encoding: gzip, br\r\n"));
    return strstr(agent.p, "Accept-Encoding: identity\r\n") != NULL;
}

static void agent_says(const char *head, const char *body)
{
    char answer[1024];

    snprintf(answer, sizeof(answer),
             "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", head, strlen(body));
    raw_sendz(&agent, answer);
    raw_sendz(&agent, body);
    raw_close(&agent);
}

static void expect(int status, const char *want)
{
    struct slice body;
    int got = raw_answer(&client, &body);

    cr_assert_eq(got, status, "%d: %s", got, client.p);
    if (want)
        cr_assert(slice_eq(body, slice_of(want)), "want %s, got %.*s", want, (int)body.n, body.p);
}

#define JSON_200 "200 OK\r\nContent-Type: application/json"

Test(proxy_card_extended, the_result_is_rewritten_and_nothing_else)
{
    static const char *const calls[] = {
        CALL,
        "{\"method\":\"agent\\/getAuthenticatedExtendedCard\",\"id\":\"a-1\"}",
        " {\"params\":{\"method\":\"x\"},\"m\\u0065thod\" : \"GetExtendedAgentCard\" }",
    };

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < 3; i++) {
        post("", calls[i]);
        cr_assert(agent_got(calls[i]));
        agent_says(JSON_200 "; charset=utf-8\r\nCache-Control: private, no-store\r\nETag: \"e\"\r\n"
                            "Content-Digest: d\r\nX-Other: o",
                   ANSWER(CARD));
        expect(200, ANSWER(CARD_OUT));
        cr_assert(strstr(client.p, "Content-Type: application/json; charset=utf-8\r\n"));
        cr_assert(strstr(client.p, "Cache-Control: private, no-store\r\n"));
        cr_assert(strstr(client.p, "Vary: Authorization\r\n"));
        cr_assert(strstr(client.p, "X-Other: o\r\n"));
        cr_assert_null(strstr(client.p, "ETag"));
        cr_assert_null(strstr(client.p, "Content-Digest"));
    }
    cr_assert_eq(px_stats(&f)->outcome_ok, 3, "a request like any other");
    cr_assert_eq(f.stats.forwarded_total, 3);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_extended, what_has_no_card_stays_byte_for_byte)
{
    static const char *const bodies[] = {
        "{\"id\":1,\"error\":{\"code\":-32007,\"message\":\"no\",\"url\":\"http://h/\"}}",
        "{\"id\":12345678901234567890, \"result\":null}",
        "{\"id\":1,\"result\":[{\"url\":\"http://h/\"}]}",
        "{\"id\":1,\"result\":{\"url\":\"https://pub.example/a/x\",\"signatures\":[1]}}",
    };

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        post("", CALL);
        cr_assert(agent_got(CALL));
        agent_says(JSON_200 "\r\nETag: \"e\"", bodies[i]);
        expect(200, bodies[i]);
        cr_assert(strstr(client.p, "ETag: \"e\"\r\n"), "it is still true");
    }
    post("", CALL); /* not ours to judge */
    cr_assert(agent_got(CALL));
    agent_says("200 OK\r\nContent-Type: text/plain", ANSWER(CARD));
    expect(200, ANSWER(CARD));
    post("", CALL);
    cr_assert(agent_got(CALL));
    agent_says("401 Unauthorized\r\nContent-Type: application/json", ANSWER(CARD));
    expect(401, ANSWER(CARD));
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_extended, other_calls_are_sent_as_they_are)
{
    static const char *const calls[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"SendMessage\",\"params\":{}}",
        "{\"params\":{\"method\":\"GetExtendedAgentCard\"},\"id\":1}",
        "{\"method\":\"GetExtendedAgentCardx\"}",
        "{\"method\":7}",
        "[{\"method\":\"GetExtendedAgentCard\"}]",
        "{\"method\":\"GetExtendedAgentCard\"", /* cut: nobody can say */
        "no json",
        "{}",
    };

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        post("", calls[i]);
        cr_assert_not(agent_got(calls[i]), "%s", calls[i]);
        agent_says(JSON_200, ANSWER(CARD));
        expect(200, ANSWER(CARD));
    }
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_extended, it_is_off_unless_asked_for)
{
    static const char *const flags[][2] = {{"--card-rewrite-extended", "false"},
                                           {"--card-signatures", "pass"}};

    for (size_t i = 0; i < 2; i++) {
        px_start(&f, OFF, PUBLIC, flags[i][0], flags[i][1], NULL);
        px_client(&f, &client);
        post("", CALL);
        cr_assert_not(agent_got(CALL));
        agent_says(JSON_200, ANSWER(CARD));
        expect(200, ANSWER(CARD));
        raw_sendz(&client, "GET /v1/card HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"x\"\r\n"
                           "Accept-Encoding: gzip, br\r\nAuthorization: Bearer b\r\n\r\n");
        cr_assert_not(agent_got("\r\n\r\n"));
        cr_assert(strstr(agent.p, "If-None-Match: \"x\"\r\n"));
        agent_says(JSON_200, CARD);
        expect(200, CARD);
        raw_close(&client);
        px_stop(&f);
    }
}

/* The request cut anywhere, as it is and in chunks; the agent sees the same, and so does the
 * client. */
Test(proxy_card_extended, a_cut_request_is_the_same_request, .timeout = 600)
{
    char chunk[256];
    size_t n = sizeof(CALL) - 1;

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t at = 1; at < n; at++) {
        char head[256];

        snprintf(head, sizeof(head),
                 "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                 "Accept-Encoding: gzip, br\r\nAuthorization: Bearer b\r\nContent-Length: "
                 "%zu\r\n\r\n",
                 n);
        raw_sendz(&client, head);
        raw_send(&client, (struct slice){CALL, at});
        (void)poll(NULL, 0, 1); /* likely two reads; in one it is as good */
        raw_send(&client, (struct slice){CALL + at, n - at});
        cr_assert(agent_got(CALL));
        agent_says(JSON_200, ANSWER(CARD));
        expect(200, ANSWER(CARD_OUT));

        raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                           "Accept-Encoding: gzip, br\r\nAuthorization: Bearer b\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n");
        snprintf(chunk, sizeof(chunk), "%zx\r\n%.*s\r\n", at, (int)at, CALL);
        raw_sendz(&client, chunk);
        (void)poll(NULL, 0, 1);
        snprintf(chunk, sizeof(chunk), "%zx\r\n%s\r\n0\r\n\r\n", n - at, CALL + at);
        raw_sendz(&client, chunk);
        cr_assert(agent_got("\r\n0\r\n\r\n"));
        agent_says(JSON_200, ANSWER(CARD));
        expect(200, ANSWER(CARD_OUT));
    }
    raw_close(&client);
    px_stop(&f);
}

/* A method behind 64 KiB of something else is not waited for. */
Test(proxy_card_extended, a_method_that_comes_too_late_is_not_looked_for)
{
    enum { PAD = 64 * 1024 };
    char *body = calloc(1, PAD + 256);
    char head[256];
    size_t n;

    cr_assert_not_null(body);
    px_start(&f, ON, NULL);
    for (int late = 0; late < 2; late++) {
        n = (size_t)sprintf(body, "{\"params\":\"%0*d\",\"method\":\"GetExtendedAgentCard\"}",
                            late ? PAD : PAD / 4, 0);
        px_client(&f, &client);
        snprintf(head, sizeof(head),
                 "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                 "Accept-Encoding: gzip, br\r\nAuthorization: Bearer b\r\nContent-Length: "
                 "%zu\r\n\r\n",
                 n);
        raw_sendz(&client, head);
        for (size_t at = 0; at < n; at += 999)
            raw_send(&client, (struct slice){body + at, n - at < 999 ? n - at : 999});
        cr_assert_eq(agent_got("GetExtendedAgentCard\"}"), late == 0);
        cr_assert(memmem(agent.p, agent.len, body, n) != NULL, "the body is whole");
        agent_says(JSON_200, ANSWER(CARD));
        expect(200, late ? ANSWER(CARD) : ANSWER(CARD_OUT));
        raw_close(&client);
    }
    free(body);
    px_stop(&f);
}

/* The method is known before the body has ended: the request goes out then, not at its end. */
Test(proxy_card_extended, a_known_method_is_not_kept_waiting)
{
    px_start(&f, ON, NULL);
    px_client(&f, &client);
    raw_sendz(&client,
              "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAccept-Encoding: "
              "gzip, br\r\nAuthorization: Bearer b\r\nContent-Length: 30\r\n\r\n{\"method\":");
    cr_assert(px_nobody_connects(&f, 20));
    raw_sendz(&client, "\"Send\",\"a\"");
    cr_assert_not(agent_got("\"Send\",\"a\""));
    raw_sendz(&client, ":\"123456\"}");
    cr_assert(raw_until(&agent, "123456\"}"));
    agent_says(JSON_200, "{}");
    expect(200, "{}");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_extended, what_is_no_card_becomes_a_502_with_the_callers_id)
{
    static const char *const bad[][2] = {
        {JSON_200, "<html>"},
        {JSON_200, "[]"},
        {JSON_200, ""},
        {JSON_200 "\r\nContent-Encoding: gzip", "{}"},
    };

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        post("", CALL);
        cr_assert(agent_got(CALL));
        agent_says(bad[i][0], bad[i][1]);
        expect(502, NULL);
        cr_assert(strstr(client.p, "\"id\":\"a-1\",\"error\""), "%s", client.p);
    }
    post("", CALL);
    cr_assert(agent_got(CALL));
    raw_sendz(&agent, "HTTP/1.1 " JSON_200 "\r\nContent-Length: 1048577\r\n\r\n{");
    expect(502, NULL);
    raw_close(&agent);
    post("", CALL); /* the same, seen on the way */
    cr_assert(agent_got(CALL));
    raw_sendz(&agent, "HTTP/1.1 " JSON_200 "\r\nTransfer-Encoding: chunked\r\n\r\n");
    {
        char *big = calloc(1, 1024 * 1024 + 16);

        cr_assert_not_null(big);
        memset(big, ' ', 1024 * 1024 + 8);
        memcpy(big, "100001\r\n", 8);
        raw_sendz(&agent, big);
        free(big);
    }
    raw_sendz(&agent, "}\r\n0\r\n\r\n");
    expect(502, NULL);
    cr_assert(strstr(client.p, "larger than 1 MiB"));
    raw_close(&agent);
    post("", CALL); /* and one that ends early */
    cr_assert(agent_got(CALL));
    raw_sendz(&agent, "HTTP/1.1 " JSON_200 "\r\nContent-Length: 100\r\n\r\n{");
    raw_close(&agent);
    expect(502, NULL);
    cr_assert(strstr(client.p, "AGENT_CONNECTION_LOST"));
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_extended, such_a_request_waits_for_the_agent_like_any_other)
{
    px_start(&f, ON, NULL);
    px_client(&f, &client);
    px_gate(&f, PROXY_WAIT);
    post("", CALL);
    px_wait_stat(&f, held, 1);
    px_gate(&f, PROXY_OPEN);
    cr_assert(agent_got(CALL));
    agent_says(JSON_200, ANSWER(CARD));
    expect(200, ANSWER(CARD_OUT));
    /* the gate changes between the head and the method */
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                       "Content-Length: 30\r\n\r\n{\"id\":5,");
    (void)px_nobody_connects(&f, 20);
    px_gate(&f, PROXY_PAUSED);
    raw_sendz(&client, "\"method\":\"SendMess\"   }");
    expect(503, NULL);
    cr_assert(strstr(client.p, "PAUSED"), "%s", client.p);
    raw_close(&client);
    /* and a client that leaves before it has said what it wants */
    px_gate(&f, PROXY_OPEN);
    px_client(&f, &client);
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                       "Content-Length: 30\r\n\r\n{\"id\":5,");
    raw_close(&client);
    px_wait_stat(&f, outcome_client_gone, 1);
    px_stop(&f);
}

Test(proxy_card_extended, rest_says_it_by_its_path)
{
    static const char *const paths[] = {"/extendedAgentCard", "/t1/extendedAgentCard", "/v1/card"};
    char rq[512], tag[64];

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < 3; i++) {
        snprintf(rq, sizeof(rq),
                 "GET %s HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"x\"\r\nAccept-Encoding: gzip\r\n"
                 "Authorization: Bearer b\r\n\r\n",
                 paths[i]);
        raw_sendz(&client, rq);
        cr_assert(agent_got("\r\n\r\n"));
        cr_assert_null(strstr(agent.p, "If-None-Match"));
        agent_says("200 OK\r\nContent-Type: application/a2a+json\r\nETag: \"e\"\r\n"
                   "Vary: A2A-Version\r\nCache-Control: private, no-store",
                   CARD);
        expect(200, CARD_OUT);
        cr_assert(strstr(client.p, "Vary: A2A-Version\r\n"));
        cr_assert(strstr(client.p, "Vary: Authorization\r\n"));
        cr_assert(strstr(client.p, "Cache-Control: private, no-store\r\n"));
        cr_assert_null(strstr(client.p, "\"e\""));
    }
    snprintf(tag, sizeof(tag), "%.34s", strstr(client.p, "ETag: ") + 6);
    snprintf(rq, sizeof(rq),
             "GET /v1/card HTTP/1.1\r\nHost: h\r\nIf-None-Match: %s\r\nAccept-Encoding: gzip\r\n"
             "Authorization: Bearer b\r\n\r\n",
             tag);
    raw_sendz(&client, rq);
    cr_assert(agent_got("\r\n\r\n"));
    agent_says(JSON_200, CARD);
    expect(304, "");
    cr_assert(strstr(client.p, tag) && strstr(client.p, "Vary: Authorization\r\n"));
    raw_sendz(&client, "GET /v1/card HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br\r\n"
                       "Authorization: Bearer b\r\n\r\n");
    cr_assert(agent_got("\r\n\r\n"));
    agent_says("403 Forbidden\r\nContent-Type: application/json\r\nETag: \"e\"", CARD);
    expect(403, CARD);
    cr_assert(strstr(client.p, "ETag: \"e\"\r\n"));
    px_card(&f, "{\"name\":\"public\"}"); /* never in its place */
    raw_sendz(&client, "GET /v1/card HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br\r\n"
                       "Authorization: Bearer b\r\n\r\n");
    cr_assert(agent_got("\r\n\r\n"));
    raw_close(&agent);
    expect(502, NULL);
    raw_close(&client);
    px_stop(&f);
}
