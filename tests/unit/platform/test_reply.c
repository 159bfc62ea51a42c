/*
 * What answers mean, without a socket: classes, Retry-After, words; and the names of secrets.
 */
#include "base/cleanup.h"
#include "platform/internal.h"
#include "platform/reply.h"
#include "platform/secrets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const struct reply_context plain = {
    .host = "platform.example", .org_id = "", .origin = "http://platform.example"};

static struct reply read_answer(int status, const char *body, const char *retry_after)
{
    struct client_answer a = {.outcome = CLIENT_OK,
                              .status = status,
                              .body = slice_of(body),
                              .content_type = "",
                              .retry_after = retry_after};
    struct reply r;

    reply_read(&a, &plain, &r);
    return r;
}

Test(platform_reply, classes_follow_the_table)
{
    static const struct {
        int status;
        const char *body;
        enum reply_class class;
    } rows[] = {
        {200, "{}", REPLY_OK},
        {201, "{\"a\":1}", REPLY_OK},
        {200, "<html>", REPLY_UNKNOWN},
        {200, "", REPLY_UNKNOWN},
        {200, "{\"a\":", REPLY_UNKNOWN},
        {302, "", REPLY_UNKNOWN},
        {400, "{\"error\":\"x\"}", REPLY_NOT_DELIVERED},
        {401, "{}", REPLY_NOT_DELIVERED},
        {402, "{}", REPLY_NOT_DELIVERED},
        {403, "", REPLY_NOT_DELIVERED},
        {404, "404 page not found", REPLY_NOT_DELIVERED},
        {429, "{}", REPLY_NOT_DELIVERED},
        {500, "oops", REPLY_UNKNOWN},
        {502, "<html>", REPLY_UNKNOWN},
        {502, "{\"error\":\"failed to reach workspace agent\"}", REPLY_NOT_DELIVERED},
        {503, "{\"restarting\":true}", REPLY_NOT_DELIVERED},
        {503, "{\"waking\":true}", REPLY_NOT_DELIVERED},
        {503, "{\"error\":\"x\"}", REPLY_UNKNOWN},
        {524, "<html>", REPLY_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct reply r = read_answer(rows[i].status, rows[i].body, "");
        cr_assert_eq(r.class, rows[i].class, "%d %s", rows[i].status, rows[i].body);
        cr_assert_eq(r.error[0] == '\0', r.class == REPLY_OK, "%d %s", rows[i].status,
                     rows[i].body);
    }
}

Test(platform_reply, calls_without_an_answer_have_classes_too)
{
    struct client_answer a = {.content_type = "", .retry_after = "", .error = "words"};
    struct reply r;

    a.outcome = CLIENT_NOT_SENT;
    reply_read(&a, &plain, &r);
    cr_assert_eq(r.class, REPLY_NOT_DELIVERED);
    cr_assert_str_eq(r.error, "words");
    a.outcome = CLIENT_LOST;
    a.status = 200; /* the head came, the body did not */
    reply_read(&a, &plain, &r);
    cr_assert_eq(r.class, REPLY_UNKNOWN);
    cr_assert_eq(r.status, 0);
}

Test(platform_reply, retry_after_in_all_its_forms)
{
    int64_t now = 784111777LL * 1000; /* Sun, 06 Nov 1994 08:49:37 GMT */

    cr_assert_eq(retry_after_ms("", now), 0);
    cr_assert_eq(retry_after_ms("0", now), 1000);
    cr_assert_eq(retry_after_ms("7", now), 7000);
    cr_assert_eq(retry_after_ms("3600", now), 60000);
    cr_assert_eq(retry_after_ms("soon", now), 0);
    cr_assert_eq(retry_after_ms("-5", now), 0);
    cr_assert_eq(retry_after_ms("Sun, 06 Nov 1994 08:49:47 GMT", now), 10000);
    cr_assert_eq(retry_after_ms("Sun, 06 Nov 1994 08:49:07 GMT", now), 1000);
    cr_assert_eq(retry_after_ms("Sun, 06 Nov 1994 09:49:37 GMT", now), 60000);
    cr_assert_eq(retry_after_ms("99999999999999999999", now), 0);
}

Test(platform_reply, a_429_waits_by_header_or_body)
{
    cr_assert_eq(read_answer(429, "{}", "3").wait_ms, 3000);
    cr_assert_eq(read_answer(429, "{\"retry_after\":4}", "").wait_ms, 4000);
    cr_assert_eq(read_answer(429, "{\"retry_after\":0}", "").wait_ms, 1000);
    cr_assert_eq(read_answer(429, "{\"retry_after\":9999}", "").wait_ms, 60000);
    cr_assert_eq(read_answer(429, "{\"retry_after\":\"4\"}", "").wait_ms, 0);
    cr_assert_eq(read_answer(500, "{}", "3").wait_ms, 0);
}

Test(platform_reply, says_what_is_wrong_in_words)
{
    cr_assert(strstr(read_answer(404, "", "").error, "platform.org_id is not set"));
    cr_assert(strstr(read_answer(404, "<html>", "").error, "nothing about the workspace"));
    cr_assert(strstr(read_answer(403, "", "").error, "platform.origin"));
    cr_assert(strstr(read_answer(401, "{\"error\":\"bad \\u001b[31m\"}", "").error,
                     "HTTP 401 from platform.example: bad \\x1B"),
              "%s", read_answer(401, "{\"error\":\"bad \\u001b[31m\"}", "").error);
    cr_assert(strstr(read_answer(502, "<html>", "").error, "edge or proxy"));
    cr_assert(strstr(read_answer(301, "", "").error, "redirect"));
}

Test(platform_reply, members_may_be_absent_null_or_odd)
{
    char text[8];
    int64_t n = 0;
    struct slice json = SLICE("{\"a\":null,\"b\":1.5,\"c\":\"longer than eight\",\"d\":\"ok\"}");

    cr_assert_not(reply_text(json, "a", text, sizeof(text)));
    cr_assert_not(reply_text(json, "zz", text, sizeof(text)));
    cr_assert_not(reply_text(json, "c", text, sizeof(text)));
    cr_assert_str_eq(text, "");
    cr_assert(reply_text(json, "d", text, sizeof(text)));
    cr_assert_not(reply_number(json, "b", &n));
    cr_assert_not(reply_text((struct slice){0}, "a", text, sizeof(text)));
    cr_assert_not(reply_is_true(SLICE("[true]"), "a"));
}

Test(platform_reply, origin_is_as_the_host_header_will_be)
{
    static const struct {
        const char *url, *origin;
    } rows[] = {
        {"http://platform.example", "http://platform.example"},
        {"http://platform.example:80/base", "http://platform.example"},
        {"https://platform.example:443", "https://platform.example"},
        {"HTTPS://platform.example:8443/x/y", "https://platform.example:8443"},
        {"http://[::1]:8080", "http://[::1]:8080"},
    };
    char origin[300];
    char host[300];

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        cr_assert_eq(origin_of(rows[i].url, origin, sizeof(origin), host, sizeof(host), NULL), 0);
        cr_assert_str_eq(origin, rows[i].origin);
    }
    cr_assert_lt(origin_of("ftp://x", origin, sizeof(origin), host, sizeof(host), NULL), 0);
    cr_assert_lt(origin_of("platform", origin, sizeof(origin), host, sizeof(host), NULL), 0);
    cr_assert_lt(origin_of("http://a:b@x", origin, sizeof(origin), host, sizeof(host), NULL), 0);
}

