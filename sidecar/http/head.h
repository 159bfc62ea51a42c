/*
 * What request and response heads have in common: their bytes, their lines, their fields. Private
 * to http/.
 *
 * head_check_bytes() sees to every byte and line end first, so that cutting the lines into fields
 * is short. A fuzzer holds the result to llhttp's reading of the same lines (fuzz_http_fields.c).
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/http.h"

/* Filled by head_fields(). Counts, not flags: a second Host is an error. */
struct head_facts {
    size_t host_count;
    size_t length_count;
    size_t coding_count;     /* Transfer-Encoding lines */
    struct http_field *host; /* the first of each, into the caller's table; NULL when absent */
    struct http_field *length;
    struct http_field *coding;
    struct http_field *expect;
    bool says_close;      /* Connection: close */
    bool says_keep_alive; /* Connection: keep-alive */
};

/* Store the refusal and return -EBADMSG, so that `return head_refuse(why, 400, "...")` reads well.
 * why may be NULL. */
int head_refuse(struct http_refusal *why, int status, const char *text);

/*
 * Every byte of a head with its final empty line: CRLF line ends only, no control bytes but HTAB,
 * no line that begins with a blank, no empty line but the last. 0 or -EBADMSG (status as given).
 */
int head_check_bytes(struct slice head, int status, struct http_lines *ret,
                     struct http_refusal *why);

/* The lines that http_head_end() has noted of this very head, or else head_check_bytes(). */
int head_lines_of(struct slice head, const struct http_lines *noted, int status,
                  struct http_lines *room, const struct http_lines **ret, struct http_refusal *why);

/*
 * The field lines that head_check_bytes() has found into fields[HTTP_FIELDS_MAX]: names, trimmed
 * values, ids, is_hop, and the facts. 0 or -EBADMSG; `status` is for malformed ones, too many are
 * 431 in requests (status 400), else `status`.
 */
int head_fields(const struct http_lines *lines, int status, struct http_field *fields,
                size_t *ret_count, struct head_facts *facts, struct http_refusal *why);

/* 1*DIGIT up to 2^63-1 and nothing else: 0 or -EINVAL. */
int head_length_value(struct slice s, int64_t *ret);

/* Is the last coding of the list `chunked`; is that all there is. */
bool head_is_only_chunked(struct slice codings);
bool head_ends_in_chunked(struct slice codings);

/* "HTTP/" digits "." digits, whole. 0 (a version), -EINVAL. */
int head_version(struct slice s, int *ret_major, int *ret_minor);

#endif
