/*
 * The boundary scanner says the same however the stream is cut, and what a slow reader of whole
 * lines says. The first byte is the size of the pieces.
 */
#include "proxy/sse.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* CR LF, CR and LF are all one line end; after two of them, or before any text, is a boundary. */
static bool is_boundary(struct slice seen)
{
    size_t ends = 0, i = 0;
    bool has_text = false;

    for (; i < seen.n; i++) {
        if (seen.p[i] == '\n' && i > 0 && seen.p[i - 1] == '\r')
            continue;
        ends = seen.p[i] == '\n' || seen.p[i] == '\r' ? ends + 1 : 0;
        has_text |= ends == 0;
    }
    return ends >= 2 || !has_text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data + 1, size - 1};
    struct sse one, pieces;
    size_t step;

    if (size == 0)
        return 0;
    step = data[0] % 7U + 1;
    sse_begin(&one);
    sse_begin(&pieces);
    while (rest.n > 0) {
        size_t n = rest.n < step ? rest.n : step;

        sse_feed(&pieces, (struct slice){rest.p, n});
        for (size_t i = 0; i < n; i++)
            sse_feed(&one, (struct slice){rest.p + i, 1});
        rest.p += n;
        rest.n -= n;
        if (sse_is_boundary(&one) != sse_is_boundary(&pieces))
            abort();
        if (size < 256 && sse_is_boundary(&one) != is_boundary((struct slice){
                                                       (const char *)data + 1, size - 1 - rest.n}))
            abort();
    }
    return 0;
}
