/*
 * Reading one row: which kind it is is decided in the order of P section 10.5, the first rule that
 * holds wins. Every member may be absent, null or of another type (P section 1).
 */
#include "inbox/row.h"

#include "base/json_read.h"
#include "base/json_scan.h"
#include "base/parse.h"
#include "inbox/outcome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

_Static_assert(ROW_JSON_VALUES_MAX == 20000, "row_kind_name says it");

const char *row_kind_name(enum row_kind k)
{
    switch (k) {
    case ROW_MESSAGE:
        return "a message";
    case ROW_ECHO:
        return "our own words to a person";
    case ROW_UPLOAD:
        return "an announced file";
    case ROW_DELEGATION:
        return "the outcome of a delegation";
    case ROW_DELEGATION_OPEN:
        return "of a delegation that goes on: its answer comes as a message of its own";
    case ROW_OWN:
        return "from this workspace itself";
    case ROW_PUSHED:
        return "a push attempt, which its caller answers for";
    case ROW_OTHER_METHOD:
        return "a method nobody waits for the answer of";
    case ROW_OTHER_TYPE:
        return "not a message";
    case ROW_UNREADABLE:
        return "unreadable";
    case ROW_COSTLY:
        return "of more than 20000 JSON values, which would cost too much memory";
    }
    return "unreadable";
}

/* ---- members that may be anything --------------------------------------------------------------
 */

static struct json_object *object_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_object) ? v : NULL;
}

static const char *text_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static const char *first_text(const char *a, const char *b)
{
    return a[0] ? a : b;
}

/* An id that others chose: one that is too long for an index is none. */
static const char *id_in(struct json_object *o, const char *name)
{
    const char *text = text_in(o, name);

    return strnlen(text, ROW_ID_TEXT_MAX + 1) > ROW_ID_TEXT_MAX ? "" : text;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* ---- time --------------------------------------------------------------------------------------
 */

static bool digits(struct slice *s, size_t n, int64_t *ret)
{
    if (s->n < n || parse_int64((struct slice){s->p, n}, 0, 9999, ret) < 0)
        return false;
    s->p += n;
    s->n -= n;
    return true;
}

static bool mark(struct slice *s, const char *any_of)
{
    if (s->n == 0 || s->p[0] == '\0' || !strchr(any_of, s->p[0]))
        return false;
    s->p++;
    s->n--;
    return true;
}

static int64_t days_since_1970(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2; /* years begin in March: the leap day is their last */
    int64_t era = y / 400, of_era = y % 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t fraction_us(struct slice *s)
{
    int64_t us = 0, unit = 100000;

    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        us += (s->p[0] - '0') * unit;
        unit /= 10;
        s->p++;
        s->n--;
    }
    return us;
}

static bool offset_minutes(struct slice *s, int64_t *ret)
{
    int64_t h = 0, m = 0;

    *ret = 0;
    if (mark(s, "Zz"))
        return s->n == 0;
    bool is_west = s->n > 0 && s->p[0] == '-';
    if (!mark(s, "+-") || !digits(s, 2, &h) || !mark(s, ":") || !digits(s, 2, &m) || h > 23 ||
        m > 59)
        return false;
    *ret = is_west ? -(h * 60 + m) : h * 60 + m;
    return s->n == 0;
}

bool row_time_us(struct slice s, int64_t *ret)
{
    int64_t y, mo, d, h, mi, sec, us = 0, offset;

    if (!digits(&s, 4, &y) || !mark(&s, "-") || !digits(&s, 2, &mo) || !mark(&s, "-") ||
        !digits(&s, 2, &d) || !mark(&s, "Tt ") || !digits(&s, 2, &h) || !mark(&s, ":") ||
        !digits(&s, 2, &mi) || !mark(&s, ":") || !digits(&s, 2, &sec))
        return false;
    if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60)
        return false;
    if (mark(&s, ".")) {
        size_t before = s.n;

        us = fraction_us(&s);
        if (before == s.n || before - s.n > 9)
            return false;
    }
    if (!offset_minutes(&s, &offset))
        return false;
    *ret = (((days_since_1970(y, mo, d) * 24 + h) * 60 + mi - offset) * 60 + sec) * 1000000 + us;
    return true;
}

/* ---- what a request says -----------------------------------------------------------------------
 */

static struct json_object *array_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_array) ? v : NULL;
}

static bool has_elements(struct json_object *array)
{
    return array && json_object_array_length(array) > 0;
}

enum { PLACES = 4 };

