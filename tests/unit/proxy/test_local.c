/* What we answer ourselves: the card, and the platform's own calls. */
#include "support/proxy_fixture.h"

#include "base/json_scan.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>

#define OFF    "--platform-enabled", "false"
#define PUBLIC "--listen-public-url", "https://pub.example/a"
#define ON                                                                                         \
    "--workspace-id", "11111111-2222-3333-4444-555555555555", "--platform-url",                    \
        "http://127.0.0.1:9", "--platform-reported-url", "https://me.example/a2a/inbound"

#define CARD_NEW "/.well-known/agent-card.json"
#define CARD_OLD "/.well-known/agent.json"

static const char card[] = "{\"name\":\"x\",\"url\":\"http://127.0.0.1:9000/rpc\"}";

static void get(struct raw *client, const char *path, const char *fields)
{
    char rq[512];

    snprintf(rq, sizeof(rq), "GET %s HTTP/1.1\r\nHost: seen.example:81\r\n%s\r\n", path, fields);
    raw_sendz(client, rq);
}

/* The agent's next answer; the request must ask for `path`. */
static void agent_says(struct px *f, const char *path, const char *head, const char *body)
{
    struct raw agent;
    char first[256], answer[8192];

    px_accept(f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    snprintf(first, sizeof(first), "GET %s HTTP/1.1\r\n", path);
    cr_assert_eq(strncmp(agent.p, first, strlen(first)), 0, "want %s, got %s", first, agent.p);
    cr_assert(strstr(agent.p, "Accept-Encoding: identity\r\n"));
    cr_assert_null(strstr(agent.p, "If-"));
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", head,
             strlen(body), body);
    raw_sendz(&agent, answer);
    raw_close(&agent);
}

static void expect(struct raw *client, int status, const char *want)
{
    struct slice body;
    int got = raw_answer(client, &body);

    cr_assert_eq(got, status, "%d: %s", got, client->p);
    if (want)
        cr_assert(slice_eq(body, slice_of(want)), "want %s, got %.*s", want, (int)body.n, body.p);
}

