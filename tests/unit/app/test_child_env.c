/* The agent's environment: what is kept back, what is added, who wins. */
#include "app/child_env.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A text of one's own, as a char * wants it. */
#define TEXT(z) ((char[]){z})

static char *const own[] = {
    TEXT("PATH=/bin"),
    TEXT("HOME=/root"),
    TEXT("MOLECULE_WORKSPACE_TOKEN=secret"),
    TEXT("MOLECULE_API_KEY=secret"),
    TEXT("NOTIFY_SOCKET=/x"),
    TEXT("WATCHDOG_USEC=1"),
    TEXT("LISTEN_FDS=1"),
    TEXT("WORKSPACE_ID=w"),
    TEXT("MODEL_PROVIDER=acme"),
    TEXT("API_TOKEN=inherited"),
    NULL,
};

static const char *value_of(char **env, const char *name)
{
    size_t n = strlen(name);

    for (; *env; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    }
    return NULL;
}

static char port_env[] = "PORT";
static char empty[] = "";
static char agent_socket[] = "/run/x/agent-api/sidecar.sock";

static struct config plain_config(void)
{
    struct config c = {0};

    cr_assert_eq(endpoint_parse(SLICE("unix:/run/x/agent.sock"), &c.agent.address, NULL), 0);
    c.agent.port_env = port_env;
    c.agent.env_file = empty;
    c.control.agent_socket = agent_socket;
    return c;
}

Test(child_env, tells_the_agent_its_sockets_and_keeps_our_bearer_back)
{
    struct config c = plain_config();
    struct err err = {0};
    char **env = child_env_build(&c, own, NULL, NULL, &err);

    cr_assert_not_null(env, "%s", err.msg);
    cr_assert_str_eq(value_of(env, "MOLECULE_AGENT_SOCKET"), "/run/x/agent.sock");
    cr_assert_str_eq(value_of(env, "MOLECULE_SIDECAR_SOCKET"), "/run/x/agent-api/sidecar.sock");
    cr_assert_str_eq(value_of(env, "PORT"), "/run/x/agent.sock");
    cr_assert_str_eq(value_of(env, "MODEL_PROVIDER"), "acme");
    cr_assert_str_eq(value_of(env, "WORKSPACE_ID"), "w");
    cr_assert_null(value_of(env, "MOLECULE_WORKSPACE_TOKEN"));
    cr_assert_null(value_of(env, "MOLECULE_API_KEY"));
    cr_assert_null(value_of(env, "NOTIFY_SOCKET"));
    cr_assert_null(value_of(env, "WATCHDOG_USEC"));
    cr_assert_null(value_of(env, "LISTEN_FDS"));
    child_env_free(env);
}

Test(child_env, a_tcp_agent_gets_its_port_and_no_socket)
{
    struct config c = plain_config();

    cr_assert_eq(endpoint_parse(SLICE("http://127.0.0.1:9000"), &c.agent.address, NULL), 0);
    char **env = child_env_build(&c, own, NULL, NULL, NULL);
    cr_assert_str_eq(value_of(env, "PORT"), "9000");
    cr_assert_null(value_of(env, "MOLECULE_AGENT_SOCKET"));
    child_env_free(env);
}

Test(child_env, what_would_let_the_agent_drain_us_or_use_our_proxy_is_kept_back)
{
    struct config c = plain_config();
    char drain[] = "MOLECULE_SIDECAR_ADMIN_DRAIN_PATH=/drain/0123456789abcdef";
    char proxy[] = "MOLECULE_SIDECAR_PLATFORM_PROXY=http://me:password@proxy:3128";
    char other[] = "MOLECULE_SIDECAR_LOG_LEVEL=debug";
    char *mine[] = {drain, proxy, other, NULL};

    c.agent.pass_token = true;
    char **env = child_env_build(&c, mine, NULL, NULL, NULL);
    cr_assert_null(value_of(env, "MOLECULE_SIDECAR_ADMIN_DRAIN_PATH"));
    cr_assert_null(value_of(env, "MOLECULE_SIDECAR_PLATFORM_PROXY"));
    cr_assert_str_eq(value_of(env, "MOLECULE_SIDECAR_LOG_LEVEL"), "debug");
    child_env_free(env);
}

Test(child_env, pass_token_gives_the_bearer)
{
    struct config c = plain_config();

    c.agent.pass_token = true;
    char **env = child_env_build(&c, own, NULL, NULL, NULL);
    cr_assert_str_eq(value_of(env, "MOLECULE_WORKSPACE_TOKEN"), "secret");
    cr_assert_null(value_of(env, "NOTIFY_SOCKET"));
    child_env_free(env);
}

Test(child_env, secrets_win_over_what_we_inherited_and_agent_env_over_secrets)
{
    struct config c = plain_config();
    struct secret v[] = {{TEXT("API_TOKEN"), TEXT("pulled")},
                         {TEXT("LD_PRELOAD"), TEXT("/evil.so")},
                         {TEXT("OTHER"), TEXT("pulled")},
                         {TEXT("PATH"), TEXT("/evil")}};
    struct secrets s = {.v = v, .n = 4, .is_known = true};
    char *list[] = {TEXT("OTHER=configured")};

    c.agent.env = (struct string_list){list, 1};
    char **env = child_env_build(&c, own, &s, NULL, NULL);
    cr_assert_str_eq(value_of(env, "API_TOKEN"), "pulled");
    cr_assert_str_eq(value_of(env, "OTHER"), "configured");
    cr_assert_str_eq(value_of(env, "PATH"), "/bin");
    cr_assert_null(value_of(env, "LD_PRELOAD"));
    child_env_free(env);

    c.secrets.mode = SECRETS_OFF;
    env = child_env_build(&c, own, &s, NULL, NULL);
    cr_assert_str_eq(value_of(env, "API_TOKEN"), "inherited");
    child_env_free(env);
}

