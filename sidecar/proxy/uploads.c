/*
 * An upload, on the loop: multipart in, jobs for the storage thread out, one at a time. The files
 * themselves are store/upload_files.c's.
 *
 * While a job runs, what it works with (files, piece) is the thread's. An upload whose client has
 * gone lives on until its job is done and nothing of it is left on the disk.
 */
#include "proxy/uploads.h"

#include "log/log.h"
#include "proxy/multipart.h"
#include "store/upload_files.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

enum upload_job { UPLOAD_ADD = 0, UPLOAD_WRITE, UPLOAD_COMMIT, UPLOAD_DISCARD };

struct upload_fact { /* what the answer says about a file */
    struct str name, type;
    int64_t size;
};

struct upload {
    struct list node; /* in proxy->uploads, until its client is served or gone */
    struct store *store;
    struct pump *pump; /* NULL: the client is gone, or served */
    struct multipart form;
    bool is_file;  /* the part under way is a file that is wanted */
    bool is_whole; /* the request's last byte was read */
    bool is_over;  /* answered */
    bool is_kept;  /* and the files stay */
    int64_t bytes; /* content of all parts */
    size_t fact_count;
    struct upload_fact facts[UPLOAD_FILES_MAX];

    bool is_busy; /* a job runs: the rest is the thread's */
    enum upload_job job;
    char safe_name[UPLOAD_NAME_BYTES];
    struct str piece;
    struct upload_files files;
};

/* ---- on the storage thread ---- */

static void do_job(void *arg, struct err *err)
{
    struct upload *up = arg;

    switch (up->job) {
    case UPLOAD_ADD:
        (void)upload_files_add(&up->files, up->safe_name, err);
        break;
    case UPLOAD_WRITE:
        (void)upload_files_write(&up->files, str_slice(&up->piece), err);
        break;
    case UPLOAD_COMMIT:
        (void)upload_files_commit(&up->files, err);
        break;
    case UPLOAD_DISCARD:
        upload_files_discard(&up->files);
        break;
    }
}

/* ---- on the loop ---- */

static void on_job_done(void *arg, int code, const char *message);

static void upload_free(struct upload *up)
{
    upload_files_close(&up->files);
    for (size_t i = 0; i < up->fact_count; i++) {
        str_release(&up->facts[i].name);
        str_release(&up->facts[i].type);
    }
    str_release(&up->piece);
    free(up);
}

static int start_job(struct upload *up, enum upload_job job)
{
    int code;

    up->job = job;
    up->is_busy = true;
    code = store_run(up->store, do_job, on_job_done, up);
    if (code)
        up->is_busy = false;
    return code;
}

/* Its client is served or gone: what is not to stay is taken away, then the upload goes. */
static void settle(struct upload *up)
{
    if (up->is_busy)
        return;
    if (!up->is_kept && up->files.n > 0) {
        if (start_job(up, UPLOAD_DISCARD) == 0)
            return;
        upload_files_discard(&up->files); /* no room for the job: we are ending, or swamped */
    }
    if (!up->pump)
        upload_free(up);
}

static void answer(struct upload *up, int status, struct slice json)
{
    up->is_over = true;
    up->pump->state = PUMP_DONE;
    exchange_note(up->pump->x, "uploads");
    exchange_answer_json(up->pump->x, status, json);
}

static void fail(struct upload *up, int status, const char *sentence)
{
    CLEANUP(str_release) struct str body = {0};

    str_addz(&body, "{\"error\":");
    str_add_json(&body, slice_of(sentence));
    str_addz(&body, "}");
    exchange_set_last(up->pump->x); /* the rest of the body is nobody's */
    answer(up, status, str_ok(&body) ? str_slice(&body) : SLICE("{}"));
    settle(up);
}

static void disk_failed(struct upload *up, int code)
{
    if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG)
        fail(up, 507, "there is no room for the files");
    else if (code == -E2BIG)
        fail(up, 413, "too many files in one upload");
    else if (code == -EAGAIN || code == -ENOMEM)
        fail(up, 503, "the sidecar is busy; try again");
    else
        fail(up, 500, "the files cannot be stored; the sidecar's log says why");
}

