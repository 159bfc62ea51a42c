#include "proxy/errors.h"

#include "base/cleanup.h"
#include "base/json_scan.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct slice id_of(const char *text)
{
    return error_find_id(slice_of(text));
}

Test(proxy_errors, finds_the_id_exactly_as_it_was_written)
{
    cr_assert(slice_eq(id_of("{\"jsonrpc\":\"2.0\",\"id\":1.0,\"method\":\"x\"}"), SLICE("1.0")));
    cr_assert(slice_eq(id_of("{\"id\" : \"a\\u0062\" , \"x\":{}}"), SLICE("\"a\\u0062\"")));
    cr_assert(slice_eq(id_of("{\"id\":null}"), SLICE("null")));
    cr_assert(slice_eq(id_of("{\"id\":123456789012345678901234567890,"),
                       SLICE("123456789012345678901234567890")));
    cr_assert(slice_eq(id_of("{\"params\":{\"id\":5},\"\\u0069d\":6}"), SLICE("6")));
}

Test(proxy_errors, finds_none_where_there_is_none_to_trust)
{
    cr_assert_eq(id_of("").n, 0);
    cr_assert_eq(id_of("[{\"id\":1}]").n, 0);
    cr_assert_eq(id_of("{\"id\":{}}").n, 0);
    cr_assert_eq(id_of("{\"id\":true}").n, 0);
    cr_assert_eq(id_of("{\"id\":12").n, 0, "a cut number is no number");
    cr_assert_eq(id_of("{\"params\":{\"id\":1}").n, 0);
    cr_assert_eq(id_of("id=1").n, 0);
}

Test(proxy_errors, a_cut_body_still_gives_its_id)
{
    char body[4096];
    int n = snprintf(body, sizeof(body),
                     "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"params\":{\"text\":\"%03000d", 0);

    cr_assert(slice_eq(error_find_id((struct slice){body, (size_t)n}), SLICE("\"q\"")));
}

Test(proxy_errors, an_id_of_unreasonable_length_is_not_echoed)
{
    char body[1024];
    int n = snprintf(body, sizeof(body), "{\"id\":\"%0300d\"}", 0);

    cr_assert_eq(error_find_id((struct slice){body, (size_t)n}).n, 0);
}

Test(proxy_errors, every_body_is_json_with_its_reason)
{
    for (int f = 0; f < FAILURE_COUNT; f++) {
        CLEANUP(str_release) struct str rpc = {0};
        CLEANUP(str_release) struct str plain = {0};
        const struct failure_answer *a = failure_answer((enum failure)f);
        struct slice value, error;

        cr_assert(a->status >= 400 && a->status <= 599);
        error_body(&rpc, (enum failure)f, NULL, true, SLICE("7"));
        cr_assert_eq(json_validate(str_slice(&rpc)), JSON_OBJECT);
        cr_assert(json_member(str_slice(&rpc), "id", &value, NULL) && slice_eq(value, SLICE("7")));
        cr_assert(json_member(str_slice(&rpc), "error", &error, NULL));
        cr_assert(json_member(error, "code", &value, NULL) && slice_eq(value, SLICE("-32603")));
        cr_assert(strstr(str_z(&rpc), a->reason) != NULL);
        error_body(&plain, (enum failure)f, "say \"this\"", false, SLICE(""));
        cr_assert_eq(json_validate(str_slice(&plain)), JSON_OBJECT);
        cr_assert(json_member(str_slice(&plain), "error", &value, NULL));
        cr_assert(json_string_eq(value, "say \"this\""));
    }
}

Test(proxy_errors, without_an_id_it_is_null)
{
    CLEANUP(str_release) struct str rpc = {0};

    error_body(&rpc, FAILURE_TIMEOUT, NULL, true, SLICE(""));
    cr_assert(strstr(str_z(&rpc), "\"id\":null") != NULL);
}

Test(proxy_errors, json_rpc_is_a_post_with_a_json_type)
{
    struct http_request rq = {.method = HTTP_POST, .field_count = 1};

    rq.fields[0] =
        (struct http_field){SLICE("content-type"), SLICE("Application/JSON ; charset=utf-8"),
                            FIELD_CONTENT_TYPE, false};
    cr_assert(error_is_json_rpc(&rq));
    rq.fields[0].value = SLICE("application/a2a+json");
    cr_assert(error_is_json_rpc(&rq));
    rq.fields[0].value = SLICE("text/plain");
    cr_assert_not(error_is_json_rpc(&rq));
    rq.fields[0].value = SLICE("application/json");
    rq.method = HTTP_PUT;
    cr_assert_not(error_is_json_rpc(&rq));
    rq.method = HTTP_POST;
    rq.field_count = 0;
    cr_assert_not(error_is_json_rpc(&rq));
}
