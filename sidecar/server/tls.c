/*
 * One TLS session on a non-blocking descriptor. OpenSSL reads and writes through a BIO of ours:
 * MSG_NOSIGNAL, and the errno that a failed call had. Nothing here logs.
 */
#include "server/tls.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/banned.h"

struct tls_session {
    struct tls_context *context;
    SSL *ssl;
    int fd;       /* borrowed */
    int io_errno; /* of the last call that failed for good */
    int waits;    /* WATCH_* of the last -EAGAIN */
    bool is_up;
    bool saw_eof;
    bool has_input;
    bool read_is_crossed; /* waits for room */
    bool write_is_crossed;
    bool has_moved;
    char *client; /* owned; NULL */
};

/* ---- the descriptor, as OpenSSL sees it ---- */

static int bio_take(struct tls_session *s, BIO *bio, ssize_t n, size_t *ret, bool is_read)
{
    BIO_clear_retry_flags(bio);
    *ret = n > 0 ? (size_t)n : 0;
    if (n > 0)
        return 1;
    if (n == 0 && is_read) {
        s->saw_eof = true;
    } else if (errno == EAGAIN) {
        if (is_read)
            BIO_set_retry_read(bio);
        else
            BIO_set_retry_write(bio);
    } else {
        s->io_errno = errno;
    }
    return 0;
}

static int bio_read(BIO *bio, char *p, size_t n, size_t *ret)
{
    struct tls_session *s = BIO_get_data(bio);
    ssize_t got;

    do {
        got = recv(s->fd, p, n, 0);
    } while (got < 0 && errno == EINTR);
    return bio_take(s, bio, got, ret, true);
}

static int bio_write(BIO *bio, const char *p, size_t n, size_t *ret)
{
    struct tls_session *s = BIO_get_data(bio);
    ssize_t put;

    do {
        put = send(s->fd, p, n, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    s->has_moved |= put > 0;
    return bio_take(s, bio, put, ret, false);
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct tls_session *s = BIO_get_data(bio);

    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF)
        return s->saw_eof;
    return cmd == BIO_CTRL_FLUSH; /* nothing is held back; the rest is not known */
}

struct bio_method_st *tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "connection");

    if (m && BIO_meth_set_read_ex(m, bio_read) == 1 && BIO_meth_set_write_ex(m, bio_write) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- life ---- */

struct tls_session *tls_session_new(struct tls_context *t, int fd)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    BIO *bio = s ? BIO_new(tls_context_bio(t)) : NULL;

    if (bio)
        s->ssl = tls_context_ssl(t);
    if (!bio || !s->ssl) {
        BIO_free(bio);
        free(s);
        ERR_clear_error();
        return NULL;
    }
    s->context = t;
    s->fd = fd;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio); /* takes it */
    SSL_set_accept_state(s->ssl);
    return s;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s->client);
    free(s);
}

/* What a call that did not work means: 0 at the end of the peer's half, -EAGAIN, -errno. */
static int outcome(struct tls_session *s)
{
    switch (SSL_get_error(s->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        s->waits = WATCH_READ;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->waits = WATCH_WRITE;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return s->io_errno ? -s->io_errno : -ECONNRESET;
    default: /* SSL_ERROR_SSL: the peer broke the protocol */
        return -EPROTO;
    }
}

/* ---- who the client is ---- */

/* As a quoted string (RFC 9110 section 5.6.4): what XN_FLAG_RFC2253 prints is ASCII without
 * controls, so two characters are left that could end it early. */
static void add_quoted(struct str *out, struct slice text)
{
    str_addz(out, ";Subject=\"");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            str_addz(out, "\\");
        str_add(out, (struct slice){text.p + i, 1});
    }
    str_addz(out, "\"");
}

static void add_subject(struct str *out, X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    struct slice text = {0};

    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
        text = (struct slice){NULL, (size_t)BIO_get_mem_data(bio, &p)};
    text.p = p;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < ' ' ||
            text.p[i] > '~') /* never, says OpenSSL; a header is a bad place to find out */
            text.n = 0;
    }
    /* Half a name could be another's name: none is better. */
    if (text.n > 0 && text.n <= TLS_CLIENT_SUBJECT_MAX)
        add_quoted(out, text);
    BIO_free(bio);
}

/* 0, or -ENOMEM. Nothing without a client certificate; one that was not verified never gets here.
 */
static int note_client(struct tls_session *s)
{
    X509 *x = SSL_get0_peer_certificate(s->ssl);
    unsigned char hash[EVP_MAX_MD_SIZE];
    struct str text = {0};
    unsigned n = 0;

    if (!x)
        return 0;
    assert(SSL_get_verify_result(s->ssl) == X509_V_OK);
    if (X509_digest(x, EVP_sha256(), hash, &n) != 1)
        return -ENOMEM;
    str_addz(&text, "Hash=");
    for (unsigned i = 0; i < n; i++)
        str_addf(&text, "%02x", hash[i]);
    add_subject(&text, x);
    if (str_ok(&text))
        s->client = slice_dup(str_slice(&text));
    str_release(&text);
    return s->client ? 0 : -ENOMEM;
}

const char *tls_session_client(const struct tls_session *s)
{
    return s->client;
}

/* ---- the handshake ---- */

