/*
 * Transfers against a small server on the same loop, and against name servers that say nothing.
 */
#include "loop/curl_io.h"

#include "base/clock.h"
#include "base/fd.h"
#include "loop/signals.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNS = 16,
    CALLS = 8,
    LONG_MS = 60000,  /* of a call that is to end by itself, on a busy machine too */
    STALL_MS = 25000, /* a loop that waited for a mute name server would stand for RESOLVER_S */
    RESOLVER_S = 30,
};

/* ---- the server: "/slow" is never answered, everything else with "hello" ---- */

struct conn {
    struct watch watch;
    int fd;
    char in[4096];
    size_t n;
};

static struct loop *loop;
static struct curl_io *io;
static struct err err;
static struct watch listening;
static struct conn conns[CONNS];
static int listen_fd = -1;
static int accepted;
static uint16_t port;

static void conn_close(struct conn *c)
{
    watch_stop(&c->watch);
    fd_close(&c->fd);
}

static void on_conn(struct watch *w, int events)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct conn *c = w->arg;
    ssize_t n = read(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n);

    (void)events;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    c->n += (size_t)n;
    c->in[c->n] = '\0';
    if (!strstr(c->in, "\r\n\r\n") || strncmp(c->in, "GET /slow", 9) == 0)
        return;
    c->n = 0;
    cr_assert_eq(send(c->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL),
                 (ssize_t)sizeof(answer) - 1);
}

static void on_accept(struct watch *w, int events)
{
    struct conn *c = &conns[accepted++];

    (void)events;
    cr_assert_leq(accepted, CONNS);
    c->fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    cr_assert_eq(watch_start(&c->watch, loop, c->fd, WATCH_READ, on_conn, c), 0);
}

/* A port that is ours; nobody listens yet. */
static void take_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);

    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listen_fd, (struct sockaddr *)&in, len), 0);
    cr_assert_eq(getsockname(listen_fd, (struct sockaddr *)&in, &len), 0);
    port = ntohs(in.sin_port);
}

static void serve(void)
{
    take_port();
    cr_assert_eq(listen(listen_fd, 16), 0);
    cr_assert_eq(watch_start(&listening, loop, listen_fd, WATCH_READ, on_accept, NULL), 0);
}

/* ---- the calls ---- */

struct call {
    CURL *easy;
    int done;
    CURLcode result;
    char body[64];
    struct call *starts;  /* in its done callback */
    struct call *cancels; /* the same */
    bool cleans_up;
    bool frees_io;
};

static struct call calls[CALLS];
static int done_count;
static int stop_after;

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct call *c = arg;

    snprintf(c->body, sizeof(c->body), "%.*s", (int)(size * n), p);
    return size * n;
}

static void make(struct call *c, const char *host, const char *path)
{
    char url[128];

    snprintf(url, sizeof(url), "http://%s:%u%s", host, port, path);
    if (!c->easy)
        c->easy = curl_easy_init();
    cr_assert_not_null(c->easy);
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
}

static void on_done(void *arg, CURL *easy, CURLcode result)
{
    struct call *c = arg;

    cr_assert_eq(easy, c->easy);
    c->done++;
    c->result = result;
    if (c->starts)
        cr_assert_eq(curl_io_start(io, c->starts->easy, LONG_MS, on_done, c->starts), 0);
    if (c->cancels)
        curl_io_cancel(io, c->cancels->easy);
    if (c->cleans_up) {
        curl_easy_cleanup(easy);
        c->easy = NULL;
    }
    if (c->frees_io) {
        curl_io_free(io);
        io = NULL;
    }
    if (++done_count == stop_after)
        loop_stop(loop);
}

static void start(struct call *c, int64_t timeout_ms)
{
    int64_t from = clock_mono_ms();

    cr_assert_eq(curl_io_start(io, c->easy, timeout_ms, on_done, c), 0);
    cr_assert_eq(c->done, 0, "never from within the start");
    cr_assert_lt(clock_mono_ms() - from, STALL_MS);
}

static void run_until(int done)
{
    stop_after = done;
    loop_run(loop);
    cr_assert_eq(done_count, done);
}

static void stop_by_timer(struct timer *t)
{
    loop_stop(t->loop);
}

static void run_ms(int64_t ms)
{
    struct timer t = {0};

    timer_start(&t, loop, loop_now_ms(loop) + ms, stop_by_timer, NULL);
    loop_run(loop);
}

static void setup(void)
{
    struct signals_origin origin;

    signals_block_all(&origin);
    for (int i = 0; i < CONNS; i++)
        conns[i].fd = -1;
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(curl_io_new(loop, &io, &err), 0);
}

static void teardown(void)
{
    curl_io_free(io);
    for (int i = 0; i < CALLS; i++)
        curl_easy_cleanup(calls[i].easy);
    for (int i = 0; i < CONNS; i++)
        conn_close(&conns[i]);
    watch_stop(&listening);
    fd_close(&listen_fd);
    loop_free(loop);
}

TestSuite(curl_io, .init = setup, .fini = teardown, .timeout = 300);

