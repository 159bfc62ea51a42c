/*
 * The whole of the development platform: options, state, and the server that answers. main.c makes
 * one, tests may make more.
 */
#ifndef DEVPLATFORM_DEVPLATFORM_H
#define DEVPLATFORM_DEVPLATFORM_H

#include "devplatform/answers.h"
#include "devplatform/data.h"
#include "devplatform/devlog.h"
#include "devplatform/dispatch.h"
#include "devplatform/events.h"
#include "devplatform/faults.h"
#include "devplatform/feed.h"
#include "devplatform/limiter.h"
#include "devplatform/options.h"
#include "devplatform/pending.h"
#include "devplatform/world.h"

#include "base/err.h"
#include "loop/curl_io.h"
#include "loop/loop.h"
#include "server/server.h"

#include <stdbool.h>
#include <stdint.h>

/* What a resume leaves behind; P section 6.3 tells all three. */
enum resume_mode { RESUME_FAILED = 0, RESUME_PROVISIONING, RESUME_UNAVAILABLE };

struct devplatform {
    const struct options *options; /* borrowed */
    struct loop *loop;             /* borrowed */
    struct curl_io *curl;          /* borrowed */
    struct server *server;
    struct world world;
    struct limiter limiter;
    struct faults faults;
    struct devlog log;
    struct dispatcher dispatcher;
    struct feed feed;
    struct events events;
    struct pending pending;
    struct answers answers;
    struct data *data; /* NULL: only in memory */
    struct list held;  /* answers that wait for the commit of their turn */
    struct timer sweep;
    int64_t sweep_every_ms;
    bool database_is_down; /* POST /dev/faults: the symptoms of P section 4.5 */
    enum resume_mode resume_mode;
    char failure[ERR_MSG_MAX];            /* why the loop was stopped; "" = not by us */
    char base_url[ENDPOINT_TEXT_MAX + 8]; /* how we call ourselves in answers */
};

/* Seeds the workspaces, opens the listener, starts the staleness sweep. 0 or -errno with a
 * sentence. */
int devplatform_open(struct devplatform *dp, struct loop *l, struct curl_io *curl,
                     const struct options *options, struct err *err);
void devplatform_close(struct devplatform *dp);

/* Older rows, and files that nobody fetched in time, vanish: from memory and from --data. */
size_t devplatform_forget_rows(struct devplatform *dp, int64_t before_us);
void devplatform_expire_files(struct devplatform *dp, int64_t now_us);

/* Changes a workspace's status and says so in the story (nothing happens when it is the same). */
void workspace_set_status(struct devplatform *dp, struct workspace *ws, enum status status,
                          const char *why);

#endif
