/*
 * A request head: its first line, the rules that hold for requests only, and the one place where a
 * request's framing is decided. Bytes, lines and fields are head.c's; bodies are body.c's.
 */
#include "http/request.h"

#include "base/uninit.h"
#include "http/chars.h"
#include "http/head.h"

#include <errno.h>

/* ---- before the head is complete ---- */

/* Empty lines in front, the request line, the fields, the end: the most a good head can have. */
enum { LINES_MAX = HTTP_EMPTY_LINES_MAX + 1 + HTTP_FIELDS_MAX + 1 };

int http_request_precheck(const char *in, size_t len, struct http_refusal *why)
{
    size_t at = 0, lines = 0;
    const char *lf, *p;

    while (at < len && (in[at] == '\r' || in[at] == '\n'))
        at++;
    if (at > 2 * HTTP_EMPTY_LINES_MAX)
        return head_refuse(why, 400, "too many empty lines before the request");
    if (at < len && in[at] == 0x16)
        return head_refuse(why, 400,
                           "this is a TLS hello, and this port speaks plain HTTP: use http://");
    if (at < len && !char_is(in[at], CHAR_TOKEN))
        return head_refuse(why, 400, "this is not an HTTP request");
    if (memchr(in, '\0', len))
        return head_refuse(why, 400, "the head holds a NUL byte");
    for (p = in; (lf = memchr(p, '\n', len - (size_t)(p - in))) != NULL; p = lf + 1) {
        if (lf == in || lf[-1] != '\r')
            return head_refuse(why, 400, "a line of the head ends with a bare LF, CRLF is needed");
        if (++lines > LINES_MAX) /* now: a look at 20,000 short lines for each byte that comes costs
                                    us more than the byte costs its sender */
            return head_refuse(why, 431, "the head has too many header lines");
    }
    for (p = in; (p = memchr(p, '\r', len - (size_t)(p - in))) != NULL; p++) {
        if (p + 1 < in + len && p[1] != '\n')
            return head_refuse(why, 400, "a CR in the head is not followed by LF");
    }
    if (len - at > HTTP_TARGET_MAX + 512 && !memchr(in + at, '\n', len - at))
        return head_refuse(why, 414, "the request target is too long");
    return 0;
}

/* ---- method SP target SP version ---- */

static enum http_method method_of(struct slice m)
{
    static const struct {
        struct slice text;
        enum http_method method;
    } known[] = {
        {{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST},     {{"HEAD", 4}, HTTP_HEAD},
        {{"PUT", 3}, HTTP_PUT},         {{"DELETE", 6}, HTTP_DELETE}, {{"PATCH", 5}, HTTP_PATCH},
        {{"OPTIONS", 7}, HTTP_OPTIONS},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (m.n == known[i].text.n && memcmp(m.p, known[i].text.p, m.n) == 0)
            return known[i].method;
    }
    return HTTP_OTHER;
}

static bool is_one_of(struct slice s, struct slice a, struct slice b)
{
    return slice_eq(s, a) || slice_eq(s, b);
}

/* Cut the line in three; each part is looked at later. Exactly one blank between them. */
static int split_line(struct slice line, struct http_request *r, struct slice *ret_version,
                      struct http_refusal *why)
{
    struct slice rest = line;
    const char *blank;

    r->method_text = (struct slice){rest.p, chars_span(rest, CHAR_TOKEN)};
    if (!r->method_text.n || r->method_text.n == rest.n || rest.p[r->method_text.n] != ' ')
        return head_refuse(why, 400, "the request line does not begin with a method and one blank");
    rest.p += r->method_text.n + 1;
    rest.n -= r->method_text.n + 1;
    blank = memchr(rest.p, ' ', rest.n);
    if (!blank)
        return head_refuse(why, 400, "the request line has no HTTP version");
    r->target = (struct slice){rest.p, (size_t)(blank - rest.p)};
    *ret_version = (struct slice){blank + 1, rest.n - r->target.n - 1};
    if (!r->target.n)
        return head_refuse(why, 400, "the request line has no target, or two blanks");
    return 0;
}

static int check_version(struct slice version, struct http_request *r, struct http_refusal *why)
{
    int major, minor;

    if (head_version(version, &major, &minor) != 0)
        return head_refuse(why, 400, "the request line does not end in HTTP/1.0 or HTTP/1.1");
    if (major != 1)
        return head_refuse(why, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    r->minor = minor == 0 ? 0 : 1;
    return 0;
}

/* ---- the target and the authority ---- */

static bool port_is_valid(struct slice s)
{
    unsigned n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (unsigned)(s.p[i] - '0');
        if (n > 65535)
            return false;
    }
    return true; /* empty is allowed: RFC 3986 section 3.2.3 */
}

static bool ip_literal_is_valid(struct slice s)
{
    if (s.n < 2)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!char_is(s.p[i], CHAR_HEX) && s.p[i] != ':' && s.p[i] != '.')
            return false;
    }
    return true;
}

