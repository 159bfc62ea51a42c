/*
 * The parts of the app, for its own files only. One struct, owned by app_run(); no other file of
 * the program sees it.
 */
#ifndef APP_PARTS_H
#define APP_PARTS_H

#include "agent/probe.h"
#include "agent/ready_fd.h"
#include "app/agent_return.h"
#include "app/inbox_side.h"
#include "app/lifecycle.h"
#include "app/outage.h"
#include "app/peer_side.h"
#include "app/stopping.h"
#include "config/config.h"
#include "config/signal_map.h"
#include "control/control.h"
#include "inbox/inbox.h"
#include "loop/curl_io.h"
#include "loop/loop.h"
#include "loop/signals.h"
#include "notify/agent_socket.h"
#include "notify/listen_fds.h"
#include "notify/notify.h"
#include "platform/platform.h"
#include "proxy/proxy.h"
#include "server/server.h"
#include "server/tls.h"
#include "store/store.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>

enum { ENDING_TEXT_MAX = 512 };

/* Why we end; written once by whoever causes it, read at the very end. */
struct ending {
    bool is_set;
    const char *word; /* the SDK's: "stopped", "paused", "removed", "max_iterations" */
    const char *by;   /* "agent" or "sidecar" */
    int own_status;   /* used when no agent ran, or when forced */
    bool is_forced;   /* own_status counts whatever the agent's code was */
    char why[ENDING_TEXT_MAX];
};

/* What the child is started with, and what it says itself (agent_start.c). */
struct agent_start {
    struct child_limit limits[LIMITS_MAX];
    struct child_fd fds[CHILD_FDS_MAX]; /* listen.n of them, then the readiness pipe's end */
    size_t fd_count;
    struct listen_fds listen; /* of the service manager, for the agent */
    struct ready_fd ready_fd;
    struct agent_socket *socket;       /* its NOTIFY_SOCKET; NULL = none */
    bool is_running;                   /* exec succeeded */
    bool has_said_ready;               /* READY=1 or the newline, by agent.ready */
    bool will_not_say;                 /* it closed the descriptor without a newline */
    char says[AGENT_STATUS_MAX_BYTES]; /* its STATUS; "" = none */
};

struct app {
    const struct config *cfg;
    struct config *live;              /* the same, for a reload */
    const struct config_input *again; /* what it was read from */
    const struct process_origin *origin;

    /* the modules, in the order they are opened */
    struct loop *loop;
    struct notify *notify;
    struct signals *signals;
    struct store *store;
    struct curl_io *curl;
    struct proxy *proxy;
    struct tls_context *tls; /* of a2a; NULL without listen.tls_cert */
    struct server *a2a;      /* NULL with agent.protocol none */
    struct control *control;
    struct platform *platform;     /* NULL with platform.enabled false */
    struct supervisor *supervisor; /* NULL in sidecar mode */
    struct probe *probe;           /* NULL when agent.ready and protocol need none */
    struct port *port;             /* for polled messages; NULL like inbox */
    struct inbox *inbox;           /* NULL unless messages are polled */

    struct signal_map signal_map; /* signals.map */
    struct budget budget;
    struct stopping stopping;
    struct peer_side peer; /* without a command */
    struct agent_return back;
    enum life_state life;
    int64_t started_ms;
    int64_t finish_until_ms; /* loop time: of the last phase */

    bool start_is_due;  /* token and secrets are settled */
    bool may_spawn;     /* and their files written: the agent was started, or is looked for */
    bool was_spawned;   /* the child, at least once */
    bool agent_answers; /* as the probe says; true without a probe once spawned */
    bool agent_ever_answered;
    bool child_is_lost;    /* ended for good, not by us */
    bool agent_speaks_1_0; /* as its card says */
    bool is_on_hold;       /* paused or removed, and the configuration says hold */
    bool was_ready;        /* READY=1 was sent */
    bool is_activated;     /* the A2A port's socket came from a .socket unit */
    bool start_timed_out;
    bool said_cpu_limit, said_file_limit; /* XCPU, XFSZ: in the log already */
    bool has_terminal;                    /* a controlling one, at start: SIGHUP is a stop then */
    bool agent_left; /* without a child: nobody listened at its address since the drain began: one
                        that answers means it was only restarted. A busy one is not a new one */
    bool was_killed; /* by us, before its grace was over or at the end of the budget */
    bool has_exit;
    struct child_exit last_exit;
    struct outage outage; /* why the agent is down: outage.h */
    enum workspace_state workspace;
    int secret_files_pending; /* secrets.mode file: writes the storage thread has not done yet */