Test(proxy_local, the_card_is_fetched_and_rewritten)
{
    static const char *const names[] = {CARD_NEW, CARD_OLD, "/agent/card"};
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < 3; i++) {
        get(&client, names[i], "If-None-Match: \"agents\"\r\nAccept-Encoding: gzip\r\n");
        agent_says(&f, i == 2 ? CARD_NEW : names[i],
                   "200 OK\r\nContent-Type: application/json; x=y\r\nETag: "
                   "\"agents\"\r\nLast-Modified: x\r\n"
                   "Cache-Control: max-age=5\r\nAccess-Control-Allow-Origin: *",
                   card);
        expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}");
        cr_assert(strstr(client.p, "Content-Type: application/json; x=y\r\n"));
        cr_assert(strstr(client.p, "Cache-Control: max-age=5\r\n"));
        cr_assert(strstr(client.p, "Access-Control-Allow-Origin: *\r\n"));
        cr_assert_null(strstr(client.p, "agents\""));
        cr_assert_null(strstr(client.p, "Last-Modified"));
        cr_assert(strstr(client.p, "ETag: \""));
    }
    cr_assert_eq(px_stats(&f)->outcome_local, 3);
    cr_assert_eq(f.stats.forwarded_total, 0, "probes of the card are no work");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, an_unchanged_card_is_a_304)
{
    struct px f;
    struct raw client;
    char tag[64], field[128];

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "200 OK\r\nCache-Control: max-age=5", card);
    expect(&client, 200, NULL);
    snprintf(tag, sizeof(tag), "%.34s", strstr(client.p, "ETag: ") + 6);
    snprintf(field, sizeof(field), "If-None-Match: \"no\", W/%s\r\n", tag);
    get(&client, CARD_NEW, field);
    agent_says(&f, CARD_NEW, "200 OK\r\nCache-Control: max-age=5", card);
    expect(&client, 304, "");
    cr_assert(strstr(client.p, tag) && strstr(client.p, "max-age=5"));
    snprintf(field, sizeof(field), "If-None-Match: \"no\"\r\nIf-None-Match: %s\r\n", tag);
    get(&client, CARD_NEW, field);
    agent_says(&f, CARD_NEW, "200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-Other: x", card);
    expect(&client, 304, "");
    cr_assert(strstr(client.p, "Access-Control-Allow-Origin: *\r\n"));
    cr_assert_null(strstr(client.p, "X-Other"));
    get(&client, CARD_NEW, "If-None-Match: *\r\nIf-Match: \"x\"\r\nIf-Range: \"x\"\r\n");
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 304, "");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, head_gets_the_head)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    raw_sendz(&client, "HEAD " CARD_NEW " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    agent_says(&f, CARD_NEW, "200 OK", card);
    cr_assert(raw_until_closed(&client));
    cr_assert(strstr(client.p, "200 OK") && strstr(client.p, "Content-Length: 46\r\n"), "%s",
              client.p);
    cr_assert(strcmp(client.p + client.len - 4, "\r\n\r\n") == 0);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, an_unknown_name_is_tried_under_the_other)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, "--agent-base-path", "/sub", NULL);
    px_client(&f, &client);
    get(&client, CARD_OLD, "");
    agent_says(&f, CARD_OLD, "404 Not Found", "no");
    agent_says(&f, CARD_NEW, "404 Not Found", "no");
    agent_says(&f, "/sub" CARD_OLD, "404 Not Found", "no");
    agent_says(&f, "/sub" CARD_NEW, "200 OK", card);
    expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, without_a_card_anywhere_it_is_a_503_or_the_configured_one)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "404 Not Found", "no");
    agent_says(&f, CARD_OLD, "404 Not Found", "no");
    expect(&client, 503, NULL);
    px_gate(&f, PROXY_WAIT);
    get(&client, CARD_NEW, "");
    expect(&client, 503, NULL);
    raw_close(&client);
    px_stop(&f);

    px_start(&f, OFF, PUBLIC, "--card-name", "named", NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "404 Not Found", "no");
    agent_says(&f, CARD_OLD, "404 Not Found", "no");
    expect(&client, 200, NULL);
    cr_assert(strstr(client.p, "\"name\":\"named\""));
    px_gate(&f, PROXY_WAIT);
    get(&client, "/agent/card", "");
    expect(&client, 200, NULL);
    px_gate(&f, PROXY_LOST);
    get(&client, "/agent/card", "");
    expect(&client, 503, NULL);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, the_last_good_card_answers_while_the_agent_cannot)
{
    static const enum proxy_gate gates[] = {PROXY_WAIT, PROXY_PAUSED, PROXY_DRAINING};
    static const char want[] = "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}";
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    px_card(&f, card);
    for (size_t i = 0; i < 3; i++) {
        px_gate(&f, gates[i]);
        get(&client, CARD_NEW, "");
        expect(&client, 200, want);
    }
    px_gate(&f, PROXY_OPEN);
    px_unlisten(&f);
    get(&client, CARD_NEW, ""); /* nobody listens: never held */
    expect(&client, 200, want);
    px_listen(&f);
    px_own_times(&f);
    get(&client, CARD_NEW, ""); /* it accepts and says nothing: 2 s at most */
    expect(&client, 200, want);
    px_gate(&f, PROXY_LOST);
    get(&client, CARD_NEW, "");
    expect(&client, 503, NULL);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, a_card_that_cannot_be_trusted_is_a_502)
{
    static const char *const bad[][2] = {
        {"200 OK", "<html>"},
        {"200 OK", "[]"},
        {"200 OK", "{\"url\":\"http://h\""},
        {"200 OK\r\nContent-Encoding: gzip", "{}"},
    };
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        get(&client, CARD_NEW, "");
        agent_says(&f, CARD_NEW, bad[i][0], bad[i][1]);
        expect(&client, 502, NULL);
    }
    get(&client, CARD_NEW, "");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n{");
    expect(&client, 502, NULL);
    cr_assert(raw_until_closed(&agent));
    raw_close(&agent);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, other_statuses_are_the_agents_word)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nETag: \"e\"", "who?");
    expect(&client, 401, "who?");
    cr_assert(strstr(client.p, "ETag: \"e\"\r\n"));
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, cards_below_other_prefixes_are_rewritten_too)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_card(&f, card);
    px_client(&f, &client);
    get(&client, "/agents/b" CARD_NEW, "");
    agent_says(&f, "/agents/b" CARD_NEW, "200 OK", "{\"url\":\"http://127.0.0.1:1/agents/b\"}");
    expect(&client, 200, "{\"url\":\"https://pub.example/a/agents/b\"}");
    get(&client, "/agents/b" CARD_OLD, "");
    agent_says(&f, "/agents/b" CARD_OLD, "404 Not Found", "no");
    agent_says(&f, "/agents/b" CARD_NEW, "200 OK", "{\"url\":\"http://127.0.0.1:1/agents/b\"}");
    expect(&client, 200, "{\"url\":\"https://pub.example/a/agents/b\"}");
    get(&client, "/agents/c" CARD_NEW, "");
    agent_says(&f, "/agents/c" CARD_NEW, "404 Not Found", "no");
    agent_says(&f, "/agents/c" CARD_OLD, "404 Not Found", "not at all");
    expect(&client, 404, "not at all"); /* only the agent knows what is there */
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, what_was_meant_for_one_caller_is_not_remembered)
{
    static const char *const rows[][2] = {
        /* fields of the request, head of the answer */
        {"Authorization: Bearer x\r\n", "200 OK"},
        {"Cookie: a=b\r\n", "200 OK"},
        {"X-Key: k\r\n", "200 OK\r\nVary: Accept, x-key"},
        {"", "200 OK\r\nVary: *"},
        {"", "200 OK\r\nCache-Control: max-age=5, private"},
        {"", "200 OK\r\nCache-Control: no-store"},
    };
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    px_card(&f, "{\"name\":\"for all\"}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        get(&client, CARD_NEW, rows[i][0]);
        agent_says(&f, CARD_NEW, rows[i][1], card);
        expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}");
        px_gate(&f, PROXY_WAIT);
        get(&client, CARD_NEW, "");
        expect(&client, 200, "{\"name\":\"for all\"}");
        px_gate(&f, PROXY_OPEN);
    }
    get(&client, CARD_NEW, "A2A-Version: 1.0\r\n");
    agent_says(&f, CARD_NEW, "200 OK\r\nVary: Accept-Encoding\r\nCache-Control: max-age=5", card);
    expect(&client, 200, NULL);
    px_gate(&f, PROXY_WAIT);
    get(&client, CARD_NEW, "");
    expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, an_older_card_does_not_hide_a_bad_one)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    px_card(&f, card);
    get(&client, CARD_NEW, "");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    raw_sendz(&agent, "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n{");
    expect(&client, 502, NULL);
    cr_assert(strstr(client.p, "Cache-Control: no-store\r\n"));
    raw_close(&agent);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br", "{}");
    expect(&client, 502, NULL);
    raw_close(&client);
    px_stop(&f);
}