static bool percents_are_valid(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' &&
            (s.n - i < 3 || !char_is(s.p[i + 1], CHAR_HEX) || !char_is(s.p[i + 2], CHAR_HEX)))
            return false;
    }
    return true;
}

/* uri-host [ ":" port ], not empty, no user. */
static bool authority_is_valid(struct slice s)
{
    struct slice host;

    if (s.n && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.n);

        if (!close || !ip_literal_is_valid((struct slice){s.p + 1, (size_t)(close - s.p) - 1}))
            return false;
        host.n = (size_t)(close - s.p) + 1;
    } else {
        host = (struct slice){s.p, chars_span(s, CHAR_HOST)};
        if (!host.n || !percents_are_valid(host))
            return false;
    }
    if (host.n == s.n)
        return true;
    return s.p[host.n] == ':' && port_is_valid((struct slice){s.p + host.n + 1, s.n - host.n - 1});
}

/* absolute-form: its authority counts instead of Host, its path and query are the target (RFC 9112
 * section 3.2.2). */
static int take_absolute(struct http_request *r, struct http_refusal *why)
{
    struct slice t = r->target;
    size_t scheme = 0;
    size_t n = 0;

    if (t.n > 7 && slice_eq_nocase((struct slice){t.p, 7}, SLICE("http://")))
        scheme = 7;
    else if (t.n > 8 && slice_eq_nocase((struct slice){t.p, 8}, SLICE("https://")))
        scheme = 8;
    else
        return head_refuse(why, 400, "the request target is neither a path nor an http URL");
    t.p += scheme;
    t.n -= scheme;
    while (n < t.n && t.p[n] != '/' && t.p[n] != '?')
        n++;
    r->host = (struct slice){t.p, n};
    if (!authority_is_valid(r->host))
        return head_refuse(why, 400, "the request target has an invalid host");
    r->target = (struct slice){t.p + n, t.n - n};
    if (!r->target.n)
        r->target = r->method == HTTP_OPTIONS ? SLICE("*") : SLICE("/");
    else if (r->target.p[0] == '?')
        return head_refuse(why, 400, "the request target has a query but no path");
    return 0;
}

static int check_target(struct http_request *r, struct http_refusal *why)
{
    const char *mark;
    int err = 0;

    if (r->target.n > HTTP_TARGET_MAX)
        return head_refuse(why, 414, "the request target is too long");
    if (chars_span(r->target, CHAR_TARGET) != r->target.n)
        return head_refuse(why, 400,
                           "the request target holds a blank, a fragment, or a character that must "
                           "be percent-encoded");
    if (slice_eq(r->target, SLICE("*"))) {
        if (r->method != HTTP_OPTIONS)
            return head_refuse(why, 400, "the request target * goes with OPTIONS only");
    } else if (r->target.p[0] != '/') {
        err = take_absolute(r, why);
    }
    if (err)
        return err;
    mark = memchr(r->target.p, '?', r->target.n);
    r->path = r->target;
    r->query = (struct slice){NULL, 0};
    if (mark) {
        r->path.n = (size_t)(mark - r->target.p);
        r->query = (struct slice){mark + 1, r->target.n - r->path.n - 1};
    }
    return 0;
}

static int parse_line(struct slice line, struct http_request *r, struct http_refusal *why)
{
    struct slice version = {0};
    int err = split_line(line, r, &version, why);

    if (!err)
        err = check_version(version, r, why);
    if (err)
        return err;
    if (is_one_of(r->method_text, SLICE("CONNECT"), SLICE("TRACE")))
        return head_refuse(why, 405, "CONNECT and TRACE are not served here");
    r->method = method_of(r->method_text);
    return check_target(r, why);
}

/* ---- what the fields decide ---- */