Test(curl_io, fetches_and_uses_the_connection_again)
{
    serve();
    make(&calls[0], "127.0.0.1", "/a");
    start(&calls[0], LONG_MS);
    run_until(1);
    cr_assert_eq(calls[0].result, CURLE_OK);
    cr_assert_str_eq(calls[0].body, "hello");
    calls[0].done = 0;
    start(&calls[0], LONG_MS);
    run_until(2);
    cr_assert_eq(calls[0].result, CURLE_OK);
    cr_assert_eq(accepted, 1);
}

Test(curl_io, runs_several_at_once)
{
    serve();
    for (int i = 0; i < CALLS; i++) {
        make(&calls[i], i % 2 ? "localhost" : "127.0.0.1", "/a");
        start(&calls[i], LONG_MS);
    }
    run_until(CALLS);
    for (int i = 0; i < CALLS; i++)
        cr_assert_eq(calls[i].result, CURLE_OK, "%d", calls[i].result);
}

Test(curl_io, a_refused_port_is_told)
{
    take_port(); /* and kept, or else somebody might listen there by now */
    make(&calls[0], "127.0.0.1", "/a");
    start(&calls[0], LONG_MS);
    run_until(1);
    cr_assert_eq(calls[0].result, CURLE_COULDNT_CONNECT);
}

Test(curl_io, a_silent_server_times_out_on_time)
{
    int64_t from = clock_mono_ms(), took;

    serve();
    make(&calls[0], "127.0.0.1", "/slow");
    start(&calls[0], 100);
    run_until(1);
    took = clock_mono_ms() - from;
    cr_assert_eq(calls[0].result, CURLE_OPERATION_TIMEDOUT);
    cr_assert(took >= 100 && took < LONG_MS, "%lld ms", (long long)took);
}

Test(curl_io, a_url_that_makes_no_sense_fails_through_done)
{
    calls[0].easy = curl_easy_init();
    curl_easy_setopt(calls[0].easy, CURLOPT_URL, "http://[::bad");
    start(&calls[0], LONG_MS);
    calls[1].easy = curl_easy_init(); /* no URL at all */
    start(&calls[1], LONG_MS);
    run_until(2);
    cr_assert_neq(calls[0].result, CURLE_OK);
    cr_assert_neq(calls[1].result, CURLE_OK);
}

Test(curl_io, done_may_start_cancel_and_clean_up)
{
    serve();
    make(&calls[0], "127.0.0.1", "/a");
    make(&calls[1], "127.0.0.1", "/b");
    make(&calls[2], "127.0.0.1", "/slow");
    calls[0].starts = &calls[1];
    calls[0].cancels = &calls[2];
    calls[0].cleans_up = true;
    start(&calls[2], LONG_MS);
    start(&calls[0], LONG_MS);
    run_until(2);
    cr_assert_eq(calls[1].result, CURLE_OK);
    cr_assert_str_eq(calls[1].body, "hello");
    cr_assert_eq(calls[2].done, 0);
    run_ms(20);
    cr_assert_eq(calls[2].done, 0);
}

Test(curl_io, done_may_cancel_itself_started_again)
{
    serve();
    make(&calls[0], "127.0.0.1", "/a");
    calls[0].starts = calls[0].cancels = &calls[0];
    start(&calls[0], LONG_MS);
    run_until(1);
    run_ms(20);
    cr_assert_eq(calls[0].done, 1);
}

Test(curl_io, cancelling_works_in_every_state)
{
    serve();
    for (int i = 0; i < 3; i++)
        make(&calls[i], "127.0.0.1", "/slow");
    curl_io_cancel(io, calls[0].easy); /* never started */
    start(&calls[0], LONG_MS);
    curl_io_cancel(io, calls[0].easy); /* still waiting */
    start(&calls[1], LONG_MS);
    run_ms(20);
    curl_io_cancel(io, calls[1].easy); /* under way */
    curl_io_cancel(io, calls[1].easy);
    run_ms(20);
    cr_assert_eq(done_count, 0);
    start(&calls[2], LONG_MS);
    run_ms(10);
    /* freeing cancels the last one */
}

Test(curl_io, done_may_free_everything)
{
    serve();
    make(&calls[0], "127.0.0.1", "/a");
    make(&calls[1], "127.0.0.1", "/slow");
    calls[0].frees_io = true;
    start(&calls[1], LONG_MS);
    start(&calls[0], LONG_MS);
    run_until(1);
    run_ms(10);
    cr_assert_eq(calls[1].done, 0);
}

static size_t refuse_body(char *p, size_t size, size_t n, void *arg)
{
    (void)p;
    (void)size;
    (void)n;
    (void)arg;
    return 0;
}

Test(curl_io, an_error_from_a_body_callback_ends_the_transfer)
{
    serve();
    make(&calls[0], "127.0.0.1", "/a");
    curl_easy_setopt(calls[0].easy, CURLOPT_WRITEFUNCTION, refuse_body);
    start(&calls[0], LONG_MS);
    run_until(1);
    cr_assert_eq(calls[0].result, CURLE_WRITE_ERROR);
}