/* Each an object, or NULL. */
static void places_of(struct json_object *request, struct json_object *ret[PLACES])
{
    struct json_object *params = object_in(request, "params");

    ret[0] = object_in(params, "message");
    ret[1] = params;
    ret[2] = object_in(request, "message");
    ret[3] = json_object_is_type(request, json_type_object) ? request : NULL;
}

struct json_object *row_message(struct json_object *request)
{
    struct json_object *places[PLACES];

    places_of(request, places);
    for (size_t i = 0; i < PLACES; i++)
        if (has_elements(array_in(places[i], "parts")))
            return places[i];
    for (size_t i = 0; i < PLACES; i++)
        if (has_elements(array_in(places[i], "content"))) /* v0.2 */
            return places[i];
    if (places[0])
        return places[0];
    return places[2] ? places[2] : request;
}

struct json_object *row_parts(struct json_object *request)
{
    struct json_object *message = row_message(request);
    struct json_object *parts = array_in(message, "parts");
    struct json_object *content = array_in(message, "content");

    if (has_elements(parts))
        return parts;
    return has_elements(content) ? content : NULL;
}

static struct json_object *string_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_string) ? v : NULL;
}

struct json_object *row_lone_text(struct json_object *request)
{
    struct json_object *params = object_in(request, "params");
    struct json_object *message = object_in(params, "message");
    struct json_object *data = object_in(request, "data");
    struct json_object *texts[] = {
        string_in(message, "content"), string_in(message, "text"),    string_in(params, "message"),
        string_in(params, "task"),     string_in(params, "text"),     string_in(request, "task"),
        string_in(request, "message"), /* the body that the SDK documents, P section 17.4 */
        string_in(request, "text"),    string_in(data, "text"),       string_in(data, "message"),
        string_in(params, "summary"),  string_in(request, "summary"),
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i] && json_object_get_string_len(texts[i]) > 0)
            return texts[i];
    return NULL;
}

static bool is_text_part(struct json_object *part)
{
    const char *kind = first_text(text_in(part, "kind"), text_in(part, "type"));

    if (strcmp(kind, "text") == 0 || strcmp(text_in(part, "type"), "text") == 0)
        return true;
    return kind[0] == '\0' &&
           json_object_is_type(json_read_member(part, "text"), json_type_string); /* 1.0 */
}

static bool is_file_part(struct json_object *part)
{
    const char *kind = first_text(text_in(part, "kind"), text_in(part, "type"));

    return strcmp(kind, "file") == 0 || json_read_member(part, "file") ||
           (!is_text_part(part) && (text_in(part, "url")[0] || text_in(part, "raw")[0]));
}

static bool part_says_something(struct json_object *part)
{
    if (json_object_is_type(part, json_type_string)) /* v0.2 content */
        return !is_blank(json_object_get_string(part));
    return is_file_part(part) || (is_text_part(part) && !is_blank(text_in(part, "text")));
}

static bool says_something(struct json_object *request)
{
    struct json_object *parts = row_parts(request);
    struct json_object *text = row_lone_text(request);
    size_t n = parts ? json_object_array_length(parts) : 0;

    for (size_t i = 0; i < n; i++)
        if (part_says_something(json_object_array_get_idx(parts, i)))
            return true;
    return text && !is_blank(json_object_get_string(text));
}

/* ---- the request -------------------------------------------------------------------------------
 */

static int parse(struct slice text, struct json_object **ret)
{
    struct json_tokener *t;

    *ret = NULL;
    if (text.n >= INT32_MAX || json_values_most(text) > ROW_JSON_VALUES_MAX)
        return -E2BIG;
    t = json_tokener_new_ex(ROW_JSON_DEPTH_MAX);
    if (!t)
        return -ENOMEM;
    *ret = json_tokener_parse_ex(t, text.p, (int)text.n);
    bool is_whole = json_tokener_get_error(t) == json_tokener_success;
    json_tokener_free(t);
    if (is_whole && *ret)
        return 0;
    json_object_put(*ret);
    *ret = NULL;
    return -EBADMSG;
}

static int parse_object(struct slice text, struct json_object **ret)
{
    int rc = parse(text, ret);

    if (rc == 0 && !json_object_is_type(*ret, json_type_object)) {
        json_object_put(*ret);
        *ret = NULL;
        rc = -EBADMSG;
    }
    return rc;
}

int row_request_parse(const char *text, struct json_object **ret)
{
    int rc = parse(slice_of(text), ret);

    if (rc == 0 && !json_object_is_type(*ret, json_type_object)) {
        struct json_object *other = *ret;

        *ret = NULL;
        rc = json_object_is_type(other, json_type_string) ? parse_object(json_read_text(other), ret)
                                                          : -EBADMSG;
        json_object_put(other);
    }
    return rc;
}

