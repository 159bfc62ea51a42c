/*
 * The comparison with the head before, and the one parse that a head seen twice is worth.
 */
#include "http/memo.h"

#include <string.h>

static bool is_known(const struct head_memo *m, const char *in, size_t len)
{
    return m->n > 0 && len >= m->n && memcmp(in, m->bytes, m->n) == 0;
}

void head_memo_note(struct head_memo *m, const char *head, size_t n)
{
    m->n = n <= HEAD_MEMO_MAX ? n : 0;
    m->is_parsed = false;
    memcpy(m->bytes, head, m->n);
}

const struct http_request *http_request_memo_find(struct http_request_memo *m, const char *in,
                                                  size_t len, size_t *ret_n)
{
    struct head_memo *memo = &m->memo;

    if (!is_known(memo, in, len))
        return NULL;
    if (!memo->is_parsed && http_request_parse(memo->bytes, memo->n, NULL, &m->request, NULL) != 0)
        return NULL;
    memo->is_parsed = true;
    *ret_n = memo->n;
    return &m->request;
}

const struct http_response *http_response_memo_find(struct http_response_memo *m, const char *in,
                                                    size_t len, size_t *ret_n)
{
    struct head_memo *memo = &m->memo;

    if (!is_known(memo, in, len))
        return NULL;
    if (!memo->is_parsed &&
        http_response_parse(memo->bytes, memo->n, NULL, false, &m->response, NULL) != 0)
        return NULL;
    memo->is_parsed = true;
    *ret_n = memo->n;
    return &m->response;
}
