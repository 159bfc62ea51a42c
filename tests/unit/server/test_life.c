/*
 * The life of connections: deadlines, half-closes, resets, aborts, the cap, draining, and a server
 * freed in the middle of everything.
 */
#include "log/log.h"
#include "server/conn.h"
#include "support/server_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct fixture f;
static struct raw r;

enum {
    SHORT_MS = 40,
    HEAD_MS = 300,
};

static void begin(void)
{
    fixture_config(&f);
}

static void start(void)
{
    fixture_start(&f);
    raw_open(&r, &f.at);
}

/* With deadlines that are short: they begin when this is there. */
static void start_with(const char *text)
{
    fixture_start(&f);
    fixture_pause(&f);
    raw_open(&r, &f.at);
    raw_sendz(&r, text);
    fixture_resume(&f);
}

static void end(void)
{
    raw_close(&r);
    fixture_stop(&f);
    cr_expect_eq(f.began, f.ended, "every exchange ends exactly once");
}

TestSuite(server_life, .init = begin, .fini = end, .timeout = 300);

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- deadlines ---- */

Test(server_life, a_slow_head_gets_408)
{
    f.cfg.head_timeout_ms = HEAD_MS;
    start_with("GET /hello HTTP/1.1\r\nHo");
    cr_assert(raw_until_closed(&r));
    cr_expect(r.eof && strncmp(r.p, "HTTP/1.1 408 ", 13) == 0 && strstr(r.p, "\"timeout\""), "%s",
              r.p);
}

Test(server_life, bytes_that_drip_do_not_move_the_head_deadline)
{
    f.cfg.head_timeout_ms = HEAD_MS;
    start_with("GET /");
    while (poll(&(struct pollfd){.fd = r.fd, .events = POLLIN}, 1, 5) == 0)
        raw_sendz(&r, "a");
    cr_assert(raw_until(&r, "HTTP/1.1 408"));
}

Test(server_life, a_client_that_says_nothing_is_closed)
{
    f.cfg.head_timeout_ms = HEAD_MS;
    start();
    cr_assert(raw_until_closed(&r));
    cr_expect(r.eof && !r.len);
}

Test(server_life, an_idle_connection_is_closed)
{
    f.cfg.idle_timeout_ms = SHORT_MS;
    start();
    raw_sendz(&r, GET("/hello"));
    cr_assert_eq(raw_answer(&r, NULL), 200);
    cr_expect(raw_until_closed(&r) && r.eof);
}

Test(server_life, a_waiting_exchange_has_no_deadline_of_ours)
{
    f.cfg.head_timeout_ms = f.cfg.idle_timeout_ms = f.cfg.body_timeout_ms = HEAD_MS;
    start_with(GET("/never"));
    cr_assert(fixture_wait(&f.began, 1));
    cr_expect_eq(poll(&(struct pollfd){.fd = r.fd, .events = POLLIN}, 1, 4 * HEAD_MS), 0);
    cr_expect_eq(f.ended, 0);
}

Test(server_life, a_body_that_stops_gets_408)
{
    f.cfg.body_timeout_ms = SHORT_MS;
    start();
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    cr_assert(raw_until_closed(&r));
    cr_expect(strncmp(r.p, "HTTP/1.1 408 ", 13) == 0, "%s", r.p);
    cr_expect(fixture_wait(&f.ended, 1) && f.complete == 0 && f.body_ends == 0);
}

static bool is_one_incomplete(void)
{
    int ended = f.ended; /* first: complete is counted before */

    return ended > f.complete;
}

Test(server_life, a_client_that_takes_nothing_is_dropped)
{
    static const int small = 4096;

    f.cfg.write_timeout_ms = SHORT_MS;
    start();
    (void)setsockopt(r.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 8; i++)
        raw_sendz(&r, GET("/big"));
    cr_expect(fixture_wait(&f.began, 1));
    for (int i = 0; i < RAW_WAIT_MS && !is_one_incomplete(); i++)
        (void)poll(NULL, 0, 1);
    cr_expect(is_one_incomplete());
    cr_expect(raw_until_closed(&r));
}

/* ---- who goes first ---- */

Test(server_life, a_half_closed_client_gets_its_answers)
{
    start();
    raw_sendz(&r, GET("/later") GET("/hello"));
    raw_shut(&r);
    cr_expect_eq(raw_answer(&r, NULL), 200);
    cr_expect_eq(raw_answer(&r, NULL), 200);
    cr_expect(raw_until_closed(&r) && r.eof);
    cr_expect(fixture_wait(&f.complete, 2));
}

