/*
 * Calls against a server that answers, is late, breaks off, or is not there; on the loop and
 * blocking alike.
 */
#include "client/client.h"

#include "base/clock.h"
#include "support/fake_http.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LONG_MS = 60000, /* of a call that is answered, on a busy machine too */
    SHORT_MS = 100,
};

static struct loop *loop;
static struct curl_io *io;
static struct fake *fake;
static struct err err;
static struct fake_answer next; /* what the server says */
static struct fake_request seen;
static char seen_body[256];
static unsigned requests;

static struct client_answer got;
static char got_body[4096], got_retry[64];
static unsigned dones;

static void script(void *arg, const struct fake_request *rq, struct fake_answer *ret)
{
    (void)arg;
    *ret = next;
    if (ret->status == 0)
        ret->status = 200;
    seen = *rq;
    (void)snprintf(seen_body, sizeof(seen_body), "%.200s", rq->body);
    requests++;
}

static void on_done(void *arg, const struct client_answer *a)
{
    struct loop *l = arg;

    got = *a;
    (void)snprintf(got_body, sizeof(got_body), "%.*s", (int)a->body.n, a->body.p ? a->body.p : "");
    (void)snprintf(got_retry, sizeof(got_retry), "%s", a->retry_after);
    dones++;
    if (l)
        loop_stop(l);
}

static void open_all(void)
{
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(curl_io_new(loop, &io, &err), 0);
    fake = fake_open(script, NULL);
    next = (struct fake_answer){0};
    (void)snprintf(next.body, sizeof(next.body), "{\"a\":1}");
}

static void close_all(void)
{
    curl_io_free(io);
    loop_free(loop);
    fake_free(fake);
}

static char url[256];

static struct client_request request(const char *path)
{
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", fake_port(fake), path);
    return (struct client_request){
        .method = "GET", .url = url, .timeout_ms = LONG_MS, .connect_timeout_ms = LONG_MS};
}

static void call(const struct client_request *rq)
{
    struct client_call *c = NULL;

    cr_assert_eq(client_start(io, rq, on_done, loop, &c, &err), 0, "%s", err.msg);
    cr_assert_not_null(c);
    unsigned before = dones;
    loop_run(loop);
    cr_assert_eq(dones, before + 1);
}

TestSuite(client, .init = open_all, .fini = close_all, .timeout = 300);

Test(client, gives_status_body_and_type)
{
    struct client_request rq = request("/x?secret=1");

    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_OK);
    cr_assert_eq(got.status, 200);
    cr_assert_str_eq(got_body, "{\"a\":1}");
    cr_assert_str_eq(seen.target, "/x?secret=1");
    cr_assert_null(fake_field(&seen, "content-type"));
    cr_assert_null(fake_field(&seen, "expect"));
    cr_assert(strncmp(fake_field(&seen, "user-agent"), "molecule-sidecar/", 17) == 0);
}

Test(client, posts_a_body_with_its_headers)
{
    struct client_request rq = request("/p");

    rq.method = "POST";
    rq.body = SLICE("{\"b\":2}");
    rq.headers[0] = "X-One: 1";
    call(&rq);
    cr_assert_str_eq(seen.method, "POST");
    cr_assert_str_eq(seen_body, "{\"b\":2}");
    cr_assert_str_eq(fake_field(&seen, "content-type"), "application/json");
    cr_assert_str_eq(fake_field(&seen, "x-one"), "1");
}

Test(client, an_empty_post_is_a_post)
{
    struct client_request rq = request("/p");

    rq.method = "POST";
    call(&rq);
    cr_assert_str_eq(seen.method, "POST");
    cr_assert_str_eq(fake_field(&seen, "content-length"), "0");
}

Test(client, reads_the_rate_limit_and_retry_after)
{
    struct client_request rq = request("/");

    next.status = 429;
    next.fields = "Retry-After:  7 \r\nx-ratelimit-limit: 600\r\nX-RateLimit-Remaining: 3\r\n";
    call(&rq);
    cr_assert_eq(got.status, 429);
    cr_assert_str_eq(got_retry, "7");
    cr_assert_eq(got.rate_limit, 600);
    cr_assert_eq(got.rate_remaining, 3);
    next.fields = "X-RateLimit-Limit: unlimited\r\n";
    call(&rq);
    cr_assert_eq(got.rate_limit, -1);
    cr_assert_str_eq(got_retry, "");
}

