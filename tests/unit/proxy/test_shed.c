/* forward.shed: close. Who is closed without an answer, who is not, and how it looks from outside.
 */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define OFF "--platform-enabled", "false"

static const char ask[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                          "Content-Length: 8\r\n\r\n{\"id\":7}";
static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/* The connection was taken and ends in order, without a byte. */
static void expect_nothing(struct raw *client)
{
    cr_assert(raw_until_closed(client));
    cr_assert(client->eof && !client->reset, "an orderly end");
    cr_assert_eq(client->len, 0, "%s", client->p);
}

static void expect_closed(struct px *f)
{
    struct raw client;

    px_client(f, &client);
    raw_sendz(&client, ask);
    expect_nothing(&client);
    raw_close(&client);
}

static void expect_status(struct px *f, const char *request, int status)
{
    struct raw client;
    int got;

    px_client(f, &client);
    raw_sendz(&client, request);
    got = raw_answer(&client, NULL);
    cr_assert_eq(got, status, "%d: %s", got, client.p);
    raw_close(&client);
}

Test(proxy_shed, what_the_agent_has_not_seen_is_closed)
{
    struct px f;
    struct raw first, agent;

    px_start(&f, OFF, "--forward-shed", "close", "--forward-max-in-flight", "1",
             "--forward-hold-timeout", "100ms", NULL);
    px_client(&f, &first);
    raw_sendz(&first, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "}"));
    expect_closed(&f); /* no place */
    cr_assert_eq(px_stats(&f)->outcome_overloaded, 1);
    raw_sendz(&agent, hello);
    cr_assert_eq(raw_answer(&first, NULL), 200);
    raw_close(&agent);
    px_unlisten(&f);
    expect_closed(&f); /* nobody there */
    px_gate(&f, PROXY_WAIT);
    expect_closed(&f);
    px_gate(&f, PROXY_LOST);
    expect_closed(&f);
    cr_assert_eq(px_stats(&f)->outcome_agent_unavailable, 3);
    px_gate(&f, PROXY_DRAINING);
    expect_closed(&f);
    cr_assert_eq(px_stats(&f)->outcome_draining, 1);
    cr_assert_eq(f.stats.shed_total, 5);
    raw_close(&first);
    px_listen(&f);
    px_stop(&f);
}

Test(proxy_shed, everybody_else_gets_an_answer)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, "--forward-shed", "close", "--forward-hold-timeout", "100ms", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "}"));
    raw_close(&agent);
    cr_assert_eq(raw_answer(&client, NULL), 502, "it has read the request");
    px_response_timeout(&f, 100);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert_eq(raw_answer(&client, NULL), 504);
    raw_close(&agent);
    px_gate(&f, PROXY_PAUSED);
    expect_status(&f, ask, 503);
    px_gate(&f, PROXY_DRAINING);
    px_unlisten(&f);
    expect_status(&f, "GET /.well-known/agent-card.json HTTP/1.1\r\nHost: h\r\n\r\n", 503);
    cr_assert_eq(px_stats(&f)->shed_total, 0);
    raw_close(&client);
    px_listen(&f);
    px_stop(&f);
}

Test(proxy_shed, earlier_answers_arrive_and_a_body_on_its_way_does_not_reset)
{
    static char body[200 * 1024];
    struct px f;
    struct raw client, agent;

    px_start(&f, OFF, "--forward-shed", "close", NULL);
    px_client(&f, &client);
    raw_sendz(&client, ask);
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "}"));
    raw_sendz(&client, "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 204800\r\n\r\n");
    px_gate(&f, PROXY_DRAINING);
    raw_sendz(&agent, hello);
    px_wait_stat(&f, shed_total, 1);
    memset(body, 'b', sizeof(body));
    raw_send(&client, (struct slice){body, sizeof(body)}); /* it does not know yet */
    cr_assert_eq(raw_answer(&client, NULL), 200);
    cr_assert(raw_until_closed(&client));
    cr_assert(client.eof && !client.reset);
    cr_assert_eq(client.len, client.taken, "nothing behind the first answer");
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}
