/*
 * Files that wait to be fetched, and the three calls about them.
 */
#include "devplatform/pending.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "devplatform/auth.h"
#include "devplatform/fields.h"
#include "devplatform/formdata.h"
#include "devplatform/handlers.h"

#include <stdio.h>
#include <stdlib.h>

void pending_init(struct pending *p, int64_t ttl_ms)
{
    *p = (struct pending){.ttl_ms = ttl_ms};
    list_init(&p->files);
}

void pending_remove(struct pending *p, struct pending_file *f)
{
    list_remove(&f->node);
    p->total_bytes -= f->size;
    free(f->bytes);
    free(f);
}

void pending_release(struct pending *p)
{
    LIST_FOREACH(it, &p->files)
    pending_remove(p, container_of(it, struct pending_file, node));
}

struct pending_file *pending_add(struct pending *p, const char *workspace_id, struct slice name,
                                 struct slice type, struct slice bytes)
{
    struct pending_file *f;

    if (bytes.n > PENDING_TOTAL_BYTES - p->total_bytes)
        return NULL;
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->bytes = malloc(bytes.n + 1);
    if (!f->bytes) {
        free(f);
        return NULL;
    }
    if (bytes.n > 0)
        memcpy(f->bytes, bytes.p, bytes.n);
    f->size = bytes.n;
    uuid_make(f->id);
    text_copy(f->workspace_id, sizeof(f->workspace_id), slice_of(workspace_id));
    text_copy(f->name, sizeof(f->name), name);
    text_copy(f->type, sizeof(f->type), type.n ? type : SLICE("application/octet-stream"));
    f->uploaded_us = wall_us();
    list_append(&p->files, &f->node);
    p->total_bytes += f->size;
    return f;
}

struct pending_file *pending_find(const struct pending *p, const char *workspace_id,
                                  struct slice id)
{
    LIST_FOREACH(it, &p->files)
    {
        struct pending_file *f = container_of(it, struct pending_file, node);
        if (slice_eq(id, slice_of(f->id)) && strcmp(f->workspace_id, workspace_id) == 0)
            return f;
    }
    return NULL;
}

struct pending_file *pending_expired(const struct pending *p, int64_t now_us)
{
    struct list *first = list_first(&p->files); /* the oldest */
    struct pending_file *f = first ? container_of(first, struct pending_file, node) : NULL;

    return f && f->uploaded_us <= now_us - p->ttl_ms * 1000 ? f : NULL;
}

struct pending_file *pending_of(const struct pending *p, const char *workspace_id)
{
    LIST_FOREACH(it, &p->files)
    {
        struct pending_file *f = container_of(it, struct pending_file, node);
        if (strcmp(f->workspace_id, workspace_id) == 0)
            return f;
    }
    return NULL;
}

/* ---- the upload
 * ------------------------------------------------------------------------------------------------
 */

static struct slice base_name(struct slice name)
{
    for (size_t i = name.n; i > 0; i--) {
        if (name.p[i - 1] == '/' || name.p[i - 1] == '\\')
            return (struct slice){name.p + i, name.n - i};
    }
    return name;
}

static struct json_object *file_to_json(const struct pending_file *f)
{
    struct json_object *o = json_object_new_object();
    char uri[2 * WORLD_ID_LEN + 32];

    snprintf(uri, sizeof(uri), "platform-pending:%s/%s", f->workspace_id, f->id);
    json_object_object_add(o, "uri", json_object_new_string(uri));
    json_object_object_add(o, "name", json_object_new_string(f->name));
    json_object_object_add(o, "mimeType", json_object_new_string(f->type));
    json_object_object_add(o, "size", json_object_new_int64((int64_t)f->size));
    return o;
}

