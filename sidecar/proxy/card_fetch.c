/*
 * A request for the card: fetched from the agent as it is now, rewritten, answered. When the agent
 * cannot be asked (it starts, is held, drains, is stuck), the last good card answers, else the
 * configured one; 503 only when there never was one, or when the agent is lost for good. Such a
 * request never waits in hold.
 *
 * Source: A section 3.6; design sections 6 and 8.
 */
#include "base/json_scan.h"
#include "log/log.h"
#include "proxy/card.h"
#include "proxy/headers.h"
#include "proxy/state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

static const struct answer_hook card_hook;

enum { ATTEMPTS_MAX = 4 }; /* names a card may have: as asked, old or new, below base_path */

struct card_fetch {
    struct route route; /* target points into the kept head */
    unsigned attempt;
    bool has_fallback; /* a well-known name: the last good card may answer */
    bool is_public;    /* nobody in particular asked: others may get it from memory */
    bool is_refused;   /* what the agent sent is no card: that is said, and nothing else */
    struct str path;   /* of the attempt under way */
    struct str fields; /* of the agent's answer, "Name: value\r\n" each */
    struct str body;
};

/* ---- under which address the world knows us ---- */

static bool is_trusted(const struct proxy *p, struct exchange *x)
{
    return p->trusted.n > 0 && sources_has(&p->trusted, exchange_peer_sa(x));
}

static struct slice first_item(struct slice list)
{
    struct slice item = {0};

    (void)slice_next(&list, ',', &item); /* false: item stays empty */
    return item;
}

static bool prefix_is_valid(struct slice prefix)
{
    if (prefix.n == 0 || prefix.p[0] != '/')
        return false;
    for (size_t i = 0; i < prefix.n; i++) {
        if ((unsigned char)prefix.p[i] <= ' ' || (unsigned char)prefix.p[i] >= 0x7F ||
            strchr("\\\"<>^`{|}?#", prefix.p[i]))
            return false;
    }
    return true;
}

void card_find_base(const struct proxy *p, struct exchange *x, struct str *url,
                    struct card_base *ret)
{
    const struct http_request *rq = exchange_request(x);
    struct slice scheme = exchange_is_tls(x) ? SLICE("https") : SLICE("http");
    struct slice host = rq->host;
    struct slice prefix = {0};

    *ret = (struct card_base){.agent_prefix = p->routes.base_path,
                              .strip_prefix = p->routes.strip_prefix};
    if (*p->cfg->listen.public_url) {
        ret->url = route_prefix(slice_of(p->cfg->listen.public_url));
        return;
    }
    if (is_trusted(p, x)) {
        struct slice proto = first_item(http_request_value(rq, "x-forwarded-proto"));
        struct slice named = first_item(http_request_value(rq, "x-forwarded-host"));
        struct slice path = route_prefix(http_request_value(rq, "x-forwarded-prefix"));

        if (slice_eq_nocase(proto, SLICE("https")))
            scheme = SLICE("https");
        else if (proto.n > 0)
            scheme = SLICE("http");
        if (card_host_is_valid(named))
            host = named;
        if (prefix_is_valid(path))
            prefix = path;
    }
    if (!card_host_is_valid(host))
        return;
    str_add(url, scheme);
    str_addz(url, "://");
    str_add(url, host);
    str_add(url, prefix);
    str_add(url, p->routes.strip_prefix);
    ret->url = str_slice(url);
    if (prefix.n > 0) /* the proxy has cut it off: the agent knows nothing of it */
        ret->agent_prefix = (struct slice){0};
}

/*
 * With a Host that no card can carry, the agent's own address would go out. (Without any, in
 * HTTP/1.0, a health check asks, to whom the address is all the same.)
 */
static bool has_bad_host(const struct proxy *p, struct exchange *x)
{
    CLEANUP(str_release) struct str url = {0};
    struct card_base base;

    card_find_base(p, x, &url, &base);
    return base.url.n == 0 && exchange_request(x)->host.n > 0;
}

/* ---- the answer ---- */

static bool origin_is_allowed(const struct proxy *p, struct slice origin)
{
    const struct string_list *allowed = &p->cfg->listen.cors_origins;

    for (size_t i = 0; i < allowed->n && origin.n > 0; i++) {
        struct slice one = slice_of(allowed->v[i]);

        if (slice_eq(one, SLICE("*")) || slice_eq_nocase(one, origin))
            return true;
    }
    return false;
}

