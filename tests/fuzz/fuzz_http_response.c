/*
 * Response heads: never read outside, and only one way to frame what was accepted.
 */
#include "http/memo.h"
#include "http/request.h"
#include "http/response.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A head that comes again is found as the parser reads it. */
static void check_memo(const char *head, size_t n, const struct http_response *r)
{
    static struct http_response_memo memo;
    const struct http_response *found;
    size_t found_n = 0;

    head_memo_note(&memo.memo, head, n);
    found = http_response_memo_find(&memo, head, n, &found_n);
    assert((n <= HEAD_MEMO_MAX) == (found != NULL));
    assert(!found ||
           (found_n == n && found->field_count == r->field_count && found->framing == r->framing &&
            found->status == r->status && found->content_length == r->content_length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_response r;
    static struct http_lines lines;
    struct http_refusal why = {0};
    size_t scanned = 0, stepwise = 0, found = 0, n;
    char *in = calloc(1, size ? size : 1); /* exact size */

    if (!in)
        abort();
    if (size)
        memcpy(in, data, size);
    n = http_head_end(in, size, &scanned, &lines);
    assert(n <= size);
    if (size < 512) { /* byte by byte finds the same end */
        for (size_t have = 0; have <= size && !found; have++)
            found = http_head_end(in, have, &stepwise, NULL);
        assert(found == n);
    }
    if (n && http_response_parse(in, n, &lines, false, &r, &why) == 0)
        check_memo(in, n, &r);
    for (int to_head = 0; to_head < 2; to_head++) {
        int rc = http_response_parse(in, n ? n : size, NULL, to_head, &r, &why);

        /* lines noted on the way change nothing */
        assert(!n || http_response_parse(in, n, &lines, to_head, &r, NULL) == rc);
        if (rc != 0) {
            assert(why.status == 502 && why.text);
            continue;
        }
        for (size_t i = 0; i < r.field_count; i++) {
            const struct http_field *f = &r.fields[i];

            assert(f->name.n > 0 && f->name.p > in && f->name.p + f->name.n < in + size);
            assert(f->value.n == 0 || (f->value.p > in && f->value.p + f->value.n < in + size));
            assert(!memchr(f->value.p ? f->value.p : "", '\n', f->value.n));
        }
        assert(r.status >= 100 && r.status <= 599 && r.status != 101 &&
               r.field_count <= HTTP_FIELDS_MAX);
        assert(r.framing != HTTP_BODY_LENGTH || r.content_length >= 0);
        assert(r.framing != HTTP_BODY_UNTIL_CLOSE || !r.is_reusable);
        assert(!(to_head || r.status < 200 || r.status == 204 || r.status == 304) ||
               r.framing == HTTP_BODY_NONE);
    }
    free(in);
    return 0;
}
