/*
 * The configuration: one const struct, filled once from flags, environment, file and defaults (in
 * that precedence), passed down.
 *
 * One schema table (table.c) drives reading, checking, --help, check-config, the reference page
 * and the JSON Schema. Member names here are the YAML keys; times are milliseconds, sizes bytes.
 * Strings are owned by the struct and never NULL ("" = not set) unless said otherwise. Source:
 * design section 5, P section 2.1.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/endpoint.h"
#include "base/err.h"
#include "base/str.h"
#include "base/user.h"
#include "config/start_words.h"
#include "config/stop_sequence.h"
#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum delivery { DELIVERY_AUTO = 0, DELIVERY_PUSH, DELIVERY_POLL, DELIVERY_OFF };
enum on_paused { ON_PAUSED_HOLD = 0, ON_PAUSED_FORWARD, ON_PAUSED_EXIT };
/* AUTO is resolved by config_load */
enum on_removed { ON_REMOVED_AUTO = 0, ON_REMOVED_HOLD, ON_REMOVED_EXIT };
enum agent_protocol { AGENT_HTTP = 0, AGENT_NONE };
enum on_start_timeout {
    ON_START_TIMEOUT_REPORT = 0,
    ON_START_TIMEOUT_RESTART,
    ON_START_TIMEOUT_EXIT
};
/* in the order of enum child_group of supervisor/ */
enum agent_group { AGENT_GROUP_OWN = 0, AGENT_GROUP_PROCESS, AGENT_GROUP_SESSION };
enum inbound_auth { INBOUND_AUTH_AUTO = 0, INBOUND_AUTH_REQUIRE, INBOUND_AUTH_OFF };
enum stop_order { STOP_DRAIN_FIRST = 0, STOP_SIGNAL_FIRST };
/* AUTO is resolved by config_load */
enum stop_peer { STOP_PEER_AUTO = 0, STOP_PEER_SIGNAL, STOP_PEER_WAIT, STOP_PEER_OFF };
enum restart_policy { RESTART_ON_FAILURE = 0, RESTART_NEVER, RESTART_ALWAYS };
enum secrets_mode { SECRETS_ENV = 0, SECRETS_FILE, SECRETS_OFF };
enum secrets_on_change { SECRETS_CHANGE_NONE = 0, SECRETS_CHANGE_RESTART, SECRETS_CHANGE_SIGNAL };
enum inbox_on_unknown { INBOX_PARK = 0, INBOX_RESEND };
enum inbox_first_start { INBOX_RECENT = 0, INBOX_SKIP };
enum inbox_on_disk_error { INBOX_HOLD = 0, INBOX_MEMORY };
enum log_child { LOG_CHILD_PASS = 0, LOG_CHILD_WRAP };
enum forward_shed { SHED_STATUS = 0, SHED_CLOSE };
enum forward_trace { TRACE_PASS = 0, TRACE_MAKE };
enum card_signatures { CARD_SIGNATURES_STRIP = 0, CARD_SIGNATURES_PASS };

struct string_list {
    char **v; /* owned */
    size_t n;
};

struct config_workspace {
    char *id; /* lowercase UUID; "" only with platform.enabled false */
    char *parent_id;
};

struct config_platform {
    bool enabled;
    char *url;        /* no trailing slash */
    char *token;      /* from environment or file only; wiped by config_free */
    char *token_file; /* the operator's file; "" = none */
    /* a token or token_file was given: never replaced by a minted one (P section 19) */
    bool token_is_explicit;
    char *org_id;
    char *origin; /* "" = scheme and authority of url */
    char *ca_file, *client_cert, *client_key, *proxy;
    enum delivery delivery; /* AUTO is resolved: PUSH when reported_url is set, else POLL */
    char *reported_url;
    int64_t heartbeat_interval, state_interval, poll_interval;
    bool events;
    bool required;
    enum on_paused on_paused;
    enum on_removed on_removed;
    int64_t max_iterations;
};

