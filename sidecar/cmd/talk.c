/*
 * Calls to the running sidecar.
 */
#include "cmd/talk.h"

#include "app/exits.h"
#include "base/cleanup.h"
#include "client/client.h"
#include "cmd/load.h"

#include <errno.h>
#include <string.h>

static void keep_answer(void *arg, const struct client_answer *a)
{
    struct talk_answer *ret = arg;

    ret->status = a->status;
    if (a->outcome == CLIENT_OK) {
        str_add(&ret->body, a->body);
    } else {
        ret->status = 0;
        str_addz(&ret->body, a->error);
    }
}

void talk_base_url(const struct endpoint *at, const char *scheme, struct str *out)
{
    if (at->is_any) {
        str_addf(out, "%s://127.0.0.1:%u", scheme, (unsigned)at->port);
    } else if (at->kind == ENDPOINT_UNIX) {
        str_addf(out, "%s://localhost", scheme);
    } else {
        str_addf(out, "%s://%s", scheme, at->text);
    }
}

int talk_endpoint(const struct endpoint *at, const char *method, const char *path,
                  int64_t timeout_ms, struct talk_answer *ret, struct err *err)
{
    CLEANUP(str_release) struct str url = {0};

    talk_base_url(at, "http", &url);
    str_addz(&url, path);
    const struct client_request rq = {
        .method = method,
        .url = str_z(&url),
        .unix_path = endpoint_unix_path(at),
        .connect_timeout_ms = TALK_TIMEOUT_MS,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = TALK_ANSWER_MAX_BYTES,
    };
    int r = client_run(&rq, keep_answer, ret, err);

    if (r < 0) {
        return r;
    }
    if (ret->status == 0) {
        return err_set(err, -ECONNREFUSED, "%s", str_z(&ret->body));
    }
    return 0;
}

int talk_control(const struct config *cfg, const char *method, const char *path, int64_t timeout_ms,
                 struct talk_answer *ret, struct err *err)
{
    CLEANUP(str_release) struct str text = {0};
    struct endpoint at;
    int r;

    str_addf(&text, "unix:%s", cfg->control.socket);
    r = endpoint_parse(str_slice(&text), &at, err);
    if (r == 0) {
        r = talk_endpoint(&at, method, path, timeout_ms, ret, err);
    }
    if (r < 0) {
        err_wrap(err, "no sidecar answers at %s (control.socket; --control-socket names another)",
                 cfg->control.socket);
    }
    return r;
}

const char *talk_several(const struct config *cfg)
{
    const char *from = config_origin(cfg, "control.socket");

    return strncmp(from, "default", 7) == 0 ? cfg->facts.several : NULL;
}

int talk_order(const struct config *cfg, const char *path, int64_t timeout_ms,
               struct talk_answer *ret)
{
    struct err err = {0};

    if (talk_several(cfg)) {
        return cmd_fail(EXIT_USAGE,
                        "more than one sidecar runs here; say which one with --control-socket or "
                        "WORKSPACE_ID: %s",
                        talk_several(cfg));
    }
    if (talk_control(cfg, "POST", path, timeout_ms, ret, &err) < 0) {
        return cmd_fail(EXIT_NO, "%s", err.msg);
    }
    return EXIT_OK;
}
