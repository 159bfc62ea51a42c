/* forward.dedupe_window: who shares an answer, who never does, and how it is forgotten. */
#include "proxy/dedupe.h"

#include "support/proxy_fixture.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define OFF  "--platform-enabled", "false"
#define LONG OFF, "--forward-dedupe-window", "1h"

enum { MIB = 1024 * 1024 };

static const char text[] = "{\"id\":7,\"params\":1}";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: b\r\n"
                             "Content-Length: 12\r\n\r\n{\"result\":1}";

static void post(struct raw *client, const char *target, const char *fields, const char *body)
{
    char rq[2048];

    (void)snprintf(rq, sizeof(rq),
                   "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n%s"
                   "Content-Length: %zu\r\n\r\n%s",
                   target, fields, strlen(body), body);
    raw_sendz(client, rq);
}

static void ask(struct px *f, struct raw *client)
{
    px_client(f, client);
    post(client, "/", "", text);
}

static void expect(struct raw *client, int status, const char *want)
{
    struct slice body;

    cr_assert_eq(raw_answer(client, &body), status, "%s", client->p);
    cr_assert(slice_eq(body, slice_of(want)), "want %s, got %.*s", want, (int)body.n, body.p);
}

/* The agent's next connection, with a whole request on it. */
static void agent_asked(struct px *f, struct raw *agent, const char *end_of_body)
{
    px_accept(f, agent);
    cr_assert(raw_until(agent, end_of_body));
}

/* A request that the agent answers, and closes. */
static void fresh(struct px *f, const char *target, const char *fields, const char *body,
                  const char *says)
{
    struct raw client, agent;

    px_client(f, &client);
    post(&client, target, fields, body);
    agent_asked(f, &agent, body);
    raw_sendz(&agent, says);
    raw_close(&agent);
    cr_assert(raw_answer(&client, NULL) > 0, "%s", client.p);
    raw_close(&client);
}

