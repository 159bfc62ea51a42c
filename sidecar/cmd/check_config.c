/*
 * check-config: every value and where it came from, or every error.
 */
#include "app/budget.h"
#include "app/exits.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/load.h"

#include <stdio.h>

static const char help[] =
    "Usage: molecule-sidecar check-config [--reference|--schema] [flags] [FILE]\n\n"
    "Checks the configuration as `run` would read it here (file, environment, flags) and prints "
    "every value with its\n"
    "origin, secrets masked. Exit 0 when it is good, 2 with every error otherwise.\n"
    "  --reference   print the reference page of all keys instead (Markdown)\n"
    "  --schema      print a JSON Schema of the file instead\n";

static int print_pages(bool reference)
{
    CLEANUP(str_release) struct str out = {0};

    if (reference) {
        config_print_reference(&out);
    } else {
        config_print_json_schema(&out);
    }
    (void)fputs(str_z(&out), stdout);
    return EXIT_OK;
}

static int print_effective(const struct config *cfg)
{
    CLEANUP(str_release) struct str out = {0};
    struct budget budget;
    struct err err = {0};

    if (budget_compute(cfg, &budget, &err) < 0) {
        return cmd_fail(EXIT_USAGE, "%s", err.msg);
    }
    struct config shown = *cfg; /* borrows what cfg owns */

    shown.stop.drain_delay = budget.drain_delay;
    shown.stop.drain_timeout = budget.drain_timeout;
    shown.stop.agent_grace = budget.agent_grace;
    shown.stop.reserve = budget.reserve;
    config_print_effective(&shown, &out);
    (void)fputs(str_z(&out), stdout);
    return EXIT_OK;
}

int cmd_check_config(int argc, char **argv)
{
    bool wants_reference = false;
    bool wants_schema = false;
    const struct cmd_option options[] = {{"--reference", &wants_reference, NULL},
                                         {"--schema", &wants_schema, NULL}};
    struct config *cfg = NULL;
    struct cmd_args args;
    int status = cmd_args_split(argc, argv, options, 2, help, false, &args);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (args.word_count > 1) {
        return cmd_fail(EXIT_USAGE, "check-config takes one FILE, not also %s", args.words[1]);
    }
    if (wants_reference || wants_schema) {
        return print_pages(wants_reference);
    }
    status = cmd_load_config(&args, args.words[0], &cfg, NULL);
    if (status != 0) {
        return status;
    }
    status = print_effective(cfg);
    config_free(cfg);
    return status;
}
