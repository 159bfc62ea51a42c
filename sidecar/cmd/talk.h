/*
 * One short call to the running sidecar, for the commands that only ask or tell it something.
 */
#ifndef CMD_TALK_H
#define CMD_TALK_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

enum {
    TALK_TIMEOUT_MS = 5000,
    TALK_ANSWER_MAX_BYTES = 32 * 1024 * 1024, /* one polled message and its answer, escaped */
    TALK_DRAIN_TIMEOUT_MS =
        24 * 3600 *
        1000, /* drain --wait ends with the drain, which has its own deadline (stop.grace) */
};

struct talk_answer {
    int status; /* HTTP; 0 without an answer */
    struct str body;
};

/* To the operator's socket. 0, or -errno with a sentence that says whether a sidecar runs there.
 * Release answer->body. */
int talk_control(const struct config *cfg, const char *method, const char *path, int64_t timeout_ms,
                 struct talk_answer *ret, struct err *err);

/* An order (POST), which must reach the sidecar that is meant and no other. EXIT_OK with an answer,
 * or the exit status after saying what is wrong. Release answer->body. */
int talk_order(const struct config *cfg, const char *path, int64_t timeout_ms,
               struct talk_answer *ret);

/* To a TCP address or Unix socket of ours; [::] and 0.0.0.0 are asked on the loopback address. */
int talk_endpoint(const struct endpoint *at, const char *method, const char *path,
                  int64_t timeout_ms, struct talk_answer *ret, struct err *err);

/* The control sockets to choose from when more than one sidecar runs here and nothing said which;
 * else NULL. Borrowed from cfg. */
const char *talk_several(const struct config *cfg);

/* scheme ("http", "https") and authority for a TCP endpoint, "http://127.0.0.1:8000" */
void talk_base_url(const struct endpoint *at, const char *scheme, struct str *out);

#endif
