/*
 * JSON of others as a json-c tree. json-c's own default of 32 levels is less than what may be
 * nested in a message, which the control socket shows and the feed takes.
 */
#ifndef BASE_JSON_READ_H
#define BASE_JSON_READ_H

#include "base/slice.h"

#include <json-c/json.h>

enum { JSON_READ_DEPTH_MAX = 128 }; /* levels: two of JSON_SCAN_DEPTH_MAX, one in the other */

/* NULL: not JSON, not whole, too deep, null, or no memory. */
struct json_object *json_read(struct slice text);

/* Of anything, NULL too. Borrowed from o: NULL when it is no object or has no such member. */
struct json_object *json_read_member(struct json_object *o, const char *name);
struct slice json_read_text(struct json_object *o); /* of a string; empty when it is none */

#endif
