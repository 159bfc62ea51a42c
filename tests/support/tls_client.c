#include "support/tls_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PIECE = 32 * 1024 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "TLS client: %s\n", what);
    abort();
}

/* ---- encrypted bytes ---- */

static void push(struct tls_client *c)
{
    char bytes[PIECE];
    int n;

    while ((n = BIO_read(SSL_get_wbio(c->ssl), bytes, c->one_by_one ? 1 : PIECE)) > 0)
        raw_send(&c->raw, (struct slice){bytes, (size_t)n});
}

/* False at the end, which is noted. */
static bool pull(struct tls_client *c)
{
    char bytes[PIECE];
    struct pollfd p = {.fd = c->raw.fd, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, RAW_WAIT_MS) != 1) {
        (void)snprintf(c->why, sizeof(c->why), "nothing came");
        return false;
    }
    n = recv(c->raw.fd, bytes, c->one_by_one ? 1 : sizeof(bytes), 0);
    if (n <= 0) {
        c->end = n == 0 ? TLS_END_CUT : TLS_END_RESET;
        return false;
    }
    must(BIO_write(SSL_get_rbio(c->ssl), bytes, (int)n) == n, "memory");
    return true;
}

static void fail(struct tls_client *c)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());

    c->end = TLS_END_ERROR;
    (void)snprintf(c->why, sizeof(c->why), "%s", words ? words : "no reason");
}

/* After a call that returned `rc`: true to try it again. */
static bool go_on(struct tls_client *c, int rc)
{
    int error = SSL_get_error(c->ssl, rc);

    push(c);
    if (error == SSL_ERROR_WANT_READ)
        return pull(c);
    if (error == SSL_ERROR_ZERO_RETURN)
        c->end = TLS_END_NOTIFY;
    else
        fail(c);
    return false;
}

/* ---- life ---- */

static SSL_CTX *make_context(const struct tls_client_wish *wish)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    must(ctx != NULL, "memory");
    if (wish->version) {
        SSL_CTX_set_security_level(ctx, wish->version < TLS1_2_VERSION ? 0 : 2);
        must(SSL_CTX_set_min_proto_version(ctx, wish->version) == 1, "version");
        must(SSL_CTX_set_max_proto_version(ctx, wish->version) == 1, "version");
    }
    if (wish->authority) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), wish->authority->x);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (wish->own)
        must(SSL_CTX_use_certificate(ctx, wish->own->x) == 1 &&
                 SSL_CTX_use_PrivateKey(ctx, wish->own->key) == 1,
             "own certificate");
    if (wish->alpn)
        must(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)wish->alpn,
                                     (unsigned)strlen(wish->alpn)) == 0,
             "ALPN");
    return ctx;
}

bool tls_client_open(struct tls_client *c, const struct endpoint *to,
                     const struct tls_client_wish *wish)
{
    *c = (struct tls_client){.one_by_one = wish->one_by_one, .cap = PIECE};
    raw_open(&c->raw, to);
    if (wish->receive_bytes)
        (void)setsockopt(c->raw.fd, SOL_SOCKET, SO_RCVBUF, &wish->receive_bytes, sizeof(int));
    c->p = calloc(1, c->cap + 1);
    c->ctx = make_context(wish);
    c->ssl = SSL_new(c->ctx);
    must(c->p && c->ssl, "memory");
    SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(c->ssl);
    for (;;) {
        int rc;

        ERR_clear_error();
        rc = SSL_do_handshake(c->ssl);
        if (rc == 1)
            break;
        if (!go_on(c, rc))
            return false;
    }
    push(c);
    return true;
}

void tls_client_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    free(c->p);
    raw_close(&c->raw);
}

/* ---- bytes ---- */

void tls_client_send(struct tls_client *c, struct slice bytes)
{
    while (bytes.n) {
        int n = bytes.n > PIECE ? PIECE : (int)bytes.n;

        ERR_clear_error();
        must(SSL_write(c->ssl, bytes.p, n) == n, "write"); /* into memory: all of it */
        push(c);
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
}

void tls_client_sendz(struct tls_client *c, const char *text)
{
    tls_client_send(c, slice_of(text));
}

void tls_client_notify(struct tls_client *c)
{
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl);
    push(c);
}

static bool take(struct tls_client *c)
{
    for (;;) {
        int n;

        if (c->end)
            return false;
        if (c->len == c->cap) {
            c->cap *= 2;
            c->p = realloc(c->p, c->cap + 1);
            must(c->p != NULL, "memory");
        }
        ERR_clear_error();
        n = SSL_read(c->ssl, c->p + c->len, (int)(c->cap - c->len));
        if (n > 0) {
            c->len += (size_t)n;
            c->p[c->len] = '\0';
            return true;
        }
        if (!go_on(c, n))
            return false;
    }
}

bool tls_client_until(struct tls_client *c, const char *text)
{
    while (!memmem(c->p, c->len, text, strlen(text))) {
        if (!take(c))
            return false;
    }
    return true;
}

bool tls_client_until_bytes(struct tls_client *c, size_t n)
{
    while (c->len < n) {
        if (!take(c))
            return false;
    }
    return true;
}

enum tls_end tls_client_until_end(struct tls_client *c)
{
    while (take(c))
        ;
    return c->end;
}

void tls_client_drop(struct tls_client *c)
{
    c->len = 0;
    c->p[0] = '\0';
}

size_t tls_client_count(const struct tls_client *c, const char *text)
{
    const char *at = c->p;
    size_t count = 0;

    while ((at = memmem(at, c->len - (size_t)(at - c->p), text, strlen(text))) != NULL) {
        count++;
        at += strlen(text);
    }
    return count;
}

const char *tls_client_server_name(struct tls_client *c, char buf[64])
{
    X509 *x = SSL_get1_peer_certificate(c->ssl);

    buf[0] = '\0';
    if (x)
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, buf, 64);
    X509_free(x);
    return buf;
}