Test(client, reuses_the_connection_unless_told_otherwise)
{
    struct client_request rq = request("/");

    call(&rq);
    call(&rq);
    cr_assert_eq(seen.connection, 1);
    rq.is_once = true;
    call(&rq);
    cr_assert_eq(seen.connection, 2);
}

Test(client, a_kept_connection_that_died_is_replaced)
{
    struct client_request rq = request("/");

    next.action = FAKE_RAW; /* promises to stay open, and closes */
    (void)snprintf(next.body, sizeof(next.body), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    for (unsigned i = 1; i <= 5; i++) {
        call(&rq);
        cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
    }
    cr_assert_eq(requests, 5);
}

Test(client, follows_no_redirect)
{
    struct client_request rq = request("/");
    char where[128];

    (void)snprintf(where, sizeof(where), "Location: http://127.0.0.1:%u/there\r\n",
                   fake_port(fake));
    next.status = 302;
    next.fields = where;
    call(&rq);
    cr_assert_eq(got.status, 302);
    cr_assert_eq(requests, 1);
}

Test(client, ignores_proxies_of_the_environment)
{
    struct client_request rq = request("/");

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
}

Test(client, uses_the_proxy_that_is_given)
{
    struct client_request rq = request("/");
    char proxy[64];
    struct client_tls tls = {.proxy = proxy};

    (void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", fake_port(fake));
    rq.url = "http://nowhere.invalid/x";
    rq.tls = &tls;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
    cr_assert_str_eq(seen.target, "http://nowhere.invalid/x");
}

Test(client, says_who_refused_the_connection)
{
    struct client_request rq = request("/x?q=secret");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char want[64];

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening: refuses */
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/x?q=secret", ntohs(at.sin_port));
    (void)snprintf(want, sizeof(want), "connection refused by 127.0.0.1:%u", ntohs(at.sin_port));
    rq.url = url;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert_eq(got.status, 0);
    cr_assert_eq(got.errnum, ECONNREFUSED);
    cr_assert_str_eq(got.error, want);
    close(fd);
}

Test(client, a_unix_socket_that_is_missing_has_an_errno)
{
    struct client_request rq = request("/");

    rq.unix_path = "/nonexistent/agent.sock";
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "unix:/nonexistent/agent.sock"), "%s", got.error);
}

Test(client, speaks_over_a_unix_socket)
{
    char path[64] = "/tmp/client-test-XXXXXX";
    int fd = mkstemp(path);
    struct fake *there = fake_open_unix(path, script, NULL);
    struct client_request rq = {.method = "GET",
                                .url = "http://localhost/card",
                                .unix_path = path,
                                .timeout_ms = LONG_MS,
                                .connect_timeout_ms = LONG_MS};

    close(fd);
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_OK, "%s", got.error);
    cr_assert_str_eq(seen.target, "/card");
    fake_free(there);
    unlink(path);
}

Test(client, a_late_answer_is_a_timeout)
{
    struct client_request rq = request("/");
    int64_t start = clock_mono_ms();
    char want[64];

    next.action = FAKE_HANG;
    rq.timeout_ms = SHORT_MS;
    call(&rq);
    while (got.outcome == CLIENT_NOT_SENT && rq.timeout_ms < LONG_MS) {
        rq.timeout_ms *= 4; /* a busy machine: the time was over before the request had left */
        start = clock_mono_ms();
        call(&rq);
    }
    cr_assert_eq(got.outcome, CLIENT_TIMEOUT, "%s", got.error);
    (void)snprintf(want, sizeof(want), "did not answer within %d ms", (int)rq.timeout_ms);
    cr_assert(strstr(got.error, want), "%s", got.error);
    cr_assert_lt(clock_mono_ms() - start, rq.timeout_ms + LONG_MS);
}

