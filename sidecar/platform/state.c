/*
 * What the workspace is: the table of P section 5.2, row by row. Nothing else in platform/
 * concludes paused, removed or auth lost.
 *
 *   GET state ── 200 ─────────────────────────────► active, paused (or deleted: removed)
 *        │ 401
 *   read the token sources again ── another one ──► GET state with it
 *        │ the same
 *   GET the row ── 410, status removed ───────────► removed
 *        │    └─── 404 "workspace not found" ─────► once more after confirm_gap: removed
 *        │ 200      (anything else: an outage, undecided)
 *   GET state again ── still 401 ─────────────────► auth lost
 *
 * Without a token only the row is looked at.
 */
#include "platform/internal.h"

#include "base/clock.h"
#include "log/log.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void ask_state(struct platform *p, enum state_step step);
static void look(struct platform *p);
static void on_due(struct timer *t);

const char *workspace_state_name(enum workspace_state s)
{
    switch (s) {
    case WORKSPACE_UNKNOWN:
        return "unknown";
    case WORKSPACE_ACTIVE:
        return "active";
    case WORKSPACE_PAUSED:
        return "paused";
    case WORKSPACE_REMOVED:
        return "removed";
    case WORKSPACE_AUTH_LOST:
        return "auth_lost";
    }
    return "?";
}

/* ---- what a row says ---------------------------------------------------------------------------
 */

static bool status_is_held(const char *status)
{
    return strcmp(status, "paused") == 0 || strcmp(status, "hibernated") == 0 ||
           strcmp(status, "hibernating") == 0;
}

bool row_is_removed(const struct reply *r)
{
    char status[32];

    if (r->json.n == 0)
        return false;
    if (r->status == 410)
        return true;
    return r->class == REPLY_OK && reply_text(r->json, "status", status, sizeof(status)) &&
           strcmp(status, "removed") == 0;
}

bool row_is_not_found(const struct reply *r)
{
    char error[REPLY_TEXT_MAX];

    return r->status == 404 && reply_text(r->json, "error", error, sizeof(error)) &&
           strcmp(error, "workspace not found") == 0;
}

bool row_allows_register(const struct reply *r, char *ret_why, size_t cap)
{
    char status[32] = "";

    (void)reply_text(r->json, "status", status, sizeof(status));
    if (status_is_held(status) || strcmp(status, "removed") == 0) {
        (void)snprintf(ret_why, cap, "the workspace is %s", status);
        return false;
    }
    return true;
}

/* ---- conclusions -------------------------------------------------------------------------------
 */

static int64_t poll_delay(const struct platform *p)
{
    const struct state_watch *w = &p->state;
    int64_t interval = p->cfg->platform.state_interval;
    int64_t now = loop_now_ms(p->loop);

    switch (p->status.state) {
    case WORKSPACE_REMOVED:
        return p->times.paused_slow;
    case WORKSPACE_PAUSED:
        return now - w->paused_since_ms >= p->times.paused_slow_after ? p->times.paused_slow
                                                                      : interval;
    case WORKSPACE_UNKNOWN:
    case WORKSPACE_ACTIVE:
    case WORKSPACE_AUTH_LOST:
        break;
    }
    return transport_rate_is_short(&p->transport) ? interval * 4 : interval;
}

static void rest(struct platform *p, int64_t at_ms)
{
    struct state_watch *w = &p->state;

    w->step = STATE_REST;
    if (w->again) {
        w->again = false;
        at_ms = loop_now_ms(p->loop);
    }
    activity_at(&w->a, at_ms, on_due);
}

static void conclude(struct platform *p, enum workspace_state s, const char *why)
{
    struct state_watch *w = &p->state;
    enum workspace_state before = p->status.state;
    int64_t now = loop_now_ms(p->loop);

    w->is_confirming = false;
    if (s == WORKSPACE_PAUSED && before != WORKSPACE_PAUSED)
        w->paused_since_ms = now;
    platform_set_state(p, s, why);
    if (s == WORKSPACE_ACTIVE && (before == WORKSPACE_PAUSED || before == WORKSPACE_REMOVED)) {
        secrets_pull_now(p); /* P section 20.3: pausing cleared the stored URL */
        register_want(p);
    }
    int64_t delay = poll_delay(p);
    if (!w->is_first_done && s == WORKSPACE_ACTIVE)
        delay = random_between(delay / 2, delay); /* thousands of pods restart together */
    w->is_first_done = true;
    if (s == WORKSPACE_AUTH_LOST)
        rest(p, activity_retry_at(&w->a, NULL, p->times.refused_cap));
    else
        rest(p, now + delay);
    register_on_verdict(p, s == WORKSPACE_ACTIVE);
    platform_maybe_spawn(p);
}

