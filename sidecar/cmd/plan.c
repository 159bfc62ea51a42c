/*
 * plan: the grace timeline, before it is needed.
 */
#include "app/budget.h"
#include "app/exits.h"
#include "app/surroundings.h"
#include "app/watchdog.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "notify/notify.h"

#include <stdio.h>

static const char help[] = "Usage: molecule-sidecar plan [flags] [-- COMMAND]\n\n"
                           "Prints what happens between SIGTERM and the end, when, and what "
                           "contradicts it. Give it the flags and the -- COMMAND\n"
                           "that `run` gets.\n";

/* What `run` would be given here: its environment says so, else the files of our unit. */
static int64_t watchdog_ms(const struct unit_facts *unit)
{
    int64_t given_ms = notify_watchdog_of_env_ms();

    return given_ms > 0 ? given_ms : unit->watchdog_ms;
}

int cmd_plan(int argc, char **argv)
{
    CLEANUP(str_release) struct str out = {0};
    struct config *cfg = NULL;
    struct cmd_args args;
    struct budget budget;
    struct unit_facts unit;
    struct err err = {0};
    int status = cmd_args_split(argc, argv, NULL, 0, help, false, &args);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (args.word_count > 0) {
        return cmd_fail(EXIT_USAGE, "plan takes flags only, what is %s?", args.words[0]);
    }
    args.finds_running = true;
    status = cmd_load_config(&args, NULL, &cfg, NULL);
    if (status != 0) {
        return status;
    }
    if (budget_compute(cfg, &budget, &err) < 0) {
        status = cmd_fail(EXIT_USAGE, "%s", err.msg);
    } else {
        unit_facts_read("", &unit);
        budget_print(&budget, cfg, &out);
        surroundings_print(&budget, cfg, &unit, &out);
        watchdog_check(cfg, watchdog_ms(&unit), &out);
        (void)fputs(str_z(&out), stdout);
    }
    config_free(cfg);
    return status;
}
