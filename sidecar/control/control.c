/*
 * The table of paths behind our three doors, and the answers. Sockets, limits and parsing are
 * server/'s, decisions app/'s.
 */
#include "control/control.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "base/parse.h"
#include "server/server.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONTROL_CONNECTIONS_MAX = 64, /* probes, scrapers and commands; more wait in the backlog */
    CONTROL_HEAD_MAX_BYTES = 16 * 1024, /* our callers send small heads */
    CONTROL_BODY_MAX_BYTES =
        64 * 1024,         /* no path here reads a body; a stray one is dropped up to this */
    CONTROL_UIDS_MAX = 16, /* control.allow_uids */
};

enum door { DOOR_ADMIN = 0, DOOR_OPERATOR, DOOR_AGENT };
enum { DOOR_COUNT = DOOR_AGENT + 1 };
enum { AT_ADMIN = 1 << DOOR_ADMIN, AT_OPERATOR = 1 << DOOR_OPERATOR, AT_AGENT = 1 << DOOR_AGENT };

struct control;

/* One door: what its handler gets as ctx. */
struct doorway {
    struct control *control;
    enum door door;
    struct server *server;
};

struct waiter { /* a request that is answered when the drain is done, or by the inbox */
    struct list node;
    struct exchange *x; /* NULL: its client went; then the inbox's answer goes nowhere */
    bool is_inbox;      /* freed when the answer is there, not when the request ends */
};

struct control {
    struct loop *loop;
    const struct config *cfg;
    struct control_callbacks cb;
    void *arg;
    struct doorway doors[DOOR_COUNT];
    struct list waiters;
    uid_t uids[CONTROL_UIDS_MAX]; /* who may connect: ourselves, root, control.allow_uids; the first
                                     two for the operator's socket */
    size_t uid_count;
};

typedef void route_fn(struct control *c, struct exchange *x, const struct http_request *rq,
                      int value);

static bool wants_verbose(const struct http_request *rq)
{
    return slice_eq(rq->query, SLICE("verbose")) ||
           slice_starts_with(rq->query, SLICE("verbose&")) ||
           slice_starts_with(rq->query, SLICE("verbose="));
}

static void answer_probe(struct control *c, struct exchange *x, const struct http_request *rq,
                         int value)
{
    CLEANUP(str_release) struct str json = {0};
    bool ok = c->cb.probe(c->arg, (enum control_probe)value, wants_verbose(rq), &json);

    str_addz(&json, "\n");
    exchange_answer_json(x, ok ? 200 : 503, str_slice(&json));
}

static void answer_metrics(struct control *c, struct exchange *x, const struct http_request *rq,
                           int value)
{
    CLEANUP(str_release) struct str text = {0};

    (void)rq;
    (void)value;
    c->cb.metrics(c->arg, &text);
    exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0, str_slice(&text));
}

static void answer_status(struct control *c, struct exchange *x, const struct http_request *rq,
                          int value)
{
    CLEANUP(str_release) struct str json = {0};

    (void)rq;
    (void)value;
    c->cb.status(c->arg, &json);
    exchange_answer_json(x, 200, str_slice(&json));
}

static void answer_self(struct control *c, struct exchange *x, const struct http_request *rq,
                        int value)
{
    CLEANUP(str_release) struct str json = {0};

    (void)rq;
    (void)value;
    c->cb.self(c->arg, &json);
    exchange_answer_json(x, 200, str_slice(&json));
}

/* 200 unless it was called off: a hook has done what it is for, also when the time is up. */
static void tell_drain(struct exchange *x, enum control_drain how)
{
    static const struct slice words[] = {
        [CONTROL_DRAINING] = SLICE_INIT("{\"drained\":false}\n"),
        [CONTROL_DRAINED] = SLICE_INIT("{\"drained\":true}\n"),
        [CONTROL_DRAIN_CUT] = SLICE_INIT("{\"drained\":false,\"detail\":\"over with work "
                                         "unfinished\"}\n"),
        [CONTROL_DRAIN_OFF] =
            SLICE_INIT("{\"drained\":false,\"detail\":\"called off: serving again\"}\n"),
    };

    exchange_answer_json(x, how == CONTROL_DRAIN_OFF ? 409 : 200, words[how]);
}

