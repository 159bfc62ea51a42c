/*
 * Asks the agent, again and again, whether it answers. What follows from that is app/'s.
 *
 *   waiting (timer) -> connect test -> request (client/) -> answered | missed -> waiting
 *                                  \-> (is_connect) answered | missed
 */
#include "agent/probe.h"

#include "agent/connect.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json_scan.h"
#include "base/str.h"
#include "client/client.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OLD_CARD_PATH "/.well-known/agent.json" /* of A2A before 0.3 (A section 3.1) */

struct probe {
    struct loop *loop;
    struct curl_io *io;
    struct probe_config cfg;
    struct probe_callbacks cb;
    void *arg;
    struct probe_status status;
    struct timer timer;
    struct client_call *call;   /* under way; NULL while waiting */
    struct connect_try connect; /* is_connect: under way, or idle */
    int64_t tried_ms;           /* when the last try began */
    int64_t start_delay_ms;     /* before the first answer: grows */
    bool uses_old_path;
    bool said_no_card;
    struct str card; /* the last one handed on */
};

static void try_now(struct timer *t);
static void send_request(struct probe *p);

static void wait_for(struct probe *p, int64_t delay_ms)
{
    timer_start(&p->timer, p->loop, loop_now_ms(p->loop) + delay_ms, try_now, p);
}

/* ---- the two results of a try ---- */

/* is_certain: the kernel says that nobody listens; a second opinion would say the same. */
static void missed(struct probe *p, bool is_certain)
{
    struct probe_status *s = &p->status;

    s->misses++;
    if (!s->has_answered) {
        p->start_delay_ms = ms_min(p->start_delay_ms * 2, PROBE_START_MAX_MS);
        wait_for(p, p->start_delay_ms);
    } else if (!s->is_up) {
        wait_for(p, ms_min(PROBE_START_MAX_MS, p->cfg.interval_ms));
    } else if (is_certain || s->misses >= (unsigned)p->cfg.failures) {
        s->is_up = false;
        wait_for(p, PROBE_START_MAX_MS);
        p->cb.on_down(p->arg, s->reason);
    } else {
        wait_for(p, p->cfg.interval_ms);
    }
}

static void answered(struct probe *p)
{
    struct probe_status *s = &p->status;
    bool was_up = s->is_up;

    s->is_up = true;
    s->has_answered = true;
    s->is_blocked = false;
    s->misses = 0;
    s->last_ok_ms = loop_now_ms(p->loop);
    s->reason[0] = '\0';
    wait_for(p, p->cfg.interval_ms);
    if (!was_up) {
        p->cb.on_up(p->arg);
    }
}

/* ---- the card ---- */

static void say_bad_card_once(struct probe *p, const char *why)
{
    if (!p->said_no_card) {
        p->said_no_card = true;
        log_warning("agent", "its card (%s) %s; it is not handed on", p->cfg.path, why);
    }
}

static void keep_card(struct probe *p, struct slice body)
{
    if (json_validate(body) != JSON_OBJECT) {
        say_bad_card_once(p, "is not a JSON object");
        return;
    }
    if (slice_eq(body, str_slice(&p->card))) {
        return;
    }
    str_truncate(&p->card, 0);
    str_add(&p->card, body);
    if (str_ok(&p->card)) {
        p->cb.on_card(p->arg, str_slice(&p->card));
    }
}

static void say_no_card_once(struct probe *p, int status)
{
    if (!p->said_no_card) {
        p->said_no_card = true;
        log_warning("agent",
                    "answers %d for its card (%s and %s); the configured card is used (card.name, "
                    "card.file)",
                    status, p->cfg.path, OLD_CARD_PATH);
    }
}

/* ---- a try ---- */

/* Cheap: most tries of a starting agent end here, before libcurl is loaded. 0, or the errno. */
static int unix_connect_test(const struct endpoint *at)
{
    CLEANUP(fd_cleanup) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return errno;
    }
    return connect(fd, (const struct sockaddr *)&at->sa, at->sa_len) < 0 ? errno : 0;
}

static void missed_connect(struct probe *p, int error)
{
    p->status.is_blocked = error == EACCES || error == EPERM;
    agent_connect_error(p->cfg.agent, error, p->status.reason, sizeof(p->status.reason));
    missed(p, error == ECONNREFUSED || error == ENOENT);
}

/* No whole answer came. Its head may have: an endless or huge one is a sign of life all the same.
 */
static void half_answered(struct probe *p, const struct client_answer *a)
{
    bool has_head = a->status > 0 && a->status < 500;

    if (has_head && (a->outcome == CLIENT_TOO_BIG || !p->cfg.is_card)) {
        answered(p);
        if (p->cfg.is_card) {
            say_bad_card_once(p, "is over the limit");
        }
        return;
    }
    (void)snprintf(p->status.reason, sizeof(p->status.reason), "%.255s",
                   a->outcome == CLIENT_TIMEOUT ? "it accepts connections but does not answer"
                                                : a->error);
    missed(p, false);
}

/* is_connect: the card is only fetched, whether the agent is up is decided already. */
static void on_card_answer(struct probe *p, const struct client_answer *a)
{
    if (a->outcome != CLIENT_OK) {
        return;
    }
    if (a->status == 404 && !p->uses_old_path) {
        p->uses_old_path = true;
        send_request(p);
        return;
    }
    p->uses_old_path = false;
    if (a->status == 200) {
        keep_card(p, a->body);
    } else {
        say_no_card_once(p, a->status);
    }
}

