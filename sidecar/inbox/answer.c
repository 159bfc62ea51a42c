/*
 * The outbox: what the agent said goes to whom it is for, part by part, each after a committed
 * record that it is about to be sent. What a reply means is answer_judge.c's, how an unknown fate
 * is found out answer_evidence.c's.
 */
#include "inbox/outbox.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "inbox/outcome.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- small things ---- */

static const char *person_or_peer(const struct answer *a)
{
    return a->is_to_peer ? a->m->j.sender : "a person";
}

static void set_why(struct message *m, const char *why)
{
    free(m->j.why);
    m->j.why = why && why[0] ? slice_dup(slice_of(why)) : NULL; /* without memory: no words */
}

static void hold_text(struct answer *a, bool on)
{
    struct answers *as = a->answers;
    unsigned *bucket = &as->text_buckets[a->text_hash % ANSWER_TEXT_BUCKETS];

    if (a->is_holding == on)
        return;
    a->is_holding = on;
    list_remove(&a->text_node);
    if (on) {
        (*bucket)++;
        list_append(&as->texts, &a->text_node);
    } else {
        (*bucket)--;
    }
}

/* From its first part to its end; one that was not delivered at all lets others go first. */
static bool holds_text(const struct answer *a, enum answer_phase phase)
{
    return !a->is_to_peer &&
           ((phase != ANSWER_QUEUED && phase != ANSWER_WAITING) || a->m->j.parts_sent > 0);
}

void answer_move(struct answer *a, enum answer_phase phase)
{
    struct answers *as = a->answers;
    bool was_call =
        a->phase == ANSWER_INTENT || a->phase == ANSWER_CALLING || a->phase == ANSWER_ASKING;
    bool is_call = phase == ANSWER_INTENT || phase == ANSWER_CALLING || phase == ANSWER_ASKING;
    struct list *const to[] = {
        [ANSWER_QUEUED] = &as->queued,   [ANSWER_INTENT] = &as->busy,
        [ANSWER_CALLING] = &as->busy,    [ANSWER_ASKING] = &as->busy,
        [ANSWER_WAITING] = &as->waiting, [ANSWER_DOUBTFUL] = &as->doubtful,
    };

    as->calls += (unsigned)is_call - (unsigned)was_call;
    a->phase = phase;
    hold_text(a, holds_text(a, phase));
    list_remove(&a->node);
    list_append(to[phase], &a->node);
}

static void answer_free(struct answer *a)
{
    list_remove(&a->node);
    hold_text(a, false);
    str_release(&a->words);
    split_release(&a->split);
    free(a);
}

/* One line a message, like an access line; never a text. */
static void say_end(const struct answer *a)
{
    const struct journal_message *j = &a->m->j;
    const struct log_field fields[] = {
        LOG_STR("message", j->message_id ? j->message_id : ""),
        LOG_STR("row", j->row_id),
        LOG_STR("to", person_or_peer(a)),
        LOG_INT("parts", j->parts_sent),
        LOG_INT("ms", loop_now_ms(a->answers->inbox->loop) - a->begun_ms),
        LOG_INT("age_ms", clock_wall_ms() - j->created_us / 1000),
    };
    size_t n = sizeof(fields) / sizeof(fields[0]);

    if (j->state == JOURNAL_PARKED)
        log_event(LOG_WARNING, "inbox", fields, n,
                  "answer parked: %s (molecule-sidecar inbox list; retry or drop it)",
                  j->why ? j->why : "");
    else
        log_event(LOG_INFO, "inbox", fields, n, "answered%s%s", j->why ? ": " : "",
                  j->why ? j->why : "");
}

static void end(struct answer *a, enum journal_state state, const char *why)
{
    struct answers *as = a->answers;
    struct inbox *i = as->inbox;
    struct message *m = a->m;

    m->j.state = state;
    m->j.due_ms = 0;
    set_why(m, why);
    timer_stop(&m->timer);
    call_cancel(&m->call);
    if (state == JOURNAL_PARKED)
        i->status.parked++;
    else
        i->status.answered++;
    say_end(a);
    answer_move(a, ANSWER_QUEUED); /* gives its place back */
    answer_free(a);
    m->step = STEP_SAVING;
    queue_end(i, m);
    inbox_work_changed(i);
    answers_pump(as);
}

