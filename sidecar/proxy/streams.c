/*
 * Event streams and the tasks they tell about: who holds a place, what a drain waits for, and the
 * clean end of a stream whose task is finished.
 *
 * A stream counts against forward.max_in_flight while its task works. One that waits for input, or
 * is finished, leaves its place: the message that it waits for must find one, or both would wait
 * until the end of time. When work goes on it has its place again, above the limit if need be.
 */
#include "base/cleanup.h"
#include "proxy/state.h"

#include "base/banned.h"

/* ---- its head ---- */

static bool value_has(const struct http_response *r, enum http_field_id id, struct slice word)
{
    for (size_t i = 0; i < r->field_count; i++) {
        struct slice rest = r->fields[i].value;
        struct slice item;

        if (r->fields[i].id != id)
            continue;
        while (slice_next(&rest, ',', &item)) {
            if (slice_eq_nocase(item, word))
                return true;
        }
    }
    return false;
}

static bool is_coded(const struct http_response *r)
{
    const struct http_field *coding = http_response_field(r, FIELD_CONTENT_ENCODING);

    return coding && !slice_eq_nocase(coding->value, SLICE("identity"));
}

/* The conditions of A section 4.4 that the head decides; (v) holds because we frame streams. */
static bool may_comment(const struct http_response *r)
{
    if (r->status != 200 || r->framing == HTTP_BODY_NONE || is_coded(r))
        return false;
    return !value_has(r, FIELD_CACHE_CONTROL, SLICE("no-transform"));
}

void stream_begin(struct pump *u, const struct http_response *r)
{
    struct proxy *p = u->proxy;

    u->is_stream = true;
    p->stats.streams++;
    sse_begin(&u->sse);
    /* not a card's path that answers with a stream: it is no work */
    u->is_followed = !is_coded(r) && !list_is_empty(&u->flight);
    if (u->is_followed)
        stream_watch_begin(&u->watch, &p->blocks);
    if (!u->share)
        exchange_set_stream(u->x, true);
    u->may_comment = may_comment(r);
    pump_wait(u, u->may_comment ? &p->comment_class : NULL);
}

/* ---- what passes ---- */

static void set_finished(struct pump *u, bool on)
{
    struct proxy *p = u->proxy;

    if (on)
        p->stats.streams_finished++;
    else
        p->stats.streams_finished--;
    if (on && p->gate == PROXY_DRAINING)
        deadline_start(&p->finish_class, &u->finish);
    else
        deadline_stop(&p->finish_class, &u->finish);
}

void stream_follow(struct pump *u, struct slice content)
{
    enum stream_task before = u->watch.task;
    enum stream_task now;

    sse_feed(&u->sse, content);
    if (!u->is_followed)
        return;
    stream_watch_feed(&u->watch, content);
    now = u->watch.task;
    if (now == before)
        return;
    u->task_is_news = true;
    if ((now == STREAM_FINISHED) != (before == STREAM_FINISHED))
        set_finished(u, now == STREAM_FINISHED);
    if (now == STREAM_FINISHED || now == STREAM_WAITING)
        hold_leave_place(u);
    else
        hold_take_place(u);
}

void stream_tell(struct pump *u)
{
    if (!u->task_is_news)
        return;
    u->task_is_news = false;
    proxy_work_changed(u->proxy); /* last: it may end the request */
}

void stream_over(struct pump *u)
{
    if (!u->is_stream)
        return;
    u->proxy->stats.streams--;
    u->proxy->stats.streams_finished -= u->watch.task == STREAM_FINISHED;
}

/* ---- the end of a finished one ---- */

/* Between two events only: inside of one the rest of it is waited for. */
static void end_finished(struct pump *u)
{
    struct proxy *p = u->proxy;

    if (!u->is_stream || u->state != PUMP_RELAYING || u->watch.task != STREAM_FINISHED)
        return;
    if (!sse_is_boundary(&u->sse)) {
        deadline_start(&p->finish_class, &u->finish);
        return;
    }
    p->stats.streams_ended_total++;
    if (u->x)
        exchange_note(u->x, "task_finished");
    pump_finish(u);
}

void stream_end_finished(struct proxy *p)
{
    LIST_FOREACH(node, &p->flight)
    {
        end_finished(container_of(node, struct pump, flight));
    }
}

void stream_on_finish(struct deadline *d, void *arg)
{
    struct proxy *p = arg;

    if (p->gate == PROXY_DRAINING) /* else the drain was called off */
        end_finished(container_of(d, struct pump, finish));
}
