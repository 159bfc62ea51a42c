/*
 * What the commands share: their own few options, the configuration, and words for a person on
 * stderr.
 */
#ifndef CMD_LOAD_H
#define CMD_LOAD_H

#include "config/config.h"

#include <stdbool.h>
#include <stdio.h>

/* One option of a command itself: a flag, or one with a value. */
struct cmd_option {
    const char *name; /* "--json" */
    bool *ret_flag;
    const char **ret_value;
};

enum { CMD_DONE = -1, CMD_ARGS_MAX = 512 };

struct cmd_args {
    char *flags[CMD_ARGS_MAX + 1]; /* `--section-key value` for the configuration */
    char *words[CMD_ARGS_MAX + 1];
    int word_count;
    char **command; /* after "--"; NULL without */
    /* set before cmd_load_config by commands that talk to a sidecar which runs: less is asked for
     */
    bool finds_running;
};

/*
 * Split the arguments of a command. 0, or EXIT_USAGE after saying what is wrong; --help prints
 * `help` (and the configuration's flags if with_flags) and returns CMD_DONE.
 */
int cmd_args_split(int argc, char **argv, const struct cmd_option *options, size_t option_count,
                   const char *help, bool with_flags, struct cmd_args *ret);

/*
 * How a command begins that talks to the sidecar which runs here, and takes no words: its own
 * options, and a configuration of which less is asked. 0 with *ret, or the exit status, or
 * CMD_DONE.
 */
int cmd_load_running(int argc, char **argv, const struct cmd_option *options, size_t option_count,
                     const char *help, struct config **ret);

/* Load the configuration; every error as a line on stderr. 0 or EXIT_USAGE. Warnings go to stderr
 * too unless report is given. */
int cmd_load_config(struct cmd_args *args, const char *file, struct config **ret,
                    struct config_report *report);

/*
 * Somebody else's text for a person's terminal: line ends and tabs stay, all other control
 * characters are shown as \xNN, or an agent could steer the terminal that shows its answer.
 */
void cmd_print_text(FILE *to, struct slice text);

/* "molecule-sidecar: <sentence>" on stderr, printed like cmd_print_text(); returns status. */
int cmd_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