static void on_answer(void *arg, const struct client_answer *a)
{
    struct probe *p = arg;

    p->call = NULL;
    if (p->cfg.is_connect) {
        on_card_answer(p, a);
        return;
    }
    if (a->outcome == CLIENT_NOT_SENT && p->cfg.agent->kind == ENDPOINT_UNIX) {
        int error = unix_connect_test(p->cfg.agent); /* libcurl's words do not tell the errno */

        if (error != 0) {
            missed_connect(p, error);
            return;
        }
    }
    p->status.is_blocked = false;
    if (a->outcome != CLIENT_OK) {
        half_answered(p, a);
        return;
    }
    if (a->status >= 500) {
        (void)snprintf(p->status.reason, sizeof(p->status.reason), "it answers %d to GET %s",
                       a->status, p->cfg.path);
        missed(p, false);
        return;
    }
    if (p->cfg.is_card && a->status == 404 && !p->uses_old_path) {
        p->uses_old_path = true;
        send_request(p);
        return;
    }
    answered(p);
    if (!p->cfg.is_card) {
        return;
    }
    if (a->status == 200) {
        keep_card(p, a->body);
    } else {
        p->uses_old_path = false;
        say_no_card_once(p, a->status);
    }
}

static int64_t request_timeout_ms(const struct probe *p)
{
    return p->cfg.timeout_ms > 0 ? p->cfg.timeout_ms : PROBE_TIMEOUT_MS;
}

static void send_request(struct probe *p)
{
    CLEANUP(str_release) struct str url = {0};
    const struct endpoint *at = p->cfg.agent;
    const char *unix_path = endpoint_unix_path(at);
    int64_t timeout_ms = request_timeout_ms(p);
    struct err err = {0};

    if (unix_path || at->is_localhost) {
        str_addf(&url, "http://localhost:%u", unix_path ? 80U : (unsigned)at->port);
    } else {
        str_addf(&url, "http://%s", at->text);
    }
    str_addz(&url, p->uses_old_path ? OLD_CARD_PATH : p->cfg.path);
    const struct client_request rq = {
        .method = "GET",
        .url = str_z(&url),
        .unix_path = unix_path,
        .headers = {"Accept: application/json", "User-Agent: molecule-sidecar-probe"},
        .connect_timeout_ms = timeout_ms,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = PROBE_CARD_MAX_BYTES,
    };

    if (client_start(p->io, &rq, on_answer, p, &p->call, &err) < 0) {
        p->call = NULL;
        if (p->cfg.is_connect) {
            return;
        }
        (void)snprintf(p->status.reason, sizeof(p->status.reason), "cannot ask it: %.200s",
                       err.msg);
        missed(p, false);
    }
}

static void on_connect(void *arg, int errnum)
{
    struct probe *p = arg;
    bool was_up = p->status.is_up;

    if (errnum != 0) {
        missed_connect(p, errnum);
        return;
    }
    if (!was_up && p->cfg.is_card) {
        client_cancel(p->call);
        p->call = NULL;
        send_request(p);
    }
    answered(p);
}

static void try_now(struct timer *t)
{
    struct probe *p = t->arg;
    int error = 0;

    p->tried_ms = loop_now_ms(p->loop);
    if (p->cfg.is_connect) {
        error = connect_try_start(&p->connect, p->loop, p->cfg.agent, request_timeout_ms(p),
                                  on_connect, p);
        if (error >= 0) {
            on_connect(p, error);
        }
        return;
    }
    if (p->cfg.agent->kind == ENDPOINT_UNIX && !p->status.is_up) {
        error = unix_connect_test(p->cfg.agent);
    }
    if (error == 0) {
        send_request(p);
        return;
    }
    missed_connect(p, error);
}

/* ---- life ---- */

int probe_new(struct loop *l, struct curl_io *io, const struct probe_config *cfg,
              const struct probe_callbacks *cb, void *arg, struct probe **ret, struct err *err)
{
    struct probe *p = calloc(1, sizeof(*p));

    if (!p) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    p->loop = l;
    p->io = io;
    p->cfg = *cfg;
    p->cb = *cb;
    p->arg = arg;
    *ret = p;
    return 0;
}

void probe_configure(struct probe *p, int64_t interval_ms, int64_t failures)
{
    p->cfg.interval_ms = interval_ms;
    p->cfg.failures = failures;
}

void probe_free(struct probe *p)
{
    if (!p) {
        return;
    }
    probe_stop(p);
    str_release(&p->card);
    free(p);
}

void probe_start(struct probe *p)
{
    probe_stop(p);
    p->start_delay_ms = PROBE_START_MIN_MS / 2;
    p->uses_old_path = false;
    wait_for(p, 0);
}

void probe_stop(struct probe *p)
{
    timer_stop(&p->timer);
    client_cancel(p->call);
    p->call = NULL;
    connect_try_stop(&p->connect);
    p->status = (struct probe_status){0}; /* what the last agent said is not true of the next */
}

void probe_now(struct probe *p)
{
    int64_t now = loop_now_ms(p->loop);
    /* a thousand failed requests are one reason to look, not a thousand */
    int64_t soonest = p->tried_ms + PROBE_START_MIN_MS;

    if (p->call || !p->timer.armed) {
        return;
    }
    timer_start(&p->timer, p->loop, soonest > now ? soonest : now, try_now, p);
}

const struct probe_status *probe_status(const struct probe *p)
{
    return &p->status;
}
