/*
 * Response heads of the agent: A section 10.4 row by row.
 */
#include "http/request.h"
#include "http/response.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

struct row {
    const char *what;
    struct slice in;
    int status; /* 0: must be refused */
    enum http_framing framing;
    int64_t length;
    bool is_reusable;
};
#define OK  "HTTP/1.1 200 OK\r\n"
#define END "\r\n"
#define ROW(what, text, status, framing, length, reusable)                                         \
    {                                                                                              \
        what, {text, sizeof(text) - 1}, status, framing, length, reusable                          \
    }
#define BAD(what, text) ROW(what, text, 0, HTTP_BODY_NONE, 0, false)

static void check(const struct row *row, bool to_head)
{
    struct http_response *r = calloc(1, sizeof(*r));
    struct http_refusal why = {0};
    size_t scanned = 0;
    char *p = malloc(row->in.n);
    size_t n;
    int err;

    cr_assert(r && p);
    memcpy(p, row->in.p, row->in.n);
    n = http_head_end(p, row->in.n, &scanned, NULL);
    cr_assert(n > 0, "%s", row->what);
    err = http_response_parse(p, n, NULL, to_head, r, &why);
    if (!row->status) {
        cr_expect_eq(err, -EBADMSG, "%s was accepted", row->what);
        cr_expect_eq(why.status, 502, "%s", row->what);
    } else {
        cr_expect_eq(err, 0, "%s: %s", row->what, why.text ? why.text : "");
        cr_expect_eq(r->status, row->status, "%s", row->what);
        cr_expect_eq(r->framing, row->framing, "%s", row->what);
        cr_expect_eq(r->content_length, row->length, "%s: length %lld", row->what,
                     (long long)r->content_length);
        cr_expect_eq(r->is_reusable, row->is_reusable, "%s: reusable", row->what);
    }
    free(r);
    free(p);
}

