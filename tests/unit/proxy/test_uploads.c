/* The platform's uploads: what arrives on the disk, and that nothing else stays there. */
#include "proxy/uploads.h"

#include "base/file.h"
#include "base/json_scan.h"
#include "store/upload_files.h"
#include "support/proxy_fixture.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ON                                                                                         \
    "--workspace-id", "11111111-2222-3333-4444-555555555555", "--platform-url",                    \
        "http://127.0.0.1:9", "--platform-reported-url", "https://me.example/a2a/inbound"
#define PATH "/a2a/inbound/internal/chat/uploads/ingest"
#define PART(name, filename)                                                                       \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" filename "\"\r\n"

TestSuite(proxy_uploads, .init = scratch_make, .fini = scratch_remove);

static char uploads_dir[PATH_MAX];

static void start(struct px *f)
{
    (void)snprintf(uploads_dir, sizeof(uploads_dir), "%s/a/uploads", scratch);
    px_start(f, ON, "--forward-uploads-dir", uploads_dir, NULL);
    f->inbound_secret = "is";
}

static void send_head(struct px *f, struct raw *client, size_t length)
{
    char head[512];

    px_client(f, client);
    (void)snprintf(head, sizeof(head),
                   "POST " PATH " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer is\r\n"
                   "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %zu\r\n\r\n",
                   length);
    raw_sendz(client, head);
}

static int post(struct px *f, struct raw *client, const char *body, struct slice *answer)
{
    send_head(f, client, strlen(body));
    raw_sendz(client, body);
    return raw_answer(client, answer);
}

