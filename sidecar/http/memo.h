/*
 * A head seen before. Who keeps a connection mostly sends the same head again, byte for byte; what
 * the parser found in it the last time then holds as it stands, and nothing is looked for again.
 * Only heads that were accepted are remembered, short ones, one in each memo, and a head is parsed
 * for the memo when it comes the second time: a sender whose heads all differ pays for a copy.
 *
 * What is found points into the memo: good until the memo remembers another head, as what a parser
 * finds is good until its bytes go. Heads hold credentials: a memo belongs to one process that
 * cannot be dumped, like the buffers the head came in.
 */
#ifndef HTTP_MEMO_H
#define HTTP_MEMO_H

#include "http/request.h"
#include "http/response.h"

enum { HEAD_MEMO_MAX = 512 }; /* bytes; longer heads are not remembered */

struct head_memo { /* zeroed = empty */
    size_t n;
    bool is_parsed;
    char bytes[HEAD_MEMO_MAX];
};
void head_memo_note(struct head_memo *m, const char *head, size_t n); /* it was accepted */

struct http_request_memo {
    struct head_memo memo;
    struct http_request request;
};
/*
 * Do in[0..len) begin with the head that is remembered? Then what http_request_parse() makes of it,
 * and *ret_n, what http_head_end() makes of it. NULL: parse, then head_memo_note().
 */
const struct http_request *http_request_memo_find(struct http_request_memo *m, const char *in,
                                                  size_t len, size_t *ret_n);

struct http_response_memo { /* of answers to other requests than HEAD */
    struct head_memo memo;
    struct http_response response;
};
const struct http_response *http_response_memo_find(struct http_response_memo *m, const char *in,
                                                    size_t len, size_t *ret_n);

#endif
