/*
 * Writes the agent's request. Finding the parts is P section 10.4, the shapes are A section 6.1,
 * markers are markers.c's.
 */
#include "inbox/envelope.h"

#include "base/json_read.h"
#include "base/json_write.h"
#include "inbox/markers.h"
#include "inbox/outcome.h"
#include "inbox/row.h"

#include <errno.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum {
    ID_MAX = 128,       /* bytes of a peer's id that is passed on as it is */
    ID_HASH_BYTES = 16, /* of the hash that stands for another one */
    PLAIN_ID_BYTES = 2 * ID_HASH_BYTES + sizeof("id-"),
    BASE64_END_MAX = 8, /* of "==" and line ends behind it */
};
static const char id_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-";

struct builder {
    const struct envelope *e;
    bool is_out_of_memory;
    size_t parts;
};

/* ---- reading ---- */

/* A member that is a string, or NULL. */
static struct json_object *text_member(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_string) ? v : NULL;
}

static bool is_text(struct json_object *o, const char *text)
{
    return json_object_is_type(o, json_type_string) && strcmp(json_object_get_string(o), text) == 0;
}

static struct json_object *first_of(struct json_object *o, const char *const names[])
{
    struct json_object *v = NULL;

    for (; !v && *names; names++)
        v = text_member(o, *names);
    return v;
}

static int parse(const char *text, struct json_object **ret, struct err *err)
{
    int rc = row_request_parse(text, ret);

    if (rc == -E2BIG) /* an older version took such */
        return err_set(err, -EBADMSG, "its request has more than %d JSON values",
                       ROW_JSON_VALUES_MAX);
    if (rc == -ENOMEM)
        return err_set(err, rc, "out of memory");
    return rc < 0 ? err_set(err, rc, "its request is no JSON object") : 0;
}

/* ---- writing ---- */

static void put(struct builder *b, struct json_object *into, const char *name,
                struct json_object *value)
{
    if (!value || json_object_object_add(into, name, value) != 0) {
        json_object_put(value);
        b->is_out_of_memory = true;
    }
}

static void put_text(struct builder *b, struct json_object *into, const char *name,
                     const char *text)
{
    if (text && text[0])
        put(b, into, name, json_object_new_string(text));
}

/*
 * An id that a peer chose goes to the agent outside of markers. One that could say something is
 * replaced by a hash of it: the same at every attempt, and for every message that names it.
 */
static const char *plain_id(struct builder *b, const char *id, char buffer[PLAIN_ID_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    size_t n = id ? strlen(id) : 0;

    if (!b->e->is_peer || n == 0 || (n <= ID_MAX && strspn(id, id_characters) == n))
        return id ? id : "";
    if (EVP_Digest(id, n, hash, NULL, EVP_sha256(), NULL) != 1) {
        b->is_out_of_memory = true;
        return "";
    }
    (void)snprintf(buffer, PLAIN_ID_BYTES, "id-");
    for (size_t k = 0; k < ID_HASH_BYTES; k++)
        (void)snprintf(buffer + 3 + 2 * k, 3, "%02x", hash[k]);
    return buffer;
}

static void put_id(struct builder *b, struct json_object *into, const char *name, const char *id)
{
    char buffer[PLAIN_ID_BYTES];

    put_text(b, into, name, plain_id(b, id, buffer));
}

/* The sender's value: without markers in it when he is a peer. */
static void put_theirs(struct builder *b, struct json_object *into, const char *name,
                       struct json_object *value)
{
    struct json_object *copy = NULL;

    if (!value)
        return;
    if (!b->e->is_peer || !b->e->has_markers)
        put(b, into, name, json_object_get(value));
    else if (markers_clean_json(value, &copy))
        put(b, into, name, copy);
    else
        b->is_out_of_memory = true;
}

static struct json_object *marked(struct builder *b, struct slice text)
{
    struct json_object *o = NULL;
    struct str s = {0};

    if (b->e->is_peer && b->e->has_markers)
        markers_wrap(text, &s);
    else
        str_add(&s, text);
    if (str_ok(&s) && s.len < INT32_MAX)
        o = json_object_new_string_len(s.p ? s.p : "", (int)s.len);
    str_release(&s);
    return o;
}

static struct json_object *new_part(struct builder *b, const char *kind)
{
    struct json_object *part = json_object_new_object();

    if (!part)
        b->is_out_of_memory = true;
    else if (!b->e->is_1_0)
        put(b, part, "kind", json_object_new_string(kind));
    return part;
}

static struct json_object *text_part(struct builder *b, struct slice text)
{
    struct json_object *part = new_part(b, "text");

    if (part)
        put(b, part, "text", marked(b, text));
    return part;
}

static const char *const name_keys[] = {"name", "filename", "fileName", NULL};
static const char *const type_keys[] = {"mimeType", "mediaType", "mime_type", "media_type", NULL};
static const char *const uri_keys[] = {"uri", "url", "fileWithUri", NULL};
static const char *const bytes_keys[] = {"bytes", "raw", "fileWithBytes", NULL};

/* Letters of base64 (either alphabet) and line ends: no room for a marker, or for a sentence. */
static bool is_base64(struct slice s)
{
    size_t at = 0;

    while (at < s.n && s.p[at] &&
           strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                  "0123456789+/-_\r\n",
                  s.p[at]))
        at++;
    size_t padded = s.n - at;
    while (at < s.n && strchr("=\r\n", s.p[at]) && s.p[at])
        at++;
    return at == s.n && padded <= BASE64_END_MAX;
}

