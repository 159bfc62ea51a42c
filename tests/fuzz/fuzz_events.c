/*
 * Any bytes as the platform's event stream: the same events however the bytes are cut, and never
 * more of one than EVENT_BYTES.
 */
#include "inbox/events.h"

#include <stdint.h>
#include <stdlib.h>

struct seen {
    uint64_t hash;
    size_t n;
};

static void on_event(void *arg, struct slice data)
{
    struct seen *s = arg;

    if (data.n == 0 || data.n > EVENT_BYTES)
        abort();
    s->n++;
    s->hash = s->hash * 31 + (uint64_t)event_hint_of(data);
    for (size_t k = 0; k < data.n; k++)
        s->hash = (s->hash ^ (unsigned char)data.p[k]) * 0x100000001b3U;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct events whole = {0}, cut = {0};
    struct seen a = {0}, b = {0};
    struct slice bytes = {(const char *)data, size};
    size_t step = size > 0 ? data[0] % 16 + 1 : 1;

    events_feed(&whole, bytes, on_event, &a);
    while (bytes.n > 0) {
        size_t n = bytes.n < step ? bytes.n : step;

        events_feed(&cut, (struct slice){bytes.p, n}, on_event, &b);
        bytes.p += n;
        bytes.n -= n;
    }
    if (a.n != b.n || a.hash != b.hash || whole.is_alive != cut.is_alive)
        abort();
    events_release(&whole);
    events_release(&cut);
    return 0;
}
