/*
 * How the child is started: what agent.ready, agent.limits, agent.env_remove and agent.user mean,
 * and what of it fits together. The meanings are kept in the configuration.
 */
#include "config/source.h"

#include "config/report.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/banned.h"

static const char *place_of(struct loader *l, const char *key)
{
    return loader_place(l, loader_row("agent", key));
}

static void check_ready(struct loader *l)
{
    struct config_agent *a = &l->c->agent;
    struct err err = {0};
    enum ready_kind kind;

    a->ready_by = (struct ready_word){
        .kind = a->protocol == AGENT_NONE ? READY_STARTED : READY_HTTP, .fd = -1};
    if (!*a->ready)
        return;
    if (ready_word_parse(slice_of(a->ready), &a->ready_by, &err) < 0) {
        (void)report_error(l->report, "agent.ready is %s (%s): %s",
                           value_shown(slice_of(a->ready)).z, place_of(l, "ready"), err.msg);
        return;
    }
    kind = a->ready_by.kind;
    if (kind == READY_STARTED && a->protocol != AGENT_NONE)
        (void)report_error(l->report,
                           "agent.ready is started (%s), which agent.protocol http cannot use: "
                           "requests would come before the agent listens; use connect or notify",
                           place_of(l, "ready"));
    if ((kind == READY_NOTIFY || kind == READY_FD) && !l->c->command && !l->in->finds_running)
        (void)report_error(l->report,
                           "agent.ready is %s (%s), but without a command after -- there is no "
                           "child that could say so; use http or connect",
                           a->ready, place_of(l, "ready"));
}

static void check_limits(struct loader *l)
{
    struct config_agent *a = &l->c->agent;

    a->limit_count = 0;
    for (size_t i = 0; i < a->limits.n; i++) {
        struct limit_word limit;
        struct err err = {0};
        bool is_twice = false;

        if (limit_word_parse(slice_of(a->limits.v[i]), &limit, &err) < 0) {
            (void)report_error(l->report, "agent.limits holds %s (%s): %s",
                               value_shown(slice_of(a->limits.v[i])).z, place_of(l, "limits"),
                               err.msg);
            continue;
        }
        for (size_t k = 0; k < a->limit_count; k++)
            is_twice = is_twice || a->limit[k].resource == limit.resource;
        if (is_twice)
            (void)report_error(l->report, "agent.limits (%s) holds %s twice; keep one",
                               place_of(l, "limits"), limit.name);
        else
            a->limit[a->limit_count++] = limit;
    }
}

/* NAME, NAME*, *: a star anywhere else would be taken for more than it does. */
static bool is_pattern(const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '=' || (unsigned char)text[i] <= ' ' || (text[i] == '*' && i + 1 < n))
            return false;
    }
    return n > 0;
}

static void check_env_remove(struct loader *l)
{
    const struct string_list *list = &l->c->agent.env_remove;

    for (size_t i = 0; i < list->n; i++) {
        if (!is_pattern(list->v[i]))
            (void)report_error(l->report,
                               "agent.env_remove holds %s (%s): must be the name of a variable, "
                               "or the beginning of one and a * at its end",
                               value_shown(slice_of(list->v[i])).z, place_of(l, "env_remove"));
    }
}

static void check_user(struct loader *l)
{
    struct config_agent *a = &l->c->agent;
    struct err err = {0};

    if (!*a->user || l->in->finds_running)
        return;
    if (!l->c->command) {
        report_warning(l->report,
                       "agent.user is %s (%s), but without a command after -- there is no child "
                       "to run as that user, ignoring",
                       value_shown(slice_of(a->user)).z, place_of(l, "user"));
        return;
    }
    if (user_lookup(slice_of(a->user), &a->run_as, &err) < 0)
        (void)report_error(l->report, "agent.user is %s (%s): %s", value_shown(slice_of(a->user)).z,
                           place_of(l, "user"), err.msg);
}

void check_start(struct loader *l)
{
    check_ready(l);
    check_limits(l);
    check_env_remove(l);
    check_user(l);
}
