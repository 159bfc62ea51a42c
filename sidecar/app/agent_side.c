/*
 * The agent's process and its answers: joins supervisor/, agent/probe and the proxy's gate.
 */
#include "app/parts.h"

#include "agent/connect.h"
#include "app/child_env.h"
#include "app/exits.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/signame.h"
#include "log/log.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARD_PATH "/.well-known/agent-card.json"

enum { AGENT_GONE_WAIT_MS = 50 }; /* see agent_side_is_gone_now */

/* ---- the gate: everything that decides what happens to a request, in one place
 * ------------------------------------- */

static bool agent_takes_requests(const struct app *a)
{
    if (!a->probe) {
        return false;
    }
    if (!a->supervisor) {
        return a->agent_answers;
    }
    /* A process that has answered and now fails its probe may only be busy: what it says to a
     * request is the truth. */
    return supervisor_status(a->supervisor)->pid > 0 && probe_status(a->probe)->has_answered;
}

void agent_side_gate(struct app *a)
{
    enum proxy_gate gate = PROXY_WAIT;

    if (a->child_is_lost) {
        gate = PROXY_LOST;
    } else if (a->stopping.phase >= PHASE_DRAIN) {
        gate = PROXY_DRAINING;
    } else if (a->is_on_hold) {
        gate = PROXY_PAUSED;
    } else if (agent_takes_requests(a)) {
        gate = PROXY_OPEN;
    }
    if (proxy_gate(a->proxy) != gate) {
        proxy_set_gate(a->proxy, gate);
    }
    inbox_side_gate(a);
}

const char *agent_side_reason(const struct app *a)
{
    const struct outage *o = &a->outage;

    if (a->child_is_lost) {
        return o->text[0] ? o->text : "the agent ended and will not be started again";
    }
    if (a->agent_answers) {
        return "";
    }
    if (a->supervisor && supervisor_status(a->supervisor)->state == CHILD_BACKOFF) {
        return o->text[0] ? o->text : "the agent ended and will be started again";
    }
    if (a->supervisor && !a->may_spawn) {
        return "its start waits for the first secrets (secrets.start_wait)";
    }
    if (a->supervisor && supervisor_status(a->supervisor)->pid == 0) {
        return "the agent's process does not run";
    }
    if (agent_start_is_awaited(a)) {
        return agent_start_reason(a);
    }
    if (o->is_failing && !o->is_late) {
        return o->text; /* why the last one ended tells more than that the next one is not there */
    }
    return a->probe && probe_status(a->probe)->reason[0] ? probe_status(a->probe)->reason
                                                         : "the agent has not answered yet";
}

/* ---- the probe
 * ------------------------------------------------------------------------------------------------------
 */

static void agent_is_up(struct app *a)
{
    bool was_restart = a->agent_left;

    a->agent_answers = true;
    a->agent_ever_answered = true;
    peer_side_note_up(a);
    a->agent_left = false;
    if (a->supervisor) {
        supervisor_mark_ready(a->supervisor);
    }
    outage_on_up(a);
    if (a->platform) {
        platform_work_changed(a->platform);
    }
    if (was_restart) {
        stopping_resume(
            &a->stopping); /* only the agent's container was restarted: the drain was not the end */
    }
    app_life(a, LIFE_AGENT_UP);
}

static void on_up(void *arg)
{
    struct app *a = arg;

    log_info("agent", "%s %s",
             a->cfg->agent.ready_by.kind == READY_CONNECT ? "accepts" : "answers at",
             a->cfg->agent.address.text);
    agent_is_up(a);
}

static void on_down(void *arg, const char *why)
{
    struct app *a = arg;

    a->agent_answers = false;
    a->agent_left = stopping_is_on(&a->stopping) && !a->supervisor && agent_side_is_gone_now(a);
    log_warning("agent", "does not answer: %s", why);
    if (a->supervisor) {
        supervisor_mark_unready(a->supervisor);
    }
    if (a->platform) {
        platform_work_changed(a->platform);
    }
    agent_side_gate(a);
    app_tell_status(a);
}

