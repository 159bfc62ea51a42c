/*
 * What all TLS connections of a server share: certificate and key, and the care for them: loaded
 * again when the files change, a word before they expire. A session takes a reference to what is
 * loaded when it begins, so that a new certificate does not touch it.
 *
 * The files are looked at, and read, on the loop: a few KiB that were written moments ago.
 */
#include "server/tls.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

enum { FILE_COUNT = 3 };

/* Tells one state of a file from another; all zero when there is none. */
struct file_state {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified, changed;
};

struct tls_context {
    struct loop *loop;
    struct tls_files files;
    SSL_CTX *ctx; /* owned; in use now */
    BIO_METHOD *bio;
    struct file_state seen[FILE_COUNT];
    struct timer timer;
    struct tls_status status;
    enum tls_expiry said; /* of the certificate in use */
    char gather[TLS_GATHER_BYTES];
};

/* ---- the protocol ---- */

/* RFC 7301: who offers a choice must get one of it, or the alert. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    static const char ours[] = "http/1.1";
    const unsigned char n = sizeof(ours) - 1;

    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < in_n && in[at] < in_n - at; at += in[at] + 1U) {
        if (in[at] == n && memcmp(in + at + 1, ours, n) == 0) {
            *ret = in + at + 1;
            *ret_n = n;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_manner(SSL_CTX *ctx, bool asks_client)
{
    static const unsigned char id[] = "molecule-sidecar";

    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* one recv for a record, not two */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    (void)SSL_CTX_set_session_cache_mode(ctx,
                                         SSL_SESS_CACHE_OFF); /* tickets are the client's memory */
    (void)SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1); /* fails for longer ones only */
    if (asks_client) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(ctx, 0); /* cannot fail */
    }
}

/* ---- the files ---- */

static void look(const struct tls_context *t, struct file_state ret[FILE_COUNT])
{
    const char *const paths[FILE_COUNT] = {t->files.cert, t->files.key, t->files.client_ca};

    memset(ret, 0, FILE_COUNT * sizeof(*ret)); /* padding, too: they are compared as bytes */
    for (int i = 0; i < FILE_COUNT; i++) {
        struct stat st;

        if (!paths[i] || !*paths[i] || stat(paths[i], &st) != 0)
            continue;
        ret[i].dev = st.st_dev;
        ret[i].ino = st.st_ino;
        ret[i].size = st.st_size;
        ret[i].modified = st.st_mtim;
        ret[i].changed = st.st_ctim;
    }
}

static int load(struct tls_context *t, struct err *err)
{
    const char *key = NULL;
    struct tls_facts facts;
    SSL_CTX *ctx = NULL;
    int rc;

    look(t, t->seen); /* before reading: what changes meanwhile is seen the next time */
    rc = tls_files_load(&t->files, &ctx, &facts, &key, err);
    if (rc < 0) {
        t->status.failures_total++;
        return err_wrap(err, "listen.%s", key);
    }
    t->status.asks_client = t->files.client_ca && *t->files.client_ca;
    set_manner(ctx, t->status.asks_client);
    SSL_CTX_free(t->ctx);
    t->ctx = ctx;
    t->status.facts = facts;
    t->status.loads_total++;
    return 0;
}

static void say_loaded(const struct tls_context *t)
{
    char when[TLS_TIME_TEXT_MAX];

    log_info("tls", "certificate of %s, valid until %s, loaded from %s%s", t->status.facts.subject,
             tls_time_text(t->status.facts.not_after, when), t->files.cert,
             t->status.asks_client ? "; clients must show one, too" : "");
}

static void check_expiry(struct tls_context *t)
{
    int64_t now_s = clock_wall_ms() / 1000;
    enum tls_expiry now = tls_expiry_of(&t->status.facts, now_s);
    char text[96];

    if (now > t->said)
        log_warning("tls",
                    "the certificate of %s in %s %s; renew it, the new one is taken up by "
                    "itself",
                    t->status.facts.subject, t->files.cert,
                    tls_expiry_text(&t->status.facts, now_s, text));
    t->said = now;
}

void tls_context_check(struct tls_context *t)
{
    struct file_state now[FILE_COUNT];
    struct err err = {0};

    look(t, now);
    if (memcmp(now, t->seen, sizeof(now)) != 0) {
        if (load(t, &err) < 0) {
            log_warning("tls",
                        "the changed TLS files do not load, going on with those from before: %s",
                        err.msg);
        } else {
            t->said = TLS_EXPIRY_FAR;
            say_loaded(t);
        }
    }
    check_expiry(t);
}

static void on_timer(struct timer *timer)
{
    struct tls_context *t = timer->arg;

    tls_context_check(t);
    timer_start(timer, t->loop, loop_now_ms(t->loop) + TLS_CHECK_MS, on_timer, t);
}

/* ---- life ---- */

int tls_context_new(struct loop *l, const struct tls_files *files, struct tls_context **ret,
                    struct err *err)
{
    struct tls_context *t = calloc(1, sizeof(*t));
    int rc;

    if (!t || !(t->bio = tls_bio_method())) {
        free(t);
        return err_set(err, -ENOMEM, "no memory for TLS");
    }
    t->loop = l;
    t->files = *files;
    rc = load(t, err);
    if (rc < 0) {
        tls_context_free(t);
        return rc;
    }
    t->said = tls_expiry_of(&t->status.facts, clock_wall_ms() / 1000);
    say_loaded(t);
    timer_start(&t->timer, l, loop_now_ms(l) + TLS_CHECK_MS, on_timer, t);
    *ret = t;
    return 0;
}

void tls_context_free(struct tls_context *t)
{
    if (!t)
        return;
    timer_stop(&t->timer);
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->bio);
    free(t);
}

const struct tls_status *tls_context_status(const struct tls_context *t)
{
    return &t->status;
}

/* ---- for sessions ---- */

struct ssl_st *tls_context_ssl(struct tls_context *t)
{
    return SSL_new(t->ctx);
}

const struct bio_method_st *tls_context_bio(const struct tls_context *t)
{
    return t->bio;
}

char *tls_context_gather(struct tls_context *t)
{
    return t->gather;
}
