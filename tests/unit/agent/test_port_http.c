/* The port against scripted agents: what each way of not answering counts as, and that nothing is
 * ever sent twice. */
#include "agent/port.h"
#include "base/str.h"
#include "support/fake_http.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { GUARD_MS = 120000, LONG_MS = 60000, SHORT_MS = 300 };

struct scene {
    struct loop *loop;
    struct curl_io *io;
    struct endpoint at;
    struct port *port;
    struct timer guard;
    const char *path; /* of the socket */
    /* what came back */
    int replies;
    enum port_outcome outcome;
    int status;
    char body[256];
    size_t body_bytes;
    int64_t wait_ms;
    char error[512];
    /* the agent */
    struct fake_answer script;
    unsigned requests;
    unsigned connections;
    char seen_target[128], seen_body[256], seen_version[32], seen_type[64];
};

static void on_guard(struct timer *t)
{
    cr_assert_fail("no reply; %u requests", ((struct scene *)t->arg)->requests);
}

static void on_reply(void *arg, const struct port_reply *r)
{
    struct scene *s = arg;

    s->replies++;
    s->outcome = r->outcome;
    s->status = r->status;
    s->body_bytes = r->body.n;
    (void)snprintf(s->body, sizeof(s->body), "%.*s", (int)r->body.n, r->body.n ? r->body.p : "");
    s->wait_ms = r->wait_ms;
    (void)snprintf(s->error, sizeof(s->error), "%s", r->error);
    loop_stop(s->loop);
}

static void play(void *arg, const struct fake_request *rq, struct fake_answer *ret)
{
    struct scene *s = arg;
    const char *version = fake_field(rq, "A2A-Version");

    s->requests++;
    s->connections = rq->connection;
    (void)snprintf(s->seen_version, sizeof(s->seen_version), "%s", version ? version : "none");
    (void)snprintf(s->seen_type, sizeof(s->seen_type), "%s", fake_field(rq, "Content-Type"));
    (void)snprintf(s->seen_target, sizeof(s->seen_target), "%.100s", rq->target);
    (void)snprintf(s->seen_body, sizeof(s->seen_body), "%.200s", rq->body);
    *ret = s->script;
    if (ret->status == 0)
        ret->status = 200;
}

static void scene_open(struct scene *s, const char *address, const char *base_path)
{
    char text[512];
    struct err err = {0};

    scratch_make();
    s->path = scratch_path("agent.sock");
    (void)snprintf(text, sizeof(text), "unix:%s", s->path);
    cr_assert_eq(endpoint_parse(slice_of(address ? address : text), &s->at, &err), 0, "%s",
                 err.msg);
    cr_assert_eq(loop_new(&s->loop, &err), 0);
    cr_assert_eq(curl_io_new(s->loop, &s->io, &err), 0);
    cr_assert_eq(port_new(s->loop, s->io, &s->at, base_path, &s->port, &err), 0);
    timer_start(&s->guard, s->loop, loop_now_ms(s->loop) + GUARD_MS, on_guard, s);
    s->guard.arg = s;
}

static void scene_close(struct scene *s)
{
    timer_stop(&s->guard);
    port_free(s->port);
    curl_io_free(s->io);
    loop_free(s->loop);
    scratch_remove();
}

static void send_for(struct scene *s, const char *version, int64_t timeout_ms)
{
    struct port_call *call = NULL;
    int before = s->replies;

    cr_assert_eq(port_send(s->port, SLICE("{\"n\":1}"), version, timeout_ms, on_reply, s, &call),
                 0);
    cr_assert_eq(s->replies, before, "never from port_send");
    loop_run(s->loop);
    cr_assert_eq(s->replies, before + 1);
}

Test(port_http, a_request_goes_to_the_base_path_and_its_answer_comes_back)
{
    struct scene s = {.script = {.body = "{\"result\":1}"}};

    scene_open(&s, NULL, "/a2a/x");
    struct fake *f = fake_open_unix(s.path, play, &s);
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_ANSWERED);
    cr_assert_eq(s.status, 200);
    cr_assert_str_eq(s.body, "{\"result\":1}");
    cr_assert_str_eq(s.seen_target, "/a2a/x");
    cr_assert_str_eq(s.seen_body, "{\"n\":1}");
    cr_assert_str_eq(s.seen_version, "none");
    cr_assert_str_eq(s.seen_type, "application/json");
    send_for(&s, "1.0", LONG_MS);
    cr_assert_str_eq(s.seen_version, "1.0");
    cr_assert_eq(s.connections, 2, "a POST is never sent on a kept connection");
    fake_free(f);
    scene_close(&s);
}