    struct agent_start start;
    struct timer watchdog;
    struct timer files_wait; /* for secret_files_pending, before the first start */
    struct timer unanswered; /* without a child: agent.start_timeout, said once */
    struct ending ending;
};

/* app.c */
void app_life(struct app *a, enum life_event e); /* moves the lifecycle and acts on the change */
void app_tell_status(struct app *a);             /* STATUS= line */
void app_on_work(void *app);        /* requests or messages in work: more or fewer (a callback) */
void app_tell_ready(struct app *a); /* READY=1 again, after RELOADING=1 */

/* sockets.c */
int sockets_take_a2a(struct app *a);   /* one that a service manager gives us, or -1 */
void sockets_drop_kept(struct app *a); /* nobody is to accept from it */
void sockets_keep_a2a(struct app *a);  /* into its store, unless a .socket unit has it */

/* agent_side.c */
int agent_side_open(struct app *a, struct err *err);
void agent_side_may_start(struct app *a); /* token and secrets are settled: spawn or probe, once
                                             secret files are written and unless we drain */
void agent_side_try_start(struct app *a); /* what it waited for has changed */
void agent_side_gate(struct app *a);      /* derive the proxy's gate from all we know */
void agent_side_configure(struct app *a); /* a reload: tell the supervisor */
bool agent_side_is_gone_now(const struct app *a); /* sidecar mode: nobody listens at its address any
                                                     more; asks the kernel, only while we stop */
void agent_side_left(
    struct app *a); /* sidecar mode, a drain under way: nobody listens, or another */
const char *agent_side_reason(const struct app *a); /* why the agent does not answer; "" */

void agent_side_said_ready(struct app *a); /* what agent_start_is_awaited() waits for */

/* agent_start.c */
int agent_start_open(struct app *a, struct err *err); /* before the supervisor is made */
void agent_start_close(struct app *a);
struct child_gifts agent_start_gifts(struct app *a);
char **agent_start_env(struct app *a);               /* its environment; begins a start */
void agent_start_is_running(struct app *a);          /* exec succeeded */
void agent_start_ended(struct app *a);               /* the process is gone */
bool agent_start_is_awaited(const struct app *a);    /* its own word is needed, and has not come */
const char *agent_start_reason(const struct app *a); /* why it is not ready then */

/* platform_side.c */
int platform_side_open(struct app *a, struct err *err);
void platform_side_start(struct app *a);
void platform_side_hold(struct app *a, bool on);

/* ending.c */
void ending_open(struct app *a);
/* The first cause is the cause: later ones are not noted, and false is returned. */
bool ending_because(struct app *a, const char *word, const char *by, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ending_force_status(struct app *a, int status);  /* only by whoever was the cause */
void ending_on_term(struct app *a, const char *what); /* TERM, INT, stop */
enum control_drain ending_on_drain(struct app *a, const char *who); /* how it stands */
void ending_on_inbox_finished(struct app *a); /* the last phase goes on to the platform */
int ending_status(const struct app *a);       /* the exit status */
struct exit_codes ending_success_codes(const struct config *cfg); /* stop.success_codes */
void ending_say(struct app *a, int status); /* the last log line and the termination message */

/* signal_side.c */
signals_fn signal_side_on_signal;

/* observe.c */
bool observe_probe(void *arg, enum control_probe which, bool verbose, struct str *json);
void observe_metrics(void *arg, struct str *text);
void observe_status(void *arg, struct str *json);
void observe_self(void *arg, struct str *json);
void observe_task_word(const struct app *a, char *ret,
                       size_t cap); /* "idle", "3 requests", "starting", ... */
int64_t observe_active_tasks(const struct app *a);

/* child_env.c: see child_env.h */

#endif
