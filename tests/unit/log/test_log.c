/*
 * The log through a real stderr: each test puts a pipe, a socket or a file in its place.
 */
#include "log/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int reader = -1;

static void use_pipe(void)
{
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
    reader = fds[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
}

/* All there is to read now, as a string that lives until the next call. */
static char *take(void)
{
    static char text[1 << 20];
    size_t n = 0;
    ssize_t got;

    while ((got = read(reader, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    return text;
}

static json_object *parsed(const char *line)
{
    struct json_tokener *tok = json_tokener_new();
    json_object *o;

    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    o = json_tokener_parse_ex(tok, line, (int)strcspn(line, "\n"));
    cr_assert_not_null(o, "not JSON: %s", line);
    json_tokener_free(tok);
    return o;
}

static const char *member(json_object *o, const char *key)
{
    json_object *value = NULL;

    cr_assert(json_object_object_get_ex(o, key, &value), "no %s", key);
    return json_object_get_string(value);
}

TestSuite(log, .init = use_pipe, .timeout = 300);

Test(log, writes_one_json_object_per_line)
{
    struct log_field fields[] = {LOG_STR("path", "/a b"), LOG_INT("status", -503),
                                 LOG_SLICE("empty", ((struct slice){NULL, 0}))};
    json_object *o;

    log_init(LOG_INFO, LOG_FORMAT_AUTO);
    errno = ENOENT;
    log_event(LOG_WARNING, "proxy", fields, 3, "cannot open %s: %m", "x");
    cr_assert_eq(errno, ENOENT);
    o = parsed(take());
    cr_assert_str_eq(member(o, "msg"), "cannot open x: No such file or directory");
    cr_assert_str_eq(member(o, "level"), "warning");
    cr_assert_str_eq(member(o, "module"), "proxy");
    cr_assert_str_eq(member(o, "path"), "/a b");
    cr_assert_str_eq(member(o, "status"), "-503");
    cr_assert_str_eq(member(o, "empty"), "");
    cr_assert_eq(strlen(member(o, "time")), strlen("2026-01-02T03:04:05.678Z"));
    json_object_put(o);
}

Test(log, text_is_for_people)
{
    struct log_field fields[] = {LOG_STR("key", "value"), LOG_STR("words", "two \"words\""),
                                 LOG_STR("none", ""), LOG_INT("n", INT64_MIN)};

    log_init(LOG_DEBUG, LOG_FORMAT_TEXT);
    log_event(LOG_INFO, "app", fields, 4, "started");
    cr_assert_str_eq(take() + 12, " info    app: started key=value words=\"two \\\"words\\\"\" "
                                  "none=\"\" n=-9223372036854775808\n");
    log_debug("app", "x");
    cr_assert_str_eq(take() + 12, " debug   app: x\n");
}

Test(log, level_decides)
{
    log_init(LOG_WARNING, LOG_FORMAT_TEXT);
    log_debug("m", "no");
    log_info("m", "no");
    cr_assert_str_eq(take(), "");
    log_error("m", "yes");
    cr_assert_not_null(strstr(take(), "error   m: yes\n"));
    cr_assert_not(log_wants(LOG_INFO));
}

Test(log, hostile_text_stays_one_harmless_line)
{
    static const char hostile[] = "\n{\"level\":\"error\"}\r\x1b[2J\x7f\xC2\x9B\xFF\xE2\x82\"\\\t";
    struct log_field field =
        LOG_SLICE("value", ((struct slice){hostile, sizeof(hostile)})); /* NUL too */

    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        char *text;

        log_init(LOG_INFO, (enum log_format)format);
        log_event(LOG_INFO, "m", &field, 1, "%s", hostile);
        text = take();
        cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
        for (char *p = text; p[1] != '\0'; p++) {
            cr_assert((unsigned char)*p >= 0x20 && *p != 0x7F, "byte %d", *p);
            cr_assert_not((unsigned char)p[0] == 0xC2 && (unsigned char)p[1] < 0xA0);
        }
        if (format == LOG_FORMAT_JSON) {
            json_object *o = parsed(text);

            cr_assert_str_eq(member(o, "level"), "info");
            json_object_put(o);
        }
    }
}

Test(log, long_lines_are_cut_and_stay_valid)
{
    char big[3 * LOG_LINE_MAX];

    log_init(LOG_INFO, LOG_FORMAT_JSON);
    memset(big, 'x', sizeof(big));
    for (size_t n = LOG_LINE_MAX - 200; n < LOG_LINE_MAX + 40; n++) {
        struct log_field fields[] = {LOG_SLICE("big", ((struct slice){big, n})),
                                     LOG_INT("after", 12345678), LOG_STR("last", "\n\n")};
        json_object *o, *cut;
        char *text;

        log_event(LOG_INFO, "m", fields, 3, "hello");
        text = take();
        cr_assert_leq(strlen(text), LOG_LINE_MAX, "%zu", n);
        o = parsed(text);
        cr_assert_str_eq(member(o, "msg"), "hello");
        if (!json_object_object_get_ex(o, "cut", &cut)) {
            cr_assert_str_eq(member(o, "after"), "12345678");
            cr_assert_str_eq(member(o, "last"), "\n\n");
        }
        json_object_put(o);
    }
    big[sizeof(big) - 1] = '\0';
    log_info("m", "%s", big);
    json_object_put(parsed(take()));
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("m", "%s", big);
    cr_assert_not_null(strstr(take(), "... (cut)\n"));
}

static int count_lines(const char *text, const char *word)
{
    int n = 0;

    while ((text = strstr(text, word))) {
        text++;
        n++;
    }
    return n;
}

Test(log, a_full_pipe_never_blocks_and_drops_are_counted_and_said)
{
    enum { LINES = 20000 };
    char filler[200];
    char *text;
    int got = 0, notices = 0;
    bool done = false;
    uint64_t dropped;
    struct pollfd pfd = {.events = POLLIN};

    memset(filler, 'f', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_buffered(true);
    for (int i = 0; i < LINES; i++) {
        log_info("m", "line %d %s", i, filler);
        if (i % 50 == 0)
            (void)log_flush();
    }
    cr_assert_not(log_flush());
    dropped = log_dropped();
    cr_assert_gt(dropped, 1000);
    cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0, "stderr's own flags are kept");
    pfd.fd = log_wait_fd();
    cr_assert_geq(pfd.fd, 0);
    cr_assert_eq(poll(&pfd, 1, 0), 0, "not writable yet");
    while (!done) {
        text = take();
        got += count_lines(text, "m: line ");
        notices += count_lines(text, "lost here");
        cr_assert_eq(poll(&pfd, 1, 20000), 1);
        done = log_flush();
    }
    text = take();
    got += count_lines(text, "m: line ");
    notices += count_lines(text, "lost here");
    cr_assert_eq((uint64_t)got + dropped, LINES);
    cr_assert_eq(log_dropped(), dropped);
    cr_assert_eq(notices, 1);
}

Test(log, a_second_init_keeps_waking_who_waits)
{
    struct pollfd pfd = {.events = POLLIN};

    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_buffered(true);
    for (int i = 0; i < 3000; i++)
        log_info("m", "a line that helps to fill the pipe, number %d", i);
    cr_assert_not(log_flush());
    pfd.fd = log_wait_fd();
    log_init(LOG_DEBUG, LOG_FORMAT_TEXT);
    cr_assert_eq(log_wait_fd(), pfd.fd);
    cr_assert_eq(poll(&pfd, 1, 0), 0);
    (void)take();
    cr_assert_eq(poll(&pfd, 1, 20000), 1);
}

Test(log, a_reader_that_is_gone_costs_lines_and_nothing_else)
{
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_buffered(true);
    close(reader);
    log_info("m", "one");
    log_info("m", "two");
    cr_assert(log_flush(), "nothing to wait for");
    cr_assert_eq(log_dropped(), 2);
    cr_assert(log_flush());
    log_info("m", "three");
    cr_assert(log_flush());
    log_finish(1000);
}

Test(log, works_with_sockets_and_shared_flags_stay)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    reader = fds[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("m", "hello");
    cr_assert_not_null(strstr(take(), "m: hello\n"));
    log_set_buffered(true);
    for (int i = 0; i < 30000; i++)
        log_info("m", "line %d", i);
    cr_assert_not(log_flush());
    cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    close(reader);
    cr_assert(log_flush());
}

Test(log, works_with_terminals_and_shared_flags_stay)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), other;
    struct pollfd pfd = {.events = POLLIN};

    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
        cr_skip_test("needs a pseudo terminal");
    other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert_geq(other, 0);
    dup2(other, STDERR_FILENO);
    close(other);
    close(reader);
    reader = terminal;
    log_init(LOG_INFO, LOG_FORMAT_AUTO);
    log_info("m", "hello");
    pfd.fd = reader; /* the kernel carries it over when it has the time */
    cr_assert_eq(poll(&pfd, 1, 60000), 1);
    cr_assert_not_null(strstr(take(), "info    m: hello"), "text on a terminal");
    log_set_buffered(true);
    for (int i = 0; i < 2000; i++)
        log_info("m", "a line for somebody who pressed control-S, %d", i);
    cr_assert_not(log_flush());
    cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

Test(log, works_with_files_and_without_proc_tricks)
{
    FILE *f = tmpfile();
    char text[256] = "";

    dup2(fileno(f), STDERR_FILENO);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_buffered(true);
    for (int i = 0; i < 2000; i++)
        log_info("m", "line %d", i);
    cr_assert(log_flush());
    cr_assert_eq(log_dropped(), 0);
    fseek(f, -20, SEEK_END);
    cr_assert_gt(fread(text, 1, sizeof(text) - 1, f), 0);
    cr_assert_not_null(strstr(text, "line 1999\n"));
    fclose(f);
}

Test(log, a_closed_stderr_is_survived)
{
    close(STDERR_FILENO);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("m", "x");
    log_finish(100);
    cr_assert_eq(log_dropped(), 1);
}

Test(log, finish_waits_no_longer_than_told)
{
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_buffered(true);
    for (int i = 0; i < 3000; i++)
        log_info("m", "a line that fills the pipe, %d", i);
    log_finish(50); /* returns; the test's timeout is the proof */
    cr_assert_not(log_flush());
}

/* ---- lines of others ---- */

Test(log, lines_of_others_are_not_measured_by_the_level)
{
    struct log_field fields[] = {LOG_STR("stream", "stdout"), LOG_INT("pid", 12)};
    json_object *o;

    log_init(LOG_ERROR, LOG_FORMAT_JSON);
    log_line(LOG_INFO, "output", SLICE("50%s \"x\" \xff\0"), fields, 2);
    o = parsed(take());
    cr_assert_str_eq(member(o, "msg"), "50%s \"x\" \xEF\xBF\xBD");
    cr_assert_str_eq(member(o, "level"), "info");
    cr_assert_str_eq(member(o, "stream"), "stdout");
    json_object_put(o);
}

Test(log, others_get_half_of_the_buffer_and_ours_still_fit)
{
    size_t others = 0;

    log_init(LOG_INFO, LOG_FORMAT_JSON);
    log_set_buffered(true);
    while (log_has_room()) { /* the pipe, then half of the buffer: nobody reads */
        log_line(LOG_INFO, "output", SLICE("theirs"), NULL, 0);
        others++;
    }
    cr_assert_gt(others, 1000);
    cr_assert_leq(log_pending(), (size_t)LOG_BUFFER_BYTES / 2 + LOG_LINE_MAX);
    for (int i = 0; i < 100; i++) {
        log_info("app", "ours");
    }
    cr_assert_eq(log_dropped(), 0);
    while (!log_flush()) {
        (void)take();
    }
    cr_assert(log_has_room());
}

static size_t cost_of(struct slice s)
{
    size_t n = log_char_cost(&s);

    cr_assert_eq(s.n, 0, "one character, all of it");
    return n;
}

Test(log, characters_cost_what_they_take_in_the_format_in_use)
{
    log_init(LOG_INFO, LOG_FORMAT_JSON);
    cr_assert_eq(cost_of(SLICE("a")), 1);
    cr_assert_eq(cost_of(SLICE("\"")), 2);
    cr_assert_eq(cost_of(SLICE("\x01")), 6);
    cr_assert_eq(cost_of(SLICE("\xc3\xa4")), 2);
    cr_assert_eq(cost_of(SLICE("\xff")), 3);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    cr_assert_eq(cost_of(SLICE("\"")), 1);
    cr_assert_eq(cost_of(SLICE("\x01")), 4);
    cr_assert_eq(cost_of(SLICE("\xff")), 4);
}

Test(log, a_text_of_the_limit_is_never_cut)
{
    static char longest[LOG_TEXT_MAX];
    struct log_field fields[] = {LOG_STR("stream", "stdout"), LOG_INT("pid", 4194304),
                                 LOG_INT("part", 4294967295), LOG_INT("more", 1)};
    json_object *o;

    memset(longest, 'x', sizeof(longest));
    log_init(LOG_INFO, LOG_FORMAT_JSON);
    log_line(LOG_INFO, "output", (struct slice){longest, sizeof(longest)}, fields, 4);
    o = parsed(take());
    cr_assert_eq(strlen(member(o, "msg")), sizeof(longest));
    cr_assert_str_eq(member(o, "more"), "1");
    json_object_put(o);
}
