/*
 * What curl's result means: an outcome to branch on and a sentence a person understands. The
 * sentence names the host (or the socket), never the path's query, a header or a body.
 */
#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#include "base/err.h"
#include "client/client.h"

enum { CLIENT_PEER_MAX = 280 };

struct client_peer {
    char host[256];             /* "platform.example" */
    char text[CLIENT_PEER_MAX]; /* "platform.example:443" or "unix:/run/x.sock" */
};

/* Check the URL: http or https, a host, no user name. 0 or -EINVAL with a sentence. */
int client_peer_parse(const char *url, const char *unix_path, struct client_peer *ret,
                      struct err *err);

/* For a transfer that failed: fills outcome, errnum and error of `a` from the handle. */
void client_explain(CURL *easy, CURLcode result, const struct client_request *rq,
                    const struct client_peer *peer, const char *curl_words,
                    struct client_answer *a);

#endif
