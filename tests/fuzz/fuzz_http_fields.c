/*
 * Field lines: what we accept, llhttp accepts, and cuts into the same names and values. It may
 * refuse what only framing knows to be wrong (a length that is no number, or comes twice): that is
 * decided behind head_fields(), and fuzz_http_request.c looks at it.
 */
#include "http/head.h"
#include "llhttp_fields.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char start[] = "X\r\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    const struct http_field *fields;
    size_t count;
    size_t at;
};

static int on_field(void *arg, struct slice name, struct slice value)
{
    struct seen *s = arg;
    const struct http_field *f = &s->fields[s->at++];

    assert(s->at <= s->count && "llhttp sees more fields than we do");
    assert(slice_eq(f->name, name) && slice_eq(f->value, slice_trim(value)));
    return 0;
}

static bool is_about_framing(const char *text)
{
    return text && (strstr(text, "Content-Length") || strstr(text, "Transfer-Encoding"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_field fields[HTTP_FIELDS_MAX];
    size_t lead = sizeof(start) - 1;
    char *head = malloc(lead + size);
    struct seen seen = {.fields = fields};
    struct head_facts facts;
    struct http_lines lines;
    const char *text = NULL;

    if (!head)
        abort();
    memcpy(head, start, lead);
    if (size)
        memcpy(head + lead, data, size);
    if (head_check_bytes((struct slice){head, lead + size}, 400, &lines, NULL) == 0 &&
        head_fields(&lines, 400, fields, &seen.count, &facts, NULL) == 0) {
        int rc = llhttp_fields((struct slice){head + lead, size}, on_field, &seen, &text);

        assert(rc == 0 ? seen.at == seen.count : is_about_framing(text));
    }
    free(head);
    return 0;
}
