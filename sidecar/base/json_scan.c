/*
 * The JSON scanner. One pass, no recursion, no allocation: open containers are bits of one word.
 * Building trees is json-c's job.
 */
#include "base/json_scan.h"

#include <errno.h>
#include <stdint.h>

#include "base/banned.h"

_Static_assert(JSON_SCAN_DEPTH_MAX <= 64, "one bit of a uint64_t per open container");

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static int hex4(const char *p)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        char c = p[i];

        value *= 16;
        if (c >= '0' && c <= '9')
            value += c - '0';
        else if (c >= 'a' && c <= 'f')
            value += c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            value += c - 'A' + 10;
        else
            return -1;
    }
    return value;
}

/* All the scanners take the first byte of their token at p and return the byte behind it, NULL when
 * malformed or cut. */

static const char *scan_string(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    p++;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        size_t step;

        if (c == '"')
            return p + 1;
        if (c < 0x20)
            return NULL;
        if (c != '\\') {
            step = slice_utf8_next((struct slice){p, (size_t)(end - p)});
            if (step == 0)
                return NULL;
            p += step;
            continue;
        }
        if (end - p < 2)
            return NULL;
        switch (p[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            p += 2;
            break;
        case 'u':
            if (end - p < 6 || hex4(p + 2) < 0)
                return NULL;
            p += 6;
            break;
        default:
            return NULL;
        }
    }
    return NULL;
}

static const char *scan_digits(const char *p, const char *end)
{
    const char *from = p;

    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > from ? p : NULL;
}

static const char *scan_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p < end && *p == '0')
        p++; /* no digit may follow; the caller sees it as garbage */
    else if (!(p = scan_digits(p, end)))
        return NULL;
    if (p < end && *p == '.' && !(p = scan_digits(p + 1, end)))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(p, end);
    }
    return p;
}

static const char *scan_word(const char *p, const char *end, struct slice word)
{
    return slice_starts_with((struct slice){p, (size_t)(end - p)}, word) ? p + word.n : NULL;
}

static enum json_kind type_at(const char *p, const char *end)
{
    if (p == end)
        return JSON_BAD;
    switch (*p) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return *p == '-' || (*p >= '0' && *p <= '9') ? JSON_NUMBER : JSON_BAD;
    }
}