Test(server_life, a_half_close_ends_a_stream)
{
    start();
    raw_sendz(&r, GET("/stream"));
    cr_assert(raw_until(&r, "data: x"));
    raw_shut(&r);
    cr_expect(fixture_wait(&f.ended, 1));
    cr_expect_eq(f.complete, 0);
}

Test(server_life, the_head_of_a_stream_leaves_before_the_first_event)
{
    start();
    raw_sendz(&r, GET("/stream"));
    cr_assert(raw_until(&r, "\r\n\r\n"));
    cr_expect(strstr(r.p, "Transfer-Encoding: chunked\r\n"));
    cr_assert(raw_until(&r, "9\r\ndata: x\n\n\r\n9\r\n"));
}

Test(server_life, a_reset_ends_what_is_open)
{
    start();
    raw_sendz(&r, GET("/never"));
    cr_assert(fixture_wait(&f.began, 1));
    raw_reset(&r);
    cr_expect(fixture_wait(&f.ended, 1));
    cr_expect_eq(f.complete, 0);
}

Test(server_life, a_reset_after_a_half_close_ends_what_waits)
{
    start();
    raw_sendz(&r, GET("/never"));
    raw_shut(&r);
    cr_assert(fixture_wait(&f.began, 1));
    raw_reset(&r);
    cr_expect(fixture_wait(&f.ended, 1));
    cr_expect_eq(f.complete, 0);
}

/* Reading is paused by a handler that takes nothing: the client's going is seen all the same. */
Test(server_life, a_reset_is_seen_while_reading_is_paused)
{
    start();
    raw_sendz(&r, "POST /stuck HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc");
    cr_assert(fixture_wait(&f.began, 1));
    raw_reset(&r);
    cr_expect(fixture_wait(&f.ended, 1));
    cr_expect_eq(f.complete, 0);
}

static void read_file(FILE *file, char *text, size_t cap)
{
    size_t n;

    rewind(file);
    n = fread(text, 1, cap - 1, file);
    text[n] = '\0';
}

Test(server_life, an_access_line_tells_all_but_secrets)
{
    static char text[8192];
    FILE *file = tmpfile();
    int saved = dup(2);

    cr_assert(file && saved >= 0);
    f.cfg.access_log = true;
    cr_assert(dup2(fileno(file), 2) == 2);
    log_init(LOG_INFO, LOG_FORMAT_JSON);
    start();
    raw_sendz(&r, "POST /size?token=SECRET HTTP/1.1\r\n" HOST
                  "Authorization: Bearer SECRET\r\nContent-Length: 6\r\n\r\nSECRET"
                  "GET /never HTTP/1.1\r\n" HOST "\r\n");
    cr_assert_eq(raw_answer(&r, NULL), 200);
    cr_assert(fixture_wait(&f.began, 2));
    raw_reset(&r);
    cr_assert(fixture_wait(&f.ended, 2));
    raw_open(&r, &f.at);
    raw_sendz(&r, "SECRET / HTTP/9.9\r\n\r\n");
    cr_assert_eq(raw_answer(&r, NULL), 505);
    fixture_free_server(&f);
    (void)log_flush();
    cr_assert(dup2(saved, 2) == 2);
    read_file(file, text, sizeof(text));
    cr_expect(!strstr(text, "SECRET"), "%s", text);
    cr_expect(strstr(text, "\"method\":\"POST\",\"path\":\"/size\",\"status\":200,"), "%s", text);
    cr_expect(strstr(text, "\"bytes_in\":6,\"bytes_out\":1,\"outcome\":\"ok\""), "%s", text);
    cr_expect(strstr(text, "\"path\":\"/never\",\"status\":0,"), "%s", text);
    cr_expect(strstr(text, "\"outcome\":\"client_gone\""), "%s", text);
    cr_expect(strstr(text, "\"status\":505,\"outcome\":\"refused\""), "%s", text);
}

Test(server_life, a_body_cut_short_is_no_request)
{
    start();
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    cr_assert(fixture_wait(&f.began, 1));
    raw_shut(&r);
    cr_expect(raw_until_closed(&r) && !r.len);
    cr_expect(fixture_wait(&f.ended, 1) && f.complete == 0 && f.body_ends == 0);
}

