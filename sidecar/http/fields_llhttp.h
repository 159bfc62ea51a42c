/*
 * llhttp behind a wall: its header declares HTTP_GET and friends of its own, so only
 * fields_llhttp.c includes it. Private to http/.
 */
#ifndef HTTP_FIELDS_LLHTTP_H
#define HTTP_FIELDS_LLHTTP_H

#include "base/slice.h"

/* One field line. Slices of the input, the value maybe with blanks at its end. Return 0, or
 * non-zero to stop. */
typedef int fields_llhttp_fn(void *arg, struct slice name, struct slice value);

/*
 * Parse field lines up to and with the empty line that must be the end of `lines`. 0; 1 when fn
 * stopped it; -EBADMSG with *ret_text, a literal.
 */
int fields_llhttp(struct slice lines, fields_llhttp_fn *fn, void *arg, const char **ret_text);

#endif
