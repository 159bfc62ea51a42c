/*
 * Poll delivery: what the platform's feed holds for us is fetched, written down, handed to the
 * agent, and its answer brought back, each message once and in the order of its conversation,
 * whatever is killed meanwhile. The layer above the features platform/ and agent/, which it joins;
 * app/ says when it may work.
 *
 *   fetch (feed.c, wakeup.c) -> understand (row.c) -> journal -> queue.c -> deliver.c -> agent
 *     -> agent_answer.c (follow.c while its task goes on) -> journal -> answer.c -> platform
 *
 * Callbacks run on the loop. Source: design sections 9, 11; P sections 10 to 14, 16, 18.
 */
#ifndef INBOX_INBOX_H
#define INBOX_INBOX_H

#include "agent/port.h"
#include "base/err.h"
#include "config/config.h"
#include "loop/curl_io.h"
#include "loop/loop.h"
#include "platform/platform.h"
#include "store/journal.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct inbox;

struct inbox_callbacks {
    void (*on_work)(void *arg); /* the number of messages in work has changed */
    void (*on_idle)(void *arg); /* while draining: nothing is in work any more */
    /* the workspace may have changed: ask for its state now (a hint of the event stream) */
    void (*on_state_hint)(void *arg);
    /* of the agent's card: true when its agent speaks protocol 1.0 (A section 2) */
    bool (*agent_speaks_1_0)(void *arg);
};

struct inbox_status {
    bool is_on;
    uint64_t fetched, delivered, answered, retried, dead, parked, skipped; /* since we started */
    int64_t in_work;           /* with the agent, followed, or being answered */
    int64_t waiting;           /* in the journal, not handed over yet */
    int64_t oldest_waiting_ms; /* age of the oldest of these; 0 = none */
    bool has_stream;           /* the event stream is up */
    bool has_cursors;          /* the server knows them */
    char other[256];           /* a sentence: signs of a second sidecar; "" = none */
    struct activity_status feed;
};

/*
 * All borrowed until inbox_free. Opens the journal. 0, or -EINVAL / -ENOMEM with a sentence that
 * names the key.
 */
int inbox_new(struct loop *l, struct curl_io *io, struct store *store, const struct config *cfg,
              struct platform *platform, struct port *port, const struct inbox_callbacks *cb,
              void *arg, struct inbox **ret, struct err *err);
void inbox_free(struct inbox *i); /* writes what is left; NULL is fine */

void inbox_start(struct inbox *i);                    /* a token is held: fetching may begin */
void inbox_set_agent(struct inbox *i, bool is_ready); /* it answers, or does not */
void inbox_set_held(struct inbox *i,
                    bool is_held);  /* paused: fetched and journaled, not delivered */
void inbox_drain(struct inbox *i);  /* nothing new is fetched or delivered */
void inbox_resume(struct inbox *i); /* the drain was not the end */
/*
 * What a drain waits for: in_work, less the answers whose fate only the next run can find out. Of
 * one whose call to /notify ended without a word the feed is still asked, once, within half a
 * minute of that; what it does not show by then is left in the journal.
 */
int64_t inbox_awaited(const struct inbox *i);
bool inbox_is_idle(const struct inbox *i); /* none of these */
/* The end is near: calls still under way get this long, then on_idle comes whatever they are. */
void inbox_finish(struct inbox *i, int64_t budget_ms);
void inbox_configure(struct inbox *i); /* values in cfg have changed */
const struct inbox_status *inbox_status(struct inbox *i);
const struct journal_status *inbox_journal_status(const struct inbox *i);

/* ---- what `molecule-sidecar inbox` asks; answers are JSON, once, from the loop ---- */
typedef void inbox_answer_fn(void *arg, int http_status, struct slice json);
int inbox_list(struct inbox *i, const char *states, inbox_answer_fn *fn, void *arg);
int inbox_show(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg);
/* dead -> seen again; parked -> its answer is sent again */
int inbox_retry(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg);
/* dead, parked or seen -> skipped */
int inbox_drop(struct inbox *i, const char *row_id, inbox_answer_fn *fn, void *arg);
int inbox_verify(struct inbox *i, inbox_answer_fn *fn, void *arg);

#endif
