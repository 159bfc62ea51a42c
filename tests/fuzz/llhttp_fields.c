/*
 * Field lines through llhttp, behind a start line of ours. Its ideas about framing are switched off
 * (lenient flags): what a length means is decided in request.c and response.c alone.
 */
#include "llhttp_fields.h"

#include <errno.h>
#include <llhttp.h>

static const char start_line[] = "GET / HTTP/1.1\r\n";

struct collector {
    llhttp_fields_fn *fn;
    void *arg;
    struct slice name;
    struct slice value;
    bool has_name;
    bool has_value;
    bool is_complete;
    bool is_stopped;
};

static int collector_flush(struct collector *c)
{
    if (!c->has_name)
        return 0;
    c->has_name = false;
    if (c->fn(c->arg, c->name, c->value) == 0)
        return 0;
    c->is_stopped = true;
    return HPE_USER;
}

static int on_header_field(llhttp_t *p, const char *at, size_t n)
{
    struct collector *c = p->data;
    int err = collector_flush(c);

    c->name = (struct slice){at, n};
    c->value = (struct slice){at + n, 0};
    c->has_name = true;
    c->has_value = false;
    return err;
}

static int on_header_value(llhttp_t *p, const char *at, size_t n)
{
    struct collector *c = p->data;

    if (c->has_value) /* in two pieces: only a folded line does that, and those were refused before
                       */
        return HPE_USER;
    c->value = (struct slice){at, n};
    c->has_value = true;
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct collector *c = p->data;

    if (collector_flush(c) != 0)
        return -1;
    c->is_complete = true;
    return 1; /* no body: the input ends here */
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

static const char *error_text(llhttp_errno_t err)
{
    switch (err) {
    case HPE_INVALID_HEADER_TOKEN:
        return "a header line has a bad name, a blank before its colon, no colon, or a control "
               "character";
    case HPE_INVALID_CONTENT_LENGTH:
        return "Content-Length is not a plain decimal number";
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return "Content-Length is given twice";
    case HPE_INVALID_TRANSFER_ENCODING:
        return "Transfer-Encoding does not end in chunked";
    default:
        return "a header line is malformed";
    }
}

int llhttp_fields(struct slice lines, llhttp_fields_fn *fn, void *arg, const char **ret_text)
{
    struct collector c = {.fn = fn, .arg = arg};
    llhttp_t p;
    llhttp_errno_t err;

    llhttp_init(&p, HTTP_REQUEST, &settings);
    llhttp_set_lenient_chunked_length(&p, 1);
    llhttp_set_lenient_transfer_encoding(&p, 1);
    p.data = &c;
    err = llhttp_execute(&p, start_line, sizeof(start_line) - 1);
    if (err == HPE_OK)
        err = llhttp_execute(&p, lines.p, lines.n);
    if (c.is_stopped)
        return 1;
    if (!c.is_complete || (err != HPE_OK && err != HPE_PAUSED_UPGRADE)) {
        *ret_text = error_text(err);
        return -EBADMSG;
    }
    return 0;
}
