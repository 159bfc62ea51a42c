/*
 * http_parser as it comes, with one change: it leaves HTTP when a request asks for an upgrade,
 * which a server may ignore (RFC 9110 section 7.8), and we do.
 */
#include "other_parser.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>

static int on_begin(http_parser *p)
{
    struct other_stream *s = p->data;

    s->target_n = s->body_n = 0;
    s->method[0] = '\0';
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct other_stream *s = p->data;

    memcpy(s->target + s->target_n, at, n);
    s->target_n += n;
    return 0;
}

static int on_head(http_parser *p)
{
    struct other_stream *s = p->data;

    p->upgrade = 0;
    s->minor = p->http_minor;
    (void)strcpy(s->method, http_method_str(p->method)); /* at most "UNSUBSCRIBE" */
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct other_stream *s = p->data;

    memcpy(s->body + s->body_n, at, n);
    s->body_n += n;
    return 0;
}

static int on_complete(http_parser *p)
{
    struct other_stream *s = p->data;

    s->complete++;
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void other_open(struct other_stream *s, size_t max)
{
    http_parser *p = calloc(1, sizeof(*p));

    *s = (struct other_stream){
        .method = calloc(1, 32), .target = malloc(max + 1), .body = malloc(max + 1), .parser = p};
    if (!p || !s->method || !s->target || !s->body)
        abort();
    http_parser_init(p, HTTP_REQUEST);
    p->data = s;
}

void other_close(struct other_stream *s)
{
    free(s->method);
    free(s->target);
    free(s->body);
    free(s->parser);
    *s = (struct other_stream){0};
}

void other_feed(struct other_stream *s, const char *bytes, size_t n)
{
    http_parser *p = s->parser;

    if (s->error || n == 0) /* zero bytes would be the end of the stream */
        return;
    if (http_parser_execute(p, &settings, bytes, n) != n || HTTP_PARSER_ERRNO(p) != HPE_OK)
        s->error = http_errno_name(HTTP_PARSER_ERRNO(p));
}
