/*
 * Sets the options every call of ours has, and gathers the answer. The driving is client.c's, the
 * words for failures are words.c's.
 */
#include "client/transfer.h"

#include "base/parse.h"
#include "base/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

enum {
    TCP_KEEPALIVE_S = 30, /* idle seconds before the kernel looks whether the other side is there */
    CONNECT_DEFAULT_MS = 5000,
    TOTAL_DEFAULT_MS = 10000, /* P section 4.1 */
};

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count;

    if (t->rq.on_data) {
        t->is_stopped = !t->rq.on_data(t->arg, (struct slice){bytes, n});
        return t->is_stopped ? 0 : n;
    }
    if (n > t->max_bytes - t->body.len) {
        t->is_too_big = true;
        return 0;
    }
    str_add(&t->body, (struct slice){bytes, n});
    return str_ok(&t->body) ? n : 0;
}

static bool header_value(struct slice line, const char *name, struct slice *ret)
{
    size_t n = strlen(name);

    if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
        return false;
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    *ret = slice_trim((struct slice){line.p + n + 1, line.n - n - 1});
    return true;
}

/* "unlimited" (the platform in development mode) is no number: stays -1. */
static int64_t header_number(struct slice value)
{
    int64_t n = -1;

    return parse_int64(value, 0, INT64_MAX, &n) == 0 ? n : -1;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    struct slice line = {bytes, size * count};
    struct slice value;

    if (slice_starts_with(line, SLICE("HTTP/"))) { /* an interim answer may have come before */
        t->retry_after[0] = '\0';
        t->rate_limit = t->rate_remaining = -1;
        t->has_head = false;
    } else if (line.n > 0 && (line.p[0] == '\r' || line.p[0] == '\n')) {
        t->has_head = true;
    } else if (header_value(line, "retry-after", &value)) {
        (void)snprintf(t->retry_after, sizeof(t->retry_after), "%.*s",
                       value.n < sizeof(t->retry_after) ? (int)value.n : 0, value.p);
    } else if (header_value(line, "x-ratelimit-limit", &value)) {
        t->rate_limit = header_number(value);
    } else if (header_value(line, "x-ratelimit-remaining", &value)) {
        t->rate_remaining = header_number(value);
    }
    return line.n;
}

static int add_header(struct transfer *t, const char *line, struct err *err)
{
    if (line[strcspn(line, "\r\n")] != '\0')
        return err_set(err, -EINVAL, "a header must not hold a line break");
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (!longer)
        return err_set(err, -ENOMEM, "out of memory");
    t->headers = longer;
    return 0;
}

static int set_headers(struct transfer *t, const struct client_request *rq, struct err *err)
{
    bool has_type = false;
    int rc = add_header(t, "Expect:", err); /* curl's pause before big bodies helps nobody here */

    for (size_t i = 0; rc == 0 && i < CLIENT_HEADERS_MAX && rq->headers[i]; i++) {
        has_type = has_type || strncasecmp(rq->headers[i], "content-type:", 13) == 0;
        rc = add_header(t, rq->headers[i], err);
    }
    if (rc == 0 && rq->body.p && !has_type)
        rc = add_header(t, "Content-Type: application/json", err);
    if (rc == 0 && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK)
        rc = err_set(err, -ENOMEM, "out of memory");
    return rc;
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(t->easy, option, value);                                         \
    } while (0)

static CURLcode set_safety(struct transfer *t)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that never answers must not hold us */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CAPATH, NULL); /* with a directory of certificates curl's CA cache is off */
    SET(CURLOPT_PROXY_CAPATH, NULL);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)TCP_KEEPALIVE_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)TCP_KEEPALIVE_S);
    return rc;
}

static CURLcode set_tls(struct transfer *t, const struct client_tls *tls)
{
    CURLcode rc = CURLE_OK;
    const char *proxy = tls && tls->proxy && !t->rq.unix_path ? tls->proxy : "";

    SET(CURLOPT_PROXY, proxy); /* "" also silences http_proxy and its kin */
    SET(CURLOPT_NOPROXY, "");
    if (tls && tls->ca_file && tls->ca_file[0]) {
        SET(CURLOPT_CAINFO, tls->ca_file);
        SET(CURLOPT_PROXY_CAINFO, tls->ca_file);
    }
    if (tls && tls->cert_file && tls->cert_file[0])
        SET(CURLOPT_SSLCERT, tls->cert_file);
    if (tls && tls->key_file && tls->key_file[0])
        SET(CURLOPT_SSLKEY, tls->key_file);
    return rc;
}

