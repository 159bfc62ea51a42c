/*
 * TLS below a server's connections: what a client sees must be what it sees without, and every end
 * must be told apart. Certificates are made here.
 */
#include "base/str.h"
#include "support/server_fixture.h"
#include "support/tls_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static char dir[] = "/tmp/server-tls-XXXXXX";
static char cert_path[64], key_path[64];
static struct certificate authority, server_cert;
static struct fixture f;

static void make_all(void)
{
    const struct certificate_wish ca = {.name = "test authority"};
    const struct certificate_wish leaf = {.name = "server", .signer = &authority};

    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
    certificate_make(&authority, &ca);
    certificate_make(&server_cert, &leaf);
    certificate_write(&server_cert, cert_path, key_path, NULL);
    fixture_config(&f);
    f.tls_files = (struct tls_files){.cert = cert_path, .key = key_path};
}

static void drop_all(void)
{
    fixture_stop(&f);
    certificate_free(&authority);
    certificate_free(&server_cert);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)rmdir(dir);
}

static void open_client(struct tls_client *c, struct tls_client_wish wish)
{
    wish.authority = &authority;
    cr_assert(tls_client_open(c, &f.at, &wish), "no handshake: end %d, %s", (int)c->end, c->why);
}

TestSuite(server_tls, .init = make_all, .fini = drop_all, .timeout = 300);

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

Test(server_tls, requests_and_the_clean_end_of_both_versions)
{
    fixture_start(&f);
    for (int i = 0; i < 2; i++) {
        struct tls_client c;

        open_client(&c, (struct tls_client_wish){.version = versions[i]});
        tls_client_sendz(&c, GET("/hello"));
        cr_assert(tls_client_until(&c, "\r\n\r\nhello"));
        tls_client_drop(&c);
        tls_client_sendz(&c, "GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
        cr_assert(strstr(c.p, "hello"));
        tls_client_close(&c);
    }
    fixture_free_server(&f);
    cr_assert_eq(f.stats.tls_total, 2);
    cr_assert_eq(f.stats.tls_failed_total, 0);
    cr_assert_eq(f.complete, 4);
}

Test(server_tls, a_handshake_in_single_bytes)
{
    fixture_start(&f);
    for (int i = 0; i < 2; i++) {
        struct tls_client c;

        open_client(&c, (struct tls_client_wish){.version = versions[i], .one_by_one = true});
        tls_client_sendz(&c, GET("/hello")); /* the record, too */
        cr_assert(tls_client_until(&c, "hello"));
        tls_client_close(&c);
    }
}

static void send_body(struct tls_client *c, const char *path, size_t n)
{
    char head[128];
    char *body = malloc(n);

    (void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                   path, n);
    memset(body, 'x', n);
    tls_client_sendz(c, head);
    tls_client_send(c, (struct slice){body, n});
    free(body);
}

Test(server_tls, a_large_body_comes_in)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    send_body(&c, "/size", HUGE_BYTES);
    cr_assert(tls_client_until(&c, "\r\n\r\n9437184"), "%s", c.p);
    tls_client_drop(&c);
    tls_client_sendz(&c, GET("/hello"));
    cr_assert(tls_client_until(&c, "hello"));
    tls_client_close(&c);
}

/* The chunks' content at p, in place; its length, or 0 when it is not whole. */
static size_t unchunk(char *p)
{
    char *to = p;
    char *from = strstr(p, "\r\n\r\n") + 4;

    for (;;) {
        char *end;
        size_t n = strtoul(from, &end, 16);

        from = end + 2;
        if (n == 0)
            return (size_t)(to - p);
        memmove(to, from, n);
        to += n;
        from += n + 2;
    }
}