static void begin_drain(struct control *c, struct exchange *x, const char *who, bool waits)
{
    enum control_drain how = c->cb.drain(c->arg, who);

    if (how != CONTROL_DRAINING || !waits) {
        tell_drain(x, how);
        return;
    }
    struct waiter *w = calloc(1, sizeof(*w));

    if (!w) {
        exchange_answer_json(
            x, 503, SLICE("{\"error\":\"out of memory; the drain goes on all the same\"}\n"));
        return;
    }
    w->x = x;
    list_append(&c->waiters, &w->node);
    exchange_set_user(x, w);
}

static void answer_drain(struct control *c, struct exchange *x, const struct http_request *rq,
                         int value)
{
    (void)value;
    begin_drain(c, x, "the drain command", slice_eq(rq->query, SLICE("wait")));
}

static void answer_stop(struct control *c, struct exchange *x, const struct http_request *rq,
                        int value)
{
    (void)rq;
    (void)value;
    exchange_answer_json(x, 202, SLICE("{\"stopping\":true}\n"));
    c->cb.stop(c->arg, "the stop command");
}

static void answer_reload(struct control *c, struct exchange *x, const struct http_request *rq,
                          int value)
{
    CLEANUP(str_release) struct str json = {0};
    int status;

    (void)rq;
    (void)value;
    status = c->cb.reload(c->arg, "the reload command", &json);
    exchange_answer_json(x, status, str_slice(&json));
}

/* ---- the inbox ---- */

enum { INBOX_WORD_MAX = 128 }; /* a row id, or a list of states */

static void on_inbox_answer(void *fn_arg, int http_status, struct slice json)
{
    struct waiter *w = fn_arg;
    struct exchange *x = w->x;

    free(w);
    if (x) {
        exchange_set_user(x, NULL);
        exchange_answer_json(x, http_status, json);
    }
}

/*
 * The word behind "row=" or "state=", as name says: letters, digits, - and ,. Without a query it is
 * empty; any other parameter is refused, or a mistaken drop?state=ROW would drop the row.
 */
static bool read_word(struct slice query, struct slice name, char ret[INBOX_WORD_MAX])
{
    size_t n = query.n > 0 ? query.n - name.n : 0;

    ret[0] = '\0';
    if ((query.n > 0 && !slice_starts_with(query, name)) || n >= INBOX_WORD_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = query.p[name.n + i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'F') && !(c >= '0' && c <= '9') &&
            c != '-' && c != ',') {
            return false;
        }
        ret[i] = c;
    }
    ret[n] = '\0';
    return true;
}

/* What an order takes: the list some states, verify nothing, the others a row. */
static bool read_inbox_word(struct slice query, enum control_inbox order, char ret[INBOX_WORD_MAX])
{
    switch (order) {
    case CONTROL_INBOX_LIST:
        return read_word(query, SLICE("state="), ret);
    case CONTROL_INBOX_VERIFY:
        ret[0] = '\0';
        return query.n == 0;
    case CONTROL_INBOX_SHOW:
    case CONTROL_INBOX_RETRY:
    case CONTROL_INBOX_DROP:
        return read_word(query, SLICE("row="), ret) && ret[0] != '\0';
    }
    return false;
}

static void answer_inbox(struct control *c, struct exchange *x, const struct http_request *rq,
                         int value)
{
    char word[INBOX_WORD_MAX];
    struct waiter *w;
    int r;

    if (!read_inbox_word(rq->query, (enum control_inbox)value, word)) {
        exchange_answer_json(x, 400,
                             SLICE("{\"error\":\"?row= names a message, ?state= of the list some "
                                   "states; nothing else is taken\"}\n"));
        return;
    }
    w = calloc(1, sizeof(*w));
    r = w ? 0 : -ENOMEM;
    if (w) {
        *w = (struct waiter){.x = x, .is_inbox = true};
        list_init(&w->node);
        exchange_set_user(x, w);
        r = c->cb.inbox(c->arg, (enum control_inbox)value, word, on_inbox_answer, w);
    }
    if (r == 0) {
        return;
    }
    exchange_set_user(x, NULL);
    free(w);
    if (r == -ENOTSUP) {
        exchange_answer_json(
            x, 409,
            SLICE("{\"error\":\"no messages are polled here: platform.delivery is not poll, or "
                  "agent.protocol is none\"}\n"));
    } else {
        exchange_answer_json(x, 503, SLICE("{\"error\":\"out of memory\"}\n"));
    }
}

