/*
 * A list that only grows, and its page.
 */
#include "devplatform/answers.h"

#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdlib.h>

void answers_init(struct answers *a)
{
    *a = (struct answers){0};
}

static void text_free(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = {text}; /* ours since answers_add() copied it */

    free(u.out);
}

void answers_release(struct answers *a)
{
    for (size_t i = 0; i < a->count; i++) {
        text_free(a->at[i].from);
        text_free(a->at[i].to);
        text_free(a->at[i].text);
        text_free(a->at[i].message_id);
        text_free(a->at[i].in_reply_to);
    }
    free(a->at);
    *a = (struct answers){0};
}

static char *copy(const char *text)
{
    return text && text[0] ? strdup(text) : NULL;
}

const struct answered *answers_add(struct answers *a, const struct answered *one)
{
    struct answered *kept;

    if (a->count == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 256;
        struct answered *more = a->count < ANSWERS_MAX ? realloc(a->at, cap * sizeof(*more)) : NULL;
        if (!more)
            return NULL;
        a->at = more;
        a->cap = cap;
    }
    kept = &a->at[a->count++];
    *kept = (struct answered){
        .number = (int64_t)a->count,
        .at_ms = one->at_ms ? one->at_ms : wall_us() / 1000,
        .kind = one->kind,
        .from = copy(one->from),
        .to = copy(one->to),
        .text = copy(one->text),
        .message_id = copy(one->message_id),
        .in_reply_to = copy(one->in_reply_to),
    };
    return kept;
}

static const char *first_text_of(struct json_object *message)
{
    struct json_object *parts = json_object_object_get(message, "parts");
    struct json_object *part = json_object_is_type(parts, json_type_array) && parts
                                   ? json_object_array_get_idx(parts, 0)
                                   : NULL;

    return json_object_is_type(part, json_type_object) && part ? field_text(part, "text") : "";
}

const struct answered *answers_on_message(struct answers *a, struct slice caller,
                                          const struct workspace *to, struct json_object *body)
{
    struct json_object *message = body_message(body);
    struct json_object *meta = message ? json_object_object_get(message, "metadata") : NULL;
    char from[WORLD_ID_LEN + 1];

    if (!json_object_is_type(meta, json_type_object) || !meta ||
        (!field_text(meta, "in_reply_to")[0] && !json_object_object_get(meta, "reply")))
        return NULL;
    text_copy(from, sizeof(from), caller);
    return answers_add(a, &(struct answered){.kind = "reply",
                                             .from = from,
                                             .to = to->id,
                                             .text = first_text_of(message),
                                             .message_id = field_text(message, "messageId"),
                                             .in_reply_to = field_text(meta, "in_reply_to")});
}

static struct json_object *to_json(const struct answered *one)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "n", json_object_new_int64(one->number));
    json_object_object_add(o, "at_ms", json_object_new_int64(one->at_ms));
    json_object_object_add(o, "kind", json_object_new_string(one->kind));
    json_add_text(o, "from", one->from);
    json_add_text(o, "to", one->to);
    json_add_text(o, "text", one->text);
    json_add_text(o, "message_id", one->message_id);
    json_add_text(o, "in_reply_to", one->in_reply_to);
    return o;
}

void handle_dev_answers(struct call *c)
{
    const struct answers *a = &c->dp->answers;
    struct json_object *list, *o;
    char since[24] = "0";
    int64_t n = 0;

    call_query(c, "since", since, sizeof(since));
    if (parse_int64(slice_of(since), 0, INT64_MAX, &n) < 0) {
        call_error(c, 400, "since must be the n of an answer: a number");
        return;
    }
    list = json_object_new_array();
    for (size_t i = (size_t)n; i < a->count && json_object_array_length(list) < ANSWERS_PAGE_MAX;
         i++)
        json_object_array_add(list, to_json(&a->at[i]));
    o = json_object_new_object();
    json_object_object_add(o, "count", json_object_new_int64((int64_t)a->count));
    json_object_object_add(o, "answers", list);
    call_answer(c, 200, o);
}