static void answer_files(struct upload *up)
{
    CLEANUP(str_release) struct str body = {0};

    str_addz(&body, "{\"files\":[");
    for (size_t i = 0; i < up->fact_count; i++) {
        const struct upload_fact *fact = &up->facts[i];
        CLEANUP(str_release) struct str uri = {0};

        str_addf(&uri, "workspace:%s/%s", up->files.dir, up->files.v[i].name);
        str_addz(&body, i > 0 ? ",{\"uri\":" : "{\"uri\":");
        str_add_json(&body, str_slice(&uri));
        str_addz(&body, ",\"name\":");
        str_add_json(&body, str_slice(&fact->name));
        str_addz(&body, ",\"mimeType\":");
        str_add_json(&body, str_slice(&fact->type));
        str_addf(&body, ",\"size\":%lld}", (long long)fact->size);
        if (!str_ok(&uri))
            body.failed = true;
    }
    str_addz(&body, "]}");
    if (!str_ok(&body)) {
        fail(up, 503, "no memory for the answer");
        return;
    }
    up->is_kept = true;
    answer(up, 200, str_slice(&body));
}

static void try_job(struct upload *up, enum upload_job job)
{
    int code = start_job(up, job);

    if (code)
        disk_failed(up, code);
}

static void finish(struct upload *up)
{
    if (!multipart_is_complete(&up->form))
        fail(up, 400, "the multipart body ends before its last boundary");
    else if (up->fact_count == 0)
        fail(up, 400, "no file in the field \"files\"");
    else
        try_job(up, UPLOAD_COMMIT);
}

static void on_job_done(void *arg, int code, const char *message)
{
    struct upload *up = arg;

    up->is_busy = false;
    if (code)
        log_warning("proxy", "an upload fails: %s", message);
    if (!up->pump || up->is_over) {
        settle(up);
    } else if (code) {
        disk_failed(up, code);
    } else if (up->job == UPLOAD_COMMIT) {
        answer_files(up);
    } else if (up->is_whole) {
        finish(up);
    } else {
        str_truncate(&up->piece, 0);
        exchange_resume_body(up->pump->x);
    }
}

/* ---- parts ---- */

/* The last part of what the client says, for people; and a media type that is one. */
static bool note_file(struct upload *up, const struct multipart_event *e)
{
    struct upload_fact *fact = &up->facts[up->fact_count++];
    struct slice name = e->filename;
    bool has_type =
        e->type.n > 0 && e->type.n <= UPLOAD_TYPE_MAX && memchr(e->type.p, '/', e->type.n);

    for (size_t i = name.n; i > 0; i--) {
        if (name.p[i - 1] == '/' || name.p[i - 1] == '\\') {
            name.p += i;
            name.n -= i;
            break;
        }
    }
    str_add(&fact->name, name);
    str_add(&fact->type, has_type ? e->type : SLICE("application/octet-stream"));
    return str_ok(&fact->name) && str_ok(&fact->type);
}

static void on_part(struct upload *up, const struct multipart_event *e)
{
    up->is_file = slice_eq(e->name, SLICE("files")) && e->filename.p;
    if (!up->is_file)
        return;
    if (up->fact_count == UPLOAD_FILES_MAX) {
        fail(up, 413, "too many files in one upload");
    } else if (!note_file(up, e)) {
        fail(up, 503, "no memory for this upload");
    } else {
        upload_safe_name(e->filename, up->safe_name);
        try_job(up, UPLOAD_ADD);
    }
}

static void on_data(struct upload *up, struct slice data)
{
    up->bytes += (int64_t)data.n;
    if (up->bytes > UPLOAD_REQUEST_BYTES_MAX) {
        fail(up, 413, "the files are larger than the 50 MiB allowed together");
        return;
    }
    if (!up->is_file)
        return;
    up->facts[up->fact_count - 1].size += (int64_t)data.n;
    if (up->facts[up->fact_count - 1].size > UPLOAD_FILE_BYTES_MAX) {
        fail(up, 413, "a file is larger than the 25 MiB allowed");
        return;
    }
    str_add(&up->piece, data);
    if (!str_ok(&up->piece))
        fail(up, 503, "no memory for this upload");
    else if (up->piece.len >= EXCHANGE_WRITE_MAX)
        try_job(up, UPLOAD_WRITE);
}

