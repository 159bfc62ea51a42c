/*
 * One response head of the agent, parsed whole. What is wrong with it becomes a 502.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "http/http.h"

struct http_response {
    int minor;
    int status; /* 100..599 */
    struct slice reason;
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    enum http_framing framing; /* NONE also for answers to HEAD, 1xx, 204, 304 */
    /* of the field when there is one, else -1 (HEAD and 304 pass it on) */
    int64_t content_length;
    bool is_reusable;     /* the connection may carry another request after this answer */
    bool is_event_stream; /* Content-Type: text/event-stream */
};

/*
 * Like http_request_parse; `to_head`: the request was a HEAD. 0 or -EBADMSG with *why (status 502).
 * Source: RFC 9112 sections 4-6, A section 10.4.
 */
int http_response_parse(const char *in, size_t head_len, const struct http_lines *lines,
                        bool to_head, struct http_response *ret, struct http_refusal *why);

const struct http_field *http_response_field(const struct http_response *r, enum http_field_id id);

#endif