/* {"params":{"message":{"role":"user","parts":[{"kind":"text","text":...}]}}} */
static struct json_object *request_of_text(const char *text)
{
    struct json_object *request = json_object_new_object();
    struct json_object *params = json_object_new_object();
    struct json_object *message = json_object_new_object();
    struct json_object *parts = json_object_new_array();
    struct json_object *part = json_object_new_object();

    if (!request || !params || !message || !parts || !part) {
        json_object_put(request);
        json_object_put(params);
        json_object_put(message);
        json_object_put(parts);
        json_object_put(part);
        return NULL;
    }
    json_object_object_add(part, "kind", json_object_new_string("text"));
    json_object_object_add(part, "text", json_object_new_string(text));
    json_object_array_add(parts, part);
    json_object_object_add(message, "role", json_object_new_string("user"));
    json_object_object_add(message, "parts", parts);
    json_object_object_add(params, "message", message);
    json_object_object_add(request, "params", params);
    return request;
}

static void read_request(struct json_object *o, struct row *ret)
{
    struct json_object *body = json_read_member(o, "request_body");
    struct json_object *data = object_in(o, "data");
    const char *said = first_text(text_in(data, "text"), text_in(data, "message"));

    if (!body)
        body = json_read_member(data, "request_body");
    if (json_object_is_type(body, json_type_object)) {
        ret->request = json_object_get(body);
    } else if (json_object_is_type(body, json_type_string)) {
        int rc = parse_object(json_read_text(body), &ret->request);

        ret->is_request_made = true;
        /* else words with many commas */
        if (rc == -E2BIG && json_validate(json_read_text(body)) == JSON_OBJECT) {
            ret->kind = ROW_COSTLY;
            return;
        }
        if (!ret->request && !is_blank(json_object_get_string(body)))
            ret->request = request_of_text(json_object_get_string(body));
    }
    if (said[0] && (!ret->request || !says_something(ret->request))) {
        json_object_put(ret->request);
        ret->request = request_of_text(said);
        ret->is_request_made = true;
    }
}

/* The last resort of P section 10.4 stands in the row, beside the request: put it in. */
static void add_summary(struct json_object *o, struct row *ret)
{
    const char *summary = text_in(o, "summary");

    if (is_blank(summary) || (ret->request && says_something(ret->request)))
        return;
    if (!ret->request)
        ret->request = request_of_text(summary);
    else /* this page's own copy: nobody else looks at it again */
        json_object_object_add(ret->request, "summary", json_object_new_string(summary));
    ret->is_request_made = true;
}

static bool is_agents(struct json_object *message)
{
    struct slice role = slice_of(text_in(message, "role"));

    return slice_eq_nocase(role, SLICE("agent")) || slice_eq_nocase(role, SLICE("ROLE_AGENT"));
}

static void read_metadata(struct json_object *metadata, struct row_about *ret)
{
    struct json_object *reply = json_read_member(metadata, "reply");
    struct json_object *hops = json_read_member(metadata, ROW_HOPS_KEY);

    ret->is_reply |=
        json_object_is_type(reply, json_type_boolean) && json_object_get_boolean(reply);
    ret->is_reply |= text_in(metadata, "in_reply_to")[0] != '\0'; /* of any length */
    if (json_object_is_type(hops, json_type_int) && json_object_get_int64(hops) > ret->hops)
        ret->hops = json_object_get_int64(hops);
}

void row_about(struct json_object *request, struct row_about *ret)
{
    struct json_object *message = row_message(request);
    struct json_object *places[PLACES];

    *ret = (struct row_about){.message_id = id_in(message, "messageId"),
                              .context_id = id_in(message, "contextId")};
    places_of(request, places);
    for (size_t i = 0; i < PLACES; i++) {
        ret->is_from_agent |= is_agents(places[i]);
        read_metadata(object_in(places[i], "metadata"), ret);
    }
}

static void read_message(struct row *ret)
{
    struct row_about about;

    row_about(ret->request, &about);
    ret->message_id = about.message_id;
    ret->context_id = about.context_id;
}

/* ---- who and what ------------------------------------------------------------------------------
 */

static bool copy_uuid(const char *text, char ret[37])
{
    if (!is_uuid(slice_of(text)))
        return false;
    memcpy(ret, text, 37);
    uuid_lower(ret);
    return true;
}

