#include "inbox/events.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char text[512];
    unsigned n;
    size_t longest;
};

static void on_event(void *arg, struct slice data)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);

    s->n++;
    if (data.n > s->longest)
        s->longest = data.n;
    if (at + data.n + 2 < sizeof(s->text)) {
        memcpy(s->text + at, data.p, data.n);
        s->text[at + data.n] = '|';
        s->text[at + data.n + 1] = '\0';
    }
}

static const char stream[] = ": ping\n\n"
                             "data: {\"a\":1}\n\n"
                             "data:{\"b\":2}\r\n\r\n"
                             "event: x\rdata: one\rdata: two\r\r"
                             "id: 7\n\n"
                             "data\n\n"
                             ": comment\ndata: last\n\n"
                             "data: cut";

Test(events, are_the_same_however_they_are_cut)
{
    for (size_t step = 1; step < sizeof(stream); step++) {
        struct events e = {0};
        struct seen s = {0};

        for (size_t at = 0; at < sizeof(stream) - 1; at += step) {
            size_t left = sizeof(stream) - 1 - at;

            events_feed(&e, (struct slice){stream + at, left < step ? left : step}, on_event, &s);
        }
        cr_assert_str_eq(s.text, "{\"a\":1}|{\"b\":2}|one\ntwo|last|", "step %zu: %s", step,
                         s.text);
        cr_assert(e.is_alive);
        events_release(&e);
    }
}

Test(events, a_page_of_html_is_no_stream)
{
    struct events e = {0};
    struct seen s = {0};

    events_feed(&e, SLICE("<html>\n<body>404</body>\n\n"), on_event, &s);
    cr_assert_not(e.is_alive);
    cr_assert_eq(s.n, 0);
    events_release(&e);
}

Test(events, memory_is_bounded)
{
    struct events e = {0};
    struct seen s = {0};
    char *much = malloc(1024 * 1024);

    cr_assert_not_null(much);
    memset(much, 'x', 1024 * 1024);
    events_feed(&e, SLICE("data: {\"type\":\"ACTIVITY_LOGGED\",\"data\":\""), on_event, &s);
    events_feed(&e, (struct slice){much, 1024 * 1024}, on_event, &s);
    for (int k = 0; k < 100; k++) /* and many lines of one event */
        events_feed(&e, SLICE("\ndata: more"), on_event, &s);
    cr_assert_leq(e.line.cap, 4 * EVENT_BYTES);
    events_feed(&e, SLICE("\"}\n\ndata: next\n\n"), on_event, &s);
    cr_assert_eq(s.n, 2);
    cr_assert_leq(s.longest, EVENT_BYTES);
    events_release(&e);
    free(much);
}

Test(events, become_hints)
{
    static const struct {
        const char *data;
        enum event_hint hint;
    } cases[] = {
        {"{\"type\":\"ACTIVITY_LOGGED\",\"timestamp\":1,\"data\":{\"activity_type\":"
         "\"a2a_receive\",\"method\":\"message/send\"}}",
         EVENT_MESSAGE},
        {"{\"type\":\"ACTIVITY_LOGGED\",\"data\":{\"activity_type\":\"agent_log\"}}",
         EVENT_NOTHING},
        {"{\"type\":\"ACTIVITY_LOGGED\",\"data\":{\"request_body\":\"cut he", EVENT_MESSAGE},
        {"{\"type\":\"WORKSPACE_PAUSED\"}", EVENT_STATE},
        {"{\"type\":\"WORKSPACE_REMOVED\"}", EVENT_STATE},
        {"{\"type\":\"WORKSPACE_ONLINE\"}", EVENT_STATE},
        {"{\"type\":\"EXTERNAL_CREDENTIALS_ROTATED\"}", EVENT_STATE},
        {"{\"type\":\"WORKSPACE_HEARTBEAT\"}", EVENT_NOTHING},
        {"{\"type\":7}", EVENT_NOTHING},
        {"{\"data\":{\"type\":\"ACTIVITY_LOGGED\"}}", EVENT_NOTHING},
        {"[]", EVENT_NOTHING},
        {"", EVENT_NOTHING},
    };

    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
        cr_expect_eq(event_hint_of(slice_of(cases[k].data)), cases[k].hint, "%s", cases[k].data);
}