static CURLcode set_request(struct transfer *t, const struct client_request *rq)
{
    CURLcode rc = CURLE_OK;
    bool is_post = strcmp(rq->method, "POST") == 0;

    SET(CURLOPT_URL, rq->url);
    if (rq->unix_path)
        SET(CURLOPT_UNIX_SOCKET_PATH, rq->unix_path);
    if (strcmp(rq->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else if (rq->body.p || is_post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
        SET(CURLOPT_COPYPOSTFIELDS, rq->body.p ? rq->body.p : "");
    }
    if (!is_post && strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "HEAD") != 0)
        SET(CURLOPT_CUSTOMREQUEST, rq->method);
    if (rq->is_once) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    int64_t connect_ms = rq->connect_timeout_ms > 0 ? rq->connect_timeout_ms : CONNECT_DEFAULT_MS;
    int64_t total_ms = rq->timeout_ms > 0 ? rq->timeout_ms : TOTAL_DEFAULT_MS;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)total_ms);
    t->rq.timeout_ms = total_ms;
    return rc;
}

static CURLcode set_callbacks(struct transfer *t)
{
    char agent[64];
    CURLcode rc = CURLE_OK;

    (void)snprintf(agent, sizeof(agent), "molecule-sidecar/%.40s", build_facts.version);
    SET(CURLOPT_USERAGENT, agent);
    SET(CURLOPT_ERRORBUFFER, t->curl_words);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    return rc;
}

int transfer_init(struct transfer *t, const struct client_request *rq, void *arg, struct err *err)
{
    *t = (struct transfer){.rq = *rq, .arg = arg, .rate_limit = -1, .rate_remaining = -1};
    t->max_bytes = rq->max_answer_bytes ? rq->max_answer_bytes : CLIENT_ANSWER_DEFAULT_BYTES;
    int code = client_peer_parse(rq->url, rq->unix_path, &t->peer, err);
    if (code < 0)
        return code;
    t->easy = curl_easy_init();
    if (!t->easy)
        return err_set(err, -ENOMEM, "out of memory");
    CURLcode rc = set_safety(t);
    if (rc == CURLE_OK)
        rc = set_tls(t, rq->tls);
    if (rc == CURLE_OK)
        rc = set_request(t, rq);
    if (rc == CURLE_OK)
        rc = set_callbacks(t);
    if (rc != CURLE_OK)
        return err_set(err, rc == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
                       "cannot prepare the call to %s: %s", t->peer.text, curl_easy_strerror(rc));
    return set_headers(t, rq, err);
}

void transfer_result(struct transfer *t, CURLcode result, struct client_answer *ret)
{
    curl_off_t total_us = 0;
    long status = 0;
    long sent = 0;
    char *type = NULL;

    *ret = (struct client_answer){.rate_limit = t->rate_limit, .rate_remaining = t->rate_remaining};
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    (void)curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
    ret->status = (int)status;
    ret->sent_bytes = sent;
    ret->content_type = type ? type : "";
    ret->retry_after = t->retry_after;
    ret->elapsed_ms = (int64_t)(total_us / 1000);
    ret->body = str_slice(&t->body);
    if (t->is_stopped) {
        ret->outcome = CLIENT_STOPPED;
        (void)snprintf(ret->error, sizeof(ret->error), "stopped reading the answer of %s",
                       t->peer.text);
    } else if (t->is_too_big) {
        ret->outcome = CLIENT_TOO_BIG;
        (void)snprintf(ret->error, sizeof(ret->error), "the answer of %s is longer than %zu bytes",
                       t->peer.text, t->max_bytes);
    } else if (result == CURLE_OK &&
               !t->has_head) { /* curl takes a head that is cut for a whole one */
        ret->outcome = CLIENT_LOST;
        (void)snprintf(ret->error, sizeof(ret->error),
                       "%s closed the connection in the middle of its answer's head", t->peer.text);
    } else if (result != CURLE_OK) {
        client_explain(t->easy, result, &t->rq, &t->peer, t->curl_words, ret);
    }
}

void transfer_release(struct transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    t->easy = NULL;
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    str_wipe(&t->body);
}
