/*
 * Sends calls to the platform and nowhere else: the bearer is only ever put on a URL made here from
 * platform.url. Answers are read by reply.c.
 */
#include "platform/transport.h"

#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

int origin_of(const char *url, char *ret_origin, size_t cap, char *ret_host, size_t host_cap,
              struct err *err)
{
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    CURLU *u = curl_url();
    int rc = 0;

    if (!u)
        return err_set(err, -ENOMEM, "out of memory");
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        rc = err_set(err, -EINVAL,
                     "platform.url %s: must be http:// or https:// and a host, "
                     "without user name or password",
                     url);
    } else {
        (void)curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
        (void)snprintf(ret_host, host_cap, "%s%s%s", host, port ? ":" : "", port ? port : "");
        (void)snprintf(ret_origin, cap, "%s://%s", scheme, ret_host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return rc;
}

int transport_init(struct transport *t, struct loop *l, struct curl_io *io,
                   const struct config *cfg, struct err *err)
{
    *t = (struct transport){.loop = l, .io = io, .cfg = cfg, .timeout_ms = TRANSPORT_TOTAL_MS};
    t->rate_limit = t->rate_remaining = -1;
    t->tls = (struct client_tls){.ca_file = cfg->platform.ca_file,
                                 .cert_file = cfg->platform.client_cert,
                                 .key_file = cfg->platform.client_key,
                                 .proxy = cfg->platform.proxy,
                                 .ca_hint = "platform.ca_file names the CA"};
    int rc =
        origin_of(cfg->platform.url, t->origin, sizeof(t->origin), t->host, sizeof(t->host), err);
    if (rc == 0 && cfg->platform.origin[0])
        (void)snprintf(t->origin, sizeof(t->origin), "%s", cfg->platform.origin);
    return rc;
}

void transport_release(struct transport *t)
{
    str_wipe(&t->bearer);
}

void transport_set_bearer(struct transport *t, struct slice token)
{
    str_wipe(&t->bearer);
    str_add(&t->bearer, token);
    t->token_age++;
}

bool transport_rate_is_short(const struct transport *t)
{
    return t->rate_limit > 0 && t->rate_remaining >= 0 &&
           loop_now_ms(t->loop) - t->rate_read_ms < RATE_WINDOW_MS &&
           t->rate_remaining < t->rate_limit / 10;
}

bool call_is_busy(const struct call *c)
{
    return c->client || c->local_failure.armed;
}

static void call_reset(struct call *c)
{
    str_release(&c->url);
    str_wipe(&c->body); /* may hold what the agent says about itself */
}

void call_cancel(struct call *c)
{
    client_cancel(c->client);
    c->client = NULL;
    timer_stop(&c->local_failure);
    call_reset(c);
}

static void call_finish(struct call *c, const struct reply *r)
{
    call_reset(c);
    c->fn(c->arg, r); /* may start the next one on c */
}

static void call_transmit(struct call *c);

/* An empty 403 is the platform's CORS filter: once without Origin, and remember what came of it. */
static bool call_again_without_origin(struct call *c, const struct reply *r)
{
    struct transport *t = c->transport;
    bool is_refused = r->status == 403 && r->is_empty;

    if (c->is_second) {
        if (is_refused)
            t->origin_mode = ORIGIN_NO_HELP;
        else if (r->status != 0 && t->origin_mode == ORIGIN_SENT) {
            t->origin_mode = ORIGIN_REFUSED;
            log_warning("platform",
                        "%s refuses the Origin %s: left out from now on (platform.origin sets it)",
                        t->host, t->origin);
        }
        return false;
    }
    if (!is_refused || !c->has_origin || t->origin_mode != ORIGIN_SENT || c->on_data)
        return false;
    c->is_second = true;
    call_transmit(c);
    return true;
}

static void on_client_done(void *arg, const struct client_answer *a)
{
    struct call *c = arg;
    struct transport *t = c->transport;
    struct reply r;
    struct reply_context context = {.host = t->host,
                                    .org_id = t->cfg->platform.org_id,
                                    .origin = c->has_origin ? t->origin : "",
                                    .wall_ms = clock_wall_ms()};

    c->client = NULL;
    if (a->rate_limit >= 0 || a->rate_remaining >= 0) {
        t->rate_limit = a->rate_limit;
        t->rate_remaining = a->rate_remaining;
        t->rate_read_ms = loop_now_ms(t->loop);
    }
    reply_read(a, &context, &r);
    r.token_age = c->token_age;
    if (!call_again_without_origin(c, &r))
        call_finish(c, &r);
}

static void on_local_failure(struct timer *timer)
{
    struct call *c = timer->arg;
    struct reply r = {.class = REPLY_NOT_DELIVERED};

    (void)snprintf(r.error, sizeof(r.error), "the call to %.200s could not be started: no memory",
                   c->transport->host);
    call_finish(c, &r);
}

static bool on_piece(void *arg, struct slice bytes)
{
    const struct call *c = arg;

    return c->on_data(c->arg, bytes);
}

static void call_transmit(struct call *c)
{
    struct transport *t = c->transport;
    const struct config *cfg = t->cfg;
    struct client_request rq = {.method = c->body.p ? "POST" : "GET",
                                .url = str_z(&c->url),
                                .body = str_slice(&c->body),
                                .connect_timeout_ms = TRANSPORT_CONNECT_MS,
                                .is_once = c->is_once,
                                .timeout_ms = c->timeout_ms,
                                .max_answer_bytes = c->max_answer_bytes,
                                .on_data = c->on_data ? on_piece : NULL,
                                .tls = &t->tls};
    struct str accept = {0};
    struct str bearer = {0};
    struct str id = {0};
    struct str org = {0};
    struct str origin = {0};
    struct err err = {0};
    size_t n = 0;

    if (rq.connect_timeout_ms > rq.timeout_ms)
        rq.connect_timeout_ms = rq.timeout_ms;
    str_addf(&accept, "Accept: %s", c->accept ? c->accept : "application/json");
    rq.headers[n++] = str_z(&accept);
    str_addf(&id, "X-Workspace-ID: %s", cfg->workspace.id);
    rq.headers[n++] = str_z(&id);
    c->token_age = 0;
    if (t->bearer.len > 0) {
        str_addz(&bearer, "Authorization: Bearer ");
        str_add(&bearer, str_slice(&t->bearer));
        rq.headers[n++] = str_z(&bearer);
        c->token_age = t->token_age;
    }
    if (cfg->platform.org_id[0]) {
        str_addf(&org, "X-Molecule-Org-Id: %s", cfg->platform.org_id);
        rq.headers[n++] = str_z(&org);
    }
    c->has_origin = t->origin[0] && t->origin_mode != ORIGIN_REFUSED && !c->is_second;
    if (c->has_origin) {
        str_addf(&origin, "Origin: %s", t->origin);
        rq.headers[n++] = str_z(&origin);
    }
    bool ok = str_ok(&accept) && str_ok(&bearer) && str_ok(&id) && str_ok(&org) &&
              str_ok(&origin) && str_ok(&c->url) && str_ok(&c->body);
    if (!ok || client_start(t->io, &rq, on_client_done, c, &c->client, &err) < 0)
        timer_start(&c->local_failure, t->loop, loop_now_ms(t->loop), on_local_failure, c);
    str_release(&accept);
    str_wipe(&bearer);
    str_release(&id);
    str_release(&org);
    str_release(&origin);
}

void call_send(struct call *c, struct transport *t, const char *path, struct slice body,
               int64_t timeout_ms, reply_fn *fn, void *arg)
{
    call_cancel(c);
    c->transport = t;
    c->fn = fn;
    c->arg = arg;
    c->timeout_ms = timeout_ms > 0 ? timeout_ms : t->timeout_ms;
    c->is_second = false;
    str_addz(&c->url, t->cfg->platform.url);
    str_addz(&c->url, path);
    if (body.p)
        str_add(&c->body, body);
    call_transmit(c);
}