/* Small buffers and a reader that begins late: partial writes at every place. */
Test(server_tls, a_large_answer_goes_out_to_a_slow_reader)
{
    fixture_start(&f);
    for (int i = 0; i < 2; i++) {
        struct tls_client c;

        open_client(&c,
                    (struct tls_client_wish){.version = versions[i], .receive_bytes = 32 * 1024});
        tls_client_sendz(&c, "GET /huge HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        cr_assert(fixture_wait(&f.began, i + 1));
        cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
        cr_assert_eq(unchunk(c.p), HUGE_BYTES);
        for (size_t at = 0; at < HUGE_BYTES; at++) {
            if (c.p[at] != huge_byte(at))
                cr_assert_fail("byte %zu is %c", at, c.p[at]);
        }
        tls_client_close(&c);
    }
}

/* The handler pauses every 7 bytes while OpenSSL holds the rest of what came: no event tells. */
Test(server_tls, input_that_openssl_has_read_is_not_forgotten)
{
    struct tls_client c;

    f.cfg.max_head_bytes = 4096;
    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    send_body(&c, "/sip", 60000);
    cr_assert(tls_client_until(&c, "\r\n\r\n60000"), "%s", c.p);
    tls_client_close(&c);
}

/* One record fills the block to the last byte, the next came along with it and is the last. */
Test(server_tls, a_last_record_that_came_along_is_not_forgotten)
{
    enum { BLOCK = 16 * 1024, REST = 100 };
    char all[BLOCK + REST + 1];
    struct tls_client c;
    int head;

    f.cfg.max_head_bytes = 4096;
    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    memset(all, 'x', sizeof(all));
    head = snprintf(all, sizeof(all), "POST /size HTTP/1.1\r\n" HOST "Content-Length: %5d\r\n\r\n",
                    BLOCK + REST - 65);
    cr_assert_lt(head, 65);
    memset(all + head, 'x', sizeof(all) - (size_t)head);
    tls_client_send(&c, (struct slice){all, (size_t)(BLOCK + REST - 65 + head)});
    cr_assert(tls_client_until(&c, "\r\n\r\n16419"), "%s", c.p);
    tls_client_close(&c);
}

Test(server_tls, requests_sent_ahead_are_answered_in_order)
{
    enum { AHEAD = 3000 }; /* more than one block of input */
    struct tls_client c;
    struct str all = {0};

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, GET("/later") GET("/nothing") GET("/hello"));
    cr_assert(tls_client_until(&c, "204"));
    cr_assert_eq(tls_client_count(&c, "hello"), 1, "the first answer is before the second");
    cr_assert(tls_client_until(&c, "204 No Content\r\n"));
    cr_assert(tls_client_until(&c, "hello"));
    for (int i = 0; i < AHEAD; i++)
        str_addz(&all, GET("/hello"));
    tls_client_drop(&c);
    str_addz(&all, "GET /close HTTP/1.1\r\n" HOST "\r\n");
    tls_client_send(&c, str_slice(&all));
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert_geq(tls_client_count(&c, "\r\n\r\nhello"), AHEAD + 1);
    str_release(&all);
    tls_client_close(&c);
}

Test(server_tls, a_client_that_leaves_a_stream_is_noticed)
{
    fixture_start(&f);
    for (int i = 0; i < 3; i++) {
        struct tls_client c;

        open_client(&c, (struct tls_client_wish){0});
        tls_client_sendz(&c, GET("/stream"));
        cr_assert(tls_client_until(&c, "data: x\n\n"));
        if (i == 0)
            tls_client_notify(&c); /* the descriptor stays open: close_notify alone says it */
        else if (i == 1)
            raw_shut(&c.raw);
        else
            raw_reset(&c.raw);
        cr_assert(fixture_wait(&f.ended, i + 1), "way %d of leaving", i);
        tls_client_close(&c);
    }
    cr_assert_eq(f.complete, 0);
}

/* RFC 8446 section 6.1: it may still read. */
Test(server_tls, a_client_that_has_ended_its_half_gets_its_answer)
{
    fixture_start(&f);
    for (int i = 0; i < 2; i++) {
        struct tls_client c;

        open_client(&c, (struct tls_client_wish){0});
        tls_client_sendz(&c, GET("/later"));
        if (i == 0)
            tls_client_notify(&c);
        raw_shut(&c.raw); /* with i == 1 without close_notify */
        cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%d: %s", i, c.why);
        cr_assert(strstr(c.p, "hello"));
        tls_client_close(&c);
    }
    fixture_free_server(&f);
    cr_assert_eq(f.complete, 2);
}

