/*
 * Trust markers (P section 18): what another agent wrote is data, and stands between two lines
 * that say so. Nothing inside may look like one of them, or like another word by which a runtime
 * speaks to its agent. Pure.
 *
 *   [A2A_RESULT_FROM_PEER]
 *   text
 *   [/A2A_RESULT_FROM_PEER]
 *
 * A forged marker becomes "[/ A2A_RESULT_FROM_PEER]", a forged end "[/ /A2A_RESULT_FROM_PEER]", as
 * the platform's own runtime writes them; these two exact forms are left alone. Matching is wide:
 * any case, full-width letters, brackets that only look like brackets, HTML references (also of
 * references), and blanks, controls, zero-width and direction characters anywhere between. The
 * same holds for the other prefixes: A2A_RESULT_TO_PEER, A2A_ERROR, A2A_QUEUED.
 */
#ifndef INBOX_MARKERS_H
#define INBOX_MARKERS_H

#include "base/slice.h"
#include "base/str.h"

#include <json-c/json.h>
#include <stdbool.h>

#define MARKER_OPEN  "[A2A_RESULT_FROM_PEER]"
#define MARKER_CLOSE "[/A2A_RESULT_FROM_PEER]"

enum { MARKERS_ROUNDS_MAX = 4 }; /* one is enough; then brackets that are left become (, ) */

/* Adds text to out, without anything that could be read as a marker. */
void markers_neutralise(struct slice text, struct str *out);
/* Takes one pair off text that is exactly one pair; neutralises; puts the pair around it. */
void markers_wrap(struct slice text, struct str *out);
/*
 * A copy of o in which all strings and names are neutralised (json-c's NULL for null). false when
 * out of memory or nested too deep; *ret is NULL then.
 */
bool markers_clean_json(struct json_object *o, struct json_object **ret);

#endif