/* Files in the directory, temporary ones too. */
static int count_files(void)
{
    DIR *d = opendir(uploads_dir);
    const struct dirent *entry;
    int n = 0;

    while (d && (entry = readdir(d)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (d)
        (void)closedir(d);
    return n;
}

static void wait_files(int n)
{
    for (int i = 0; i < PX_WAIT_TURNS && count_files() != n; i++)
        (void)poll(NULL, 0, 1);
    cr_assert_eq(count_files(), n);
}

/* A member of files[i] in the answer, unquoted. */
static const char *member(struct slice answer, int i, const char *name)
{
    static char text[4][PATH_MAX];
    static int next;
    char *ret = text[next++ % 4];
    struct slice files, value;
    struct json_iter it;

    cr_assert(json_member(answer, "files", &files, NULL), "%.*s", (int)answer.n, answer.p);
    cr_assert(json_iter_begin(&it, files));
    for (int k = 0; k <= i; k++)
        cr_assert(json_next(&it));
    cr_assert(json_member(it.value, name, &value, NULL));
    if (value.n > 0 && value.p[0] == '"')
        value = (struct slice){value.p + 1, value.n - 2};
    (void)snprintf(ret, PATH_MAX, "%.*s", (int)value.n, value.p);
    return ret;
}

static void expect_file(const char *uri, const char *want)
{
    struct str got = {0};
    struct err err = {0};
    struct stat st;

    cr_assert_eq(strncmp(uri, "workspace:/", 11), 0, "%s", uri);
    cr_assert_eq(file_read(uri + 10, 1024 * 1024, &got, &err), 0, "%s", err.msg);
    cr_expect(slice_eq(str_slice(&got), slice_of(want)), "%s", str_z(&got));
    cr_assert_eq(stat(uri + 10, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0640);
    str_release(&got);
}

Test(proxy_uploads, files_are_stored_and_named)
{
    static const char body[] =
        PART("files",
             "notes.txt") "Content-Type: text/plain\r\n\r\nhello\r\n"
                          "--b\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nnot a "
                          "file\r\n" PART("files", "../../etc/pass\\\"wd") "\r\n\r\n--b--\r\n";
    struct px f;
    struct raw client;
    struct slice answer;

    start(&f);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(post(&f, &client, body, &answer), 200, "%s", client.p);
        cr_expect_str_eq(member(answer, 0, "name"), "notes.txt");
        cr_expect_str_eq(member(answer, 0, "mimeType"), "text/plain");
        cr_expect_str_eq(member(answer, 0, "size"), "5");
        cr_expect(strstr(member(answer, 0, "uri"), "-notes.txt"));
        expect_file(member(answer, 0, "uri"), "hello");
        cr_expect_str_eq(member(answer, 1, "name"), "pass\\\"wd");
        cr_expect_str_eq(member(answer, 1, "mimeType"), "application/octet-stream");
        cr_expect(strstr(member(answer, 1, "uri"), "-pass_wd"));
        expect_file(member(answer, 1, "uri"), "");
        cr_expect_eq(count_files(), 2 * (i + 1), "each with a name of its own, nothing else");
        raw_close(&client);
    }
    cr_assert(px_nobody_connects(&f, 20));
    cr_assert_eq(px_stats(&f)->outcome_local, 2);
    px_stop(&f);
}

Test(proxy_uploads, what_is_wrong_leaves_nothing)
{
    static const struct {
        const char *body;
        int status;
    } bad[] = {
        {PART("files", "a") "\r\nhello", 400},                /* no end */
        {PART("files", "a") "\r\nhello\r\n--bx", 400},        /* no boundary */
        {PART("files", "a") "\r\nhello\r\n--b\r\n\r\n", 400}, /* a part without a name */
        {"hello", 400},
        {"--b--", 400},
        {"--b\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\nno file\r\n--b--", 400},
        {PART("other", "a") "\r\nhello\r\n--b--", 400},
    };
    struct px f;

    start(&f);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct raw client;
        struct slice answer;

        cr_expect_eq(post(&f, &client, bad[i].body, &answer), bad[i].status, "case %zu: %s", i,
                     client.p);
        cr_expect(strstr(client.p, "{\"error\":\""), "case %zu: %s", i, client.p);
        raw_close(&client);
        wait_files(0);
    }
    px_stop(&f);
}

Test(proxy_uploads, who_is_not_the_platform_stores_nothing)
{
    static const char body[] = PART("files", "a") "\r\nhello\r\n--b--";
    struct px f;
    struct raw client;
    struct slice answer;

    start(&f);
    f.inbound_secret = "another";
    cr_assert_eq(post(&f, &client, body, &answer), 401);
    raw_close(&client);
    f.inbound_secret = NULL;
    cr_assert_eq(post(&f, &client, body, &answer), 401);
    raw_close(&client);
    cr_assert_eq(access(uploads_dir, F_OK), -1);
    px_stop(&f);
}

Test(proxy_uploads, a_cut_upload_leaves_nothing)
{
    static const char body[] = PART("files", "one") "\r\n1\r\n" PART("files", "a") "\r\nhello";
    struct px f;
    struct raw client;

    start(&f);
    send_head(&f, &client, sizeof(body) + 100);
    raw_sendz(&client, body);
    wait_files(2);
    raw_reset(&client);
    wait_files(0);
    send_head(&f, &client, sizeof(body) + 100); /* and in the middle of our end */
    raw_sendz(&client, body);
    wait_files(2);
    px_stop(&f);
    cr_assert_eq(count_files(), 0);
    raw_close(&client);
}

struct sender {
    struct raw *to;
    size_t n;
};

/* n bytes of content, as far as the other side reads. */
static void *send_zeros(void *arg)
{
    static const char zeros[64 * 1024];
    struct sender *job = arg;
    size_t left = job->n;

    while (left > 0) {
        struct pollfd p = {.fd = job->to->fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&p, 1, RAW_WAIT_MS) <= 0)
            break;
        n = send(job->to->fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros), MSG_NOSIGNAL);
        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    return NULL;
}

