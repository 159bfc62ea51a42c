/*
 * Request heads: every row of A section 10.1, 10.2 and 10.5 as a table, and the same head cut at
 * every offset.
 */
#include "http/request.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define END  "\r\n"

struct row {
    const char *what;
    struct slice in;
    int status; /* 0: accepted */
};
#define ROW(what, text, status)                                                                    \
    {                                                                                              \
        what, {text, sizeof(text) - 1}, status                                                     \
    }

/* A copy of exactly this size, so that a read past the end is seen by the sanitizer. */
static char *exact(struct slice s)
{
    char *p = malloc(s.n ? s.n : 1);

    cr_assert(p);
    memcpy(p, s.p, s.n);
    return p;
}

/* Status of a head as the server would see it: 0 accepted, -1 still incomplete. */
static int status_of(struct slice in, struct http_request *r)
{
    char *p = exact(in);
    struct http_refusal why = {0};
    size_t scanned = 0;
    size_t n = http_head_end(p, in.n, &scanned, NULL);
    int status = 0;

    if (http_request_precheck(p, in.n, &why) != 0)
        status = why.status;
    else if (!n)
        status = -1;
    else if (http_request_parse(p, n, NULL, r, &why) != 0)
        status = why.status;
    if (n && status) { /* the parser must refuse by itself as well: the check before is only a short
                          cut */
        cr_expect_eq(http_request_parse(p, n, NULL, r, &why), -EBADMSG, "precheck only: %.*s",
                     (int)in.n, in.p);
        cr_expect(why.status >= 400 && why.text && *why.text);
    }
    free(p);
    return status;
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct http_request *r = calloc(1, sizeof(*r));
        int status = status_of(rows[i].in, r);

        cr_expect_eq(status, rows[i].status, "%s: got %d, want %d", rows[i].what, status,
                     rows[i].status);
        free(r);
    }
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof(rows[0]))

