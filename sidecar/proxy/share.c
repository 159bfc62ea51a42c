/*
 * One answer for many: what the agent says to a leader goes into the share, and from there to each
 * guest as fast as that takes it. dedupe.c decides who shares.
 *
 * A listed share holds the answer from its first byte, so a guest may come late. A share that is
 * not kept is a window between the agent and the slowest guest, bounded by SHARE_AHEAD_MAX.
 */
#include "proxy/dedupe.h"
#include "proxy/headers.h"

#include "base/banned.h"

/* ---- guests ---- */

static struct pump *guest_of(struct list *node)
{
    return container_of(node, struct pump, guest);
}

static bool give_head(struct pump *u)
{
    struct share *s = u->share;
    struct slice rest = str_slice(&s->fields);

    exchange_head_begin(u->x, s->status, str_slice(&s->reason));
    while (rest.n > 0) {
        const char *colon = memchr(rest.p, ':', rest.n);
        const char *end = memchr(rest.p, '\r', rest.n);

        exchange_head_field(u->x, (struct slice){rest.p, (size_t)(colon - rest.p)},
                            (struct slice){colon + 2, (size_t)(end - colon - 2)});
        rest.n -= (size_t)(end + 2 - rest.p);
        rest.p = end + 2;
    }
    if (u->proxy->cfg->forward.via)
        exchange_head_relay(u->x, &headers_via);
    if (u->proxy->is_last)
        exchange_set_last(u->x);
    if (exchange_head_end(u->x, s->framing, s->length) != 0) {
        u->state = PUMP_DONE;
        u->outcome = OUTCOME_BAD_RESPONSE;
        proxy_error_answer(u->x, FAILURE_BAD_RESPONSE, NULL, s->is_json_rpc, str_slice(&s->id));
        return false;
    }
    exchange_set_stream(u->x, s->is_stream);
    return true;
}

/* What is there and was not given yet. */
static void guest_feed(struct pump *u)
{
    struct share *s = u->share;
    uint64_t end = s->base + s->body.len;

    if (s->status == 0 || u->state == PUMP_DONE || u->is_paused)
        return;
    if (u->state != PUMP_RELAYING && !give_head(u))
        return;
    u->state = PUMP_RELAYING;
    while (u->guest_at < end && !u->is_paused) {
        size_t n = (size_t)(end - u->guest_at);

        if (n > EXCHANGE_WRITE_MAX)
            n = EXCHANGE_WRITE_MAX;
        u->is_paused =
            !exchange_body(u->x, (struct slice){s->body.p + (size_t)(u->guest_at - s->base), n});
        u->guest_at += n;
    }
    if (s->is_complete && u->guest_at == end) {
        u->state = PUMP_DONE;
        exchange_finish(u->x);
    }
}

/* Of an answer that is not kept: what all have got goes. */
static void trim(struct share *s)
{
    uint64_t least = s->base + s->body.len;
    size_t gone;

    if (s->is_listed)
        return;
    LIST_FOREACH(node, &s->guests)
    {
        const struct pump *u = guest_of(node);

        if (u->state != PUMP_DONE && u->guest_at < least)
            least = u->guest_at;
    }
    gone = (size_t)(least - s->base);
    if (gone == 0)
        return;
    memmove(s->body.p, s->body.p + gone, s->body.len - gone);
    str_truncate(&s->body, s->body.len - gone);
    s->base = least;
    s->dedupe->answer_bytes -= gone;
}

static void go_on(struct share *s)
{
    trim(s);
    if (s->leader && s->body.len < SHARE_AHEAD_MAX)
        pump_drained(s->leader); /* harmless when it was not paused */
}

void share_join(struct share *s, struct pump *guest)
{
    guest->share = s;
    list_append(&s->guests, &guest->guest);
    if (s->leader)
        pump_off_way(guest); /* what is waited for is the leader's answer */
    guest_feed(guest);
}

void guest_drained(struct pump *u)
{
    u->is_paused = false;
    if (!u->share)
        return;
    guest_feed(u);
    go_on(u->share);
}

void guest_leave(struct pump *u)
{
    struct share *s = u->share;

    u->share = NULL;
    list_remove(&u->guest);
    if (s->leader && list_is_empty(&s->guests) && s->leader->state < PUMP_SENT)
        share_unlist(s); /* nothing was handed over: the next one may begin anew */
    if (s->leader && list_is_empty(&s->guests) && !s->is_listed && s->leader->state != PUMP_DONE)
        pump_abort(s->leader);
    go_on(s);
    share_put(s);
}

/* ---- the leader's end ---- */

static void on_leader_end(struct deferred *d)
{
    struct share *s = container_of(d, struct share, end);
    struct pump *u = s->leader;

    s->leader = NULL;
    u->share = NULL;
    LIST_FOREACH(node, &s->guests)
    {
        pump_on_way(guest_of(node)); /* their clients still read */
    }
    share_put(s);
    pump_end(u, true); /* last: it tells app/ */
}

/* Whoever is up the stack may still look at it in this turn. */
static void leader_over(struct pump *u)
{
    loop_defer(u->proxy->loop, &u->share->end, on_leader_end);
}

