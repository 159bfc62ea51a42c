#include "support/feed_case.h"

#include "inbox/upload_table.h"

#include <dirent.h>
#include <sys/stat.h>

#define FILE_ID "cccccccc-0000-4000-8000-000000000001"
#define URI     "platform-pending:" CASE_ID "/" FILE_ID
#define ANNOUNCED(name)                                                                            \
    ",\"method\":\"chat_upload_receive\",\"source_id\":null,\"request_body\":{\"file_id\":"        \
    "\"" FILE_ID "\",\"name\":\"" name "\",\"mimeType\":\"text/plain\",\"size\":5,\"uri\":\"" URI  \
    "\"}"

static char dir[128];

static void open_it(void)
{
    feed_open();
    (void)snprintf(dir, sizeof(dir), "%s/up", pc->dir);
    pc->cfg.forward.uploads_dir = dir;
}

TestSuite(uploads, .init = open_it, .fini = feed_close, .timeout = 60);

static void announce(const char *rest)
{
    add_feed_row(1, 3600LL * 1000000 - 5000000, rest);
    uploads_start(&box);
    feed_start(&box);
}

static const char *why(void)
{
    const struct journal_message *m = journal_of(row_id_of(1));

    return m && m->why ? m->why : "";
}

static bool is_done(void)
{
    return strncmp(why(), "upload: stored at ", 18) == 0;
}

static bool is_given_up(void)
{
    return strncmp(why(), "upload: given up", 16) == 0;
}

static char *rewritten(void)
{
    return uploads_rewrite(&box, "{\"a\":\"" URI "\",\"b\":\"platform-pending:" CASE_ID
                                 "\\/" FILE_ID "\",\"c\":\"platform-pending:" CASE_ID "/other\"}");
}

Test(uploads, are_fetched_stored_and_acknowledged)
{
    fw.content = "bytes";
    announce(ANNOUNCED("../../a b?.txt"));
    UNTIL(is_done);
    const char *path = why() + 18;
    cr_assert(strncmp(path, dir, strlen(dir)) == 0, "%s", path);
    cr_assert(strstr(path, "-a_b_.txt"), "%s", path);
    char *content = case_read(path);
    cr_assert_not_null(content);
    cr_assert_str_eq(content, "bytes");
    free(content);
    cr_assert_eq(fw.file_acks, 1);
    char *body = rewritten();
    char expected[1024];
    (void)snprintf(
        expected, sizeof(expected),
        "{\"a\":\"workspace:%s\",\"b\":\"workspace:%s\",\"c\":\"platform-pending:" CASE_ID
        "/other\"}",
        path, path);
    cr_assert_str_eq(body, expected);
    free(body);
    cr_assert_null(uploads_rewrite(&box, "{\"nothing\":1}"));
    cr_assert_eq(got.n, 0, "it is no work of the agent's");
}

Test(uploads, a_failed_download_is_tried_again_and_blocks_nothing)
{
    fw.content = "bytes";
    fw.content_status = 500;
    fw.content_times = 1;
    add_feed_row(2, 3600LL * 1000000 - 4000000, NULL);
    announce(ANNOUNCED("a"));
    UNTIL(is_swept);
    cr_assert_eq(got.n, 1, "the feed goes on");
    UNTIL(is_done);
    cr_assert_eq(fw.content_calls, 2);
}

Test(uploads, what_is_gone_is_given_up)
{
    announce(ANNOUNCED("a")); /* 404 */
    UNTIL(is_given_up);
    cr_assert_eq(fw.file_acks, 0);
    cr_assert_null(rewritten(), "unknown ones stay as they are");
    cr_assert_not(uploads_is_awaited(&box, "{\"a\":\"" URI "\"}"));
}

static bool was_asked(void)
{
    return fw.content_calls > 0;
}

Test(uploads, a_message_waits_for_its_file_but_not_for_ever)
{
    fw.content = "bytes";
    fw.content_status = 500;
    fw.content_times = 1000;
    announce(ANNOUNCED("a"));
    UNTIL(was_asked);
    cr_assert(uploads_is_awaited(&box, "{\"a\":\"" URI "\"}"));
    cr_assert_not(uploads_is_awaited(&box, "{\"a\":\"platform-pending:" CASE_ID "/x\"}"));
    cr_assert_not(uploads_is_awaited(&box, "{}"));
}

Test(uploads, a_restart_goes_on_where_it_was)
{
    fw.content = "bytes";
    fw.content_status = 500;
    fw.content_times = 1000;
    announce(ANNOUNCED("a"));
    UNTIL(was_asked);
    feed_again();
    cr_assert_str_eq(why(), UPLOADS_WAITS);
    fake_lock(pc->fake);
    fw.content_times = 0;
    fake_unlock(pc->fake);
    uploads_start(&box);
    cr_assert(uploads_is_awaited(&box, "{\"a\":\"" URI "\"}"), "before the journal was read");
    UNTIL(is_done);
    feed_again();
    fw.content_calls = fw.file_acks = 0;
    uploads_start(&box);
    case_run_ms(50);
    cr_assert_eq(fw.content_calls, 0);
    char *body = rewritten();
    cr_assert(body && strstr(body, "workspace:"), "known from the journal");
    free(body);
}

