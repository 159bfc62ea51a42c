/*
 * Writes JSON objects into a str: commas and quotes are its business. For status pages and our own
 * answers.
 */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct json_writer {
    struct str *out; /* borrowed */
    bool needs_comma;
};

/* key NULL inside an array or at the top. */
void json_open(struct json_writer *w, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json_writer *w, char bracket);                 /* '}' or ']' */
void json_add_text(struct json_writer *w, const char *key,
                   const char *text); /* NULL or "" become null */
void json_add_int(struct json_writer *w, const char *key, int64_t n);
void json_add_bool(struct json_writer *w, const char *key, bool on);
void json_add_number(struct json_writer *w, const char *key, double n); /* four decimals */

#endif
