/*
 * The owner: who starts when (design section 6), what a new token or a new state means for the
 * others, when the agent may be spawned, and the end. What each activity does is in its own file.
 */
#include "platform/platform.h"

#include "base/parse.h"
#include "log/log.h"
#include "platform/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const struct platform_times default_times = {
    .backoff_base = 1000,
    .backoff_cap = 30 * 1000,
    .hurry = 1000,
    .refused_cap = 60 * 1000,
    .confirm_gap = 5000,
    .shrink_gap = 2000,
    .extra_beat_gap = 10 * 1000,
    .extra_look_gap = 1000,
    .paused_slow_after = 10 * 60 * 1000,
    .paused_slow = 60 * 1000,
    .token_recheck = 60 * 1000,
    .finish_check = 2000,
};

void platform_path(const struct platform *p, const char *suffix, char *ret, size_t cap)
{
    (void)snprintf(ret, cap, "/workspaces/%s%s", p->cfg->workspace.id, suffix);
}

/* A bearer that anybody on the way can read (design section 13). */
static void warn_plain_http(const struct platform *p)
{
    const char *host = p->transport.host;

    if (strncmp(p->cfg->platform.url, "https:", 6) == 0 || strncmp(host, "127.", 4) == 0 ||
        strncmp(host, "localhost", 9) == 0 || strncmp(host, "[::1]", 5) == 0 ||
        strncmp(host, "host.docker.internal", 20) == 0)
        return;
    log_warning("platform",
                "platform.url is plain http to %s: the workspace token can be read on the way; "
                "use https where the network is not yours alone",
                host);
}

int platform_new(struct loop *l, struct curl_io *io, struct store *store, const struct config *cfg,
                 const struct platform_callbacks *cb, void *arg, struct platform **ret,
                 struct err *err)
{
    struct platform *p = calloc(1, sizeof(*p));

    *ret = NULL;
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    p->loop = l;
    p->store = store;
    p->cfg = cfg;
    p->cb = *cb;
    p->arg = arg;
    p->times = default_times;
    p->tokens.lock_fd = -1;
    list_init(&p->disk_jobs);
    list_init(&p->tokens.waiters);
    p->status.rate_limit = p->status.rate_remaining = -1;
    p->status.delivery = cfg->platform.delivery == DELIVERY_PUSH  ? "push"
                         : cfg->platform.delivery == DELIVERY_OFF ? "off"
                                                                  : "poll";
    activity_init(&p->reg.a, p, "register", &p->status.reg);
    activity_init(&p->heart.a, p, "heartbeat", &p->status.heartbeat);
    activity_init(&p->state.a, p, "state", &p->status.state_poll);
    activity_init(&p->puller.a, p, "secrets", &p->status.secrets);
    int rc = 0;
    if (cfg->platform.enabled) {
        if (!is_uuid(slice_of(cfg->workspace.id)))
            rc = err_set(err, -EINVAL, "workspace.id %s: must be a UUID", cfg->workspace.id);
        if (rc == 0)
            rc = transport_init(&p->transport, l, io, cfg, err);
        if (rc == 0)
            rc = tokens_init(p, err);
    }
    if (rc < 0) {
        platform_free(p);
        return rc;
    }
    if (cfg->platform.enabled)
        warn_plain_http(p);
    *ret = p;
    return 0;
}

static void stop_activities(struct platform *p)
{
    register_stop(p);
    heartbeat_stop(p);
    state_stop(p);
    secrets_stop(p);
    tokens_stop(p);
    timer_stop(&p->start_wait);
}

void platform_free(struct platform *p)
{
    if (!p)
        return;
    stop_activities(p);
    call_cancel(&p->last_call);
    timer_stop(&p->last_timer);
    disk_forget(p);
    tokens_release(p);
    inbound_release(p);
    secrets_release(&p->secrets);
    transport_release(&p->transport);
    free(p);
}

/* ---- the start ---------------------------------------------------------------------------------
 */