Test(server_life, an_aborted_answer_never_looks_complete)
{
    start();
    raw_sendz(&r, GET("/abort"));
    cr_expect(raw_until_closed(&r));
    cr_expect(r.reset && strstr(r.p, "one\r\n") && !strstr(r.p, "0\r\n\r\n"), "%s", r.p);
    cr_expect(fixture_wait(&f.ended, 1) && f.complete == 0);
}

Test(server_life, an_answer_shorter_than_promised_is_aborted)
{
    start();
    raw_sendz(&r, GET("/short") GET("/hello"));
    cr_expect(raw_until_closed(&r));
    cr_expect(!strstr(r.p, "hello"));
    cr_expect(fixture_wait(&f.ended, 1) && f.complete == 0);
}

Test(server_life, bad_chunks_after_the_answer_began_abort_it)
{
    start();
    /* an answer without an end of its own */
    raw_sendz(&r, "POST /stream HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\na");
    cr_assert(raw_until(&r, "data: x"));
    raw_sendz(&r, "zz");
    cr_expect(raw_until_closed(&r));
    cr_expect(!strstr(r.p, "0\r\n\r\n"));
    cr_expect(fixture_wait(&f.ended, 1));
}

Test(server_life, a_body_over_the_limit_is_413_by_length_and_by_count)
{
    f.cfg.max_body_bytes = 10;
    start();
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789");
    cr_expect_eq(raw_answer(&r, NULL), 200);
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST
                  "Transfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n1\r\n0\r\n0\r\n\r\n");
    cr_expect_eq(raw_answer(&r, NULL), 200);
    raw_sendz(&r, "POST /size HTTP/1.1\r\n" HOST
                  "Transfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n2\r\n01\r\n0\r\n\r\n");
    cr_expect_eq(raw_answer(&r, NULL), 413);
    cr_expect(fixture_wait(&f.ended, 3) && f.complete == 2);
}

Test(server_life, requests_sent_ahead_are_bounded_and_all_answered)
{
    static char many[300 * 1024];
    size_t n = 0;
    int count = 0;

    start();
    raw_sendz(&r, GET("/later"));
    while (n + 64 < sizeof(many)) {
        n += (size_t)snprintf(many + n, sizeof(many) - n, "%s", GET("/hello"));
        count++;
    }
    raw_send(&r, (struct slice){many, n});
    cr_assert(fixture_wait(&f.complete, count / 2));
    for (int i = 0; i <= count; i++)
        cr_assert_eq(raw_answer(&r, NULL), 200, "%d", i);
}

/* ---- many, and the end ---- */

static long now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