Test(curl_io, speaks_to_unix_sockets)
{
    struct sockaddr_un {
        sa_family_t family;
        char path[108];
    } un = {.family = AF_UNIX};

    snprintf(un.path, sizeof(un.path), "/tmp/test_curl_io.%d.sock", (int)getpid());
    listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listen_fd, (struct sockaddr *)&un, sizeof(un)), 0);
    cr_assert_eq(listen(listen_fd, 16), 0);
    cr_assert_eq(watch_start(&listening, loop, listen_fd, WATCH_READ, on_accept, NULL), 0);
    for (int i = 0; i < 3; i++) {
        make(&calls[i], "agent.invalid", "/a");
        curl_easy_setopt(calls[i].easy, CURLOPT_UNIX_SOCKET_PATH, un.path);
        start(&calls[i], LONG_MS);
    }
    run_until(3);
    unlink(un.path);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(calls[i].result, CURLE_OK, "%d", calls[i].result);
}

/* ---- a name server that never answers ---- */

static bool put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* A network of our own whose only name server is a socket that nobody reads. */
static bool enter_mute_network(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    char resolv[64], map[64], text[64];
    uid_t uid = getuid();
    int udp;

    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0)
            return false;
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
        if (!put_file("/proc/self/uid_map", map))
            return false;
    }
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* stays open till the end */
    if (udp < 0 || ioctl(udp, SIOCSIFFLAGS, &up) < 0 ||
        bind(udp, (struct sockaddr *)&in, sizeof(in)) < 0)
        return false;
    snprintf(resolv, sizeof(resolv), "/tmp/test_resolv.%d", (int)getpid());
    snprintf(text, sizeof(text), "nameserver 127.0.0.1\noptions timeout:%d attempts:1\n",
             RESOLVER_S);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !put_file(resolv, text))
        return false;
    if (mount(resolv, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
        return false;
    unlink(resolv);
    return true;
}

static int64_t last_beat_ms;
static int64_t longest_stall_ms;

static void on_beat(struct timer *t)
{
    int64_t now = clock_mono_ms();

    if (last_beat_ms > 0 && now - last_beat_ms > longest_stall_ms)
        longest_stall_ms = now - last_beat_ms;
    last_beat_ms = now;
    timer_start(t, t->loop, now + 5, on_beat, NULL);
}

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = -2; /* . and .. */

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

Test(curl_io, a_mute_name_server_stalls_nothing)
{
    struct timer beat = {0};
    int64_t from, took;
    int before;

    if (!enter_mute_network())
        cr_skip_test("needs a network and a mount namespace");
    serve();
    before = threads();
    for (int i = 0; i < 4; i++) {
        make(&calls[i], "platform.example", "/a");
        start(&calls[i], LONG_MS);
    }
    make(&calls[4], "127.0.0.1", "/a");
    start(&calls[4], LONG_MS);
    timer_start(&beat, loop, 0, on_beat, NULL);
    run_until(1);
    cr_assert_eq(calls[4].done, 1, "an address needs no name server, and no queue");
    cr_assert_eq(calls[4].result, CURLE_OK);
    run_ms(50);
    cr_assert_eq(threads() - before, 1, "one resolution in flight for the host");
    for (int i = 0; i < 4; i++) {
        curl_io_cancel(io, calls[i].easy);
        start(&calls[i], 100 + 100 * i);
    }
    from = clock_mono_ms();
    run_until(5);
    took = clock_mono_ms() - from;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(calls[i].result, CURLE_OPERATION_TIMEDOUT, "%d: %d", i, calls[i].result);
    cr_assert_lt(took, STALL_MS);
    cr_assert_lt(longest_stall_ms, STALL_MS, "stalled for %lld ms", (long long)longest_stall_ms);
    make(&calls[5], "platform.example", "/a");
    start(&calls[5], LONG_MS);
    run_ms(20);
    from = clock_mono_ms();
    curl_io_cancel(io, calls[5].easy);
    curl_io_free(io);
    io = NULL;
    cr_assert_lt(clock_mono_ms() - from, STALL_MS, "giving up does not wait for the resolver");
    timer_stop(&beat);
}

Test(curl_io, a_waiting_transfer_keeps_its_own_deadline)
{
    if (!enter_mute_network())
        cr_skip_test("needs a network and a mount namespace");
    serve();
    make(&calls[0], "platform.example", "/a");
    make(&calls[1], "PLATFORM.example", "/a");
    start(&calls[0], LONG_MS);
    start(&calls[1], 100);
    run_until(1);
    cr_assert_eq(calls[1].done, 1);
    cr_assert_eq(calls[1].result, CURLE_OPERATION_TIMEDOUT);
    cr_assert_eq(calls[0].done, 0);
    curl_io_cancel(io, calls[0].easy);
    start(&calls[0], 100);
    run_until(2);
    cr_assert_eq(calls[0].result, CURLE_OPERATION_TIMEDOUT);
}
