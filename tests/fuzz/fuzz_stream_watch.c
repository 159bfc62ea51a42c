/*
 * The watch says the same however the stream is cut, agrees with the boundary scanner on where
 * events end, holds no memory between them, and is never fooled: a stream without the bytes `"` and
 * `{` outside of comments has no state. The first byte is the size of the pieces and of the blocks.
 */
#include "proxy/sse.h"
#include "proxy/stream_watch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data + 1, size - 1};
    struct slice rest = all;
    struct stream_watch whole, pieces;
    struct buf_pool pool;
    struct sse sse;
    size_t step;

    if (size == 0)
        return 0;
    step = data[0] % 13U + 1;
    buf_pool_init(&pool, data[0] & 128 ? 64 : 4096, 2, 1);
    stream_watch_begin(&whole, &pool);
    stream_watch_begin(&pieces, &pool);
    sse_begin(&sse);
    while (rest.n > 0) {
        size_t n = rest.n < step ? rest.n : step;

        stream_watch_feed(&pieces, (struct slice){rest.p, n});
        sse_feed(&sse, (struct slice){rest.p, n});
        must((pieces.event_bytes == 0) == sse_is_boundary(&sse));
        must(pieces.event_bytes > 0 || !pieces.part.p);
        rest.p += n;
        rest.n -= n;
    }
    stream_watch_feed(&whole, all);
    must(whole.task == pieces.task);
    must(whole.event_bytes == pieces.event_bytes);
    must(whole.task == STREAM_UNKNOWN || (all.n > 0 && memchr(all.p, '{', all.n) != NULL));
    stream_watch_end(&whole);
    stream_watch_end(&pieces);
    buf_pool_release(&pool);
    return 0;
}