/* ---- trying again ---- */

static void on_wait_over(struct timer *t)
{
    answer_queue(t->arg);
}

static void send_later(struct answer *a, int64_t wait_ms, const char *why)
{
    struct inbox *i = a->answers->inbox;
    struct message *m = a->m;
    const struct log_field fields[] = {LOG_STR("row", m->j.row_id), LOG_INT("wait_ms", wait_ms)};

    m->j.state = JOURNAL_DELIVERED;
    m->j.due_ms = clock_wall_ms() + wait_ms;
    set_why(m, why);
    i->status.retried++;
    if (log_wants(LOG_DEBUG))
        log_event(LOG_DEBUG, "inbox", fields, 2, "the answer is sent again later: %s", why);
    /* Its commit comes before that of the next intent: writes keep their order. */
    (void)journal_set(i->journal, &m->j, NULL, NULL, NULL); /* without memory: found as answering */
    answer_move(a, ANSWER_WAITING);
    timer_start(&m->timer, i->loop, loop_now_ms(i->loop) + wait_ms, on_wait_over, a);
    inbox_work_changed(i);
    answers_pump(a->answers);
}

void answer_retry(struct answer *a)
{
    const struct answers *as = a->answers;
    const struct judged *v = &a->judged;
    struct journal_message *j = &a->m->j;
    int64_t now = loop_now_ms(as->inbox->loop);
    int64_t cap = v->asks_state ? ANSWER_AUTH_CAP_MS : as->times.backoff_cap;
    int64_t pause_ms = backoff_ms(as->times.backoff_base, cap, j->answer_tries);
    int64_t wait_ms = pause_ms > v->wait_ms ? pause_ms : v->wait_ms;
    bool has_end = v->is_peers || v->has_end; /* may be a trouble that does not end by itself */

    j->answer_tries++;
    if (j->answer_trouble_ms == 0)
        a->troubled_ms = now;
    if ((v->tries_max > 0 && j->answer_tries > v->tries_max) ||
        (has_end && now - a->troubled_ms > as->times.peer_try)) {
        char why[sizeof(v->why) + 64];

        (void)snprintf(why, sizeof(why), "not taken in %u tries: %s", j->answer_tries, v->why);
        end(a, JOURNAL_PARKED, why);
        return;
    }
    j->answer_trouble_ms = has_end ? now - a->troubled_ms + wait_ms : 0;
    send_later(a, wait_ms, v->why);
}

void answer_unsure(struct answer *a)
{
    const struct answers *as = a->answers;
    unsigned *resends = &a->m->j.answer_resends;
    char why[sizeof(a->judged.why) + 128];

    if (as->inbox->cfg->inbox.on_unknown == INBOX_RESEND && *resends < ANSWER_RESENDS_MAX) {
        (*resends)++;
        send_later(a, backoff_ms(as->times.backoff_base, as->times.backoff_cap, *resends - 1),
                   a->judged.why);
        return;
    }
    (void)snprintf(why, sizeof(why), "nobody knows whether the answer arrived%s%s",
                   a->judged.why[0] ? ": " : " (the sidecar ended in the middle of the call)",
                   a->judged.why);
    end(a, JOURNAL_PARKED, why);
}

/* ---- one part ---- */

void answer_arrived(struct answer *a)
{
    a->m->j.answer_tries = a->m->j.answer_resends = 0;
    a->m->j.answer_trouble_ms = 0;
    a->m->j.parts_sent++;
    log_debug("inbox", "row %s: part %u of %u of the answer arrived", a->m->j.row_id,
              a->m->j.parts_sent, a->split.count);
    if (a->m->j.parts_sent < a->split.count)
        answer_queue(a);
    else
        end(a, JOURNAL_ANSWERED, a->judged.what == JUDGED_ARRIVED ? a->judged.why : "");
}

/* 403 and 404 are believed only while the platform knows our own row (P section 4.5). */
static void on_row(void *arg, const struct reply *r)
{
    struct answer *a = arg;

    if (r->status == 200 && r->json.n > 0)
        end(a, JOURNAL_PARKED, a->judged.why);
    else
        answer_retry(a);
}

