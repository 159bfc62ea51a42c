/*
 * Is there another sidecar of this workspace? The API names no instance, so signs are all there is:
 * an answer to a person that we did not send, and beats that are not ours. Said once in the log,
 * and in the status until no further sign has come for a while.
 */
#include "inbox/second.h"

#include "base/clock.h"
#include "base/hash.h"
#include "inbox/feed.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static const struct second_times default_times = {
    .look = 5 * 60 * 1000,
    .again = 10 * 1000,
    .settle = 60 * 1000, /* rows are committed up to 30 s late, P section 10.6 */
    .forget = 15 * 60 * 1000,
};

int second_new(struct inbox *i)
{
    struct second *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->i = i;
    s->times = default_times;
    i->second = s;
    return 0;
}

void second_free(struct inbox *i)
{
    struct second *s = i->second;

    if (!s)
        return;
    second_stop(i);
    free(s->texts);
    free(s);
    i->second = NULL;
}

static void say(struct second *s, const char *sign)
{
    char *other = s->i->status.other;

    s->sign_ms = loop_now_ms(s->i->loop);
    (void)snprintf(other, sizeof(s->i->status.other), "%s", sign);
    if (!s->is_said)
        log_warning("inbox",
                    "%s: two sidecars of one workspace both answer its messages; run one of them "
                    "(at a rollout, stop the old one first)",
                    sign);
    s->is_said = true;
}

/* ---- answers that are not ours -----------------------------------------------------------------
 */

static uint64_t trimmed_hash(struct slice text)
{
    while (text.n > 0 && memchr(" \t\r\n", text.p[text.n - 1], 4)) /* the platform may trim */
        text.n--;
    while (text.n > 0 && memchr(" \t\r\n", text.p[0], 4)) {
        text.p++;
        text.n--;
    }
    return hash_plain(text);
}

void second_sends(struct inbox *i, struct slice text)
{
    struct second *s = i->second;

    if (!s)
        return;
    if (!s->texts)
        s->texts = calloc(SECOND_TEXTS, sizeof(*s->texts));
    if (s->texts)
        s->texts[s->text_count++ % SECOND_TEXTS] = trimmed_hash(text);
}

static bool is_ours(const struct second *s, struct slice text)
{
    uint64_t h = trimmed_hash(text);
    size_t n = s->text_count < SECOND_TEXTS ? s->text_count : SECOND_TEXTS;

    for (size_t k = 0; k < n; k++) {
        if (s->texts[k] == h)
            return true;
    }
    return false;
}

void second_swept(struct inbox *i)
{
    if (i->second->settled_ms == 0)
        i->second->settled_ms = loop_now_ms(i->loop) + i->second->times.settle;
}

void second_saw_echo(struct inbox *i, const struct row *r)
{
    struct second *s = i->second;
    bool is_settled = s->settled_ms > 0 && loop_now_ms(i->loop) >= s->settled_ms;
    bool is_told = s->texts || i->status.answered == 0; /* nobody tells us what is sent */
    char sign[sizeof(i->status.other)];

    if (!is_settled || !is_told || is_ours(s, slice_of(r->echo_text)))
        return;
    (void)snprintf(sign, sizeof(sign),
                   "the feed shows an answer to a person that this sidecar did not send (row %s): "
                   "another sidecar of this workspace, or the agent itself by the platform's API",
                   r->id);
    say(s, sign);
}

/* ---- beats that are not ours -------------------------------------------------------------------
 */

static void on_timer(struct timer *t);

static void plan(struct second *s, int64_t wait_ms)
{
    timer_start(&s->timer, s->i->loop, loop_now_ms(s->i->loop) + wait_ms, on_timer, s);
}

static void on_look(void *arg, const struct reply *r)
{
    struct second *s = arg;
    bool is_strange = r->class == REPLY_OK && platform_is_taken_over(s->i->platform, r);

    if (r->class == REPLY_OK) /* in a row: a single one may be anything */
        s->strange = is_strange ? s->strange + 1 : 0;
    if (is_strange && s->strange >= SECOND_LOOKS)
        say(s, "the workspace's row shows heartbeats that this sidecar did not send: another "
               "sidecar of this workspace runs");
    plan(s, s->strange == 1 && is_strange ? s->times.again : s->times.look);
}

static void on_timer(struct timer *t)
{
    struct second *s = t->arg;
    int64_t now = loop_now_ms(s->i->loop);
    char path[64];

    if (s->is_said && now - s->sign_ms >= s->times.forget) {
        log_info("inbox", "no sign of another sidecar for a while");
        s->i->status.other[0] = '\0';
        s->is_said = false;
        s->strange = 0;
    }
    if (transport_rate_is_short(s->i->transport)) {
        plan(s, s->times.look);
        return;
    }
    (void)snprintf(path, sizeof(path), "/workspaces/%.36s", s->i->cfg->workspace.id);
    call_send(&s->call, s->i->transport, path, (struct slice){0}, 0, on_look, s);
}

void second_start(struct inbox *i)
{
    struct second *s = i->second;

    if (s && !s->timer.armed && !call_is_busy(&s->call))
        plan(s, s->times.look / 2 + random_between(0, s->times.look / 2));
}

void second_stop(struct inbox *i)
{
    struct second *s = i->second;

    if (!s)
        return;
    timer_stop(&s->timer);
    call_cancel(&s->call);
}
