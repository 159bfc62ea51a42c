#include "inbox/row.h"

#include "base/str.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define OWN  "11111111-2222-4333-8444-555555555555"
#define PEER "BBBBBBBB-0000-4000-8000-000000000001"
#define HEAD                                                                                       \
    "{\"id\":\"d8964800-0000-4000-8000-000000000001\","                                            \
    "\"created_at\":\"2026-11-23T07:15:33.565408Z\",\"activity_type\":\"a2a_receive\""
#define MESSAGE(parts)                                                                             \
    ",\"request_body\":{\"jsonrpc\":\"2.0\",\"params\":{\"message\":{\"role\":\"user\","           \
    "\"messageId\":\"m-1\",\"parts\":" parts "}}}"
#define HELLO MESSAGE("[{\"kind\":\"text\",\"text\":\"hello\"}]")

#define RESULT(status, text)                                                                       \
    HEAD ",\"method\":\"delegate_result\",\"source_id\":\"" OWN                                    \
         "\",\"duration_ms\":null,\"status\":\"" status                                            \
         "\",\"request_body\":{\"delegation_id\":\"d-1\"},\"response_body\":{\"text\":\"" text     \
         "\",\"delegation_id\":\"d-1\"}"

struct row_case {
    const char *what, *json;
    enum row_kind kind;
    const char *text;   /* of the request; NULL = there is none */
    const char *source; /* NULL: a person */
};

