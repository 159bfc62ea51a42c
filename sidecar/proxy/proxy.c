/*
 * The proxy as a whole: made, gated, counted, and a request's first steps. What happens to a
 * request after that is pump.c's (to the agent), answer.c's (back), hold.c's (waiting) and
 * local.c's (ours).
 */
#include "proxy/proxy.h"

#include "base/file.h"
#include "base/json_scan.h"
#include "log/log.h"
#include "proxy/card.h"
#include "proxy/dedupe.h"
#include "proxy/headers.h"
#include "proxy/state.h"
#include "proxy/uploads.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static const struct upstream_events upstream_events = {
    .on_ready = pump_ready,
    .on_connected = pump_connected,
};

/* ---- made and freed ---- */

static int load_bearer(struct proxy *p, struct err *err)
{
    const char *path = p->cfg->listen.bearer_tokens_file;
    int code = *path ? bearer_new(path, loop_now_ms(p->loop), &p->bearer, err) : 0;

    return code ? err_wrap(err, "listen.bearer_tokens_file") : 0;
}

/* The operator's card: a file, or made of card.name and its neighbours. */
static int load_card(struct proxy *p, struct err *err)
{
    const struct config_card *c = &p->cfg->card;

    if (*c->file) {
        int code = file_read(c->file, CARD_MAX_BYTES, &p->configured_card, err);

        if (code)
            return err_wrap(err, "card.file");
        if (json_validate(str_slice(&p->configured_card)) != JSON_OBJECT)
            return err_set(err, -EINVAL, "card.file: %s holds no JSON object", c->file);
    } else if (*c->name) {
        card_minimal(p->cfg, (struct slice){0}, &p->configured_card);
    }
    return str_ok(&p->configured_card) ? 0 : err_set(err, -ENOMEM, "no memory for the card");
}

static void init_classes(struct proxy *p)
{
    const struct config_forward *f = &p->cfg->forward;
    struct loop *l = p->loop;

    deadline_class_init(&p->hold_class, l, f->hold_timeout, hold_on_deadline, p);
    deadline_class_init(&p->connect_class, l, PUMP_CONNECT_MS, pump_on_wait, p);
    deadline_class_init(&p->response_class, l, f->response_timeout, pump_on_wait, p);
    deadline_class_init(&p->card_class, l, PUMP_CARD_MS, pump_on_wait, p);
    deadline_class_init(&p->comment_class, l, f->keepalive_interval, pump_on_wait, p);
    deadline_class_init(&p->stall_class, l, PUMP_STALL_MS, pump_on_stall, p);
    deadline_class_init(&p->finish_class, l, STREAM_FINISH_MS, stream_on_finish, p);
}

static void init_routes(struct proxy *p)
{
    str_add(&p->reported_path,
            route_prefix(card_url_path(slice_of(p->cfg->platform.reported_url))));
    p->routes = (struct route_rules){
        .strip_prefix = route_prefix(slice_of(p->cfg->forward.strip_prefix)),
        .registered_path = str_slice(&p->reported_path),
        .base_path = route_prefix(slice_of(p->cfg->agent.base_path)),
        .has_platform = p->cfg->platform.enabled,
        .has_extended =
            p->cfg->card.rewrite_extended && p->cfg->card.signatures != CARD_SIGNATURES_PASS,
    };
}

int proxy_new(struct loop *l, const struct config *cfg, const struct proxy_callbacks *cb, void *arg,
              struct proxy **ret, struct err *err)
{
    struct proxy *p = calloc(1, sizeof(*p));
    size_t requests = (size_t)cfg->listen.max_connections;
    int code;

