/*
 * Opening and closing the platform, and the one thing it does by itself: the staleness sweep (P
 * section 5.1).
 */
#include "devplatform/devplatform.h"

#include "devplatform/call.h"

#include <errno.h>
#include <stdio.h>

enum {
    SWEEP_MS = 15 * 1000, /* the server's period; shorter when --stale-after is */
    SWEEP_MIN_MS = 50,
    DP_CONNECTIONS_MAX = 1024,
    DP_IDLE_MS = 120 * 1000,
    DP_HEAD_BYTES = 64 * 1024,
};

void workspace_set_status(struct devplatform *dp, struct workspace *ws, enum status status,
                          const char *why)
{
    if (ws->status == status)
        return;
    devlog_say(&dp->log, "  workspace %.8s: %s -> %s (%s)", ws->id, status_name(ws->status),
               status_name(status), why);
    ws->status = status;
    ws->is_unsaved = true;
    events_on_status(&dp->events, ws);
}

size_t devplatform_forget_rows(struct devplatform *dp, int64_t before_us)
{
    size_t n = world_forget_rows(&dp->world, before_us);

    if (n > 0)
        data_drop_rows(dp->data, before_us);
    return n;
}

void devplatform_expire_files(struct devplatform *dp, int64_t now_us)
{
    struct pending_file *f;

    while ((f = pending_expired(&dp->pending, now_us))) {
        data_drop_file(dp->data, f->id);
        pending_remove(&dp->pending, f);
    }
}

static void on_sweep(struct timer *t)
{
    struct devplatform *dp = t->arg;
    int64_t now = loop_now_ms(dp->loop);

    LIST_FOREACH(it, &dp->world.workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        bool is_watched = strcmp(ws->runtime, "external") == 0 &&
                          (ws->status == STATUS_ONLINE || ws->status == STATUS_DEGRADED);
        if (is_watched && now - ws->heard_ms > dp->options->stale_after_ms)
            workspace_set_status(dp, ws, STATUS_AWAITING_AGENT, "no heartbeat in time");
    }
    devplatform_forget_rows(dp, wall_us() - dp->options->retention_ms * 1000);
    devplatform_expire_files(dp, wall_us());
    data_trim_rows(dp->data);
    data_has_news(dp->data); /* a status may have changed */
    timer_start(t, dp->loop, now + dp->sweep_every_ms, on_sweep, dp);
}

static int seed(struct devplatform *dp, struct err *err)
{
    char name[64];

    for (size_t i = 0; i < dp->options->workspace_count; i++) {
        const struct workspace_option *o = &dp->options->workspaces[i];
        struct workspace *ws;
        if (world_find(&dp->world, slice_of(o->id)))
            continue; /* out of --data, with tokens of its own */
        snprintf(name, sizeof(name), "workspace-%.8s", o->id);
        ws = world_add(&dp->world, o->id, name);
        if (!ws || (o->token && !token_add(ws, o->token)))
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int listen_open(struct devplatform *dp, struct err *err)
{
    struct server_config cfg;

    server_config_defaults(&cfg);
    cfg.name = "devplatform";
    cfg.at = dp->options->listen;
    cfg.inherited_fd = -1;
    cfg.max_connections = DP_CONNECTIONS_MAX;
    cfg.max_head_bytes = DP_HEAD_BYTES;
    cfg.max_body_bytes = CALL_BODY_REFUSE;
    cfg.idle_timeout_ms = DP_IDLE_MS;
    cfg.access_log = false;
    return server_open(dp->loop, &cfg, &call_handler, dp, &dp->server, err);
}

int devplatform_open(struct devplatform *dp, struct loop *l, struct curl_io *curl,
                     const struct options *options, struct err *err)
{
    int code;

    *dp = (struct devplatform){.options = options, .loop = l, .curl = curl};
    world_init(&dp->world);
    limiter_init(&dp->limiter, options->rate_limit);
    faults_init(&dp->faults);
    dispatcher_init(&dp->dispatcher, dp);
    feed_init(&dp->feed, dp, options->feed);
    events_init(&dp->events, dp);
    pending_init(&dp->pending, options->upload_ttl_ms);
    answers_init(&dp->answers);
    list_init(&dp->held);
    dp->world.rows.max = (size_t)options->rows_max;
    code = devlog_init(&dp->log, options->is_quiet);
    if (code < 0)
        err_set(err, code, "out of memory");
    if (code == 0 && options->data[0])
        code = data_open(options->data, dp, &dp->data, err);
    if (code == 0)
        code = seed(dp, err);
    if (code == 0)
        code = listen_open(dp, err);
    if (code < 0) {
        devplatform_close(dp);
        return code;
    }
    snprintf(dp->base_url, sizeof(dp->base_url), "http://%s", server_address(dp->server)->text);
    dp->sweep_every_ms =
        options->stale_after_ms / 4 < SWEEP_MS ? options->stale_after_ms / 4 : SWEEP_MS;
    if (dp->sweep_every_ms < SWEEP_MIN_MS)
        dp->sweep_every_ms = SWEEP_MIN_MS;
    timer_start(&dp->sweep, l, loop_now_ms(l) + dp->sweep_every_ms, on_sweep, dp);
    return 0;
}

void devplatform_close(struct devplatform *dp)
{
    timer_stop(&dp->sweep);
    if (dp->server)
        server_free(dp->server);
    dp->server = NULL;
    data_close(dp->data);
    dp->data = NULL;
    dispatcher_release(&dp->dispatcher);
    feed_release(&dp->feed);
    pending_release(&dp->pending);
    answers_release(&dp->answers);
    faults_release(&dp->faults);
    limiter_release(&dp->limiter);
    devlog_release(&dp->log);
    world_release(&dp->world);
}
