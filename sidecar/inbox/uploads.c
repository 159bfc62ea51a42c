/*
 * Files that people attach for an agent that polls (P section 16): announced in the feed, fetched
 * into forward.uploads_dir one after the other, acknowledged once file and journal are durable.
 * Nothing here holds up the feed.
 *
 *   waiting -> fetching -> writing (storage thread) -> saving (journal) -> acknowledging -> done
 *      ^______________________________|  back-off                               given up: 404
 *
 * How far each is stands in the journal, in the `why` of its skipped row: a restart goes on.
 */
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_scan.h"
#include "inbox/page.h"
#include "inbox/upload_table.h"
#include "log/log.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

enum {
    UPLOAD_BYTES_MAX = 25 * 1024 * 1024, /* P section 16 */
    UPLOAD_TIMEOUT_MS = 60 * 1000,       /* P section 4.1 */
    UPLOAD_BACKOFF_MS = 1000,
    UPLOAD_SHORT_MS = 30 * 1000, /* nothing is fetched while the rate limit is nearly used up */
    UPLOAD_BACKOFF_MAX_MS = 5 * 60 * 1000,
};
#define UPLOADS_STORED "upload: acknowledged later, stored at "
#define UPLOADS_DONE   "upload: stored at "
#define UPLOADS_GONE   "upload: given up: "
#define PENDING        "platform-pending:"

struct upload_write {  /* the storage thread's while it runs */
    struct uploads *u; /* NULL: nobody waits any more */
    struct upload_files files;
    char *dir;
    struct str bytes;
    char safe_name[UPLOAD_NAME_BYTES];
};

struct uploads {
    struct inbox *i;
    struct upload_table known;
    struct upload *at; /* the one under way; NULL = none */
    struct call call;
    struct str bytes; /* of the file being fetched */
    bool is_too_long;
    struct upload_write *writing;
    struct timer timer;
    int64_t read_seq; /* what the journal has told up to here */
    int64_t started_ms;
    bool is_on, is_read;
};

static void go_on(struct uploads *u);
static void note(struct uploads *u, const struct upload *up, const char *words, const char *more,
                 journal_done_fn *done);

int uploads_new(struct inbox *i)
{
    struct uploads *u = calloc(1, sizeof(*u));

    if (!u)
        return -ENOMEM;
    u->i = i;
    upload_table_init(&u->known);
    i->uploads = u;
    return 0;
}

static bool is_used(const struct uploads *u)
{
    return u->i->cfg->forward.uploads_dir && u->i->cfg->forward.uploads_dir[0];
}

void uploads_stop(struct inbox *i)
{
    struct uploads *u = i->uploads;

    if (!u)
        return;
    u->is_on = false;
    timer_stop(&u->timer);
    call_cancel(&u->call);
    str_release(&u->bytes);
    if (!u->writing)
        u->at = NULL;
}

void uploads_free(struct inbox *i)
{
    struct uploads *u = i->uploads;

    if (!u)
        return;
    uploads_stop(i);
    if (u->writing)
        u->writing->u = NULL;
    upload_table_clear(&u->known);
    free(u);
    i->uploads = NULL;
}

/* ---- what is known -----------------------------------------------------------------------------
 */

/* It goes into a path. */
static bool is_file_id(struct slice s)
{
    for (size_t k = 0; k < s.n; k++) {
        char c = s.p[k];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return s.n > 0 && s.n <= UPLOAD_ID_MAX;
}

static void read_name(struct slice request, char ret[UPLOAD_NAME_BYTES])
{
    struct slice value;
    char name[1024] = "";

    if (!page_member(request, "name", &value) || json_string_decode(value, name, sizeof(name)) <= 0)
        (void)snprintf(name, sizeof(name), "file");
    upload_safe_name(slice_of(name), ret);
}

/* The step that an earlier run had reached. */
static void read_why(struct upload *up, const char *why)
{
    static const struct {
        const char *prefix;
        enum upload_step step;
    } words[] = {
        {UPLOADS_STORED, UPLOAD_STORED}, {UPLOADS_DONE, UPLOAD_DONE}, {UPLOADS_GONE, UPLOAD_GONE}};

    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        size_t n = strlen(words[k].prefix);

        if (!why || strncmp(why, words[k].prefix, n) != 0)
            continue;
        up->step = words[k].step;
        if (up->step != UPLOAD_GONE)
            up->path = slice_dup(slice_of(why + n));
        return;
    }
}