static struct json_object *file_part(struct builder *b, struct json_object *file)
{
    struct json_object *uri = first_of(file, uri_keys);
    struct json_object *bytes = uri ? NULL : first_of(file, bytes_keys);
    struct json_object *size = json_read_member(file, "size");

    if (bytes && b->e->is_peer && !is_base64(json_read_text(bytes)))
        return text_part(b, SLICE("(a file was left out: its bytes are no base64)"));
    struct json_object *part = new_part(b, "file");
    struct json_object *into = part;

    if (!part)
        return NULL;
    if (!b->e->is_1_0) {
        into = json_object_new_object();
        put(b, part, "file", into);
        if (b->is_out_of_memory)
            return part;
    }
    put_theirs(b, into, b->e->is_1_0 ? "filename" : "name", first_of(file, name_keys));
    put_theirs(b, into, b->e->is_1_0 ? "mediaType" : "mimeType", first_of(file, type_keys));
    put_theirs(b, into, b->e->is_1_0 ? "url" : "uri", uri);
    if (bytes) /* as it is: may be long */
        put(b, into, b->e->is_1_0 ? "raw" : "bytes", json_object_get(bytes));
    if (!b->e->is_1_0 && json_object_is_type(size, json_type_int))
        put(b, into, "size", json_object_get(size));
    return part;
}

/* 0.3 knows objects only; the note is what both SDKs write (A section 6.2). */
static struct json_object *data_part(struct builder *b, struct json_object *from,
                                     struct json_object *data)
{
    struct json_object *part = new_part(b, "data");
    struct json_object *note =
        json_read_member(json_read_member(from, "metadata"), "data_part_compat");
    struct json_object *inner = json_read_member(data, "value");

    if (!part)
        return NULL;
    if (b->e->is_1_0) {
        put_theirs(b, part, "data", json_object_get_boolean(note) && inner ? inner : data);
    } else if (json_object_is_type(data, json_type_object)) {
        put_theirs(b, part, "data", data);
    } else {
        struct json_object *holder = json_object_new_object();
        struct json_object *said = json_object_new_object();

        put(b, part, "data", holder);
        put(b, part, "metadata", said);
        if (!b->is_out_of_memory) {
            put_theirs(b, holder, "value", data);
            put(b, said, "data_part_compat", json_object_new_boolean(true));
        }
    }
    return part;
}

/* A part of either version; NULL: nothing in it that we know. */
static struct json_object *any_part(struct builder *b, struct json_object *from)
{
    struct json_object *kind = json_read_member(from, "kind");
    struct json_object *file = json_read_member(from, "file");
    struct json_object *part = NULL;

