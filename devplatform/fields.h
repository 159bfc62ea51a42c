/*
 * Members of JSON bodies, as strictly typed as the server's decoder: null counts as absent, 1.0 and
 * "1" are no integers.
 */
#ifndef DEVPLATFORM_FIELDS_H
#define DEVPLATFORM_FIELDS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

bool fields_are_strings(struct json_object *o,
                        const char *const *names); /* each absent, null or a string */
bool fields_are_integers(struct json_object *o,
                         const char *const *names); /* each absent, null or an integer */
const char *field_text(struct json_object *o,
                       const char *name);                   /* "" when absent; borrowed from o */
int64_t field_int(struct json_object *o, const char *name); /* 0 when absent */
bool json_has_nul(
    struct json_object *o); /* U+0000 in any string or key: the database cannot store it */
/* params.message of a JSON-RPC body; NULL when it is no object. Borrowed; o may be anything */
struct json_object *body_message(struct json_object *o);
void json_add_text(struct json_object *o, const char *name,
                   const char *text); /* NULL and "" become null */

#endif