Test(proxy_dedupe, a_repeat_joins_and_a_later_one_gets_the_stored_answer)
{
    struct px f;
    struct raw one, two, three, agent;

    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    cr_assert(strstr(agent.p, "Content-Length: 19\r\n"), "%s", agent.p);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    /* with a date, for ours may be another second's each time */
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: b\r\nDate: now\r\n"
                      "Content-Length: 12\r\n\r\n{\"result\":1}");
    expect(&one, 200, "{\"result\":1}");
    expect(&two, 200, "{\"result\":1}");
    cr_assert(strstr(two.p, "X-A: b\r\n") && strstr(two.p, "Via: 1.1 molecule\r\n"));
    ask(&f, &three);
    expect(&three, 200, "{\"result\":1}");
    cr_assert_str_eq(three.p + sizeof("HTTP/1.1 200 OK\r\n"),
                     two.p + sizeof("HTTP/1.1 200 OK\r\n"));
    cr_assert(px_nobody_connects(&f, 20));
    px_wait_stat(&f, outcome_ok, 3);
    cr_assert_eq(f.stats.deduped_total, 2);
    cr_assert_eq(f.stats.forwarded_total, 1);
    cr_assert_eq(f.stats.in_flight, 0);
    raw_close(&one);
    raw_close(&two);
    raw_close(&three);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_dedupe, another_caller_text_or_target_is_another_message)
{
    static const struct {
        const char *target, *fields, *body;
    } others[] = {
        {"/", "Authorization: Bearer b\r\n", text},
        {"/", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", text},
        {"/", "", text},
        {"/", "Authorization: Bearer a\r\n", "{\"id\":7,\"params\":2}"},
        {"/", "Authorization: Bearer a\r\n", "{\"id\":7,\"params\":1} "},
        {"/x", "Authorization: Bearer a\r\n", text},
        {"/?", "Authorization: Bearer a\r\n", text},
        {"/", "Authorization: Bearer a\r\nA2A-Version: 1.0\r\n", text},
        {"/", "Authorization: Bearer a\r\nA2A-Extensions: x\r\n", text},
        {"/", "Authorization: Bearer a\r\nAccept: application/json\r\n", text},
        {"/", "Authorization: Bearer a\r\nAccept-Encoding: gzip\r\n", text},
        {"/", "Authorization: Bearer a\r\nCookie: session=1\r\n", text},
        {"/", "Authorization: Bearer a\r\nX-API-Key: 1\r\n", text},
        {"/", "Authorization: Bearer a\r\nOrigin: https://page.example\r\n", text},
        {"/", "Authorization: Bearer a\r\nX-Role: admin\r\n", text},
        {"/", "Authorization: Bearer a\r\nContent-Encoding: gzip\r\n", text},
    };
    struct px f;
    struct raw client;
    size_t n = sizeof(others) / sizeof(others[0]);

    px_start(&f, LONG, NULL);
    fresh(&f, "/", "Authorization: Bearer a\r\n", text, answer);
    for (size_t i = 0; i < n; i++) /* aborts when the agent is not asked */
        fresh(&f, others[i].target, others[i].fields, others[i].body, answer);
    cr_assert_eq(px_stats(&f)->deduped_total, 0);
    px_client(&f, &client); /* what proxies and tracers write does not matter */
    post(&client, "/",
         "Authorization: Bearer a\r\nX-Request-Id: 1\r\ntraceparent: x\r\nX-Forwarded-For: "
         "1.2.3.4\r\n",
         text);
    expect(&client, 200, "{\"result\":1}");
    cr_assert_eq(px_stats(&f)->deduped_total, 1);
    cr_assert_eq(f.stats.forwarded_total, n + 1);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_dedupe, the_work_goes_on_when_its_first_client_goes)
{
    struct px f;
    struct raw one, two, agent;

    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    raw_reset(&one); /* gave up before anybody repeated it */
    px_wait_stat(&f, outcome_client_gone, 1);
    cr_assert_eq(f.stats.in_flight, 1, "the agent still works on it");
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    raw_sendz(&agent, answer);
    expect(&two, 200, "{\"result\":1}");
    raw_close(&two);
    raw_close(&agent);
    cr_assert(px_nobody_connects(&f, 20));
    px_stop(&f);
}

Test(proxy_dedupe, one_of_two_goes_while_the_answer_comes)
{
    struct px f;
    struct raw one, two, agent;

    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n");
    cr_assert(raw_until(&one, "\r\n1\r\n \r\n"), "white space is passed on at once: %s", one.p);
    raw_reset(&one);
    px_wait_stat(&f, outcome_client_gone, 1);
    raw_sendz(&agent, "2\r\n{}\r\n0\r\n\r\n");
    cr_assert(raw_until(&two, "\r\n0\r\n\r\n"));
    raw_close(&two);
    ask(&f, &two); /* and now in one piece */
    cr_assert(raw_until(&two, "\r\n3\r\n {}\r\n0\r\n\r\n"), "%s", two.p);
    raw_close(&two);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_dedupe, an_agent_that_dies_fails_all_and_nothing_is_kept)
{
    struct px f;
    struct raw one, two, agent;
    struct slice body;

    px_start(&f, LONG, NULL);
    for (int i = 0; i < 2; i++) {
        ask(&f, &one);
        agent_asked(&f, &agent, text);
        ask(&f, &two);
        px_wait_stat(&f, deduped_total, (uint64_t)i + 1);
        if (i == 1) /* in the middle of its answer: that can only be cut off */
            raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"res");
        if (i == 1)
            cr_assert(raw_until(&one, "{\"res") && raw_until(&two, "{\"res"));
        raw_close(&agent);
        if (i == 0) {
            cr_assert_eq(raw_answer(&one, &body), 502);
            cr_assert(strstr(one.p, "\"id\":7,"), "%s", one.p);
            cr_assert_eq(raw_answer(&two, &body), 502);
            cr_assert(strstr(two.p, "\"id\":7,"), "%s", two.p);
        } else {
            cr_assert(raw_until_closed(&one) && raw_until_closed(&two));
        }
        raw_close(&one);
        raw_close(&two);
    }
    px_wait_stat(&f, outcome_connection_lost, 4);
    cr_assert_eq(f.stats.outcome_client_gone, 0);
    fresh(&f, "/", "", text, answer);
    px_stop(&f);
}

