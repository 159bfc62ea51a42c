/*
 * Loading: precedence, every name of every source, defaults and what is computed from facts.
 */
#include "config/config.h"
#include "config/schema.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void load_ok(struct config_case *k)
{
    case_load(k);
    cr_assert_eq(k->rc, 0, "%s", case_sentences(k));
}

Test(config_load, needs_nothing_but_the_workspace_id)
{
    struct config_case k = {0};

    load_ok(&k);
    cr_expect_eq(k.report.warning_count, 0, "%s", case_sentences(&k));
    cr_expect_str_eq(k.config->workspace.id, CASE_ID);
    cr_expect_str_eq(k.config->platform.url, "http://host.docker.internal:8080");
    cr_expect_eq(k.config->platform.heartbeat_interval, 30000);
    cr_expect_eq(k.config->platform.delivery, DELIVERY_POLL);
    cr_expect_str_eq(k.config->listen.address.text, "127.0.0.1:8000");
    cr_expect_str_eq(k.config->admin.address.text, "127.0.0.1:8081");
    cr_expect(k.config->listen.address_is_default);
    cr_expect_eq(k.config->stop.grace, 10000);
    cr_expect_eq(k.config->stop.drain_delay, -1);
    cr_expect_eq(k.config->stop.signal.v[0].signo, 15);
    cr_expect_eq(k.config->secrets.mode, SECRETS_OFF);
    cr_expect_eq(k.config->platform.on_removed, ON_REMOVED_HOLD);
    cr_expect_str_eq(k.config->facts.runtime_dir, "/run/molecule");
    cr_expect_str_eq(k.config->agent.address.text, "unix:/run/molecule/agent.sock");
    cr_expect_str_eq(k.config->control.socket, "/run/molecule/control.sock");
    cr_expect_str_eq(k.config->control.agent_socket, "/run/molecule/agent-api/sidecar.sock");
    cr_expect_str_eq(k.config->state.dir, "/home/.molecule/" CASE_ID);
    cr_expect_str_eq(config_origin(k.config, "workspace.id"), "environment WORKSPACE_ID");
    cr_expect_str_eq(config_origin(k.config, "log.level"), "default");
    cr_expect_null(k.config->command);
    case_release(&k);
}

Test(config_load, a_flag_beats_the_environment_beats_the_file_beats_the_default)
{
    static const char yaml[] = "log:\n  level: error\n";
    struct config_case file = {.yaml = yaml};
    struct config_case env = {.yaml = yaml, .env = {"MOLECULE_SIDECAR_LOG_LEVEL=warning"}};
    struct config_case flag = {.yaml = yaml,
                               .env = {"MOLECULE_SIDECAR_LOG_LEVEL=warning"},
                               .args = {"--log-level", "debug"}};

    load_ok(&file);
    load_ok(&env);
    load_ok(&flag);
    cr_expect_eq(file.config->log.level, LOG_ERROR);
    cr_expect(strstr(config_origin(file.config, "log.level"), "sidecar.yaml:2"));
    cr_expect_eq(env.config->log.level, LOG_WARNING);
    cr_expect_str_eq(config_origin(env.config, "log.level"),
                     "environment MOLECULE_SIDECAR_LOG_LEVEL");
    cr_expect_eq(flag.config->log.level, LOG_DEBUG);
    cr_expect_str_eq(config_origin(flag.config, "log.level"), "flag --log-level");
    case_release(&file);
    case_release(&env);
    case_release(&flag);
}

Test(config_load, a_list_of_stop_signals_is_one_text_or_a_yaml_list)
{
    static const char *const yaml[] = {
        "stop:\n  signal: USR1 wait 2s, TERM, wait 1s, KILL\n",
        "stop:\n  signal: [USR1 wait 2s, TERM, wait 1s, KILL]\n",
        "stop:\n  signal:\n    - USR1 wait 2s\n    - TERM\n    - wait 1s\n",
        "stop:\n  signal: [USR1, wait 2s, 15, wait 1s]\n",
    };

    for (size_t i = 0; i < sizeof(yaml) / sizeof(yaml[0]); i++) {
        struct config_case k = {.yaml = yaml[i]};

        load_ok(&k);
        cr_expect_eq(k.config->stop.signal.n, 2);
        cr_expect_eq(k.config->stop.signal.v[0].signo, SIGUSR1);
        cr_expect_eq(k.config->stop.signal.v[0].wait_ms, 2000);
        cr_expect_eq(k.config->stop.signal.v[1].signo, SIGTERM);
        cr_expect_eq(k.config->stop.signal.v[1].wait_ms, 1000);
        case_release(&k);
    }
}

