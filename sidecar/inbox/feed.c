/*
 * Fetching by cursor, and when: P section 10.6. What is fetched is committed before the cursor
 * moves, in the same transaction, and before anything else is asked for. Sweeps are sweep.c's, what
 * rows become is batch.c's.
 */
#include "inbox/feed.h"

#include "base/clock.h"
#include "base/parse.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static const struct feed_times default_times = {
    .backoff_base = 1000,
    .backoff_cap = 30 * 1000,
    .refused_cap = 60 * 1000,
    .sweep = 60 * 1000,
    .sweep_short = 110 * 1000, /* less than FEED_WINDOW_S: windows overlap */
    .hint_gap = 500,
    .hint_gap_short = 5000,
    .relaxed = 30 * 1000,
    .phase = 5000,
};
enum { EVIDENCE_SWEEP_MS = 5000 }; /* between sweeps while an answer's fate waits for one */

static void on_due(struct timer *t);

int feed_new(struct inbox *i)
{
    struct feed *f = calloc(1, sizeof(*f));

    if (!f)
        return -ENOMEM;
    f->i = i;
    f->times = default_times;
    f->page = FEED_PAGE;
    f->sweep_page = FEED_PAGE_MAX;
    f->page_bytes = FEED_PAGE_BYTES;
    f->gather_bytes = FEED_GATHER_BYTES;
    f->has_cursors = true;
    f->started_ms = loop_now_ms(i->loop);
    i->feed = f;
    return 0;
}

void feed_free(struct inbox *i)
{
    struct feed *f = i->feed;

    if (!f)
        return;
    feed_stop(i);
    known_release(&f->known);
    free(f);
    i->feed = NULL;
}

/* ---- what every call has in common -------------------------------------------------------------
 */

void feed_poll_path(const struct feed *f, const char *query, struct str *ret)
{
    str_addf(ret, "/workspaces/%s/activity?type=a2a_receive&include=peer_info&%s",
             f->i->cfg->workspace.id, query);
}

static void plan_at(struct feed *f, int64_t at_ms)
{
    f->step = FEED_REST;
    f->due_ms = at_ms;
    f->i->status.feed.next_ms = at_ms;
    timer_start(&f->timer, f->i->loop, at_ms, on_due, f);
}

void feed_good(struct feed *f, const struct reply *r)
{
    struct activity_status *s = &f->i->status.feed;

    if (s->failures > 0)
        log_info("inbox", "fetching messages works again after %u failures", s->failures);
    s->ok_total++;
    s->failures = 0;
    s->last_ok_ms = loop_now_ms(f->i->loop);
    s->last_status = r->status;
    s->last_error[0] = '\0';
}

void feed_bad(struct feed *f, const struct reply *r)
{
    struct activity_status *s = &f->i->status.feed;
    int64_t cap_ms = r->status == 401 ? f->times.refused_cap : f->times.backoff_cap;
    bool has_other_cause = s->failures > 0 && s->last_status != r->status;

    s->failed_total++;
    s->failures++;
    s->last_status = r->status;
    (void)snprintf(s->last_error, sizeof(s->last_error), "%.*s", (int)sizeof(s->last_error) - 1,
                   r->error);
    if (s->failures % FEED_LOG_EVERY == 1 || has_other_cause)
        log_warning("inbox", "fetching messages failed%s: %s", s->failures > 1 ? " again" : "",
                    r->error);
    else
        log_debug("inbox", "fetching messages failed: %s", r->error);
    if (r->status == 401) /* P section 4.5: only the state activity concludes anything */
        platform_check_state_now(f->i->platform);
    int64_t wait_ms = backoff_ms(f->times.backoff_base, cap_ms, s->failures - 1);

    if (f->step != FEED_OFF) /* the state's conclusion may have ended us */
        plan_at(f, loop_now_ms(f->i->loop) + (wait_ms < r->wait_ms ? r->wait_ms : wait_ms));
}

/* A row may be nested deeper than reply.c validates: the bytes count, not its verdict. */
bool feed_answer_is_page(const struct reply *r)
{
    struct slice body = slice_trim(r->body);

    return r->status == 200 && body.n > 0 && (body.p[0] == '[' || body.p[0] == '{');
}