struct config_agent {
    enum agent_protocol protocol;
    struct endpoint address;
    char *port_env;   /* name of the variable; "" = do not set one */
    char *base_path;  /* begins with '/' */
    char *ready_path; /* "" = the card's well-known path */
    int64_t start_timeout;
    enum on_start_timeout on_start_timeout;
    int64_t health_interval;
    int64_t health_failures;
    char *ready;                /* the text; "" = by protocol */
    struct ready_word ready_by; /* what it means; set by the checks */
    char *cwd;
    struct string_list env;        /* NAME=value */
    struct string_list env_remove; /* NAME or NAME* */
    char *env_file;
    char *user;         /* the text, user[:group]; "" = as we are */
    struct user run_as; /* who that is; is_set only with a child. Set by the checks */
    int umask;          /* -1 = the one we were started with */
    struct string_list limits;
    struct limit_word limit[LIMITS_MAX]; /* what they mean; set by the checks */
    size_t limit_count;
    bool pass_token;
    bool no_new_privs;
    enum agent_group group;
};

struct config_card {
    char *file;
    char *name, *description;
    struct string_list skills;
    enum card_signatures signatures;
    bool rewrite_extended;
    char *url; /* AGENT_CARD_URL */
};

struct config_listen {
    struct endpoint address;
    bool address_is_default; /* nobody chose the host part: falling back (IPv6 absent) is allowed */
    char *public_url;        /* "" = none; no trailing slash */
    struct string_list trusted_proxies; /* CIDR */
    struct string_list allow_sources;   /* CIDR; empty = everybody */
    struct string_list cors_origins;
    int64_t max_connections, max_head, max_body;
    int64_t head_timeout, idle_timeout;
    enum inbound_auth inbound_auth;
    char *bearer_tokens_file; /* "" = callers need no token */
    char *tls_cert, *tls_key; /* both or neither; "" = plain HTTP */
    char *tls_client_ca;      /* "" = clients are not asked */
};

struct config_admin {
    struct endpoint address;
    bool address_is_default; /* as in config_listen */
    char *drain_path;        /* "" = off */
};

struct config_control {
    char *socket;       /* path of the operator's socket */
    char *agent_socket; /* path of the agent's API socket */
    struct string_list allow_uids;
};

struct config_forward {
    int64_t hold_max, hold_timeout, max_in_flight;
    int64_t response_timeout, keepalive_interval;
    int64_t dedupe_window; /* 0 = off */
    char *strip_prefix;
    char *uploads_dir; /* absolute; "" = uploads are refused */
    bool via;
    enum forward_shed shed;
};

struct config_stop {
    int64_t grace;
    /* -1 = not set: computed (app/budget.h) */
    int64_t drain_delay, drain_timeout, agent_grace, reserve;
    struct stop_sequence signal;
    enum stop_order order;
    enum stop_peer peer; /* of use without a command only */
    struct string_list success_codes;
};

struct config_signals {
    struct string_list map; /* FROM=TO, valid (config/signal_map.h) */
};

struct config_restart {
    enum restart_policy policy;
    int64_t backoff, backoff_max, reset_after, max;
};

struct config_secrets {
    enum secrets_mode mode;
    char *dir;
    int64_t start_wait, refresh;
    enum secrets_on_change on_change;
    int signal; /* for on_change: signal */
};

struct config_inbox {
    int64_t max_attempts, retry_max, task_timeout, concurrency, peer_replies;
    bool peer_markers;
    enum inbox_on_unknown on_unknown;
    enum inbox_first_start first_start;
    enum inbox_on_disk_error on_disk_error;
};

struct config_state {
    char *dir; /* resolved path; made on first use */
};

struct config_log {
    enum log_level level;
    enum log_format format;
    enum log_child child;
    char *termination_file; /* "" = off */
};

/* Facts that set defaults; found once at start (design section 5). */
struct config_facts {
    bool is_kubernetes;     /* KUBERNETES_SERVICE_HOST is set */
    bool is_container;      /* Kubernetes, or PID 1, or /.dockerenv or /run/.containerenv */
    char *runtime_dir;      /* where our sockets go */
    char *runtime_dir_from; /* why there: "RUNTIME_DIRECTORY", "/run/molecule", ... */
    char *several;          /* finds_running: the control sockets, when more than one answers */
};

struct config_origins; /* per key: where its value came from; private to config/ */

struct config {
    struct config_workspace workspace;
    struct config_platform platform;
    struct config_agent agent;
    struct config_card card;
    struct config_listen listen;
    struct config_admin admin;
    struct config_control control;
    struct config_forward forward;
    struct config_stop stop;
    struct config_signals signals;
    struct config_restart restart;
    struct config_secrets secrets;
    struct config_inbox inbox;
    struct config_state state;
    struct config_log log;
    struct config_facts facts;
    char **command; /* after "--"; NULL-terminated, borrowed from argv; NULL in sidecar mode */
    struct config_origins *origins;
};