/* P section 10.3: null, "" and "user" are a person; false when nobody could be answered. */
static bool read_source(struct json_object *o, struct row *ret)
{
    struct json_object *data = object_in(o, "data");
    const char *source = text_in(o, "source_id");
    const char *word = first_text(text_in(data, "source"), text_in(o, "source"));

    if (!source[0])
        source = first_text(text_in(data, "source_id"), text_in(data, "peer_id"));
    if (source[0] && strcmp(source, "user") != 0 && strcmp(word, "canvas_user") != 0)
        return copy_uuid(source, ret->source_id);
    return strcmp(word, "peer_agent") != 0;
}

static void read_enrichment(struct json_object *o, struct row *ret)
{
    struct json_object *data = object_in(o, "data");

    ret->peer_name = first_text(text_in(o, "peer_name"), text_in(data, "peer_name"));
    ret->peer_role = first_text(text_in(o, "peer_role"), text_in(data, "peer_role"));
    ret->card_url = first_text(text_in(o, "agent_card_url"), text_in(data, "agent_card_url"));
}

static bool is_work_method(const char *method)
{
    return method[0] == '\0' || strcmp(method, "message/send") == 0 ||
           strcmp(method, "SendMessage") == 0;
}

static enum row_kind kind_of(struct json_object *o, const char *own_id, const struct row *r)
{
    const char *type = first_text(text_in(o, "activity_type"), text_in(o, "type"));
    struct json_object *duration = json_read_member(o, "duration_ms");

    if (type[0] && strcmp(type, "a2a_receive") != 0)
        return ROW_OTHER_TYPE;
    if (strcmp(r->method, "chat_upload_receive") == 0)
        return r->source_id[0] ? ROW_OTHER_METHOD : ROW_UPLOAD; /* the platform's word only */
    if (strcmp(r->method, "delegate_result") == 0)
        return ROW_DELEGATION; /* or what outcome_read() says */
    if (strcmp(r->method, "notify") == 0)
        return r->source_id[0] ? ROW_OTHER_METHOD : ROW_ECHO;
    if (slice_eq_nocase(slice_of(r->source_id), slice_of(own_id)))
        return ROW_OWN;
    if (!is_work_method(r->method))
        return ROW_OTHER_METHOD;
    if (duration || json_object_object_get_ex(o, "response_body", NULL))
        return ROW_PUSHED;
    return ROW_MESSAGE;
}

/* "platform-pending:<own id>/..." */
static bool is_own_file(struct json_object *request, const char *own_id)
{
    struct slice uri = slice_of(text_in(request, "uri")), scheme = SLICE("platform-pending:");
    size_t n = strlen(own_id);

    return slice_starts_with(uri, scheme) && uri.n > scheme.n + n && uri.p[scheme.n + n] == '/' &&
           slice_eq_nocase((struct slice){uri.p + scheme.n, n}, slice_of(own_id));
}

static const char *echo_of(struct json_object *o)
{
    return text_in(object_in(o, "response_body"), "result");
}

bool row_read(struct json_object *o, const char *own_id, struct row *ret)
{
    struct json_object *seq;
    const char *time = first_text(text_in(o, "created_at"), text_in(o, "ts"));

    *ret = (struct row){.kind = ROW_UNREADABLE,
                        .seq = -1,
                        .method = text_in(o, "method"),
                        .message_id = "",
                        .context_id = "",
                        .echo_text = "",
                        .peer_name = "",
                        .peer_role = "",
                        .card_url = ""};
    if (!copy_uuid(text_in(o, "id"), ret->id) || !row_time_us(slice_of(time), &ret->created_us))
        return false;
    seq = json_read_member(o, "seq");
    if (json_object_is_type(seq, json_type_int) && json_object_get_int64(seq) >= 0)
        ret->seq = json_object_get_int64(seq);
    if (!read_source(o, ret))
        return true;
    ret->kind = kind_of(o, own_id, ret);
    read_enrichment(o, ret);
    if (ret->kind == ROW_DELEGATION)
        outcome_read(o, own_id, ret);
    if (ret->kind == ROW_ECHO)
        ret->echo_text = echo_of(o);
    if (ret->kind == ROW_MESSAGE || ret->kind == ROW_UPLOAD)
        read_request(o, ret);
    if (ret->kind == ROW_UPLOAD && !is_own_file(ret->request, own_id))
        ret->kind = ROW_OTHER_METHOD;
    if (ret->kind == ROW_MESSAGE) {
        add_summary(o, ret);
        if (ret->request)
            read_message(ret);
        else
            ret->kind = ROW_UNREADABLE; /* nothing in it that an agent could be told */
    }
    return true;
}

void row_release(struct row *r)
{
    json_object_put(r->request);
    r->request = NULL;
}
