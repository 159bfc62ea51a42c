/*
 * Each class of bad input gets a sentence that says what, where and how to fix it. One row per
 * case; "SECRET" stands for anything that must never be repeated.
 */
#include "config/config.h"
#include "config/schema.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bad {
    const char *yaml;
    const char *env;
    const char *arg, *arg2;
    const char *sentence; /* part of one of the errors */
};

static const struct bad bad[] = {
    /* the shape of the file */
    {.yaml = "lisen:\n  address: :1\n",
     .sentence = "sidecar.yaml:2: unknown key lisen.address; did you mean listen.address?"},
    {.yaml = "lisen: 3\n",
     .sentence = "sidecar.yaml:1: unknown section lisen; did you mean listen?"},
    {.yaml = "log:\n  level: info\n  levle: info\n",
     .sentence = "sidecar.yaml:3: unknown key log.levle; did you mean log.level?"},
    {.yaml = "log:\n  heartbeat_interval: 3s\n",
     .sentence = "did you mean platform.heartbeat_interval?"},
    {.yaml = "whatever:\n  completely: other\n",
     .sentence = "sidecar.yaml:2: unknown key whatever.completely"},
    {.yaml = "listen.address: :8000\n",
     .sentence = "sidecar.yaml:1: write listen.address as two levels"},
    {.yaml = "listen: :8000\n", .sentence = "sidecar.yaml:1: listen is a section"},
    {.yaml = "log:\n  level: info\n  level: debug\n",
     .sentence = "sidecar.yaml:3: log.level is there twice (first in line 2)"},
    {.yaml = "log:\n  level: info\nlisten:\nlog:\n  format: text\n",
     .sentence = "sidecar.yaml:4: the section log is there twice"},
    {.yaml = "log:\n\tlevel: info\n",
     .sentence =
         "sidecar.yaml:2: a character that cannot stand here; indent with blanks, not tabs"},
    {.yaml = "log:\n  level: &a info\n",
     .sentence = "sidecar.yaml:2: anchors and aliases are not allowed"},
    {.yaml = "a: &a [x, x]\nb: &b [*a, *a]\n",
     .sentence = "sidecar.yaml:1: anchors and aliases are not allowed"},
    {.yaml = "log:\n  level: *a\n", .sentence = "sidecar.yaml:2: anchors and aliases"},
    {.yaml = "log:\n  level: !!str info\n", .sentence = "sidecar.yaml:2: tags are not allowed"},
    {.yaml = "log:\n  level: info\n---\nlog:\n  level: debug\n",
     .sentence = "sidecar.yaml:3: a second document begins"},
    {.yaml = "- a\n- b\n", .sentence = "sidecar.yaml:1: the file must consist of sections"},
    {.yaml = "just words\n", .sentence = "sidecar.yaml:1: the file must consist of sections"},
    {.yaml = "log: {level: info\n", .sentence = "sidecar.yaml:2"},
    {.yaml = "log:\n  level: \"info\n", .sentence = "sidecar.yaml:"},
    {
        .yaml = "log:\n  level: {a: b}\n",
        .sentence = "log.level (",
    },
    {.yaml = "log:\n  level: [info]\n", .sentence = "is a list, must be one value"},
    {.yaml = "log:\n  ? [a, b]\n  : c\n", .sentence = "sidecar.yaml:2: a key must be a plain word"},
    {.yaml = "agent:\n  env:\n    - A: b\n",
     .sentence = "sidecar.yaml:3: the items of agent.env must be plain values"},
    {.yaml = "agent:\n  env: A=b\n", .sentence = "agent.env ("},
    {.yaml = "log:\n  level: \xff\xfe\n", .sentence = "not part of a UTF-8 text"},
    {.yaml = "%YAML 9.9\n---\nlog: {}\n", .sentence = "sidecar.yaml:1"},
    /* types, ranges, units */
    {.yaml = "stop:\n  drain_delay: 1s\n  grace: 10\n",
     .sentence = "sidecar.yaml:3): a duration needs a unit, for example 10s"},
    {.yaml = "stop:\n  grace: 1.5s\n", .sentence = "stop.grace is 1.5s ("},
    {.yaml = "stop:\n  grace: 10 s\n", .sentence = "must be a whole number with ms, s, m, h or d"},
    {.yaml = "stop:\n  grace: -5s\n", .sentence = "must be a whole number with ms, s, m, h or d"},
    {.env = "MOLECULE_SIDECAR_PLATFORM_HEARTBEAT_INTERVAL=1h",
     .sentence = "platform.heartbeat_interval is 1h (environment "
                 "MOLECULE_SIDECAR_PLATFORM_HEARTBEAT_INTERVAL): must be 100ms to 5m"},
    {.arg = "--listen-max-head",
     .arg2 = "64K",
     .sentence =
         "listen.max_head is 64K (flag --listen-max-head): must be a whole number with KiB"},
    {.arg = "--listen-max-head=10", .sentence = "must be 4KiB to 1MiB"},
    {.arg = "--listen-max-connections=0",
     .sentence = "listen.max_connections is 0 (flag --listen-max-connections): must be 1 to 100000 "
                 "connections"},
    {.arg = "--listen-max-connections=many", .sentence = "must be a whole number without a unit"},
    {.arg = "--restart-max=-1", .sentence = "restart.max is -1"},
    {.arg = "--platform-enabled=maybe",
     .sentence = "platform.enabled is maybe (flag --platform-enabled): must be true or false"},
    {.arg = "--log-level=loud",
     .sentence = "log.level is loud (flag --log-level): must be debug, info, warning or error"},
    {.arg = "--agent-protocol=exec",
     .sentence = "agent.protocol is exec (flag --agent-protocol): that is not in this version, use "
                 "http or none"},
    {.arg = "--stop-signal=KILL",
     .sentence = "stop.signal is KILL (flag --stop-signal): must be a signal that can be caught"},
    {.arg = "--stop-signal=BOOM", .sentence = "stop.signal is BOOM"},
    {.arg = "--stop-signal=USR1 wait 20, TERM",
     .sentence = "stop.signal is USR1 wait 20, TERM (flag --stop-signal): character 11, 20: a wait "
                 "must be a whole number with ms, s, m, h or d, for example wait 10s"},
    {.yaml = "stop:\n  signal: [USR1, TERM]\n",
     .sentence = "sidecar.yaml:2): character 7, TERM: there must be a "
                 "wait between it and the signal before it"},
    {.arg = "--stop-success-codes=0,256",
     .sentence = "stop.success_codes holds 256 (flag --stop-success-codes): must be an exit code, "
                 "0 to 255"},
    {.arg = "--control-allow-uids=root",
     .sentence =
         "control.allow_uids holds root (flag --control-allow-uids): must be a numeric user id"},
    {.arg = "--agent-env=SECRET",
     .sentence = "agent.env (flag --agent-env): item 1 must be NAME=value"},
    {.arg = "--agent-port-env=A B", .sentence = "agent.port_env is A B"},
    {.arg = "--agent-ready-path=health",
     .sentence = "agent.ready_path is health (flag --agent-ready-path): must begin with /"},
    {.arg = "--card-name=a\nb", .sentence = "holds a line break"},
    {.arg = "--card-name=a\x01",
     .sentence = "card.name is a\\x01 (flag --card-name): holds a control character"},
    {.arg = "--card-name=\xff", .sentence = "is not valid UTF-8"},
    {.arg = "--agent-base-path=",
     .sentence = "agent.base_path is empty (flag --agent-base-path): must begin with /"},
    /* the workspace and the platform */
    {.env = "WORKSPACE_ID=ws-123",
     .sentence = "workspace.id is ws-123 (environment WORKSPACE_ID): must be the workspace's UUID"},
    {.env = "WORKSPACE_ID=ws-123", .sentence = "POST /workspaces"},
    {.arg = "--platform-url=molecule.example.com",
     .sentence = "must begin with http:// or https://"},
    {.arg = "--platform-url=ftp://a",
     .sentence =
         "platform.url is ftp://a (flag --platform-url): must begin with http:// or https://"},
    {.arg = "--platform-url=https://me:SECRET@a.example",
     .sentence = "platform.url (flag --platform-url): a user name or password does not belong into "
                 "this URL"},
    {.arg = "--platform-url=https://a.example/?x=1", .sentence = "must not have a query"},
    {.arg = "--platform-url=https://a.example#x",
     .sentence = "must not have a query (?) or a fragment"},
    {.arg = "--platform-url=https://", .sentence = "has no host"},
    {.arg = "--platform-url=https://a:99999", .sentence = "has a port that is not 1 to 65535"},
    {.arg = "--platform-url=https://a b", .sentence = "holds a blank"},
    {.arg = "--platform-url=https://[::g]/", .sentence = "has no IPv6 address between [ and ]"},
    {.arg = "--platform-url=", .sentence = "platform.url is empty"},
    {.arg = "--platform-origin=my-agent/1.0", .sentence = "platform.origin is my-agent/1.0"},
    {.arg = "--platform-origin=https://a.example/x",
     .sentence = "must be scheme and authority only"},
    {.arg = "--platform-proxy=socks://me:SECRET@a",
     .sentence = "platform.proxy (flag --platform-proxy): must begin with http://"},
    {.arg = "--platform-delivery=push",
     .sentence =
         "platform.delivery is push (flag --platform-delivery), which needs platform.reported_url"},
    {.arg = "--platform-reported-url=http://127.0.0.1:8000",
     .sentence = "the platform refuses loopback addresses"},
    {.arg = "--platform-reported-url=http://[::1]:8000",
     .sentence = "the platform refuses loopback addresses"},
    {.arg = "--platform-reported-url=http://169.254.1.1",
     .sentence = "the platform refuses link-local"},
    {.arg = "--platform-reported-url=http://[::ffff:100.64.0.1]",
     .sentence = "the platform refuses link-local, shared"},
    {.arg = "--platform-reported-url=http://[2001:db8::1]", .sentence = "documentation"},
    {.arg = "--platform-reported-url=http://a.example/?q",
     .sentence = "platform.reported_url is http://a.example/?q (flag --platform-reported-url): "
                 "must not have a query"},
    {.arg = "--platform-client-cert=/dev/null", .sentence = "go together; only client_cert is set"},
    {.arg = "--platform-ca-file=/missing/ca.pem",
     .sentence = "platform.ca_file is /missing/ca.pem (flag --platform-ca-file): No such file"},
    /* tokens */
    {.arg = "--platform-token",
     .arg2 = "SECRET",
     .sentence = "flag --platform-token: a secret on the command line can be read by every user"},
    {.arg = "--platform-token=SECRET",
     .sentence = "MOLECULE_WORKSPACE_TOKEN, the key platform.token in the configuration file or "
                 "--platform-token-file"},
    {.arg = "--platform-tokn",
     .arg2 = "SECRET",
     .sentence = "unknown flag --platform-tokn; did you mean --platform-token?"},
    {.arg = "--token=SECRET", .sentence = "unknown flag --token; did you mean --platform-token?"},
    {.env = "MOLECULE_WORKSPACE_TOKEN=SECRET SECRET",
     .sentence = "platform.token (environment MOLECULE_WORKSPACE_TOKEN) holds a blank"},
    {.env = "MOLECULE_API_KEY=SECRET\x01",
     .sentence = "platform.token (environment MOLECULE_API_KEY): holds a control character"},
    {.env = "MOLECULE_WORKSPACE_TOKEN_FILE=/missing/token",
     .sentence = "platform.token_file (environment MOLECULE_WORKSPACE_TOKEN_FILE): cannot open "
                 "/missing/token"},
    {.env = "MOLECULE_WORKSPACE_TOKEN_FILE=/dev/null",
     .sentence = "platform.token_file (environment MOLECULE_WORKSPACE_TOKEN_FILE)"},
    {.yaml = "platform:\n  token: SECRET\n  token_file: /x\n",
     .sentence = "are both set; keep one"},
    {.env = "MOLECULE_WORKSPACES=[{\"id\":\"SECRET\"}]",
     .sentence = "the entry needs \"id\" and \"token\""},
    {.env = "MOLECULE_WORKSPACES=[1,2]",
     .sentence = "names 2 workspaces, but one sidecar serves exactly one"},
    {.env = "MOLECULE_WORKSPACES=[]", .sentence = "names 0 workspaces"},
    {.env = "MOLECULE_WORKSPACES={\"id\":1}", .sentence = "is not a JSON list"},
    {.env = "MOLECULE_WORKSPACES=[{", .sentence = "is not a JSON list"},
    {.env = "MOLECULE_WORKSPACES=SECRET", .sentence = "is not a JSON list"},
    {.env = "MOLECULE_WORKSPACES=[{\"id\":\"ws-1\",\"token\":\"SECRET\"}]",
     .sentence = "workspace.id is ws-1 (environment MOLECULE_WORKSPACES)"},
    {.arg = "--admin-drain-path=/drain/SECRET",
     .sentence =
         "admin.drain_path (flag --admin-drain-path) must be /drain/ and at least 16 characters"},
    {.arg = "--admin-drain-path=/SECRETSECRETSECRETSECRET", .sentence = "must be /drain/ and"},
    {.arg = "--admin-drain-path=/drain/SECRETSECRET/SECRET", .sentence = "must be /drain/ and"},
    /* numbers of others */
    {.env = "PORT=http",
     .sentence = "listen.address: PORT is http (environment PORT), must be a port, 1 to 65535"},
    {.env = "PORT=70000", .sentence = "must be a port, 1 to 65535"},
    {.env = "MOLECULE_POLL_INTERVAL=5s",
     .sentence = "platform.poll_interval is 5s (environment MOLECULE_POLL_INTERVAL): must be a "
                 "number of seconds, without a unit"},
    {.env = "MOLECULE_HEARTBEAT_INTERVAL_MS=1", .sentence = "must be 100ms to 5m"},
    {.env = "TERMINATION_GRACE_PERIOD_SECONDS=1e9", .sentence = "must be a number of seconds"},
    /* addresses and sockets */
    {.arg = "--listen-address=8000",
     .sentence = "listen.address (flag --listen-address): \"8000\" is a port without an address"},
    {.arg = "--listen-address=/run/x", .sentence = "write unix:/run/x"},
    {.arg = "--listen-address=127.0.0.1:8081",
     .sentence = "listen.address (flag --listen-address) and admin.address (default, no container) "
                 "have the same port 8081"},
    {.arg = "--agent-address=http://127.0.0.1:8000",
     .sentence = "and agent.address (flag --agent-address) have the same port 8000"},
    {.arg = "--agent-address=127.0.0.1:0", .sentence = "the agent's port must be known"},
    {.arg = "--agent-address=unix:relative", .sentence = "needs an absolute path"},
    {.arg = "--agent-address=unix:/0123456789/0123456789/0123456789/0123456789/0123456789/"
            "0123456789/0123456789/0123456789/0123456789/0123456789",
     .sentence = "the kernel takes at most 107"},
    {.arg = "--control-socket=/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/"
            "0123456789/0123456789/0123456789/0123456789",
     .sentence = "the kernel takes at most 107 for a socket"},
    {.arg = "--control-socket=here",
     .sentence = "control.socket is here (flag --control-socket): must be an absolute path"},
    {.arg = "--control-socket=/run/molecule/agent.sock", .sentence = "are the same socket"},
    {.arg = "--control-socket=/run/molecule/agent-api/sidecar.sock", .sentence = "are kept apart"},
    {.arg = "--listen-allow-sources=10.0.0.0/33",
     .sentence =
         "listen.allow_sources holds 10.0.0.0/33 (flag --listen-allow-sources): must be a network"},
    {.arg = "--listen-trusted-proxies=proxy", .sentence = "listen.trusted_proxies holds proxy"},
    {.arg = "--listen-cors-origins=example.org",
     .sentence = "listen.cors_origins holds example.org"},
    {.arg = "--listen-cors-origins=https://example.org/", .sentence = "as a browser sends it"},
    /* sums */
    {.arg = "--stop-drain-timeout=20s",
     .sentence = "stop.drain_timeout (flag --stop-drain-timeout) = 20s, which is more than "
                 "stop.grace 10s (default, no Kubernetes)"},
    {.yaml = "stop:\n  grace: 5s\n  drain_delay: 3s\n  agent_grace: 3s\n",
     .sentence = " = 6s, which is more than stop.grace 5s"},
    {.arg = "--restart-backoff=40s",
     .sentence = "restart.backoff 40s (flag --restart-backoff) is more than restart.backoff_max "
                 "30s (default)"},
    /* how the child is started */
    {.arg = "--agent-umask=0888", .sentence = "must be 000 to 777"},
    {.arg = "--agent-ready=soon",
     .sentence = "agent.ready is soon (flag --agent-ready): must be http, connect, notify, fd:3 to "
                 "fd:1023, or started"},
    {.arg = "--agent-ready=fd:2", .sentence = "fd:3 to fd:1023"},
    {.arg = "--agent-ready=notify",
     .sentence = "without a command after -- there is no child that could say so"},
    {.arg = "--agent-ready=started", .sentence = "which agent.protocol http cannot use"},
    {.arg = "--agent-limits=nofiles=3",
     .sentence =
         "agent.limits holds nofiles=3 (flag --agent-limits): must be NAME=soft[:hard] with "
         "one of as, core,"},
    {.arg = "--agent-limits=nofile=200:100", .sentence = "has a soft limit above its hard limit"},
    {.arg = "--agent-limits=nofile=3,nofile=4", .sentence = "holds nofile twice"},
    {.arg = "--agent-env-remove=A*B",
     .sentence = "agent.env_remove holds A*B (flag --agent-env-remove): must be the name of a "
                 "variable, or the beginning of one and a * at its end"},
    /* later versions */
    {.yaml = "signals:\n  map: {HUP: TERM}\n", .sentence = "signals.map"},
    {.arg = "--signals-map=TERM=QUIT",
     .sentence = "signals.map holds TERM=QUIT (flag --signals-map): SIGTERM begins our stop and is "
                 "not passed on; what the agent gets then is stop.signal: remove the entry and set "
                 "stop.signal to QUIT"},
    {.arg = "--agent-group=users",
     .sentence = "agent.group is users (flag --agent-group): must be group, process or session"},
    {.env = "MOLECULE_SIDECAR_FORWARD_TRACE=make",
     .sentence = "forward.trace (environment MOLECULE_SIDECAR_FORWARD_TRACE): beginning traces is "
                 "not in this version"},
    {.arg = "--forward-dedupe-window=10ms", .sentence = "must be 100ms to 1d"},
    {.arg = "--card-format=1.0",
     .sentence =
         "card.format (flag --card-format): writing cards ourselves is not in this version"},
    {.arg = "--inbox-concurrency=0", .sentence = "must be 1 to 1000 messages"},
    /* flags */
    {.arg = "--listen-adress=:1",
     .sentence = "unknown flag --listen-adress; did you mean --listen-address?"},
    {.arg = "--grace=3s", .sentence = "unknown flag --grace; did you mean --stop-grace?"},
    {.arg = "--zzzzzzzzzzzzzz",
     .sentence = "unknown flag --zzzzzzzzzzzzzz; molecule-sidecar run --help lists them all"},
    {.arg = "python", .sentence = "unexpected argument python; the agent's command comes after --"},
    {.arg = "--log-level", .sentence = "flag --log-level needs a value"},
    {.arg = "--log-level",
     .arg2 = "--log-format=text",
     .sentence = "flag --log-level needs a value"},
    {.arg = "--log-level=info",
     .arg2 = "--log-level=debug",
     .sentence = "flag --log-level is given twice"},
    {.arg = "--config", .sentence = "flag --config needs a file name"},
    {.arg = "--config=/missing/file.yaml",
     .sentence = "configuration file (--config): cannot open /missing/file.yaml"},
    {.arg = "--config=/", .sentence = "is a directory"},
    {.env = "MOLECULE_SIDECAR_CONFIG=/missing/f",
     .sentence =
         "configuration file (environment MOLECULE_SIDECAR_CONFIG): cannot open /missing/f"},
};