Test(platform_reply, secrets_are_a_flat_sorted_map_of_strings)
{
    struct secrets s;

    cr_assert_eq(secrets_parse(SLICE("{\"B\":\"2\",\"A\":\"x\\ny\",\"N\":1,\"Z\":null,\"B\":\"3\","
                                     "\"bad\":\"a\\u0000b\"}"),
                               &s),
                 0);
    cr_assert_eq(s.n, 2);
    cr_assert_str_eq(s.left_out, "bad");
    cr_assert_str_eq(s.v[0].name, "A");
    cr_assert_str_eq(s.v[0].value, "x\ny");
    cr_assert_str_eq(s.v[1].value, "3");
    cr_assert(s.is_known);
    secrets_release(&s);
    cr_assert_eq(secrets_parse(SLICE("{}"), &s), 0);
    cr_assert_eq(s.n, 0);
    secrets_release(&s);
    cr_assert_lt(secrets_parse(SLICE("[]"), &s), 0);
    cr_assert_lt(secrets_parse(SLICE("\"x\""), &s), 0);
    secrets_release(&s);
}

Test(platform_reply, only_harmless_names_reach_the_environment)
{
    static const char *const good[] = {"A", "_x", "GITHUB_TOKEN", "api_key2", "PORTAL", "PATHS"};
    static const char *const bad[] = {"",
                                      "1A",
                                      "A-B",
                                      "A B",
                                      "A=B",
                                      "PATH",
                                      "LD_PRELOAD",
                                      "HOME",
                                      "MOLECULE_X",
                                      "PORT",
                                      "IFS",
                                      "HTTP_PROXY",
                                      "https_proxy",
                                      "NOTIFY_SOCKET",
                                      "\xc3\xa4",
                                      "KUBERNETES_PORT",
                                      "PYTHONBREAKPOINT",
                                      "LUA_INIT",
                                      "GIT_SSH_COMMAND",
                                      "BUN_INSPECT",
                                      "DENO_DIR",
                                      "npm_config_registry",
                                      "DOTNET_STARTUP_HOOKS",
                                      "NODE_TLS_REJECT_UNAUTHORIZED",
                                      "WORKSPACE_ID"};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        cr_assert(secret_name_is_exportable(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_not(secret_name_is_exportable(bad[i]), "%s", bad[i]);
}

Test(platform_reply, names_the_agent_does_not_get_are_listed)
{
    struct secrets s;

    cr_assert_eq(secrets_parse(SLICE("{\"PATH\":\"x\",\"GOOD\":\"y\",\"a\\nb\":\"z\"}"), &s), 0);
    cr_assert_eq(s.n, 3);
    cr_assert_eq(s.left_out_count, 2);
    cr_assert_eq(strncmp(s.left_out, "PATH, a", 7), 0, "%s", s.left_out);
    cr_assert_null(strchr(s.left_out, '\n'), "printable");
    secrets_release(&s);
}

Test(platform_reply, a_map_of_too_many_secrets_is_refused)
{
    CLEANUP(str_release) struct str json = {0};
    struct secrets s;

    str_addz(&json, "{\"a\":\"\"");
    for (int i = 1; i < SECRETS_MAX; i++)
        str_addf(&json, ",\"k%d\":\"\"", i);
    str_addz(&json, "}");
    cr_assert_eq(secrets_parse(str_slice(&json), &s), 0);
    cr_assert_eq(s.n, SECRETS_MAX);
    secrets_release(&s);
    str_truncate(&json, json.len - 1);
    str_addz(&json, ",\"a\":1}");
    cr_assert_eq(secrets_parse(str_slice(&json), &s), -E2BIG);
    cr_assert_eq(s.n, 0);
}

Test(platform_reply, tokens_are_one_printable_word)
{
    char longest[TOKEN_MAX + 2];

    memset(longest, 'a', sizeof(longest));
    cr_assert(token_is_plausible(SLICE("abc_-.~")));
    cr_assert(token_is_plausible((struct slice){longest, TOKEN_MAX}));
    cr_assert_not(token_is_plausible((struct slice){longest, TOKEN_MAX + 1}));
    cr_assert_not(token_is_plausible(SLICE("")));
    cr_assert_not(token_is_plausible(SLICE("a b")));
    cr_assert_not(token_is_plausible(SLICE("a\nX-Evil: 1")));
    cr_assert_not(token_is_plausible(SLICE("\xff")));
}
