/* What answers of agents mean: both versions, all task states, errors, and shapes nobody planned.
 */
#include "inbox/agent_answer.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct agent_answer a;

static void read_with(int status, const char *body, bool has_task)
{
    agent_answer_release(&a);
    cr_assert_eq(agent_answer_read(status, slice_of(body), has_task, &a), 0);
}

static void check(const char *body, enum agent_said said, const char *text)
{
    read_with(200, body, false);
    cr_assert_eq(a.said, said, "%d (%s) for %s", (int)a.said, a.why, body);
    cr_assert_str_eq(str_z(&a.text), text, "%s: %s", body, str_z(&a.text));
    cr_assert_eq(a.said >= AGENT_FORGOT, a.why[0] != '\0', "a sentence when it failed");
}

Test(agent_answer, messages_of_both_versions)
{
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\",\"role\":\"agent\","
          "\"parts\":["
          "{\"kind\":\"text\",\"text\":\"hel\"},{\"kind\":\"text\",\"text\":\"lo\"}],\"contextId\":"
          "\"c\","
          "\"taskId\":\"t\"}}",
          AGENT_SAID, "hello");
    cr_assert_str_eq(a.context_id, "c");
    cr_assert_str_eq(a.task_id, "t");
    check("{\"result\":{\"message\":{\"role\":\"ROLE_AGENT\",\"parts\":[{\"text\":\" hi \\n\"}]}}}",
          AGENT_SAID, "hi");
    check("{\"result\":{\"message\":{\"parts\":[{\"type\":\"text\",\"text\":\"old\"}]}}}",
          AGENT_SAID, "old");
    check("{\"result\":{\"kind\":\"message\",\"content\":\"older\"}}", AGENT_SAID, "older");
    check("{\"result\":{\"kind\":\"message\",\"parts\":[]}}", AGENT_SAID, "");
}

/* state in both spellings */
static void check_state(const char *old, const char *new, const char *said_text,
                        enum agent_said said, const char *text, const char *task_id)
{
    char body[1024];

    (void)snprintf(
        body, sizeof(body),
        "{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"contextId\":\"C\",\"status\":{"
        "\"state\":\"%s\",\"message\":{\"parts\":[{\"kind\":\"text\",\"text\":\"%s\"}]}}}}",
        old, said_text);
    check(body, said, text);
    cr_assert_str_eq(a.task_id, task_id);
    cr_assert_str_eq(a.context_id, "C");
    (void)snprintf(body, sizeof(body),
                   "{\"result\":{\"task\":{\"id\":\"T\",\"contextId\":\"C\",\"status\":{\"state\":"
                   "\"%s\",\"message\":{\"parts\":[{\"text\":\"%s\"}]}}}}}",
                   new, said_text);
    check(body, said, text);
    cr_assert_str_eq(a.task_id, task_id);
}

Test(agent_answer, every_state_of_a_task)
{
    check_state("completed", "TASK_STATE_COMPLETED", "x", AGENT_SAID, "x", "");
    check_state("submitted", "TASK_STATE_SUBMITTED", "x", AGENT_WORKING, "", "T");
    check_state("working", "TASK_STATE_WORKING", "x", AGENT_WORKING, "", "T");
    check_state("unknown", "TASK_STATE_UNSPECIFIED", "x", AGENT_WORKING, "", "T");
    check_state("input-required", "TASK_STATE_INPUT_REQUIRED", "which?", AGENT_ASKS, "which?", "T");
    check_state("input-required", "TASK_STATE_INPUT_REQUIRED", "", AGENT_ASKS,
                "The agent needs more input to go on.", "T");
    check_state("auth-required", "TASK_STATE_AUTH_REQUIRED", "log in", AGENT_ASKS,
                "The agent needs an authorization to go on: log in", "T");
    check_state("failed", "TASK_STATE_FAILED", "disk", AGENT_SAID,
                "The agent could not do this: disk", "");
    check_state("failed", "TASK_STATE_FAILED", "", AGENT_SAID, "The agent could not do this.", "");
    check_state("rejected", "TASK_STATE_REJECTED", "no", AGENT_SAID, "The agent declined this: no",
                "");
    check_state("canceled", "TASK_STATE_CANCELED", "", AGENT_SAID, "The agent's task was canceled.",
                "");
    check_state("dancing", "TASK_STATE_DANCING", "x", AGENT_FAILED, "", "T");
}

