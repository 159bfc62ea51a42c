/*
 * reload: the running sidecar reads its configuration again; what came of it, line by line.
 */
#include "app/exits.h"
#include "base/json_read.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"

#include <json-c/json.h>
#include <stdio.h>

enum {
    HTTP_OK = 200,
    RELOAD_TIMEOUT_MS = 30 * 1000, /* it reads files; a slow disk is no failure */
};

static const char help[] =
    "Usage: molecule-sidecar reload [flags]\n\n"
    "The running sidecar reads its configuration again: the flags and the environment it was\n"
    "started with, and the file as it is now. What can change while it runs does, and is listed;\n"
    "what needs a restart is named. A file with a mistake changes nothing: the mistakes are\n"
    "printed and the exit status is 1. `check-config` finds them before.\n";

static void print_list(json_object *o, const char *name, const char *prefix, FILE *to)
{
    json_object *list = NULL;

    if (!json_object_object_get_ex(o, name, &list)) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *sentence = json_object_get_string(json_object_array_get_idx(list, i));

        (void)fputs(prefix, to);
        cmd_print_text(to, slice_of(sentence));
        (void)fputc('\n', to);
    }
}

static size_t count_of(json_object *o, const char *name)
{
    json_object *list = NULL;

    return json_object_object_get_ex(o, name, &list) ? json_object_array_length(list) : 0;
}

static int print_answer(const struct talk_answer *answer)
{
    json_object *o = json_read(str_slice(&answer->body));
    int status = answer->status == HTTP_OK ? EXIT_OK : EXIT_NO;

    if (!json_object_is_type(o, json_type_object) ||
        count_of(o, "errors") + (status == EXIT_OK) == 0) {
        json_object_put(o);
        return cmd_fail(EXIT_NO, "the sidecar refused: HTTP %d %s", answer->status,
                        str_z(&answer->body));
    }
    print_list(o, "changed", "", stdout);
    print_list(o, "needs_restart", "", stdout);
    print_list(o, "warnings", "molecule-sidecar: warning: ", stderr);
    print_list(o, "errors", "molecule-sidecar: ", stderr);
    if (status == EXIT_OK) {
        (void)printf("reloaded: %zu changed, %zu waiting for a restart\n", count_of(o, "changed"),
                     count_of(o, "needs_restart"));
    } else {
        (void)cmd_fail(0, "refused: nothing was changed");
    }
    json_object_put(o);
    return status;
}

int cmd_reload(int argc, char **argv)
{
    struct config *cfg = NULL;
    struct talk_answer answer = {0};
    int status = cmd_load_running(argc, argv, NULL, 0, help, &cfg);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    status = talk_order(cfg, "/v1/reload", RELOAD_TIMEOUT_MS, &answer);
    if (status == EXIT_OK) {
        status = print_answer(&answer);
    }
    str_release(&answer.body);
    config_free(cfg);
    return status;
}
