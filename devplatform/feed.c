/*
 * Publishing rows. The store is rows.c, who may read what is activity.c.
 */
#include "devplatform/feed.h"

#include "base/cleanup.h"
#include "devplatform/devplatform.h"
#include "devplatform/fields.h"

#include <stdlib.h>

enum { LATE_MS_DEFAULT = 300, LATE_MS_MAX = 600 * 1000 };

struct late_row {
    struct list node;
    struct timer timer;
    struct feed *feed;
    struct row *row;
    bool is_detached;
};

static const char *const kind_names[] = {
    [FEED_TARGET] = "target", [FEED_OLD] = "old", [FEED_LATER] = "later"};

bool feed_kind_parse(struct slice word, enum feed_kind *ret)
{
    for (size_t i = 0; i < sizeof(kind_names) / sizeof(*kind_names); i++) {
        if (slice_eq(word, slice_of(kind_names[i]))) {
            *ret = (enum feed_kind)i;
            return true;
        }
    }
    return false;
}

const char *feed_kind_name(enum feed_kind kind)
{
    return kind_names[kind];
}

void feed_init(struct feed *f, struct devplatform *dp, enum feed_kind kind)
{
    *f = (struct feed){.dp = dp, .kind = kind};
    list_init(&f->late);
}

static void late_free(struct late_row *late)
{
    timer_stop(&late->timer);
    list_remove(&late->node);
    if (late->row)
        row_free(late->row);
    free(late);
}

void feed_release(struct feed *f)
{
    LIST_FOREACH(it, &f->late)
    late_free(container_of(it, struct late_row, node));
}

void feed_on_purge(struct feed *f, const struct workspace *ws)
{
    LIST_FOREACH(it, &f->late)
    {
        struct late_row *late = container_of(it, struct late_row, node);
        if (strcmp(late->row->workspace_id, ws->id) == 0)
            late_free(late);
    }
}

void feed_publish_now(struct feed *f, struct row *r, bool has_event)
{
    data_on_row(f->dp->data, r);
    if (!world_show_row(&f->dp->world, r))
        return;
    if (has_event)
        events_on_row(&f->dp->events, r);
}

/* ---- trouble
 * ---------------------------------------------------------------------------------------------------
 */

static void on_late(struct timer *t)
{
    struct late_row *late = t->arg;
    struct feed *f = late->feed;
    struct row *r = late->row;

    late->row = NULL;
    if (late->is_detached)
        r->created_us = f->last_us = wall_us();
    late_free(late);
    feed_publish_now(f, r, true);
}

static bool delay(struct feed *f, struct row *r, bool is_detached)
{
    struct late_row *late = calloc(1, sizeof(*late));
    struct loop *l = f->dp->loop;

    if (!late)
        return false;
    late->feed = f;
    late->row = r;
    late->is_detached = is_detached;
    data_on_row(f->dp->data, r); /* its sender has our word */
    list_append(&f->late, &late->node);
    timer_start(&late->timer, l, loop_now_ms(l) + f->trouble.late_ms, on_late, late);
    return true;
}

void feed_publish(struct feed *f, struct row *r)
{
    const struct feed_trouble *t = &f->trouble;
    struct faults *dice = &f->dp->faults;

    if (!r)
        return;
    if (f->last_us > 0 && faults_chance(dice, t->equal_percent))
        r->created_us = f->last_us;
    f->last_us = r->created_us;
    if (faults_chance(dice, t->late_percent) && delay(f, r, false))
        return;
    if (faults_chance(dice, t->detached_percent) && delay(f, r, true))
        return;
    feed_publish_now(f, r, true);
}

static bool want(struct json_object *v, int64_t max, int64_t *ret)
{
    if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0 ||
        json_object_get_int64(v) > max)
        return false;
    *ret = json_object_get_int64(v);
    return true;
}

const char *feed_trouble_set(struct feed *f, struct json_object *spec)
{
    struct feed_trouble t = {.late_ms = LATE_MS_DEFAULT};

    if (!json_object_is_type(spec, json_type_object))
        return "rows must be an object of equal_percent, late_percent, detached_percent, late_ms";
    json_object_object_foreach(spec, key, v)
    {
        bool is_good = false;
        if (strcmp(key, "equal_percent") == 0)
            is_good = want(v, 100, &t.equal_percent);
        else if (strcmp(key, "late_percent") == 0)
            is_good = want(v, 100, &t.late_percent);
        else if (strcmp(key, "detached_percent") == 0)
            is_good = want(v, 100, &t.detached_percent);
        else if (strcmp(key, "late_ms") == 0)
            is_good = want(v, LATE_MS_MAX, &t.late_ms);
        if (!is_good)
            return "rows: equal_percent, late_percent and detached_percent are 0 to 100, late_ms "
                   "is 0 to 600000";
    }
    f->trouble = t;
    return NULL;
}
