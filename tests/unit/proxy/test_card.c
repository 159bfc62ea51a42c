#include "proxy/card.h"

#include "base/cleanup.h"
#include "base/json_scan.h"
#include "proxy/route.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#define BASE "https://api.example.com/agents/foo"

static const struct card_base base = {.url = SLICE_INIT(BASE)};

static void expect(const char *card, const char *want)
{
    CLEANUP(str_release) struct str out = {0};
    CLEANUP(str_release) struct str again = {0};
    struct err err = {0};

    cr_assert_geq(card_rewrite(slice_of(card), &base, CARD_SIGNATURES_STRIP, &out, &err), 0,
                  "%s: %s", card, err.msg);
    cr_assert_str_eq(str_z(&out), want);
    cr_assert_eq(json_validate(str_slice(&out)), JSON_OBJECT);
    cr_assert_geq(card_rewrite(str_slice(&out), &base, CARD_SIGNATURES_STRIP, &again, &err), 0);
    cr_assert_str_eq(str_z(&again), want, "a second rewrite changes nothing");
}

static void expect_platform(const char *card, const char *endpoint, const char *public_url,
                            const char *want)
{
    CLEANUP(str_release) struct str out = {0};
    struct card_base b = {.url = slice_of(public_url)};
    struct err err = {0};

    cr_assert_eq(card_rewrite_for_platform(slice_of(card), &b, slice_of(endpoint), &out, &err), 0,
                 "%s", err.msg);
    cr_assert_str_eq(str_z(&out), want);
    cr_assert_eq(json_validate(str_slice(&out)), JSON_OBJECT);
}