/* The one that waits for longest, so that a long outage does not keep news out. */
static void give_way(struct uploads *u)
{
    struct upload *up = upload_oldest_waiting(&u->known, u->at);

    if (!up)
        return;
    log_warning("inbox", "file %s (%s) is given up: more than %d announced files wait", up->file_id,
                up->safe_name, UPLOADS_WAITING_MAX);
    note(u, up, UPLOADS_GONE, "too many others waited behind it", NULL);
    upload_forget(&u->known, up);
}

static void learn(struct uploads *u, const struct journal_message *m)
{
    struct slice request = slice_of(m->request), value, file_id;
    struct upload *up;

    if (!page_member(request, "file_id", &value) || !page_plain_text(value, &file_id) ||
        !is_file_id(file_id)) {
        log_warning("inbox", "row %s announces a file without a usable file_id", m->row_id);
        return;
    }
    up = upload_find(&u->known, file_id);
    if (up && strcmp(up->row_id, m->row_id) == 0)
        up->seq = m->seq; /* another one in a journal begun anew */
    if (up)
        return;
    up = calloc(1, sizeof(*up));
    if (!up)
        return; /* the journal has it: the next start sees it */
    memcpy(up->file_id, file_id.p, file_id.n);
    memcpy(up->row_id, m->row_id, sizeof(up->row_id));
    up->seq = m->seq;
    up->seen_ms = loop_now_ms(u->i->loop);
    read_name(request, up->safe_name);
    read_why(up, m->why);
    if (up->step == UPLOAD_GONE || !upload_make_room(&u->known)) {
        free(up->path);
        free(up);
        return;
    }
    upload_add(&u->known, up);
    if (u->known.waiting > UPLOADS_WAITING_MAX)
        give_way(u);
}

void uploads_saw(struct inbox *i, const struct journal_message *m)
{
    if (!is_used(i->uploads))
        return;
    learn(i->uploads, m);
    go_on(i->uploads);
}

/* ---- from the journal --------------------------------------------------------------------------
 */

static void read_more(struct uploads *u);

static void on_read(void *arg, int code, struct journal_message *v, size_t n)
{
    struct uploads *u = arg;

    for (size_t k = 0; k < n && code == 0; k++) {
        u->read_seq = v[k].seq;
        learn(u, &v[k]);
    }
    if (code == 0 && n > 0) {
        read_more(u);
        return;
    }
    u->is_read = true;
    go_on(u);
}

static void read_more(struct uploads *u)
{
    struct journal_query q = {.states = 1U << JOURNAL_SKIPPED,
                              .after_seq = u->read_seq,
                              .conversation = UPLOADS_CONVERSATION};

    if (journal_read(u->i->journal, &q, on_read, u) < 0)
        u->is_read = true; /* no memory, or the end */
}

void uploads_start(struct inbox *i)
{
    struct uploads *u = i->uploads;

    if (u->is_on || !is_used(u))
        return;
    u->is_on = true;
    u->started_ms = loop_now_ms(i->loop);
    if (u->is_read || u->read_seq > 0)
        go_on(u);
    else
        read_more(u);
}

/* ---- one file ----------------------------------------------------------------------------------
 */

static void note(struct uploads *u, const struct upload *up, const char *words, const char *more,
                 journal_done_fn *done)
{
    struct journal_message m = {.seq = up->seq, .state = JOURNAL_SKIPPED};
    struct str why = {0};

    memcpy(m.row_id, up->row_id, sizeof(m.row_id));
    str_addf(&why, "%s%s", words, more);
    m.why = str_take(&why);
    int code = m.why ? journal_set(u->i->journal, &m, NULL, done, u) : -ENOMEM;

    free(m.why);
    if (code < 0)
        log_debug("inbox", "file %s: not noted in the journal", up->file_id);
    if (code < 0 && done)
        done(u, code);
}

static void try_later(struct uploads *u, const char *why, int64_t floor_ms)
{
    struct upload *up = u->at;
    int64_t wait_ms = backoff_ms(UPLOAD_BACKOFF_MS, UPLOAD_BACKOFF_MAX_MS, up->failures++);

    up->due_ms = loop_now_ms(u->i->loop) + (wait_ms < floor_ms ? floor_ms : wait_ms);
    if (up->failures == 1)
        log_warning("inbox", "file %s (%s) was announced and could not be fetched: %s; trying on",
                    up->file_id, up->safe_name, why);
    u->at = NULL;
    go_on(u);
}

static void give_up(struct uploads *u, const char *why)
{
    struct upload *up = u->at;

    u->at = NULL;
    log_warning("inbox", "file %s (%s) was announced and is given up: %s", up->file_id,
                up->safe_name, why);
    note(u, up, UPLOADS_GONE, why, NULL);
    upload_forget(&u->known, up);
    go_on(u);
}

