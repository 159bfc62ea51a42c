/*
 * The boundary scanner says the same however the stream is cut. The first byte is the size of the
 * pieces.
 */
#include "proxy/sse.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        if (sse_is_boundary(&one) != sse_is_boundary(&pieces))
            abort();
        rest.p += n;
        rest.n -= n;
    }
    return 0;
}
