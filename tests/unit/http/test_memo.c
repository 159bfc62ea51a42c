/*
 * The memo of heads: what it gives back is what a parser would say, and only for the very same
 * bytes.
 */
#include "http/memo.h"

#include <criterion/criterion.h>
#include <string.h>

static const char request[] = "POST /a?b=1 HTTP/1.1\r\nHost: agent:8000\r\nX-One: 1\r\n"
                              "Connection: X-One\r\nContent-Length: 5\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
enum { REQUEST_LEN = sizeof(request) - 1, RESPONSE_LEN = sizeof(response) - 1 };

static struct http_request_memo memo;

Test(http_memo, an_empty_one_knows_nothing)
{
    size_t n;

    cr_assert_null(http_request_memo_find(&memo, request, REQUEST_LEN, &n));
    cr_assert_null(http_request_memo_find(&memo, NULL, 0, &n));
}

Test(http_memo, the_same_head_again_is_what_the_parser_said)
{
    static struct http_request r;
    char in[] = "POST /a?b=1 HTTP/1.1\r\nHost: agent:8000\r\nX-One: 1\r\n"
                "Connection: X-One\r\nContent-Length: 5\r\n\r\nhello and more";
    size_t scanned = 0, n = 0;

    cr_assert_eq(http_request_parse(request, REQUEST_LEN, NULL, &r, NULL), 0);
    head_memo_note(&memo.memo, request, REQUEST_LEN);
    for (int again = 0; again < 3; again++) {
        const struct http_request *found = http_request_memo_find(&memo, in, sizeof(in) - 1, &n);

        cr_assert_not_null(found);
        cr_assert_eq(n, REQUEST_LEN);
        cr_assert_eq(n, http_head_end(in, sizeof(in) - 1, &scanned, NULL));
        cr_assert_eq(found->field_count, r.field_count);
        cr_assert_eq(found->method, HTTP_POST);
        cr_assert_eq(found->content_length, 5);
        cr_assert(slice_eq(found->path, r.path) && slice_eq(found->query, r.query));
        for (size_t i = 0; i < r.field_count; i++) {
            cr_assert(slice_eq(found->fields[i].name, r.fields[i].name));
            cr_assert(slice_eq(found->fields[i].value, r.fields[i].value));
            cr_assert_eq(found->fields[i].id, r.fields[i].id);
            cr_assert_eq(found->fields[i].is_hop, r.fields[i].is_hop);
        }
        scanned = 0;
    }
    memset(in, 'x', sizeof(in)); /* what was found does not point there */
    cr_assert(slice_eq(memo.request.host, SLICE("agent:8000")));
}

Test(http_memo, another_byte_anywhere_is_another_head)
{
    char in[sizeof(request)];
    size_t n;

    head_memo_note(&memo.memo, request, REQUEST_LEN);
    for (size_t i = 0; i < REQUEST_LEN; i++) {
        memcpy(in, request, sizeof(in));
        in[i] ^= 0x20;
        cr_expect_null(http_request_memo_find(&memo, in, REQUEST_LEN, &n), "byte %zu", i);
        cr_expect_null(http_request_memo_find(&memo, request, i, &n), "only %zu bytes", i);
    }
    cr_assert_not_null(http_request_memo_find(&memo, request, REQUEST_LEN, &n));
}

Test(http_memo, the_last_head_is_the_one_remembered)
{
    static char longer[2 * HEAD_MEMO_MAX] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const char other[] = "GET /other HTTP/1.1\r\nHost: b\r\n\r\n";
    size_t n, at = strlen(longer);

    head_memo_note(&memo.memo, request, REQUEST_LEN);
    cr_assert_not_null(http_request_memo_find(&memo, request, REQUEST_LEN, &n));
    head_memo_note(&memo.memo, other, sizeof(other) - 1);
    cr_assert_null(http_request_memo_find(&memo, request, REQUEST_LEN, &n));
    cr_assert(slice_eq(http_request_memo_find(&memo, other, sizeof(other) - 1, &n)->path,
                       SLICE("/other")));
    memset(longer + at, 'x', HEAD_MEMO_MAX);
    strcpy(longer + at + HEAD_MEMO_MAX, "\r\n\r\n");
    head_memo_note(&memo.memo, longer, strlen(longer)); /* too long: nothing is remembered */
    cr_assert_null(http_request_memo_find(&memo, longer, strlen(longer), &n));
    cr_assert_null(http_request_memo_find(&memo, other, sizeof(other) - 1, &n));
}

Test(http_memo, answers_are_remembered_too)
{
    static struct http_response_memo m;
    size_t n;

    cr_assert_null(http_response_memo_find(&m, response, RESPONSE_LEN, &n));
    head_memo_note(&m.memo, response, RESPONSE_LEN);
    for (int again = 0; again < 2; again++) {
        const struct http_response *found = http_response_memo_find(&m, response, RESPONSE_LEN, &n);

        cr_assert_not_null(found);
        cr_assert_eq(n, RESPONSE_LEN);
        cr_assert_eq(found->status, 200);
        cr_assert_eq(found->framing, HTTP_BODY_CHUNKED);
        cr_assert(found->is_event_stream);
    }
}
