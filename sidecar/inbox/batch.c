/*
 * Rows of an answer on their way into the journal: which of them are new, what each becomes there,
 * in which order, and where the cursor may stand after them.
 */
#include "inbox/feed.h"

#include "base/cleanup.h"
#include "base/json_scan.h"
#include "base/parse.h"
#include "inbox/outcome.h"
#include "inbox/page.h"
#include "log/log.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

enum { CONTEXT_BYTES = ROW_ID_TEXT_MAX + 1 }; /* with its NUL */

/* ---- what a row becomes in the journal ---------------------------------------------------------
 */

/*
 * The contextId that the agent sees; the same at each start. A person's own is kept. Of a peer's it
 * is a hash of workspace, peer and that, as a UUID (version 8): a peer cannot name the context of
 * anybody else. Without one a person has the hash of workspace and "user", a peer of its id. A
 * delegation has that of its own id.
 */
static void agent_context(const char *workspace, const char *who, const struct row *r,
                          char ret[CONTEXT_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    char text[2 * 37 + CONTEXT_BYTES];
    size_t at = 0;

    if (r->kind == ROW_MESSAGE && !r->source_id[0] && r->context_id[0]) {
        (void)snprintf(ret, CONTEXT_BYTES, "%s", r->context_id);
        return;
    }
    (void)snprintf(text, sizeof(text), "%.36s/%s%s%s", workspace, who, r->context_id[0] ? "/" : "",
                   r->context_id);
    (void)EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL);
    hash[6] = (unsigned char)((hash[6] & 0x0f) | 0x80);
    hash[8] = (unsigned char)((hash[8] & 0x3f) | 0x80);
    for (size_t k = 0; k < 16; k++) {
        if (k == 4 || k == 6 || k == 8 || k == 10)
            ret[at++] = '-';
        (void)snprintf(ret + at, CONTEXT_BYTES - at, "%02x", hash[k]);
        at += 2;
    }
}

static char *text_dup(const char *z)
{
    return slice_dup(slice_of(z));
}

