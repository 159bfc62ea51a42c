/*
 * An agent that streams although one answer was asked for: its events, folded into the task or
 * message they amount to (A sections 1.4, 4.2). Nobody reads such a stream while it runs.
 */
#include "inbox/answer_parts.h"

#include "base/json_read.h"
#include "inbox/agent_answer.h"

#include <string.h>

#include "base/banned.h"

enum { STREAM_ARTIFACTS_MAX = 1000 }; /* of one task; later ones are not read */

struct fold {
    struct json_object *answer; /* owned: a message, an error's envelope, or the task */
    struct json_object *task;   /* owned */
    bool is_bad;
};

bool parts_is_stream(struct slice s)
{
    return slice_starts_with(s, SLICE("data:")) || slice_starts_with(s, SLICE("event:")) ||
           slice_starts_with(s, SLICE("id:")) || slice_starts_with(s, SLICE("retry:")) ||
           (s.n > 0 && s.p[0] == ':');
}

static void set(struct json_object *into, const char *name, struct json_object *value)
{
    if (value)
        (void)json_object_object_add(into, name, json_object_get(value));
}

static struct json_object *the_task(struct fold *f)
{
    if (!f->task) {
        f->task = json_object_new_object();
        if (f->task) /* without a status it is one of unknown fate, not a value to be shown */
            (void)json_object_object_add(f->task, "kind", json_object_new_string("task"));
    }
    return f->task;
}

static void fold_status(struct fold *f, struct json_object *event)
{
    struct json_object *task = the_task(f);

    if (!task)
        return;
    set(task, "status", json_read_member(event, "status"));
    set(task, "contextId", json_read_member(event, "contextId"));
    set(task, "id", json_read_member(event, "taskId"));
}

static bool is_same(struct json_object *a, struct json_object *b)
{
    return json_object_is_type(a, json_type_string) && json_object_is_type(b, json_type_string) &&
           strcmp(json_object_get_string(a), json_object_get_string(b)) == 0;
}

/* The place of the artifact of this id, or the one behind the last. */
static size_t find_artifact(struct json_object *all, struct json_object *id)
{
    size_t n = json_object_array_length(all);

    for (size_t i = 0; i < n; i++)
        if (is_same(json_read_member(json_object_array_get_idx(all, i), "artifactId"), id))
            return i;
    return n;
}

static void append_parts(struct json_object *to, struct json_object *from)
{
    struct json_object *old = json_read_member(to, "parts");
    struct json_object *more = json_read_member(from, "parts");

    if (!json_object_is_type(old, json_type_array) || !json_object_is_type(more, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(more); i++)
        (void)json_object_array_add(old, json_object_get(json_object_array_get_idx(more, i)));
}

static void fold_artifact(struct fold *f, struct json_object *event)
{
    struct json_object *task = the_task(f);
    struct json_object *artifact = json_read_member(event, "artifact");
    struct json_object *all = json_read_member(task, "artifacts");
    bool is_more = json_object_get_boolean(json_read_member(event, "append"));

    if (!task || !json_object_is_type(artifact, json_type_object))
        return;
    if (!json_object_is_type(all, json_type_array)) {
        all = json_object_new_array();
        if (!all || json_object_object_add(task, "artifacts", all) != 0)
            return;
    }
    size_t at = find_artifact(all, json_read_member(artifact, "artifactId"));
    if (at == json_object_array_length(all)) {
        if (at < STREAM_ARTIFACTS_MAX)
            (void)json_object_array_add(all, json_object_get(artifact));
    } else if (is_more) {
        append_parts(json_object_array_get_idx(all, at), artifact);
    } else {
        (void)json_object_array_put_idx(all, at, json_object_get(artifact));
    }
}

static bool is_kind(struct json_object *o, const char *kind)
{
    struct json_object *v = json_read_member(o, "kind");

    return json_object_is_type(v, json_type_string) && strcmp(json_object_get_string(v), kind) == 0;
}

static void take_task(struct fold *f, struct json_object *task)
{
    json_object_put(f->task);
    f->task = json_object_get(task);
}

static void take_answer(struct fold *f, struct json_object *answer)
{
    json_object_put(f->answer);
    f->answer = json_object_get(answer);
}

static void fold_event(struct fold *f, struct json_object *event)
{
    struct json_object *o = json_read_member(event, "result");

    if (json_read_member(event, "error"))
        o = NULL;
    else if (!o)
        o = event; /* as the REST binding has them */
    struct json_object *status = json_read_member(o, "statusUpdate");
    struct json_object *artifact = json_read_member(o, "artifactUpdate");
    struct json_object *task = json_read_member(o, "task");

    if (status || is_kind(o, "status-update"))
        fold_status(f, status ? status : o);
    else if (artifact || is_kind(o, "artifact-update"))
        fold_artifact(f, artifact ? artifact : o);
    else if (task || is_kind(o, "task"))
        take_task(f, task ? task : o);
    else
        take_answer(f, event);
}

static struct slice next_line(struct slice *rest)
{
    size_t n = 0;
    struct slice line;

    while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
        n++;
    line = (struct slice){rest->p, n};
    if (n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n')
        n++;
    if (n < rest->n)
        n++;
    *rest = (struct slice){rest->p + n, rest->n - n};
    return line;
}

static void end_event(struct fold *f, struct str *data)
{
    struct json_object *event = NULL;

    if (data->len > 0 && parts_parse(str_slice(data), &event) &&
        json_object_is_type(event, json_type_object))
        fold_event(f, event);
    json_object_put(event);
    f->is_bad = f->is_bad || data->failed;
    str_truncate(data, 0);
}

static void fold_stream(struct fold *f, struct slice body)
{
    struct str data = {0};

    while (body.n > 0 && !f->is_bad) {
        struct slice line = next_line(&body);

        if (line.n == 0) {
            end_event(f, &data);
        } else if (slice_starts_with(line, SLICE("data:"))) {
            if (data.len > 0)
                str_addz(&data, "\n");
            str_add(&data, slice_trim((struct slice){line.p + 5, line.n - 5}));
        }
    }
    end_event(f, &data); /* the blank line behind the last one is missing */
    str_release(&data);
}

bool parts_of_stream(struct slice body, struct json_object **ret)
{
    struct fold f = {0};

    *ret = NULL;
    fold_stream(&f, body);
    if (!f.is_bad && f.task && !json_read_member(f.answer, "error")) {
        *ret = json_object_new_object();
        if (*ret)
            (void)json_object_object_add(*ret, "result", json_object_get(f.task));
    } else if (!f.is_bad && f.answer) {
        *ret = json_object_get(f.answer);
    }
    json_object_put(f.task);
    json_object_put(f.answer);
    return *ret != NULL;
}