Test(http_response, status_lines)
{
    static const struct row rows[] = {
        ROW("plain", OK "Content-Length: 0\r\n" END, 200, HTTP_BODY_LENGTH, 0, true),
        ROW("no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n" END, 200, HTTP_BODY_LENGTH, 0,
            true),
        ROW("no blank either", "HTTP/1.1 200\r\nContent-Length: 0\r\n" END, 200, HTTP_BODY_LENGTH,
            0, true),
        ROW("reason with obs-text", "HTTP/1.1 200 \xe4\r\nContent-Length: 0\r\n" END, 200,
            HTTP_BODY_LENGTH, 0, true),
        ROW("1.3", "HTTP/1.3 200 OK\r\nContent-Length: 0\r\n" END, 200, HTTP_BODY_LENGTH, 0, true),
        ROW("599", "HTTP/1.1 599 x\r\nContent-Length: 0\r\n" END, 599, HTTP_BODY_LENGTH, 0, true),
        BAD("600", "HTTP/1.1 600 x\r\n" END),
        BAD("99", "HTTP/1.1 099 x\r\n" END),
        BAD("two digits", "HTTP/1.1 20 x\r\n" END),
        BAD("four digits", "HTTP/1.1 2000 x\r\n" END),
        BAD("two blanks", "HTTP/1.1  200 x\r\n" END),
        BAD("HTTP/2", "HTTP/2 200\r\n" END),
        BAD("HTTP/2.0", "HTTP/2.0 200 OK\r\n" END),
        BAD("HTTP/01.1", "HTTP/01.1 200 OK\r\n" END),
        BAD("not HTTP", "hello\r\n" END),
        BAD("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n" END),
        BAD("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        BAD("blank before the colon", OK "Content-Length : 0\r\n" END),
        BAD("folded line", OK "X: a\r\n b\r\n" END),
        BAD("NUL", OK "X: a\0\r\n" END),
        BAD("empty line before", "\r\n" OK END),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(&rows[i], false);
}

Test(http_response, framing)
{
    static const struct row rows[] = {
        ROW("nothing said: until close", OK END, 200, HTTP_BODY_UNTIL_CLOSE, -1, false),
        ROW("chunked", OK "Transfer-Encoding: Chunked\r\n" END, 200, HTTP_BODY_CHUNKED, -1, true),
        ROW("coding and length: coding, not reused",
            OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 200, HTTP_BODY_CHUNKED,
            -1, false),
        ROW("identity: until close", OK "Transfer-Encoding: identity\r\n" END, 200,
            HTTP_BODY_UNTIL_CLOSE, -1, false),
        ROW("chunked not last: until close", OK "Transfer-Encoding: chunked, gzip\r\n" END, 200,
            HTTP_BODY_UNTIL_CLOSE, -1, false),
        BAD("gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n" END),
        BAD("chunked twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END),
        ROW("coding in 1.0",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" END, 200,
            HTTP_BODY_CHUNKED, -1, false),
        ROW("1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n" END,
            200, HTTP_BODY_LENGTH, 2, true),
        ROW("1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n" END, 200, HTTP_BODY_LENGTH, 2, false),
        ROW("close", OK "Connection: close\r\nContent-Length: 2\r\n" END, 200, HTTP_BODY_LENGTH, 2,
            false),
        BAD("two lengths", OK "Content-Length: 2\r\nContent-Length: 3\r\n" END),
        BAD("length list", OK "Content-Length: 2, 3\r\n" END),
        BAD("length is a word", OK "Content-Length: x\r\n" END),
        BAD("length too big", OK "Content-Length: 9223372036854775808\r\n" END),
        ROW("204", "HTTP/1.1 204 No Content\r\n" END, 204, HTTP_BODY_NONE, -1, true),
        ROW("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END, 204,
            HTTP_BODY_NONE, -1, false),
        ROW("204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n" END, 204,
            HTTP_BODY_NONE, -1, true),
        ROW("204 with a coding", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n" END,
            204, HTTP_BODY_NONE, -1, false),
        ROW("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" END, 304,
            HTTP_BODY_NONE, 5, true),
        ROW("100", "HTTP/1.1 100 Continue\r\n" END, 100, HTTP_BODY_NONE, -1, true),
        ROW("103", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n" END, 103, HTTP_BODY_NONE, -1, true),
    };
    static const struct row head =
        ROW("answer to HEAD", OK "Content-Length: 5\r\n" END, 200, HTTP_BODY_NONE, 5, true);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(&rows[i], false);
    check(&head, true);
}

static struct http_response *parse(const char *in)
{
    static struct http_response r;
    struct http_refusal why;

    cr_assert_eq(http_response_parse(in, strlen(in), NULL, false, &r, &why), 0, "%s", in);
    return &r;
}

Test(http_response, drops_a_length_beside_a_coding)
{
    struct http_response *r =
        parse(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n");

    cr_expect(r->fields[0].is_hop);
    cr_expect(r->fields[1].is_hop);
    cr_expect(!r->fields[2].is_hop);
    r = parse("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n");
    cr_expect(r->fields[0].is_hop);
    r = parse("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n");
    cr_expect(!r->fields[0].is_hop);
}

Test(http_response, names_with_underscores_are_the_agents_own)
{
    struct http_response *r = parse(OK "Content_Type: x\r\nA2A_Version: y\r\nTE: z\r\n\r\n");

    cr_expect(!r->fields[0].is_hop);
    cr_expect(!r->fields[1].is_hop);
    cr_expect(r->fields[2].is_hop);
}

Test(http_response, knows_event_streams)
{
    cr_expect(parse(OK "Content-Type: text/event-stream\r\n\r\n")->is_event_stream);
    cr_expect(parse(OK "content-type: Text/Event-Stream ; charset=utf-8\r\n\r\n")->is_event_stream);
    cr_expect(!parse(OK "Content-Type: text/event-streams\r\n\r\n")->is_event_stream);
    cr_expect(!parse(OK "Content-Type: application/json\r\n\r\n")->is_event_stream);
    cr_expect(!parse(OK "\r\n")->is_event_stream);
}

Test(http_response, keeps_the_reason)
{
    struct http_response *r = parse("HTTP/1.1 404 Not  here \r\n\r\n");

    cr_expect(slice_eq(r->reason, SLICE("Not  here ")));
}
