/*
 * health: the probes for images without curl. HEALTHCHECK and exec probes call it.
 */
#include "app/exits.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: molecule-sidecar health [started|ready|live|agent] [flags]\n\n"
    "Asks the running sidecar (admin.address) and prints its one line. Exit 0 for yes, 1 for no or "
    "no answer.\n"
    "ready is the default. For HEALTHCHECK in images and exec probes where there is no curl.\n";

static const char *path_of(const char *word)
{
    static const char *const paths[][2] = {
        {"started", "/startupz"}, {"ready", "/readyz"}, {"live", "/livez"}, {"agent", "/agentz"}};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(word, paths[i][0]) == 0) {
            return paths[i][1];
        }
    }
    return NULL;
}

int cmd_health(int argc, char **argv)
{
    struct config *cfg = NULL;
    struct cmd_args args;
    struct talk_answer answer = {0};
    struct err err = {0};
    int status = cmd_args_split(argc, argv, NULL, 0, help, false, &args);
    const char *path = status == 0 ? path_of(args.word_count ? args.words[0] : "ready") : NULL;

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (!path || args.word_count > 1) {
        return cmd_fail(EXIT_USAGE, "health answers one of started, ready, live, agent; not %s",
                        args.words[args.word_count - 1]);
    }
    args.finds_running = true;
    if (cmd_load_config(&args, NULL, &cfg, NULL) != 0) {
        return EXIT_NO; /* HEALTHCHECK reserves 2 */
    }
    if (talk_endpoint(&cfg->admin.address, "GET", path, TALK_TIMEOUT_MS, &answer, &err) < 0) {
        status = cmd_fail(
            EXIT_NO, "no sidecar answers at %s (admin.address; --admin-address names another): %s",
            cfg->admin.address.text, err.msg);
    } else {
        (void)fputs(str_z(&answer.body), stdout);
        status = answer.status == 200 ? EXIT_OK : EXIT_NO;
    }
    str_release(&answer.body);
    config_free(cfg);
    return status;
}