    if (p)
        p->read_buf = malloc(PUMP_READ_BYTES);
    if (!p || !p->read_buf) {
        free(p);
        return err_set(err, -ENOMEM, "no memory for the proxy");
    }
    p->loop = l;
    p->cfg = cfg;
    if (cb)
        p->cb = *cb;
    p->cb_arg = arg;
    p->gate = PROXY_WAIT;
    p->retry_ms = HOLD_RETRY_MIN_MS;
    p->failure_logged_ms = INT64_MIN / 2;
    list_init(&p->queue);
    list_init(&p->held);
    turns_init(&p->turns);
    list_init(&p->flight);
    list_init(&p->on_way);
    list_init(&p->uploads);
    list_init(&p->spare);
    init_classes(p);
    upstream_pool_init(&p->pool, l, &cfg->agent.address, &upstream_events);
    if (cfg->agent.run_as.is_set)
        upstream_expect_peer(&p->pool, cfg->agent.run_as.uid);
    /* one block per request, a second one while the agent's head or an event comes in pieces, and
     * one more for the turn in which the one becomes the other */
    if (cfg->forward.dedupe_window > 0)
        requests += DEDUPE_ENTRIES_MAX; /* they may outlive their connections */
    buf_pool_init(&p->blocks, (size_t)cfg->listen.max_head + PUMP_BLOCK_EXTRA, 2 * requests + 3,
                  PUMP_BLOCKS_KEPT);
    init_routes(p);
    code = proxy_load_sources(cfg, &p->trusted, &p->allowed, err);
    if (!code)
        code = load_bearer(p, err);
    if (!code)
        code = dedupe_new(p, err);
    if (!code)
        code = load_card(p, err);
    if (code) {
        proxy_free(p);
        return code;
    }
    *ret = p;
    return 0;
}

void proxy_free(struct proxy *p)
{
    struct list *first;

    if (!p)
        return;
    p->cb = (struct proxy_callbacks){0}; /* whoever they lead to may be gone */
    dedupe_free(p);
    assert(list_is_empty(&p->queue) && list_is_empty(&p->held) && list_is_empty(&p->flight));
    timer_stop(&p->retry);
    if (p->turn_end.queued)
        list_remove(&p->turn_end.node);
    upstream_pool_release(&p->pool);
    while ((first = list_first(&p->spare))) {
        list_remove(first);
        free(container_of(first, struct pump, node));
    }
    buf_pool_release(&p->blocks);
    deadline_class_release(&p->hold_class);
    deadline_class_release(&p->connect_class);
    deadline_class_release(&p->response_class);
    deadline_class_release(&p->card_class);
    deadline_class_release(&p->comment_class);
    deadline_class_release(&p->stall_class);
    deadline_class_release(&p->finish_class);
    bearer_free(p->bearer);
    str_release(&p->reported_path);
    str_release(&p->configured_card);
    str_release(&p->agent_card);
    free(p->read_buf);
    free(p);
}

void proxy_set_store(struct proxy *p, struct store *store)
{
    p->store = store;
}

/* ---- counted ---- */

/* An agent that fails differently each time must not fill the log either. */
static bool may_log(struct proxy *p, bool is_new, int64_t now_ms)
{
    int64_t since_ms = now_ms - p->failure_logged_ms;

    if (since_ms >= 1000)
        p->failure_log_count = 0;
    if ((!is_new && since_ms < FAILURE_LOG_MS) || p->failure_log_count >= FAILURE_LOG_BURST)
        return false;
    p->failure_logged_ms = now_ms;
    p->failure_log_count++;
    return true;
}

void proxy_note_failure(struct proxy *p, const char *sentence)
{
    struct proxy_stats *s = &p->stats;
    int64_t now_ms = loop_now_ms(p->loop);
    CLEANUP(str_release) struct str clean = {0};
    bool is_new;

    str_add_printable(&clean, slice_of(sentence), sizeof(s->last_failure) - 1);
    is_new = strncmp(s->last_failure, str_z(&clean), sizeof(s->last_failure)) != 0;
    (void)snprintf(s->last_failure, sizeof(s->last_failure), "%s", str_z(&clean));
    s->last_failure_ms = now_ms;
    if (may_log(p, is_new, now_ms))
        log_warning("proxy", "%s", s->last_failure);
}

void proxy_work_changed(struct proxy *p)
{
    if (p->cb.on_work)
        p->cb.on_work(p->cb_arg);
}

void proxy_count(struct proxy *p, enum outcome outcome)
{
    struct proxy_stats *s = &p->stats;

    switch (outcome) {
    case OUTCOME_NONE:
        break;
    case OUTCOME_AGENT_UNAVAILABLE:
        s->outcome_agent_unavailable++;
        break;
    case OUTCOME_CONNECTION_LOST:
        s->outcome_connection_lost++;
        break;
    case OUTCOME_BAD_RESPONSE:
        s->outcome_bad_response++;
        break;
    case OUTCOME_TIMEOUT:
        s->outcome_timeout++;
        break;
    case OUTCOME_PAUSED:
        s->outcome_paused++;
        break;
    case OUTCOME_DRAINING:
        s->outcome_draining++;
        break;
    case OUTCOME_OVERLOADED:
        s->outcome_overloaded++;
        break;
    case OUTCOME_REFUSED:
        s->outcome_refused++;
        break;
    case OUTCOME_LOCAL:
        s->outcome_local++;
        break;
    }
}