Test(agent_answer, the_text_of_a_task_is_its_artifacts_then_its_status)
{
    check("{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"status\":{\"state\":\"completed\","
          "\"message\":{"
          "\"parts\":[{\"text\":\"done\"}]}},\"artifacts\":[{\"parts\":[{\"text\":\"one\"}]},{"
          "\"parts\":["
          "{\"text\":\"two\"}]}]}}",
          AGENT_SAID, "one\n\ntwo\n\ndone");
    check("{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"status\":{\"state\":\"completed\","
          "\"message\":{"
          "\"parts\":[{\"text\":\"one\"}]}},\"artifacts\":[{\"parts\":[{\"text\":\"one\"}]}]}}",
          AGENT_SAID, "one");
    check(
        "{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"status\":{\"state\":\"completed\"},"
        "\"history\":["
        "{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},{\"role\":\"agent\",\"parts\":[{\"text\":"
        "\"a\"}]}]}}",
        AGENT_SAID, "a");
    check("{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"status\":{\"state\":\"completed\"},"
          "\"history\":["
          "{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]}]}}",
          AGENT_SAID, "");
    check("{\"result\":{\"kind\":\"task\",\"status\":{\"state\":\"working\"}}}", AGENT_FAILED, "");
}

#define TASK_SAYS(said, artifacts)                                                                 \
    "{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"status\":{\"state\":\"completed\","             \
    "\"message\":{\"parts\":[{\"text\":\"" said "\"}]}},\"artifacts\":[" artifacts "]}}"
#define ARTIFACT(text) "{\"parts\":[{\"text\":\"" text "\"}]}"

Test(agent_answer, a_status_is_left_out_only_when_an_artifact_is_the_same_text)
{
    check(TASK_SAYS("ok", ARTIFACT("I booked the room")), AGENT_SAID, "I booked the room\n\nok");
    check(TASK_SAYS("the room", ARTIFACT("I booked the room")), AGENT_SAID,
          "I booked the room\n\nthe room");
    check(TASK_SAYS(" two\\n", ARTIFACT("one") "," ARTIFACT("two")), AGENT_SAID, "one\n\ntwo");
    check(TASK_SAYS("one\\n\\ntwo", ARTIFACT("one") "," ARTIFACT("two")), AGENT_SAID, "one\n\ntwo");
    check(TASK_SAYS("Two", ARTIFACT("one") "," ARTIFACT("two")), AGENT_SAID, "one\n\ntwo\n\nTwo");
    check(TASK_SAYS("  ", ARTIFACT("one")), AGENT_SAID, "one");
    check(TASK_SAYS("only", ""), AGENT_SAID, "only");
}

Test(agent_answer, files_and_data_are_told_in_words)
{
    check(
        "{\"result\":{\"parts\":[{\"kind\":\"text\",\"text\":\"see\"},{\"kind\":\"file\",\"file\":{"
        "\"name\":\"a.png\",\"uri\":\"http://x/a\"}},{\"raw\":\"QQ==\",\"filename\":\"b\"}]}}",
        AGENT_SAID, "see\n[file: a.png, http://x/a]\n[file: b]");
    check("{\"result\":{\"parts\":[{\"kind\":\"data\",\"data\":{\"a\":1}}]}}", AGENT_SAID,
          "{\"a\":1}");
}

static void check_error(int code, bool has_task, enum agent_said said)
{
    char body[256];

    (void)snprintf(body, sizeof(body),
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":%d,\"message\":\"words\"}}",
                   code);
    read_with(200, body, has_task);
    cr_assert_eq(a.said, said, "%d: %d", code, (int)a.said);
    cr_assert(strstr(a.why, "words"), "%s", a.why);
    read_with(500, body, has_task);
    cr_assert_eq(a.said, said, "the status says less than the code");
}

Test(agent_answer, errors_by_their_code)
{
    check_error(-32603, false, AGENT_FAILED);
    check_error(-32000, false, AGENT_FAILED);
    check_error(-32006, false, AGENT_FAILED);
    check_error(-32602, false, AGENT_REFUSED);
    check_error(-32600, false, AGENT_REFUSED);
    check_error(-32700, false, AGENT_REFUSED);
    check_error(-32005, false, AGENT_REFUSED);
    check_error(-32004, false, AGENT_REFUSED);
    check_error(-32601, false, AGENT_OTHER_VERSION);
    check_error(-32009, true, AGENT_OTHER_VERSION);
    check_error(-32001, false, AGENT_FAILED);
    check_error(-32001, true, AGENT_FORGOT);
    check_error(-32004, true, AGENT_FORGOT);
    check_error(-32602, true, AGENT_FORGOT);
}

/* It stands in the journal and in lists: a line of its own must not come out of it. */
Test(agent_answer, words_of_an_error_are_one_printable_line)
{
    read_with(200, "{\"error\":{\"code\":-32603,\"message\":\"no\\n11111111  dead\\u001b[2J\"}}",
              false);
    cr_assert_str_eq(a.why, "the agent answered with error -32603" AGENT_WORDS
                            "no\\x0A11111111  dead\\x1B[2J");
    read_with(200, "{\"error\":\"a\\rb\"}", false);
    cr_assert_str_eq(a.why, "the agent answered with an error" AGENT_WORDS "a\\x0Db");
    read_with(200, "{\"error\":{\"code\":-32603}}", false);
    cr_assert_str_eq(a.why, "the agent answered with error -32603");
}

static void check_status(int status, const char *body, enum agent_said said)
{
    read_with(status, body, false);
    cr_assert_eq(a.said, said, "%d %s: %d %s", status, body, (int)a.said, a.why);
    cr_assert(a.why[0]);
}