static const char *scan_scalar(const char *p, const char *end)
{
    switch (type_at(p, end)) {
    case JSON_STRING:
        return scan_string(p, end);
    case JSON_NUMBER:
        return scan_number(p, end);
    case JSON_TRUE:
        return scan_word(p, end, SLICE("true"));
    case JSON_FALSE:
        return scan_word(p, end, SLICE("false"));
    case JSON_NULL:
        return scan_word(p, end, SLICE("null"));
    case JSON_BAD:
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return NULL;
}

/* "key" and its colon with the blanks around; returns the first byte of the value. */
static const char *scan_key(const char *p, const char *end, struct slice *ret_key)
{
    const char *key = p;

    p = scan_string(p, end);
    if (!p)
        return NULL;
    *ret_key = (struct slice){key, (size_t)(p - key)};
    p = skip_blanks(p, end);
    if (p == end || *p != ':')
        return NULL;
    return skip_blanks(p + 1, end);
}

/* ret_count: of the values in it, itself too. */
static const char *scan_value(const char *p, const char *end, unsigned depth_max, size_t *ret_count)
{
    uint64_t objects = 0; /* bit d-1: is the container at depth d an object */
    unsigned depth = 0;
    struct slice key;

    for (;;) {
        bool is_opening = p < end && (*p == '{' || *p == '[');

        (*ret_count)++;
        if (is_opening) {
            bool is_object = *p == '{';
            char closer = is_object ? '}' : ']';

            if (depth == depth_max)
                return NULL;
            p = skip_blanks(p + 1, end);
            if (p == end)
                return NULL;
            if (*p != closer) {
                uint64_t bit = UINT64_C(1) << depth;

                objects = is_object ? objects | bit : objects & ~bit;
                depth++;
                if (is_object && !(p = scan_key(p, end, &key)))
                    return NULL;
                continue;
            }
            p++; /* empty */
        } else {
            p = scan_scalar(p, end);
            if (!p)
                return NULL;
        }
        /* A value is complete: close what ends here, or go to the next one. */
        for (;;) {
            bool in_object;

            if (depth == 0)
                return p;
            in_object = objects >> (depth - 1) & 1;
            p = skip_blanks(p, end);
            if (p == end)
                return NULL;
            if (*p == (in_object ? '}' : ']')) {
                depth--;
                p++;
                continue;
            }
            if (*p != ',')
                return NULL;
            p = skip_blanks(p + 1, end);
            if (in_object && !(p = scan_key(p, end, &key)))
                return NULL;
            break;
        }
    }
}

static enum json_kind validate(struct slice text, size_t *ret_count)
{
    const char *end, *from, *p;

    *ret_count = 0;
    if (text.n == 0)
        return JSON_BAD;
    end = text.p + text.n;
    from = skip_blanks(text.p, end);
    p = scan_value(from, end, JSON_SCAN_DEPTH_MAX, ret_count);
    if (!p || skip_blanks(p, end) != end)
        return JSON_BAD;
    return type_at(from, end);
}

enum json_kind json_validate(struct slice text)
{
    size_t count;

    return validate(text, &count);
}

size_t json_values_most(struct slice text)
{
    size_t count;

    if (validate(text, &count) != JSON_BAD)
        return count;
    count = 1;
    for (size_t i = 0; i < text.n; i++)
        count += text.p[i] == ',' || text.p[i] == '[' || text.p[i] == '{';
    return count;
}

enum json_kind json_type_of(struct slice value)
{
    const char *end;

    if (value.n == 0) /* value.p may be NULL */
        return JSON_BAD;
    end = value.p + value.n;
    return type_at(skip_blanks(value.p, end), end);
}

/*
 * The iterator's `at` is the byte that decides what comes: the opening bracket, the comma behind an
 * item, or the closing bracket; NULL once it is over.
 */
bool json_iter_begin(struct json_iter *it, struct slice value)
{
    enum json_kind type = json_type_of(value);

    *it = (struct json_iter){0};
    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return false;
    it->end = value.p + value.n;
    it->at = skip_blanks(value.p, it->end);
    it->is_object = type == JSON_OBJECT;
    return true;
}

static bool iter_stop(struct json_iter *it, bool failed)
{
    it->at = NULL;
    it->failed = failed;
    it->type = JSON_BAD;
    it->key = it->value = (struct slice){NULL, 0};
    return false;
}

bool json_next(struct json_iter *it)
{
    char closer = it->is_object ? '}' : ']';
    const char *p = it->at, *value;
    size_t count = 0;
    bool is_first;

    if (!p)
        return false;
    if (*p == closer)
        return iter_stop(it, skip_blanks(p + 1, it->end) != it->end);
    is_first = *p != ',';
    p = skip_blanks(p + 1, it->end);
    if (is_first && p < it->end && *p == closer)
        return iter_stop(it, skip_blanks(p + 1, it->end) != it->end);
    if (it->is_object && !(p = scan_key(p, it->end, &it->key)))
        return iter_stop(it, true);
    value = p;
    p = scan_value(value, it->end, JSON_SCAN_DEPTH_MAX - 1, &count); /* the container is a level */
    if (!p)
        return iter_stop(it, true);
    it->value = (struct slice){value, (size_t)(p - value)};
    it->type = type_at(value, it->end);
    p = skip_blanks(p, it->end);
    if (p == it->end || (*p != ',' && *p != closer))
        return iter_stop(it, true);
    it->at = p;
    return true;
}

bool json_member(struct slice object, const char *name, struct slice *ret_value, size_t *ret_count)
{
    struct json_iter it;
    struct slice found = {NULL, 0};
    size_t count = 0;

    if (ret_count)
        *ret_count = 0;
    if (!json_iter_begin(&it, object) || !it.is_object)
        return false;
    while (json_next(&it)) {
        if (json_string_eq(it.key, name) && count++ == 0)
            found = it.value;
    }
    if (it.failed || count == 0)
        return false;
    *ret_value = found;
    if (ret_count)
        *ret_count = count;
    return true;
}

static size_t utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/*
 * One decoded character of a scanned string's inside, *p moves behind it. Returns its bytes in out;
 * 0 for what must not be decoded: U+0000 (it would end a C string early) and half a surrogate pair
 * (it has no UTF-8).
 */
static size_t string_step(const char **p, const char *end, char out[4])
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = *p;
    size_t n;
    int code, low;

    if (*at != '\\') {
        n = slice_utf8_next((struct slice){at, (size_t)(end - at)});
        memcpy(out, at, n);
        *p = at + n;
        return n;
    }
    if (at[1] != 'u') {
        out[0] = meant[strchr(plain, at[1]) - plain];
        *p = at + 2;
        return 1;
    }
    code = hex4(at + 2);
    *p = at + 6;
    if (code <= 0 || (code >= 0xDC00 && code <= 0xDFFF))
        return 0;
    if (code < 0xD800 || code > 0xDBFF)
        return utf8_put((uint32_t)code, out);
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return 0;
    low = hex4(at + 8);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0;
    *p = at + 12;
    return utf8_put(0x10000U + ((uint32_t)(code - 0xD800) << 10) + (uint32_t)(low - 0xDC00), out);
}

/* The inside of a whole, valid string token. */
static bool string_inside(struct slice token, const char **ret_p, const char **ret_end)
{
    if (token.n < 2 || scan_string(token.p, token.p + token.n) != token.p + token.n)
        return false;
    *ret_p = token.p + 1;
    *ret_end = token.p + token.n - 1;
    return true;
}

long json_string_decode(struct slice token, char *dst, size_t cap)
{
    const char *p, *end;
    size_t len = 0;
    bool fits = cap > 0;

    if (!string_inside(token, &p, &end))
        return -EINVAL;
    while (p < end) {
        char out[4];
        size_t n = string_step(&p, end, out);

        if (n == 0)
            return -EINVAL;
        if (fits && len + n < cap)
            memcpy(dst + len, out, n);
        else
            fits = false;
        len += n;
    }
    if (!fits)
        return -E2BIG;
    dst[len] = '\0';
    return (long)len;
}

bool json_string_eq(struct slice token, const char *text)
{
    const char *p, *end;
    size_t left = strlen(text);

    if (!string_inside(token, &p, &end))
        return false;
    while (p < end) {
        char out[4];
        size_t n = string_step(&p, end, out);

        if (n == 0 || n > left || memcmp(text, out, n) != 0)
            return false;
        text += n;
        left -= n;
    }
    return left == 0;
}
