/*
 * Hands messages to the agent and decides what follows from its answers. What an answer means is
 * agent_answer.c's; a task that goes on is follow.c's; which message is next is queue.c's.
 *
 *   nobody listens        nothing happened: all deliveries pause, nothing is counted
 *   the connection ended  the agent may have died of it: counted apart (deaths)
 *   we end ourselves      the same, for what an earlier run has left: written down before it is
 *                         handed over, and taken back when it did not kill us
 *   a failed answer       counted (attempts), tried again later, a dead letter at the end
 *   an answer             committed together with what it says about the conversation, then sent
 *
 * A place (inbox.concurrency) is free as soon as the agent has answered: the commit and the answer
 * to the sender do not hold it. A death counts for all that are in hand, so who was in hand at some
 * is in hand alone from then on (suspects.c).
 */
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "inbox/agent_answer.h"
#include "inbox/envelope.h"
#include "inbox/outcome.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

_Static_assert(DELIVER_DEATHS_MAX == 20, "a sentence says it");

struct deliver {
    struct inbox *inbox;
    struct timer timer; /* the next message that is due, or the end of the pause */
    int64_t at_agent;
    int64_t pause_until_ms;
    unsigned unreached;    /* in a row */
    bool is_other_version; /* than the card says: the agent answered so */
    bool has_flipped;      /* since it last took a message */
};

struct hand_over { /* a message's scratch while it is with the agent */
    bool is_1_0, has_task;
};

/* ---- writing ---- */

static int set_text(char **at, const char *text)
{
    char *copy = text && text[0] ? slice_dup(slice_of(text)) : NULL;

    if (text && text[0] && !copy)
        return -ENOMEM;
    free(*at);
    *at = copy;
    return 0;
}

static void say(const struct message *m, enum log_level level, const char *what, const char *why)
{
    const struct log_field fields[] = {LOG_STR("message", m->j.row_id),
                                       LOG_INT("attempts", m->j.attempts),
                                       LOG_INT("deaths", m->j.deaths)};

    const char *words = strstr(why, AGENT_WORDS); /* the journal has them, the log never */

    log_event(level, "inbox", fields, sizeof(fields) / sizeof(fields[0]), "%s: %.*s", what,
              (int)(words ? (size_t)(words - why) : strlen(why)), why);
}

static void commit(struct message *m);

static void commit_again(struct timer *t)
{
    commit(t->arg);
}

static void on_committed(void *arg, int code)
{
    struct message *m = arg;
    struct inbox *i = m->inbox;

    if (code == -EBUSY || i->is_finishing) /* the next run goes on from here */
        return;
    if (code == -ENOENT) /* of the file before this one */
        queue_restore(i);
    if (code < 0) {
        timer_start(&m->timer, i->loop, loop_now_ms(i->loop) + DELIVER_MEMORY_MS, commit_again, m);
    } else if (m->j.answer) {
        answer_begin(i, m);
    } else {
        follow_begin(i, m);
    }
}

/* We are still here: whatever becomes of it, it has not killed us. true: that had been counted. */
static bool uncount(struct message *m)
{
    bool was_counted = m->is_counted;

    m->j.deaths -= was_counted;
    m->is_counted = false;
    return was_counted;
}

static bool spare(struct message *m, const void *arg)
{
    (void)arg;
    if (uncount(m))
        (void)queue_save(m, NULL, NULL); /* without it it is a death too many in the journal */
    return false;
}

void deliver_spare(struct inbox *i)
{
    (void)queue_match(i, spare, NULL);
}

/* The agent took it: with an answer or a task. What follows begins after the commit. */
static void commit(struct message *m)
{
    (void)uncount(m);
    m->j.state = JOURNAL_DELIVERED;
    m->j.due_ms = 0;
    m->j.changed_ms = clock_wall_ms(); /* follow.c counts from here */
    if (queue_save(m, on_committed, m) < 0)
        on_committed(m, -ENOMEM);
}

