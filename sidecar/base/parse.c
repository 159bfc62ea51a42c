/*
 * Strict numbers from text. What a value means, and the sentence when it is wrong, belong to the
 * caller (config knows key and place).
 */
#include "base/parse.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Leading decimal digits of *s, which moves behind them. 0, -EINVAL (none), -ERANGE (digits that do
 * not fit; all are skipped). */
static int take_digits(struct slice *s, int64_t *ret)
{
    int64_t value = 0;
    int rc = 0;
    size_t i = 0;

    for (; i < s->n && is_digit(s->p[i]); i++) {
        if (rc == 0 && (__builtin_mul_overflow(value, 10, &value) ||
                        __builtin_add_overflow(value, s->p[i] - '0', &value)))
            rc = -ERANGE;
    }
    if (i == 0)
        return -EINVAL;
    s->p += i;
    s->n -= i;
    *ret = value;
    return rc;
}

static int in_range(int64_t value, int64_t min, int64_t max, int64_t *ret)
{
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_int64(struct slice s, int64_t min, int64_t max, int64_t *ret)
{
    bool is_negative = s.n > 0 && s.p[0] == '-';
    int64_t value = 0;
    int rc;

    if (is_negative) {
        s.p++;
        s.n--;
    }
    rc = take_digits(&s, &value);
    if (rc == -EINVAL || s.n > 0)
        return -EINVAL;
    if (rc < 0)
        return rc;
    return in_range(is_negative ? -value : value, min, max, ret);
}

/* [-]digits[.digits][e[+-]digits], so that strtod never sees "inf", "0x1p3" or blanks. */
static bool looks_like_double(struct slice s)
{
    int64_t ignored;

    if (s.n > 0 && s.p[0] == '-') {
        s.p++;
        s.n--;
    }
    if (take_digits(&s, &ignored) == -EINVAL)
        return false;
    if (s.n > 0 && s.p[0] == '.') {
        s.p++;
        s.n--;
        if (take_digits(&s, &ignored) == -EINVAL)
            return false;
    }
    if (s.n > 0 && (s.p[0] == 'e' || s.p[0] == 'E')) {
        s.p++;
        s.n--;
        if (s.n > 0 && (s.p[0] == '+' || s.p[0] == '-')) {
            s.p++;
            s.n--;
        }
        if (take_digits(&s, &ignored) == -EINVAL)
            return false;
    }
    return s.n == 0;
}

int parse_double(struct slice s, double min, double max, double *ret)
{
    char text[64]; /* longer numbers are typing errors */
    double value;

    if (s.n >= sizeof(text) || !looks_like_double(s))
        return -EINVAL;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    value = strtod(text, NULL);
    if (!isfinite(value) || value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_bool(struct slice s, bool *ret)
{
    static const struct {
        struct slice word;
        bool value;
    } words[] = {
        {SLICE_INIT("true"), true}, {SLICE_INIT("yes"), true},    {SLICE_INIT("on"), true},
        {SLICE_INIT("1"), true},    {SLICE_INIT("false"), false}, {SLICE_INIT("no"), false},
        {SLICE_INIT("off"), false}, {SLICE_INIT("0"), false},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_eq_nocase(s, words[i].word)) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

struct unit {
    struct slice name;
    int64_t factor;
};

/* Digits and one of the units; largest unit first in the table, for format_with_units. */
static int parse_with_units(struct slice s, const struct unit *units, size_t count, int64_t *ret)
{
    int64_t value = 0;
    int rc = take_digits(&s, &value);

    if (rc == -EINVAL)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (!slice_eq(s, units[i].name))
            continue;
        if (rc < 0 || __builtin_mul_overflow(value, units[i].factor, ret))
            return -ERANGE;
        return 0;
    }
    return -EINVAL;
}

static const char *format_with_units(int64_t value, const struct unit *units, size_t count,
                                     char buf[FORMAT_MAX])
{
    for (size_t i = 0; i < count; i++) {
        const struct unit *u = &units[i];

        if ((value != 0 && value % u->factor == 0) || i + 1 == count) {
            (void)snprintf(buf, FORMAT_MAX, "%lld%.*s", (long long)(value / u->factor),
                           (int)u->name.n, u->name.p);
            break;
        }
    }
    return buf;
}

static const struct unit duration_units[] = {
    {SLICE_INIT("d"), 86400000}, {SLICE_INIT("h"), 3600000}, {SLICE_INIT("m"), 60000},
    {SLICE_INIT("s"), 1000},     {SLICE_INIT("ms"), 1},
};
enum { DURATION_UNIT_COUNT = sizeof(duration_units) / sizeof(duration_units[0]) };

int parse_duration_ms(struct slice s, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
    int64_t value = 0;
    int rc;

    if (slice_eq(s, SLICE("0")))
        return in_range(0, min_ms, max_ms, ret_ms);
    rc = parse_with_units(s, duration_units, DURATION_UNIT_COUNT, &value);
    return rc < 0 ? rc : in_range(value, min_ms, max_ms, ret_ms);
}

const char *format_duration(int64_t ms, char buf[FORMAT_MAX])
{
    if (ms == 0) {
        (void)snprintf(buf, FORMAT_MAX, "0s");
        return buf;
    }
    return format_with_units(ms, duration_units, DURATION_UNIT_COUNT, buf);
}

static const struct unit size_units[] = {
    {SLICE_INIT("GiB"), 1073741824},
    {SLICE_INIT("MiB"), 1048576},
    {SLICE_INIT("KiB"), 1024},
    {SLICE_INIT("B"), 1},
    /* accepted, never printed: */
    {SLICE_INIT("GB"), 1000000000},
    {SLICE_INIT("MB"), 1000000},
    {SLICE_INIT("kB"), 1000},
    {SLICE_INIT("KB"), 1000},
    {SLICE_INIT(""), 1},
};
enum {
    SIZE_UNIT_PRINTED = 4,
    SIZE_UNIT_COUNT = sizeof(size_units) / sizeof(size_units[0]),
};

int parse_size_bytes(struct slice s, int64_t min, int64_t max, int64_t *ret)
{
    int64_t value = 0;
    int rc = parse_with_units(s, size_units, SIZE_UNIT_COUNT, &value);

    return rc < 0 ? rc : in_range(value, min, max, ret);
}

const char *format_size(int64_t bytes, char buf[FORMAT_MAX])
{
    return format_with_units(bytes, size_units, SIZE_UNIT_PRINTED, buf);
}

int parse_octal(struct slice s, unsigned max, unsigned *ret)
{
    unsigned value = 0;

    if (slice_starts_with(s, SLICE("0o"))) {
        s.p += 2;
        s.n -= 2;
    }
    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '7')
            return -EINVAL;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (__builtin_mul_overflow(value, 8U, &value))
            return -ERANGE;
        value +=
            (unsigned)(s.p[i] - '0'); /* the low three bits are free after the multiplication */
    }
    if (value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

enum { UUID_TEXT_BYTES = 36 };

static bool is_uuid_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool is_uuid(struct slice s)
{
    if (s.n != UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (is_uuid_dash(i) ? s.p[i] != '-' : hex_value(s.p[i]) < 0)
            return false;
    }
    return true;
}

void uuid_lower(char text[37])
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] >= 'A' && text[i] <= 'F')
            text[i] = (char)(text[i] - 'A' + 'a');
    }
}

