/*
 * Extended cards (card.rewrite_extended): the card that a caller with credentials gets, by REST or
 * as the result of a JSON-RPC call. Such a request is forwarded, held and counted like any other;
 * only its answer is gathered, and its addresses are mapped as in the public card.
 *
 * REST says by its path what it asks for. A JSON-RPC request waits, unsent, until its method is
 * known: that is in the first bytes nearly always. When EXTENDED_PEEK_BYTES of the body, or what
 * one block holds of it, do not show it, the request goes on and its answer stays as it is.
 *
 * Only tokens inside `result` are edited; ids and everything else stay byte for byte. What is no
 * 200 with a JSON type is relayed. A 200 that is too large, compressed or no JSON becomes a 502:
 * an address that leads nowhere is worse than an error (A section 3.6).
 */
#include "base/json_scan.h"
#include "log/log.h"
#include "proxy/card.h"
#include "proxy/headers.h"
#include "proxy/state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

enum { EXTENDED_PEEK_BYTES = ERROR_PEEK_BYTES };

struct card_extended {
    struct str url; /* of the base, when it is not the configured one */
    struct card_base base;
    bool is_rpc;
    bool has_bad_host; /* Host names us, and no card can carry it: no address of ours to write */
    struct str peek;   /* the request's body so far, when one piece of it was not enough */
    size_t look_at;    /* look again when so many bytes of it are there: linear in sum */
    struct str fields; /* of the agent's answer */
    struct str body;
};

void extended_free(struct pump *u)
{
    struct card_extended *e = u->extended;

    if (!e)
        return;
    u->extended = NULL;
    u->hook = NULL;
    str_release(&e->url);
    str_release(&e->peek);
    str_release(&e->fields);
    str_release(&e->body);
    free(e);
}

/* ---- which requests ---- */

static const struct answer_hook extended_hook;

int extended_begin(struct pump *u, const struct http_request *rq, const struct route *route)
{
    bool is_rest = route->kind == ROUTE_EXTENDED;
    struct card_extended *e;

    if (!is_rest && !error_is_json_rpc(rq))
        return 0;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    u->extended = e;
    e->is_rpc = !is_rest;
    card_find_base(u->proxy, u->x, &e->url, &e->base);
    e->has_bad_host = e->base.url.n == 0 && rq->host.n > 0;
    if (is_rest && e->has_bad_host)
        return -EADDRNOTAVAIL;
    if (is_rest) {
        u->hook = &extended_hook;
        return exchange_keep_head(u->x); /* for If-None-Match, when the answer is there */
    }
    u->is_peeking = true;
    pump_on_way(u);
    return 0;
}

enum look { LOOK_AGAIN = 0, LOOK_OTHER, LOOK_EXTENDED };

/* The first top-level `method` of the object that begins with `peek`. */
static enum look look_for_method(struct slice peek)
{
    struct json_iter it;

    if (!json_iter_begin(&it, peek))
        return peek.n > 0 && json_type_of(peek) != JSON_BAD ? LOOK_OTHER : LOOK_AGAIN;
    if (!it.is_object)
        return LOOK_OTHER; /* a batch: no version of A2A asks for the card in one */
    while (json_next(&it)) {
        if (!json_string_eq(it.key, "method"))
            continue;
        return json_string_eq(it.value, "GetExtendedAgentCard") ||
                       json_string_eq(it.value, "agent/getAuthenticatedExtendedCard")
                   ? LOOK_EXTENDED
                   : LOOK_OTHER;
    }
    return it.failed ? LOOK_AGAIN : LOOK_OTHER;
}

bool extended_is_named(struct slice body)
{
    return look_for_method(body) == LOOK_EXTENDED;
}

/* The request's head, not sent yet, asks for bytes that can be read. False: no room in the block.
 */
static bool ask_identity(struct pump *u)
{
    size_t scanned = 0;
    size_t head_n = http_head_end(u->out.p, u->out.len, &scanned, NULL);
    size_t len = headers_ask_identity(u->out.p, head_n, u->out.len, u->out.cap - PUMP_RESERVE);

    if (len == 0)
        return false;
    u->out.len = len;
    return true;
}

/* For our own errors; the peek of send.c is over, because the head has moved. */
static void keep_id(struct pump *u, struct slice peek)
{
    struct slice id = error_find_id(peek);

    memcpy(u->id_copy, id.p ? id.p : "", id.n);
    u->id = (struct slice){u->id_copy, id.n};
    u->peek_n = 0;
    u->peek_is_over = true;
}

static void decide(struct pump *u, struct slice peek, enum look look)
{
    u->is_peeking = false;
    if (look == LOOK_EXTENDED && u->extended->has_bad_host) {
        keep_id(u, peek);
        pump_fail(u, FAILURE_BAD_HOST, NULL);
        return;
    }
    if (look == LOOK_EXTENDED && ask_identity(u)) {
        keep_id(u, peek);
        str_release(&u->extended->peek);
        u->extended->peek = (struct str){0};
        u->hook = &extended_hook;
    } else {
        if (look != LOOK_OTHER)
            log_debug("proxy",
                      "the first %zu bytes of a JSON-RPC request do not show its method; "
                      "its answer is not looked at",
                      peek.n);
        extended_free(u);
    }
    proxy_admit(u);
}

