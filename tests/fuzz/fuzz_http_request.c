/*
 * Request heads: never read outside, never accept what would be ambiguous, give the same answer
 * again.
 */
#include "http/memo.h"
#include "http/request.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_in(struct slice part, const char *head, size_t n)
{
    return part.n == 0 || (part.p >= head && part.p + part.n <= head + n);
}

/* Every slice points into the head; only an absolute target without a path is our own "/" or "*".
 */
static void check_slices(const struct http_request *r, const char *head, size_t n)
{
    assert(is_in(r->method_text, head, n) && is_in(r->host, head, n));
    assert(is_in(r->target, head, n) || slice_eq(r->target, SLICE("/")) ||
           slice_eq(r->target, SLICE("*")));
    assert(is_in(r->path, r->target.p, r->target.n) && is_in(r->query, r->target.p, r->target.n));
    for (size_t i = 0; i < r->field_count; i++)
        assert(is_in(r->fields[i].name, head, n) && is_in(r->fields[i].value, head, n));
}

static void check_accepted(const struct http_request *r)
{
    size_t hosts = 0, lengths = 0, codings = 0;

    assert(r->field_count <= HTTP_FIELDS_MAX && r->target.n >= 1 && r->target.n <= HTTP_TARGET_MAX);
    assert(r->path.n <= r->target.n);
    for (size_t i = 0; i < r->field_count; i++) {
        const struct http_field *f = &r->fields[i];

        assert(f->name.n > 0);
        for (size_t k = 0; k < f->value.n; k++)
            assert(f->value.p[k] == '\t' ||
                   ((unsigned char)f->value.p[k] >= 0x20 && f->value.p[k] != 0x7f));
        for (size_t k = 0; k < f->name.n; k++)
            assert((unsigned char)f->name.p[k] > 0x20 && (unsigned char)f->name.p[k] < 0x7f &&
                   f->name.p[k] != ':');
        hosts += f->id == FIELD_HOST;
        lengths += f->id == FIELD_CONTENT_LENGTH;
        codings += f->id == FIELD_TRANSFER_ENCODING;
    }
    assert(hosts <= 1 && lengths <= 1 && codings <= 1 && lengths + codings <= 1);
    assert(hosts == 1 || r->minor == 0);
    assert((r->framing == HTTP_BODY_CHUNKED) == (codings == 1));
    assert(r->framing != HTTP_BODY_LENGTH || r->content_length >= 0);
}

/* Lines noted on the way change nothing: the same verdict, the same fields. */
static void check_noted(const char *in, size_t end, const struct http_lines *lines)
{
    static struct http_request with, without;
    int rc = http_request_parse(in, end, lines, &with, NULL);

    assert(http_request_parse(in, end, NULL, &without, NULL) == rc);
    if (rc != 0)
        return;
    assert(with.field_count == without.field_count && with.framing == without.framing);
    assert(with.target.p == without.target.p && with.target.n == without.target.n);
    assert(memcmp(with.fields, without.fields, with.field_count * sizeof(with.fields[0])) == 0);
}

/* A head that comes again is found as the parser reads it. */
static void check_memo(const char *head, size_t n, const struct http_request *r)
{
    static struct http_request_memo memo;
    const struct http_request *found;
    size_t found_n = 0;

    head_memo_note(&memo.memo, head, n);
    found = http_request_memo_find(&memo, head, n, &found_n);
    assert((n <= HEAD_MEMO_MAX) == (found != NULL));
    if (!found)
        return;
    assert(found_n == n && found->field_count == r->field_count);
    assert(found->framing == r->framing && found->content_length == r->content_length);
    assert(slice_eq(found->target, r->target) && slice_eq(found->host, r->host));
    for (size_t i = 0; i < r->field_count; i++) {
        assert(slice_eq(found->fields[i].name, r->fields[i].name));
        assert(slice_eq(found->fields[i].value, r->fields[i].value));
        assert(found->fields[i].is_hop == r->fields[i].is_hop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *in = calloc(1, size ? size : 1); /* exact size */
    static struct http_request r;
    static struct http_lines lines;
    struct http_refusal why = {0};
    size_t scanned = 0, stepwise = 0, n = 0, end;

    if (!in)
        abort();
    if (size)
        memcpy(in, data, size);
    end = http_head_end(in, size, &scanned, &lines);
    if (size < 512) { /* byte by byte finds the same end */
        for (size_t have = 0; have <= size && !n; have++)
            n = http_head_end(in, have, &stepwise, NULL);
        assert(n == end);
    }
    assert(end <= size);
    if (end)
        check_noted(in, end, &lines);
    if (end) {
        char *head = malloc(end);

        if (!head)
            abort();
        memcpy(head, in, end);
        if (http_request_parse(head, end, NULL, &r, &why) == 0) {
            check_accepted(&r);
            check_slices(&r, head, end);
            check_memo(head, end, &r);
            assert(http_request_precheck(head, end, &why) == 0);
        } else {
            assert(why.status >= 400 && why.status < 600 && why.text);
        }
        for (size_t have = 0; have < end && end < 512; have++) { /* what is good has no bad start */
            if (http_request_precheck(in, have, &why) != 0)
                assert(http_request_parse(in, end, NULL, &r, &why) != 0);
        }
        free(head);
    }
    (void)http_request_precheck(in, size, &why);
    (void)http_request_parse(in, size, NULL, &r, &why); /* any length, not only a found one */
    free(in);
    return 0;
}