enum { CONFIG_PROBLEMS_MAX = 32 };

/* Everything that is wrong, not only the first thing; and what is merely odd. */
struct config_report {
    size_t error_count, warning_count;
    struct str errors[CONFIG_PROBLEMS_MAX]; /* one sentence each: place, key, value, range, fix */
    struct str warnings[CONFIG_PROBLEMS_MAX];
};
void config_report_release(struct config_report *r);

/* What is asked of the system besides the environment, so that tests supply their own. */
struct config_system {
    const char *root; /* put before every path that is looked at; "" = the real tree */
    pid_t pid;
    uid_t uid;
};

/* Inputs of a load, so that tests supply their own. */
struct config_input {
    /* flags: "--section-key", "value" or "--section-key=value", ...; up to "--" or NULL */
    char **args;
    char **env; /* environ */
    /*
     * path; NULL: --config, $MOLECULE_SIDECAR_CONFIG, /etc/molecule-sidecar/config.yaml if present
     */
    const char *file;
    char **command;                     /* what followed "--" */
    const struct config_system *system; /* NULL: the real one */
    /*
     * For commands that only talk to a sidecar that runs already: workspace.id, tokens and files
     * are not asked for, and where the runtime directory depends on the id or pid of the other
     * process, the one with the newest control socket that somebody listens on is taken.
     */
    bool finds_running;
};

/*
 * 0, or -EINVAL with report->error_count > 0. *ret is set on success only. Does not create anything
 * on disk but the runtime directory's name.
 */
int config_load(const struct config_input *in, struct config **ret, struct config_report *report);
void config_free(struct config *c); /* wipes tokens; NULL is fine */

/*
 * Make the directories the program needs: the runtime directory (0755 below /run, else 0700 and
 * ours alone), those of the two control sockets below it, state.dir (0700), secrets.dir (0700, mode
 * file). What exists is checked, not changed, but for what agent.user must reach below it: the
 * agent's socket's directory becomes that user's, secrets.dir its group's, and a runtime directory
 * in TMPDIR lets it pass. Blocks; for `run`, before the loop. 0 or -errno with
 * a sentence that names the key.
 */
int config_prepare_dirs(const struct config *c, struct err *err);

/*
 * At the end: a runtime directory that is named after our workspace or pid goes again, so that they
 * do not pile up. Only what is empty; a socket that the agent left in it goes, too. One that was
 * given to us stays as it is, with an empty agent-api: another container of the pod may have just
 * that mounted, and would not see the one we make the next time.
 */
void config_forget_dirs(const struct config *c);

/*
 * What kind of file system state.dir is on, and what of it does not survive: one sentence for the
 * log at the start and for check-config. `ret_is_lasting` (may be NULL): false for memory and for
 * the layer of a container. Looks at the nearest directory that exists.
 */
void config_describe_state(const struct config *c, struct str *out, bool *ret_is_lasting);
/* The name of dir's file system if it is one of the network's, else NULL. */
const char *config_network_fs(const char *dir);

/*
 * Whether we connect to agent.address (it is an A2A server, or agent.ready says so), and so see the
 * agent come and go.
 */
bool config_sees_agent(const struct config *c);
/*
 * Whether a stop has an agent to end or to wait for: our child, or one of somebody else's that we
 * see and stop.peer does not leave alone.
 */
bool config_stops_agent(const struct config *c);
/* The waits of stop.signal, where there is somebody to send it to; 0 = nobody, or none. */
int64_t config_stop_waits_ms(const struct config *c);

/*
 * Where a key's value came from: "default", "sidecar.yaml:12", "environment PORT", "flag
 * --listen-address", "computed".
 */
const char *config_origin(const struct config *c, const char *key);

/* Texts made from the schema table. */
/* the flags part of `run --help` */
void config_print_help(struct str *out);
/* check-config: key = value  # from; secrets masked */
void config_print_effective(const struct config *c, struct str *out);
void config_print_reference(struct str *out); /* docs/configuration.md */
void config_print_json_schema(struct str *out);

#endif
