/*
 * What else belongs to a card: the minimal one from the configuration, and entity tags.
 */
#include "proxy/card.h"

#include "base/cleanup.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/banned.h"

enum {
    ETAG_DIGEST_BYTES = 16, /* of SHA-256's 32: enough to tell two cards apart */
    CARD_NAME_ID_CHARS = 8, /* of the workspace's id, in the name nobody has chosen */
};

/* card.name, or the name that the platform's own SDK would give. */
static void add_name(const struct config *cfg, struct str *out)
{
    CLEANUP(str_release) struct str name = {0};

    if (*cfg->card.name)
        str_addz(&name, cfg->card.name);
    else if (*cfg->workspace.id)
        str_addf(&name, "remote-agent-%.*s", CARD_NAME_ID_CHARS, cfg->workspace.id);
    else
        str_addz(&name, "agent");
    str_add_json(out, str_slice(&name));
}

void card_minimal(const struct config *cfg, struct slice url, struct str *out)
{
    str_addz(out, "{\"name\":");
    add_name(cfg, out);
    str_addz(out, ",\"description\":");
    str_add_json(out, slice_of(cfg->card.description));
    str_addz(out, ",\"version\":\"0.1.0\"");
    if (url.n > 0) {
        str_addz(out, ",\"url\":");
        str_add_json(out, url);
    }
    str_addz(out, ",\"skills\":[");
    for (size_t i = 0; i < cfg->card.skills.n; i++) {
        struct slice skill = slice_of(cfg->card.skills.v[i]);

        str_addz(out, i ? ",{\"id\":" : "{\"id\":");
        str_add_json(out, skill);
        str_addz(out, ",\"name\":");
        str_add_json(out, skill);
        str_addz(out, ",\"description\":");
        str_add_json(out, skill);
        str_addz(out, ",\"tags\":[]}");
    }
    str_addz(out, "],\"capabilities\":{\"streaming\":false,\"pushNotifications\":false},"
                  "\"defaultInputModes\":[\"text/plain\"],\"defaultOutputModes\":[\"text/plain\"],"
                  "\"protocolVersion\":\"0.3.0\"}");
}

void card_etag(struct slice card, char ret[CARD_ETAG_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char *at = ret;

    (void)SHA256((const unsigned char *)card.p, card.n, digest); /* returns digest */
    *at++ = '"';
    for (size_t i = 0; i < ETAG_DIGEST_BYTES; i++) {
        *at++ = digits[digest[i] >> 4];
        *at++ = digits[digest[i] & 15];
    }
    *at++ = '"';
    *at = '\0';
}

bool card_etag_matches(struct slice if_none_match, const char *etag)
{
    struct slice item;

    while (slice_next(&if_none_match, ',', &item)) {
        if (slice_eq(item, SLICE("*")))
            return true;
        if (slice_starts_with(item, SLICE("W/"))) {
            item.p += 2;
            item.n -= 2;
        }
        if (slice_eq(item, slice_of(etag)))
            return true;
    }
    return false;
}
