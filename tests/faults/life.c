/*
 * The supervisor without the rest: a loop, signals, an agent's whole life, and everything freed
 * again. What tests/e2e/test_faults.py runs beside the sidecar itself, because here nothing else
 * gets between, and because the sidecar never frees a supervisor whose agent still runs.
 *
 *   faults_life GRACE_MS end|free COMMAND...
 *
 * end: until the agent has ended for good; SIGTERM stops it. free: until SIGTERM; the agent is then
 * left to supervisor_free(). The exit status is the agent's, as the sidecar's would be.
 */
#include "base/clock.h"
#include "log/log.h"
#include "loop/loop.h"
#include "loop/signals.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    NEVER_MS = 100000, /* by then every deadline has passed, on the busiest machine too */
    STATUS_USAGE = 2,
    STATUS_OURS = 70,
    STATUS_HANGS = 99,
};

static struct loop *loop;
static struct supervisor *sup;
static int64_t grace_ms;
static bool wants_free;
static int status;

extern char **environ;

static void on_signal(void *arg, const struct signalfd_siginfo *info)
{
    (void)arg;
    if (info->ssi_signo == SIGCHLD) {
        supervisor_on_sigchld(sup);
    } else if (info->ssi_signo == SIGTERM && wants_free) {
        loop_stop(loop);
    } else if (info->ssi_signo == SIGTERM) {
        supervisor_stop(sup, grace_ms);
    }
}

static char **build_env(void *arg)
{
    char **env;
    size_t n = 0;

    (void)arg;
    while (environ[n]) {
        n++;
    }
    env = calloc(n + 1, sizeof(*env));
    for (size_t i = 0; env && i < n; i++) {
        env[i] = strdup(environ[i]);
    }
    return env;
}

static void on_spawn_failed(void *arg, const struct err *why, bool will_restart)
{
    (void)arg;
    log_error("agent", "%s%s", why->msg, will_restart ? "; trying again" : "");
    status = spawn_failure_is_permanent(why->code) ? STATUS_USAGE : STATUS_OURS;
}

static void on_exit_of_agent(void *arg, const struct child_exit *e)
{
    (void)arg;
    log_info("agent", "ended with wait status %d", e->wait_status);
}

static void on_ended(void *arg, const struct child_exit *last)
{
    (void)arg;
    status = last ? exit_status_of(last) : status;
    loop_stop(loop);
}

static void on_never(struct timer *t)
{
    (void)t;
    log_error("life", "hangs in state %s", child_state_name(supervisor_status(sup)->state));
    status = STATUS_HANGS;
    loop_stop(loop);
}

static int run(char *const *argv, const struct process_origin *origin)
{
    const struct supervisor_config cfg = {
        .argv = argv,
        .backoff_ms = 2,
        .backoff_max_ms = 4,
        .reset_after_ms = 30000,
        .max_failures = 5,
        .start_timeout_ms = 60000,
        .stop = {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1},
        .origin = origin,
    };
    static const struct supervisor_callbacks callbacks = {
        .build_env = build_env,
        .on_spawn_failed = on_spawn_failed,
        .on_exit = on_exit_of_agent,
        .on_ended = on_ended,
    };
    struct signals *signals = NULL;
    struct timer never = {0};
    struct err err = {0};

    if (loop_new(&loop, &err) < 0 || signals_new(loop, on_signal, NULL, &signals, &err) < 0 ||
        supervisor_new(loop, &cfg, &callbacks, NULL, &sup, &err) < 0) {
        log_error("life", "cannot start: %s", err.msg);
        status = STATUS_OURS;
    } else {
        timer_start(&never, loop, loop_now_ms(loop) + NEVER_MS, on_never, NULL);
        supervisor_start(sup);
        loop_run(loop);
        timer_stop(&never);
    }
    supervisor_free(sup);
    signals_free(signals);
    loop_free(loop);
    log_finish(1000);
    return status;
}

int main(int argc, char **argv)
{
    struct process_origin origin = {.umask = umask(077)};

    if (argc < 4) {
        return STATUS_USAGE;
    }
    signals_block_all(&origin.signals);
    (void)getrlimit(RLIMIT_NOFILE, &origin.nofile);
    (void)getrlimit(RLIMIT_CORE, &origin.core);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    grace_ms = atoi(argv[1]);
    wants_free = strcmp(argv[2], "free") == 0;
    return run(argv + 3, &origin);
}