Test(server_life, over_the_cap_a_client_waits_until_there_is_room)
{
    struct raw second, third;
    long from_ms;
    int began;

    f.cfg.max_connections = 2;
    start();
    raw_open(&second, &f.at);
    raw_sendz(&r, GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    from_ms = now_ms();
    raw_sendz(&second, GET("/hello"));
    cr_expect_eq(raw_answer(&second, NULL), 200);
    fixture_pause(&f);
    raw_open(&third, &f.at);
    raw_sendz(&third, GET("/hello"));
    raw_sendz(&r, GET("/later")); /* it has begun to speak: its place is not the third's */
    fixture_resume(&f);
    cr_expect_eq(raw_answer(&r, NULL), 200);
    began = f.began;
    if (now_ms() - from_ms < SERVER_YIELD_MS) /* else the second is idle for long enough to go */
        cr_expect_eq(began, 3, "the third is not served yet");
    raw_close(&second);
    cr_expect_eq(raw_answer(&third, NULL), 200);
    raw_close(&third);
}

/* One that has had its answer, one that has sent nothing, one with half a head. */
Test(server_life, at_the_cap_the_silent_yield_to_who_waits_and_the_busy_do_not)
{
    struct raw mute, slow, busy, late[3];

    f.cfg.max_connections = 4;
    start();
    raw_open(&mute, &f.at);
    raw_open(&slow, &f.at);
    raw_open(&busy, &f.at);
    raw_sendz(&r, GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    raw_sendz(&slow, "GET / HTTP/1.1\r\nHost");
    raw_sendz(&busy, GET("/stream"));
    cr_assert(raw_until(&busy, "\r\n\r\n"));
    for (size_t i = 0; i < 3; i++) {
        raw_open(&late[i], &f.at);
        raw_sendz(&late[i], GET("/stream"));
        cr_assert(raw_until(&late[i], "200 OK"), "%zu", i);
    }
    cr_expect(raw_until_closed(&r) && raw_until_closed(&mute) && raw_until_closed(&slow));
    raw_drop(&busy);
    cr_expect(raw_until(&busy, "data:"));
    raw_close(&mute);
    raw_close(&slow);
    raw_close(&busy);
    for (size_t i = 0; i < 3; i++)
        raw_close(&late[i]);
}

Test(server_life, idle_ones_are_closed_and_busy_ones_finish)
{
    struct raw busy;

    start();
    raw_open(&busy, &f.at);
    raw_sendz(&r, GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    raw_sendz(&busy, GET("/two"));
    cr_assert(raw_until(&busy, "one"));
    fixture_order(&f, ORDER_CLOSE_IDLE);
    cr_expect(raw_until_closed(&r) && r.eof);
    cr_expect(raw_until(&busy, "0\r\n\r\n"));
    cr_expect(raw_until_closed(&busy) && busy.eof, "nor does it become an idle one");
    raw_close(&busy);
}

Test(server_life, draining_says_close_and_stops_accepting)
{
    start();
    raw_sendz(&r, GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    fixture_order(&f, ORDER_LAST);
    raw_sendz(&r, GET("/hello") GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    cr_expect(strstr(r.p, "Connection: close\r\n"));
    cr_expect(raw_until_closed(&r) && r.eof);
    fixture_order(&f, ORDER_STOP_ACCEPTING);
    raw_close(&r);
    r.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_expect_lt(connect(r.fd, (struct sockaddr *)&f.at.sa, f.at.sa_len), 0);
}

Test(server_life, freeing_a_server_ends_every_exchange)
{
    struct raw others[4];
    static const char *const texts[] = {
        GET("/stream"), GET("/never"),
        "POST /sip HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc", "GET /hel"};

    start();
    raw_sendz(&r, GET("/big"));
    for (int i = 0; i < 4; i++) {
        raw_open(&others[i], &f.at);
        raw_sendz(&others[i], texts[i]);
    }
    cr_assert(fixture_wait(&f.began, 4));
    fixture_free_server(&f);
    cr_expect_eq(f.began, f.ended);
    for (int i = 0; i < 4; i++)
        raw_close(&others[i]);
}

Test(server_life, out_of_descriptors_it_pauses_and_goes_on)
{
    struct rlimit limit;
    struct raw second;
    int lowest;

    start();
    raw_sendz(&r, GET("/hello"));
    cr_expect_eq(raw_answer(&r, NULL), 200);
    second = (struct raw){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                          .p = calloc(1, RAW_MAX + 1)};
    lowest = dup(0);
    cr_assert(second.fd >= 0 && second.p && lowest >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    (void)close(lowest);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = (rlim_t)lowest,
                                                           .rlim_max = limit.rlim_max}),
                 0);
    cr_assert_eq(connect(second.fd, (struct sockaddr *)&f.at.sa, f.at.sa_len), 0);
    raw_sendz(&second, GET("/hello"));
    raw_sendz(&r, GET("/later")); /* who is in is served */
    cr_expect_eq(raw_answer(&r, NULL), 200);
    cr_expect_eq(f.began, 2);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(raw_answer(&second, NULL), 200);
    raw_close(&second);
}

Test(server_life, counters_tell_what_happened)
{
    start();
    raw_sendz(&r, GET("/hello") GET("/nothing") "BAD\r\n\r\n");
    cr_assert(raw_until(&r, "400"));
    raw_shut(&r);
    cr_assert(raw_until_closed(&r));
    cr_expect_eq(raw_count(&r, "HTTP/1.1"), 3u);
    fixture_order(&f, ORDER_CLOSE_IDLE);
    {
        const struct server_stats *s = server_stats(f.server);

        cr_expect(s->connections_total == 1 && s->requests_total == 2 && s->refused_total == 1 &&
                  s->busy == 0);
        cr_expect(s->by_class[2] == 2 && s->by_class[4] == 1 && s->latency.count == 2 &&
                  s->outside_total == 0);
        cr_expect(s->bytes_in == 7 + strlen(GET("/hello") GET("/nothing")) &&
                  s->bytes_out == r.len);
    }
}
