/*
 * The end of a head, its bytes and its fields. What a start line or a framing field means is
 * request.c's and response.c's business.
 */
#include "http/head.h"

#include "http/chars.h"
#include "http/field.h"
#include "http/request.h"

#include <endian.h>
#include <errno.h>
#if defined(__SSE2__) && !defined(HTTP_PLAIN_WALK) /* which tests define */
#include <emmintrin.h>
#endif

int head_refuse(struct http_refusal *why, int status, const char *text)
{
    if (why)
        *why = (struct http_refusal){.status = status, .text = text};
    return -EBADMSG;
}

/* ---- its bytes ---- */

/*
 * Which bytes of a block are below 0x20 or 0x7f: such are only at line ends. One bit for each, byte
 * i's is bit i << MARK_SHIFT or little above it; exact for all of them.
 */
#if defined(__SSE2__) && !defined(HTTP_PLAIN_WALK) /* which tests define */
enum { BLOCK = 16, MARK_SHIFT = 0 };
static uint64_t block_marks(const char *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(low, del));
}
#else
enum { BLOCK = 8, MARK_SHIFT = 3 };
static uint64_t block_marks(const char *p)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t w, x;

    memcpy(&w, p, sizeof(w));
    w = le64toh(w);
    x = w ^ (ones * 0x7f);
    return ((~((w & ~high) + ones * 0x60) & ~w) | (~((x & ~high) + ones * 0x7f) & ~x)) & high;
}
#endif

/* Of the last bytes, fewer than a block. */
static uint64_t rest_marks(const char *p, size_t n)
{
    char block[BLOCK];

    memset(block, ' ', sizeof(block));
    memcpy(block, p, n);
    return block_marks(block);
}

static int refuse_control(char c, int status, struct http_refusal *why)
{
    if (c == '\n')
        return head_refuse(why, status, "a line of the head ends with a bare LF, CRLF is needed");
    if (c == '\0')
        return head_refuse(why, status, "the head holds a NUL byte");
    return head_refuse(why, status, "the head holds a control character");
}

static void note_line(struct http_lines *lines, const char *cr)
{
    if (lines->count < HTTP_FIELDS_MAX)
        lines->ends[lines->count] = cr;
    lines->count++;
}

/* What walk_lines() has found so far. */
struct walk {
    const char *end;  /* of the bytes */
    const char *line; /* where the line at hand begins */
    int status;
    struct http_lines *ret;
    struct http_refusal *why;
};

/* The control byte at p. 0: go on; 1: the empty line ends here; -EBADMSG. */
static int walk_control(struct walk *k, const char *p)
{
    bool is_first = k->line == k->ret->first.p;

    if (*p != '\r')
        return refuse_control(*p, k->status, k->why);
    if (k->end - p < 2 || p[1] != '\n')
        return head_refuse(k->why, k->status, "a CR in the head is not followed by LF");
    if (p == k->line && !is_first) {
        k->ret->end = p + 2;
        return 1;
    }
    if (is_first) {
        k->ret->first.n = (size_t)(p - k->line);
        k->ret->fields = p + 2;
    } else if (*k->line == ' ' || *k->line == '\t') {
        return head_refuse(k->why, k->status,
                           "a header line begins with a blank (folded lines are not accepted)");
    } else {
        note_line(k->ret, p);
    }
    k->line = p + 2;
    return 0;
}

/* The lines from the front up to the first empty one: the length of it all, 0 when there is none
 * yet, or -EBADMSG. */
static long walk_lines(struct slice in, int status, struct http_lines *ret,
                       struct http_refusal *why)
{
    struct walk k = {.end = in.p + in.n, .line = in.p, .status = status, .ret = ret, .why = why};

    ret->first = (struct slice){in.p, 0};
    ret->fields = in.p;
    ret->count = 0;
    for (size_t at = 0; at < in.n; at += BLOCK) {
        const char *block = in.p + at;
        uint64_t marks = in.n - at >= BLOCK ? block_marks(block) : rest_marks(block, in.n - at);

        for (; marks; marks &= marks - 1) {
            const char *p = block + (__builtin_ctzll(marks) >> MARK_SHIFT);
            int err =
                p < k.line || *p == '\t' ? 0 : walk_control(&k, p); /* an LF is behind its CR */

            if (err)
                return err < 0 ? err : ret->end - in.p;
        }
    }
    return 0;
}

