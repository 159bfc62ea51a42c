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
static bool split(struct slice url, struct slice *ret_authority, struct slice *ret_rest)
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
    *ret_authority = (struct slice){rest.p, find_any(rest, "/?#")};
    *ret_rest = rest_of(rest, ret_authority->n);
    return ret_authority->n > 0;
}

struct slice card_url_path(struct slice url)
{
    struct slice authority, rest;

    if (!split(url, &authority, &rest))
        return (struct slice){0};
    return (struct slice){rest.p, find_any(rest, "?#")};
}

int card_url_map(const struct card_base *base, struct slice url, struct str *out)
{
    struct slice authority, rest, base_path;
    size_t fragment;

    if (url.n > CARD_URL_MAX || !split(url, &authority, &rest))
        return -EINVAL;
    if (slice_starts_with(url, base->url)) {
        struct slice behind = rest_of(url, base->url.n);

        if (behind.n == 0 || behind.p[0] == '/' || behind.p[0] == '?' || behind.p[0] == '#')
            return 0;
    }
    fragment = find_any(rest, "#");
    rest.n = fragment;
    base_path = card_url_path(base->url);
    if (base->agent_prefix.n > 0 && slice_ends_with(base_path, base->agent_prefix) &&
        route_has_prefix(rest, base->agent_prefix))
        rest = rest_of(rest, base->agent_prefix.n);
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
