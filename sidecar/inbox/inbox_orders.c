/*
 * What the operator asks: list, show, retry, drop, verify. Answers are JSON; each question is one
 * read of the journal, an order one write behind it. The journal's turns wait while the disk
 * refuses; who asks does not: a question is answered within ORDER_WAIT_MS, and says what holds up.
 */
#include "inbox/inbox.h"

#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_scan.h"
#include "base/json_write.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum {
    LIST_MAX = 200,       /* messages of one answer; `more` says that there are others */
    ORDER_WAIT_MS = 4000, /* less than the command waits (ORDER_TIMEOUT_MS) */
    NEEDS_SOMEBODY = 1 << JOURNAL_PARKED | 1 << JOURNAL_DEAD,
    IN_HAND = 1 << JOURNAL_SEEN | 1 << JOURNAL_DELIVERED | 1 << JOURNAL_ANSWERING,
};

struct order {
    struct inbox *i;
    inbox_answer_fn *fn;
    void *arg;
    bool is_change, is_drop; /* retry or drop; drop */
    bool is_written;         /* the change is in the journal's line, and will be carried out */
    bool is_given_up;        /* answered; what was read goes nowhere */
    struct timer patience;
    bool is_first; /* the list's first half: what needs somebody */
    size_t count;
    struct str json;
    struct json_writer w;
    struct journal_message m; /* of retry and drop, while it is written */
};

static struct order *order_new(struct inbox *i, inbox_answer_fn *fn, void *arg)
{
    struct order *o = calloc(1, sizeof(*o));

    if (!o)
        return NULL;
    *o = (struct order){.i = i, .fn = fn, .arg = arg};
    o->w.out = &o->json;
    return o;
}

static void order_free(struct order *o)
{
    timer_stop(&o->patience);
    str_release(&o->json);
    journal_message_release(&o->m);
    free(o);
}

static void say(struct order *o, int http_status)
{
    str_addz(&o->json, "\n");
    if (str_ok(&o->json))
        o->fn(o->arg, http_status, str_slice(&o->json));
    else
        o->fn(o->arg, 503, SLICE("{\"error\":\"out of memory\"}\n"));
}

static void answer(struct order *o, int http_status)
{
    if (!o->is_given_up)
        say(o, http_status);
    order_free(o);
}

static void write_error(struct order *o, const char *words)
{
    str_truncate(&o->json, 0);
    o->w = (struct json_writer){.out = &o->json};
    json_open(&o->w, NULL, '{');
    json_add_text(&o->w, "error", words);
    json_close(&o->w, '}');
}

static void refuse(struct order *o, int http_status, const char *words)
{
    write_error(o, words);
    answer(o, http_status);
}

/* ---- while the disk refuses ---- */

/* What keeps the journal from turning; NULL = nothing. In memory it turns. */
static const char *trouble_of(const struct inbox *i)
{
    const struct journal_status *s = journal_status(i->journal);

    return s->problem[0] && !s->is_memory ? s->problem : NULL;
}

/* The order stays until the journal calls back; only a change that is written is carried out. */
static void on_patience(struct timer *t)
{
    struct order *o = t->arg;
    const char *trouble = trouble_of(o->i);
    CLEANUP(str_release) struct str words = {0};

    str_addz(&words, trouble ? trouble : "the disk has not answered yet");
    if (o->is_change)
        str_addz(&words, o->is_written ? "; the order is in line and will be carried out as soon "
                                         "as the journal can be written"
                                       : "; nothing was changed");
    write_error(o, str_z(&words));
    say(o, 503);
    o->is_given_up = true;
}

/* True: it is answered already, and gone. */
static bool is_refused(struct order *o)
{
    const char *trouble = trouble_of(o->i);
    CLEANUP(str_release) struct str words = {0};

    if (!trouble)
        return false;
    str_addf(&words, "%s%s", trouble, o->is_change ? "; nothing was changed" : "");
    refuse(o, 503, str_z(&words));
    return true;
}

static int read_into(struct order *o, const struct journal_query *q, journal_read_fn *fn)
{
    if (is_refused(o))
        return 0;
    timer_start(&o->patience, o->i->loop, loop_now_ms(o->i->loop) + ORDER_WAIT_MS, on_patience, o);
    int r = journal_read(o->i->journal, q, fn, o);

    if (r < 0)
        order_free(o);
    return r;
}

/* ---- looking ---- */

static const char *step_of(struct inbox *i, const struct journal_message *m)
{
    static const char *const words[] = {
        [STEP_WAITING] = "waiting",   [STEP_AT_AGENT] = "with the agent",
        [STEP_FOLLOWED] = "followed", [STEP_ANSWERING] = "being answered",
        [STEP_SAVING] = "done",
    };
    const struct message *in_memory = queue_find(i, m->row_id);

    return in_memory ? words[in_memory->step] : "";
}

static void add_time(struct json_writer *w, const char *key, int64_t ms)
{
    char text[CLOCK_TEXT_MAX];

    json_add_text(w, key, ms > 0 ? clock_wall_text(ms, text) : NULL);
}