int head_check_bytes(struct slice head, int status, struct http_lines *ret,
                     struct http_refusal *why)
{
    long n = walk_lines(head, status, ret, why);

    if (n < 0)
        return (int)n;
    if (n == 0)
        return head_refuse(why, status, "the head has no empty line at its end");
    return (size_t)n == head.n ? 0 : head_refuse(why, status, "an empty line inside the head");
}

int head_lines_of(struct slice head, const struct http_lines *noted, int status,
                  struct http_lines *room, const struct http_lines **ret, struct http_refusal *why)
{
    bool is_noted = noted && noted->end == head.p + head.n && noted->first.p == head.p;

    *ret = is_noted ? noted : room;
    return is_noted ? 0 : head_check_bytes(head, status, room, why);
}

/* ---- where a head ends ---- */

static bool is_empty_line(const char *in, size_t lf)
{
    if (lf == 0 || in[lf - 1] == '\n')
        return true;
    return in[lf - 1] == '\r' && (lf == 1 || in[lf - 2] == '\n');
}

/* Nearly always all of a head is there at once, and clean: then one walk finds its end and its
 * lines.
 */
static size_t find_clean(const char *in, size_t len, struct http_lines *lines)
{
    long n;

    if (len == 0 || in[0] == '\r' || in[0] == '\n')
        return 0;
    n = walk_lines((struct slice){in, len}, 0, lines, NULL);
    return n > 0 ? (size_t)n : 0;
}

/* A bare LF ends a line here as well: such a head is found whole, and refused by the parser at once
 * instead of by a deadline later. */
size_t http_head_end(const char *in, size_t len, size_t *scanned, struct http_lines *lines)
{
    size_t lead = 0;
    size_t at;

    if (lines) {
        lines->end = NULL;
        at = *scanned == 0 ? find_clean(in, len, lines) : 0;
        if (at > 0)
            return at;
    }
    while (lead < len && (in[lead] == '\r' || in[lead] == '\n')) {
        if (++lead > 2 * HTTP_EMPTY_LINES_MAX)
            return lead; /* too many: a head that the parser refuses */
    }
    at = *scanned > lead ? *scanned : lead;
    while (at < len) {
        const char *lf = memchr(in + at, '\n', len - at);

        if (!lf)
            break;
        at = (size_t)(lf - in) + 1;
        if (is_empty_line(in, at - 1))
            return at;
    }
    *scanned = len;
    return 0;
}

/* ---- its fields ---- */

struct field_table {
    struct http_field *fields;
    size_t count;
    struct head_facts *facts;
    int status;      /* of a refusal */
    bool is_request; /* whose reader is the agent, which may be a CGI-style program */
};

static void note_field(struct head_facts *facts, struct http_field *f)
{
    switch (f->id) {
    case FIELD_HOST:
        if (!facts->host_count++)
            facts->host = f;
        break;
    case FIELD_CONTENT_LENGTH:
        if (!facts->length_count++)
            facts->length = f;
        break;
    case FIELD_TRANSFER_ENCODING:
        if (!facts->coding_count++)
            facts->coding = f;
        break;
    case FIELD_EXPECT:
        facts->expect = f;
        break;
    default: /* the others do not frame */
        break;
    }
}

/* Nearly always. */
static bool is_trimmed(struct slice s)
{
    return !s.n || ((unsigned char)s.p[0] > ' ' && (unsigned char)s.p[s.n - 1] > ' ');
}

/* Where the first colon is, or n. Eight at a time; the lowest mark is exact. */
static size_t colon_at(const char *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t w, marks;

        memcpy(&w, p + i, sizeof(w));
        w = le64toh(w) ^ (ones * ':');
        marks = (w - ones) & ~w & high;
        if (marks)
            return i + ((size_t)__builtin_ctzll(marks) >> 3);
    }
    while (i < n && p[i] != ':')
        i++;
    return i;
}

