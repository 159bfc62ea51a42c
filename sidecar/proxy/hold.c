/*
 * Requests that wait for an agent that is not there: it starts, restarts, or accepts nothing. They
 * wait in order of arrival, bounded in number (forward.hold_max) and time (forward.hold_timeout).
 *
 * While the gate is shut they wait for it. While it is open and nobody listens (the moment between
 * the agent's death and somebody noticing), we look again by ourselves, each time a little later.
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

/* Its deadline goes on: the clock starts once, however often it looks. */
static void take_out(struct pump *u)
{
    if (!u->is_held)
        return;
    list_remove(&u->node);
    u->is_held = false;
    if (u->state == PUMP_HELD)
        u->state = PUMP_QUEUED;
    u->proxy->stats.held--;
}

/* All of them go, in order; those who find nobody come back. */
static void release_all(struct proxy *p)
{
    struct list *first;

    while ((first = list_first(&p->held))) {
        struct pump *u = container_of(first, struct pump, node);

        take_out(u);
        pump_queue(u);
    }
}

/* One of them looks; when it gets through, the others follow (pump_connected). */
static void on_retry(struct timer *t)
{
    struct proxy *p = t->arg;
    struct list *first = list_first(&p->held);
    struct pump *u;

    if (!first || !may_look(p))
        return;
    p->retry_ms = p->retry_ms * 2 > HOLD_RETRY_MAX_MS ? HOLD_RETRY_MAX_MS : p->retry_ms * 2;
    u = container_of(first, struct pump, node);
    take_out(u);
    pump_dispatch(u, true);
    retry_arm(p);
}

static void retry_arm(struct proxy *p)
{
    if (list_is_empty(&p->held) || !may_look(p)) {
        timer_stop(&p->retry);
        p->retry_ms = HOLD_RETRY_MIN_MS;
    } else if (!p->retry.armed) {
        timer_start(&p->retry, p->loop, loop_now_ms(p->loop) + p->retry_ms, on_retry, p);
    }
}

/* In order of arrival, also when it has been here before. */
static void insert(struct proxy *p, struct pump *u)
{
    struct list *at = p->held.prev;

    while (at != &p->held && container_of(at, struct pump, node)->order > u->order)
        at = at->prev;
    list_insert_before(at->next, &u->node);
}

bool hold_put(struct pump *u, int code)
{
    struct proxy *p = u->proxy;

    u->hold_code = code;
    if (u->is_held)
        return true;
    if (p->gate == PROXY_LOST || p->gate == PROXY_PAUSED || p->cfg->forward.hold_timeout <= 0 ||
        p->stats.held >= (size_t)p->cfg->forward.hold_max)
        return false;
    list_remove(&u->node);
    insert(p, u);
    u->state = PUMP_HELD;
    u->is_held = true;
    p->stats.held++;
    bool is_new = !u->hold.armed;

    if (is_new) {
        deadline_start(&p->hold_class, &u->hold);
        p->stats.held_total++;
    }
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

void hold_open(struct proxy *p)
{
    timer_stop(&p->retry);
    p->retry_ms = HOLD_RETRY_MIN_MS;
    release_all(p);
}

void hold_fail(struct proxy *p, enum failure f)
{
    struct list *first;

    while ((first = list_first(&p->held)))
        pump_fail(container_of(first, struct pump, node), f, NULL);
    retry_arm(p);
}

void hold_on_deadline(struct deadline *d, void *arg)
{
    struct pump *u = container_of(d, struct pump, hold);
    struct proxy *p = arg;
    struct err err = {0};

    p->stats.hold_timeouts_total++;
    if (u->hold_code) {
        upstream_explain(&p->cfg->agent.address, u->hold_code, &err);
    } else {
        const char *why = p->cb.agent_reason ? p->cb.agent_reason(p->cb_arg) : "";
        err_set(&err, -ETIMEDOUT, "the agent has not become ready within forward.hold_timeout%s%s",
                why[0] ? ": " : "", why);
    }
    pump_fail(u, FAILURE_UNAVAILABLE, err.msg);
}
