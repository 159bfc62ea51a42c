/*
 * PEM files into an OpenSSL context. Everything is read through base/file.c (bounded, regular files
 * only) and parsed from memory, so that a key's text can be wiped. OpenSSL's own words go into the
 * sentence behind ours.
 */
#include "config/tls_files.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

enum { SECURITY_LEVEL = 2, DAY_S = 24 * 3600 };

static void bio_cleanup(BIO **bio)
{
    BIO_free(*bio);
}

static void x509_cleanup(X509 **x)
{
    X509_free(*x);
}

static void key_cleanup(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void ctx_cleanup(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

/* OpenSSL's last word, for the end of a sentence. */
static const char *openssl_words(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());

    return words ? words : "no reason given";
}

/* Nobody sits at this program to type one. */
static int no_passphrase(char *buf, int size, int is_writing, void *arg)
{
    bool *was_asked = arg;

    (void)buf;
    (void)size;
    (void)is_writing;
    *was_asked = true;
    return -1;
}

static int open_pem(const char *path, struct str *text, BIO **ret, struct err *err)
{
    int rc = file_read(path, TLS_FILE_MAX, text, err);

    if (rc < 0)
        return rc;
    ERR_clear_error();
    *ret = BIO_new_mem_buf(text->p, (int)text->len);
    return *ret ? 0 : err_set(err, -ENOMEM, "no memory to read %s", path);
}

/* The end of the file, and not something broken in it? */
static bool is_pem_end(void)
{
    unsigned long code = ERR_peek_last_error();

    return code == 0 ||
           (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
}

/* ---- the certificate ---- */

static void describe(X509 *x, struct tls_facts *ret)
{
    CLEANUP(bio_cleanup) BIO *text = BIO_new(BIO_s_mem());
    struct tm tm = {0};
    int n = 0;

    if (text && X509_NAME_print_ex(text, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(text, ret->subject, TLS_SUBJECT_TEXT_MAX - 1);
    if (n > 0)
        ret->subject[n] = '\0';
    else
        (void)snprintf(ret->subject, sizeof(ret->subject), "no subject");
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
        ret->not_after = (int64_t)timegm(&tm);
}

static int load_chain(SSL_CTX *ctx, BIO *pem, const char *path, struct err *err)
{
    X509 *x;

    while ((x = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
            X509_free(x);
            return err_set(err, -EINVAL, "a certificate behind the first one in %s is refused: %s",
                           path, openssl_words());
        }
    }
    if (!is_pem_end())
        return err_set(err, -EINVAL, "what follows the first certificate in %s is broken: %s", path,
                       openssl_words());
    ERR_clear_error();
    return 0;
}

static int load_cert(SSL_CTX *ctx, const char *path, struct tls_facts *facts, X509 **ret,
                     struct err *err)
{
    CLEANUP(str_release) struct str text = {0};
    CLEANUP(bio_cleanup) BIO *pem = NULL;
    int rc = open_pem(path, &text, &pem, err);

    if (rc < 0)
        return rc;
    *ret = PEM_read_bio_X509_AUX(pem, NULL, NULL, NULL);
    if (!*ret)
        return err_set(err, -EINVAL,
                       "%s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): %s",
                       path, openssl_words());
    describe(*ret, facts);
    if (SSL_CTX_use_certificate(ctx, *ret) != 1)
        return err_set(err, -EINVAL,
                       "the certificate in %s is refused: %s; RSA keys need 2048 bits "
                       "and signatures SHA-256",
                       path, openssl_words());
    return load_chain(ctx, pem, path, err);
}

/* ---- the key ---- */

static int load_key(SSL_CTX *ctx, const struct tls_files *files, X509 *cert, struct err *err)
{
    CLEANUP(str_wipe) struct str text = {0};
    CLEANUP(bio_cleanup) BIO *pem = NULL;
    CLEANUP(key_cleanup) EVP_PKEY *key = NULL;
    bool was_asked = false;
    int rc = open_pem(files->key, &text, &pem, err);

    if (rc < 0)
        return rc;
    key = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, &was_asked);
    if (!key && was_asked)
        return err_set(err, -EINVAL,
                       "the key in %s is encrypted, and nobody is here to type a passphrase; write "
                       "it without one (openssl pkey -in ... -out ...) and protect the file",
                       files->key);
    if (!key)
        return err_set(err, -EINVAL,
                       "%s holds no private key in PEM form (-----BEGIN PRIVATE KEY-----): %s",
                       files->key, openssl_words());
    if (X509_check_private_key(cert, key) != 1)
        return err_set(err, -EINVAL,
                       "the key in %s does not belong to the certificate in %s; give the two that "
                       "were made together",
                       files->key, files->cert);
    if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        return err_set(err, -EINVAL, "the key in %s is refused: %s", files->key, openssl_words());
    return 0;
}

/* ---- who signs clients ---- */

static int load_client_ca(SSL_CTX *ctx, const char *path, struct err *err)
{
    CLEANUP(str_release) struct str text = {0};
    CLEANUP(bio_cleanup) BIO *pem = NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    size_t count = 0;
    int rc = open_pem(path, &text, &pem, err);

    if (rc < 0)
        return rc;
    for (;;) {
        CLEANUP(x509_cleanup) X509 *x = PEM_read_bio_X509(pem, NULL, NULL, NULL);

        if (!x)
            break;
        if (X509_STORE_add_cert(store, x) != 1 || SSL_CTX_add_client_CA(ctx, x) != 1)
            return err_set(err, -EINVAL, "an authority in %s is refused: %s", path,
                           openssl_words());
        count++;
    }
    if (!is_pem_end() || count == 0)
        return err_set(err, -EINVAL,
                       "%s must hold certificates of authorities in PEM form; number %zu is none: "
                       "%s",
                       path, count + 1, openssl_words());
    ERR_clear_error();
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

/* ---- all of it ---- */

int tls_files_load(const struct tls_files *files, struct ssl_ctx_st **ret, struct tls_facts *facts,
                   const char **ret_key, struct err *err)
{
    CLEANUP(ctx_cleanup) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    CLEANUP(x509_cleanup) X509 *cert = NULL;
    int rc;

    *ret_key = "tls_cert";
    *facts = (struct tls_facts){0};
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return err_set(err, -ENOMEM, "cannot set up TLS: %s", openssl_words());
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    rc = load_cert(ctx, files->cert, facts, &cert, err);
    if (rc == 0) {
        *ret_key = "tls_key";
        rc = load_key(ctx, files, cert, err);
    }
    if (rc == 0 && files->client_ca && *files->client_ca) {
        *ret_key = "tls_client_ca";
        rc = load_client_ca(ctx, files->client_ca, err);
    }
    ERR_clear_error();
    if (rc == 0) {
        *ret = ctx;
        ctx = NULL;
    }
    return rc;
}

/* ---- time ---- */

const char *tls_time_text(int64_t seconds, char buf[TLS_TIME_TEXT_MAX])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(buf, TLS_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(buf, TLS_TIME_TEXT_MAX, "%lld", (long long)seconds);
    return buf;
}

enum tls_expiry tls_expiry_of(const struct tls_facts *facts, int64_t now_s)
{
    if (facts->not_after <= now_s)
        return TLS_EXPIRY_OVER;
    return facts->not_after - now_s < TLS_EXPIRES_SOON_S ? TLS_EXPIRY_SOON : TLS_EXPIRY_FAR;
}

const char *tls_expiry_text(const struct tls_facts *facts, int64_t now_s, char buf[96])
{
    char when[TLS_TIME_TEXT_MAX];

    (void)tls_time_text(facts->not_after, when);
    if (tls_expiry_of(facts, now_s) == TLS_EXPIRY_OVER)
        (void)snprintf(buf, 96, "has expired on %s", when);
    else
        (void)snprintf(buf, 96, "expires on %s (%lld days left)", when,
                       (long long)((facts->not_after - now_s) / DAY_S));
    return buf;
}
