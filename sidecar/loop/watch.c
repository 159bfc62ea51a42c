/*
 * Descriptors: one uv_poll_t per watch, on the heap and used again, so that a watch's owner may go
 * at any time. Timers and the turn are loop.c's.
 *
 * libuv pays two system calls for each change of interests. So an interest in reading that ends is
 * only noted; the kernel is told when it reports what nobody wants any more. A proxy that stops and
 * starts reading around each request then pays nothing.
 */
#include "loop/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

enum { WATCH_KEEP_HANDLES = 256 }; /* closed handles kept for reuse, about 200 bytes each */

struct watch_handle {
    uv_poll_t poll; /* data points to the handle */
    struct loop *loop;
    struct watch *owner;       /* NULL once stopped */
    struct watch_handle *next; /* while free */
    int registered;            /* WATCH_* that libuv was asked for */
};

static int to_uv(int events)
{
    return (events & WATCH_READ ? UV_READABLE : 0) | (events & WATCH_WRITE ? UV_WRITABLE : 0) |
           (events & WATCH_HANGUP ? UV_DISCONNECT : 0) |
           (events & WATCH_ERROR ? UV_PRIORITIZED
                                 : 0); /* errors show even where nothing urgent comes */
}

static int from_uv(int events)
{
    return (events & UV_READABLE ? WATCH_READ : 0) | (events & UV_WRITABLE ? WATCH_WRITE : 0) |
           (events & UV_DISCONNECT ? WATCH_HANGUP : 0) |
           (events & UV_PRIORITIZED ? WATCH_ERROR : 0);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void handle_register(struct watch_handle *h, int events)
{
    int rc = events == 0 ? uv_poll_stop(&h->poll) : uv_poll_start(&h->poll, to_uv(events), on_poll);

    assert(rc == 0); /* fails only for two watches of one descriptor */
    h->registered = events;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch_handle *h = poll->data;
    struct watch *w = h->owner;
    int ready;

    assert(w); /* a stopped poll handle is not called */
    loop_refresh(h->loop);
    if (status < 0) {
        /* libuv has stopped the handle by now. The owner finds the error with its next call. */
        h->registered = 0;
        ready = w->events;
    } else {
        ready = from_uv(events) & w->events;
        if (ready == 0)
            handle_register(h, w->events); /* ready for what is no longer wanted: now it costs */
    }
    if (ready != 0)
        w->fn(w, ready);
    /* The owner may be gone, and the handle with it; but then h->owner says so, for handles are
     * freed by libuv's closing phase at the end of the turn only. */
    if (status < 0 && h->owner && h->registered == 0 && h->owner->events != 0 && ready != 0)
        handle_register(h, h->owner->events);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch_handle *h = handle->data;
    struct loop *l = h->loop;

    if (l->free_count >= WATCH_KEEP_HANDLES) {
        free(h);
        return;
    }
    h->next = l->free_handles;
    l->free_handles = h;
    l->free_count++;
}

void watch_pool_release(struct loop *l)
{
    while (l->free_handles) {
        struct watch_handle *h = l->free_handles;

        l->free_handles = h->next;
        free(h);
    }
    l->free_count = 0;
}

static struct watch_handle *handle_get(struct loop *l)
{
    struct watch_handle *h = l->free_handles;

    if (h) {
        l->free_handles = h->next;
        l->free_count--;
    } else {
        h = malloc(sizeof(*h));
    }
    if (h)
        *h = (struct watch_handle){.loop = l};
    return h;
}

int watch_start(struct watch *w, struct loop *l, int fd, int events, watch_fn *fn, void *arg)
{
    struct watch_handle *h;
    int rc;

    watch_stop(w);
    if (fd < 0)
        return -EBADF;
    h = handle_get(l);
    if (!h)
        return -ENOMEM;
    rc = uv_poll_init(&l->uv, &h->poll, fd);
    if (rc < 0) {
        h->next = l->free_handles; /* was never libuv's */
        l->free_handles = h;
        l->free_count++;
        return rc;
    }
    h->poll.data = h;
    h->owner = w;
    *w = (struct watch){.loop = l, .fn = fn, .arg = arg, .handle = h, .fd = fd, .events = events};
    l->watch_count++;
    if (events != 0)
        handle_register(h, events);
    return 0;
}

void watch_set(struct watch *w, int events)
{
    struct watch_handle *h = w->handle;
    int missing, idle_writes;

    if (!h || w->events == events)
        return;
    w->events = events;
    missing = events & ~h->registered;
    /* Room to write is nearly always there, and a hang-up stays: left registered, they would wake
     * us at once. */
    idle_writes = h->registered & ~events & (WATCH_WRITE | WATCH_HANGUP);
    if (missing || idle_writes)
        handle_register(h, events);
}

void watch_stop(struct watch *w)
{
    struct watch_handle *h = w->handle;

    if (!h)
        return;
    w->handle = NULL;
    w->events = 0;
    h->owner = NULL;
    h->loop->watch_count--;
    /* Stops at once: what this turn has already collected for the descriptor is dropped, and its
     * number may be closed and used again. Only the memory lives until the end of the turn. */
    uv_close((uv_handle_t *)&h->poll, on_closed);
}