/* Files of these sizes, until 0. */
static int upload_sizes(struct px *f, const size_t *sizes)
{
    static const char part[] = PART("files", "big.bin") "\r\n";
    struct raw client;
    struct slice answer;
    size_t total = sizeof("--b--") - 1;
    int status;

    for (const size_t *s = sizes; *s; s++)
        total += sizeof(part) - 1 + *s + 2;
    send_head(f, &client, total);
    for (const size_t *s = sizes; *s; s++) {
        struct sender job = {&client, *s};
        pthread_t thread;

        if (send(client.fd, part, sizeof(part) - 1, MSG_NOSIGNAL) < 0)
            break;
        cr_assert_eq(pthread_create(&thread, NULL, send_zeros, &job), 0);
        (void)pthread_join(thread, NULL);
        if (send(client.fd, "\r\n", 2, MSG_NOSIGNAL) < 0)
            break;
    }
    (void)!send(client.fd, "--b--", 5, MSG_NOSIGNAL);
    status = raw_answer(&client, &answer);
    raw_close(&client);
    return status;
}

Test(proxy_uploads, sizes_have_bounds)
{
    static const size_t max = UPLOAD_FILE_BYTES_MAX;
    struct px f;
    struct raw client;

    start(&f);
    cr_expect_eq(upload_sizes(&f, (const size_t[]){max, max, 0}), 200);
    cr_expect_eq(count_files(), 2);
    cr_expect_eq(upload_sizes(&f, (const size_t[]){max, max, 1, 0}), 413);
    wait_files(2);
    cr_expect_eq(upload_sizes(&f, (const size_t[]){max + 1, 0}), 413);
    send_head(&f, &client, UPLOAD_REQUEST_BYTES_MAX + UPLOAD_FRAMING_BYTES_MAX + 1);
    cr_expect_eq(raw_answer(&client, NULL), 413, "before a byte of it was sent");
    raw_close(&client);
    wait_files(2);
    px_stop(&f);
}

Test(proxy_uploads, only_some_at_once)
{
    static const char body[] = PART("files", "a") "\r\nhello";
    struct px f;
    struct raw clients[UPLOADS_AT_ONCE], one;
    struct slice answer;

    start(&f);
    for (size_t i = 0; i < UPLOADS_AT_ONCE; i++) {
        send_head(&f, &clients[i], 1000);
        raw_sendz(&clients[i], body);
    }
    wait_files(UPLOADS_AT_ONCE);
    cr_assert_eq(post(&f, &one, PART("files", "a") "\r\nhello\r\n--b--", &answer), 503);
    raw_close(&one);
    for (size_t i = 0; i < UPLOADS_AT_ONCE; i++)
        raw_reset(&clients[i]);
    wait_files(0);
    cr_assert_eq(post(&f, &one, PART("files", "a") "\r\nhello\r\n--b--", &answer), 200);
    raw_close(&one);
    px_stop(&f);
}

Test(proxy_uploads, a_disk_that_does_not_work_is_said)
{
    struct px f;
    struct raw client;
    struct slice answer;

    start(&f);
    (void)scratch_file("a", "in the way", 0600);
    cr_assert_eq(post(&f, &client, PART("files", "a") "\r\nhello\r\n--b--", &answer), 500);
    cr_assert_null(strstr(client.p, scratch), "paths are for our log");
    raw_close(&client);
    px_stop(&f);
}

Test(proxy_uploads, a_full_directory_takes_no_more)
{
    struct px f;
    struct raw client;
    struct slice answer;
    char path[PATH_MAX + 16];
    int fd;

    start(&f);
    cr_assert_eq(post(&f, &client, PART("files", "a") "\r\nhello\r\n--b--", &answer), 200);
    raw_close(&client);
    (void)snprintf(path, sizeof(path), "%s/big", uploads_dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, UPLOAD_DIR_BYTES_MAX - 8) == 0); /* sparse */
    (void)close(fd);
    cr_assert_eq(post(&f, &client, PART("files", "a") "\r\nhello\r\n--b--", &answer), 507);
    raw_close(&client);
    wait_files(2);
    px_stop(&f);
}