/* ---- the leader's answer ---- */

/* May a repeat get this answer, too? */
static bool is_keepable(const struct http_response *r)
{
    const struct http_field *vary = http_response_field(r, FIELD_VARY);

    if (r->is_event_stream || r->status >= 500)
        return false;
    if (r->status == 408 || r->status == 425 || r->status == 429)
        return false; /* it asks to come again, and then for another answer */
    if (vary && memchr(vary->value.p, '*', vary->value.n))
        return false; /* it depends on what nobody can name */
    return !http_response_field(r, FIELD_RETRY_AFTER) &&
           (r->framing != HTTP_BODY_LENGTH || r->content_length <= DEDUPE_ANSWER_MAX);
}

static void stop_keeping(struct share *s)
{
    share_unlist(s);
    trim(s);
}

static void keep_field(struct share *s, const struct http_field *f)
{
    str_add(&s->fields, f->name);
    str_addz(&s->fields, ": ");
    str_add(&s->fields, f->value);
    str_addz(&s->fields, "\r\n");
}

void share_on_head(struct pump *u, const struct http_response *r, enum http_framing framing)
{
    struct share *s = u->share;

    s->framing = framing;
    s->length = r->content_length;
    s->is_stream = r->is_event_stream && r->framing != HTTP_BODY_NONE;
    str_add(&s->reason, r->reason);
    for (size_t i = 0; i < r->field_count; i++) {
        if (headers_passes_back(r, &r->fields[i]))
            keep_field(s, &r->fields[i]);
    }
    if (headers_wants_unbuffered(r))
        keep_field(s, &headers_unbuffered);
    if (!str_ok(&s->reason) || !str_ok(&s->fields)) {
        pump_fail(u, FAILURE_OVERLOADED, NULL);
        return;
    }
    if (!is_keepable(r) || !dedupe_has_room(s->dedupe, s->fields.len))
        share_unlist(s);
    s->dedupe->answer_bytes += s->fields.len;
    s->status = r->status;
    if (list_is_empty(&s->guests) && !s->is_listed) { /* nobody wants it, and nobody will */
        pump_abort(u);
        return;
    }
    LIST_FOREACH(node, &s->guests)
    {
        guest_feed(guest_of(node));
    }
}

void share_on_interim(struct pump *u, const struct http_response *r)
{
    LIST_FOREACH(node, &u->share->guests)
    {
        exchange_interim(guest_of(node)->x, r->status, r->fields, r->field_count);
    }
}

bool share_on_body(struct pump *u, struct slice bytes)
{
    struct share *s = u->share;

    if (s->is_listed &&
        (s->body.len + bytes.n > DEDUPE_ANSWER_MAX || !dedupe_has_room(s->dedupe, bytes.n)))
        stop_keeping(s);
    if (list_is_empty(&s->guests) && !s->is_listed) {
        pump_abort(u);
        return false;
    }
    str_add(&s->body, bytes);
    if (!str_ok(&s->body)) {
        pump_fail(u, FAILURE_OVERLOADED, NULL);
        return false;
    }
    s->dedupe->answer_bytes += bytes.n;
    LIST_FOREACH(node, &s->guests)
    {
        guest_feed(guest_of(node));
    }
    trim(s);
    return s->is_listed || s->body.len < SHARE_AHEAD_MAX;
}

void share_on_complete(struct pump *u)
{
    struct share *s = u->share;

    s->is_complete = true;
    if (s->is_listed) {
        list_append(&s->dedupe->stored, &s->age);
        deadline_start(&s->dedupe->window_class, &s->window);
    }
    LIST_FOREACH(node, &s->guests)
    {
        guest_feed(guest_of(node));
    }
    leader_over(u);
}

void share_on_failure(struct pump *u, enum failure f, const char *sentence)
{
    struct share *s = u->share;
    bool agent_saw_nothing = u->state < PUMP_SENT;

    pump_reset(u);
    u->state = PUMP_DONE;
    share_unlist(s);
    LIST_FOREACH(node, &s->guests)
    {
        struct pump *guest = guest_of(node);

        if (guest->state == PUMP_DONE)
            continue;
        guest->outcome = u->outcome;
        if (guest->state == PUMP_RELAYING) {
            exchange_note(guest->x, failure_answer(f)->note);
            exchange_abort(guest->x);
        } else if (agent_saw_nothing) {
            proxy_shed_answer(u->proxy, guest->x, f, sentence, s->is_json_rpc, str_slice(&s->id));
        } else {
            proxy_error_answer(guest->x, f, sentence, s->is_json_rpc, str_slice(&s->id));
        }
        guest->state = PUMP_DONE;
    }
    leader_over(u);
}

void share_on_abort(struct pump *u)
{
    struct share *s = u->share;

    share_unlist(s);
    LIST_FOREACH(node, &s->guests)
    {
        if (guest_of(node)->state != PUMP_DONE)
            exchange_abort(guest_of(node)->x);
        guest_of(node)->state = PUMP_DONE;
    }
    leader_over(u);
}