    kind = kind ? kind : json_read_member(from, "type");
    if (json_object_is_type(from, json_type_string)) /* v0.2 content */
        return json_read_text(from).n > 0 ? text_part(b, json_read_text(from)) : NULL;
    if (text_member(from, "text") && (!kind || is_text(kind, "text"))) {
        struct slice text = json_read_text(text_member(from, "text"));

        part = text.n > 0 ? text_part(b, text) : NULL;
    } else if (json_object_is_type(file, json_type_object) &&
               (first_of(file, uri_keys) || first_of(file, bytes_keys))) {
        part = file_part(b, file);
    } else if (first_of(from, uri_keys) || first_of(from, bytes_keys)) {
        part = file_part(b, from);
    } else if (json_read_member(from, "data")) {
        part = data_part(b, from, json_read_member(from, "data"));
    }
    bool is_note = json_read_member(json_read_member(from, "metadata"), "data_part_compat") != NULL;
    if (part && !json_read_member(part, "metadata") && !(b->e->is_1_0 && is_note))
        put_theirs(b, part, "metadata", json_read_member(from, "metadata"));
    return part;
}

/* What the marked texts behind it are: nothing in it is the peer's. */
static struct json_object *outcome_part(struct builder *b, struct json_object *request)
{
    struct json_object *delegation = json_read_member(request, "delegation");
    struct json_object *id = text_member(delegation, "id");
    struct json_object *part = new_part(b, "text");
    char buffer[PLAIN_ID_BYTES];
    struct str s = {0};

    outcome_sentence(plain_id(b, id ? json_object_get_string(id) : "", buffer),
                     outcome_status(delegation), row_parts(request) != NULL, &s);
    if (part)
        put(b, part, "text", str_ok(&s) ? json_object_new_string(str_z(&s)) : NULL);
    str_release(&s);
    return part;
}

static struct json_object *make_parts(struct builder *b, struct json_object *request)
{
    struct json_object *from = row_parts(request);
    struct json_object *text = NULL;
    struct json_object *parts = json_object_new_array();

    if (parts && b->e->is_outcome) {
        struct json_object *part = outcome_part(b, request);

        if (part && json_object_array_add(parts, part) != 0)
            json_object_put(part);
    }
    for (size_t i = 0; parts && from && i < json_object_array_length(from); i++) {
        struct json_object *part = any_part(b, json_object_array_get_idx(from, i));

        if (part && json_object_array_add(parts, part) != 0)
            json_object_put(part);
    }
    if (parts && json_object_array_length(parts) == 0 && (text = row_lone_text(request))) {
        struct json_object *part = text_part(b, json_read_text(text));

        if (part && json_object_array_add(parts, part) != 0)
            json_object_put(part);
    }
    b->is_out_of_memory = b->is_out_of_memory || !parts;
    b->parts = parts ? json_object_array_length(parts) : 0;
    return parts;
}

static struct json_object *make_sender(struct builder *b)
{
    const struct envelope *e = b->e;
    struct json_object *o = json_object_new_object();

    if (!o)
        return NULL;
    put_text(b, o, "kind", e->is_peer ? "peer_agent" : "canvas_user");
    put_text(b, o, "id", e->sender_id);
    put_text(b, o, "peer_name", e->peer_name);
    put_text(b, o, "peer_role", e->peer_role);
    put_text(b, o, "agent_card_url", e->card_url);
    return o;
}

/* Members of theirs into `all`, less what would speak for us, and `dropped`. */
static void put_members(struct builder *b, struct json_object *all, struct json_object *theirs,
                        const char *dropped)
{
    struct json_object *copy = NULL;

    if (!json_object_is_type(theirs, json_type_object))
        return;
    if (!b->e->is_peer || !b->e->has_markers)
        copy = json_object_get(theirs);
    else if (!markers_clean_json(theirs, &copy))
        b->is_out_of_memory = true;
    if (!copy)
        return;
    json_object_object_foreach(copy, name, value)
    {
        if (strcmp(name, ENVELOPE_SENDER_KEY) != 0 && strcmp(name, ENVELOPE_DELEGATION_KEY) != 0 &&
            strcmp(name, dropped) != 0 && value)
            put(b, all, name, json_object_get(value));
    }
    json_object_put(copy);
}

/*
 * The history of a person's chat is in params.metadata. A peer's history, there or in the message,
 * would be text without markers that looks like what was said here: dropped.
 */
static const char history_key[] = "history";

static struct json_object *make_delegation(struct builder *b, struct json_object *request)
{
    struct json_object *delegation = json_read_member(request, "delegation");
    struct json_object *id = text_member(delegation, "id");
    struct json_object *o = json_object_new_object();

    if (!o)
        return NULL;
    put_id(b, o, "id", id ? json_object_get_string(id) : "");
    put_text(b, o, "status", outcome_status(delegation));
    return o;
}

