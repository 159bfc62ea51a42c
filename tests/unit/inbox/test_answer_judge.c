/*
 * Each row of the tables of P sections 4.2, 12 and 13.1: what a reply to an answer of ours means.
 */
#include "inbox/answer_body.h"
#include "inbox/answer_judge.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <string.h>

static const struct reply_context context = {
    .host = "platform.example", .org_id = "", .origin = "http://platform.example"};

static struct judged judge(int status, const char *body, bool is_to_peer)
{
    struct client_answer a = {.outcome = CLIENT_OK,
                              .status = status,
                              .body = slice_of(body),
                              .content_type = "",
                              .retry_after = ""};
    struct reply r;
    struct judged ret;

    reply_read(&a, &context, &r);
    answer_judge(&r, is_to_peer, &ret);
    return ret;
}

Test(inbox_answer_judge, each_row_of_a_call_to_a_peer)
{
    static const struct {
        int status;
        const char *body;
        enum judgement what;
        bool is_peers;
        int64_t wait_ms;
        unsigned tries_max;
    } rows[] = {
        {200, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"parts\":[]}}", JUDGED_ARRIVED, 0, 0, 0},
        {200, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"no\"}}",
         JUDGED_ARRIVED, 0, 0, 0},
        {200, "{\"status\":\"queued\",\"delivery_mode\":\"poll\",\"method\":\"message/send\"}",
         JUDGED_ARRIVED, 0, 0, 0},
        {200, "{\"status\":\"queued\",\"delivery_mode\":\"push-async\"}", JUDGED_ARRIVED, 0, 0, 0},
        {202, "{\"queued\":true,\"queue_id\":\"q\",\"queue_depth\":1,\"message\":\"m\"}",
         JUDGED_ARRIVED, 0, 0, 0},
        {200, "{\"error\":\"agent returned empty response body\"}", JUDGED_UNKNOWN, 0, 0, 0},
        {200, "<html>", JUDGED_UNKNOWN, 0, 0, 0},
        {200, "", JUDGED_UNKNOWN, 0, 0, 0},
        {400, "{\"error\":\"invalid JSON\"}", JUDGED_REFUSED, 0, 0, 0},
        {401, "{\"error\":\"missing caller auth token\"}", JUDGED_AGAIN, 0, 0, 0},
        {401, "{\"error\":\"invalid caller auth token\"}", JUDGED_AGAIN, 0, 0, 0},
        {401, "{\"error\":\"log in first\"}", JUDGED_AGAIN, 1, 0, JUDGE_PEER_TRIES},
        {402, "{\"error\":\"workspace budget limit exceeded\"}", JUDGED_REFUSED, 0, 0, 0},
        {403, "{\"error\":\"access denied: not related\"}", JUDGED_DENIED, 0, 0, 0},
        {403, "{\"error\":\"invalid caller ID\"}", JUDGED_REFUSED, 0, 0, 0},
        {403, "", JUDGED_AGAIN, 0, 0, 0},
        {404, "{\"error\":\"workspace not found\"}", JUDGED_DENIED, 0, 0, 0},
        {404, "{\"error\":\"Not Found\"}", JUDGED_AGAIN, 1, 0, JUDGE_PEER_TRIES},
        {404, "<html>", JUDGED_AGAIN, 0, 0, 0},
        {408, "{\"error\":\"x\"}", JUDGED_UNKNOWN, 0, 0, 0},
        {413, "{\"truncated\":true,\"max_bytes\":1}", JUDGED_REFUSED, 0, 0, 0},
        {413, "<html>", JUDGED_REFUSED, 0, 0, 0},
        {401, "{\"error\":\"x\",\"delivery_confirmed\":true}", JUDGED_ARRIVED, 0, 0, 0},
        {404, "{\"error\":\"Not Found\",\"delivery_confirmed\":true}", JUDGED_ARRIVED, 0, 0, 0},
        {429, "", JUDGED_AGAIN, 0, 0, 0},
        {429, "{\"error\":\"rate limit exceeded\",\"retry_after\":7}", JUDGED_AGAIN, 0, 7000, 0},
        {429, "{\"error\":\"slow down\"}", JUDGED_AGAIN, 1, 0, 0},
        {418, "{\"error\":\"a teapot\"}", JUDGED_AGAIN, 1, 0, JUDGE_PEER_TRIES},
        {500, "oops", JUDGED_UNKNOWN, 0, 0, 0},
        {500, "{\"error\":\"boom\"}", JUDGED_UNKNOWN, 0, 0, 0},
        {502, "{\"error\":\"failed to reach workspace agent\"}", JUDGED_AGAIN, 1, 0,
         JUDGE_REACH_TRIES},
        {502, "{\"error\":\"workspace URL is not publicly routable\"}", JUDGED_REFUSED, 0, 0, 0},
        {502, "{\"error\":\"failed to read agent response\",\"delivery_confirmed\":true}",
         JUDGED_ARRIVED, 0, 0, 0},
        {502, "{\"error\":\"failed to read agent response\",\"delivery_confirmed\":false}",
         JUDGED_UNKNOWN, 0, 0, 0},
        {502, "<html>", JUDGED_UNKNOWN, 0, 0, 0},
        {503, "{\"error\":\"x\",\"waking\":true,\"retry_after\":15}", JUDGED_AGAIN, 1, 15000, 0},
        {503, "{\"error\":\"x\",\"restarting\":true}", JUDGED_AGAIN, 1, 15000, 0},
        {503, "{\"error\":\"x\",\"restarting\":true,\"retry_after\":20,\"preflight\":true}",
         JUDGED_AGAIN, 1, 20000, 0},
        {503, "{\"error\":\"x\",\"busy\":true,\"retry_after\":30}", JUDGED_UNKNOWN, 0, 0, 0},
        {503, "{\"error\":\"workspace has no URL\",\"status\":\"offline\"}", JUDGED_AGAIN, 1,
         JUDGE_NO_URL_MS, 0},
        {503, "{\"error\":\"other\"}", JUDGED_UNKNOWN, 0, 0, 0},
        {302, "", JUDGED_UNKNOWN, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judged v = judge(rows[i].status, rows[i].body, true);

        cr_expect_eq(v.what, rows[i].what, "%d %s: %d", rows[i].status, rows[i].body, v.what);
        cr_expect_eq(v.is_peers, rows[i].is_peers, "%d %s", rows[i].status, rows[i].body);
        cr_expect_eq(v.wait_ms, rows[i].wait_ms, "%d %s: %lld", rows[i].status, rows[i].body,
                     (long long)v.wait_ms);
        cr_expect_eq(v.tries_max, rows[i].tries_max, "%d %s", rows[i].status, rows[i].body);
        cr_expect(v.what == JUDGED_ARRIVED || v.why[0], "%d %s", rows[i].status, rows[i].body);
    }
}

Test(inbox_answer_judge, each_row_of_a_call_to_a_person)
{
    static const struct {
        int status;
        const char *body;
        enum judgement what;
        bool asks_state;
    } rows[] = {
        {200, "{\"status\":\"sent\"}", JUDGED_ARRIVED, false},
        {200, "<html>", JUDGED_UNKNOWN, false},
        {400, "{\"error\":\"message is required\"}", JUDGED_REFUSED, false},
        {401, "{\"error\":\"invalid workspace auth token\"}", JUDGED_AGAIN, true},
        {402, "{\"error\":\"x\"}", JUDGED_REFUSED, false},
        {403, "{\"error\":\"talk_to_user_disabled\",\"hint\":\"x\"}", JUDGED_REFUSED, false},
        {403, "{\"error\":\"x\"}", JUDGED_AGAIN, true},
        {403, "", JUDGED_AGAIN, false},
        {404, "{\"error\":\"workspace not found\"}", JUDGED_AGAIN, true},
        {404, "404 page not found", JUDGED_AGAIN, false},
        {408, "{}", JUDGED_UNKNOWN, false},
        {413, "", JUDGED_REFUSED, false},
        {415, "{\"error\":\"x\"}", JUDGED_AGAIN, false},
        {429, "{\"error\":\"rate limit exceeded\",\"retry_after\":1}", JUDGED_AGAIN, false},
        {500, "{\"error\":\"internal error\"}", JUDGED_UNKNOWN, false},
        {500, "oops", JUDGED_UNKNOWN, false},
        {502, "{\"error\":\"failed to reach workspace agent\"}", JUDGED_UNKNOWN, false},
        {503, "<html>", JUDGED_UNKNOWN, false},
        {524, "", JUDGED_UNKNOWN, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judged v = judge(rows[i].status, rows[i].body, false);

        cr_expect_eq(v.what, rows[i].what, "%d %s: %d", rows[i].status, rows[i].body, v.what);
        cr_expect_eq(v.asks_state, rows[i].asks_state, "%d %s", rows[i].status, rows[i].body);
    }
}

Test(inbox_answer_judge, what_may_never_be_taken_is_not_tried_for_ever)
{
    static const struct {
        int status;
        const char *body;
        bool has_end;
    } rows[] = {
        {404, "404 page not found", true},
        {403, "", true},
        {405, "{\"error\":\"x\"}", true},
        {415, "{\"error\":\"x\"}", true},
        {422, "{\"error\":\"x\"}", true},
        {409, "{}", true},
        {429, "", false},
        {401, "{\"error\":\"x\"}", false},
        {403, "{\"error\":\"x\"}", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judged v = judge(rows[i].status, rows[i].body, false);

        cr_expect_eq(v.what, JUDGED_AGAIN, "%d %s", rows[i].status, rows[i].body);
        cr_expect_eq(v.has_end, rows[i].has_end, "%d %s", rows[i].status, rows[i].body);
    }
    cr_expect(judge(404, "<html>", true).has_end);
}

Test(inbox_answer_judge, without_an_answer_it_depends_on_whether_it_was_sent)
{
    static const struct {
        enum client_outcome outcome;
        enum judgement what;
    } rows[] = {
        {CLIENT_NOT_SENT, JUDGED_AGAIN},  {CLIENT_FAILED, JUDGED_AGAIN},
        {CLIENT_TIMEOUT, JUDGED_UNKNOWN}, {CLIENT_LOST, JUDGED_UNKNOWN},
        {CLIENT_TOO_BIG, JUDGED_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_answer a = {
            .outcome = rows[i].outcome, .content_type = "", .retry_after = "", .error = "words"};
        struct reply r;
        struct judged v;

        reply_read(&a, &context, &r);
        for (int peer = 0; peer < 2; peer++) {
            answer_judge(&r, peer, &v);
            cr_expect_eq(v.what, rows[i].what, "%d", rows[i].outcome);
            cr_expect_str_eq(v.why, "words");
        }
    }
}

Test(inbox_answer_judge, of_an_answer_that_is_too_long_the_status_counts)
{
    static const struct {
        int status;
        enum judgement what;
    } rows[] = {
        {200, JUDGED_ARRIVED}, {404, JUDGED_AGAIN},   {413, JUDGED_REFUSED},
        {408, JUDGED_UNKNOWN}, {502, JUDGED_UNKNOWN}, {302, JUDGED_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_answer a = {.outcome = CLIENT_TOO_BIG,
                                  .status = rows[i].status,
                                  .content_type = "",
                                  .retry_after = "",
                                  .error = "words"};
        struct reply r;
        struct judged v;

        reply_read(&a, &context, &r);
        cr_expect_eq(r.status, 0);
        for (int peer = 0; peer < 2; peer++) {
            answer_judge(&r, peer, &v);
            cr_expect_eq(v.what, rows[i].what, "%d", rows[i].status);
        }
    }
}

/* ---- what is sent ---- */

Test(inbox_answer_body, ids_are_version_5_and_the_same_for_every_try)
{
    static const char id[] = "11111111-2222-4333-8444-555555555555";
    static const char row[] = "aaaaaaaa-2222-4333-8444-555555555555";
    char a[ANSWER_UUID_MAX], b[ANSWER_UUID_MAX], c[ANSWER_UUID_MAX], d[ANSWER_UUID_MAX];

    cr_assert(answer_message_id(id, row, 0, a) && answer_message_id(id, row, 0, b));
    cr_assert(answer_message_id(id, row, 1, c) && answer_message_id(row, row, 0, d));
    cr_assert_str_eq(a, b);
    cr_assert_str_neq(a, c);
    cr_assert_str_neq(a, d);
    cr_assert_eq(strlen(a), 36);
    cr_assert_eq(a[14], '5');
    cr_assert(strchr("89ab", a[19]));
}

Test(inbox_answer_body, a_peer_gets_correlation_context_and_hops)
{
    char message_id[] = "their-id";
    const struct journal_message m = {.message_id = message_id};
    struct asked a;
    struct str body = {0};

    asked_read("{\"params\":{\"message\":{\"role\":\"user\",\"contextId\":\"ctx \\\"1\\\"\","
               "\"metadata\":{\"hops\":2}}}}",
               &a);
    cr_assert_null(asked_forbids(&a));
    answer_peer_body(&m, &a, "our-id", 1, 3, "text \"x\"", &body);
    cr_assert_str_eq(
        str_z(&body),
        "{\"jsonrpc\":\"2.0\",\"id\":\"our-id\",\"method\":\"message/send\",\"params\":{"
        "\"message\":{\"role\":\"agent\",\"kind\":\"message\",\"messageId\":\"our-id\","
        "\"contextId\":\"ctx \\\"1\\\"\",\"parts\":[{\"kind\":\"text\",\"text\":\"text "
        "\\\"x\\\"\"}],\"metadata\":{\"in_reply_to\":\"their-id\",\"reply\":true,\"hops\":3,"
        "\"part\":2,\"parts\":3}}}}");
    str_release(&body);
}

Test(inbox_answer_body, replies_get_no_replies)
{
    static const struct {
        const char *message;
        bool is_forbidden;
    } rows[] = {
        {"{\"role\":\"user\"}", false},
        {"{\"role\":\"agent\"}", true},
        {"{\"role\":\"ROLE_AGENT\"}", true},
        {"{\"role\":\"ROLE_USER\"}", false},
        {"{\"metadata\":{\"reply\":true}}", true},
        {"{\"metadata\":{\"reply\":false}}", false},
        {"{\"metadata\":{\"in_reply_to\":\"x\"}}", true},
        {"{\"metadata\":{\"hops\":7}}", false},
        {"{\"metadata\":{\"hops\":8}}", true},
        {"{\"metadata\":[]}", false},
        {"7", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str request = {0};
        struct asked a;

        str_addf(&request, "{\"params\":{\"message\":%s}}", rows[i].message);
        asked_read(str_z(&request), &a);
        cr_expect_eq(asked_forbids(&a) != NULL, rows[i].is_forbidden, "%s", rows[i].message);
        str_truncate(&request, 0);
        str_addf(&request, "{\"params\":{\"metadata\":{\"reply\":true},\"message\":%s}}",
                 rows[i].message);
        asked_read(str_z(&request), &a);
        cr_expect_not_null(asked_forbids(&a), "%s", rows[i].message);
        str_release(&request);
    }
    struct asked a;
    asked_read(NULL, &a);
    cr_expect_not_null(asked_forbids(&a), "nobody can say what it is");
    asked_read("not json", &a);
    cr_expect_not_null(asked_forbids(&a));
    asked_read("{}", &a);
    cr_expect_null(asked_forbids(&a));
    asked_read("\"{\\\"params\\\":{\\\"message\\\":{\\\"role\\\":\\\"agent\\\"}}}\"", &a);
    cr_expect_not_null(asked_forbids(&a), "a string is parsed once more");
}

/* What the feed takes, the loop guard reads: a reply does not hide behind nested data. */
Test(inbox_answer_body, a_deep_reply_is_a_reply)
{
    enum { DEEP = JSON_SCAN_DEPTH_MAX - 6, TOO_DEEP = 2 * JSON_SCAN_DEPTH_MAX };
    static const int depths[] = {40, DEEP, TOO_DEEP};

    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        char open[TOO_DEEP + 1] = "", close[TOO_DEEP + 1] = "";
        struct str request = {0};
        struct asked a;

        memset(open, '[', (size_t)depths[i]);
        memset(close, ']', (size_t)depths[i]);
        str_addf(&request,
                 "{\"params\":{\"message\":{\"role\":\"agent\",\"parts\":[{\"data\":%s%s}]}}}",
                 open, close);
        asked_read(str_z(&request), &a);
        cr_expect_eq(a.is_from_agent, depths[i] != TOO_DEEP, "%d", depths[i]);
        cr_expect_not_null(asked_forbids(&a), "%d", depths[i]);
        str_release(&request);
    }
}

Test(inbox_answer_body, a_flat_reply_is_a_reply)
{
    struct asked a;

    asked_read("{\"role\":\"agent\",\"contextId\":\"c\",\"parts\":[{\"text\":\"x\"}]}", &a);
    cr_expect_not_null(asked_forbids(&a));
    cr_expect_str_eq(a.context_id, "c");
    asked_read("{\"parts\":[{\"text\":\"x\"}],\"metadata\":{\"hops\":8}}", &a);
    cr_expect_not_null(asked_forbids(&a));
    asked_read("{\"parts\":[{\"text\":\"x\"}],\"metadata\":{\"reply\":true}}", &a);
    cr_expect_not_null(asked_forbids(&a));
}