static void spawn(struct platform *p)
{
    if (p->is_spawned || p->is_refused || p->is_finishing)
        return;
    p->is_spawned = true;
    timer_stop(&p->start_wait);
    p->cb.on_ready_to_spawn(p->arg);
}

void platform_maybe_spawn(struct platform *p)
{
    bool has_secrets = p->cfg->secrets.mode == SECRETS_OFF || p->secrets.is_known;
    bool is_settled = p->status.has_token ||
                      (p->tokens.is_loaded && p->status.reg.failed_total > 0); /* unreachable */
    bool is_pointless = p->status.state == WORKSPACE_AUTH_LOST ||
                        p->status.state == WORKSPACE_REMOVED; /* no secrets will come */

    if ((is_settled && has_secrets) || is_pointless)
        spawn(p);
}

static void on_start_wait_over(struct timer *t)
{
    struct platform *p = t->arg;

    if (!p->is_spawned && p->cfg->platform.enabled)
        log_warning("platform", "starting the agent without %s: %s",
                    p->status.has_token ? "secrets" : "a token and without secrets",
                    p->status.has_token && p->status.secrets.last_error[0]
                        ? p->status.secrets.last_error
                    : p->status.reg.last_error[0] ? p->status.reg.last_error
                                                  : "the platform has not answered in time");
    spawn(p);
}

void platform_configure(struct platform *p)
{
    secrets_configure(p); /* all others read their intervals when they plan the next time */
}

void platform_start(struct platform *p)
{
    int64_t now = loop_now_ms(p->loop);

    if (!p->cfg->platform.enabled) {
        timer_start(&p->start_wait, p->loop, now, on_start_wait_over, p);
        return;
    }
    timer_start(&p->start_wait, p->loop, now + p->cfg->secrets.start_wait, on_start_wait_over, p);
    inbound_start(p);
    tokens_start(p); /* goes on in platform_token_settled() */
}

static void start_with_token(struct platform *p)
{
    secrets_start(p);
    heartbeat_start(p);
}

void platform_token_settled(struct platform *p)
{
    if (p->is_finishing)
        return;
    p->is_started = true;
    state_start(p);
    register_start(p);
    if (p->status.has_token)
        start_with_token(p);
    platform_maybe_spawn(p);
}

void platform_token_changed(struct platform *p)
{
    if (!p->is_started || p->is_finishing)
        return; /* the first one: platform_token_settled() is next */
    if (p->status.has_token)
        start_with_token(p);
    register_on_token(p);
    state_check_now(p);
    if (!p->secrets.is_known)
        secrets_pull_now(p);
    platform_maybe_spawn(p);
}

/* ---- what was learnt ---------------------------------------------------------------------------
 */

void platform_set_state(struct platform *p, enum workspace_state s, const char *why)
{
    enum workspace_state before = p->status.state;

    (void)snprintf(p->status.state_why, sizeof(p->status.state_why), "%.*s",
                   (int)sizeof(p->status.state_why) - 1, why);
    if (s == before)
        return;
    p->status.state = s;
    if (s == WORKSPACE_ACTIVE)
        log_info("platform", "workspace is active (was %s): %s", workspace_state_name(before), why);
    else
        log_warning("platform", "workspace is %s: %s", workspace_state_name(s), why);
    if (s == WORKSPACE_ACTIVE && before == WORKSPACE_AUTH_LOST)
        secrets_pull_now(p);
    if (p->cb.on_state)
        p->cb.on_state(p->arg, s, p->status.state_why);
}

void platform_refused(struct platform *p, const char *why)
{
    log_error("platform", "%s", why);
    if (p->is_spawned || !p->cb.on_refused) {
        platform_set_state(p, WORKSPACE_AUTH_LOST, why);
        return;
    }
    p->is_refused = true;
    timer_stop(&p->start_wait);
    p->cb.on_refused(p->arg, why);
}

/* ---- asked from outside ------------------------------------------------------------------------
 */

void platform_card_changed(struct platform *p)
{
    register_want_card(p);
}

void platform_work_changed(struct platform *p)
{
    heartbeat_extra(p, false);
}

void platform_beat_now(struct platform *p)
{
    heartbeat_extra(p, true);
}

