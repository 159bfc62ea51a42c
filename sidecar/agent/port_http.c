/*
 * The port `http`: a POST to the agent's A2A server, over client/. What the body says, what the
 * answer means and whether to try again is the caller's.
 *
 * Each call has a connection of its own: on a kept one libcurl repeats a request by itself when it
 * finds the connection dead, and "it was never sent twice" is what the journal counts on. A fresh
 * connection to a Unix socket costs tens of microseconds.
 */
#include "agent/port.h"

#include "agent/connect.h"
#include "agent/probe.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "client/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PORT_CONNECT_MS = 5000,           /* accepting is the kernel's work: this is very patient */
    PORT_RETRY_AFTER_MAX_MS = 600000, /* an agent that asks for more gets this */
};

struct port {
    struct loop *loop;
    struct curl_io *io;
    const struct endpoint *agent;
    struct str url;
};

struct port_call {
    struct port *port;
    struct client_call *client;
    port_fn *fn;
    void *arg;
};

static int64_t retry_after_ms(const char *text)
{
    int64_t seconds = 0;

    if (text[0] == '\0')
        return 0;
    if (parse_int64(slice_of(text), 0, INT64_MAX / 1000, &seconds) < 0) {
        time_t at = curl_getdate(text, NULL);

        if (at == (time_t)-1)
            return 0;
        seconds = (int64_t)at - clock_wall_ms() / 1000;
    }
    if (seconds < 1)
        return 1000; /* "at once" from somebody who could not do it now */
    return seconds > PORT_RETRY_AFTER_MAX_MS / 1000 ? PORT_RETRY_AFTER_MAX_MS : seconds * 1000;
}

/*
 * libcurl does not tell the errno of connect(2) on a Unix socket; one more try does, and from it
 * come the words that name mode, owner and fix.
 */
static void explain_not_reached(const struct port *p, const struct client_answer *a,
                                struct port_reply *r)
{
    struct connect_try again = {0};
    int error = a->errnum;

    if (p->agent->kind == ENDPOINT_UNIX)
        error = connect_try_start(&again, p->loop, p->agent, PORT_CONNECT_MS, NULL, NULL);
    if (error > 0)
        agent_connect_error(p->agent, error, r->error, sizeof(r->error));
    else
        (void)snprintf(r->error, sizeof(r->error), "%s", a->error);
}

/* Nothing of the request left us: not even its first byte, whatever the connection did. */
static bool is_untouched(const struct client_answer *a)
{
    return a->outcome == CLIENT_NOT_SENT || (a->outcome != CLIENT_OK && a->sent_bytes == 0);
}

static enum port_outcome outcome_of(const struct client_answer *a)
{
    if (is_untouched(a))
        return PORT_NOT_REACHED;
    switch (a->outcome) {
    case CLIENT_OK:
        return PORT_ANSWERED;
    case CLIENT_TIMEOUT:
        return PORT_TIMED_OUT;
    case CLIENT_TOO_BIG:
    case CLIENT_NOT_HTTP:
        return PORT_UNREADABLE;
    case CLIENT_NOT_SENT:
    case CLIENT_LOST:
    case CLIENT_STOPPED:
    case CLIENT_FAILED:
        break;
    }
    return PORT_LOST;
}

static void on_answer(void *arg, const struct client_answer *a)
{
    struct port_call *c = arg;
    struct port_reply r = {.outcome = outcome_of(a)};

    if (r.outcome == PORT_ANSWERED) {
        r.status = a->status;
        r.body = a->body;
        r.wait_ms = retry_after_ms(a->retry_after);
    } else if (r.outcome == PORT_NOT_REACHED) {
        explain_not_reached(c->port, a, &r);
    } else {
        (void)snprintf(r.error, sizeof(r.error), "%s", a->error);
    }
    c->fn(c->arg, &r);
    free(c);
}

int port_send(struct port *p, struct slice body, const char *version, int64_t timeout_ms,
              port_fn *fn, void *arg, struct port_call **ret)
{
    struct port_call *c = calloc(1, sizeof(*c));
    char version_line[64];
    struct err err = {0};

    *ret = NULL;
    if (!c)
        return -ENOMEM;
    (void)snprintf(version_line, sizeof(version_line), "A2A-Version: %.32s",
                   version ? version : "");
    *c = (struct port_call){.port = p, .fn = fn, .arg = arg};
    const struct client_request rq = {
        .method = "POST",
        .url = str_z(&p->url),
        .unix_path = endpoint_unix_path(p->agent),
        .is_once = true,
        .headers = {"Accept: application/json", version ? version_line : NULL},
        .body = body.p ? body : SLICE(""),
        .connect_timeout_ms = PORT_CONNECT_MS,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = PORT_ANSWER_MAX_BYTES,
    };
    int rc = client_start(p->io, &rq, on_answer, c, &c->client, &err);
    if (rc < 0) {
        free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void port_cancel(struct port_call *c)
{
    if (!c)
        return;
    client_cancel(c->client);
    free(c);
}

int port_new(struct loop *l, struct curl_io *io, const struct endpoint *agent,
             const char *base_path, struct port **ret, struct err *err)
{
    struct port *p = calloc(1, sizeof(*p));

    *ret = NULL;
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    *p = (struct port){.loop = l, .io = io, .agent = agent};
    if (endpoint_unix_path(agent) || agent->is_localhost)
        str_addf(&p->url, "http://localhost:%u",
                 endpoint_unix_path(agent) ? 80U : (unsigned)agent->port);
    else
        str_addf(&p->url, "http://%s", agent->text);
    str_addz(&p->url, base_path && base_path[0] ? base_path : "/");
    if (!str_ok(&p->url)) {
        port_free(p);
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = p;
    return 0;
}

void port_free(struct port *p)
{
    if (!p)
        return;
    str_release(&p->url);
    free(p);
}
