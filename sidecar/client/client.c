/*
 * Drives a transfer: on the loop (client_start) or until its end (client_run). What the transfer
 * is made of is transfer.c's.
 */
#include "client/client.h"

#include "base/cleanup.h"
#include "client/transfer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

struct client_call {
    struct transfer transfer;
    struct curl_io *io; /* borrowed */
    client_done_fn *done;
    void *arg;
};

static void call_free(struct client_call *call)
{
    transfer_release(&call->transfer);
    free(call);
}

static void on_curl_done(void *arg, CURL *easy, CURLcode result)
{
    struct client_call *call = arg;
    struct client_answer answer;

    (void)easy; /* it is call->transfer.easy */
    transfer_result(&call->transfer, result, &answer);
    call->done(call->arg, &answer);
    call_free(call);
}

int client_start(struct curl_io *io, const struct client_request *rq, client_done_fn *done,
                 void *arg, struct client_call **ret, struct err *err)
{
    struct client_call *call = calloc(1, sizeof(*call));

    *ret = NULL;
    if (!call)
        return err_set(err, -ENOMEM, "out of memory");
    call->io = io;
    call->done = done;
    call->arg = arg;
    int rc = transfer_init(&call->transfer, rq, arg, err);
    if (rc == 0) {
        rc = curl_io_start(io, call->transfer.easy, call->transfer.rq.timeout_ms, on_curl_done,
                           call);
        if (rc < 0)
            (void)err_set(err, rc, "cannot start the call to %s", call->transfer.peer.text);
    }
    if (rc < 0) {
        call_free(call);
        return rc;
    }
    *ret = call;
    return 0;
}

void client_cancel(struct client_call *call)
{
    if (!call)
        return;
    curl_io_cancel(call->io, call->transfer.easy);
    call_free(call);
}

int client_run(const struct client_request *rq, client_done_fn *done, void *arg, struct err *err)
{
    CLEANUP(transfer_release) struct transfer transfer;
    struct client_answer answer;

    int rc = transfer_init(&transfer, rq, arg, err);
    if (rc < 0)
        return rc;
    CURLcode result = curl_easy_perform(transfer.easy);
    transfer_result(&transfer, result, &answer);
    done(arg, &answer);
    return 0;
}