static const struct row_case cases[] = {
    {"a canvas message as the server sends it",
     "{\"id\":\"d8964800-0000-4000-8000-000000000001\",\"workspace_id\":\"" OWN "\","
     "\"activity_type\":\"a2a_receive\",\"method\":\"message/send\",\"source_id\":null,"
     "\"target_id\":\"" OWN "\",\"status\":\"ok\",\"error_detail\":null,\"duration_ms\":null,"
     "\"summary\":\"message/send -> poller (queued for poll)\","
     "\"created_at\":\"2026-11-23T07:15:33.565408Z\",\"request_body\":{\"jsonrpc\":\"2.0\","
     "\"id\":\"1\",\"method\":\"message/send\",\"params\":{\"message\":{\"role\":\"user\","
     "\"messageId\":\"e9dd61be\",\"parts\":[{\"kind\":\"text\",\"text\":\"hello canvas\"}]}}}}",
     ROW_MESSAGE, "hello canvas", NULL},
    {"a peer's", HEAD ",\"source_id\":\"" PEER "\",\"method\":\"message/send\"" HELLO "}",
     ROW_MESSAGE, "hello", "bbbbbbbb-0000-4000-8000-000000000001"},
    {"the 1.0 method", HEAD ",\"method\":\"SendMessage\"" HELLO "}", ROW_MESSAGE, "hello", NULL},
    {"no method", HEAD HELLO "}", ROW_MESSAGE, "hello", NULL},
    {"the person by name", HEAD ",\"source_id\":\"user\"" HELLO "}", ROW_MESSAGE, "hello", NULL},
    {"an empty source", HEAD ",\"source_id\":\"\"" HELLO "}", ROW_MESSAGE, "hello", NULL},
    {"what the SDK's text says: type, ts, data",
     "{\"id\":\"d8964800-0000-4000-8000-000000000001\",\"type\":\"a2a_receive\","
     "\"ts\":\"2026-11-23T07:15:33Z\",\"data\":{\"text\":\"from data\","
     "\"source\":\"canvas_user\"}}",
     ROW_MESSAGE, "from data", NULL},
    {"data.message", HEAD ",\"data\":{\"message\":\"second choice\"}}", ROW_MESSAGE,
     "second choice", NULL},
    {"data.source_id",
     HEAD ",\"data\":{\"source\":\"peer_agent\",\"source_id\":\"" PEER "\",\"text\":\"x\"}}",
     ROW_MESSAGE, "x", "bbbbbbbb-0000-4000-8000-000000000001"},
    {"a peer without an id", HEAD ",\"source\":\"peer_agent\"" HELLO "}", ROW_UNREADABLE, NULL,
     NULL},
    {"a source that is no id", HEAD ",\"source_id\":\"../x\"" HELLO "}", ROW_UNREADABLE, NULL,
     NULL},
    {"a request as a string",
     HEAD ",\"request_body\":\"{\\\"params\\\":{\\\"message\\\":{\\\"parts\\\":"
          "[{\\\"type\\\":\\\"text\\\",\\\"text\\\":\\\"inner\\\"}]}}}\"}",
     ROW_MESSAGE, "inner", NULL},
    {"a request that is only words", HEAD ",\"request_body\":\"just words\"}", ROW_MESSAGE,
     "just words", NULL},
    {"params.parts",
     HEAD ",\"request_body\":{\"params\":{\"parts\":[{\"type\":\"text\","
          "\"text\":\"p\"}]}}}",
     ROW_MESSAGE, "p", NULL},
    {"parts at the top", HEAD ",\"request_body\":{\"parts\":[{\"kind\":\"text\",\"text\":\"t\"}]}}",
     ROW_MESSAGE, "t", NULL},
    {"texts in order, others left out",
     HEAD MESSAGE("[{\"kind\":\"text\",\"text\":\"a\"},{\"kind\":\"data\",\"data\":{}},"
                  "{\"type\":\"text\",\"text\":\"b\"},{\"text\":\"c\"},{\"kind\":\"text\","
                  "\"text\":7},7,null]") "}",
     ROW_MESSAGE, "abc", NULL},
    {"a file and no text: no fallback",
     HEAD ",\"summary\":\"never\"" MESSAGE(
         "[{\"kind\":\"file\",\"file\":{\"name\":\"a\",\"uri\":\"u\"}}]") "}",
     ROW_MESSAGE, "", NULL},
    {"a flat file",
     HEAD ",\"summary\":\"never\"" MESSAGE("[{\"url\":\"http://x/\",\"filename\":\"f\"}]") "}",
     ROW_MESSAGE, "", NULL},
    {"v0.2 content", HEAD ",\"request_body\":{\"params\":{\"message\":{\"content\":\"old\"}}}}",
     ROW_MESSAGE, "old", NULL},
    {"a task", HEAD ",\"request_body\":{\"task\":\"do it\"}}", ROW_MESSAGE, "do it", NULL},
    {"only a summary", HEAD ",\"summary\":\"sum\"}", ROW_MESSAGE, "sum", NULL},
    {"a summary beside a request without words",
     HEAD ",\"summary\":\"sum\"" MESSAGE("[{\"kind\":\"text\",\"text\":\"  \"}]") "}", ROW_MESSAGE,
     "  sum", NULL},
    {"nothing at all", HEAD "}", ROW_UNREADABLE, NULL, NULL},
    {"a request that is a list", HEAD ",\"request_body\":[1]}", ROW_UNREADABLE, NULL, NULL},
    {"our own words",
     HEAD ",\"method\":\"notify\",\"source_id\":null,\"response_body\":{\"result\":\"hi\"}}",
     ROW_ECHO, NULL, NULL},
    {"somebody's notify", HEAD ",\"method\":\"notify\",\"source_id\":\"" PEER "\"" HELLO "}",
     ROW_OTHER_METHOD, NULL, "bbbbbbbb-0000-4000-8000-000000000001"},
    {"a file",
     HEAD ",\"method\":\"chat_upload_receive\",\"request_body\":{\"file_id\":\"f\","
          "\"uri\":\"platform-pending:" OWN "/f\"}}",
     ROW_UPLOAD, "", NULL},
    {"a file without a URI",
     HEAD ",\"method\":\"chat_upload_receive\",\"request_body\":{\"file_id\":\"f\"}}",
     ROW_OTHER_METHOD, "", NULL},
    {"a file of another workspace",
     HEAD ",\"method\":\"chat_upload_receive\",\"request_body\":{\"file_id\":\"f\","
          "\"uri\":\"platform-pending:" PEER "/f\"}}",
     ROW_OTHER_METHOD, "", NULL},
    {"a file that a peer says there is",
     HEAD ",\"method\":\"chat_upload_receive\",\"source_id\":\"" PEER "\",\"request_body\":{"
          "\"file_id\":\"f\",\"uri\":\"platform-pending:" OWN "/f\"}}",
     ROW_OTHER_METHOD, NULL, "bbbbbbbb-0000-4000-8000-000000000001"},
    {"a delegation's result, as a caller would forge it",
     HEAD ",\"method\":\"delegate_result\",\"source_id\":\"" PEER "\"" HELLO "}", ROW_OTHER_METHOD,
     NULL, "bbbbbbbb-0000-4000-8000-000000000001"},
    {"such a call, pushed",
     HEAD ",\"method\":\"delegate_result\",\"duration_ms\":3,\"response_body\":{\"text\":\"x\"}}",
     ROW_OTHER_METHOD, NULL, NULL},
    {"a delegation's result", RESULT("ok", "the result") "}", ROW_DELEGATION, "the result", OWN},
    {"one that says completed", RESULT("completed", "the result") "}", ROW_DELEGATION, "the result",
     OWN},
    {"one that is a string",
     HEAD ",\"method\":\"delegate_result\",\"source_id\":\"" OWN
          "\",\"response_body\":\"{\\\"text\\\":\\\"inner\\\"}\"}",
     ROW_DELEGATION, "inner", OWN},
    {"one without words", RESULT("ok", "") "}", ROW_DELEGATION, "", OWN},
    {"a failed one", RESULT("error", "") ",\"error_detail\":\"nobody there\"}", ROW_DELEGATION,
     "nobody there", OWN},
    {"a receipt: the peer polls",
     RESULT("completed", "{\\\"delivery_mode\\\":\\\"poll\\\",\\\"status\\\":\\\"queued\\\"}") "}",
     ROW_DELEGATION_OPEN, "{\"delivery_mode\":\"poll\",\"status\":\"queued\"}", OWN},
    {"a receipt: the peer is busy", RESULT("ok", " {\\\"queued\\\":true}") "}", ROW_DELEGATION_OPEN,
     " {\"queued\":true}", OWN},
    {"words that look like one", RESULT("ok", "{\\\"queued\\\":\\\"no\\\"}") "}", ROW_DELEGATION,
     "{\"queued\":\"no\"}", OWN},
    {"one that goes on", RESULT("in_progress", "so far") "}", ROW_DELEGATION_OPEN, "so far", OWN},
    {"ourselves", HEAD ",\"source_id\":\"" OWN "\"" HELLO "}", ROW_OWN, NULL, OWN},
    {"a push attempt that was answered", HEAD ",\"duration_ms\":12,\"response_body\":{}" HELLO "}",
     ROW_PUSHED, NULL, NULL},
    {"one whose answer was no JSON", HEAD ",\"response_body\":null" HELLO "}", ROW_PUSHED, NULL,
     NULL},
    {"tasks/get", HEAD ",\"method\":\"tasks/get\"" HELLO "}", ROW_OTHER_METHOD, NULL, NULL},
    {"message/stream", HEAD ",\"method\":\"message/stream\"" HELLO "}", ROW_OTHER_METHOD, NULL,
     NULL},
    {"another type",
     "{\"id\":\"d8964800-0000-4000-8000-000000000001\",\"created_at\":\"2026-11-23T07:15:33Z\","
     "\"activity_type\":\"agent_log\"}",
     ROW_OTHER_TYPE, NULL, NULL},
    {"members of other types",
     HEAD ",\"source_id\":{},\"method\":[],\"seq\":\"1\",\"summary\":1,\"peer_name\":2,"
          "\"data\":\"x\"" HELLO "}",
     ROW_MESSAGE, "hello", NULL},
};

