/*
 * multipart/form-data that is wholly in memory (RFC 7578), as far as uploads need it.
 */
#ifndef DEVPLATFORM_FORMDATA_H
#define DEVPLATFORM_FORMDATA_H

#include "base/slice.h"

#include <stdbool.h>

/* One part; the slices point into the body. */
struct form_part {
    struct slice name;     /* of the field */
    struct slice filename; /* empty: an ordinary field */
    struct slice type;     /* empty: not said */
    struct slice bytes;
};

struct form {
    struct slice boundary; /* points into the Content-Type */
    struct slice rest;
    bool is_over; /* the closing boundary was read */
};

/* False: no multipart/form-data with a boundary. */
bool form_begin(struct form *f, struct slice content_type, struct slice body);
/* The next part; false at the end, or when what is left is no part (then !is_over). */
bool form_next(struct form *f, struct form_part *ret);

#endif
