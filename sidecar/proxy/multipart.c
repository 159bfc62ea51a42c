/*
 * The automaton:
 *
 *   SKIP/DATA --boundary--> AFTER --"--"--> END
 *      ^                      | CRLF
 *      +---- empty line ---- HEAD
 *
 * Content is searched for CR LF "--" boundary. CR is no character of a boundary, so a try that
 * fails can only begin anew at the byte that made it fail, and what was held back is known: it is
 * the delimiter's own beginning. That is why nothing has to be kept.
 */
#include "proxy/multipart.h"

#include <errno.h>

#include "base/banned.h"

enum {
    STATE_SKIP = 0, /* before the first boundary */
    STATE_DATA,
    STATE_AFTER,      /* behind a boundary */
    STATE_AFTER_DASH, /* behind a boundary and one '-' */
    STATE_AFTER_CR,
    STATE_HEAD,
    STATE_END,
};

/* ---- the media type ---- */

static bool is_boundary_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("'()+_,-./:=? ", c) != NULL;
}

static bool unquote_boundary(struct slice *s)
{
    if (s->n >= 2 && s->p[0] == '"' && s->p[s->n - 1] == '"') {
        s->p++;
        s->n -= 2;
    } else if (s->n > 0 && memchr(s->p, ' ', s->n)) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (!is_boundary_char(s->p[i]))
            return false;
    }
    return s->n > 0 && s->n <= MULTIPART_BOUNDARY_MAX && s->p[s->n - 1] != ' ';
}

int multipart_begin(struct multipart *m, struct slice content_type)
{
    struct slice rest = content_type;
    struct slice item, boundary = {0};

    m->delimiter_n = 0;
    m->state = STATE_SKIP;
    m->matched = 2; /* the body's beginning counts as a line's */
    m->borrowed = 2;
    m->is_inside = false;
    m->parts = 0;
    m->head_n = 0;
    if (!slice_next(&rest, ';', &item) || !slice_eq_nocase(item, SLICE("multipart/form-data")))
        return -EINVAL;
    while (slice_next(&rest, ';', &item)) {
        static const struct slice name = SLICE_INIT("boundary=");

        if (item.n < name.n || !slice_eq_nocase((struct slice){item.p, name.n}, name))
            continue;
        if (boundary.p)
            return -EINVAL; /* two: who reads which? */
        boundary = (struct slice){item.p + name.n, item.n - name.n};
        if (!unquote_boundary(&boundary))
            return -EINVAL;
    }
    if (!boundary.p)
        return -EINVAL;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.p, boundary.n);
    m->delimiter_n = 4 + boundary.n;
    return 0;
}

/* ---- a part's head ---- */

/* A token or a quoted string at the front; *ret is what it means, written to `to`. */
static bool take_value(struct slice *rest, char *to, struct slice *ret)
{
    size_t n = 0, i = 0;

    *ret = (struct slice){to, 0};
    if (rest->n == 0 || rest->p[0] != '"') {
        while (i < rest->n && rest->p[i] != ';' && rest->p[i] != ' ' && rest->p[i] != '\t' &&
               rest->p[i] != '"')
            to[n++] = rest->p[i++];
    } else {
        for (i = 1; i < rest->n && rest->p[i] != '"'; i++) {
            if (rest->p[i] == '\\' && i + 1 < rest->n &&
                (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
                i++; /* other backslashes are a Windows path's */
            to[n++] = rest->p[i];
        }
        if (i == rest->n)
            return false;
        i++;
    }
    ret->n = n;
    rest->p += i;
    rest->n -= i;
    return true;
}

static void skip_blanks(struct slice *s)
{
    while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t')) {
        s->p++;
        s->n--;
    }
}

/* form-data; name="..."; filename="..." */
static bool take_disposition(struct multipart *m, struct slice value, struct multipart_event *ret)
{
    static const struct slice word = SLICE_INIT("form-data");

    if (ret->name.p || value.n < word.n || !slice_eq_nocase((struct slice){value.p, word.n}, word))
        return false;
    value.p += word.n;
    value.n -= word.n;
    for (;;) {
        char scratch[MULTIPART_HEAD_MAX];
        struct slice key, ignored;
        size_t n = 0;

        skip_blanks(&value);
        if (value.n == 0)
            return ret->name.p != NULL;
        if (value.p[0] != ';')
            return false;
        value.p++;
        value.n--;
        skip_blanks(&value);
        while (n < value.n && value.p[n] != '=' && value.p[n] != ';')
            n++;
        if (n == 0 || n == value.n || value.p[n] != '=')
            return false;
        key = (struct slice){value.p, n};
        value.p += n + 1;
        value.n -= n + 1;
        if (slice_eq_nocase(key, SLICE("name"))) {
            if (ret->name.p || !take_value(&value, m->names[0], &ret->name))
                return false;
        } else if (slice_eq_nocase(key, SLICE("filename"))) {
            if (ret->filename.p || !take_value(&value, m->names[1], &ret->filename))
                return false;
        } else if (!take_value(&value, scratch, &ignored)) {
            return false; /* filename* has no place here: RFC 7578 section 4.2 */
        }
    }
}

static bool take_line(struct multipart *m, struct slice line, struct multipart_event *ret)
{
    const char *colon = memchr(line.p, ':', line.n);
    struct slice name, value;

    if (!colon || colon == line.p)
        return false; /* a folded line begins with a blank and is caught below */
    name = (struct slice){line.p, (size_t)(colon - line.p)};
    value = slice_trim((struct slice){colon + 1, line.n - name.n - 1});
    for (size_t i = 0; i < name.n; i++) {
        if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7F)
            return false;
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if ((c < ' ' && c != '\t') || c == 0x7F)
            return false;
    }
    if (slice_eq_nocase(name, SLICE("content-disposition")))
        return take_disposition(m, value, ret);
    if (slice_eq_nocase(name, SLICE("content-type")))
        ret->type = value;
    return true;
}

