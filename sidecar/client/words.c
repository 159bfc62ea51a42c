/*
 * Turns curl's result codes into outcomes and sentences. Knows nothing of the platform or the
 * agent: whoever calls adds what the failure means for him.
 */
#include "client/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static int url_part(CURLU *u, CURLUPart part, unsigned flags, char *dst, size_t cap)
{
    char *text = NULL;

    if (curl_url_get(u, part, &text, flags) != CURLUE_OK || !text) {
        dst[0] = '\0';
        return -EINVAL;
    }
    size_t n = strnlen(text, cap);
    if (n < cap)
        memcpy(dst, text, n + 1);
    curl_free(text);
    return n < cap ? 0 : -EINVAL;
}

int client_peer_parse(const char *url, const char *unix_path, struct client_peer *ret,
                      struct err *err)
{
    char scheme[16] = "";
    char port[16] = "";
    CURLU *u = curl_url();

    *ret = (struct client_peer){0};
    if (!u)
        return err_set(err, -ENOMEM, "out of memory");
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    if (rc != CURLUE_OK) {
        curl_url_cleanup(u);
        if (rc == CURLUE_USER_NOT_ALLOWED)
            return err_set(err, -EINVAL, "the URL must not hold a user name or password");
        return err_set(err, -EINVAL, "not a URL (%s); it must look like http://host:port/path",
                       curl_url_strerror(rc));
    }
    int bad = url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof(scheme));
    bad |= url_part(u, CURLUPART_HOST, 0, ret->host, sizeof(ret->host));
    bad |= url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port));
    curl_url_cleanup(u);
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return err_set(err, -EINVAL, "the URL's scheme is %s, must be http or https",
                       scheme[0] ? scheme : "missing");
    if (bad)
        return err_set(err, -EINVAL, "the URL's host or port is missing or too long");
    if (unix_path)
        (void)snprintf(ret->text, sizeof(ret->text), "unix:%s", unix_path);
    else
        (void)snprintf(ret->text, sizeof(ret->text), "%s:%s", ret->host, port);
    return 0;
}

static void explain_timeout(CURL *easy, const struct client_request *rq,
                            const struct client_peer *peer, struct client_answer *a)
{
    curl_off_t named_us = 0;
    curl_off_t connected_us = 0;
    curl_off_t ready_us = 0;
    int64_t took_ms =
        a->elapsed_ms > 0 ? a->elapsed_ms : rq->timeout_ms; /* 0: never left the queue */

    (void)curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
    (void)curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    (void)curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    a->outcome = ready_us > 0 ? CLIENT_TIMEOUT : CLIENT_NOT_SENT;
    if (ready_us > 0)
        (void)snprintf(a->error, sizeof(a->error), "%s did not answer within %lld ms", peer->text,
                       (long long)rq->timeout_ms);
    else if (!rq->unix_path && named_us == 0)
        (void)snprintf(a->error, sizeof(a->error),
                       "cannot resolve %s in %lld ms: no name server answers", peer->host,
                       (long long)took_ms);
    else if (connected_us > 0)
        (void)snprintf(a->error, sizeof(a->error), "TLS: no handshake with %s within %lld ms",
                       peer->text, (long long)took_ms);
    else
        (void)snprintf(a->error, sizeof(a->error), "no connection to %s within %lld ms", peer->text,
                       (long long)took_ms);
}

static void explain_connect(CURL *easy, const struct client_peer *peer, struct client_answer *a)
{
    long os_errno = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    a->outcome = CLIENT_NOT_SENT;
    a->errnum = (int)os_errno;
    if (os_errno == ECONNREFUSED)
        (void)snprintf(a->error, sizeof(a->error), "connection refused by %s", peer->text);
    else
        (void)snprintf(a->error, sizeof(a->error), "cannot connect to %s%s%s", peer->text,
                       os_errno ? ": " : "", os_errno ? strerror((int)os_errno) : "");
}

/* Which outcome belongs to a code that has no sentence of its own. */
static enum client_outcome outcome_by_progress(CURL *easy, CURLcode result)
{
    curl_off_t ready_us = 0;

    if (result == CURLE_OUT_OF_MEMORY || result == CURLE_URL_MALFORMAT ||
        result == CURLE_BAD_FUNCTION_ARGUMENT || result == CURLE_FAILED_INIT)
        return CLIENT_FAILED;
    (void)curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    return ready_us > 0 ? CLIENT_LOST : CLIENT_NOT_SENT;
}

void client_explain(CURL *easy, CURLcode result, const struct client_request *rq,
                    const struct client_peer *peer, const char *curl_words, struct client_answer *a)
{
    const char *words = curl_words[0] ? curl_words : curl_easy_strerror(result);
    const char *before = "";
    const char *after = "";
    const char *name = peer->text;

    a->outcome = outcome_by_progress(easy, result);
    switch ((int)result) {
    case CURLE_OPERATION_TIMEDOUT:
        explain_timeout(easy, rq, peer, a);
        return;
    case CURLE_COULDNT_CONNECT:
        explain_connect(easy, peer, a);
        return;
    case CURLE_COULDNT_RESOLVE_HOST:
        before = "cannot resolve ";
        name = peer->host;
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        before = "cannot resolve the proxy's name (on the way to ";
        after = ")";
        break;
    case CURLE_PEER_FAILED_VERIFICATION: {
        bool hint = rq->tls && rq->tls->ca_hint && rq->tls->ca_hint[0];
        a->outcome = CLIENT_NOT_SENT;
        (void)snprintf(a->error, sizeof(a->error),
                       "TLS: the certificate of %s is not trusted: %.120s%s%s%s", peer->text, words,
                       hint ? " (" : "", hint ? rq->tls->ca_hint : "", hint ? ")" : "");
        return;
    }
    case CURLE_SSL_CACERT_BADFILE:
        a->outcome = CLIENT_NOT_SENT;
        (void)snprintf(a->error, sizeof(a->error), "TLS: cannot read certificates from %.180s",
                       rq->tls && rq->tls->ca_file ? rq->tls->ca_file : "the system's CA file");
        return;
    case CURLE_SSL_CERTPROBLEM:
        a->outcome = CLIENT_NOT_SENT;
        (void)snprintf(a->error, sizeof(a->error),
                       "TLS: the client certificate cannot be used: %.180s", words);
        return;
    case CURLE_GOT_NOTHING:
        after = " closed the connection without an answer";
        break;
    case CURLE_PARTIAL_FILE:
        after = " closed the connection in the middle of its answer";
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (a->outcome == CLIENT_LOST)
            a->outcome = CLIENT_NOT_HTTP;
        after = " does not speak HTTP";
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        before = "the connection to ";
        after = " was lost before the answer was whole";
        break;
    case CURLE_OUT_OF_MEMORY:
        before = "out of memory while calling ";
        break;
    case CURLE_SSL_CONNECT_ERROR:
        a->outcome = CLIENT_NOT_SENT;
        (void)snprintf(a->error, sizeof(a->error), "TLS: no handshake with %s: %.120s%s",
                       peer->text, words,
                       strstr(words, "wrong version number")
                           ? " (it seems to speak plain http: write http:// instead of https://?)"
                           : "");
        return;
    default:
        (void)snprintf(a->error, sizeof(a->error), "the call to %s failed: %.120s", peer->text,
                       words);
        return;
    }
    (void)snprintf(a->error, sizeof(a->error), "%s%s%s", before, name, after);
}
