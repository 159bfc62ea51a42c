/*
 * libcurl's sockets as watches, its one timeout as a timer, and the queue that keeps it from
 * resolving a host name more than once at a time. What is asked of whom is the callers' business.
 *
 * A transfer's way: WAITING (in the queue, libcurl does not know it) -> RUNNING (libcurl has it) ->
 * DONE (its callback is due at the end of the turn). All steps that libcurl forbids inside its own
 * callbacks are taken in the deferred function.
 */
#include "loop/curl_io.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum transfer_state { TRANSFER_WAITING = 0, TRANSFER_RUNNING, TRANSFER_DONE };

struct transfer {
    struct list node;
    struct curl_io *io;
    CURL *easy; /* the caller's */
    curl_done_fn *done;
    void *arg;
    enum transfer_state state;
    CURLcode result;
    char *host;          /* the name that needs resolving, owned; NULL for addresses */
    bool is_resolving;   /* RUNNING, and libcurl does not know the address yet */
    int64_t deadline_ms; /* 0: none */
    struct timer timer;  /* while WAITING */
};

struct curl_socket {
    struct list node;
    struct curl_io *io;
    struct watch watch;
};

struct curl_io {
    struct loop *loop;
    CURLM *multi;          /* NULL until the first start */
    struct list transfers; /* WAITING and RUNNING, in the order they were started */
    struct list done;      /* DONE, in the order they ended */
    struct list sockets;
    struct timer timer;       /* libcurl's */
    struct deferred deferred; /* pump */
    int in_curl;              /* libcurl is on the stack */
    bool is_calling_back;     /* a done callback is on the stack: */
    bool is_freed;            /* if it frees us, the last bytes go when it returns */
};

static void on_deferred(struct deferred *d);

static struct transfer *transfer_of(struct list *node)
{
    return container_of(node, struct transfer, node);
}

/* ---- libcurl calls us ---- */

static void curl_io_action(struct curl_io *io, curl_socket_t fd, int mask);

static void on_socket(struct watch *w, int events)
{
    struct curl_socket *s = w->arg;
    int mask =
        (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);

    curl_io_action(s->io, w->fd, mask); /* s may be gone after this */
}

static void socket_free(struct curl_socket *s)
{
    watch_stop(&s->watch);
    list_remove(&s->node);
    free(s);
}

static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct curl_io *io = arg;
    struct curl_socket *s = socket_arg;
    int events = (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s)
            socket_free(s);
        return 0;
    }
    if (s) {
        watch_set(&s->watch, events);
        return 0;
    }
    s = calloc(1, sizeof(*s));
    if (!s)
        return -1; /* libcurl fails the transfer */
    s->io = io;
    list_append(&io->sockets, &s->node);
    if (watch_start(&s->watch, io->loop, fd, events, on_socket, s) < 0) {
        socket_free(s);
        return -1;
    }
    (void)curl_multi_assign(io->multi, fd, s); /* fails only for a socket libcurl does not have */
    return 0;
}

static void on_timer(struct timer *t)
{
    curl_io_action(t->arg, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_wants_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    struct curl_io *io = arg;

    (void)multi;
    if (timeout_ms < 0)
        timer_stop(&io->timer);
    else
        /* From now, not from the turn's begin, and rounded up: libcurl does not ask again for a
         * time it has asked for, so a wake-up before it would be the last. */
        timer_start(&io->timer, io->loop, clock_mono_ms() + timeout_ms + (timeout_ms > 0 ? 1 : 0),
                    on_timer, io);
    return 0;
}

/* ---- we call libcurl ---- */

static struct transfer *find_in(struct list *list, const CURL *easy)
{
    LIST_FOREACH(it, list)
    {
        if (transfer_of(it)->easy == easy)
            return transfer_of(it);
    }
    return NULL;
}

static struct transfer *find(struct curl_io *io, const CURL *easy)
{
    struct transfer *t = find_in(&io->transfers, easy);

    return t ? t : find_in(&io->done, easy);
}

static void transfer_done(struct transfer *t, CURLcode result)
{
    t->state = TRANSFER_DONE;
    t->result = result;
    t->is_resolving = false;
    timer_stop(&t->timer);
    list_remove(&t->node);
    list_append(&t->io->done, &t->node);
    loop_defer(t->io->loop, &t->io->deferred, on_deferred);
}

/* Has libcurl found (or not needed) the address? Both times are 0 before, also on a reused handle
 * once its transfer has begun. */
static bool has_address(CURL *easy)
{
    curl_off_t lookup = 0, pretransfer = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup);
    (void)curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
    return lookup > 0 || pretransfer > 0;
}