Test(http_request, line_ends_and_empty_lines)
{
    static const struct row rows[] = {
        ROW("plain", LINE HOST END, 0),
        ROW("one empty line before", "\r\n" LINE HOST END, 0),
        ROW("four empty lines before", "\r\n\r\n\r\n\r\n" LINE HOST END, 0),
        ROW("five empty lines before", "\r\n\r\n\r\n\r\n\r\n" LINE HOST END, 400),
        ROW("bare LF before", "\n" LINE HOST END, 400),
        ROW("bare CR before", "\r" LINE HOST END, 400),
        ROW("bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n", 400),
        ROW("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ROW("bare LF after a field", LINE "Host: a\n\r\n", 400),
        ROW("bare LF as the empty line", LINE HOST "\n", 400),
        ROW("bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ROW("bare CR in a value", LINE HOST "X: a\rb\r\n\r\n", 400),
        ROW("bare CR in a name", LINE HOST "X\rY: a\r\n\r\n", 400),
        ROW("CR CR LF", LINE HOST "X: a\r\r\n\r\n", 400),
        ROW("only bare CR line ends", "GET / HTTP/1.1\rHost: a\r\rx", 400),
        ROW("incomplete", LINE HOST, -1),
        ROW("nothing", "", -1),
    };
    CHECK(rows);
}

Test(http_request, request_line)
{
    static const struct row rows[] = {
        ROW("two blanks", "GET  / HTTP/1.1\r\n" HOST END, 400),
        ROW("two blanks before the version", "GET /  HTTP/1.1\r\n" HOST END, 400),
        ROW("tab", "GET\t/ HTTP/1.1\r\n" HOST END, 400),
        ROW("tab before the version", "GET /\tHTTP/1.1\r\n" HOST END, 400),
        ROW("blank at the end", "GET / HTTP/1.1 \r\n" HOST END, 400),
        ROW("blank at the start", " GET / HTTP/1.1\r\n" HOST END, 400),
        ROW("no version", "GET /\r\n" HOST END, 400),
        ROW("nothing but a method", "GET\r\n" HOST END, 400),
        ROW("method is no token", "G@T / HTTP/1.1\r\n" HOST END, 400),
        ROW("method with a colon", "GET: / HTTP/1.1\r\n" HOST END, 400),
        ROW("empty target", "GET HTTP/1.1\r\n" HOST END, 400),
        ROW("four words", "GET / x HTTP/1.1\r\n" HOST END, 400),
        ROW("unknown method", "BREW /pot HTTP/1.1\r\n" HOST END, 0),
        ROW("lower case method is another method", "get / HTTP/1.1\r\n" HOST END, 0),
        ROW("CONNECT", "CONNECT a:80 HTTP/1.1\r\n" HOST END, 405),
        ROW("TRACE", "TRACE / HTTP/1.1\r\n" HOST END, 405),
    };
    CHECK(rows);
}

Test(http_request, versions)
{
    static const struct row rows[] = {
        ROW("1.0", "GET / HTTP/1.0\r\n" HOST END, 0),
        ROW("1.2", "GET / HTTP/1.2\r\n" HOST END, 0),
        ROW("1.9", "GET / HTTP/1.9\r\n" HOST END, 0),
        ROW("2.0", "GET / HTTP/2.0\r\n" HOST END, 505),
        ROW("0.9", "GET / HTTP/0.9\r\n" HOST END, 505),
        ROW("11.1", "GET / HTTP/11.1\r\n" HOST END, 505),
        ROW("1.10", "GET / HTTP/1.10\r\n" HOST END, 400),
        ROW("01.1", "GET / HTTP/01.1\r\n" HOST END, 400),
        ROW("001.0", "GET / HTTP/001.0\r\n" HOST END, 400),
        ROW("lower case", "GET / http/1.1\r\n" HOST END, 400),
        ROW("no minor", "GET / HTTP/1.\r\n" HOST END, 400),
        ROW("only major", "GET / HTTP/1\r\n" HOST END, 400),
        ROW("another word", "GET / HTCPCP/1.1\r\n" HOST END, 400),
        ROW("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ROW("a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        ROW("not HTTP", "\x80\x00\x01", 400),
    };
    CHECK(rows);
}

Test(http_request, targets)
{
    static const struct row rows[] = {
        ROW("fragment", "GET /a#b HTTP/1.1\r\n" HOST END, 400),
        ROW("not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST END, 400),
        ROW("DEL", "GET /\x7f HTTP/1.1\r\n" HOST END, 400),
        ROW("control", "GET /\x01 HTTP/1.1\r\n" HOST END, 400),
        ROW("NUL", "GET /\0 HTTP/1.1\r\n" HOST END, 400),
        ROW("odd but legal", "GET /a%2Fb//..;x? HTTP/1.1\r\n" HOST END, 0),
        ROW("curly", "GET /{id}|\"<>\\^` HTTP/1.1\r\n" HOST END, 0),
        ROW("* with OPTIONS", "OPTIONS * HTTP/1.1\r\n" HOST END, 0),
        ROW("* with GET", "GET * HTTP/1.1\r\n" HOST END, 400),
        ROW("authority form", "GET a:80 HTTP/1.1\r\n" HOST END, 400),
        ROW("relative", "GET a/b HTTP/1.1\r\n" HOST END, 400),
        ROW("absolute", "GET http://b/c HTTP/1.1\r\n" HOST END, 0),
        ROW("absolute, other scheme", "GET ftp://b/c HTTP/1.1\r\n" HOST END, 400),
        ROW("absolute with a user", "GET http://u@b/c HTTP/1.1\r\n" HOST END, 400),
        ROW("absolute without a host", "GET http:///c HTTP/1.1\r\n" HOST END, 400),
        ROW("absolute with a query only", "GET http://b?c HTTP/1.1\r\n" HOST END, 400),
        ROW("absolute without Host", "GET http://b/c HTTP/1.1\r\n" END, 400),
    };
    CHECK(rows);
}

Test(http_request, host)
{
    static const struct row rows[] = {
        ROW("missing in 1.1", LINE END, 400),
        ROW("missing in 1.0", "GET / HTTP/1.0\r\n" END, 0),
        ROW("twice", LINE HOST HOST END, 400),
        ROW("twice in 1.0", "GET / HTTP/1.0\r\n" HOST HOST END, 400),
        ROW("empty", LINE "Host:\r\n" END, 400),
        ROW("empty in 1.0", "GET / HTTP/1.0\r\nHost:\r\n" END, 0),
        ROW("blank inside", LINE "Host: a b\r\n" END, 400),
        ROW("two in one line", LINE "Host: a, b\r\n" END, 400),
        ROW("path", LINE "Host: a/b\r\n" END, 400),
        ROW("user", LINE "Host: u@a\r\n" END, 400),
        ROW("port", LINE "Host: a:80\r\n" END, 0),
        ROW("empty port", LINE "Host: a:\r\n" END, 0),
        ROW("port too big", LINE "Host: a:65536\r\n" END, 400),
        ROW("port is a word", LINE "Host: a:b\r\n" END, 400),
        ROW("two ports", LINE "Host: a:1:2\r\n" END, 400),
        ROW("only a port", LINE "Host: :80\r\n" END, 400),
        ROW("IPv6", LINE "Host: [::1]:80\r\n" END, 0),
        ROW("IPv6 not closed", LINE "Host: [::1\r\n" END, 400),
        ROW("IPv6 with junk", LINE "Host: [::1]x\r\n" END, 400),
        ROW("IPv6 empty", LINE "Host: []\r\n" END, 400),
        ROW("underscore", LINE "Host: my_agent.default.svc:8000\r\n" END, 0),
        ROW("bad percent", LINE "Host: a%2\r\n" END, 400),
    };
    CHECK(rows);
}

Test(http_request, fields)
{
    static const struct row rows[] = {
        ROW("blank before the colon", LINE HOST "X : a\r\n" END, 400),
        ROW("tab before the colon", LINE HOST "X\t: a\r\n" END, 400),
        ROW("blank before the colon of Content-Length", LINE HOST "Content-Length : 5\r\n" END,
            400),
        ROW("empty name", LINE HOST ": x\r\n" END, 400),
        ROW("empty name first", LINE ":x\r\n" HOST END, 400),
        ROW("blank in the name", LINE HOST "a b: 1\r\n" END, 400),
        ROW("NUL in the name", LINE HOST "a\0b: 1\r\n" END, 400),
        ROW("no colon", LINE HOST "abc\r\n" END, 400),
        ROW("name not ASCII", LINE HOST "\xc3\xa4: 1\r\n" END, 400),
        ROW("name with a bracket", LINE HOST "a(b: 1\r\n" END, 400),
        ROW("folded line", LINE HOST "X: a\r\n b\r\n" END, 400),
        ROW("folded with a tab", LINE HOST "X: a\r\n\tb\r\n" END, 400),
        ROW("blank line before the first field", LINE " \r\n" HOST END, 400),
        ROW("first field begins with a blank", LINE " Host: a\r\n" END, 400),
        ROW("NUL in a value", LINE HOST "X: a\0b\r\n" END, 400),
        ROW("control in a value", LINE HOST "X: a\x01\r\n" END, 400),
        ROW("DEL in a value", LINE HOST "X: a\x7f\r\n" END, 400),
        ROW("vertical tab in a value", LINE HOST "X: \x0b\r\n" END, 400),
        ROW("tab in a value", LINE HOST "X: a\tb\r\n" END, 0),
        ROW("obs-text in a value", LINE HOST "X: \xe4\xff\r\n" END, 0),
        ROW("empty value", LINE HOST "X:\r\n" END, 0),
        ROW("only blanks as value", LINE HOST "X:   \t \r\n" END, 0),
    };
    CHECK(rows);
}

Test(http_request, framing)
{
#define POST "POST / HTTP/1.1\r\n" HOST
    static const struct row rows[] = {
        ROW("length", POST "Content-Length: 5\r\n" END, 0),
        ROW("leading zeros", POST "Content-Length: 005\r\n" END, 0),
        ROW("plus", POST "Content-Length: +5\r\n" END, 400),
        ROW("minus", POST "Content-Length: -0\r\n" END, 400),
        ROW("hex", POST "Content-Length: 0x5\r\n" END, 400),
        ROW("blank inside", POST "Content-Length: 5 5\r\n" END, 400),
        ROW("empty", POST "Content-Length:\r\n" END, 400),
        ROW("the biggest", POST "Content-Length: 9223372036854775807\r\n" END, 0),
        ROW("one more", POST "Content-Length: 9223372036854775808\r\n" END, 400),
        ROW("20 digits", POST "Content-Length: 18446744073709551616\r\n" END, 400),
        ROW("equal list", POST "Content-Length: 5,5\r\n" END, 400),
        ROW("list", POST "Content-Length: 5,6\r\n" END, 400),
        ROW("two equal lines", POST "Content-Length: 5\r\nContent-Length: 5\r\n" END, 400),
        ROW("two lines", POST "Content-Length: 5\r\nContent-Length: 6\r\n" END, 400),
        ROW("chunked", POST "Transfer-Encoding: chunked\r\n" END, 0),
        ROW("any case, blanks around", POST "Transfer-Encoding: \t ChUnKeD \t\r\n" END, 0),
        ROW("coding then length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END,
            400),
        ROW("length then coding", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END,
            400),
        ROW("length 0 and coding", POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" END,
            400),
        ROW("chunked not last", POST "Transfer-Encoding: chunked, gzip\r\n" END, 400),
        ROW("identity", POST "Transfer-Encoding: identity\r\n" END, 400),
        ROW("empty coding", POST "Transfer-Encoding:\r\n" END, 400),
        ROW("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n" END, 501),
        ROW("chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n" END, 501),
        ROW("xchunked", POST "Transfer-Encoding: xchunked\r\n" END, 400),
        ROW("quoted", POST "Transfer-Encoding: \"chunked\"\r\n" END, 400),
        ROW("parameter", POST "Transfer-Encoding: chunked;q=1\r\n" END, 400),
        ROW("leading comma", POST "Transfer-Encoding: ,chunked\r\n" END, 501),
        ROW("two lines of coding",
            POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, 501),
        ROW("vertical tab",
            POST "Transfer-Encoding: \x0b"
                 "chunked\r\n" END,
            400),
        ROW("in HTTP/1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END, 400),
        ROW("GET with a length", LINE HOST "Content-Length: 5\r\n" END, 0),
        ROW("Upgrade is just a field",
            LINE HOST "Connection: upgrade\r\nUpgrade: websocket\r\n" END, 0),
    };
    CHECK(rows);
}

Test(http_request, expectations)
{
    static const struct row rows[] = {
        ROW("100-continue", POST "Content-Length: 5\r\nExpect: 100-Continue\r\n" END, 0),
        ROW("another", POST "Content-Length: 5\r\nExpect: coffee\r\n" END, 417),
        ROW("two, one unknown",
            POST "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x\r\n" END, 417),
        ROW("another in 1.0 is ignored",
            "POST / HTTP/1.0\r\n" HOST "Content-Length: 5\r\nExpect: x\r\n" END, 0),
    };
    CHECK(rows);
}

static void parse_ok(struct http_request *r, struct slice in)
{
    struct http_refusal why = {0};
    size_t scanned = 0;
    size_t n = http_head_end(in.p, in.n, &scanned, NULL);

    cr_assert(n > 0, "incomplete: %.*s", (int)in.n, in.p);
    cr_assert_eq(http_request_parse(in.p, n, NULL, r, &why), 0, "%s", why.text ? why.text : "");
}

#define EQ(slice_value, literal)                                                                   \
    cr_expect(slice_eq((slice_value), SLICE(literal)), "%.*s is not %s", (int)(slice_value).n,     \
              (slice_value).p, literal)

Test(http_request, keeps_the_target_byte_for_byte)
{
    struct http_request r;

    parse_ok(&r, SLICE("GET /a%2Fb//..;x?q=1?2 HTTP/1.1\r\nHost: h:1\r\n\r\n"));
    EQ(r.target, "/a%2Fb//..;x?q=1?2");
    EQ(r.path, "/a%2Fb//..;x");
    EQ(r.query, "q=1?2");
    EQ(r.host, "h:1");
    cr_expect_eq(r.method, HTTP_GET);
    cr_expect_eq(r.minor, 1);
    cr_expect(r.keep_alive);
}

Test(http_request, absolute_target_replaces_host)
{
    struct http_request r;

    parse_ok(&r, SLICE("GET HTTP://b:8/p?q HTTP/1.1\r\nHost: other\r\n\r\n"));
    EQ(r.target, "/p?q");
    EQ(r.host, "b:8");
    EQ(http_request_field(&r, FIELD_HOST)->value, "b:8");
    parse_ok(&r, SLICE("GET http://b HTTP/1.1\r\nHost: b\r\n\r\n"));
    EQ(r.target, "/");
    parse_ok(&r, SLICE("OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n"));
    EQ(r.target, "*");
}

Test(http_request, keeps_fields_in_order_and_trims_values)
{
    struct http_request r;

    parse_ok(&r, SLICE("GET / HTTP/1.1\r\nHost: h\r\nX-A: \t one \t\r\nX-B:\r\nx-a:two\r\n\r\n"));
    cr_assert_eq(r.field_count, 4);
    EQ(r.fields[1].name, "X-A");
    EQ(r.fields[1].value, "one");
    EQ(r.fields[2].value, "");
    EQ(r.fields[3].name, "x-a");
    EQ(http_request_value(&r, "x-A"), "one");
    EQ(http_request_value(&r, "x-none"), "");
}

Test(http_request, marks_what_is_not_forwarded)
{
    struct http_request r;
    static const char *const hop[] = {"Connection",
                                      "Keep-Alive",
                                      "TE",
                                      "Trailer",
                                      "Upgrade",
                                      "Proxy-Connection",
                                      "Proxy-Authorization",
                                      "HTTP2-Settings",
                                      "X-Mine",
                                      "Content_Length",
                                      "A2A_Version",
                                      "X_Forwarded_For",
                                      "Expect"};

    parse_ok(&r, SLICE("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine ,, a2a-version, "
                       "host, X-Forwarded-For, authorization\r\n"
                       "Keep-Alive: 1\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: "
                       "y\r\nProxy-Connection: z\r\nProxy-Authorization: w\r\n"
                       "HTTP2-Settings: v\r\nX-Mine: 1\r\nContent_Length: 5\r\nA2A_Version: "
                       "0.1\r\nX_Forwarded_For: 1\r\nExpect: 100-continue\r\n"
                       "A2A-Version: 1.0\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: "
                       "b\r\nmy_own: 1\r\nX-Other: 2\r\n\r\n"));
    cr_expect(!r.keep_alive);
    cr_expect(!r.expect_continue, "no body");
    for (size_t i = 0; i < r.field_count; i++) {
        bool wanted = false;

        for (size_t k = 0; k < sizeof(hop) / sizeof(hop[0]); k++)
            wanted = wanted || slice_eq(r.fields[i].name, slice_of(hop[k]));
        cr_expect_eq(r.fields[i].is_hop, wanted, "%.*s", (int)r.fields[i].name.n,
                     r.fields[i].name.p);
    }
}

Test(http_request, keep_alive_by_version_and_option)
{
    struct http_request r;

    parse_ok(&r, SLICE("GET / HTTP/1.0\r\n\r\n"));
    cr_expect(!r.keep_alive);
    parse_ok(&r, SLICE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    cr_expect(r.keep_alive);
    parse_ok(&r,
             SLICE("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo\r\nConnection: ClOsE\r\n\r\n"));
    cr_expect(!r.keep_alive);
}

Test(http_request, framing_values)
{
    struct http_request r;

    parse_ok(
        &r,
        SLICE("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n"));
    cr_expect_eq(r.framing, HTTP_BODY_LENGTH);
    cr_expect_eq(r.content_length, 12);
    cr_expect(r.expect_continue);
    parse_ok(&r, SLICE("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: "
                       "100-continue\r\n\r\n"));
    cr_expect_eq(r.framing, HTTP_BODY_CHUNKED);
    cr_expect(r.expect_continue);
    parse_ok(&r, SLICE("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"));
    cr_expect(!r.expect_continue);
    parse_ok(&r, SLICE("POST / HTTP/1.1\r\nHost: h\r\n\r\n"));
    cr_expect_eq(r.framing, HTTP_BODY_NONE);
}

Test(http_request, limits_are_exact)
{
    struct http_request r;
    struct http_refusal why = {0};
    static char in[64 * 1024];
    size_t n;

    for (size_t extra = 0; extra < 2; extra++) {
        n = (size_t)snprintf(in, sizeof(in), "GET /");
        memset(in + n, 'a', HTTP_TARGET_MAX - 1 + extra);
        n += HTTP_TARGET_MAX - 1 + extra;
        n += (size_t)snprintf(in + n, sizeof(in) - n, " HTTP/1.1\r\nHost: h\r\n\r\n");
        cr_expect_eq(http_request_parse(in, n, NULL, &r, &why), extra ? -EBADMSG : 0);
        if (extra)
            cr_expect_eq(why.status, 414);

        n = (size_t)snprintf(in, sizeof(in), "GET / HTTP/1.1\r\nHost: h\r\n");
        for (size_t i = 1; i < HTTP_FIELDS_MAX + extra; i++)
            n += (size_t)snprintf(in + n, sizeof(in) - n, "X: %zu\r\n", i);
        n += (size_t)snprintf(in + n, sizeof(in) - n, "\r\n");
        cr_expect_eq(http_request_parse(in, n, NULL, &r, &why), extra ? -EBADMSG : 0);
        if (extra)
            cr_expect_eq(why.status, 431);
    }
    memset(in, 'G', sizeof(in));
    cr_expect_eq(http_request_precheck(in, HTTP_TARGET_MAX + 600, &why), -EBADMSG);
    cr_expect_eq(why.status, 414);
}

/* However it arrives, the head ends at the same place, and no prefix of a good head is refused. */
Test(http_request, a_head_of_too_many_lines_is_refused_before_its_end)
{
    static const char first[] = "GET / HTTP/1.1\r\n";
    enum { LINES = HTTP_FIELDS_MAX + 8 };
    char in[sizeof(first) + 4 * LINES];
    struct http_refusal why;

    memcpy(in, first, sizeof(first) - 1);
    for (size_t i = 0; i < LINES; i++)
        memcpy(in + sizeof(first) - 1 + 4 * i, "a:\r\n", 4);
    cr_expect_eq(http_request_precheck(in, sizeof(first) - 1 + 4 * HTTP_FIELDS_MAX, &why), 0);
    cr_expect_eq(http_request_precheck(in, sizeof(first) - 1 + 4 * LINES, &why), -EBADMSG);
    cr_expect_eq(why.status, 431);
}

Test(http_request, same_result_cut_at_every_offset)
{
    static const char in[] = "\r\nPOST /x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nA: "
                             "b\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
    size_t whole = strlen(in) - strlen("abcGET / HTTP/1.1\r\n\r\n");
    struct http_refusal why;

    for (size_t cut = 0; cut <= whole; cut++) {
        size_t scanned = 0;
        size_t first = http_head_end(in, cut, &scanned, NULL);

        cr_expect_eq(first, cut == whole ? whole : 0);
        if (!first)
            cr_expect_eq(http_head_end(in, sizeof(in) - 1, &scanned, NULL), whole, "cut at %zu",
                         cut);
        cr_expect_eq(http_request_precheck(in, cut, &why), 0, "cut at %zu", cut);
    }
    for (size_t n = 0, scanned = 0; n < whole; n++)
        cr_expect_eq(http_head_end(in, n, &scanned, NULL), 0);
}