Test(proxy_card, maps_every_address_and_nothing_else)
{
    static const struct {
        const char *card, *want;
    } rows[] = {
        /* 0.3 */
        {"{\"url\":\"http://127.0.0.1:9000/\"}", "{\"url\":\"" BASE "/\"}"},
        {"{\"url\":\"http://127.0.0.1:9000\"}", "{\"url\":\"" BASE "\"}"},
        {"{\"url\":\"http://[::1]:9000/a2a?x=1#frag\"}", "{\"url\":\"" BASE "/a2a?x=1\"}"},
        {"{\"url\":\"http://user:pw@h/a\"}", "{\"url\":\"" BASE "/a\"}"},
        {"{\"url\":\"http:\\/\\/0.0.0.0:1\\/a\\u0062\"}", "{\"url\":\"" BASE "/ab\"}"},
        {"{\"u\\u0072l\":\"http://h/a\"}", "{\"u\\u0072l\":\"" BASE "/a\"}"},
        {"{\"url\":\"http://h/a\",\"url\":\"http://i/b\"}",
         "{\"url\":\"" BASE "/a\",\"url\":\"" BASE "/b\"}"},
        {"{\"url\":\"HTTP://h/A%2f\"}", "{\"url\":\"" BASE "/A%2f\"}"},
        /* bytes around the tokens stay: blanks, order, numbers, unknown members, equal keys */
        {" { \"n\" : 1.0e+2 ,\r\n \"url\" :\t\"http://h/\" , \"n\" : 12345678901234567890 } ",
         " { \"n\" : 1.0e+2 ,\r\n \"url\" :\t\"" BASE "/\" , \"n\" : 12345678901234567890 } "},
        {"{\"documentationUrl\":\"http://h/d\",\"iconUrl\":\"http://h/"
         "i\",\"provider\":{\"url\":\"http://"
         "h\"},\"securitySchemes\":{\"o\":{\"openIdConnectUrl\":\"http://h/o\"}}}",
         "{\"documentationUrl\":\"http://h/d\",\"iconUrl\":\"http://h/"
         "i\",\"provider\":{\"url\":\"http://"
         "h\"},\"securitySchemes\":{\"o\":{\"openIdConnectUrl\":\"http://h/o\"}}}"},
        /* 1.0 */
        {"{\"supportedInterfaces\":[{\"url\":\"http://h/a\",\"protocolBinding\":\"JSONRPC\"},"
         "{\"url\":\"http://h/r\",\"protocolBinding\":\"HTTP+JSON\",\"tenant\":\"http://t\"}]}",
         "{\"supportedInterfaces\":[{\"url\":\"" BASE "/a\",\"protocolBinding\":\"JSONRPC\"},"
         "{\"url\":\"" BASE "/r\",\"protocolBinding\":\"HTTP+JSON\",\"tenant\":\"http://t\"}]}"},
        /* what cannot pass us goes: first, middle, last */
        {"{\"supportedInterfaces\":[ {\"url\":\"h:1\",\"protocolBinding\":\"GRPC\"} , "
         "{\"url\":\"http://h/a\",\"protocolBinding\":\"JSONRPC\"}\n]}",
         "{\"supportedInterfaces\":[ {\"url\":\"" BASE "/a\",\"protocolBinding\":\"JSONRPC\"}\n]}"},
        {"{\"supportedInterfaces\":[{\"url\":\"http://h/a\"}, "
         "{\"url\":\"x\",\"protocolBinding\":\"GRPC\"}, "
         "{\"url\":\"http://h/b\"}]}",
         "{\"supportedInterfaces\":[{\"url\":\"" BASE "/a\"}, {\"url\":\"" BASE "/b\"}]}"},
        {"{\"additionalInterfaces\":[{\"url\":\"http://h/a\",\"transport\":\"JSONRPC\"},"
         "{\"url\":\"http://h:2\",\"transport\":\"GRPC\"}, "
         "{\"url\":\"ws://h\",\"transport\":\"WEBSOCKET\"}]}",
         "{\"additionalInterfaces\":[{\"url\":\"" BASE "/a\",\"transport\":\"JSONRPC\"}]}"},
        /* ... unless nothing would remain */
        {"{\"supportedInterfaces\":[{\"url\":\"h:1\",\"protocolBinding\":\"GRPC\"}]}",
         "{\"supportedInterfaces\":[{\"url\":\"h:1\",\"protocolBinding\":\"GRPC\"}]}"},
        {"{\"supportedInterfaces\":[]}", "{\"supportedInterfaces\":[]}"},
        {"{\"supportedInterfaces\":7}", "{\"supportedInterfaces\":7}"},
        /* twins after mapping */
        {"{\"supportedInterfaces\":[{\"url\":\"http://a/\",\"protocolBinding\":\"JSONRPC\","
         "\"protocolVersion\":\"1.0\"},{\"url\":\"http://b/\",\"protocolBinding\":\"JSONRPC\","
         "\"protocolVersion\":\"1.0\"},{\"url\":\"http://b/\",\"protocolBinding\":\"JSONRPC\","
         "\"protocolVersion\":\"0.3\"}]}",
         "{\"supportedInterfaces\":[{\"url\":\"" BASE "/\",\"protocolBinding\":\"JSONRPC\","
         "\"protocolVersion\":\"1.0\"},{\"url\":\"" BASE "/\",\"protocolBinding\":\"JSONRPC\","
         "\"protocolVersion\":\"0.3\"}]}"},
        /* hybrid, and a main binding that cannot pass us */
        {"{\"url\":\"http://h:1/"
         "g\",\"preferredTransport\":\"GRPC\",\"additionalInterfaces\":[{\"url\":"
         "\"h:2\",\"transport\":\"GRPC\"},{\"url\":\"http://h/a\",\"transport\":\"JSONRPC\"}]}",
         "{\"url\":\"" BASE
         "/a\",\"preferredTransport\":\"JSONRPC\",\"additionalInterfaces\":[{\"url\":"
         "\"" BASE "/a\",\"transport\":\"JSONRPC\"}]}"},
        /* nobody can take its place: left as it is, in any spelling of the bindings' names */
        {"{\"url\":\"http://h:1/g\",\"preferredTransport\":\"GRPC\"}",
         "{\"url\":\"http://h:1/g\",\"preferredTransport\":\"GRPC\"}"},
        {"{\"url\":\"http://h:1/g\",\"preferredTransport\":\"jsonrpc\"}",
         "{\"url\":\"" BASE "/g\",\"preferredTransport\":\"jsonrpc\"}"},
        /* the agent knew: byte for byte, escapes and all */
        {"{\"url\":\"https:\\/\\/api.example.com/agents/foo/x\",\"signatures\":[1]}",
         "{\"url\":\"https:\\/\\/api.example.com/agents/foo/x\",\"signatures\":[1]}"},
        {"{\"url\":\"" BASE "\"}", "{\"url\":\"" BASE "\"}"},
        {"{\"url\":\"" BASE "?q\"}", "{\"url\":\"" BASE "?q\"}"},
        {"{\"url\":\"" BASE "bar/x\"}", "{\"url\":\"" BASE "/agents/foobar/x\"}"},
        /* what is no URL of ours to map */
        {"{\"url\":\"/a2a\"}", "{\"url\":\"/a2a\"}"},
        {"{\"url\":\"ftp://h/\"}", "{\"url\":\"ftp://h/\"}"},
        {"{\"url\":\"http:///x\"}", "{\"url\":\"http:///x\"}"},
        {"{\"url\":\"http://h/a b\"}", "{\"url\":\"http://h/a b\"}"},
        {"{\"url\":7}", "{\"url\":7}"},
        {"{}", "{}"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(rows[i].card, rows[i].want);
}

Test(proxy_card, a_signature_survives_only_an_unchanged_card)
{
    expect("{\"signatures\":[{\"signature\":\"s\"}],\"url\":\"http://h/\"}",
           "{\"url\":\"" BASE "/\"}");
    expect("{\"url\":\"http://h/\", \"signatures\":[1]}", "{\"url\":\"" BASE "/\"}");
    expect("{\"a\":1,\"signatures\":{},\"url\":\"http://h/\",\"b\":2}",
           "{\"a\":1,\"url\":\"" BASE "/\",\"b\":2}");
    expect("{\"signatures\":[],\"url\":\"http://h/\",\"signatures\":[1]}",
           "{\"url\":\"" BASE "/\"}");
    expect("{\"signatures\":[{\"signature\":\"s\"}],\"url\":\"" BASE "/x\"}",
           "{\"signatures\":[{\"signature\":\"s\"}],\"url\":\"" BASE "/x\"}");
}

Test(proxy_card, a_card_that_says_it_is_not_signed_still_says_so)
{
    expect("{\"url\":\"http://h/\",\"signatures\":[ ]}",
           "{\"url\":\"" BASE "/\",\"signatures\":[ ]}");
}

Test(proxy_card, passing_signatures_means_changing_nothing)
{
    static const char card[] = "{\"url\":\"http://h/\",\"signatures\":[1]}";
    CLEANUP(str_release) struct str out = {0};

    cr_assert_eq(card_rewrite(slice_of(card), &base, CARD_SIGNATURES_PASS, &out, NULL), 0);
    cr_assert_str_eq(str_z(&out), card);
}

Test(proxy_card, refuses_what_is_no_object)
{
    static const char *const bad[] = {"",      "[]", "null", "{", "{}x", "{\"url\":\"http://h\"",
                                      "<html>"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CLEANUP(str_release) struct str out = {0};
        struct err err = {0};

        cr_assert_eq(card_rewrite(slice_of(bad[i]), &base, CARD_SIGNATURES_STRIP, &out, &err),
                     -EBADMSG);
        cr_assert(*err.msg);
        cr_assert_eq(card_rewrite_for_platform(slice_of(bad[i]), &base, SLICE(""), &out, &err),
                     -EBADMSG);
    }
}

Test(proxy_card, a_list_without_end_is_refused)
{
    CLEANUP(str_release) struct str card = {0};
    CLEANUP(str_release) struct str out = {0};
    struct err err = {0};

    str_addz(&card, "{\"supportedInterfaces\":[0");
    for (int i = 0; i < CARD_INTERFACES_MAX; i++)
        str_addz(&card, ",{\"url\":\"http://h/\"}");
    str_addz(&card, "]}");
    cr_assert_eq(card_rewrite(str_slice(&card), &base, CARD_SIGNATURES_STRIP, &out, &err),
                 -EBADMSG);
    cr_assert(strstr(err.msg, "64") != NULL);
}

Test(proxy_card, an_agent_that_is_mounted_below_its_prefix_is_not_doubled)
{
    struct card_base mounted = {.url = SLICE(BASE), .agent_prefix = SLICE("/agents/foo")};
    CLEANUP(str_release) struct str out = {0};

    cr_assert_eq(card_url_map(&mounted, SLICE("http://h/agents/foo/x"), &out), 1);
    cr_assert_str_eq(str_z(&out), BASE "/x");
    str_truncate(&out, 0);
    cr_assert_eq(card_url_map(&mounted, SLICE("http://h/agents/foobar"), &out), 1);
    cr_assert_str_eq(str_z(&out), BASE "/agents/foobar");
    str_truncate(&out, 0);
    cr_assert_eq(card_url_map(&mounted, SLICE("http://h/agents/foo"), &out), 1);
    cr_assert_str_eq(str_z(&out), BASE);
}

Test(proxy_card, another_spelling_of_the_base_is_not_doubled)
{
    static const struct {
        const char *base, *url, *want;
    } rows[] = {
        {BASE, "https://API.example.com/agents/foo/x", BASE "/x"},
        {BASE, "HTTPS://api.example.com:443/agents/foo", BASE},
        {BASE, "https://me:pw@api.example.com/agents/foo/x#f", BASE "/x"},
        {BASE, "https://api.example.com:444/agents/foo/x", BASE "/agents/foo/x"},
        {BASE, "http://api.example.com/agents/foo/x", BASE "/agents/foo/x"},
        {BASE, "https://api.example.com/agents/Foo", BASE "/agents/Foo"},
        {BASE, "https://API.example.com/agents/foobar", BASE "/agents/foobar"},
        {"http://h:80", "http://H/x?q", "http://h:80/x?q"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct card_base b = {.url = slice_of(rows[i].base)};
        CLEANUP(str_release) struct str out = {0};

        cr_assert_eq(card_url_map(&b, slice_of(rows[i].url), &out), 1);
        cr_assert_str_eq(str_z(&out), rows[i].want);
    }
}

Test(proxy_card, what_could_not_be_done_is_remarked)
{
    static const struct {
        const char *card;
        int remarks;
    } rows[] = {
        {"{\"url\":\"http://h/\"}", 0},
        {"{\"url\":\"" BASE "/x\"}", 0},
        {"{\"url\":\"ws://h/\"}", CARD_UNMAPPED},
        {"{\"url\":\"/rpc\"}", CARD_UNMAPPED},
        {"{\"url\":7}", CARD_UNMAPPED},
        {"{\"supportedInterfaces\":[]}", 0},
        {"{\"supportedInterfaces\":[{\"url\":\"h:1\",\"protocolBinding\":\"GRPC\"}]}",
         CARD_UNREACHABLE},
        {"{\"supportedInterfaces\":[{\"url\":\"h:1\",\"protocolBinding\":\"GRPC\"},"
         "{\"url\":\"http://h\",\"protocolBinding\":\"JSONRPC\"}]}",
         0},
        {"{\"url\":\"h:1\",\"preferredTransport\":\"GRPC\"}", CARD_UNREACHABLE},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CLEANUP(str_release) struct str out = {0};

        cr_assert_eq(card_rewrite(slice_of(rows[i].card), &base, CARD_SIGNATURES_STRIP, &out, NULL),
                     rows[i].remarks, "%s", rows[i].card);
    }
}

static unsigned seed = 11;

/* Up to `most` segments, some of them awkward; "" now and then. No trailing slash. */
static void add_path(struct str *to, int most)
{
    static const char *const segments[] = {"a",  "b",     "foo", "foobar", "fo",    "agents",
                                           "v1", "a%2Fb", "%3A", "x;y=1",  "~.e-_", "a"};

    for (int n = rand_r(&seed) % (most + 1); n > 0; n--)
        str_addf(to, "/%s", segments[(size_t)rand_r(&seed) % 12]);
}

/* What follows the authority of the published URL goes through the ingress and us: what the agent
 * is asked for then. */
static void route_published(struct slice target, struct slice ingress, struct slice strip,
                            struct str *reached)
{
    struct route_rules rules = {.strip_prefix = strip};
    struct slice path;
    struct route r;

    cr_assert(slice_starts_with(target, ingress));
    target = (struct slice){target.p + ingress.n, target.n - ingress.n};
    path = target;
    if (memchr(target.p, '?', target.n))
        path.n = (size_t)((const char *)memchr(target.p, '?', target.n) - target.p);
    r = route_pick(&rules, HTTP_POST, target, path);
    if (r.needs_slash || r.target.n == 0 || r.target.p[0] == '?') /* a client sends "/" */
        str_addz(reached, "/");
    str_add(reached, r.target);
}

/*
 * A request to the published URL, through an ingress that cuts `ingress` and our strip_prefix, hits
 * the path the agent wrote; agent.base_path is in both when the public address goes on with it.
 */
Test(proxy_card, the_rewrite_is_the_inverse_of_the_routing)
{
    static const char *const ends[] = {"", "/", "//", "?x=1", "/?", "?", "/?a=/b"};
    static const char *const hosts[] = {"127.0.0.1:9000", "[::1]:9000", "0.0.0.0", "u:p@pod.local"};

    for (int round = 0; round < 20000; round++) {
        CLEANUP(str_release) struct str ingress = {0};
        CLEANUP(str_release) struct str strip = {0};
        CLEANUP(str_release) struct str mount = {0};
        CLEANUP(str_release) struct str path = {0};
        CLEANUP(str_release) struct str public_url = {0};
        CLEANUP(str_release) struct str agent_url = {0};
        CLEANUP(str_release) struct str published = {0};
        CLEANUP(str_release) struct str reached = {0};
        struct card_base b;
        size_t origin = sizeof("https://pub.example") - 1;
        bool is_bare;

        add_path(&ingress, 2);
        add_path(&strip, 2);
        add_path(&mount, 2);
        str_addz(&path, str_z(&mount));
        add_path(&path, 3);
        str_addz(&path, ends[(size_t)rand_r(&seed) % 7]);
        str_addf(&public_url, "https://pub.example%s%s%s", str_z(&ingress), str_z(&strip),
                 str_z(&mount));
        str_addf(&agent_url, "http://%s%s", hosts[(size_t)rand_r(&seed) % 4], str_z(&path));
        b = (struct card_base){.url = str_slice(&public_url),
                               .agent_prefix = str_slice(&mount),
                               .strip_prefix = str_slice(&strip)};
        cr_assert_eq(card_url_map(&b, str_slice(&agent_url), &published), 1);
        route_published((struct slice){published.p + origin, published.len - origin},
                        slice_of(str_z(&ingress)), slice_of(str_z(&strip)), &reached);
        is_bare = path.len == 0 || path.p[0] == '?';
        cr_assert_eq(reached.len, path.len + is_bare, "%s over %s -> %s", agent_url.p, public_url.p,
                     published.p);
        cr_assert(slice_ends_with(str_slice(&reached), slice_of(str_z(&path))), "%s over %s -> %s",
                  agent_url.p, public_url.p, published.p);
    }
}

/* agent.base_path that only looks like the end of the public address: that end is cut off. */
Test(proxy_card, what_strip_prefix_cuts_is_not_taken_for_the_agents_prefix)
{
    struct card_base b = {
        .url = SLICE("https://h/x/s"), .agent_prefix = SLICE("/s"), .strip_prefix = SLICE("/s")};
    CLEANUP(str_release) struct str out = {0};
    CLEANUP(str_release) struct str reached = {0};

    cr_assert_eq(card_url_map(&b, SLICE("http://agent/s/rpc"), &out), 1);
    cr_assert_str_eq(str_z(&out), "https://h/x/s/s/rpc");
    route_published(SLICE("/x/s/s/rpc"), SLICE("/x"), SLICE("/s"), &reached);
    cr_assert_str_eq(str_z(&reached), "/s/rpc");
}

Test(proxy_card, the_platform_gets_our_address_or_none)
{
    static const char card[] =
        "{\"name\":\"x\",\"url\":\"http://evil/\",\"additionalInterfaces\":[{\"url\":\"http://evil/"
        "\","
        "\"transport\":\"JSONRPC\"},{\"url\":\"http://evil/r\",\"transport\":\"HTTP+JSON\"}],"
        "\"supportedInterfaces\":[{\"url\":\"evil:1\",\"protocolBinding\":\"GRPC\"}],"
        "\"signatures\":[1]}";

    expect_platform(card, "", "", "{\"name\":\"x\"}");
    expect_platform(card, "https://me/a2a/inbound", "",
                    "{\"name\":\"x\",\"url\":\"https://me/a2a/inbound\",\"additionalInterfaces\":["
                    "{\"url\":\"https://me/a2a/inbound\",\"transport\":\"JSONRPC\"}]}");
    expect_platform(
        card, "", BASE,
        "{\"name\":\"x\",\"url\":\"" BASE "/\",\"additionalInterfaces\":[{\"url\":\"" BASE
        "/\",\"transport\":\"JSONRPC\"},{\"url\":\"" BASE "/r\",\"transport\":\"HTTP+JSON\"}]}");
    expect_platform("{\"name\":\"x\"}", "https://me/", "",
                    "{\"name\":\"x\",\"url\":\"https://me/\"}");
    expect_platform("{}", "https://me/", "", "{\"url\":\"https://me/\"}");
    expect_platform("{ }", "", "", "{ }");
    expect_platform("{\"URL\":\"http://evil\",\"url\":\"javascript:1\",\"x\":1}", "", BASE,
                    "{\"URL\":\"" BASE "\",\"x\":1}");
}

Test(proxy_card, no_spelling_of_an_address_reaches_the_platform)
{
    static const char *const cards[] = {
        "{\"url\":\"http://evil\",\"url\":\"http://evil\"}",
        "{\"\\u0075rl\":\"http:\\/\\/evil\"}",
        "{\"Url\":\"http://evil\"}",
        "{\"url\":[\"http://evil\"]}",
        "{\"url\":{\"a\":\"http://evil\"}}",
        "{\"supportedInterfaces\":{\"url\":\"http://evil\"}}",
        "{\"supportedInterfaces\":[[\"http://evil\"]]}",
        "{\"supportedInterfaces\":[{\"url\":\"x://evil\"}]}",
        "{\"supportedInterfaces\":[{\"url\":\"http://ok\",\"url\":\"http://evil\"}]}",
        "{\"additionalInterfaces\":[{\"url\":\"\\u0068ttp://"
        "evil\",\"transport\":\"JSONRPC\"}],\"a\":1}",
    };
    static const char *const endpoints[] = {"", "https://me/"};

    for (size_t i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        for (size_t k = 0; k < 2; k++) {
            CLEANUP(str_release) struct str out = {0};
            struct card_base b = {.url = SLICE("")};

            cr_assert_eq(card_rewrite_for_platform(slice_of(cards[i]), &b, slice_of(endpoints[k]),
                                                   &out, NULL),
                         0);
            cr_assert_eq(json_validate(str_slice(&out)), JSON_OBJECT);
            cr_assert_null(strstr(str_z(&out), "evil"), "%s -> %s", cards[i], str_z(&out));
        }
    }
}

Test(proxy_card, hosts_are_checked_before_they_reach_a_card)
{
    static const char *const good[] = {"a",     "a.b-c.example", "127.0.0.1:80",
                                       "[::1]", "[::1]:8000",    "a_b"};
    static const char *const bad[] = {"",     ":80",    "a b",  "a/b", "a:x",  "a:", "a:123456",
                                      "[::1", "[::1]x", "a\"b", "a@b", "a\\b", "[]"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(card_host_is_valid(slice_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(card_host_is_valid(slice_of(bad[i])), "%s", bad[i]);
}

Test(proxy_card, the_minimal_card_is_valid)
{
    char name[] = "My \"agent\"", description[] = "", id[] = "", skill[] = "echo";
    char *skills[] = {skill};
    struct config cfg = {.workspace = {.id = id},
                         .card = {.name = name, .description = description, .skills = {skills, 1}}};
    CLEANUP(str_release) struct str out = {0};
    struct slice value;

    card_minimal(&cfg, SLICE("https://me/a"), &out);
    cr_assert_eq(json_validate(str_slice(&out)), JSON_OBJECT);
    cr_assert(json_member(str_slice(&out), "name", &value, NULL) &&
              json_string_eq(value, "My \"agent\""));
    cr_assert(json_member(str_slice(&out), "url", &value, NULL) &&
              json_string_eq(value, "https://me/a"));
}

Test(proxy_card, a_card_without_a_name_has_the_one_of_the_platforms_sdk)
{
    char none[] = "", id[] = "123e4567-e89b-42d3-a456-426614174000";
    struct config cfg = {.workspace = {.id = id}, .card = {.name = none, .description = none}};
    CLEANUP(str_release) struct str out = {0};
    struct slice value;

    card_minimal(&cfg, (struct slice){0}, &out);
    cr_assert(json_member(str_slice(&out), "name", &value, NULL));
    cr_assert(json_string_eq(value, "remote-agent-123e4567"), "%s", str_z(&out));
}

Test(proxy_card, tags_follow_the_bytes_and_compare_weakly)
{
    char a[CARD_ETAG_BYTES], b[CARD_ETAG_BYTES];

    card_etag(SLICE("{}"), a);
    card_etag(SLICE("{ }"), b);
    cr_assert_eq(strlen(a), 34);
    cr_assert_str_neq(a, b);
    cr_assert(card_etag_matches(slice_of(a), a));
    cr_assert(card_etag_matches(SLICE("*"), a));
    cr_assert_not(card_etag_matches(slice_of(b), a));
    cr_assert_not(card_etag_matches(SLICE(""), a));
    {
        CLEANUP(str_release) struct str list = {0};

        str_addf(&list, "%s , W/%s", b, a);
        cr_assert(card_etag_matches(str_slice(&list), a));
    }
}

/* What a card of so many entries takes: each is 16 KiB long and differs from the others at the very
 * end only; they come twice. The least of three, for the machine's other work shows in it, too. */
static long rewrite_us(int entries)
{
    CLEANUP(str_release) struct str card = {0};
    long least = LONG_MAX;

    str_addz(&card, "{\"supportedInterfaces\":[");
    for (int i = 0; i < entries; i++)
        str_addf(&card, "%s{\"pad\":\"%016000d\",\"url\":\"http://a/\",\"tenant\":\"%d\"}",
                 i ? "," : "", 0, i % (entries / 2));
    str_addz(&card, "]}");
    cr_assert_leq(card.len, CARD_MAX_BYTES);
    for (int i = 0; i < 3; i++) {
        CLEANUP(str_release) struct str out = {0};
        struct err err = {0};
        struct timespec from, to;
        long us;

        cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from), 0);
        cr_assert_eq(card_rewrite(str_slice(&card), &base, CARD_SIGNATURES_STRIP, &out, &err), 0);
        cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to), 0);
        us = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
        if (us < least)
            least = us;
    }
    return least;
}

/* Were each compared with each, 16 times as many would take 256 times as long. */
Test(proxy_card, many_big_entries_do_not_keep_us_busy)
{
    long few = rewrite_us(CARD_INTERFACES_MAX / 16), many = rewrite_us(CARD_INTERFACES_MAX);

    /* under the sanitizers it was 4 s; a slow machine has its own measure */
    cr_assert(many < 1500 * 1000 || many < 100 * few, "%ld us, of a sixteenth %ld us", many, few);
}

Test(proxy_card, the_platform_gets_no_address_of_the_agents_in_any_spelling)
{
    static const char *const lists[] = {"supportedInterfaces", "SupportedInterfaces",
                                        "\xC5\xBFupportedinterfaces", "additional\\u0049nterfaces",
                                        "ADDITIONALINTERFACES"};
    static const char *const entries[] = {
        "{\"url\":\"http://evil/\"}", "{\"URL\":\"http://evil/\"}",
        "{\"url\":\"http://evil/\",\"Url\":\"http://evil/\",\"u\\u0052l\":\"http://evil/\"}",
        /* one that may stay, and its twins */
        "{\"url\":\"" BASE "/x\",\"URL\":\"http://evil/\",\"url\":\"http://evil/\"}",
        "{\"url\":\"http://evil/\",\"url\":\"" BASE "/x\"}"};

    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        for (size_t k = 0; k < 3 * sizeof(entries) / sizeof(*entries); k++) {
            CLEANUP(str_release) struct str card = {0};
            CLEANUP(str_release) struct str out = {0};
            struct card_base b = {.url = k % 3 == 0 ? (struct slice){0} : base.url};
            struct slice endpoint = k % 3 == 1 ? SLICE("https://me/in") : (struct slice){0};

            str_addf(&card, "{\"%s\":[%s],\"name\":\"x\"}", lists[i], entries[k / 3]);
            cr_assert_eq(card_rewrite_for_platform(str_slice(&card), &b, endpoint, &out, NULL), 0);
            cr_expect_null(strstr(str_z(&out), "evil"), "%s -> %s", str_z(&card), str_z(&out));
            cr_expect_eq(json_validate(str_slice(&out)), JSON_OBJECT);
        }
    }
}