bool feed_shrink(unsigned *page)
{
    if (*page <= FEED_PAGE_MIN)
        return false;
    *page = *page / 4 > FEED_PAGE_MIN ? *page / 4 : FEED_PAGE_MIN; /* a few steps, not seven */
    return true;
}

void feed_grow(const struct feed *f, unsigned *page, unsigned most, size_t bytes)
{
    if (*page < most && bytes < f->page_bytes / 4)
        *page = *page * 2 < most ? *page * 2 : most;
}

void feed_lose_cursor(struct feed *f, const char *why)
{
    log_warning("inbox", "the feed's cursor is lost (%s): a sweep finds what is new", why);
    f->cursor = (struct journal_cursor){0};
    f->broken_cursors = 0;
    (void)journal_drop_cursor(f->i->journal); /* no memory: the server will say it again */
}

/* ---- polling by cursor -------------------------------------------------------------------------
 */

static void after_poll(struct feed *f)
{
    feed_acknowledge(f);
    feed_plan(f);
}

/* Everything in a full page is of one instant: more of it per page, and at the very end go on. */
static long last_resort(struct feed *f, const struct batch *b)
{
    if (f->page < FEED_PAGE_MAX && !f->is_stuck) {
        f->page = f->page * 4 < FEED_PAGE_MAX ? f->page * 4 : FEED_PAGE_MAX;
        f->is_generous = true;
        return -1;
    }
    f->is_stuck = false;
    log_warning("inbox",
                "%u rows of the feed have one time: those behind them may be seen by a "
                "sweep only",
                f->page);
    f->wants_sweep = true;
    return batch_cursor(b, false);
}

static void take_page(struct feed *f, const struct reply *r)
{
    struct batch b = {.acked_seq = -1};
    struct journal_cursor cursor = {0};
    size_t count = 0;
    int code = batch_add_page(&b, f->i, &f->known, r->body, &count);
    bool is_full = code == 0 && count >= f->page;

    if (code == 0) {
        batch_sort(&b);
        long at = batch_cursor(&b, is_full);

        if (is_full && at < 0)
            at = last_resort(f, &b);
        else
            f->is_generous = f->is_stuck = false;
        if (at >= 0)
            feed_grow(f, &f->page, FEED_PAGE, r->body.n);
        if (at >= 0) {
            memcpy(cursor.row_id, b.v[at].id, sizeof(cursor.row_id));
            cursor.created_us = b.v[at].created_us;
        }
        f->wants_more = is_full;
        f->is_caught_up = !is_full;
        f->to_ack = b.acked_seq;
        feed_good(f, r);
        code = feed_save(f, &b, cursor.row_id[0] ? &cursor : NULL, after_poll);
    }
    batch_release(&b);
    if (code < 0) {
        struct reply bad = *r;

        (void)snprintf(bad.error, sizeof(bad.error), "%s",
                       code == -ENOMEM ? "no memory for a page of messages"
                                       : "the answer is no list of rows (GET .../activity)");
        feed_bad(f, &bad);
    }
}

/* P section 10.6(5). True: the cursor is gone, a sweep comes. */
static bool cursor_is_refused(struct feed *f, const struct reply *r)
{
    if (r->status == 500) {
        f->broken_cursors++;
    } else if (r->status != 410) {
        f->broken_cursors = 0;
        return false;
    }
    if (r->status == 500 && f->broken_cursors < FEED_BROKEN_CURSORS)
        return false;
    feed_lose_cursor(f, r->status == 410 ? "410: its row is gone" : "three times 500 with it");
    return true;
}

static void on_poll(void *arg, const struct reply *r)
{
    struct feed *f = arg;

    if (feed_answer_is_page(r)) {
        f->broken_cursors = 0;
        take_page(f, r);
    } else if (cursor_is_refused(f, r)) {
        f->wants_sweep = true;
        feed_plan(f);
    } else if (r->is_too_big && feed_shrink(&f->page)) {
        f->is_stuck = f->is_generous;
        f->is_generous = false;
        plan_at(f, loop_now_ms(f->i->loop));
    } else {
        feed_bad(f, r);
    }
}

