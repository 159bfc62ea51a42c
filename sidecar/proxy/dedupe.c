/*
 * Which requests are repeats: bodies gathered, keys made, shares found, bounded and forgotten. How
 * one answer reaches many clients is share.c's.
 */
#include "proxy/dedupe.h"

#include "proxy/headers.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/banned.h"

/* ---- made and freed ---- */

static void on_window_over(struct deadline *d, void *arg)
{
    struct share *s = container_of(d, struct share, window);

    (void)arg;
    share_unlist(s);
    share_put(s);
}

int dedupe_new(struct proxy *p, struct err *err)
{
    struct dedupe *d;

    if (p->cfg->forward.dedupe_window <= 0)
        return 0;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, -ENOMEM, "no memory for forward.dedupe_window");
    d->proxy = p;
    list_init(&d->all);
    list_init(&d->stored);
    for (size_t i = 0; i < DEDUPE_BUCKETS; i++)
        list_init(&d->buckets[i]);
    deadline_class_init(&d->window_class, p->loop, p->cfg->forward.dedupe_window, on_window_over,
                        d);
    p->dedupe = d;
    return 0;
}

void dedupe_free(struct proxy *p)
{
    struct dedupe *d = p->dedupe;
    struct list *first;

    if (!d)
        return;
    while ((first = list_first(&d->all))) {
        struct share *s = container_of(first, struct share, node);
        struct pump *leader = s->leader;

        deferred_cancel(&s->end);
        share_unlist(s);
        s->leader = NULL;
        if (leader) {
            leader->share = NULL;
            pump_end(leader, false);
        }
        share_put(s); /* the servers are gone, and with them the guests */
    }
    deadline_class_release(&d->window_class);
    p->dedupe = NULL;
    free(d);
}

static struct share *share_new(struct dedupe *d, const uint8_t key[DEDUPE_KEY_BYTES])
{
    struct share *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->dedupe = d;
    list_init(&s->bucket);
    list_init(&s->age);
    list_init(&s->guests);
    list_append(&d->all, &s->node);
    memcpy(s->key, key, DEDUPE_KEY_BYTES);
    return s;
}

void share_put(struct share *s)
{
    if (s->is_listed || s->leader || !list_is_empty(&s->guests))
        return;
    list_remove(&s->node);
    s->dedupe->answer_bytes -= s->body.len + (s->status ? s->fields.len : 0);
    str_release(&s->id);
    str_release(&s->reason);
    str_release(&s->fields);
    str_release(&s->body);
    free(s);
}

/* ---- remembered ---- */

static struct list *bucket_of(struct dedupe *d, const uint8_t key[DEDUPE_KEY_BYTES])
{
    return &d->buckets[(((size_t)key[0] << 8) | key[1]) % DEDUPE_BUCKETS];
}

static struct share *find(struct dedupe *d, const uint8_t key[DEDUPE_KEY_BYTES])
{
    LIST_FOREACH(node, bucket_of(d, key))
    {
        struct share *s = container_of(node, struct share, bucket);

        if (memcmp(s->key, key, DEDUPE_KEY_BYTES) == 0)
            return s;
    }
    return NULL;
}

static void list_it(struct share *s)
{
    s->is_listed = true;
    s->dedupe->listed++;
    list_append(bucket_of(s->dedupe, s->key), &s->bucket);
}

void share_unlist(struct share *s)
{
    if (!s->is_listed)
        return;
    s->is_listed = false;
    s->dedupe->listed--;
    list_remove(&s->bucket);
    list_remove(&s->age);
    deadline_stop(&s->dedupe->window_class, &s->window);
}

/* False: there is none. */
static bool forget_oldest(struct dedupe *d)
{
    struct list *first = list_first(&d->stored);
    struct share *s;

    if (!first)
        return false;
    s = container_of(first, struct share, age);
    share_unlist(s);
    share_put(s);
    return true;
}

bool dedupe_has_room(struct dedupe *d, size_t n)
{
    while (d->answer_bytes + n > DEDUPE_ANSWERS_MAX) {
        if (!forget_oldest(d))
            return false;
    }
    return true;
}

static bool has_place(struct dedupe *d)
{
    return d->listed < DEDUPE_ENTRIES_MAX || forget_oldest(d);
}

