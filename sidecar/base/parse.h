/*
 * Text to numbers and back, strictly: the whole text, the range, nothing else. No locale, no
 * blanks, no sign unless it says so. All return 0, -EINVAL (not such a thing) or -ERANGE (such a
 * thing, but outside min..max).
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int parse_int64(struct slice s, int64_t min, int64_t max, int64_t *ret);
int parse_double(struct slice s, double min, double max, double *ret);
/* true false yes no on off 1 0, any case */
int parse_bool(struct slice s, bool *ret);
/* 500ms 30s 2m 1h 1d, or "0" */
int parse_duration_ms(struct slice s, int64_t min_ms, int64_t max_ms, int64_t *ret_ms);
/* 512 (bytes) 64KiB 10MiB 1GiB, 10kB 1MB */
int parse_size_bytes(struct slice s, int64_t min, int64_t max, int64_t *ret);
/* umask: 022, 0o022 */
int parse_octal(struct slice s, unsigned max, unsigned *ret);
bool is_uuid(struct slice s); /* RFC 4122 text, 36 characters, hex of any case */
void uuid_lower(char text[37]);
void uuid_make(char ret_text[37]); /* random, version 4, from getrandom(2) */

enum { FORMAT_MAX = 32 }; /* bytes that hold any result below */
/* the shortest exact form: 1500 -> "1500ms", 30000 -> "30s" */
const char *format_duration(int64_t ms, char buf[FORMAT_MAX]);
const char *format_size(int64_t bytes, char buf[FORMAT_MAX]); /* "64KiB", "1000B" */

/* Smallest edit distance below `limit`, or `limit`. For "nearest known key". */
size_t edit_distance(struct slice a, struct slice b, size_t limit);

#endif