Test(child_env, env_file_lines_and_its_errors_name_file_and_line)
{
    struct config c = plain_config();
    char path[] = "/tmp/env-XXXXXX";
    int fd = mkstemp(path);
    struct err err = {0};

    dprintf(fd, "# comment\n\nFROM_FILE=a=b c\n");
    c.agent.env_file = path;
    char **env = child_env_build(&c, own, NULL, NULL, &err);
    cr_assert_not_null(env, "%s", err.msg);
    cr_assert_str_eq(value_of(env, "FROM_FILE"), "a=b c");
    child_env_free(env);

    dprintf(fd, "no equals sign\n");
    cr_assert_null(child_env_build(&c, own, NULL, NULL, &err));
    cr_assert_not_null(strstr(err.msg, ":4:"), "%s", err.msg);
    close(fd);
    unlink(path);

    cr_assert_null(child_env_build(&c, own, NULL, NULL, &err));
    cr_assert_not_null(strstr(err.msg, "agent.env_file"), "%s", err.msg);
}

Test(child_env, patterns_remove_what_we_were_started_with_and_nothing_else)
{
    struct config c = plain_config();
    char *patterns[] = {TEXT("MODEL*"), TEXT("HOME"), TEXT("API"), TEXT("PORT")};
    char *list[] = {TEXT("MODEL_NEW=added")};

    c.agent.env_remove = (struct string_list){patterns, 4};
    c.agent.env = (struct string_list){list, 1};
    char **env = child_env_build(&c, own, NULL, NULL, NULL);
    cr_assert_null(value_of(env, "MODEL_PROVIDER"));
    cr_assert_null(value_of(env, "HOME"));
    cr_assert_str_eq(value_of(env, "API_TOKEN"), "inherited", "API is a whole name");
    cr_assert_str_eq(value_of(env, "MODEL_NEW"), "added");
    cr_assert_str_eq(value_of(env, "PORT"), "/run/x/agent.sock", "ours is told all the same");
    child_env_free(env);
}

Test(child_env, another_user_has_its_own_home_and_name)
{
    struct config c = plain_config();
    char name[] = "agent", home[] = "/home/agent", shell[] = "/bin/sh";
    char *mine[] = {TEXT("HOME=/root"),      TEXT("USER=root"),
                    TEXT("LOGNAME=root"),    TEXT("XDG_RUNTIME_DIR=/run/user/0"),
                    TEXT("SHELL=/bin/bash"), NULL};
    char *list[] = {TEXT("HOME=/chosen")};

    c.agent.run_as =
        (struct user){.is_set = true, .uid = 5, .name = name, .home = home, .shell = shell};
    char **env = child_env_build(&c, mine, NULL, NULL, NULL);
    cr_assert_str_eq(value_of(env, "HOME"), "/home/agent");
    cr_assert_str_eq(value_of(env, "USER"), "agent");
    cr_assert_str_eq(value_of(env, "LOGNAME"), "agent");
    cr_assert_str_eq(value_of(env, "SHELL"), "/bin/sh");
    cr_assert_null(value_of(env, "XDG_RUNTIME_DIR"));
    child_env_free(env);

    c.agent.run_as = (struct user){.is_set = true, .uid = 5};
    c.agent.env = (struct string_list){list, 1};
    env = child_env_build(&c, mine, NULL, NULL, NULL);
    cr_assert_str_eq(value_of(env, "HOME"), "/chosen", "agent.env wins");
    cr_assert_null(value_of(env, "USER"));
    cr_assert_null(value_of(env, "LOGNAME"));
    child_env_free(env);
}

Test(child_env, its_half_of_sd_notify_and_socket_activation)
{
    struct config c = plain_config();
    const struct child_env_start start = {
        .notify_socket = "/run/x/notify.sock", .listen_count = 2, .listen_names = "http:metrics"};

    char **env = child_env_build(&c, own, NULL, &start, NULL);
    cr_assert_str_eq(value_of(env, "NOTIFY_SOCKET"), "/run/x/notify.sock");
    cr_assert_str_eq(value_of(env, "LISTEN_FDS"), "2");
    cr_assert_str_eq(value_of(env, "LISTEN_FDNAMES"), "http:metrics");
    cr_assert_str_eq(value_of(env, "LISTEN_PID"), "0000000000", "its digits come after the fork");
    cr_assert_null(value_of(env, "WATCHDOG_USEC"));
    child_env_free(env);
}

static void refused_line(const char *text, size_t n, const char *piece)
{
    struct config c = plain_config();
    char path[] = "/tmp/env-XXXXXX";
    int fd = mkstemp(path);
    struct err err = {0};

    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    c.agent.env_file = path;
    cr_expect_null(child_env_build(&c, own, NULL, NULL, &err));
    cr_expect(strstr(err.msg, piece), "wanted \"%s\" in: %s", piece, err.msg);
    close(fd);
    unlink(path);
}

Test(child_env, what_a_shell_would_read_otherwise_is_refused_in_words)
{
    refused_line("export A=b\n", 11, ":1: this line begins with export");
    refused_line("A=b\nA B=c\n", 10, ":2: this line has a name that is not made of");
    refused_line("\xEF\xBB\xBF"
                 "A=b\n",
                 7, ":1: this line has a name");
    refused_line("A=b\0c\n", 6, ":1: this line holds a NUL byte");
    refused_line("=b\n", 3, ":1: this line is not NAME=value");
}
