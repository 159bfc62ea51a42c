/*
 * CIDR lists. Which list means what is decided by headers.c and proxy.c.
 */
#include "proxy/sources.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/banned.h"

static bool parse_address(struct slice text, struct network *net)
{
    char z[INET6_ADDRSTRLEN];

    if (text.n == 0 || text.n >= sizeof(z))
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    if (inet_pton(AF_INET, z, net->address) == 1)
        net->family = AF_INET;
    else if (inet_pton(AF_INET6, z, net->address) == 1)
        net->family = AF_INET6;
    else
        return false;
    net->bits = net->family == AF_INET ? 32 : 128;
    return true;
}

int sources_add(struct sources *s, const char *key, struct slice text, struct err *err)
{
    struct network net = {0};
    struct slice rest = text;
    struct slice address;
    int64_t bits;

    if (s->n == SOURCES_MAX)
        return err_set(err, -E2BIG, "%s: more than %d networks", key, SOURCES_MAX);
    if (!slice_next(&rest, '/', &address) || !parse_address(address, &net))
        return err_set(err, -EINVAL,
                       "%s: \"%.*s\" is no network: write an address such as 10.1.2.3 or a network "
                       "such as 10.0.0.0/8 or fd00::/8",
                       key, (int)text.n, text.p);
    if (address.n < text.n) {
        if (parse_int64(rest, 0, net.bits, &bits) != 0)
            return err_set(err, -EINVAL,
                           "%s: \"%.*s\": the number behind the slash must be 0 to %d", key,
                           (int)text.n, text.p, net.bits);
        net.bits = (uint8_t)bits;
    }
    s->v[s->n++] = net;
    return 0;
}

static bool network_has(const struct network *net, int family, const uint8_t *address)
{
    size_t whole = net->bits / 8U;
    unsigned left = net->bits % 8U;
    unsigned mask = 0xFFU << (8U - left) & 0xFFU;

    if (net->family != family || memcmp(net->address, address, whole) != 0)
        return false;
    return left == 0 || ((unsigned)(net->address[whole] ^ address[whole]) & mask) == 0;
}

bool sources_has(const struct sources *s, const struct sockaddr_storage *peer)
{
    const uint8_t *address;
    int family = peer->ss_family;

    if (family == AF_INET) {
        address = (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;

        address = six->s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six)) {
            address += 12;
            family = AF_INET;
        }
    } else {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (network_has(&s->v[i], family, address))
            return true;
    }
    return false;
}
