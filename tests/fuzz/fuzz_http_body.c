/*
 * The chunked decoder: in one piece, byte by byte and in pieces chosen by the input, the result
 * must be the same.
 */
#include "http/body.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    char *content;
    size_t len, used;
    bool done, bad;
};

static struct outcome run(struct slice in, size_t step)
{
    struct outcome o = {.content = malloc(in.n + 1)};
    struct http_body b;
    struct http_refusal why = {0};

    if (!o.content)
        abort();
    http_body_begin(&b, HTTP_BODY_CHUNKED, 0);
    while (o.used < in.n && !b.done) {
        struct slice data;
        size_t give = in.n - o.used < step ? in.n - o.used : step;
        long n = http_body_feed(&b, (struct slice){in.p + o.used, give}, &data, &why);

        if (n < 0) {
            assert(why.text);
            o.bad = true;
            break;
        }
        assert(n > 0 && (size_t)n <= give && data.n <= (size_t)n);
        assert(data.p >= in.p + o.used && data.p + data.n <= in.p + o.used + n);
        memcpy(o.content + o.len, data.p, data.n);
        o.len += data.n;
        o.used += (size_t)n;
    }
    o.done = b.done;
    assert(b.left >= 0 && o.len <= o.used && o.used <= in.n);
    assert(o.bad || b.content_bytes == (int64_t)o.len);
    assert((http_body_eof(&b) == 0) == o.done);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *in = malloc(size ? size : 1);
    size_t steps[3];
    struct outcome first;

    if (!in)
        abort();
    if (size)
        memcpy(in, data, size);
    steps[0] = size + 1;
    steps[1] = 1;
    steps[2] = size ? 1 + data[size - 1] % 16 : 1;
    first = run((struct slice){in, size}, steps[0]);
    for (int i = 1; i < 3; i++) {
        struct outcome o = run((struct slice){in, size}, steps[i]);

        assert(o.bad == first.bad && o.done == first.done);
        /* where it is bad, content before that may have been given or not, but none that differs */
        assert(memcmp(o.content, first.content, o.len < first.len ? o.len : first.len) == 0);
        if (!o.bad)
            assert(o.len == first.len && o.used == first.used);
        free(o.content);
    }
    free(first.content);
    free(in);
    return 0;
}
