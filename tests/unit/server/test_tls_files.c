/*
 * The files behind TLS while the server runs: changed ones are taken up or refused, connections do
 * not notice; and client certificates.
 */
#include "support/server_fixture.h"
#include "support/tls_client.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static char dir[] = "/tmp/server-tls-XXXXXX";
static char cert_path[64], key_path[64], ca_path[64], next_path[64];
static struct certificate authority, first, second;
static struct fixture f;

static void make_signed(struct certificate *c, const char *name, const char *usage)
{
    const struct certificate_wish wish = {.name = name, .signer = &authority, .usage = usage};

    certificate_make(c, &wish);
}

static void make_all(void)
{
    const struct certificate_wish ca = {.name = "test authority"};

    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
    (void)snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", dir);
    (void)snprintf(next_path, sizeof(next_path), "%s/next.pem", dir);
    certificate_make(&authority, &ca);
    make_signed(&first, "first", NULL);
    make_signed(&second, "second", NULL);
    certificate_write(&first, cert_path, key_path, NULL);
    certificate_write(&authority, ca_path, NULL, NULL);
    fixture_config(&f);
    f.tls_files = (struct tls_files){.cert = cert_path, .key = key_path};
}

static void drop_all(void)
{
    fixture_stop(&f);
    certificate_free(&authority);
    certificate_free(&first);
    certificate_free(&second);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)unlink(ca_path);
    (void)unlink(next_path);
    (void)rmdir(dir);
}

TestSuite(server_tls_files, .init = make_all, .fini = drop_all, .timeout = 300);

static void expect_name(const char *name)
{
    const struct tls_client_wish wish = {.authority = &authority};
    struct tls_client c;
    char text[64];

    cr_assert(tls_client_open(&c, &f.at, &wish), "%s", c.why);
    cr_assert_str_eq(tls_client_server_name(&c, text), name);
    tls_client_close(&c);
}

/* As renewing programs do it: a new file under the old name. */
static void replace(const char *path, const struct certificate *c, bool is_key)
{
    certificate_write(c, is_key ? NULL : next_path, is_key ? next_path : NULL, NULL);
    cr_assert_eq(rename(next_path, path), 0);
}

Test(server_tls_files, a_renewed_certificate_is_taken_up_and_open_connections_go_on)
{
    const struct tls_client_wish wish = {.authority = &authority};
    struct tls_client old;

    fixture_start(&f);
    cr_assert(tls_client_open(&old, &f.at, &wish), "%s", old.why);
    tls_client_sendz(&old, GET("/stream"));
    cr_assert(tls_client_until(&old, "data: x\n\n"));
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.loads_total, 1, "nothing has changed");
    replace(cert_path, &second, false);
    replace(key_path, &second, true);
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.loads_total, 2);
    cr_assert_str_eq(f.tls_status.facts.subject, "CN=second");
    expect_name("second");
    tls_client_drop(&old);
    cr_assert(tls_client_until(&old, "data: x\n\n"), "the stream was cut");
    tls_client_close(&old);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(server_tls_files, what_does_not_load_is_said_once_and_the_old_ones_stay)
{
    fixture_start(&f);
    replace(cert_path, &second, false); /* the key is still the first one's */
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.failures_total, 1);
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.failures_total, 1, "the same files are not tried again");
    expect_name("first");
    fixture_pause(&f); /* the timer must not look before it is whole */
    write_text(cert_path, "-----BEGIN CERTIFICATE-----\nAAAA\n");
    fixture_resume(&f);
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.failures_total, 2);
    cr_assert_eq(unlink(cert_path), 0);
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.failures_total, 3);
    cr_assert_str_eq(f.tls_status.facts.subject, "CN=first");
    expect_name("first");
    fixture_pause(&f); /* nor at one of them */
    replace(cert_path, &second, false);
    replace(key_path, &second, true);
    fixture_resume(&f);
    fixture_order(&f, ORDER_TLS_CHECK);
    cr_assert_eq(f.tls_status.failures_total, 3);
    expect_name("second");
}

/* Without anybody's order. */
Test(server_tls_files, changes_are_found_by_the_timer)
{
    char text[64] = "";

    fixture_start(&f);
    replace(cert_path, &second, false);
    replace(key_path, &second, true);
    for (int i = 0; i < 1200 && strcmp(text, "second") != 0; i++) {
        const struct tls_client_wish wish = {.authority = &authority};
        struct tls_client c;

        (void)poll(NULL, 0, 100);
        cr_assert(tls_client_open(&c, &f.at, &wish), "%s", c.why);
        (void)tls_client_server_name(&c, text);
        tls_client_close(&c);
    }
    cr_assert_str_eq(text, "second");
}

