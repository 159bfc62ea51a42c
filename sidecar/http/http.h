/*
 * The words of HTTP/1.1 that parser, server and proxy share. No behaviour.
 *
 * Source: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), and the strictness table in A section 10.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP_FIELDS_MAX = 128,       /* fields of one head; more is 431 */
    HTTP_TARGET_MAX = 16 * 1024, /* bytes of a request target; more is 414 */
    HTTP_EMPTY_LINES_MAX = 4,    /* CRLFs skipped before a request line */
    /* bytes of chunk extensions and of trailers, each, per message */
    HTTP_CHUNK_EXTRA_MAX = 4 * 1024,
    HTTP_CHUNK_HEAD_RESERVE = 20, /* bytes that frame one chunk: 16 hex digits, CRLF, CRLF */
};

enum http_method {
    HTTP_OTHER = 0,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS
};

/*
 * How the end of a body is found (RFC 9112 section 6.3). Decided in one place: http_request_parse
 * and http_response_parse.
 */
enum http_framing {
    HTTP_BODY_NONE = 0,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE
};

/* Fields that somebody here looks at; found once, by the parser. */
enum http_field_id {
    FIELD_OTHER = 0,
    FIELD_HOST,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONTENT_TYPE,
    FIELD_CONTENT_ENCODING,
    FIELD_AUTHORIZATION,
    FIELD_EXPECT,
    FIELD_UPGRADE,
    FIELD_TE,
    FIELD_TRAILER,
    FIELD_KEEP_ALIVE,
    FIELD_PROXY_CONNECTION,
    FIELD_PROXY_AUTHENTICATE,
    FIELD_PROXY_AUTHORIZATION,
    FIELD_HTTP2_SETTINGS,
    FIELD_VIA,
    FIELD_DATE,
    FIELD_SERVER,
    FIELD_CACHE_CONTROL,
    FIELD_ETAG,
    FIELD_LAST_MODIFIED,
    FIELD_ACCEPT_ENCODING,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_MODIFIED_SINCE,
    FIELD_RANGE,
    FIELD_RETRY_AFTER,
    FIELD_VARY,
    FIELD_FORWARDED,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_PROTO,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PREFIX,
    FIELD_TRACEPARENT,
    FIELD_X_REQUEST_ID,
    FIELD_COOKIE,
    FIELD_X_ACCEL_BUFFERING,
};
enum { FIELD_ID_COUNT = FIELD_X_ACCEL_BUFFERING + 1 };

struct http_field {
    struct slice name;  /* as received */
    struct slice value; /* without the blanks around it */
    enum http_field_id id;
    /* not to be forwarded: hop-by-hop by RFC 9110 section 7.6.1 or named by Connection (which
     * cannot name what A section 10.3 protects); in a request an underscore twin of a known name,
     * and Expect, which the server answers; a Content-Length that means nothing in this answer */
    bool is_hop;
};

/*
 * Where the lines of a head are. http_head_end() notes them of a head that arrived whole and is
 * clean, so that the parser need not look for them once more; they point into the caller's bytes
 * and die with them.
 */
struct http_lines {
    const char *end;                   /* of the head; NULL: nothing is noted */
    struct slice first;                /* without its end */
    const char *fields;                /* where the field lines begin */
    size_t count;                      /* of field lines, also beyond HTTP_FIELDS_MAX */
    const char *ends[HTTP_FIELDS_MAX]; /* the CR of each */
};

/*
 * Why a message was refused: the status to answer with (requests) and a sentence for the log and
 * the body.
 */
struct http_refusal {
    int status;       /* 400 408 413 414 417 431 501 505 ... ; 502 for answers of the agent */
    const char *text; /* literal */
};

const char *http_reason(int status); /* "Not Found"; "" for what we do not know */

#endif