void agent_side_left(struct app *a)
{
    log_info("agent", "%s %s; waiting for TERM, or for the next one",
             a->agent_ever_answered ? "does not answer: it has left"
                                    : "has never answered, and is not, or no longer, at",
             a->cfg->agent.address.text);
    a->agent_left = true;
    a->agent_answers = false;
    proxy_drop_upstreams(a->proxy);
    if (a->may_spawn) { /* else agent_side_try_start() begins it */
        probe_start(a->probe);
    }
    if (a->platform) {
        platform_work_changed(a->platform);
    }
    agent_side_gate(a);
    app_tell_status(a);
    stopping_changed(&a->stopping);
}

static void on_card(void *arg, struct slice card)
{
    struct app *a = arg;

    proxy_set_card(a->proxy, card);
    inbox_side_card(a, card);
    if (a->platform) {
        platform_card_changed(a->platform);
    }
}

/* ---- the process
 * ----------------------------------------------------------------------------------------------------
 */

/* What an agent that was killed leaves behind: most servers refuse to listen on a path that is
 * there, so it would never start again. Only a socket on which nobody listens goes. */
static void clear_stale_socket(const struct app *a)
{
    const char *path = endpoint_unix_path(&a->cfg->agent.address);
    struct stat st;

    if (!path || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) || !agent_side_is_gone_now(a)) {
        return;
    }
    if (unlink(path) < 0) {
        log_warning("agent", "cannot remove the stale socket %s: %s", path, strerror(errno));
    }
}

static char **build_env(void *arg)
{
    struct app *a = arg;

    clear_stale_socket(a);
    return agent_start_env(a);
}

/* Nothing but the probe is between the process and "it is up". */
static void look_for_it(struct app *a)
{
    if (a->probe) {
        probe_start(a->probe);
    } else {
        agent_is_up(a);
    }
}

void agent_side_said_ready(struct app *a)
{
    log_info("agent", "says that it is ready (agent.ready: %s)", a->cfg->agent.ready);
    look_for_it(a);
}

static void on_spawned(void *arg, pid_t pid)
{
    struct app *a = arg;
    const struct log_field fields[] = {LOG_INT("pid", pid)};

    a->was_spawned = true;
    log_event(LOG_INFO, "agent", fields, 1, "started %s", a->cfg->command[0]);
    outage_on_spawned(a);
    agent_start_is_running(a);
    if (!agent_start_is_awaited(a)) {
        look_for_it(a);
    }
    agent_side_gate(a);
    app_tell_status(a);
}

static void on_spawn_failed(void *arg, const struct err *why, bool will_restart)
{
    struct app *a = arg;

    agent_start_ended(a);
    outage_on_spawn_failed(a, why);
    if (will_restart) {
        log_error("agent", "%s", a->outage.text);
        app_tell_status(a);
    } else {
        log_error("agent", "%s", why->msg);
        a->ending.own_status = spawn_failure_is_permanent(why->code) ? EXIT_USAGE : EXIT_INTERNAL;
    }
}

static void on_start_timeout(void *arg)
{
    struct app *a = arg;
    char text[FORMAT_MAX];
    static const char *const then[] = {
        [ON_START_TIMEOUT_REPORT] = "waiting on (agent.on_start_timeout: report)",
        [ON_START_TIMEOUT_RESTART] = "starting it again (agent.on_start_timeout: restart)",
        [ON_START_TIMEOUT_EXIT] = "stopping (agent.on_start_timeout: exit)",
    };

    const char *what =
        agent_start_is_awaited(a) ? "has not said that it is ready" : "has not answered";

    outage_on_late(a);
    log_warning("agent", "%s within %s (agent.start_timeout): %s; %s", what,
                format_duration(a->cfg->agent.start_timeout, text), agent_side_reason(a),
                then[a->cfg->agent.on_start_timeout]);
    if (a->platform) {
        platform_work_changed(a->platform);
    }
    if (a->cfg->agent.on_start_timeout == ON_START_TIMEOUT_EXIT) {
        a->start_timed_out = true;
        ending_because(a, "stopped", "sidecar",
                       "the agent did not become ready within %s (agent.start_timeout)", text);
        stopping_end(&a->stopping);
    }
}

