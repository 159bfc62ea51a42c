#include "proxy/route.h"

#include <criterion/criterion.h>

static const struct route_rules plain = {.has_platform = true};

static struct route pick(const struct route_rules *rules, enum http_method method,
                         const char *target)
{
    struct slice t = slice_of(target);
    struct slice path = t;
    const char *q = strchr(target, '?');

    if (q)
        path.n = (size_t)(q - target);
    return route_pick(rules, method, t, path);
}

static void expect(const struct route_rules *rules, enum http_method method, const char *target,
                   enum route_kind kind)
{
    struct route r = pick(rules, method, target);

    cr_assert_eq(r.kind, kind, "%s: got %d, want %d", target, (int)r.kind, (int)kind);
}

Test(proxy_route, answers_the_card_at_its_three_names)
{
    expect(&plain, HTTP_GET, "/.well-known/agent-card.json", ROUTE_CARD);
    expect(&plain, HTTP_HEAD, "/.well-known/agent-card.json?x=1", ROUTE_CARD);
    expect(&plain, HTTP_GET, "/.well-known/agent.json", ROUTE_CARD);
    expect(&plain, HTTP_GET, "/agent/card", ROUTE_CARD);
    expect(&plain, HTTP_GET, "/agents/foo/.well-known/agent-card.json", ROUTE_CARD_ELSEWHERE);
    expect(&plain, HTTP_GET, "/agents/foo/agent/card", ROUTE_UPSTREAM);
    expect(&plain, HTTP_POST, "/.well-known/agent-card.json", ROUTE_UPSTREAM);
    expect(&plain, HTTP_GET, "/.well-known/agent-card.json/", ROUTE_UPSTREAM);
    expect(&plain, HTTP_GET, "/.well-known/agent%2Dcard.json", ROUTE_UPSTREAM);
    expect(&plain, HTTP_GET, "/.well-known/./agent-card.json", ROUTE_UPSTREAM);
}

Test(proxy_route, answers_the_platforms_calls_at_the_root_and_below_the_registered_path)
{
    struct route_rules rules = {.has_platform = true, .registered_path = SLICE("/a2a/inbound")};

    expect(&rules, HTTP_POST, "/a2a/inbound", ROUTE_UPSTREAM);
    expect(&rules, HTTP_POST, "/", ROUTE_UPSTREAM);
    expect(&rules, HTTP_POST, "/internal/chat/uploads/ingest", ROUTE_UPLOADS);
    expect(&rules, HTTP_POST, "/a2a/inbound/internal/chat/uploads/ingest", ROUTE_UPLOADS);
    expect(&rules, HTTP_GET, "/a2a/inbound/internal/file/read?path=/etc/passwd", ROUTE_FILE_READ);
    expect(&rules, HTTP_POST, "/a2a/inbound/signals/restart_pending", ROUTE_RESTART_PENDING);
    expect(&rules, HTTP_POST, "/other/signals/restart_pending", ROUTE_UPSTREAM);
    expect(&rules, HTTP_GET, "/transcript?since=0", ROUTE_TRANSCRIPT);
    expect(&rules, HTTP_GET, "/a2a/inbound/transcript", ROUTE_UPSTREAM);
    expect(&rules, HTTP_GET, "/a2a/inbound/agent/card", ROUTE_CARD);
    rules.has_platform = false;
    expect(&rules, HTTP_GET, "/transcript", ROUTE_UPSTREAM);
    expect(&rules, HTTP_POST, "/internal/chat/uploads/ingest", ROUTE_UPSTREAM);
}

Test(proxy_route, extended_cards_are_known_where_they_are_asked_for)
{
    static const char *const paths[] = {"/extendedAgentCard",
                                        "/tenant/extendedAgentCard",
                                        "/agents/foo/extendedAgentCard?x",
                                        "/v1/card",
                                        "/a/v1/card",
                                        "/agent/authenticatedExtendedCard"};
    struct route_rules on = {.has_extended = true, .strip_prefix = SLICE("/a")};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        expect(&on, HTTP_GET, paths[i], ROUTE_EXTENDED);
        expect(&on, HTTP_HEAD, paths[i], ROUTE_EXTENDED);
        expect(&on, HTTP_POST, paths[i], ROUTE_UPSTREAM);
        expect(&plain, HTTP_GET, paths[i], ROUTE_UPSTREAM);
    }
    expect(&on, HTTP_GET, "/xextendedAgentCard", ROUTE_UPSTREAM);
    expect(&on, HTTP_GET, "/v1/card/", ROUTE_UPSTREAM);
    expect(&on, HTTP_GET, "/.well-known/agent-card.json", ROUTE_CARD);
}

Test(proxy_route, strips_a_prefix_on_whole_segments_only)
{
    struct route_rules rules = {.strip_prefix = SLICE("/foo")};
    struct route r = pick(&rules, HTTP_POST, "/foo/bar//x/../y?q=/foo");

    cr_assert(slice_eq(r.target, SLICE("/bar//x/../y?q=/foo")));
    cr_assert_not(r.needs_slash);
    r = pick(&rules, HTTP_POST, "/foo?q");
    cr_assert(slice_eq(r.target, SLICE("?q")));
    cr_assert(r.needs_slash);
    r = pick(&rules, HTTP_POST, "/foo");
    cr_assert(r.target.n == 0 && r.needs_slash);
    r = pick(&rules, HTTP_POST, "/foobar");
    cr_assert(slice_eq(r.target, SLICE("/foobar")));
    expect(&rules, HTTP_GET, "/foo/.well-known/agent-card.json", ROUTE_CARD);
    expect(&rules, HTTP_GET, "/.well-known/agent-card.json", ROUTE_CARD);
}

Test(proxy_route, keeps_the_target_byte_for_byte)
{
    static const char *const targets[] = {"/", "/a%2Fb//..;x?", "*", "/?", "/x?y?z", "/%00"};

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct route r = pick(&plain, HTTP_POST, targets[i]);

        cr_assert(slice_eq(r.target, slice_of(targets[i])));
        cr_assert_eq(r.kind, ROUTE_UPSTREAM);
    }
}

Test(proxy_route, a_slash_alone_is_no_prefix)
{
    cr_assert_eq(route_prefix(SLICE("/")).n, 0);
    cr_assert(slice_eq(route_prefix(SLICE("/foo/")), SLICE("/foo")));
    cr_assert(route_has_prefix(SLICE("/x"), SLICE("")));
}
