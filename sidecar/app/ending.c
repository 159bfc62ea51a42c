/*
 * The end: what each stop phase does, the exit status, and the sentence that says why.
 */
#include "app/parts.h"

#include "app/exits.h"
#include "app/termination.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/signame.h"
#include "log/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

enum {
    LOG_FINISH_MS = 500,            /* for a slow stderr at the very end */
    EXTEND_TIMEOUT_SLACK_MS = 1000, /* told to systemd on top of what is left */
};

/* ---- why
 * ------------------------------------------------------------------------------------------------------------
 */

bool ending_because(struct app *a, const char *word, const char *by, const char *fmt, ...)
{
    struct ending *e = &a->ending;
    va_list ap;

    if (e->is_set) {
        return false;
    }
    e->is_set = true;
    e->word = word;
    e->by = by;
    va_start(ap, fmt);
    (void)vsnprintf(e->why, sizeof(e->why), fmt, ap);
    va_end(ap);
    return true;
}

void ending_force_status(struct app *a, int status)
{
    a->ending.is_forced = true;
    a->ending.own_status = status;
}

/* ---- the actions of the phases (stopping.h)
 * ---------------------------------------------------------------------------- */

static bool has_no_callers(const struct app *a)
{
    return a->a2a && server_stats(a->a2a)->outside_total == 0;
}

static int64_t drain_delay(void *arg)
{
    const struct app *a = arg;

    /*
     * Nobody out there knows us: nobody has to learn that we leave. Who was ready is in the lists
     * of load balancers, and the first request may come from one that has not heard yet; only a
     * polling agent need not be in any.
     */
    bool is_unknown = has_no_callers(a) && (a->inbox || !a->was_ready);

    if (!a->a2a || (a->budget.drain_delay_is_default && is_unknown)) {
        return 0;
    }
    return a->budget.drain_delay;
}

static bool nothing_to_serve(void *arg)
{
    const struct app *a = arg;

    if (proxy_stats(a->proxy)->uploads > 0) {
        return false; /* they go to the disk, agent or no agent */
    }
    if (a->supervisor) {
        enum child_state s = supervisor_status(a->supervisor)->state;

        return s == CHILD_ENDED || s == CHILD_DOWN;
    }
    return proxy_stats(a->proxy)->in_flight + proxy_stats(a->proxy)->on_way == 0 &&
           (!a->probe || agent_side_is_gone_now(a));
}

/* Streams of finished tasks are among them for as long as it takes to end them cleanly. */
static bool has_work(void *arg)
{
    const struct app *a = arg;

    const struct proxy_stats *s = proxy_stats(a->proxy);

    return !nothing_to_serve(arg) &&
           (s->in_flight + s->on_way + s->held + s->uploads > 0 || inbox_side_awaited(a) > 0);
}

/* Not for a drain that may be called off: a service manager takes STOPPING=1 for the end. */
static void tell_stopping(struct app *a)
{
    if (a->stopping.is_final) {
        notify_stopping(a->notify, "draining");
        notify_extend(a->notify, stopping_left_ms(&a->stopping) + EXTEND_TIMEOUT_SLACK_MS);
    }
}

static void becomes_final(void *arg)
{
    agent_return_stop(arg);
    tell_stopping(arg);
}

static void drain_begins(void *arg)
{
    struct app *a = arg;

    app_life(a, LIFE_DRAIN);
    tell_stopping(a);
    proxy_set_last(a->proxy, true);
    if (a->a2a) {
        server_set_last(a->a2a, true);
    }
    if (a->inbox) {
        inbox_drain(a->inbox);
    }
    agent_return_watch(a);
    if (a->platform) {
        platform_beat_now(a->platform);
    }
}

/* What is waited for: how many, and the one that has been here longest. */
static void say_work(const struct app *a, enum log_level level, const char *what)
{
    struct proxy_work work;
    char since[FORMAT_MAX];

    int64_t messages = inbox_side_awaited(a);

    if (messages > 0) {
        log_event(level, "app", NULL, 0, "drain: %s %lld polled message%s", what,
                  (long long)messages, messages == 1 ? "" : "s");
    }
    proxy_work(a->proxy, &work);
    if (work.count == 0) {
        return;
    }
    log_event(
        level, "app", NULL, 0,
        "drain: %s %zu request%s (%zu in flight, of them %zu streams; %zu held; %zu uploads); the "
        "longest, for %s: %s",
        what, work.count, work.count == 1 ? "" : "s", work.in_flight, work.streams, work.held,
        work.uploads, format_duration(loop_now_ms(a->loop) - work.longest_since_ms, since),
        work.longest);
}

static void drain_late(void *arg)
{
    const struct app *a = arg;

    log_warning("app", "drain: time is up (stop.drain_timeout)");
    say_work(a, LOG_WARNING, "not waiting any longer for");
}

