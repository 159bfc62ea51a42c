/*
 * Any bytes as an agent's card: what comes out is JSON, a second rewrite changes nothing, and no
 * address of the agent's choosing reaches the platform. The first byte picks the base.
 */
#include "proxy/card.h"

#include "base/cleanup.h"
#include "base/json_scan.h"

#include <stdint.h>
#include <stdlib.h>

static const char *const bases[] = {"https://api.example.com/agents/foo", "http://h", ""};

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Is there a member of the card whose value is an address that is not `ours`? */
static bool has_foreign_url(struct slice card, struct slice ours)
{
    struct json_iter it;

    if (!json_iter_begin(&it, card) || !it.is_object)
        return false;
    while (json_next(&it)) {
        char text[CARD_URL_MAX + 1];
        long n;

        if (!json_string_eq(it.key, "url"))
            continue;
        n = json_string_decode(it.value, text, sizeof(text));
        if (n < 0 || !slice_starts_with((struct slice){text, (size_t)n}, ours))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(str_release) struct str once = {0};
    CLEANUP(str_release) struct str twice = {0};
    CLEANUP(str_release) struct str sent = {0};
    struct card_base base = {.agent_prefix = SLICE("/agents/foo")};
    struct slice card, endpoint = SLICE("https://me/");

    if (size == 0)
        return 0;
    base.url = slice_of(bases[data[0] % 3]);
    card = (struct slice){(const char *)data + 1, size - 1};
    if (card_rewrite(card, &base, CARD_SIGNATURES_STRIP, &once, NULL) >= 0) {
        check(json_validate(str_slice(&once)) == JSON_OBJECT);
        if (base.url.n > 0 &&
            card_rewrite(str_slice(&once), &base, CARD_SIGNATURES_STRIP, &twice, NULL) >= 0)
            check(slice_eq(str_slice(&once), str_slice(&twice)));
    }
    if (card_rewrite_for_platform(card, &base, data[0] & 4 ? endpoint : SLICE(""), &sent, NULL) ==
        0) {
        check(json_validate(str_slice(&sent)) == JSON_OBJECT);
        check(!has_foreign_url(str_slice(&sent), data[0] & 4 ? endpoint : base.url));
    }
    return 0;
}
