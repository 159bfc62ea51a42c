/*
 * A json-c tokener with our limit, and what its trees are asked for.
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

struct json_object *json_read_member(struct json_object *o, const char *name)
{
    struct json_object *v = NULL;

    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v)
               ? v
               : NULL;
}

struct slice json_read_text(struct json_object *o)
{
    if (!json_object_is_type(o, json_type_string))
        return (struct slice){NULL, 0};
    return (struct slice){json_object_get_string(o), (size_t)json_object_get_string_len(o)};
}
