/*
 * Body framing: tables of good and bad chunks, every cut gives the same result, and random bodies
 * against a simple encoder.
 */
#include "http/body.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct outcome {
    char content[8192];
    size_t len;
    size_t used;
    bool done;
    bool bad;
};

/* Feed `in` in pieces of `step` bytes (0: all at once), the first piece `first` bytes long. */
static void run(enum http_framing framing, int64_t length, struct slice in, size_t first,
                size_t step, struct outcome *o)
{
    struct http_body b;
    struct http_refusal why = {0};
    size_t upto = first;

    *o = (struct outcome){.len = 0};
    http_body_begin(&b, framing, length);
    while (!b.done) {
        struct slice data;
        long n;

        if (o->used == upto) {
            if (upto == in.n)
                break;
            upto = step && upto + step < in.n ? upto + step : in.n;
        }
        n = http_body_feed(&b, (struct slice){in.p + o->used, upto - o->used}, &data, &why);
        if (n < 0) {
            o->bad = true;
            cr_expect_eq(n, -EBADMSG);
            cr_expect(why.status == 400 && why.text);
            return;
        }
        cr_assert(n > 0, "no progress");
        cr_assert(o->len + data.n <= sizeof(o->content));
        memcpy(o->content + o->len, data.p, data.n);
        o->len += data.n;
        o->used += (size_t)n;
    }
    o->done = b.done;
    cr_expect_eq(b.content_bytes, (int64_t)o->len);
}

struct row {
    struct slice in;
    const char *content; /* NULL: refused */
    size_t rest;         /* bytes behind the end */
    bool is_cut;         /* no end in it */
};
#define ROW(text, content, rest)                                                                   \
    {                                                                                              \
        {text, sizeof(text) - 1}, content, rest, false                                             \
    }
#define CUT(text, content)                                                                         \
    {                                                                                              \
        {text, sizeof(text) - 1}, content, 0, true                                                 \
    }
#define BAD(text)                                                                                  \
    {                                                                                              \
        {text, sizeof(text) - 1}, NULL, 0, false                                                   \
    }

