/*
 * The register policy of P section 7.1 as a table, step by event. Registering is no harmless
 * refresh (it lifts a pause and makes purged workspaces anew), so each attempt starts from the top:
 * with a token the state activity is asked first, then the row, then register; and never again with
 * a bearer that register refused.
 */
#include "platform/internal.h"

#include "base/clock.h"
#include "base/json_scan.h"
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

typedef void register_action(struct platform *p);

static void fire(struct platform *p, enum register_event e);

/* ---- small helpers -----------------------------------------------------------------------------
 */

static bool is_denied(const struct platform *p)
{
    return p->reg.denied_age != 0 && p->reg.denied_age == p->transport.token_age;
}

static void trouble(struct platform *p, const struct reply *r, int64_t cap_ms)
{
    activity_bad(&p->reg.a, r);
    p->reg.retry_cap_ms = cap_ms;
    p->reg.retry_floor_ms = r->wait_ms;
    fire(p, REGISTER_TROUBLE);
    platform_maybe_spawn(p);
}

/* U+0000 in a card fails the whole call over there (P section 1): its escape is left out. */
static void add_without_nul(struct str *out, struct slice json)
{
    size_t from = 0;
    size_t i = 0;

    while (i + 1 < json.n) {
        if (json.p[i] != '\\') {
            i++;
        } else if (json.n - i >= 6 && memcmp(json.p + i, "\\u0000", 6) == 0) {
            str_add(out, (struct slice){json.p + from, i - from});
            i += 6;
            from = i;
        } else {
            i += 2;
        }
    }
    str_add(out, (struct slice){json.p + from, json.n - from});
}

/* The card as app/ makes it, checked. 0, or -errno with a sentence. */
static int add_card(struct platform *p, struct str *out, struct err *err)
{
    struct str card = {0};
    int rc = p->cb.make_card(p->arg, &card, err);

    if (rc == 0 && json_validate(str_slice(&card)) != JSON_OBJECT)
        rc = err_set(err, -EBADMSG, "the agent's card is not a JSON object");
    if (rc == 0 && card.len > CARD_ADVISED_BYTES && !p->reg.card_warned) {
        p->reg.card_warned = true;
        log_warning("platform", "the card has %zu bytes; more than %d is not advised", card.len,
                    CARD_ADVISED_BYTES);
    }
    if (rc == 0)
        add_without_nul(out, str_slice(&card));
    str_release(&card);
    return rc;
}

static bool is_push(const struct platform *p)
{
    return p->cfg->platform.delivery == DELIVERY_PUSH;
}

