/*
 * One request head, parsed whole, once its end was found. What A sections 10.1 and 10.2 refuse is
 * refused here.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "http/http.h"

struct http_request {
    enum http_method method;
    struct slice method_text;
    /* as received, byte for byte: this is what is forwarded (absolute-form: its path and query) */
    struct slice target;
    struct slice path;  /* target up to '?' */
    struct slice query; /* after '?', without it; empty when none */
    int minor;          /* 0 or 1 (1.2 and above count as 1) */
    struct slice host;  /* of Host or of the absolute target; empty only with HTTP/1.0 */
    struct http_field fields[HTTP_FIELDS_MAX]; /* in order */
    size_t field_count;
    enum http_framing framing; /* NONE, LENGTH or CHUNKED */
    int64_t content_length;    /* bytes; only with HTTP_BODY_LENGTH */
    bool keep_alive;           /* the client would like another one on this connection */
    bool expect_continue;      /* Expect: 100-continue that counts (HTTP/1.1 with a body) */
};

/*
 * Where does the head in in[0..len) end? Returns its length with the empty line, 0 while
 * incomplete. *scanned is the caller's note of how far it was looked through already (start with
 * 0), so that a head arriving byte by byte costs linear time. lines: NULL, or where to note the
 * lines for the parser (lines->end stays NULL when they were not noted).
 */
size_t http_head_end(const char *in, size_t len, size_t *scanned, struct http_lines *lines);

/*
 * Parse the head in[0..head_len), as found by http_head_end (leading empty lines included, at most
 * HTTP_EMPTY_LINES_MAX). lines: what http_head_end has noted of it, or NULL. ret's slices point
 * into `in` and die with it. 0, or -EBADMSG with *why. Never logs, allocates or blocks. Source: RFC
 * 9112 sections 2-6; A sections 10.1, 10.2, 10.5.
 */
int http_request_parse(const char *in, size_t head_len, const struct http_lines *lines,
                       struct http_request *ret, struct http_refusal *why);

/*
 * Is what has arrived so far hopeless (not HTTP at all, a TLS hello, a bare LF)? -EBADMSG with
 * *why, else 0. Cheap; called before a head is complete.
 */
int http_request_precheck(const char *in, size_t len, struct http_refusal *why);

/* the first, or NULL */
const struct http_field *http_request_field(const struct http_request *r, enum http_field_id id);
/* any name, first one; empty when absent */
struct slice http_request_value(const struct http_request *r, const char *name);

#endif
