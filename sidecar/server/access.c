/*
 * One line per request: who, what, how it ended. The path without its query, cut; never a header,
 * never a body.
 */
#include "server/conn.h"

#include "log/log.h"

#include "base/banned.h"

static void copy_cut(char *to, size_t cap, struct slice from)
{
    size_t n = from.n < cap - 1 ? from.n : cap - 1;

    memcpy(to, from.p, n);
    to[n] = '\0';
}

static enum log_level line_level(const struct server *s, int status)
{
    return s->cfg.is_quiet && status >= 200 && status < 400 ? LOG_DEBUG : LOG_INFO;
}

void access_begin(struct exchange *x, const struct http_request *r)
{
    if (!x->conn->server->cfg.access_log)
        return;
    copy_cut(x->method, sizeof(x->method), r->method_text);
    copy_cut(x->path, sizeof(x->path), r->path);
}

static const char *outcome_of(const struct exchange *x, bool complete)
{
    if (x->outcome)
        return x->outcome;
    if (complete)
        return "ok";
    return x->is_aborted ? "aborted" : "client_gone";
}

void access_line(struct exchange *x, bool complete)
{
    struct server *s = x->conn->server;
    enum log_level level = line_level(s, x->status);
    const struct log_field fields[] = {
        LOG_INT("id", x->id),
        LOG_PLAIN("peer", x->conn->peer_text),
        LOG_PLAIN("method", x->method), /* a token */
        LOG_STR("path", x->path),
        LOG_INT("status", x->status),
        LOG_INT("ms", loop_now_ms(s->loop) - x->began_ms),
        LOG_INT("bytes_in", x->body.content_bytes),
        LOG_INT("bytes_out", x->bytes_out),
        LOG_PLAIN("outcome", outcome_of(x, complete)),
        LOG_STR("scheme", "https"), /* last: of TLS servers only */
    };
    size_t count = sizeof(fields) / sizeof(fields[0]) - (exchange_is_tls(x) ? 0 : 1);

    if (s->cfg.access_log && log_wants(level))
        log_event(level, s->cfg.name, fields, count, "request");
}

void access_refused(struct conn *c, const struct http_refusal *why)
{
    struct server *s = c->server;
    const struct log_field fields[] = {
        LOG_STR("peer", c->peer_text),
        LOG_INT("status", why->status),
        LOG_STR("outcome", "refused"),
        LOG_STR("reason", why->text),
    };

    if (s->cfg.access_log && log_wants(LOG_INFO))
        log_event(LOG_INFO, s->cfg.name, fields, sizeof(fields) / sizeof(fields[0]),
                  "request refused");
}