/* A body with the card at its end; begins as given. False: trouble was told. */
static bool finish_body(struct platform *p, struct str *body)
{
    struct err err = {0};
    struct reply r = {.class = REPLY_NOT_DELIVERED};

    str_addz(body, ",\"agent_card\":");
    int rc = add_card(p, body, &err);
    str_addz(body, "}");
    if (rc == 0 && str_ok(body))
        return true;
    (void)snprintf(r.error, sizeof(r.error), "no card to send: %.400s",
                   rc < 0 ? err.msg : "out of memory");
    str_release(body);
    trouble(p, &r, p->times.refused_cap);
    return false;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void on_reread(struct platform *p, bool is_new)
{
    if (p->reg.step != REGISTER_SENDING && p->reg.step != REGISTER_CARD)
        return;
    if (is_new) {
        if (p->reg.sent_register)
            p->reg.wants_register = true;
        else
            p->reg.wants_card = true;
        p->reg.step = REGISTER_WAITING; /* from the top, at once, with the other one */
        fire(p, REGISTER_TOKEN);
        return;
    }
    p->reg.denied_age = p->transport.token_age;
    fire(p, REGISTER_DENIED);
}

static void denied(struct platform *p, const struct reply *r)
{
    activity_bad(&p->reg.a, r);
    token_refused(p, r->token_age, &p->reg.waiter, on_reread);
}

static void on_token_saved(struct platform *p)
{
    fire(p, REGISTER_DONE);
}

static void check_mode(struct platform *p, const struct reply *r)
{
    const char *asked = is_push(p) ? "push" : "poll";
    char mode[16] = "";

    (void)reply_text(r->json, "delivery_mode", mode, sizeof(mode));
    if (strcmp(mode, asked) != 0 && !p->reg.mode_warned) {
        p->reg.mode_warned = true;
        log_warning("platform", "asked for delivery %s, the platform answered %s: an old server?",
                    asked, mode[0] ? mode : "nothing");
    }
}

static void on_registered(struct platform *p, const struct reply *r)
{
    char token[TOKEN_MAX + 1];

    activity_good(&p->reg.a, r);
    p->status.is_registered = true;
    p->status.registrations_total++;
    check_mode(p, r);
    inbound_named(p, r->json, true); /* the row was looked at a moment ago */
    if (reply_text(r->json, "auth_token", token, sizeof(token)) &&
        token_is_plausible(slice_of(token)))
        token_minted(p, slice_of(token), on_token_saved);
    else
        fire(p, REGISTER_DONE);
    explicit_bzero(token, sizeof(token));
}

static void on_register_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    /* Once per token means one answer: trouble, or a verdict that comes in between, is none. */
    if (p->reg.is_revoked && (r->class == REPLY_OK || r->status == 401)) {
        p->reg.is_revoked = false;
        p->reg.revoked_age = r->token_age;
    }
    if (r->class == REPLY_OK)
        on_registered(p, r);
    else if (r->status == 401)
        denied(p, r);
    else
        trouble(p, r, r->status == 400 ? p->times.refused_cap : 0);
}

static void on_card_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;

    if (r->class == REPLY_OK) {
        activity_good(&p->reg.a, r);
        fire(p, REGISTER_DONE);
    } else if (r->status == 401) {
        denied(p, r);
    } else {
        trouble(p, r, r->status == 400 ? p->times.refused_cap : 0);
    }
}

static void on_row_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;
    bool is_gone = row_is_removed(r) || row_is_not_found(r);
    char why[64];

    if (is_gone && p->transport.bearer.len == 0) {
        fire(p, REGISTER_BAR);
        state_check_now(p); /* confirms it */
    } else if (r->class != REPLY_OK) {
        trouble(p, r, 0);
    } else if (!row_allows_register(r, why, sizeof(why))) {
        log_info("platform", "not registering: %s", why);
        fire(p, REGISTER_BAR);
        if (p->transport.bearer.len == 0)
            state_check_now(p);
    } else {
        fire(p, REGISTER_ALLOWED);
    }
}

/* ---- actions of the table ----------------------------------------------------------------------
 */

static void do_nothing(struct platform *p)
{
    (void)p; /* wants_register and wants_card remember */
}

static void do_look(struct platform *p)
{
    char path[PATH_MAX];

    p->reg.step = REGISTER_LOOKING;
    platform_path(p, "", path, sizeof(path));
    call_send(&p->reg.a.call, &p->transport, path, (struct slice){0}, 0, on_row_reply, p);
}

static void do_begin(struct platform *p)
{
    timer_stop(&p->reg.a.timer);
    if (p->transport.bearer.len == 0) {
        do_look(p);
        return;
    }
    p->reg.step = REGISTER_CHECKING;
    state_check_now(p);
}

static void do_send(struct platform *p)
{
    struct str body = {0};

    p->reg.step = REGISTER_SENDING;
    p->reg.wants_register = p->reg.wants_card = false;
    p->reg.sent_register = true;
    str_addf(&body, "{\"id\":\"%s\",\"delivery_mode\":\"%s\"", p->cfg->workspace.id,
             is_push(p) ? "push" : "poll");
    if (is_push(p)) {
        str_addz(&body, ",\"url\":");
        str_add_json(&body, slice_of(p->cfg->platform.reported_url));
    }
    if (!finish_body(p, &body))
        return;
    call_send(&p->reg.a.call, &p->transport, "/registry/register", str_slice(&body), 0,
              on_register_reply, p);
    str_release(&body);
}

