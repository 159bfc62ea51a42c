/*
 * The file behind --data: the only place with SQL. Writing is here, reading is below it in the same
 * order.
 */
#include "devplatform/data.h"

#include "base/cleanup.h"
#include "devplatform/call.h"
#include "devplatform/devplatform.h"
#include "devplatform/fields.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { DATA_VERSION = 1, DATA_APPLICATION = 0x6d6f6470, DATA_ROWS_SPARED = 1000 };

static const char schema[] =
    "CREATE TABLE workspaces (id TEXT PRIMARY KEY, doc TEXT NOT NULL);"
    "CREATE TABLE feed (seq INTEGER PRIMARY KEY, workspace TEXT, id TEXT, type TEXT, source TEXT,"
    " target TEXT, method TEXT, summary TEXT, error TEXT, status TEXT, duration_ms INTEGER,"
    " created_us INTEGER, request TEXT, response TEXT, has_response INTEGER);"
    "CREATE INDEX feed_age ON feed (created_us);"
    "CREATE TABLE files (id TEXT PRIMARY KEY, workspace TEXT, name TEXT, type TEXT,"
    " uploaded_us INTEGER, bytes BLOB);"
    "CREATE TABLE queue (id TEXT PRIMARY KEY, workspace TEXT, source TEXT, message_id TEXT,"
    " status TEXT, error TEXT, attempts INTEGER, enqueued_us INTEGER, dispatched_us INTEGER,"
    " completed_us INTEGER, expires_us INTEGER, body TEXT);"
    "CREATE TABLE answers (n INTEGER PRIMARY KEY, at_ms INTEGER, kind TEXT, sender TEXT,"
    " receiver TEXT, text TEXT, message_id TEXT, in_reply_to TEXT);"
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER);";

enum statement {
    PUT_WORKSPACE = 0,
    PUT_ROW,
    PUT_FILE,
    PUT_ITEM,
    PUT_ANSWER,
    PUT_NUMBER,
    DROP_WORKSPACE,
    DROP_ROWS_OF,
    DROP_FILE,
    DROP_ITEM,
    DROP_OLD_ROWS,
    DROP_FIRST_ROWS,
};
enum { STATEMENT_COUNT = DROP_FIRST_ROWS + 1 };

static const char *const statements[STATEMENT_COUNT] = {
    /* keeps its rowid: the order they were made in */
    [PUT_WORKSPACE] =
        "INSERT INTO workspaces VALUES (?1,?2) ON CONFLICT (id) DO UPDATE SET doc = ?2",
    [PUT_ROW] = "INSERT OR REPLACE INTO feed VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PUT_FILE] = "INSERT INTO files VALUES (?,?,?,?,?,?)",
    [PUT_ITEM] = "INSERT OR REPLACE INTO queue VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
    [PUT_ANSWER] = "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?)",
    [PUT_NUMBER] = "INSERT OR REPLACE INTO numbers VALUES (?,?)",
    [DROP_WORKSPACE] = "DELETE FROM workspaces WHERE id = ?",
    [DROP_ROWS_OF] = "DELETE FROM feed WHERE workspace = ?",
    [DROP_FILE] = "DELETE FROM files WHERE id = ?",
    [DROP_ITEM] = "DELETE FROM queue WHERE id = ?",
    [DROP_OLD_ROWS] = "DELETE FROM feed WHERE created_us < ?",
    [DROP_FIRST_ROWS] = "DELETE FROM feed WHERE seq < ?",
};

struct data {
    struct devplatform *dp;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct deferred turn;
    bool is_open; /* a transaction is */
    bool has_failed;
};

/* ---- writing
 * ---------------------------------------------------------------------------------------------------
 */

/* Nothing that was promised may be lost, so nothing more is promised. */
static void fail(struct data *d)
{
    if (!d->has_failed)
        snprintf(d->dp->failure, sizeof(d->dp->failure), "--data cannot be written: %s",
                 sqlite3_errmsg(d->db));
    d->has_failed = true;
    loop_stop(d->dp->loop);
}

static void save_workspaces(struct data *d);