Test(proxy_dedupe, what_is_no_answer_to_all_is_not_kept)
{
    static const char *const says[] = {
        "HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 429 Slow\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 202 Later\r\nRetry-After: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 11\r\n\r\ndata: 1"
        "\r\n\r\n",
    };
    struct px f;

    px_start(&f, LONG, NULL);
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct raw client, agent;

        for (int k = 0; k < 2; k++) { /* aborts when the agent is not asked again */
            ask(&f, &client);
            agent_asked(&f, &agent, text);
            raw_sendz(&agent, says[i]);
            cr_assert(raw_until(&client, i < 4 ? "\r\n\r\nx" : "\r\n0\r\n\r\n"), "%s", client.p);
            raw_close(&agent);
            raw_close(&client);
        }
    }
    cr_assert_eq(px_stats(&f)->deduped_total, 0);
    fresh(&f, "/", "", text, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    {
        struct raw client;

        ask(&f, &client);
        expect(&client, 404, "");
        raw_close(&client);
    }
    px_stop(&f);
}

Test(proxy_dedupe, a_stream_ends_with_its_last_client)
{
    struct px f;
    struct raw one, two, agent;

    px_start(&f, LONG, "--forward-keepalive-interval", "100ms", NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    cr_assert(raw_until(&one, "data: 1\n\n") && raw_until(&two, "data: 1\n\n"));
    cr_assert(strstr(one.p, "X-Accel-Buffering: no\r\n") &&
              strstr(two.p, "X-Accel-Buffering: no\r\n"));
    cr_assert(raw_until(&one, "\n:") && raw_until(&two, "\n:"), "comments reach both");
    px_wait_stat(&f, streams, 1);
    raw_close(&one);
    raw_sendz(&agent, "data: 2\n\n");
    cr_assert(raw_until(&two, "data: 2\n\n"));
    raw_close(&two);
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_dedupe, the_window_ends)
{
    struct px f;
    bool is_asked = false;

    px_start(&f, OFF, "--forward-dedupe-window", "200ms", NULL);
    fresh(&f, "/", "", text, answer);
    for (int i = 0; i < 500 && !is_asked; i++) {
        struct raw client, agent;
        struct pollfd either[2];

        (void)poll(NULL, 0, 10);
        ask(&f, &client);
        either[0] = (struct pollfd){.fd = f.listen_fd, .events = POLLIN};
        either[1] = (struct pollfd){.fd = client.fd, .events = POLLIN};
        cr_assert_gt(poll(either, 2, RAW_WAIT_MS), 0);
        is_asked = either[0].revents != 0;
        if (is_asked) {
            agent_asked(&f, &agent, text);
            raw_sendz(&agent, answer);
            raw_close(&agent);
        }
        expect(&client, 200, "{\"result\":1}");
        raw_close(&client);
    }
    cr_assert(is_asked);
    px_stop(&f);
}

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i * 7 % 26 + (i >> 12) % 3);
}

Test(proxy_dedupe, some_requests_take_the_usual_way)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: h\r\nAccept: a/b, text/event-stream;q=1\r\nContent-Length: 2"
        "\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\naccept: Text/Event-Stream\r\n"
        "Content-Length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    };
    struct px f;

    px_start(&f, LONG, NULL);
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        for (int k = 0; k < 2; k++) {
            struct raw client, agent;

            px_client(&f, &client);
            raw_sendz(&client, heads[i]);
            /* aborts when the agent is not asked again */
            agent_asked(&f, &agent, strstr(heads[i], "{}") ? "{}" : "\r\n\r\n");
            raw_sendz(&agent, "HTTP/1.1 204 No\r\n\r\n");
            cr_assert(raw_until(&client, " 204 "));
            raw_close(&agent);
            raw_close(&client);
        }
    }
    px_stop(&f);
}