/* Validators and digests belong to the agent's bytes, not to ours. */
static bool is_about_bytes(struct slice name)
{
    static const struct slice names[] = {
        SLICE_INIT("etag"),          SLICE_INIT("last-modified"),  SLICE_INIT("content-md5"),
        SLICE_INIT("digest"),        SLICE_INIT("content-digest"), SLICE_INIT("repr-digest"),
        SLICE_INIT("accept-ranges"), SLICE_INIT("content-length"), SLICE_INIT("content-encoding"),
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq_nocase(name, names[i]))
            return true;
    }
    return false;
}

/* What a 304 repeats: what a cache looks at, and a browser's permission to read. */
static bool is_for_304(struct slice name)
{
    static const struct slice names[] = {
        SLICE_INIT("cache-control"),
        SLICE_INIT("vary"),
        SLICE_INIT("expires"),
        SLICE_INIT("access-control-allow-origin"),
        SLICE_INIT("access-control-allow-credentials"),
        SLICE_INIT("access-control-expose-headers"),
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq_nocase(name, names[i]))
            return true;
    }
    return false;
}

void card_put_fields(struct exchange *x, struct slice lines, bool is_304, bool is_whole)
{
    while (lines.n > 0) {
        const char *end = memchr(lines.p, '\r', lines.n);
        const char *colon = memchr(lines.p, ':', lines.n);
        struct slice name = {lines.p, (size_t)(colon - lines.p)};
        struct slice value = {colon + 2, (size_t)(end - colon - 2)};

        if (is_304 ? is_for_304(name) : is_whole || !is_about_bytes(name))
            exchange_head_field(x, name, value);
        lines.n -= (size_t)(end + 2 - lines.p);
        lines.p = end + 2;
    }
}

void card_put_vary(const struct proxy *p, struct exchange *x)
{
    if (!*p->cfg->listen.public_url && p->trusted.n > 0)
        exchange_head_field(x, SLICE("Vary"),
                            SLICE("X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Prefix"));
}

/* A list may come in several fields. */
static bool is_known(const struct http_request *rq, const char *etag)
{
    for (size_t i = 0; i < rq->field_count; i++) {
        if (rq->fields[i].id == FIELD_IF_NONE_MATCH && card_etag_matches(rq->fields[i].value, etag))
            return true;
    }
    return false;
}

void card_send(struct proxy *p, struct exchange *x, struct slice card, struct slice kept)
{
    const struct http_request *rq = exchange_request(x);
    struct slice origin = http_request_value(rq, "origin");
    char etag[CARD_ETAG_BYTES];
    bool is_304;

    card_etag(card, etag);
    is_304 = is_known(rq, etag);
    exchange_note(x, "card");
    exchange_head_begin(x, is_304 ? 304 : 200, (struct slice){0});
    if (kept.n > 0) {
        card_put_fields(x, kept, is_304, false);
    } else {
        exchange_head_field(x, SLICE("Content-Type"), SLICE("application/json"));
        exchange_head_field(x, SLICE("Cache-Control"), SLICE("no-cache"));
    }
    exchange_head_field(x, SLICE("ETag"), slice_of(etag));
    card_put_vary(p, x);
    if (p->is_last)
        exchange_set_last(x);
    if (p->cfg->listen.cors_origins.n > 0) {
        exchange_head_field(x, SLICE("Vary"), SLICE("Origin"));
        if (origin_is_allowed(p, origin))
            exchange_head_field(x, SLICE("Access-Control-Allow-Origin"), origin);
    }
    if (exchange_head_end(x, is_304 ? HTTP_BODY_NONE : HTTP_BODY_LENGTH, (int64_t)card.n) != 0) {
        exchange_abort(x);
        return;
    }
    if (!is_304)
        (void)exchange_body(x, card); /* all of it is taken */
    exchange_finish(x);
}

void card_say(struct proxy *p, int remarks)
{
    int news = remarks & ~p->card_remarks;

    p->card_remarks |= news;
    if (news & CARD_UNREACHABLE)
        log_error("proxy", "the agent's card names no binding that can pass here (JSONRPC or "
                           "HTTP+JSON); its addresses are published as they are");
    if (news & CARD_UNMAPPED)
        log_warning("proxy", "an address in the agent's card is no http, https or grpc URL; it is "
                             "published as it is");
}