static void commit(struct data *d)
{
    save_workspaces(d);
    if (d->is_open && sqlite3_exec(d->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        fail(d);
    d->is_open = false;
}

static void on_turn(struct deferred *deferred)
{
    struct data *d = container_of(deferred, struct data, turn);

    commit(d);
    if (!d->has_failed)
        call_release_held(d->dp);
}

static void begin(struct data *d)
{
    if (d->is_open)
        return;
    if (sqlite3_exec(d->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        fail(d);
    d->is_open = true;
    loop_defer(d->dp->loop, &d->turn, on_turn);
}

/* types: i an int64_t, t a text (NULL: null), b a pointer to a slice. Bound in order. */
static void put(struct data *d, enum statement which, const char *types, ...)
{
    sqlite3_stmt *s = d->statements[which];
    va_list ap;

    begin(d);
    va_start(ap, types);
    for (int i = 0; types[i]; i++) {
        if (types[i] == 'i') {
            sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
        } else if (types[i] == 't') {
            sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else {
            const struct slice *bytes = va_arg(ap, const struct slice *);
            sqlite3_bind_blob64(s, i + 1, bytes->p ? bytes->p : "", bytes->n, SQLITE_STATIC);
        }
    }
    va_end(ap);
    if (sqlite3_step(s) != SQLITE_DONE)
        fail(d);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

void data_on_row(struct data *d, const struct row *r)
{
    if (d)
        put(d, PUT_ROW, "itttttttttiitti", r->seq, r->workspace_id, r->id, r->type, r->source_id,
            r->target_id, r->method, r->summary, r->error_detail, r->status, r->duration_ms,
            r->created_us, r->request_body, r->response_body, (int64_t)r->has_response_body);
}

void data_on_file(struct data *d, const struct pending_file *f)
{
    struct slice bytes = {f->bytes, f->size};

    if (d)
        put(d, PUT_FILE, "ttttib", f->id, f->workspace_id, f->name, f->type, f->uploaded_us,
            &bytes);
}

void data_on_item(struct data *d, const struct queue_item *it)
{
    if (d)
        put(d, PUT_ITEM, "ttttttiiiiit", it->id, it->workspace_id, it->source_id, it->message_id,
            it->status, it->last_error, (int64_t)it->attempts, it->enqueued_us, it->dispatched_us,
            it->completed_us, it->expires_us,
            json_object_to_json_string_ext(it->body, JSON_C_TO_STRING_PLAIN));
}

void data_on_answer(struct data *d, const struct answered *one)
{
    if (d)
        put(d, PUT_ANSWER, "iitttttt", one->number, one->at_ms, one->kind, one->from, one->to,
            one->text, one->message_id, one->in_reply_to);
}

void data_drop_file(struct data *d, const char *id)
{
    if (d)
        put(d, DROP_FILE, "t", id);
}

void data_drop_item(struct data *d, const char *id)
{
    if (d)
        put(d, DROP_ITEM, "t", id);
}

void data_drop_workspace(struct data *d, const char *id)
{
    if (!d)
        return;
    put(d, DROP_WORKSPACE, "t", id);
    put(d, DROP_ROWS_OF, "t", id);
}

void data_drop_rows(struct data *d, int64_t before_us)
{
    if (!d)
        return;
    put(d, DROP_OLD_ROWS, "i", before_us);
    put(d, PUT_NUMBER, "ti", "last_seq", d->dp->world.rows.last_seq); /* seq never begins anew */
}

void data_trim_rows(struct data *d)
{
    const struct rows *rows = d ? &d->dp->world.rows : NULL;

    if (!d || rows->count < rows->max || rows->last_seq < (int64_t)rows->max + DATA_ROWS_SPARED)
        return;
    /* late rows may be older than the first that is visible: some are spared */
    put(d, DROP_FIRST_ROWS, "i",
        container_of(rows->all.next, struct row, node)->seq - DATA_ROWS_SPARED);
}

/* ---- workspaces
 * ------------------------------------------------------------------------------------------------
 */

static struct json_object *tokens_to_doc(const struct workspace *ws)
{
    struct json_object *list = json_object_new_array();

    LIST_FOREACH(it, &ws->tokens)
    {
        const struct token *t = container_of(it, struct token, node);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "id", json_object_new_string(t->id));
        json_object_object_add(o, "text", json_object_new_string(t->text));
        json_object_object_add(o, "created_us", json_object_new_int64(t->created_us));
        json_object_object_add(o, "is_revoked", json_object_new_boolean(t->is_revoked));
        json_object_array_add(list, o);
    }
    return list;
}

/* What a heartbeat says is not kept: the next one says it again. */
static struct json_object *workspace_to_doc(const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();

    json_add_text(o, "name", ws->name);
    json_add_text(o, "role", ws->role);
    json_add_text(o, "runtime", ws->runtime);
    json_object_object_add(o, "status", json_object_new_int((int)ws->status));
    json_add_text(o, "url", ws->url);
    json_add_text(o, "delivery_mode", ws->delivery_mode);
    json_add_text(o, "parent_id", ws->parent_id);
    json_object_object_add(o, "agent_card", json_object_get(ws->agent_card));
    json_object_object_add(o, "secrets", json_object_get(ws->secrets));
    json_object_object_add(o, "tokens", tokens_to_doc(ws));
    json_add_text(o, "inbound_secret", ws->inbound_secret);
    json_object_object_add(o, "removed_us", json_object_new_int64(ws->removed_us));
    json_object_object_add(o, "budget_cents", json_object_new_int64(ws->budget_cents));
    json_object_object_add(o, "spend_cents", json_object_new_int64(ws->spend_cents));
    json_object_object_add(o, "max_tasks", json_object_new_int64(ws->max_tasks));
    json_object_object_add(o, "acked_seq", json_object_new_int64(ws->acked_seq));
    json_object_object_add(o, "registrations", json_object_new_int64((int64_t)ws->registrations));
    return o;
}

static void save_workspaces(struct data *d)
{
    LIST_FOREACH(it, &d->dp->world.workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        struct json_object *doc;
        if (!ws->is_unsaved)
            continue;
        doc = workspace_to_doc(ws);
        put(d, PUT_WORKSPACE, "tt", ws->id,
            json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN));
        json_object_put(doc);
        ws->is_unsaved = false;
    }
}

bool data_has_news(struct data *d)
{
    if (!d)
        return false;
    LIST_FOREACH(it, &d->dp->world.workspaces)
    {
        if (container_of(it, struct workspace, node)->is_unsaved)
            begin(d);
    }
    return d->is_open;
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------
 */

static const char *column(sqlite3_stmt *s, int i)
{
    const unsigned char *text = sqlite3_column_text(s, i);

    return text ? (const char *)text : "";
}

static void copy_column(char *dst, size_t cap, sqlite3_stmt *s, int i)
{
    text_copy(dst, cap, slice_of(column(s, i)));
}

static void dup_column(char **dst, sqlite3_stmt *s, int i)
{
    text_set(dst, (const char *)sqlite3_column_text(s, i));
}

static void tokens_of_doc(struct workspace *ws, struct json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct token *t = token_add(ws, field_text(o, "text"));
        if (!t)
            return;
        text_copy(t->id, sizeof(t->id), slice_of(field_text(o, "id")));
        t->created_us = field_int(o, "created_us");
        t->is_revoked = json_object_get_boolean(json_object_object_get(o, "is_revoked"));
    }
}

static void load_workspace(struct devplatform *dp, sqlite3_stmt *s)
{
    struct json_object *o = json_tokener_parse(column(s, 1));
    struct workspace *ws = o ? world_add(&dp->world, column(s, 0), field_text(o, "name")) : NULL;

    if (ws) {
        if (field_text(o, "role")[0])
            text_set(&ws->role, field_text(o, "role"));
        text_copy(ws->runtime, sizeof(ws->runtime), slice_of(field_text(o, "runtime")));
        ws->status = (enum status)field_int(o, "status");
        text_copy(ws->url, sizeof(ws->url), slice_of(field_text(o, "url")));
        text_copy(ws->delivery_mode, sizeof(ws->delivery_mode),
                  slice_of(field_text(o, "delivery_mode")));
        text_copy(ws->parent_id, sizeof(ws->parent_id), slice_of(field_text(o, "parent_id")));
        json_set(&ws->agent_card, json_object_object_get(o, "agent_card"));
        json_set(&ws->secrets, json_object_object_get(o, "secrets"));
        tokens_of_doc(ws, json_object_object_get(o, "tokens"));
        text_copy(ws->inbound_secret, sizeof(ws->inbound_secret),
                  slice_of(field_text(o, "inbound_secret")));
        ws->removed_us = field_int(o, "removed_us");
        ws->budget_cents = field_int(o, "budget_cents");
        ws->spend_cents = field_int(o, "spend_cents");
        ws->max_tasks = field_int(o, "max_tasks");
        ws->acked_seq = field_int(o, "acked_seq");
        ws->registrations = (uint64_t)field_int(o, "registrations");
        ws->heard_ms = loop_now_ms(dp->loop); /* nobody could be heard while we were away */
        ws->is_unsaved = false;
    }
    json_object_put(o);
}

static void load_row(struct devplatform *dp, sqlite3_stmt *s)
{
    struct row *r = row_new(&dp->world.rows, column(s, 1), column(s, 3));

    if (!r)
        return;
    r->seq = dp->world.rows.last_seq = sqlite3_column_int64(s, 0);
    copy_column(r->id, sizeof(r->id), s, 2);
    copy_column(r->source_id, sizeof(r->source_id), s, 4);
    copy_column(r->target_id, sizeof(r->target_id), s, 5);
    dup_column(&r->method, s, 6);
    dup_column(&r->summary, s, 7);
    dup_column(&r->error_detail, s, 8);
    copy_column(r->status, sizeof(r->status), s, 9);
    r->duration_ms = sqlite3_column_int64(s, 10);
    r->created_us = sqlite3_column_int64(s, 11);
    dup_column(&r->request_body, s, 12);
    dup_column(&r->response_body, s, 13);
    r->has_response_body = sqlite3_column_int64(s, 14) != 0;
    world_show_row(&dp->world, r);
}

static void load_file(struct devplatform *dp, sqlite3_stmt *s)
{
    struct slice bytes = {sqlite3_column_blob(s, 5), (size_t)sqlite3_column_bytes(s, 5)};
    struct pending_file *f = pending_add(&dp->pending, column(s, 1), slice_of(column(s, 2)),
                                         slice_of(column(s, 3)), bytes);

    if (!f)
        return;
    copy_column(f->id, sizeof(f->id), s, 0);
    f->uploaded_us = sqlite3_column_int64(s, 4);
}

static void load_item(struct devplatform *dp, sqlite3_stmt *s)
{
    struct queue_item *it = queue_restore(&dp->dispatcher, column(s, 4));

    if (!it)
        return;
    copy_column(it->id, sizeof(it->id), s, 0);
    copy_column(it->workspace_id, sizeof(it->workspace_id), s, 1);
    copy_column(it->source_id, sizeof(it->source_id), s, 2);
    copy_column(it->message_id, sizeof(it->message_id), s, 3);
    copy_column(it->last_error, sizeof(it->last_error), s, 5);
    it->attempts = sqlite3_column_int(s, 6);
    it->enqueued_us = sqlite3_column_int64(s, 7);
    it->dispatched_us = sqlite3_column_int64(s, 8);
    it->completed_us = sqlite3_column_int64(s, 9);
    it->expires_us = sqlite3_column_int64(s, 10);
    it->body = json_tokener_parse(column(s, 11));
}

static void load_answer(struct devplatform *dp, sqlite3_stmt *s)
{
    answers_add(&dp->answers, &(struct answered){
                                  .at_ms = sqlite3_column_int64(s, 1),
                                  .kind = strcmp(column(s, 2), "notify") == 0 ? "notify" : "reply",
                                  .from = column(s, 3),
                                  .to = column(s, 4),
                                  .text = column(s, 5),
                                  .message_id = column(s, 6),
                                  .in_reply_to = column(s, 7),
                              });
}

static void load_number(struct devplatform *dp, sqlite3_stmt *s)
{
    if (sqlite3_column_int64(s, 1) > dp->world.rows.last_seq)
        dp->world.rows.last_seq = sqlite3_column_int64(s, 1);
}

static int load(struct data *d)
{
    static const struct {
        const char *sql;
        void (*each)(struct devplatform *dp, sqlite3_stmt *s);
    } tables[] = {
        {"SELECT * FROM workspaces ORDER BY rowid", load_workspace},
        {"SELECT * FROM feed ORDER BY seq", load_row},
        {"SELECT * FROM files ORDER BY rowid", load_file},
        {"SELECT * FROM queue ORDER BY enqueued_us, rowid", load_item},
        {"SELECT * FROM answers ORDER BY n", load_answer},
        {"SELECT * FROM numbers WHERE name = 'last_seq'", load_number},
    };

    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
        sqlite3_stmt *s = NULL;
        int code = sqlite3_prepare_v2(d->db, tables[i].sql, -1, &s, NULL);
        while (code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
            tables[i].each(d->dp, s);
        if (sqlite3_finalize(s) != SQLITE_OK || code != SQLITE_OK)
            return -EIO;
    }
    return 0;
}

/* ---- opening
 * ---------------------------------------------------------------------------------------------------
 */

static int64_t pragma_get(struct data *d, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(d->db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

static bool run(struct data *d, const char *sql)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Ours, or empty and then made ours. */
static int schema_check(struct data *d, const char *path, struct err *err)
{
    char sql[64 + sizeof(schema)];

    if (pragma_get(d, "SELECT count(*) FROM sqlite_schema") == 0) {
        snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d; %s",
                 DATA_APPLICATION, DATA_VERSION, schema);
        if (run(d, sql))
            return 0;
    } else if (pragma_get(d, "PRAGMA application_id") == DATA_APPLICATION &&
               pragma_get(d, "PRAGMA user_version") == DATA_VERSION) {
        return 0;
    } else if (sqlite3_errcode(d->db) == SQLITE_OK || sqlite3_errcode(d->db) == SQLITE_ROW ||
               sqlite3_errcode(d->db) == SQLITE_DONE) {
        return err_set(err, -EINVAL,
                       "--data %s: a database that is not ours, or of another version; give "
                       "another file, or remove this one",
                       path);
    }
    return err_set(err, -EINVAL, "--data %s: %s", path, sqlite3_errmsg(d->db));
}

static int prepare(struct data *d, const char *path, struct err *err)
{
    int code = 0;

    if (!run(d, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                "BEGIN IMMEDIATE"))
        return err_set(err, -EINVAL, "--data %s: %s", path, sqlite3_errmsg(d->db));
    code = schema_check(d, path, err);
    if (code == 0 && !run(d, "COMMIT"))
        code = err_set(err, -EINVAL, "--data %s: %s", path, sqlite3_errmsg(d->db));
    for (int i = 0; code == 0 && i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v2(d->db, statements[i], -1, &d->statements[i], NULL) != SQLITE_OK)
            code = err_set(err, -EINVAL, "--data %s: %s", path, sqlite3_errmsg(d->db));
    }
    if (code == 0 && load(d) < 0)
        code = err_set(err, -EINVAL, "--data %s: %s", path, sqlite3_errmsg(d->db));
    return code;
}

int data_open(const char *path, struct devplatform *dp, struct data **ret, struct err *err)
{
    struct data *d = calloc(1, sizeof(*d));
    int code;

    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    d->dp = dp;
    if (sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        code = err_set(err, -EINVAL, "--data %s: %s", path,
                       d->db ? sqlite3_errmsg(d->db) : "out of memory");
    else
        code = prepare(d, path, err);
    if (code < 0) {
        data_close(d);
        return code;
    }
    *ret = d;
    return 0;
}

void data_close(struct data *d)
{
    if (!d)
        return;
    if (d->statements[STATEMENT_COUNT - 1] && !d->has_failed)
        commit(d);
    deferred_cancel(&d->turn);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(d->statements[i]);
    sqlite3_close(d->db);
    free(d);
}
