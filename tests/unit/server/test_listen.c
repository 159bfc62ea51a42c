/*
 * Addresses: what stands in the way of listening is told in a sentence, and Unix sockets are made,
 * guarded and removed with care.
 */
#include "base/file.h"
#include "support/server_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char path[96];
static struct loop *loop;
static struct err err;

static void begin(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/listen-XXXXXX");
    cr_assert(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s.sock", dir);
    cr_assert_eq(loop_new(&loop, &err), 0);
}

static void end(void)
{
    loop_free(loop);
    (void)unlink(path);
    (void)rmdir(dir);
}

TestSuite(server_listen, .init = begin, .fini = end, .timeout = 300);

static void on_request(void *ctx, struct exchange *x)
{
    (void)ctx;
    exchange_answer(x, 200, NULL, NULL, 0, SLICE(""));
}
static const struct handler handler = {.on_request = on_request};

static int try_open(const char *at, struct server **ret)
{
    struct server_config cfg;

    server_config_defaults(&cfg);
    cr_assert_eq(endpoint_parse(slice_of(at), &cfg.at, &err), 0, "%s", err.msg);
    return server_open(loop, &cfg, &handler, NULL, ret, &err);
}

static const char *unix_at(void)
{
    static char text[128];

    (void)snprintf(text, sizeof(text), "unix:%s", path);
    return text;
}

static void expect_sentence(int code, int want, const char *part, const char *part2)
{
    cr_expect_eq(code, want, "%d: %s", code, err.msg);
    cr_expect(strstr(err.msg, part) && strstr(err.msg, part2), "%s", err.msg);
}

Test(server_listen, tells_the_port_the_kernel_chose)
{
    struct server *s = NULL;

    cr_assert_eq(try_open("127.0.0.1:0", &s), 0, "%s", err.msg);
    cr_expect_neq(server_address(s)->port, 0);
    cr_expect(strncmp(server_address(s)->text, "127.0.0.1:", 10) == 0);
    cr_expect(server_listen_fd(s) >= 0);
    server_free(s);
}

Test(server_listen, any_address_serves_both_families)
{
    struct server *s = NULL;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(try_open("[::]:0", &s), 0, "%s", err.msg);
    to.sin_port = htons(server_address(s)->port);
    cr_expect_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    (void)close(fd);
    server_free(s);
}

Test(server_listen, a_taken_port_is_a_sentence)
{
    struct server *s = NULL, *second = NULL;
    char text[ENDPOINT_TEXT_MAX];

    cr_assert_eq(try_open("127.0.0.1:0", &s), 0);
    (void)snprintf(text, sizeof(text), "%s", server_address(s)->text);
    expect_sentence(try_open(text, &second), -EADDRINUSE, text, "taken");
    server_free(s);
}

Test(server_listen, a_foreign_address_is_a_sentence)
{
    struct server *s = NULL;

    expect_sentence(try_open("192.0.2.1:0", &s), -EADDRNOTAVAIL, "192.0.2.1", "no interface");
}

Test(server_listen, makes_a_socket_with_its_mode_and_removes_it)
{
    struct server *s = NULL;
    struct stat st;

    cr_assert_eq(try_open(unix_at(), &s), 0, "%s", err.msg);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    server_stop_accepting(s);
    cr_expect_lt(stat(path, &st), 0);
    server_free(s);
}

Test(server_listen, a_stale_socket_is_replaced)
{
    struct server *s = NULL;
    struct endpoint at;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(endpoint_parse(slice_of(unix_at()), &at, &err), 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at.sa, at.sa_len), 0);
    (void)close(fd);
    cr_expect_eq(try_open(unix_at(), &s), 0, "%s", err.msg);
    server_free(s);
}

Test(server_listen, a_socket_somebody_answers_on_is_left_alone)
{
    struct server *s = NULL, *second = NULL;
    struct stat st;

    cr_assert_eq(try_open(unix_at(), &s), 0);
    expect_sentence(try_open(unix_at(), &second), -EADDRINUSE, path, "another process answers");
    cr_expect_eq(stat(path, &st), 0);
    server_free(s);
}