Test(config_bad_input, each_gets_its_sentence)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config_case k = {
            .yaml = bad[i].yaml, .env = {bad[i].env}, .args = {bad[i].arg, bad[i].arg2}};

        case_load(&k);
        cr_expect_lt(k.rc, 0, "case %zu (%s) was accepted", i, bad[i].sentence);
        cr_expect(case_has_error(&k, bad[i].sentence), "case %zu: wanted \"%s\", got:%s", i,
                  bad[i].sentence, case_sentences(&k));
        cr_expect(!strstr(case_sentences(&k), "SECRET"), "case %zu repeats a secret:%s", i,
                  case_sentences(&k));
        case_release(&k);
    }
}

Test(config_bad_input, a_missing_workspace_id_says_where_to_get_one)
{
    struct config_case k = {.without_id = true};
    struct config_case off = {.without_id = true, .args = {"--platform-enabled", "false"}};

    case_load(&k);
    case_load(&off);
    cr_expect(case_has_error(&k, "workspace.id is missing: set WORKSPACE_ID"), "%s",
              case_sentences(&k));
    cr_expect_eq(off.rc, 0, "%s", case_sentences(&off));
    case_release(&k);
    case_release(&off);
}

Test(config_bad_input, all_mistakes_are_told_at_once)
{
    struct config_case k = {.yaml = "log:\n  level: loud\n  format: xml\nstop:\n  grace: 10\n",
                            .args = {"--nonsense"}};

    case_load(&k);
    cr_expect_eq(k.report.error_count, 4, "%s", case_sentences(&k));
    case_release(&k);
}