static void do_card(struct platform *p)
{
    struct str body = {0};

    if (!p->status.is_registered) {
        p->reg.wants_register = true;
        do_begin(p);
        return;
    }
    p->reg.step = REGISTER_CARD;
    p->reg.wants_card = false;
    p->reg.sent_register = false;
    str_addf(&body, "{\"workspace_id\":\"%s\"", p->cfg->workspace.id);
    if (!finish_body(p, &body))
        return;
    call_send(&p->reg.a.call, &p->transport, "/registry/update-card", str_slice(&body), 0,
              on_card_reply, p);
    str_release(&body);
}

/* Whatever is still wanted, from the top. */
static void do_next(struct platform *p)
{
    timer_stop(&p->reg.a.timer);
    p->reg.step = REGISTER_REST;
    p->reg.a.status->next_ms = 0;
    if (p->reg.wants_register)
        do_begin(p);
    else if (p->reg.wants_card)
        do_card(p);
}

static void do_settle(struct platform *p)
{
    bool was_register = p->reg.sent_register;

    p->reg.denied_age = 0;
    do_next(p);
    if (!was_register)
        return;
    log_info("platform", "registered workspace %s at %s, delivery %s", p->cfg->workspace.id,
             p->transport.host, p->status.delivery);
    if (p->status.state == WORKSPACE_UNKNOWN)
        platform_set_state(p, WORKSPACE_ACTIVE, "registered");
    if (p->cb.on_registered)
        p->cb.on_registered(p->arg);
    platform_maybe_spawn(p);
}

static void on_retry(struct timer *t)
{
    struct activity *a = t->arg;

    activity_started(a);
    fire(a->p, REGISTER_TIMER);
}

static void do_wait(struct platform *p)
{
    struct registrar *reg = &p->reg;
    struct reply floor = {.wait_ms = reg->retry_floor_ms};

    if (reg->step == REGISTER_SENDING)
        reg->wants_register = true;
    else if (reg->step == REGISTER_CARD)
        reg->wants_card = true;
    reg->step = REGISTER_WAITING;
    activity_at(&reg->a, activity_retry_at(&reg->a, &floor, reg->retry_cap_ms), on_retry);
}

static void do_bar(struct platform *p)
{
    activity_stop(&p->reg.a);
    p->reg.step = REGISTER_BARRED;
}

/* 401 at bootstrap is the end of it (P 7.1e); with a token the state activity finds out more. */
static void do_deny(struct platform *p)
{
    char why[512];

    if (p->reg.sent_register)
        p->reg.wants_register = true;
    else
        p->reg.wants_card = true;
    if (p->transport.bearer.len > 0) {
        do_bar(p);
        state_check_now(p);
        return;
    }
    activity_stop(&p->reg.a);
    p->reg.step = REGISTER_REFUSED;
    (void)snprintf(why, sizeof(why),
                   "registration refused: workspace %s already has a token, which the platform "
                   "does not show twice; give it in MOLECULE_WORKSPACE_TOKEN or "
                   "platform.token_file, or rotate it (POST /workspaces/%s/external/rotate) and "
                   "give the new one",
                   p->cfg->workspace.id, p->cfg->workspace.id);
    platform_refused(p, why);
}

/* The platform answers again: what failed for want of a connection need not wait for its back-off.
 */
static void do_hurry(struct platform *p)
{
    int64_t soon_ms = loop_now_ms(p->loop) + random_between(0, p->times.hurry);

    if (p->reg.a.status->last_status == 0 && p->reg.a.status->failures > 0 &&
        soon_ms < p->reg.a.due_ms)
        activity_at(&p->reg.a, soon_ms, on_retry);
}

