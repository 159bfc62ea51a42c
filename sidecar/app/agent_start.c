/*
 * What the agent's process is started with (environment, user, umask, limits, descriptors), and how
 * it tells us by itself that it is ready: READY=1 or a newline. What follows from being ready is
 * agent_side.c's.
 */
#include "app/parts.h"

#include "app/child_env.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT_SOCKET_NAME "notify.sock" /* beside control.agent_socket */

extern char **environ;

static void on_message(void *arg, const struct agent_message *m);

/* ---- what it is given ---- */

static void read_limits(struct app *a)
{
    const struct config_agent *c = &a->cfg->agent;

    for (size_t i = 0; i < c->limit_count; i++) {
        a->start.limits[i] = (struct child_limit){
            .resource = c->limit[i].resource, .name = c->limit[i].name, .value = c->limit[i].value};
    }
}

/* Descriptors of the service manager keep their order from 3 on; the readiness pipe has a number of
 * its own. */
static int plan_descriptors(struct app *a, struct err *err)
{
    struct agent_start *s = &a->start;
    const struct ready_word *ready = &a->cfg->agent.ready_by;
    int r = listen_fds_of_agent(&s->listen, err);

    if (r < 0) {
        return r;
    }
    for (; s->fd_count < s->listen.n; s->fd_count++) {
        s->fds[s->fd_count] = (struct child_fd){.fd = s->listen.fd[s->fd_count],
                                                .as = LISTEN_FDS_START + (int)s->fd_count};
    }
    if (ready->kind != READY_FD) {
        return 0;
    }
    if (ready->fd < LISTEN_FDS_START + (int)s->listen.n) {
        return err_set(err, -EINVAL,
                       "agent.ready is %s (%s), but LISTEN_FDS gives the agent the descriptors %d "
                       "to %d: use fd:%d or above",
                       a->cfg->agent.ready, config_origin(a->cfg, "agent.ready"), LISTEN_FDS_START,
                       LISTEN_FDS_START + (int)s->listen.n - 1,
                       LISTEN_FDS_START + (int)s->listen.n);
    }
    s->fds[s->fd_count++] = (struct child_fd){.fd = -1, .as = ready->fd};
    return 0;
}

/* Only where somebody listens to it: us, or a service manager through us. */
static int open_socket(struct app *a, struct err *err)
{
    CLEANUP(str_release) struct str path = {0};
    const char *beside = a->cfg->control.agent_socket;

    if (a->cfg->agent.ready_by.kind != READY_NOTIFY && !notify_is_on(a->notify)) {
        return 0;
    }
    str_addf(&path, "%.*s/" AGENT_SOCKET_NAME, (int)(strrchr(beside, '/') - beside), beside);
    if (!str_ok(&path)) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    return agent_socket_new(a->loop, str_z(&path), on_message, a, &a->start.socket, err);
}

/* Mode bits are not everything (access control lists), so these are said and not refused. */
static void warn_of_closed_doors(const struct app *a)
{
    const struct user *u = &a->cfg->agent.run_as;
    const char *sockets[] = {a->cfg->control.agent_socket,
                             endpoint_unix_path(&a->cfg->agent.address)};
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char closed[sizeof(dir)];

    for (size_t i = 0; u->is_set && i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        const char *slash = sockets[i] ? strrchr(sockets[i], '/') : NULL;

        if (!slash || slash == sockets[i]) {
            continue;
        }
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - sockets[i]), sockets[i]);
        if (!user_may_enter(u, dir, closed, sizeof(closed))) {
            log_warning("agent",
                        "agent.user %s may not enter %s, so the agent cannot reach %s: chmod o+x, "
                        "or another RUNTIME_DIRECTORY",
                        a->cfg->agent.user, closed, sockets[i]);
        }
    }
}

int agent_start_open(struct app *a, struct err *err)
{
    int r;

    read_limits(a);
    r = plan_descriptors(a, err);
    if (r == 0) {
        r = open_socket(a, err);
    }
    if (r == 0) {
        warn_of_closed_doors(a);
    }
    return r;
}

void agent_start_close(struct app *a)
{
    ready_fd_close(&a->start.ready_fd);
    agent_socket_free(a->start.socket);
    a->start.socket = NULL;
    listen_fds_release(&a->start.listen);
}

struct child_gifts agent_start_gifts(struct app *a)
{
    const struct config_agent *c = &a->cfg->agent;

    return (struct child_gifts){
        .run_as = c->run_as.is_set ? &c->run_as : NULL,
        .has_umask = c->umask >= 0,
        .umask = c->umask >= 0 ? (mode_t)c->umask : 0,
        .limits = a->start.limits,
        .limit_count = c->limit_count,
        .fds = a->start.fds,
        .fd_count = a->start.fd_count,
    };
}

