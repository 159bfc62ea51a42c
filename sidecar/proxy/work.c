/*
 * What somebody waits for, in numbers and in words: for the heartbeat, the status page and who
 * drains.
 */
#include "base/cleanup.h"
#include "proxy/state.h"
#include "proxy/uploads.h"

#include <stdio.h>

#include "base/banned.h"

size_t proxy_work_count(const struct proxy *p)
{
    return p->stats.in_flight - p->stats.streams_finished + p->stats.on_way + p->stats.held;
}

static const char *doing(const struct pump *u)
{
    if (u->upload && u->state != PUMP_DONE)
        return "an upload under way";
    switch (u->state) {
    case PUMP_QUEUED:
        if (u->is_guest || u->is_peeking)
            return "its client still sends it";
        return "on its way to the agent";
    case PUMP_CONNECTING:
        return "on its way to the agent";
    case PUMP_HELD:
        return hold_is_for_place(u->proxy) ? "waits for its turn (forward.max_in_flight)"
                                           : "waits for the agent";
    case PUMP_SENT:
        return u->is_whole ? "the agent has not answered yet" : "its client still sends it";
    case PUMP_RELAYING:
        return u->is_stream ? stream_task_words(u->watch.task) : "its answer is under way";
    case PUMP_DONE:
        return "its client still reads the answer";
    }
    return "";
}

static void describe(const struct pump *u, struct proxy_work *ret)
{
    CLEANUP(str_release) struct str words = {0};
    CLEANUP(str_release) struct str clean = {0};

    if (u->x)
        str_addf(&words, "%s %s from %s", exchange_method(u->x), exchange_path(u->x),
                 exchange_peer(u->x));
    else
        str_addz(&words, "a message that may be repeated (forward.dedupe_window)");
    str_addf(&words, ": %s%s", u->state == PUMP_RELAYING && u->is_stream ? "event stream, " : "",
             doing(u));
    str_add_printable(&clean, str_slice(&words), sizeof(ret->longest) - 1);
    (void)snprintf(ret->longest, sizeof(ret->longest), "%s", str_z(&clean));
}

/* Lists are in order of start or turn, which is nearly that of arrival. */
static const struct pump *earlier(const struct pump *a, const struct pump *b)
{
    return !a || b->arrived_ms < a->arrived_ms ? b : a;
}

void proxy_work(const struct proxy *p, struct proxy_work *ret)
{
    const struct pump *longest = upload_first(p);

    *ret = (struct proxy_work){
        .count = proxy_work_count(p) + p->stats.uploads,
        .in_flight = p->stats.in_flight - p->stats.streams_finished + p->stats.on_way,
        .streams = p->stats.streams - p->stats.streams_finished,
        .held = p->stats.held,
        .uploads = p->stats.uploads,
    };
    LIST_FOREACH(node, &p->flight)
    {
        const struct pump *u = container_of(node, struct pump, flight);

        if (u->watch.task != STREAM_FINISHED)
            longest = earlier(longest, u);
    }
    LIST_FOREACH(starting, &p->on_way)
    {
        longest = earlier(longest, container_of(starting, struct pump, way));
    }
    LIST_FOREACH(waiting, &p->held)
    {
        longest = earlier(longest, container_of(waiting, struct pump, node));
    }
    if (!longest)
        return;
    ret->longest_since_ms = longest->arrived_ms;
    describe(longest, ret);
}