static void try_again(struct inbox *i, struct message *m, const char *why, int64_t delay_ms)
{
    (void)uncount(m);
    (void)set_text(&m->j.why, why);
    (void)set_text(&m->j.task_id, NULL);
    m->j.state = JOURNAL_SEEN;
    m->j.due_ms = clock_wall_ms() + delay_ms;
    (void)queue_save(m, NULL, NULL); /* without it only a count is lost, if we end now */
    queue_return(i, m);
}

/* Nothing happened to it: neither written nor counted. */
static void put_back(struct inbox *i, struct message *m, int64_t delay_ms)
{
    m->j.due_ms = delay_ms > 0 ? clock_wall_ms() + delay_ms : 0;
    if (uncount(m))
        (void)queue_save(m, NULL, NULL); /* without it one death too many, if we end now */
    queue_return(i, m);
}

/* ---- failures ---- */

static void finish(struct inbox *i, struct message *m, enum journal_state state, const char *why)
{
    (void)uncount(m);
    (void)set_text(&m->j.why, why);
    m->j.state = state;
    m->j.due_ms = 0;
    queue_end(i, m);
}

void deliver_bury(struct inbox *i, struct message *m, const char *why)
{
    i->status.dead++;
    say(m, LOG_ERROR, "a message is a dead letter (see `inbox list`)", why);
    finish(i, m, JOURNAL_DEAD, why);
}

static int64_t retry_pause_ms(const struct inbox *i, int64_t base_ms, unsigned n)
{
    return backoff_ms(base_ms, i->cfg->inbox.retry_max, n);
}

void deliver_fail(struct inbox *i, struct message *m, const char *why, int64_t wait_ms)
{
    m->j.attempts++;
    if (m->j.attempts >= (unsigned)i->cfg->inbox.max_attempts) {
        deliver_bury(i, m, why);
        return;
    }
    int64_t pause_ms = retry_pause_ms(i, DELIVER_RETRY_MS, 2 * (m->j.attempts - 1));

    i->status.retried++;
    say(m, LOG_WARNING, "the agent failed with a message, which is tried again", why);
    try_again(i, m, why, pause_ms > wait_ms ? pause_ms : wait_ms);
}

void deliver_lose(struct inbox *i, struct message *m, const char *why)
{
    if (i->is_draining || i->is_finishing) { /* it ends because we do */
        if (m->j.state == JOURNAL_SEEN)
            put_back(i, m, 0);
        else
            try_again(i, m, why, 0);
        return;
    }
    (void)uncount(m);
    m->j.deaths++;
    if (m->j.deaths >= DELIVER_DEATHS_MAX) {
        char text[ERR_MSG_MAX];

        (void)snprintf(
            text, sizeof(text),
            "the agent ended or hung up %d times with this message in hand, last: %.300s",
            DELIVER_DEATHS_MAX, why);
        deliver_bury(i, m, text);
        return;
    }
    i->status.retried++;
    say(m, LOG_WARNING, "the agent was lost with a message in hand, which is tried again", why);
    try_again(i, m, why, retry_pause_ms(i, DELIVER_LOST_MS, m->j.deaths - 1));
}

static void not_reached(struct deliver *d, struct message *m, const char *why)
{
    struct inbox *i = d->inbox;
    int64_t pause_ms = backoff_ms(DELIVER_LOST_MS, DELIVER_UNREACHED_MAX_MS, d->unreached);

    i->losses++;
    if (d->unreached++ == 0)
        say(m, LOG_WARNING, "the agent cannot be reached; messages wait for it", why);
    d->pause_until_ms = loop_now_ms(i->loop) + pause_ms;
    put_back(i, m, 0);
}

/* ---- in hand ---- */

static void take(struct deliver *d, const struct message *m)
{
    d->at_agent++;
    suspects_took(d->inbox, m);
}