/* ---- clients with certificates ---- */

static void expect_who(const struct certificate *own, int version, const char *subject)
{
    const struct tls_client_wish wish = {.authority = &authority, .own = own, .version = version};
    struct tls_client c;
    unsigned char hash[EVP_MAX_MD_SIZE];
    char want[256];
    unsigned n;
    int len;

    cr_assert_eq(X509_digest(own->x, EVP_sha256(), hash, &n), 1);
    len = snprintf(want, sizeof(want), "\r\n\r\nHash=");
    for (unsigned i = 0; i < n; i++)
        len += snprintf(want + len, sizeof(want) - (size_t)len, "%02x", hash[i]);
    (void)snprintf(want + len, sizeof(want) - (size_t)len, "%s", subject);
    cr_assert(tls_client_open(&c, &f.at, &wish), "%s", c.why);
    tls_client_sendz(&c, "GET /who HTTP/1.0\r\n\r\n");
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert(strstr(c.p, want) && strcmp(strstr(c.p, "\r\n\r\n"), want) == 0, "%s, not %s", c.p,
              want);
    tls_client_close(&c);
}

static void expect_refused(const struct certificate *own, const char *why)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (int i = 0; i < 2; i++) {
        const struct tls_client_wish wish = {
            .authority = &authority, .own = own, .version = versions[i]};
        struct tls_client c;

        if (tls_client_open(&c, &f.at, &wish)) { /* TLS 1.3: judged after the client is done */
            tls_client_sendz(&c, GET("/who"));
            (void)tls_client_until_end(&c);
        }
        cr_assert_eq(c.end, TLS_END_ERROR, "end %d, %s", (int)c.end, c.p);
        cr_assert(strstr(c.why, why), "%s, not %s", c.why, why);
        tls_client_close(&c);
    }
}

Test(server_tls_files, a_client_is_known_by_its_certificate)
{
    struct certificate client, odd;

    f.tls_files.client_ca = ca_path;
    fixture_start(&f);
    make_signed(&client, "peer-1", "clientAuth");
    make_signed(&odd, "a\"b\\c,d;Hash=0\r\nX: \xc3\xa9", NULL);
    expect_who(&client, TLS1_2_VERSION, ";Subject=\"CN=peer-1\"");
    expect_who(&client, TLS1_3_VERSION, ";Subject=\"CN=peer-1\"");
    /* RFC 2253 puts a backslash before each of " \ , ; and writes the rest in hex; then the quoted
     * string doubles what it must */
    expect_who(&odd, 0,
               ";Subject=\"CN=a\\\\\\\"b\\\\\\\\c\\\\,d\\\\;Hash=0\\\\0D\\\\0AX: \\\\C3\\\\A9\"");
    certificate_free(&client);
    certificate_free(&odd);
}

Test(server_tls_files, who_cannot_be_verified_is_refused)
{
    const struct certificate_wish self = {.name = "somebody"};
    struct certificate stranger, server_only, old;
    const struct certificate_wish expired = {
        .name = "old", .signer = &authority, .from_s = -7200, .to_s = -3600};

    f.tls_files.client_ca = ca_path;
    fixture_start(&f);
    certificate_make(&stranger, &self);
    make_signed(&server_only, "a server", "serverAuth");
    certificate_make(&old, &expired);
    expect_refused(NULL, ""); /* TLS 1.2 says handshake failure, 1.3 certificate required */
    expect_refused(&stranger, "unknown ca");
    expect_refused(&server_only, "unsupported certificate");
    expect_refused(&old, "certificate expired");
    fixture_free_server(&f);
    cr_assert_eq(f.began, 0);
    cr_assert_eq(f.stats.tls_failed_total, 8);
    certificate_free(&stranger);
    certificate_free(&server_only);
    certificate_free(&old);
}

Test(server_tls_files, who_is_not_asked_is_nobody)
{
    const struct tls_client_wish wish = {.authority = &authority, .own = &second};
    struct tls_client c;

    fixture_start(&f);
    cr_assert(tls_client_open(&c, &f.at, &wish), "%s", c.why);
    tls_client_sendz(&c, GET("/who"));
    cr_assert(tls_client_until(&c, "Content-Length: 0\r\n"), "%s", c.p);
    tls_client_close(&c);
}
