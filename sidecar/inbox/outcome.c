/*
 * Reading outcomes of delegations. The message that is made of one says, in every way that the loop
 * guard of P section 13.2 knows, that it is a reply: nothing ever answers it.
 */
#include "inbox/outcome.h"

#include "base/json_read.h"
#include "base/parse.h"
#include "base/slice.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* The feed's word -> ours. The copies in the inbox say ok and error. */
static const struct {
    const char *word, *status;
    bool is_end;
} statuses[] = {
    {"ok", "completed", true},       {"completed", "completed", true},
    {"error", "failed", true},       {"failed", "failed", true},
    {"stuck", "stuck", true},        {"pending", "pending", false},
    {"queued", "queued", false},     {"dispatched", "dispatched", false},
    {"received", "received", false}, {"in_progress", "in_progress", false},
};
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

static const char *text_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* A body as an object of its own reference; one that is a string is parsed once more. */
static struct json_object *body_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name), *parsed = NULL;

    if (json_object_is_type(v, json_type_object))
        return json_object_get(v);
    if (json_object_is_type(v, json_type_string) &&
        row_request_parse(json_object_get_string(v), &parsed) < 0)
        return NULL;
    return parsed;
}

static const char *id_in(struct json_object *body)
{
    const char *id = text_in(body, "delegation_id");

    return strnlen(id, ROW_ID_TEXT_MAX + 1) > ROW_ID_TEXT_MAX ? "" : id;
}

/* Who did the work: whichever of the row's workspaces is not ours. */
static void read_peer(struct json_object *o, const char *own_id, struct row *ret)
{
    const char *const ids[] = {text_in(o, "target_id"), ret->source_id};

    for (size_t k = 0; k < sizeof(ids) / sizeof(ids[0]); k++) {
        struct slice id = slice_of(ids[k]);

        if (!is_uuid(id) || slice_eq_nocase(id, slice_of(own_id)))
            continue;
        memcpy(ret->peer_id, id.p, sizeof(ret->peer_id));
        uuid_lower(ret->peer_id);
        return;
    }
}

static bool is_true(struct json_object *v)
{
    return json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

/* P section 13.6: a peer that polls has it "completed" at once, with the platform's own receipt. */
static bool is_receipt(const char *text)
{
    struct json_object *o = NULL;

    if (text[strspn(text, " \t\r\n")] != '{' || row_request_parse(text, &o) < 0)
        return false;
    bool is_queued =
        strcmp(text_in(o, "status"), "queued") == 0 || is_true(json_read_member(o, "queued"));
    json_object_put(o);
    return is_queued;
}

/* ---- the message of it ---- */

static bool put(struct json_object *into, const char *name, struct json_object *v)
{
    if (v && json_object_object_add(into, name, v) == 0)
        return true;
    json_object_put(v);
    return false;
}

static bool put_text(struct json_object *into, const char *name, const char *text)
{
    return text[0] == '\0' || put(into, name, json_object_new_string(text));
}

static struct json_object *object_at(struct json_object *into, const char *name)
{
    struct json_object *o = json_object_new_object();

    return put(into, name, o) ? o : NULL;
}

static bool add_part(struct json_object *parts, const char *text)
{
    struct json_object *part = is_blank(text) ? NULL : json_object_new_object();

    if (is_blank(text))
        return true;
    if (part && put_text(part, "kind", "text") && put_text(part, "text", text) &&
        json_object_array_add(parts, part) == 0)
        return true;
    json_object_put(part);
    return false;
}

struct told { /* borrowed */
    const char *id, *status, *text, *error;
};

static bool fill_message(struct json_object *message, const struct told *t)
{
    struct json_object *parts = json_object_new_array();
    struct json_object *metadata = object_at(message, "metadata");
    char message_id[ROW_ID_TEXT_MAX + 64];

    (void)snprintf(message_id, sizeof(message_id), "delegation-%s-%s", t->id, t->status);
    if (!put(message, "parts", parts) || !metadata)
        return false;
    return put_text(message, "role", "agent") &&
           (t->id[0] == '\0' || put_text(message, "messageId", message_id)) &&
           put(metadata, "reply", json_object_new_boolean(true)) &&
           put_text(metadata, "in_reply_to", t->id) && add_part(parts, t->text) &&
           add_part(parts, t->error);
}

static struct json_object *request_of(const struct told *t)
{
    struct json_object *request = json_object_new_object();
    struct json_object *delegation = request ? object_at(request, "delegation") : NULL;
    struct json_object *params = request ? object_at(request, "params") : NULL;
    struct json_object *message = params ? object_at(params, "message") : NULL;

    if (delegation && message && put_text(delegation, "id", t->id) &&
        put_text(delegation, "status", t->status) && fill_message(message, t))
        return request;
    json_object_put(request);
    return NULL;
}

void outcome_read(struct json_object *o, const char *own_id, struct row *ret)
{
    struct json_object *response = body_in(o, "response_body");
    struct json_object *request = body_in(o, "request_body");
    struct row_about about;
    size_t k = 0;

    ret->kind = ROW_OTHER_METHOD;
    if (response && !json_read_member(o, "duration_ms")) {
        const char *id = id_in(response);
        struct told t = {.id = id[0] ? id : id_in(request),
                         .text = text_in(response, "text"),
                         .error = text_in(o, "error_detail")};

        while (k + 1 < STATUSES && strcmp(text_in(o, "status"), statuses[k].word) != 0)
            k++;
        if (strcmp(text_in(o, "status"), statuses[k].word) != 0) /* a word of later servers */
            k = t.error[0] ? 2 : 0;
        t.status = statuses[k].status;
        ret->kind =
            statuses[k].is_end && !is_receipt(t.text) ? ROW_DELEGATION : ROW_DELEGATION_OPEN;
        read_peer(o, own_id, ret);
        ret->request = request_of(&t);
        ret->is_request_made = true;
    }
    if (ret->request) {
        row_about(ret->request, &about);
        ret->message_id = about.message_id;
        ret->context_id =
            text_in(json_read_member(ret->request, "delegation"), "id"); /* batch.c hashes it */
    }
    json_object_put(response);
    json_object_put(request);
}

bool outcome_is(const struct journal_message *m)
{
    return m->conversation &&
           slice_starts_with(slice_of(m->conversation), SLICE(OUTCOME_CONVERSATION "/"));
}

/* ---- for the agent ---- */

const char *outcome_status(struct json_object *delegation)
{
    const char *status = text_in(delegation, "status");

    for (size_t k = 0; k < STATUSES; k++)
        if (strcmp(status, statuses[k].status) == 0)
            return statuses[k].status;
    return statuses[0].status;
}

void outcome_sentence(const char *id, const char *status, bool has_text, struct str *ret)
{
    bool is_failed = strcmp(status, "failed") == 0;

    str_addf(ret, "%s%s %s%s", id[0] ? "The delegation " : "A delegation", id,
             is_failed ? "" : "is ", status);
    str_addz(ret, has_text ? ". Its result:" : ". No text came with it.");
}
