/*
 * Where a body ends and which of the bytes are content. Pure: bytes in, slices out. Strict about
 * chunks (A section 10.2).
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http/http.h"

struct http_body {
    enum http_framing framing;
    int64_t left; /* bytes of this body (LENGTH) or of this chunk (CHUNKED) still to come */
    int64_t content_bytes; /* decoded so far */
    uint32_t extra_bytes;  /* chunk extensions and trailers so far, for their caps */
    /* framing bytes beyond what content pays for, so that one-byte chunks are bounded */
    uint32_t overhead_bytes;
    uint8_t state;  /* private */
    uint8_t digits; /* private */
    bool done;      /* the end was seen */
};

/* done at once for NONE and length 0 */
void http_body_begin(struct http_body *b, enum http_framing framing, int64_t length);

/*
 * Take bytes from the front of `in`. Returns how many were used; *ret_data is the content among
 * them (a slice of `in`, maybe empty). Call again with the rest until it is empty or b->done; bytes
 * after the end are not touched. -EBADMSG with *why when malformed.
 */
long http_body_feed(struct http_body *b, struct slice in, struct slice *ret_data,
                    struct http_refusal *why);

/* Input ended. 0 when that is a complete body (done, or UNTIL_CLOSE), else -EPIPE: it was cut. */
int http_body_eof(struct http_body *b);

#endif
