/*
 * What a log line looks like, as text for people and as JSON for machines. Where it goes is log.c's
 * business. Nothing is allocated: this runs once per forwarded request.
 */
#include "log/line.h"

#include "base/clock.h"
#include "base/copy.h"
#include "base/digits.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

enum {
    LINE_RESERVE = 32,                       /* bytes kept for the end: ","cut":true} and newline */
    LINE_LIMIT = LOG_LINE_MAX - LINE_RESERVE /* where content stops */
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

/* The end of the last string may lie a byte behind the limit. */
static size_t room(const struct line *line)
{
    return line->n < LINE_LIMIT ? LINE_LIMIT - line->n : 0;
}

/* All or nothing; once something was left out, all that follows is too. Inlined, so that a literal
 * becomes some moves in its place. */
__attribute__((always_inline)) static inline void put(struct line *line, struct slice bytes)
{
    if (line->is_cut || bytes.n > room(line)) {
        line->is_cut = true;
        return;
    }
    copy_bytes(line->p + line->n, bytes.p, bytes.n);
    line->n += bytes.n;
}

/* The same for a handful of bytes. */
static void put_few(struct line *line, const char *bytes, size_t n)
{
    if (line->is_cut || n > room(line)) {
        line->is_cut = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        line->p[line->n++] = bytes[i];
}

/* Into the reserve: what closes an open bracket must always fit. */
static void put_end(struct line *line, struct slice bytes)
{
    memcpy(line->p + line->n, bytes.p, bytes.n);
    line->n += bytes.n;
}

typedef size_t escape_fn(struct slice *rest, char out[ESCAPE_MAX]);

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* Are these eight? A borrow can make a false mark above a true one: then they are not anyway. */
static bool are_plain(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"');
    uint64_t slash = w ^ (ones * '\\');
    uint64_t del = w ^ (ones * 0x7F);

    return !((w | (w - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones)) & high);
}

/* How many bytes at the front are plain: eight at a time, the last of them once more with those
 * before them. */
static size_t plain_span(const char *p, size_t n)
{
    uint64_t w;
    size_t i = 0;

    while (n - i >= sizeof(w)) {
        memcpy(&w, p + i, sizeof(w));
        if (!are_plain(w))
            break;
        i += sizeof(w);
        if (i < n && n - i < sizeof(w))
            i = n - sizeof(w);
    }
    while (i < n && is_plain(p[i]))
        i++;
    return i;
}

static void put_escaped(struct line *line, struct slice text, escape_fn *escape)
{
    char out[ESCAPE_MAX];

    while (text.n > 0 && !line->is_cut) {
        size_t fits = room(line);
        size_t n = plain_span(text.p, text.n < fits ? text.n : fits);

        put(line, (struct slice){text.p, n});
        text.p += n;
        text.n -= n;
        if (text.n > 0) {
            n = escape(&text, out);
            put_few(line, out, n);
        }
    }
}

static void put_number(struct line *line, int64_t v)
{
    uint64_t n = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    size_t count = digits_count(n);

    if (v < 0)
        put(line, SLICE("-"));
    if (line->is_cut || count > room(line)) {
        line->is_cut = true;
        return;
    }
    digits_put(line->p + line->n, n, count);
    line->n += count;
}

static void put_ms(char *where, int ms)
{
    where[0] = (char)('0' + ms / 100);
    where[1] = (char)('0' + ms / 10 % 10);
    where[2] = (char)('0' + ms % 10);
}

/* RFC 3339 in UTC. All but the milliseconds is kept for the lines of the same second. */
static void put_utc(struct line *line, int64_t wall_ms)
{
    static char text[CLOCK_TEXT_MAX];
    static int64_t text_s = -1;

    if (text_s != wall_ms / 1000) {
        text_s = wall_ms / 1000;
        (void)clock_wall_text(wall_ms, text);
    }
    put_ms(text + 20, (int)(wall_ms % 1000));
    put(line, slice_of(text));
}

/* The hour where the reader is. */
static void put_local(struct line *line, int64_t wall_ms)
{
    static char text[] = "HH:MM:SS.mmm";
    static int64_t text_s = -1;

    if (text_s != wall_ms / 1000) {
        time_t seconds = (time_t)(wall_ms / 1000);
        struct tm tm;

        text_s = wall_ms / 1000;
        if (localtime_r(&seconds, &tm))
            (void)strftime(text, 9, "%H:%M:%S", &tm);
        text[8] = '.';
    }
    put_ms(text + 9, (int)(wall_ms % 1000));
    put(line, slice_of(text));
}

static void put_json_field(struct line *line, const struct log_field *field)
{
    size_t before = line->n;

    put(line, field->lead);
    if (field->is_number)
        put_number(line, field->number);
    if (line->is_cut) {
        line->n = before; /* not even its beginning, or half a number */
    } else if (!field->is_number) {
        if (field->is_plain)
            put(line, field->text);
        else
            put_escaped(line, field->text, escape_json);
        put_end(line, SLICE("\"")); /* cut or not, it is closed */
    }
}

/* ---- the beginning of a JSON line ----
 * The lines of a busy second mostly begin as the one before: all but its milliseconds is kept. */

#define JSON_TIME "{\"time\":\""
enum {
    BEGINNING_MAX = 160,                          /* bytes of one that is kept */
    BEGINNING_MS_AT = sizeof(JSON_TIME) - 1 + 20, /* where its milliseconds stand */
};

static struct {
    char p[BEGINNING_MAX];
    size_t n; /* 0 = nothing is kept */
    int64_t second;
    enum log_level level;
    const char *module;
    size_t text_at; /* of msg's value, which needed no escapes */
} beginning;

static bool is_as_before(int64_t second, enum log_level level, const char *module,
                         struct slice text)
{
    return beginning.n > 0 && beginning.second == second && beginning.level == level &&
           beginning.module == module && beginning.n - beginning.text_at - 1 == text.n &&
           memcmp(beginning.p + beginning.text_at, text.p, text.n) == 0;
}

static void put_beginning(struct line *line, enum log_level level, const char *module,
                          struct slice text)
{
    int64_t wall_ms = clock_wall_ms();
    size_t text_at;

    if (is_as_before(wall_ms / 1000, level, module, text)) {
        put_ms(beginning.p + BEGINNING_MS_AT, (int)(wall_ms % 1000));
        put(line, (struct slice){beginning.p, beginning.n});
        return;
    }
    put(line, SLICE(JSON_TIME));
    put_utc(line, wall_ms);
    put(line, SLICE("\",\"level\":\""));
    put(line, slice_of(level_names[level]));
    put(line, SLICE("\",\"module\":\""));
    put(line, slice_of(module));
    put(line, SLICE("\",\"msg\":\""));
    text_at = line->n;
    put_escaped(line, text, escape_json);
    put_end(line, SLICE("\""));
    beginning.n = 0;
    if (line->is_cut || line->n > BEGINNING_MAX || line->n - text_at - 1 != text.n)
        return;
    memcpy(beginning.p, line->p, line->n);
    beginning.n = line->n;
    beginning.second = wall_ms / 1000;
    beginning.level = level;
    beginning.module = module;
    beginning.text_at = text_at;
}

static void make_json(struct line *line, enum log_level level, const char *module,
                      struct slice text, const struct log_field *fields, size_t field_count)
{
    put_beginning(line, level, module, text);
    for (size_t i = 0; i < field_count && !line->is_cut; i++)
        put_json_field(line, &fields[i]);
    put_end(line, line->is_cut ? SLICE(",\"cut\":true}\n") : SLICE("}\n"));
}

/* A value with blanks in it, or none at all, is quoted. */
static bool wants_quotes(struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ' || text.p[i] == '"' || text.p[i] == '=')
            return true;
    }
    return text.n == 0;
}

static size_t escape_quoted(struct slice *rest, char out[ESCAPE_MAX])
{
    if (rest->n > 0 && rest->p[0] == '"') {
        out[0] = '\\';
        out[1] = '"';
        rest->p++;
        rest->n--;
        return 2;
    }
    return escape_printable(rest, out);
}

static void make_text(struct line *line, enum log_level level, const char *module,
                      struct slice text, const struct log_field *fields, size_t field_count)
{
    static const struct slice levels[] = {[LOG_DEBUG] = SLICE_INIT(" debug   "),
                                          [LOG_INFO] = SLICE_INIT(" info    "),
                                          [LOG_WARNING] = SLICE_INIT(" warning "),
                                          [LOG_ERROR] = SLICE_INIT(" error   ")};

    put_local(line, clock_wall_ms());
    put(line, levels[level]);
    put(line, slice_of(module));
    put(line, SLICE(": "));
    put_escaped(line, text, escape_printable);
    for (size_t i = 0; i < field_count && !line->is_cut; i++) {
        const struct log_field *field = &fields[i];
        bool quoted = !field->is_number && wants_quotes(field->text);

        put(line, SLICE(" "));
        put(line, log_field_key(field));
        put(line, quoted ? SLICE("=\"") : SLICE("="));
        if (field->is_number)
            put_number(line, field->number);
        else
            put_escaped(line, field->text, quoted ? escape_quoted : escape_printable);
        if (quoted)
            put(line, SLICE("\""));
    }
    put_end(line, line->is_cut ? SLICE("... (cut)\n") : SLICE("\n"));
}

void line_make(struct line *line, enum log_format format, enum log_level level, const char *module,
               struct slice text, const struct log_field *fields, size_t field_count)
{
    line->n = 0;
    line->is_cut = false;
    if (format == LOG_FORMAT_JSON)
        make_json(line, level, module, text, fields, field_count);
    else
        make_text(line, level, module, text, fields, field_count);
}