static struct json_object *parse(const char *json)
{
    struct json_object *o = json_tokener_parse(json);

    cr_assert_not_null(o, "%s", json);
    return o;
}

/* What the agent would read first. */
static void add_text(struct json_object *request, struct str *ret)
{
    struct json_object *parts = row_parts(request), *text = NULL;

    for (size_t i = 0; parts && i < json_object_array_length(parts); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(parts, i), "text", &text) &&
            json_object_is_type(text, json_type_string))
            str_addz(ret, json_object_get_string(text));
    text = row_lone_text(request);
    if (strspn(str_z(ret), " ") == ret->len && text)
        str_addz(ret, json_object_get_string(text));
}

Test(row, each_shape_is_what_it_is)
{
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        const struct row_case *c = &cases[k];
        struct json_object *o = parse(c->json);
        struct str text = {0};
        struct row r;

        cr_assert(row_read(o, OWN, &r), "%s", c->what);
        cr_expect_eq(r.kind, c->kind, "%s: %s", c->what, row_kind_name(r.kind));
        cr_expect_eq(r.request != NULL, c->text != NULL, "%s", c->what);
        if (r.request && c->text) {
            add_text(r.request, &text);
            cr_expect_str_eq(str_z(&text), c->text, "%s", c->what);
        }
        cr_expect_str_eq(r.source_id, c->source ? c->source : "", "%s", c->what);
        cr_expect_eq(r.seq, -1, "%s", c->what);
        str_release(&text);
        row_release(&r);
        json_object_put(o);
    }
}

