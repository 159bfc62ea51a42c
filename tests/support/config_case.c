/*
 * See config_case.h. The tree lies in a directory of its own below /tmp and is removed by
 * case_release.
 */
#include "support/config_case.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void case_make(struct config_case *k, const char *path, const char *content)
{
    char full[512];
    size_t n;
    FILE *f;

    (void)snprintf(full, sizeof(full), "%s%s", k->root, path);
    n = strlen(full);
    if (full[n - 1] == '/') {
        full[n - 1] = '\0';
        if (mkdir(full, 0755) < 0)
            abort();
        return;
    }
    f = fopen(full, "we");
    if (!f || fwrite(content, 1, strlen(content), f) != strlen(content) || fclose(f) != 0)
        abort();
}

void case_prepare(struct config_case *k)
{
    (void)snprintf(k->root, sizeof(k->root), "/tmp/config-case-XXXXXX");
    if (!mkdtemp(k->root))
        abort();
    case_make(k, "/home/", NULL);
    case_make(k, "/tmp/", NULL);
}

static void write_yaml(struct config_case *k)
{
    size_t n = k->yaml_len ? k->yaml_len : strlen(k->yaml);
    FILE *f;

    (void)snprintf(k->file, sizeof(k->file), "%s/sidecar.yaml", k->root);
    f = fopen(k->file, "we");
    if (!f || fwrite(k->yaml, 1, n, f) != n || fclose(f) != 0)
        abort();
    if (chmod(k->file, 0600) < 0)
        abort();
}

void case_load(struct config_case *k)
{
    const char *env[CASE_LIST_MAX + 3] = {0};
    size_t n = 0;
    struct config_system system;
    struct config_input in;

    if (!k->root[0])
        case_prepare(k);
    if (k->yaml)
        write_yaml(k);
    while (n < CASE_LIST_MAX && k->env[n]) {
        env[n] = k->env[n];
        n++;
    }
    env[n++] = "HOME=/home";
    if (!k->without_id)
        env[n++] = "WORKSPACE_ID=" CASE_ID;
    system = (struct config_system){.root = k->root, .pid = k->is_pid_1 ? 1 : 4711, .uid = 1000};
    in = (struct config_input){.args = (char **)(uintptr_t)k->args,
                               .env = (char **)(uintptr_t)env,
                               .file = k->yaml ? k->file : NULL,
                               .command = k->command[0] ? (char **)(uintptr_t)k->command : NULL,
                               .system = &system,
                               .finds_running = k->finds_running};
    k->rc = config_load(&in, &k->config, &k->report);
    assert((k->rc == 0) == (k->config != NULL));
    assert((k->rc < 0) == (k->report.error_count > 0));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void case_release(struct config_case *k)
{
    config_free(k->config);
    k->config = NULL;
    config_report_release(&k->report);
    if (k->root[0])
        (void)nftw(k->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    k->root[0] = '\0';
}

static bool has_sentence(const struct str *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (strstr(str_z(&list[i]), text))
            return true;
    }
    return false;
}

bool case_has_error(const struct config_case *k, const char *text)
{
    return has_sentence(k->report.errors, k->report.error_count, text);
}

bool case_has_warning(const struct config_case *k, const char *text)
{
    return has_sentence(k->report.warnings, k->report.warning_count, text);
}

const char *case_sentences(const struct config_case *k)
{
    static char all[16384];
    size_t n = 0;

    all[0] = '\0';
    for (size_t i = 0; i < k->report.error_count && n < sizeof(all); i++)
        n += (size_t)snprintf(all + n, sizeof(all) - n, "\n  error: %s",
                              str_z(&k->report.errors[i]));
    for (size_t i = 0; i < k->report.warning_count && n < sizeof(all); i++)
        n += (size_t)snprintf(all + n, sizeof(all) - n, "\n  warning: %s",
                              str_z(&k->report.warnings[i]));
    return all;
}