Test(port_http, tcp_and_localhost_are_addresses_as_good)
{
    struct scene s = {.script = {.body = "{}"}};
    struct fake *f = fake_open(play, &s);
    char text[64];

    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u", fake_port(f));
    scene_open(&s, text, "/");
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_ANSWERED);
    scene_close(&s);
    (void)snprintf(text, sizeof(text), "http://localhost:%u", fake_port(f));
    scene_open(&s, text, "/");
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_ANSWERED);
    scene_close(&s);
    fake_free(f);
}

Test(port_http, without_a_socket_nothing_was_handed_over)
{
    struct scene s = {0};

    scene_open(&s, NULL, "/");
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_NOT_REACHED, "%d %s", (int)s.outcome, s.error);
    cr_assert(strstr(s.error, "has not made its socket yet"), "%s", s.error);
    scene_close(&s);
}

static int listen_unix(const char *path, int backlog)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(strlen(path) < sizeof(sa.sun_path));
    memcpy(sa.sun_path, path, strlen(path));
    cr_assert_eq(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(listen(fd, backlog), 0);
    return fd;
}

Test(port_http, a_socket_left_behind_refuses)
{
    struct scene s = {0};

    scene_open(&s, NULL, "/");
    (void)close(listen_unix(s.path, 1));
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_NOT_REACHED);
    cr_assert(strstr(s.error, "nobody listens there"), "%s", s.error);
    scene_close(&s);
}

Test(port_http, a_refused_tcp_port_is_not_reached)
{
    struct scene s = {0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char text[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening: refuses */

    cr_assert_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u", ntohs(at.sin_port));
    scene_open(&s, text, "/");
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_NOT_REACHED);
    cr_assert(strstr(s.error, "refused"), "%s", s.error);
    (void)close(fd);
    scene_close(&s);
}

Test(port_http, a_socket_that_we_may_not_use_names_mode_and_owner)
{
    struct scene s = {0};

    if (geteuid() == 0)
        cr_skip("root may use every socket");
    scene_open(&s, NULL, "/");
    int fd = listen_unix(s.path, 1);
    cr_assert_eq(chmod(s.path, 0), 0);
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_NOT_REACHED);
    cr_assert(strstr(s.error, "mode 0000"), "%s", s.error);
    (void)close(fd);
    scene_close(&s);
}

Test(port_http, a_full_backlog_is_not_reached)
{
    struct scene s = {0};
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fill[8];
    int n = 0;

    scene_open(&s, NULL, "/");
    int fd = listen_unix(s.path, 0);
    memcpy(sa.sun_path, s.path, strlen(s.path));
    for (; n < 8; n++) {
        fill[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fill[n], (const struct sockaddr *)&sa, sizeof(sa)) < 0)
            break;
    }
    cr_assert(n < 8);
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_NOT_REACHED, "%d %s", (int)s.outcome, s.error);
    cr_assert(strstr(s.error, "backlog is full"), "%s", s.error);
    for (int i = 0; i <= n; i++)
        (void)close(fill[i]);
    (void)close(fd);
    scene_close(&s);
}

static void check_script(const struct fake_answer *script, enum port_outcome outcome)
{
    struct scene s = {.script = *script};

    scene_open(&s, NULL, "/");
    struct fake *f = fake_open_unix(s.path, play, &s);
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, outcome, "%d %s", (int)s.outcome, s.error);
    cr_assert(s.error[0], "a sentence");
    cr_assert_eq(s.requests, 1, "sent once, not %u times", s.requests);
    fake_free(f);
    scene_close(&s);
}

Test(port_http, an_end_without_an_answer_is_a_loss_and_not_repeated)
{
    check_script(&(struct fake_answer){.action = FAKE_CLOSE}, PORT_LOST);
    check_script(&(struct fake_answer){.action = FAKE_RESET}, PORT_LOST);
}

