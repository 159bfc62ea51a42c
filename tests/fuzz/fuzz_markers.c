/*
 * No forged marker survives: what was neutralised shows none to a second, simpler reader, doing it
 * again changes nothing, and what was wrapped has one pair, at its ends.
 */
#include "inbox/markers.h"

#include "marker_oracle.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* A NUL becomes another control: the oracle's text would end at it. */
static char *copy_of(struct slice s)
{
    char *copy = malloc(s.n + 1);

    MUST(copy);
    for (size_t i = 0; i < s.n; i++)
        copy[i] = s.p[i] == '\0' ? '\1' : s.p[i];
    copy[s.n] = '\0';
    return copy;
}

static void check_plain(struct slice s)
{
    char *copy = copy_of(s);

    MUST(!oracle_sees(copy));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct slice open = SLICE(MARKER_OPEN "\n");
    struct slice close = SLICE("\n" MARKER_CLOSE);
    struct str once = {0}, twice = {0}, wrapped = {0};

    markers_neutralise(text, &once);
    MUST(str_ok(&once));
    check_plain(str_slice(&once));
    markers_neutralise(str_slice(&once), &twice);
    MUST(slice_eq(str_slice(&once), str_slice(&twice)));
    markers_wrap(text, &wrapped);
    MUST(slice_starts_with(str_slice(&wrapped), open) &&
         slice_ends_with(str_slice(&wrapped), close));
    MUST(wrapped.len >= open.n + close.n);
    check_plain((struct slice){wrapped.p + open.n, wrapped.len - open.n - close.n});
    str_release(&once);
    str_release(&twice);
    str_release(&wrapped);
    return 0;
}