static void put_metadata(struct builder *b, struct json_object *message,
                         struct json_object *request, struct json_object *theirs)
{
    struct json_object *all = json_object_new_object();

    put(b, message, "metadata", all);
    if (b->is_out_of_memory)
        return;
    put_members(b, all, theirs, b->e->is_peer ? history_key : "");
    put(b, all, ENVELOPE_SENDER_KEY, make_sender(b));
    if (b->e->is_outcome)
        put(b, all, ENVELOPE_DELEGATION_KEY, make_delegation(b, request));
}

static struct json_object *make_message(struct builder *b, struct json_object *request)
{
    const struct envelope *e = b->e;
    struct json_object *theirs = row_message(request);
    struct json_object *m = json_object_new_object();

    if (!m)
        return NULL;
    if (!e->is_1_0)
        put_text(b, m, "kind", "message");
    put_text(b, m, "role", e->is_1_0 ? "ROLE_USER" : "user");
    put_id(b, m, "messageId", e->message_id && e->message_id[0] ? e->message_id : e->row_id);
    if (e->agent_context_id && e->agent_context_id[0])
        put_text(b, m, "contextId", e->agent_context_id);
    else
        put_id(b, m, "contextId", e->context_id);
    put_text(b, m, "taskId", e->task_id);
    put(b, m, "parts", make_parts(b, request));
    put_metadata(b, m, request, json_read_member(theirs, "metadata"));
    return m;
}

static void put_params_metadata(struct builder *b, struct json_object *params,
                                struct json_object *theirs)
{
    struct json_object *all = json_object_new_object();

    put(b, params, "metadata", all);
    if (b->is_out_of_memory)
        return;
    put_members(b, all, theirs, b->e->is_peer ? history_key : "");
    if (json_object_object_length(all) == 0)
        json_object_object_del(params, "metadata");
}

static struct json_object *make_request(struct builder *b, struct json_object *request)
{
    const struct envelope *e = b->e;
    struct json_object *o = json_object_new_object();
    struct json_object *params = json_object_new_object();
    struct json_object *how = json_object_new_object();

    if (!o || !params || !how) {
        json_object_put(params);
        json_object_put(how);
        b->is_out_of_memory = true;
        return o;
    }
    put_text(b, o, "jsonrpc", "2.0");
    put_text(b, o, "id", e->row_id);
    put_text(b, o, "method", e->is_1_0 ? "SendMessage" : "message/send");
    put(b, params, "message", make_message(b, request));
    put(b, how, e->is_1_0 ? "returnImmediately" : "blocking", json_object_new_boolean(!e->is_1_0));
    put(b, params, "configuration", how);
    if (json_read_member(request, "params") !=
        row_message(request)) /* else it is the message's own */
        put_params_metadata(b, params,
                            json_read_member(json_read_member(request, "params"), "metadata"));
    put(b, o, "params", params);
    return o;
}

int envelope_write(const struct envelope *e, struct str *out, struct err *err)
{
    struct builder b = {.e = e};
    struct json_object *request = NULL;
    struct json_object *o = NULL;
    size_t n = 0;
    int rc = parse(e->request ? e->request : "", &request, err);

    if (rc < 0)
        return rc;
    o = make_request(&b, request);
    if (b.is_out_of_memory || !o) {
        rc = err_set(err, -ENOMEM, "out of memory");
    } else if (b.parts == 0) {
        rc = err_set(err, -ENODATA, "there is no text, file or data in it");
    } else {
        const char *text = json_object_to_json_string_length(
            o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

        str_add(out, (struct slice){text, text ? n : 0});
        rc = str_ok(out) && text ? 0 : err_set(err, -ENOMEM, "out of memory");
    }
    json_object_put(o);
    json_object_put(request);
    return rc;
}

void envelope_write_task(const char *row_id, const char *task_id, bool is_1_0, struct str *out)
{
    struct json_writer w = {.out = out};

    json_open(&w, NULL, '{');
    json_add_text(&w, "jsonrpc", "2.0");
    json_add_text(&w, "id", row_id);
    json_add_text(&w, "method", is_1_0 ? "GetTask" : "tasks/get");
    json_open(&w, "params", '{');
    json_add_text(&w, "id", task_id);
    json_close(&w, '}');
    json_close(&w, '}');
}