/* A value that is right for the row and differs from its default; NULL where the test below has no
 * general one. */
static const char *other_value(const struct config_row *row)
{
    switch (row->type) {
    case TYPE_BOOL:
        return strcmp(row->fallback, "true") == 0 ? "no" : "yes";
    case TYPE_INT:
        return "7";
    case TYPE_DURATION:
        return "700ms";
    case TYPE_SIZE:
        return "8KiB";
    case TYPE_STRING:
        if (strcmp(row->key, "drain_path") == 0)
            return "/drain/0123456789abcdef";
        if (strcmp(row->key, "ready") == 0)
            return "connect";
        return row->flags & ROW_FROM_SLASH ? "/x" : "text";
    case TYPE_PATH:
        return "/tmp";
    case TYPE_URL:
        return "https://example.org:8443";
    case TYPE_UUID:
        return "00000000-0000-4000-8000-000000000001";
    case TYPE_ENDPOINT:
        return "127.0.0.1:7777";
    case TYPE_ENUM:
        return row->words[1];
    case TYPE_LIST:
        if (strcmp(row->key, "env") == 0)
            return "A=b";
        if (strcmp(row->section, "signals") == 0)
            return "HUP=USR1";
        if (strcmp(row->key, "limits") == 0)
            return "core=0";
        return strcmp(row->section, "listen") == 0 ? "*" : "7";
    case TYPE_SIGNAL:
        return "USR1";
    case TYPE_SIGNALS:
        return "USR1 wait 2s, TERM wait 1s, KILL";
    case TYPE_OCTAL:
        return "027";
    }
    return NULL;
}

/* Rows whose other value drags further conditions in (files that must exist, keys that go
 * together). */
static bool is_special(const struct config_row *row)
{
    static const char *const special[] = {"platform.token_file",
                                          "platform.client_cert",
                                          "platform.client_key",
                                          "card.file",
                                          "listen.trusted_proxies",
                                          "listen.allow_sources",
                                          "listen.bearer_tokens_file",
                                          "listen.tls_cert",
                                          "listen.tls_key",
                                          "listen.tls_client_ca"};
    char key[CONFIG_KEY_MAX];

    (void)schema_dotted(row, key);
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (strcmp(special[i], key) == 0)
            return true;
    }
    return row->reserved.what != NULL || strcmp(key, "platform.delivery") == 0;
}

Test(config_load, every_key_has_a_flag_and_a_variable)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char key[CONFIG_KEY_MAX], flag[CONFIG_KEY_MAX], name[CONFIG_ENV_MAX], arg[256], var[256];
        struct config_case by_flag = {.env = {"MOLECULE_SIDECAR_RESTART_BACKOFF_MAX=1h"}};
        struct config_case by_env = {.env = {"MOLECULE_SIDECAR_RESTART_BACKOFF_MAX=1h"}};
        const char *value;

        if (is_special(row))
            continue;
        value = other_value(row);
        cr_assert_not_null(value);
        (void)schema_dotted(row, key);
        (void)snprintf(arg, sizeof(arg), "%s=%s", schema_flag(row, flag), value);
        (void)snprintf(var, sizeof(var), "%s=%s", schema_env(row, name), value);
        if (strcmp(key, "restart.backoff_max") == 0)
            by_flag.env[0] = by_env.env[0] = "X=";
        by_env.env[1] = var;
        load_ok(&by_env);
        cr_expect(strstr(config_origin(by_env.config, key), name), "%s comes from %s", key,
                  config_origin(by_env.config, key));
        if (!(row->flags & ROW_NO_FLAG)) {
            by_flag.args[0] = arg;
            load_ok(&by_flag);
            cr_expect(strstr(config_origin(by_flag.config, key), flag), "%s comes from %s", key,
                      config_origin(by_flag.config, key));
        }
        case_release(&by_flag);
        case_release(&by_env);
    }
}