/* head[0..head_n) is whole: lines, each with CR LF, without the empty one. */
static bool take_head(struct multipart *m, struct multipart_event *ret)
{
    struct slice rest = {m->head, m->head_n};

    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = (size_t)(end - rest.p);

        if (n == 0 || end[-1] != '\r' || !take_line(m, (struct slice){rest.p, n - 1}, ret))
            return false;
        rest.p += n + 1;
        rest.n -= n + 1;
    }
    return ret->name.p != NULL;
}

/* ---- the automaton ---- */

/* Until there is something to tell. is_data: what is no delimiter is content. */
static long feed_content(struct multipart *m, struct slice in, struct multipart_event *ret)
{
    bool is_data = m->state == STATE_DATA;
    size_t i = 0;

    if (m->matched > 0) { /* a delimiter may have begun: in the last piece, or just now */
        while (i < in.n && m->matched < m->delimiter_n && in.p[i] == m->delimiter[m->matched]) {
            i++;
            m->matched++;
        }
        if (m->matched == m->delimiter_n) {
            m->matched = 0;
            m->borrowed = 0;
            m->state = STATE_AFTER;
            if (m->is_inside)
                ret->kind = MULTIPART_PART_END;
            m->is_inside = false;
            return (long)i;
        }
        if (i == in.n)
            return (long)i;
        if (is_data && m->matched > m->borrowed) {
            ret->kind = MULTIPART_DATA;
            ret->data = (struct slice){m->delimiter + m->borrowed, m->matched - m->borrowed};
        }
        m->matched = 0;
        m->borrowed = 0;
        return (long)i;
    }
    while (i < in.n && in.p[i] != '\r')
        i++;
    if (is_data && i > 0) {
        ret->kind = MULTIPART_DATA;
        ret->data = (struct slice){in.p, i};
        return (long)i;
    }
    if (i < in.n) {
        m->matched = 1;
        i++;
    }
    return (long)i;
}

static long feed_head(struct multipart *m, struct slice in, struct multipart_event *ret,
                      const char **why)
{
    for (size_t i = 0; i < in.n; i++) {
        if (m->head_n == sizeof(m->head)) {
            *why = "a part's head is larger than 4 KiB";
            return -EBADMSG;
        }
        m->head[m->head_n++] = in.p[i];
        if (in.p[i] != '\n')
            continue;
        if (m->head_n < 2 || m->head[m->head_n - 2] != '\r') {
            *why = "a line of a part's head ends without CR";
            return -EBADMSG;
        }
        if (m->head_n > 2 && m->head[m->head_n - 3] != '\n')
            continue;
        m->head_n -= 2; /* the empty line */
        if (!take_head(m, ret)) {
            *why = "a part's head is no form-data with a name";
            return -EBADMSG;
        }
        if (++m->parts > MULTIPART_PARTS_MAX) {
            *why = "more than 64 parts";
            return -EBADMSG;
        }
        ret->kind = MULTIPART_PART;
        m->is_inside = true;
        m->head_n = 0;
        m->state = STATE_DATA;
        m->matched = 2; /* a part without content may share the head's last CR LF */
        m->borrowed = 2;
        return (long)i + 1;
    }
    return (long)in.n;
}

/* The rest of a boundary's line. */
static long feed_after(struct multipart *m, char c, struct multipart_event *ret, const char **why)
{
    switch (m->state) {
    case STATE_AFTER:
        if (c == '-') {
            m->state = STATE_AFTER_DASH;
            return 1;
        }
        if (c == '\r') {
            m->state = STATE_AFTER_CR;
            return 1;
        }
        if (c == ' ' || c == '\t') /* RFC 2046: transport padding */
            return 1;
        break;
    case STATE_AFTER_DASH:
        if (c == '-') {
            m->state = STATE_END;
            ret->kind = MULTIPART_END;
            return 1;
        }
        break;
    default:
        if (c == '\n') {
            m->state = STATE_HEAD;
            return 1;
        }
        break;
    }
    *why = "a boundary is followed by something else than the end of its line";
    return -EBADMSG;
}

long multipart_feed(struct multipart *m, struct slice in, struct multipart_event *ret,
                    const char **why)
{
    size_t used = 0;

    *ret = (struct multipart_event){.kind = MULTIPART_MORE};
    while (used < in.n && ret->kind == MULTIPART_MORE) {
        struct slice rest = {in.p + used, in.n - used};
        long n;

        switch (m->state) {
        case STATE_SKIP:
        case STATE_DATA:
            n = feed_content(m, rest, ret);
            break;
        case STATE_HEAD:
            n = feed_head(m, rest, ret, why);
            break;
        case STATE_END:
            n = (long)rest.n;
            break;
        default:
            n = feed_after(m, rest.p[0], ret, why);
            break;
        }
        if (n < 0)
            return n;
        used += (size_t)n;
    }
    return (long)used;
}

bool multipart_is_complete(const struct multipart *m)
{
    return m->state == STATE_END;
}
