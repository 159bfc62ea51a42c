/*
 * Certificates: trusted, not trusted, for another name, old protocols, and ours when asked for. The
 * server is a few lines of OpenSSL on a thread; its certificate is made here.
 */
#include "client/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG_MS = 60000 }; /* of a call that ends by itself, on a busy machine too */

static char dir[] = "/tmp/client-tls-XXXXXX";
static char cert_file[64], key_file[64], url[64], host_url[64];
static SSL_CTX *ctx;
static int listen_fd;
static pthread_t thread;
static struct client_answer got;
static struct err err;

static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509V3_CTX v3;

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    cr_assert_gt(X509_sign(x, key, EVP_sha256()), 0);
    FILE *f = fopen(cert_file, "we");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_file, "we");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void *serve(void *arg)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    char in[4096];

    (void)arg;
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, in, sizeof(in)) > 0) {
            (void)SSL_write(ssl, answer, sizeof(answer) - 1);
            (void)SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
}

static void open_all(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    signal(SIGPIPE, SIG_IGN);
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", dir);
    (void)snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
    make_certificate();
    ctx = SSL_CTX_new(TLS_server_method());
    cr_assert_eq(SSL_CTX_use_certificate_file(ctx, cert_file, SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM), 1);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listen_fd, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(listen(listen_fd, 8), 0);
    cr_assert_eq(getsockname(listen_fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", ntohs(at.sin_port));
    (void)snprintf(host_url, sizeof(host_url), "https://localhost:%u/", ntohs(at.sin_port));
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void close_all(void)
{
    (void)shutdown(listen_fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listen_fd);
    SSL_CTX_free(ctx);
    unlink(cert_file);
    unlink(key_file);
    rmdir(dir);
}

static void on_done(void *arg, const struct client_answer *a)
{
    (void)arg;
    got = *a;
}

static void call(const char *to, const struct client_tls *tls)
{
    struct client_request rq = {.method = "GET",
                                .url = to,
                                .timeout_ms = LONG_MS,
                                .connect_timeout_ms = LONG_MS,
                                .tls = tls};

    cr_assert_eq(client_run(&rq, on_done, NULL, &err), 0, "%s", err.msg);
}

TestSuite(client_tls, .init = open_all, .fini = close_all, .timeout = 300);

Test(client_tls, a_certificate_nobody_vouches_for_is_refused_with_the_remedy)
{
    struct client_tls tls = {.ca_hint = "platform.ca_file names the CA"};

    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "is not trusted"), "%s", got.error);
    cr_assert(strstr(got.error, "(platform.ca_file names the CA)"), "%s", got.error);
    call(url, NULL);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
}

Test(client_tls, the_ca_file_makes_it_trusted)
{
    struct client_tls tls = {.ca_file = cert_file};

    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
    cr_assert_eq(got.status, 200);
}

Test(client_tls, a_certificate_for_another_name_is_refused)
{
    struct client_tls tls = {.ca_file = cert_file};

    call(host_url, &tls);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "not trusted"), "%s", got.error);
}

Test(client_tls, a_missing_ca_file_is_named)
{
    struct client_tls tls = {.ca_file = "/nonexistent/ca.pem"};

    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "/nonexistent/ca.pem"), "%s", got.error);
}

Test(client_tls, nothing_below_tls_1_2)
{
    struct client_tls tls = {.ca_file = cert_file};

    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "no handshake"), "%s", got.error);
}

Test(client_tls, our_certificate_is_shown_when_asked_for)
{
    struct client_tls tls = {.ca_file = cert_file, .cert_file = cert_file, .key_file = key_file};

    SSL_CTX_load_verify_locations(ctx, cert_file, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
    tls.cert_file = tls.key_file = NULL;
    call(url, &tls);
    cr_assert_neq(got.outcome, CLIENT_OK);
    tls.cert_file = "/nonexistent/cert.pem";
    call(url, &tls);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "client certificate"), "%s", got.error);
}
