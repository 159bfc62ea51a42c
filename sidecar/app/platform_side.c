/*
 * What the platform is told (beats, the card) and what it says (paused, removed, secrets): joins
 * platform/ with the rest.
 */
#include "app/parts.h"

#include "app/exits.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "log/log.h"
#include "platform/secrets.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- what it is told
 * ------------------------------------------------------------------------------------------------
 */

/* The process runs and its health check fails; one that is only starting is not stuck yet. */
static bool agent_is_stuck(const struct app *a)
{
    return a->supervisor && a->probe && supervisor_status(a->supervisor)->pid > 0 &&
           (probe_status(a->probe)->has_answered || a->outage.is_late);
}

static void fill_beat(void *arg, struct beat *ret)
{
    struct app *a = arg;
    const struct proxy_stats *ps = proxy_stats(a->proxy);
    int64_t now = loop_now_ms(a->loop);
    bool is_down = outage_is_on(a);
    bool is_bad = is_down || outage_is_crash_loop(a);

    ret->error_rate = is_bad ? 1.0 : window_failure_rate(&ps->agent_window, now);
    ret->active_tasks = observe_active_tasks(a);
    ret->uptime_seconds = (now - a->started_ms) / 1000;
    ret->is_wedged = is_down && agent_is_stuck(a);
    (void)snprintf(ret->sample_error, sizeof(ret->sample_error), "%s",
                   is_bad ? outage_sample(a) : (ret->error_rate > 0 ? ps->last_failure : ""));
    observe_task_word(a, ret->current_task, sizeof(ret->current_task));
}

static int make_card(void *arg, struct str *ret, struct err *err)
{
    struct app *a = arg;

    return proxy_card_for_platform(a->proxy, ret, err);
}

/* ---- what it says
 * ----------------------------------------------------------------------------------------------------
 */

static void on_ready_to_spawn(void *arg)
{
    agent_side_may_start(arg);
}

static void on_registered(void *arg)
{
    inbox_side_start(arg);
    app_tell_status(arg);
}

void platform_side_hold(struct app *a, bool on)
{
    if (a->is_on_hold == on) {
        return;
    }
    a->is_on_hold = on;
    app_life(a, on ? LIFE_HOLD : LIFE_RELEASE);
    if (!on && a->agent_answers) {
        app_life(a, LIFE_AGENT_UP);
    }
}

/* Of a stop that is already under way, neither the cause nor the status is changed. */
static void end_with(struct app *a, int status, const char *word, const char *why)
{
    if (ending_because(a, word, "sidecar", "%s", why)) {
        ending_force_status(a, status);
    }
    stopping_end(&a->stopping);
}

static void on_paused(struct app *a, const char *why)
{
    switch (a->cfg->platform.on_paused) {
    case ON_PAUSED_HOLD:
        log_warning("app", "the workspace is paused (%s): requests get 503 until it is resumed",
                    why);
        platform_side_hold(a, true);
        break;
    case ON_PAUSED_FORWARD:
        log_warning("app", "the workspace is paused (%s); serving on (platform.on_paused: forward)",
                    why);
        platform_side_hold(a, false); /* it may have been held as removed before */
        break;
    case ON_PAUSED_EXIT:
        end_with(a, EXIT_OK, "paused", "the workspace is paused (platform.on_paused: exit)");
        break;
    }
}

static void on_removed(struct app *a, const char *why)
{
    if (a->cfg->platform.on_removed == ON_REMOVED_EXIT) {
        end_with(a, EXIT_OK, "removed", "the workspace was removed (platform.on_removed: exit)");
        return;
    }
    log_warning(
        "app", "the workspace was removed (%s): holding requests (platform.on_removed: hold)", why);
    platform_side_hold(a, true);
}

