/*
 * A json-c tokener with our limit.
 */
#include "base/json_read.h"

#include <stdint.h>

#include "base/banned.h"

struct json_object *json_read(struct slice text)
{
    struct json_tokener *t = json_tokener_new_ex(JSON_READ_DEPTH_MAX);
    struct json_object *o = NULL;

    if (!t)
        return NULL;
    if (text.n > 0 && text.n < INT32_MAX)
        o = json_tokener_parse_ex(t, text.p, (int)text.n);
    if (json_tokener_get_error(t) == json_tokener_continue)
        o = json_tokener_parse_ex(t, "", 1); /* a number at the end */
    json_tokener_free(t);
    return o;
}
