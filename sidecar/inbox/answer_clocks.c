/*
 * The platform's clock, measured: rows carry its time, our records carry ours, and the two may be
 * hours apart. An answer that was acknowledged has an echo row that was made between its sending
 * and its acknowledgement. One echo is not believed: an older run may have said the same words. Two
 * of different answers that agree are.
 */
#include "inbox/outbox.h"

#include "base/clock.h"
#include "base/hash.h"

#include "base/banned.h"

void answer_clocks_sent(struct answers *as, struct slice text, int64_t sent_ms)
{
    struct answer_clocks *c = &as->clocks;

    c->sent[c->next++ % ANSWER_SENT_KEPT] = (struct answer_sent){
        .text_hash = hash_plain(text), .sent_ms = sent_ms, .acknowledged_ms = clock_wall_ms()};
}

/* The one of this text; of two of them nobody can say whose echo it is. */
static struct answer_sent *find(struct answer_clocks *c, uint64_t text_hash)
{
    struct answer_sent *found = NULL;

    for (size_t k = 0; k < ANSWER_SENT_KEPT; k++) {
        if (c->sent[k].text_hash != text_hash)
            continue;
        if (found)
            return NULL;
        found = &c->sent[k];
    }
    return found;
}

void answer_clocks_echo(struct answers *as, const struct row *r)
{
    struct answer_clocks *c = &as->clocks;
    struct answer_sent *sent = find(c, hash_plain(slice_of(r->echo_text)));
    int64_t at_ms = r->created_us / 1000;

    if (r->created_us <= c->newest_us)
        return; /* sweeps show rows again: it is the echo of an earlier one of these words */
    c->newest_us = r->created_us;
    if (!sent)
        return;
    const struct clock_offset o = {
        .min_ms = at_ms - sent->acknowledged_ms, .max_ms = at_ms - sent->sent_ms, .is_known = true};
    sent->text_hash = 0;
    c->offset.is_known = false; /* a clock that was set is measured anew */
    if (c->has_last && o.min_ms - ANSWER_SKEW_MS <= c->last.max_ms &&
        o.max_ms + ANSWER_SKEW_MS >= c->last.min_ms) {
        c->offset.min_ms = ms_min(o.min_ms, c->last.min_ms);
        c->offset.max_ms = o.max_ms > c->last.max_ms ? o.max_ms : c->last.max_ms;
        c->offset.is_known = true;
    }
    c->last = o;
    c->has_last = true;
}