Test(server_listen, a_file_in_the_way_is_left_alone)
{
    struct server *s = NULL;
    struct stat st;

    cr_assert_eq(file_write_atomic(path, SLICE("precious"), 0600, &err), 0);
    expect_sentence(try_open(unix_at(), &s), -EEXIST, path, "not a socket");
    cr_expect(stat(path, &st) == 0 && st.st_size == 8);
}

Test(server_listen, a_missing_directory_is_named)
{
    struct server *s = NULL;
    char text[160];

    (void)snprintf(text, sizeof(text), "unix:%s/none/s.sock", dir);
    expect_sentence(try_open(text, &s), -ENOENT, "/none", "does not exist");
}

Test(server_listen, a_directory_without_rights_is_named)
{
    struct server *s = NULL;

    if (geteuid() == 0 && seteuid(65534) != 0)
        cr_skip("cannot become another user");
    expect_sentence(try_open(unix_at(), &s), -EACCES, dir, "not writable");
    cr_assert_eq(seteuid(0), 0);
}

Test(server_listen, another_ones_socket_is_not_removed)
{
    struct server *s = NULL, *second = NULL;
    struct stat st;

    cr_assert_eq(try_open(unix_at(), &s), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(try_open(unix_at(), &second), 0);
    server_free(s);
    cr_expect_eq(stat(path, &st), 0, "the second one's socket is still there");
    server_free(second);
    cr_expect_lt(stat(path, &st), 0);
}

Test(server_listen, an_inherited_socket_is_used)
{
    struct server *s = NULL;
    struct server_config cfg;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    server_config_defaults(&cfg);
    cfg.inherited_fd = fd;
    expect_sentence(server_open(loop, &cfg, &handler, NULL, &s, &err), -EINVAL, "inherited",
                    "not a listening socket");
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(fd, 5), 0);
    cr_assert_eq(server_open(loop, &cfg, &handler, NULL, &s, &err), 0, "%s", err.msg);
    cr_expect_eq(server_listen_fd(s), fd);
    cr_expect_neq(server_address(s)->port, 0);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    server_free(s);
}

Test(server_listen, unix_peers_are_checked_by_uid)
{
    static struct fixture f;
    static struct raw r;
    uid_t nobody = 65533, me = geteuid();

    for (int allowed = 0; allowed < 2; allowed++) {
        fixture_config(&f);
        cr_assert_eq(endpoint_parse(slice_of(unix_at()), &f.cfg.at, &err), 0);
        f.cfg.allow_uids = allowed ? &me : &nobody;
        f.cfg.allow_uid_count = 1;
        fixture_start(&f);
        raw_open(&r, &f.at);
        raw_sendz(&r, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
        if (allowed)
            cr_expect_eq(raw_answer(&r, NULL), 200);
        else
            cr_expect(raw_until_closed(&r) && !r.len);
        raw_close(&r);
        fixture_stop(&f);
    }
}

/* A Unix peer that has closed is seen at once, and an abort there is at least no clean end. */
Test(server_listen, unix_connections_live_and_die_like_others)
{
    static struct fixture f;
    static struct raw r;

    fixture_config(&f);
    cr_assert_eq(endpoint_parse(slice_of(unix_at()), &f.cfg.at, &err), 0);
    fixture_start(&f);
    raw_open(&r, &f.at);
    raw_sendz(&r, "GET /abort HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_expect(raw_until_closed(&r) && strstr(r.p, "one") && !strstr(r.p, "0\r\n\r\n"));
    raw_close(&r);
    raw_open(&r, &f.at);
    raw_sendz(&r, "GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(fixture_wait(&f.began, 2));
    raw_close(&r);
    cr_expect(fixture_wait(&f.ended, 2));
    raw_open(&r, &f.at);
    raw_sendz(&r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_shut(&r);
    cr_expect_eq(raw_answer(&r, NULL), 200, "a half-close is no close");
    raw_close(&r);
    fixture_stop(&f);
    cr_expect_eq(f.complete, 1);
}
