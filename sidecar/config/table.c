/*
 * The rows. Order is the order of the file, the help and the reference page. Looking things up in
 * them is schema.c's job, what a text means value.c's, what two keys mean together check.c's.
 */
#include "config/schema.h"

#include "config/config.h"

#include <assert.h>

#include "base/banned.h"

/* s.k is a member designator: brackets would be no C. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define AT(s, k) .section = #s, .key = #k, .offset = offsetof(struct config, s.k)
/* As AT; a reload takes it over while we run. */
#define LIVE(s, k)     AT(s, k), .is_live = true
#define LATER(...)     .reserved = {__VA_ARGS__}
#define RESERVED(s, k) .section = #s, .key = #k, .offset = ROW_NO_MEMBER
#define WORDS(...)                                                                                 \
    .words = (const char *const[])                                                                 \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define ENV(...) .env = {__VA_ARGS__}

enum { /* milliseconds */
       MS = 1,
       SECOND = 1000,
       MINUTE = 60 * SECOND,
       HOUR = 60 * MINUTE,
       DAY = 24 * HOUR,
};
enum { KIB = 1024, MIB = 1024 * KIB };

const struct config_row config_rows[] = {
    /* workspace */
    {AT(workspace, id), .type = TYPE_UUID, .fallback = "",
     .fallback_words = "required unless platform.enabled is false",
     ENV({"WORKSPACE_ID", ENV_TEXT}, {"MOLECULE_WORKSPACE_ID", ENV_TEXT}),
     .help = "The workspace's UUID, as the answer to POST /workspaces and the canvas show it"},
    {AT(workspace, parent_id), .type = TYPE_STRING, .fallback = "", .max = 128,
     ENV({"PARENT_ID", ENV_TEXT}), .help = "Id of the parent workspace; information only"},

    /* platform */
    {AT(platform, enabled), .type = TYPE_BOOL, .fallback = "true",
     .help = "Speak to a platform at all; false: supervise and forward only"},
    {AT(platform, url), .type = TYPE_URL, .fallback = "http://host.docker.internal:8080",
     ENV({"PLATFORM_URL", ENV_TEXT}, {"MOLECULE_PLATFORM_URL", ENV_TEXT},
         {"MOLECULE_API_URL", ENV_TEXT}),
     .help = "Base URL of the platform; the workspace's bearer goes there and nowhere else"},
    {AT(platform, token), .type = TYPE_STRING, .flags = ROW_SECRET | ROW_NO_FLAG, .fallback = "",
     .fallback_words = "not set: the stored one, else registration asks for one",
     ENV({"MOLECULE_WORKSPACE_TOKEN", ENV_TEXT}, {"MOLECULE_API_KEY", ENV_TEXT}),
     .help = "The workspace's bearer token; by environment or file, never on the command line"},
    {AT(platform, token_file), .type = TYPE_PATH, .fallback = "",
     ENV({"MOLECULE_WORKSPACE_TOKEN_FILE", ENV_TEXT}),
     .help = "File that holds the token and nothing else; read again when it changes"},
    {AT(platform, org_id), .type = TYPE_STRING, .fallback = "", .max = 128,
     ENV({"MOLECULE_ORG_ID", ENV_TEXT}, {"ORG_ID", ENV_TEXT}),
     .help = "Organisation id, sent as X-Molecule-Org-Id; needed on the hosted platform"},
    {AT(platform, origin), .type = TYPE_URL, .flags = ROW_URL_NO_PATH, .fallback = "",
     .fallback_words = "scheme and authority of platform.url",
     .help =
         "Value of the Origin header: scheme://host[:port] exactly as the platform sees its Host"},
    {AT(platform, ca_file), .type = TYPE_PATH, .fallback = "",
     .fallback_words = "the system's certificates",
     .help = "PEM file with the certificate authorities the platform may be signed by"},
    {AT(platform, client_cert), .type = TYPE_PATH, .fallback = "",
     .help = "PEM file with our client certificate; goes with platform.client_key"},
    {AT(platform, client_key), .type = TYPE_PATH, .fallback = "",
     .help = "PEM file with the key of platform.client_cert"},
    {AT(platform, proxy), .type = TYPE_URL, .flags = ROW_URL_USER, .fallback = "",
     .fallback_words = "none; http_proxy and its relatives are not read",
     .help = "HTTP proxy for calls to the platform"},
    {AT(platform, delivery), .type = TYPE_ENUM, WORDS("auto", "push", "poll", "off"),
     .fallback = "auto", .fallback_words = "push when platform.reported_url is set, else poll",
     .help = "How messages reach us: the platform calls our reported_url, or we fetch them"},
    {AT(platform, reported_url), .type = TYPE_URL, .fallback = "",
     ENV({"MOLECULE_REPORTED_URL", ENV_TEXT}, {"AGENT_URL", ENV_TEXT}),
     .help = "URL at which the platform reaches this sidecar; must resolve and be allowed there"},
    {LIVE(platform, heartbeat_interval), .type = TYPE_DURATION, .fallback = "30s", .min = 100 * MS,
     .max = 5 * MINUTE, ENV({"MOLECULE_HEARTBEAT_INTERVAL_MS", ENV_MS}),
     .help = "Time between two heartbeats; the platform calls us stale after 90s without one"},
    {LIVE(platform, state_interval), .type = TYPE_DURATION, .fallback = "30s", .min = 100 * MS,
     .max = 10 * MINUTE,
     .help = "Time between two questions for the workspace's state (paused, removed)"},
    {LIVE(platform, poll_interval), .type = TYPE_DURATION, .fallback = "5s", .min = 100 * MS,
     .max = 10 * MINUTE,
     ENV({"MOLECULE_POLL_INTERVAL", ENV_SECONDS}, {"MOLECULE_POLL_INTERVAL_MS", ENV_MS}),
     .help = "Time between two fetches of messages with delivery poll; with a healthy event stream "
             "30s at least"},
    {AT(platform, events), .type = TYPE_BOOL, .fallback = "true",
     .help = "Listen to the platform's event stream, to fetch messages as soon as they are there"},
    {LIVE(platform, required), .type = TYPE_BOOL, .fallback = "false",
     .help = "Count as ready only after the first registration"},
    {LIVE(platform, on_paused), .type = TYPE_ENUM, WORDS("hold", "forward", "exit"),
     .fallback = "hold",
     .help = "While the workspace is paused: answer 503, go on serving, or end"},
    {LIVE(platform, on_removed), .type = TYPE_ENUM, WORDS("auto", "hold", "exit"),
     .fallback = "auto",
     .fallback_words = "hold under Kubernetes or without a child, else exit with status 0",
     .help = "When the workspace was removed: stay and answer 503, or end"},
    {LIVE(platform, max_iterations), .type = TYPE_INT, .flags = ROW_ZERO_OFF, .fallback = "0",
     .fallback_words = "no limit", .min = 1, .max = 1000000000, .unit = "heartbeats",
     .help = "End after so many heartbeats, as the Python SDK can; 0 = never"},

    /* agent */
    {AT(agent, protocol), .type = TYPE_ENUM, WORDS("http", "none"), .later_words = "pull exec",
     .fallback = "http",
     .help = "http: the agent is an A2A server; none: it is only supervised and registered"},
    {AT(agent, address), .type = TYPE_ENDPOINT, .flags = ROW_COMPUTED,
     .fallback_words = "unix:<runtime directory>/agent.sock",
     .help = "Where the agent listens: unix:/path/to.sock or http://127.0.0.1:9000"},
    {AT(agent, port_env), .type = TYPE_STRING, .fallback = "PORT", .max = 64,
     .help = "Variable that tells the child where to listen (port or socket path); empty = none"},
    {AT(agent, base_path), .type = TYPE_STRING, .flags = ROW_FROM_SLASH, .fallback = "/",
     .max = 1024, .help = "Path of the agent's A2A endpoint, for messages we send ourselves"},
    {AT(agent, ready_path), .type = TYPE_STRING, .flags = ROW_FROM_SLASH, .fallback = "",
     .fallback_words = "the card's well-known path", .max = 1024,
     .help = "Path we ask to learn whether the agent answers"},
    {AT(agent, ready), .type = TYPE_STRING, .fallback = "", .max = 64,
     .fallback_words = "http; started with agent.protocol none",
     .help = "How we learn that the agent has started: http (it answers ready_path), connect (its "
             "address accepts), notify (READY=1 on NOTIFY_SOCKET), fd:N (a newline on descriptor "
             "N), started (it runs)"},
    {LIVE(agent, start_timeout), .type = TYPE_DURATION, .fallback = "60s", .min = 100 * MS,
     .max = DAY,
     .help = "How long the agent may take from its start until it is ready (agent.ready)"},
    {LIVE(agent, on_start_timeout), .type = TYPE_ENUM, WORDS("report", "restart", "exit"),
     .fallback = "report", .help = "What happens when it takes longer"},
    {LIVE(agent, health_interval), .type = TYPE_DURATION, .fallback = "10s", .min = 100 * MS,
     .max = HOUR, .help = "Time between two health checks of the agent"},
    {LIVE(agent, health_failures), .type = TYPE_INT, .fallback = "3", .min = 1, .max = 100,
     .unit = "checks", .help = "Failures in a row after which the agent counts as stuck"},
    {AT(agent, cwd), .type = TYPE_PATH, .fallback = "", .fallback_words = "ours",
     .help = "Working directory of the child"},
    {LIVE(agent, env), .type = TYPE_LIST,
     .flags = ROW_WHOLE_ITEMS | ROW_MULTILINE | ROW_MASK_VALUES, .fallback = "",
     .help = "More variables for the child, each NAME=value"},
    {LIVE(agent, env_remove), .type = TYPE_LIST, .fallback = "",
     .help = "Variables of ours that the child does not get: NAME, or NAME* for all that begin so; "
             "* leaves only what is added"},
    {LIVE(agent, env_file), .type = TYPE_PATH, .fallback = "",
     .help = "File with one NAME=value per line for the child's environment"},
    {LIVE(agent, pass_token), .type = TYPE_BOOL, .fallback = "false",
     .help = "Leave the workspace's bearer in the child's environment"},
    {AT(agent, no_new_privs), .type = TYPE_BOOL, .fallback = "false",
     .help = "Start the child with no_new_privs, so that setuid programs gain nothing"},
    {AT(agent, user), .type = TYPE_STRING, .fallback = "", .fallback_words = "the one we run as",
     .max = 256,
     .help = "User to run the child as, user[:group], names or numbers; needs root. HOME, USER, "
             "LOGNAME and SHELL become that user's"},
    {AT(agent, group), .type = TYPE_ENUM, WORDS("group", "process", "session"), .fallback = "group",
     .help = "What the child is alone in, and gets signals with: a process group, nothing (it "
             "shares ours and only its process is signalled), a session without a terminal"},
    {AT(agent, umask), .type = TYPE_OCTAL, .fallback = "",
     .fallback_words = "the one we were started with", .max = 0777,
     .help = "File mode mask of the child, octal"},
    {AT(agent, limits), .type = TYPE_LIST, .fallback = "",
     .fallback_words = "those we were started with",
     .help = "Resource limits of the child, each NAME=soft[:hard] with prlimit's names, such as "
             "nofile=4096, core=0 or as=2GiB:4GiB; one value is both limits"},

    /* card */
    {AT(card, file), .type = TYPE_PATH, .fallback = "", .fallback_words = "the agent's own card",
     .help = "JSON file with the agent card, at most 64KiB"},
    {AT(card, name), .type = TYPE_STRING, .fallback = "", .max = 256,
     .fallback_words = "remote-agent-<first 8 characters of the id>",
     ENV({"MOLECULE_AGENT_NAME", ENV_TEXT}, {"AGENT_NAME", ENV_TEXT}),
     .help = "Name in the minimal card, used until the agent's own is known"},
    {AT(card, description), .type = TYPE_STRING, .flags = ROW_MULTILINE, .fallback = "",
     ENV({"MOLECULE_AGENT_DESCRIPTION", ENV_TEXT}, {"MOLECULE_AGENT_DESC", ENV_TEXT}),
     .help = "Description in the minimal card"},
    {AT(card, skills), .type = TYPE_LIST, .fallback = "", ENV({"MOLECULE_AGENT_SKILLS", ENV_TEXT}),
     .help = "Names of skills in the minimal card"},
    {AT(card, signatures), .type = TYPE_ENUM, WORDS("strip", "pass"), .fallback = "strip",
     .help =
         "strip: rewrite addresses and drop signatures that no longer hold; pass: do not rewrite"},
    {AT(card, url), .type = TYPE_URL, .flags = ROW_URL_QUERY, .fallback = "",
     ENV({"AGENT_CARD_URL", ENV_TEXT}),
     .help = "Known from the platform's container guide and of no effect: the card is served here, "
             "and registered with platform.reported_url"},
    {RESERVED(card, format), LATER("writing cards ourselves", NULL), .type = TYPE_ENUM,
     WORDS("by-version", "1.0", "0.3", "hybrid"), .fallback = "by-version",
     .help = "Format of the card when we are the A2A server"},
    {AT(card, rewrite_extended), .type = TYPE_BOOL, .fallback = "false",
     .help =
         "Rewrite addresses in extended cards too; a JSON-RPC request is sent on when the first "
         "64 KiB of its body have shown its method. Better: tell the agent its public URL"},

    /* listen */
    {AT(listen, address), .type = TYPE_ENDPOINT, .flags = ROW_COMPUTED,
     .fallback_words = "[::]:8000 in a container, 127.0.0.1:8000 elsewhere",
     ENV({"PORT", ENV_PORT}), .help = "Where A2A requests are accepted"},
    {AT(listen, public_url), .type = TYPE_URL, .fallback = "",
     .help = "URL under which clients reach the agent; goes into the card"},
    {LIVE(listen, trusted_proxies), .type = TYPE_LIST, .fallback = "",
     .help = "Networks (CIDR) whose X-Forwarded-* headers are believed"},
    {LIVE(listen, allow_sources), .type = TYPE_LIST, .fallback = "", .fallback_words = "everybody",
     .help = "Networks (CIDR) that may connect"},
    {LIVE(listen, cors_origins), .type = TYPE_LIST, .fallback = "",
     .help = "Browser origins that may call, each scheme://host[:port], or *"},
    {AT(listen, max_connections), .type = TYPE_INT, .fallback = "1024",
     .fallback_words = "fewer when descriptors are short", .min = 1, .max = 100000,
     .unit = "connections", .help = "Connections at the same time; at the cap accepting pauses"},
    {AT(listen, max_head), .type = TYPE_SIZE, .fallback = "64KiB", .min = 4 * KIB, .max = MIB,
     .help = "Bytes of a request head; more is answered with 431"},
    {AT(listen, max_body), .type = TYPE_SIZE, .fallback = "64MiB", .min = KIB,
     .max = (int64_t)64 * 1024 * MIB, .help = "Bytes of a request body; more is answered with 413"},
    {AT(listen, head_timeout), .type = TYPE_DURATION, .fallback = "10s", .min = 100 * MS,
     .max = 10 * MINUTE, .help = "How long a client may take to send a request head"},
    {AT(listen, idle_timeout), .type = TYPE_DURATION, .fallback = "120s", .min = 100 * MS,
     .max = DAY, .help = "How long a connection may rest between two requests"},
    {LIVE(listen, inbound_auth), .type = TYPE_ENUM, WORDS("auto", "require", "off"),
     .fallback = "auto",
     .help = "What the platform's inbound secret is for: to mark its requests, to refuse others, "
             "nothing"},
    {AT(listen, tls_cert), .type = TYPE_PATH, .fallback = "", .fallback_words = "plain HTTP",
     .help = "PEM file with the listener's certificate and its chain; read again when it changes"},
    {AT(listen, tls_key), .type = TYPE_PATH, .fallback = "",
     .help = "PEM file with the key of listen.tls_cert, not encrypted"},
    {AT(listen, tls_client_ca), .type = TYPE_PATH, .fallback = "",
     .fallback_words = "clients need no certificate",
     .help = "PEM file with authorities: clients must show a certificate of one of them"},
    {AT(listen, bearer_tokens_file), .type = TYPE_PATH, .fallback = "",
     .fallback_words = "callers need no token",
     .help = "File with the bearer tokens that may call, one per line; read again when it changes"},

    /* admin */
    {AT(admin, address), .type = TYPE_ENDPOINT, .flags = ROW_COMPUTED,
     .fallback_words = "[::]:8081 in a container, 127.0.0.1:8081 elsewhere",
     .help = "Where probes and metrics are served"},
    {LIVE(admin, drain_path), .type = TYPE_STRING, .flags = ROW_SECRET, .fallback = "", .max = 256,
     .fallback_words = "off",
     .help = "/drain/<capability> for a preStop hook; the capability has 16 or more characters"},

    /* control */
    {AT(control, socket), .type = TYPE_PATH, .flags = ROW_COMPUTED,
     .fallback_words = "<runtime directory>/control.sock",
     .help = "The operator's socket: status, drain, stop"},
    {AT(control, agent_socket), .type = TYPE_PATH, .flags = ROW_COMPUTED,
     .fallback_words = "<runtime directory>/agent-api/sidecar.sock",
     .help = "The agent's socket: what the agent may ask of us"},
    {AT(control, allow_uids), .type = TYPE_LIST, .fallback = "",
     .fallback_words = "our own and the child's",
     .help = "User ids that may use the sockets besides root"},

    /* forward */
    {LIVE(forward, hold_max), .type = TYPE_INT, .fallback = "256", .min = 0, .max = 100000,
     .unit = "requests",
     .help = "Requests that may wait for the agent or for their turn; 0 = none waits"},
    {LIVE(forward, hold_timeout), .type = TYPE_DURATION, .fallback = "10s", .min = 0,
     .max = 10 * MINUTE, .help = "How long a request may wait for the agent or for its turn"},
    {LIVE(forward, response_timeout), .type = TYPE_DURATION, .flags = ROW_ZERO_OFF,
     .fallback = "10m", .min = 100 * MS, .max = 7 * DAY,
     .help = "How long the agent may take to begin its answer; 0 = no limit"},
    {LIVE(forward, keepalive_interval), .type = TYPE_DURATION, .flags = ROW_ZERO_OFF,
     .fallback = "15s", .min = 100 * MS, .max = HOUR,
     .help = "Silence on an event stream after which a comment is sent; 0 = never"},
    {AT(forward, strip_prefix), .type = TYPE_STRING, .flags = ROW_FROM_SLASH, .fallback = "",
     .max = 1024, .help = "Prefix of the path that is cut off before the agent sees it"},
    {LIVE(forward, via), .type = TYPE_BOOL, .fallback = "true",
     .help = "Add a Via header to requests and answers"},
    {LIVE(forward, max_in_flight), .type = TYPE_INT, .fallback = "0", .fallback_words = "no limit",
     .min = 0, .max = 100000, .unit = "requests",
     .help = "Requests at the agent at the same time; more wait for their turn"},
    {LIVE(forward, shed), .type = TYPE_ENUM, WORDS("status", "close"), .fallback = "status",
     .help = "How requests are refused that never reached the agent: 503, or the connection is "
             "closed without an answer, after which the platform sends the message again"},
    {AT(forward, dedupe_window), .type = TYPE_DURATION, .flags = ROW_ZERO_OFF, .fallback = "0",
     .fallback_words = "off", .min = 100 * MS, .max = DAY,
     .help = "How long after an answer the same POST, byte for byte and from the same caller, gets "
             "that answer again and is not the agent's work again; 0 = off"},
    {AT(forward, uploads_dir), .type = TYPE_PATH, .fallback = "",
     .fallback_words = "uploads are refused",
     .help = "Directory for files that the platform hands over, at most 25MiB each and 1GiB "
             "together; the agent sees them there"},
    {RESERVED(forward, trace), LATER("beginning traces", NULL), .type = TYPE_ENUM,
     WORDS("pass", "make"), .fallback = "pass",
     .help = "Pass trace headers, or begin a trace where there is none"},

    /* stop */
    {LIVE(stop, grace), .type = TYPE_DURATION, .flags = ROW_COMPUTED,
     .fallback_words = "30s under Kubernetes, 10s elsewhere", .min = 100 * MS, .max = DAY,
     ENV({"TERMINATION_GRACE_PERIOD_SECONDS", ENV_SECONDS}),
     .help = "Time from the first signal to our end; what the platform around us gives"},
    {LIVE(stop, drain_delay), .type = TYPE_DURATION, .flags = ROW_COMPUTED,
     .fallback_words = "5s under Kubernetes, 0 elsewhere", .min = 0, .max = DAY,
     .help = "How long requests are still accepted, until others know that we leave"},
    {LIVE(stop, drain_timeout), .type = TYPE_DURATION, .flags = ROW_COMPUTED,
     .fallback_words = "what the other phases leave", .min = 0, .max = DAY,
     .help = "How long work in flight may take to finish"},
    {AT(stop, signal), .type = TYPE_SIGNALS, .fallback = "TERM",
     .help = "Signal that asks the agent to end, or several with their times; KILL follows the "
             "last"},
    {LIVE(stop, agent_grace), .type = TYPE_DURATION, .flags = ROW_COMPUTED,
     .fallback_words = "at most 10s, half of what drain_delay and reserve leave; 0 for an agent "
                       "that is not ours to stop",
     .min = 0, .max = DAY, .help = "Time from the first of these signals to KILL"},
    {LIVE(stop, reserve), .type = TYPE_DURATION, .flags = ROW_COMPUTED,
     .fallback_words = "a fifth of grace, at most 2s", .min = 0, .max = DAY,
     .help = "Time kept for the last heartbeat and our own end"},
    {LIVE(stop, order), .type = TYPE_ENUM, WORDS("drain-first", "signal-first"),
     .fallback = "drain-first",
     .help = "signal-first: the agent gets its signal at once and drains itself"},
    {AT(stop, peer), .type = TYPE_ENUM, WORDS("auto", "signal", "wait", "off"), .fallback = "auto",
     .fallback_words = "signal under Kubernetes, else off",
     .help = "Without a command, how a stop reaches the agent: stop.signal to the process that "
             "listens at agent.address (shared process namespace, same user; else as wait), only "
             "waiting for its socket to go, or not at all"},
    {LIVE(stop, success_codes), .type = TYPE_LIST, .fallback = "",
     .help = "Exit codes of the agent that count as success besides 0"},

    /* signals */
    {AT(signals, map), .type = TYPE_LIST, .fallback = "", .fallback_words = "as they come",
     .help = "Signals to translate on their way to the agent, each FROM=TO, TO may be none; not "
             "TERM and INT, for which there is stop.signal"},

    /* restart */
    {LIVE(restart, policy), .type = TYPE_ENUM, WORDS("on-failure", "never", "always"),
     .fallback = "on-failure", .help = "When the agent is started again"},
    {LIVE(restart, backoff), .type = TYPE_DURATION, .fallback = "500ms", .min = 10 * MS,
     .max = HOUR, .help = "Pause before the first restart; doubles each time"},
    {LIVE(restart, backoff_max), .type = TYPE_DURATION, .fallback = "30s", .min = 10 * MS,
     .max = HOUR, .help = "The longest pause"},
    {LIVE(restart, reset_after), .type = TYPE_DURATION, .fallback = "30s", .min = 0, .max = DAY,
     .help = "Running time after which failures are forgotten"},
    {LIVE(restart, max), .type = TYPE_INT, .flags = ROW_ZERO_OFF, .fallback = "5", .min = 1,
     .max = 1000000, .unit = "failures in a row",
     .help = "Failures in a row after which we give up and end with the agent's status; 0 = never"},

    /* secrets */
    {AT(secrets, mode), .type = TYPE_ENUM, .flags = ROW_COMPUTED, WORDS("env", "file", "off"),
     .fallback_words = "env with a child, else off",
     .help = "How the workspace's secrets reach the agent"},
    {AT(secrets, dir), .type = TYPE_PATH, .flags = ROW_COMPUTED,
     .fallback_words = "<runtime directory>/secrets",
     .help = "Directory for mode file, one file per secret"},
    {AT(secrets, start_wait), .type = TYPE_DURATION, .fallback = "10s", .min = 0,
     .max = 10 * MINUTE, .help = "How long the agent's start waits for the first secrets"},
    {LIVE(secrets, refresh), .type = TYPE_DURATION, .flags = ROW_ZERO_OFF, .fallback = "5m",
     .min = 100 * MS, .max = DAY, .help = "Time between two pulls; 0 = only at the start"},
    {LIVE(secrets, on_change), .type = TYPE_ENUM, WORDS("none", "restart", "signal"),
     .fallback = "none", .help = "What the agent gets when secrets change"},
    {LIVE(secrets, signal), .type = TYPE_SIGNAL, .fallback = "HUP",
     .help = "The signal of secrets.on_change: signal"},

    /* inbox */
    {LIVE(inbox, max_attempts), .type = TYPE_INT, .fallback = "5", .min = 1, .max = 1000,
     .unit = "attempts",
     .help = "Failed answers of the agent to one message, after which it is a dead letter"},
    {LIVE(inbox, retry_max), .type = TYPE_DURATION, .fallback = "10m", .min = 100 * MS, .max = DAY,
     .help = "The longest pause between two attempts"},
    {LIVE(inbox, task_timeout), .type = TYPE_DURATION, .fallback = "1h", .min = 100 * MS,
     .max = 7 * DAY, .help = "How long a task that the agent works on is followed"},
    {LIVE(inbox, concurrency), .type = TYPE_INT, .fallback = "1", .min = 1, .max = 1000,
     .unit = "messages",
     .help = "Messages with the agent at the same time; within a conversation always one"},
    {LIVE(inbox, peer_markers), .type = TYPE_BOOL, .fallback = "true",
     .help = "Put trust markers around text that other agents sent"},
    {LIVE(inbox, peer_replies), .type = TYPE_INT, .flags = ROW_ZERO_OFF, .fallback = "60", .min = 1,
     .max = 1000000, .unit = "answers a minute",
     .help = "Automatic answers to one peer, more wait: two agents that answer each other; 0 = no "
             "limit"},
    {LIVE(inbox, on_unknown), .type = TYPE_ENUM, WORDS("park", "resend"), .fallback = "park",
     .help = "An answer that may or may not have arrived: park it for the operator, or risk a "
             "second one"},
    {AT(inbox, first_start), .type = TYPE_ENUM, WORDS("recent", "skip"), .fallback = "recent",
     .help = "Messages from before the first start: take those of the last 10 minutes, or none"},
    {AT(inbox, on_disk_error), .type = TYPE_ENUM, WORDS("hold", "memory"), .fallback = "hold",
     .help = "When state.dir cannot be written: hold messages until it can, or go on in memory and "
             "risk them"},

    /* state */
    {AT(state, dir), .type = TYPE_PATH, .flags = ROW_COMPUTED,
     .fallback_words = "~/.molecule/<workspace id>",
     ENV({"CONFIGS_DIR", ENV_DIR}, {"WORKSPACE_CONFIG_PATH", ENV_DIR}),
     .help = "Where the token and other things that must survive are kept"},

    /* log */
    {LIVE(log, level), .type = TYPE_ENUM, WORDS("debug", "info", "warning", "error"),
     .fallback = "info", ENV({"LOG_LEVEL", ENV_LEVEL}),
     .help = "The least important lines to print"},
    {LIVE(log, format), .type = TYPE_ENUM, WORDS("auto", "text", "json"), .fallback = "auto",
     .fallback_words = "text on a terminal, else json", .help = "Shape of our own log lines"},
    {AT(log, child), .type = TYPE_ENUM, WORDS("pass", "wrap"), .fallback = "pass",
     .help = "pass: the agent writes to our own stdout and stderr; wrap: each of its lines becomes "
             "a line of our log, on stderr"},
    {AT(log, termination_file), .type = TYPE_PATH, .fallback = "/dev/termination-log",
     .help = "File that gets the sentence why we ended, when it is there: Kubernetes' "
             "terminationMessagePath"},
};

const size_t config_row_count = sizeof(config_rows) / sizeof(config_rows[0]);

/* The words above are in the numeric order of these. */
static_assert(DELIVERY_OFF == 3 && ON_PAUSED_EXIT == 2 && ON_REMOVED_EXIT == 2, "platform's words");
static_assert(AGENT_NONE == 1 && ON_START_TIMEOUT_EXIT == 2, "agent's words");
static_assert(CARD_SIGNATURES_PASS == 1 && INBOUND_AUTH_OFF == 2, "card's and listen's words");
static_assert(AGENT_GROUP_SESSION == 2, "agent's words");
static_assert(STOP_PEER_OFF == 3 && STOP_SIGNAL_FIRST == 1 && RESTART_ALWAYS == 2,
              "stop's and restart's words");
static_assert(INBOX_RESEND == 1 && INBOX_SKIP == 1 && INBOX_MEMORY == 1, "inbox's words");
static_assert(SECRETS_OFF == 2 && SECRETS_CHANGE_SIGNAL == 2, "secrets' words");
static_assert(LOG_ERROR == 3 && LOG_FORMAT_JSON == 2 && LOG_CHILD_WRAP == 1, "log's words");
