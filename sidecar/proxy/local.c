/*
 * The platform's own calls, answered here and never by the agent: they carry secrets that are none
 * of its business. Cards are card_fetch.c's.
 *
 * Source: P section 17.5; design section 8.
 */
#include "base/json_scan.h"
#include "base/parse.h"
#include "proxy/headers.h"
#include "proxy/uploads.h"

#include "base/banned.h"

enum {
    NOTICE_MAX_BYTES = 64 * 1024, /* body of a restart notice */
    NOTICE_DEFAULT_S = 20,        /* P section 17.5's example, when it names no time */
    NOTICE_MAX_S = 24 * 60 * 60,
};

static struct slice inbound_secret(const struct proxy *p)
{
    return p->cb.inbound_secret ? p->cb.inbound_secret(p->cb_arg) : (struct slice){0};
}

static bool is_platform(const struct proxy *p, struct exchange *x)
{
    return headers_auth(exchange_request(x), inbound_secret(p)) == AUTH_PLATFORM;
}

static bool has_workspace_token(const struct proxy *p, struct exchange *x)
{
    struct slice token =
        p->cb.workspace_token ? p->cb.workspace_token(p->cb_arg) : (struct slice){0};

    return headers_has_bearer(exchange_request(x), token);
}

static void say(struct proxy *p, struct exchange *x, int status, const char *note,
                struct slice json)
{
    proxy_count(p, OUTCOME_LOCAL);
    exchange_note(x, note);
    exchange_answer_json(x, status, json);
}

static void answer_transcript(struct proxy *p, struct exchange *x)
{
    if (!has_workspace_token(p, x))
        proxy_refuse(p, x, FAILURE_UNAUTHORIZED, OUTCOME_REFUSED);
    else
        say(p, x, 200, "transcript", SLICE("{\"supported\":false}"));
}

static void answer_uploads(struct proxy *p, struct exchange *x)
{
    if (!is_platform(p, x))
        proxy_refuse(p, x, FAILURE_UNAUTHORIZED, OUTCOME_REFUSED);
    else
        upload_begin(p, x);
}

static void answer_file_read(struct proxy *p, struct exchange *x)
{
    if (!is_platform(p, x))
        proxy_refuse(p, x, FAILURE_UNAUTHORIZED, OUTCOME_REFUSED);
    else
        say(p, x, 404, "file_read", SLICE("{\"error\":\"this sidecar gives out no files\"}"));
}

/* params.drain_seconds of a notice, or the default. */
static int64_t notice_seconds(struct slice body)
{
    struct slice params, value;
    int64_t seconds;

    if (json_validate(body) != JSON_OBJECT || !json_member(body, "params", &params, NULL) ||
        !json_member(params, "drain_seconds", &value, NULL) ||
        parse_int64(value, 0, NOTICE_MAX_S, &seconds) != 0)
        return NOTICE_DEFAULT_S;
    return seconds;
}

/*
 * The platform reads the 200 and no more. It vouches for nothing: the call carries no credentials,
 * and who could drain us with it could keep us from work. The TERM that follows does it all.
 */
static void on_notice(struct exchange *x, struct slice body)
{
    struct proxy *p = exchange_ctx(x);

    if (p->cb.on_restart_pending)
        p->cb.on_restart_pending(p->cb_arg, notice_seconds(body));
    say(p, x, 200, "restart_pending",
        SLICE("{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{\"status\":\"noted\"}}"));
}

static bool is_notice(struct exchange *x)
{
    struct slice value = http_request_value(exchange_request(x), "x-restart-signal");

    return slice_eq_nocase(value, SLICE("true"));
}

/* ---- who may ask ---- */

/* A static token, or the platform's secret where listen.inbound_auth knows it. */
static bool is_known(const struct proxy *p, struct exchange *x)
{
    if (p->bearer && bearer_admits(p->bearer, exchange_request(x)))
        return true;
    return p->cfg->listen.inbound_auth != INBOUND_AUTH_OFF && is_platform(p, x);
}

static bool may_ask(const struct proxy *p, struct exchange *x)
{
    if (!p->bearer && p->cfg->listen.inbound_auth != INBOUND_AUTH_REQUIRE)
        return true;
    return is_known(p, x) || (p->bearer && card_is_preflight(p, x));
}

bool local_answer(struct proxy *p, struct exchange *x, const struct route *route)
{
    if (p->bearer)
        bearer_look(p->bearer, loop_now_ms(p->loop));
    switch (route->kind) {
    case ROUTE_CARD: /* everybody's, under exactly these names (A section 9) */
        card_begin(p, x, route);
        return true;
    case ROUTE_TRANSCRIPT:
        answer_transcript(p, x);
        return true;
    case ROUTE_UPLOADS:
        answer_uploads(p, x);
        return true;
    case ROUTE_FILE_READ:
        answer_file_read(p, x);
        return true;
    case ROUTE_CARD_ELSEWHERE: /* a path that only ends like one may be anything to the agent */
    case ROUTE_UPSTREAM:
    case ROUTE_EXTENDED:
    case ROUTE_RESTART_PENDING:
        break;
    }
    if (card_preflight(p, x))
        return true;
    if (!may_ask(p, x)) {
        proxy_refuse(p, x, FAILURE_UNAUTHORIZED, OUTCOME_REFUSED);
        return true;
    }
    if (route->kind == ROUTE_CARD_ELSEWHERE) {
        card_begin(p, x, route);
        return true;
    }
    if (route->kind == ROUTE_RESTART_PENDING && is_notice(x)) {
        exchange_collect(x, NOTICE_MAX_BYTES, on_notice);
        return true;
    }
    return false;
}