/* 0, or a negative errno with a sentence. */
static int rewrite(struct proxy *p, struct exchange *x, struct slice card, struct str *out,
                   struct err *err)
{
    CLEANUP(str_release) struct str url = {0};
    struct card_base base;
    int code;

    card_find_base(p, x, &url, &base);
    code = card_rewrite(card, &base, p->cfg->card.signatures, out, err);
    if (code < 0)
        return code;
    card_say(p, code);
    return 0;
}

/* From memory: the agent's last good card, else the configured one. False when there is none. */
static bool send_remembered(struct proxy *p, struct exchange *x)
{
    CLEANUP(str_release) struct str out = {0};
    struct slice card = str_slice(p->agent_card.len ? &p->agent_card : &p->configured_card);

    if (p->gate == PROXY_LOST || card.n == 0 || rewrite(p, x, card, &out, NULL) != 0)
        return false;
    card_send(p, x, str_slice(&out), (struct slice){0});
    return true;
}

static void answer_preflight(struct proxy *p, struct exchange *x, struct slice origin)
{
    const struct answer_field fields[] = {
        {"Access-Control-Allow-Origin", origin},
        {"Access-Control-Allow-Methods", SLICE("GET, HEAD")},
        {"Access-Control-Allow-Headers", SLICE("A2A-Version, A2A-Extensions, Accept")},
        {"Vary", SLICE("Origin")},
    };

    proxy_count(p, OUTCOME_LOCAL);
    exchange_note(x, "preflight");
    exchange_answer(x, 204, NULL, fields, sizeof(fields) / sizeof(fields[0]), (struct slice){0});
}

bool card_is_preflight(const struct proxy *p, struct exchange *x)
{
    const struct http_request *rq = exchange_request(x);

    return p->cfg->listen.cors_origins.n > 0 && rq->method == HTTP_OPTIONS &&
           rq->framing != HTTP_BODY_CHUNKED &&
           (rq->framing != HTTP_BODY_LENGTH || rq->content_length == 0) &&
           http_request_value(rq, "access-control-request-method").n > 0 &&
           origin_is_allowed(p, http_request_value(rq, "origin"));
}

bool card_preflight(struct proxy *p, struct exchange *x)
{
    const struct http_request *rq = exchange_request(x);

    if (!card_is_preflight(p, x) ||
        route_pick(&p->routes, HTTP_GET, rq->target, rq->path).kind != ROUTE_CARD)
        return false;
    answer_preflight(p, x, http_request_value(rq, "origin"));
    return true;
}

/* ---- asking the agent ---- */

static const struct slice new_name = SLICE_INIT("/.well-known/agent-card.json");
static const struct slice old_name = SLICE_INIT("/.well-known/agent.json");

/*
 * Which path to ask for, this time: as the client asked, then the other well-known name in its
 * place, then, for a name at the root or below what is registered, both below agent.base_path.
 * False when all were tried.
 */
static bool next_path(struct card_fetch *f, const struct proxy *p)
{
    struct slice path = f->route.path;
    bool asked_old = slice_ends_with(path, old_name);
    struct slice prefix = {0};

    str_truncate(&f->path, 0);
    if (f->attempt >= ATTEMPTS_MAX)
        return false;
    if (f->attempt >= 2 && (!f->has_fallback || p->routes.base_path.n == 0))
        return false;
    if (f->attempt == 0 && !slice_ends_with(path, SLICE("/agent/card"))) {
        str_add(&f->path, f->route.target);
    } else {
        if (f->attempt >= 2)
            prefix = p->routes.base_path;
        else if (!f->has_fallback)
            prefix = (struct slice){path.p, path.n - (asked_old ? old_name.n : new_name.n)};
        str_add(&f->path, prefix);
        str_add(&f->path, (f->attempt % 2 == 0) == asked_old ? old_name : new_name);
    }
    f->attempt++;
    return str_ok(&f->path);
}

/* 0: a request for the next path is ready to be queued. -ENOENT: no path is left. */
static int prepare(struct pump *u)
{
    struct card_fetch *f = u->card;
    struct route route = f->route;

    if (!next_path(f, u->proxy))
        return -ENOENT;
    route.target = str_slice(&f->path);
    route.needs_slash = false;
    return pump_prepare(u, exchange_request(u->x), &route);
}