const struct proxy_stats *proxy_stats(const struct proxy *p)
{
    struct proxy *mine =
        (struct proxy *)(uintptr_t)p; /* derived numbers are filled in when asked */

    mine->stats.upstream_connects_total = p->pool.connects_total;
    mine->stats.upstream_reused_total = p->pool.reused_total;
    return &p->stats;
}

/* Details such as paths and users are for those on this machine; others get the plain sentence. */
void proxy_error_answer(struct exchange *x, enum failure f, const char *sentence, bool is_json_rpc,
                        struct slice id)
{
    const struct failure_answer *a = failure_answer(f);
    CLEANUP(str_release) struct str body = {0};
    struct answer_field fields[3];
    size_t count = 0;
    char seconds[16];

    error_body(&body, f, exchange_peer_is_loopback(x) ? sentence : NULL, is_json_rpc, id);
    if (a->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%d", a->retry_after_s);
        fields[count++] = (struct answer_field){"Retry-After", slice_of(seconds)};
    }
    if (f == FAILURE_UNAUTHORIZED)
        fields[count++] = (struct answer_field){"WWW-Authenticate", SLICE("Bearer")};
    if (!is_json_rpc) /* a POST's is not kept anyway; a card's error must not outlive its cause */
        fields[count++] = (struct answer_field){"Cache-Control", SLICE("no-store")};
    if (a->closes)
        exchange_set_last(x);
    exchange_note(x, a->note);
    if (str_ok(&body))
        exchange_answer(x, a->status, "application/json", fields, count, str_slice(&body));
    else
        exchange_abort(x);
}

void proxy_shed_answer(struct proxy *p, struct exchange *x, enum failure f, const char *sentence,
                       bool is_json_rpc, struct slice id)
{
    const char *note = failure_answer(f)->shed_note;

    if (p->cfg->forward.shed != SHED_CLOSE || !note) {
        proxy_error_answer(x, f, sentence, is_json_rpc, id);
        return;
    }
    p->stats.shed_total++;
    exchange_note(x, note);
    exchange_hang_up(x);
}

void proxy_refuse(struct proxy *p, struct exchange *x, enum failure f, enum outcome outcome)
{
    proxy_count(p, outcome);
    proxy_error_answer(x, f, NULL, error_is_json_rpc(exchange_request(x)), (struct slice){0});
}

/* ---- gated ---- */

enum proxy_gate proxy_gate(const struct proxy *p)
{
    return p->gate;
}

void proxy_set_gate(struct proxy *p, enum proxy_gate gate)
{
    p->gate = gate;
    switch (gate) {
    case PROXY_OPEN:
        hold_open(p);
        break;
    case PROXY_PAUSED:
        hold_fail(p, FAILURE_PAUSED);
        break;
    case PROXY_LOST:
        hold_fail(p, FAILURE_UNAVAILABLE);
        break;
    case PROXY_DRAINING:
        hold_open(p); /* who waited for the agent goes on looking for it */
        stream_end_finished(p);
        break;
    case PROXY_WAIT:
        break;
    }
}

void proxy_set_last(struct proxy *p, bool on)
{
    p->is_last = on;
}

void proxy_drop_upstreams(struct proxy *p)
{
    upstream_drop_idle(&p->pool);
}

void proxy_fail_in_flight(struct proxy *p)
{
    struct list *first;

    hold_fail(p, FAILURE_DRAINING);
    while ((first = list_first(&p->on_way)))
        pump_abort(container_of(first, struct pump, way));
    LIST_FOREACH(node, &p->flight)
    {
        struct pump *u = container_of(node, struct pump, flight);

        if (u->state != PUMP_DONE)
            pump_abort(u);
    }
}

/* ---- a request's first steps ---- */

static void send_now(struct pump *u)
{
    hold_take_place(u);
    pump_on_way(u);
    pump_queue(u);
}

/* It could neither go nor wait. */
static enum failure why_not_held(const struct proxy *p)
{
    return p->gate == PROXY_OPEN || p->cfg->forward.hold_timeout > 0 ? FAILURE_OVERLOADED
                                                                     : FAILURE_UNAVAILABLE;
}

