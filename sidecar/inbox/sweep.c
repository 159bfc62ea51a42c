/*
 * Overlap sweeps (P section 10.6(3)): what a cursor cannot see, rows of one instant and rows that
 * were committed late, is in the last minutes of the feed; so is everything when there is no
 * cursor. Pages come newest first and backwards, messages go into the journal oldest first: all
 * pages are gathered before the first is saved. When that is too much, the newest are dropped and
 * asked for in another round, once the older ones are in the journal.
 */
#include "inbox/feed.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/*
 * Seconds: as far back as the time we know nothing of reaches, and a minute more. A journal that
 * was lost may have had messages that waited for days.
 */
static int64_t window_s(const struct feed *f)
{
    int64_t now = loop_now_ms(f->i->loop);
    int64_t since_ms = answer_evidence_since_ms(f->i);
    int64_t window, unknown_s;

    if (f->is_lost)
        return FEED_WINDOW_MAX_S;
    if (f->swept_ms == 0) {
        window = FEED_WINDOW_START_S;
        unknown_s = f->downtime_s + (now - f->started_ms) / 1000;
    } else {
        window = FEED_WINDOW_S;
        unknown_s = (now - f->swept_ms) / 1000;
    }
    if (since_ms > 0)
        unknown_s = later(unknown_s, (clock_wall_ms() - since_ms) / 1000);
    window = later(window, unknown_s + FEED_WINDOW_MORE_S);
    return window < FEED_WINDOW_MAX_S ? window : FEED_WINDOW_MAX_S;
}