Test(port_http, a_cut_answer_is_a_loss)
{
    check_script(&(struct fake_answer){.action = FAKE_CUT, .body = "half"}, PORT_LOST);
    check_script(&(struct fake_answer){.action = FAKE_RAW, .body = "HTTP/1.1 200 OK\r\nContent-Le"},
                 PORT_LOST);
}

Test(port_http, what_is_no_http_is_unreadable)
{
    check_script(&(struct fake_answer){.action = FAKE_RAW, .body = "hello there, no HTTP\r\n\r\n"},
                 PORT_UNREADABLE);
}

static unsigned requests_of(struct scene *s, struct fake *f)
{
    unsigned n;

    fake_lock(f);
    n = s->requests;
    fake_unlock(f);
    return n;
}

Test(port_http, no_answer_in_time_is_told_apart)
{
    struct scene s = {.script = {.action = FAKE_HANG}};
    int64_t timeout_ms = SHORT_MS;

    scene_open(&s, NULL, "/");
    struct fake *f = fake_open_unix(s.path, play, &s);
    send_for(&s, NULL, timeout_ms);
    while (s.outcome == PORT_NOT_REACHED && timeout_ms < LONG_MS) {
        timeout_ms *= 4; /* a busy machine: the time was over before the request had left */
        send_for(&s, NULL, timeout_ms);
    }
    cr_assert_eq(s.outcome, PORT_TIMED_OUT, "%d %s", (int)s.outcome, s.error);
    cr_assert(s.error[0], "a sentence");
    while (requests_of(&s, f) == 0) /* it waits in the socket until the agent has its turn */
        (void)poll(NULL, 0, 1);
    fake_free(f);
    cr_assert_eq(s.requests, 1, "sent once, not %u times", s.requests);
    scene_close(&s);
}

Test(port_http, an_answer_over_the_limit_is_unreadable)
{
    struct scene s = {0};
    char head[128];
    char chunk[65536];
    char in[1024];

    scene_open(&s, NULL, "/");
    int fd = listen_unix(s.path, 4);
    pid_t pid = fork(); /* an agent that does nothing but write */
    cr_assert(pid >= 0);
    if (pid == 0) {
        int c = accept(fd, NULL, NULL);
        (void)!read(c, in, sizeof(in));
        int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                         PORT_ANSWER_MAX_BYTES + 1);
        (void)!write(c, head, (size_t)n);
        memset(chunk, 'x', sizeof(chunk));
        while (write(c, chunk, sizeof(chunk)) > 0)
            ;
        _exit(0);
    }
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_UNREADABLE, "%d %s", (int)s.outcome, s.error);
    (void)close(fd);
    scene_close(&s);
}

Test(port_http, retry_after_is_read_in_seconds_and_as_a_date)
{
    struct scene s = {.script = {.status = 503, .fields = "Retry-After: 7\r\n", .body = "later"}};

    scene_open(&s, NULL, "/");
    struct fake *f = fake_open_unix(s.path, play, &s);
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.outcome, PORT_ANSWERED);
    cr_assert_eq(s.status, 503);
    cr_assert_eq(s.wait_ms, 7000);
    s.script.fields = "Retry-After: 0\r\n";
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.wait_ms, 1000);
    s.script.fields = "Retry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\n";
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.wait_ms, 600000);
    s.script.fields = "Retry-After: soon\r\n";
    send_for(&s, NULL, LONG_MS);
    cr_assert_eq(s.wait_ms, 0);
    fake_free(f);
    scene_close(&s);
}

static void on_never(void *arg, const struct port_reply *r)
{
    (void)arg;
    (void)r;
    cr_assert_fail("a call that was cancelled has an end");
}

Test(port_http, a_cancelled_call_says_nothing)
{
    struct scene s = {.script = {.body = "{}"}};
    struct port_call *call = NULL;

    scene_open(&s, NULL, "/");
    struct fake *f = fake_open_unix(s.path, play, &s);
    cr_assert_eq(port_send(s.port, SLICE("{}"), NULL, LONG_MS, on_never, &s, &call), 0);
    port_cancel(call);
    port_cancel(NULL);
    send_for(&s, NULL, LONG_MS);
    fake_free(f);
    scene_close(&s);
}
