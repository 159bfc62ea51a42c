/*
 * One request on its way to the agent. Read it from top to bottom: made, queued, dispatched at the
 * end of the turn, connected, sent (send.c), ended. The way back is answer.c's, waiting for an
 * agent that is not there is hold.c's.
 */
#include "base/cleanup.h"
#include "log/log.h"
#include "proxy/dedupe.h"
#include "proxy/headers.h"
#include "proxy/state.h"
#include "proxy/uploads.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

/* ---- made ---- */

struct pump *pump_alloc(struct proxy *p)
{
    struct list *first = list_first(&p->spare);
    struct pump *u;

    if (first) {
        list_remove(first);
        p->spare_count--;
        u = container_of(first, struct pump, node);
    } else {
        u = malloc(sizeof(*u));
        if (!u)
            return NULL;
    }
    memset(u, 0, offsetof(struct pump, id_copy));
    list_init(&u->node);
    list_init(&u->flight);
    list_init(&u->way);
    u->proxy = p;
    return u;
}

struct pump *pump_new(struct proxy *p, struct exchange *x)
{
    struct pump *u = pump_alloc(p);

    if (!u)
        return NULL;
    u->x = x;
    u->arrived_ms = loop_now_ms(p->loop);
    u->order = exchange_id(x);
    exchange_set_user(x, u);
    return u;
}

int pump_prepare(struct pump *u, const struct http_request *rq, const struct route *route)
{
    struct proxy *p = u->proxy;
    struct exchange *x = u->x;
    struct header_context c = {
        .auth = p->cfg->listen.inbound_auth,
        .via = p->cfg->forward.via,
        .is_trusted = p->trusted.n > 0 && sources_has(&p->trusted, exchange_peer_sa(x)),
        .is_card = u->card != NULL,
        .is_edited = u->hook != NULL,
        .is_https = exchange_is_tls(x),
        .peer = exchange_peer(x),
        .client = exchange_client(x),
        .strip_prefix = p->routes.strip_prefix,
        .bearer = p->bearer,
    };
    struct http_writer w;
    int code;

    if (http_request_field(rq, FIELD_AUTHORIZATION)) {
        if (p->cb.inbound_secret)
            c.inbound_secret = p->cb.inbound_secret(p->cb_arg);
        if (p->cb.workspace_token)
            c.workspace_token = p->cb.workspace_token(p->cb_arg);
    }
    if (buf_borrow(&u->out, &p->blocks) != 0)
        return -ENOMEM;
    w = (struct http_writer){.p = u->out.p, .cap = u->out.cap - PUMP_RESERVE};
    code = headers_to_agent(&w, rq, u->hook ? SLICE("GET") : rq->method_text, route, &c);
    if (code)
        return code;
    buf_added(&u->out, w.len);
    u->peek_at = w.len;
    u->to_head = !u->hook && rq->method == HTTP_HEAD;
    u->is_json_rpc = error_is_json_rpc(rq);
    u->is_chunked = !u->card && rq->framing == HTTP_BODY_CHUNKED;
    u->is_whole = u->card != NULL;
    return 0;
}

/* ---- on its way: work that is in no other list ---- */

void pump_on_way(struct pump *u)
{
    if (!list_is_empty(&u->way))
        return;
    list_append(&u->proxy->on_way, &u->way);
    u->proxy->stats.on_way++;
}

void pump_off_way(struct pump *u)
{
    if (list_is_empty(&u->way))
        return;
    list_remove(&u->way);
    u->proxy->stats.on_way--;
}

/* ---- queued: everything that one turn brings leaves together at its end ---- */

void pump_queue(struct pump *u)
{
    struct proxy *p = u->proxy;

    if (!list_is_empty(&u->node))
        return;
    list_append(&p->queue, &u->node);
    loop_defer(p->loop, &p->turn_end, pump_on_turn_end);
}

void pump_on_turn_end(struct deferred *d)
{
    struct proxy *p = container_of(d, struct proxy, turn_end);
    struct list *first;

    while ((first = list_first(&p->queue))) {
        struct pump *u = container_of(first, struct pump, node);

        list_remove(first);
        if (u->state == PUMP_QUEUED)
            pump_dispatch(u, false);
        else
            pump_flush(u);
    }
}

/* ---- dispatched, connected ---- */

void pump_wait(struct pump *u, struct deadline_class *class)
{
    if (u->wait_class)
        deadline_stop(u->wait_class, &u->wait);
    u->wait_class = class;
    if (class)
        deadline_start(class, &u->wait);
}

