/*
 * What an earlier run left under way to people: until it is known which texts these are, nothing is
 * sent to a person, and until each of them has been resumed (answer_recover), nothing with its
 * words is. The window resumes conversations by age and may have no room for all of them: without
 * this an equal answer could go first, and its echo be taken for the one that was lost.
 */
#include "inbox/outbox.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

static void read_on(struct answers *as, int64_t after_seq);

static void on_again(struct timer *t)
{
    struct answers *as = t->arg;

    read_on(as, as->left.after_seq);
}

static struct left_answer *find(struct left_answers *l, int64_t seq)
{
    for (size_t k = 0; k < l->n; k++) {
        if (l->v[k].seq == seq)
            return &l->v[k];
    }
    return NULL;
}

static int add(struct left_answers *l, struct left_answer one)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct left_answer *more = realloc(l->v, cap * sizeof(*more));

        if (!more)
            return -ENOMEM;
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = one;
    return 0;
}

static int take(struct left_answers *l, const struct journal_message *m)
{
    struct left_answer one = {.seq = m->seq};
    int rc;

    if (m->sender[0] || find(l, m->seq))
        return 0; /* to a peer; or it was resumed while we read */
    rc = answer_text_hash(m->answer, &one.text_hash);
    return rc < 0 ? rc : add(l, one);
}

static void read_ends(struct answers *as)
{
    struct left_answers *l = &as->left;
    size_t n = 0;

    for (size_t k = 0; k < l->n; k++) {
        if (!l->v[k].is_resumed)
            l->v[n++] = l->v[k];
    }
    l->n = n;
    l->state = LEFT_READ;
    answers_pump(as);
}

static void on_read(void *arg, int code, struct journal_message *v, size_t n)
{
    struct answers *as = arg;

    if (code == -EBUSY)
        return; /* the journal is being closed */
    for (size_t k = 0; code == 0 && k < n; k++) {
        code = take(&as->left, &v[k]);
        if (code == 0)
            as->left.after_seq = v[k].seq;
    }
    if (code == 0 && n == 0)
        read_ends(as);
    else if (code == 0)
        read_on(as, as->left.after_seq);
    else
        timer_start(&as->left.again, as->inbox->loop,
                    loop_now_ms(as->inbox->loop) + as->times.backoff_base, on_again, as);
}

static void read_on(struct answers *as, int64_t after_seq)
{
    const struct journal_query q = {.states = 1U << JOURNAL_ANSWERING, .after_seq = after_seq};

    as->left.state = LEFT_READING;
    if (journal_read(as->inbox->journal, &q, on_read, as) == -ENOMEM)
        timer_start(&as->left.again, as->inbox->loop,
                    loop_now_ms(as->inbox->loop) + as->times.backoff_base, on_again, as);
}

bool answer_left_is_read(struct answers *as)
{
    if (as->left.state == LEFT_UNREAD)
        read_on(as, 0);
    return as->left.state == LEFT_READ;
}

void answer_left_resumed(struct answers *as, int64_t seq)
{
    struct left_answer *one = find(&as->left, seq);

    if (as->left.state != LEFT_READ) {
        if (one)
            one->is_resumed = true;
        else /* without memory: equal ones wait until the next start */
            (void)add(&as->left, (struct left_answer){.seq = seq, .is_resumed = true});
    } else if (one) {
        *one = as->left.v[--as->left.n];
    }
}

bool answer_left_has(const struct answers *as, uint64_t text_hash)
{
    for (size_t k = 0; k < as->left.n; k++) {
        if (!as->left.v[k].is_resumed && as->left.v[k].text_hash == text_hash)
            return true; /* of two texts with one hash the second waits for nothing: no harm */
    }
    return false;
}

void answer_left_stop(struct answers *as)
{
    timer_stop(&as->left.again);
    free(as->left.v);
    as->left = (struct left_answers){0};
}
