/*
 * One HTTP exchange as a curl easy handle: options set, answer gathered, result told. Who drives
 * the handle (the loop's multi, or curl_easy_perform) is the caller's choice.
 */
#ifndef CLIENT_TRANSFER_H
#define CLIENT_TRANSFER_H

#include "base/err.h"
#include "base/str.h"
#include "client/client.h"
#include "client/words.h"

struct transfer { /* embedded; must not move between init and release: curl holds its address */
    CURL *easy;   /* owned */
    struct client_request rq;   /* strings borrowed as client.h says; body and headers are copied */
    struct curl_slist *headers; /* owned */
    struct client_peer peer;
    struct str body;
    size_t max_bytes;
    bool is_too_big, is_stopped;
    bool has_head; /* the blank line behind an answer's head has come */
    char retry_after[64];
    int64_t rate_limit, rate_remaining;
    char curl_words[CURL_ERROR_SIZE];
    void *arg; /* for rq.on_data */
};

/* 0, -EINVAL (URL, option) or -ENOMEM with a sentence. Call release in every case. */
int transfer_init(struct transfer *t, const struct client_request *rq, void *arg, struct err *err);
/* The handle is at its end: tell. ret's pointers live until transfer_release. */
void transfer_result(struct transfer *t, CURLcode result, struct client_answer *ret);
void transfer_release(struct transfer *t); /* also half-built; wipes the answer */

#endif