static void on_exit_of_agent(void *arg, const struct child_exit *e)
{
    struct app *a = arg;
    char what[EXIT_WORDS_MAX];
    char in[FORMAT_MAX];
    const struct log_field fields[] = {LOG_INT("pid", e->pid), LOG_INT("failures", e->failures)};

    a->last_exit = *e;
    a->has_exit = true;
    a->agent_answers = false;
    outage_on_exit(a, e);
    (void)exit_in_words(e, what);
    if (e->will_restart) {
        log_event(LOG_WARNING, "agent", fields, 2, "%s; starting it again in %s", what,
                  format_duration(e->restart_in_ms, in));
    } else {
        log_event(LOG_INFO, "agent", fields, 2, "%s", what);
    }
    agent_start_ended(a);
    if (a->probe) {
        probe_stop(a->probe);
    }
    proxy_drop_upstreams(a->proxy);
    if (a->platform) {
        platform_work_changed(a->platform);
    }
    agent_side_gate(a);
    app_tell_status(a);
}

static void on_ended(void *arg, const struct child_exit *last)
{
    struct app *a = arg;

    if (last) { /* one that hangs in the kernel was not told by on_exit_of_agent() */
        a->last_exit = *last;
        a->has_exit = true;
    }
    if (!a->stopping.agent_signalled) { /* by itself, and not to be started again */
        const char *why = outage_on_lost(a, last);

        a->child_is_lost = true;
        ending_because(a, "stopped", a->outage.is_unspawned ? "sidecar" : "agent", "%s", why);
        agent_side_gate(a);
        stopping_end(&a->stopping);
        return;
    }
    stopping_changed(&a->stopping);
}

static void on_stop_step(void *arg, int signo, int64_t left_ms)
{
    char name[SIGNAL_WORDS_MAX];
    char text[FORMAT_MAX];

    (void)arg;
    log_info("agent", "has not ended: %s; what follows it in stop.signal comes in %s",
             signal_in_words(signo, name), format_duration(left_ms, text));
}

static void on_reaped(void *arg, pid_t pid, int wait_status)
{
    (void)arg;
    log_debug("agent", "reaped orphan %d, wait status %d", (int)pid, wait_status);
}

/* It answers nothing meanwhile; the probe sees that. */
static void on_stopped(void *arg, int signo)
{
    char name[SIGNAL_TEXT_MAX];

    (void)arg;
    if (signo == 0) {
        log_info("agent", "goes on (SIGCONT)");
    } else {
        log_info("agent", "was stopped by SIG%s, until SIGCONT", signal_text(signo, name));
    }
}

static const struct supervisor_callbacks supervisor_callbacks = {
    .build_env = build_env,
    .on_spawned = on_spawned,
    .on_spawn_failed = on_spawn_failed,
    .on_start_timeout = on_start_timeout,
    .on_exit = on_exit_of_agent,
    .on_ended = on_ended,
    .on_stop_step = on_stop_step,
    .on_reaped = on_reaped,
    .on_stopped = on_stopped,
};

static const struct probe_callbacks probe_callbacks = {
    .on_up = on_up, .on_down = on_down, .on_card = on_card};

static struct supervisor_config supervisor_config_of(struct app *a)
{
    const struct config *c = a->cfg;

    return (struct supervisor_config){
        .argv = c->command,
        .group = (enum child_group)c->agent.group,
        .cwd = c->agent.cwd,
        .no_new_privs = c->agent.no_new_privs,
        .first_may_wait = !a->has_terminal && !c->platform.enabled,
        .wrap_output = c->log.child == LOG_CHILD_WRAP,
        .gifts = agent_start_gifts(a),
        .policy = (int)c->restart.policy,
        .backoff_ms = c->restart.backoff,
        .backoff_max_ms = c->restart.backoff_max,
        .reset_after_ms = c->restart.reset_after,
        .max_failures = c->restart.max,
        .start_timeout_ms = c->agent.start_timeout,
        .start_timeout_restarts = c->agent.on_start_timeout == ON_START_TIMEOUT_RESTART,
        .stop = c->stop.signal,
        .success = ending_success_codes(c),
        .origin = a->origin,
    };
}

void agent_side_configure(struct app *a)
{
    const struct supervisor_config sc = supervisor_config_of(a);

    supervisor_configure(a->supervisor, &sc);
}