void extended_peek(struct pump *u, struct slice bytes, bool is_full)
{
    struct card_extended *e = u->extended;
    struct slice peek = bytes;
    enum look look = LOOK_AGAIN;

    if (u->state != PUMP_QUEUED) { /* it has failed meanwhile */
        u->is_peeking = false;
        return;
    }
    if (bytes.n >= EXTENDED_PEEK_BYTES - e->peek.len) {
        peek.n = EXTENDED_PEEK_BYTES - e->peek.len;
        is_full = true;
    }
    if (e->peek.len > 0) {
        str_add(&e->peek, peek);
        peek = str_slice(&e->peek);
    }
    if (is_full || peek.n >= e->look_at) {
        look = look_for_method(peek);
        e->look_at = 2 * peek.n;
    }
    if (look == LOOK_AGAIN && e->peek.len == 0)
        str_add(&e->peek, peek);
    if (look != LOOK_AGAIN || is_full || !str_ok(&e->peek))
        decide(u, peek, look);
}

/* ---- the answer ---- */

static bool is_json(const struct http_response *r)
{
    const struct http_field *type = http_response_field(r, FIELD_CONTENT_TYPE);
    struct slice rest, media;

    if (!type)
        return false;
    rest = type->value;
    return slice_next(&rest, ';', &media) &&
           (slice_eq_nocase(media, SLICE("application/json")) ||
            slice_eq_nocase(media, SLICE("application/a2a+json")));
}

static const char too_large[] = "the agent's extended card is larger than 1 MiB";

static bool on_head(struct pump *u, const struct http_response *r)
{
    struct card_extended *e = u->extended;

    if (r->status != 200 || !is_json(r)) {
        extended_free(u);
        return false;
    }
    if (card_is_compressed(r))
        pump_fail(u, FAILURE_BAD_RESPONSE,
                  "the agent's extended card is compressed, though identity was asked");
    else if (r->framing == HTTP_BODY_LENGTH && r->content_length > CARD_MAX_BYTES)
        pump_fail(u, FAILURE_BAD_RESPONSE, too_large);
    else if (!card_keep_fields(&e->fields, r))
        pump_fail(u, FAILURE_OVERLOADED, NULL);
    return true;
}

static void on_body(struct pump *u, struct slice bytes)
{
    struct card_extended *e = u->extended;

    if (e->body.len + bytes.n > CARD_MAX_BYTES) {
        pump_fail(u, FAILURE_BAD_RESPONSE, too_large);
        return;
    }
    str_add(&e->body, bytes);
    if (!str_ok(&e->body))
        pump_fail(u, FAILURE_OVERLOADED, NULL);
}

/* As card_rewrite(), for the card (every one of them, readers differ) that is the `result`. */
static int rewrite_result(const struct card_extended *e, struct str *out, struct err *err)
{
    struct slice text = str_slice(&e->body);
    const char *from = text.p;
    struct json_iter it;
    int remarks = 0;

    if (json_validate(text) != JSON_OBJECT || !json_iter_begin(&it, text))
        return err_set(err, -EBADMSG,
                       "the agent's answer with the extended card is no JSON object");
    while (json_next(&it)) {
        CLEANUP(str_release) struct str card = {0};
        int code;

        if (it.type != JSON_OBJECT || !json_string_eq(it.key, "result"))
            continue;
        code = card_rewrite(it.value, &e->base, CARD_SIGNATURES_STRIP, &card, err);
        if (code < 0)
            return code;
        remarks |= code;
        str_add(out, (struct slice){from, (size_t)(it.value.p - from)});
        str_add(out, str_slice(&card));
        from = it.value.p + it.value.n;
    }
    str_add(out, (struct slice){from, (size_t)(text.p + text.n - from)});
    return str_ok(out) ? remarks : err_set(err, -ENOMEM, "no memory for the agent's card");
}

/* A JSON-RPC answer has no validators of ours; those of the agent stay when its bytes do. */
static void send_rpc(struct pump *u, struct slice body)
{
    struct card_extended *e = u->extended;

    exchange_head_begin(u->x, 200, (struct slice){0});
    card_put_fields(u->x, str_slice(&e->fields), false, slice_eq(body, str_slice(&e->body)));
    card_put_vary(u->proxy, u->x);
    exchange_head_field(u->x, SLICE("Vary"), SLICE("Authorization"));
    if (u->proxy->cfg->forward.via)
        exchange_head_relay(u->x, &headers_via);
    if (u->proxy->is_last || !u->is_whole)
        exchange_set_last(u->x);
    if (exchange_head_end(u->x, HTTP_BODY_LENGTH, (int64_t)body.n) != 0) {
        exchange_abort(u->x);
        return;
    }
    (void)exchange_body(u->x, body); /* all of it is taken */
    exchange_finish(u->x);
}

static void on_complete(struct pump *u)
{
    struct card_extended *e = u->extended;
    CLEANUP(str_release) struct str out = {0};
    struct err err = {0};
    int code;

    if (e->is_rpc)
        code = rewrite_result(e, &out, &err);
    else
        code = card_rewrite(str_slice(&e->body), &e->base, CARD_SIGNATURES_STRIP, &out, &err);
    if (code < 0) {
        proxy_note_failure(u->proxy, err.msg);
        u->outcome = OUTCOME_BAD_RESPONSE;
        proxy_error_answer(u->x, FAILURE_BAD_RESPONSE, err.msg, u->is_json_rpc, u->id);
        return;
    }
    card_say(u->proxy, code);
    if (e->is_rpc) {
        send_rpc(u, str_slice(&out));
        return;
    }
    str_addz(&e->fields, "Vary: Authorization\r\n");
    if (!str_ok(&e->fields))
        exchange_abort(u->x);
    else
        card_send(u->proxy, u->x, str_slice(&out), str_slice(&e->fields));
}

static const struct answer_hook extended_hook = {
    .on_head = on_head, .on_body = on_body, .on_complete = on_complete};