static void ask_for_row(struct answer *a)
{
    struct inbox *i = a->answers->inbox;
    char path[96];

    answer_move(a, ANSWER_ASKING);
    (void)snprintf(path, sizeof(path), "/workspaces/%.36s", i->cfg->workspace.id);
    a->m->call.max_answer_bytes = 0; /* the usual: a row is longer than what an answer gets */
    call_send(&a->m->call, i->transport, path, (struct slice){0}, 0, on_row, a);
}

static void on_reply(void *arg, const struct reply *r)
{
    struct answer *a = arg;
    struct answers *as = a->answers;
    struct inbox *i = as->inbox;

    answer_judge(r, a->is_to_peer, &a->judged);
    if (a->judged.asks_state)
        platform_check_state_now(i->platform);
    switch (a->judged.what) {
    case JUDGED_ARRIVED:
        if (!a->is_to_peer)
            answer_clocks_sent(as, str_slice(&a->words), a->sent_ms);
        answer_arrived(a);
        break;
    case JUDGED_AGAIN:
        answer_retry(a);
        break;
    case JUDGED_REFUSED:
        end(a, JOURNAL_PARKED, a->judged.why);
        break;
    case JUDGED_DENIED:
        ask_for_row(a);
        break;
    case JUDGED_UNKNOWN:
        if (a->is_to_peer)
            answer_unsure(a);
        else
            answer_doubt(a, a->m->j.changed_ms);
        answers_pump(as);
        break;
    }
}

static void send_part(struct answer *a)
{
    struct inbox *i = a->answers->inbox;
    struct message *m = a->m;
    CLEANUP(str_release) struct str body = {0};
    char path[128];
    char id[ANSWER_UUID_MAX] = "";
    bool ok = true;

    str_truncate(&a->words, 0);
    split_words(&a->split, m->j.parts_sent, &a->words);
    if (a->is_to_peer) {
        ok = answer_message_id(i->cfg->workspace.id, m->j.row_id, m->j.parts_sent, id);
        answer_peer_body(&m->j, &a->asked, id, m->j.parts_sent, a->split.count, str_z(&a->words),
                         &body);
        (void)snprintf(path, sizeof(path), "/workspaces/%.36s/a2a", m->j.sender);
    } else {
        answer_person_body(str_slice(&a->words), &body);
        (void)snprintf(path, sizeof(path), "/workspaces/%.36s/notify", i->cfg->workspace.id);
        second_sends(i, str_slice(&a->words));
    }
    a->judged = (struct judged){0};
    if (!ok || !str_ok(&a->words) || !str_ok(&body)) {
        (void)snprintf(a->judged.why, sizeof(a->judged.why), "not sent: no memory");
        answer_retry(a);
        return;
    }
    answer_move(a, ANSWER_CALLING);
    a->sent_ms = clock_wall_ms();
    m->call.is_once = true;
    m->call.max_answer_bytes = ANSWER_REPLY_BYTES;
    call_send(&m->call, i->transport, path, str_slice(&body),
              a->is_to_peer ? ANSWER_PEER_TIMEOUT_MS : ANSWER_NOTIFY_TIMEOUT_MS, on_reply, a);
}

static void on_intent(void *arg, int code)
{
    struct answer *a = arg;

    if (code == -EBUSY)
        return; /* the journal is being closed: the next run finds it */
    if (a->answers->inbox->is_finishing) {
        send_later(a, 0, "not sent: the sidecar was stopped");
        return;
    }
    if (code < 0) {
        a->judged = (struct judged){.why = "not sent: the journal did not take it"};
        answer_retry(a);
        return;
    }
    send_part(a);
}

static void write_intent(struct answer *a)
{
    struct inbox *i = a->answers->inbox;
    struct message *m = a->m;

    m->j.state = JOURNAL_ANSWERING;
    m->j.due_ms = 0;
    m->j.changed_ms = clock_wall_ms();
    answer_move(a, ANSWER_INTENT);
    if (journal_set(i->journal, &m->j, NULL, on_intent, a) < 0) {
        a->judged = (struct judged){.why = "not sent: no memory"};
        answer_retry(a);
    }
}