/* The agent restarts while its card is fetched: nobody gets, or keeps, a 502 of that moment. */
Test(proxy_local, the_start_race_is_not_published)
{
    static const char *const cut[] = {"", "HTTP/1.1 200 OK\r\nContent-Le",
                                      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\""};
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, PUBLIC, NULL);
    px_client(&f, &client);
    for (size_t i = 0; i < 3; i++) {
        get(&client, CARD_NEW, "");
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "\r\n\r\n"));
        raw_sendz(&agent, cut[i]);
        raw_close(&agent);
        expect(&client, 502, NULL);
        cr_assert(strstr(client.p, "Cache-Control: no-store\r\n"));
    }
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, NULL);
    for (size_t i = 0; i < 3; i++) {
        get(&client, CARD_NEW, "");
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "\r\n\r\n"));
        raw_sendz(&agent, cut[i]);
        raw_close(&agent);
        expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://pub.example/a/rpc\"}");
    }
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, a_host_that_no_card_can_carry_is_refused)
{
    static const char *const bad[] = {"a!b", "a'b", "%41"};
    struct px f;
    struct raw client;
    char rq[256];

    px_start(&f, OFF, NULL);
    for (size_t i = 0; i < 3; i++) {
        px_client(&f, &client);
        snprintf(rq, sizeof(rq), "GET " CARD_NEW " HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        raw_sendz(&client, rq);
        expect(&client, 400, NULL);
        raw_close(&client);
    }
    px_client(&f, &client); /* a health check that names nobody */
    raw_sendz(&client, "GET " CARD_NEW " HTTP/1.0\r\n\r\n");
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, card);
    raw_close(&client);
    px_stop(&f);

    px_start(&f, OFF, "--listen-trusted-proxies", "127.0.0.0/8", NULL);
    px_client(&f, &client); /* from a proxy: what we see ourselves is better than nonsense */
    get(&client, CARD_NEW, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a b\r\n");
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://seen.example:81/rpc\"}");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, without_a_public_url_the_base_is_host_or_a_trusted_proxys_word)
{
    static const char claims[] = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: ext.example\r\n"
                                 "X-Forwarded-Prefix: /p/\r\n";
    struct px f;
    struct raw client;

    px_start(&f, OFF, NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, claims);
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, "{\"name\":\"x\",\"url\":\"http://seen.example:81/rpc\"}");
    cr_assert_null(strstr(client.p, "Vary"));
    raw_close(&client);
    px_stop(&f);

    px_start(&f, OFF, "--listen-trusted-proxies", "127.0.0.0/8", "--forward-strip-prefix", "/s",
             NULL);
    px_client(&f, &client);
    get(&client, "/s" CARD_NEW, claims);
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, "{\"name\":\"x\",\"url\":\"https://ext.example/p/s/rpc\"}");
    cr_assert(strstr(client.p, "Vary: X-Forwarded-Proto"));
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, browsers_may_read_the_card_where_it_is_allowed)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, PUBLIC, "--listen-cors-origins", "https://tool.example", NULL);
    px_client(&f, &client);
    px_card(&f, card);
    px_gate(&f, PROXY_WAIT);
    get(&client, CARD_NEW, "Origin: https://tool.example\r\n");
    expect(&client, 200, NULL);
    cr_assert(strstr(client.p, "Access-Control-Allow-Origin: https://tool.example\r\n"));
    get(&client, CARD_NEW, "Origin: https://evil.example\r\n");
    expect(&client, 200, NULL);
    cr_assert_null(strstr(client.p, "Access-Control-Allow-Origin"));
    raw_sendz(&client,
              "OPTIONS " CARD_NEW " HTTP/1.1\r\nHost: h\r\nOrigin: https://tool.example\r\n"
              "Access-Control-Request-Method: GET\r\n\r\n");
    expect(&client, 204, NULL);
    cr_assert(strstr(client.p, "Access-Control-Allow-Headers"));
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, the_platform_gets_a_card_with_our_address_only)
{
    struct px f;

    px_start(&f, ON, NULL);
    cr_assert(strstr(px_platform_card(&f), "\"url\":\"https://me.example/a2a/inbound\""));
    px_card(&f, "{\"name\":\"x\",\"url\":\"http://evil/\",\"signatures\":[1]}");
    cr_assert_str_eq(px_platform_card(&f),
                     "{\"name\":\"x\",\"url\":\"https://me.example/a2a/inbound\"}");
    px_card(&f, "no card");
    cr_assert_eq(json_validate(slice_of(px_platform_card(&f))), JSON_OBJECT);
    px_stop(&f);

    px_start(&f, OFF, NULL);
    px_card(&f, "{\"name\":\"x\",\"url\":\"http://evil/\"}");
    cr_assert_str_eq(px_platform_card(&f), "{\"name\":\"x\"}");
    px_stop(&f);
}

