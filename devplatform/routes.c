/*
 * Which handler answers what. Matching is segment by segment; there are few routes and no speed to
 * win.
 */
#include "devplatform/routes.h"

#include "devplatform/handlers.h"

static const struct route table[] = {
    {HTTP_GET, "/health", handle_health, true},
    {HTTP_GET, "/buildinfo", handle_buildinfo, true},

    {HTTP_POST, "/registry/register", handle_register, false},
    {HTTP_POST, "/registry/heartbeat", handle_heartbeat, false},
    {HTTP_POST, "/registry/update-card", handle_update_card, false},
    {HTTP_POST, "/registry/check-access", handle_check_access, false},
    {HTTP_GET, "/registry/:id/peers", handle_peers, false},
    {HTTP_GET, "/registry/discover/:id", handle_discover, false},

    {HTTP_POST, "/workspaces", handle_create, false},
    {HTTP_GET, "/workspaces/:id", handle_get, false},
    {HTTP_DELETE, "/workspaces/:id", handle_delete, false},
    {HTTP_GET, "/workspaces/:id/state", handle_state, false},
    {HTTP_POST, "/workspaces/:id/pause", handle_pause, false},
    {HTTP_POST, "/workspaces/:id/resume", handle_resume, false},
    {HTTP_POST, "/workspaces/:id/restart", handle_restart, false},
    {HTTP_GET, "/workspaces/:id/budget", handle_budget, false},

    {HTTP_GET, "/workspaces/:id/secrets", handle_secret_names, false},
    {HTTP_POST, "/workspaces/:id/secrets", handle_secret_save, false},
    {HTTP_GET, "/workspaces/:id/secrets/values", handle_secret_values, false},
    {HTTP_GET, "/workspaces/:id/tokens", handle_token_list, false},
    {HTTP_POST, "/workspaces/:id/tokens", handle_token_mint, false},
    {HTTP_DELETE, "/workspaces/:id/tokens/:id", handle_token_revoke, false},
    {HTTP_POST, "/workspaces/:id/external/rotate", handle_rotate, false},
    {HTTP_GET, "/workspaces/:id/external/connection", handle_connection, false},

    {HTTP_GET, "/workspaces/:id/activity", handle_activity, false},
    {HTTP_POST, "/workspaces/:id/activity", handle_activity_report, false},
    {HTTP_POST, "/workspaces/:id/activity/ack", handle_activity_ack, false},
    {HTTP_GET, "/workspaces/:id/events/stream", handle_events, false},
    {HTTP_POST, "/workspaces/:id/notify", handle_notify, false},
    {HTTP_POST, "/workspaces/:id/a2a", handle_a2a, false},
    {HTTP_GET, "/workspaces/:id/a2a/queue/:id", handle_queue_status, false},
    {HTTP_POST, "/workspaces/:id/delegate", handle_delegate, false},
    {HTTP_GET, "/workspaces/:id/delegations", handle_delegations, false},
    {HTTP_POST, "/workspaces/:id/delegations/record", handle_delegation_record, false},
    {HTTP_POST, "/workspaces/:id/delegations/:id/update", handle_delegation_update, false},
    {HTTP_POST, "/workspaces/:id/chat/uploads", handle_upload, false},
    {HTTP_GET, "/workspaces/:id/pending-uploads/:id/content", handle_pending_content, false},
    {HTTP_POST, "/workspaces/:id/pending-uploads/:id/ack", handle_pending_ack, false},

    {HTTP_GET, "/dev/health", handle_health, true},
    {HTTP_GET, "/dev/log", handle_dev_log, true},
    {HTTP_GET, "/dev/state", handle_dev_state, true},
    {HTTP_POST, "/dev/rows", handle_dev_rows, true},
    {HTTP_GET, "/dev/answers", handle_dev_answers, true},
    {HTTP_GET, "/dev/faults", handle_dev_faults_list, true},
    {HTTP_POST, "/dev/faults", handle_dev_faults_add, true},
    {HTTP_DELETE, "/dev/faults", handle_dev_faults_clear, true},
};

/* The segment at the front of *rest, which begins with '/'; *rest moves behind it. False at the
 * end. */
static bool segment_next(struct slice *rest, struct slice *ret)
{
    const char *slash;

    if (rest->n == 0 || rest->p[0] != '/')
        return false;
    rest->p++;
    rest->n--;
    slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;
    *ret = (struct slice){rest->p, slash ? (size_t)(slash - rest->p) : rest->n};
    rest->p += ret->n;
    rest->n -= ret->n;
    return true;
}

static bool matches(struct slice pattern, struct slice path, struct slice params[CALL_PARAMS_MAX])
{
    struct slice want, have;
    size_t found = 0;

    for (;;) {
        bool more = segment_next(&pattern, &want);
        if (more != segment_next(&path, &have))
            return false;
        if (!more)
            return true;
        if (want.n > 0 && want.p[0] == ':') {
            if (have.n == 0)
                return false;
            params[found++] = have;
        } else if (!slice_eq(want, have)) {
            return false;
        }
    }
}

const struct route *routes_find(const struct http_request *rq, struct slice params[CALL_PARAMS_MAX])
{
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].method == rq->method && matches(slice_of(table[i].pattern), rq->path, params))
            return &table[i];
    }
    return NULL;
}