void platform_check_state_now(struct platform *p)
{
    state_check_now(p);
}

const struct platform_status *platform_status(const struct platform *p)
{
    return &p->status;
}

const struct secrets *platform_secrets(const struct platform *p)
{
    return &p->secrets;
}

struct slice platform_inbound_secret(const struct platform *p)
{
    return str_slice(&p->inbound.secret);
}

struct transport *platform_transport(struct platform *p)
{
    return &p->transport;
}

struct slice platform_token(const struct platform *p)
{
    return str_slice(&p->transport.bearer);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static void end(struct platform *p)
{
    void (*done)(void *arg) = p->last_done;

    call_cancel(&p->last_call);
    timer_stop(&p->last_timer);
    p->last_done = NULL;
    if (done)
        done(p->last_arg);
}

static void on_end(struct timer *t)
{
    end(t->arg);
}

static void on_last_beat(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    if (r->class != REPLY_OK)
        log_info("platform", "the last heartbeat failed: %s", r->error);
    end(p);
}

static void send_last_beat(struct platform *p)
{
    struct beat b = {0};
    struct str body = {0};
    int64_t left = p->last_deadline_ms - loop_now_ms(p->loop);

    if (left <= 0) {
        end(p);
        return;
    }
    p->cb.fill_beat(p->arg, &b);
    heartbeat_body(p, &b, &body);
    call_send(&p->last_call, &p->transport, "/registry/heartbeat", str_slice(&body), left,
              on_last_beat, p);
    str_release(&body);
}

/*
 * Has another instance taken over? The API names no instance. But each beat overwrites
 * uptime_seconds, and ours is known: when the row shows one that is neither our last accepted
 * beat's nor that of one sent later, somebody else has beaten since; and in push mode a register of
 * somebody else shows in the URL. An instance that has registered with our own URL and not yet
 * beaten cannot be seen.
 */
bool platform_is_taken_over(const struct platform *p, const struct reply *r)
{
    const struct heart *h = &p->heart;
    char url[2048];
    int64_t uptime = 0;

    if (h->accepted && reply_number(r->json, "uptime_seconds", &uptime) &&
        (uptime < h->accepted_uptime || uptime > h->sent_uptime))
        return true;
    return p->status.is_registered && p->cfg->platform.delivery == DELIVERY_PUSH &&
           reply_text(r->json, "url", url, sizeof(url)) && url[0] &&
           strcmp(url, p->cfg->platform.reported_url) != 0;
}

static void on_last_look(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    if (row_is_removed(r) || (r->class == REPLY_OK && platform_is_taken_over(p, r))) {
        log_info("platform", "no last heartbeat: %s",
                 row_is_removed(r) ? "the workspace is removed"
                                   : "another instance of this workspace has taken over");
        end(p);
        return;
    }
    send_last_beat(p);
}

void platform_finish(struct platform *p, int64_t budget_ms, void (*done)(void *arg), void *arg)
{
    int64_t now = loop_now_ms(p->loop);
    int64_t look_ms = budget_ms / 2 < p->times.finish_check ? budget_ms / 2 : p->times.finish_check;
    bool was_started = p->heart.is_started;
    char path[PATH_MAX];

    if (p->is_finishing) /* the second time only shortens it */
        budget_ms = now + budget_ms < p->last_deadline_ms ? budget_ms : p->last_deadline_ms - now;
    p->last_done = done;
    p->last_arg = arg;
    p->last_deadline_ms = now + budget_ms;
    bool is_first = !p->is_finishing;
    p->is_finishing = true;
    bool has_nothing_to_say = !was_started || p->status.state == WORKSPACE_REMOVED;
    timer_start(&p->last_timer, p->loop, is_first && has_nothing_to_say ? now : now + budget_ms,
                on_end, p);
    if (!is_first)
        return;
    stop_activities(p);
    if (has_nothing_to_say || look_ms <= 0)
        return;
    platform_path(p, "", path, sizeof(path));
    call_send(&p->last_call, &p->transport, path, (struct slice){0}, look_ms, on_last_look, p);
}