/* ---- the platform's own calls ---- */

Test(proxy_local, a_transcript_is_ours_and_needs_the_workspace_token)
{
    struct px f;
    struct raw client;

    px_start(&f, ON, NULL);
    f.workspace_token = "wt";
    px_client(&f, &client);
    get(&client, "/transcript?since=1", "Authorization: Bearer wt\r\n");
    expect(&client, 200, "{\"supported\":false}");
    get(&client, "/transcript", "Authorization: Bearer wrong\r\n");
    expect(&client, 401, NULL);
    cr_assert(strstr(client.p, "WWW-Authenticate: Bearer\r\n"));
    raw_close(&client);
    f.workspace_token = NULL; /* none known: nobody may */
    px_client(&f, &client);
    get(&client, "/transcript", "Authorization: Bearer \r\n");
    expect(&client, 401, NULL);
    cr_assert(px_nobody_connects(&f, 20), "the agent is not asked");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, uploads_and_files_fail_closed)
{
    static const char *const paths[] = {"/internal/chat/uploads/ingest",
                                        "/a2a/inbound/internal/chat/uploads/ingest"};
    struct px f;
    struct raw client;
    char rq[256];

    px_start(&f, ON, NULL);
    for (size_t i = 0; i < 2; i++) {
        f.inbound_secret = NULL;
        for (int known = 0; known < 2; known++) {
            px_client(&f, &client);
            snprintf(rq, sizeof(rq),
                     "POST %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer is\r\nContent-Length: "
                     "3\r\n\r\nabc",
                     paths[i]);
            raw_sendz(&client, rq);
            expect(&client, known ? 501 : 401, NULL);
            raw_close(&client);
            f.inbound_secret = "is";
        }
    }
    px_client(&f, &client);
    get(&client, "/a2a/inbound/internal/file/read?path=/configs/x", "Authorization: Bearer is\r\n");
    expect(&client, 404, NULL);
    get(&client, "/internal/file/read?path=/configs/x", "");
    expect(&client, 401, NULL);
    raw_close(&client);
    cr_assert(px_nobody_connects(&f, 20));
    px_stop(&f);
}

