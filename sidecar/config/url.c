/*
 * Takes URLs apart and says what kind of host they name. Which URL may be what is check.c's and
 * value.c's business.
 */
#include "config/url.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/banned.h"

static struct slice slice_from(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

/* The scheme, in any case. Returns its length with "://", 0 when it is not http or https. */
static size_t scheme_length(struct slice text, bool *ret_https)
{
    static const struct slice http = SLICE_INIT("http://"), https = SLICE_INIT("https://");

    *ret_https = text.n >= https.n && slice_eq_nocase((struct slice){text.p, https.n}, https);
    if (*ret_https)
        return https.n;
    return text.n >= http.n && slice_eq_nocase((struct slice){text.p, http.n}, http) ? http.n : 0;
}

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* "host", "host:port", "[v6]:port" */
static int parse_authority(struct slice a, struct url *u, struct err *err)
{
    struct slice port = {NULL, 0};
    bool has_port = false;
    int64_t number = 0;

    if (a.n > 0 && a.p[0] == '[') {
        const char *end = memchr(a.p, ']', a.n);
        char text[INET6_ADDRSTRLEN];
        struct in6_addr addr;

        if (!end)
            return err_set(err, -EINVAL, "has a [ without a ]");
        u->host = (struct slice){a.p + 1, (size_t)(end - a.p) - 1};
        u->host_is_v6 = true;
        if (u->host.n >= sizeof(text))
            return err_set(err, -EINVAL, "has no IPv6 address between [ and ]");
        memcpy(text, u->host.p, u->host.n);
        text[u->host.n] = '\0';
        if (inet_pton(AF_INET6, text, &addr) != 1)
            return err_set(err, -EINVAL, "has no IPv6 address between [ and ]");
        a = slice_from(a, (size_t)(end + 1 - a.p));
        if (a.n > 0 && a.p[0] != ':')
            return err_set(err, -EINVAL, "has something other than :port behind the ]");
        has_port = a.n > 0;
        port = has_port ? slice_from(a, 1) : port;
    } else {
        const char *colon = a.n > 0 ? memchr(a.p, ':', a.n) : NULL;

        u->host = a;
        if (colon) {
            u->host.n = (size_t)(colon - a.p);
            port = slice_from(a, u->host.n + 1);
            has_port = true;
        }
        for (size_t i = 0; i < u->host.n; i++) {
            if (!is_host_char(u->host.p[i]))
                return err_set(err, -EINVAL, "has a character in its host that no host has");
        }
    }
    if (u->host.n == 0)
        return err_set(err, -EINVAL, "has no host");
    if (has_port && parse_int64(port, 1, UINT16_MAX, &number) < 0)
        return err_set(err, -EINVAL, "has a port that is not 1 to 65535");
    u->port = (uint16_t)number;
    return 0;
}

int url_parse(struct slice text, struct url *ret, struct err *err)
{
    struct url u = {0};
    size_t scheme = scheme_length(text, &u.is_https);
    struct slice rest, authority;
    const char *at;
    size_t n;
    int rc;

    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= 0x20 || (unsigned char)text.p[i] >= 0x7F)
            return err_set(err, -EINVAL, "holds a blank, a control or a non-ASCII character");
    }
    if (scheme == 0)
        return err_set(err, -EINVAL,
                       "must begin with http:// or https://, for example https://host.example");
    rest = slice_from(text, scheme);
    for (n = 0; n < rest.n && !strchr("/?#", rest.p[n]); n++)
        ;
    authority = (struct slice){rest.p, n};
    rest = slice_from(rest, n);
    at = authority.n > 0 ? memrchr(authority.p, '@', authority.n) : NULL;
    if (at) {
        u.userinfo = (struct slice){authority.p, (size_t)(at - authority.p)};
        authority = slice_from(authority, u.userinfo.n + 1);
    }
    rc = parse_authority(authority, &u, err);
    if (rc < 0)
        return rc;
    for (n = 0; n < rest.n && rest.p[n] != '?' && rest.p[n] != '#'; n++)
        ;
    u.path = (struct slice){rest.p, n};
    u.has_query = n < rest.n && rest.p[n] == '?';
    u.has_fragment = n < rest.n && memchr(rest.p + n, '#', rest.n - n);
    *ret = u;
    return 0;
}

