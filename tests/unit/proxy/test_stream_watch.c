/* What an event stream says about its task, and what it does not. */
#include "proxy/sse.h"
#include "proxy/stream_watch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 96 * 1024 };

static enum stream_task after_pieces(struct slice stream, size_t step)
{
    struct buf_pool pool;
    struct stream_watch w;

    buf_pool_init(&pool, BLOCK, 1, 1);
    stream_watch_begin(&w, &pool);
    for (size_t i = 0; i < stream.n; i += step) {
        size_t n = stream.n - i < step ? stream.n - i : step;
        char *own = malloc(n); /* so that a sanitizer sees a byte too many */

        memcpy(own, stream.p + i, n);
        stream_watch_feed(&w, (struct slice){own, n});
        free(own);
    }
    stream_watch_end(&w);
    buf_pool_release(&pool);
    return w.task;
}

/* However it is cut. */
static enum stream_task after(const char *text)
{
    struct slice stream = slice_of(text);
    enum stream_task whole = after_pieces(stream, stream.n);

    for (size_t step = 1; step < 40; step++)
        cr_assert_eq(after_pieces(stream, step), whole, "step %zu: %s", step, text);
    return whole;
}

#define RPC(result) "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" result "}\n\n"
#define REST(event) "data: " event "\n\n"
#define STATUS_1(state)                                                                            \
    "{\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"TASK_STATE_" state "\"}}}"
#define STATUS_03(state, final)                                                                    \
    "{\"kind\":\"status-update\",\"taskId\":\"t\",\"status\":{\"state\":\"" state                  \
    "\"},\"final\":" final "}"