/* An outage, a misroute, a rate limit: nothing is known. */
static void undecided(struct platform *p, const struct reply *r)
{
    p->state.is_confirming = false;
    activity_bad(&p->state.a, r);
    rest(p, activity_retry_at(&p->state.a, r, 0));
}

static void conclude_removed(struct platform *p, const struct reply *r, const char *how)
{
    char why[256];

    (void)snprintf(why, sizeof(why),
                   "the platform does not have workspace %s any more (%s); if it never had it, "
                   "workspace.id is wrong",
                   p->cfg->workspace.id, how);
    activity_good(&p->state.a, r);
    conclude(p, WORKSPACE_REMOVED, why);
}

static void conclude_auth_lost(struct platform *p, bool is_admin_token)
{
    const struct platform_status *s = &p->status;
    char why[256];

    if (is_admin_token)
        (void)snprintf(why, sizeof(why),
                       "token %s... is not this workspace's own but an organisation's or admin's "
                       "(is MOLECULE_API_KEY the admin token?): give the workspace token in "
                       "MOLECULE_WORKSPACE_TOKEN",
                       s->token_prefix);
    else
        (void)snprintf(
            why, sizeof(why),
            "the platform does not accept token %s... from %.90s: rotate it and give the "
            "new one there; the agent goes on",
            s->token_prefix, s->token_source);
    conclude(p, WORKSPACE_AUTH_LOST, why);
}

static void read_state(struct platform *p, const struct reply *r)
{
    char status[32] = "";
    char why[64];

    activity_good(&p->state.a, r);
    token_worked(p, r->token_age);
    (void)reply_text(r->json, "status", status, sizeof(status));
    if (reply_is_true(r->json, "deleted") || strcmp(status, "removed") == 0) {
        conclude_removed(p, r, "its state says deleted");
        return;
    }
    inbound_row_is_alive(p);
    if (reply_is_true(r->json, "paused") || status_is_held(status)) {
        (void)snprintf(why, sizeof(why), "the operator set it to %s",
                       status_is_held(status) ? status : "paused");
        conclude(p, WORKSPACE_PAUSED, why);
        return;
    }
    (void)snprintf(why, sizeof(why), "status %s", status[0] ? status : "not told");
    conclude(p, WORKSPACE_ACTIVE, why);
    if (strcmp(status, "failed") == 0 && p->reg.step == REGISTER_REST)
        register_want(p); /* beats do not lift it, P section 5.1 */
}

/* ---- the steps ---------------------------------------------------------------------------------
 */

static void on_reread(struct platform *p, bool is_new)
{
    if (p->state.step != STATE_REREAD)
        return;
    if (is_new)
        ask_state(p, STATE_ASKING);
    else
        look(p);
}

static void on_whose_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    conclude_auth_lost(p, r->class == REPLY_OK);
}

/* Still 401 while the row is there. Say it, and once find out which mistake it may be. */
static void still_refused(struct platform *p, const struct reply *r)
{
    char path[PATH_MAX];

    activity_bad(&p->state.a, r);
    p->state.lost_age = r->token_age;
    if (p->status.state == WORKSPACE_AUTH_LOST) {
        conclude(p, WORKSPACE_AUTH_LOST, p->status.state_why);
        return;
    }
    p->state.step = STATE_WHOSE;
    platform_path(p, "/activity?limit=1", path, sizeof(path));
    call_send(&p->state.a.call, &p->transport, path, (struct slice){0}, 0, on_whose_reply, p);
}

