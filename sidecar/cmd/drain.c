/*
 * drain and stop: orders over the control socket.
 */
#include "app/exits.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"

#include <stdio.h>
#include <string.h>

static const char drain_help[] = "Usage: molecule-sidecar drain [--wait] [flags]\n\n"
                                 "The running sidecar becomes not ready and takes no new requests; "
                                 "what is in flight finishes. With --wait this command\n"
                                 "returns when that is done, with status 1 when its time was up "
                                 "before the work was: a preStop hook. Without a stop within\n"
                                 "stop.grace it goes back to serving.\n";
static const char stop_help[] = "Usage: molecule-sidecar stop [flags]\n\n"
                                "Stops the running sidecar and its agent, in order, as SIGTERM "
                                "would. See `plan` for the timeline.\n";

static int order(int argc, char **argv, const struct cmd_option *options, size_t option_count,
                 const char *help, const char *path, const char *done, const bool *waits)
{
    struct config *cfg = NULL;
    struct talk_answer answer = {0};
    int status = cmd_load_running(argc, argv, options, option_count, help, &cfg);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    status = talk_order(cfg, *waits ? "/v1/drain?wait" : path,
                        *waits ? TALK_DRAIN_TIMEOUT_MS : TALK_TIMEOUT_MS, &answer);
    if (status == EXIT_OK) {
        status = answer.status / 100 == 2 ? EXIT_OK : EXIT_NO;
        if (status == EXIT_OK && *waits && !strstr(str_z(&answer.body), "\"drained\":true")) {
            status =
                cmd_fail(EXIT_NO, "the drain is over with work unfinished (stop.drain_timeout)");
        } else if (status == EXIT_OK) {
            (void)printf("%s\n", *waits ? "drained: no work is in flight" : done);
        } else {
            (void)cmd_fail(0, "the sidecar refused: HTTP %d %s", answer.status,
                           str_z(&answer.body));
        }
    }
    str_release(&answer.body);
    config_free(cfg);
    return status;
}

int cmd_drain(int argc, char **argv)
{
    bool waits = false;
    const struct cmd_option options[] = {{"--wait", &waits, NULL}};

    return order(argc, argv, options, 1, drain_help, "/v1/drain",
                 "draining: not ready, no new requests", &waits);
}

int cmd_stop(int argc, char **argv)
{
    const bool never = false;

    return order(argc, argv, NULL, 0, stop_help, "/v1/stop",
                 "stopping, in order; `molecule-sidecar plan` shows the timeline", &never);
}