/* ---- its own word ---- */

static void says_ready(struct app *a)
{
    struct agent_start *s = &a->start;

    if (s->has_said_ready) {
        return;
    }
    s->has_said_ready = true;
    if (s->is_running) { /* else on_spawned is still to come, and goes on from there */
        agent_side_said_ready(a);
    }
}

static void on_ready_fd(void *arg, enum ready_fd_event event)
{
    struct app *a = arg;

    if (event == READY_FD_SAID) {
        says_ready(a);
        return;
    }
    a->start.will_not_say = true;
    log_info("agent", "%s", agent_start_reason(a)); /* it may just be ending */
    app_tell_status(a);
}

/* A new pipe for each start. Without one it could never become ready, so it is not started. */
static int open_ready_fd(struct app *a, struct err *err)
{
    struct agent_start *s = &a->start;
    int r = ready_fd_open(&s->ready_fd, a->loop, on_ready_fd, a);

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "no pipe for agent.ready: %m");
    }
    s->fds[s->fd_count - 1].fd = s->ready_fd.childs_end;
    return 0;
}

static void extend_manager(struct app *a, int64_t ms)
{
    const struct supervisor_status *s = supervisor_status(a->supervisor);
    int64_t left =
        s->spawned_at_ms + a->cfg->agent.start_timeout - loop_now_ms(a->loop); /* ours, first */

    if (a->life == LIFE_STARTING && s->spawned_at_ms > 0 && left > 0) {
        notify_extend(a->notify, ms < left ? ms : left);
    }
}

static void on_message(void *arg, const struct agent_message *m)
{
    struct app *a = arg;

    if (m->has_status && strcmp(m->status, a->start.says) != 0) {
        memcpy(a->start.says, m->status, sizeof(a->start.says));
        app_tell_status(a);
    }
    if (m->errnum > 0) {
        notify_errno(a->notify, m->errnum);
    }
    if (m->extend_ms > 0) {
        extend_manager(a, m->extend_ms);
    }
    if (m->is_broken) {
        log_warning("agent", "says that it is broken (WATCHDOG=trigger); not passed on: that would "
                             "end us as well");
    }
    if (m->is_reloading || m->is_stopping) {
        log_debug("agent", "says that it is %s", m->is_stopping ? "stopping" : "reloading");
    }
    if (m->is_ready && a->cfg->agent.ready_by.kind == READY_NOTIFY) {
        says_ready(a);
    }
}

bool agent_start_is_awaited(const struct app *a)
{
    enum ready_kind kind = a->cfg->agent.ready_by.kind;

    return a->supervisor && (kind == READY_NOTIFY || kind == READY_FD) && !a->start.has_said_ready;
}

/* Static texts but for the number, which is known from the start on. */
const char *agent_start_reason(const struct app *a)
{
    if (a->cfg->agent.ready_by.kind == READY_NOTIFY) {
        return "the agent has not said READY=1 on $NOTIFY_SOCKET yet (agent.ready: notify)";
    }
    return a->start.will_not_say
               ? "the agent has closed the descriptor of agent.ready without a newline, so it "
                 "cannot become ready"
               : "the agent has not written a newline to the descriptor of agent.ready yet";
}

/* ---- its life ---- */

char **agent_start_env(struct app *a)
{
    struct agent_start *s = &a->start;
    const struct child_env_start start = {
        .notify_socket = s->socket ? agent_socket_path(s->socket) : NULL,
        .listen_count = s->listen.n,
        .listen_names = str_z(&s->listen.names),
    };
    const struct user *u = &a->cfg->agent.run_as;
    struct err err = {0};
    char **env;

    s->is_running = s->has_said_ready = s->will_not_say = false;
    s->says[0] = '\0';
    if (s->socket) {
        agent_socket_expect(s->socket, u->is_set ? u->uid : geteuid());
    }
    if (a->cfg->agent.ready_by.kind == READY_FD && open_ready_fd(a, &err) < 0) {
        log_error("agent", "%s", err.msg);
        return NULL;
    }
    env = child_env_build(a->cfg, environ, a->platform ? platform_secrets(a->platform) : NULL,
                          &start, &err);
    if (!env) {
        log_error("agent", "cannot build its environment: %s", err.msg);
    }
    return env;
}

void agent_start_is_running(struct app *a)
{
    a->start.is_running = true;
    ready_fd_spawned(&a->start.ready_fd);
    if (a->cfg->agent.ready_by.kind == READY_FD) {
        a->start.fds[a->start.fd_count - 1].fd = -1;
    }
}

void agent_start_ended(struct app *a)
{
    a->start.is_running = false;
    a->start.says[0] = '\0';
    ready_fd_close(&a->start.ready_fd);
    if (a->start.socket) {
        agent_socket_expect_nobody(a->start.socket);
    }
}
