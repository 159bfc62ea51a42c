/*
 * The fields of a forwarded request and of its answer. Framing fields are decided by http/; what
 * is_hop says was found there too. Nothing here is logged: values may be secrets.
 */
#include "proxy/headers.h"

#include <errno.h>

#include "base/banned.h"

#define VIA_VALUE "1.1 molecule"

const struct http_field headers_via = {
    .name = SLICE_INIT("Via"), .value = SLICE_INIT(VIA_VALUE), .id = FIELD_VIA};

const struct http_field headers_unbuffered = {.name = SLICE_INIT("X-Accel-Buffering"),
                                              .value = SLICE_INIT("no"),
                                              .id = FIELD_X_ACCEL_BUFFERING};

/* Identity that a sidecar or ingress states about a caller; from outside it is only a claim. */
static const struct slice identity_names[] = {
    SLICE_INIT("x-a2a-caller"),
    SLICE_INIT("x-forwarded-user"),
    SLICE_INIT("x-forwarded-email"),
    SLICE_INIT("x-forwarded-groups"),
    SLICE_INIT("x-forwarded-client-cert"),
    SLICE_INIT("x-forwarded-preferred-username"),
};
enum { IDENTITY_NAME_COUNT = sizeof(identity_names) / sizeof(identity_names[0]) };

/* ASCII lower case; `_` counts as `-`, because CGI-style agents cannot tell the two apart. */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c + ('a' - 'A'));
    return c == '_' ? '-' : c;
}

static bool name_begins(struct slice name, struct slice folded)
{
    if (name.n < folded.n)
        return false;
    for (size_t i = 0; i < folded.n; i++) {
        if (fold(name.p[i]) != folded.p[i])
            return false;
    }
    return true;
}

static bool name_is(struct slice name, struct slice folded)
{
    return name.n == folded.n && name_begins(name, folded);
}

static bool is_identity(const struct http_field *f)
{
    if (f->id != FIELD_OTHER || f->name.n == 0 || fold(f->name.p[0]) != 'x')
        return false;
    for (size_t i = 0; i < IDENTITY_NAME_COUNT; i++) {
        if (name_is(f->name, identity_names[i]))
            return true;
    }
    return false;
}

bool headers_bearer(struct slice value, struct slice *ret_token)
{
    static const struct slice scheme = SLICE_INIT("bearer");

    if (value.n <= scheme.n || !slice_eq_nocase((struct slice){value.p, scheme.n}, scheme) ||
        (value.p[scheme.n] != ' ' && value.p[scheme.n] != '\t'))
        return false;
    *ret_token = slice_trim((struct slice){value.p + scheme.n, value.n - scheme.n});
    return true;
}

/* Conditions on bytes that are not the ones the client will get; Range and two more have an id. */
static bool is_condition(struct slice name)
{
    static const struct slice names[] = {SLICE_INIT("if-match"), SLICE_INIT("if-unmodified-since"),
                                         SLICE_INIT("if-range")};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name_is(name, names[i]))
            return true;
    }
    return false;
}

static bool is_bearer(struct slice value, struct slice token)
{
    struct slice given;

    return token.n > 0 && headers_bearer(value, &given) && slice_eq_secret(given, token);
}

bool headers_has_bearer(const struct http_request *rq, struct slice token)
{
    for (size_t i = 0; i < rq->field_count; i++) {
        if (rq->fields[i].id == FIELD_AUTHORIZATION && is_bearer(rq->fields[i].value, token))
            return true;
    }
    return false;
}

enum auth_verdict headers_auth(const struct http_request *rq, struct slice inbound_secret)
{
    return headers_has_bearer(rq, inbound_secret) ? AUTH_PLATFORM : AUTH_OTHER;
}

static bool authorization_passes(struct slice value, const struct header_context *c)
{
    struct slice token;

    if (is_bearer(value, c->workspace_token))
        return false;
    if (c->bearer && headers_bearer(value, &token) && bearer_has(c->bearer, token))
        return false;
    return c->auth == INBOUND_AUTH_OFF || !is_bearer(value, c->inbound_secret);
}

/* Does this field of the client's request go to the agent as it is? */
static bool passes_on(const struct http_field *f, const struct header_context *c)
{
    if (f->is_hop)
        return false;
    switch (f->id) {
    case FIELD_HOST:            /* written first */
    case FIELD_CONTENT_LENGTH:  /* written by framing */
    case FIELD_EXPECT:          /* answered by the server (A section 10.5, design B) */
    case FIELD_X_FORWARDED_FOR: /* written anew by forwarded() */
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PREFIX:
        return false;
    case FIELD_FORWARDED:
        return c->is_trusted;
    case FIELD_AUTHORIZATION:
        return authorization_passes(f->value, c);
    case FIELD_ACCEPT_ENCODING:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_RANGE:
        return !c->is_edited && !c->is_card;
    case FIELD_OTHER:
        if (is_identity(f) || ((c->is_edited || c->is_card) && is_condition(f->name)))
            return false;
        return c->is_trusted || !name_begins(f->name, SLICE("x-forwarded-"));
    default: /* everything else belongs to the two ends */
        return true;
    }
}

/* What a trusted proxy has written there, in one line, and the address it came from behind it.
 * Nothing is written when there is neither. */
static void put_forwarded_for(struct http_writer *w, const struct http_request *rq,
                              struct slice peer)
{
    static const struct slice first = SLICE_INIT("X-Forwarded-For: ");
    bool any = false;