static void on_event(struct upload *up, const struct multipart_event *e)
{
    switch (e->kind) {
    case MULTIPART_PART:
        on_part(up, e);
        break;
    case MULTIPART_DATA:
        on_data(up, e->data);
        break;
    case MULTIPART_PART_END:
        if (up->is_file && up->piece.len > 0)
            try_job(up, UPLOAD_WRITE);
        up->is_file = false;
        break;
    case MULTIPART_END:
    case MULTIPART_MORE:
        break;
    }
}

size_t upload_on_body(struct pump *u, struct slice bytes)
{
    struct upload *up = u->upload;
    size_t used = 0;

    while (used < bytes.n && !up->is_busy && !up->is_over) {
        struct multipart_event e;
        const char *why = NULL;
        long n =
            multipart_feed(&up->form, (struct slice){bytes.p + used, bytes.n - used}, &e, &why);

        if (n < 0) {
            fail(up, 400, why);
            break;
        }
        used += (size_t)n;
        on_event(up, &e);
    }
    return up->is_over ? bytes.n : used;
}

void upload_on_body_end(struct pump *u)
{
    struct upload *up = u->upload;

    up->is_whole = true;
    if (!up->is_busy && !up->is_over)
        finish(up);
}

/* ---- begin and end ---- */

static void refuse(struct proxy *p, struct exchange *x, int status, struct slice json)
{
    proxy_count(p, OUTCOME_LOCAL);
    exchange_note(x, "uploads");
    exchange_answer_json(x, status, json);
}

void upload_begin(struct proxy *p, struct exchange *x)
{
    const struct http_request *rq = exchange_request(x);
    const struct http_field *type = http_request_field(rq, FIELD_CONTENT_TYPE);
    struct upload *up;
    struct pump *u;
    enum failure f;

    if (!p->store || !*p->cfg->forward.uploads_dir) {
        refuse(p, x, 501,
               SLICE("{\"error\":\"this sidecar does not store uploaded files: set "
                     "forward.uploads_dir, or send them as parts of a message\"}"));
        return;
    }
    if (proxy_turns_away(p, &f) && f != FAILURE_PAUSED) { /* a pause is for the agent */
        proxy_refuse(p, x, f, pump_outcome(f));
        return;
    }
    if (rq->framing == HTTP_BODY_LENGTH &&
        rq->content_length > UPLOAD_REQUEST_BYTES_MAX + UPLOAD_FRAMING_BYTES_MAX) {
        refuse(p, x, 413,
               SLICE("{\"error\":\"the files are larger than the 50 MiB allowed together\"}"));
        return;
    }
    if (p->stats.uploads == UPLOADS_AT_ONCE) {
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED);
        return;
    }
    up = calloc(1, sizeof(*up));
    if (!up) {
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED);
        return;
    }
    upload_files_init(&up->files, p->cfg->forward.uploads_dir);
    if (multipart_begin(&up->form, type ? type->value : (struct slice){0}) != 0) {
        refuse(p, x, 400,
               SLICE("{\"error\":\"Content-Type must be multipart/form-data with a boundary\"}"));
        upload_free(up);
        return;
    }
    u = pump_new(p, x);
    if (!u) {
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED);
        upload_free(up);
        return;
    }
    u->upload = up;
    u->outcome = OUTCOME_LOCAL;
    up->pump = u;
    up->store = p->store;
    list_append(&p->uploads, &up->node);
    p->stats.uploads++;
}

const struct pump *upload_first(const struct proxy *p)
{
    struct list *first = list_first(&p->uploads);

    return first ? container_of(first, struct upload, node)->pump : NULL;
}

void upload_leave(struct pump *u)
{
    struct upload *up = u->upload;

    u->upload = NULL;
    list_remove(&up->node);
    u->proxy->stats.uploads--;
    up->pump = NULL;
    settle(up);
}