Test(config_load, the_names_others_defined_work)
{
    static const struct {
        const char *variable;
        const char *key;
    } names[] = {
        {"MOLECULE_WORKSPACE_ID=" CASE_ID, "workspace.id"},
        {"PLATFORM_URL=https://a.example", "platform.url"},
        {"MOLECULE_PLATFORM_URL=https://a.example", "platform.url"},
        {"MOLECULE_API_URL=https://a.example", "platform.url"},
        {"MOLECULE_WORKSPACE_TOKEN=abc", "platform.token"},
        {"MOLECULE_API_KEY=abc", "platform.token"},
        {"PORT=9123", "listen.address"},
        {"AGENT_CARD_URL=http://x.example/agent/card", "card.url"},
        {"MOLECULE_REPORTED_URL=https://a.example", "platform.reported_url"},
        {"AGENT_URL=https://a.example", "platform.reported_url"},
        {"MOLECULE_ORG_ID=o", "platform.org_id"},
        {"ORG_ID=o", "platform.org_id"},
        {"CONFIGS_DIR=/tmp", "state.dir"},
        {"WORKSPACE_CONFIG_PATH=/tmp", "state.dir"},
        {"PARENT_ID=p", "workspace.parent_id"},
        {"MOLECULE_AGENT_NAME=n", "card.name"},
        {"AGENT_NAME=n", "card.name"},
        {"MOLECULE_AGENT_DESCRIPTION=d", "card.description"},
        {"MOLECULE_AGENT_DESC=d", "card.description"},
        {"MOLECULE_AGENT_SKILLS=a, b", "card.skills"},
        {"MOLECULE_POLL_INTERVAL=2.5", "platform.poll_interval"},
        {"MOLECULE_POLL_INTERVAL_MS=2500", "platform.poll_interval"},
        {"MOLECULE_HEARTBEAT_INTERVAL_MS=2500", "platform.heartbeat_interval"},
        {"LOG_LEVEL=DEBUG", "log.level"},
        {"TERMINATION_GRACE_PERIOD_SECONDS=120", "stop.grace"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct config_case k = {.env = {names[i].variable},
                                .without_id =
                                    strncmp(names[i].variable, "MOLECULE_WORKSPACE_ID", 21) == 0};
        char name[64];

        (void)snprintf(name, sizeof(name), "environment %.*s", (int)strcspn(names[i].variable, "="),
                       names[i].variable);
        load_ok(&k);
        cr_expect_str_eq(config_origin(k.config, names[i].key), name);
        case_release(&k);
    }
}

Test(config_load, the_first_name_that_is_not_empty_counts)
{
    struct config_case k = {.env = {"PLATFORM_URL= ", "MOLECULE_PLATFORM_URL=",
                                    "MOLECULE_API_URL=https://third.example/base/"}};
    struct config_case first = {
        .env = {"MOLECULE_API_URL=https://third.example", "PLATFORM_URL=https://first.example"}};

    load_ok(&k);
    load_ok(&first);
    cr_expect_str_eq(k.config->platform.url, "https://third.example/base");
    cr_expect_str_eq(first.config->platform.url, "https://first.example");
    case_release(&k);
    case_release(&first);
}

Test(config_load, numbers_of_others_become_ours)
{
    struct config_case k = {
        .env = {"MOLECULE_POLL_INTERVAL=2.5", "TERMINATION_GRACE_PERIOD_SECONDS=120",
                "MOLECULE_AGENT_SKILLS=a, b,,c", "LOG_LEVEL=CRITICAL", "PORT=9123"}};

    load_ok(&k);
    cr_expect_eq(k.config->platform.poll_interval, 2500);
    cr_expect_eq(k.config->stop.grace, 120000);
    cr_expect_eq(k.config->card.skills.n, 3);
    cr_expect_str_eq(k.config->card.skills.v[1], "b");
    cr_expect_eq(k.config->log.level, LOG_ERROR);
    cr_expect_str_eq(k.config->listen.address.text, "127.0.0.1:9123");
    case_release(&k);
}

Test(config_load, containers_listen_everywhere_and_kubernetes_gives_more_time)
{
    struct config_case pod = {.env = {"KUBERNETES_SERVICE_HOST=10.0.0.1", "PORT=9123"},
                              .command = {"agent"}};
    struct config_case pid_1 = {.is_pid_1 = true, .command = {"agent"}};

    load_ok(&pod);
    load_ok(&pid_1);
    cr_expect(pod.config->facts.is_kubernetes && pod.config->facts.is_container);
    cr_expect_str_eq(pod.config->listen.address.text, "[::]:9123");
    cr_expect(pod.config->listen.address_is_default);
    cr_expect_str_eq(pod.config->admin.address.text, "[::]:8081");
    cr_expect_eq(pod.config->stop.grace, 30000);
    cr_expect_eq(pod.config->platform.on_removed, ON_REMOVED_HOLD);
    cr_expect_eq(pod.config->secrets.mode, SECRETS_ENV);
    cr_expect(!pid_1.config->facts.is_kubernetes && pid_1.config->facts.is_container);
    cr_expect_eq(pid_1.config->stop.grace, 10000);
    cr_expect_eq(pid_1.config->platform.on_removed, ON_REMOVED_EXIT);
    case_release(&pod);
    case_release(&pid_1);
}

Test(config_load, container_files_are_recognised)
{
    static const char *const files[] = {"/.dockerenv", "/run/.containerenv"};

    for (size_t i = 0; i < 2; i++) {
        struct config_case k = {0};

        case_prepare(&k);
        case_make(&k, "/run/", NULL);
        case_make(&k, files[i], "");
        load_ok(&k);
        cr_expect(k.config->facts.is_container && !k.config->facts.is_kubernetes);
        case_release(&k);
    }
}

Test(config_load, the_runtime_directory_goes_where_it_can)
{
    struct config_case systemd = {.env = {"RUNTIME_DIRECTORY=/run/one:/run/two"}};
    struct config_case xdg = {.env = {"XDG_RUNTIME_DIR=/tmp"}};
    struct config_case tmp = {.env = {"XDG_RUNTIME_DIR=/missing/nowhere", "TMPDIR=/var/tmp/"}};
    struct config_case no_id = {
        .env = {"XDG_RUNTIME_DIR=/tmp", "MOLECULE_SIDECAR_PLATFORM_ENABLED=false"},
        .without_id = true};

    load_ok(&systemd);
    cr_expect_str_eq(systemd.config->facts.runtime_dir, "/run/one");
    cr_expect_str_eq(systemd.config->facts.runtime_dir_from, "RUNTIME_DIRECTORY");
    case_prepare(&xdg);
    case_make(&xdg, "/run", "in the way"); /* works for root too, unlike a mode */
    load_ok(&xdg);
    cr_expect_str_eq(xdg.config->facts.runtime_dir, "/tmp/molecule/" CASE_ID);
    case_prepare(&no_id);
    case_make(&no_id, "/run", "in the way");
    load_ok(&no_id);
    cr_expect_str_eq(no_id.config->facts.runtime_dir, "/tmp/molecule/4711");
    case_prepare(&tmp);
    case_make(&tmp, "/run", "in the way");
    case_make(&tmp, "/missing", "in the way");
    load_ok(&tmp);
    cr_expect_str_eq(tmp.config->facts.runtime_dir, "/var/tmp/molecule-1000-" CASE_ID);
    case_release(&systemd);
    case_release(&xdg);
    case_release(&no_id);
    case_release(&tmp);
}

Test(config_load, a_directory_of_others_counts_only_if_writable)
{
    struct config_case k = {.env = {"CONFIGS_DIR=/configs", "WORKSPACE_CONFIG_PATH=/tmp"}};
    struct config_case homeless = {0};

    load_ok(&k);
    cr_expect_str_eq(k.config->state.dir, "/tmp");
    cr_expect(case_has_warning(&k, "CONFIGS_DIR is /configs"));
    case_prepare(&homeless);
    homeless.env[0] = "HOME=/etc/passwd/none";
    case_make(&homeless, "/etc", "in the way");
    load_ok(&homeless);
    cr_expect_str_eq(homeless.config->state.dir, "/run/molecule/state");
    cr_expect(case_has_warning(&homeless, "does not survive"));
    case_release(&k);
    case_release(&homeless);
}

Test(config_load, tokens_come_from_the_strongest_source)
{
    struct config_case k = {
        .yaml = "platform:\n  token: from-file\n",
        .env = {"MOLECULE_API_KEY=from-key", "MOLECULE_WORKSPACE_TOKEN=from-env"}};
    struct config_case by_path = {.yaml = "platform:\n  token: from-yaml\n"};
    char variable[128];

    load_ok(&k);
    cr_expect_str_eq(k.config->platform.token, "from-env");
    cr_expect(k.config->platform.token_is_explicit);
    case_prepare(&by_path);
    case_make(&by_path, "/token", "  from-path\n");
    (void)snprintf(variable, sizeof(variable), "MOLECULE_WORKSPACE_TOKEN_FILE=%s/token",
                   by_path.root);
    by_path.env[0] = variable;
    by_path.env[1] = "MOLECULE_API_KEY=from-key";
    load_ok(&by_path);
    cr_expect_str_eq(by_path.config->platform.token, "from-path");
    cr_expect(strstr(by_path.config->platform.token_file, "/token"));
    case_release(&k);
    case_release(&by_path);
}

Test(config_load, one_workspace_in_the_list_is_taken)
{
    struct config_case k = {
        .env = {"MOLECULE_WORKSPACES=[{\"id\":\"00000000-0000-4000-8000-000000000001\","
                "\"token\":\"secret\"}]",
                "MOLECULE_WORKSPACE_TOKEN=other"}};

    load_ok(&k);
    cr_expect_str_eq(k.config->workspace.id, "00000000-0000-4000-8000-000000000001");
    cr_expect_str_eq(k.config->platform.token, "secret");
    case_release(&k);
}

Test(config_load, lists_come_in_every_shape)
{
    struct config_case yaml = {.yaml = "listen:\n  allow_sources:\n    - 10.0.0.0/8\n    - ::1\n"
                                       "agent:\n  env: [\"A=1,2\", B=]\n"};
    struct config_case flags = {.args = {"--listen-allow-sources", "10.0.0.0/8,::1/128",
                                         "--agent-env", "A=1,2", "--listen-allow-sources=127.0.0.1",
                                         "--agent-env=B="}};
    struct config_case env = {.env = {"MOLECULE_SIDECAR_AGENT_ENV=A=1,2\nB=\n"}};

    load_ok(&yaml);
    load_ok(&flags);
    load_ok(&env);
    cr_expect_eq(yaml.config->listen.allow_sources.n, 2);
    cr_expect_eq(flags.config->listen.allow_sources.n, 3);
    cr_expect_str_eq(yaml.config->agent.env.v[0], "A=1,2");
    cr_expect_str_eq(flags.config->agent.env.v[0], "A=1,2");
    cr_expect_str_eq(flags.config->agent.env.v[1], "B=");
    cr_expect_str_eq(env.config->agent.env.v[0], "A=1,2");
    cr_expect_eq(env.config->agent.env.n, 2);
    case_release(&yaml);
    case_release(&flags);
    case_release(&env);
}

Test(config_load, reserved_keys_may_say_their_default)
{
    struct config_case k = {.yaml = "forward:\n  trace: pass\n"
                                    "inbox:\n  retry_max: 600s\n  peer_markers: yes\n"
                                    "agent:\n  user: ''\n  umask:\n"};

    load_ok(&k);
    case_release(&k);
}

Test(config_load, service_variables_of_kubernetes_are_silent)
{
    struct config_case k = {
        .env = {
            "MOLECULE_SIDECAR_PORT=tcp://10.0.0.1:8000", "MOLECULE_SIDECAR_SERVICE_HOST=10.0.0.1",
            "MOLECULE_SIDECAR_SERVICE_PORT=8000", "MOLECULE_SIDECAR_SERVICE_PORT_HTTP=8000",
            "MOLECULE_SIDECAR_PORT_8000_TCP=tcp://10.0.0.1:8000",
            "MOLECULE_SIDECAR_PORT_8000_TCP_PROTO=tcp", "MOLECULE_SIDECAR_PORT_8000_TCP_PORT=8000",
            "MOLECULE_SIDECAR_PORT_8000_TCP_ADDR=10.0.0.1",
            "MOLECULE_SIDECAR_WEB_PORT=udp://10.0.0.1:53",
            "MOLECULE_SIDECAR_SOCKET=/run/molecule/agent-api/sidecar.sock",
            "MOLECULE_SIDECAR_CONFIG="}};

    load_ok(&k);
    cr_expect_eq(k.report.warning_count, 0, "%s", case_sentences(&k));
    case_release(&k);
}

Test(config_load, odd_but_harmless_things_are_warnings)
{
    static const struct {
        const char *variable;
        const char *warning;
    } odd[] = {
        {"MOLECULE_SIDECAR_LISTEN_ADRESS=x", "did you mean MOLECULE_SIDECAR_LISTEN_ADDRESS?"},
        {"MOLECULE_SIDECAR_WHATEVER=x", "is no key of ours"},
        {"LOG_LEVEL=verbose", "LOG_LEVEL is verbose"},
        {"PORT=tcp://10.0.0.1:80", "Kubernetes Service"},
        {"MOLECULE_CURSOR_FILE=/x", "does not fetch messages"},
        {"PLATFORM_URL=http://platform.example.com", "use https"},
        {"MOLECULE_REPORTED_URL=http://192.168.1.2:8000", "private addresses"},
        {"MOLECULE_REPORTED_URL=http://localhost:8000", "its own machine"},
        {"MOLECULE_SIDECAR_PLATFORM_HEARTBEAT_INTERVAL=2m", "stale after 90s"},
        {"MOLECULE_SIDECAR_SECRETS_MODE=env", "there is no child"},
    };

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct config_case k = {.env = {odd[i].variable}};

        load_ok(&k);
        cr_expect(case_has_warning(&k, odd[i].warning), "%s gives:%s", odd[i].variable,
                  case_sentences(&k));
        case_release(&k);
    }
}