/* Credentials: what the agent answers may be for this caller only. */
static bool is_anonymous(const struct http_request *rq)
{
    return !http_request_field(rq, FIELD_AUTHORIZATION) && !http_request_field(rq, FIELD_COOKIE);
}

void card_begin(struct proxy *p, struct exchange *x, const struct route *route)
{
    bool has_fallback = route->kind == ROUTE_CARD;
    struct card_fetch *f;
    struct pump *u;

    if (has_bad_host(p, x)) {
        proxy_refuse(p, x, FAILURE_BAD_HOST, OUTCOME_REFUSED);
        return;
    }
    if (p->gate != PROXY_OPEN || p->cfg->agent.protocol == AGENT_NONE) {
        if (has_fallback && send_remembered(p, x))
            proxy_count(p, OUTCOME_LOCAL);
        else
            proxy_refuse(p, x, FAILURE_UNAVAILABLE, OUTCOME_AGENT_UNAVAILABLE);
        return;
    }
    f = calloc(1, sizeof(*f));
    u = f && exchange_keep_head(x) == 0 ? pump_new(p, x) : NULL;
    if (!u) {
        free(f);
        proxy_refuse(p, x, FAILURE_OVERLOADED, OUTCOME_OVERLOADED);
        return;
    }
    u->card = f;
    u->hook = &card_hook;
    u->outcome = OUTCOME_LOCAL;
    f->has_fallback = has_fallback;
    f->is_public = has_fallback && is_anonymous(exchange_request(x));
    f->route = route_pick(&p->routes, exchange_request(x)->method, exchange_request(x)->target,
                          exchange_request(x)->path); /* again: into the kept head */
    if (prepare(u) == 0)
        pump_queue(u);
    else
        card_on_failure(u, FAILURE_OVERLOADED, NULL);
}

void card_free(struct pump *u)
{
    struct card_fetch *f = u->card;

    if (!f)
        return;
    u->card = NULL;
    u->hook = NULL;
    str_release(&f->path);
    str_release(&f->fields);
    str_release(&f->body);
    free(f);
}

void card_on_failure(struct pump *u, enum failure f, const char *sentence)
{
    pump_reset(u);
    u->state = PUMP_DONE;
    if (u->card->has_fallback && !u->card->is_refused && send_remembered(u->proxy, u->x))
        return;
    u->outcome = f == FAILURE_UNAVAILABLE ? OUTCOME_AGENT_UNAVAILABLE : OUTCOME_BAD_RESPONSE;
    proxy_error_answer(u->x, f, sentence, false, (struct slice){0});
}

bool card_keep_fields(struct str *to, const struct http_response *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        const struct http_field *field = &r->fields[i];

        if (!headers_passes_back(r, field))
            continue;
        str_add(to, field->name);
        str_addz(to, ": ");
        str_add(to, field->value);
        str_addz(to, "\r\n");
    }
    return str_ok(to);
}

bool card_is_compressed(const struct http_response *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == FIELD_CONTENT_ENCODING &&
            !slice_eq_nocase(r->fields[i].value, SLICE("identity")))
            return true;
    }
    return false;
}

/* May others get it from memory? Not when the agent says no, or looked at what this caller sent. */
static bool is_shareable(const struct http_request *rq, const struct http_response *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        struct slice rest = r->fields[i].value;
        struct slice item;
        bool is_vary = r->fields[i].id == FIELD_VARY;

        if (!is_vary && r->fields[i].id != FIELD_CACHE_CONTROL)
            continue;
        while (slice_next(&rest, ',', &item)) {
            if (is_vary && slice_eq(item, SLICE("*")))
                return false;
            for (size_t k = 0; is_vary && k < rq->field_count; k++) {
                if (slice_eq_nocase(rq->fields[k].name, item) &&
                    rq->fields[k].id != FIELD_ACCEPT_ENCODING)
                    return false;
            }
            if (!is_vary && (slice_starts_with(item, SLICE("private")) ||
                             slice_eq_nocase(item, SLICE("no-store"))))
                return false;
        }
    }
    return true;
}

/* It has answered, and not with a card: no older one hides that. */
static void refuse(struct pump *u, const char *sentence)
{
    u->card->is_refused = true;
    pump_fail(u, FAILURE_BAD_RESPONSE, sentence);
}

