/*
 * A section 14's matrix: every kind of card, under each way to know our address. In the texts `@`
 * stands for that address; what a row does not say is checked for all of them alike.
 */
#include "support/proxy_fixture.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define CARD_PATH "/.well-known/agent-card.json"
#define JSON      "Content-Type: application/json\r\n"
#define CALL      "{\"id\":7,\"method\":\"GetExtendedAgentCard\"}"

/* How the world may know us. */
static const struct base {
    const char *flag, *value; /* of the configuration, beside the rest */
    const char *fields;       /* of each request */
    const char *url;
    bool varies;
} bases[] = {
    {"--listen-public-url", "https://pub.example/a/", "Host: in:1\r\nX-Forwarded-Host: evil\r\n",
     "https://pub.example/a", false},
    {"--listen-trusted-proxies", "127.0.0.0/8",
     "Host: in:1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ext.example\r\n"
     "X-Forwarded-Prefix: /p/\r\n",
     "https://ext.example/p", true},
    {"--listen-trusted-proxies", "10.0.0.0/8",
     "Host: in:1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n", "http://in:1", true},
    {"--forward-via", "true", "Host: [::1]:80\r\nX-Forwarded-Host: evil\r\n", "http://[::1]:80",
     false},
};

static const struct row {
    const char *name;
    const char *path;   /* NULL: the card's; "POST": JSON-RPC */
    const char *fields; /* of the agent's answer */
    const char *card, *want;
    int status;
} rows[] = {
    {"0.3", NULL, JSON,
     "{\"protocolVersion\":\"0.3.0\",\"url\":\"http://127.0.0.1:9000/rpc\","
     "\"preferredTransport\":\"JSONRPC\",\"additionalInterfaces\":[{\"url\":"
     "\"http:\\/\\/0.0.0.0:9000/rpc\",\"transport\":\"JSONRPC\"},{\"url\":\"grpc://h\","
     "\"transport\":\"GRPC\"}],\"provider\":{\"url\":\"http://h/\"}}",
     "{\"protocolVersion\":\"0.3.0\",\"url\":\"@/rpc\",\"preferredTransport\":\"JSONRPC\","
     "\"additionalInterfaces\":[{\"url\":\"@/rpc\",\"transport\":\"JSONRPC\"}],"
     "\"provider\":{\"url\":\"http://h/\"}}",
     200},
    {"1.0", NULL, JSON,
     "{\"supportedInterfaces\":[{\"url\":\"h:50051\",\"protocolBinding\":\"GRPC\"}, "
     "{\"url\":\"http://10.0.0.7/rpc/\",\"protocolBinding\":\"JSONRPC\",\"tenant\":\"t\"}],"
     "\"iconUrl\":\"http://h/i\",\"n\":1.0e+2}",
     "{\"supportedInterfaces\":[{\"url\":\"@/rpc/\",\"protocolBinding\":\"JSONRPC\","
     "\"tenant\":\"t\"}],\"iconUrl\":\"http://h/i\",\"n\":1.0e+2}",
     200},
    {"hybrid", NULL, JSON "Vary: A2A-Version\r\n",
     "{\"url\":\"h:1\",\"preferredTransport\":\"GRPC\",\"additionalInterfaces\":[{\"url\":"
     "\"http://h/old?q=1\",\"transport\":\"HTTP+JSON\"}],\"supportedInterfaces\":[{\"url\":"
     "\"http://h/new\",\"protocolBinding\":\"JSONRPC\"}]}",
     "{\"url\":\"@/old?q=1\",\"preferredTransport\":\"HTTP+JSON\",\"additionalInterfaces\":[{"
     "\"url\":\"@/old?q=1\",\"transport\":\"HTTP+JSON\"}],\"supportedInterfaces\":[{\"url\":"
     "\"@/new\",\"protocolBinding\":\"JSONRPC\"}]}",
     200},
    {"signed, and changed", NULL, JSON,
     "{\"url\":\"http://h/\",\"signatures\":[{\"signature\":\"s\"}],\"x\":1}",
     "{\"url\":\"@/\",\"x\":1}", 200},
    {"signed, and the agent knew", NULL, JSON,
     "{\"url\":\"@/x\",\"signatures\":[{\"signature\":\"s\"}]}",
     "{\"url\":\"@/x\",\"signatures\":[{\"signature\":\"s\"}]}", 200},
    {"extended, REST", "/extendedAgentCard", JSON, "{\"url\":\"http://h/\",\"x\":1}",
     "{\"url\":\"@/\",\"x\":1}", 200},
    {"extended, JSON-RPC", "POST", JSON,
     "{\"id\":7,\"url\":\"http://h/\",\"result\":{\"url\":\"http://h/\",\"signatures\":[{}]}}",
     "{\"id\":7,\"url\":\"http://h/\",\"result\":{\"url\":\"@/\"}}", 200},
    {"gzip", NULL, JSON "Content-Encoding: gzip\r\n", "{\"url\":\"http://h/\"}", NULL, 502},
    {"gzip, extended", "/v1/card", JSON "Content-Encoding: gzip\r\n", "{\"url\":\"http://h/\"}",
     NULL, 502},
    {"unparsable", NULL, JSON, "{\"url\":\"http://h/\"", NULL, 502},
    {"not an object", NULL, JSON, "[\"http://h/\"]", NULL, 502},
    {"unparsable, extended", "POST", JSON, "{\"id\":7,", NULL, 502},
};

