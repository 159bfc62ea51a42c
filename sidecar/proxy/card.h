/*
 * The agent card: the one document whose bytes we change. Pure, over base/json_scan.h.
 *
 * Only tokens are cut and replaced; key order, number spellings, blanks and unknown members stay as
 * the agent wrote them. Touched are `url`, `preferredTransport` (when its binding cannot be reached
 * through us), `additionalInterfaces`, `supportedInterfaces` and, when anything changed,
 * `signatures` that are no empty list. Nothing else: not documentationUrl, not provider.url, not
 * OAuth URLs. Extended cards are treated alike, when card.rewrite_extended asks for it
 * (card_extended.c).
 *
 * Source: A sections 3.6, 3.7; design section 8; P section 7.1.
 */
#ifndef PROXY_CARD_H
#define PROXY_CARD_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"
#include "config/config.h"
#include "proxy/card_url.h"

#include <stdbool.h>

enum {
    CARD_MAX_BYTES = 1024 * 1024, /* of an agent's card */
    CARD_INTERFACES_MAX = 64,     /* entries of one interface list */
    CARD_ETAG_BYTES = 36,         /* quotes, 32 hex digits, NUL */
};

/* What could not be done, as bits. The card is good, its author should know. */
enum card_remark {
    CARD_UNMAPPED = 1,    /* an address that is none (another scheme, relative) stays as it is */
    CARD_UNREACHABLE = 2, /* no binding of a list or of `url` can pass us: left as it is */
};

/*
 * For those who fetch it: URLs mapped to the base, bindings that cannot pass us (GRPC, custom)
 * dropped unless nothing would remain, equal entries merged. CARD_SIGNATURES_PASS: nothing is
 * changed at all, so that the signature holds (the agent was told its public URL). `out` is empty.
 *
 * Bits of enum card_remark (0: none), -EBADMSG (not a JSON object, or over CARD_INTERFACES_MAX),
 * -ENOMEM; with a sentence.
 */
int card_rewrite(struct slice card, const struct card_base *base, enum card_signatures signatures,
                 struct str *out, struct err *err);

/*
 * For the platform: no address of the agent's choosing survives, because the platform sends the
 * workspace's bearer to the host of `url` (P section 17.5). `url` and the JSON-RPC interfaces
 * become `endpoint` (platform.reported_url), byte for byte; without one they are mapped to `base`;
 * without either they are removed. Signatures are removed when anything changed.
 */
int card_rewrite_for_platform(struct slice card, const struct card_base *base,
                              struct slice endpoint, struct str *out, struct err *err);

/* The minimal card of P section 7.1, from the configuration. */
void card_minimal(const struct config *cfg, struct slice url, struct str *out);

/* "\"<32 hex digits of SHA-256>\"" */
void card_etag(struct slice card, char ret[CARD_ETAG_BYTES]);
/* Does an If-None-Match value name this tag? Weak comparison, lists, `*`. */
bool card_etag_matches(struct slice if_none_match, const char *etag);

#endif
