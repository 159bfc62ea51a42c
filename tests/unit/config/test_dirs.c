/*
 * The directories made at the start: modes, and what is refused in places others can write to. On
 * the real file system.
 */
#include "config/config.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A configuration whose runtime directory comes from TMPDIR, below the case's own tree. */
static void load_at(struct config_case *k, char tmpdir[128], char state[128])
{
    (void)snprintf(tmpdir, 128, "TMPDIR=%s/tmp", k->root);
    (void)snprintf(state, 128, "MOLECULE_SIDECAR_STATE_DIR=%s/state", k->root);
    case_make(k, "/run", "in the way");
    k->env[0] = tmpdir;
    k->env[1] = state;
    case_load(k);
    cr_assert_eq(k->rc, 0, "%s", case_sentences(k));
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

Test(config_dirs, are_made_with_their_modes)
{
    struct config_case k = {.args = {"--secrets-mode=file"}};
    char a[128], b[128], api[256];
    struct err err = {0};

    case_prepare(&k);
    load_at(&k, a, b);
    cr_assert_eq(config_prepare_dirs(k.config, &err), 0, "%s", err.msg);
    cr_expect_eq(mode_of(k.config->facts.runtime_dir), 0700);
    (void)snprintf(api, sizeof(api), "%s/agent-api", k.config->facts.runtime_dir);
    cr_expect_eq(mode_of(api), 0755);
    cr_expect_eq(mode_of(k.config->state.dir), 0700);
    cr_expect_eq(mode_of(k.config->secrets.dir), 0700);
    cr_expect_eq(config_prepare_dirs(k.config, &err), 0, "a second time: %s", err.msg);
    case_release(&k);
}

Test(config_dirs, a_runtime_directory_open_to_others_is_refused)
{
    struct config_case k = {0};
    char a[128], b[128];
    struct err err = {0};

    case_prepare(&k);
    load_at(&k, a, b);
    cr_assert_eq(mkdir(k.config->facts.runtime_dir, 0777), 0);
    cr_assert_eq(chmod(k.config->facts.runtime_dir, 0777), 0);
    cr_expect_eq(config_prepare_dirs(k.config, &err), -EPERM);
    cr_expect(strstr(err.msg, "others may replace what is in it: chmod 700"), "%s", err.msg);
    cr_expect(strstr(err.msg, "runtime directory (TMPDIR)"), "%s", err.msg);
    case_release(&k);
}

Test(config_dirs, a_link_in_place_of_the_runtime_directory_is_refused)
{
    struct config_case k = {0};
    char a[128], b[128], target[128];
    struct err err = {0};

    case_prepare(&k);
    load_at(&k, a, b);
    (void)snprintf(target, sizeof(target), "%s/home", k.root);
    cr_assert_eq(symlink(target, k.config->facts.runtime_dir), 0);
    cr_expect_lt(config_prepare_dirs(k.config, &err), 0);
    cr_expect(strstr(err.msg, "is not a directory"), "%s", err.msg);
    case_release(&k);
}

Test(config_dirs, a_missing_directory_of_a_chosen_socket_is_named)
{
    struct config_case k = {.args = {"--agent-address=unix:/nowhere/there/agent.sock"}};
    char a[128], b[128];
    struct err err = {0};

    case_prepare(&k);
    load_at(&k, a, b);
    cr_expect_eq(config_prepare_dirs(k.config, &err), -ENOENT);
    cr_expect(strstr(err.msg,
                     "agent.address (flag --agent-address): the directory /nowhere/there is "
                     "not there"),
              "%s", err.msg);
    case_release(&k);
}

Test(config_dirs, a_state_directory_that_cannot_be_made_is_named)
{
    struct config_case k = {0};
    char a[128], b[128];
    struct err err = {0};

    case_prepare(&k);
    case_make(&k, "/state", "a file");
    load_at(&k, a, b);
    cr_expect_lt(config_prepare_dirs(k.config, &err), 0);
    cr_expect(strstr(err.msg, "state.dir (environment MOLECULE_SIDECAR_STATE_DIR)"), "%s", err.msg);
    case_release(&k);
}

Test(config_dirs, the_kind_of_file_system_is_told)
{
    struct config_case memory = {.args = {"--state-dir=/dev/shm/not/there/yet"}};
    struct config_case other = {.args = {"--state-dir=/proc/here"}};
    struct str text = {0};
    bool is_lasting = true;

    case_load(&memory);
    case_load(&other);
    cr_assert_eq(memory.rc, 0, "%s", case_sentences(&memory));
    if (access("/dev/shm", F_OK) == 0) {
        config_describe_state(memory.config, &text, &is_lasting);
        cr_expect(!is_lasting && strstr(text.p, "is on tmpfs: memory"), "%s", text.p);
    }
    str_truncate(&text, 0);
    config_describe_state(other.config, &text, &is_lasting);
    cr_expect(is_lasting && strstr(text.p, "a file system we do not know"), "%s", text.p);
    str_release(&text);
    case_release(&memory);
    case_release(&other);
}