static void poll(struct feed *f)
{
    struct str query = {0}, path = {0};

    f->step = FEED_POLLING;
    f->poll_began_ms = loop_now_ms(f->i->loop);
    f->wants_poll = false;
    str_addf(&query, "since_id=%s&limit=%u", f->cursor.row_id, f->page);
    feed_poll_path(f, str_z(&query), &path);
    f->call.max_answer_bytes =
        f->page <= FEED_PAGE_MIN || f->is_generous ? FEED_ROW_BYTES : f->page_bytes;
    call_send(&f->call, f->i->transport, str_z(&path), (struct slice){0}, FEED_TIMEOUT_MS, on_poll,
              f);
    str_release(&query);
    str_release(&path);
}

/* ---- does the server know cursors? -------------------------------------------------------------
 */

static void on_probe(void *arg, const struct reply *r)
{
    struct feed *f = arg;

    f->probes++;
    if (r->status == 410 || feed_answer_is_page(r)) {
        f->is_probed = true;
        f->has_cursors = r->status == 410;
        if (!f->has_cursors)
            log_info("inbox", "this platform knows no cursors: messages are found by sweeps");
    } else if (f->probes >= FEED_PROBES && r->status >= 400 && r->status != 401 &&
               r->status != 429) {
        f->is_probed = true; /* it answers, but not this: 410 and 500 will tell */
    }
    f->i->status.has_cursors = f->is_probed && f->has_cursors;
    if (f->is_probed) {
        feed_good(f, r);
        plan_at(f, loop_now_ms(f->i->loop));
    } else {
        feed_bad(f, r);
    }
}

static void probe(struct feed *f)
{
    struct str path = {0};

    f->step = FEED_PROBING;
    feed_poll_path(f, "since_id=00000000-0000-0000-0000-000000000000&limit=1", &path);
    f->call.max_answer_bytes = FEED_ROW_BYTES;
    call_send(&f->call, f->i->transport, str_z(&path), (struct slice){0}, FEED_TIMEOUT_MS, on_probe,
              f);
    str_release(&path);
}

/* ---- what is next, and when --------------------------------------------------------------------
 */

static int64_t interval_ms(const struct feed *f)
{
    int64_t ms = f->i->cfg->platform.poll_interval;
    bool is_relaxed = f->i->status.has_stream || transport_rate_is_short(f->i->transport);

    return is_relaxed && ms < f->times.relaxed ? f->times.relaxed : ms;
}

static int64_t sweep_interval_ms(const struct feed *f)
{
    if (transport_rate_is_short(f->i->transport))
        return f->times.sweep_short;
    return answer_wants_sweep(f->i) ? ms_min(f->times.sweep, EVIDENCE_SWEEP_MS) : f->times.sweep;
}

static bool polls_by_cursor(const struct feed *f)
{
    return f->has_cursors && f->cursor.row_id[0];
}

static int64_t hint_ms(const struct feed *f)
{
    bool is_short = transport_rate_is_short(f->i->transport);
    int64_t at = f->poll_began_ms + (is_short ? f->times.hint_gap_short : f->times.hint_gap);
    int64_t now = loop_now_ms(f->i->loop);

    return at > now ? at : now;
}

void feed_plan(struct feed *f)
{
    int64_t now = loop_now_ms(f->i->loop);
    int64_t at = f->poll_began_ms + interval_ms(f);

    if (f->step == FEED_OFF)
        return;
    f->next_sweep_ms = f->swept_ms ? f->swept_ms + sweep_interval_ms(f) : now;
    if (f->wants_sweep)
        f->next_sweep_ms = now;
    if (f->next_sweep_ms < f->sweep_pause_ms)
        f->next_sweep_ms = f->sweep_pause_ms;
    if (polls_by_cursor(f))
        at = ms_min(at, f->next_sweep_ms);
    if (f->wants_poll)
        at = ms_min(at, hint_ms(f));
    if (f->wants_more || f->sweep.began_ms)
        at = now;
    plan_at(f, at > now ? at : now);
}

/*
 * The journal's file was set aside while we run: what is in memory goes into the new one first, so
 * that the feed shows it as known, and the rest is refilled as at a start.
 */
static void look_at_journal(struct feed *f)
{
    unsigned now = journal_status(f->i->journal)->generation;

    if (now == f->generation)
        return;
    f->generation = now;
    queue_restore(f->i);
    known_release(&f->known);
    sweep_stop(f);
    feed_lose_cursor(f, "a new journal was begun");
    f->is_first = f->is_lost = f->wants_sweep = true;
}

