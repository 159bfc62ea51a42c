/*
 * The listener's TLS files: are they there together, do they fit, who else can read the key, how
 * long do they last.
 */
#include "config/source.h"

#include "base/clock.h"
#include "config/report.h"
#include "config/tls_files.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/banned.h"

static const char *place_of(struct loader *l, const char *key)
{
    return loader_place(l, loader_row("listen", key));
}

static void check_key_mode(struct loader *l, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        report_warning(l->report,
                       "listen.tls_key (%s): %s has mode %04o, so that others than its owner can "
                       "read the key or change it; chmod 0600 it",
                       place_of(l, "tls_key"), path, (unsigned)(st.st_mode & 07777));
}

static void check_pair(struct loader *l, const struct tls_files *files)
{
    const int64_t now_s = clock_wall_ms() / 1000;
    struct ssl_ctx_st *ctx = NULL;
    struct tls_facts facts;
    const char *key = NULL;
    struct err err = {0};
    char text[96];

    check_key_mode(l, files->key);
    if (tls_files_load(files, &ctx, &facts, &key, &err) < 0) {
        (void)report_error(l->report, "listen.%s (%s): %s", key, place_of(l, key), err.msg);
        return;
    }
    SSL_CTX_free(ctx);
    if (tls_expiry_of(&facts, now_s) != TLS_EXPIRY_FAR)
        report_warning(l->report, "listen.tls_cert (%s): the certificate in %s %s; renew it",
                       place_of(l, "tls_cert"), files->cert, tls_expiry_text(&facts, now_s, text));
}

void check_tls(struct loader *l)
{
    const struct config_listen *c = &l->c->listen;
    const struct tls_files files = {
        .cert = c->tls_cert, .key = c->tls_key, .client_ca = c->tls_client_ca};

    if (*files.cert && *files.key)
        check_pair(l, &files);
    else if (*files.cert || *files.key)
        (void)report_error(l->report,
                           "listen.tls_cert and listen.tls_key go together; only listen.%s is set "
                           "(%s): set the other one, too",
                           *files.cert ? "tls_cert" : "tls_key",
                           place_of(l, *files.cert ? "tls_cert" : "tls_key"));
    else if (*files.client_ca)
        (void)report_error(l->report,
                           "listen.tls_client_ca (%s) needs TLS on the listener: set "
                           "listen.tls_cert and listen.tls_key, or remove it",
                           place_of(l, "tls_client_ca"));
}
