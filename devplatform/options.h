/*
 * The command line of molecule-devplatform.
 */
#ifndef DEVPLATFORM_OPTIONS_H
#define DEVPLATFORM_OPTIONS_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/str.h"
#include "devplatform/feed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_WORKSPACES_MAX = 256 };

struct workspace_option {
    char id[37];
    const char *token; /* NULL: minted by the first register. Borrowed from argv */
};

struct options {
    struct endpoint listen;
    struct workspace_option workspaces[OPTIONS_WORKSPACES_MAX];
    size_t workspace_count;
    const char
        *admin_token; /* "" = none: the admin and workspace layers let bearer-less calls through */
    const char *data; /* a file that keeps everything; "" = memory only */
    const char *org_id;          /* "" = no tenant guard */
    int64_t rate_limit;          /* calls per minute and key; 0 = unlimited */
    int64_t stale_after_ms;      /* heartbeat older than that: awaiting_agent */
    int64_t dispatch_timeout_ms; /* until the first byte of the agent's answer */
    enum feed_kind feed;         /* which server the feed is of */
    int64_t rows_max;            /* activity rows of all workspaces; the oldest go */
    int64_t retention_ms;        /* activity rows older than that vanish */
    int64_t upload_ttl_ms;       /* files that nobody fetched vanish after that */
    bool allow_remote;           /* listen on other than loopback addresses */
    bool delegation_results;     /* results of delegations are put into the inbox, too */
    bool send_inbound_secret;    /* dispatches carry Authorization, as later platforms do */
    bool is_quiet;               /* no story on stdout */
    bool wants_help, wants_version;
    bool wants_check; /* ask the one that runs at `listen` instead of being one */
};

/* 0 or -EINVAL with a sentence that names the flag, the value and what is allowed. Strings are
 * borrowed from argv. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
void options_print_help(struct str *out);

#endif
