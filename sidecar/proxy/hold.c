/*
 * Requests that wait: for an agent that is not there (it starts, restarts, or accepts nothing), or
 * for a place among the forward.max_in_flight that it may have at once. They wait in one list,
 * bounded in number (forward.hold_max) and time (forward.hold_timeout), and go by turns (turns.h).
 *
 * While the gate is shut they wait for it. While it is open and nobody listens (the moment between
 * the agent's death and somebody noticing) or accepts, we look again by ourselves, each time a
 * little later.
 *
 * They are let go some at a time: all of them when the gate opens, two for each that gets through,
 * one for each that ends (it has left a place, here or in the agent's backlog); but not more than
 * HOLD_TURN_MAX in a turn, and none after one that found no room. So the looks that are in vain are
 * a small multiple of those that are not, however many wait.
 */
#include "base/cleanup.h"
#include "proxy/state.h"

#include <errno.h>

#include "base/banned.h"

static void retry_arm(struct proxy *p);

static bool may_look(const struct proxy *p)
{
    return p->gate == PROXY_OPEN || p->gate == PROXY_DRAINING;
}

/* ---- places: forward.max_in_flight of them, 0 = without end ---- */

static bool has_place(const struct proxy *p)
{
    return p->cfg->forward.max_in_flight == 0 || p->places < (size_t)p->cfg->forward.max_in_flight;
}

bool hold_is_for_place(const struct proxy *p)
{
    return may_look(p) && !has_place(p);
}

void hold_take_place(struct pump *u)
{
    if (u->has_place)
        return;
    u->has_place = true;
    u->proxy->places++;
}

static bool give_place(struct pump *u)
{
    bool had_place = u->has_place;

    u->has_place = false;
    u->proxy->places -= had_place;
    return had_place;
}

/* Nobody overtakes those who are being let go, nor, with a limit, those who wait for their turn. */
bool hold_may_pass(const struct proxy *p)
{
    if (p->cfg->forward.max_in_flight == 0)
        return p->may_go == 0 || p->stats.held >= (size_t)p->cfg->forward.hold_max;
    return has_place(p) && list_is_empty(&p->held);
}

/* ---- out of the list ---- */

/* Its deadline goes on: the clock starts once, however often it looks. */
static void take_out(struct pump *u)
{
    if (!u->is_held)
        return;
    list_remove(&u->node);
    turns_remove(&u->proxy->turns, &u->turn);
    u->is_held = false;
    if (u->state == PUMP_HELD)
        u->state = PUMP_QUEUED;
    u->proxy->stats.held--;
}

/* Whose turn it is, with a place; NULL: nobody may go. */
static struct pump *take_next(struct proxy *p)
{
    struct turn *first = may_look(p) && has_place(p) ? turns_take(&p->turns) : NULL;
    struct pump *u;

    if (!first)
        return NULL;
    u = container_of(first, struct pump, turn);
    take_out(u);
    hold_take_place(u);
    pump_on_way(u);
    return u;
}

static void let_go(struct proxy *p, size_t count)
{
    struct pump *u = NULL;

    if (p->gone_turn != loop_turns(p->loop)) {
        p->gone_turn = loop_turns(p->loop);
        p->gone = 0;
    }
    p->may_go += count;
    while (p->may_go > 0 && p->gone < HOLD_TURN_MAX && (u = take_next(p))) {
        p->may_go--;
        p->gone++;
        pump_queue(u);
    }
    if (list_is_empty(&p->held) || (p->gone < HOLD_TURN_MAX && !u))
        p->may_go = 0; /* nobody is left, or they wait for places */
    retry_arm(p);
}

void hold_leave_place(struct pump *u)
{
    if (give_place(u) && !list_is_empty(&u->proxy->held))
        let_go(u->proxy, 1);
}

/* The next turn of those who may go, or time for one of them to look. */
static void on_retry(struct timer *t)
{
    struct proxy *p = t->arg;
    bool is_look = p->may_go == 0;

    if (is_look)
        p->retry_ms = p->retry_ms * 2 > HOLD_RETRY_MAX_MS ? HOLD_RETRY_MAX_MS : p->retry_ms * 2;
    let_go(p, is_look);
}

static void retry_arm(struct proxy *p)
{
    int64_t now_ms = loop_now_ms(p->loop);

    if (list_is_empty(&p->held) || !may_look(p) || !has_place(p)) {
        timer_stop(&p->retry);
        p->may_go = 0;
    } else if (p->may_go > 0) {
        timer_start(&p->retry, p->loop, now_ms, on_retry, p);
    } else if (!p->retry.armed) {
        timer_start(&p->retry, p->loop, now_ms + p->retry_ms, on_retry, p);
    }
}