Test(row, what_cannot_be_named)
{
    static const char *const bad[] = {
        "[]",
        "7",
        "\"x\"",
        "{}",
        "{\"id\":\"d8964800-0000-4000-8000-000000000001\"}",
        "{\"id\":\"x\",\"created_at\":\"2026-11-23T07:15:33Z\"}",
        "{\"id\":7,\"created_at\":\"2026-11-23T07:15:33Z\"}",
        "{\"id\":\"d8964800-0000-4000-8000-000000000001\",\"created_at\":\"yesterday\"}",
        "{\"id\":\"d8964800-0000-4000-8000-000000000001\",\"created_at\":1700000000}",
    };

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        struct json_object *o = parse(bad[k]);
        struct row r;

        cr_expect_not(row_read(o, OWN, &r), "%s", bad[k]);
        cr_expect_eq(r.kind, ROW_UNREADABLE);
        row_release(&r);
        json_object_put(o);
    }
    struct row r;
    cr_expect_not(row_read(NULL, OWN, &r), "a null row");
}

Test(row, what_a_loop_guard_needs)
{
    struct json_object *o = parse(
        HEAD ",\"seq\":42,\"source_id\":\"" PEER "\",\"peer_name\":\"Ann\",\"peer_role\":\"cook\","
             "\"agent_card_url\":\"http://c/\",\"request_body\":{\"params\":{\"metadata\":{"
             "\"history\":[1]},\"message\":{\"role\":\"ROLE_AGENT\",\"messageId\":\"m-9\","
             "\"contextId\":\"c-9\",\"parts\":[{\"text\":\"x\"}],\"metadata\":{\"reply\":true,"
             "\"in_reply_to\":\"m-8\",\"hops\":3}}}}}");
    struct row_about about;
    struct row r;

    cr_assert(row_read(o, OWN, &r));
    cr_expect_eq(r.kind, ROW_MESSAGE);
    cr_expect_eq(r.seq, 42);
    row_about(r.request, &about);
    cr_expect(about.is_from_agent);
    cr_expect(about.is_reply);
    cr_expect_eq(about.hops, 3);
    cr_expect_str_eq(r.message_id, "m-9");
    cr_expect_str_eq(r.context_id, "c-9");
    cr_expect_str_eq(r.peer_name, "Ann");
    cr_expect_str_eq(r.peer_role, "cook");
    cr_expect_str_eq(r.card_url, "http://c/");
    cr_expect_not(r.is_request_made);
    row_release(&r);
    json_object_put(o);
}