/* The agent could not be reached. */
static void pump_unreachable(struct pump *u, int code)
{
    struct proxy *p = u->proxy;
    struct err err = {0};

    pump_wait(u, NULL);
    upstream_explain(&p->cfg->agent.address, code, &err);
    if (!u->card && upstream_is_absent(code)) {
        /* once per request, not each time it looks */
        if (!u->hold.armed)
            proxy_note_failure(p, err.msg);
        if (upstream_is_gone(code) && !upstream_is_gone(u->hold_code) && p->cb.on_agent_failure)
            p->cb.on_agent_failure(p->cb_arg, err.msg);
        if (hold_put(u, code))
            return;
    }
    pump_fail(u, FAILURE_UNAVAILABLE, err.msg);
}

void pump_dispatch(struct pump *u, bool is_fresh)
{
    struct proxy *p = u->proxy;
    int code = upstream_open(&p->pool, u, is_fresh, &u->up);

    if (code == 1) {
        u->state = PUMP_CONNECTING;
        pump_wait(u, u->card ? &p->card_class : &p->connect_class);
    } else {
        pump_connected(u, code);
    }
}

void pump_connected(void *user, int code)
{
    struct pump *u = user;
    struct proxy *p = u->proxy;

    if (code < 0) {
        u->up = NULL;
        pump_unreachable(u, code);
        return;
    }
    hold_leave(u);
    pump_off_way(u);
    u->state = PUMP_SENT;
    u->has_sent = false;
    if (!list_is_empty(&p->held))
        hold_follow(p); /* somebody is there: the others need not wait for the clock */
    if (!u->card && list_is_empty(&u->flight)) {
        list_append(&p->flight, &u->flight);
        p->stats.forwarded_total += !u->was_retried;
        p->stats.in_flight++;
        proxy_work_changed(p);
    }
    pump_wait(u, u->card ? &p->card_class : &p->response_class);
    pump_flush(u);
}

void pump_take_back(struct pump *u)
{
    u->state = PUMP_QUEUED;
    if (list_is_empty(&u->flight))
        return;
    list_remove(&u->flight);
    u->proxy->stats.in_flight--;
    pump_on_way(u); /* it stays work */
}

/* ---- ended ---- */

void pump_on_stall(struct deadline *d, void *arg)
{
    struct pump *u = container_of(d, struct pump, stall);

    (void)arg;
    if (u->state == PUMP_SENT)
        pump_fail(u, FAILURE_TIMEOUT,
                  "the agent stopped reading the request; what it has read may still run");
    else
        pump_write_over(u);
}

void pump_on_wait(struct deadline *d, void *arg)
{
    struct pump *u = container_of(d, struct pump, wait);
    struct proxy *p = u->proxy;

    (void)arg;
    if (u->wait_class == &p->comment_class) {
        answer_comment(u);
        return;
    }
    u->wait_class = NULL;
    if (u->state == PUMP_CONNECTING) {
        upstream_close(u->up);
        pump_connected(u, -ETIMEDOUT);
        return;
    }
    pump_fail(u, FAILURE_TIMEOUT,
              u->state == PUMP_RELAYING ? "the agent stopped in the middle of its answer" : NULL);
}

/* The connection, the deadlines and the lists are given back; exchange and counters are not. */
static void pump_let_go(struct pump *u)
{
    struct proxy *p = u->proxy;

    hold_leave(u);
    pump_off_way(u);
    list_remove(&u->node); /* of the queue */
    upstream_close(u->up);
    u->up = NULL;
    pump_wait(u, NULL);
    deadline_stop(&p->stall_class, &u->stall);
    deadline_stop(&p->finish_class, &u->finish);
    stream_watch_end(&u->watch);
    u->is_blocked = false;
    pump_out_release(u);
    buf_return(&u->in, &p->blocks);
    hold_leave_place(u);
}

void pump_reset(struct pump *u)
{
    pump_let_go(u);
    u->state = PUMP_QUEUED;
    u->scanned = 0;
    u->is_write_over = false;
    u->has_sent = false;
    u->client_paused = false;
    u->interim_count = 0;
    u->was_retried = false;
}