static void notice(struct raw *client, const char *signal, const char *body)
{
    char rq[512];

    snprintf(rq, sizeof(rq),
             "POST /a2a/inbound/signals/restart_pending HTTP/1.1\r\nHost: h\r\n%sContent-Length: "
             "%zu\r\n\r\n%s",
             signal, strlen(body), body);
    raw_sendz(client, rq);
}

Test(proxy_local, a_restart_notice_is_handed_on)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    notice(
        &client, "X-Restart-Signal: true\r\n",
        "{\"method\":\"signals/restart_pending\",\"params\":{\"drain_seconds\":33},\"id\":null}");
    expect(&client, 200, NULL);
    cr_assert(strstr(client.p, "{\"status\":\"noted\"}"), "no drain has begun: %s", client.p);
    cr_assert_eq(f.restart_seconds, 33);
    notice(&client, "X-Restart-Signal: true\r\n", "garbage");
    expect(&client, 200, NULL);
    cr_assert_eq(f.restart_seconds, 20);
    notice(&client, "", "{}"); /* not the platform's: a request like any other */
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "{}"));
    raw_close(&agent);
    expect(&client, 502, NULL);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, inbound_auth_can_be_required)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, ON, "--listen-inbound-auth", "require", NULL);
    f.inbound_secret = "is";
    px_client(&f, &client);
    raw_sendz(&client, "POST /a2a/inbound HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    expect(&client, 401, NULL);
    raw_close(&client);
    px_client(&f, &client);
    raw_sendz(&client, "POST /a2a/inbound HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer is\r\n"
                       "Content-Length: 2\r\n\r\n{}");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "{}"));
    cr_assert_null(strstr(agent.p, "Authorization"));
    raw_close(&agent);
    expect(&client, 502, NULL);
    get(&client, CARD_NEW, ""); /* the card is public */
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, NULL);
    raw_close(&client);
    px_stop(&f);
}

/* What the agent sees of two Authorization fields; "" = it was not asked, the client got 401. */
static const char *seen_by_agent(struct px *f, const char *first, const char *second)
{
    static char seen[1024];
    struct raw client, agent;
    char rq[512];

    px_client(f, &client);
    snprintf(rq, sizeof(rq),
             "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\naUTHORIZATION: %s\r\n"
             "Content-Length: 2\r\n\r\n{}",
             first, second);
    raw_sendz(&client, rq);
    seen[0] = '\0';
    if (f->cfg->listen.inbound_auth != INBOUND_AUTH_REQUIRE || strstr(rq, "is-2")) {
        px_accept(f, &agent);
        cr_assert(raw_until(&agent, "{}"));
        snprintf(seen, sizeof(seen), "%s", agent.p);
        raw_close(&agent);
        expect(&client, 502, NULL);
    } else {
        expect(&client, 401, NULL);
    }
    raw_close(&client);
    return seen;
}

