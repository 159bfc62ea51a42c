/*
 * The listener's certificate, its key and the authorities of its clients: from PEM files to an
 * OpenSSL context, with sentences for whoever has to mend the files. check-config looks with it,
 * server/tls_context.c serves with it.
 */
#ifndef CONFIG_TLS_FILES_H
#define CONFIG_TLS_FILES_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

enum {
    TLS_FILE_MAX =
        1024 * 1024, /* bytes of one file; the authorities of a whole system have 250 KiB */
    TLS_SUBJECT_TEXT_MAX = 256, /* of a subject in sentences; longer ones are cut */
    TLS_TIME_TEXT_MAX = 32,
    TLS_EXPIRES_SOON_S = 14 * 24 * 3600, /* time to renew by hand, if no machine does it */
};

struct tls_files {         /* paths, borrowed */
    const char *cert;      /* the certificate, behind it those between it and its authority */
    const char *key;       /* its key, not encrypted */
    const char *client_ca; /* NULL or "": clients are not asked for certificates */
};

struct tls_facts {
    char subject[TLS_SUBJECT_TEXT_MAX]; /* "CN=agent.example.com"; "no subject" */
    int64_t not_after;                  /* seconds since 1970 */
};

/*
 * A server's context with what the files hold, at security level 2, TLS 1.2 and newer, asking for a
 * client certificate when there are authorities. The caller frees it (SSL_CTX_free). Reads the
 * files: blocks for as long as a disk takes for a few KiB. On failure *ret_key is the key of
 * `listen` at fault ("tls_cert", "tls_key", "tls_client_ca") and the sentence names the file.
 * 0, -errno of reading, -EINVAL for what was read, -ENOMEM.
 */
int tls_files_load(const struct tls_files *files, struct ssl_ctx_st **ret, struct tls_facts *facts,
                   const char **ret_key, struct err *err);

/* "2027-03-01T12:00:00Z" */
const char *tls_time_text(int64_t seconds, char buf[TLS_TIME_TEXT_MAX]);

/* How near the end is. */
enum tls_expiry { TLS_EXPIRY_FAR = 0, TLS_EXPIRY_SOON, TLS_EXPIRY_OVER };
enum tls_expiry tls_expiry_of(const struct tls_facts *facts, int64_t now_s);
/* Of SOON and OVER: "expires on ... (13 days)", "has expired on ..." */
const char *tls_expiry_text(const struct tls_facts *facts, int64_t now_s, char buf[96]);

#endif