static char *request_text(const struct row *r, struct slice row)
{
    struct slice raw;

    if (!r->request)
        return NULL;
    if (!r->is_request_made && page_member(row, "request_body", &raw))
        return slice_dup(raw); /* as it came: json-c would spell numbers its own way */
    return text_dup(json_object_to_json_string_ext(r->request, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int fill_message(struct inbox *i, const struct row *r, struct slice row,
                        struct journal_message *m)
{
    const char *who = r->source_id[0] ? r->source_id : "user";
    char context[CONTEXT_BYTES];
    struct str conversation = {0};

    if (r->kind == ROW_DELEGATION) {
        who = OUTCOME_CONVERSATION;
        (void)snprintf(m->sender, sizeof(m->sender), "%s",
                       r->peer_id[0] ? r->peer_id : i->cfg->workspace.id);
        uuid_lower(m->sender);
    }
    agent_context(i->cfg->workspace.id, who, r, context);
    m->state = JOURNAL_SEEN;
    m->message_id = text_dup(r->message_id[0] ? r->message_id : r->id);
    m->context_id = text_dup(context);
    str_addf(&conversation, "%s/%s", who, context);
    m->conversation = str_take(&conversation);
    m->request = request_text(r, row);
    return m->message_id && m->context_id && m->conversation && m->request ? 0 : -ENOMEM;
}

static int fill_other(const struct row *r, struct slice row, const char *why,
                      struct journal_message *m)
{
    m->state = JOURNAL_SKIPPED;
    m->why = text_dup(why);
    if (r->kind == ROW_UPLOAD) { /* uploads.c finds them again by this */
        m->conversation = text_dup(UPLOADS_CONVERSATION);
        if (!m->conversation)
            return -ENOMEM;
    }
    if (r->kind == ROW_UPLOAD || r->kind == ROW_DELEGATION_OPEN) { /* for `inbox show` */
        m->request = request_text(r, row);
        if (!m->request)
            return -ENOMEM;
    }
    return m->why ? 0 : -ENOMEM;
}

static size_t text_bytes(const struct journal_message *m)
{
    return sizeof(struct batch_row) + (m->request ? strlen(m->request) : 0) +
           (m->message_id ? strlen(m->message_id) : 0) +
           (m->conversation ? 2 * strlen(m->conversation) : 0);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* NULL: *ret_kind says why. */
static struct json_object *parse_row(struct json_tokener *t, struct slice row,
                                     enum row_kind *ret_kind)
{
    struct json_object *o;

    json_tokener_reset(t);
    *ret_kind = ROW_UNREADABLE;
    if (json_validate(row) != JSON_OBJECT) /* depth and UTF-8 are checked here */
        return NULL;
    if (json_values_most(row) > ROW_JSON_VALUES_MAX) {
        *ret_kind = ROW_COSTLY;
        return NULL;
    }
    o = json_tokener_parse_ex(t, row.p, (int)row.n);
    if (json_tokener_get_error(t) == json_tokener_success)
        return o;
    json_object_put(o);
    return NULL;
}

/* A row that cannot be read as a whole: its name and time, so that it is known and passed. */
static bool read_name_only(struct slice row, enum row_kind kind, struct row *ret)
{
    struct slice value, text;

    *ret = (struct row){.kind = kind, .seq = -1};
    if (!page_member(row, "id", &value) || !page_plain_text(value, &text) || !is_uuid(text))
        return false;
    memcpy(ret->id, text.p, 36);
    uuid_lower(ret->id);
    if (!page_member(row, "created_at", &value) && !page_member(row, "ts", &value))
        return false;
    return page_plain_text(value, &text) && row_time_us(text, &ret->created_us);
}

static struct batch_row *add_row(struct batch *b)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 128;
        struct batch_row *v = realloc(b->v, cap * sizeof(*v));

        if (!v)
            return NULL;
        b->v = v;
        b->cap = cap;
    }
    b->v[b->n] = (struct batch_row){.arrival = b->arrivals++};
    return &b->v[b->n++];
}

/* What others want to know of a row, known or not. */
static void tell(struct inbox *i, const struct row *r, bool is_new)
{
    if (r->kind == ROW_ECHO) {
        answer_saw_echo(i, r);
        if (is_new && !i->feed->is_first) /* a journal begun anew knows none of ours */
            second_saw_echo(i, r);
    }
    if (r->kind == ROW_MESSAGE && r->source_id[0])
        peers_learn(i, r);
}

static int take_row(struct batch *b, struct inbox *i, const struct known *known,
                    const struct row *r, struct slice row)
{
    struct batch_row *at = add_row(b);
    bool is_new = !known_has(known, r->id);

    if (!at)
        return -ENOMEM;
    at->created_us = r->created_us;
    at->seq = r->seq;
    at->kind = r->kind;
    memcpy(at->id, r->id, sizeof(at->id));
    tell(i, r, is_new);
    if (r->seq > b->acked_seq)
        b->acked_seq = r->seq;
    if (r->kind == ROW_ECHO && r->created_us > b->newest_echo_us)
        b->newest_echo_us = r->created_us;
    if (!is_new || r->kind == ROW_OTHER_TYPE)
        return 0;
    memcpy(at->m.row_id, r->id, sizeof(at->m.row_id));
    memcpy(at->m.sender, r->source_id, sizeof(at->m.sender));
    at->m.created_us = r->created_us;
    int code =
        r->kind == ROW_MESSAGE || r->kind == ROW_DELEGATION
            ? fill_message(i, r, row, &at->m)
            : fill_other(r, row, r->kind == ROW_UPLOAD ? UPLOADS_WAITS : row_kind_name(r->kind),
                         &at->m);
    b->bytes += text_bytes(&at->m);
    return code;
}

/* The oldest row of a page and the next other instant, as they were written: for before_ts. */
static void note_oldest(struct batch *b, struct slice row, int64_t us, int64_t *second_us)
{
    struct slice value, text;
    char *into = NULL;

    if ((!page_member(row, "created_at", &value) && !page_member(row, "ts", &value)) ||
        !page_plain_text(value, &text) || text.n >= FEED_CURSOR_BYTES)
        return;
    if (us < b->oldest_us) {
        if (b->oldest_us != INT64_MAX) {
            *second_us = b->oldest_us;
            memcpy(b->second, b->oldest, sizeof(b->second));
        }
        b->oldest_us = us;
        into = b->oldest;
    } else if (us > b->oldest_us && us < *second_us) {
        *second_us = us;
        into = b->second;
    }
    if (into) {
        memcpy(into, text.p, text.n);
        into[text.n] = '\0';
    }
}

static int take_text(struct batch *b, struct inbox *i, const struct known *known,
                     struct json_tokener *t, struct slice text, struct row *r)
{
    enum row_kind kind;
    struct json_object *o = parse_row(t, text, &kind);
    bool is_named = o ? row_read(o, i->cfg->workspace.id, r) : read_name_only(text, kind, r);
    int code = 0;

    if (is_named && r->kind == ROW_UNREADABLE && !known_has(known, r->id))
        log_warning("inbox", "row %s of the feed is %s: skipped", r->id,
                    o ? "not of the shape of a message" : "no JSON that we read (64 levels)");
    if (is_named && r->kind == ROW_COSTLY && !known_has(known, r->id))
        log_warning("inbox", "row %s of the feed is %s: skipped", r->id, row_kind_name(r->kind));
    if (is_named)
        code = take_row(b, i, known, r, text);
    else
        log_debug("inbox", "an element of the feed without id or time is passed over");
    row_release(r);
    json_object_put(o);
    return is_named ? code : -ENOENT;
}

int batch_add_page(struct batch *b, struct inbox *i, const struct known *known, struct slice body,
                   size_t *ret_count)
{
    int64_t second_us = INT64_MAX;
    struct slice rows, text;
    struct json_tokener *t;
    size_t count = 0;
    int code = page_begin(body, &rows);

    if (code < 0)
        return code;
    t = json_tokener_new_ex(JSON_SCAN_DEPTH_MAX + 2);
    if (!t)
        return -ENOMEM;
    if (b->n == 0)
        b->acked_seq = -1;
    b->oldest[0] = b->second[0] = '\0';
    b->oldest_us = INT64_MAX;
    while ((code = page_next(&rows, &text)) == 1) {
        struct row r = {0};

        count++;
        code = take_text(b, i, known, t, text, &r);
        if (code == 0)
            note_oldest(b, text, r.created_us, &second_us);
        else if (code != -ENOENT)
            break;
    }
    json_tokener_free(t);
    if (ret_count)
        *ret_count = count;
    return code;
}

/* ---- order -------------------------------------------------------------------------------------
 */

static int by_time(const void *a, const void *b)
{
    const struct batch_row *x = a, *y = b;

    if (x->created_us != y->created_us)
        return x->created_us < y->created_us ? -1 : 1;
    if (x->seq >= 0 && y->seq >= 0 && x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

void batch_sort(struct batch *b)
{
    if (b->n > 1)
        qsort(b->v, b->n, sizeof(*b->v), by_time);
}

void batch_compact(struct batch *b)
{
    size_t kept = 0;

    for (size_t k = 0; k < b->n; k++) {
        if (b->v[k].m.row_id[0] || k + 1 == b->n)
            b->v[kept++] = b->v[k];
    }
    b->n = kept;
}

static void drop_last(struct batch *b)
{
    struct batch_row *last = &b->v[--b->n];

    if (last->m.row_id[0])
        b->bytes -= text_bytes(&last->m);
    journal_message_release(&last->m);
}

void batch_cut(struct batch *b, size_t bytes_max)
{
    while (b->n > 0 && b->bytes > bytes_max && b->v[b->n - 1].created_us > b->v[0].created_us)
        drop_last(b);
}

long batch_cursor(const struct batch *b, bool is_full)
{
    size_t n = b->n;

    if (is_full) { /* the last instant may go on behind the page */
        while (n > 0 && b->v[n - 1].created_us == b->v[b->n - 1].created_us)
            n--;
    }
    return (long)n - 1;
}

void batch_release(struct batch *b)
{
    for (size_t k = 0; k < b->n; k++)
        journal_message_release(&b->v[k].m);
    free(b->v);
    *b = (struct batch){.acked_seq = -1};
}
