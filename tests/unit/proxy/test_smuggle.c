/*
 * A client that tries to make the agent see a request which was never checked, or to keep us busy.
 */
#include "base/cleanup.h"
#include "base/str.h"
#include "proxy/card.h"
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>

Test(proxy_smuggle, the_body_of_a_request_for_the_card_never_reaches_the_agent)
{
    struct px f;
    struct raw client, agent;

    px_start(&f, "--platform-enabled", "false", NULL);
    px_client(&f, &client);
    raw_sendz(&client, "GET /agent/card HTTP/1.1\r\nHost: a\r\nContent-Length: 54\r\n\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    cr_assert_eq(raw_count(&agent, "ontent-"), 0, "%s", agent.p);
    raw_drop(&agent);
    /* not the card, so the answer is relayed as it comes, and its end has not come yet */
    raw_sendz(&agent, "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nabc");
    cr_assert(raw_until(&client, "abc"));
    raw_sendz(&client, "DELETE /everything HTTP/1.1\r\nHost: a\r\nX-Evil: 0123\r\n\r\n");
    (void)px_stats(&f); /* a turn in which that is read ... */
    (void)px_stats(&f); /* ... and one after it */
    raw_sendz(&agent, "def");
    cr_assert(raw_until(&client, "def"));
    raw_shut(&client);
    cr_assert(raw_until_closed(&client));
    px_drop_upstreams(&f); /* should it have been kept */
    cr_assert(raw_until_closed(&agent));
    cr_assert_eq(raw_count(&agent, "DELETE"), 0, "the agent got \"%s\"", agent.p);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

/* The card that an agent left behind takes us some 100 ms each time, and nobody need take the
 * answers to HEAD. */
Test(proxy_smuggle, requests_sent_ahead_do_not_keep_others_waiting)
{
    enum { COUNT = 1500, ENTRIES = CARD_INTERFACES_MAX }; /* half of them: some 10 s */
    CLEANUP(str_release) struct str card = {0};
    struct raw client, other;
    struct px f;

    str_addz(&card, "{\"supportedInterfaces\":[");
    for (int i = 0; i < ENTRIES; i++)
        str_addf(&card, "%s{\"url\":\"http://a/%d\",\"pad\":\"%015000d\"}", i ? "," : "", i, 0);
    str_addz(&card, "]}");
    px_start(&f, "--platform-enabled", "false", NULL);
    px_card(&f, str_z(&card));
    px_gate(&f, PROXY_PAUSED);
    px_client(&f, &client);
    for (int i = 0; i < COUNT; i++)
        raw_sendz(&client, "HEAD /agent/card HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert(raw_until(&client, "\r\n\r\n"));
    px_client(&f, &other);
    raw_sendz(&other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(raw_answer(&other, NULL), 503);
    cr_assert_lt(raw_count(&client, "200 OK"), COUNT / 2);
    raw_reset(&client);
    raw_close(&other);
    px_stop(&f);
}