/* Two rows of one outcome are one message, and none of them is ever answered. */
Test(row, an_outcome_of_a_delegation_is_a_reply_of_whoever_did_the_work)
{
    static const struct {
        const char *json, *peer, *message_id;
    } outcomes[] = {
        {RESULT("ok", "x") "}", "", "delegation-d-1-completed"},
        {RESULT("ok", "x") ",\"target_id\":\"" PEER "\"}", "bbbbbbbb-0000-4000-8000-000000000001",
         "delegation-d-1-completed"},
        {RESULT("failed", "") ",\"target_id\":\"" OWN "\"}", "", "delegation-d-1-failed"},
        {RESULT("odd", "") ",\"error_detail\":\"e\"}", "", "delegation-d-1-failed"},
        {HEAD ",\"method\":\"delegate_result\",\"source_id\":\"" PEER "\",\"response_body\":{}}",
         "bbbbbbbb-0000-4000-8000-000000000001", ""},
    };

    for (size_t k = 0; k < sizeof(outcomes) / sizeof(outcomes[0]); k++) {
        struct json_object *o = parse(outcomes[k].json);
        struct row_about about;
        struct row r;

        cr_assert(row_read(o, OWN, &r));
        cr_assert_eq(r.kind, ROW_DELEGATION, "%s", outcomes[k].json);
        cr_expect_str_eq(r.peer_id, outcomes[k].peer, "%s", outcomes[k].json);
        cr_expect_str_eq(r.message_id, outcomes[k].message_id, "%s", outcomes[k].json);
        row_about(r.request, &about);
        cr_expect(about.is_from_agent && about.is_reply);
        row_release(&r);
        json_object_put(o);
    }
}

/* Whatever shape has parts that the agent is given, the loop guard looks there. */
Test(row, the_message_is_where_its_parts_are)
{
    static const char *const shapes[][2] = {
        {"{\"params\":{\"message\":", "}}"},
        {"{\"params\":", "}"},
        {"{\"message\":", "}"},
        {"", ""},
        {"{\"params\":{\"message\":{}},\"message\":", "}"},
    };
    static const char *const bodies[] = {
        "{\"role\":\"agent\",\"messageId\":\"m\",\"parts\":[{\"text\":\"x\"}]}",
        "{\"role\":\"Role_Agent\",\"messageId\":\"m\",\"content\":[\"x\"]}",
        "{\"metadata\":{\"in_reply_to\":\"y\",\"hops\":9},\"messageId\":\"m\",\"parts\":[{\"text\":"
        "\"x\"}]}",
    };
    enum { BODIES = sizeof(bodies) / sizeof(bodies[0]) };

    for (size_t i = 0; i < BODIES * sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct json_object *o = NULL;
        struct row_about about;
        struct str json = {0};

        str_addf(&json, "%s%s%s", shapes[i / BODIES][0], bodies[i % BODIES], shapes[i / BODIES][1]);
        cr_assert_eq(row_request_parse(str_z(&json), &o), 0);
        row_about(o, &about);
        cr_expect_str_eq(about.message_id, "m", "%s", str_z(&json));
        cr_expect(about.is_from_agent || (about.is_reply && about.hops == 9), "%s", str_z(&json));
        cr_expect_not_null(row_parts(o));
        json_object_put(o);
        str_release(&json);
    }
}

Test(row, an_echo_has_its_words)
{
    struct json_object *o =
        parse(HEAD ",\"method\":\"notify\",\"response_body\":{\"result\":\"said\"}}");
    struct row r;

    cr_assert(row_read(o, OWN, &r));
    cr_expect_str_eq(r.echo_text, "said");
    row_release(&r);
    json_object_put(o);
}