Test(client, broken_answers_are_lost)
{
    struct client_request rq = request("/");

    rq.is_once = true;
    next.action = FAKE_RESET;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_LOST, "%s", got.error);
    next.action = FAKE_CLOSE;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_LOST);
    cr_assert(strstr(got.error, "without an answer"), "%s", got.error);
    next.action = FAKE_CUT;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_LOST);
    cr_assert(strstr(got.error, "in the middle"), "%s", got.error);
    next.action = FAKE_RAW;
    (void)snprintf(next.body, sizeof(next.body), "SSH-2.0-hello\r\n");
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_NOT_HTTP);
    cr_assert(strstr(got.error, "does not speak HTTP"), "%s", got.error);
    (void)snprintf(next.body, sizeof(next.body), "HTTP/1.1 200 OK\r\nContent-Le");
    call(&rq); /* libcurl takes that for an answer without a body */
    cr_assert_eq(got.outcome, CLIENT_LOST);
    cr_assert(strstr(got.error, "answer's head"), "%s", got.error);
}

Test(client, an_answer_over_the_cap_is_refused)
{
    struct client_request rq = request("/");

    rq.max_answer_bytes = 7;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_OK);
    rq.max_answer_bytes = 6;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_TOO_BIG);
}

Test(client, an_unknown_name_is_said_without_the_query)
{
    struct client_request rq = request("/");

    rq.url = "http://no-such-host.invalid/x?token=hush";
    rq.timeout_ms = 5000; /* where no name server answers, the words are the same */
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT);
    cr_assert(strstr(got.error, "cannot resolve no-such-host.invalid"), "%s", got.error);
    cr_assert_null(strstr(got.error, "hush"));
}

Test(client, a_plain_server_behind_https_is_a_failed_handshake)
{
    struct client_request rq = request("/");

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", fake_port(fake));
    next.action = FAKE_CLOSE;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_NOT_SENT, "%s", got.error);
    cr_assert(strstr(got.error, "TLS"), "%s", got.error);
}

Test(client, refuses_urls_that_are_none)
{
    static const char *const bad[] = {"",        "ftp://host/",        "host:8080/x",
                                      "http://", "file:///etc/passwd", "http://user:pw@host/"};
    struct client_call *c = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct client_request rq = {.method = "GET", .url = bad[i]};
        cr_assert_eq(client_start(io, &rq, on_done, loop, &c, &err), -EINVAL, "%s", bad[i]);
        cr_assert_null(c);
        cr_assert(err.msg[0]);
        cr_assert_null(strstr(err.msg, "pw"));
    }
    cr_assert_eq(dones, 0);
}

Test(client, refuses_a_line_break_in_a_header)
{
    struct client_request rq = request("/");
    struct client_call *c = NULL;

    rq.headers[0] = "X-One: 1\r\nX-Two: 2";
    cr_assert_eq(client_start(io, &rq, on_done, loop, &c, &err), -EINVAL);
}

static void on_cancel(struct timer *t)
{
    client_cancel(t->arg);
    loop_stop(loop);
}

Test(client, a_cancelled_call_is_never_heard_of)
{
    struct client_request rq = request("/");
    struct client_call *c = NULL;
    struct timer t = {0};

    next.action = FAKE_HANG;
    cr_assert_eq(client_start(io, &rq, on_done, loop, &c, &err), 0);
    timer_start(&t, loop, loop_now_ms(loop) + 20, on_cancel, c);
    loop_run(loop);
    cr_assert_eq(dones, 0);
    client_cancel(NULL);
}

static size_t streamed;
static bool take_some(void *arg, struct slice bytes)
{
    (void)arg;
    streamed += bytes.n;
    return streamed < 4;
}

Test(client, a_stream_can_be_stopped)
{
    struct client_request rq = request("/");

    rq.on_data = take_some;
    call(&rq);
    cr_assert_eq(got.outcome, CLIENT_STOPPED);
    cr_assert_eq(streamed, 7);
}

Test(client, blocks_for_commands)
{
    struct client_request rq = request("/y");

    cr_assert_eq(client_run(&rq, on_done, NULL, &err), 0);
    cr_assert_eq(dones, 1);
    cr_assert_eq(got.outcome, CLIENT_OK);
    cr_assert_str_eq(got_body, "{\"a\":1}");
    rq.url = "nonsense://";
    cr_assert_eq(client_run(&rq, on_done, NULL, &err), -EINVAL);
}
