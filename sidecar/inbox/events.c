/*
 * Reading an event stream. Field names other than "data" (event, id, retry) change nothing here:
 * the platform sends none.
 */
#include "inbox/events.h"

#include "inbox/page.h"

#include "base/banned.h"

static void add_bounded(struct str *s, struct slice bytes)
{
    size_t room = s->len < EVENT_BYTES ? EVENT_BYTES - s->len : 0;

    str_add(s, (struct slice){bytes.p, bytes.n < room ? bytes.n : room});
}

static void end_event(struct events *e, event_fn *fn, void *arg)
{
    if (e->data.len > 0 && str_ok(&e->data))
        fn(arg, str_slice(&e->data));
    str_release(&e->data);
}

static void end_line(struct events *e, event_fn *fn, void *arg)
{
    struct slice line = str_slice(&e->line);
    struct slice data = SLICE("data:");

    if (line.n == 0) {
        end_event(e, fn, arg);
    } else if (line.p[0] == ':') {
        e->is_alive = true;
    } else if (slice_starts_with(line, data)) {
        e->is_alive = true;
        line.p += data.n;
        line.n -= data.n;
        if (line.n > 0 && line.p[0] == ' ') {
            line.p++;
            line.n--;
        }
        if (e->data.len > 0)
            add_bounded(&e->data, SLICE("\n"));
        add_bounded(&e->data, line);
    }
    str_truncate(&e->line, 0);
}

void events_feed(struct events *e, struct slice bytes, event_fn *fn, void *arg)
{
    size_t from = 0;

    for (size_t i = 0; i < bytes.n; i++) {
        char c = bytes.p[i];

        if (c != '\n' && c != '\r') {
            e->after_cr = false;
            continue;
        }
        add_bounded(&e->line, (struct slice){bytes.p + from, i - from});
        from = i + 1;
        if (c == '\r' || !e->after_cr)
            end_line(e, fn, arg);
        e->after_cr = c == '\r';
    }
    add_bounded(&e->line, (struct slice){bytes.p + from, bytes.n - from});
}

void events_release(struct events *e)
{
    str_release(&e->line);
    str_release(&e->data);
    *e = (struct events){0};
}

static bool is_text(struct slice value, const char *text)
{
    struct slice plain;

    return page_plain_text(value, &plain) && slice_eq(plain, slice_of(text));
}

enum event_hint event_hint_of(struct slice data)
{
    static const char *const states[] = {
        "WORKSPACE_PAUSED",         "WORKSPACE_REMOVED",  "WORKSPACE_ONLINE",
        "WORKSPACE_AWAITING_AGENT", "WORKSPACE_DEGRADED", "EXTERNAL_CREDENTIALS_ROTATED",
    };
    struct slice type, about, kind;

    if (!page_member(data, "type", &type))
        return EVENT_NOTHING;
    if (is_text(type, "ACTIVITY_LOGGED")) { /* one that was cut may be anything: look */
        bool is_told =
            page_member(data, "data", &about) && page_member(about, "activity_type", &kind);

        return !is_told || is_text(kind, "a2a_receive") ? EVENT_MESSAGE : EVENT_NOTHING;
    }
    for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
        if (is_text(type, states[k]))
            return EVENT_STATE;
    }
    return EVENT_NOTHING;
}