static const struct route {
    int doors;
    const char *method; /* GET also stands for HEAD */
    const char *path;
    route_fn *fn;
    int value;
} routes[] = {
    {AT_ADMIN | AT_OPERATOR, "GET", "/startupz", answer_probe, CONTROL_STARTED},
    {AT_ADMIN | AT_OPERATOR, "GET", "/readyz", answer_probe, CONTROL_READY},
    {AT_ADMIN | AT_OPERATOR, "GET", "/livez", answer_probe, CONTROL_LIVE},
    {AT_ADMIN | AT_OPERATOR, "GET", "/healthz", answer_probe, CONTROL_LIVE},
    {AT_ADMIN | AT_OPERATOR, "GET", "/agentz", answer_probe, CONTROL_AGENT},
    {AT_ADMIN | AT_OPERATOR, "GET", "/metrics", answer_metrics, 0},
    {AT_OPERATOR, "GET", "/v1/status", answer_status, 0},
    {AT_OPERATOR, "POST", "/v1/drain", answer_drain, 0},
    {AT_OPERATOR, "POST", "/v1/stop", answer_stop, 0},
    {AT_OPERATOR, "POST", "/v1/reload", answer_reload, 0},
    {AT_OPERATOR, "GET", "/v1/inbox", answer_inbox, CONTROL_INBOX_LIST},
    {AT_OPERATOR, "GET", "/v1/inbox/show", answer_inbox, CONTROL_INBOX_SHOW},
    {AT_OPERATOR, "POST", "/v1/inbox/retry", answer_inbox, CONTROL_INBOX_RETRY},
    {AT_OPERATOR, "POST", "/v1/inbox/drop", answer_inbox, CONTROL_INBOX_DROP},
    {AT_OPERATOR, "POST", "/v1/inbox/verify", answer_inbox, CONTROL_INBOX_VERIFY},
    {AT_AGENT, "GET", "/v1/self", answer_self, 0},
};
enum { ROUTE_COUNT = sizeof(routes) / sizeof(routes[0]) };

/* RFC 9457; `type` is stable, for programs. */
static void answer_problem(struct exchange *x, int status, const char *type, const char *detail,
                           const char *allow)
{
    CLEANUP(str_release) struct str json = {0};
    struct answer_field field = {"Allow", slice_of(allow)};

    str_addf(&json, "{\"type\":\"urn:molecule:%s\",\"status\":%d,\"detail\":\"%s\"}\n", type,
             status, detail);
    exchange_answer(x, status, "application/problem+json", &field, allow ? 1 : 0, str_slice(&json));
}

static void answer_not_found(struct exchange *x, const struct doorway *d)
{
    CLEANUP(str_release) struct str detail = {0};

    str_addz(&detail, "no such path here; there are");
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (routes[i].doors & (1 << d->door)) {
            str_addf(&detail, " %s", routes[i].path);
        }
    }
    answer_problem(x, 404, "not-found", str_z(&detail), NULL);
}

static bool method_fits(const char *method, const struct http_request *rq)
{
    return slice_eq(rq->method_text, slice_of(method)) ||
           (rq->method == HTTP_HEAD && method[0] == 'G');
}

/* The capability in the path is a secret: compared in constant time, and anything but a match is an
 * ordinary 404. */
static bool is_drain_path(const struct control *c, const struct doorway *d,
                          const struct http_request *rq)
{
    const char *path = c->cfg->admin.drain_path;

    return d->door == DOOR_ADMIN && path[0] && slice_eq_secret(rq->path, slice_of(path));
}

static void on_request(void *ctx, struct exchange *x)
{
    struct doorway *d = ctx;
    struct control *c = d->control;
    const struct http_request *rq = exchange_request(x);
    const char *other_method = NULL;

    if (is_drain_path(c, d, rq)) {
        begin_drain(c, x, "preStop", true);
        return;
    }
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *r = &routes[i];

        if (!(r->doors & (1 << d->door)) || !slice_eq(rq->path, slice_of(r->path))) {
            continue;
        }
        if (method_fits(r->method, rq)) {
            r->fn(c, x, rq, r->value);
            return;
        }
        other_method = r->method;
    }
    if (other_method) {
        answer_problem(x, 405, "method-not-allowed", "this path takes another method",
                       other_method);
        return;
    }
    answer_not_found(x, d);
}

static void on_end(struct exchange *x, bool complete)
{
    struct waiter *w = exchange_user(x);

    (void)complete;
    if (w && w->is_inbox) {
        w->x = NULL;
    } else if (w) {
        list_remove(&w->node);
        free(w);
    }
}

