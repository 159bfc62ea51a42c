/*
 * Reads a pipe up to the first newline.
 */
#include "agent/ready_fd.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void ready_fd_close(struct ready_fd *r)
{
    if (!r->is_open) {
        return;
    }
    r->is_open = false;
    watch_stop(&r->watch);
    fd_close(&r->ours);
    fd_close(&r->childs_end);
}

void ready_fd_spawned(struct ready_fd *r)
{
    if (r->is_open) {
        fd_close(&r->childs_end);
    }
}

static void finish(struct ready_fd *r, enum ready_fd_event event)
{
    ready_fd_close(r);
    r->fn(r->arg, event);
}

static void on_readable(struct watch *w, int events)
{
    struct ready_fd *r = w->arg;
    char bytes[512];
    ssize_t n = read(r->ours, bytes, sizeof(bytes));

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        finish(r, READY_FD_CLOSED);
    } else if (memchr(bytes, '\n', (size_t)n)) {
        finish(r, READY_FD_SAID);
    } else if ((r->seen_bytes += (size_t)n) > READY_LINE_MAX_BYTES) {
        finish(r, READY_FD_TOO_LONG);
    }
}

int ready_fd_open(struct ready_fd *r, struct loop *l, ready_fd_fn *fn, void *arg)
{
    int ends[2];
    int rc;

    ready_fd_close(r);
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    /* only our end: the flag belongs to each end, and an agent expects a blocking one */
    *r = (struct ready_fd){
        .ours = ends[0], .childs_end = ends[1], .is_open = true, .fn = fn, .arg = arg};
    rc = fd_set_nonblock(r->ours, true);
    if (rc == 0) {
        rc = watch_start(&r->watch, l, r->ours, WATCH_READ, on_readable, r);
    }
    if (rc < 0) {
        ready_fd_close(r);
    }
    return rc;
}
