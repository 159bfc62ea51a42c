/*
 * The directories of the program, made at the start. In a shared place such as /tmp a directory
 * that is somebody else's or open to others is refused, or they could replace our sockets.
 */
#include "config/config.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    DIR_OURS = 0700,   /* tokens, sockets of one user */
    DIR_SHARED = 0755, /* sockets that another container of the pod connects to */
    DIR_PASSED = 0711, /* DIR_OURS with agent.user: the child passes through, and lists nothing */
    DIR_GROUP = 02750, /* of files that the child's group may read; new ones get that group */
};

/* True when `path` is `dir` or below it. */
static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A private directory: ours, no link, nobody else may write. */
static int check_private(const char *path, struct err *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return err_set(err, -errno, "cannot look at %s: %m", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s is not a directory; remove it", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(
            err, -EPERM,
            "%s belongs to uid %u, not to us (uid %u); remove it or set RUNTIME_DIRECTORY", path,
            (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
        return err_set(err, -EPERM,
                       "%s has mode %04o, so others may replace what is in it: chmod 700 %s", path,
                       (unsigned)(st.st_mode & 07777), path);
    return 0;
}

/* The child is somebody else. */
static bool has_other_user(const struct config *c)
{
    return c->agent.run_as.is_set && !user_is_self(&c->agent.run_as);
}

/* Owner, group (-1 = unchanged) and mode of a directory that we made or could have made. */
static int hand_over(const char *path, uid_t uid, gid_t gid, mode_t mode, struct err *err)
{
    CLEANUP(fd_cleanup)
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return err_set(err, -errno, "cannot prepare %s for agent.user: %m", path);
    return 0;
}

static int make_runtime_dir(const struct config *c, struct err *err)
{
    const char *path = c->facts.runtime_dir;
    bool is_shared = is_below(path, "/run") && !is_below(path, "/run/user");
    mode_t mode = has_other_user(c) ? DIR_PASSED : DIR_OURS;
    int rc = dir_make(path, is_shared ? DIR_SHARED : mode, err);

    /* A mounted volume or systemd's directory has the owner and mode its maker chose. */
    if (rc == 0 && !is_shared && strcmp(c->facts.runtime_dir_from, "RUNTIME_DIRECTORY") != 0)
        rc = check_private(path, err);
    if (rc == 0 && strcmp(c->facts.runtime_dir_from, "TMPDIR") == 0 && has_other_user(c))
        rc = hand_over(path, (uid_t)-1, (gid_t)-1, DIR_PASSED, err); /* of an earlier run */
    if (rc < 0)
        return err_wrap(err, "runtime directory (%s)", c->facts.runtime_dir_from);
    return 0;
}

/* The directory of a file or socket, if it lies in the runtime directory; other places are the
 * operator's. */
static int make_parent(const struct config *c, const char *path, mode_t mode, const char *key,
                       struct err *err)
{
    CLEANUP(free_cleanup) char *dir = NULL;
    const char *slash = strrchr(path, '/');
    struct stat st;

    if (!slash || slash == path)
        return 0;
    dir = slice_dup((struct slice){path, (size_t)(slash - path)});
    if (!dir)
        return err_set(err, -ENOMEM, "no memory");
    if (is_below(dir, c->facts.runtime_dir)) {
        if (dir_make(dir, mode, err) < 0)
            return err_wrap(err, "%s", key);
        return 0;
    }
    if (stat(dir, &st) < 0)
        return err_set(err, -errno, "%s (%s): the directory %s is not there: %m; make it first",
                       key, config_origin(c, key), dir);
    return 0;
}

/*
 * The directory in which another user makes its socket: its own. Who may write where our sockets
 * are could put others in their place, so that is refused.
 */
static int make_agents_dir(const struct config *c, const char *socket, struct err *err)
{
    CLEANUP(free_cleanup) char *dir = NULL;
    const struct user *u = &c->agent.run_as;

    if (!has_other_user(c))
        return 0;
    dir = slice_dup((struct slice){socket, (size_t)(strrchr(socket, '/') - socket)});
    if (!dir)
        return err_set(err, -ENOMEM, "no memory");
    if (is_below(c->control.socket, dir) || is_below(c->control.agent_socket, dir))
        return err_set(err, -EPERM,
                       "agent.address (%s) is %s: our own sockets are in that directory, where "
                       "agent.user %s may make none; give it a directory of its own, such as "
                       "unix:%s/agent/agent.sock",
                       config_origin(c, "agent.address"), c->agent.address.text, c->agent.user,
                       c->facts.runtime_dir);
    return is_below(dir, c->facts.runtime_dir) ? hand_over(dir, u->uid, u->gid, DIR_SHARED, err)
                                               : 0;
}

static int make_secrets_dir(const struct config *c, struct err *err)
{
    int rc = dir_make(c->secrets.dir, DIR_OURS, err);

    if (rc == 0 && has_other_user(c))
        rc = hand_over(c->secrets.dir, (uid_t)-1, c->agent.run_as.gid, DIR_GROUP, err);
    return rc < 0 ? err_wrap(err, "secrets.dir (%s)", config_origin(c, "secrets.dir")) : 0;
}

int config_prepare_dirs(const struct config *c, struct err *err)
{
    const char *agent = config_sees_agent(c) ? endpoint_unix_path(&c->agent.address) : NULL;
    int rc;

    if (has_other_user(c) && user_can_become(&c->agent.run_as, err) < 0)
        return err_wrap(err, "agent.user is %s (%s)", c->agent.user,
                        config_origin(c, "agent.user"));
    rc = make_runtime_dir(c, err);
    if (rc == 0)
        rc = make_parent(c, c->control.socket, DIR_SHARED, "control.socket", err);
    if (rc == 0)
        rc = make_parent(c, c->control.agent_socket, DIR_SHARED, "control.agent_socket", err);
    if (rc == 0 && agent)
        rc = make_parent(c, agent, DIR_SHARED, "agent.address", err);
    if (rc == 0 && agent)
        rc = make_agents_dir(c, agent, err);
    if (rc == 0) {
        rc = dir_make(c->state.dir, DIR_OURS, err);
        if (rc < 0)
            (void)err_wrap(err, "state.dir (%s)", config_origin(c, "state.dir"));
    }
    if (rc == 0 && c->secrets.mode == SECRETS_FILE)
        rc = make_secrets_dir(c, err);
    return rc;
}

void config_forget_dirs(const struct config *c)
{
    static const char *const inner[] = {"agent-api", "agent", "state"};
    const char *from = c->facts.runtime_dir_from;
    const char *agent = endpoint_unix_path(&c->agent.address);
    struct stat st;

    if (strcmp(from, "TMPDIR") != 0 && strcmp(from, "XDG_RUNTIME_DIR") != 0)
        return;
    if (agent && c->command && is_below(agent, c->facts.runtime_dir) && lstat(agent, &st) == 0 &&
        S_ISSOCK(st.st_mode))
        (void)unlink(agent); /* its process is gone; what cannot be removed stays */
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        CLEANUP(str_release) struct str path = {0};

        str_addf(&path, "%s/%s", c->facts.runtime_dir, inner[i]);
        if (path.p)
            (void)rmdir(path.p); /* not empty: somebody's */
    }
    (void)rmdir(c->facts.runtime_dir);
}