/* How many files the form has; or 0 and why it is refused. */
static size_t count_files(struct form form, int *ret_status, const char **ret_problem)
{
    struct form_part part;
    size_t n = 0;

    *ret_status = 400;
    while (form_next(&form, &part)) {
        if (!slice_eq(part.name, SLICE("files")))
            continue;
        if (part.bytes.n > PENDING_FILE_BYTES) {
            *ret_status = 413;
            *ret_problem = "file is larger than 25 MB";
            return 0;
        }
        n++;
    }
    *ret_problem = !form.is_over ? "failed to parse multipart form"
                   : n == 0      ? "no files"
                                 : "too many files: at most 64";
    return form.is_over && n <= PENDING_FILES_MAX ? n : 0;
}

/* The row of one file; all of one upload have one time, as of one transaction. */
static void announce(struct call *c, const struct pending_file *f, int64_t us,
                     struct json_object *shown)
{
    struct row *r = row_new(&c->dp->world.rows, f->workspace_id, "a2a_receive");
    struct json_object *body;

    if (!r)
        return;
    body = json_object_new_object();
    json_object_object_add(body, "file_id", json_object_new_string(f->id));
    json_object_object_foreach(shown, key, value)
        json_object_object_add(body, key, json_object_get(value));
    r->created_us = us;
    text_copy(r->target_id, sizeof(r->target_id), slice_of(f->workspace_id));
    text_set(&r->method, "chat_upload_receive");
    text_set(&r->summary, f->name);
    row_set_request(r, body);
    json_object_put(body);
    feed_publish_now(&c->dp->feed, r, true);
}

void handle_pending_upload(struct call *c, struct workspace *ws)
{
    struct json_object *o, *list;
    const char *problem = "expected multipart/form-data with field \"files\"";
    struct form_part part;
    struct form form;
    int64_t us = wall_us();
    size_t n;
    int status = 400;

    n = form_begin(&form, call_header(c, "Content-Type"), str_slice(&c->body))
            ? count_files(form, &status, &problem)
            : 0;
    if (n == 0) {
        call_error(c, status, problem);
        return;
    }
    if (c->body.len > PENDING_TOTAL_BYTES - c->dp->pending.total_bytes) {
        call_error(c, 503, "no room for more uploads");
        return;
    }
    list = json_object_new_array();
    while (form_next(&form, &part)) {
        struct pending_file *f =
            slice_eq(part.name, SLICE("files"))
                ? pending_add(&c->dp->pending, ws->id,
                              part.filename.n ? base_name(part.filename) : SLICE("file"), part.type,
                              part.bytes)
                : NULL;
        if (!f)
            continue;
        data_on_file(c->dp->data, f);
        o = file_to_json(f);
        announce(c, f, us, o);
        json_object_array_add(list, o);
    }
    call_note(c, "%zu files wait to be fetched", n);
    o = json_object_new_object();
    json_object_object_add(o, "files", list);
    call_answer(c, 200, o);
}

/* ---- the agent fetches
 * ---------------------------------------------------------------------------------------------
 */

/* The file of the path; NULL: the call was answered. */
static struct pending_file *file_for(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct pending_file *f;

    if (!auth_workspace(c, ws))
        return NULL;
    if (!is_uuid(c->params[1])) {
        call_error(c, 400, "invalid file id");
        return NULL;
    }
    devplatform_expire_files(c->dp, wall_us());
    f = ws ? pending_find(&c->dp->pending, ws->id, c->params[1]) : NULL;
    if (!f)
        call_error(c, 404, "pending upload not found");
    return f;
}

void handle_pending_content(struct call *c)
{
    const struct pending_file *f = file_for(c);

    if (f)
        call_answer_file(c, f->type, f->name, (struct slice){f->bytes, f->size});
}

void handle_pending_ack(struct call *c)
{
    struct pending_file *f = file_for(c);
    struct json_object *o;

    if (!f)
        return;
    call_note(c, "%s is fetched", f->name);
    data_drop_file(c->dp->data, f->id);
    pending_remove(&c->dp->pending, f);
    o = json_object_new_object();
    json_object_object_add(o, "acked", json_object_new_boolean(true));
    call_answer(c, 200, o);
}