Test(config_load, plain_http_to_near_hosts_is_quiet)
{
    static const char *const urls[] = {
        "PLATFORM_URL=http://localhost:8080",       "PLATFORM_URL=http://127.0.0.1:8080",
        "PLATFORM_URL=http://[::1]:8080",           "PLATFORM_URL=http://platform:8080",
        "PLATFORM_URL=http://platform.default.svc", "PLATFORM_URL=http://p.d.svc.cluster.local",
        "PLATFORM_URL=http://172.17.0.1:8080",
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct config_case k = {.env = {urls[i]}};

        load_ok(&k);
        cr_expect_eq(k.report.warning_count, 0, "%s gives:%s", urls[i], case_sentences(&k));
        case_release(&k);
    }
}

Test(config_load, a_command_finds_the_sidecar_that_runs)
{
    struct config_case xdg = {
        .env = {"XDG_RUNTIME_DIR=/xdg"}, .finds_running = true, .without_id = true};
    struct config_case tmp = {.finds_running = true, .without_id = true};
    struct config_case none = {
        .env = {"XDG_RUNTIME_DIR=/xdg", "MOLECULE_WORKSPACE_TOKEN_FILE=/not/ours/to/read"},
        .finds_running = true,
        .without_id = true};

    case_prepare(&xdg);
    case_make(&xdg, "/xdg/", NULL);
    case_make(&xdg, "/xdg/molecule/", NULL);
    case_make(&xdg, "/xdg/molecule/17/", NULL);
    case_make(&xdg, "/xdg/molecule/stale/", NULL);
    case_make(&xdg, "/xdg/molecule/17/control.sock", "");
    load_ok(&xdg);
    cr_expect_str_eq(xdg.config->control.socket, "/xdg/molecule/17/control.sock");
    case_prepare(&tmp);
    case_make(&tmp, "/tmp/molecule-1000-4712/", NULL);
    case_make(&tmp, "/tmp/molecule-1000-4712/control.sock", "");
    case_make(&tmp, "/tmp/molecule-1001-1/", NULL);
    case_make(&tmp, "/tmp/molecule-1001-1/control.sock", "");
    load_ok(&tmp);
    cr_expect_str_eq(tmp.config->facts.runtime_dir, "/tmp/molecule-1000-4712");
    load_ok(&none);
    cr_expect_str_eq(none.config->control.socket, "/run/molecule/control.sock");
    case_release(&xdg);
    case_release(&tmp);
    case_release(&none);
}
