/*
 * The listener's TLS files: each way in which they can be wrong is a sentence with key, place, file
 * and what to do.
 */
#include "config/tls_files.h"
#include "support/certificates.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_S = 24 * 3600 };

static char dir[] = "/tmp/config-tls-XXXXXX";
static char cert_path[64], key_path[64], ca_path[64];
static char cert_arg[96], key_arg[96], ca_arg[96];
static struct certificate one;

static void name(char path[64], char arg[96], const char *file, const char *flag)
{
    (void)snprintf(path, 64, "%s/%s", dir, file);
    (void)snprintf(arg, 96, "%s=%s", flag, path);
}

static void make_all(void)
{
    cr_assert_not_null(mkdtemp(dir));
    name(cert_path, cert_arg, "cert.pem", "--listen-tls-cert");
    name(key_path, key_arg, "key.pem", "--listen-tls-key");
    name(ca_path, ca_arg, "ca.pem", "--listen-tls-client-ca");
    certificate_make(&one, &(struct certificate_wish){.name = "one"});
    certificate_write(&one, cert_path, key_path, NULL);
    certificate_write(&one, ca_path, NULL, NULL);
}

static void drop_all(void)
{
    certificate_free(&one);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)unlink(ca_path);
    (void)rmdir(dir);
}

TestSuite(config_tls, .init = make_all, .fini = drop_all);

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* `sentence` NULL: all is well. */
static void expect(const char *a, const char *b, const char *c, const char *sentence)
{
    struct config_case k = {.args = {a, b, c}};

    case_load(&k);
    if (sentence)
        cr_expect(case_has_error(&k, sentence), "not \"%s\":\n%s", sentence, case_sentences(&k));
    else
        cr_expect(k.rc == 0 && k.report.warning_count == 0, "%s", case_sentences(&k));
    case_release(&k);
}

Test(config_tls, good_files_say_nothing)
{
    expect(cert_arg, key_arg, NULL, NULL);
    expect(cert_arg, key_arg, ca_arg, NULL);
}

Test(config_tls, one_without_the_other)
{
    expect(cert_arg, NULL, NULL,
           "listen.tls_cert and listen.tls_key go together; only listen.tls_cert is set (flag "
           "--listen-tls-cert)");
    expect(key_arg, NULL, NULL, "only listen.tls_key is set (flag --listen-tls-key)");
    expect(ca_arg, NULL, NULL,
           "listen.tls_client_ca (flag --listen-tls-client-ca) needs TLS on the listener");
}

Test(config_tls, files_that_are_not_there)
{
    expect(
        "--listen-tls-cert=/nonexistent/c.pem", key_arg, NULL,
        "listen.tls_cert (flag --listen-tls-cert): cannot open /nonexistent/c.pem: No such file");
    expect(cert_arg, "--listen-tls-key=/nonexistent/k.pem", NULL,
           "listen.tls_key (flag --listen-tls-key): cannot open /nonexistent/k.pem");
    expect(cert_arg, key_arg, "--listen-tls-client-ca=/tmp", "/tmp is a directory, not a file");
}

Test(config_tls, files_that_hold_something_else)
{
    write_text(cert_path, "hello\n");
    expect(cert_arg, key_arg, NULL, "cert.pem holds no certificate in PEM form");
    certificate_write(&one, cert_path, NULL, NULL);
    write_text(key_path, "-----BEGIN CERTIFICATE-----\n");
    expect(cert_arg, key_arg, NULL, "key.pem holds no private key in PEM form");
    certificate_write(&one, NULL, key_path, NULL);
    write_text(ca_path, "");
    expect(cert_arg, key_arg, ca_arg, "ca.pem must hold certificates of authorities in PEM form");
}

Test(config_tls, a_chain_is_read_to_its_end)
{
    FILE *f = fopen(cert_path, "ae");

    cr_assert(f && fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f) >= 0);
    cr_assert_eq(fclose(f), 0);
    expect(cert_arg, key_arg, NULL, "what follows the first certificate in ");
}

Test(config_tls, a_key_of_another_certificate)
{
    struct certificate other;

    certificate_make(&other, &(struct certificate_wish){.name = "other"});
    certificate_write(&other, NULL, key_path, NULL);
    expect(cert_arg, key_arg, NULL, "does not belong to the certificate in ");
    certificate_free(&other);
}

Test(config_tls, an_encrypted_key_asks_nobody)
{
    certificate_write(&one, NULL, key_path, "secret");
    expect(cert_arg, key_arg, NULL, "key.pem is encrypted, and nobody is here to type");
}

static void expect_warning(const char *sentence)
{
    struct config_case k = {.args = {cert_arg, key_arg}};

    case_load(&k);
    cr_expect_eq(k.rc, 0, "%s", case_sentences(&k));
    cr_expect(case_has_warning(&k, sentence), "not \"%s\":\n%s", sentence, case_sentences(&k));
    case_release(&k);
}

Test(config_tls, a_key_that_others_can_read)
{
    cr_assert_eq(chmod(key_path, 0640), 0);
    expect_warning("has mode 0640, so that others than its owner can read the key or change it; "
                   "chmod 0600 it");
}

static void make_dated(long from_s, long to_s)
{
    const struct certificate_wish wish = {.name = "dated", .from_s = from_s, .to_s = to_s};

    certificate_free(&one);
    certificate_make(&one, &wish);
    certificate_write(&one, cert_path, key_path, NULL);
}

Test(config_tls, a_certificate_near_its_end)
{
    make_dated(-DAY_S, 13L * DAY_S + DAY_S / 2);
    expect_warning("(13 days left); renew it");
    make_dated(-2L * DAY_S, -DAY_S);
    expect_warning(" has expired on ");
    make_dated(-DAY_S, 15L * DAY_S);
    expect(cert_arg, key_arg, NULL, NULL);
}

/* A command that only talks to a running sidecar may not be allowed to read them. */
Test(config_tls, who_only_talks_does_not_look)
{
    struct config_case k = {.args = {cert_arg, "--listen-tls-key=/nonexistent"},
                            .finds_running = true};

    case_load(&k);
    cr_expect_eq(k.rc, 0, "%s", case_sentences(&k));
    case_release(&k);
}

Test(config_tls, facts_of_what_was_loaded)
{
    const struct tls_files files = {.cert = cert_path, .key = key_path, .client_ca = ""};
    struct tls_facts facts;
    struct ssl_ctx_st *ctx = NULL;
    const char *key = NULL;
    char text[TLS_TIME_TEXT_MAX];

    cr_assert_eq(tls_files_load(&files, &ctx, &facts, &key, NULL), 0);
    cr_expect_str_eq(facts.subject, "CN=one");
    cr_expect_eq(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_NONE);
    cr_expect_eq(SSL_CTX_get_security_level(ctx), 2);
    SSL_CTX_free(ctx);
    cr_expect_str_eq(tls_time_text(1800000000, text), "2027-01-15T08:00:00Z");
}