/* The others are read once more before anybody is refused. */
static void delay_ends(void *arg)
{
    struct app *a = arg;

    if (a->a2a) {
        server_close_idle(a->a2a);
    }
}

static void refuse_begins(void *arg)
{
    struct app *a = arg;

    agent_side_gate(a);
    if (a->a2a) {
        server_close_idle(a->a2a);
    }
    say_work(a, LOG_INFO, "waiting for");
}

static enum control_drain drain_result(struct app *a)
{
    return has_work(a) ? CONTROL_DRAIN_CUT : CONTROL_DRAINED;
}

static void parked(void *arg)
{
    struct app *a = arg;

    log_info("app", "%s; waiting for TERM, or for the agent to come back",
             has_work(a) ? "the drain is over" : "drained");
    control_drain_done(a->control, drain_result(a));
}

static void resumed(void *arg)
{
    struct app *a = arg;

    proxy_set_last(a->proxy, false);
    if (a->a2a) {
        server_set_last(a->a2a, false);
    }
    control_drain_done(a->control, CONTROL_DRAIN_OFF);
    if (a->inbox) {
        inbox_resume(a->inbox);
    }
    a->agent_left = false;
    agent_return_stop(a);
    app_life(a, LIFE_RESUME);
    if (a->is_on_hold) {
        app_life(a, LIFE_HOLD);
    }
    if (a->agent_answers) {
        app_life(a, LIFE_AGENT_UP);
    }
    agent_side_try_start(a); /* a drain that came before the first start */
}

/* What the agent is about to get. */
static void say_stop(const struct app *a, int64_t grace_ms)
{
    const struct stop_sequence *q = &a->cfg->stop.signal;
    CLEANUP(str_release) struct str list = {0};
    char text[FORMAT_MAX];
    char name[SIGNAL_WORDS_MAX];

    if (q->n == 1 && stop_sequence_is_open(q)) {
        log_info("agent", "%s, then SIGKILL after %s", signal_in_words(q->v[0].signo, name),
                 format_duration(grace_ms, text));
        return;
    }
    stop_sequence_add_text(&list, q);
    log_info("agent", "%s (stop.signal: %s), within %s", signal_in_words(q->v[0].signo, name),
             str_z(&list), format_duration(grace_ms, text));
}

static void agent_stop(void *arg, int64_t grace_ms)
{
    struct app *a = arg;

    if (a->stopping.phase >= PHASE_AGENT) { /* signal-first: the drain goes on beside it */
        control_drain_done(a->control, drain_result(a));
    }
    tell_stopping(a);
    app_life(a, a->stopping.phase >= PHASE_AGENT ? LIFE_TERMINATE : LIFE_DRAIN);
    if (a->supervisor) {
        if (supervisor_status(a->supervisor)->pid > 0) {
            say_stop(a, grace_ms);
        }
        supervisor_stop(a->supervisor, grace_ms);
    } else {
        peer_side_stop(a, grace_ms);
    }
}

static void agent_kill(void *arg)
{
    struct app *a = arg;

    if (a->supervisor) {
        log_warning("agent", "SIGKILL now");
        a->was_killed = true;
        supervisor_kill(a->supervisor);
    } else {
        peer_side_kill(a);
    }
}

static bool agent_is_gone(void *arg)
{
    const struct app *a = arg;

    return a->supervisor ? supervisor_status(a->supervisor)->state == CHILD_ENDED ||
                               supervisor_status(a->supervisor)->state == CHILD_DOWN
                         : peer_side_is_gone(a);
}

static void on_platform_finished(void *arg)
{
    struct app *a = arg;

    stopping_finished(&a->stopping);
}

void ending_on_inbox_finished(struct app *a)
{
    int64_t left = a->finish_until_ms - loop_now_ms(a->loop);

    if (a->platform) {
        platform_finish(a->platform, left > 0 ? left : 0, on_platform_finished, a);
    } else {
        stopping_finished(&a->stopping);
    }
}

static void finish(void *arg, int64_t budget_ms)
{
    struct app *a = arg;

    app_life(a, LIFE_TERMINATE);
    control_drain_done(a->control, drain_result(a)); /* asked for after the agent's signal */
    proxy_fail_in_flight(a->proxy);
    if (a->a2a) {
        server_stop_accepting(a->a2a);
    }
    a->finish_until_ms = loop_now_ms(a->loop) + budget_ms;
    if (!inbox_side_finish(a, budget_ms / 2)) {
        ending_on_inbox_finished(a);
    }
}

static void over(void *arg)
{
    struct app *a = arg;

    app_life(a, LIFE_END);
    loop_stop(a->loop);
}

