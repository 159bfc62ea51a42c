/*
 * The arithmetic of a stop's list of signals.
 */
#include "supervisor/stop_steps.h"

#include "base/clock.h"

/* As long as the list says; of an open last one, what it is to have at least: no more than the
 * signal before it, so that a list of short waits is not squeezed for it. */
static int64_t wanted_ms(const struct stop_sequence *seq, size_t i)
{
    if (seq->v[i].wait_ms != STOP_WAIT_REST) {
        return seq->v[i].wait_ms;
    }
    return i > 0 ? ms_min(STOP_LAST_SHARE_MS, seq->v[i - 1].wait_ms) : STOP_LAST_SHARE_MS;
}

/* From `from` to the end. */
static int64_t sum_ms(const struct stop_steps *s, size_t from)
{
    int64_t sum = 0;

    for (size_t i = from; i < s->seq->n; i++) {
        sum += wanted_ms(s->seq, i);
    }
    return sum;
}

/* The signal in force would like another `wanted` ms before the next one. */
static void plan_next(struct stop_steps *s, int64_t now_ms, int64_t wanted)
{
    int64_t left = s->end_ms > now_ms ? s->end_ms - now_ms : 0;
    int64_t all = wanted + sum_ms(s, s->next);

    if (s->next >= s->seq->n) {
        s->next_ms = 0;
        return;
    }
    /* at most 9 days times 1 day in ms: no overflow */
    s->next_ms = now_ms + (all <= left ? wanted : wanted * left / all);
}

/* What the signal in force still has; of the last one, up to the end. */
static int64_t current_left_ms(const struct stop_steps *s, int64_t now_ms)
{
    int64_t until = s->next_ms != 0 ? s->next_ms : s->end_ms;

    return until > now_ms ? until - now_ms : 0;
}

void stop_steps_begin(struct stop_steps *s, const struct stop_sequence *seq, int64_t now_ms,
                      int64_t grace_ms)
{
    *s = (struct stop_steps){.seq = seq, .next_ms = now_ms};
    s->end_ms = now_ms + (stop_sequence_is_open(seq) ? grace_ms : ms_min(grace_ms, sum_ms(s, 0)));
}

int stop_steps_take(struct stop_steps *s, int64_t now_ms)
{
    size_t i = s->next;

    if (i >= s->seq->n) {
        s->next_ms = 0;
        return 0;
    }
    s->next++;
    s->sent |= UINT64_C(1) << (s->seq->v[i].signo - 1);
    plan_next(s, now_ms, wanted_ms(s->seq, i));
    return s->seq->v[i].signo;
}

bool stop_steps_shorten(struct stop_steps *s, int64_t now_ms, int64_t grace_ms)
{
    int64_t wanted = current_left_ms(s, now_ms);

    if (now_ms + grace_ms >= s->end_ms) {
        return false;
    }
    s->end_ms = now_ms + grace_ms;
    plan_next(s, now_ms, wanted);
    return true;
}

void stop_steps_replan(struct stop_steps *s, int64_t now_ms, int64_t grace_ms)
{
    int64_t wanted = current_left_ms(s, now_ms);

    s->end_ms =
        now_ms +
        (stop_sequence_is_open(s->seq) ? grace_ms : ms_min(grace_ms, wanted + sum_ms(s, s->next)));
    plan_next(s, now_ms, wanted);
}

void stop_steps_end(struct stop_steps *s, int64_t end_ms)
{
    s->next = s->seq ? s->seq->n : 0;
    s->next_ms = 0;
    s->end_ms = end_ms;
}
