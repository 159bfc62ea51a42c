/*
 * The field lines of a head as llhttp reads them, the judge of fuzz_http_fields.c. A file of its
 * own, because llhttp's header declares HTTP_GET and friends of its own.
 */
#ifndef TESTS_FUZZ_LLHTTP_FIELDS_H
#define TESTS_FUZZ_LLHTTP_FIELDS_H

#include "base/slice.h"

/* One field line. Slices of the input, the value maybe with blanks at its end. Return 0, or
 * non-zero to stop. */
typedef int llhttp_fields_fn(void *arg, struct slice name, struct slice value);

/*
 * Parse field lines up to and with the empty line that must be the end of `lines`. 0; 1 when fn
 * stopped it; -EBADMSG with *ret_text, a literal.
 */
int llhttp_fields(struct slice lines, llhttp_fields_fn *fn, void *arg, const char **ret_text);

#endif