Test(row, ids_that_are_too_long_are_none)
{
    char json[2048];
    struct json_object *o;
    struct row r;

    (void)snprintf(json, sizeof(json),
                   HEAD ",\"request_body\":{\"params\":{\"message\":{\"messageId\":\"%0600d\","
                        "\"contextId\":\"%0512d\",\"parts\":[{\"text\":\"x\"}]}}}}",
                   0, 0);
    o = parse(json);
    cr_assert(row_read(o, OWN, &r));
    cr_expect_str_eq(r.message_id, "");
    cr_expect_eq(strlen(r.context_id), 512);
    row_release(&r);
    json_object_put(o);
}

Test(row, times)
{
    static const struct {
        const char *text;
        int64_t us; /* -1 = refused */
    } times[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T07:15:33.565408Z", 1795418133565408},
        {"2026-11-23T07:15:33.5Z", 1795418133500000},
        {"2026-11-23T07:15:33.123456789Z", 1795418133123456},
        {"2026-11-23T09:15:33+02:00", 1795418133000000},
        {"2026-11-23T01:45:33-05:30", 1795418133000000},
        {"2024-02-29T12:00:00Z", 1709208000000000},
        {"2026-11-23t07:15:33z", 1795418133000000},
        {"2026-11-23", -1},
        {"2026-11-23T07:15:33", -1},
        {"2026-11-23T07:15:33.Z", -1},
        {"2026-11-23T07:15:33.1234567890Z", -1},
        {"2026-11-23T25:15:33Z", -1},
        {"2026-13-23T07:15:33Z", -1},
        {"2026-11-23T07:15:33Zx", -1},
        {"2026-11-23T07:15:33+2:00", -1},
        {"+026-11-23T07:15:33Z", -1},
        {"", -1},
    };

    for (size_t k = 0; k < sizeof(times) / sizeof(times[0]); k++) {
        int64_t us = -1;

        (void)row_time_us(slice_of(times[k].text), &us);
        cr_expect_eq(us, times[k].us, "%s: %lld", times[k].text, (long long)us);
    }
}

/* 128 KiB of nested JSON as a string inside a row: refused without harm. */
Test(row, a_deep_request_in_a_string)
{
    size_t n = 128 * 1024;
    struct json_object *o = parse(HEAD "}");
    char *deep = malloc(n + 1);
    struct str text = {0};
    struct row r;

    cr_assert_not_null(deep);
    memset(deep, '[', n);
    deep[n] = '\0';
    json_object_object_add(o, "request_body", json_object_new_string(deep));
    cr_assert(row_read(o, OWN, &r));
    cr_assert_eq(r.kind, ROW_MESSAGE, "its sender wrote brackets: the agent is told brackets");
    add_text(r.request, &text);
    cr_expect_eq(text.len, n);
    str_release(&text);
    row_release(&r);
    json_object_put(o);
    free(deep);
}

Test(row, a_string_of_very_many_values_is_not_parsed)
{
    struct str row = {0}, body = {0};
    struct row r;

    str_addz(&body, "{\"parts\":[{\"text\":\"x\"}],\"v\":[0");
    for (size_t k = 0; k < ROW_JSON_VALUES_MAX; k++)
        str_addz(&body, ",0");
    str_addz(&body, "]}");
    str_addz(&row, HEAD ",\"request_body\":");
    str_add_json(&row, str_slice(&body));
    str_addz(&row, "}");
    struct json_object *o = parse(str_z(&row));
    cr_assert(row_read(o, OWN, &r));
    cr_assert_eq(r.kind, ROW_COSTLY, "%s", row_kind_name(r.kind));
    cr_assert_null(r.request);
    row_release(&r);
    json_object_put(o);
    str_release(&row);
    str_release(&body);
}