void proxy_admit(struct pump *u)
{
    struct proxy *p = u->proxy;

    switch (p->gate) {
    case PROXY_OPEN:
    case PROXY_DRAINING: /* proxy_turns_away() let it in before */
    case PROXY_WAIT:
        if (p->gate != PROXY_WAIT && hold_may_pass(p))
            send_now(u);
        else if (!hold_put(u, 0))
            pump_fail(u, why_not_held(p), NULL);
        break;
    case PROXY_PAUSED:
        pump_fail(u, FAILURE_PAUSED, NULL);
        break;
    case PROXY_LOST:
        pump_fail(u, FAILURE_UNAVAILABLE, NULL);
        break;
    }
}

void proxy_launch(struct pump *u, const struct http_request *rq, const struct route *route)
{
    struct proxy *p = u->proxy;
    int code = 0;

    if (p->routes.has_extended && !u->share)
        code = extended_begin(u, rq, route);
    if (!code)
        code = pump_prepare(u, rq, route);
    if (p->is_last)
        exchange_set_last(u->x);
    if (code == -ELOOP)
        pump_fail(u, FAILURE_LOOP, NULL);
    else if (code == -E2BIG)
        pump_fail(u, FAILURE_HEAD_TOO_LARGE, NULL);
    else if (code == -EADDRNOTAVAIL)
        pump_fail(u, FAILURE_BAD_HOST, NULL);
    else if (code)
        pump_fail(u, FAILURE_OVERLOADED, NULL);
    else if (!u->is_peeking)
        proxy_admit(u);
}

/* One that was for the agent. */
static void refuse_forward(struct proxy *p, struct exchange *x, enum failure f)
{
    proxy_count(p, pump_outcome(f));
    proxy_shed_answer(p, x, f, NULL, error_is_json_rpc(exchange_request(x)), (struct slice){0});
}

/* The card's and errors' questions are answered by now; this one is for the agent. */
static void forward(struct proxy *p, struct exchange *x, const struct route *route)
{
    struct pump *u = pump_new(p, x);

    if (u)
        proxy_launch(u, exchange_request(x), route);
    else
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED); /* no memory: ours to say */
}

bool proxy_turns_away(const struct proxy *p, enum failure *ret)
{
    switch (p->gate) {
    case PROXY_WAIT:
    case PROXY_OPEN:
        return false;
    case PROXY_PAUSED:
        *ret = FAILURE_PAUSED;
        return true;
    case PROXY_DRAINING:
        *ret = FAILURE_DRAINING;
        return true;
    case PROXY_LOST:
        *ret = FAILURE_UNAVAILABLE;
        return true;
    }
    return false;
}

static void on_request(void *ctx, struct exchange *x)
{
    struct proxy *p = ctx;
    const struct http_request *rq = exchange_request(x);
    struct route route;
    enum failure f;

    if (p->allowed.n > 0 && !sources_has(&p->allowed, exchange_peer_sa(x))) {
        proxy_refuse(p, x, FAILURE_FORBIDDEN, OUTCOME_REFUSED);
        return;
    }
    route = route_pick(&p->routes, rq->method, rq->target, rq->path);
    if (local_answer(p, x, &route))
        return;
    if (p->dedupe && dedupe_take(p, x))
        return;
    if (proxy_turns_away(p, &f))
        refuse_forward(p, x, f);
    else
        forward(p, x, &route);
}

static size_t on_body(struct exchange *x, struct slice bytes)
{
    struct pump *u = exchange_user(x);

    if (!u)
        return collect_on_body(x, bytes);
    if (u->upload)
        return upload_on_body(u, bytes);
    return u->is_guest ? dedupe_on_body(u, bytes) : pump_body(u, bytes);
}

static void on_body_end(struct exchange *x)
{
    struct pump *u = exchange_user(x);

    if (!u)
        collect_on_body_end(x);
    else if (u->upload)
        upload_on_body_end(u);
    else if (u->is_guest)
        dedupe_on_body_end(u);
    else
        pump_body_end(u);
}

static void on_drained(struct exchange *x)
{
    struct pump *u = exchange_user(x);

    if (u && u->is_guest)
        guest_drained(u);
    else if (u)
        pump_drained(u);
}

static void on_end(struct exchange *x, bool complete)
{
    struct pump *u = exchange_user(x);

    if (u)
        pump_end(u, complete);
    else
        collect_on_end(x, complete);
}

const struct handler proxy_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_end = on_end,
};
