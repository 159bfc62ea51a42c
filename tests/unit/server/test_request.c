/*
 * Requests and answers over a real socket: keep-alive, pipelining, bodies, framing of answers, the
 * server's own refusals.
 */
#include "support/server_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct fixture f;
static struct raw r;

static void begin(void)
{
    fixture_config(&f);
    fixture_start(&f);
    raw_open(&r, &f.at);
}

static void end(void)
{
    raw_close(&r);
    fixture_stop(&f);
    cr_expect_eq(f.began, f.ended, "every exchange ends exactly once");
}

TestSuite(server_request, .init = begin, .fini = end, .timeout = 300);

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static void expect_answer(int status, const char *body)
{
    struct slice got;

    cr_assert_eq(raw_answer(&r, &got), status, "%s", r.p);
    if (body)
        cr_expect(slice_eq(got, slice_of(body)), "%.*s", (int)got.n, got.p);
}

Test(server_request, keeps_the_connection)
{
    for (int i = 0; i < 5; i++) {
        raw_sendz(&r, GET("/hello"));
        expect_answer(200, "hello");
        raw_sendz(&r, GET("/later"));
        expect_answer(200, "hello");
    }
}

Test(server_request, an_answer_has_length_date_and_no_surplus)
{
    raw_sendz(&r, GET("/hello"));
    cr_assert(raw_until(&r, "hello"));
    cr_expect_eq(
        strncmp(r.p,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nDate: ", 68),
        0, "%s", r.p);
    cr_expect(!strstr(r.p, "Connection"));
}

Test(server_request, pipelined_requests_are_answered_in_order)
{
    raw_sendz(&r, GET("/later") "POST /size HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" GET(
                      "/hello") GET("/two") GET("/hello"));
    expect_answer(200, "hello");
    expect_answer(200, "3");
    expect_answer(200, "hello");
    cr_assert(raw_until(&r, "0\r\n\r\nHTTP/1.1 200 OK"));
}

Test(server_request, one_byte_at_a_time)
{
    const char *text =
        "\r\nPOST /size HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n" GET(
            "/hello");

    for (const char *at = text; *at; at++)
        raw_send(&r, (struct slice){at, 1});
    expect_answer(200, "8");
    expect_answer(200, "hello");
}

Test(server_request, cut_at_every_offset)
{
    const char *text = "POST /size HTTP/1.1\r\n" HOST
                       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" GET("/hello");
    size_t n = strlen(text);

    for (size_t cut = 1; cut < n; cut++) {
        raw_send(&r, (struct slice){text, cut});
        (void)fixture_wait(&f.began, 0);
        raw_send(&r, (struct slice){text + cut, n - cut});
        expect_answer(200, "5");
        expect_answer(200, "hello");
    }
}

Test(server_request, a_body_that_is_taken_in_sips)
{
    static char body[70000];
    char head[128];

    memset(body, 'x', sizeof(body));
    (void)snprintf(head, sizeof(head), "POST /sip HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                   (size_t)3000);
    raw_sendz(&r, head);
    raw_send(&r, (struct slice){body, 3000});
    expect_answer(200, "3000");
    raw_sendz(
        &r,
        "POST /sip HTTP/1.1\r\n" HOST "Transfer-Encoding: "
        "chunked\r\n\r\n20\r\n01234567890123456789012345678901\r\n9\r\n012345678\r\n0\r\n\r\n" GET(
            "/hello"));
    expect_answer(200, "41");
    expect_answer(200, "hello");
}

Test(server_request, a_big_body_goes_through_bounded_memory)
{
    static char body[3 * 1024 * 1024];
    char head[128];

    memset(body, 'x', sizeof(body));
    (void)snprintf(head, sizeof(head), "POST /size HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                   sizeof(body));
    raw_sendz(&r, head);
    raw_send(&r, (struct slice){body, sizeof(body)});
    expect_answer(200, "3145728");
    cr_expect_leq(f.most_bytes, 64 * 1024);
}

Test(server_request, a_big_answer_waits_for_a_slow_reader)
{
    raw_sendz(&r, GET("/big") GET("/hello"));
    cr_assert(fixture_wait(&f.began, 1));
    cr_assert(raw_until(&r, "\r\n0\r\n\r\n"));
    cr_expect_eq(raw_count(&r, "4000\r\n"), 64u);
    cr_assert(raw_until(&r, "\r\n\r\nhello"));
}

Test(server_request, chunks_of_one_turn_leave_together)
{
    raw_sendz(&r, GET("/two"));
    cr_assert(raw_until(&r, "\r\n\r\n3\r\none\r\n"));
    cr_assert(raw_until(&r, "3\r\ntwo\r\n0\r\n\r\n"));
}

Test(server_request, head_gets_the_head_only)
{
    raw_sendz(&r, "HEAD /hello HTTP/1.1\r\n" HOST "\r\nHEAD /two HTTP/1.1\r\n" HOST
                  "\r\nHEAD /stale-length HTTP/1.1\r\n" HOST "\r\n" GET("/nothing") GET("/hello"));
    cr_assert(raw_until(&r, "\r\n\r\nhello"));
    cr_expect_eq(raw_count(&r, "HTTP/1.1 "), 5u);
    cr_expect_eq(raw_count(&r, "Content-Length: 5\r\n"), 2u);
    cr_expect_eq(raw_count(&r, "Content-Length: 77\r\n"), 1u);
    cr_expect_eq(raw_count(&r, "hello"), 1u);
    cr_expect_eq(raw_count(&r, "one"), 0u);
    cr_expect(strstr(r.p, "204 No Content\r\nDate"));
}

Test(server_request, http_1_0_is_closed_and_never_chunked)
{
    raw_sendz(&r, "GET /two HTTP/1.0\r\n\r\n");
    cr_assert(raw_until_closed(&r));
    cr_expect(r.eof && !strstr(r.p, "chunked") && strstr(r.p, "Connection: close\r\n") &&
                  strstr(r.p, "\r\n\r\nonetwo"),
              "%s", r.p);
    cr_expect_eq(f.complete, 1);
}

Test(server_request, http_1_0_is_kept_when_it_asks)
{
    raw_sendz(&r, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_answer(200, "hello");
    cr_expect(strstr(r.p, "Connection: keep-alive\r\n"));
    raw_sendz(&r, "GET /hello HTTP/1.0\r\n\r\n");
    expect_answer(200, "hello");
    cr_expect(raw_until_closed(&r) && r.eof);
}

Test(server_request, closes_when_the_client_or_the_handler_says_so)
{
    raw_sendz(&r, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    cr_assert(raw_until_closed(&r));
    cr_expect(r.eof && strstr(r.p, "Connection: close\r\n"));
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_sendz(&r, GET("/close") GET("/hello"));
    cr_assert(raw_until_closed(&r));
    cr_expect(r.eof && raw_count(&r, "HTTP/1.1 200") == 1u);
}

Test(server_request, sends_100_continue_only_when_it_is_awaited)
{
    raw_sendz(&r,
              "POST /size HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    cr_assert(raw_until(&r, "HTTP/1.1 100 Continue\r\n\r\n"));
    raw_drop(&r);
    raw_sendz(&r, "abc");
    expect_answer(200, "3");
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST
                  "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    expect_answer(200, "3");
    cr_expect(!strstr(r.p, "100 Continue"));
    raw_sendz(&r,
              "POST /early HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect_answer(403, "{}");
    cr_expect(!strstr(r.p, "100 Continue") && strstr(r.p, "Connection: close"));
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_sendz(&r, "POST /size HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    expect_answer(200, "3");
    cr_expect(!strstr(r.p, "100 Continue"));
}

Test(server_request, an_early_answer_reaches_a_client_that_still_sends)
{
    static char body[200 * 1024];

    memset(body, 'x', sizeof(body));
    raw_sendz(&r, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    raw_send(&r, (struct slice){body, sizeof(body)});
    cr_assert(raw_until_closed(&r));
    cr_expect(strstr(r.p, "HTTP/1.1 403") && strstr(r.p, "Connection: close"), "%s", r.p);
}

Test(server_request, an_early_answer_keeps_the_connection_when_the_body_is_here)
{
    raw_sendz(
        &r, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" GET(
                "/hello") "POST /early HTTP/1.1\r\n" HOST
                          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/hello"));
    expect_answer(403, "{}");
    expect_answer(200, "hello");
    expect_answer(403, "{}");
    expect_answer(200, "hello");
}

Test(server_request, interim_answers_go_to_1_1_clients_only)
{
    raw_sendz(&r, GET("/interim"));
    cr_assert(raw_until(&r, "hello"));
    cr_expect_eq(strncmp(r.p, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200", 52), 0,
                 "%s", r.p);
    raw_drop(&r);
    raw_sendz(&r, "GET /interim HTTP/1.0\r\n\r\n");
    expect_answer(200, "hello");
}

Test(server_request, collects_a_body)
{
    char big[400];

    raw_sendz(&r,
              "POST /collect HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" GET("/collect"));
    expect_answer(200, "abc");
    expect_answer(200, "");
    raw_sendz(&r, "POST /collect HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n");
    expect_answer(413, NULL);
    raw_close(&r);
    raw_open(&r, &f.at);
    (void)snprintf(
        big, sizeof(big),
        "POST /collect HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n65\r\n%0101d\r\n", 0);
    raw_sendz(&r, big);
    expect_answer(413, NULL);
}

Test(server_request, keeps_a_head_for_later)
{
    raw_sendz(&r, "GET http://other/kept?a=b HTTP/1.1\r\n" HOST "X-Test: \tvalue \r\n\r\n");
    expect_answer(200, "/kept?a=b value");
    raw_sendz(&r, "GET /kept HTTP/1.0\r\n\r\n");
    expect_answer(200, "/kept ");
}

/* ---- refusals of the server itself ---- */

static void expect_refusal(const char *text, int status, const char *word)
{
    char want[64];

    raw_close(&r);
    raw_open(&r, &f.at);
    raw_sendz(&r, text);
    cr_expect_eq(raw_answer(&r, NULL), status, "%.40s...: %s", text, r.p);
    (void)snprintf(want, sizeof(want), "{\"error\":\"%s\",\"message\":\"", word);
    cr_expect(strstr(r.p, want) && strstr(r.p, "Connection: close\r\n"), "%s", r.p);
    raw_shut(&r);
    cr_expect(raw_until_closed(&r) && r.eof, "%s", text);
}

Test(server_request, a_kept_head_without_fields_keeps_its_host)
{
    struct raw other;

    raw_open(&other, &f.at);
    raw_sendz(&r, "GET http://a.example HTTP/1.0\r\n\r\n");
    cr_assert(fixture_wait(&f.began, 1));
    raw_sendz(&other, "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"); /* is read to the same place */
    expect_answer(200, "/ a.example");
    raw_close(&other);
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_sendz(&r, "GET / HTTP/1.0\r\n\r\n");
    expect_answer(200, "/ ");
}

Test(server_request, refuses_with_a_sentence_and_closes)
{
    expect_refusal("GET / HTTP/1.1\nHost: h\n\n", 400, "bad_request");
    expect_refusal("GET / HTTP/1.1\nHo", 400, "bad_request");
    expect_refusal("\x16\x03\x01", 400, "bad_request");
    expect_refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported");
    expect_refusal("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 405, "method_not_allowed");
    cr_expect(strstr(r.p, "Allow: GET"));
    expect_refusal("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n\r\n",
                   400, "bad_request");
    expect_refusal("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501,
                   "not_implemented");
    expect_refusal("POST / HTTP/1.1\r\n" HOST "Expect: x\r\n\r\n", 417, "expectation_failed");
    expect_refusal("POST /size HTTP/1.1\r\n" HOST
                   "Content-Length: 999999999999\r\nExpect: 100-continue\r\n\r\n",
                   413, "body_too_large");
    expect_refusal("POST /size HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
                   "bad_request");
    cr_expect_eq(f.began, 1, "only the last one had a handler");
}

Test(server_request, nothing_behind_a_refused_request_is_served)
{
    raw_sendz(&r, GET("/hello") "POST /size HTTP/1.1\r\n" HOST
                                "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" GET("/hello"));
    expect_answer(200, "hello");
    expect_answer(400, NULL);
    raw_shut(&r);
    cr_expect(raw_until_closed(&r));
    cr_expect_eq(f.began, 1);
}

Test(server_request, heads_up_to_the_limit_and_not_more)
{
    static char big[70 * 1024];
    size_t n = (size_t)snprintf(big, sizeof(big), "GET /hello HTTP/1.1\r\n" HOST);

    for (int i = 0; i < 7; i++) {
        n += (size_t)snprintf(big + n, sizeof(big) - n, "X-%d: ", i);
        memset(big + n, 'x', 9000);
        n += 9000;
        n += (size_t)snprintf(big + n, sizeof(big) - n, "\r\n");
    }
    n += (size_t)snprintf(big + n, sizeof(big) - n, "X: ");
    memset(big + n, 'y', 64 * 1024 - 4 - n);
    n = 64 * 1024 - 4;
    memcpy(big + n, "\r\n\r\n", 5);
    raw_send(&r, (struct slice){big, 64 * 1024});
    expect_answer(200, "hello");
    memcpy(big + n, "y\r\n\r\n", 6);
    raw_send(&r, (struct slice){big, 64 * 1024 + 1});
    expect_answer(431, NULL);
    expect_refusal("GET /\x01 HTTP/1.1\r\n\r\n", 400, "bad_request");
    memset(big, 'A', sizeof(big));
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_send(&r, (struct slice){big, 20000});
    expect_answer(414, NULL);
}
