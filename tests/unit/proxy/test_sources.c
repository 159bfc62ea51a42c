#include "proxy/sources.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage sa = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&sa;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&sa;

    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        sa.ss_family = AF_INET;
    } else {
        cr_assert_eq(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        sa.ss_family = AF_INET6;
    }
    return sa;
}

static bool has(const char *network, const char *address)
{
    struct sources s = {0};
    struct sockaddr_storage sa = peer(address);
    struct err err = {0};

    cr_assert_eq(sources_add(&s, "listen.allow_sources", slice_of(network), &err), 0, "%s",
                 err.msg);
    return sources_has(&s, &sa);
}

Test(proxy_sources, matches_whole_and_partial_octets)
{
    cr_assert(has("10.0.0.0/8", "10.255.0.1"));
    cr_assert_not(has("10.0.0.0/8", "11.0.0.1"));
    cr_assert(has("172.16.0.0/12", "172.31.255.255"));
    cr_assert_not(has("172.16.0.0/12", "172.32.0.0"));
    cr_assert(has("192.168.1.7", "192.168.1.7"));
    cr_assert_not(has("192.168.1.7", "192.168.1.8"));
    cr_assert(has("0.0.0.0/0", "8.8.8.8"));
    cr_assert(has("fd00::/8", "fd12::1"));
    cr_assert_not(has("fd00::/8", "fe80::1"));
    cr_assert(has("::1", "::1"));
    cr_assert(has("::/0", "2001:db8::1"));
    cr_assert(has("127.0.0.0/31", "127.0.0.1"));
    cr_assert_not(has("127.0.0.0/31", "127.0.0.2"));
}

Test(proxy_sources, a_mapped_address_is_ipv4)
{
    cr_assert(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    cr_assert_not(has("::/0", "::ffff:10.1.2.3"));
    cr_assert_not(has("0.0.0.0/0", "::1"));
}

Test(proxy_sources, refuses_what_is_no_network_with_a_sentence)
{
    static const char *const bad[] = {"",         "10.0.0.0/33", "10.0.0.0/",  "10.0.0.0/-1",
                                      "10.0.0/8", "example.com", "fd00::/129", "10.0.0.0/8/8",
                                      "/8"};
    struct sources s = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};

        cr_assert_lt(sources_add(&s, "listen.trusted_proxies", slice_of(bad[i]), &err), 0, "%s",
                     bad[i]);
        cr_assert(strstr(err.msg, "listen.trusted_proxies") != NULL);
    }
    cr_assert_eq(s.n, 0);
}

Test(proxy_sources, unix_peers_are_in_no_network)
{
    struct sources s = {0};
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};

    cr_assert_eq(sources_add(&s, "k", SLICE("0.0.0.0/0"), NULL), 0);
    cr_assert_not(sources_has(&s, &sa));
}
