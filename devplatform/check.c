/*
 * The health check as one blocking call. What is asked is no call of the platform's: those can be
 * limited, logged and hit by the faults of a test, and a check must neither see nor use up any.
 */
#include "devplatform/check.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "client/client.h"

#include <stdio.h>

enum {
    CHECK_TIMEOUT_MS = 4000, /* below the 5 s that the image's HEALTHCHECK gives us */
    CHECK_ANSWER_MAX_BYTES = 4096,
};

static void keep(void *arg, const struct client_answer *a)
{
    bool *is_well = arg;

    *is_well = a->outcome == CLIENT_OK && a->status == 200;
    if (*is_well) {
        printf("%.*s\n", (int)a->body.n, a->body.p);
    } else if (a->outcome == CLIENT_OK) {
        fprintf(stderr, "molecule-devplatform: it answers %d, so it is no platform of ours\n",
                a->status);
    } else {
        fprintf(stderr, "molecule-devplatform: no platform answers (--listen names where): %s\n",
                a->error);
    }
}

bool check_health(const struct endpoint *at)
{
    CLEANUP(str_release) struct str url = {0};
    struct err err = {0};
    bool is_well = false;

    if (at->kind == ENDPOINT_UNIX) {
        str_addz(&url, "http://localhost");
    } else if (at->is_any) {
        str_addf(&url, "http://127.0.0.1:%u", (unsigned)at->port);
    } else {
        str_addf(&url, "http://%s", at->text);
    }
    str_addz(&url, "/dev/health");
    const struct client_request rq = {
        .method = "GET",
        .url = str_z(&url),
        .unix_path = endpoint_unix_path(at),
        .connect_timeout_ms = CHECK_TIMEOUT_MS,
        .timeout_ms = CHECK_TIMEOUT_MS,
        .max_answer_bytes = CHECK_ANSWER_MAX_BYTES,
    };
    if (client_run(&rq, keep, &is_well, &err) < 0) {
        fprintf(stderr, "molecule-devplatform: %s\n", err.msg);
    }
    return is_well;
}
