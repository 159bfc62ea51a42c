/*
 * A JSON token scanner that finds values by offset, so that bytes can be cut and replaced without
 * touching anything else (json-c changes big numbers and drops equal keys). It validates as it
 * goes: RFC 8259, UTF-8, no trailing bytes, JSON_SCAN_DEPTH_MAX levels. Never allocates.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { JSON_SCAN_DEPTH_MAX = 64 };

enum json_kind {
    JSON_BAD = 0,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* Walk the members of an object or the elements of an array. */
struct json_iter {
    const char *at;  /* private */
    const char *end; /* private */
    bool is_object;
    bool failed;        /* set when the text is malformed; json_next returned false */
    struct slice key;   /* raw token with quotes (objects) */
    struct slice value; /* raw token, exactly its bytes in the input */
    enum json_kind type;
};

/* whole text is one value (blanks around allowed); JSON_BAD if not */
enum json_kind json_validate(struct slice text);
/*
 * No parser can make more values of text than this says: for valid text their number (keys are
 * none), for any other one more than it has commas and opening brackets.
 */
size_t json_values_most(struct slice text);
enum json_kind json_type_of(struct slice value);
bool json_iter_begin(struct json_iter *it, struct slice value); /* false unless object or array */
bool json_next(struct json_iter *it);

/*
 * Member of an object by decoded name; the FIRST one; *ret_count (may be NULL) says how many have
 * that name. false when absent.
 */
bool json_member(struct slice object, const char *name, struct slice *ret_value, size_t *ret_count);

/*
 * Decode a string token (with quotes) into dst (NUL-terminated). Returns its length, -EINVAL,
 * -E2BIG if it does not fit cap. U+0000 is -EINVAL.
 */
long json_string_decode(struct slice token, char *dst, size_t cap);
bool json_string_eq(struct slice token, const char *text);

#endif
