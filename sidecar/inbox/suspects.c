/*
 * A death counts for every message in hand (deliver.c), and only one of them was the reason. So
 * that a further one blames just that one, a message that was in hand at several deaths is a
 * suspect, and
 *
 *   one suspect is in hand at a time: two never die together, whatever else does
 *   it has the agent to itself for SUSPECT_ALONE_MS, or until it is back if that is sooner
 *   before it others are held back until the hand is empty, for as long at most
 *   between two suspects as many others as there are places are handed over, if so many wait
 *
 * The last three are for the others: a suspect that works for long, or many of them, slow them down
 * and do not stop them. Those that are let in beside a slow suspect may be lost with it once or
 * twice; then they are suspects, and never in hand with it again. Only the first rule is needed for
 * no innocent one to become a dead letter.
 */
#include "inbox/parts.h"

#include "base/banned.h"

bool suspect_is(const struct message *m)
{
    return m->j.deaths - (unsigned)m->is_counted >= SUSPECT_DEATHS;
}

static int64_t alone_until(const struct inbox *i)
{
    return loop_now_ms(i->loop) + i->suspects.alone_ms;
}

static bool is_turn_of_suspect(struct inbox *i)
{
    const struct suspects *s = &i->suspects;

    return !s->hand && queue_has(i, QUEUE_SUSPECTS) &&
           (s->others >= i->cfg->inbox.concurrency || !queue_has(i, QUEUE_OTHERS));
}

struct message *suspects_next(struct inbox *i, int64_t at_agent, int64_t *ret_at_ms)
{
    struct suspects *s = &i->suspects;
    bool is_its_turn = is_turn_of_suspect(i);
    struct message *m;

    if (is_its_turn && at_agent == 0)
        return queue_next(i, QUEUE_SUSPECTS, ret_at_ms);
    if (is_its_turn && s->until_ms == 0) /* the hand becomes empty */
        s->until_ms = alone_until(i);
    if (!is_its_turn && !s->hand) /* it was ended meanwhile, or is not due any more */
        s->until_ms = 0;
    if (s->until_ms > loop_now_ms(i->loop)) {
        *ret_at_ms = s->until_ms;
        return NULL;
    }
    m = queue_next(i, is_its_turn ? QUEUE_SUSPECTS : QUEUE_OTHERS, ret_at_ms);
    s->others += m && !is_its_turn;
    return m;
}

void suspects_took(struct inbox *i, const struct message *m)
{
    if (!suspect_is(m))
        return;
    i->suspects.hand = m;
    i->suspects.until_ms = alone_until(i);
}

void suspects_left(struct inbox *i, const struct message *m)
{
    if (i->suspects.hand != m)
        return;
    i->suspects.hand = NULL;
    i->suspects.until_ms = i->suspects.others = 0;
}