/* ---- whose turn it is ---- */

struct answer *answer_equal_of(const struct answer *a)
{
    const struct answers *as = a->answers;

    if (as->text_buckets[a->text_hash % ANSWER_TEXT_BUCKETS] <= (a->is_holding ? 1 : 0))
        return NULL;
    LIST_FOREACH(it, &as->texts)
    {
        struct answer *other = container_of(it, struct answer, text_node);

        if (other != a && other->text_hash == a->text_hash &&
            slice_eq(str_slice(&other->split.text), str_slice(&a->split.text)))
            return other;
    }
    return NULL;
}

/* Two answers of one text under way, and nobody could tell their echoes apart. */
static bool must_wait(struct answer *a)
{
    if (a->is_to_peer)
        return false;
    return !answer_left_is_read(a->answers) || answer_left_has(a->answers, a->text_hash) ||
           (!a->is_holding && answer_equal_of(a));
}

static struct peer_rate *rate_of(struct answers *as, const char *peer)
{
    struct peer_rate *oldest = &as->rates[0];

    for (size_t k = 0; k < ANSWER_RATE_PEERS; k++) {
        struct peer_rate *r = &as->rates[k];

        if (strcmp(r->peer, peer) == 0)
            return r;
        if (r->window_ms < oldest->window_ms)
            oldest = r;
    }
    *oldest = (struct peer_rate){0};
    (void)snprintf(oldest->peer, sizeof(oldest->peer), "%s", peer);
    return oldest;
}

/* 0: go on, and it counts. Else the loop time at which this peer may be answered again. */
static int64_t peer_wait(struct answer *a)
{
    struct answers *as = a->answers;
    int64_t max = as->inbox->cfg->inbox.peer_replies;
    int64_t now = loop_now_ms(as->inbox->loop);

    if (!a->is_to_peer || a->is_counted || max == 0)
        return 0;
    struct peer_rate *r = rate_of(as, a->m->j.sender);
    if (r->window_ms == 0 || now - r->window_ms >= ANSWER_RATE_WINDOW_MS)
        *r = (struct peer_rate){.window_ms = now};
    if (r->peer[0] == '\0')
        (void)snprintf(r->peer, sizeof(r->peer), "%s", a->m->j.sender);
    if (r->count >= max)
        return r->window_ms + ANSWER_RATE_WINDOW_MS;
    r->count++;
    a->is_counted = true;
    return 0;
}

static void on_turn(struct timer *t)
{
    answers_pump(t->arg);
}

void answers_pump(struct answers *as)
{
    int64_t next_ms = 0;

    if (as->is_pumping || as->inbox->is_finishing)
        return;
    as->is_pumping = true;
    LIST_FOREACH(it, &as->queued)
    {
        struct answer *a = container_of(it, struct answer, node);

        if (as->calls >= ANSWER_CALLS_MAX)
            break;
        if (must_wait(a))
            continue;
        int64_t at = peer_wait(a);

        if (at == 0)
            write_intent(a); /* takes this one out of the list, and no other */
        else if (next_ms == 0 || at < next_ms)
            next_ms = at;
    }
    as->is_pumping = false;
    if (next_ms > 0)
        timer_start(&as->turn, as->inbox->loop, next_ms, on_turn, as);
}

void answer_queue(struct answer *a)
{
    answer_move(a, ANSWER_QUEUED);
    answers_pump(a->answers);
}

/* ---- beginning and end ---- */

static void on_try_begin(struct timer *t)
{
    struct message *m = t->arg;

    if (m->j.state == JOURNAL_ANSWERING)
        answer_recover(m->inbox, m);
    else
        answer_begin(m->inbox, m);
}

int answer_text_hash(const char *text, uint64_t *ret)
{
    CLEANUP(split_release) struct split split = {0};
    int rc = split_text(slice_of(text ? text : ""), false, &split);

    *ret = hash_plain(str_slice(&split.text));
    return rc;
}

