/*
 * A million random events, told to the child and to a second opinion: the same life written again
 * as plain conditions, from the texts (design sections 4 and 7, supervisor.h, child.h) and not from
 * the table. After each event both must agree on the state, the deadline, and everything that was
 * done and told on the way, in order.
 */
#include "supervisor/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    EVENTS = 1000000,
    EVENTS_PER_LIFE = 400,
    EVENTS_AFTER_END = 3,
    NOTES_MAX = 512,
    HISTORY = 30, /* events printed with a disagreement */
};

/* ---- what was done and told: notes that both write ---- */

struct notes {
    char text[NOTES_MAX];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void note(struct notes *to, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(to->text + to->n, NOTES_MAX - to->n, fmt, ap);
    va_end(ap);
    to->n += n > 0 && (size_t)n < NOTES_MAX - to->n ? (size_t)n : 0;
}

static void note_exit(struct notes *to, const struct child_exit *e)
{
    note(to, "exit(pid %d, status %d, ran %" PRId64 ", sent %" PRIx64 "%s%s%s, failures %u) ",
         (int)e->pid, e->wait_status, e->ran_ms, e->stop_signals, e->we_killed_it ? ", killed" : "",
         e->was_ready ? ", was ready" : "", e->will_restart ? ", again" : "", e->failures);
}

/* ---- the second opinion ---- */

struct model {
    const struct child_rules *rules;
    struct notes did;
    /* facts, not states */
    bool was_asked_to_start, is_over;
    bool has_process;     /* one of ours exists, whether it is the program yet or not */
    bool is_being_made;   /* START, or the back-off is over; how that went is not known */
    bool answers;         /* mark_ready */
    bool is_to_end;       /* no restart any more, the agent is being asked */
    bool is_to_restart;   /* the agent is being asked, and then started again */
    bool is_failure;      /* that restart is one */
    bool only_left_overs; /* the agent is gone for good */
    bool everything_killed;
    bool waits_to_start;
    bool answered_once, was_killed, has_ended_once;
    int64_t deadline_ms, made_at_ms, first_answer_ms;
    size_t signals_sent; /* of the stop sequence, to this process */
    uint64_t sent;       /* as bits */
    pid_t pid, next_pid;
    unsigned failures, ran_count;
    struct child_exit last;
};

static enum child_state model_state(const struct model *m)
{
    if (m->is_over)
        return CHILD_ENDED;
    if (!m->was_asked_to_start)
        return CHILD_DOWN;
    if (m->everything_killed)
        return CHILD_KILLING;
    if (m->only_left_overs)
        return CHILD_CLEANING;
    if (m->waits_to_start)
        return CHILD_BACKOFF;
    if (m->is_to_end)
        return CHILD_STOPPING;
    if (m->is_to_restart)
        return CHILD_RESTARTING;
    if (m->is_being_made)
        return CHILD_SPAWNING;
    return m->answers ? CHILD_READY : CHILD_STARTING;
}

static void group_gets(struct model *m, int signo)
{
    if (m->pid > 0)
        note(&m->did, "group %d ", signo);
}

/* The n-th signal of the list, and what wakes a stopped process. */
static void next_stop_signal(struct model *m)
{
    int signo = m->rules->stop.v[m->signals_sent++].signo;

    m->sent |= UINT64_C(1) << (signo - 1);
    group_gets(m, signo);
    group_gets(m, SIGCONT);
}

static void over(struct model *m)
{
    m->is_over = true;
    m->deadline_ms = 0;
    note(&m->did, "ended(%s) ", m->has_ended_once ? "after a process" : "nothing ran");
}

static void make_one(struct model *m, int64_t now_ms)
{
    m->waits_to_start = false;
    m->is_being_made = true;
    m->answers = m->answered_once = m->was_killed = m->is_failure = false;
    m->signals_sent = 0;
    m->sent = 0;
    m->made_at_ms = now_ms;
    m->deadline_ms = m->rules->start_timeout_ms > 0 ? now_ms + m->rules->start_timeout_ms : 0;
    m->pid = m->next_pid;
    m->has_process = m->pid > 0;
    note(&m->did, "spawn ");
}

/* What the agent left behind, when it is not started again: TERM first. */
static void clean(struct model *m, int64_t deadline_ms)
{
    m->only_left_overs = true;
    m->is_to_end = m->is_to_restart = m->waits_to_start = false;
    m->deadline_ms = deadline_ms;
    note(&m->did, "rest %d ", SIGTERM);
}

static void wait_to_start(struct model *m, int64_t at_ms)
{
    m->waits_to_start = true;
    m->is_to_restart = false;
    m->deadline_ms = at_ms;
}

/* Long enough since its first answer: what failed before is forgotten. */
static bool was_well(const struct model *m, int64_t well_ms)
{
    int64_t enough_ms = m->rules->restart.reset_after_ms;

    return enough_ms > 0 && well_ms >= enough_ms;
}

/* restart.*: is it started again? *ret_delay_ms without its jitter. */
static bool is_started_again(struct model *m, bool failed, int64_t well_ms, int64_t *ret_delay_ms)
{
    const struct restart_rules *r = &m->rules->restart;

    if (!failed || was_well(m, well_ms))
        m->failures = 0;
    if (failed)
        m->failures++;
    *ret_delay_ms = r->backoff_ms;
    for (unsigned i = 1; i < m->failures && *ret_delay_ms < r->backoff_max_ms; i++)
        *ret_delay_ms *= 2;
    if (*ret_delay_ms > r->backoff_max_ms)
        *ret_delay_ms = r->backoff_max_ms;
    if (r->when == RESTART_WHEN_NEVER || (r->when == RESTART_WHEN_FAILED && !failed))
        return false;
    return !(r->max_failures > 0 && m->failures >= (unsigned)r->max_failures);
}

static void kill_everything(struct model *m, int64_t now_ms)
{
    m->everything_killed = true;
    m->deadline_ms = now_ms + CHILD_KILL_WAIT_MS;
    if (m->pid > 0) {
        m->was_killed = true;
        group_gets(m, SIGKILL);
    }
    note(&m->did, "rest %d ", SIGKILL);
}

static void process_is_gone(struct model *m)
{
    m->has_process = false;
    m->is_being_made = false;
    m->answers = false;
    m->pid = 0;
}

static void remember_exit(struct model *m, int wait_status, int64_t now_ms)
{
    m->last = (struct child_exit){.pid = m->pid,
                                  .wait_status = wait_status,
                                  .stop_signals = m->sent,
                                  .we_killed_it = m->was_killed,
                                  .was_ready = m->answered_once,
                                  .ran_ms = now_ms - m->made_at_ms,
                                  .well_ms = m->answered_once ? now_ms - m->first_answer_ms : 0,
                                  .failures = m->failures};
    m->has_ended_once = true;
    process_is_gone(m);
}

static void model_exit(struct model *m, int wait_status, int64_t now_ms)
{
    bool failed = !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0;
    int64_t delay_ms;

    if (m->everything_killed) {
        remember_exit(m, wait_status, now_ms);
    } else if (m->is_to_end) {
        group_gets(m, SIGTERM);
        group_gets(m, SIGCONT);
        remember_exit(m, wait_status, now_ms);
        clean(m, m->deadline_ms);
    } else {
        if (m->is_to_restart) {
            group_gets(m, SIGKILL); /* the next one must not meet it */
        } else {
            group_gets(m, SIGTERM);
            group_gets(m, SIGCONT);
        }
        remember_exit(m, wait_status, now_ms);
        if (m->is_to_restart && !m->is_failure) { /* asked for: no failure, no waiting */
            if (was_well(m, m->last.well_ms))
                m->last.failures = m->failures = 0;
            m->last.will_restart = true;
            wait_to_start(m, now_ms);
        } else {
            m->last.will_restart =
                is_started_again(m, failed || m->is_to_restart, m->last.well_ms, &delay_ms);
            m->last.failures = m->failures;
            if (m->last.will_restart)
                wait_to_start(m, now_ms + delay_ms);
            else
                clean(m, now_ms + CHILD_LEFTOVER_GRACE_MS);
        }
    }
    note_exit(&m->did, &m->last);
}

static void model_exec_failed(struct model *m, bool is_permanent, int64_t now_ms)
{
    bool is_again = false;
    int64_t delay_ms;

    process_is_gone(m);
    if (m->is_to_end && !m->everything_killed) {
        clean(m, m->deadline_ms);
    } else if (!m->everything_killed) {
        is_again = is_started_again(m, true, 0, &delay_ms) && !(is_permanent && m->ran_count == 0);
        if (is_again)
            wait_to_start(m, now_ms + delay_ms);
        else
            clean(m, now_ms + CHILD_LEFTOVER_GRACE_MS);
    }
    note(&m->did, "spawn failed%s ", is_again ? ", again" : "");
}

static void model_stop(struct model *m, int64_t now_ms, int64_t grace_ms)
{
    if (m->is_over || m->everything_killed)
        return;
    if (!m->was_asked_to_start) {
        over(m);
    } else if (m->only_left_overs || m->is_to_end) {
        if (now_ms + grace_ms < m->deadline_ms)
            m->deadline_ms = now_ms + grace_ms;
    } else if (m->waits_to_start) {
        clean(m, now_ms + grace_ms);
    } else if (m->is_to_restart) { /* it has its signal; only the end of the story changes */
        m->is_to_restart = false;
        m->is_to_end = true;
        m->deadline_ms = now_ms + grace_ms;
    } else {
        m->is_to_end = true;
        m->deadline_ms = now_ms + grace_ms;
        next_stop_signal(m);
    }
}

static void model_deadline(struct model *m, int64_t now_ms)
{
    if (m->everything_killed) { /* it hangs in the kernel */
        if (m->has_process)
            remember_exit(m, SIGKILL, now_ms);
        over(m);
    } else if (m->waits_to_start) {
        make_one(m, now_ms);
    } else if (m->is_to_end || m->only_left_overs) {
        kill_everything(m, now_ms);
    } else if (m->is_to_restart) {
        m->deadline_ms = now_ms + CHILD_KILL_WAIT_MS;
        m->was_killed = true;
        m->signals_sent = m->rules->stop.n;
        group_gets(m, SIGKILL);
    } else { /* it has not answered in time */
        m->deadline_ms = 0;
        if (m->rules->start_timeout_restarts) {
            m->is_to_restart = m->is_failure = true;
            m->deadline_ms = now_ms + CHILD_LATE_GRACE_MS;
            next_stop_signal(m);
        }
        note(&m->did, "start timeout ");
    }
}

static void model_tell(struct model *m, enum child_event ev, const struct child_input *in)
{
    bool is_left_alone = !m->is_to_end && !m->is_to_restart && !m->everything_killed;
    bool serves = m->has_process && !m->is_being_made && is_left_alone;

    switch (ev) {
    case CHILD_EV_START:
        if (!m->was_asked_to_start && !m->is_over) {
            m->was_asked_to_start = true;
            make_one(m, in->now_ms);
        }
        break;
    case CHILD_EV_EXEC_OK:
        m->is_being_made = false;
        m->ran_count++;
        note(&m->did, "spawned ");
        break;
    case CHILD_EV_EXEC_FAILED:
        model_exec_failed(m, in->is_permanent, in->now_ms);
        break;
    case CHILD_EV_READY:
        if (serves && !m->answers) {
            if (!m->answered_once)
                m->first_answer_ms = in->now_ms;
            m->answers = m->answered_once = true;
            m->deadline_ms = 0;
        }
        break;
    case CHILD_EV_UNREADY:
        if (serves && m->answers) {
            m->answers = false;
            m->deadline_ms = 0;
        }
        break;
    case CHILD_EV_STOP:
        model_stop(m, in->now_ms, in->grace_ms);
        break;
    case CHILD_EV_RESTART:
        if (is_left_alone && (m->has_process || m->is_being_made)) {
            m->is_to_restart = true;
            m->deadline_ms = in->now_ms + in->grace_ms;
            next_stop_signal(m);
        }
        break;
    case CHILD_EV_KILL:
        if (!m->was_asked_to_start && !m->is_over)
            over(m);
        else if (!m->everything_killed && !m->is_over)
            kill_everything(m, in->now_ms);
        break;
    case CHILD_EV_EXIT:
        model_exit(m, in->wait_status, in->now_ms);
        break;
    case CHILD_EV_EMPTY:
        over(m);
        break;
    case CHILD_EV_STEP:
        next_stop_signal(m);
        note(&m->did, "step ");
        break;
    case CHILD_EV_DEADLINE:
        model_deadline(m, in->now_ms);
        break;
    }
}

/* ---- the child, in a world that writes notes ---- */

struct life {
    struct child child;
    struct child_rules rules;
    struct child_ops ops;
    struct supervisor_callbacks report;
    struct notes did;
    struct model model;
    int64_t now_ms, deadline_ms, step_ms;
    pid_t next_pid;
    unsigned number, seed;
    char history[HISTORY][64];
    unsigned told;
};

static pid_t op_spawn(void *arg)
{
    struct life *l = arg;

    note(&l->did, "spawn ");
    return l->next_pid;
}

/* As supervisor.c: nothing when there is no process. */
static void op_group(void *arg, int signo)
{
    struct life *l = arg;

    if (l->child.pid > 0)
        note(&l->did, "group %d ", signo);
}

static void op_rest(void *arg, int signo)
{
    note(&((struct life *)arg)->did, "rest %d ", signo);
}

static void op_deadline(void *arg, int64_t at_ms)
{
    ((struct life *)arg)->deadline_ms = at_ms;
}

static void op_step(void *arg, int64_t at_ms)
{
    ((struct life *)arg)->step_ms = at_ms;
}

static void saw_spawned(void *arg, pid_t pid)
{
    (void)pid;
    note(&((struct life *)arg)->did, "spawned ");
}

static void saw_spawn_failed(void *arg, const struct err *why, bool will_restart)
{
    (void)why;
    note(&((struct life *)arg)->did, "spawn failed%s ", will_restart ? ", again" : "");
}

static void saw_start_timeout(void *arg)
{
    note(&((struct life *)arg)->did, "start timeout ");
}

static void saw_exit(void *arg, const struct child_exit *e)
{
    note_exit(&((struct life *)arg)->did, e);
}

static void saw_ended(void *arg, const struct child_exit *last)
{
    note(&((struct life *)arg)->did, "ended(%s) ", last ? "after a process" : "nothing ran");
}

static void saw_step(void *arg, int signo, int64_t left_ms)
{
    struct life *l = arg;

    (void)signo; /* the group has just had it: noted there */
    (void)left_ms;
    note(&l->did, "step ");
}

static const struct stop_sequence sequences[] = {
    {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1},
    {.v = {{SIGUSR1, 300}, {SIGTERM, STOP_WAIT_REST}}, .n = 2},
    {.v = {{SIGUSR1, 200}, {SIGINT, 50}, {SIGTERM, 400}}, .n = 3},
};

static int random_below(struct life *l, int n)
{
    return rand_r(&l->seed) % n;
}

static void life_begin(struct life *l, unsigned number)
{
    *l = (struct life){.number = number, .seed = number, .now_ms = 1000};
    l->rules = (struct child_rules){
        .restart = {.when = (enum restart_when)random_below(l, 3),
                    .backoff_ms = 1 + random_below(l, 300),
                    .reset_after_ms = random_below(l, 2) * 500,
                    .max_failures = random_below(l, 2) * (1 + random_below(l, 6))},
        .start_timeout_ms = random_below(l, 2) * 700,
        .start_timeout_restarts = random_below(l, 2),
        .stop = sequences[random_below(l, 3)],
    };
    l->rules.restart.backoff_max_ms = l->rules.restart.backoff_ms * 5;
    l->report = (struct supervisor_callbacks){.on_spawned = saw_spawned,
                                              .on_spawn_failed = saw_spawn_failed,
                                              .on_start_timeout = saw_start_timeout,
                                              .on_exit = saw_exit,
                                              .on_ended = saw_ended,
                                              .on_stop_step = saw_step};
    l->ops = (struct child_ops){.spawn = op_spawn,
                                .signal_group = op_group,
                                .signal_rest = op_rest,
                                .set_deadline = op_deadline,
                                .set_step = op_step,
                                .report = &l->report,
                                .report_arg = l};
    l->model.rules = &l->rules;
    child_init(&l->child, &l->rules, &l->ops, l);
}

/* ---- agreement ---- */

static void disagree(const struct life *l, const char *what)
{
    const struct model *m = &l->model;

    for (unsigned i = l->told > HISTORY ? l->told - HISTORY : 0; i < l->told; i++)
        (void)fprintf(stderr, "  %s\n", l->history[i % HISTORY]);
    cr_assert(false,
              "life %u, event %u: %s\n  child: %s, deadline %" PRId64 ", did: %s\n  model: %s, "
              "deadline %" PRId64 ", did: %s",
              l->number, l->told, what, child_state_name(l->child.state), l->deadline_ms,
              l->did.text, child_state_name(model_state(m)), m->deadline_ms, m->did.text);
}

/*
 * What the texts leave open, the model learns: the jitter of a back-off (half of it to all), and
 * how a list of several signals divides its time (test_stop_steps.c knows; here: within the grace).
 */
static void agree(struct life *l)
{
    struct model *m = &l->model;
    enum child_state s = l->child.state;
    bool stops = s == CHILD_STOPPING || s == CHILD_RESTARTING;

    if (s != model_state(m))
        disagree(l, "other states");
    if (strcmp(l->did.text, m->did.text) != 0)
        disagree(l, "something else was done");
    if (l->child.pid != m->pid || l->child.failures != m->failures)
        disagree(l, "other facts");
    if (s == CHILD_BACKOFF && l->deadline_ms < m->deadline_ms &&
        l->deadline_ms - l->now_ms >= (m->deadline_ms - l->now_ms) / 2)
        m->deadline_ms = l->deadline_ms;
    if (l->rules.stop.n > 1 && stops && l->deadline_ms < m->deadline_ms &&
        l->deadline_ms >= l->now_ms)
        m->deadline_ms = l->deadline_ms;
    if (l->deadline_ms != m->deadline_ms || l->child.deadline_ms != l->deadline_ms)
        disagree(l, "other deadlines");
    if ((l->step_ms != 0) != (stops && m->signals_sent < l->rules.stop.n))
        disagree(l, "a signal of the list is due, or is not");
    if (l->step_ms > l->deadline_ms && l->step_ms > l->now_ms) /* in a late turn both are over */
        disagree(l, "KILL before the list is through");
}

/* What can come now. A spawn that failed before the fork is told before anything else in time. */
static bool is_possible(const struct life *l, enum child_event ev)
{
    const struct model *m = &l->model;
    bool not_forked = m->is_being_made && !m->has_process;

    switch (ev) {
    case CHILD_EV_DEADLINE:
        return !not_forked && l->deadline_ms != 0 &&
               (l->step_ms == 0 || l->deadline_ms <= l->step_ms);
    case CHILD_EV_STEP:
        return !not_forked && l->step_ms != 0;
    case CHILD_EV_EXEC_OK:
        return m->has_process && m->is_being_made;
    case CHILD_EV_EXEC_FAILED:
        return m->is_being_made;
    case CHILD_EV_EXIT:
        return m->has_process && !m->is_being_made;
    case CHILD_EV_EMPTY:
        return !m->has_process && !m->is_being_made && !m->is_over &&
               (m->only_left_overs || m->everything_killed);
    default:
        return true;
    }
}

/* Requests that end everything come less often, or every life would be short. */
static enum child_event random_event(struct life *l)
{
    enum child_event ev = (enum child_event)random_below(l, CHILD_EVENT_COUNT);

