/*
 * Opens the modules in order, runs the loop, closes them. Reads like a table of contents; the work
 * is in the files that app.h lists.
 */
#include "app/app.h"

#include "app/exits.h"
#include "app/parts.h"
#include "app/reload.h"
#include "app/surroundings.h"
#include "app/termination.h"
#include "app/watchdog.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/version.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_restart_pending(void *arg, int64_t drain_seconds);
static void on_agent_failure(void *arg, const char *sentence);
static const char *agent_reason(void *arg);
static struct slice inbound_secret(void *arg);
static struct slice workspace_token(void *arg);
static enum control_drain control_drain(void *arg, const char *who);
static void control_stop(void *arg, const char *who);
static int control_reload(void *arg, const char *who, struct str *json);

static const struct proxy_callbacks proxy_callbacks = {
    .on_work = app_on_work,
    .on_restart_pending = on_restart_pending,
    .on_agent_failure = on_agent_failure,
    .agent_reason = agent_reason,
    .inbound_secret = inbound_secret,
    .workspace_token = workspace_token,
};

static const struct control_callbacks control_callbacks = {
    .probe = observe_probe,
    .metrics = observe_metrics,
    .status = observe_status,
    .self = observe_self,
    .drain = control_drain,
    .stop = control_stop,
    .reload = control_reload,
    .inbox = inbox_side_order,
};

/* ---- opening
 * ----------------------------------------------------------------------------------------------------
 */

/* Descriptors that clients may not take: our own doors, the platform, the disk, the probe. */
enum { FD_RESERVE = 128 };

/* A client's connection needs a second one to the agent. Without this bound a crowd of clients
 * would take the descriptors that heartbeats and probes need. */
static size_t connection_cap(const struct config_listen *l)
{
    size_t wanted = (size_t)l->max_connections;
    size_t limit = fd_limit_raise();
    size_t fit = limit > 2 * FD_RESERVE ? (limit - FD_RESERVE) / 2 : limit / 4;

    if (wanted <= fit)
        return wanted;
    log_warning("app",
                "listen.max_connections is %zu, but the limit of %zu open files allows %zu: raise "
                "it (ulimit -n, LimitNOFILE=) or set listen.max_connections",
                wanted, limit, fit);
    return fit > 0 ? fit : 1;
}

static int open_tls(struct app *a, struct err *err)
{
    const struct config_listen *l = &a->cfg->listen;
    const struct tls_files files = {
        .cert = l->tls_cert, .key = l->tls_key, .client_ca = l->tls_client_ca};

    return *l->tls_cert ? tls_context_new(a->loop, &files, &a->tls, err) : 0;
}

static int open_a2a(struct app *a, struct err *err)
{
    struct server_config sc;
    const struct config_listen *l = &a->cfg->listen;
    int r;

    if (a->cfg->agent.protocol == AGENT_NONE) {
        sockets_drop_kept(a);
        return 0;
    }
    proxy_set_store(a->proxy, a->store);
    if ((r = open_tls(a, err)) < 0) {
        return r;
    }
    server_config_defaults(&sc);
    sc.name = "a2a";
    sc.at = l->address;
    sc.inherited_fd = sockets_take_a2a(a);
    sc.max_connections = connection_cap(l);
    sc.max_head_bytes = (size_t)l->max_head;
    sc.max_body_bytes = l->max_body;
    sc.head_timeout_ms = l->head_timeout;
    sc.idle_timeout_ms = l->idle_timeout;
    sc.tls = a->tls;
    sc.access_log = true;
    if (server_open(a->loop, &sc, &proxy_handler, a->proxy, &a->a2a, err) < 0) {
        return err_wrap(err, "listen.address");
    }
    sockets_keep_a2a(a);
    return 0;
}

/* Asked at start: a terminal that hangs up cannot be opened any more. */
static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    bool has = fd >= 0;

    fd_close(&fd);
    return has;
}

