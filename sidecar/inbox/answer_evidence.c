/*
 * Did it arrive? A call to /notify whose end we did not see leaves a trace in our own feed if it
 * was carried out: an echo row with the text (P section 10.5 rule 1). Sweeps look for it from
 * early on; that there is none is believed only of a sweep that begins when the call can no longer
 * be carried out.
 *
 * An echo proves something only if no other answer can have made it. Equal texts are sent one after
 * the other (answer.c), also across a restart (answer_left.c), so at most one of them is doubtful,
 * and it is the last one of that text: all others are in the journal as answered, each made one
 * echo. What cannot be told apart by number or by time is left to inbox.on_unknown: so is one whose
 * equal was given up, or is doubtful too after all.
 */
#include "inbox/outbox.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void look(struct answers *as);

static void on_settle(struct timer *t)
{
    look(t->arg);
}

static int64_t settled_ms(const struct answer *a)
{
    return a->evidence.unknown_ms + a->answers->times.settle;
}

/* When a sweep may say something of a that one begun at asked_ms (0 = none) could not. */
static int64_t wanted_ms(const struct answer *a, int64_t asked_ms)
{
    const struct answer_times *t = &a->answers->times;
    int64_t early = a->evidence.unknown_ms + t->early, settled = settled_ms(a);

    if (asked_ms < early)
        return ms_min(early, settled);
    return asked_ms < settled ? ms_min(asked_ms + t->ask_again, settled) : asked_ms + t->ask_again;
}

/* Asks for a sweep as soon as one can decide something, and again until one did. */
static void look(struct answers *as)
{
    struct loop *l = as->inbox->loop;
    int64_t now = loop_now_ms(l), next = 0;

    for (int pass = 0; pass < 2; pass++) {
        next = 0;
        LIST_FOREACH(it, &as->doubtful)
        {
            int64_t at = wanted_ms(container_of(it, struct answer, node), as->asked_ms);

            if (next == 0 || at < next)
                next = at;
        }
        if (next == 0 || next > now)
            break;
        as->asked_ms = now; /* and when is the next? */
        feed_sweep_now(as->inbox);
    }
    if (next == 0)
        timer_stop(&as->settle);
    else
        timer_start(&as->settle, l, next, on_settle, as);
}

void answer_doubt_stop(struct answers *as)
{
    timer_stop(&as->settle);
}

bool answer_wants_sweep(const struct inbox *i)
{
    LIST_FOREACH(it, &i->answers->doubtful)
    {
        const struct answer *a = container_of(it, struct answer, node);

        if (a->evidence.unknown_ms + a->answers->times.early <= loop_now_ms(i->loop))
            return true;
    }
    return false;
}

int64_t answer_evidence_since_ms(const struct inbox *i)
{
    int64_t since = 0;

    LIST_FOREACH(it, &i->answers->doubtful)
    {
        int64_t at =
            container_of(it, struct answer, node)->evidence.intent_ms - ANSWER_NEAR_MS / 10;

        if (since == 0 || at < since)
            since = at;
    }
    return since;
}

/* ---- what a drain waits for ---- */

/* That an echo is missing proves nothing for long: only that it is there is worth a wait. */
static bool is_left(const struct answer *a)
{
    return a->phase == ANSWER_DOUBTFUL &&
           (a->evidence.is_asked || loop_now_ms(a->answers->inbox->loop) >=
                                        a->evidence.unknown_ms + a->answers->times.drain);
}

int64_t answers_left_to_next(const struct inbox *i)
{
    int64_t n = 0;

    LIST_FOREACH(it, &i->answers->doubtful)
    {
        n += is_left(container_of(it, struct answer, node));
    }
    LIST_FOREACH(it, &i->answers->queued)
    {
        const struct answer *a = container_of(it, struct answer, node);
        const struct answer *equal = n > 0 && !a->is_to_peer ? answer_equal_of(a) : NULL;

        n += equal && is_left(equal);
    }
    return n;
}

static void on_drain_enough(struct timer *t)
{
    inbox_work_changed(t->arg);
}

/* ---- the verdict ---- */

static void say(const struct answer *a, const char *found)
{
    log_debug("inbox", "row %s: the answer whose fate was unknown %s", a->m->j.row_id, found);
}

static void it_arrived(struct answer *a)
{
    say(a, "has arrived");
    a->judged = (struct judged){.what = JUDGED_ARRIVED};
    answer_arrived(a);
}

static void it_did_not(struct answer *a)
{
    char why[sizeof(a->judged.why) + 64];

    say(a, "has not arrived");
    (void)snprintf(why, sizeof(why), "it did not arrive, as the feed shows%s%s",
                   a->judged.why[0] ? ": " : "", a->judged.why);
    a->judged = (struct judged){.what = JUDGED_AGAIN, .has_end = true};
    (void)snprintf(a->judged.why, sizeof(a->judged.why), "%.500s", why);
    answer_retry(a); /* whatever swallows them all will not be fed for ever */
}

enum verdict { VERDICT_ARRIVED = 0, VERDICT_NOT, VERDICT_NONE };

/*
 * By time, which needs the platform's clock measured: is the last echo from before our intent, or
 * from after all other answers had arrived?
 */
static enum verdict verdict_by_time(const struct answer_evidence *e, const struct clock_offset *o)
{
    int64_t at_ms = e->echo_last_us / 1000;