Test(server_tls, a_request_that_is_cut_off_is_not_whole)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, "POST /size HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nhalf");
    cr_assert(fixture_wait(&f.began, 1));
    raw_shut(&c.raw);
    (void)tls_client_until_end(&c);
    cr_assert_eq(c.len, 0, "%s", c.p);
    cr_assert(fixture_wait(&f.ended, 1));
    cr_assert_eq(f.body_ends, 0);
    tls_client_close(&c);
}

Test(server_tls, an_aborted_answer_looks_cut_off)
{
    static const char *const requests[] = {
        GET("/abort"),
        "GET /abort HTTP/1.0\r\n\r\n", /* its end is the connection's: only close_notify tells */
        GET("/short"),
    };

    fixture_start(&f);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct tls_client c;

        open_client(&c, (struct tls_client_wish){0});
        tls_client_sendz(&c, requests[i]);
        (void)tls_client_until_end(&c);
        cr_assert(c.end == TLS_END_RESET || c.end == TLS_END_CUT, "%zu: end %d", i, (int)c.end);
        tls_client_close(&c);
    }
    cr_assert(fixture_wait(&f.ended, 3));
    cr_assert_eq(f.complete, 0);
}

Test(server_tls, an_answer_that_ends_with_the_connection_ends_with_close_notify)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, "GET /two HTTP/1.0\r\n\r\n");
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert(strstr(c.p, "\r\n\r\nonetwo"));
    tls_client_close(&c);
}

/* Its last word gets through although the client still sends, then the connection ends. */
Test(server_tls, an_early_answer_survives_an_unread_body)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 10000000\r\n\r\nsome");
    cr_assert(tls_client_until(&c, "\r\n\r\n{}"), "%s", c.p);
    send_body(&c, "/x", 30000);
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert(strstr(c.p, " 403 "));
    tls_client_close(&c);
}

Test(server_tls, a_bad_request_is_answered_and_ended_cleanly)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, "GET /hello HTTP/1.1\r\n\r\n");
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert(strstr(c.p, " 400 "));
    tls_client_close(&c);
}

Test(server_tls, idle_connections_are_told_and_those_midway_are_kept)
{
    struct tls_client idle;
    struct raw half;

    fixture_start(&f);
    open_client(&idle, (struct tls_client_wish){0});
    tls_client_sendz(&idle, GET("/hello"));
    cr_assert(tls_client_until(&idle, "hello"));
    raw_open(&half, &f.at);
    raw_send(&half, (struct slice){"\x16\x03\x01\x02\x00\x01", 6}); /* the beginning of a hello */
    fixture_has_read(&f, &half);
    fixture_order(&f, ORDER_CLOSE_IDLE);
    cr_assert_eq(tls_client_until_end(&idle), TLS_END_NOTIFY, "%s", idle.why);
    raw_shut(&half); /* it was there until now, and is heard: the server answers with its end */
    cr_assert(raw_until_closed(&half));
    fixture_free_server(&f);
    cr_assert_eq(f.stats.tls_failed_total, 1);
    tls_client_close(&idle);
    raw_close(&half);
}

/* ---- handshakes that do not work ---- */

static void expect_refused(struct tls_client_wish wish, const char *why)
{
    struct tls_client c;

    wish.authority = &authority;
    if (tls_client_open(&c, &f.at, &wish)) { /* TLS 1.3: the client is done before it is judged */
        tls_client_sendz(&c, GET("/hello"));
        (void)tls_client_until_end(&c);
    }
    cr_assert_eq(c.end, TLS_END_ERROR, "end %d, %s", (int)c.end, c.p);
    cr_assert(strstr(c.why, why), "%s, not %s", c.why, why);
    cr_assert_eq(c.len, 0);
    tls_client_close(&c);
}