static void add_facts(struct inbox *i, struct json_writer *w, const struct journal_message *m)
{
    json_add_text(w, "row_id", m->row_id);
    json_add_text(w, "state", journal_state_name(m->state));
    json_add_text(w, "step", step_of(i, m));
    json_add_text(w, "sender", m->sender[0] ? m->sender : "person");
    json_add_text(w, "message_id", m->message_id);
    json_add_text(w, "conversation", m->conversation);
    json_add_text(w, "context_id", m->context_id);
    json_add_text(w, "task_id", m->task_id);
    add_time(w, "created_at", m->created_us / 1000);
    add_time(w, "changed_at", m->changed_ms);
    add_time(w, "due_at", m->due_ms);
    json_add_int(w, "age_ms", clock_wall_ms() - m->created_us / 1000);
    json_add_int(w, "attempts", m->attempts);
    json_add_int(w, "deaths", m->deaths);
    json_add_int(w, "parts_sent", m->parts_sent);
    json_add_text(w, "why", m->why);
}

static void add_counts(struct order *o)
{
    const struct journal_status *s = journal_status(o->i->journal);

    json_open(&o->w, "counts", '{');
    for (int state = JOURNAL_SEEN; state <= JOURNAL_SKIPPED; state++)
        json_add_int(&o->w, journal_state_name((enum journal_state)state), s->count[state]);
    json_close(&o->w, '}');
    json_add_text(&o->w, "journal", s->path);
    json_add_text(&o->w, "problem", s->problem);
    json_add_text(&o->w, "notice", s->notice);
}

static void on_list(void *arg, int code, struct journal_message *v, size_t n)
{
    struct order *o = arg;
    const struct journal_query rest = {.states = IN_HAND, .limit = LIST_MAX + 1, .is_brief = true};
    bool is_more = n > LIST_MAX;

    if (o->is_given_up) {
        order_free(o);
        return;
    }
    if (code < 0) {
        refuse(o, 503, "the journal cannot be read");
        return;
    }
    for (size_t k = 0; k < n && k < LIST_MAX; k++) {
        json_open(&o->w, NULL, '{');
        add_facts(o->i, &o->w, &v[k]);
        json_close(&o->w, '}');
    }
    if (o->is_first && !is_more) {
        o->is_first = false;
        if (journal_read(o->i->journal, &rest, on_list, o) < 0)
            refuse(o, 503, "out of memory");
        return;
    }
    json_close(&o->w, ']');
    json_add_bool(&o->w, "more", is_more);
    add_counts(o);
    json_close(&o->w, '}');
    answer(o, 200);
}

/* "parked,dead" -> bits; 0 when a word is none. */
static unsigned states_of(const char *words)
{
    struct slice rest = slice_of(words), word;
    unsigned bits = 0;

    while (slice_next(&rest, ',', &word)) {
        unsigned bit = 0;

        for (int s = JOURNAL_SEEN; s <= JOURNAL_SKIPPED; s++) {
            if (slice_eq(word, slice_of(journal_state_name((enum journal_state)s))))
                bit = 1U << s;
        }
        if (bit == 0)
            return 0;
        bits |= bit;
    }
    return bits;
}

int inbox_list(struct inbox *i, const char *states, inbox_answer_fn *fn, void *arg)
{
    bool is_all = !states || !states[0];
    const struct journal_query q = {.states = is_all ? NEEDS_SOMEBODY : states_of(states),
                                    .newest_first = !is_all,
                                    .is_brief = true,
                                    .limit = LIST_MAX + 1};
    struct order *o = order_new(i, fn, arg);

    if (!o)
        return -ENOMEM;
    if (q.states == 0) {
        refuse(o, 400,
               "no such state; there are seen, delivered, answering, answered, parked, dead, "
               "skipped");
        return 0;
    }
    o->is_first = is_all;
    json_open(&o->w, NULL, '{');
    json_open(&o->w, "messages", '[');
    return read_into(o, &q, on_list);
}

static void on_show(void *arg, int code, struct journal_message *v, size_t n)
{
    struct order *o = arg;

    if (o->is_given_up) {
        order_free(o);
        return;
    }
    if (code < 0 || n == 0) {
        refuse(o, code < 0 ? 503 : 404,
               code < 0 ? "the journal cannot be read" : "no message with this row id is known");
        return;
    }
    json_open(&o->w, NULL, '{');
    add_facts(o->i, &o->w, &v[0]);
    if (v[0].request && json_validate(slice_of(v[0].request)) != JSON_BAD) {
        str_addz(&o->json, ",\"request\":");
        str_addz(&o->json, v[0].request);
    }
    json_add_text(&o->w, "answer", v[0].answer);
    json_close(&o->w, '}');
    answer(o, 200);
}

static int by_row(struct inbox *i, const char *row_id, journal_read_fn *read, bool is_drop,
                  inbox_answer_fn *fn, void *arg)
{
    const struct journal_query q = {.row_id = row_id, .limit = 1};
    struct order *o = order_new(i, fn, arg);

    if (!o)
        return -ENOMEM;
    o->is_change = read != on_show;
    o->is_drop = is_drop;
    return read_into(o, &q, read);
}

