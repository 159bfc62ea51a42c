/*
 * Counting and naming orphans. Reaping them is supervisor.c's.
 */
#include "supervisor/orphans.h"

#include "base/parse.h"
#include "log/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void begin_window(struct orphans *o, int64_t now_ms)
{
    o->window_ms = now_ms;
    o->in_window = 0;
    o->kind_count = 0;
    o->nameless = 0;
}

static bool wants_name(const struct orphans *o, int64_t now_ms)
{
    return o->in_window < ORPHANS_MANY || now_ms - o->window_ms >= ORPHANS_WINDOW_MS;
}

static void count_name(struct orphans *o, const char *name)
{
    for (size_t i = 0; name && i < o->kind_count; i++) {
        if (strcmp(o->kinds[i].name, name) == 0) {
            o->kinds[i].n++;
            return;
        }
    }
    if (!name || o->kind_count == ORPHANS_KINDS_MAX) {
        o->nameless++;
        return;
    }
    (void)snprintf(o->kinds[o->kind_count].name, PROC_NAME_MAX, "%s", name);
    o->kinds[o->kind_count++].n = 1;
}

/* The most frequent ones first, each once; what is left as "other". */
static void describe(struct orphans *o)
{
    bool is_shown[ORPHANS_KINDS_MAX] = {false};
    unsigned other = ORPHANS_MANY;
    size_t used = 0;

    o->text[0] = '\0';
    for (int k = 0; k < ORPHANS_SHOWN; k++) {
        size_t best = ORPHANS_KINDS_MAX;

        for (size_t i = 0; i < o->kind_count; i++) {
            if (!is_shown[i] && (best == ORPHANS_KINDS_MAX || o->kinds[i].n > o->kinds[best].n)) {
                best = i;
            }
        }
        if (best == ORPHANS_KINDS_MAX) {
            break;
        }
        is_shown[best] = true;
        other -= o->kinds[best].n;
        used += (size_t)snprintf(o->text + used, sizeof(o->text) - used, "%s%s %u",
                                 used > 0 ? ", " : "", o->kinds[best].name, o->kinds[best].n);
    }
    if (other > 0) {
        (void)snprintf(o->text + used, sizeof(o->text) - used, "%sother %u", used > 0 ? ", " : "",
                       other);
    }
}

static_assert(ORPHANS_TEXT_MAX > (ORPHANS_SHOWN + 1) * (PROC_NAME_MAX + 8), "the text fits");

bool orphans_add_named(struct orphans *o, const char *name, int64_t now_ms)
{
    if (o->total == 0 || now_ms - o->window_ms >= ORPHANS_WINDOW_MS) {
        begin_window(o, now_ms);
    }
    o->total++;
    o->in_window++;
    if (o->in_window > ORPHANS_MANY) {
        return false;
    }
    count_name(o, name);
    if (o->in_window < ORPHANS_MANY) {
        return false;
    }
    describe(o);
    return true;
}

bool orphans_add(struct orphans *o, pid_t pid, int64_t now_ms)
{
    struct proc_facts facts;
    bool has_name = wants_name(o, now_ms) && proc_facts_of(pid, &facts) == 0;

    return orphans_add_named(o, has_name ? facts.name : NULL, now_ms);
}

void orphans_say(const struct orphans *o, int64_t now_ms)
{
    const struct log_field field = LOG_INT("reaped_total", o->total);
    char text[FORMAT_MAX];

    log_event(LOG_WARNING, "agent", &field, 1,
              "many orphans are reaped, %d within %s: %s (the agent starts processes and does not "
              "wait for them)",
              (int)ORPHANS_MANY, format_duration(now_ms - o->window_ms, text), o->text);
}
