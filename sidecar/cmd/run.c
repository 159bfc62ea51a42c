/*
 * run: the sidecar itself. Configuration and directories here; everything else is app/.
 */
#include "app/app.h"
#include "app/exits.h"
#include "app/origin.h"
#include "app/termination.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "log/log.h"

extern char **environ;

static const char help[] = "Usage: molecule-sidecar run [flags] [-- COMMAND [ARG...]]\n\n"
                           "Stands next to an agent: registers it, beats for it, forwards A2A "
                           "messages to it, answers probes, and stops it in order.\n"
                           "With a COMMAND the agent is our child: it is started, restarted, "
                           "signalled and reaped, and its exit status becomes ours.\n"
                           "Without one, the agent is somebody else's process (another container "
                           "of the pod) that listens on agent.address.\n\n"
                           "Every key of the configuration is a flag, an environment variable "
                           "(MOLECULE_SIDECAR_SECTION_KEY) and a line in the\n"
                           "configuration file; a flag wins over the environment, the environment "
                           "over the file. Tokens are never taken from flags.\n\n";

static int run_with(struct config *cfg, const struct config_input *again,
                    const struct config_report *report, const struct process_origin *origin)
{
    struct err err = {0};
    int status;

    log_init(cfg->log.level, cfg->log.format);
    for (size_t i = 0; i < report->warning_count; i++) {
        log_warning("config", "%s", str_z(&report->warnings[i]));
    }
    if (config_prepare_dirs(cfg, &err) < 0) {
        log_error("config", "%s", err.msg);
        termination_cannot_start(cfg->log.termination_file, err.msg, EXIT_USAGE);
        return EXIT_USAGE;
    }
    if (!cfg->command) {
        origin_drop_privileges();
    }
    status = app_run(cfg, again, origin);
    config_forget_dirs(cfg);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct process_origin origin;
    struct config_report report = {0};
    struct config *cfg = NULL;
    struct cmd_args args;
    int status = cmd_args_split(argc, argv, NULL, 0, help, true, &args);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (args.word_count > 0) {
        return cmd_fail(
            EXIT_USAGE,
            "what is %s? To start an agent, write -- before it: molecule-sidecar run -- %s",
            args.words[0], args.words[0]);
    }
    if (args.command && !args.command[0]) {
        return cmd_fail(EXIT_USAGE,
                        "nothing follows --; write the agent's command there, or leave the -- out");
    }
    origin_take(&origin);
    status = cmd_load_config(&args, NULL, &cfg, &report);
    if (status == 0) {
        const struct config_input again = {
            .args = args.flags, .env = environ, .command = args.command};

        status = run_with(cfg, &again, &report, &origin);
    } else if (report.error_count > 0) {
        termination_cannot_start(TERMINATION_FILE, str_z(&report.errors[0]), status);
    }
    config_report_release(&report);
    config_free(cfg);
    return status;
}
