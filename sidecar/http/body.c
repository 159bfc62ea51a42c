/*
 * The end of a body, and the chunked decoder. RFC 9112 section 7.1 without its leniencies (A
 * section 10.2): no blanks around a chunk size, CRLF and nothing else, bounded extensions and
 * trailers, and framing that content has to pay for. What is decoded goes nowhere from here.
 */
#include "http/body.h"

#include "http/chars.h"
#include "http/head.h"

#include <errno.h>

enum {
    CHUNK_DIGITS_MAX = 15,          /* hex digits of a chunk size: below 2^60 */
    CHUNK_PAYS = 3,                 /* framing bytes that one byte of content pays for */
    CHUNK_OVERHEAD_MAX = 64 * 1024, /* unpaid framing bytes: some 30,000 one-byte chunks in a row */
};

/* What the next byte must be. */
enum chunk_state {
    CHUNK_SIZE = 0,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START, /* first byte of a trailer line, or the CR of the last line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

void http_body_begin(struct http_body *b, enum http_framing framing, int64_t length)
{
    *b = (struct http_body){.framing = framing, .state = CHUNK_SIZE};
    if (framing == HTTP_BODY_LENGTH)
        b->left = length;
    b->done = framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && length == 0);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* HTAB, blank, visible, obs-text: what a value may hold. */
static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static int go(struct http_body *b, enum chunk_state next)
{
    b->state = (uint8_t)next;
    return 0;
}

static int take_size(struct http_body *b, char c, struct http_refusal *why)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        if (b->digits++ == CHUNK_DIGITS_MAX)
            return head_refuse(why, 400, "a chunk size has more than 15 digits");
        b->left = b->left * 16 + digit;
        return 0;
    }
    if (!b->digits)
        return head_refuse(why, 400, "a chunk has no size");
    if (c == ';')
        return go(b, CHUNK_EXTENSION);
    if (c == '\r')
        return go(b, CHUNK_SIZE_LF);
    return head_refuse(why, 400, "a chunk size holds something else than hex digits");
}

static int count_extra(struct http_body *b, struct http_refusal *why)
{
    if (++b->extra_bytes > HTTP_CHUNK_EXTRA_MAX)
        return head_refuse(why, 400, "chunk extensions or trailers are too long");
    return 0;
}

static int take_extension(struct http_body *b, char c, struct http_refusal *why)
{
    if (c == '\r')
        return go(b, CHUNK_SIZE_LF);
    if (!is_text(c))
        return head_refuse(why, 400, "a chunk extension holds a control character");
    return count_extra(b, why);
}

static int take_size_lf(struct http_body *b, char c, struct http_refusal *why)
{
    if (c != '\n')
        return head_refuse(why, 400, "a chunk size line does not end in CRLF");
    b->digits = 0;
    if (b->left > 0)
        return go(b, CHUNK_DATA);
    b->extra_bytes = 0; /* the trailers have a cap of their own */
    return go(b, CHUNK_TRAILER_START);
}

/* Trailers are checked like header lines and dropped. */
static int take_trailer(struct http_body *b, char c, struct http_refusal *why)
{
    bool is_start = b->state == CHUNK_TRAILER_START;

    if (b->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r')
            return go(b, CHUNK_TRAILER_LF);
        if (!is_text(c))
            return head_refuse(why, 400, "a trailer holds a control character");
    } else if (is_start && c == '\r') {
        return go(b, CHUNK_END_LF);
    } else if (!is_start && c == ':') {
        b->state = CHUNK_TRAILER_VALUE;
    } else if (char_is(c, CHAR_TOKEN)) {
        b->state = CHUNK_TRAILER_NAME;
    } else {
        return head_refuse(why, 400, "a trailer line is malformed");
    }
    return count_extra(b, why);
}

static int take_expected(struct http_body *b, char c, char wanted, enum chunk_state next,
                         struct http_refusal *why)
{
    if (c != wanted)
        return head_refuse(why, 400, "a chunk or trailer line does not end in CRLF");
    return go(b, next);
}

static int take_framing(struct http_body *b, char c, struct http_refusal *why)
{
    if (++b->overhead_bytes > CHUNK_OVERHEAD_MAX)
        return head_refuse(why, 400, "the body is sent in too many tiny chunks");
    switch ((enum chunk_state)b->state) {
    case CHUNK_SIZE:
        return take_size(b, c, why);
    case CHUNK_EXTENSION:
        return take_extension(b, c, why);
    case CHUNK_SIZE_LF:
        return take_size_lf(b, c, why);
    case CHUNK_DATA:
        break;
    case CHUNK_DATA_CR:
        return take_expected(b, c, '\r', CHUNK_DATA_LF, why);
    case CHUNK_DATA_LF:
        return take_expected(b, c, '\n', CHUNK_SIZE, why);
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return take_trailer(b, c, why);
    case CHUNK_TRAILER_LF:
        return take_expected(b, c, '\n', CHUNK_TRAILER_START, why);
    case CHUNK_END_LF:
        b->done = c == '\n';
        return take_expected(b, c, '\n', CHUNK_END_LF, why);
    }
    return head_refuse(why, 400, "a chunk is malformed");
}

static struct slice take_content(struct http_body *b, struct slice in)
{
    struct slice data = in;
    uint64_t paid;

    if ((uint64_t)b->left < data.n)
        data.n = (size_t)b->left;
    b->left -= (int64_t)data.n;
    b->content_bytes += (int64_t)data.n;
    paid = (uint64_t)data.n * CHUNK_PAYS;
    b->overhead_bytes = paid < b->overhead_bytes ? b->overhead_bytes - (uint32_t)paid : 0;
    return data;
}

/* Framing, at most one piece of content, and the framing behind it, so that the end shows in the
 * same call as the last content. */
static long feed_chunked(struct http_body *b, struct slice in, struct slice *ret_data,
                         struct http_refusal *why)
{
    size_t at = 0;

    while (at < in.n && !b->done) {
        if (b->state == CHUNK_DATA) {
            if (ret_data->n)
                break;
            *ret_data = take_content(b, (struct slice){in.p + at, in.n - at});
            at += ret_data->n;
            if (!b->left)
                b->state = CHUNK_DATA_CR;
            continue;
        }
        if (take_framing(b, in.p[at], why) != 0)
            return -EBADMSG;
        at++;
    }
    return (long)at;
}

long http_body_feed(struct http_body *b, struct slice in, struct slice *ret_data,
                    struct http_refusal *why)
{
    *ret_data = (struct slice){in.p, 0};
    if (b->done || !in.n)
        return 0;
    switch (b->framing) {
    case HTTP_BODY_NONE:
        return 0;
    case HTTP_BODY_LENGTH:
        *ret_data = take_content(b, in);
        b->done = b->left == 0;
        return (long)ret_data->n;
    case HTTP_BODY_CHUNKED:
        return feed_chunked(b, in, ret_data, why);
    case HTTP_BODY_UNTIL_CLOSE:
        b->content_bytes += (int64_t)in.n;
        *ret_data = in;
        return (long)in.n;
    }
    return 0;
}

int http_body_eof(struct http_body *b)
{
    if (b->framing == HTTP_BODY_UNTIL_CLOSE)
        b->done = true;
    return b->done ? 0 : -EPIPE;
}