static void on_state_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    if (r->class == REPLY_OK) {
        read_state(p, r);
    } else if (r->status == 404 && reply_is_true(r->json, "deleted")) {
        conclude_removed(p, r, "its state says deleted");
    } else if (r->status == 401 && p->state.step == STATE_REPEAT) {
        still_refused(p, r);
    } else if (r->status == 401) {
        p->state.step = STATE_REREAD;
        token_refused(p, r->token_age, &p->state.waiter, on_reread);
    } else {
        undecided(p, r);
    }
}

static void ask_state(struct platform *p, enum state_step step)
{
    char path[PATH_MAX];

    p->state.step = step;
    platform_path(p, "/state", path, sizeof(path));
    call_send(&p->state.a.call, &p->transport, path, (struct slice){0}, 0, on_state_reply, p);
}

static void on_gap_over(struct timer *t)
{
    struct activity *a = t->arg;

    activity_started(a);
    look(a->p);
}

static void row_is_there(struct platform *p, const struct reply *r)
{
    char why[64];

    p->state.is_confirming = false;
    if (p->transport.bearer.len > 0) {
        ask_state(p, STATE_REPEAT);
        return;
    }
    activity_good(&p->state.a, r);
    if (!row_allows_register(r, why, sizeof(why)))
        conclude(p, WORKSPACE_PAUSED, why);
    else if (p->reg.step == REGISTER_REFUSED) /* it exists, and we may not speak for it */
        rest(p, loop_now_ms(p->loop) + p->times.paused_slow);
    else
        conclude(p, WORKSPACE_ACTIVE, "known to the platform");
}

/* Never heard of, and we hold no token that would prove otherwise: a mistake, not a removal. */
static void refuse_unknown(struct platform *p, const struct reply *r)
{
    char why[512];

    activity_bad(&p->state.a, r);
    p->state.is_confirming = false;
    rest(p, loop_now_ms(p->loop) + p->times.paused_slow);
    (void)snprintf(why, sizeof(why),
                   "registration refused: the platform at %.200s knows no workspace %s; check "
                   "workspace.id (WORKSPACE_ID) and platform.url, or create it there first",
                   p->transport.host, p->cfg->workspace.id);
    platform_refused(p, why);
}

static void on_row_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;
    struct state_watch *w = &p->state;

    if (row_is_removed(r)) {
        conclude_removed(p, r, "410");
    } else if (row_is_not_found(r) && w->is_confirming && p->transport.bearer.len == 0 &&
               !p->is_spawned) {
        refuse_unknown(p, r);
    } else if (row_is_not_found(r) && w->is_confirming) {
        conclude_removed(p, r, "404 twice: no such workspace");
    } else if (row_is_not_found(r)) {
        w->is_confirming = true;
        w->step = STATE_GAP;
        activity_at(&w->a, loop_now_ms(p->loop) + p->times.confirm_gap, on_gap_over);
    } else if (r->class == REPLY_OK) {
        row_is_there(p, r);
    } else {
        undecided(p, r);
    }
}

static void look(struct platform *p)
{
    char path[PATH_MAX];

    p->state.step = STATE_LOOKING;
    platform_path(p, "", path, sizeof(path));
    call_send(&p->state.a.call, &p->transport, path, (struct slice){0}, 0, on_row_reply, p);
}

static void begin(struct platform *p)
{
    if (p->transport.bearer.len > 0)
        ask_state(p, STATE_ASKING);
    else
        look(p);
}

static void on_due(struct timer *t)
{
    struct activity *a = t->arg;

    activity_started(a);
    begin(a->p);
}

void state_check_now(struct platform *p)
{
    struct state_watch *w = &p->state;

    if (p->is_finishing || !p->is_started)
        return;
    if (w->step == STATE_REST)
        activity_at(&w->a, loop_now_ms(p->loop), on_due);
    else if (w->step != STATE_GAP)
        w->again = true;
}

void state_start(struct platform *p)
{
    int64_t interval = p->cfg->platform.state_interval;
    int64_t now = loop_now_ms(p->loop);

    /* With a token registering waits for the answer; without one register looks for itself. */
    activity_at(&p->state.a, p->status.has_token ? now : now + random_between(1, interval), on_due);
}

void state_stop(struct platform *p)
{
    activity_stop(&p->state.a);
    p->state.step = STATE_REST;
}