static void on_acked(void *arg, const struct reply *r)
{
    struct uploads *u = arg;

    if (r->status != 404 && r->status / 100 != 2) {
        try_later(u, r->error, r->wait_ms);
        return;
    }
    upload_set_step(&u->known, u->at, UPLOAD_DONE); /* 404: it is gone there already */
    note(u, u->at, UPLOADS_DONE, u->at->path ? u->at->path : "", NULL);
    u->at = NULL;
    go_on(u);
}

static void acknowledge(struct uploads *u)
{
    char path[192];

    (void)snprintf(path, sizeof(path), "/workspaces/%.36s/pending-uploads/%s/ack",
                   u->i->cfg->workspace.id, u->at->file_id);
    u->call.on_data = NULL;
    u->call.accept = NULL;
    call_send(&u->call, u->i->transport, path, SLICE("{}"), 0, on_acked, u);
}

static void on_noted(void *arg, int code)
{
    struct uploads *u = arg;

    if (!u->at || !u->is_on || u->at->step != UPLOAD_STORED || call_is_busy(&u->call))
        return; /* stopped meanwhile: the journal knows how far it is */
    if (code < 0)
        try_later(u, "it could not be noted in the journal", 0);
    else
        acknowledge(u);
}

/* ---- on the storage thread ---- */

static void write_file(void *arg, struct err *err)
{
    struct upload_write *w = arg;

    upload_files_init(&w->files, w->dir);
    if (upload_files_add(&w->files, w->safe_name, err) ||
        upload_files_write(&w->files, str_slice(&w->bytes), err) ||
        upload_files_commit(&w->files, err))
        upload_files_discard(&w->files);
    upload_files_close(&w->files);
}

static void write_free(struct upload_write *w)
{
    free(w->dir);
    str_release(&w->bytes);
    free(w);
}

static void on_written(void *arg, int code, const char *message)
{
    struct upload_write *w = arg;
    struct uploads *u = w->u;
    struct str path = {0};

    if (!u) {
        write_free(w);
        return;
    }
    u->writing = NULL;
    if (code < 0) {
        if (u->is_on)
            try_later(u, message, 0);
        else
            u->at = NULL;
    } else {
        str_addf(&path, "%s/%s", w->dir, w->files.v[0].name);
        u->at->path = str_take(&path);
        upload_set_step(&u->known, u->at, UPLOAD_STORED);
        u->at->failures = 0;
        log_info("inbox", "file %s is stored as %s", u->at->file_id,
                 u->at->path ? u->at->path : "(no memory)");
        note(u, u->at, UPLOADS_STORED, u->at->path ? u->at->path : "", on_noted);
        if (!u->is_on)
            u->at = NULL;
    }
    write_free(w);
}

static void write_it(struct uploads *u)
{
    struct upload_write *w = calloc(1, sizeof(*w));

    if (w) {
        w->u = u;
        w->dir = slice_dup(slice_of(u->i->cfg->forward.uploads_dir));
        w->bytes = u->bytes;
        u->bytes = (struct str){0};
        memcpy(w->safe_name, u->at->safe_name, sizeof(w->safe_name));
    }
    if (!w || !w->dir || store_run(u->i->store, write_file, on_written, w) < 0) {
        if (w)
            write_free(w);
        try_later(u, "the disk has no time for it, or there is no memory", 0);
        return;
    }
    u->writing = w;
}

/* ---- fetching ---- */

static bool on_piece(void *arg, struct slice bytes)
{
    struct uploads *u = arg;

    u->is_too_long |= bytes.n > UPLOAD_BYTES_MAX - u->bytes.len;
    if (!u->is_too_long)
        str_add(&u->bytes, bytes);
    return !u->is_too_long && str_ok(&u->bytes);
}

static void on_fetched(void *arg, const struct reply *r)
{
    struct uploads *u = arg;

    if (r->status == 200 && str_ok(&u->bytes)) {
        write_it(u);
        return;
    }
    str_release(&u->bytes);
    if (u->is_too_long)
        give_up(u, "it is longer than 25 MiB");
    else if (r->status == 404 || r->status == 400)
        give_up(u, "the platform does not have it (any more)");
    else
        try_later(u, r->error[0] ? r->error : "no memory", r->wait_ms);
    if (r->status == 401)
        platform_check_state_now(u->i->platform);
}

static void fetch(struct uploads *u)
{
    char path[192];

    (void)snprintf(path, sizeof(path), "/workspaces/%.36s/pending-uploads/%s/content",
                   u->i->cfg->workspace.id, u->at->file_id);
    str_release(&u->bytes);
    u->is_too_long = false;
    u->call.on_data = on_piece;
    u->call.accept = "*/*";
    call_send(&u->call, u->i->transport, path, (struct slice){0}, UPLOAD_TIMEOUT_MS, on_fetched, u);
}