    for (size_t i = 0; i < rq->field_count; i++) {
        if (rq->fields[i].id != FIELD_X_FORWARDED_FOR || rq->fields[i].is_hop)
            continue;
        http_put(w, any ? SLICE(", ") : first);
        http_put(w, rq->fields[i].value);
        any = true;
    }
    if (peer.n > 0) {
        http_put(w, any ? SLICE(", ") : first);
        http_put(w, peer);
        any = true;
    }
    if (any)
        http_put(w, SLICE("\r\n"));
}

/* From a trusted proxy its own values stay, from anybody else they are what we see. */
static void put_forwarded(struct http_writer *w, const struct http_request *rq,
                          const struct header_context *c)
{
    const struct http_field *proto = NULL, *host = NULL, *prefix = NULL;
    struct slice peer = slice_of(c->peer);

    if (slice_eq(peer, SLICE("unix")))
        peer = SLICE("");
    if (c->is_trusted) {
        proto = http_request_field(rq, FIELD_X_FORWARDED_PROTO);
        host = http_request_field(rq, FIELD_X_FORWARDED_HOST);
        prefix = http_request_field(rq, FIELD_X_FORWARDED_PREFIX);
        put_forwarded_for(w, rq, peer);
    } else if (peer.n > 0) {
        http_put_clean_field(w, SLICE("X-Forwarded-For"), peer);
    }
    if (proto)
        http_put_clean_field(w, SLICE("X-Forwarded-Proto"), proto->value);
    else
        http_put(w, c->is_https ? SLICE("X-Forwarded-Proto: https\r\n")
                                : SLICE("X-Forwarded-Proto: http\r\n"));
    if (c->client.n > 0) /* from outside it was dropped: is_identity() */
        http_put_field(w, SLICE("X-Forwarded-Client-Cert"), c->client);
    if (host)
        http_put_clean_field(w, SLICE("X-Forwarded-Host"), host->value);
    else if (rq->host.n > 0)
        http_put_clean_field(w, SLICE("X-Forwarded-Host"), rq->host);
    if (prefix || c->strip_prefix.n > 0) {
        http_put(w, SLICE("X-Forwarded-Prefix: "));
        if (prefix)
            http_put(w, route_prefix(prefix->value));
        http_put(w, c->strip_prefix);
        http_put(w, SLICE("\r\n"));
    }
}

/* How often our name is in Via. */
static unsigned via_count(const struct http_request *rq)
{
    unsigned count = 0;

    for (size_t i = 0; i < rq->field_count; i++) {
        struct slice rest = rq->fields[i].value;
        struct slice item;

        if (rq->fields[i].id != FIELD_VIA)
            continue;
        while (slice_next(&rest, ',', &item))
            count += slice_ends_with(item, SLICE(" molecule"));
    }
    return count;
}

int headers_to_agent(struct http_writer *w, const struct http_request *rq, struct slice method,
                     const struct route *route, const struct header_context *c)
{
    bool has_via = false;

    http_put(w, method);
    http_put(w, route->needs_slash ? SLICE(" /") : SLICE(" "));
    http_put(w, route->target);
    http_put(w, SLICE(" HTTP/1.1\r\n"));
    /* HTTP/1.0 clients may send no Host; HTTP/1.1, which we speak to the agent, needs one */
    http_put_clean_field(w, SLICE("Host"), rq->host.n > 0 ? rq->host : SLICE("localhost"));
    for (size_t i = 0; i < rq->field_count; i++) {
        const struct http_field *f = &rq->fields[i];

        has_via |= f->id == FIELD_VIA;
        if (passes_on(f, c))
            http_put_clean_field(w, f->name, f->value);
    }
    put_forwarded(w, rq, c);
    if (has_via && via_count(rq) > VIA_LOOP_MAX)
        return -ELOOP;
    if (c->via)
        http_put(w, SLICE("Via: " VIA_VALUE "\r\n"));
    if (c->is_card || c->is_edited)
        http_put_field(w, SLICE("Accept-Encoding"), SLICE("identity"));
    if (!c->is_card && rq->framing == HTTP_BODY_LENGTH) {
        http_put(w, SLICE("Content-Length: "));
        http_put_uint(w, (uint64_t)rq->content_length);
        http_put(w, SLICE("\r\n"));
    } else if (!c->is_card && rq->framing == HTTP_BODY_CHUNKED) {
        http_put(w, SLICE("Transfer-Encoding: chunked\r\n"));
    }
    http_put_end(w);
    return w->overflow ? -E2BIG : 0;
}

size_t headers_ask_identity(char *bytes, size_t head_n, size_t len, size_t cap)
{
    static const struct slice name = SLICE_INIT("accept-encoding:");
    static const struct slice line = SLICE_INIT("Accept-Encoding: identity\r\n");
    size_t at = 0;

    if (cap < len || cap - len < line.n)
        return 0;
    for (size_t next; at < head_n - 2; at = next) {
        next = (size_t)((char *)memchr(bytes + at, '\n', head_n - at) - bytes) + 1;
        if (!name_begins((struct slice){bytes + at, next - at}, name))
            continue;
        memmove(bytes + at, bytes + next, len - next);
        len -= next - at;
        head_n -= next - at;
        next = at;
    }
    memmove(bytes + at + line.n, bytes + at, len - at);
    memcpy(bytes + at, line.p, line.n);
    return len + line.n;
}

bool headers_wants_unbuffered(const struct http_response *r)
{
    return r->is_event_stream && !http_response_field(r, FIELD_X_ACCEL_BUFFERING);
}

bool headers_passes_back(const struct http_response *r, const struct http_field *f)
{
    if (f->is_hop)
        return false;
    /* the server writes the length of what it sends; of what is not sent (HEAD, 304) the agent's
     * word stands */
    return f->id != FIELD_CONTENT_LENGTH || r->framing == HTTP_BODY_NONE;
}
