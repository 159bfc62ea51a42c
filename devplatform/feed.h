/*
 * How a row reaches the feed: at once, late, or at the time of the row before it, as POST
 * /dev/faults asks for (P section 10.6, facts (a), (b) and (d)); with the event that tells
 * listeners.
 */
#ifndef DEVPLATFORM_FEED_H
#define DEVPLATFORM_FEED_H

#include "devplatform/world.h"
#include "loop/loop.h"

#include <json-c/json.h>

struct devplatform;

/* Which server the feed is of. */
enum feed_kind {
    FEED_TARGET = 0, /* cursors by time */
    FEED_OLD,        /* since_id is not known and passed over */
    FEED_LATER,      /* cursors by (time, seq), `seq`, include=peer_info, activity/ack */
};
bool feed_kind_parse(struct slice word, enum feed_kind *ret); /* old, target, later */
const char *feed_kind_name(enum feed_kind kind);

/* The switch "rows" of POST /dev/faults. Shares are of 100 rows. */
struct feed_trouble {
    int64_t equal_percent; /* gets the time of the row made before it */
    int64_t late_percent;  /* becomes visible `late_ms` after its time: a late commit */
    int64_t late_ms;
    int64_t detached_percent; /* is made `late_ms` after its sender was answered */
};

struct feed {
    struct devplatform *dp;
    enum feed_kind kind;
    struct feed_trouble trouble;
    int64_t last_us;  /* time of the row made last */
    struct list late; /* struct late_row */
};

void feed_init(struct feed *f, struct devplatform *dp, enum feed_kind kind);
void feed_release(struct feed *f);
void feed_publish(struct feed *f, struct row *r); /* takes it over; NULL is fine */
void feed_publish_now(struct feed *f, struct row *r, bool has_event); /* no trouble */
/* Its late rows go with a workspace. */
void feed_on_purge(struct feed *f, const struct workspace *ws);
/* All or nothing out of a JSON object; NULL, or what is wrong. */
const char *feed_trouble_set(struct feed *f, struct json_object *spec);

#endif
