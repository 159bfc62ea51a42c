/*
 * Networks in CIDR notation, and whether an address is in one of them: listen.trusted_proxies and
 * listen.allow_sources. An IPv4 peer on a dual-stack listener (::ffff:a.b.c.d) counts as IPv4.
 */
#ifndef PROXY_SOURCES_H
#define PROXY_SOURCES_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SOURCES_MAX = 64 }; /* networks in one list: each request may walk it */

struct network {
    int family; /* AF_INET or AF_INET6 */
    uint8_t address[16];
    uint8_t bits; /* leading bits that count */
};

struct sources {
    struct network v[SOURCES_MAX];
    size_t n;
};

/*
 * "10.0.0.0/8", "::1", "127.0.0.1" (a single address). 0, -EINVAL with a sentence, -E2BIG when the
 * list is full. `key` is the configuration's word for it.
 */
int sources_add(struct sources *s, const char *key, struct slice text, struct err *err);

/* Is the peer in one of them? Unix sockets are in none. */
bool sources_has(const struct sources *s, const struct sockaddr_storage *peer);

#endif