struct net4 {
    uint32_t net;
    unsigned bits;
    enum host_kind kind;
};

static enum host_kind kind_of_v4(uint32_t a)
{
    static const struct net4 nets[] = {
        {0x7F000000U, 8, HOST_LOOPBACK}, {0x00000000U, 8, HOST_REFUSED},
        {0xA9FE0000U, 16, HOST_REFUSED}, {0x64400000U, 10, HOST_REFUSED},
        {0xE0000000U, 4, HOST_REFUSED},  {0xC0000200U, 24, HOST_REFUSED},
        {0xC6336400U, 24, HOST_REFUSED}, {0xCB007100U, 24, HOST_REFUSED},
        {0x0A000000U, 8, HOST_PRIVATE},  {0xAC100000U, 12, HOST_PRIVATE},
        {0xC0A80000U, 16, HOST_PRIVATE},
    };

    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
        if ((a ^ nets[i].net) >> (32 - nets[i].bits) == 0)
            return nets[i].kind;
    }
    return HOST_PUBLIC;
}

static enum host_kind kind_of_v6(const struct in6_addr *a)
{
    static const unsigned char doc[4] = {0x20, 0x01, 0x0D, 0xB8};
    const unsigned char *b = a->s6_addr;

    if (IN6_IS_ADDR_LOOPBACK(a))
        return HOST_LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(a))
        return kind_of_v4((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 |
                          b[15]);
    if (b[0] == 0xFD)
        return HOST_PRIVATE;
    if (IN6_IS_ADDR_LINKLOCAL(a) || b[0] == 0xFC || IN6_IS_ADDR_MULTICAST(a) ||
        IN6_IS_ADDR_UNSPECIFIED(a) || memcmp(b, doc, sizeof(doc)) == 0)
        return HOST_REFUSED;
    return HOST_PUBLIC;
}

/* The host as an address: 4, 6, or 0 when it is a name. */
static int host_address(const struct url *u, struct in_addr *v4, struct in6_addr *v6)
{
    char text[INET6_ADDRSTRLEN];

    if (u->host.n >= sizeof(text))
        return 0;
    memcpy(text, u->host.p, u->host.n);
    text[u->host.n] = '\0';
    if (u->host_is_v6)
        return inet_pton(AF_INET6, text, v6) == 1 ? 6 : 0;
    return inet_pton(AF_INET, text, v4) == 1 ? 4 : 0;
}

bool url_host_is_address(const struct url *u)
{
    struct in_addr v4;
    struct in6_addr v6;

    return host_address(u, &v4, &v6) != 0;
}

static bool ends_with_nocase(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq_nocase(slice_from(s, s.n - suffix.n), suffix);
}

enum host_kind url_host_kind(const struct url *u)
{
    static const struct slice local[] = {SLICE_INIT(".docker.internal"),
                                         SLICE_INIT(".containers.internal"), SLICE_INIT(".svc"),
                                         SLICE_INIT(".cluster.local")};
    struct in_addr v4;
    struct in6_addr v6;

    switch (host_address(u, &v4, &v6)) {
    case 4:
        return kind_of_v4(ntohl(v4.s_addr));
    case 6:
        return kind_of_v6(&v6);
    default:
        break;
    }
    if (slice_eq_nocase(u->host, SLICE("localhost")) ||
        ends_with_nocase(u->host, SLICE(".localhost")))
        return HOST_LOOPBACK;
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (ends_with_nocase(u->host, local[i]))
            return HOST_LOCAL_NAME;
    }
    return memchr(u->host.p, '.', u->host.n) ? HOST_NAME : HOST_LOCAL_NAME;
}