Test(config_bad_input, a_flood_of_mistakes_is_bounded)
{
    struct config_case k = {0};
    struct str yaml = {0};

    str_addz(&yaml, "log:\n");
    for (int i = 0; i < 100; i++)
        str_addf(&yaml, "  zzz%d: x\n", i);
    k.yaml = str_z(&yaml);
    case_load(&k);
    cr_expect_eq(k.report.error_count, (size_t)CONFIG_PROBLEMS_MAX);
    cr_expect(case_has_error(&k, "there are more problems"));
    str_release(&yaml);
    case_release(&k);
}

Test(config_bad_input, too_large_files_and_nul_bytes_are_refused)
{
    struct config_case nul = {.yaml = "log:\n  lev\0el: info\n", .yaml_len = 20};
    struct config_case large = {0};
    struct str yaml = {0};

    case_load(&nul);
    cr_expect(case_has_error(&nul, "byte 10 is NUL; the file must be UTF-8 text"), "%s",
              case_sentences(&nul));
    while (yaml.len <= 256 * 1024)
        str_addz(&yaml, "# a comment that goes on and on and on and on and on and on\n");
    large.yaml = str_z(&yaml);
    case_load(&large);
    cr_expect(case_has_error(&large, "is larger than"), "%s", case_sentences(&large));
    str_release(&yaml);
    case_release(&nul);
    case_release(&large);
}

