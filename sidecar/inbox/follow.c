/*
 * Asks after a task that the agent works on, until it has ended or needs somebody. The agent may
 * be away meanwhile, and so may we: the task's name is in the journal, and its time
 * (inbox.task_timeout) began when it was written there.
 *
 * An agent that does not know the task any more has forgotten it, and the message is delivered
 * again under the same messageId. That was a failed attempt; but most keep tasks in memory, and if
 * the agent was lost meanwhile (as it is with us) it was a death with the message in hand: five of
 * these by somebody else's poison make no dead letter. What else goes wrong says nothing about the
 * task: it is asked again.
 */
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "inbox/agent_answer.h"
#include "inbox/envelope.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

struct following {  /* the message's scratch */
    int64_t end_ms; /* loop time */
    unsigned looks;
    unsigned losses; /* inbox.losses when it began */
    bool is_1_0;     /* of the look under way */
    bool is_other_version;
};

static void look(struct timer *t);

static void give_back(struct message *m)
{
    timer_stop(&m->timer);
    free(ptr_take(&m->scratch));
}

static void look_later(struct message *m)
{
    struct following *f = m->scratch;
    struct loop *l = m->inbox->loop;
    int64_t at_ms = loop_now_ms(l) + backoff_ms(FOLLOW_FIRST_MS, FOLLOW_MAX_MS, f->looks);

    f->looks++;
    timer_start(&m->timer, l, at_ms < f->end_ms ? at_ms : f->end_ms, look, m);
}

enum { TASK_SHOWN_MAX = 64 }; /* bytes of a task id in a sentence */

static void is_over(struct message *m)
{
    char why[ERR_MSG_MAX];
    struct str task = {0};

    str_add_printable(&task, slice_of(m->j.task_id), TASK_SHOWN_MAX); /* the agent's word */
    (void)snprintf(why, sizeof(why), "its task %s did not end within %lld s (inbox.task_timeout)",
                   str_z(&task), (long long)(m->inbox->cfg->inbox.task_timeout / 1000));
    str_release(&task);
    give_back(m);
    deliver_bury(m->inbox, m, why);
}

/* true: a has said what there is to say about the task. */
static bool is_news(struct message *m, const struct agent_answer *a)
{
    struct following *f = m->scratch;

    switch (a->said) {
    case AGENT_SAID:
    case AGENT_ASKS:
    case AGENT_FORGOT:
    case AGENT_REFUSED:
        return true;
    case AGENT_WORKING:
    case AGENT_FAILED:
        return false;
    case AGENT_OTHER_VERSION:
        if (f->is_other_version)
            return true;
        f->is_other_version = true;
        return false;
    }
    return false;
}

static void forgot(struct message *m, bool was_lost, const char *why)
{
    if (was_lost)
        deliver_lose(m->inbox, m, why);
    else
        deliver_fail(m->inbox, m, why, 0);
}

static void read_look(struct message *m, const struct port_reply *r)
{
    struct inbox *i = m->inbox;
    const struct following *f = m->scratch;
    bool was_lost = m->is_left || f->losses != i->losses;
    struct agent_answer a;

    if (agent_answer_read(r->status, r->body, true, &a) < 0 || !is_news(m, &a)) {
        look_later(m);
    } else {
        give_back(m);
        if (a.said == AGENT_SAID || a.said == AGENT_ASKS)
            deliver_take(i, m, &a, 0);
        else if (a.said == AGENT_FORGOT)
            forgot(m, was_lost, a.why);
        else
            deliver_bury(i, m, a.why); /* it works on a task after which nobody can ask */
    }
    agent_answer_release(&a);
}

static void on_reply(void *arg, const struct port_reply *r)
{
    struct message *m = arg;

    m->port = NULL;
    m->inbox->losses += r->outcome == PORT_LOST || r->outcome == PORT_NOT_REACHED;
    if (r->outcome == PORT_ANSWERED)
        read_look(m, r);
    else
        look_later(m);
}

static void look(struct timer *t)
{
    struct message *m = t->arg;
    struct inbox *i = m->inbox;
    struct following *f = m->scratch;
    CLEANUP(str_release) struct str body = {0};

    if (loop_now_ms(i->loop) >= f->end_ms) {
        is_over(m);
        return;
    }
    f->is_1_0 = deliver_speaks_1_0(i) != f->is_other_version;
    if (i->is_agent_ready)
        envelope_write_task(m->j.row_id, m->j.task_id, f->is_1_0, &body);
    if (!i->is_agent_ready || !str_ok(&body) ||
        port_send(i->port, str_slice(&body), f->is_1_0 ? ENVELOPE_VERSION_1 : NULL, FOLLOW_CALL_MS,
                  on_reply, m, &m->port) < 0)
        look_later(m);
}

void follow_begin(struct inbox *i, struct message *m)
{
    struct following *f = calloc(1, sizeof(*f));
    int64_t left_ms = i->cfg->inbox.task_timeout;

    if (!f) {
        deliver_fail(i, m, "out of memory", DELIVER_MEMORY_MS);
        return;
    }
    if (m->j.changed_ms > 0 && clock_wall_ms() > m->j.changed_ms) /* an earlier run has begun */
        left_ms -= clock_wall_ms() - m->j.changed_ms;
    f->end_ms = loop_now_ms(i->loop) + (left_ms > 0 ? left_ms : 0);
    f->losses = i->losses;
    m->scratch = f;
    m->step = STEP_FOLLOWED;
    m->timer.arg = m;
    look_later(m);
}
