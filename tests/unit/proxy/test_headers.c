#include "proxy/headers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

enum { HEAD_CAP = 16 * 1024 };

/* The head the agent gets for `in`, as text. */
static int forward(const char *in, struct header_context c, char out[HEAD_CAP])
{
    static struct http_request rq;
    struct http_refusal why = {0};
    struct http_writer w = {.p = out, .cap = HEAD_CAP - 1};
    struct route_rules rules = {.strip_prefix = c.strip_prefix};
    struct route route;
    int code;

    cr_assert_eq(http_request_parse(in, strlen(in), NULL, &rq, &why), 0, "%s",
                 why.text ? why.text : "");
    route = route_pick(&rules, rq.method, rq.target, rq.path);
    if (!c.peer)
        c.peer = "203.0.113.7";
    code = headers_to_agent(&w, &rq, rq.method_text, &route, &c);
    out[w.len] = '\0';
    return code;
}

static void expect(const char *in, struct header_context c, const char *want)
{
    char out[HEAD_CAP];

    cr_assert_eq(forward(in, c, out), 0);
    cr_assert_str_eq(out, want);
}

static bool forwards(const char *field, struct header_context c)
{
    char in[1024], out[HEAD_CAP], needle[512];

    snprintf(in, sizeof(in), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Length: 0\r\n\r\n",
             field);
    snprintf(needle, sizeof(needle), "\r\n%s\r\n", field);
    cr_assert_eq(forward(in, c, out), 0);
    return strstr(out, needle) != NULL;
}

Test(proxy_headers, generates_the_head_and_keeps_what_is_end_to_end)
{
    expect("POST /a%2Fb//..;x? HTTP/1.1\r\nhOST: agent.example:81\r\nA2A-Version: 1.0\r\n"
           "X-Odd:  a\tb \r\naccept: */*\r\nContent-Length: 5\r\nConnection: close, x-hop\r\n"
           "X-Hop: 1\r\nTE: trailers\r\nExpect: 100-continue\r\naccept: text/html\r\n\r\n",
           (struct header_context){.via = true},
           "POST /a%2Fb//..;x? HTTP/1.1\r\nHost: agent.example:81\r\nA2A-Version: 1.0\r\n"
           "X-Odd: a\tb\r\naccept: */*\r\naccept: text/html\r\nX-Forwarded-For: 203.0.113.7\r\n"
           "X-Forwarded-Proto: http\r\nX-Forwarded-Host: agent.example:81\r\nVia: 1.1 molecule\r\n"
           "Content-Length: 5\r\n\r\n");
}

Test(proxy_headers, frames_by_itself)
{
    expect("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChUnKeD\r\n\r\n",
           (struct header_context){.peer = "unix"},
           "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n"
           "Transfer-Encoding: chunked\r\n\r\n");
    expect("GET /x HTTP/1.0\r\n\r\n", (struct header_context){.peer = "unix"},
           "GET /x HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: http\r\n\r\n");
}

Test(proxy_headers, says_https_and_who_the_client_is)
{
    struct header_context c = {
        .peer = "unix", .is_https = true, .client = SLICE("Hash=ab;Subject=\"CN=x\"")};
    char out[HEAD_CAP];

    expect("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n"
           "X_Forwarded-Client_Cert: Hash=1\r\nX-Forwarded-Client-Cert: Hash=2\r\n\r\n",
           c,
           "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n"
           "X-Forwarded-Client-Cert: Hash=ab;Subject=\"CN=x\"\r\nX-Forwarded-Host: a\r\n\r\n");
    c.is_trusted =
        true; /* it is believed about the way before it, not about who comes from there */
    cr_assert_eq(forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n"
                         "X-Forwarded-Client-Cert: Hash=2\r\n\r\n",
                         c, out),
                 0);
    cr_assert(strstr(out, "X-Forwarded-Proto: http\r\n") && !strstr(out, "Hash=2"), "%s", out);
}

Test(proxy_headers, does_not_let_connection_remove_what_matters)
{
    char out[HEAD_CAP];

    cr_assert_eq(forward("POST / HTTP/1.1\r\nHost: a\r\nConnection: a2a-version, authorization\r\n"
                         "A2A-Version: 1.0\r\nAuthorization: Bearer t\r\nContent-Length: 0\r\n\r\n",
                         (struct header_context){0}, out),
                 0);
    cr_assert(strstr(out, "A2A-Version: 1.0\r\n") && strstr(out, "Authorization: Bearer t\r\n"));
}

