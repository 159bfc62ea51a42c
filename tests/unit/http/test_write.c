#include "http/request.h"
#include "http/write.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(http_write, a_head_as_expected)
{
    char out[256];
    struct http_writer w = {.p = out, .cap = sizeof(out)};

    http_put_status_line(&w, 404, (struct slice){NULL, 0});
    http_put_field(&w, SLICE("A"), SLICE("b"));
    http_put_field(&w, SLICE("C"), SLICE(""));
    http_put_end(&w);
    cr_expect(!w.overflow);
    cr_expect(slice_eq((struct slice){out, w.len},
                       SLICE("HTTP/1.1 404 Not Found\r\nA: b\r\nC: \r\n\r\n")));
    w.len = 0;
    http_put_request_line(&w, SLICE("GET"), SLICE("/x?y"));
    http_put_uint(&w, 0);
    http_put_uint(&w, UINT64_MAX);
    cr_expect(
        slice_eq((struct slice){out, w.len}, SLICE("GET /x?y HTTP/1.1\r\n018446744073709551615")));
}

Test(http_write, overflow_is_sticky_and_writes_nothing_outside)
{
    char out[12];
    struct http_writer w = {.p = out, .cap = 8};

    memset(out, '#', sizeof(out));
    http_put(&w, SLICE("123456"));
    http_put_field(&w, SLICE("A"), SLICE("b"));
    cr_expect(w.overflow);
    http_put(&w, SLICE("7"));
    cr_expect_eq(w.len, 6);
    cr_expect_eq(out[8], '#');
}

Test(http_write, a_value_with_a_line_end_is_not_sent)
{
    char out[64];
    struct http_writer w = {.p = out, .cap = sizeof(out)};

    http_put_field(&w, SLICE("A"), SLICE("b\r\nEvil: 1"));
    cr_expect_eq(w.len, 0);
}

Test(http_write, chunk_heads)
{
    static const size_t sizes[] = {
        1, 9, 10, 15, 16, 255, 256, 4096, 65535, 65536, 0x123456789abcdefu};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char out[HTTP_CHUNK_HEAD_RESERVE], want[32];
        size_t n = http_chunk_head(out, sizes[i]);

        cr_expect_eq(n, (size_t)snprintf(want, sizeof(want), "%zx\r\n", sizes[i]));
        cr_expect_eq(memcmp(out, want, n), 0, "%zu", sizes[i]);
    }
}

Test(http_write, dates)
{
    cr_expect(slice_eq(http_date(784111777000), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")));
    cr_expect(slice_eq(http_date(784111777999), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")));
    cr_expect(slice_eq(http_date(0), SLICE("Thu, 01 Jan 1970 00:00:00 GMT")));
    cr_expect(slice_eq(http_date(1709164800000), SLICE("Thu, 29 Feb 2024 00:00:00 GMT")));
}

Test(http_write, reasons)
{
    cr_expect_str_eq(http_reason(503), "Service Unavailable");
    cr_expect_str_eq(http_reason(299), "");
}
