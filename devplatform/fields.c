/*
 * Typed access to JSON objects. What a wrong type answers is the handlers' business.
 */
#include "devplatform/fields.h"

#include <string.h>

static bool fields_are(struct json_object *o, const char *const *names, enum json_type type)
{
    for (; *names; names++) {
        struct json_object *v = json_object_object_get(o, *names);
        if (v && !json_object_is_type(v, type))
            return false;
    }
    return true;
}

bool fields_are_strings(struct json_object *o, const char *const *names)
{
    return fields_are(o, names, json_type_string);
}

bool fields_are_integers(struct json_object *o, const char *const *names)
{
    return fields_are(o, names, json_type_int);
}

const char *field_text(struct json_object *o, const char *name)
{
    struct json_object *v = json_object_object_get(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

int64_t field_int(struct json_object *o, const char *name)
{
    struct json_object *v = json_object_object_get(o, name);

    return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
}

bool json_has_nul(struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_string:
        return strlen(json_object_get_string(o)) != (size_t)json_object_get_string_len(o);
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(o); i++) {
            if (json_has_nul(json_object_array_get_idx(o, i)))
                return true;
        }
        return false;
    case json_type_object: {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            if (json_has_nul(value))
                return true;
        }
        return false;
    }
    case json_type_null:
    case json_type_boolean:
    case json_type_double:
    case json_type_int:
        return false;
    }
    return false;
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
    json_object_object_add(o, name, text && text[0] ? json_object_new_string(text) : NULL);
}

static struct json_object *member_object(struct json_object *o, const char *name)
{
    struct json_object *v =
        json_object_is_type(o, json_type_object) && o ? json_object_object_get(o, name) : NULL;

    return v && json_object_is_type(v, json_type_object) ? v : NULL;
}

struct json_object *body_message(struct json_object *o)
{
    return member_object(member_object(o, "params"), "message");
}
