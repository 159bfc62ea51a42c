/*
 * Which secrets may become environment variables of the agent (P section 9, last sentence): names a
 * shell accepts, and none that changes how programs are found, loaded or run, or what we told the
 * agent ourselves.
 */
#include "platform/secrets.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

static const char *const denied_names[] = {
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "CDPATH",
    "PWD",
    "OLDPWD",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "HOSTNAME",
    "PORT",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "PROMPT_COMMAND",
    "ZDOTDIR",
    "NODE_OPTIONS",
    "NODE_REPL_EXTERNAL_MODULE",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PERLLIB",
    "RUBYLIB",
    "RUBYOPT",
    "GEM_HOME",
    "GEM_PATH",
    "BUNDLE_GEMFILE",
    "CLASSPATH",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_TEMPLATE_DIR",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_NO_VERIFY",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESSOPEN",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "JAVA_TOOL_OPTIONS",
    "JRUBY_OPTS",
    "MAVEN_OPTS",
    "GRADLE_OPTS",
    "JULIA_LOAD_PATH",
    "SSH_ASKPASS",
    "XDG_CONFIG_HOME",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "RES_OPTIONS",
    "MALLOC_TRACE",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "WORKSPACE_ID",
    "PLATFORM_URL",
    "AGENT_CARD_URL",
    "AGENT_URL",
    "PARENT_ID",
    "ORG_ID",
    "CONFIGS_DIR",
    "WORKSPACE_CONFIG_PATH",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "TERMINATION_GRACE_PERIOD_SECONDS",
    "RUNTIME_DIRECTORY",
};

/* LD_PRELOAD and its kin; our own variables; what Kubernetes tells. */
static const char *const denied_prefixes[] = {
    "LD_",   "DYLD_", "MOLECULE_", "KUBERNETES_", "BASH_FUNC_",  "PYTHON",
    "PERL5", "LUA_",  "CORECLR_",  "COR_",        "DOTNET_",     "BUN_",
    "DENO_", "ERL_",  "R_PROFILE", "npm_config_", "NPM_CONFIG_", "GIT_CONFIG"};

bool secret_name_is_exportable(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    }
    for (size_t i = 0; i < sizeof(denied_names) / sizeof(*denied_names); i++) {
        if (strcmp(name, denied_names[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < sizeof(denied_prefixes) / sizeof(*denied_prefixes); i++) {
        if (strncmp(name, denied_prefixes[i], strlen(denied_prefixes[i])) == 0)
            return false;
    }
    /* http_proxy and its kin decide where the agent's calls go, in either case. */
    return strcasecmp(name, "http_proxy") != 0 && strcasecmp(name, "https_proxy") != 0 &&
           strcasecmp(name, "all_proxy") != 0 && strcasecmp(name, "no_proxy") != 0;
}
