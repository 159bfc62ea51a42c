/*
 * From a batch to the journal, and on from there: rows are handed to queue.c and uploads.c once
 * they are committed, the cursor moves with the last of them, and the platform is told what we have
 * when it wants to know.
 */
#include "inbox/feed.h"

#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

struct saving { /* owned by the journal's callbacks, in turn */
    struct feed *f;
    struct batch b;
    size_t at; /* rows given to the journal */
    struct journal_cursor cursor;
    bool moves_cursor;
    void (*then)(struct feed *f);
};

static int save_some(struct saving *s);

static void hand_on(struct feed *f, struct journal_message *m)
{
    struct inbox *i = f->i;

    bool is_anew = f->is_lost || journal_status(i->journal)->generation != f->generation;

    if (is_anew && queue_find(i, m->row_id))
        return; /* on its way since before this file was begun: queue_restore() */
    if (m->state == JOURNAL_SEEN) {
        i->status.fetched++;
        if (i->first_seq == 0)
            i->first_seq = m->seq;
        log_debug("inbox", "message %s (row %s) from %s fetched", m->message_id, m->row_id,
                  m->sender[0] ? m->sender : "a person");
        queue_put(i, m);
        *m = (struct journal_message){0}; /* its texts are the queue's now */
        return;
    }
    i->status.skipped++;
    if (m->conversation && strcmp(m->conversation, UPLOADS_CONVERSATION) == 0)
        uploads_saw(i, m);
}

static void end_saving(struct saving *s, int code)
{
    struct feed *f = s->f;
    void (*then)(struct feed * f) = s->then;

    batch_release(&s->b);
    free(s);
    f->saving = NULL;
    if (f->step == FEED_OFF)
        return;
    if (code == 0) {
        then(f);
        return;
    }
    struct reply bad = {.class = REPLY_NOT_DELIVERED};

    (void)snprintf(bad.error, sizeof(bad.error), "messages could not be journaled: no memory");
    feed_bad(f, &bad);
}

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    struct saving *s = arg;
    struct feed *f = s->f;

    for (size_t k = 0; k < n && code == 0; k++) {
        known_add(&f->known, v[k].row_id);
        if (v[k].seq > 0)
            hand_on(f, &v[k]);
    }
    if (code == 0 && s->at < s->b.n) {
        code = save_some(s);
        if (code == 0)
            return;
    } else if (code == 0 && s->moves_cursor) {
        f->cursor = s->cursor;
    }
    if (n > 0 && f->step != FEED_OFF)
        deliver_pump(f->i);
    end_saving(s, code);
}

/* The next JOURNAL_READ_MAX of them; the cursor goes with the last. */
static int save_some(struct saving *s)
{
    struct journal_message *v = calloc(JOURNAL_READ_MAX, sizeof(*v));
    size_t n = 0;

    if (!v)
        return -ENOMEM;
    for (; s->at < s->b.n && n < JOURNAL_READ_MAX; s->at++) {
        if (s->b.v[s->at].m.row_id[0])
            v[n++] = s->b.v[s->at].m; /* borrowed: the journal copies */
    }
    bool is_last = s->at == s->b.n;
    int code = journal_add(s->f->i->journal, v, n, is_last && s->moves_cursor ? &s->cursor : NULL,
                           on_added, s);

    free(v);
    return code;
}

int feed_save(struct feed *f, struct batch *b, const struct journal_cursor *cursor,
              void (*then)(struct feed *f))
{
    struct saving *s;

    if (cursor && strcmp(cursor->row_id, f->cursor.row_id) == 0)
        cursor = NULL;
    if (b->bytes == 0 && !cursor) {
        batch_release(b);
        then(f);
        return 0;
    }
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct saving){.f = f, .b = *b, .moves_cursor = cursor != NULL, .then = then};
    if (cursor)
        s->cursor = *cursor;
    f->step = FEED_SAVING;
    f->saving = s;
    int code = save_some(s);

    if (code == 0) {
        *b = (struct batch){.acked_seq = -1};
        return 0;
    }
    free(s); /* b stays the caller's */
    f->saving = NULL;
    return code;
}

/* ---- [L] acknowledgement -----------------------------------------------------------------------
 */

static void on_ack(void *arg, const struct reply *r)
{
    struct feed *f = arg;

    if (r->status == 404 || r->status == 405) {
        f->has_no_ack = true;
        log_debug("inbox", "this platform takes no acknowledgements of rows");
    }
}

void feed_acknowledge(struct feed *f)
{
    int64_t seq = f->to_ack;
    struct str path = {0}, body = {0};

    if (seq < 0 || f->has_no_ack || call_is_busy(&f->ack))
        return;
    str_addf(&path, "/workspaces/%s/activity/ack", f->i->cfg->workspace.id);
    str_addf(&body, "{\"acked_seq\":%lld}", (long long)seq);
    call_send(&f->ack, f->i->transport, str_z(&path), str_slice(&body), FEED_TIMEOUT_MS, on_ack, f);
    str_release(&path);
    str_release(&body);
}