/* After libcurl has run: note what it has finished and whose names it knows now. */
static void look(struct curl_io *io)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(io->multi, &left))) {
        struct transfer *t;
        CURLcode result;

        if (message->msg != CURLMSG_DONE)
            continue;
        t = find(io, message->easy_handle);
        result = message->data.result;
        assert(t && t->state == TRANSFER_RUNNING);
        (void)curl_multi_remove_handle(io->multi, t->easy); /* ends the life of message */
        transfer_done(t, result);
    }
    LIST_FOREACH(it, &io->transfers)
    {
        struct transfer *t = transfer_of(it);

        if (t->is_resolving && has_address(t->easy)) {
            t->is_resolving = false;
            loop_defer(io->loop, &io->deferred, on_deferred); /* the next in the queue */
        }
    }
}

static void curl_io_action(struct curl_io *io, curl_socket_t fd, int mask)
{
    int running;

    io->in_curl++;
    (void)curl_multi_socket_action(io->multi, fd, mask, &running); /* its failures end transfers */
    io->in_curl--;
    look(io);
}

static bool is_host_busy(struct curl_io *io, const char *host)
{
    LIST_FOREACH(it, &io->transfers)
    {
        struct transfer *t = transfer_of(it);

        if (t->is_resolving && t->host && strcasecmp(t->host, host) == 0)
            return true;
    }
    return false;
}

