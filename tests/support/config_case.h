/*
 * One load of the configuration for a test: the file as text, the environment, the flags, and a
 * system of its own (an empty directory tree, so that nothing of the machine shows through).
 *
 *   struct config_case k = {.yaml = "log:\n  level: debug\n", .env = {"WORKSPACE_ID=..."}};
 *   case_load(&k);   ... k.config, k.report ...
 *   case_release(&k);
 */
#ifndef SUPPORT_CONFIG_CASE_H
#define SUPPORT_CONFIG_CASE_H

#include "config/config.h"

#include <stdbool.h>

#define CASE_ID "123e4567-e89b-42d3-a456-426614174000"

enum { CASE_LIST_MAX = 16, CASE_ROOT_MAX = 64 };

struct config_case {
    /* in */
    const char *yaml; /* NULL = no file */
    size_t yaml_len;  /* 0 = strlen */
    const char *env[CASE_LIST_MAX];
    const char *args[CASE_LIST_MAX];
    const char *command[4];
    bool is_pid_1;
    bool finds_running;
    bool without_id; /* else WORKSPACE_ID is set to CASE_ID, last in the environment */
    /* out */
    int rc;
    struct config *config; /* NULL after a failure */
    struct config_report report;
    /* private */
    char root[CASE_ROOT_MAX];
    char file[CASE_ROOT_MAX + 32];
};

/* Make the tree; case_load does it if it was not done. Directories: /, /home, /tmp. */
void case_prepare(struct config_case *k);
/* A file or directory (path ends with '/') below the root. */
void case_make(struct config_case *k, const char *path, const char *content);
void case_load(struct config_case *k);
void case_release(struct config_case *k);

/* True when one of the sentences holds `text`. */
bool case_has_error(const struct config_case *k, const char *text);
bool case_has_warning(const struct config_case *k, const char *text);
/* All sentences, for the message of a failed assertion. Valid until the next call. */
const char *case_sentences(const struct config_case *k);

#endif