static void do_resume(struct platform *p)
{
    if (is_denied(p))
        return; /* never loops on a 401 */
    if (p->reg.wants_register)
        do_look(p); /* the state was asked just now */
    else
        do_next(p);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

/* NULL: cannot happen, and asserts. The columns are the point of the layout. */
#define NEVER NULL
/* clang-format off */
static register_action *const table[REGISTER_STEP_COUNT][REGISTER_EVENT_COUNT] = {
    /*                      WANTED      NEW_CARD    CLEAR       BAR         ALLOWED  DONE       TROUBLE  DENIED   REVOKED     TIMER    TOKEN */
    [REGISTER_REST]     = { do_look,    do_card,    do_nothing, do_nothing, NEVER,   NEVER,     NEVER,   NEVER,   do_look,    NEVER,   do_nothing },
    [REGISTER_CHECKING] = { do_nothing, do_nothing, do_look,    do_bar,     NEVER,   NEVER,     NEVER,   NEVER,   do_nothing, NEVER,   do_nothing },
    [REGISTER_LOOKING]  = { do_nothing, do_nothing, do_nothing, do_bar,     do_send, NEVER,     do_wait, NEVER,   do_nothing, NEVER,   do_nothing },
    [REGISTER_SENDING]  = { do_nothing, do_nothing, do_nothing, do_nothing, NEVER,   do_settle, do_wait, do_deny, do_nothing, NEVER,   do_nothing },
    [REGISTER_CARD]     = { do_nothing, do_nothing, do_nothing, do_nothing, NEVER,   do_settle, do_wait, do_deny, do_nothing, NEVER,   do_nothing },
    [REGISTER_WAITING]  = { do_nothing, do_nothing, do_hurry,   do_bar,     NEVER,   NEVER,     NEVER,   NEVER,   do_nothing, do_next, do_next    },
    [REGISTER_BARRED]   = { do_nothing, do_nothing, do_resume,  do_nothing, NEVER,   NEVER,     NEVER,   NEVER,   do_look,    NEVER,   do_nothing },
    [REGISTER_REFUSED]  = { do_nothing, do_nothing, do_nothing, do_nothing, NEVER,   NEVER,     NEVER,   NEVER,   do_nothing, NEVER,   do_next    },
};
/* clang-format on */

bool register_is_defined(enum register_step s, enum register_event e)
{
    return table[s][e] != NEVER;
}

static void fire(struct platform *p, enum register_event e)
{
    register_action *action = table[p->reg.step][e];

    assert(action); /* each event can only come in the steps that have a cell for it */
    action(p);
}

/* ---- from outside ------------------------------------------------------------------------------
 */

void register_start(struct platform *p)
{
    p->reg.wants_register = true;
    do_begin(p);
}

void register_stop(struct platform *p)
{
    activity_stop(&p->reg.a);
    p->reg.step = REGISTER_REST;
    p->reg.wants_register = p->reg.wants_card = false;
}

void register_want(struct platform *p)
{
    if (p->is_finishing || !p->is_started)
        return;
    p->reg.wants_register = true;
    fire(p, REGISTER_WANTED);
}

void register_want_card(struct platform *p)
{
    if (p->is_finishing || !p->is_started)
        return;
    p->reg.wants_card = true;
    fire(p, REGISTER_NEW_CARD);
}

void register_on_verdict(struct platform *p, bool is_clear)
{
    fire(p, is_clear ? REGISTER_CLEAR : REGISTER_BAR);
}

void register_on_token(struct platform *p)
{
    fire(p, REGISTER_TOKEN);
}

void register_on_revoked(struct platform *p)
{
    bool is_idle = p->reg.step == REGISTER_REST || p->reg.step == REGISTER_BARRED;

    if (p->cfg->platform.token_is_explicit || !is_idle || p->is_finishing ||
        p->reg.revoked_age == p->transport.token_age)
        return;
    p->reg.wants_register = true;
    if (!p->reg.is_revoked)
        log_warning("platform", "every token of the workspace was revoked, and none was given by "
                                "the operator: registering once more");
    p->reg.is_revoked = true;
    fire(p, REGISTER_REVOKED);
}