static struct px f;
static struct raw client, agent;

static void put_url(struct str *to, const char *text, const char *url)
{
    for (; *text; text++) {
        if (*text == '@')
            str_addz(to, url);
        else
            str_add(to, (struct slice){text, 1});
    }
}

static void ask(const char *method, const char *path, const char *fields, const char *more)
{
    CLEANUP(str_release) struct str rq = {0};
    bool is_rpc = path && strcmp(path, "POST") == 0;

    str_addf(&rq, "%s %s HTTP/1.1\r\n%s%sAccept-Encoding: gzip\r\n", is_rpc ? "POST" : method,
             is_rpc ? "/"
             : path ? path
                    : CARD_PATH,
             fields, more);
    if (is_rpc)
        str_addf(&rq, JSON "Content-Length: %zu\r\n\r\n" CALL, sizeof(CALL) - 1);
    else
        str_addz(&rq, "\r\n");
    raw_send(&client, str_slice(&rq));
}

static void agent_says(const char *fields, struct slice body)
{
    char head[512];

    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    cr_assert(strstr(agent.p, "Accept-Encoding: identity\r\n"));
    cr_assert_null(strstr(agent.p, "gzip"));
    cr_assert_null(strstr(agent.p, "If-None-Match"));
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\nCache-Control: "
             "max-age=9\r\nETag: \"agents\"\r\nLast-Modified: x\r\nAccept-Ranges: bytes\r\n"
             "Content-MD5: x\r\nDigest: x\r\nContent-Digest: x\r\n%s\r\n",
             body.n, fields);
    raw_sendz(&agent, head);
    raw_send(&agent, body);
    raw_close(&agent);
}

/* What is said with every 200 and 304. tag: of the ETag, out. */
static void check_head(const struct row *row, const struct base *base, char tag[64])
{
    static const char *const gone[] = {"agents\"",     "Last-Modified", "Accept-Ranges",
                                       "Content-MD5:", "Digest:",       "Content-Digest:"};
    const char *etag = strstr(client.p, "ETag: \"");
    bool is_rpc = row->path && strcmp(row->path, "POST") == 0;

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        cr_assert_null(strstr(client.p, gone[i]), "%s: %s", row->name, client.p);
    cr_assert(strstr(client.p, "Cache-Control: max-age=9\r\n"), "%s", client.p);
    cr_assert_eq(strstr(client.p, "Vary: X-Forwarded-Proto, X-Forwarded-Host") != NULL,
                 base->varies);
    cr_assert_eq(strstr(client.p, "Vary: A2A-Version\r\n") != NULL,
                 strstr(row->fields, "A2A-Version") != NULL);
    cr_assert_eq(strstr(client.p, "Vary: Authorization\r\n") != NULL, row->path != NULL);
    cr_assert_eq(etag == NULL, is_rpc);
    snprintf(tag, 64, "%.34s", etag ? etag + 6 : "");
}

