#include "support/certificates.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY_S = 24 * 3600 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "certificates: %s\n", what);
    abort();
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *e;

    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(e && X509_add_ext(x, e, -1) == 1, value);
    X509_EXTENSION_free(e);
}

void certificate_make(struct certificate *c, const struct certificate_wish *wish)
{
    static long serial = 1;
    bool is_dated = wish->from_s || wish->to_s;
    X509_NAME *name;
    X509 *issuer;

    c->key = EVP_EC_gen("P-256");
    c->x = X509_new();
    must(c->key && c->x, "memory");
    name = X509_get_subject_name(c->x);
    issuer = wish->signer ? wish->signer->x : c->x;
    X509_set_version(c->x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c->x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c->x), is_dated ? wish->from_s : -60);
    X509_gmtime_adj(X509_getm_notAfter(c->x), is_dated ? wish->to_s : 100L * DAY_S);
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name,
                                    -1, -1, 0) == 1,
         "name");
    X509_set_issuer_name(c->x, X509_get_subject_name(issuer));
    X509_set_pubkey(c->x, c->key);
    add_extension(c->x, issuer, NID_basic_constraints, wish->signer ? "CA:FALSE" : "CA:TRUE");
    add_extension(c->x, issuer, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    if (wish->usage)
        add_extension(c->x, issuer, NID_ext_key_usage, wish->usage);
    must(X509_sign(c->x, wish->signer ? wish->signer->key : c->key, EVP_sha256()) > 0, "signature");
}

void certificate_free(struct certificate *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
    *c = (struct certificate){0};
}

static FILE *open_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

    must(f != NULL, path);
    return f;
}

void certificate_write(const struct certificate *c, const char *cert_path, const char *key_path,
                       const char *passphrase)
{
    FILE *f;

    if (cert_path) {
        f = open_private(cert_path);
        must(PEM_write_X509(f, c->x) == 1 && fclose(f) == 0, cert_path);
    }
    if (key_path) {
        f = open_private(key_path);
        must(PEM_write_PKCS8PrivateKey(f, c->key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
                                       passphrase ? (int)strlen(passphrase) : 0, NULL, NULL) == 1 &&
                 fclose(f) == 0,
             key_path);
    }
}