/* name ":" OWS value OWS, RFC 9112 section 5; no blank before the colon. False: it is none. The
 * bytes of a name that the table has need no second look. */
static bool split_field(struct slice line, struct http_field *ret)
{
    size_t n = colon_at(line.p, line.n);

    if (n == 0 || n == line.n)
        return false;
    ret->name = (struct slice){line.p, n++};
    ret->id = field_id(ret->name);
    if (ret->id == FIELD_OTHER && chars_span(ret->name, CHAR_TOKEN) != ret->name.n)
        return false;
    if (n < line.n && line.p[n] == ' ')
        n++;
    ret->value = (struct slice){line.p + n, line.n - n};
    if (!is_trimmed(ret->value))
        ret->value = slice_trim(ret->value);
    return true;
}

/* One line into the table. 0 or -EBADMSG. */
static int take_line(struct field_table *t, struct slice line, struct http_refusal *why)
{
    struct http_field *f = &t->fields[t->count];

    if (!split_field(line, f))
        return head_refuse(why, t->status,
                           "a header line has a bad name, a blank before its colon, or no colon");
    t->count++;
    /* RFC 9110 lets a tab stand behind a value, but not all readers trim it there */
    if (f->id == FIELD_CONTENT_LENGTH &&
        memchr(f->value.p, '\t', (size_t)(line.p + line.n - f->value.p)))
        return head_refuse(why, t->status, "Content-Length is not a plain decimal number");
    f->is_hop = field_is_hop(f->id) ||
                (t->is_request && f->id == FIELD_OTHER && field_is_underscore_twin(f->name));
    note_field(t->facts, f);
    return 0;
}

int head_fields(const struct http_lines *lines, int status, struct http_field *fields,
                size_t *ret_count, struct head_facts *facts, struct http_refusal *why)
{
    struct field_table t = {
        .fields = fields, .facts = facts, .status = status, .is_request = status == 400};
    const char *p = lines->fields;

    *facts = (struct head_facts){0};
    if (lines->count > HTTP_FIELDS_MAX)
        return head_refuse(why, t.is_request ? 431 : status, "the head has too many header lines");
    for (size_t i = 0; i < lines->count; i++) {
        const char *cr = lines->ends[i];
        int err = take_line(&t, (struct slice){p, (size_t)(cr - p)}, why);

        if (err)
            return err;
        p = cr + 2;
    }
    field_mark_connection(fields, t.count, &facts->says_close, &facts->says_keep_alive);
    *ret_count = t.count;
    return 0;
}

/* ---- values that frame ---- */

int head_length_value(struct slice s, int64_t *ret)
{
    int64_t n = 0;

    if (!s.n)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, s.p[i] - '0', &n))
            return -EINVAL;
    }
    *ret = n;
    return 0;
}

bool head_is_only_chunked(struct slice codings)
{
    return slice_eq_nocase(codings, SLICE("chunked"));
}

bool head_ends_in_chunked(struct slice codings)
{
    struct slice item;
    struct slice last = {NULL, 0};

    while (slice_next(&codings, ',', &item))
        last = item;
    return head_is_only_chunked(last);
}

int head_version(struct slice s, int *ret_major, int *ret_minor)
{
    int numbers[2] = {0, 0};
    size_t at = 5;

    if (s.n < 8 || memcmp(s.p, "HTTP/", 5) != 0)
        return -EINVAL;
    if (s.n == 8 && memcmp(s.p + 5, "1.1", 3) == 0) { /* nearly always */
        *ret_major = *ret_minor = 1;
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        size_t from = at;

        while (at < s.n && at - from < 4 && s.p[at] >= '0' && s.p[at] <= '9')
            numbers[i] = numbers[i] * 10 + (s.p[at++] - '0');
        if (at == from)
            return -EINVAL;
        if (numbers[0] == 1 && at - from != 1)
            return -EINVAL; /* "01.1", "1.10": a version that only a lenient reader knows */
        if (i == 0 && (at == s.n || s.p[at++] != '.'))
            return -EINVAL;
    }
    if (at != s.n)
        return -EINVAL;
    *ret_major = numbers[0];
    *ret_minor = numbers[1];
    return 0;
}