Test(proxy_headers, deletes_claims_of_identity_in_every_spelling)
{
    static const char *const claims[] = {
        "X-A2A-Caller: root",       "X_A2A_Caller: root",
        "x-forwarded-user: root",   "X_Forwarded_User: root",
        "X-Forwarded_User: root",   "X-Forwarded-Client-Cert: Hash=1",
        "X-Forwarded-Email: a@b.c", "X_FORWARDED_CLIENT_CERT: h=1",
    };

    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        cr_assert_not(forwards(claims[i], (struct header_context){0}), "%s", claims[i]);
        cr_assert_not(forwards(claims[i], (struct header_context){.is_trusted = true}), "%s",
                      claims[i]);
    }
    cr_assert(forwards("A2A-Extensions: https://x.example/e", (struct header_context){0}));
    cr_assert(forwards("X-A2A-Extensions: e", (struct header_context){0}));
    cr_assert(forwards("X-A2A-Notification-Token: t", (struct header_context){0}));
    cr_assert(forwards("traceparent: 00-1-2-01", (struct header_context){0}));
    cr_assert(forwards("Cookie: a=b", (struct header_context){0}));
}

Test(proxy_headers, believes_forwarded_fields_of_trusted_proxies_only)
{
    static const char in[] = "GET /p/x HTTP/1.1\r\nHost: in\r\nX-Forwarded-For: 1.2.3.4\r\n"
                             "X-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n"
                             "X-Forwarded-Host: api.example\r\nX-Forwarded-Prefix: /pre/\r\n"
                             "X-Forwarded-Port: 443\r\nForwarded: for=1.2.3.4\r\n\r\n";

    expect(
        in, (struct header_context){.strip_prefix = SLICE("/p")},
        "GET /x HTTP/1.1\r\nHost: in\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\n"
        "X-Forwarded-Host: in\r\nX-Forwarded-Prefix: /p\r\n\r\n");
    expect(in, (struct header_context){.strip_prefix = SLICE("/p"), .is_trusted = true},
           "GET /x HTTP/1.1\r\nHost: in\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.2.3.4\r\n"
           "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
           "X-Forwarded-Host: api.example\r\nX-Forwarded-Prefix: /pre/p\r\n\r\n");
}

Test(proxy_headers, our_own_bearer_never_reaches_the_agent)
{
    struct header_context c = {.workspace_token = SLICE("wt"), .inbound_secret = SLICE("is")};
    static const enum inbound_auth modes[] = {INBOUND_AUTH_AUTO, INBOUND_AUTH_REQUIRE,
                                              INBOUND_AUTH_OFF};

    for (size_t i = 0; i < 3; i++) {
        c.auth = modes[i];
        cr_assert_not(forwards("Authorization: Bearer wt", c));
        cr_assert_not(forwards("authorization: bearer  wt", c));
        cr_assert(forwards("Authorization: Bearer other", c));
        cr_assert(forwards("Authorization: Basic d3Q=", c));
        cr_assert_eq(forwards("Authorization: Bearer is", c), modes[i] == INBOUND_AUTH_OFF);
    }
}

Test(proxy_headers, knows_the_platform_by_its_secret)
{
    static struct http_request rq;
    struct http_refusal why;
    static const char in[] = "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3\r\n\r\n";

    cr_assert_eq(http_request_parse(in, sizeof(in) - 1, NULL, &rq, &why), 0);
    cr_assert_eq(headers_auth(&rq, SLICE("s3")), AUTH_PLATFORM);
    cr_assert_eq(headers_auth(&rq, SLICE("s")), AUTH_OTHER);
    cr_assert_eq(headers_auth(&rq, SLICE("")), AUTH_OTHER);
}

Test(proxy_headers, a_card_is_fetched_without_validators)
{
    expect("GET /agent/card HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-1\r\n"
           "Accept-Encoding: gzip\r\nA2A-Version: 1.0\r\nContent-Length: 3\r\n\r\n",
           (struct header_context){.is_card = true, .peer = "unix"},
           "GET /agent/card HTTP/1.1\r\nHost: a\r\nA2A-Version: 1.0\r\nX-Forwarded-Proto: http\r\n"
           "X-Forwarded-Host: a\r\nAccept-Encoding: identity\r\n\r\n");
}