static const struct row rows[] = {
    ROW("0\r\n\r\n", "", 0),
    ROW("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
    ROW("5\r\nhello\r\n0\r\n\r\nGET /", "hello", 5),
    ROW("000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0),
    ROW("A\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n", "0123456789x", 0),
    ROW("a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
    ROW("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", "hello", 0),
    ROW("5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 9\r\nHost:x\r\n\r\n", "hello", 0),
    ROW("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0),
    CUT("5\r\nhel", "hel"),
    CUT("5\r\nhello\r\n", "hello"),
    CUT("5\r\nhello\r\n0\r\n", "hello"),
    BAD("\r\n"),
    BAD(" 5\r\nhello\r\n0\r\n\r\n"),
    BAD("5 \r\nhello\r\n0\r\n\r\n"),
    BAD("5\t;a\r\nhello\r\n0\r\n\r\n"),
    BAD("0x5\r\nhello\r\n0\r\n\r\n"),
    BAD("-1\r\nhello\r\n"),
    BAD("+5\r\nhello\r\n"),
    BAD("g\r\n"),
    BAD(";a\r\n"),
    BAD("FFFFFFFFFFFFFFFFF\r\n"),
    BAD("0000000000000005\r\nhello\r\n0\r\n\r\n"), /* 16 digits */
    BAD("5\nhello\r\n0\r\n\r\n"),
    BAD("5\rhello\r\n0\r\n\r\n"),
    BAD("5;a\nhello\r\n0\r\n\r\n"),
    BAD("5;a\rb\r\nhello\r\n0\r\n\r\n"),
    BAD("5;\0\r\nhello\r\n0\r\n\r\n"),
    BAD("5\r\nhello0\r\n\r\n"),
    BAD("5\r\nhellox\r\n0\r\n\r\n"),
    BAD("5\r\nhello\n0\r\n\r\n"),
    BAD("5\r\nhello\r0\r\n\r\n"),
    BAD("5\r\nhello\r\n\r\n"),
    BAD("0\r\nA\r\n\r\n"),
    BAD("0\r\n: b\r\n\r\n"),
    BAD("0\r\nA : b\r\n\r\n"),
    BAD("0\r\n A: b\r\n\r\n"),
    BAD("0\r\nA: b\r\n c\r\n\r\n"),
    BAD("0\r\nA: \x01\r\n\r\n"),
    BAD("0\r\nA: b\n\r\n"),
    BAD("0\r\n\n"),
    BAD("0\r\n\rX"),
};

static void expect_row(const struct row *row, const struct outcome *o, size_t first, size_t step)
{
    const char *in = row->in.p;

    if (!row->content) {
        cr_expect(o->bad, "%s accepted (%zu, %zu)", in, first, step);
        return;
    }
    cr_expect(!o->bad, "%s refused (%zu, %zu)", in, first, step);
    cr_expect_eq(o->done, !row->is_cut, "%s (%zu, %zu)", in, first, step);
    cr_expect_eq(o->len, strlen(row->content));
    cr_expect_eq(memcmp(o->content, row->content, o->len), 0);
    cr_expect_eq(row->in.n - o->used, row->rest, "%s (%zu, %zu): used %zu", in, first, step,
                 o->used);
}

Test(http_body, chunked_rows_cut_at_every_offset)
{
    static struct outcome o;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t first = 0; first <= rows[i].in.n; first++) {
            run(HTTP_BODY_CHUNKED, 0, rows[i].in, first, 0, &o);
            expect_row(&rows[i], &o, first, 0);
        }
        run(HTTP_BODY_CHUNKED, 0, rows[i].in, 1, 1, &o);
        expect_row(&rows[i], &o, 1, 1);
    }
}

Test(http_body, shows_the_end_with_the_last_content)
{
    struct http_body b;
    struct slice data;

    http_body_begin(&b, HTTP_BODY_CHUNKED, 0);
    cr_expect_eq(http_body_feed(&b, SLICE("5\r\nhello\r\n0\r\n\r\nNEXT"), &data, NULL), 15);
    cr_expect(slice_eq(data, SLICE("hello")));
    cr_expect(b.done);
    cr_expect_eq(http_body_feed(&b, SLICE("NEXT"), &data, NULL), 0);
}

Test(http_body, length_and_close)
{
    static struct outcome o;
    struct http_body b;
    struct slice data;

    run(HTTP_BODY_LENGTH, 5, SLICE("helloNEXT"), 0, 1, &o);
    cr_expect(o.done && o.used == 5 && o.len == 5);
    http_body_begin(&b, HTTP_BODY_LENGTH, 0);
    cr_expect(b.done);
    http_body_begin(&b, HTTP_BODY_NONE, 0);
    cr_expect(b.done);
    http_body_begin(&b, HTTP_BODY_LENGTH, 5);
    cr_expect_eq(http_body_feed(&b, SLICE("hel"), &data, NULL), 3);
    cr_expect_eq(http_body_eof(&b), -EPIPE);
    http_body_begin(&b, HTTP_BODY_UNTIL_CLOSE, 0);
    cr_expect_eq(http_body_feed(&b, SLICE("hel"), &data, NULL), 3);
    cr_expect(!b.done);
    cr_expect_eq(http_body_eof(&b), 0);
    cr_expect(b.done);
    http_body_begin(&b, HTTP_BODY_CHUNKED, 0);
    (void)http_body_feed(&b, SLICE("5\r\nhello\r\n"), &data, NULL);
    cr_expect_eq(http_body_eof(&b), -EPIPE);
}

/* How many times can `piece` be sent before it is refused; at most `limit`. */
static size_t repeat(struct slice before, struct slice piece, size_t limit)
{
    struct http_body b;
    struct http_refusal why;
    struct slice data;

    http_body_begin(&b, HTTP_BODY_CHUNKED, 0);
    cr_assert_eq(http_body_feed(&b, before, &data, &why), (long)before.n);
    for (size_t i = 0; i < limit; i++) {
        struct slice rest = piece;

        while (rest.n) {
            long n = http_body_feed(&b, rest, &data, &why);

            if (n < 0)
                return i;
            rest.p += n;
            rest.n -= (size_t)n;
        }
    }
    return limit;
}

Test(http_body, bounds_extensions_trailers_and_tiny_chunks)
{
    cr_expect_eq(repeat(SLICE("5;"), SLICE("x"), 100000), (size_t)HTTP_CHUNK_EXTRA_MAX);
    cr_expect_eq(repeat(SLICE("0\r\n"), SLICE("a:b\r\n"), 100000),
                 (size_t)HTTP_CHUNK_EXTRA_MAX / 3);
    cr_expect_lt(repeat(SLICE(""), SLICE("1\r\nx\r\n"), 1000000), 40000u);
    cr_expect_eq(repeat(SLICE(""), SLICE("2\r\nxy\r\n"), 1000000), 1000000u);
    cr_expect_eq(repeat(SLICE(""), SLICE("9\r\ndata: x\n\n\r\n"), 200000), 200000u);
}

Test(http_body, random_bodies_come_out_as_they_went_in)
{
    static struct outcome o;
    static char content[4096], wire[65536];

    srandom(42);
    for (int round = 0; round < 300; round++) {
        size_t total = (size_t)random() % sizeof(content);
        size_t n = 0;

        for (size_t i = 0; i < total; i++)
            content[i] = (char)random();
        for (size_t at = 0; at < total;) {
            size_t piece = 1 + (size_t)random() % 700;

            if (piece > total - at)
                piece = total - at;
            n += (size_t)snprintf(wire + n, sizeof(wire) - n, random() % 2 ? "%zx\r\n" : "%zX\r\n",
                                  piece);
            memcpy(wire + n, content + at, piece);
            n += piece;
            memcpy(wire + n, "\r\n", 2);
            n += 2;
            at += piece;
        }
        memcpy(wire + n, "0\r\n\r\n", 5);
        n += 5;
        run(HTTP_BODY_CHUNKED, 0, (struct slice){wire, n}, 0, (size_t)random() % 50, &o);
        cr_assert(!o.bad && o.done && o.len == total && o.used == n);
        cr_assert_eq(memcmp(o.content, content, total), 0);
    }
}
