/*
 * A response head: its status line, and the one place where a response's framing is decided (RFC
 * 9112 section 6.3, A section 10.4). More forgiving than request.c where the agent alone is hurt,
 * and never where the next answer on the connection could be.
 */
#include "http/response.h"

#include "base/uninit.h"
#include "http/chars.h"
#include "http/head.h"

#include <errno.h>

enum { BAD = 502 }; /* the status of everything wrong with an answer */

static int parse_status_line(struct slice line, struct http_response *r, struct http_refusal *why)
{
    struct slice version = {line.p, 0};
    struct slice rest;
    int major;

    while (version.n < line.n && line.p[version.n] != ' ')
        version.n++;
    if (head_version(version, &major, &r->minor) != 0 || major != 1)
        return head_refuse(why, BAD, "the answer does not begin with HTTP/1.0 or HTTP/1.1");
    r->minor = r->minor == 0 ? 0 : 1;
    rest = (struct slice){line.p + version.n, line.n - version.n};
    if (rest.n < 4 || rest.p[0] != ' ')
        return head_refuse(why, BAD, "the answer has no status of three digits");
    r->status = 0;
    for (size_t i = 1; i < 4; i++) {
        if (rest.p[i] < '0' || rest.p[i] > '9')
            return head_refuse(why, BAD, "the answer has no status of three digits");
        r->status = r->status * 10 + (rest.p[i] - '0');
    }
    if (r->status < 100 || r->status > 599)
        return head_refuse(why, BAD, "the answer has a status below 100 or above 599");
    if (r->status == 101)
        return head_refuse(why, BAD, "the answer switches protocols, which was not asked for");
    if (rest.n > 4 && rest.p[4] != ' ')
        return head_refuse(why, BAD, "the answer has no blank after its status");
    r->reason = rest.n > 5 ? (struct slice){rest.p + 5, rest.n - 5} : (struct slice){rest.p + 4, 0};
    return 0;
}

/* The framing fields are meaningless in this answer: they must neither be believed nor forwarded.
 */
static void drop_lengths(struct http_response *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == FIELD_CONTENT_LENGTH)
            r->fields[i].is_hop = true;
    }
    r->content_length = -1;
}

static int decide_coding(struct http_response *r, const struct head_facts *facts,
                         struct http_refusal *why)
{
    if (facts->length_count) {
        drop_lengths(r); /* Transfer-Encoding wins, and the agent cannot be trusted with another
                            request on this connection */
        r->is_reusable = false;
    }
    if (r->minor == 0)
        r->is_reusable = false;
    if (facts->coding_count == 1 && head_is_only_chunked(facts->coding->value)) {
        r->framing = HTTP_BODY_CHUNKED;
        return 0;
    }
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == FIELD_TRANSFER_ENCODING && head_ends_in_chunked(r->fields[i].value))
            return head_refuse(why, BAD,
                               "the answer uses a Transfer-Encoding that was not asked for");
    }
    r->framing = HTTP_BODY_UNTIL_CLOSE;
    r->is_reusable = false;
    return 0;
}

static int decide_framing(struct http_response *r, const struct head_facts *facts, bool to_head,
                          struct http_refusal *why)
{
    bool is_bodiless = r->status < 200 || r->status == 204;

    r->content_length = -1;
    if (facts->length_count > 1)
        return head_refuse(why, BAD, "the answer has two Content-Length lines");
    if (facts->length_count && head_length_value(facts->length->value, &r->content_length) != 0)
        return head_refuse(why, BAD, "the answer's Content-Length is not a plain decimal number");
    if (is_bodiless || r->status == 304 || to_head) {
        r->framing = HTTP_BODY_NONE;
        if (is_bodiless) {
            if (facts->coding_count || r->content_length > 0)
                r->is_reusable = false; /* it may send that body all the same */
            drop_lengths(r);
        } else if (facts->coding_count && facts->length_count) {
            drop_lengths(r);
            r->is_reusable = false;
        }
        return 0;
    }
    if (facts->coding_count)
        return decide_coding(r, facts, why);
    r->framing = facts->length_count ? HTTP_BODY_LENGTH : HTTP_BODY_UNTIL_CLOSE;
    if (r->framing == HTTP_BODY_UNTIL_CLOSE)
        r->is_reusable = false;
    return 0;
}

static bool says_event_stream(const struct http_response *r)
{
    const struct http_field *type = http_response_field(r, FIELD_CONTENT_TYPE);
    struct slice rest, media;

    if (!type)
        return false;
    rest = type->value;
    if (rest.n < 17 || (rest.p[0] | 0x20) != 't') /* nearly always */
        return false;
    return slice_next(&rest, ';', &media) && slice_eq_nocase(media, SLICE("text/event-stream"));
}

int http_response_parse(const char *in, size_t head_len, const struct http_lines *lines,
                        bool to_head, struct http_response *ret, struct http_refusal *why)
{
    struct slice head = {in, head_len};
    UNINITIALIZED struct http_lines room;
    struct head_facts facts;
    int err = head_lines_of(head, lines, BAD, &room, &lines, why);

    if (!err)
        err = parse_status_line(lines->first, ret, why);
    if (err)
        return err;
    err = head_fields(lines, BAD, ret->fields, &ret->field_count, &facts, why);
    if (err)
        return err;
    ret->is_reusable = !facts.says_close && (ret->minor > 0 || facts.says_keep_alive);
    ret->is_event_stream = says_event_stream(ret);
    return decide_framing(ret, &facts, to_head, why);
}

const struct http_field *http_response_field(const struct http_response *r, enum http_field_id id)
{
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == id)
            return &r->fields[i];
    }
    return NULL;
}
