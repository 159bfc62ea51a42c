/*
 * Finds what can be read as a marker, and makes it harmless. Text is read in units: a character as
 * it stands or as an HTML reference; a unit has a meaning (what a reader would take it for), or is
 * one that nobody sees.
 */
#include "inbox/markers.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/banned.h"

enum {
    UNIT_UNSEEN = 0,           /* blank, control, zero-width: may stand anywhere in a marker */
    UNIT_OTHER = 1,            /* part of no marker; the meanings of all others are ASCII */
    REFERENCE_DIGITS_MAX = 24, /* of a numeric reference; leading zeros are allowed in HTML */
    REFERENCE_ROUNDS_MAX = 8,  /* of references in references */
    CLEAN_DEPTH_MAX = 64,
};

static const char *const marker_names[] = {
    "A2A_RESULT_FROM_PEER",
    "A2A_RESULT_TO_PEER",
    "A2A_ERROR",
    "A2A_QUEUED",
};
enum { MARKER_COUNT = sizeof(marker_names) / sizeof(marker_names[0]) };

/* ---- units ---- */

static bool is_between(uint32_t c, uint32_t low, uint32_t high)
{
    return c >= low && c <= high;
}

/* Blanks of all kinds, and what has no width or no glyph. */
static bool is_unseen(uint32_t c)
{
    return c <= 0x20 || is_between(c, 0x7f, 0xa0) || c == 0xad || c == 0x34f || c == 0x61c ||
           is_between(c, 0x115f, 0x1160) || c == 0x1680 || is_between(c, 0x17b4, 0x17b5) ||
           is_between(c, 0x180b, 0x180f) || is_between(c, 0x2000, 0x200f) ||
           is_between(c, 0x2028, 0x202f) || is_between(c, 0x205f, 0x206f) || c == 0x2800 ||
           c == 0x3000 || c == 0x3164 || is_between(c, 0xfe00, 0xfe0f) || c == 0xfeff ||
           c == 0xffa0 || is_between(c, 0xfff0, 0xfffb) || is_between(c, 0x1bca0, 0x1bca3) ||
           is_between(c, 0x1d173, 0x1d17a) || is_between(c, 0xe0000, 0xe0fff);
}

static const struct {
    uint32_t c;
    char meaning;
} lookalikes[] = {
    {0x2045, '['}, {0x2046, ']'}, {0x27e6, '['}, {0x27e7, ']'}, {0x2772, '['}, {0x2773, ']'},
    {0x3010, '['}, {0x3011, ']'}, {0x3014, '['}, {0x3015, ']'}, {0x3016, '['}, {0x3017, ']'},
    {0x3018, '['}, {0x3019, ']'}, {0x301a, '['}, {0x301b, ']'}, {0xfe47, '['}, {0xfe48, ']'},
    {0x2044, '/'}, {0x2215, '/'}, {0x29f8, '/'}, {0x203f, '_'}, {0xfe33, '_'}, {0xfe4d, '_'},
};

static unsigned char meaning_of(uint32_t c)
{
    if (is_unseen(c))
        return UNIT_UNSEEN;
    if (is_between(c, 0xff01, 0xff5e)) /* full width */
        c -= 0xff01 - '!';
    for (size_t i = 0; i < sizeof(lookalikes) / sizeof(lookalikes[0]); i++)
        if (lookalikes[i].c == c)
            return (unsigned char)lookalikes[i].meaning;
    if (is_between(c, 'a', 'z'))
        c -= 'a' - 'A';
    return is_between(c, '!', '~') ? (unsigned char)c : UNIT_OTHER;
}

