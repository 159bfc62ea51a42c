/*
 * When polled messages may be fetched and handed over, and what is said about them.
 */
#include "app/inbox_side.h"

#include "app/parts.h"
#include "base/json_read.h"
#include "log/log.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <json-c/json.h>

/* ---- what the inbox asks and tells
 * ---------------------------------------------------------------------------------------
 */

static void on_idle(void *arg)
{
    struct app *a = arg;

    if (a->stopping.phase == PHASE_FINISH) {
        ending_on_inbox_finished(a);
    } else if (stopping_is_on(&a->stopping)) {
        stopping_changed(&a->stopping);
    }
}

static void on_state_hint(void *arg)
{
    struct app *a = arg;

    platform_check_state_now(a->platform);
}

static bool agent_speaks_1_0(void *arg)
{
    const struct app *a = arg;

    return a->agent_speaks_1_0;
}

static const struct inbox_callbacks inbox_callbacks = {
    .on_work = app_on_work,
    .on_idle = on_idle,
    .on_state_hint = on_state_hint,
    .agent_speaks_1_0 = agent_speaks_1_0,
};

/* As `send` decides: a card of both versions is spoken to in the older one, which its agent has
 * had longer. */
void inbox_side_card(struct app *a, struct slice card)
{
    json_object *o = a->inbox ? json_read(card) : NULL;

    if (o && json_object_is_type(o, json_type_object)) {
        a->agent_speaks_1_0 = json_object_object_get_ex(o, "supportedInterfaces", NULL) &&
                              !json_object_object_get_ex(o, "protocolVersion", NULL);
    }
    json_object_put(o);
}

/* ---- its life
 * ------------------------------------------------------------------------------------------------------------
 */

int inbox_side_open(struct app *a, struct err *err)
{
    const struct config *c = a->cfg;
    int r;

    if (!a->platform || c->platform.delivery != DELIVERY_POLL || c->agent.protocol != AGENT_HTTP) {
        return 0;
    }
    r = port_new(a->loop, a->curl, &c->agent.address, c->agent.base_path, &a->port, err);
    return r < 0 ? r
                 : inbox_new(a->loop, a->curl, a->store, c, a->platform, a->port, &inbox_callbacks,
                             a, &a->inbox, err);
}

void inbox_side_close(struct app *a)
{
    inbox_free(a->inbox);
    a->inbox = NULL;
    port_free(a->port);
    a->port = NULL;
}

void inbox_side_start(struct app *a)
{
    if (a->inbox && !stopping_is_on(&a->stopping)) {
        inbox_start(a->inbox);
        inbox_side_gate(a);
    }
}

void inbox_side_gate(struct app *a)
{
    if (!a->inbox) {
        return;
    }
    inbox_set_held(a->inbox, a->is_on_hold);
    inbox_set_agent(a->inbox, a->agent_answers && !a->child_is_lost);
}

int64_t inbox_side_work(const struct app *a)
{
    return a->inbox ? inbox_status(a->inbox)->in_work : 0;
}

int64_t inbox_side_awaited(const struct app *a)
{
    return a->inbox ? inbox_awaited(a->inbox) : 0;
}

bool inbox_side_finish(struct app *a, int64_t budget_ms)
{
    if (a->inbox) {
        inbox_finish(a->inbox, budget_ms);
    }
    return a->inbox != NULL;
}

const char *inbox_side_problem(const struct app *a)
{
    return a->inbox ? inbox_journal_status(a->inbox)->problem : "";
}

/* ---- orders of the operator
 * ----------------------------------------------------------------------------------------------
 */

int inbox_side_order(void *arg, enum control_inbox what, const char *word, control_reply_fn *fn,
                     void *fn_arg)
{
    struct app *a = arg;

    if (!a->inbox) {
        return -ENOTSUP;
    }
    switch (what) {
    case CONTROL_INBOX_LIST:
        return inbox_list(a->inbox, word, fn, fn_arg);
    case CONTROL_INBOX_SHOW:
        return inbox_show(a->inbox, word, fn, fn_arg);
    case CONTROL_INBOX_RETRY:
        return inbox_retry(a->inbox, word, fn, fn_arg);
    case CONTROL_INBOX_DROP:
        return inbox_drop(a->inbox, word, fn, fn_arg);
    case CONTROL_INBOX_VERIFY:
        return inbox_verify(a->inbox, fn, fn_arg);
    }
    return -EINVAL;
}

/* ---- what can be seen of it
 * ----------------------------------------------------------------------------------------------
 */