static const struct handler control_handler = {.on_request = on_request, .on_end = on_end};

void control_drain_done(struct control *c, enum control_drain how)
{
    while (!list_is_empty(&c->waiters)) {
        struct waiter *w = container_of(list_first(&c->waiters), struct waiter, node);

        list_remove(&w->node); /* on_end removes it again, which is harmless */
        tell_drain(w->x, how);
    }
}

static int read_uids(struct control *c, struct err *err)
{
    const struct string_list *list = &c->cfg->control.allow_uids;

    c->uids[0] = geteuid();
    c->uids[1] = 0; /* root can read our memory anyway; `kubectl exec` often is root */
    c->uid_count = 2;
    const struct user *child = &c->cfg->agent.run_as;

    if (child->is_set && child->uid != 0 && child->uid != geteuid()) {
        c->uids[c->uid_count++] = child->uid;
    }
    const size_t own_count = c->uid_count;

    for (size_t i = 0; i < list->n; i++) {
        int64_t uid;

        if (c->uid_count == CONTROL_UIDS_MAX) {
            return err_set(err, -E2BIG, "control.allow_uids lists more than %d user ids",
                           CONTROL_UIDS_MAX - (int)own_count);
        }
        if (parse_int64(slice_of(list->v[i]), 0, UINT32_MAX - 1, &uid) < 0) {
            return err_set(err, -EINVAL,
                           "control.allow_uids has %s, must be numbers from 0 to 4294967294",
                           list->v[i]);
        }
        c->uids[c->uid_count++] = (uid_t)uid;
    }
    return 0;
}

static int open_door(struct control *c, enum door door, const char *name, const struct endpoint *at,
                     int inherited_fd, size_t uid_count, struct err *err)
{
    struct server_config sc;

    server_config_defaults(&sc);
    sc.name = name;
    sc.at = *at;
    sc.inherited_fd = inherited_fd;
    sc.socket_mode =
        uid_count > 2 ? 0666 : 0600; /* with a list of users the peer check decides, not the mode */
    sc.allow_uids = uid_count ? c->uids : NULL;
    sc.allow_uid_count = uid_count;
    sc.max_connections = CONTROL_CONNECTIONS_MAX;
    sc.max_head_bytes = CONTROL_HEAD_MAX_BYTES;
    sc.max_body_bytes = CONTROL_BODY_MAX_BYTES;
    sc.access_log = false; /* a path may hold the drain capability, and probes come every second */
    c->doors[door] = (struct doorway){.control = c, .door = door};
    return server_open(c->loop, &sc, &control_handler, &c->doors[door], &c->doors[door].server,
                       err);
}

static int open_socket(struct control *c, enum door door, const char *name, const char *path,
                       size_t uid_count, struct err *err)
{
    CLEANUP(str_release) struct str text = {0};
    struct endpoint at;

    str_addf(&text, "unix:%s", path);
    int r = endpoint_parse(str_slice(&text), &at, err);

    return r < 0 ? r : open_door(c, door, name, &at, -1, uid_count, err);
}

int control_new(struct loop *l, const struct config *cfg, int admin_fd,
                const struct control_callbacks *cb, void *arg, struct control **ret,
                struct err *err)
{
    struct control *c = calloc(1, sizeof(*c));
    int r;

    if (!c) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    c->loop = l;
    c->cfg = cfg;
    c->cb = *cb;
    c->arg = arg;
    list_init(&c->waiters);

    r = read_uids(c, err);
    if (r == 0 &&
        (r = open_door(c, DOOR_ADMIN, "admin", &cfg->admin.address, admin_fd, 0, err)) < 0) {
        err_wrap(err, "admin.address");
    }
    if (r == 0 && (r = open_socket(c, DOOR_OPERATOR, "control", cfg->control.socket, 2, err)) < 0) {
        err_wrap(err, "control.socket");
    }
    if (r == 0 && (r = open_socket(c, DOOR_AGENT, "agent-api", cfg->control.agent_socket,
                                   c->uid_count, err)) < 0) {
        err_wrap(err, "control.agent_socket");
    }
    if (r < 0) {
        control_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_free(struct control *c)
{
    if (!c) {
        return;
    }
    for (int d = 0; d < DOOR_COUNT; d++) {
        server_free(c->doors[d].server);
    }
    free(c);
}

const char *control_admin_address(const struct control *c)
{
    return server_address(c->doors[DOOR_ADMIN].server)->text;
}
