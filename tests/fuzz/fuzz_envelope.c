/*
 * Whatever a peer's request holds, the agent's request is one JSON object in which no string and
 * no name shows a marker but the pairs around texts, and nobody speaks in our name. The first byte
 * chooses the version, whether the ids stand in front of the request, each up to a NUL, and whether
 * it is the outcome of a delegation.
 */
#include "inbox/envelope.h"

#include "inbox/markers.h"
#include "inbox/row.h"
#include "marker_oracle.h"

#include <json-c/json.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_text(const char *text)
{
    size_t open = strlen(MARKER_OPEN "\n"), close = strlen("\n" MARKER_CLOSE), n = strlen(text);
    bool is_pair = n >= open + close && strncmp(text, MARKER_OPEN "\n", open) == 0 &&
                   strcmp(text + n - close, "\n" MARKER_CLOSE) == 0;
    char *copy = is_pair ? strndup(text + open, n - open - close) : strdup(text);

    MUST(copy);
    MUST(!oracle_sees(copy));
    free(copy);
}

static void check(struct json_object *o)
{
    if (json_object_is_type(o, json_type_string))
        check_text(json_object_get_string(o));
    if (json_object_is_type(o, json_type_array))
        for (size_t i = 0; i < json_object_array_length(o); i++)
            check(json_object_array_get_idx(o, i));
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, name, value)
        {
            check_text(name);
            check(value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope e = {.row_id = "row",
                         .message_id = "m",
                         .is_peer = true,
                         .has_markers = true,
                         .sender_id = "peer"};
    struct str out = {0};
    struct err err = {0};
    struct json_object *o, *message = NULL, *metadata = NULL, *sender = NULL, *params = NULL;

    if (size == 0)
        return 0;
    char *request = malloc(size);
    MUST(request);
    memcpy(request, data + 1, size - 1); /* a NUL in it ends a text: the journal's have none */
    request[size - 1] = '\0';
    e.request = request;
    e.is_1_0 = data[0] & 1;
    e.is_outcome = data[0] & 4;
    if (data[0] & 2) {
        char *end = request + size - 1;

        e.message_id = request;
        e.request += strlen(e.request) + (request + strlen(request) < end);
        e.context_id = e.request;
        e.request += strlen(e.request) + (e.request + strlen(e.request) < end);
    }
    if (envelope_write(&e, &out, &err) == 0) {
        struct json_tokener *tok = json_tokener_new_ex(2 * ROW_JSON_DEPTH_MAX);

        MUST(tok);
        o = json_tokener_parse_ex(tok, str_z(&out), (int)out.len + 1);
        json_tokener_free(tok);
        MUST(json_object_object_get_ex(o, "params", &params) &&
             json_object_object_get_ex(params, "message", &message) &&
             json_object_object_get_ex(message, "metadata", &metadata) &&
             json_object_object_get_ex(metadata, ENVELOPE_SENDER_KEY, &sender));
        check(o);
        MUST(json_object_object_get_ex(metadata, ENVELOPE_DELEGATION_KEY, NULL) == e.is_outcome);
        MUST(json_object_object_get_ex(sender, "kind", &metadata) &&
             strcmp(json_object_get_string(metadata), "peer_agent") == 0);
        json_object_put(o);
    } else {
        MUST(err.msg[0]);
    }
    str_release(&out);
    free(request);
    return 0;
}