void inbox_side_status(const struct app *a, struct json_writer *w)
{
    const struct inbox_status *s = a->inbox ? inbox_status(a->inbox) : NULL;
    const struct journal_status *j = s ? inbox_journal_status(a->inbox) : NULL;

    json_open(w, "inbox", '{');
    json_add_bool(w, "enabled", s != NULL);
    if (s) {
        json_add_int(w, "fetched", (int64_t)s->fetched);
        json_add_int(w, "delivered", (int64_t)s->delivered);
        json_add_int(w, "answered", (int64_t)s->answered);
        json_add_int(w, "retried", (int64_t)s->retried);
        json_add_int(w, "waiting", s->waiting);
        json_add_int(w, "in_work", s->in_work);
        json_add_int(w, "oldest_waiting_ms", s->oldest_waiting_ms);
        json_add_int(w, "parked", j->count[JOURNAL_PARKED]);
        json_add_int(w, "dead", j->count[JOURNAL_DEAD]);
        json_add_bool(w, "stream", s->has_stream);
        json_add_bool(w, "cursors", s->has_cursors);
        json_add_int(w, "polls", (int64_t)s->feed.ok_total);
        json_add_int(w, "polls_failed", (int64_t)s->feed.failed_total);
        json_add_int(w, "failures_in_a_row", s->feed.failures);
        json_add_text(w, "last_error", s->feed.last_error);
        json_add_text(w, "other_sidecar", s->other);
        json_add_text(w, "journal", j->path);
        json_add_bool(w, "journal_is_memory", j->is_memory);
        json_add_int(w, "journal_commits", (int64_t)j->commits);
        json_add_int(w, "journal_writes", (int64_t)j->writes);
        json_add_int(w, "journal_batch_max", (int64_t)j->batch_max);
        json_add_int(w, "journal_commit_worst_ms", j->commit_worst_ms);
        json_add_text(w, "problem", j->problem);
        json_add_text(w, "notice", j->notice);
    }
    json_close(w, '}');
}

static void add_totals(struct str *out, const struct inbox_status *s)
{
    const struct {
        const char *step;
        uint64_t n;
    } totals[] = {{"fetched", s->fetched}, {"delivered", s->delivered}, {"answered", s->answered},
                  {"retried", s->retried}, {"dead", s->dead},           {"parked", s->parked},
                  {"skipped", s->skipped}};

    metrics_family(out, "molecule_sidecar_inbox_messages_total", "counter",
                   "Polled messages by what was done: fetched, delivered to the agent, answered, "
                   "tried again, given up (dead), answer's fate unknown (parked), no work of ours "
                   "(skipped).");
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        struct str labels = {0};

        metrics_label(&labels, "step", totals[i].step);
        metrics_count(out, "molecule_sidecar_inbox_messages_total", str_z(&labels), totals[i].n);
        str_release(&labels);
    }
}

static void add_journal(struct str *out, const struct journal_status *j)
{
    metrics_family(out, "molecule_sidecar_journal_messages", "gauge",
                   "Messages in the journal by state; parked and dead ones need somebody "
                   "(molecule-sidecar inbox list).");
    for (int s = JOURNAL_SEEN; s <= JOURNAL_SKIPPED; s++) {
        struct str labels = {0};

        metrics_label(&labels, "state", journal_state_name((enum journal_state)s));
        metrics_value(out, "molecule_sidecar_journal_messages", str_z(&labels),
                      (double)j->count[s]);
        str_release(&labels);
    }
    metrics_counter(out, "molecule_sidecar_journal_commits_total", "Transactions of the journal.",
                    j->commits);
    metrics_counter(out, "molecule_sidecar_journal_writes_total",
                    "Changes in them; writes / commits is what one transaction gathers.",
                    j->writes);
    metrics_gauge(out, "molecule_sidecar_journal_commit_worst_seconds",
                  "The longest transaction so far.", (double)j->commit_worst_ms / 1000.0);
    metrics_gauge(out, "molecule_sidecar_journal_ok",
                  "1 while the disk takes the journal; 0: messages wait, `status` says why.",
                  j->is_open && !j->is_memory && j->problem[0] == '\0');
}

void inbox_side_metrics(const struct app *a, struct str *out)
{
    const struct inbox_status *s = a->inbox ? inbox_status(a->inbox) : NULL;

    if (!s) {
        return;
    }
    add_totals(out, s);
    metrics_gauge(out, "molecule_sidecar_inbox_waiting",
                  "Polled messages that wait for the agent now.", (double)s->waiting);
    metrics_gauge(out, "molecule_sidecar_inbox_oldest_waiting_seconds",
                  "Age of the oldest of them; 0 without any.",
                  (double)s->oldest_waiting_ms / 1000.0);
    metrics_gauge(out, "molecule_sidecar_inbox_in_work",
                  "Polled messages with the agent, followed or being answered now.",
                  (double)s->in_work);
    metrics_gauge(out, "molecule_sidecar_inbox_stream",
                  "1 while the platform's event stream tells of new messages.", s->has_stream);
    metrics_counter(out, "molecule_sidecar_inbox_polls_total", "Fetches that worked.",
                    s->feed.ok_total);
    metrics_counter(out, "molecule_sidecar_inbox_poll_failures_total", "Fetches that failed.",
                    s->feed.failed_total);
    add_journal(out, inbox_journal_status(a->inbox));
}