Test(server_tls, alpn_is_http_1_1_or_an_alert)
{
    struct tls_client c;
    const unsigned char *chosen;
    unsigned n;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){.alpn = "\x02h2\x08http/1.1"});
    SSL_get0_alpn_selected(c.ssl, &chosen, &n);
    cr_assert(n == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    tls_client_close(&c);
    expect_refused((struct tls_client_wish){.alpn = "\x02h2"}, "no application protocol");
    expect_refused((struct tls_client_wish){.alpn = "\x08http/1.0"}, "no application protocol");
}

Test(server_tls, nothing_below_tls_1_2)
{
    fixture_start(&f);
    expect_refused((struct tls_client_wish){.version = TLS1_1_VERSION}, "protocol version");
    fixture_free_server(&f);
    cr_assert_eq(f.stats.tls_failed_total, 1);
    cr_assert_eq(f.stats.tls_total, 0);
}

Test(server_tls, renegotiation_is_refused)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){.version = TLS1_2_VERSION});
    cr_assert_eq(SSL_renegotiate(c.ssl), 1); /* with the next read */
    cr_assert_eq(tls_client_until_end(&c), TLS_END_ERROR);
    cr_assert(strstr(c.why, "no renegotiation"), "%s", c.why);
    tls_client_close(&c);
}

Test(server_tls, plain_http_is_told_what_is_expected)
{
    static const char *const requests[] = {GET("/hello"), "DELETE /x HTTP/1.0\r\n\r\n", "\r\n\r\n"};

    fixture_start(&f);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct raw r;

        raw_open(&r, &f.at);
        raw_sendz(&r, requests[i]);
        cr_assert(raw_until_closed(&r));
        cr_assert(r.eof && strncmp(r.p, "HTTP/1.1 400 ", 13) == 0, "%s", r.p);
        cr_assert(strstr(r.p, "this port expects TLS"), "%s", r.p);
        raw_close(&r);
    }
    fixture_free_server(&f);
    cr_assert_eq(f.began, 0);
}

Test(server_tls, noise_is_ended_with_an_alert_and_silence_without)
{
    struct raw r;

    fixture_start(&f);
    raw_open(&r, &f.at);
    raw_send(&r, (struct slice){"\x16\x03\x01\x00\x05hello", 10});
    cr_assert(raw_until_closed(&r));
    cr_assert(r.len > 0 && r.p[0] == 0x15, "an alert");
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_shut(&r); /* a port check */
    cr_assert(raw_until_closed(&r));
    cr_assert_eq(r.len, 0);
    raw_close(&r);
    fixture_free_server(&f);
    cr_assert_eq(f.stats.tls_failed_total, 1, "who says nothing has not failed");
}

Test(server_tls, a_slow_handshake_ends_at_the_head_deadline)
{
    struct raw silent, half;

    f.cfg.head_timeout_ms = 300;
    fixture_start(&f);
    fixture_pause(&f);
    raw_open(&silent, &f.at);
    raw_open(&half, &f.at);
    raw_send(&half, (struct slice){"\x16\x03\x01\x02\x00\x01", 6});
    fixture_resume(&f);
    cr_assert(raw_until_closed(&silent));
    cr_assert(raw_until_closed(&half));
    cr_assert_eq(half.len, 0);
    raw_close(&silent);
    raw_close(&half);
    fixture_free_server(&f);
    cr_assert_eq(f.stats.tls_failed_total, 1);
}

/* The deadline counts from accept: the handshake's time is not given twice. */
Test(server_tls, a_head_that_does_not_come_is_408)
{
    struct tls_client c;

    fixture_start(&f);
    open_client(&c, (struct tls_client_wish){0});
    tls_client_sendz(&c, "GET /hello HT");
    fixture_has_read(&f, &c.raw);
    fixture_order(&f, ORDER_NO_HEAD);
    cr_assert_eq(tls_client_until_end(&c), TLS_END_NOTIFY, "%s", c.why);
    cr_assert(strstr(c.p, " 408 "), "%s", c.p);
    tls_client_close(&c);
}
