/*
 * Collects texts (P section 13.1, A section 6.1) and folds event streams. All functions take
 * whatever json-c gives, NULL included.
 */
#include "inbox/answer_parts.h"

#include "base/json_read.h"
#include "inbox/agent_answer.h"

#include <stdint.h>
#include <string.h>

#include "base/banned.h"

static struct slice first_text(struct json_object *o, const char *a, const char *b)
{
    struct slice s = json_read_text(json_read_member(o, a));

    return s.n > 0 ? s : json_read_text(json_read_member(o, b));
}

bool parts_parse(struct slice text, struct json_object **ret)
{
    struct json_tokener *tok = json_tokener_new_ex(AGENT_ANSWER_DEPTH_MAX);

    *ret = NULL;
    if (!tok)
        return false;
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    if (text.n > 0 && text.n < INT32_MAX)
        *ret = json_tokener_parse_ex(tok, text.p, (int)text.n);
    enum json_tokener_error how = json_tokener_get_error(tok);
    if (how == json_tokener_continue && text.n > 0) /* a number: the end must be told */
        *ret = json_tokener_parse_ex(tok, "", 1);
    how = json_tokener_get_error(tok);
    bool is_whole =
        how == json_tokener_success && text.n > 0 && json_tokener_get_parse_end(tok) <= text.n;
    if (is_whole && json_tokener_get_parse_end(tok) < text.n &&
        json_tokener_get_parse_end(tok) > 0) /* something behind it */
        is_whole = false;
    json_tokener_free(tok);
    if (!is_whole) {
        json_object_put(*ret);
        *ret = NULL;
    }
    return is_whole;
}

/* ---- texts ---- */

static void add_separated(struct str *out, struct slice s)
{
    if (s.n > 0 && out->len > 0)
        str_addz(out, "\n\n");
    str_add(out, s);
}

static void add_json(struct json_object *o, struct str *out)
{
    const char *text =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

    str_addz(out, text ? text : "");
}

/* A file cannot be sent on; its name and place can be said. */
static void add_file(struct json_object *part, struct str *out)
{
    struct json_object *file = json_read_member(part, "file");
    struct json_object *at = file ? file : part;
    struct slice name = first_text(at, "name", "filename");
    struct slice uri = first_text(at, "uri", "url");
    bool has_bytes = first_text(at, "bytes", "raw").n > 0;

    if (uri.n == 0 && !has_bytes)
        return;
    if (out->len > 0)
        str_addz(out, "\n");
    str_addz(out, "[file: ");
    str_add(out, name.n > 0 ? name : SLICE("without a name"));
    if (uri.n > 0) {
        str_addz(out, ", ");
        str_add(out, uri);
    }
    str_addz(out, "]");
}

static void parts_texts(struct json_object *parts, struct str *out)
{
    bool has_text = false;

    if (json_object_is_type(parts, json_type_string))
        str_add(out, json_read_text(parts));
    if (!json_object_is_type(parts, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(parts); i++) {
        struct json_object *part = json_object_array_get_idx(parts, i);
        struct slice text = json_read_text(json_read_member(part, "text"));

        str_add(out, text.n > 0 ? text : json_read_text(part));
        has_text = has_text || text.n > 0;
        if (text.n == 0)
            add_file(part, out);
    }
    for (size_t i = 0; !has_text && i < json_object_array_length(parts); i++) {
        struct json_object *data = json_read_member(json_object_array_get_idx(parts, i), "data");

        if (data)
            add_json(data, out);
    }
}

bool parts_has_some(struct json_object *o)
{
    return json_read_member(o, "parts") || json_read_member(o, "content");
}

void parts_of_message(struct json_object *message, struct str *out)
{
    struct json_object *parts = json_read_member(message, "parts");

    parts_texts(parts ? parts : json_read_member(message, "content"), out);
}

static bool is_agents(struct json_object *message)
{
    struct slice role = json_read_text(json_read_member(message, "role"));

    return slice_eq(role, SLICE("agent")) || slice_eq(role, SLICE("ROLE_AGENT"));
}

static void last_words(struct json_object *history, struct str *out)
{
    size_t n =
        json_object_is_type(history, json_type_array) ? json_object_array_length(history) : 0;

    if (n > 0 && is_agents(json_object_array_get_idx(history, n - 1)))
        parts_of_message(json_object_array_get_idx(history, n - 1), out);
}

struct slice parts_trimmed(struct slice s)
{
    while (s.n > 0 && strchr(" \t\r\n", s.p[0]))
        s = (struct slice){s.p + 1, s.n - 1};
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* As whole texts: "ok" is in "booked", and says something else. */
static bool is_same(const struct str *a, const struct str *b)
{
    return slice_eq(parts_trimmed(str_slice(a)), parts_trimmed(str_slice(b)));
}

void parts_of_task(struct json_object *task, struct str *out)
{
    struct json_object *artifacts = json_read_member(task, "artifacts");
    struct str said = {0};
    bool is_said = false; /* by an artifact, or by all of them together */
    size_t n =
        json_object_is_type(artifacts, json_type_array) ? json_object_array_length(artifacts) : 0;

    parts_of_message(json_read_member(json_read_member(task, "status"), "message"), &said);
    for (size_t i = 0; i < n; i++) {
        struct str one = {0};

        parts_texts(json_read_member(json_object_array_get_idx(artifacts, i), "parts"), &one);
        add_separated(out, str_slice(&one));
        is_said = is_said || is_same(&one, &said);
        out->failed = out->failed || one.failed;
        str_release(&one);
    }
    if (!is_said && !is_same(out, &said))
        add_separated(out, str_slice(&said));
    out->failed = out->failed || said.failed;
    str_release(&said);
    if (out->len == 0)
        parts_texts(json_read_member(task, "parts"), out);
    if (out->len == 0)
        last_words(json_read_member(task, "history"), out);
}

void parts_of_any(struct json_object *o, struct str *out)
{
    static const char *const names[] = {"text",   "content", "answer", "response",
                                        "output", "message", "result"};
    struct slice known = {NULL, 0};

    if (!o)
        return;
    if (json_object_is_type(o, json_type_string)) {
        str_add(out, json_read_text(o));
        return;
    }
    for (size_t i = 0; known.n == 0 && i < sizeof(names) / sizeof(names[0]); i++)
        known = json_read_text(json_read_member(o, names[i]));
    if (known.n > 0)
        str_add(out, known);
    else if (!json_object_is_type(o, json_type_object) || json_object_object_length(o) > 0)
        add_json(o, out);
}

struct slice parts_clean(struct str *s)
{
    struct str clean = {0};

    str_add_valid(&clean, str_slice(s));
    clean.failed = clean.failed || s->failed;
    str_release(s);
    *s = clean;
    return parts_trimmed(str_slice(s));
}