static int open_supervisor(struct app *a, struct err *err)
{
    struct supervisor_config sc;
    int r = agent_start_open(a, err);

    if (r < 0) {
        return r;
    }
    sc = supervisor_config_of(a);
    return supervisor_new(a->loop, &sc, &supervisor_callbacks, a, &a->supervisor, err);
}

int agent_side_open(struct app *a, struct err *err)
{
    const struct config *c = a->cfg;

    enum ready_kind kind = c->agent.ready_by.kind;

    if (config_sees_agent(c)) {
        bool is_agent = c->agent.protocol == AGENT_HTTP; /* an A2A server: it has a card */
        bool is_card = is_agent && c->agent.ready_path[0] == '\0';
        const char *path = c->agent.ready_path[0] ? c->agent.ready_path : "/";
        const struct probe_config pc = {
            .agent = &c->agent.address,
            .path = is_card ? CARD_PATH : path,
            .is_card = is_card,
            .is_connect = kind == READY_CONNECT,
            .interval_ms = c->agent.health_interval,
            .failures = c->agent.health_failures,
        };
        int r = probe_new(a->loop, a->curl, &pc, &probe_callbacks, a, &a->probe, err);

        if (r < 0) {
            return r;
        }
    }
    return c->command ? open_supervisor(a, err) : 0;
}

/* Without a child nobody else would tell that the agent never came, or that its socket is shut to
 * us. */
static void on_unanswered(struct timer *t)
{
    struct app *a = t->arg;
    char text[FORMAT_MAX];

    if (!a->agent_ever_answered) {
        outage_on_late(a);
        log_warning("agent", "has not answered within %s (agent.start_timeout): %s; waiting on",
                    format_duration(a->cfg->agent.start_timeout, text), agent_side_reason(a));
    }
}

void agent_side_try_start(struct app *a)
{
    bool waits_for_files = a->secret_files_pending > 0 && a->files_wait.armed;

    if (!a->start_is_due || a->may_spawn || stopping_is_on(&a->stopping) || waits_for_files) {
        return;
    }
    timer_stop(&a->files_wait);
    a->may_spawn = true;
    if (a->supervisor) {
        supervisor_start(a->supervisor);
    } else if (a->probe) {
        probe_start(a->probe);
        timer_start(&a->unanswered, a->loop, loop_now_ms(a->loop) + a->cfg->agent.start_timeout,
                    on_unanswered, a);
    } else {
        agent_is_up(a); /* nothing to wait for: register and beat only */
    }
}

static void on_files_late(struct timer *t)
{
    struct app *a = t->arg;

    log_warning("agent", "starting without waiting longer for %d secret files (secrets.start_wait)",
                a->secret_files_pending);
    agent_side_try_start(a);
}

void agent_side_may_start(struct app *a)
{
    a->start_is_due = true;
    if (a->secret_files_pending > 0) { /* a disk can hang */
        timer_start(&a->files_wait, a->loop, loop_now_ms(a->loop) + a->cfg->secrets.start_wait,
                    on_files_late, a);
    }
    agent_side_try_start(a);
}

/* Nobody listens at this one address; a kernel without IPv6 has nobody at [::1]. */
static bool is_refused(const struct sockaddr_storage *sa, socklen_t sa_len)
{
    CLEANUP(fd_cleanup)
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t n = sizeof(error);

    if (fd < 0) {
        return errno == EAFNOSUPPORT;
    }
    if (connect(fd, (const struct sockaddr *)sa, sa_len) == 0) {
        return false;
    }
    if (errno != EINPROGRESS) {
        return errno == ECONNREFUSED || errno == ENOENT ||
               (errno == EADDRNOTAVAIL && sa->ss_family == AF_INET6);
    }
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    /* loopback answers at once; AGENT_GONE_WAIT_MS is for a kernel under load, while we are on the
     * way out anyway */
    return poll(&p, 1, AGENT_GONE_WAIT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == ECONNREFUSED;
}

bool agent_side_is_gone_now(const struct app *a)
{
    const struct endpoint *at = &a->cfg->agent.address;
    struct sockaddr_storage second;
    socklen_t n;

    if (!is_refused(&at->sa, at->sa_len)) {
        return false;
    }
    if (!at->is_localhost) {
        return true;
    }
    connect_second_address(at, &second, &n);
    return is_refused(&second, n);
}