/* HEAD and If-None-Match, where there is a document. */
static void ask_again(const struct row *row, const struct base *base, struct slice card,
                      size_t length, const char *tag)
{
    char more[128], same[64], promised[64];
    struct slice body;

    snprintf(more, sizeof(more), "If-None-Match: \"x\", W/%s\r\n", tag);
    ask("GET", row->path, base->fields, more);
    agent_says(row->fields, card);
    cr_assert_eq(raw_answer(&client, &body), 304, "%s: %s", row->name, client.p);
    check_head(row, base, same);
    cr_assert_str_eq(same, tag);
    raw_close(&client);

    px_client(&f, &client);
    ask("HEAD", row->path, base->fields, "Connection: close\r\n");
    agent_says(row->fields, card);
    cr_assert(raw_until_closed(&client));
    snprintf(promised, sizeof(promised), "Content-Length: %zu\r\n", length);
    cr_assert(strstr(client.p, "200 OK") && strstr(client.p, promised), "%s", client.p);
    check_head(row, base, same);
    cr_assert_str_eq(same, tag);
    cr_assert_str_eq(client.p + client.len - 4, "\r\n\r\n");
    raw_close(&client);
    px_client(&f, &client);
}

static void check(const struct row *row, const struct base *base)
{
    CLEANUP(str_release) struct str card = {0};
    CLEANUP(str_release) struct str want = {0};
    struct slice body;
    char tag[64];
    int status;

    put_url(&card, row->card, base->url);
    put_url(&want, row->want ? row->want : "", base->url);
    ask("GET", row->path, base->fields, "");
    agent_says(row->fields, str_slice(&card));
    status = raw_answer(&client, &body);
    cr_assert_eq(status, row->status, "%s: %s", row->name, client.p);
    if (status != 200) {
        cr_assert_null(memmem(body.p, body.n, "http://h", 8), "%s", client.p);
        return;
    }
    cr_assert(slice_eq(body, str_slice(&want)), "%s: %s", row->name, client.p);
    check_head(row, base, tag);
    if (*tag)
        ask_again(row, base, str_slice(&card), want.len, tag);
}

/* A card of just under 1 MiB is one, a card above is none; both ways of framing. */
static void check_huge(const struct base *base)
{
    enum { MOST = 1024 * 1024 };
    static const char front[] = "{\"url\":\"http://h/\",\"pad\":\"";
    char *card = malloc(MOST + 2);
    struct slice body;

    cr_assert_not_null(card);
    for (size_t n = MOST - 1; n <= MOST + 1; n++) {
        bool is_good = n <= MOST;

        memset(card, 'x', n);
        memcpy(card, front, sizeof(front) - 1);
        memcpy(card + n - 2, "\"}", 2);
        ask("GET", NULL, base->fields, "");
        agent_says(JSON, (struct slice){card, n});
        cr_assert_eq(raw_answer(&client, &body), is_good ? 200 : 502);
        if (is_good)
            cr_assert_eq(body.n, n - strlen("http://h") + strlen(base->url));
        ask("GET", NULL, base->fields, "");
        px_accept(&f, &agent);
        cr_assert(raw_until(&agent, "\r\n\r\n"));
        raw_sendz(&agent,
                  "HTTP/1.1 200 OK\r\n" JSON "Connection: close\r\n\r\n"); /* until the end */
        raw_send(&agent, (struct slice){card, n});
        raw_close(&agent);
        cr_assert_eq(raw_answer(&client, &body), is_good ? 200 : 502);
    }
    free(card);
}

static void check_base(size_t i)
{
    px_start(&f, "--platform-enabled", "false", "--card-rewrite-extended", "true", bases[i].flag,
             bases[i].value, NULL);
    px_client(&f, &client);
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
        check(&rows[k], &bases[i]);
    check_huge(&bases[i]);
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_card_matrix, with_a_configured_address)
{
    check_base(0);
}

Test(proxy_card_matrix, with_the_word_of_a_trusted_proxy)
{
    check_base(1);
}

Test(proxy_card_matrix, with_the_word_of_somebody_else)
{
    check_base(2);
}

Test(proxy_card_matrix, with_host_alone)
{
    check_base(3);
}