Test(proxy_stream_watch, knows_every_state_in_every_form)
{
    cr_expect_eq(after(""), STREAM_UNKNOWN);
    cr_expect_eq(after(RPC(STATUS_1("SUBMITTED"))), STREAM_WORKING);
    cr_expect_eq(after(RPC(STATUS_1("WORKING"))), STREAM_WORKING);
    cr_expect_eq(after(RPC(STATUS_1("INPUT_REQUIRED"))), STREAM_WAITING);
    cr_expect_eq(after(REST(STATUS_1("AUTH_REQUIRED"))), STREAM_WAITING);
    cr_expect_eq(after(RPC(STATUS_1("COMPLETED"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_1("FAILED"))), STREAM_FINISHED);
    cr_expect_eq(after(REST(STATUS_1("CANCELED"))), STREAM_FINISHED);
    cr_expect_eq(after(REST(STATUS_1("CANCELLED"))), STREAM_FINISHED);
    cr_expect_eq(after(REST(STATUS_1("REJECTED"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC("{\"task\":{\"id\":\"t\",\"status\":{\"state\":\"TASK_STATE_FAILED\"},"
                           "\"history\":[]}}")),
                 STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_03("submitted", "false"))), STREAM_WORKING);
    cr_expect_eq(after(RPC(STATUS_03("working", "false"))), STREAM_WORKING);
    cr_expect_eq(after(RPC(STATUS_03("input-required", "false"))), STREAM_WAITING);
    cr_expect_eq(after(RPC(STATUS_03("auth-required", "false"))), STREAM_WAITING);
    cr_expect_eq(after(RPC(STATUS_03("input-required", "true"))), STREAM_FINISHED, "its last");
    cr_expect_eq(after(RPC(STATUS_03("completed", "true"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_03("failed", "false"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_03("canceled", "true"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_03("rejected", "true"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC("{\"kind\":\"task\",\"status\":{\"state\":\"completed\"}}")),
                 STREAM_FINISHED);
    cr_expect_eq(after(RPC("{\"status\":{\"st\\u0061te\":\"completed\"},\"state\":1}")),
                 STREAM_FINISHED, "names are compared decoded");
}

Test(proxy_stream_watch, the_last_event_that_speaks_of_it_counts)
{
    cr_expect_eq(after(RPC(STATUS_1("COMPLETED")) RPC(STATUS_1("WORKING"))), STREAM_WORKING);
    cr_expect_eq(after(RPC(STATUS_1("WORKING")) RPC(STATUS_1("COMPLETED"))), STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_1("COMPLETED")) ": keepalive\n\n"
                                                  "event: ping\n\n"),
                 STREAM_FINISHED);
    cr_expect_eq(after(RPC(STATUS_1("WORKING"))
                           RPC("{\"artifactUpdate\":{\"artifact\":{\"parts\":[{\"text\":\"my "
                               "state\"}]}}}")),
                 STREAM_WORKING);
    cr_expect_eq(after("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,"
                       "\"message\":\"bad state\"}}\n\n"),
                 STREAM_UNKNOWN);
}

Test(proxy_stream_watch, an_event_under_way_says_nothing)
{
    cr_expect_eq(after("data: " STATUS_1("COMPLETED") "\n"), STREAM_UNKNOWN);
    cr_expect_eq(after(RPC(STATUS_1("WORKING")) "data: " STATUS_1("COMPLETED")), STREAM_WORKING);
}

Test(proxy_stream_watch, text_in_messages_does_not_fool_it)
{
    static const char *const texts[] = {
        RPC("{\"kind\":\"message\",\"parts\":[{\"text\":\"\\\"status\\\":{\\\"state\\\":"
            "\\\"completed\\\"}\"}]}"),
        RPC("{\"kind\":\"message\",\"status\":{\"state\":\"completed\"},\"final\":true}"),
        RPC("{\"message\":{\"parts\":[{\"data\":" STATUS_1("COMPLETED") "}]}}"),
        RPC("{\"artifactUpdate\":{\"status\":{\"state\":\"TASK_STATE_COMPLETED\"}}}"),
        RPC("[{\"statusUpdate\":{\"status\":{\"state\":\"TASK_STATE_COMPLETED\"}}}]"),
        RPC("{\"metadata\":{\"result\":" STATUS_1("COMPLETED") "}}"),
        RPC("{\"statusUpdate\":{\"status\":\"state\"}}"),
        RPC("{\"statusUpdate\":{\"status\":{\"state\":[\"TASK_STATE_COMPLETED\"]}}}"),
        RPC("{\"statusUpdate\":{\"status\":{\"state\":\"TASK_STATE_COMPLETED_NOT\"}}}"),
        RPC("{\"statusUpdate\":{\"metadata\":{\"state\":\"TASK_STATE_COMPLETED\"}}}"),
        ": " RPC(STATUS_1("COMPLETED")),
        "id: " STATUS_1("COMPLETED") "\n\n",
        "database: " STATUS_1("COMPLETED") "\n\n",
        " data: " STATUS_1("COMPLETED") "\n\n",
        "DATA: " STATUS_1("COMPLETED") "\n\n",
        "data " STATUS_1("COMPLETED") "\n\n",
        "data: x\xef\xbb\xbf\n\n\xef\xbb\xbf" RPC(STATUS_1("COMPLETED")),
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_eq(after(texts[i]), STREAM_UNKNOWN, "%s", texts[i]);
}

Test(proxy_stream_watch, what_is_said_twice_or_not_well_is_unknown)
{
    static const char *const texts[] = {
        RPC("{\"statusUpdate\":{\"status\":{\"state\":\"completed\",\"state\":\"working\"}}}"),
        RPC("{\"statusUpdate\":{\"status\":{\"state\":\"completed\"},\"status\":{}}}"),
        RPC("{\"statusUpdate\":{\"status\":{\"state\":\"completed\"}},\"task\":{}}"),
        RPC("{\"status\":{\"state\":\"completed\"},\"kind\":\"task\",\"kind\":\"message\"}")
            RPC("{\"status\":\"state\"}"),
        "data: {\"result\":{},\"result\":" STATUS_1("COMPLETED") "}\n\n",
        "data: " STATUS_1("COMPLETED") "}\n\n",
        "data: state\n\n",
        "data: \"state\"\n\n",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[1024];

        cr_expect_eq(after(texts[i]), STREAM_UNKNOWN, "%s", texts[i]);
        snprintf(text, sizeof(text), "%s%s", RPC(STATUS_1("WORKING")), texts[i]);
        cr_expect_eq(after(text), STREAM_UNKNOWN, "%s", text);
    }
}

Test(proxy_stream_watch, frames_come_in_many_ways)
{
    cr_expect_eq(after("data:" STATUS_1("COMPLETED") "\r\n\r\n"), STREAM_FINISHED);
    cr_expect_eq(after("data: " STATUS_1("COMPLETED") "\r\r"), STREAM_FINISHED);
    cr_expect_eq(after("event: x\nid: 7\ndata: " STATUS_1("COMPLETED") "\nretry: 1\n\n"),
                 STREAM_FINISHED);
    cr_expect_eq(after("data: {\"statusUpdate\":\ndata:{\"status\":\n: comment\ndata:   {\"state\""
                       "\ndata: :\"TASK_STATE_FAILED\"}}}\n\n"),
                 STREAM_FINISHED);
    cr_expect_eq(after("data: {\"statusUpdate\":\r\ndata:{\"status\":{\"state\"\r\ndata\r\ndata: "
                       ":\"TASK_STATE_FAILED\"}}}\r\n\r\n"),
                 STREAM_FINISHED);
    cr_expect_eq(after("\xef\xbb\xbf" REST(STATUS_1("COMPLETED"))), STREAM_FINISHED);
    cr_expect_eq(after("\xef\xbb\xbf"
                       "data: {\"statusUpdate\":\ndata: {\"status\":{\"state\":"
                       "\"TASK_STATE_FAILED\"}}}\n\n"),
                 STREAM_FINISHED, "the mark is not of the first line");
    cr_expect_eq(after("\r\n\n\r" REST(STATUS_1("COMPLETED")) "\n\n\n"), STREAM_FINISHED);
}

/* `pad` bytes of text in front of the state. */
static enum stream_task after_big(size_t pad, size_t step)
{
    static char text[256 * 1024];
    static const char tail[] = "\",\"status\":{\"state\":\"completed\"}}}\n\n";
    int n = snprintf(text, sizeof(text), "%sdata: {\"result\":{\"kind\":\"task\",\"id\":\"",
                     RPC(STATUS_1("WORKING")));

    memset(text + n, 'x', pad);
    memcpy(text + (size_t)n + pad, tail, sizeof(tail) - 1);
    return after_pieces((struct slice){text, (size_t)n + pad + sizeof(tail) - 1}, step);
}

Test(proxy_stream_watch, what_is_too_long_is_unknown)
{
    static const size_t steps[] = {1, 1000, 65536, 256 * 1024};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cr_expect_eq(after_big(60 * 1024, steps[i]), STREAM_FINISHED, "%zu", steps[i]);
        cr_expect_eq(after_big(64 * 1024, steps[i]), STREAM_UNKNOWN, "%zu", steps[i]);
        cr_expect_eq(after_big(200 * 1024, steps[i]), STREAM_UNKNOWN, "%zu", steps[i]);
    }
}

Test(proxy_stream_watch, holds_no_memory_between_events_and_none_is_no_harm)
{
    struct buf_pool pool;
    struct stream_watch w, poor;
    struct slice event = SLICE("data: " STATUS_1("COMPLETED") "\r\n\r\n");

    buf_pool_init(&pool, BLOCK, 1, 0);
    stream_watch_begin(&w, &pool);
    stream_watch_begin(&poor, &pool);
    for (size_t i = 0; i < event.n; i++) {
        stream_watch_feed(&w, (struct slice){event.p + i, 1});
        stream_watch_feed(&poor, (struct slice){event.p + i, 1}); /* the only block is taken */
    }
    cr_assert_eq(w.task, STREAM_FINISHED);
    cr_assert_eq(poor.task, STREAM_UNKNOWN);
    cr_assert_eq(pool.used_blocks, 0, "not even for the LF of the last CR");
    stream_watch_feed(&poor, event); /* whole: no block is needed */
    cr_assert_eq(poor.task, STREAM_FINISHED);
    stream_watch_feed(&w, SLICE("data"));
    cr_assert_eq(pool.used_blocks, 1);
    stream_watch_end(&w);
    cr_assert_eq(pool.used_blocks, 0);
    buf_pool_release(&pool);
}