static int app_open(struct app *a, struct err *err)
{
    int r;

    a->has_terminal = has_terminal();
    if ((r = budget_compute(a->cfg, &a->budget, err)) < 0 || (r = loop_new(&a->loop, err)) < 0 ||
        (r = notify_new(a->loop, &a->notify, err)) < 0 ||
        (r = signals_new(a->loop, signal_side_on_signal, a, &a->signals, err)) < 0 ||
        (r = store_new(a->loop, &a->store, err)) < 0 ||
        (r = curl_io_new(a->loop, &a->curl, err)) < 0 ||
        (r = proxy_new(a->loop, a->cfg, &proxy_callbacks, a, &a->proxy, err)) < 0 ||
        (r = open_a2a(a, err)) < 0 ||
        (r = control_new(a->loop, a->cfg, notify_listen_fd(NOTIFY_FD_ADMIN), &control_callbacks, a,
                         &a->control, err)) < 0 ||
        (r = platform_side_open(a, err)) < 0 || (r = inbox_side_open(a, err)) < 0 ||
        (r = agent_side_open(a, err)) < 0) {
        return r;
    }
    a->started_ms = loop_now_ms(a->loop);
    signal_map_fill(&a->signal_map, &a->cfg->signals.map);
    ending_open(a);
    return 0;
}

/* Servers first: requests that are still open end here, and each end is told to the others. */
static void app_close(struct app *a)
{
    if (a->loop) {
        timer_stop(&a->watchdog);
        timer_stop(&a->unanswered);
        timer_stop(&a->files_wait);
        stopping_release(&a->stopping);
        peer_side_release(a);
        agent_return_stop(a);
    }
    server_free(a->a2a);
    tls_context_free(a->tls);
    control_free(a->control);
    probe_free(a->probe);
    supervisor_free(a->supervisor);
    agent_start_close(a);
    inbox_side_close(a);
    platform_free(a->platform);
    proxy_free(a->proxy);
    curl_io_free(a->curl);
    store_free(a->store);
    signals_free(a->signals);
    notify_free(a->notify);
    loop_free(a->loop);
}

/* ---- the life of the whole
 * --------------------------------------------------------------------------------------- */

enum { STATUS_TEXT_MAX = OUTAGE_TEXT_MAX + 100 + ERR_MSG_MAX + AGENT_STATUS_MAX_BYTES };

static const char *status_text(const struct app *a, char ret[STATUS_TEXT_MAX])
{
    char agent[OUTAGE_TEXT_MAX];

    (void)snprintf(ret, STATUS_TEXT_MAX, "%s; agent %s; platform %s%s%s%s%s",
                   life_state_name(a->life), outage_words(a, agent, sizeof(agent)),
                   a->platform ? (platform_status(a->platform)->is_registered ? "registered"
                                                                              : "not registered")
                               : "off",
                   inbox_side_problem(a)[0] ? "; journal: " : "", inbox_side_problem(a),
                   a->start.says[0] ? "; it says: " : "", a->start.says);
    return ret;
}

void app_tell_status(struct app *a)
{
    char text[STATUS_TEXT_MAX];

    if (a->life == LIFE_RUNNING && a->agent_answers && !a->was_ready) {
        a->was_ready = true;
        notify_ready(a->notify, status_text(a, text));
    } else {
        notify_status(a->notify, status_text(a, text));
    }
}

void app_tell_ready(struct app *a)
{
    char text[STATUS_TEXT_MAX];

    notify_ready(a->notify, status_text(a, text));
}

void app_life(struct app *a, enum life_event e)
{
    enum life_state before = a->life;

    a->life = life_next(before, e);
    if (a->life != before) {
        log_info("app", "%s -> %s", life_state_name(before), life_state_name(a->life));
    }
    agent_side_gate(a);
    app_tell_status(a);
}

/* ---- what the world tells us
 * ------------------------------------------------------------------------------------- */

void app_on_work(void *arg)
{
    struct app *a = arg;

    if (a->platform) {
        platform_work_changed(a->platform);
    }
    if (stopping_is_on(&a->stopping)) {
        stopping_changed(&a->stopping);
    }
}

static void on_restart_pending(void *arg, int64_t drain_seconds)
{
    (void)arg;
    log_info("app",
             "a restart in %lld s is announced (signals/restart_pending, which needs no "
             "credentials); TERM or a preStop hook begins the drain, this does not",
             (long long)drain_seconds);
}

static const char *agent_reason(void *arg)
{
    return agent_side_reason(arg);
}

static void on_agent_failure(void *arg, const char *sentence)
{
    struct app *a = arg;

    (void)sentence; /* the proxy's statistics keep it; the probe finds out what is wrong */
    if (a->probe) {
        probe_now(a->probe);
    }
}

static struct slice inbound_secret(void *arg)
{
    struct app *a = arg;

    return a->platform ? platform_inbound_secret(a->platform) : (struct slice){0};
}

static struct slice workspace_token(void *arg)
{
    struct app *a = arg;