static struct answer *answer_new(struct inbox *i, struct message *m)
{
    struct answer *a = calloc(1, sizeof(*a));
    bool is_to_peer = m->j.sender[0] != '\0';

    m->step = STEP_ANSWERING;
    m->inbox = i;
    if (!a || split_text(slice_of(m->j.answer), is_to_peer, &a->split) < 0) {
        if (a)
            split_release(&a->split);
        free(a);
        timer_start(&m->timer, i->loop, loop_now_ms(i->loop) + ANSWER_BACKOFF_BASE_MS, on_try_begin,
                    m);
        return NULL;
    }
    a->answers = i->answers;
    a->m = m;
    a->is_to_peer = is_to_peer;
    a->begun_ms = loop_now_ms(i->loop);
    a->troubled_ms = a->begun_ms - m->j.answer_trouble_ms;
    a->phase = ANSWER_QUEUED;
    a->text_hash = hash_plain(str_slice(&a->split.text));
    list_init(&a->node);
    list_init(&a->text_node);
    asked_read(m->j.request, &a->asked);
    answer_move(a, ANSWER_QUEUED);
    return a;
}

/* What needs no call. */
static bool ends_at_once(struct answer *a)
{
    const char *why = NULL;

    if (a->split.count == 0)
        why = "the agent had nothing to say";
    else if (a->m->j.parts_sent >= a->split.count)
        why = "";
    else if (outcome_is(&a->m->j))
        why = "not sent: the message is the outcome of a delegation, which asks for nothing";
    else if (a->is_to_peer && a->m->j.parts_sent == 0)
        why = asked_forbids(&a->asked);
    if (why)
        end(a, JOURNAL_ANSWERED, why);
    return why != NULL;
}

void answer_begin(struct inbox *i, struct message *m)
{
    struct answer *a = answer_new(i, m);
    int64_t wait_ms = m->j.due_ms - clock_wall_ms();

    if (!a || ends_at_once(a))
        return;
    if (m->j.due_ms > 0 && wait_ms > 0) { /* an earlier run was told to wait */
        answer_move(a, ANSWER_WAITING);
        timer_start(&m->timer, i->loop, loop_now_ms(i->loop) + ms_min(wait_ms, ANSWER_AUTH_CAP_MS),
                    on_wait_over, a);
        return;
    }
    answers_pump(i->answers);
}

void answer_recover(struct inbox *i, struct message *m)
{
    struct answer *a = answer_new(i, m);

    if (!a)
        return;
    answer_left_resumed(i->answers, m->j.seq);
    if (ends_at_once(a))
        return;
    a->judged = (struct judged){.what = JUDGED_UNKNOWN};
    split_words(&a->split, m->j.parts_sent, &a->words);
    if (a->is_to_peer)
        answer_unsure(a);
    else
        answer_doubt(a, m->j.changed_ms);
}

int answers_new(struct inbox *i)
{
    struct answers *as = calloc(1, sizeof(*as));

    if (!as)
        return -ENOMEM;
    as->inbox = i;
    list_init(&as->queued);
    list_init(&as->busy);
    list_init(&as->waiting);
    list_init(&as->doubtful);
    list_init(&as->texts);
    as->times = (struct answer_times){.backoff_base = ANSWER_BACKOFF_BASE_MS,
                                      .backoff_cap = ANSWER_BACKOFF_CAP_MS,
                                      .early = ANSWER_EARLY_MS,
                                      .settle = ANSWER_SETTLE_MS,
                                      .ask_again = ANSWER_ASK_AGAIN_MS,
                                      .drain = ANSWER_DRAIN_MS,
                                      .peer_try = 60 * 60 * 1000};
    i->answers = as;
    return 0;
}

void answers_free(struct inbox *i)
{
    struct answers *as = i->answers;

    if (!as)
        return;
    struct list *const lists[] = {&as->queued, &as->busy, &as->waiting, &as->doubtful};
    for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++) {
        struct list *it;

        while ((it = list_pop(lists[k])))
            answer_free(container_of(it, struct answer, node));
    }
    timer_stop(&as->turn);
    answer_doubt_stop(as);
    answer_left_stop(as);
    free(as);
    i->answers = NULL;
}
