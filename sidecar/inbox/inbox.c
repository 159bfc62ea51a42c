/*
 * The owner: opens the journal and the parts, starts them, says when they may work, and brings them
 * down. What the operator asks is inbox_orders.c's.
 */
#include "inbox/inbox.h"

#include "inbox/outbox.h"
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <stdlib.h>

#include "base/banned.h"

/* ---- work ---- */

static void call_idle(struct inbox *i)
{
    int64_t left = i->is_finishing ? 0 : answers_left_to_next(i);

    if (left > 0)
        log_info("inbox",
                 "%lld answer%s may or may not have arrived: not waited for, the next run asks the "
                 "feed again",
                 (long long)left, left == 1 ? "" : "s");
    i->is_told_idle = true;
    i->cb.on_idle(i->arg);
}

/* In the end only calls under way are worth a wait: all else is on disk, for the next run. */
static bool is_finished(const struct inbox *i)
{
    return i->answers->calls == 0;
}

static void on_settled(struct deferred *d)
{
    struct inbox *i = container_of(d, struct inbox, settled);

    i->status.in_work = queue_in_work(i);
    i->cb.on_work(i->arg);
    if (i->is_finishing ? is_finished(i) && !i->is_told_idle : i->is_draining && inbox_is_idle(i))
        call_idle(i);
}

/* At the end of the turn: whoever calls this is in the middle of something. */
void inbox_work_changed(struct inbox *i)
{
    loop_defer(i->loop, &i->settled, on_settled);
}

int64_t inbox_awaited(const struct inbox *i)
{
    return queue_in_work(i) - (i->is_draining ? answers_left_to_next(i) : 0);
}

bool inbox_is_idle(const struct inbox *i)
{
    return inbox_awaited(i) == 0;
}

/* ---- gates ---- */

void inbox_start(struct inbox *i)
{
    if (i->is_started)
        return;
    i->is_started = true;
    queue_refill(i);
    uploads_start(i);
    feed_start(i);
    wakeup_start(i);
    deliver_pump(i);
}

void inbox_set_agent(struct inbox *i, bool is_ready)
{
    if (i->is_agent_ready == is_ready)
        return;
    i->is_agent_ready = is_ready;
    i->losses += !is_ready;
    deliver_pump(i);
}

void inbox_set_held(struct inbox *i, bool is_held)
{
    if (i->is_held == is_held)
        return;
    i->is_held = is_held;
    deliver_pump(i);
}

void inbox_drain(struct inbox *i)
{
    if (i->is_draining)
        return;
    i->is_draining = true;
    wakeup_stop(i);
    feed_stop(i);
    if (i->is_started)
        feed_look_only(i);
    inbox_work_changed(i);
}

void inbox_resume(struct inbox *i)
{
    if (!i->is_draining || i->is_finishing)
        return;
    i->is_draining = false;
    if (i->is_started) {
        feed_start(i);
        wakeup_start(i);
    }
    deliver_pump(i);
}

static void on_finish_late(struct timer *t)
{
    struct inbox *i = t->arg;

    if (!i->is_told_idle)
        call_idle(i);
}

void inbox_finish(struct inbox *i, int64_t budget_ms)
{
    inbox_drain(i);
    feed_stop(i);
    i->is_finishing = true;
    i->is_told_idle = false;
    timer_start(&i->finish, i->loop, loop_now_ms(i->loop) + budget_ms, on_finish_late, i);
    inbox_work_changed(i);
}

void inbox_configure(struct inbox *i)
{
    if (!i->is_started)
        return;
    feed_configure(i);
    deliver_pump(i);
}

/* ---- what it looks like ---- */

const struct journal_status *inbox_journal_status(const struct inbox *i)
{
    return journal_status(i->journal);
}

const struct inbox_status *inbox_status(struct inbox *i)
{
    const struct journal_status *j = journal_status(i->journal);
    int64_t oldest = j->oldest_waiting_us / 1000;
    int64_t age = oldest > 0 ? clock_wall_ms() - oldest : 0;

    i->status.is_on = true;
    i->status.in_work = queue_in_work(i);
    i->status.waiting = j->count[JOURNAL_SEEN];
    i->status.oldest_waiting_ms = age > 0 ? age : 0;
    return &i->status;
}

/* ---- opening and closing ---- */

static int open_parts(struct inbox *i)
{
    int (*const make[])(struct inbox * i) = {queue_new,   deliver_new, answers_new, peers_new,
                                             uploads_new, second_new,  feed_new,    wakeup_new};
    int r = 0;

    for (size_t k = 0; k < sizeof(make) / sizeof(make[0]) && r == 0; k++)
        r = make[k](i);
    return r;
}

int inbox_new(struct loop *l, struct curl_io *io, struct store *store, const struct config *cfg,
              struct platform *platform, struct port *port, const struct inbox_callbacks *cb,
              void *arg, struct inbox **ret, struct err *err)
{
    struct inbox *i = calloc(1, sizeof(*i));
    const struct journal_options o = {.dir = cfg->state.dir,
                                      .memory_on_error = cfg->inbox.on_disk_error == INBOX_MEMORY};
    int r;

    if (!i)
        return err_set(err, -ENOMEM, "out of memory");
    i->loop = l;
    i->io = io;
    i->store = store;
    i->cfg = cfg;
    i->platform = platform;
    i->transport = platform_transport(platform);
    i->port = port;
    i->cb = *cb;
    i->arg = arg;
    r = journal_open(l, store, &o, &i->journal, err);
    if (r == 0 && (r = open_parts(i)) < 0)
        err_set(err, r, "out of memory");
    if (r < 0) {
        inbox_free(i);
        return r;
    }
    *ret = i;
    return 0;
}

/* The journal first: its callbacks still find what they are about. */
void inbox_free(struct inbox *i)
{
    if (!i)
        return;
    i->is_finishing = true;
    timer_stop(&i->finish);
    if (i->wakeup)
        wakeup_stop(i);
    if (i->feed)
        feed_stop(i);
    if (i->uploads)
        uploads_stop(i);
    if (i->queue)
        deliver_spare(i);
    journal_close(i->journal);
    i->journal = NULL;
    if (i->queue)
        queue_release(i);
    wakeup_free(i);
    feed_free(i);
    second_free(i);
    uploads_free(i);
    peers_free(i);
    answers_free(i);
    deliver_free(i);
    queue_free(i);
    deferred_cancel(&i->settled);
    free(i);
}
