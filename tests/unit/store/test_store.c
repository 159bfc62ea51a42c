#include "store/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop *loop;
static struct store *store;
static struct err err;
static char dir[64];
static char path[128];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_store.XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/token", dir);
    cr_assert_eq(loop_new(&loop, &err), 0);
    cr_assert_eq(store_new(loop, &store, &err), 0, "%s", err.msg);
}

static void teardown(void)
{
    char command[128];

    store_free(store);
    loop_free(loop);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = setup, .fini = teardown, .timeout = 600);

static int calls;
static int last_code;
static char last_text[600];
static int stop_after;

static void count_call(void)
{
    if (++calls == stop_after)
        loop_stop(loop);
}

static void on_written(void *arg, int code, const char *message)
{
    cr_assert_eq(arg, &calls);
    last_code = code;
    snprintf(last_text, sizeof(last_text), "%s", message);
    count_call();
}

static void on_read(void *arg, int code, struct slice content, const char *message)
{
    cr_assert_eq(arg, &calls);
    last_code = code;
    if (code == 0)
        snprintf(last_text, sizeof(last_text), "%.*s", (int)content.n, content.p);
    else
        snprintf(last_text, sizeof(last_text), "%s", message);
    count_call();
}

static void read_back(void *arg, int code, const char *message)
{
    cr_assert_eq(code, 0, "%s", message);
    cr_assert_str_eq(message, "");
    cr_assert_eq(store_read_secret(store, path, false, on_read, arg), 0);
}

Test(store, writes_and_reads_through_its_thread)
{
    stop_after = 1;
    cr_assert_eq(store_write_file(store, path, SLICE("secret"), 0600, read_back, &calls), 0);
    loop_run(loop);
    cr_assert_eq(last_code, 0);
    cr_assert_str_eq(last_text, "secret");
}

Test(store, jobs_keep_their_order)
{
    stop_after = 101;
    for (int i = 0; i < 100; i++) {
        char text[16];

        snprintf(text, sizeof(text), "v%d", i);
        cr_assert_eq(store_write_file(store, path, slice_of(text), 0600, on_written, &calls), 0);
    }
    cr_assert_eq(store_read_secret(store, path, false, on_read, &calls), 0);
    loop_run(loop);
    cr_assert_str_eq(last_text, "v99");
}

Test(store, failures_come_with_a_sentence)
{
    char bad[160];

    stop_after = 1;
    cr_assert_eq(store_read_secret(store, path, false, on_read, &calls), 0);
    loop_run(loop);
    cr_assert_eq(last_code, -ENOENT);
    cr_assert_not_null(strstr(last_text, path));
    stop_after = 2;
    snprintf(bad, sizeof(bad), "%s/none/x", dir);
    cr_assert_eq(store_write_file(store, bad, SLICE("x"), 0600, on_written, &calls), 0);
    loop_run(loop);
    cr_assert_eq(last_code, -ENOENT);
    cr_assert_not_null(strstr(last_text, "none"));
}

Test(store, freeing_finishes_what_was_given)
{
    char text[16];
    int fd;

    for (int i = 0; i < 50; i++)
        cr_assert_eq(store_write_file(store, path, slice_of(i % 2 ? "odd" : "even"), 0600,
                                      on_written, &calls),
                     0);
    store_free(store);
    store = NULL;
    cr_assert_eq(calls, 50);
    fd = open(path, O_RDONLY);
    cr_assert_eq(read(fd, text, sizeof(text)), 3);
    close(fd);
}

Test(store, the_queue_is_bounded)
{
    int given = 0;

    while (given < STORE_QUEUE_MAX + 10 &&
           store_write_file(store, path, SLICE("x"), 0600, on_written, &calls) == 0)
        given++;
    cr_assert_eq(given, STORE_QUEUE_MAX);
    cr_assert_eq(store_write_file(store, path, SLICE("x"), 0600, on_written, &calls), -EAGAIN);
    stop_after = given;
    loop_run(loop);
    cr_assert_eq(calls, given);
    cr_assert_eq(store_write_file(store, path, SLICE("x"), 0600, NULL, NULL), 0, "room again");
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

Test(store, the_thread_comes_with_the_first_job_and_goes_with_the_store)
{
    int before = threads();

    stop_after = 1;
    cr_assert_eq(store_write_file(store, path, SLICE("x"), 0600, on_written, &calls), 0);
    loop_run(loop);
    cr_assert_eq(threads(), before + 1);
    store_free(store);
    store_free(NULL);
    store = NULL;
    cr_assert_eq(calls, 1);
}

static pthread_t worker;

static void work(void *arg, struct err *e)
{
    cr_assert_eq(arg, &calls);
    worker = pthread_self();
    (void)err_set(e, -ENOSPC, "no room");
}

Test(store, other_work_runs_on_the_thread_too)
{
    stop_after = 1;
    cr_assert_eq(store_run(store, work, on_written, &calls), 0);
    loop_run(loop);
    cr_expect(!pthread_equal(worker, pthread_self()));
    cr_expect_eq(last_code, -ENOSPC);
    cr_expect_str_eq(last_text, "no room");
}
