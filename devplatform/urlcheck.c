/*
 * Schemes and IP literals. The tables are the ones of P section 7.1.
 */
#include "devplatform/urlcheck.h"

#include "base/slice.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct network {
    unsigned char bytes[16];
    int bits;
    const char *what;
};

static const struct network v4[] = {
    {{169, 254}, 16, "link-local"},
    {{127}, 8, "loopback"},
    {{100, 64}, 10, "carrier-grade NAT"},
    {{224}, 4, "multicast"},
    {{192, 0, 2}, 24, "documentation"},
    {{198, 51, 100}, 24, "documentation"},
    {{203, 0, 113}, 24, "documentation"},
    {{10}, 8, "private"},
    {{172, 16}, 12, "private"},
    {{192, 168}, 16, "private"},
    {{0}, 8, "unspecified"},
};
static const struct network v6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback"},
    {{0}, 128, "unspecified"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfc}, 7, "unique local"}, /* fc00::/8 always, fd00::/8 outside SaaS mode */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0xff}, 8, "multicast"},
};

static const char *network_find(const unsigned char *ip, const struct network *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int bits = list[i].bits;
        size_t whole = (size_t)bits / 8;
        unsigned char mask = (unsigned char)(0xff00 >> (bits % 8));
        if (memcmp(ip, list[i].bytes, whole) != 0)
            continue;
        if (bits % 8 == 0 || (ip[whole] & mask) == (list[i].bytes[whole] & mask))
            return list[i].what;
    }
    return NULL;
}

/* What kind of refused address `host` is, NULL for others and for names. */
static const char *literal_is_refused(const char *host)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    unsigned char ip[16];

    if (inet_pton(AF_INET, host, ip) == 1)
        return network_find(ip, v4, sizeof(v4) / sizeof(*v4));
    if (inet_pton(AF_INET6, host, ip) != 1)
        return NULL;
    if (memcmp(ip, mapped, sizeof(mapped)) == 0)
        return network_find(ip + 12, v4, sizeof(v4) / sizeof(*v4));
    return network_find(ip, v6, sizeof(v6) / sizeof(*v6));
}

int url_check(const char *url, enum url_check how, struct err *err)
{
    struct slice rest = slice_of(url);
    const char *why;
    char host[256];
    size_t n;

    assert(url);
    if (slice_starts_with(rest, SLICE("http://")))
        rest = (struct slice){rest.p + 7, rest.n - 7};
    else if (slice_starts_with(rest, SLICE("https://")))
        rest = (struct slice){rest.p + 8, rest.n - 8};
    else
        return err_set(err, -EINVAL, "invalid URL: scheme must be http or https");
    if (rest.n > 0 && rest.p[0] == '[') {
        rest = (struct slice){rest.p + 1, rest.n - 1};
        n = strcspn(rest.p, "]");
    } else {
        n = strcspn(rest.p, ":/?#");
    }
    if (n == 0 || n >= sizeof(host))
        return err_set(err, -EINVAL, "invalid URL: no host");
    memcpy(host, rest.p, n);
    host[n] = '\0';
    why = how == URL_CHECK_REGISTER ? literal_is_refused(host) : NULL;
    if (why)
        return err_set(err, -EINVAL, "invalid URL: %s address %s is not allowed", why, host);
    return 0;
}
