/*
 * URLs that join two facts: where the bearer goes in the clear, what the platform will refuse to
 * call (P sections 3.3, 7.1, 17.2).
 */
#include "config/source.h"

#include "config/report.h"
#include "config/url.h"

#include <errno.h>
#include <string.h>

#include "base/banned.h"

static const char *place_of(struct loader *l, const char *section, const char *key)
{
    return loader_place(l, loader_row(section, key));
}

/* True when `text` is a URL; it passed the same parser when it was set, so only "" fails. */
static bool take_apart(const char *text, struct url *ret)
{
    return *text && url_parse(slice_of(text), ret, NULL) == 0;
}

static bool is_near(enum host_kind kind)
{
    return kind == HOST_LOOPBACK || kind == HOST_LOCAL_NAME || kind == HOST_PRIVATE;
}

static void check_platform_url(struct loader *l)
{
    const struct config_platform *p = &l->c->platform;
    struct url u;

    if (!p->enabled)
        return;
    if (!*p->url) {
        if (l->report->error_count == 0)
            (void)report_error(l->report,
                               "platform.url is empty (%s): give the platform's base URL",
                               place_of(l, "platform", "url"));
        return;
    }
    if (!take_apart(p->url, &u))
        return;
    if (!u.is_https && !is_near(url_host_kind(&u)))
        report_warning(
            l->report,
            "platform.url (%s) is plain http to %.*s: the workspace's token can be read on "
            "the way; use https",
            place_of(l, "platform", "url"), (int)u.host.n, u.host.p);
    if (!u.is_https && (*p->ca_file || *p->client_cert))
        report_warning(
            l->report,
            "platform.ca_file and platform.client_cert have no effect: platform.url (%s) is "
            "http",
            place_of(l, "platform", "url"));
}

static void check_reported_url(struct loader *l)
{
    const struct config_platform *p = &l->c->platform;
    const char *place = place_of(l, "platform", "reported_url");
    enum host_kind kind, platform_kind = HOST_NAME;
    struct url u, platform;

    if (!p->enabled)
        return;
    if (p->delivery == DELIVERY_PUSH && !*p->reported_url && l->report->error_count == 0) {
        (void)report_error(
            l->report,
            "platform.delivery is push (%s), which needs platform.reported_url: the URL "
            "at which the platform reaches this sidecar; or use delivery poll",
            place_of(l, "platform", "delivery"));
        return;
    }
    if (!take_apart(p->reported_url, &u))
        return;
    kind = url_host_kind(&u);
    if (take_apart(p->url, &platform))
        platform_kind = url_host_kind(&platform);
    if ((kind == HOST_LOOPBACK && url_host_is_address(&u)) || kind == HOST_REFUSED)
        (void)report_error(
            l->report,
            "platform.reported_url is %s (%s): the platform refuses %s; give an address "
            "it can reach, or leave it out and use delivery poll",
            p->reported_url, place,
            kind == HOST_LOOPBACK ? "loopback addresses"
                                  : "link-local, shared, multicast and documentation "
                                    "addresses");
    else if (kind == HOST_LOOPBACK && platform_kind != HOST_LOOPBACK)
        report_warning(l->report,
                       "platform.reported_url is %s (%s): to the platform, localhost is its own "
                       "machine, so it will not reach this sidecar",
                       p->reported_url, place);
    else if (kind == HOST_PRIVATE)
        report_warning(
            l->report,
            "platform.reported_url is %s (%s): many platforms refuse private addresses; if "
            "registration fails, use delivery poll",
            p->reported_url, place);
}

/* An Origin the platform does not know breaks every call, so it is checked as bytes:
 * scheme://host[:port], nothing else, or "*". */
static void check_cors(struct loader *l)
{
    const struct string_list *list = &l->c->listen.cors_origins;

    for (size_t i = 0; i < list->n; i++) {
        struct url u;

        if (strcmp(list->v[i], "*") == 0)
            continue;
        if (!take_apart(list->v[i], &u) || u.userinfo.p || u.path.n > 0 || u.has_query ||
            u.has_fragment)
            (void)report_error(
                l->report,
                "listen.cors_origins holds %s (%s): must be scheme://host[:port] as a "
                "browser sends it, or *",
                value_shown(slice_of(list->v[i])).z, place_of(l, "listen", "cors_origins"));
    }
}

static void check_public_url(struct loader *l)
{
    struct url u;

    if (take_apart(l->c->listen.public_url, &u) && url_host_kind(&u) == HOST_LOOPBACK &&
        l->c->facts.is_container)
        report_warning(l->report,
                       "listen.public_url is %s (%s): in a container nobody outside reaches that",
                       l->c->listen.public_url, place_of(l, "listen", "public_url"));
}

void check_urls(struct loader *l)
{
    check_platform_url(l);
    check_reported_url(l);
    check_public_url(l);
    check_cors(l);
}