/* ---- keys ---- */

static bool name_holds(struct slice name, struct slice word)
{
    for (size_t i = 0; i + word.n <= name.n; i++) {
        if (slice_eq_nocase((struct slice){name.p + i, word.n}, word))
            return true;
    }
    return false;
}

/*
 * What a proxy or a tracer writes anew for each attempt. All else counts: a field too many means
 * that a repeat is not known for one, a field too few that somebody gets another's answer.
 */
static bool is_per_attempt(const struct http_field *f)
{
    static const struct slice names[] = {
        SLICE_INIT("tracestate"),        SLICE_INIT("baggage"),         SLICE_INIT("b3"),
        SLICE_INIT("x-correlation-id"),  SLICE_INIT("x-amzn-trace-id"), SLICE_INIT("x-b3-traceid"),
        SLICE_INIT("x-b3-spanid"),       SLICE_INIT("x-b3-sampled"),    SLICE_INIT("x-b3-flags"),
        SLICE_INIT("x-b3-parentspanid"),
    };

    switch (f->id) {
    case FIELD_CONTENT_LENGTH: /* the body says it */
    case FIELD_DATE:
    case FIELD_VIA:
    case FIELD_FORWARDED:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PREFIX:
    case FIELD_TRACEPARENT:
    case FIELD_X_REQUEST_ID:
        return true;
    case FIELD_OTHER:
        break;
    default: /* for the agent */
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq_nocase(f->name, names[i]))
            return true;
    }
    return false;
}

static bool matters(const struct http_field *f)
{
    return !f->is_hop && !is_per_attempt(f);
}

/* With its length in front, so that no two lists of parts look the same. */
static bool add(EVP_MD_CTX *ctx, struct slice part)
{
    uint64_t n = part.n;

    return EVP_DigestUpdate(ctx, &n, sizeof(n)) == 1 &&
           (n == 0 || EVP_DigestUpdate(ctx, part.p, part.n) == 1);
}

static bool make_key(const struct exchange *x, struct slice body, uint8_t ret[DEDUPE_KEY_BYTES])
{
    const struct http_request *rq = exchange_request(x);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && add(ctx, rq->target) &&
              add(ctx, exchange_client(x)); /* who a client certificate says it is */

    for (size_t i = 0; ok && i < rq->field_count; i++) {
        if (matters(&rq->fields[i]))
            ok = add(ctx, rq->fields[i].name) && add(ctx, rq->fields[i].value);
    }
    ok = ok && add(ctx, body) && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* ---- the body, gathered ---- */

void gather_free(struct pump *u)
{
    if (!u->gather)
        return;
    u->proxy->dedupe->gather_bytes -= u->gather->body.len;
    str_release(&u->gather->body);
    free(u->gather);
    u->gather = NULL;
}

void gather_feed(struct pump *u)
{
    struct gather *g = u->gather;
    bool is_whole = g->is_whole;

    if (g->fed < g->body.len)
        g->fed += pump_body(u, (struct slice){g->body.p + g->fed, g->body.len - g->fed});
    if (g->fed < g->body.len)
        return; /* pump_flush() asks for more */
    gather_free(u);
    if (is_whole)
        pump_body_end(u);
    else
        exchange_resume_body(u->x);
}

static bool accepts_streams(const struct http_request *rq)
{
    for (size_t i = 0; i < rq->field_count; i++) {
        if (slice_eq_nocase(rq->fields[i].name, SLICE("accept")) &&
            name_holds(rq->fields[i].value, SLICE("text/event-stream")))
            return true;
    }
    return false;
}

static bool is_candidate(const struct http_request *rq)
{
    if (rq->method != HTTP_POST || http_request_field(rq, FIELD_EXPECT) || accepts_streams(rq))
        return false;
    if (rq->framing == HTTP_BODY_LENGTH)
        return rq->content_length > 0 && rq->content_length <= DEDUPE_BODY_MAX;
    return rq->framing == HTTP_BODY_CHUNKED;
}

bool dedupe_take(struct proxy *p, struct exchange *x)
{
    struct pump *u;
    enum failure f;

    if (!is_candidate(exchange_request(x)))
        return false;
    u = pump_new(p, x);
    if (!u) {
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED);
        return true;
    }
    u->is_guest = true;
    u->is_json_rpc = error_is_json_rpc(exchange_request(x));
    u->gather = calloc(1, sizeof(*u->gather));
    if (!u->gather || exchange_keep_head(x) != 0)
        pump_fail(u, FAILURE_OVERLOADED, NULL);
    else if (!proxy_turns_away(p, &f))
        pump_on_way(u); /* as without us: who came before a drain is waited for */
    return true;
}