enum outcome pump_outcome(enum failure f)
{
    switch (f) {
    case FAILURE_UNAVAILABLE:
        return OUTCOME_AGENT_UNAVAILABLE;
    case FAILURE_LOST:
        return OUTCOME_CONNECTION_LOST;
    case FAILURE_BAD_RESPONSE:
        return OUTCOME_BAD_RESPONSE;
    case FAILURE_TIMEOUT:
        return OUTCOME_TIMEOUT;
    case FAILURE_PAUSED:
        return OUTCOME_PAUSED;
    case FAILURE_DRAINING:
        return OUTCOME_DRAINING;
    case FAILURE_OVERLOADED:
        return OUTCOME_OVERLOADED;
    case FAILURE_LOOP:
    case FAILURE_HEAD_TOO_LARGE:
    case FAILURE_FORBIDDEN:
    case FAILURE_UNAUTHORIZED:
    case FAILURE_BAD_HOST:
        return OUTCOME_REFUSED;
    }
    return OUTCOME_REFUSED;
}

void pump_fail(struct pump *u, enum failure f, const char *sentence)
{
    struct slice id = u->id;
    bool agent_saw_nothing = u->state < PUMP_SENT;

    if (u->state == PUMP_DONE)
        return;
    if (f != FAILURE_PAUSED && f != FAILURE_DRAINING && f != FAILURE_OVERLOADED)
        proxy_note_failure(u->proxy, sentence ? sentence : failure_answer(f)->sentence);
    if (u->card) {
        card_on_failure(u, f, sentence);
        return;
    }
    u->outcome = pump_outcome(f);
    if (u->share) {
        share_on_failure(u, f, sentence);
        return;
    }
    if (exchange_head_sent(u->x)) {
        u->state = PUMP_DONE;
        pump_let_go(u);
        exchange_note(u->x, failure_answer(f)->note);
        exchange_abort(u->x);
        return;
    }
    if (u->is_json_rpc && u->peek_n > 0)
        id = error_find_id((struct slice){u->out.p + u->peek_at, u->peek_n});
    u->state = PUMP_DONE;
    /* before the block with the id goes */
    if (agent_saw_nothing)
        proxy_shed_answer(u->proxy, u->x, f, sentence, u->is_json_rpc, id);
    else
        proxy_error_answer(u->x, f, sentence, u->is_json_rpc, id);
    pump_let_go(u);
}

void pump_finish(struct pump *u)
{
    u->state = PUMP_DONE;
    pump_let_go(u);
    if (u->share)
        share_on_complete(u);
    else
        exchange_finish(u->x);
}

void pump_abort(struct pump *u)
{
    u->state = PUMP_DONE;
    pump_let_go(u);
    if (u->share && !u->is_guest)
        share_on_abort(u);
    else
        exchange_abort(u->x);
}

/* What counts against the agent in the error rate. */
static bool is_agents_fault(const struct pump *u)
{
    if (u->is_guest)
        return false; /* counted with its leader */
    switch (u->outcome) {
    case OUTCOME_AGENT_UNAVAILABLE:
    case OUTCOME_CONNECTION_LOST:
    case OUTCOME_BAD_RESPONSE:
    case OUTCOME_TIMEOUT:
        return true;
    default: /* the client's doing, or ours */
        return u->status >= 500;
    }
}

/* One count for each request of a client; a leader's are its guests'. */
static void count_end(const struct pump *u, bool complete)
{
    if (!u->x)
        return;
    if (u->outcome != OUTCOME_NONE)
        proxy_count(u->proxy, u->outcome);
    else if (complete)
        u->proxy->stats.outcome_ok++;
    else
        u->proxy->stats.outcome_client_gone++;
}

void pump_end(struct pump *u, bool complete)
{
    struct proxy *p = u->proxy;
    bool was_in_flight = !list_is_empty(&u->flight);

    pump_let_go(u);
    stream_over(u);
    if (was_in_flight || is_agents_fault(u))
        window_add(&p->stats.agent_window, loop_now_ms(p->loop), is_agents_fault(u));
    if (u->status >= 500) {
        char sentence[64];

        (void)snprintf(sentence, sizeof(sentence), "the agent answered with status %d", u->status);
        proxy_note_failure(p, sentence);
    }
    count_end(u, complete);
    list_remove(&u->flight);
    card_free(u);
    gather_free(u);
    if (u->upload)
        upload_leave(u);
    if (u->share)
        guest_leave(u);
    if (u->extended)
        extended_free(u);
    if (u->x)
        exchange_set_user(u->x, NULL);
    if (p->spare_count < PUMP_SPARE_MAX) {
        p->spare_count++;
        list_prepend(&p->spare, &u->node);
    } else {
        free(u);
    }
    if (was_in_flight)
        p->stats.in_flight--;
    proxy_work_changed(p);
}