int inbox_show(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg)
{
    return by_row(i, row_id, on_show, false, fn, arg);
}

/* ---- changing ---- */

static void say_changed(struct order *o, const char *row_id, enum journal_state state)
{
    const struct log_field fields[] = {LOG_STR("row", row_id)};

    log_event(LOG_INFO, "inbox", fields, 1, "the operator says: %s",
              o->is_drop ? "dropped" : "once more");
    json_open(&o->w, NULL, '{');
    json_add_text(&o->w, "row_id", row_id);
    json_add_text(&o->w, "state", journal_state_name(state));
    json_close(&o->w, '}');
    answer(o, 200);
}

static bool drop(struct journal_message *m)
{
    static const char words[] = "dropped by the operator";

    if (m->state != JOURNAL_PARKED && m->state != JOURNAL_DEAD && m->state != JOURNAL_SEEN)
        return false;
    m->state = JOURNAL_SKIPPED;
    free(m->why);
    m->why = slice_dup(SLICE(words));
    return true;
}

static void on_changed(void *arg, int code)
{
    struct order *o = arg;
    struct inbox *i = o->i;
    struct journal_message m = o->m;

    if (code < 0) {
        refuse(o, 503, "not changed: the sidecar is ending");
        return;
    }
    if (o->is_drop) {
        struct message *read_meanwhile = queue_find(i, m.row_id);

        if (read_meanwhile && read_meanwhile->step == STEP_WAITING && drop(&read_meanwhile->j))
            queue_end(i, read_meanwhile);
        i->status.skipped++;
        say_changed(o, m.row_id, m.state);
        return;
    }
    o->m = (struct journal_message){0};
    say_changed(o, m.row_id, m.state);
    queue_put(i, &m);
    deliver_pump(i);
}

/* Where it goes on. false: it is not in a state for that. */
static bool once_more(struct journal_message *m)
{
    if (m->state == JOURNAL_PARKED && m->answer && m->answer[0]) {
        m->state = JOURNAL_DELIVERED;
    } else if (m->state == JOURNAL_DEAD || m->state == JOURNAL_PARKED) {
        m->state = JOURNAL_SEEN;
        m->attempts = m->deaths = m->parts_sent = 0;
        free(m->task_id);
        m->task_id = NULL;
    } else {
        return false;
    }
    m->answer_tries = m->answer_resends = 0;
    m->answer_trouble_ms = m->due_ms = 0;
    free(m->why);
    m->why = NULL;
    return true;
}

/* One that waits in memory is ended by the queue, so that its conversation goes on. */
static bool dropped_in_memory(struct order *o, const char *row_id)
{
    struct message *m = queue_find(o->i, row_id);

    if (!m)
        return false;
    if (!o->is_drop || m->step != STEP_WAITING || !drop(&m->j)) {
        refuse(o, 409,
               "it is in work: only parked and dead ones are sent again, and only those "
               "and waiting ones are dropped");
        return true;
    }
    o->i->status.skipped++;
    queue_end(o->i, m);
    say_changed(o, row_id, JOURNAL_SKIPPED);
    return true;
}

static void on_order(void *arg, int code, struct journal_message *v, size_t n)
{
    struct order *o = arg;

    if (code < 0 || n == 0) {
        refuse(o, code < 0 ? 503 : 404,
               code < 0 ? "the journal cannot be read" : "no message with this row id is known");
        return;
    }
    if (o->is_given_up) { /* it was said that nothing is changed */
        order_free(o);
        return;
    }
    if (dropped_in_memory(o, v[0].row_id))
        return;
    o->m = v[0];
    v[0] = (struct journal_message){0}; /* taken: its texts are ours */
    if (!(o->is_drop ? drop(&o->m) : once_more(&o->m)))
        refuse(o, 409,
               o->is_drop ? "only parked, dead and waiting messages can be dropped"
                          : "only parked and dead messages can be tried once more");
    else if (journal_set(o->i->journal, &o->m, NULL, on_changed, o) < 0)
        refuse(o, 503, "out of memory");
    else
        o->is_written = true;
}

int inbox_retry(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg)
{
    return by_row(i, row_id, on_order, false, fn, arg);
}

int inbox_drop(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg)
{
    return by_row(i, row_id, on_order, true, fn, arg);
}

static void on_verified(void *arg, bool is_good, const char *sentence)
{
    struct order *o = arg;

    json_open(&o->w, NULL, '{');
    json_add_bool(&o->w, "ok", is_good);
    json_add_text(&o->w, "detail", sentence);
    json_add_text(&o->w, "journal", journal_status(o->i->journal)->path);
    json_close(&o->w, '}');
    answer(o, 200);
}

int inbox_verify(struct inbox *i, inbox_answer_fn *fn, void *arg)
{
    struct order *o = order_new(i, fn, arg);

    if (!o)
        return -ENOMEM;
    if (is_refused(o))
        return 0;
    int r = journal_verify(i->journal, on_verified, o); /* may take minutes: the command waits */

    if (r < 0)
        order_free(o);
    return r;
}
