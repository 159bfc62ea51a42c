/*
 * The routing decision. What the local answers say is local.c's business.
 */
#include "proxy/route.h"

#include "base/banned.h"

static const struct slice card_names[] = {
    SLICE_INIT("/.well-known/agent-card.json"),
    SLICE_INIT("/.well-known/agent.json"),
    SLICE_INIT("/agent/card"),
};
enum { CARD_NAME_COUNT = sizeof(card_names) / sizeof(card_names[0]), CARD_WELL_KNOWN_COUNT = 2 };

/* REST of 1.0, 0.3 and 0.2, each also below a tenant's segment or another prefix (A section 1.3).
 */
static const struct slice extended_names[] = {
    SLICE_INIT("/extendedAgentCard"),
    SLICE_INIT("/v1/card"),
    SLICE_INIT("/agent/authenticatedExtendedCard"),
};
enum { EXTENDED_NAME_COUNT = sizeof(extended_names) / sizeof(extended_names[0]) };

struct slice route_prefix(struct slice configured)
{
    while (configured.n > 0 && configured.p[configured.n - 1] == '/')
        configured.n--;
    return configured;
}

bool route_has_prefix(struct slice path, struct slice prefix)
{
    if (!slice_starts_with(path, prefix))
        return false;
    return path.n == prefix.n || prefix.n == 0 || path.p[prefix.n] == '/' ||
           path.p[prefix.n] == '?';
}

/* path == prefix + name */
static bool is_below(struct slice path, struct slice prefix, struct slice name)
{
    return path.n == prefix.n + name.n && slice_starts_with(path, prefix) &&
           slice_ends_with(path, name);
}

/* The platform appends its suffixes to the registered URL; an ingress may have cut that path off.
 */
static bool is_platform_path(const struct route_rules *rules, struct slice path, struct slice name)
{
    return slice_eq(path, name) || is_below(path, rules->registered_path, name);
}

static enum route_kind pick_platform(const struct route_rules *rules, enum http_method method,
                                     struct slice path)
{
    if (method == HTTP_POST &&
        is_platform_path(rules, path, SLICE("/internal/chat/uploads/ingest")))
        return ROUTE_UPLOADS;
    if (method == HTTP_POST && is_platform_path(rules, path, SLICE("/signals/restart_pending")))
        return ROUTE_RESTART_PENDING;
    if (is_platform_path(rules, path, SLICE("/internal/file/read")))
        return ROUTE_FILE_READ;
    /* asked at the origin's root, whatever path is registered (P section 17.5) */
    if (method == HTTP_GET && slice_eq(path, SLICE("/transcript")))
        return ROUTE_TRANSCRIPT;
    return ROUTE_UPSTREAM;
}

static enum route_kind pick_card(const struct route_rules *rules, struct slice path)
{
    for (size_t i = 0; i < CARD_NAME_COUNT; i++) {
        if (is_platform_path(rules, path, card_names[i]) ||
            is_below(path, rules->base_path, card_names[i]))
            return ROUTE_CARD;
    }
    for (size_t i = 0; i < CARD_WELL_KNOWN_COUNT; i++) {
        if (slice_ends_with(path, card_names[i]))
            return ROUTE_CARD_ELSEWHERE;
    }
    for (size_t i = 0; rules->has_extended && i < EXTENDED_NAME_COUNT; i++) {
        if (slice_ends_with(path, extended_names[i]))
            return ROUTE_EXTENDED;
    }
    return ROUTE_UPSTREAM;
}

static enum route_kind pick(const struct route_rules *rules, enum http_method method,
                            struct slice path)
{
    enum route_kind kind = ROUTE_UPSTREAM;

    if (method == HTTP_GET || method == HTTP_HEAD)
        kind = pick_card(rules, path);
    if (kind == ROUTE_UPSTREAM && rules->has_platform)
        kind = pick_platform(rules, method, path);
    return kind;
}

struct route route_pick(const struct route_rules *rules, enum http_method method,
                        struct slice target, struct slice path)
{
    struct route r = {.target = target, .path = path};
    size_t cut = rules->strip_prefix.n;

    if (cut > 0 && route_has_prefix(path, rules->strip_prefix)) {
        r.target = (struct slice){target.p + cut, target.n - cut};
        r.path = (struct slice){path.p + cut, path.n - cut};
        r.needs_slash = r.path.n == 0;
    }
    /* most requests by far: a POST to a short path that no table knows */
    r.kind = pick(rules, method, r.path);
    if (r.kind == ROUTE_UPSTREAM && cut > 0)
        r.kind = pick(rules, method, path); /* the registered path as the platform knows it */
    return r;
}