Test(config_bad_input, deep_nesting_ends_the_reading)
{
    struct config_case k = {0};
    struct str yaml = {0};

    str_addz(&yaml, "log:\n  level: ");
    for (int i = 0; i < 5000; i++)
        str_addz(&yaml, "[");
    k.yaml = str_z(&yaml);
    case_load(&k);
    cr_expect_lt(k.rc, 0);
    str_release(&yaml);
    case_release(&k);
}

static void card_case(const char *content, const char *sentence)
{
    struct config_case k = {0};
    char arg[128];

    case_prepare(&k);
    case_make(&k, "/card.json", content);
    (void)snprintf(arg, sizeof(arg), "--card-file=%s/card.json", k.root);
    k.args[0] = arg;
    case_load(&k);
    if (sentence)
        cr_expect(case_has_error(&k, sentence), "%s", case_sentences(&k));
    else
        cr_expect_eq(k.rc, 0, "%s", case_sentences(&k));
    case_release(&k);
}

Test(config_bad_input, the_card_file_must_hold_an_object)
{
    struct str large = {0};

    card_case("{\"name\": \"x\"}\n", NULL);
    card_case("[]", "must hold a JSON object");
    card_case("{\"name\": ", "is not JSON");
    card_case("{} {}", "is not JSON");
    card_case("", "is not JSON");
    str_addz(&large, "{\"a\": \"");
    while (large.len <= 64 * 1024)
        str_addz(&large, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    str_addz(&large, "\"}");
    card_case(str_z(&large), "is larger than");
    str_release(&large);
}

Test(config_bad_input, an_open_file_with_a_token_is_worth_a_warning)
{
    struct config_case k = {0};
    char arg[128];

    case_prepare(&k);
    case_make(&k, "/open.yaml", "platform:\n  token: SECRET\n");
    (void)snprintf(arg, sizeof(arg), "--config=%s/open.yaml", k.root);
    k.args[0] = arg;
    case_load(&k);
    cr_expect_eq(k.rc, 0, "%s", case_sentences(&k));
    cr_expect(case_has_warning(&k, "so others can read it: chmod 600"), "%s", case_sentences(&k));
    cr_expect_str_eq(k.config->platform.token, "SECRET");
    case_release(&k);
}

Test(config_bad_input, a_key_that_is_like_none_gets_no_hint)
{
    char buf[CONFIG_KEY_MAX];

    cr_assert_null(schema_nearest_key(SLICE("workspace.nme"), buf));
    cr_assert_str_eq(schema_nearest_key(SLICE("workspace.ids"), buf), "workspace.id");
}
