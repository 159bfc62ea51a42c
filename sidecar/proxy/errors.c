/*
 * Words and numbers of our own error answers. When to give one is the pump's and hold's business.
 */
#include "proxy/errors.h"

#include "base/json_scan.h"

#include "base/banned.h"

/* clang-format off: the columns are the point */
static const struct failure_answer answers[FAILURE_COUNT] = {
    [FAILURE_UNAVAILABLE] = {503, "AGENT_UNAVAILABLE", "agent_unavailable",
                             "the agent cannot be reached; it may be starting", 1, false,
                             "shed_agent_unavailable"},
    [FAILURE_LOST] =
        {502, "AGENT_CONNECTION_LOST", "connection_lost",
         "the agent ended the connection without an answer; the message may have been handled", 0,
         false, NULL},
    [FAILURE_BAD_RESPONSE] = {502, "AGENT_BAD_RESPONSE", "bad_response",
                              "the agent's answer is not valid HTTP", 0, false, NULL},
    [FAILURE_TIMEOUT] = {504, "AGENT_TIMEOUT", "timeout",
                         "the agent did not answer in time; the task may still be running", 0,
                         false, NULL},
    [FAILURE_PAUSED] = {503, "PAUSED", "paused", "the workspace is paused", 30, false, NULL},
    [FAILURE_DRAINING] = {503, "DRAINING", "draining", "this instance is shutting down; try again",
                          1, true, "shed_draining"},
    [FAILURE_OVERLOADED] = {503, "OVERLOADED", "overloaded",
                            "too many requests are waiting for the agent", 1, false,
                            "shed_overloaded"},
    [FAILURE_LOOP] = {508, "FORWARDING_LOOP", "loop",
                      "the request has passed here too often: something forwards it back to us", 0,
                      true, NULL},
    [FAILURE_HEAD_TOO_LARGE] =
        {431, "HEAD_TOO_LARGE", "head_too_large",
         "the request's head leaves no room for the fields a forwarder must add", 0, true, NULL},
    [FAILURE_FORBIDDEN] = {403, "FORBIDDEN", "forbidden",
                           "your address is not one of listen.allow_sources", 0, true, NULL},
    [FAILURE_UNAUTHORIZED] =
        {401, "UNAUTHORIZED", "unauthorized",
         "a bearer token that is known here is needed: Authorization: Bearer <token>", 0, true,
         NULL},
    [FAILURE_BAD_HOST] = {400, "BAD_HOST", "bad_host",
                          "Host is no name or address that a card could carry", 0, false, NULL},
};
/* clang-format on */

const struct failure_answer *failure_answer(enum failure f)
{
    return &answers[f];
}

bool error_is_json_rpc(const struct http_request *rq)
{
    const struct http_field *type;
    struct slice rest, media;

    if (rq->method != HTTP_POST)
        return false;
    type = http_request_field(rq, FIELD_CONTENT_TYPE);
    if (!type)
        return false;
    if (slice_eq(type->value, SLICE("application/json"))) /* nearly always */
        return true;
    rest = type->value;
    if (!slice_next(&rest, ';', &media))
        return false;
    return slice_eq_nocase(media, SLICE("application/json")) ||
           slice_eq_nocase(media, SLICE("application/a2a+json")) ||
           slice_eq_nocase(media, SLICE("application/json-rpc"));
}

struct slice error_find_id(struct slice peek)
{
    struct json_iter it;

    if (peek.n > ERROR_PEEK_BYTES)
        peek.n = ERROR_PEEK_BYTES;
    if (!json_iter_begin(&it, peek) || !it.is_object)
        return (struct slice){0};
    while (json_next(&it)) {
        if (!json_string_eq(it.key, "id"))
            continue;
        if (it.value.n > ERROR_ID_MAX ||
            (it.type != JSON_STRING && it.type != JSON_NUMBER && it.type != JSON_NULL))
            return (struct slice){0};
        return it.value;
    }
    return (struct slice){0};
}

void error_body(struct str *out, enum failure f, const char *sentence, bool is_json_rpc,
                struct slice id)
{
    const struct failure_answer *a = &answers[f];

    if (!sentence || !*sentence)
        sentence = a->sentence;
    if (is_json_rpc) {
        str_addz(out, "{\"jsonrpc\":\"2.0\",\"id\":");
        str_add(out, id.n > 0 ? id : SLICE("null"));
        str_addz(out, ",\"error\":{\"code\":-32603,\"message\":");
        str_add_json(out, slice_of(sentence));
        str_addf(out,
                 ",\"data\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
                 "\"reason\":\"%s\",\"domain\":\"molecule-sidecar\",\"metadata\":{}}]}}",
                 a->reason);
        return;
    }
    str_addz(out, "{\"error\":");
    str_add_json(out, slice_of(sentence));
    str_addf(out, ",\"reason\":\"%s\"}", a->reason);
}