/* ---- big ones ---- */

struct sender {
    struct raw *to;
    struct slice bytes;
    size_t chunk; /* 0: as they are */
};

static void *send_all(void *arg)
{
    struct sender *job = arg;
    struct slice rest = job->bytes;
    char size[32];

    while (job->chunk > 0 && rest.n > 0) {
        size_t n = job->chunk < rest.n ? job->chunk : rest.n;

        (void)snprintf(size, sizeof(size), "%zx\r\n", n);
        raw_sendz(job->to, size);
        raw_send(job->to, (struct slice){rest.p, n});
        raw_sendz(job->to, "\r\n");
        rest.p += n;
        rest.n -= n;
    }
    if (job->chunk > 0)
        raw_sendz(job->to, "0\r\n\r\n");
    else
        raw_send(job->to, rest);
    return NULL;
}

/* Takes the chunk framing out, in place. Returns the content's length. */
static size_t dechunk(char *p)
{
    char *from = p, *to = p;
    size_t n;

    while ((n = strtoul(from, &from, 16)) > 0) {
        memmove(to, from + 2, n);
        to += n;
        from += 2 + n + 2;
    }
    return (size_t)(to - p);
}

/* The agent gets these bytes, however they were framed and whichever way they went. */
static void big_body(struct px *f, size_t n, size_t chunk, bool is_known)
{
    char *body = malloc(n);
    struct raw client, agent;
    struct sender job = {&client, {body, n}, chunk};
    pthread_t thread;
    char head[256];
    char *content;

    fill(body, n);
    px_client(f, &client);
    (void)snprintf(head, sizeof(head), "Content-Length: %zu\r\n", n);
    raw_sendz(&client, "POST /big HTTP/1.1\r\nHost: h\r\n");
    raw_sendz(&client, chunk > 0 ? "Transfer-Encoding: chunked\r\n" : head);
    raw_sendz(&client, "\r\n");
    cr_assert_eq(pthread_create(&thread, NULL, send_all, &job), 0);
    if (!is_known) {
        px_accept(f, &agent);
        cr_assert(raw_until(&agent, "\r\n\r\n"));
        content = strstr(agent.p, "\r\n\r\n") + 4;
        cr_assert(chunk > 0 ? raw_until(&agent, "\r\n0\r\n\r\n")
                            : raw_until_bytes(&agent, (size_t)(content - agent.p) + n));
        cr_assert_eq(chunk > 0 ? dechunk(content) : agent.len - (size_t)(content - agent.p), n);
        cr_assert_eq(memcmp(content, body, n), 0);
        raw_sendz(&agent, answer);
        raw_close(&agent);
    }
    (void)pthread_join(thread, NULL);
    expect(&client, 200, "{\"result\":1}");
    raw_close(&client);
    free(body);
}

Test(proxy_dedupe, bodies_up_to_the_bound_are_known_again_and_bigger_ones_pass)
{
    static const size_t over = DEDUPE_BODY_MAX + 1;
    struct px f;

    px_start(&f, LONG, NULL);
    big_body(&f, DEDUPE_BODY_MAX, 0, false);
    big_body(&f, DEDUPE_BODY_MAX, 0, true);
    big_body(&f, DEDUPE_BODY_MAX, 50000, true); /* framing is no part of a message */
    big_body(&f, DEDUPE_BODY_MAX - 1, 1234, false);
    big_body(&f, DEDUPE_BODY_MAX - 1, 0, true);
    for (int i = 0; i < 2; i++) {
        big_body(&f, over, 0, false);
        big_body(&f, over, 4000, false);
        big_body(&f, 2 * over, 70000, false);
    }
    px_stop(&f);
}

