/* Static bearer tokens: who gets in, what the agent sees of them, and a file that changes. */
#include "proxy/bearer.h"

#include "support/proxy_fixture.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define OFF "--platform-enabled", "false"
#define ON                                                                                         \
    "--workspace-id", "11111111-2222-3333-4444-555555555555", "--platform-url",                    \
        "http://127.0.0.1:9", "--platform-reported-url", "https://me.example/a2a/inbound"
#define TOKENS "--listen-bearer-tokens-file", (char *)(uintptr_t)scratch_path("tokens")

TestSuite(proxy_bearer, .init = scratch_make, .fini = scratch_remove);

/* ---- the set ---- */

static bool admits(const struct bearer *b, const char *fields)
{
    static struct http_request rq;
    struct http_refusal why;
    char in[1024];

    (void)snprintf(in, sizeof(in), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    cr_assert_eq(http_request_parse(in, strlen(in), NULL, &rq, &why), 0);
    return bearer_admits(b, &rq);
}

/* The path is borrowed, and those of scratch.h do not live as long. */
static struct bearer *open_tokens(const char *content)
{
    static char path[PATH_MAX];
    struct err err = {0};
    struct bearer *b;

    (void)snprintf(path, sizeof(path), "%s", scratch_file("tokens", content, 0600));
    cr_assert_eq(bearer_new(path, 0, &b, &err), 0, "%s", err.msg);
    return b;
}

/* As an editor or a mounted secret changes it: another file under the same name. */
static void replace(const char *content)
{
    const char *fresh = scratch_file("tokens.new", content, 0600);

    cr_assert_eq(rename(fresh, scratch_path("tokens")), 0);
}

Test(proxy_bearer, any_of_the_tokens_in_any_of_the_fields)
{
    struct bearer *b = open_tokens("token-one\ntoken-two\n");

    cr_expect(admits(b, "Authorization: Bearer token-one\r\n"));
    cr_expect(admits(b, "AUTHORIZATION: bEARER   token-two\r\n"));
    cr_expect(admits(b, "Authorization: Basic x\r\nAuthorization: Bearer token-two\r\n"));
    cr_expect(admits(b, "Authorization: Bearer token-two\r\nAuthorization: Basic x\r\n"));
    cr_expect_not(admits(b, ""));
    cr_expect_not(admits(b, "Authorization: token-one\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearertoken-one\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearer\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearer token-on\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearer token-onee\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearer token-one, Bearer token-one\r\n"));
    cr_expect_not(admits(b, "Authorization: Bearer TOKEN-ONE\r\n"));
    cr_expect_not(admits(b, "X-Authorization: Bearer token-one\r\n"));
    cr_expect_not(admits(b, "Proxy-Authorization: Bearer token-one\r\n"));
    cr_expect_not(bearer_has(b, (struct slice){0}));
    bearer_free(b);
}

Test(proxy_bearer, a_changed_file_is_taken_over_and_a_bad_one_is_not)
{
    static const char *const bad[] = {"", "short", "token three", "# nobody\n"};
    int64_t now = 0;
    struct bearer *b = open_tokens("token-one\n");

    replace("token-two\n");
    bearer_look(b, now + BEARER_LOOK_MS - 1);
    cr_expect(bearer_has(b, SLICE("token-one")), "not more often than once in a second");
    bearer_look(b, now += BEARER_LOOK_MS);
    cr_expect_not(bearer_has(b, SLICE("token-one")));
    cr_expect(bearer_has(b, SLICE("token-two")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        replace(bad[i]);
        bearer_look(b, now += BEARER_LOOK_MS);
        cr_expect(bearer_has(b, SLICE("token-two")), "case %zu", i);
    }
    cr_assert_eq(unlink(scratch_path("tokens")), 0);
    bearer_look(b, now += BEARER_LOOK_MS);
    cr_expect(bearer_has(b, SLICE("token-two")));
    replace("token-four\n");
    bearer_look(b, now += BEARER_LOOK_MS);
    cr_expect_not(bearer_has(b, SLICE("token-two")));
    cr_expect(bearer_has(b, SLICE("token-four")));
    bearer_free(b);
}

Test(proxy_bearer, a_file_written_in_place_within_one_time_stamp_is_seen)
{
    int64_t now = 0;
    struct bearer *b = open_tokens("token-one\n");

    for (int i = 0; i < 50; i++) { /* same inode, same size, most of them in the same tick */
        char text[16];

        (void)snprintf(text, sizeof(text), "token-%03d\n", i);
        (void)scratch_file("tokens", text, 0600);
        bearer_look(b, now += BEARER_LOOK_MS);
        text[9] = '\0';
        cr_assert(bearer_has(b, slice_of(text)), "%s", text);
    }
    bearer_free(b);
}

Test(proxy_bearer, a_missing_or_bad_file_is_no_start)
{
    struct err err = {0};
    struct bearer *b = NULL;

    cr_assert_eq(bearer_new(scratch_path("none"), 0, &b, &err), -ENOENT);
    cr_assert(strstr(err.msg, "/none"));
    cr_assert_eq(bearer_new(scratch_file("tokens", "x\n", 0600), 0, &b, &err), -EINVAL);
    cr_assert_null(b);
}

/* ---- the port ---- */

static void ask(struct px *f, struct raw *client, const char *line, const char *fields)
{
    char rq[1024];

    px_client(f, client);
    (void)snprintf(rq, sizeof(rq), "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", line, fields);
    raw_sendz(client, rq);
}

static void refused(struct px *f, const char *line, const char *fields)
{
    struct raw client;
    struct slice body;

    ask(f, &client, line, fields);
    cr_assert_eq(raw_answer(&client, &body), 401, "%s %s: %s", line, fields, client.p);
    cr_assert(strstr(client.p, "WWW-Authenticate: Bearer\r\n"));
    cr_assert_null(strstr(client.p, "token-"));
    raw_close(&client);
}

/* The agent is asked, and sees `want` of the Authorization fields (NULL: none). */
static void passed(struct px *f, const char *line, const char *fields, const char *want)
{
    struct raw client, agent;

    ask(f, &client, line, fields);
    px_accept(f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    cr_assert_null(strstr(agent.p, "token-"), "%s", agent.p);
    if (want)
        cr_assert(strstr(agent.p, want), "%s", agent.p);
    else
        cr_assert_null(strstr(agent.p, "uthorization"), "%s", agent.p);
    raw_sendz(&agent, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    cr_assert(raw_until(&client, "\r\n\r\n"));
    cr_assert(strstr(client.p, " 204 "), "%s", client.p);
    raw_close(&agent);
    raw_close(&client);
}

Test(proxy_bearer, a_token_is_needed_and_goes_no_further)
{
    struct px f;

    (void)scratch_file("tokens", "token-one\ntoken-two\n", 0600);
    px_start(&f, OFF, TOKENS, NULL);
    refused(&f, "POST /", "Content-Length: 0\r\n");
    refused(&f, "GET /x?access_token=token-one", "");
    refused(&f, "POST /", "Authorization: Bearer token-three\r\nContent-Length: 2\r\n");
    refused(&f, "OPTIONS *",
            "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n");
    cr_assert(px_nobody_connects(&f, 20));
    passed(&f, "POST /", "Authorization: Bearer token-one\r\nContent-Length: 0\r\n", NULL);
    passed(&f, "GET /", "authorization: bearer token-two\r\n", NULL);
    passed(&f, "GET /", "Authorization: Bearer token-one\r\nAuthorization: Bearer token-two\r\n",
           NULL);
    passed(&f, "GET /", "Authorization: Bearer token-one\r\nAuthorization: Bearer agents\r\n",
           "Authorization: Bearer agents\r\n");
    cr_assert_eq(px_stats(&f)->outcome_refused, 4);
    px_stop(&f);
}

Test(proxy_bearer, the_card_is_everybodys_under_exactly_its_names)
{
    static const char *const open[] = {"/.well-known/agent-card.json", "/.well-known/agent.json",
                                       "/.well-known/agent.json?v=1"};
    static const char *const closed[] = {
        "/.well-known/agent-card.json/",     "//.well-known/agent-card.json",
        "/./.well-known/agent-card.json",    "/x/../.well-known/agent-card.json",
        "/%2ewell-known/agent-card.json",    "/.well-known/agent%2Dcard.json",
        "/.Well-Known/agent-card.json",      "/secret/.well-known/agent-card.json",
        "/x?y=/.well-known/agent-card.json", "/.well-known/agent-card.json;x",
    };
    struct px f;
    char line[128];

    (void)scratch_file("tokens", "token-one\n", 0600);
    px_start(&f, OFF, TOKENS, NULL);
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        (void)snprintf(line, sizeof(line), "GET %s", open[i]);
        passed(&f, line, "", NULL);
        passed(&f, line, "Authorization: Bearer token-one\r\n", NULL);
        (void)snprintf(line, sizeof(line), "POST %s", open[i]);
        refused(&f, line, "Content-Length: 0\r\n");
    }
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        (void)snprintf(line, sizeof(line), "GET %s", closed[i]);
        refused(&f, line, "");
        passed(&f, line, "Authorization: Bearer token-one\r\n", NULL);
    }
    px_stop(&f);
}

Test(proxy_bearer, a_browsers_first_question_needs_none)
{
    static const char asks[] =
        "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n";
    struct px f;
    struct raw client;

    (void)scratch_file("tokens", "token-one\n", 0600);
    px_start(&f, OFF, TOKENS, "--listen-cors-origins", "https://a.example", NULL);
    ask(&f, &client, "OPTIONS /.well-known/agent-card.json", asks);
    cr_assert(raw_until(&client, "\r\n\r\n"));
    cr_assert(strstr(client.p, " 204 "), "%s", client.p);
    raw_close(&client);
    passed(&f, "OPTIONS /", asks, NULL);
    refused(&f, "OPTIONS /",
            "Origin: https://b.example\r\nAccess-Control-Request-Method: POST\r\n");
    refused(&f, "OPTIONS /", "Origin: https://a.example\r\n");
    refused(&f, "OPTIONS /",
            "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
            "Content-Length: 1\r\n");
    refused(&f, "POST /", "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n");
    px_stop(&f);
}

Test(proxy_bearer, the_platforms_secret_is_as_good_where_it_is_known)
{
    static const char *const modes[] = {"auto", "require", "off"};
    static const char secret[] = "Authorization: Bearer is\r\n";

    (void)scratch_file("tokens", "token-one\n", 0600);
    for (size_t i = 0; i < 3; i++) {
        struct px f;

        px_start(&f, ON, TOKENS, "--listen-inbound-auth", (char *)(uintptr_t)modes[i], NULL);
        f.workspace_token = "wt";
        refused(&f, "POST /", secret); /* none known yet: not even an empty one */
        refused(&f, "POST /", "Authorization: Bearer \r\n");
        f.inbound_secret = "is";
        if (i < 2)
            passed(&f, "POST /", "Authorization: Bearer is\r\nContent-Length: 0\r\n", NULL);
        else
            refused(&f, "POST /", secret);
        refused(&f, "POST /", "Authorization: Bearer wt\r\n");
        passed(&f, "POST /",
               "Authorization: Bearer wt\r\nAuthorization: Bearer token-one\r\n"
               "Content-Length: 0\r\n",
               NULL);
        f.inbound_secret = "rotated";
        refused(&f, "POST /", secret);
        px_stop(&f);
    }
}

Test(proxy_bearer, the_file_may_change_while_we_run)
{
    struct px f;
    struct raw client;
    bool is_in = false;

    (void)scratch_file("tokens", "token-one\n", 0600);
    px_start(&f, OFF, TOKENS, NULL);
    passed(&f, "GET /", "Authorization: Bearer token-one\r\n", NULL);
    replace("token-two\n");
    for (int i = 0; i < 500 && !is_in; i++) { /* looked at once in a second, when asked */
        struct pollfd either[2];
        struct slice body;

        (void)poll(NULL, 0, 20);

        ask(&f, &client, "POST /.well-known/agent.json",
            "Authorization: Bearer token-one\r\n"
            "Content-Length: 0\r\n");
        either[0] = (struct pollfd){.fd = f.listen_fd, .events = POLLIN};
        either[1] = (struct pollfd){.fd = client.fd, .events = POLLIN};
        cr_assert_gt(poll(either, 2, RAW_WAIT_MS), 0);
        if (either[0].revents != 0) {
            struct raw agent;

            px_accept(&f, &agent);
            cr_assert(raw_until(&agent, "\r\n\r\n"));
            raw_close(&agent);
        }
        is_in = raw_answer(&client, &body) == 401;
        raw_close(&client);
    }
    cr_assert(is_in, "the old one is no good any more");
    passed(&f, "GET /", "Authorization: Bearer token-two\r\n", NULL);
    px_stop(&f);
}