static uint32_t decode(struct slice s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s.p;

    switch (n) {
    case 1:
        return p[0];
    case 2:
        return (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
    case 3:
        return (p[0] & 0x0fU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
    default:
        return (p[0] & 0x07U) << 18 | (p[1] & 0x3fU) << 12 | (p[2] & 0x3fU) << 6 | (p[3] & 0x3fU);
    }
}

/* Names are compared without case: "&LBRACK;" is no HTML, but a model reads it. */
static const struct {
    struct slice name;
    uint32_t c;
} references[] = {
    {SLICE_INIT("lsqb"), '['},       {SLICE_INIT("lbrack"), '['},
    {SLICE_INIT("lbrk"), '['},       {SLICE_INIT("rsqb"), ']'},
    {SLICE_INIT("rbrack"), ']'},     {SLICE_INIT("rbrk"), ']'},
    {SLICE_INIT("sol"), '/'},        {SLICE_INIT("lowbar"), '_'},
    {SLICE_INIT("underbar"), '_'},   {SLICE_INIT("nbsp"), 0xa0},
    {SLICE_INIT("shy"), 0xad},       {SLICE_INIT("zwj"), 0x200d},
    {SLICE_INIT("zwnj"), 0x200c},    {SLICE_INIT("tab"), '\t'},
    {SLICE_INIT("newline"), '\n'},   {SLICE_INIT("ensp"), 0x2002},
    {SLICE_INIT("emsp"), 0x2003},    {SLICE_INIT("thinsp"), 0x2009},
    {SLICE_INIT("lrm"), 0x200e},     {SLICE_INIT("rlm"), 0x200f},
    {SLICE_INIT("hairsp"), 0x200a},  {SLICE_INIT("numsp"), 0x2007},
    {SLICE_INIT("puncsp"), 0x2008},  {SLICE_INIT("zerowidthspace"), 0x200b},
    {SLICE_INIT("nobreak"), 0x2060},
};

static int digit_of(char c, unsigned base)
{
    int d = -1;

    if (c >= '0' && c <= '9')
        d = c - '0';
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        d = (c | 0x20) - 'a' + 10;
    return d >= 0 && (unsigned)d < base ? d : -1;
}

/* "#91" or "#x5b" at the front of s: its length, 0 if it is none. */
static size_t numeric_reference(struct slice s, uint32_t *ret)
{
    bool is_hex = s.n > 1 && (s.p[1] | 0x20) == 'x';
    size_t first = is_hex ? 2 : 1;
    size_t at = first;
    uint32_t c = 0;

    if (s.n == 0 || s.p[0] != '#')
        return 0;
    for (int d; at < s.n && at < first + REFERENCE_DIGITS_MAX &&
                (d = digit_of(s.p[at], is_hex ? 16 : 10)) >= 0;
         at++)
        c = c > 0x110000 ? c : c * (is_hex ? 16 : 10) + (uint32_t)d;
    *ret = c;
    return at > first ? at : 0;
}

static size_t named_reference(struct slice s, uint32_t *ret)
{
    for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
        struct slice name = references[i].name;

        if (s.n >= name.n && slice_eq_nocase((struct slice){s.p, name.n}, name)) {
            *ret = references[i].c;
            return name.n;
        }
    }
    return 0;
}

static struct slice rest_from(struct slice s, size_t at)
{
    return (struct slice){s.p + at, s.n - at};
}

/* "amp" or "#38" at the front of s: its length, 0 if it is neither. */
static size_t ampersand(struct slice s)
{
    uint32_t c = 0;
    size_t n = numeric_reference(s, &c);

    if (n > 0)
        return c == '&' ? n : 0;
    return s.n >= 3 && slice_eq_nocase((struct slice){s.p, 3}, SLICE("amp")) ? 3 : 0;
}

/*
 * An HTML reference at the front of s (which begins with &): its length, 0 if it is none. One of
 * "&" alone is one, too.
 */
static size_t reference(struct slice s, uint32_t *ret)
{
    size_t at = 1;
    size_t n;

    /* "&amp;#91;", "&#38;#91;": escaped once more, as often as you like */
    while ((n = ampersand(rest_from(s, at))) > 0) {
        at += n;
        at += at < s.n && s.p[at] == ';';
    }
    n = numeric_reference(rest_from(s, at), ret);
    if (n == 0)
        n = named_reference(rest_from(s, at), ret);
    if (n == 0) {
        *ret = '&';
        return at > 1 ? at : 0;
    }
    at += n;
    return at < s.n && s.p[at] == ';' ? at + 1 : at;
}

/* One unit off the front of s (not empty): its length and its meaning. */
static size_t unit(struct slice s, unsigned char *ret_meaning)
{
    uint32_t c = 0;
    size_t n = s.p[0] == '&' ? reference(s, &c) : 0;

    if (n > 0) {
        *ret_meaning = meaning_of(c);
        return n;
    }
    n = slice_utf8_next(s);
    if (n == 0) { /* no character: whoever shows it may show nothing */
        *ret_meaning = UNIT_UNSEEN;
        return 1;
    }
    *ret_meaning = meaning_of(decode(s, n));
    return n;
}

/* The next unit that is seen, from *at on; its meaning, 0 at the end. *at moves behind it. */
static unsigned char next_seen(struct slice s, size_t *at)
{
    unsigned char meaning = UNIT_UNSEEN;

    while (*at < s.n && meaning == UNIT_UNSEEN)
        *at += unit(rest_from(s, *at), &meaning);
    return meaning;
}

/* ---- markers ---- */

struct found {
    const char *name;
    bool is_close;
};

static bool match_name(struct slice s, size_t *at, const char *name)
{
    for (; *name; name++)
        if (next_seen(s, at) != (unsigned char)*name)
            return false;
    return next_seen(s, at) == ']';
}

/* The harmless forms, exactly as we write them. */
static size_t is_harmless(struct slice s)
{
    for (size_t i = 0; i < MARKER_COUNT; i++) {
        struct slice name = slice_of(marker_names[i]);
        size_t at = 3;

        if (!slice_starts_with(s, SLICE("[/ ")))
            return 0;
        at += s.n > at && s.p[at] == '/';
        if (slice_starts_with(rest_from(s, at), name) && s.n > at + name.n &&
            s.p[at + name.n] == ']')
            return at + name.n + 1;
    }
    return 0;
}

/* A marker that begins with the first unit of s: its length, 0 if there is none. */
static size_t marker_at(struct slice s, struct found *ret)
{
    size_t at = 0;

    if (next_seen((struct slice){s.p, s.n}, &at) != '[')
        return 0;
    ret->is_close = false;
    for (;;) { /* any number of slashes: who counts them? */
        size_t before = at;

        if (next_seen(s, &at) != '/') {
            at = before;
            break;
        }
        ret->is_close = true;
    }
    for (size_t i = 0; i < MARKER_COUNT; i++) {
        size_t end = at;

        if (match_name(s, &end, marker_names[i])) {
            ret->name = marker_names[i];
            return end;
        }
    }
    return 0;
}

/* One pass. true: something was replaced. */
static bool replace_all(struct slice s, bool spares_harmless, struct str *out)
{
    bool has_replaced = false;
    size_t from = 0;
    size_t at = 0;

    while (at < s.n) {
        struct slice rest = rest_from(s, at);
        struct found f = {0};
        unsigned char meaning = UNIT_OTHER;
        size_t n = unit(rest, &meaning);
        size_t harmless = meaning == '[' && spares_harmless ? is_harmless(rest) : 0;
        size_t forged = meaning == '[' && harmless == 0 ? marker_at(rest, &f) : 0;

        if (forged > 0) {
            str_add(out, (struct slice){s.p + from, at - from});
            str_addf(out, "[/ %s%s]", f.is_close ? "/" : "", f.name);
            from = at + forged;
            has_replaced = true;
        }
        at += forged > 0 ? forged : harmless > 0 ? harmless : n;
    }
    str_add(out, (struct slice){s.p + from, s.n - from});
    return has_replaced;
}

/* Never needed as far as anybody knows; no text is worth an open question. */
static void without_brackets(struct slice s, struct str *out)
{
    size_t n;

    for (size_t at = 0; at < s.n; at += n) {
        unsigned char meaning = UNIT_OTHER;

        n = unit(rest_from(s, at), &meaning);
        if (meaning == '[' || meaning == ']')
            str_addz(out, meaning == '[' ? "(" : ")");
        else
            str_add(out, (struct slice){s.p + at, n});
    }
}

/*
 * What nobody sees left out, for it may stand within a reference: "&so\u200bl;". Blanks stay: they
 * end one. true: there was some.
 */
static bool drop_unseen(struct slice s, struct str *out)
{
    size_t n, before = out->len;

    for (size_t at = 0; at < s.n; at += n) {
        n = slice_utf8_next(rest_from(s, at));
        bool is_seen = n > 0 && !is_unseen(decode(rest_from(s, at), n));

        n = n > 0 ? n : 1;
        if (is_seen || (s.p[at] && strchr(" \t\r\n", s.p[at])))
            str_add(out, (struct slice){s.p + at, n});
    }
    return out->len - before < s.n;
}

/* Every reference once replaced by what it means. true: there was one. */
static bool decode_references(struct slice s, struct str *out)
{
    bool has_some = false;
    size_t n;

    for (size_t at = 0; at < s.n; at += n) {
        uint32_t c = 0;

        n = s.p[at] == '&' ? reference(rest_from(s, at), &c) : 0;
        char meaning = (char)(n > 0 ? meaning_of(c) : 0);
        has_some |= n > 0;
        if (n == 0) {
            n = 1;
            str_add(out, (struct slice){s.p + at, 1});
        } else if (meaning != UNIT_UNSEEN) {
            str_add(out, (struct slice){&meaning, 1});
        }
    }
    return has_some;
}

/* The harmless forms left out: what looks like one later was put together by references. */
static void drop_harmless(struct slice s, struct str *out)
{
    for (size_t at = 0; at < s.n;) {
        size_t n = is_harmless(rest_from(s, at));

        str_add(out, n > 0 ? SLICE("x") : (struct slice){s.p + at, 1});
        at += n > 0 ? n : 1;
    }
}

/* "&#38;&#35;91;": references whose letters are references. */
static bool has_marker_behind_references(struct slice text)
{
    struct str now = {0};
    bool has_some = memchr(text.p ? text.p : "", '&', text.n) != NULL;
    bool is_found = false;

    if (has_some)
        drop_harmless(text, &now);
    for (int i = 0; has_some && !is_found && i < REFERENCE_ROUNDS_MAX; i++) {
        struct str seen = {0}, next = {0}, without = {0};

        has_some = drop_unseen(str_slice(&now), &seen);
        has_some |= decode_references(str_slice(&seen), &next);
        is_found = next.len > 0 && replace_all(str_slice(&next), false, &without);
        next.failed |= now.failed | seen.failed | without.failed;
        str_release(&without);
        str_release(&seen);
        str_release(&now);
        now = next;
    }
    is_found |= has_some || now.failed; /* deeper than anybody writes in good faith */
    str_release(&now);
    return is_found;
}

/* A blank behind each "&": no reference any more. */
static void without_references(struct slice s, struct str *out)
{
    for (size_t at = 0; s.p && at < s.n; at++)
        str_add(out, s.p[at] == '&' ? SLICE("& ") : (struct slice){s.p + at, 1});
}

void markers_neutralise(struct slice text, struct str *out)
{
    struct str now = {0};
    bool has_replaced = true;

    str_add(&now, text);
    for (int i = 0; has_replaced && i < MARKERS_ROUNDS_MAX && str_ok(&now); i++) {
        struct str next = {0};

        has_replaced = replace_all(str_slice(&now), true, &next);
        str_release(&now);
        now = next;
    }
    if (!str_ok(&now))
        out->failed = true;
    else if (has_replaced)
        without_brackets(str_slice(&now), out);
    else if (has_marker_behind_references(str_slice(&now)))
        without_references(str_slice(&now), out);
    else
        str_add(out, str_slice(&now));
    str_release(&now);
}

static struct slice trim_blanks(struct slice s)
{
    while (s.n > 0 && strchr(" \t\r\n", s.p[0]))
        s = rest_from(s, 1);
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool has_text(struct slice s, struct slice what)
{
    return memmem(s.p, s.n, what.p, what.n) != NULL;
}

/* Text that a runtime has wrapped already: what is inside its one pair. */
static struct slice unwrap(struct slice text)
{
    struct slice open = SLICE(MARKER_OPEN);
    struct slice close = SLICE(MARKER_CLOSE);
    struct slice s = trim_blanks(text);

    if (!slice_starts_with(s, open) || !slice_ends_with(s, close) || s.n < open.n + close.n)
        return text;
    s = (struct slice){s.p + open.n, s.n - open.n - close.n};
    if (s.n > 0 && (has_text(s, open) || has_text(s, close)))
        return text;
    return trim_blanks(s);
}

void markers_wrap(struct slice text, struct str *out)
{
    str_addz(out, MARKER_OPEN "\n");
    markers_neutralise(unwrap(text), out);
    str_addz(out, "\n" MARKER_CLOSE);
}

/* ---- JSON ---- */

static bool clean(struct json_object *o, int depth, struct json_object **ret);

static bool clean_text(struct slice text, struct json_object **ret)
{
    struct str s = {0};

    markers_neutralise(text, &s);
    *ret = str_ok(&s) && s.len <= INT32_MAX ? json_object_new_string_len(s.p ? s.p : "", (int)s.len)
                                            : NULL;
    str_release(&s);
    return *ret != NULL;
}

static bool clean_member(struct json_object *into, const char *name, struct json_object *value,
                         int depth)
{
    struct json_object *copy = NULL;
    struct str key = {0};

    markers_neutralise(slice_of(name), &key);
    bool is_good = str_ok(&key) && clean(value, depth + 1, &copy) &&
                   json_object_object_add(into, str_z(&key), copy) == 0;
    if (!is_good)
        json_object_put(copy);
    str_release(&key);
    return is_good;
}

static bool clean_object(struct json_object *o, int depth, struct json_object **ret)
{
    bool is_good = (*ret = json_object_new_object()) != NULL;

    json_object_object_foreach(o, name, value)
    {
        is_good = is_good && clean_member(*ret, name, value, depth);
    }
    return is_good;
}

static bool clean_array(struct json_object *o, int depth, struct json_object **ret)
{
    bool is_good = (*ret = json_object_new_array()) != NULL;

    for (size_t i = 0; is_good && i < json_object_array_length(o); i++) {
        struct json_object *copy = NULL;

        is_good = clean(json_object_array_get_idx(o, i), depth + 1, &copy) &&
                  json_object_array_add(*ret, copy) == 0;
        if (!is_good)
            json_object_put(copy);
    }
    return is_good;
}

static bool clean(struct json_object *o, int depth, struct json_object **ret)
{
    bool is_good;

    *ret = NULL;
    if (depth > CLEAN_DEPTH_MAX)
        return false;
    switch (json_object_get_type(o)) {
    case json_type_string:
        return clean_text(
            (struct slice){json_object_get_string(o), (size_t)json_object_get_string_len(o)}, ret);
    case json_type_object:
        is_good = clean_object(o, depth, ret);
        break;
    case json_type_array:
        is_good = clean_array(o, depth, ret);
        break;
    case json_type_null:
    case json_type_boolean:
    case json_type_double:
    case json_type_int:
    default:
        *ret = json_object_get(o);
        return true;
    }
    if (!is_good) {
        json_object_put(*ret);
        *ret = NULL;
    }
    return is_good;
}

bool markers_clean_json(struct json_object *o, struct json_object **ret)
{
    return clean(o, 0, ret);
}