static void let_go(struct deliver *d, const struct message *m)
{
    d->at_agent--;
    suspects_left(d->inbox, m);
}

/* ---- answers ---- */

/* What the conversation has to know from now on. task_id: open and interrupted; "" = none. */
static int keep_conversation(struct message *m, const struct agent_answer *a, const char *task_id)
{
    const struct journal_conversation *c = queue_conversation(m);
    const char *context_id = a->context_id[0] ? a->context_id : c->context_id;
    int rc = a->context_id[0] ? set_text(&m->j.context_id, a->context_id) : 0;

    return rc < 0 ? rc : queue_set_conversation(m, context_id, task_id);
}

static int take_words(struct message *m, struct agent_answer *a)
{
    const char *open = queue_conversation(m)->task_id;
    bool is_open =
        a->said == AGENT_ASKS || (a->task_id[0] && open && strcmp(open, a->task_id) == 0);
    int rc = keep_conversation(m, a, is_open ? a->task_id : "");

    if (rc < 0)
        return rc;
    (void)set_text(&m->j.why, NULL);
    free(m->j.answer);
    m->j.answer = a->text.len > 0 ? str_take(&a->text) : NULL;
    return 0;
}

static void take_answer(struct inbox *i, struct message *m, struct agent_answer *a)
{
    if (take_words(m, a) < 0) {
        deliver_fail(i, m, "out of memory", DELIVER_MEMORY_MS);
        return;
    }
    i->status.delivered++;
    if (m->j.answer) {
        commit(m);
        return;
    }
    i->status.answered++;
    finish(i, m, JOURNAL_ANSWERED, "the agent had nothing to say");
}

static void take_task(struct inbox *i, struct message *m, const struct agent_answer *a)
{
    if (set_text(&m->j.task_id, a->task_id) < 0 || keep_conversation(m, a, "") < 0) {
        deliver_fail(i, m, "out of memory", DELIVER_MEMORY_MS);
        return;
    }
    i->status.delivered++;
    commit(m);
}

/* The task that waited for this message is no more: a message like any other, then. */
static void forget_task(struct inbox *i, struct message *m, const char *why)
{
    const struct journal_conversation *c = queue_conversation(m);

    if (!c->task_id || !c->task_id[0] || queue_set_conversation(m, c->context_id, "") < 0) {
        deliver_fail(i, m, why, 0);
        return;
    }
    say(m, LOG_INFO, "its conversation's open task is gone, it is sent without", why);
    try_again(i, m, why, 0);
}

/*
 * The same bytes would get the same answer. But there may be other bytes: an agent that was
 * restarted may not know the context any more that it had given the conversation.
 */
static void refuse(struct inbox *i, struct message *m, const char *why)
{
    const struct journal_conversation *c = queue_conversation(m);

    if (c->context_id && c->context_id[0] && queue_set_conversation(m, "", c->task_id) == 0) {
        say(m, LOG_INFO, "refused, it is sent without the agent's context", why);
        try_again(i, m, why, 0);
        return;
    }
    m->j.attempts++;
    deliver_bury(i, m, why);
}

void deliver_take(struct inbox *i, struct message *m, struct agent_answer *a, int64_t wait_ms)
{
    switch (a->said) {
    case AGENT_SAID:
    case AGENT_ASKS:
        take_answer(i, m, a);
        break;
    case AGENT_WORKING:
        take_task(i, m, a);
        break;
    case AGENT_FORGOT:
        forget_task(i, m, a->why);
        break;
    case AGENT_REFUSED:
        refuse(i, m, a->why);
        break;
    case AGENT_OTHER_VERSION:
    case AGENT_FAILED:
        deliver_fail(i, m, a->why, wait_ms);
        break;
    }
}

