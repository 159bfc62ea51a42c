/*
 * Heads and chunks into memory the caller has. Never allocates; running out of room is sticky and
 * told at the end.
 */
#ifndef HTTP_WRITE_H
#define HTTP_WRITE_H

#include "base/copy.h"
#include "http/http.h"

struct http_writer {
    char *p;
    size_t cap;
    size_t len;
    bool overflow;
};

/* Inlined, so that a literal becomes some moves in its place. */
static inline void http_put(struct http_writer *w, struct slice bytes)
{
    if (w->overflow || bytes.n > w->cap - w->len) {
        w->overflow = true;
        return;
    }
    copy_bytes(w->p + w->len, bytes.p, bytes.n);
    w->len += bytes.n;
}
void http_put_uint(struct http_writer *w, uint64_t n);
/* "name: value\r\n"; a value with a line end in it is dropped */
void http_put_field(struct http_writer *w, struct slice name, struct slice value);
/* The same for a value that is a literal or comes from a parsed head: nobody looks for line ends.
 */
void http_put_clean_field(struct http_writer *w, struct slice name, struct slice value);
/* "HTTP/1.1 200 OK\r\n"; empty reason: ours */
void http_put_status_line(struct http_writer *w, int status, struct slice reason);
void http_put_request_line(struct http_writer *w, struct slice method, struct slice target);
void http_put_end(struct http_writer *w); /* the empty line */

/* "1f4\r\n" into out (at least HTTP_CHUNK_HEAD_RESERVE bytes); returns its length. */
size_t http_chunk_head(char *out, size_t content_bytes);

/* An RFC 9110 date, cached for the second of wall_ms. */
struct slice http_date(int64_t wall_ms);

#endif