Test(proxy_local, inbound_auth_takes_out_our_own_bearers_and_only_those)
{
    static const char *const modes[] = {"auto", "require", "off"};

    for (size_t i = 0; i < 3; i++) {
        bool is_off = i == 2;
        struct px f;
        const char *seen;

        px_start(&f, ON, "--listen-inbound-auth", (char *)(uintptr_t)modes[i], NULL);
        f.workspace_token = "wt-1";
        f.inbound_secret = "is-2";
        seen = seen_by_agent(&f, "bEARER   is-2", "Basic agents");
        cr_expect_eq(strstr(seen, "is-2") != NULL, is_off, "%s: %s", modes[i], seen);
        cr_expect(strstr(seen, "aUTHORIZATION: Basic agents\r\n"));
        seen = seen_by_agent(&f, "Bearer wt-1", "Bearer is-2");
        cr_expect_null(strstr(seen, "wt-1"), "%s: %s", modes[i], seen);
        cr_expect_eq(strstr(seen, "is-2") != NULL, is_off);
        seen = seen_by_agent(&f, "bearer \twt-1", "Bearer wt-1"); /* opens nothing */
        cr_expect_null(strstr(seen, "wt-1"));
        cr_expect_eq(seen[0] == '\0', i == 1);
        f.inbound_secret = "is-22"; /* rotated: the old one is a stranger's */
        seen = i == 1 ? "" : seen_by_agent(&f, "Bearer is-2", "Bearer x");
        cr_expect(i == 1 || strstr(seen, "Bearer is-2\r\n"));
        seen = seen_by_agent(&f, "Bearer is-22", "Bearer x");
        cr_expect_eq(strstr(seen, "is-22") != NULL, is_off);
        px_stop(&f);
    }
}

Test(proxy_local, a_required_secret_that_is_not_known_yet_opens_nothing)
{
    static const char *const given[] = {"", "Authorization: Bearer \r\n",
                                        "Authorization: Bearer\r\n",
                                        "Authorization: Bearer is-2\r\n"};
    struct px f;
    struct raw client;

    px_start(&f, ON, "--listen-inbound-auth", "require", NULL);
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        px_client(&f, &client);
        get(&client, "/", given[i]);
        expect(&client, 401, NULL);
        raw_close(&client);
    }
    f.inbound_secret = "is-2";
    px_client(&f, &client); /* a card's name at the end of another path is no card's path */
    get(&client, "/x/.well-known/agent.json", "");
    expect(&client, 401, NULL);
    raw_close(&client);
    cr_assert(px_nobody_connects(&f, 20));
    px_stop(&f);
}

Test(proxy_local, sources_are_asked_before_anything_else)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, "--listen-allow-sources", "10.0.0.0/8,127.0.0.0/8", NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    agent_says(&f, CARD_NEW, "200 OK", card);
    expect(&client, 200, NULL);
    raw_close(&client);
    px_stop(&f);
    px_start(&f, ON, "--listen-allow-sources", "::1", "--listen-trusted-proxies", "127.0.0.1",
             NULL);
    f.inbound_secret = "is-2";
    px_client(&f, &client); /* the connection's address counts, whatever else it brings */
    raw_sendz(&client, "POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ::1\r\nAuthorization: "
                       "Bearer is-2\r\nContent-Length: 0\r\n\r\n");
    expect(&client, 403, NULL);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_local, the_sdks_body_shape_is_the_agents_business)
{
    static const char body[] = "{\"task_id\":\"t\",\"sender\":\"s\",\"message\":\"hi\"}";
    struct px f;
    struct raw client, agent;
    char rq[256];

    px_start(&f, ON, NULL);
    px_client(&f, &client);
    snprintf(rq, sizeof(rq),
             "POST /a2a/inbound HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
             body);
    raw_sendz(&client, rq);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, body));
    raw_sendz(&agent,
              "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"status\":\"ok\",\"result\":1} ");
    expect(&client, 200, "{\"status\":\"ok\",\"result\":1} ");
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_local, only_allowed_sources_may_ask)
{
    struct px f;
    struct raw client;

    px_start(&f, OFF, "--listen-allow-sources", "10.0.0.0/8", NULL);
    px_client(&f, &client);
    get(&client, CARD_NEW, "");
    expect(&client, 403, NULL);
    cr_assert(raw_until_closed(&client));
    raw_close(&client);
    px_stop(&f);
}