/* ---- into it ---- */

/* In order of arrival: a new one is among the last, one that has been here before among the first.
 */
static void insert(struct proxy *p, struct pump *u, bool is_new)
{
    struct list *at = is_new ? p->held.prev : p->held.next;

    while (is_new && at != &p->held && container_of(at, struct pump, node)->order > u->order)
        at = at->prev;
    while (!is_new && at != &p->held && container_of(at, struct pump, node)->order < u->order)
        at = at->next;
    list_insert_before(is_new ? at->next : at, &u->node);
}

static struct turn_peer peer_of(const struct pump *u)
{
    return u->x ? turn_peer_of(exchange_peer_sa(u->x)) : u->peer;
}

/* Is there room for one more? A peer with many in the list gives up its newest one for another with
 * few: who comes late, and once, is not refused because somebody else came a hundred times. */
static bool make_room(struct proxy *p, const struct pump *u)
{
    struct turn *yields;

    if (p->gate == PROXY_LOST || p->gate == PROXY_PAUSED || p->cfg->forward.hold_timeout <= 0)
        return false;
    if (p->stats.held < (size_t)p->cfg->forward.hold_max || u->hold.armed)
        return true; /* who was here has its room */
    yields = turns_who_yields(&p->turns, peer_of(u));
    if (!yields)
        return false;
    pump_fail(container_of(yields, struct pump, turn), FAILURE_OVERLOADED, NULL);
    return true;
}

bool hold_put(struct pump *u, int code)
{
    struct proxy *p = u->proxy;
    bool is_new = !u->hold.armed;

    u->hold_code = code;
    if (u->is_held)
        return true;
    if (!make_room(p, u) || turns_add(&p->turns, &u->turn, peer_of(u), u->order, !is_new) != 0)
        return false;
    (void)give_place(u); /* and nobody takes it: he would find what this one found */
    list_remove(&u->node);
    if (is_new && list_is_empty(&p->held))
        p->retry_ms = HOLD_RETRY_MIN_MS;
    insert(p, u, is_new);
    u->state = PUMP_HELD;
    u->is_held = true;
    pump_off_way(u);
    p->stats.held++;
    if (is_new) {
        deadline_start(&p->hold_class, &u->hold);
        p->stats.held_total++;
    }
    if (code)
        p->may_go = 0; /* the others would find the same */
    retry_arm(p);
    if (is_new)
        proxy_work_changed(p); /* last: it may end the request */
    return true;
}

void hold_leave(struct pump *u)
{
    deadline_stop(&u->proxy->hold_class, &u->hold);
    take_out(u);
}

static void start_over(struct proxy *p, size_t count)
{
    timer_stop(&p->retry);
    p->retry_ms = HOLD_RETRY_MIN_MS;
    let_go(p, count);
}

/* Those who find nobody come back. */
void hold_open(struct proxy *p)
{
    start_over(p, p->stats.held);
}

void hold_follow(struct proxy *p)
{
    start_over(p, HOLD_FOLLOWERS);
}

void hold_fail(struct proxy *p, enum failure f)
{
    struct list *first;

    while ((first = list_first(&p->held)))
        pump_fail(container_of(first, struct pump, node), f, NULL);
    retry_arm(p);
}

/* ---- too long in it ---- */

static void explain_absence(const struct pump *u, struct err *ret)
{
    const struct proxy *p = u->proxy;
    const char *why;

    if (u->hold_code) {
        upstream_explain(&p->cfg->agent.address, u->hold_code, ret);
        return;
    }
    why = p->cb.agent_reason ? p->cb.agent_reason(p->cb_arg) : "";
    (void)err_set(ret, -ETIMEDOUT, "the agent has not become ready within forward.hold_timeout%s%s",
                  why[0] ? ": " : "", why);
}

void hold_on_deadline(struct deadline *d, void *arg)
{
    struct pump *u = container_of(d, struct pump, hold);
    struct proxy *p = arg;
    struct err err = {0};

    p->stats.hold_timeouts_total++;
    if (u->is_held && hold_is_for_place(p)) {
        pump_fail(u, FAILURE_OVERLOADED,
                  "no place among the forward.max_in_flight requests became free within "
                  "forward.hold_timeout");
        return;
    }
    explain_absence(u, &err);
    pump_fail(u, FAILURE_UNAVAILABLE, err.msg);
}