static void launch(struct pump *u, struct exchange *x)
{
    const struct http_request *rq = exchange_request(x);
    struct route route = route_pick(&u->proxy->routes, rq->method, rq->target, rq->path);

    proxy_launch(u, rq, &route);
}

/*
 * The gate says no: as any other request would be told, with the id that is in the body. A drain
 * has nothing to say to one whose head was here before it.
 */
static bool is_turned_away(struct pump *u)
{
    struct slice body = str_slice(&u->gather->body);
    enum failure f;

    if (!proxy_turns_away(u->proxy, &f) || (f == FAILURE_DRAINING && !list_is_empty(&u->way)))
        return false;
    if (u->is_json_rpc)
        u->id = error_find_id(body); /* lives until the pump ends */
    pump_fail(u, f, NULL);
    return true;
}

/* The usual way, with what was gathered in front. */
static void pass_by(struct pump *u)
{
    if (is_turned_away(u))
        return;
    u->is_guest = false;
    launch(u, u->x);
    gather_feed(u);
}

size_t dedupe_on_body(struct pump *u, struct slice bytes)
{
    struct dedupe *d = u->proxy->dedupe;
    struct gather *g = u->gather;

    if (u->state == PUMP_DONE)
        return bytes.n;
    if (g->body.len + bytes.n <= DEDUPE_BODY_MAX &&
        d->gather_bytes + bytes.n <= DEDUPE_GATHER_MAX) {
        size_t before = g->body.len;

        str_add(&g->body, bytes);
        d->gather_bytes += g->body.len - before;
        if (!str_ok(&g->body))
            pump_fail(u, FAILURE_OVERLOADED, NULL);
        return bytes.n;
    }
    pass_by(u);
    if (u->state == PUMP_DONE)
        return bytes.n;
    if (u->gather)
        return 0; /* the pump is full; gather_feed() asks for the rest */
    return pump_body(u, bytes);
}

/* The first of its kind: to the agent with it. */
static void lead(struct dedupe *d, struct pump *u, const uint8_t key[DEDUPE_KEY_BYTES])
{
    struct share *s = share_new(d, key);
    struct pump *leader = s ? pump_alloc(d->proxy) : NULL;

    if (!leader) {
        if (s)
            share_put(s);
        pump_fail(u, FAILURE_OVERLOADED, NULL);
        return;
    }
    s->leader = leader;
    s->is_json_rpc = u->is_json_rpc;
    if (u->is_json_rpc)
        str_add(&s->id, error_find_id(str_slice(&u->gather->body)));
    list_it(s);
    leader->share = s;
    leader->order = u->order;
    leader->arrived_ms = u->arrived_ms;
    leader->peer = turn_peer_of(exchange_peer_sa(u->x));
    leader->gather = u->gather;
    u->gather = NULL;
    share_join(s, u);
    leader->x = u->x; /* only to tell the agent who asks */
    launch(leader, u->x);
    leader->x = NULL;
    gather_feed(leader);
}

void dedupe_on_body_end(struct pump *u)
{
    struct dedupe *d = u->proxy->dedupe;
    uint8_t key[DEDUPE_KEY_BYTES];
    struct share *known;

    if (u->state == PUMP_DONE)
        return;
    u->gather->is_whole = true;
    if ((d->proxy->routes.has_extended && extended_is_named(str_slice(&u->gather->body))) ||
        !make_key(u->x, str_slice(&u->gather->body), key)) {
        pass_by(u); /* a card is made for who asks, and asking again costs nothing */
        return;
    }
    known = find(d, key);
    if (known) {
        gather_free(u);
        d->proxy->stats.deduped_total++;
        exchange_note(u->x, "deduped");
        share_join(known, u);
    } else if (!has_place(d)) {
        pass_by(u);
    } else if (!is_turned_away(u)) {
        lead(d, u, key);
    }
}
