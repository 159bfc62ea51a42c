/*
 * A server as a whole: made, drained, freed. Its parts have files of their own.
 */
#include "server/server.h"

#include "server/conn.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/banned.h"

void server_config_defaults(struct server_config *c)
{
    *c = (struct server_config){
        .name = "server",
        .inherited_fd = -1,
        .socket_mode = 0600,
        .max_connections = 1024,
        .max_head_bytes = 64 * 1024,
        .max_body_bytes = 64 * 1024 * 1024,
        .head_timeout_ms = 10 * 1000,
        .idle_timeout_ms = 120 * 1000,
        .body_timeout_ms = 30 * 1000,
        .write_timeout_ms = 60 * 1000,
        .access_log = true,
    };
}

static void start_classes(struct server *s)
{
    deadline_class_init(&s->head_class, s->loop, s->cfg.head_timeout_ms, conn_on_deadline, s);
    deadline_class_init(&s->idle_class, s->loop, s->cfg.idle_timeout_ms, conn_on_deadline, s);
    deadline_class_init(&s->body_class, s->loop, s->cfg.body_timeout_ms, conn_on_deadline, s);
    deadline_class_init(&s->linger_class, s->loop, SERVER_LINGER_MS, conn_on_deadline, s);
    deadline_class_init(&s->write_class, s->loop, s->cfg.write_timeout_ms, conn_on_write_deadline,
                        s);
}

int server_open(struct loop *l, const struct server_config *cfg, const struct handler *handler,
                void *ctx, struct server **ret, struct err *err)
{
    struct server *s = calloc(1, sizeof(*s));
    size_t block = cfg->max_head_bytes > SERVER_IN_MIN ? cfg->max_head_bytes : SERVER_IN_MIN;
    int rc;

    assert(handler->on_request);
    if (s)
        s->scratch = malloc(block);
    if (!s || !s->scratch) {
        free(s);
        return err_set(err, -ENOMEM, "no memory for the server \"%s\"", cfg->name);
    }
    s->loop = l;
    s->cfg = *cfg;
    s->handler = handler;
    s->ctx = ctx;
    s->listen_fd = -1;
    list_init(&s->conns);
    list_init(&s->free_conns);
    buf_pool_init(&s->in_pool, block, cfg->max_connections, SERVER_KEEP_BLOCKS);
    buf_pool_init(&s->out_pool, SERVER_OUT_BYTES, cfg->max_connections, SERVER_KEEP_BLOCKS);
    start_classes(s);
    rc = listener_start(s, err);
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

const struct endpoint *server_address(const struct server *s)
{
    return &s->at;
}

int server_listen_fd(const struct server *s)
{
    return s->listen_fd;
}

const struct server_stats *server_stats(const struct server *s)
{
    return &s->stats;
}

void server_set_last(struct server *s, bool on)
{
    s->is_last = on;
    s->closes_idle = false;
}

void server_stop_accepting(struct server *s)
{
    listener_stop(s);
}

/* A request that is already in the kernel's buffer, or half here, is not idle: it gets its answer.
 */
bool conn_is_idle(struct conn *c)
{
    char byte;

    if ((c->state != CONN_IDLE && c->state != CONN_HEAD) || c->in.len ||
        (c->tls && conn_is_midway(c)))
        return false;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void server_close_idle(struct server *s)
{
    s->closes_idle = true;
    LIST_FOREACH(node, &s->conns)
    {
        struct conn *c = container_of(node, struct conn, node);

        if (conn_is_idle(c))
            conn_close(c);
    }
}

static void free_conns(struct list *conns)
{
    struct list *first;

    while ((first = list_first(conns)) != NULL) {
        list_remove(first);
        free(container_of(first, struct conn, node));
    }
}

void server_free(struct server *s)
{
    struct list *first;

    if (!s)
        return;
    listener_stop(s);
    while ((first = list_first(&s->conns)) != NULL)
        conn_destroy(container_of(first, struct conn, node));
    free_conns(&s->free_conns);
    deadline_class_release(&s->head_class);
    deadline_class_release(&s->idle_class);
    deadline_class_release(&s->body_class);
    deadline_class_release(&s->linger_class);
    deadline_class_release(&s->write_class);
    buf_pool_release(&s->in_pool);
    buf_pool_release(&s->out_pool);
    free(s->memos);
    free(s->scratch);
    free(s);
}