    return a->platform ? platform_token(a->platform) : (struct slice){0};
}

static enum control_drain control_drain(void *arg, const char *who)
{
    return ending_on_drain(arg, who);
}

static void control_stop(void *arg, const char *who)
{
    ending_on_term(arg, who);
}

static int control_reload(void *arg, const char *who, struct str *json)
{
    return reload_now(arg, who, json);
}

/* ---- the start-up report
 * ------------------------------------------------------------------------------------------ */

/* One line on who may call (design section 13). */
static const char *who_may_call(const struct config *cfg)
{
    if (*cfg->listen.bearer_tokens_file) {
        return "callers must present a token of listen.bearer_tokens_file";
    }
    if (cfg->listen.inbound_auth == INBOUND_AUTH_REQUIRE) {
        return "callers must present the platform's inbound secret";
    }
    if (*cfg->listen.tls_client_ca) {
        return "callers with a certificate of listen.tls_client_ca";
    }
    if (cfg->listen.allow_sources.n > 0) {
        return "callers from listen.allow_sources, no credentials asked";
    }
    return cfg->listen.address.is_loopback
               ? "programs on this machine, no credentials asked"
               : "everybody who can reach the port, no credentials asked";
}

/* Where the token and the platform's secret are kept, and whether they survive. */
static void log_state_place(const struct config *cfg)
{
    CLEANUP(str_release) struct str place = {0};
    bool is_lasting = true;

    if (cfg->platform.enabled) {
        config_describe_state(cfg, &place, &is_lasting);
        log_event(is_lasting ? LOG_INFO : LOG_WARNING, "app", NULL, 0, "%s", str_z(&place));
    }
}

/* What contradicts the grace timeline; `plan` says more. */
static void log_surroundings(const struct app *a)
{
    static const struct slice mark = SLICE_INIT("warning: ");
    CLEANUP(str_release) struct str text = {0};
    struct unit_facts unit;
    struct slice rest, line;

    unit_facts_read("", &unit);
    surroundings_print(&a->budget, a->cfg, &unit, &text);
    rest = str_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        if (slice_starts_with(line, mark)) {
            log_warning("app", "%.*s", (int)(line.n - mark.n), line.p + mark.n);
        }
    }
}

static void log_start(struct app *a)
{
    CLEANUP(str_release) struct str stop = {0};

    if (a->a2a) {
        log_info("app", "molecule-sidecar %s: A2A on %s%s -> agent at %s; may call: %s",
                 build_facts.version, a->tls ? "https://" : "", server_address(a->a2a)->text,
                 a->cfg->agent.address.text, who_may_call(a->cfg));
    } else {
        log_info("app", "molecule-sidecar %s: no A2A port (agent.protocol none)",
                 build_facts.version);
    }
    log_info("app", "probes and metrics on %s; status on %s; the agent's API on %s",
             control_admin_address(a->control), a->cfg->control.socket,
             a->cfg->control.agent_socket);
    log_state_place(a->cfg);
    budget_print_line(&a->budget, a->cfg, &stop);
    log_info("app", "%s", str_z(&stop));
    log_surroundings(a);
}

/* ---- run
 * -----------------------------------------------------------------------------------------------------------
 */

static int status_of_failed_start(int code)
{
    switch (-code) {
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC: /* of kernel memory for watches */
    case EMFILE:
    case ENFILE:
    case EIO:
    case ENODEV: /* no anonymous inodes */
    case ENOSYS:
        return EXIT_INTERNAL;
    default:
        return EXIT_USAGE;
    }
}

int app_run(struct config *cfg, const struct config_input *again,
            const struct process_origin *origin)
{
    struct app a = {.cfg = cfg, .live = cfg, .again = again, .origin = origin};
    struct err err = {0};
    int status;
    int r = app_open(&a, &err);

    if (r < 0) {
        log_error("app", "cannot start: %s", err.msg);
        status = status_of_failed_start(r);
        termination_cannot_start(cfg->log.termination_file, err.msg, status);
    } else {
        /* The agent first: reading the surroundings and writing lines can wait, it should not. What
         * it and the platform answer is heard in the loop. */
        watchdog_start(&a);
        platform_side_start(&a);
        log_start(&a);
        log_set_buffered(true);
        loop_run(a.loop);
        status = ending_status(&a);
    }
    app_close(&a);
    if (r == 0) {
        ending_say(&a, status);
    }
    return status;
}