static void on_due(struct timer *t)
{
    struct feed *f = t->arg;
    int64_t now = loop_now_ms(f->i->loop);
    struct activity_status *s = &f->i->status.feed;

    if (f->is_looking) { /* a sweep that failed; one that was given up is asked for anew */
        f->step = FEED_OFF;
        if (f->sweep.began_ms)
            sweep_begin(f);
        return;
    }
    look_at_journal(f);
    if (now - f->due_ms > s->worst_late_ms)
        s->worst_late_ms = now - f->due_ms;
    s->next_ms = 0;
    bool is_sweep_due = f->is_caught_up && now >= f->next_sweep_ms;

    if (!f->is_probed)
        probe(f);
    else if (f->sweep.began_ms || is_sweep_due || !polls_by_cursor(f))
        sweep_begin(f); /* or goes on with it */
    else
        poll(f);
}

static void on_start_read(void *arg, const struct journal_cursor *cursor, int64_t last_ms)
{
    struct feed *f = arg;
    const struct journal_status *journal = journal_status(f->i->journal);
    int64_t away_ms = last_ms > 0 ? clock_wall_ms() - last_ms : 0;

    f->is_read = true;
    f->downtime_s = away_ms > 0 ? away_ms / 1000 : 0;
    f->generation = journal->generation;
    f->is_first = journal->was_refilled;
    f->is_lost = journal->was_refilled && journal->notice[0];
    f->is_really_first = journal->was_refilled && !journal->notice[0] && last_ms == 0;
    if (is_uuid(slice_of(cursor->row_id)))
        f->cursor = *cursor;
    else if (cursor->row_id[0])
        log_warning("inbox", "the cursor in the journal is no UUID: a sweep finds what is new");
    if (f->step != FEED_OPENING)
        return;
    plan_at(f, loop_now_ms(f->i->loop) +
                   random_between(0, ms_min(f->times.phase, f->i->cfg->platform.poll_interval)));
}

void feed_start(struct inbox *i)
{
    struct feed *f = i->feed;

    if (f->is_looking)
        feed_stop(i);
    if (f->step != FEED_OFF)
        return;
    second_start(i);
    if (f->saving) { /* of before the stop: its end goes on with planning */
        f->step = FEED_SAVING;
    } else if (f->is_read) {
        plan_at(f, loop_now_ms(i->loop));
    } else {
        f->step = FEED_OPENING;
        if (!f->is_reading && journal_read_start(i->journal, on_start_read, f) < 0) {
            struct reply bad = {.class = REPLY_NOT_DELIVERED};

            (void)snprintf(bad.error, sizeof(bad.error), "no memory to read the journal");
            f->is_read = true; /* without a cursor: a sweep, and the journal knows what is old */
            feed_bad(f, &bad);
        }
        f->is_reading = true;
    }
}

void feed_stop(struct inbox *i)
{
    struct feed *f = i->feed;

    if (!f)
        return;
    f->step = FEED_OFF;
    f->is_looking = false;
    f->wants_sweep = true; /* who knows how long */
    f->is_caught_up = false;
    f->wants_more = false;
    i->status.feed.next_ms = 0;
    timer_stop(&f->timer);
    call_cancel(&f->call);
    call_cancel(&f->ack);
    sweep_stop(f);
    second_stop(i);
}

void feed_look_only(struct inbox *i)
{
    i->feed->is_looking = true;
    if (answer_wants_sweep(i)) /* the one under way was dropped */
        feed_sweep_now(i);
}

void feed_poll_now(struct inbox *i)
{
    struct feed *f = i->feed;
    int64_t at = hint_ms(f);

    f->wants_poll = true;
    if (f->step == FEED_REST && i->status.feed.failures == 0 && at < f->due_ms)
        plan_at(f, at);
}

void feed_sweep_now(struct inbox *i)
{
    struct feed *f = i->feed;

    f->wants_sweep = true;
    if (f->is_looking && f->step == FEED_OFF && !f->saving)
        sweep_begin(f);
    else if (!f->is_looking && f->step == FEED_REST && i->status.feed.failures == 0)
        feed_plan(f);
}

void feed_configure(struct inbox *i)
{
    if (i->feed->step == FEED_REST && i->status.feed.failures == 0)
        feed_plan(i->feed);
}