/* Hand a waiting transfer to libcurl. */
static void transfer_run(struct transfer *t)
{
    struct curl_io *io = t->io;

    timer_stop(&t->timer);
    if (t->deadline_ms > 0) {
        int64_t left_ms = t->deadline_ms - loop_now_ms(io->loop);

        if (left_ms <= 0) {
            transfer_done(t, CURLE_OPERATION_TIMEDOUT);
            return;
        }
        if (left_ms > LONG_MAX)
            left_ms = LONG_MAX;
        (void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    }
    t->state = TRANSFER_RUNNING;
    t->is_resolving = t->host != NULL;
    if (curl_multi_add_handle(io->multi, t->easy) != CURLM_OK) {
        transfer_done(t, CURLE_FAILED_INIT);
        return;
    }
    /* Begin at once: from here on is_resolving can be judged. */
    curl_io_action(io, CURL_SOCKET_TIMEOUT, 0);
}

/* The first that may start. A later one of the same host never overtakes an earlier one. */
static struct transfer *next_to_run(struct curl_io *io)
{
    LIST_FOREACH(it, &io->transfers)
    {
        struct transfer *t = transfer_of(it);

        if (t->state == TRANSFER_WAITING && !(t->host && is_host_busy(io, t->host)))
            return t;
    }
    return NULL;
}

/* Looks from the front each time: running one may end others, which leave the list. */
static void run_waiting(struct curl_io *io)
{
    struct transfer *t;

    while ((t = next_to_run(io)))
        transfer_run(t);
}

/* Out of its list, and gone. */
static void transfer_free(struct transfer *t)
{
    timer_stop(&t->timer);
    list_remove(&t->node);
    free(t->host);
    free(t);
}

/* The end of a turn: libcurl is not on the stack, so callers may do anything. */
static void on_deferred(struct deferred *d)
{
    struct curl_io *io = container_of(d, struct curl_io, deferred);
    struct list *first;

    run_waiting(io);
    io->is_calling_back = true;
    while (!io->is_freed && (first = list_pop(&io->done))) {
        struct transfer t = *transfer_of(first);

        free(transfer_of(first));
        free(t.host);
        t.done(t.arg, t.easy, t.result);
    }
    io->is_calling_back = false;
    if (io->is_freed)
        free(io);
}

/* ---- the interface ---- */

int curl_io_new(struct loop *l, struct curl_io **ret, struct err *err)
{
    struct curl_io *io = calloc(1, sizeof(*io));

    if (!io)
        return err_set(err, -ENOMEM, "no memory for calls to others");
    io->loop = l;
    list_init(&io->transfers);
    list_init(&io->done);
    list_init(&io->sockets);
    *ret = io;
    return 0;
}

static int multi_open(struct curl_io *io)
{
    if (io->multi)
        return 0;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -EIO;
    io->multi = curl_multi_init();
    if (!io->multi) {
        curl_global_cleanup();
        return -EIO;
    }
    (void)curl_multi_setopt(io->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
    (void)curl_multi_setopt(io->multi, CURLMOPT_SOCKETDATA, io);
    (void)curl_multi_setopt(io->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timeout);
    (void)curl_multi_setopt(io->multi, CURLMOPT_TIMERDATA, io);
    return 0;
}

void curl_io_free(struct curl_io *io)
{
    struct list *first;

    if (!io)
        return;
    assert(io->in_curl == 0);
    while ((first = list_first(&io->transfers)) || (first = list_first(&io->done)))
        curl_io_cancel(io, transfer_of(first)->easy);
    if (io->multi) {
        (void)curl_multi_cleanup(io->multi); /* closes idle connections */
        curl_global_cleanup();
    }
    while ((first = list_pop(&io->sockets))) { /* what libcurl has not said goodbye to */
        struct curl_socket *left = container_of(first, struct curl_socket, node);

        watch_stop(&left->watch);
        free(left);
    }
    timer_stop(&io->timer);
    deferred_cancel(&io->deferred);
    if (io->is_calling_back)
        io->is_freed = true;
    else
        free(io);
}

/* The name in the handle's URL that libcurl will have to resolve, or NULL when it is an address. */
static int host_of(CURL *easy, char **ret)
{
    CURLU *url = curl_url();
    const char *text = NULL;
    char *host = NULL;
    struct in_addr address;
    int rc = 0;

    *ret = NULL;
    if (!url)
        return -ENOMEM;
    /* Before the transfer, the effective URL is the one that was set. What does not parse here
     * fails in libcurl too, with its own words. */
    if (curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &text) == CURLE_OK && text &&
        curl_url_set(url, CURLUPART_URL, text, CURLU_GUESS_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '[' &&
        inet_pton(AF_INET, host, &address) != 1) {
        *ret = slice_dup(slice_of(host));
        rc = *ret ? 0 : -ENOMEM;
    }
    curl_free(host);
    curl_url_cleanup(url);
    return rc;
}

static void on_waited_too_long(struct timer *timer)
{
    transfer_done(timer->arg, CURLE_OPERATION_TIMEDOUT);
}

int curl_io_start(struct curl_io *io, CURL *easy, int64_t timeout_ms, curl_done_fn *done, void *arg)
{
    struct transfer *t;
    int rc = multi_open(io);

    if (rc < 0)
        return rc;
    assert(!find(io, easy));
    /* Without QUICK_EXIT, giving up a transfer waits for its resolver thread; without NOSIGNAL,
     * libcurl changes signal handlers. */
    if (curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK)
        return -EIO;
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    rc = host_of(easy, &t->host);
    if (rc < 0) {
        free(t);
        return rc;
    }
    t->io = io;
    t->easy = easy;
    t->done = done;
    t->arg = arg;
    list_append(&io->transfers, &t->node);
    if (timeout_ms > 0) {
        t->deadline_ms = loop_now_ms(io->loop) + timeout_ms;
        timer_start(&t->timer, io->loop, t->deadline_ms, on_waited_too_long, t);
    }
    loop_defer(io->loop, &io->deferred, on_deferred);
    return 0;
}

void curl_io_cancel(struct curl_io *io, CURL *easy)
{
    struct transfer *t = find(io, easy);

    if (!t)
        return;
    assert(io->in_curl == 0);
    if (t->state == TRANSFER_RUNNING) {
        (void)curl_multi_remove_handle(io->multi, easy);
        loop_defer(io->loop, &io->deferred, on_deferred); /* its host's queue may move */
    }
    transfer_free(t);
}
