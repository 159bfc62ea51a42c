/*
 * URLs from the configuration, taken apart. Only what an http(s) base URL may be; strict, so that
 * what we check is what curl and the platform later see. Source: P section 3.3, 7.1; RFC 3986.
 */
#ifndef CONFIG_URL_H
#define CONFIG_URL_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct url { /* slices point into the text */
    bool is_https;
    struct slice userinfo; /* without '@'; p == NULL when there is none */
    struct slice host;     /* without brackets */
    bool host_is_v6;
    uint16_t port;     /* 0 = the scheme's */
    struct slice path; /* "" or begins with '/' */
    bool has_query, has_fragment;
};

/* 0, or -EINVAL with what is wrong ("needs a scheme, such as https://..."); the sentence never
 * repeats the text. */
int url_parse(struct slice text, struct url *ret, struct err *err);

/* What a host is, for the rules about where a bearer may go and where the platform may call. */
enum host_kind {
    HOST_NAME = 0,   /* any other name */
    HOST_LOOPBACK,   /* 127/8, ::1, localhost */
    HOST_LOCAL_NAME, /* host.docker.internal, *.svc, *.cluster.local, a name without a dot */
    HOST_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, fd00::/8 */
    HOST_REFUSED,    /* addresses the platform refuses always: link-local, carrier NAT, multicast,
                        documentation */
    HOST_PUBLIC,     /* any other address */
};
enum host_kind url_host_kind(const struct url *u);
bool url_host_is_address(const struct url *u); /* a literal, not a name */

#endif
