/*
 * Certificates made by the test itself, in a directory of its own. P-256, signed with SHA-256.
 */
#ifndef SUPPORT_CERTIFICATES_H
#define SUPPORT_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

struct certificate {
    X509 *x;
    EVP_PKEY *key;
};

struct certificate_wish {
    const char *name;                 /* the subject's CN */
    const struct certificate *signer; /* NULL: self-signed, an authority */
    const char *usage;                /* "clientAuth", "serverAuth"; NULL: not said */
    long from_s, to_s;                /* from now; both 0: from a minute ago for 100 days */
};

void certificate_make(struct certificate *c, const struct certificate_wish *wish);
void certificate_free(struct certificate *c);
/* PEM files, 0600. Either path may be NULL; passphrase NULL: the key is not encrypted. */
void certificate_write(const struct certificate *c, const char *cert_path, const char *key_path,
                       const char *passphrase);

#endif