static void on_timer(struct timer *t)
{
    go_on(t->arg);
}

/* Of those that are due the one that failed least, then the oldest; NULL: *ret_next_ms, if any. */
static struct upload *next_due(struct uploads *u, int64_t *ret_next_ms)
{
    bool is_short = transport_rate_is_short(u->i->transport);
    int64_t now = loop_now_ms(u->i->loop);
    struct upload *best = NULL;

    *ret_next_ms = INT64_MAX;
    LIST_FOREACH(node, &u->known.all)
    {
        struct upload *up = container_of(node, struct upload, node);
        int64_t due_ms = up->due_ms;

        if (up->step >= UPLOAD_DONE)
            continue;
        if (up->step == UPLOAD_WAITING && is_short && due_ms < now + UPLOAD_SHORT_MS)
            due_ms = now + UPLOAD_SHORT_MS;
        if (due_ms > now)
            *ret_next_ms = ms_min(*ret_next_ms, due_ms);
        else if (!best || up->failures < best->failures)
            best = up;
    }
    return best;
}

static void go_on(struct uploads *u)
{
    int64_t next_ms;

    if (u->at || !u->is_on || !u->is_read)
        return;
    timer_stop(&u->timer);
    u->at = next_due(u, &next_ms);
    if (u->at && u->at->step == UPLOAD_WAITING)
        fetch(u);
    else if (u->at)
        acknowledge(u);
    else if (next_ms != INT64_MAX)
        timer_start(&u->timer, u->i->loop, next_ms, on_timer, u);
}

/* ---- URIs in messages --------------------------------------------------------------------------
 */

/* The next "platform-pending:<our id>/<file id>" at or after *at; its ends. */
static bool next_uri(const struct uploads *u, const char *body, size_t *at, size_t *ret_end,
                     struct slice *ret_file_id)
{
    const char *own = u->i->cfg->workspace.id;
    const char *found;

    while ((found = strstr(body + *at, PENDING))) {
        const char *p = found + strlen(PENDING);
        const char *slash = p + strnlen(p, 36);

        *at = (size_t)(found - body);
        if (slice_eq_nocase((struct slice){p, (size_t)(slash - p)}, slice_of(own))) {
            slash += *slash == '\\'; /* JSON may write a slash so */
            const char *id = slash + (*slash == '/');
            size_t n = 0;

            while (n < UPLOAD_ID_MAX && is_file_id((struct slice){id + n, 1}))
                n++;
            *ret_file_id = (struct slice){id, n};
            *ret_end = (size_t)(id + n - body);
            if (id > slash && n > 0)
                return true;
        }
        *at += strlen(PENDING);
    }
    return false;
}

bool uploads_is_awaited(struct inbox *i, const char *body)
{
    struct uploads *u = i->uploads;
    int64_t now = loop_now_ms(i->loop);
    struct slice file_id;
    size_t at = 0, end, count = 0;

    while (body && u && u->is_on && count++ < UPLOADS_URIS_MAX &&
           next_uri(u, body, &at, &end, &file_id)) {
        const struct upload *up = upload_find(&u->known, file_id);

        if (!u->is_read && now - u->started_ms < UPLOADS_HOLD_MS)
            return true;
        if (up && up->step == UPLOAD_WAITING && now - up->seen_ms < UPLOADS_HOLD_MS)
            return true;
        at = end;
    }
    return false;
}

char *uploads_rewrite(struct inbox *i, const char *body)
{
    struct uploads *u = i->uploads;
    struct str out = {0}, quoted = {0};
    struct slice file_id;
    size_t at = 0, end, done = 0, count = 0;

    while (body && u && is_used(u) && count++ < UPLOADS_URIS_MAX &&
           next_uri(u, body, &at, &end, &file_id)) {
        const struct upload *up = upload_find(&u->known, file_id);

        if (up && up->path) {
            str_truncate(&quoted, 0);
            str_add_json(&quoted, slice_of(up->path));
            str_add(&out, (struct slice){body + done, at - done});
            str_addz(&out, "workspace:");
            str_add(&out, (struct slice){quoted.p + 1, quoted.len - 2});
            done = end;
        }
        at = end;
    }
    if (done > 0)
        str_addz(&out, body + done);
    str_release(&quoted);
    if (done == 0 || !str_ok(&out)) {
        str_release(&out);
        return NULL;
    }
    return str_take(&out);
}
