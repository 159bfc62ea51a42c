/*
 * One URL of an agent card: from what the agent calls itself to what the world calls it. Pure.
 *
 * The mapping is the inverse of the routing: a request to the result, through an ingress and
 * forward.strip_prefix, reaches the path the agent wrote. Source: A section 3.6.
 */
#ifndef PROXY_CARD_URL_H
#define PROXY_CARD_URL_H

#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>

enum { CARD_URL_MAX = 2048 }; /* bytes of a URL we understand; longer ones stay as they are */

struct card_base {
    struct slice url; /* "https://api.example.com/agents/foo", no trailing slash; "" = unknown */
    /* agent.base_path: not repeated when `url` ends with it already (A section 11, mistake 4) */
    struct slice agent_prefix;
    /* forward.strip_prefix: what it cuts off never reaches the agent, so it is not agent_prefix */
    struct slice strip_prefix;
};

/*
 * 1: *out is the new URL. 0: the URL is below the base already, it stays as it is; that is a
 * comparison of bytes, one that is below it in another spelling (case, default port, user) becomes
 * ours without its path being doubled. -EINVAL: not a URL we can map (another scheme, no host,
 * relative).
 */
int card_url_map(const struct card_base *base, struct slice url, struct str *out);

/* Path of an absolute URL up to '?' or '#': "" or begins with '/'. Empty also for what is no URL.
 */
struct slice card_url_path(struct slice url);

/* Is this a host with an optional port, as a Host or X-Forwarded-Host field may have it? */
bool card_host_is_valid(struct slice host);

#endif
