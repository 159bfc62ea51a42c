/*
 * resolv.conf(5), the lines that the static build's resolver (c-ares 1.18) does not read: how long
 * to wait for a name server, and how often to ask. Pure.
 */
#ifndef BASE_RESOLV_CONF_H
#define BASE_RESOLV_CONF_H

#include "base/slice.h"

enum {
    /*
     * When the file does not say. A call of ours has five seconds to connect; in them a first
     * server that is mute must leave time for the second one, and one lost packet for a repetition
     * (the resolver doubles its wait: 1.5 s and 3 s).
     */
    RESOLV_TIMEOUT_MS = 1500,
    RESOLV_TRIES = 2,
    RESOLV_TIMEOUT_MAX_MS = 30 * 1000, /* resolv.conf(5): larger values are cut, silently */
    RESOLV_TRIES_MAX = 5,
    RESOLV_CONF_MAX_BYTES = 64 * 1024, /* of the file */
};

struct resolv_options {
    int timeout_ms; /* for the first try at each server */
    int tries;      /* at each server */
};

/* options timeout:N attempts:N; the last one counts, what is no number is passed over. */
struct resolv_options resolv_options_parse(struct slice text);

#endif
