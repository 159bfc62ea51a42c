/*
 * The JSON scanner against json-c: what json_validate() takes, json-c's strict parser must take
 * too; and walking, finding and decoding must agree with validating.
 */
#include "base/json_scan.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* json-c as strict as it gets. It wants the NUL to know that a number has ended, and takes no
 * blanks behind the value. */
static void agree_with_json_c(const char *text, size_t n)
{
    struct json_tokener *tok = json_tokener_new_ex(JSON_SCAN_DEPTH_MAX + 2);
    json_object *tree;

    MUST(tok);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    {
        char *copy = malloc(n + 1);

        MUST(copy);
        memcpy(copy, text, n);
        copy[n] = '\0';
        tree = json_tokener_parse_ex(tok, copy, (int)n + 1);
        free(copy);
    }
    MUST(json_tokener_get_error(tok) == json_tokener_success);
    json_object_put(tree);
    json_tokener_free(tok);
}

static void decode(struct slice token)
{
    char big[4096], small[8];
    long n = json_string_decode(token, big, sizeof(big)), again;

    if (n < 0)
        return;
    MUST(strlen(big) == (size_t)n);
    MUST(json_string_eq(token, big));
    again = json_string_decode(token, small, sizeof(small));
    MUST(n < (long)sizeof(small) ? again == n : again == -7 /* E2BIG */);
}

/* Each part of a valid value is a valid value. Depth is bounded by the scanner. */
static void walk(struct slice value)
{
    struct json_iter it;
    size_t members = 0, found = 0;

    if (json_type_of(value) == JSON_STRING)
        decode(value);
    if (!json_iter_begin(&it, value))
        return;
    while (json_next(&it)) {
        MUST(json_validate(it.value) == it.type);
        MUST(it.value.p >= value.p && it.value.p + it.value.n <= value.p + value.n);
        members++;
        if (it.is_object) {
            struct slice first;
            char name[64];

            decode(it.key);
            if (members <= 4 && json_string_decode(it.key, name, sizeof(name)) >= 0)
                MUST(json_member(value, name, &first, &found) && found >= 1);
        }
        if (members <= 64)
            walk(it.value);
    }
    MUST(!it.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct slice ignored;
    struct json_iter it;

    if (json_validate(text) != JSON_BAD) {
        agree_with_json_c(text.p, text.n);
        walk(text);
        return 0;
    }
    /* Malformed: everything must end, in bounds, and say so. */
    if (json_iter_begin(&it, text)) {
        while (json_next(&it))
            MUST(json_validate(it.value) != JSON_BAD);
        MUST(it.failed);
    }
    MUST(!json_member(text, "id", &ignored, NULL));
    decode(text);
    return 0;
}
