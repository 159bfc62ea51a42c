/*
 * The table of subcommands, the overall help, and --version.
 */
#include "app/exits.h"
#include "base/parse.h"
#include "base/version.h"
#include "cmd/cmd.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { EDITS_MAX = 4 }; /* more is no likeness between two command names */

static const struct command {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *arguments;
    const char *summary;
} commands[] = {
    {"run", cmd_run, "[flags] [-- COMMAND [ARG...]]",
     "stand next to an agent; with a COMMAND, start it and look after it"},
    {"health", cmd_health, "[started|ready|live|agent]",
     "ask the running sidecar; exit 0 or 1 and one line why"},
    {"status", cmd_status, "[--json] [--watch]", "what the running sidecar does"},
    {"plan", cmd_plan, "", "the stop timeline, and what contradicts it"},
    {"check-config", cmd_check_config, "[FILE]",
     "check the configuration; print every value and where it came from"},
    {"send", cmd_send, "[--stream] [--url URL] TEXT", "send one A2A message and print the answer"},
    {"inbox", cmd_inbox, "[list|show|retry|drop|verify]",
     "polled messages: what waits, what needs somebody, once more, never mind"},
    {"drain", cmd_drain, "[--wait]",
     "take no new requests; with --wait return when the old ones are done"},
    {"stop", cmd_stop, "", "stop the running sidecar and its agent, in order"},
    {"reload", cmd_reload, "", "let the running sidecar read its configuration again"},
    {"install", cmd_install, "DIR", "copy this program into DIR, for an init container"},
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out)
{
    (void)fprintf(out, "molecule-sidecar: stands next to an AI agent and does for it what its "
                       "platform and its machine expect.\n\n"
                       "Usage: molecule-sidecar COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char line[64];

        (void)snprintf(line, sizeof(line), "%s %s", commands[i].name, commands[i].arguments);
        (void)fprintf(out, "  %-36s %s\n", line, commands[i].summary);
    }
    (void)fprintf(out, "\n  COMMAND --help                       more on one of them\n"
                       "  --version                            what this binary was built from\n\n"
                       "The shortest start:  molecule-sidecar run -- ./my-agent\n");
}

static int print_version(void)
{
    (void)printf("molecule-sidecar %s (%s)\nbuilt with %s, %s%s%s\nlibcurl %s, %s\n",
                 build_facts.version, build_facts.revision, build_facts.compiler, build_facts.type,
                 build_facts.features[0] ? ", " : "", build_facts.features,
                 curl_version_info(CURLVERSION_NOW)->version, OpenSSL_version(OPENSSL_VERSION));
    return EXIT_OK;
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    size_t n = strlen(name);
    size_t best = name[0] == '-' ? 0 : n < EDITS_MAX ? n : EDITS_MAX;

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t d = edit_distance(slice_of(name), slice_of(commands[i].name), best);

        if (d < best) {
            best = d;
            nearest = commands[i].name;
        }
    }
    (void)fprintf(stderr, "molecule-sidecar: there is no command %s", name);
    if (nearest) {
        (void)fprintf(stderr, "; did you mean %s?", nearest);
    }
    (void)fprintf(stderr, "\nmolecule-sidecar --help lists them; to start an agent: "
                          "molecule-sidecar run -- COMMAND\n");
    return EXIT_USAGE;
}

int cmd_main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
        strcmp(argv[1], "version") == 0) {
        return print_version();
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].fn(argc - 1, argv + 1);
        }
    }
    return unknown_command(argv[1]);
}