Test(proxy_headers, an_answer_that_will_be_edited_is_asked_for_without_conditions)
{
    expect("GET /v1/card HTTP/1.1\r\nHost: a\r\nIf-Match: x\r\nif_range: x\r\nIf-Unmodified-Since: "
           "x\r\nIf-Modified-Since: x\r\naccept-encoding: br\r\nAuthorization: Bearer "
           "b\r\nContent-Length: 3\r\n\r\n",
           (struct header_context){.is_edited = true, .peer = "unix"},
           "GET /v1/card HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer b\r\nX-Forwarded-Proto: "
           "http\r\nX-Forwarded-Host: a\r\nAccept-Encoding: identity\r\nContent-Length: "
           "3\r\n\r\n");
}

Test(proxy_headers, a_head_is_changed_to_ask_for_identity)
{
    static const char *const rows[][2] = {
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n"},
        {"POST / HTTP/1.1\r\naccept-ENCODING: gzip\r\nHost: a\r\nAccept-Encoding:\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nX-Accept-Encoding: x\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: a\r\nX-Accept-Encoding: x\r\nAccept-Encoding: "
         "identity\r\n\r\n"},
    };
    static const char *const bodies[] = {"", "{}\r\nAccept-Encoding: br\r\n\r\n"};

    for (size_t i = 0; i < 6; i++) {
        char bytes[256], want[256];
        size_t head_n = strlen(rows[i / 2][0]), len, n;

        len = (size_t)snprintf(bytes, sizeof(bytes), "%s%s", rows[i / 2][0], bodies[i % 2]);
        snprintf(want, sizeof(want), "%s%s", rows[i / 2][1], bodies[i % 2]);
        cr_assert_eq(headers_ask_identity(bytes, head_n, len, len + 26), 0);
        n = headers_ask_identity(bytes, head_n, len, len + 27);
        cr_assert_eq(n, strlen(want));
        cr_assert_arr_eq(bytes, want, n);
    }
}

Test(proxy_headers, guards_against_loops)
{
    char in[1024] = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 other", out[HEAD_CAP];

    for (int i = 0; i < VIA_LOOP_MAX; i++)
        strncat(in, ", 1.1 molecule", sizeof(in) - strlen(in) - 1);
    strncat(in, "\r\n", sizeof(in) - strlen(in) - 1);
    {
        char more[1100];

        snprintf(more, sizeof(more), "%s\r\n", in);
        cr_assert_eq(forward(more, (struct header_context){0}, out), 0);
        snprintf(more, sizeof(more), "%sVia: 1.1 molecule\r\n\r\n", in);
        cr_assert_eq(forward(more, (struct header_context){0}, out), -ELOOP);
    }
}

Test(proxy_headers, says_when_there_is_no_room)
{
    static struct http_request rq;
    struct http_refusal why;
    static const char in[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char small[16];
    struct http_writer w = {.p = small, .cap = sizeof(small)};
    struct route route = {.target = SLICE("/")};
    struct header_context c = {.peer = "unix"};

    cr_assert_eq(http_request_parse(in, sizeof(in) - 1, NULL, &rq, &why), 0);
    cr_assert_eq(headers_to_agent(&w, &rq, rq.method_text, &route, &c), -E2BIG);
}

Test(proxy_headers, answers_lose_only_what_is_between_two_hops)
{
    static struct http_response r;
    struct http_refusal why;
    static const char in[] =
        "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
        "Content-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: s\r\n\r\n";
    size_t kept = 0;

    cr_assert_eq(http_response_parse(in, sizeof(in) - 1, NULL, false, &r, &why), 0);
    for (size_t i = 0; i < r.field_count; i++)
        kept += headers_passes_back(&r, &r.fields[i]);
    cr_assert_eq(kept, 3);
    cr_assert_eq(http_response_parse(in, sizeof(in) - 1, NULL, true, &r, &why), 0);
    kept = 0;
    for (size_t i = 0; i < r.field_count; i++)
        kept += headers_passes_back(&r, &r.fields[i]);
    cr_assert_eq(kept, 4, "the length of what a GET would bring");
}