void uuid_make(char ret_text[37])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[16];
    size_t nibble = 0;

    random_bytes(raw, sizeof(raw));
    raw[6] = (unsigned char)((raw[6] & 0x0F) | 0x40); /* version 4 */
    raw[8] = (unsigned char)((raw[8] & 0x3F) | 0x80); /* the RFC's variant */
    for (size_t i = 0; i < UUID_TEXT_BYTES; i++) {
        if (is_uuid_dash(i)) {
            ret_text[i] = '-';
            continue;
        }
        ret_text[i] = hex[nibble % 2 == 0 ? raw[nibble / 2] >> 4 : raw[nibble / 2] & 0x0F];
        nibble++;
    }
    ret_text[UUID_TEXT_BYTES] = '\0';
}

enum { EDIT_TEXT_MAX = 64 }; /* keys are shorter; longer texts count as far away */

size_t edit_distance(struct slice a, struct slice b, size_t limit)
{
    size_t row[EDIT_TEXT_MAX + 1];
    size_t longer = a.n > b.n ? a.n - b.n : b.n - a.n;

    if (longer >= limit || a.n > EDIT_TEXT_MAX || b.n > EDIT_TEXT_MAX)
        return limit;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = diagonal + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[b.n] < limit ? row[b.n] : limit;
}