Test(agent_answer, statuses_without_an_error_of_json_rpc)
{
    check_status(500, "Internal Server Error", AGENT_FAILED);
    check_status(503, "", AGENT_FAILED);
    check_status(429, "{\"detail\":\"slow down\"}", AGENT_FAILED);
    check_status(404, "{\"error\":\"not found\"}", AGENT_FAILED);
    check_status(401, "", AGENT_FAILED);
    check_status(413, "", AGENT_REFUSED);
    check_status(422, "{\"detail\":[]}", AGENT_REFUSED);
    check_status(302, "", AGENT_FAILED);
    check_status(200, "<!doctype html><p>hi", AGENT_FAILED);
    check_status(200, "<HTML>", AGENT_FAILED);
    check_status(200, "{\"jsonrpc\":\"2.0\",\"result\":{\"kin", AGENT_FAILED);
    check_status(200, "{\"error\":\"sorry\"}", AGENT_FAILED);
}

Test(agent_answer, shapes_that_nobody_planned)
{
    check("{\"status\":\"ok\",\"result\":\"fine\"}", AGENT_SAID, "fine");
    check("{\"status\":\"ok\",\"result\":null}", AGENT_SAID, "");
    check("{\"status\":\"ok\",\"result\":42}", AGENT_SAID, "42");
    check("{\"status\":\"ok\",\"result\":{\"text\":\"t\"}}", AGENT_SAID, "t");
    check("{\"status\":\"ok\",\"result\":{\"a\":[1]}}", AGENT_SAID, "{\"a\":[1]}");
    check("{\"result\":{}}", AGENT_SAID, "");
    check("plain words", AGENT_SAID, "plain words");
    check("[note] words", AGENT_SAID, "[note] words");
    check("\"a string\"", AGENT_SAID, "a string");
    check("42", AGENT_SAID, "42");
    check("{\"kind\":\"message\",\"parts\":[{\"text\":\"bare\"}]}", AGENT_SAID, "bare");
    check("", AGENT_SAID, "");
    check("{}", AGENT_SAID, "");
    check("bad \xff utf", AGENT_SAID, "bad \xef\xbf\xbd utf");
    check("{\"result\":\"a\\u0000b\"}", AGENT_SAID, "ab");
}

Test(agent_answer, an_event_stream_amounts_to_one_answer)
{
    check(": hello\n\ndata: "
          "{\"result\":{\"kind\":\"task\",\"id\":\"T\",\"contextId\":\"C\",\"status\":{"
          "\"state\":\"submitted\"}}}\r\n\r\ndata: "
          "{\"result\":{\"kind\":\"artifact-update\",\"taskId\":"
          "\"T\",\"artifact\":{\"artifactId\":\"o\",\"parts\":[{\"text\":\"hel\"}]}}}\n\ndata: "
          "{\"result\":{"
          "\"kind\":\"artifact-update\",\"append\":true,\"artifact\":{\"artifactId\":\"o\","
          "\"parts\":[{"
          "\"text\":\"lo\"}]}}}\n\ndata: "
          "{\"result\":{\"kind\":\"status-update\",\"status\":{\"state\":"
          "\"completed\"},\"final\":true}}\n\n",
          AGENT_SAID, "hello");
    check("data: "
          "{\"result\":{\"task\":{\"id\":\"T\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}}\n\n"
          "data: {\"result\":{\"statusUpdate\":{\"taskId\":\"T\",\"status\":{\"state\":"
          "\"TASK_STATE_INPUT_REQUIRED\",\"message\":{\"parts\":[{\"text\":\"so?\"}]}}}}}",
          AGENT_ASKS, "so?");
    cr_assert_str_eq(a.task_id, "T");
    check("event: message\ndata: {\"result\":{\"message\":{\"parts\":[{\"text\":\"m\"}]}}}\n\n",
          AGENT_SAID, "m");
    check(
        "data: "
        "{\"result\":{\"kind\":\"artifact-update\",\"artifact\":{\"artifactId\":\"o\",\"parts\":[{"
        "\"text\":\"lost\"}]}}}\n\n",
        AGENT_FAILED, ""); /* no state: the stream was cut */
    check("data: {\"error\":{\"code\":-32603,\"message\":\"x\"}}\n\n", AGENT_FAILED, "");
    check("data: of my research", AGENT_SAID, "data: of my research");
}

Test(agent_answer, ids_that_are_too_long_or_hold_a_nul_are_none)
{
    char body[1024];

    (void)snprintf(body, sizeof(body),
                   "{\"result\":{\"kind\":\"message\",\"parts\":[],\"contextId\":\"%0300d\"}}", 1);
    read_with(200, body, false);
    cr_assert_str_eq(a.context_id, "");
    read_with(200, "{\"result\":{\"kind\":\"message\",\"parts\":[],\"contextId\":\"a\\u0000b\"}}",
              false);
    cr_assert_str_eq(a.context_id, "");
}
