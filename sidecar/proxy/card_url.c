/*
 * URL mapping for cards. Which members hold URLs is card.c's business.
 */
#include "proxy/card_url.h"

#include "proxy/route.h"

#include <errno.h>

#include "base/banned.h"

static const struct slice schemes[] = {
    SLICE_INIT("http"),
    SLICE_INIT("https"),
    SLICE_INIT("grpc"),
    SLICE_INIT("grpcs"),
};
enum { SCHEME_COUNT = sizeof(schemes) / sizeof(schemes[0]) };

/* Where one of the bytes in `set` first is in s, or s.n. */
static size_t find_any(struct slice s, const char *set)
{
    size_t i = 0;

    while (i < s.n && (s.p[i] == '\0' || !strchr(set, s.p[i])))
        i++;
    return i;
}

static struct slice rest_of(struct slice s, size_t from)
{
    return (struct slice){s.p + from, s.n - from};
}

/* Everything behind the authority; false unless it is scheme://authority... in plain characters. */
static bool split(struct slice url, struct slice *ret_scheme, struct slice *ret_authority,
                  struct slice *ret_rest)
{
    size_t colon = find_any(url, ":/?#");
    struct slice scheme = {url.p, colon};
    bool known = false;
    struct slice rest;

    if (url.n - colon < 3 || memcmp(url.p + colon, "://", 3) != 0)
        return false;
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        known |= slice_eq_nocase(scheme, schemes[i]);
    if (!known)
        return false;
    for (size_t i = 0; i < url.n; i++) {
        if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7F || strchr("\\\"<>^`{|}", url.p[i]))
            return false;
    }
    rest = rest_of(url, colon + 3);
    *ret_scheme = scheme;
    *ret_authority = (struct slice){rest.p, find_any(rest, "/?#")};
    *ret_rest = rest_of(rest, ret_authority->n);
    return ret_authority->n > 0;
}

struct slice card_url_path(struct slice url)
{
    struct slice scheme, authority, rest;

    if (!split(url, &scheme, &authority, &rest))
        return (struct slice){0};
    return (struct slice){rest.p, find_any(rest, "?#")};
}

/* Host and port, without user and without the scheme's own port. */
static struct slice plain_authority(struct slice scheme, struct slice authority)
{
    struct slice port = slice_eq_nocase(scheme, SLICE("https")) ? SLICE(":443") : SLICE(":80");
    size_t i = authority.n;

    while (i > 0 && authority.p[i - 1] != '@')
        i--;
    authority = rest_of(authority, i);
    if (slice_ends_with(authority, port))
        authority.n -= port.n;
    return authority;
}

/* Is it an address of the base, however it is spelled? *ret_behind: what comes after the base. */
static bool is_below(struct slice base, struct slice scheme, struct slice authority,
                     struct slice rest, struct slice *ret_behind)
{
    struct slice base_scheme, base_authority, base_path;

    if (!split(base, &base_scheme, &base_authority, &base_path) ||
        !slice_eq_nocase(scheme, base_scheme) ||
        !slice_eq_nocase(plain_authority(scheme, authority),
                         plain_authority(base_scheme, base_authority)) ||
        !route_has_prefix(rest, base_path))
        return false;
    *ret_behind = rest_of(rest, base_path.n);
    return true;
}

/*
 * Which part of the base's path reaches the agent? Its end, when that is agent.base_path and not
 * what we (forward.strip_prefix) cut off.
 */
static struct slice mounted_prefix(const struct card_base *base)
{
    struct slice path = card_url_path(base->url);
    struct slice agent = base->agent_prefix;
    struct slice before = {path.p, path.n - agent.n};

    if (agent.n == 0 || !slice_ends_with(path, agent))
        return (struct slice){0};
    if (slice_ends_with(path, base->strip_prefix) && !slice_ends_with(before, base->strip_prefix))
        return (struct slice){0};
    return agent;
}

int card_url_map(const struct card_base *base, struct slice url, struct str *out)
{
    struct slice scheme, authority, rest, mounted, behind;

    if (url.n > CARD_URL_MAX || !split(url, &scheme, &authority, &rest))
        return -EINVAL;
    if (slice_starts_with(url, base->url)) {
        behind = rest_of(url, base->url.n);
        if (behind.n == 0 || behind.p[0] == '/' || behind.p[0] == '?' || behind.p[0] == '#')
            return 0;
    }
    rest.n = find_any(rest, "#");
    mounted = mounted_prefix(base);
    if (is_below(base->url, scheme, authority, rest, &behind))
        rest = behind;
    else if (mounted.n > 0 && route_has_prefix(rest, mounted))
        rest = rest_of(rest, mounted.n);
    str_add(out, base->url);
    str_add(out, rest);
    return 1;
}

static bool is_host_char(char c, bool in_brackets)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    if (in_brackets)
        return c == ':' || c == '.';
    return c == '-' || c == '.' || c == '_';
}

bool card_host_is_valid(struct slice host)
{
    bool in_brackets = host.n > 0 && host.p[0] == '[';
    size_t i = in_brackets ? 1 : 0;
    size_t from = i;

    while (i < host.n && is_host_char(host.p[i], in_brackets))
        i++;
    if (i == from)
        return false;
    if (in_brackets && (i == host.n || host.p[i++] != ']'))
        return false;
    if (i == host.n)
        return true;
    if (host.p[i++] != ':' || i == host.n || host.n - i > 5)
        return false;
    while (i < host.n && host.p[i] >= '0' && host.p[i] <= '9')
        i++;
    return i == host.n;
}