static const struct stopping_ops stopping_ops = {
    .drain_delay = drain_delay,
    .drain_begins = drain_begins,
    .becomes_final = becomes_final,
    .delay_ends = delay_ends,
    .refuse_begins = refuse_begins,
    .has_work = has_work,
    .drain_late = drain_late,
    .nothing_to_serve = nothing_to_serve,
    .parked = parked,
    .resumed = resumed,
    .agent_stop = agent_stop,
    .agent_kill = agent_kill,
    .agent_is_gone = agent_is_gone,
    .finish = finish,
    .over = over,
};

void ending_open(struct app *a)
{
    stopping_init(&a->stopping, a->loop, &a->budget, a->cfg->stop.order, &stopping_ops, a);
}

/* ---- triggers
 * ----------------------------------------------------------------------------------------------------------
 */

/*
 * stop.order: signal-first. The agent has its signal before anything else is done or written: a
 * line of the log costs more than the signal. The sequencer sends none again, it finds the child
 * stopping.
 */
static void signal_at_once(struct app *a)
{
    int64_t room = a->budget.grace - a->budget.reserve; /* as the sequencer will have it */

    if (a->cfg->stop.order == STOP_SIGNAL_FIRST && !stopping_is_on(&a->stopping) && a->supervisor &&
        supervisor_status(a->supervisor)->pid > 0) {
        supervisor_stop(a->supervisor, a->budget.agent_grace < room ? a->budget.agent_grace : room);
    }
}

void ending_on_term(struct app *a, const char *what)
{
    static const char *const then[] = {"stopping (once more: hurry)",
                                       "not waiting for requests any more (once more: kill)",
                                       "killing the agent"};
    unsigned n = a->stopping.stop_count;

    signal_at_once(a);
    log_info("app", "%s: %s", what, then[n < 2 ? n : 2]);
    ending_because(a, "stopped", "sidecar", "%s", what);
    stopping_stop(&a->stopping);
}

enum control_drain ending_on_drain(struct app *a, const char *who)
{
    if (!stopping_is_on(&a->stopping)) {
        log_info("app", "drain asked for by %s", who);
    }
    stopping_drain(&a->stopping);
    return a->stopping.phase >= PHASE_PARKED ? drain_result(a) : CONTROL_DRAINING;
}

/* ---- the status and the sentence
 * ------------------------------------------------------------------------------------------ */

struct exit_codes ending_success_codes(const struct config *cfg)
{
    struct exit_codes set = {0};

    for (size_t i = 0; i < cfg->stop.success_codes.n; i++) {
        int64_t code;

        if (parse_int64(slice_of(cfg->stop.success_codes.v[i]), 0, EXIT_CODE_COUNT - 1, &code) ==
            0) {
            exit_codes_add(&set, (uint8_t)code);
        }
    }
    return set;
}

int ending_status(const struct app *a)
{
    struct exit_codes success = ending_success_codes(a->cfg);
    int status;

    if (a->ending.is_forced) {
        return a->ending.own_status;
    }
    if (a->supervisor && supervisor_status(a->supervisor)->pid > 0) {
        return EXIT_KILLED; /* the budget was over: its KILL is on the way, nobody waits for it */
    }
    if (!a->has_exit) {
        return a->ending.own_status;
    }
    status = exit_status_of(&a->last_exit);
    if (status != EXIT_OK && !exit_codes_have(&success, (uint8_t)status)) {
        return status;
    }
    if (a->start_timed_out) {
        return EXIT_INTERNAL; /* our signal ended it, but it never worked: not a success */
    }
    if (a->child_is_lost && a->outage.is_unspawned) {
        return a->ending.own_status; /* it ended well once, and then could not be started again */
    }
    /* Given up because it hung in its start again and again: that our signal ended it is no
     * success. */
    return a->child_is_lost && a->outage.is_failing ? EXIT_INTERNAL : EXIT_OK;
}

void ending_say(struct app *a, int status)
{
    const struct ending *e = &a->ending;
    const char *word = e->is_set ? e->word : "stopped";
    const char *by = e->is_set ? e->by : "sidecar";
    bool was_killed = a->was_killed || (a->has_exit && a->last_exit.we_killed_it &&
                                        WIFSIGNALED(a->last_exit.wait_status));
    const char *killed =
        e->is_set && was_killed ? "; the agent did not end in time and was killed" : "";
    char text[ENDING_TEXT_MAX + 160];
    const struct log_field fields[] = {LOG_STR("word", word), LOG_STR("by", by),
                                       LOG_INT("status", status)};

    /* whatever log.level is: who finds the container dead looks for this line */
    log_event(status == EXIT_OK ? LOG_INFO : LOG_ERROR, "app", fields, 3, "ended: %s%s",
              e->is_set ? e->why : "no reason was given", killed);
    log_finish(LOG_FINISH_MS);
    (void)snprintf(text, sizeof(text), "%s: %s%s (by=%s, exit status %d)\n", word,
                   e->is_set ? e->why : "no reason was given", killed, by, status);
    termination_write(a->cfg->log.termination_file, text);
}