static void on_state(void *arg, enum workspace_state s, const char *why)
{
    struct app *a = arg;

    a->workspace = s;
    switch (s) {
    case WORKSPACE_PAUSED:
        on_paused(a, why);
        inbox_side_start(a); /* what comes meanwhile is written down */
        break;
    case WORKSPACE_REMOVED:
        on_removed(a, why);
        break;
    case WORKSPACE_ACTIVE:
        platform_side_hold(a, false);
        inbox_side_start(a);
        break;
    case WORKSPACE_AUTH_LOST: /* platform/ has said it in the log; the agent goes on */
    case WORKSPACE_UNKNOWN:
        break;
    }
    app_tell_status(a);
}

static void on_secret_written(void *arg, int code, const char *message)
{
    struct app *a = arg;

    a->secret_files_pending--;
    if (code < 0) {
        log_error("app", "cannot write a secret's file: %s", message);
    }
    if (a->secret_files_pending == 0) {
        agent_side_try_start(a);
    }
}

/* secrets.mode file: one file per secret in secrets.dir, which with agent.user is of its group. */
static void write_files(struct app *a, const struct secrets *s)
{
    mode_t mode = a->cfg->agent.run_as.is_set ? 0640 : 0600;

    for (size_t i = 0; i < s->n; i++) {
        CLEANUP(str_release) struct str path = {0};

        if (!secret_name_is_exportable(s->v[i].name)) {
            continue; /* also keeps names such as ../x out of paths */
        }
        str_addf(&path, "%s/%s", a->cfg->secrets.dir, s->v[i].name);
        if (store_write_file(a->store, str_z(&path), slice_of(s->v[i].value), mode,
                             on_secret_written, a) == 0) {
            a->secret_files_pending++;
        } else {
            log_error("app", "cannot queue the file of secret %s: the storage thread is behind",
                      s->v[i].name);
        }
    }
}

static void on_secrets(void *arg, const struct secrets *s, bool is_first)
{
    struct app *a = arg;

    if (a->cfg->secrets.mode == SECRETS_FILE) {
        write_files(a, s);
    }
    if (is_first && !a->was_spawned) {
        return; /* the first start has them */
    }
    if (stopping_is_on(&a->stopping)) {
        return; /* a signal now would be taken for part of the stop */
    }
    switch (a->supervisor ? a->cfg->secrets.on_change : SECRETS_CHANGE_NONE) {
    case SECRETS_CHANGE_NONE:
        log_info(
            "app",
            "secrets changed; the agent sees them at its next start (secrets.on_change: none)");
        break;
    case SECRETS_CHANGE_RESTART:
        log_info("app", "secrets changed: starting the agent again (secrets.on_change: restart)");
        supervisor_restart(a->supervisor, a->budget.agent_grace);
        break;
    case SECRETS_CHANGE_SIGNAL:
        log_info("app", "secrets changed: signalling the agent (secrets.on_change: signal)");
        supervisor_signal(a->supervisor, a->cfg->secrets.signal);
        break;
    }
}

static void on_refused(void *arg, const char *why)
{
    struct app *a = arg;

    if (a->was_spawned) {
        return; /* the agent runs: an outage of trust is not its end */
    }
    end_with(a, EXIT_REFUSED, "stopped", why);
}

static void on_max_iterations(void *arg)
{
    struct app *a = arg;

    ending_because(a, "max_iterations", "sidecar", "platform.max_iterations heartbeats were sent");
    stopping_end(&a->stopping);
}

static const struct platform_callbacks platform_callbacks = {
    .fill_beat = fill_beat,
    .make_card = make_card,
    .on_ready_to_spawn = on_ready_to_spawn,
    .on_registered = on_registered,
    .on_state = on_state,
    .on_secrets = on_secrets,
    .on_refused = on_refused,
    .on_max_iterations = on_max_iterations,
};

int platform_side_open(struct app *a, struct err *err)
{
    if (!a->cfg->platform.enabled) {
        return 0;
    }
    return platform_new(a->loop, a->curl, a->store, a->cfg, &platform_callbacks, a, &a->platform,
                        err);
}

void platform_side_start(struct app *a)
{
    if (a->platform) {
        platform_start(a->platform);
    } else {
        agent_side_may_start(a);
    }
}
