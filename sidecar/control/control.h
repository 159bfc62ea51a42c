/*
 * Our own three doors: the admin port (probes, metrics, preStop drain), the operator's socket
 * (status, drain, stop, inbox), and the agent's socket (who am I). Each is a server/ of its own
 * with the handler below; which path opens behind which door is one table in control.c.
 *
 * What is asked is passed on to app/ by callbacks; nothing is decided here. Source: design sections
 * 4, 6, 7, 10.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"
#include "loop/loop.h"

#include <stdbool.h>

struct control;

enum control_probe { CONTROL_STARTED = 0, CONTROL_READY, CONTROL_LIVE, CONTROL_AGENT };

/* How a drain stands, or ended. */
enum control_drain {
    CONTROL_DRAINING = 0, /* control_drain_done() is called later */
    CONTROL_DRAINED,
    CONTROL_DRAIN_CUT, /* over with work unfinished: its time was up, or a second TERM came */
    CONTROL_DRAIN_OFF, /* called off: serving again */
};

enum control_inbox {
    CONTROL_INBOX_LIST = 0,
    CONTROL_INBOX_SHOW,
    CONTROL_INBOX_RETRY,
    CONTROL_INBOX_DROP,
    CONTROL_INBOX_VERIFY,
};
typedef void control_reply_fn(void *fn_arg, int http_status, struct slice json);
/*
 * word: a row id, or states; may be "". fn runs once, maybe before this returns. 0, or -ENOTSUP (no
 * messages are polled here), -ENOMEM: then it does not.
 */
typedef int control_inbox_fn(void *arg, enum control_inbox what, const char *word,
                             control_reply_fn *fn, void *fn_arg);

struct control_callbacks { /* all required */
    bool (*probe)(void *arg, enum control_probe which, bool verbose,
                  struct str *json); /* true: 200, false: 503 */
    void (*metrics)(void *arg, struct str *text);
    void (*status)(void *arg, struct str *json);
    void (*self)(void *arg, struct str *json);
    /* Begin to drain (preStop, `drain`), or see how it stands. */
    enum control_drain (*drain)(void *arg, const char *who);
    void (*stop)(void *arg, const char *who);
    /* Read the configuration again; the HTTP status of the answer. */
    int (*reload)(void *arg, const char *who, struct str *json);
    control_inbox_fn *inbox;
};

/* Opens the admin listener and both sockets. Directories must exist (config_prepare_dirs). cfg is
 * borrowed. */
/* admin_fd: a listening socket for the admin port instead of admin.address; -1 = none. */
int control_new(struct loop *l, const struct config *cfg, int admin_fd,
                const struct control_callbacks *cb, void *arg, struct control **ret,
                struct err *err);
void control_free(struct control *c); /* NULL is fine */
/* answers everybody who waits for the drain */
void control_drain_done(struct control *c, enum control_drain how);
const char *control_admin_address(const struct control *c); /* with the real port */

#endif