/* true: m goes back, to be sent in the other version. */
static bool tries_other_version(struct deliver *d, bool used_1_0)
{
    if (used_1_0 != deliver_speaks_1_0(d->inbox))
        return true; /* another message has found out meanwhile */
    if (d->has_flipped)
        return false; /* it takes neither */
    d->has_flipped = true;
    d->is_other_version = !d->is_other_version;
    log_info("inbox", "the agent does not know A2A %s's methods; trying those of %s",
             used_1_0 ? "1.0" : "0.3", used_1_0 ? "0.3" : "1.0");
    return true;
}

static void read_reply(struct deliver *d, struct message *m, const struct port_reply *r,
                       struct hand_over h)
{
    struct inbox *i = d->inbox;
    struct agent_answer a;

    if (agent_answer_read(r->status, r->body, h.has_task, &a) < 0)
        deliver_fail(i, m, "out of memory", DELIVER_MEMORY_MS);
    else if (a.said == AGENT_OTHER_VERSION && tries_other_version(d, h.is_1_0))
        put_back(i, m, 0);
    else {
        if (a.said == AGENT_SAID || a.said == AGENT_ASKS || a.said == AGENT_WORKING)
            d->has_flipped = false;
        deliver_take(i, m, &a, r->wait_ms);
    }
    agent_answer_release(&a);
}

static void on_reply(void *arg, const struct port_reply *r)
{
    struct message *m = arg;
    struct inbox *i = m->inbox;
    struct deliver *d = i->deliver;
    struct hand_over h = *(struct hand_over *)m->scratch;

    m->port = NULL;
    free(ptr_take(&m->scratch));
    let_go(d, m);
    if (r->outcome != PORT_NOT_REACHED)
        d->unreached = 0;
    switch (r->outcome) {
    case PORT_ANSWERED:
        read_reply(d, m, r, h);
        break;
    case PORT_NOT_REACHED:
        not_reached(d, m, r->error);
        break;
    case PORT_LOST:
        i->losses++;
        deliver_lose(i, m, r->error);
        break;
    case PORT_TIMED_OUT:
    case PORT_UNREADABLE:
        deliver_fail(i, m, r->error, 0);
        break;
    }
    deliver_pump(i);
}

/* ---- handing over ---- */

bool deliver_speaks_1_0(const struct inbox *i)
{
    bool says_card = i->cb.agent_speaks_1_0 && i->cb.agent_speaks_1_0(i->arg);

    return says_card != i->deliver->is_other_version;
}

static int make_body(struct inbox *i, struct message *m, struct hand_over *h, struct str *ret,
                     struct err *err)
{
    const struct journal_conversation *c = queue_conversation(m);
    CLEANUP(free_cleanup) char *rewritten = uploads_rewrite(i, m->j.request ? m->j.request : "");
    struct peer_facts peer = {0};
    bool is_peer = m->j.sender[0] != '\0';
    /* an outcome of a delegation whose row names no peer */
    bool is_nameless = slice_eq_nocase(slice_of(m->j.sender), slice_of(i->cfg->workspace.id));

    if (is_peer && !is_nameless)
        peers_find(i, m->j.sender, &peer);
    h->is_1_0 = deliver_speaks_1_0(i);
    h->has_task = c->task_id && c->task_id[0];
    const struct envelope e = {
        .request = rewritten ? rewritten : m->j.request,
        .row_id = m->j.row_id,
        .message_id = m->j.message_id,
        .context_id = m->j.context_id,
        .agent_context_id = c->context_id,
        .task_id = c->task_id,
        .is_1_0 = h->is_1_0,
        .is_peer = is_peer,
        .has_markers = i->cfg->inbox.peer_markers,
        .is_outcome = outcome_is(&m->j),
        .sender_id = is_nameless ? "" : m->j.sender,
        .peer_name = peer.name,
        .peer_role = peer.role,
        .card_url = peer.card_url,
    };
    return envelope_write(&e, ret, err);
}