/* Reads an answer of n bytes, without keeping it. */
static void read_big(struct raw *client, size_t n)
{
    size_t at = 0;

    cr_assert(raw_until(client, "\r\n\r\n"));
    while (at < n) {
        size_t skip = at == 0 ? (size_t)(strstr(client->p, "\r\n\r\n") + 4 - client->p) : 0;

        cr_assert(raw_until_bytes(client, skip + 1));
        for (size_t i = skip; i < client->len; i++, at++) {
            char want = (char)('a' + at * 7 % 26 + (at >> 12) % 3);

            cr_assert_eq(client->p[i], want, "byte %zu", at);
        }
        raw_drop(client);
    }
    cr_assert_eq(at, n);
}

static void answer_big(struct raw *agent, size_t n, bool chunked)
{
    char *body = malloc(n);
    struct sender job = {agent, {body, n}, 0};
    char head[128];

    fill(body, n);
    (void)snprintf(head, sizeof(head),
                   chunked ? "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                           : "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   n);
    raw_sendz(agent, head);
    (void)send_all(&job);
    free(body);
}

Test(proxy_dedupe, answers_over_the_bound_reach_all_and_are_not_kept)
{
    struct px f;
    struct raw one, agent;

    px_start(&f, LONG, NULL);
    for (int i = 0; i < 2; i++) {
        size_t n = DEDUPE_ANSWER_MAX + 12345;
        char *body = malloc(n);
        struct sender job = {&agent, {body, n}, 0};
        pthread_t thread;
        char head[128];

        fill(body, n);
        ask(&f, &one);
        agent_asked(&f, &agent, text);
        (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
        raw_sendz(&agent, head);
        cr_assert_eq(pthread_create(&thread, NULL, send_all, &job), 0);
        read_big(&one, n);
        (void)pthread_join(thread, NULL);
        raw_close(&agent);
        raw_close(&one);
        free(body);
    }
    cr_assert_eq(px_stats(&f)->deduped_total, 0);
    px_stop(&f);
}

Test(proxy_dedupe, an_answer_that_grows_over_the_bound_is_shared_to_its_end)
{
    size_t n = 2 * DEDUPE_ANSWER_MAX;
    char *body = malloc(n);
    struct px f;
    struct raw one, two, agent;
    struct sender job = {&agent, {body, n}, 0};
    pthread_t thread;

    fill(body, n);
    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    px_client(&f, &two);
    raw_sendz(&two, "POST / HTTP/1.0\r\nHost: h\r\nContent-Type: application/json\r\n"
                    "Content-Length: 19\r\n\r\n");
    raw_sendz(&two, text);
    px_wait_stat(&f, deduped_total, 1);
    /* without a length: nobody knows it, until it is too much; HTTP/1.0 gets no chunks */
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\n\r\n");
    cr_assert(raw_until(&one, "\r\n\r\n"));
    cr_assert_eq(pthread_create(&thread, NULL, send_all, &job), 0);
    /* the first reads nothing yet, and the agent is held back: bounded, not gathered */
    (void)poll(NULL, 0, 50);
    raw_reset(&one);
    read_big(&two, n);
    (void)pthread_join(thread, NULL);
    raw_close(&agent);
    cr_assert(raw_until_closed(&two));
    raw_close(&two);
    free(body);
    px_wait_stat(&f, outcome_ok, 1);
    px_stop(&f);
}

Test(proxy_dedupe, the_oldest_answers_are_forgotten_when_there_are_too_many)
{
    struct px f;
    struct raw client, agent;
    char body[32];

    px_start(&f, LONG, NULL);
    px_client(&f, &client);
    for (int i = 0; i <= DEDUPE_ENTRIES_MAX; i++) {
        (void)snprintf(body, sizeof(body), "{\"n\":%06d}", i);
        post(&client, "/", "", body);
        if (i == 0)
            px_accept(&f, &agent);
        cr_assert(raw_until(&agent, body));
        raw_drop(&agent);
        raw_sendz(&agent, answer);
        expect(&client, 200, "{\"result\":1}");
    }
    raw_close(&agent);
    for (int i = 1; i <= DEDUPE_ENTRIES_MAX; i += DEDUPE_ENTRIES_MAX - 1) {
        (void)snprintf(body, sizeof(body), "{\"n\":%06d}", i);
        post(&client, "/", "", body);
        expect(&client, 200, "{\"result\":1}");
    }
    cr_assert_eq(px_stats(&f)->deduped_total, 2);
    raw_close(&client);
    fresh(&f, "/", "", "{\"n\":000000}", answer);
    px_stop(&f);
}

Test(proxy_dedupe, the_oldest_answers_are_forgotten_when_they_are_too_big)
{
    static const size_t n = DEDUPE_ANSWER_MAX - 64 * 1024;
    struct px f;
    char body[32];

    px_start(&f, LONG, NULL);
    for (int i = 0; i < 5; i++) {
        struct raw client, agent;

        (void)snprintf(body, sizeof(body), "{\"n\":%06d}", i);
        px_client(&f, &client);
        post(&client, "/", "", body);
        agent_asked(&f, &agent, body);
        raw_reset(&client); /* nobody reads it: it is kept all the same */
        px_wait_stat(&f, outcome_client_gone, (uint64_t)i + 1);
        answer_big(&agent, n, false);
        raw_close(&agent);
        px_wait_for(&f, f.stats.in_flight == 0);
    }
    for (int i = 4; i > 0; i -= 3) {
        struct raw client;

        (void)snprintf(body, sizeof(body), "{\"n\":%06d}", i);
        px_client(&f, &client);
        post(&client, "/", "", body);
        read_big(&client, n);
        raw_close(&client);
    }
    cr_assert_eq(px_stats(&f)->deduped_total, 2);
    fresh(&f, "/", "", "{\"n\":000000}", answer);
    px_stop(&f);
}

/* ---- an agent that is not there ---- */

Test(proxy_dedupe, repeats_wait_for_the_agent_as_one)
{
    struct px f;
    struct raw one, two, agent;

    px_start(&f, LONG, NULL);
    px_gate(&f, PROXY_WAIT);
    ask(&f, &one);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    cr_assert_eq(px_stats(&f)->held, 1);
    px_gate(&f, PROXY_OPEN);
    agent_asked(&f, &agent, text);
    raw_sendz(&agent, answer);
    expect(&one, 200, "{\"result\":1}");
    expect(&two, 200, "{\"result\":1}");
    raw_close(&one);
    raw_close(&two);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_dedupe, what_was_never_handed_over_goes_with_its_clients)
{
    struct px f;
    struct raw one;

    px_start(&f, LONG, NULL);
    px_gate(&f, PROXY_WAIT);
    ask(&f, &one);
    px_wait_stat(&f, held, 1);
    raw_reset(&one);
    px_wait_stat(&f, outcome_client_gone, 1);
    cr_assert_eq(px_stats(&f)->held, 0);
    px_gate(&f, PROXY_OPEN);
    cr_assert(px_nobody_connects(&f, 20));
    fresh(&f, "/", "", text, answer);
    px_stop(&f);
}

Test(proxy_dedupe, the_gate_refuses_what_is_new_and_gives_what_is_known)
{
    struct px f;
    struct raw client;
    struct slice body;

    px_start(&f, LONG, NULL);
    fresh(&f, "/", "", text, answer);
    px_gate(&f, PROXY_PAUSED);
    px_client(&f, &client);
    post(&client, "/", "", "{\"id\":\"new\"}");
    cr_assert_eq(raw_answer(&client, &body), 503);
    cr_assert(strstr(client.p, "\"id\":\"new\"") && strstr(client.p, "PAUSED"), "%s", client.p);
    post(&client, "/", "", text);
    expect(&client, 200, "{\"result\":1}");
    raw_close(&client);
    px_wait_stat(&f, outcome_paused, 1);
    px_stop(&f);
}

/* ---- a drain ---- */

static void open_half(struct px *f, struct raw *client)
{
    px_client(f, client);
    raw_sendz(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                      "Content-Length: 19\r\n\r\n{\"id\"");
}

Test(proxy_dedupe, a_drain_waits_for_a_body_that_is_on_its_way)
{
    struct px f;
    struct raw one, late, agent;
    struct slice body;

    px_start(&f, LONG, NULL);
    open_half(&f, &one);
    px_wait_stat(&f, on_way, 1);
    cr_expect_eq(f.work.count, 1);
    cr_expect(strstr(f.work.longest, "still sends it"), "%s", f.work.longest);
    px_gate(&f, PROXY_DRAINING);
    open_half(&f, &late);
    raw_sendz(&late, text + 5);
    cr_expect_eq(raw_answer(&late, &body), 503, "%s", late.p);
    raw_close(&late);
    raw_sendz(&one, text + 5);
    agent_asked(&f, &agent, text);
    cr_expect_eq(px_stats(&f)->on_way, 0);
    cr_expect_eq(f.work.count, 1, "the leader's, and not its guest's as well");
    raw_sendz(&agent, answer);
    expect(&one, 200, "{\"result\":1}");
    raw_close(&one);
    px_wait_for(&f, f.stats.on_way == 0 && f.work.count == 0);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_dedupe, a_body_that_never_comes_is_no_work_when_its_client_has_gone)
{
    struct px f;
    struct raw one;

    px_start(&f, LONG, NULL);
    open_half(&f, &one);
    px_wait_stat(&f, on_way, 1);
    raw_reset(&one);
    px_wait_stat(&f, outcome_client_gone, 1);
    cr_expect_eq(f.stats.on_way, 0);
    px_stop(&f);
}

Test(proxy_dedupe, a_client_that_still_reads_is_waited_for_until_the_end_comes)
{
    size_t n = DEDUPE_ANSWER_MAX - 64 * 1024;
    struct px f;
    struct raw slow, agent;
    char front[PATH_MAX + 8];

    scratch_make();
    (void)snprintf(front, sizeof(front), "unix:%s", scratch_path("front")); /* holds little */
    px_start(&f, LONG, "--listen-address", front, NULL);
    ask(&f, &slow);
    agent_asked(&f, &agent, text);
    answer_big(&agent, n,
               false); /* more than sockets hold, and kept: the agent has done its share */
    px_wait_stat(&f, on_way, 1);
    cr_expect_eq(f.stats.in_flight, 0);
    cr_expect_eq(f.work.count, 1);
    cr_expect(strstr(f.work.longest, "its answer is under way"), "%s", f.work.longest);
    px_fail_in_flight(&f);
    cr_assert(raw_until_closed(&slow));
    cr_assert_lt(slow.len, n, "cut");
    px_wait_stat(&f, outcome_client_gone, 1);
    cr_expect_eq(f.stats.on_way, 0);
    raw_close(&slow);
    raw_close(&agent);
    px_stop(&f);
    scratch_remove();
}

Test(proxy_dedupe, the_end_comes_in_the_middle_of_it)
{
    struct px f;
    struct raw one, two, three, agent, other;

    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    raw_reset(&one);
    px_client(&f, &one);
    post(&one, "/y", "", text);
    agent_asked(&f, &other, text);
    raw_reset(&one);
    px_wait_stat(&f, outcome_client_gone, 2);
    px_client(&f, &three);
    raw_sendz(&three, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 19\r\n\r\n{\"id\"");
    px_stop(&f); /* a leader with a guest, one without, and a body half gathered */
    raw_close(&two);
    raw_close(&three);
    raw_close(&agent);
    raw_close(&other);
}

Test(proxy_dedupe, stopping_ends_them_all)
{
    struct px f;
    struct raw one, two, agent;

    px_start(&f, LONG, NULL);
    ask(&f, &one);
    agent_asked(&f, &agent, text);
    ask(&f, &two);
    px_wait_stat(&f, deduped_total, 1);
    px_fail_in_flight(&f);
    cr_assert(raw_until_closed(&one) && raw_until_closed(&two));
    cr_assert(raw_until_closed(&agent));
    raw_close(&one);
    raw_close(&two);
    raw_close(&agent);
    fresh(&f, "/", "", text, answer);
    px_stop(&f);
}
