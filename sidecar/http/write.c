/*
 * Putting heads together. Whoever calls decides what is in them and has checked it; a value with a
 * line end in it is dropped, not sent.
 */
#include "http/write.h"

#include "base/digits.h"

void http_put_uint(struct http_writer *w, uint64_t n)
{
    size_t count = digits_count(n);

    if (w->overflow || count > w->cap - w->len) {
        w->overflow = true;
        return;
    }
    digits_put(w->p + w->len, n, count);
    w->len += count;
}

void http_put_clean_field(struct http_writer *w, struct slice name, struct slice value)
{
    size_t need = name.n + value.n + 4;
    char *p;

    if (w->overflow || need > w->cap - w->len) {
        w->overflow = true;
        return;
    }
    p = w->p + w->len;
    copy_bytes(p, name.p, name.n);
    p += name.n;
    *p++ = ':';
    *p++ = ' ';
    copy_bytes(p, value.p, value.n);
    p += value.n;
    *p++ = '\r';
    *p = '\n';
    w->len += need;
}

void http_put_field(struct http_writer *w, struct slice name, struct slice value)
{
    if (value.n && (memchr(value.p, '\r', value.n) || memchr(value.p, '\n', value.n)))
        return; /* it would be a second header line */
    http_put_clean_field(w, name, value);
}

void http_put_status_line(struct http_writer *w, int status, struct slice reason)
{
    if (status == 200 && (!reason.n || slice_eq(reason, SLICE("OK")))) { /* nearly always */
        http_put(w, SLICE("HTTP/1.1 200 OK\r\n"));
        return;
    }
    http_put(w, SLICE("HTTP/1.1 "));
    http_put_uint(w, (uint64_t)status);
    http_put(w, SLICE(" "));
    http_put(w, reason.n ? reason : slice_of(http_reason(status)));
    http_put(w, SLICE("\r\n"));
}

void http_put_request_line(struct http_writer *w, struct slice method, struct slice target)
{
    http_put(w, method);
    http_put(w, SLICE(" "));
    http_put(w, target);
    http_put(w, SLICE(" HTTP/1.1\r\n"));
}

void http_put_end(struct http_writer *w)
{
    http_put(w, SLICE("\r\n"));
}

size_t http_chunk_head(char *out, size_t content_bytes)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 1;

    for (size_t rest = content_bytes >> 4; rest; rest >>= 4)
        n++;
    for (size_t i = n; i-- > 0; content_bytes >>= 4)
        out[i] = digits[content_bytes & 15];
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}
