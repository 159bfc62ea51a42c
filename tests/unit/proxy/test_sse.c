#include "proxy/sse.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* The same question answered the long way: the position after all of `bytes`. */
static bool model_is_boundary(const char *bytes, size_t n)
{
    size_t i = 0, line = 0;
    bool boundary = true;

    while (i < n) {
        if (bytes[i] == '\r' || bytes[i] == '\n') {
            boundary = line == 0;
            line = 0;
            if (bytes[i] == '\r' && i + 1 < n && bytes[i + 1] == '\n')
                i++;
        } else {
            boundary = false;
            line++;
        }
        i++;
    }
    return boundary;
}

static bool after(const char *text)
{
    struct sse s;

    sse_begin(&s);
    sse_feed(&s, slice_of(text));
    return sse_is_boundary(&s);
}

Test(proxy_sse, knows_the_three_line_ends)
{
    cr_assert(after(""));
    cr_assert(after("data: x\n\n"));
    cr_assert(after("data: x\r\n\r\n"));
    cr_assert(after("data: x\r\r"));
    cr_assert(after("data: x\n\r\n"));
    cr_assert(after("data: x\r\n\n"));
    cr_assert_not(after("data: x"));
    cr_assert_not(after("data: x\n"));
    cr_assert_not(after("data: x\r\n"));
    cr_assert_not(after("data: x\r"));
    cr_assert_not(after("data: x\n\ndata: {\"a"));
    cr_assert_not(after("data: x\n\n:"));
}

Test(proxy_sse, says_the_same_wherever_the_stream_is_cut)
{
    static const char *const streams[] = {
        "data: one\n\n: c\n\ndata: two\ndata: more\n\n",
        "data: one\r\n\r\n\r\n: c\r\n\r\ndata: two\r\n",
        "data: one\r\rdata: two\r\r: c\rx\r\r",
        "event: a\ndata: b\r\n\r\n\n\r\rdata",
    };

    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        size_t n = strlen(streams[i]);

        for (size_t a = 0; a <= n; a++) {
            for (size_t b = a; b <= n; b++) {
                struct sse s;

                sse_begin(&s);
                sse_feed(&s, (struct slice){streams[i], a});
                cr_assert_eq(sse_is_boundary(&s), model_is_boundary(streams[i], a), "%zu: %zu", i,
                             a);
                sse_feed(&s, (struct slice){streams[i] + a, b - a});
                cr_assert_eq(sse_is_boundary(&s), model_is_boundary(streams[i], b), "%zu: %zu %zu",
                             i, a, b);
            }
        }
    }
}

Test(proxy_sse, agrees_with_the_model_on_random_streams)
{
    static const char letters[] = "\n\r\na:\r";
    unsigned seed = 7;

    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t n = (size_t)rand_r(&seed) % sizeof(text), at = 0;
        struct sse s;

        for (size_t i = 0; i < n; i++)
            text[i] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
        sse_begin(&s);
        while (at < n) {
            size_t step = 1 + (size_t)rand_r(&seed) % (n - at);

            sse_feed(&s, (struct slice){text + at, step});
            at += step;
            cr_assert_eq(sse_is_boundary(&s), model_is_boundary(text, at));
        }
    }
}
