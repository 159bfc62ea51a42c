/*
 * Arguments and configuration for the commands.
 */
#include "cmd/load.h"

#include "app/exits.h"
#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

void cmd_print_text(FILE *to, struct slice text)
{
    char out[ESCAPE_MAX];

    while (text.n > 0) {
        if (text.p[0] == '\n' || text.p[0] == '\t') {
            (void)fputc(text.p[0], to);
            text.p++;
            text.n--;
        } else {
            size_t n = escape_printable(&text, out);

            (void)fwrite(out, 1, n, to);
        }
    }
}

int cmd_fail(int status, const char *fmt, ...)
{
    CLEANUP(str_release) struct str sentence = {0};
    va_list ap;

    va_start(ap, fmt);
    str_vaddf(&sentence, fmt, ap);
    va_end(ap);
    (void)fputs("molecule-sidecar: ", stderr);
    cmd_print_text(stderr, str_slice(&sentence));
    (void)fputc('\n', stderr);
    return status;
}

static int print_help(const char *help, bool with_flags)
{
    (void)fputs(help, stdout);
    if (with_flags) {
        CLEANUP(str_release) struct str flags = {0};

        config_print_help(&flags);
        (void)fputs(str_z(&flags), stdout);
    }
    return CMD_DONE;
}

/* 1 when argv[*i] was one of the command's own options, 0 when not, or EXIT_USAGE. */
static int take_option(int argc, char **argv, int *i, const struct cmd_option *options,
                       size_t count)
{
    for (size_t k = 0; k < count; k++) {
        if (strcmp(argv[*i], options[k].name) != 0) {
            continue;
        }
        if (options[k].ret_flag) {
            *options[k].ret_flag = true;
            return 1;
        }
        if (*i + 1 >= argc) {
            return cmd_fail(EXIT_USAGE, "%s needs a value", argv[*i]);
        }
        *options[k].ret_value = argv[++*i];
        return 1;
    }
    return 0;
}

int cmd_args_split(int argc, char **argv, const struct cmd_option *options, size_t option_count,
                   const char *help, bool with_flags, struct cmd_args *ret)
{
    int flags = 0;

    *ret = (struct cmd_args){0};
    for (int i = 1; i < argc; i++) {
        int r = take_option(argc, argv, &i, options, option_count);

        if (r > 1) {
            return r;
        }
        if (r == 1) {
            continue;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return print_help(help, with_flags);
        }
        if (strcmp(argv[i], "--") == 0) {
            ret->command = argv + i + 1;
            break;
        }
        if (flags + 2 > CMD_ARGS_MAX || ret->word_count + 1 > CMD_ARGS_MAX) {
            return cmd_fail(EXIT_USAGE, "more than %d arguments before --", CMD_ARGS_MAX);
        }
        if (strncmp(argv[i], "--", 2) == 0) {
            ret->flags[flags++] = argv[i];
            if (!strchr(argv[i], '=') && i + 1 < argc && strcmp(argv[i + 1], "--") != 0) {
                ret->flags[flags++] = argv[++i]; /* all configuration flags take a value; config/
                                                    refuses a missing one */
            }
        } else {
            ret->words[ret->word_count++] = argv[i];
        }
    }
    return 0;
}

int cmd_load_config(struct cmd_args *args, const char *file, struct config **ret,
                    struct config_report *report)
{
    struct config_report own = {0};
    struct config_report *r = report ? report : &own;
    const struct config_input in = {.args = args->flags,
                                    .env = environ,
                                    .file = file,
                                    .command = args->command,
                                    .finds_running = args->finds_running};
    int status = config_load(&in, ret, r) < 0 ? EXIT_USAGE : 0;

    for (size_t i = 0; i < r->error_count; i++) {
        (void)cmd_fail(0, "%s", str_z(&r->errors[i]));
    }
    for (size_t i = 0; i < r->warning_count && (status != 0 || (!report && !args->finds_running));
         i++) {
        (void)cmd_fail(0, "warning: %s", str_z(&r->warnings[i]));
    }
    if (!report) {
        config_report_release(&own);
    }
    return status;
}

int cmd_load_running(int argc, char **argv, const struct cmd_option *options, size_t option_count,
                     const char *help, struct config **ret)
{
    struct cmd_args args;
    int status = cmd_args_split(argc, argv, options, option_count, help, false, &args);

    if (status != 0) {
        return status;
    }
    if (args.word_count > 0) {
        return cmd_fail(EXIT_USAGE, "%s takes no %s", argv[0], args.words[0]);
    }
    args.finds_running = true;
    return cmd_load_config(&args, NULL, ret, NULL);
}