static const char too_large[] = "the agent's card is larger than 1 MiB";

/* Another name, the last good card, or, where only the agent can know, its own word (false). */
static bool on_no_card(struct pump *u)
{
    if (!u->card->has_fallback && u->card->attempt >= 2) {
        card_free(u);
        return false;
    }
    pump_reset(u);
    if (prepare(u) == 0)
        pump_queue(u);
    else
        card_on_failure(u, FAILURE_UNAVAILABLE,
                        "the agent has no card, and none is configured (card.name)");
    return true;
}

/* The agent's answer to a card fetch. True: it is ours; false: relay it as it is. */
static bool card_on_head(struct pump *u, const struct http_response *r)
{
    struct card_fetch *f = u->card;

    if (r->status == 404 || r->status == 405 || r->status == 501)
        return on_no_card(u);
    if (r->status != 200) {
        card_free(u); /* the agent's word: from here on a request like any other */
        return false;
    }
    f->is_public = f->is_public && is_shareable(exchange_request(u->x), r);
    if (card_is_compressed(r))
        refuse(u, "the agent's card is compressed, though identity was asked");
    else if (r->framing == HTTP_BODY_LENGTH && r->content_length > CARD_MAX_BYTES)
        refuse(u, too_large);
    else if (!card_keep_fields(&f->fields, r))
        pump_fail(u, FAILURE_OVERLOADED, NULL);
    return true;
}

static void card_on_body(struct pump *u, struct slice bytes)
{
    struct card_fetch *f = u->card;

    if (f->body.len + bytes.n > CARD_MAX_BYTES) {
        refuse(u, too_large);
        return;
    }
    str_add(&f->body, bytes);
    if (!str_ok(&f->body))
        pump_fail(u, FAILURE_OVERLOADED, NULL);
}

static void card_on_complete(struct pump *u)
{
    struct card_fetch *f = u->card;
    struct proxy *p = u->proxy;
    CLEANUP(str_release) struct str out = {0};
    struct err err = {0};

    if (rewrite(p, u->x, str_slice(&f->body), &out, &err) == 0) {
        if (f->is_public)
            proxy_set_card(p, str_slice(&f->body));
        card_send(p, u->x, str_slice(&out), str_slice(&f->fields));
        return;
    }
    proxy_note_failure(p, err.msg);
    u->outcome = OUTCOME_BAD_RESPONSE;
    proxy_error_answer(u->x, FAILURE_BAD_RESPONSE, err.msg, false, (struct slice){0});
}

static const struct answer_hook card_hook = {
    .on_head = card_on_head, .on_body = card_on_body, .on_complete = card_on_complete};

/* ---- remembered ---- */

void proxy_set_card(struct proxy *p, struct slice card)
{
    if (slice_eq(card, str_slice(&p->agent_card)))
        return;
    str_release(&p->agent_card);
    p->agent_card = (struct str){0};
    if (card.n == 0 || card.n > CARD_MAX_BYTES || json_validate(card) != JSON_OBJECT)
        return;
    str_add(&p->agent_card, card);
    if (!str_ok(&p->agent_card)) {
        str_release(&p->agent_card);
        p->agent_card = (struct str){0};
    }
}

int proxy_card_for_platform(const struct proxy *p, struct str *out, struct err *err)
{
    const struct config *cfg = p->cfg;
    struct slice card = str_slice(p->agent_card.len ? &p->agent_card : &p->configured_card);
    struct slice endpoint = slice_of(cfg->platform.reported_url);
    struct card_base base = {.url = route_prefix(slice_of(cfg->listen.public_url)),
                             .agent_prefix = p->routes.base_path,
                             .strip_prefix = p->routes.strip_prefix};
    size_t mark = out->len;
    int code;

    if (card.n > 0) {
        code = card_rewrite_for_platform(card, &base, endpoint, out, err);
        if (code == 0)
            return 0;
        log_warning("proxy", "the card cannot be registered as it is, a minimal one is used: %s",
                    err ? err->msg : "malformed");
        str_truncate(out, mark);
    }
    card_minimal(cfg, endpoint.n > 0 ? endpoint : base.url, out);
    return str_ok(out) ? 0 : err_set(err, -ENOMEM, "no memory for the card");
}