Test(proxy_uploads, a_drain_waits_for_those_that_have_begun_and_lets_no_other_begin)
{
    static const enum proxy_gate gates[] = {PROXY_DRAINING, PROXY_LOST, PROXY_PAUSED};
    static const char body[] = PART("files", "a.txt") "\r\n12345\r\n--b--\r\n";

    for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
        struct px f;
        struct raw client, late;
        struct slice answer;

        start(&f);
        send_head(&f, &client, sizeof(body) - 1);
        px_wait_stat(&f, uploads, 1);
        raw_send(&client, (struct slice){body, 20});
        px_gate(&f, gates[i]);
        px_stats(&f);
        cr_expect_eq(f.work.count, 1);
        cr_expect_eq(f.work.uploads, 1);
        cr_expect(f.work.longest_since_ms > 0);
        cr_expect(strstr(f.work.longest, ": an upload under way"), "%s", f.work.longest);
        cr_expect_eq(post(&f, &late, body, NULL), gates[i] == PROXY_PAUSED ? 200 : 503, "%s",
                     late.p);
        raw_close(&late);
        raw_sendz(&client, body + 20);
        cr_expect_eq(raw_answer(&client, &answer), 200, "%s", client.p);
        expect_file(member(answer, 0, "uri"), "12345");
        raw_close(&client);
        px_wait_for(&f, f.stats.uploads == 0);
        px_stop(&f);
    }
}

Test(proxy_uploads, what_a_crash_left_is_taken_away)
{
    struct upload_files files;
    struct timespec old[2] = {{.tv_sec = time(NULL) - UPLOAD_STALE_S - 60}, {0}};
    struct err err = {0};

    old[1] = old[0];
    (void)scratch_file(".0123456789abcdef-stale", "x", 0600);
    (void)scratch_file(".0123456789abcdef-fresh", "x", 0600);
    (void)scratch_file("old-but-whole", "x", 0600);
    (void)scratch_file(".env", "somebody else's", 0600);
    cr_assert_eq(utimensat(AT_FDCWD, scratch_path(".env"), old, 0), 0);
    cr_assert_eq(utimensat(AT_FDCWD, scratch_path(".0123456789abcdef-stale"), old, 0), 0);
    cr_assert_eq(utimensat(AT_FDCWD, scratch_path("old-but-whole"), old, 0), 0);
    upload_files_init(&files, scratch);
    cr_assert_eq(upload_files_add(&files, "x", &err), 0, "%s", err.msg);
    cr_expect_eq(access(scratch_path(".0123456789abcdef-stale"), F_OK), -1);
    cr_expect_eq(access(scratch_path(".0123456789abcdef-fresh"), F_OK), 0);
    cr_expect_eq(access(scratch_path("old-but-whole"), F_OK), 0);
    cr_expect_eq(access(scratch_path(".env"), F_OK), 0);
    upload_files_discard(&files);
}

Test(proxy_uploads, names_are_made_safe)
{
    static const struct {
        const char *claimed, *want;
    } names[] = {
        {"notes.txt", "notes.txt"},
        {"", "_"},
        {"/", "_"},
        {".", "_"},
        {"..", "_."},
        {".bashrc", "_bashrc"},
        {"../../etc/passwd", "passwd"},
        {"C:\\Users\\x\\a b.txt", "a_b.txt"},
        {"a\nb\x01\x7f.txt", "a_b__.txt"},
        {"caf\xc3\xa9.txt", "caf__.txt"},
        {"-rf", "-rf"}, /* behind our prefix it is no option */
        {"%2e%2e", "_2e_2e"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char got[UPLOAD_NAME_BYTES];

        upload_safe_name(slice_of(names[i].claimed), got);
        cr_expect_str_eq(got, names[i].want, "%s", got);
    }
    {
        char got[UPLOAD_NAME_BYTES], claimed[3 * UPLOAD_NAME_MAX + 1];

        memset(claimed, 'x', sizeof(claimed));
        memcpy(claimed + sizeof(claimed) - 8, ".tar.gz", 8);
        upload_safe_name(slice_of(claimed), got);
        cr_expect_str_eq(got, claimed + sizeof(claimed) - 1 - UPLOAD_NAME_MAX);
    }
}