    if ((ev == CHILD_EV_STOP && random_below(l, 6) != 0) ||
        (ev == CHILD_EV_KILL && random_below(l, 15) != 0))
        ev = CHILD_EV_DEADLINE;
    return ev;
}

static void step(struct life *l, enum child_event ev)
{
    static const struct err failure = {.code = -ENOENT, .msg = "cannot exec x"};
    static const int statuses[] = {0, 0, W_EXITCODE(3, 0), SIGSEGV, SIGTERM, SIGKILL};
    struct child_input in = {.grace_ms = random_below(l, 4) * random_below(l, 400),
                             .failure = &failure,
                             .is_permanent = random_below(l, 4) == 0,
                             .wait_status = statuses[random_below(l, 6)]};

    l->now_ms += random_below(l, 3) * random_below(l, 60);
    if (ev == CHILD_EV_DEADLINE && l->now_ms < l->deadline_ms)
        l->now_ms = l->deadline_ms;
    if (ev == CHILD_EV_STEP && l->now_ms < l->step_ms)
        l->now_ms = l->step_ms;
    in.now_ms = l->now_ms;
    l->next_pid = l->model.next_pid = random_below(l, 10) == 0 ? 0 : 2 + random_below(l, 30000);
    l->did.n = l->model.did.n = 0;
    l->did.text[0] = l->model.did.text[0] = '\0';
    (void)snprintf(l->history[l->told++ % HISTORY], sizeof(l->history[0]),
                   "%" PRId64 ": %s, event %d, grace %" PRId64 ", status %d", l->now_ms,
                   child_state_name(l->child.state), (int)ev, in.grace_ms, in.wait_status);
    child_dispatch(&l->child, ev, &in);
    model_tell(&l->model, ev, &in);
    if (l->child.state == CHILD_ENDED)
        process_is_gone(&l->model); /* one that hangs in the kernel is nobody's business now */
    agree(l);
}

Test(child_model, a_million_random_events_are_seen_alike, .timeout = 110)
{
    size_t visits[CHILD_STATE_COUNT] = {0};
    size_t total = 0;
    unsigned lives = 0;

    while (total < EVENTS) {
        struct life l;
        int after_end = 0;

        life_begin(&l, ++lives);
        for (int i = 0; i < EVENTS_PER_LIFE && after_end < EVENTS_AFTER_END; i++) {
            enum child_event ev = random_event(&l);

            if (!is_possible(&l, ev))
                continue;
            step(&l, ev);
            visits[l.child.state]++;
            after_end += l.child.state == CHILD_ENDED;
            total++;
        }
    }
    (void)fprintf(stderr, "%zu events in %u lives; in each state after:", total, lives);
    for (int s = 0; s < CHILD_STATE_COUNT; s++) {
        (void)fprintf(stderr, " %s %zu", child_state_name((enum child_state)s), visits[s]);
        cr_expect_gt(visits[s], 1000U, "hardly ever %s", child_state_name((enum child_state)s));
    }
    (void)fprintf(stderr, "\n");
}