void sweep_stop(struct feed *f)
{
    batch_release(&f->sweep.gathered);
    f->sweep = (struct sweep){.gathered = {.acked_seq = -1}};
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static void after_sweep(struct feed *f)
{
    struct sweep *s = &f->sweep;
    int64_t began_ms = s->began_ms;

    feed_acknowledge(f);
    if (s->is_cut) { /* what was dropped is newer than all that is saved now */
        s->is_cut = false;
        s->before[0] = '\0';
        f->i->status.feed.failures = 0;
        feed_plan(f);
        return;
    }
    f->swept_ms = began_ms;
    f->is_first = f->is_really_first = f->is_lost = false;
    f->is_caught_up = true;
    sweep_stop(f);
    second_swept(f->i);
    answer_feed_is_complete(f->i, began_ms);
    feed_plan(f);
}

/*
 * A journal that begins anew does not know what was answered before it. Of persons' messages those
 * count as answered that have later words of ours behind them (design section 11); with
 * inbox.first_start skip, all that is older than the very first sweep is left alone.
 */
static void judge_the_past(const struct feed *f, struct batch *b)
{
    bool skips = f->is_really_first && f->i->cfg->inbox.first_start == INBOX_SKIP;

    for (size_t k = 0; f->is_first && k < b->n; k++) {
        struct journal_message *m = &b->v[k].m;
        bool is_answered = !m->sender[0] && b->v[k].created_us < f->sweep.newest_echo_us;

        if (m->state != JOURNAL_SEEN || (!skips && !is_answered))
            continue;
        m->state = skips ? JOURNAL_SKIPPED : JOURNAL_ANSWERED;
        free(m->why);
        m->why = slice_dup(skips ? SLICE("older than the first start (inbox.first_start is skip)")
                                 : SLICE("older than this journal, and the feed shows later words "
                                         "of ours: answered before"));
    }
}

/* All rows have been shown to whom they may tell something; fetched they are by the next run. */
static void only_looked(struct feed *f)
{
    int64_t began_ms = f->sweep.began_ms;

    sweep_stop(f);
    f->step = FEED_OFF;
    f->wants_sweep = true;
    answer_feed_is_complete(f->i, began_ms);
}

static void save(struct feed *f)
{
    struct sweep *s = &f->sweep;
    struct batch *b = &s->gathered;
    struct journal_cursor cursor = {0};
    bool sets_cursor = f->cursor.row_id[0] == '\0' && f->has_cursors;

    batch_sort(b);
    judge_the_past(f, b);
    if (b->n > 0) {
        const struct batch_row *newest = &b->v[b->n - 1];

        s->floor_us = newest->created_us;
        if (sets_cursor && !s->is_cut) { /* P section 10.6(4) */
            memcpy(cursor.row_id, newest->id, sizeof(cursor.row_id));
            cursor.created_us = newest->created_us;
        }
    }
    f->to_ack = b->acked_seq;
    int code = feed_save(f, b, cursor.row_id[0] ? &cursor : NULL, after_sweep);

    if (code < 0) {
        struct reply bad = {.class = REPLY_NOT_DELIVERED};

        (void)snprintf(bad.error, sizeof(bad.error), "no memory to journal what a sweep found");
        sweep_stop(f); /* from the beginning */
        feed_bad(f, &bad);
    }
}

/* ---- pages -------------------------------------------------------------------------------------
 */

static void ask(struct feed *f);

/*
 * Strictly older than this, the next page. The oldest instant of a full page may go on behind it:
 * the one above it is named then, so that it comes whole.
 */
static bool go_back(struct sweep *s)
{
    const char *before = s->gathered.second[0] ? s->gathered.second : s->gathered.oldest;

    if (before[0] == '\0' || strcmp(before, s->before) == 0)
        return false;
    (void)snprintf(s->before, sizeof(s->before), "%s", before);
    return true;
}

/* Has this page reached what an earlier round has saved? */
static bool meets_the_floor(const struct sweep *s)
{
    return s->floor_us > 0 && s->gathered.oldest_us < s->floor_us;
}

static void take_page(struct feed *f, const struct reply *r)
{
    struct sweep *s = &f->sweep;
    size_t count = 0;
    int code = batch_add_page(&s->gathered, f->i, &f->known, r->body, &count);

    if (code < 0) {
        struct reply bad = *r;

        (void)snprintf(bad.error, sizeof(bad.error), "%s",
                       code == -ENOMEM ? "no memory for a page of messages"
                                       : "the answer is no list of rows (GET .../activity)");
        sweep_stop(f); /* half a page is in it */
        feed_bad(f, &bad);
        return;
    }
    feed_good(f, r);
    s->newest_echo_us = later(s->newest_echo_us, s->gathered.newest_echo_us);
    bool is_full = count >= f->sweep_page;

    feed_grow(f, &f->sweep_page, FEED_PAGE_MAX, r->body.n);
    batch_sort(&s->gathered);
    batch_compact(&s->gathered);
    if (s->gathered.bytes > f->gather_bytes) {
        s->is_cut = true;
        batch_cut(&s->gathered, f->gather_bytes / 2);
    }
    if (is_full && !meets_the_floor(s) && go_back(s))
        ask(f);
    else if (f->is_looking)
        only_looked(f);
    else
        save(f);
}

/* The page is asked for again, unless it is the sweep that fails: polls must not wait for it. */
static void page_failed(struct feed *f, const struct reply *r)
{
    bool is_hopeless = f->i->status.feed.failures + 1 >= FEED_SWEEP_FAILURES &&
                       f->cursor.row_id[0] && f->has_cursors && f->swept_ms;

    if (is_hopeless || r->status == 400)
        sweep_stop(f);
    if (is_hopeless)
        f->sweep_pause_ms = f->next_sweep_ms = loop_now_ms(f->i->loop) + f->times.sweep;
    feed_bad(f, r);
}

static void on_page(void *arg, const struct reply *r)
{
    struct feed *f = arg;

    if (feed_answer_is_page(r))
        take_page(f, r);
    else if (r->is_too_big && feed_shrink(&f->sweep_page))
        ask(f);
    else
        page_failed(f, r);
}

static void add_percent_encoded(struct str *s, const char *text)
{
    for (; *text; text++) {
        bool is_plain = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= 'a' && *text <= 'z') || *text == '-' || *text == '.';

        if (is_plain)
            str_add(s, (struct slice){text, 1});
        else
            str_addf(s, "%%%02X", (unsigned char)*text);
    }
}

static void ask(struct feed *f)
{
    struct str query = {0}, path = {0};

    f->step = FEED_SWEEPING;
    str_addf(&query, "since_secs=%lld&limit=%u", (long long)f->sweep.window_s, f->sweep_page);
    if (f->sweep.before[0]) {
        str_addz(&query, "&before_ts=");
        add_percent_encoded(&query, f->sweep.before);
    }
    feed_poll_path(f, str_z(&query), &path);
    f->call.max_answer_bytes = f->sweep_page <= FEED_PAGE_MIN ? FEED_ROW_BYTES : f->page_bytes;
    call_send(&f->call, f->i->transport, str_z(&path), (struct slice){0}, FEED_TIMEOUT_MS, on_page,
              f);
    str_release(&query);
    str_release(&path);
}

/* Also goes on with one that a failure interrupted, or whose next round is due. */
void sweep_begin(struct feed *f)
{
    struct sweep *s = &f->sweep;

    f->poll_began_ms = loop_now_ms(f->i->loop); /* it shows what a poll would, and more */
    if (!s->began_ms) {
        sweep_stop(f);
        s->window_s = window_s(f);
        s->began_ms = f->poll_began_ms;
        f->wants_sweep = f->wants_poll = f->wants_more = false;
    }
    ask(f);
}