static bool is_stored(void)
{
    return strstr(why(), "acknowledged later") != NULL;
}

Test(uploads, an_acknowledgement_that_failed_is_made_up_for)
{
    fw.content = "bytes";
    fw.ack_status = 500;
    announce(ANNOUNCED("a"));
    UNTIL(is_stored);
    feed_again();
    fake_lock(pc->fake);
    fw.ack_status = 404; /* gone already: fine */
    fw.content_calls = 0;
    fake_unlock(pc->fake);
    uploads_start(&box);
    UNTIL(is_done);
    cr_assert_eq(fw.content_calls, 0, "it is not fetched again");
}

Test(uploads, a_note_that_the_journal_refuses_stops_nothing)
{
    fw.content = "bytes";
    jr.refuses_sets = 1;
    announce(ANNOUNCED("a"));
    UNTIL(is_done);
    cr_assert_eq(fw.content_calls, 1);
    cr_assert_eq(fw.file_acks, 1);
}

Test(uploads, without_a_directory_nothing_is_touched)
{
    pc->cfg.forward.uploads_dir[0] = '\0';
    fw.content = "bytes";
    announce(ANNOUNCED("a"));
    UNTIL(is_swept);
    case_run_ms(40);
    cr_assert_eq(fw.content_calls, 0);
    cr_assert_null(rewritten());
    cr_assert_not(uploads_is_awaited(&box, "{\"a\":\"" URI "\"}"));
    (void)snprintf(dir, sizeof(dir), "x");
}

Test(uploads, ids_that_are_no_ids)
{
    fw.content = "bytes";
    announce(",\"method\":\"chat_upload_receive\",\"request_body\":{\"file_id\":\"../../state\","
             "\"uri\":\"" URI "\",\"name\":\"x\"}");
    UNTIL(is_swept);
    case_run_ms(40);
    cr_assert_eq(fw.content_calls, 0);
}

Test(uploads, a_peer_cannot_announce_one)
{
    fw.content = "bytes";
    announce(",\"method\":\"chat_upload_receive\",\"source_id\":"
             "\"bbbbbbbb-0000-4000-8000-000000000001\",\"request_body\":{\"file_id\":\"" FILE_ID
             "\",\"name\":\"x\",\"uri\":\"" URI "\"}");
    UNTIL(is_swept);
    case_run_ms(40);
    cr_assert_eq(fw.content_calls, 0);
    cr_assert_null(strstr(why(), "upload"), "%s", why());
}

/* 8000 of them blocked the loop for seconds. */
Test(uploads, so_many_uris_of_a_message_are_looked_at)
{
    struct str body = {0};

    fw.content = "bytes";
    announce(ANNOUNCED("a"));
    UNTIL(is_done);
    for (unsigned k = 0; k + 1 < UPLOADS_URIS_MAX; k++)
        str_addf(&body, "platform-pending:" CASE_ID "/x%u ", k);
    str_addz(&body, URI " " URI);
    char *ret = uploads_rewrite(&box, str_z(&body));
    cr_assert(ret && strstr(ret, "workspace:"), "the last one of them");
    cr_assert_not_null(strstr(ret, URI), "and no further");
    free(ret);
    str_release(&body);
}

static bool is_tried_again(void)
{
    return fw.content_calls >= 2;
}

/* Else an announcement of it anew would find it and do nothing. */
Test(uploads, what_was_given_up_is_forgotten)
{
    announce(ANNOUNCED("a")); /* 404 */
    UNTIL(is_given_up);
    fake_lock(pc->fake);
    add_feed_row(2, 3600LL * 1000000 - 4000000, ANNOUNCED("a"));
    fake_unlock(pc->fake);
    feed_sweep_now(&box);
    UNTIL(is_tried_again);
}

static struct journal_message announced(unsigned k, char request[128])
{
    struct journal_message m = {.seq = k + 1, .state = JOURNAL_SKIPPED, .request = request};

    (void)snprintf(m.row_id, sizeof(m.row_id), "%s", row_id_of(k));
    (void)snprintf(request, 128, "{\"file_id\":\"File-%u\",\"name\":\"x\"}", k);
    return m;
}

static bool awaits(unsigned k)
{
    char body[128];

    (void)snprintf(body, sizeof(body), "platform-pending:" CASE_ID "/fILE-%u", k);
    return uploads_is_awaited(&box, body);
}

static bool is_listed(void)
{
    return awaits(UPLOADS_WAITING_MAX / 2);
}

Test(uploads, those_that_wait_for_longest_give_way)
{
    char request[128];

    fw.content_status = 500;
    fw.content_times = 100000;
    uploads_start(&box);
    case_run_ms(20); /* the journal is read */
    for (unsigned k = 0; k < UPLOADS_WAITING_MAX + 2; k++) {
        struct journal_message m = announced(k, request);

        uploads_saw(&box, &m);
    }
    UNTIL(is_listed);
    cr_assert(awaits(0), "it is being fetched");
    cr_assert_not(awaits(1));
    cr_assert_not(awaits(2));
    cr_assert(awaits(3));
    cr_assert(awaits(UPLOADS_WAITING_MAX + 1));
}