static void send_it(struct deliver *d, struct message *m)
{
    struct inbox *i = d->inbox;
    CLEANUP(str_release) struct str body = {0};
    struct hand_over *h = calloc(1, sizeof(*h));
    struct err err = {0};
    int64_t timeout_ms = i->cfg->forward.response_timeout;
    int rc = h ? make_body(i, m, h, &body, &err) : -ENOMEM;

    if (rc == 0)
        rc = port_send(i->port, str_slice(&body), h->is_1_0 ? ENVELOPE_VERSION_1 : NULL,
                       timeout_ms > 0 ? timeout_ms : DELIVER_NO_TIMEOUT_MS, on_reply, m, &m->port);
    if (rc == 0) {
        m->scratch = h;
        take(d, m);
        return;
    }
    free(h);
    if (rc == -ENODATA) {
        i->status.skipped++;
        finish(i, m, JOURNAL_SKIPPED, err.msg);
    } else if (rc == -EBADMSG) {
        deliver_bury(i, m, err.msg);
    } else {
        put_back(i, m, DELIVER_MEMORY_MS);
    }
}

static bool may_deliver(const struct inbox *i)
{
    return i->is_started && i->is_agent_ready && !i->is_held && !i->is_draining && !i->is_finishing;
}

static void on_counted(void *arg, int code)
{
    struct message *m = arg;
    struct inbox *i = m->inbox;

    let_go(i->deliver, m);
    if (code == -EBUSY) /* the journal is being closed: nothing was written */
        return;
    if (code == -ENOENT) /* of the file before this one */
        queue_restore(i);
    if (code == -ENOMEM)
        put_back(i, m, DELIVER_MEMORY_MS);
    else if (may_deliver(i))
        send_it(i->deliver, m);
    else
        put_back(i, m, 0);
    deliver_pump(i);
}

/*
 * An earlier run has ended with m unfinished, perhaps by it: this one is prepared to end by it,
 * too. Nothing else may stand between the commit and the first look at what m says.
 */
static void count_first(struct deliver *d, struct message *m)
{
    if (m->j.deaths >= DELIVER_DEATHS_MAX) {
        deliver_bury(d->inbox, m,
                     "the agent or the sidecar ended 20 times with this message in hand");
        return;
    }
    m->j.deaths++;
    m->is_counted = true;
    take(d, m);
    if (queue_save(m, on_counted, m) < 0) {
        let_go(d, m);
        put_back(d->inbox, m, DELIVER_MEMORY_MS);
    }
}

static void hand_over(struct deliver *d, struct message *m)
{
    if (uploads_is_awaited(d->inbox, m->j.request))
        put_back(d->inbox, m, DELIVER_FILE_MS);
    else if (m->is_left)
        count_first(d, m);
    else
        send_it(d, m);
}

static void on_timer(struct timer *t)
{
    struct deliver *d = t->arg;

    deliver_pump(d->inbox);
}

void deliver_pump(struct inbox *i)
{
    struct deliver *d = i->deliver;
    struct message *m;
    int64_t at_ms = d->pause_until_ms;

    timer_stop(&d->timer);
    if (!may_deliver(i))
        return;
    if (at_ms <= loop_now_ms(i->loop)) {
        at_ms = 0;
        while (d->at_agent < i->cfg->inbox.concurrency &&
               (m = suspects_next(i, d->at_agent, &at_ms)) != NULL)
            hand_over(d, m);
    }
    if (at_ms > 0)
        timer_start(&d->timer, i->loop, at_ms, on_timer, d);
}

/* ---- life ---- */

int deliver_new(struct inbox *i)
{
    struct deliver *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->inbox = i;
    i->deliver = d;
    i->suspects = (struct suspects){.alone_ms = SUSPECT_ALONE_MS};
    return 0;
}

void deliver_free(struct inbox *i)
{
    if (!i->deliver)
        return;
    timer_stop(&i->deliver->timer);
    free(i->deliver);
    i->deliver = NULL;
}
