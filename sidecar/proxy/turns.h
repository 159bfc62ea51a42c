/*
 * Whose turn is it: requests that wait, fair between those who sent them. Pure; the owner embeds a
 * `struct turn` in each request.
 *
 * The rule: one lane per peer address, requests of a lane in order of arrival, and the lanes take
 * turns (round robin): a client that waits with a hundred requests, on one connection or on a
 * hundred, delays another client's by one request, not by a hundred. When all places to wait are
 * taken, the longest lane gives up its newest request for a peer that would still have fewer.
 *
 * A peer is an IPv4 address, an IPv6 /64 (one customer usually has a whole one), or "some Unix
 * socket". Clients behind one proxy are one peer: what the proxy says about them is not looked at.
 *
 * Cost: O(peers waiting) to add, O(1) to take; a lane is allocated while somebody waits in it.
 */
#ifndef PROXY_TURNS_H
#define PROXY_TURNS_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct turn_lane;

struct turn_peer { /* who sent a request, as far as turns go */
    sa_family_t family;
    uint64_t prefix;
};
struct turn_peer turn_peer_of(const struct sockaddr_storage *peer);

struct turn { /* embedded; zeroed = waits nowhere; private */
    struct list node;
    struct turn_lane *lane;
    uint64_t order;
};

struct turns {         /* private */
    struct list lanes; /* the first one's turn is next */
};

void turns_init(struct turns *t);
/* order: ascending with arrival. was_here: it had its turn and comes back, so it goes first. 0 or
 * -ENOMEM. */
int turns_add(struct turns *t, struct turn *w, struct turn_peer peer, uint64_t order,
              bool was_here);
void turns_remove(struct turns *t, struct turn *w); /* harmless when it waits nowhere */
struct turn *turns_take(struct turns *t);           /* the next one, taken out; NULL: nobody */
/* Who should make room for one more of `peer`; NULL: nobody has more waiting than it would have. */
struct turn *turns_who_yields(const struct turns *t, struct turn_peer peer);

#endif
