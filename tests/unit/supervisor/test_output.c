/*
 * The agent's pipes through a real loop into a log whose stderr is a pipe of the test's.
 */
#include "supervisor/output.h"

#include "log/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 40000 };

static struct loop *loop;
static struct output *output;
static int reader = -1;
static char text[4 << 20];
static size_t text_len;
static const char *wanted;

static void setup(void)
{
    int fds[2];
    struct err err = {0};

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
    reader = fds[0];
    cr_assert_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    log_init(LOG_ERROR, LOG_FORMAT_JSON);
    log_set_buffered(true);
    cr_assert_eq(loop_new(&loop, &err), 0, "%s", err.msg);
    cr_assert_eq(output_new(loop, &output, &err), 0, "%s", err.msg);
    output_set_pid(output, 4711);
}

static void teardown(void)
{
    output_free(output);
    loop_free(loop);
}

TestSuite(output, .init = setup, .fini = teardown, .timeout = 300);

static const char *take(void)
{
    ssize_t n;

    do {
        (void)log_flush();
        n = read(reader, text + text_len, sizeof(text) - 1 - text_len);
        text_len += n > 0 ? (size_t)n : 0;
    } while (n > 0 || log_pending() > 0);
    text[text_len] = '\0';
    return text;
}

static size_t count(const char *what)
{
    size_t n = 0;

    for (const char *at = take(); (at = strstr(at, what)); at += strlen(what)) {
        n++;
    }
    return n;
}

static void on_look(struct timer *t)
{
    if (strstr(take(), wanted)) {
        loop_stop(loop);
    } else {
        timer_start(t, loop, loop_now_ms(loop) + 5, on_look, NULL);
    }
}

static void on_too_late(struct timer *t)
{
    (void)t;
    cr_assert_fail("never in the log: %s; there is: %.2000s", wanted, text);
}

static void run_until(const char *what)
{
    struct timer look = {0};
    struct timer limit = {0};

    wanted = what;
    timer_start(&look, loop, loop_now_ms(loop), on_look, NULL);
    timer_start(&limit, loop, loop_now_ms(loop) + WAIT_MS, on_too_late, NULL);
    loop_run(loop);
    timer_stop(&look);
    timer_stop(&limit);
}

static void say(int stream, const char *p, size_t n)
{
    cr_assert_eq(write(output_fds(output)[stream], p, n), (ssize_t)n);
}

Test(output, lines_of_both_streams_are_lines_of_the_log_whatever_its_level)
{
    say(0, "out\n", 4);
    say(1, "err\n", 4);
    run_until("\"msg\":\"err\"");
    cr_assert(strstr(text, "\"msg\":\"out\",\"stream\":\"stdout\",\"pid\":4711}\n"));
    cr_assert(strstr(text, "\"msg\":\"err\",\"stream\":\"stderr\",\"pid\":4711}\n"));
    cr_assert_eq(output_stats(output)->lines, 2);
}

Test(output, an_unfinished_line_is_told_after_a_while)
{
    say(0, "name? ", 6);
    run_until("\"msg\":\"name? \",\"stream\":\"stdout\",\"pid\":4711,\"part\":1,\"more\":1}\n");
    say(0, "me\n", 3);
    run_until("\"msg\":\"me\",\"stream\":\"stdout\",\"pid\":4711,\"part\":2,\"more\":0}\n");
    cr_assert_eq(output_stats(output)->lines, 1);
}

Test(output, the_end_of_the_child_ends_its_lines_without_the_loop)
{
    say(0, "a\nlast", 6);
    say(1, "trace", 5);
    output_child_ended(output);
    cr_assert(strstr(take(), "\"msg\":\"a\",\"stream\":\"stdout\",\"pid\":4711}\n"));
    cr_assert(strstr(text, "\"msg\":\"last\",\"stream\":\"stdout\",\"pid\":4711}\n"));
    cr_assert(strstr(text, "\"msg\":\"trace\",\"stream\":\"stderr\",\"pid\":4711}\n"));
    output_child_ended(output);
    cr_assert_eq(output_stats(output)->lines, 3, "and only once");
}

Test(output, the_next_child_has_its_own_pid)
{
    say(0, "one\n", 4);
    output_child_ended(output);
    output_set_pid(output, 4712);
    say(0, "two\n", 4);
    run_until("\"msg\":\"two\",\"stream\":\"stdout\",\"pid\":4712}\n");
    cr_assert(strstr(text, "\"msg\":\"one\",\"stream\":\"stdout\",\"pid\":4711}\n"));
}

/* Fills the pipe behind stderr and half of the log's buffer. */
static size_t overflow(void)
{
    static char line[] = "0123456789012345678901234567890123456789\n";
    size_t written = 0;

    while (output_stats(output)->dropped == 0) {
        for (int i = 0; i < 100; i++, written++) {
            say(0, line, sizeof(line) - 1);
        }
        output_child_ended(output); /* reads it all, as the loop would */
    }
    return written;
}

Test(output, dropped_lines_are_counted_and_said_where_they_are_missing)
{
    size_t written = overflow();
    size_t dropped = output_stats(output)->dropped;
    char notice[64];

    cr_assert_eq(output_stats(output)->lines + dropped, written);
    cr_assert_eq(log_dropped(), 0, "the other half of the buffer is for our own lines");
    cr_assert_eq(count("\"stream\":"), written - dropped);
    say(0, "after\n", 6);
    run_until("\"msg\":\"after\"");
    (void)snprintf(notice, sizeof(notice), "\"dropped\":%zu}\n", dropped);
    cr_assert(strstr(text, notice));
    cr_assert_lt(strstr(text, notice), strstr(text, "\"msg\":\"after\""));
    cr_assert(strstr(text,
                     "\"level\":\"warning\",\"module\":\"output\",\"msg\":\"lines of the agent "
                     "were dropped here"));
}

Test(output, dropped_lines_are_said_even_when_no_line_follows)
{
    char notice[64];

    (void)overflow();
    (void)snprintf(notice, sizeof(notice), "\"dropped\":%zu}\n",
                   (size_t)output_stats(output)->dropped);
    run_until(notice);
    cr_assert_eq(count("\"dropped\":"), 1);
}

Test(output, the_rest_of_a_line_that_was_dropped_is_dropped_with_it)
{
    static char part[LOG_TEXT_MAX];
    size_t before;

    (void)overflow();
    before = output_stats(output)->dropped;
    memset(part, 'y', sizeof(part));
    for (int i = 0; i < 3; i++) {
        say(0, part, sizeof(part));
    }
    say(0, "\n", 1);
    output_child_ended(output);
    cr_assert_eq(output_stats(output)->dropped, before + 1, "one line, however many parts");
    (void)take();
    say(0, "z\n", 2);
    run_until("\"msg\":\"z\"");
    cr_assert_eq(count("yyy"), 0);
}

Test(output, the_descriptors_of_the_child_block_and_are_not_inherited_by_others)
{
    for (int i = 0; i < 2; i++) {
        int fd = output_fds(output)[i];

        cr_assert_gt(fd, STDERR_FILENO);
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
}