static void explain(const struct tls_session *s, int code, char reason[TLS_REASON_MAX])
{
    unsigned long last = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(s->ssl);
    const char *words = ERR_reason_error_string(last);

    if (code == -EPROTO && ERR_GET_REASON(last) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        words = X509_verify_cert_error_string(verdict);
    else if (code == 0)
        words = "the client has hung up";
    else if (code != -EPROTO || !words)
        words = strerror(code == -EPROTO ? EPROTO : -code);
    (void)snprintf(reason, TLS_REASON_MAX, "%s", words);
}

int tls_session_handshake(struct tls_session *s, char reason[TLS_REASON_MAX])
{
    int code;

    ERR_clear_error();
    s->io_errno = 0;
    if (SSL_do_handshake(s->ssl) == 1) {
        code = note_client(s);
        if (code == 0) {
            s->is_up = true;
            s->has_input = SSL_has_pending(s->ssl) == 1;
            return 0;
        }
    } else {
        code = outcome(s);
        if (code == -EAGAIN)
            return code;
    }
    explain(s, code, reason);
    ERR_clear_error();
    return code == 0 ? -ECONNRESET : code;
}

/* ---- bytes ---- */

long tls_session_read(struct tls_session *s, char *p, size_t n)
{
    size_t got = 0, more;
    int code = 1;

    if (n == 0)
        return -EAGAIN;
    ERR_clear_error(); /* what others left behind would look like ours */
    s->io_errno = 0;
    s->read_is_crossed = false;
    while (got < n) {
        if (SSL_read_ex(s->ssl, p + got, n - got, &more) != 1) {
            code = outcome(s);
            break;
        }
        got += more;
        if (SSL_has_pending(s->ssl) != 1)
            break; /* the descriptor tells when there is more */
    }
    s->read_is_crossed = code == -EAGAIN && s->waits == WATCH_WRITE;
    if (got == 0) {
        s->has_input = false;
        return code;
    }
    /* Full, or behind these bytes comes an end that no event will report. */
    s->has_input = code == 1 ? SSL_has_pending(s->ssl) == 1 : code != -EAGAIN;
    return (long)got;
}

/* The next record's bytes: from the pieces as they are when one can fill it, else put together. */
static struct slice next_record(struct tls_context *t, const struct iovec *iov, int count,
                                size_t skip)
{
    char *to = tls_context_gather(t);
    size_t n = 0;

    while (count > 0 && skip >= iov->iov_len) {
        skip -= iov->iov_len;
        iov++;
        count--;
    }
    if (count > 0 && (count == 1 || iov->iov_len - skip >= TLS_GATHER_BYTES))
        return (struct slice){(const char *)iov->iov_base + skip, iov->iov_len - skip};
    for (; count > 0 && n < TLS_GATHER_BYTES; iov++, count--) {
        size_t part = iov->iov_len - skip;

        if (part > TLS_GATHER_BYTES - n)
            part = TLS_GATHER_BYTES - n;
        memcpy(to + n, (const char *)iov->iov_base + skip, part);
        n += part;
        skip = 0;
    }
    return (struct slice){to, n};
}

long tls_session_write(struct tls_session *s, const struct iovec *iov, int count)
{
    size_t total = 0, put = 0, more;
    int code = -EAGAIN;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ERR_clear_error();
    s->io_errno = 0;
    s->write_is_crossed = false;
    s->has_moved = false;
    while (put < total) {
        struct slice bytes = next_record(s->context, iov, count, put);

        if (SSL_write_ex(s->ssl, bytes.p, bytes.n, &more) != 1) {
            code = outcome(s);
            break;
        }
        put += more;
    }
    s->write_is_crossed = put < total && code == -EAGAIN && s->waits == WATCH_READ;
    if (put > 0)
        return (long)put;
    return code == 0 ? -EPIPE : code; /* 0 is no answer to a write */
}

bool tls_session_has_moved(const struct tls_session *s)
{
    return s->has_moved;
}

bool tls_session_has_input(const struct tls_session *s)
{
    return s->has_input;
}

bool tls_session_is_midway(const struct tls_session *s)
{
    return SSL_has_pending(s->ssl) == 1;
}

int tls_session_watches(const struct tls_session *s, int events)
{
    bool reads = (events & WATCH_READ) != 0;
    bool writes = (events & WATCH_WRITE) != 0;

    if (s->write_is_crossed && writes)
        events = (events & ~WATCH_WRITE) | WATCH_READ;
    if (s->read_is_crossed && reads) /* being readable is not news until there was room */
        events = (events & ~WATCH_READ) | WATCH_WRITE;
    return events;
}

int tls_session_waits(const struct tls_session *s)
{
    return s->waits;
}

bool tls_session_is_crossed(const struct tls_session *s)
{
    return s->read_is_crossed || s->write_is_crossed;
}

int tls_session_end(struct tls_session *s)
{
    int code;

    if (!s->is_up)
        return 0;
    ERR_clear_error();
    s->io_errno = 0;
    code = SSL_shutdown(s->ssl); /* 0: sent, and the peer's has not come, which is not waited for */
    if (code < 0)
        code = SSL_get_error(s->ssl, code) == SSL_ERROR_WANT_WRITE ? -EAGAIN : 0;
    ERR_clear_error();
    return code < 0 ? code : 0;
}