static int check_host(struct http_request *r, const struct head_facts *facts,
                      struct http_refusal *why)
{
    if (facts->host_count > 1)
        return head_refuse(why, 400, "Host is given twice");
    if (!facts->host_count)
        return r->minor == 0 ? 0 : head_refuse(why, 400, "Host is missing");
    if (!authority_is_valid(facts->host->value) && !(r->minor == 0 && !facts->host->value.n))
        return head_refuse(why, 400, "Host is not a valid host and port");
    if (r->host.p)
        facts->host->value = r->host; /* the absolute target wins, also in what is forwarded */
    else
        r->host = facts->host->value;
    return 0;
}

/* RFC 9112 section 6.3, with nothing left to interpretation: what two readers could read in two
 * ways is refused. */
static int decide_framing(struct http_request *r, const struct head_facts *facts,
                          struct http_refusal *why)
{
    r->framing = HTTP_BODY_NONE;
    r->content_length = 0;
    if (facts->coding_count && facts->length_count)
        return head_refuse(why, 400, "Content-Length and Transfer-Encoding are both given");
    if (facts->coding_count && r->minor == 0)
        return head_refuse(why, 400, "Transfer-Encoding in an HTTP/1.0 request");
    if (facts->coding_count > 1)
        return head_refuse(why, 501,
                           "Transfer-Encoding is given twice; one `chunked` is understood");
    if (facts->coding_count && head_is_only_chunked(facts->coding->value)) {
        r->framing = HTTP_BODY_CHUNKED;
        return 0;
    }
    if (facts->coding_count)
        return head_ends_in_chunked(facts->coding->value)
                   ? head_refuse(why, 501, "Transfer-Encoding is not a single `chunked`")
                   : head_refuse(why, 400, "Transfer-Encoding does not end in `chunked`");
    if (facts->length_count > 1)
        return head_refuse(why, 400, "Content-Length is given twice");
    if (facts->length_count) {
        if (head_length_value(facts->length->value, &r->content_length) != 0)
            return head_refuse(why, 400, "Content-Length is not a plain decimal number");
        r->framing = HTTP_BODY_LENGTH;
    }
    return 0;
}

/* The server answers Expect itself (A section 10.5, design B), so it is not forwarded. */
static int check_expect(struct http_request *r, const struct head_facts *facts,
                        struct http_refusal *why)
{
    r->expect_continue = false;
    if (!facts->expect)
        return 0;
    for (size_t i = 0; i < r->field_count; i++) {
        struct http_field *f = &r->fields[i];

        if (f->id != FIELD_EXPECT)
            continue;
        f->is_hop = true;
        if (r->minor > 0 && !slice_eq_nocase(f->value, SLICE("100-continue")))
            return head_refuse(why, 417, "the only expectation understood is 100-continue");
    }
    r->expect_continue = r->minor > 0 && (r->framing == HTTP_BODY_CHUNKED || r->content_length > 0);
    return 0;
}

int http_request_parse(const char *in, size_t head_len, const struct http_lines *lines,
                       struct http_request *ret, struct http_refusal *why)
{
    struct slice head = {in, head_len};
    UNINITIALIZED struct http_lines room;
    struct head_facts facts;
    int err;

    for (int i = 0; i < HTTP_EMPTY_LINES_MAX && slice_starts_with(head, SLICE("\r\n")); i++) {
        head.p += 2;
        head.n -= 2;
    }
    if (head.n && (head.p[0] == '\r' || head.p[0] == '\n'))
        return head_refuse(why, 400, "bad or too many line ends before the request");
    err = head_lines_of(head, lines, 400, &room, &lines, why);
    if (err)
        return err;
    ret->host = (struct slice){NULL, 0};
    err = parse_line(lines->first, ret, why);
    if (err)
        return err;
    err = head_fields(lines, 400, ret->fields, &ret->field_count, &facts, why);
    if (!err)
        err = check_host(ret, &facts, why);
    if (!err)
        err = decide_framing(ret, &facts, why);
    if (!err)
        err = check_expect(ret, &facts, why);
    if (err)
        return err;
    ret->keep_alive = !facts.says_close && (ret->minor > 0 || facts.says_keep_alive);
    return 0;
}

/* ---- looking things up ---- */

const struct http_field *http_request_field(const struct http_request *r, enum http_field_id id)
{
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == id)
            return &r->fields[i];
    }
    return NULL;
}

struct slice http_request_value(const struct http_request *r, const char *name)
{
    struct slice wanted = slice_of(name);

    for (size_t i = 0; i < r->field_count; i++) {
        if (slice_eq_nocase(r->fields[i].name, wanted))
            return r->fields[i].value;
    }
    return (struct slice){NULL, 0};
}