    if (!o->is_known)
        return VERDICT_NONE;
    if (at_ms - o->min_ms < e->intent_ms - ANSWER_SKEW_MS)
        return VERDICT_NOT;
    return at_ms - o->max_ms > e->equal_last_ms + ANSWER_SKEW_MS ? VERDICT_ARRIVED : VERDICT_NONE;
}

/* All echoes there are have been seen. */
static enum verdict verdict_of(const struct answer *a)
{
    const struct answer_evidence *e = &a->evidence;

    if (e->echo_count == 0)
        return VERDICT_NOT;
    if (e->is_cut)
        return VERDICT_NONE;
    if (e->echo_count > e->equal_count)
        return VERDICT_ARRIVED;
    if (e->echo_count == e->equal_newer)
        return VERDICT_NOT;
    return verdict_by_time(e, &a->answers->clocks.offset);
}

/* After a sweep. Before its time is_settled only what has arrived is known. */
static bool decide(struct answer *a, bool is_settled)
{
    enum verdict v = verdict_of(a);

    if (v == VERDICT_ARRIVED) {
        it_arrived(a);
    } else if (!is_settled) {
        return false;
    } else if (v == VERDICT_NOT) {
        it_did_not(a);
    } else {
        say(a, "cannot be told from others of the same text");
        answer_unsure(a);
    }
    return true;
}

/* ---- the evidence ---- */

/* Answers of the same text that arrived: their echoes are not this one's. */
static void on_equals(void *arg, int code, struct journal_message *v, size_t n)
{
    struct answer *a = arg;
    struct answer_evidence *e = &a->evidence;

    e->is_reading = false;
    e->is_cut = e->is_cut || code < 0 || n == JOURNAL_READ_MAX;
    for (size_t k = 0; k < n; k++) {
        if (v[k].state != JOURNAL_ANSWERED) { /* parked, dropped: it may have an echo, or none */
            e->is_cut = true;
            continue;
        }
        e->equal_count++;
        e->equal_newer += v[k].created_us > a->m->j.created_us;
        if (v[k].changed_ms > e->equal_last_ms)
            e->equal_last_ms = v[k].changed_ms;
    }
    if (!e->is_cut && e->echo_count > e->equal_count)
        it_arrived(a);
}

void answer_doubt(struct answer *a, int64_t intent_ms)
{
    struct answers *as = a->answers;
    struct inbox *i = as->inbox;
    const struct answer_clocks *c = &as->clocks;
    struct answer *equal = answer_equal_of(a);
    const struct journal_query q = {
        .states = 1U << JOURNAL_ANSWERED | 1U << JOURNAL_PARKED | 1U << JOURNAL_SKIPPED,
        .answer = a->m->j.answer ? a->m->j.answer : "",
        .changed_from_ms = a->m->j.created_us / 1000 - ANSWER_NEAR_MS - c->offset.max_ms,
        .newest_first = true};

    answer_move(a, ANSWER_DOUBTFUL);
    a->evidence =
        (struct answer_evidence){.unknown_ms = loop_now_ms(i->loop), .intent_ms = intent_ms};
    a->evidence.is_reading = journal_read(i->journal, &q, on_equals, a) == 0;
    a->evidence.is_cut = !a->evidence.is_reading || equal || answer_left_has(as, a->text_hash);
    if (equal)
        equal->evidence.is_cut = true;
    log_info("inbox",
             "row %s: it is not known whether the answer arrived; the feed will tell, within %lld "
             "s%s%s",
             a->m->j.row_id, (long long)(as->times.settle / 1000), a->judged.why[0] ? ": " : "",
             a->judged.why);
    timer_start(&a->m->timer, i->loop, a->evidence.unknown_ms + as->times.drain, on_drain_enough,
                i);
    look(as);
}

static void take_echo(struct answer *a, const struct row *r)
{
    struct answer_evidence *e = &a->evidence;

    for (unsigned k = 0; k < e->echo_count; k++) {
        if (strcmp(e->echoes[k], r->id) == 0)
            return;
    }
    if (e->echo_count == ANSWER_ECHOES_MAX) {
        e->is_cut = true;
        return;
    }
    (void)snprintf(e->echoes[e->echo_count++], JOURNAL_ID_LEN + 1, "%s", r->id);
    if (r->created_us > e->echo_last_us)
        e->echo_last_us = r->created_us;
    if (!e->is_reading && !e->is_cut && e->echo_count > e->equal_count)
        it_arrived(a);
}

void answer_saw_echo(struct inbox *i, const struct row *r)
{
    if (!r->echo_text)
        return;
    answer_clocks_echo(i->answers, r);
    LIST_FOREACH(it, &i->answers->doubtful)
    {
        struct answer *a = container_of(it, struct answer, node);

        if (r->created_us > a->m->j.created_us && strcmp(r->echo_text, str_z(&a->words)) == 0) {
            take_echo(a, r); /* of equal ones that are doubtful together it decides none */
        }
    }
}

void answer_feed_is_complete(struct inbox *i, int64_t at_ms)
{
    bool found = true;

    while (found) { /* from the top: each verdict may end others */
        found = false;
        LIST_FOREACH(it, &i->answers->doubtful)
        {
            struct answer *a = container_of(it, struct answer, node);

            if (!a->evidence.is_reading && decide(a, at_ms >= settled_ms(a))) {
                found = true;
                break;
            }
        }
    }
    LIST_FOREACH(it, &i->answers->doubtful)
    {
        struct answer_evidence *e = &container_of(it, struct answer, node)->evidence;

        e->is_asked = e->is_asked || at_ms >= e->unknown_ms + i->answers->times.early;
    }
    inbox_work_changed(i);
    look(i->answers);
}
