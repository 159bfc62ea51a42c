/*
 * The agent's control group: where ours is, whether it may be divided, and the few writes.
 */
#include "supervisor/cgroup.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    CGROUP_TEXT_MAX = 4096, /* /proc/self/cgroup; and cgroup.procs, of which one line is enough */
};

#define CGROUP_OF_AGENT "agent" /* the name of the group we make */

/* The start of a small file, NUL-terminated. Bytes or -errno. */
static ssize_t read_text(const char *path, char ret[CGROUP_TEXT_MAX])
{
    CLEANUP(fd_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, CGROUP_TEXT_MAX - 1);

    if (n < 0) {
        return -errno;
    }
    ret[n] = '\0';
    return n;
}

static bool is_cgroup2(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Where v2 is mounted: alone, or beside v1 (systemd's hybrid layout). */
static const char *mount_point(void)
{
    static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (is_cgroup2(places[i])) {
            return places[i];
        }
    }
    return NULL;
}

/* Our own group: the line "0::/path" of /proc/self/cgroup below the mount point. */
static bool find_ours(struct str *ret)
{
    char text[CGROUP_TEXT_MAX];
    const char *mount = mount_point();
    const char *line;

    if (!mount || read_text("/proc/self/cgroup", text) < 0) {
        return false;
    }
    line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
    if (!line) {
        return false;
    }
    line = strchr(line, '/');
    str_addf(ret, "%s%.*s", mount, (int)strcspn(line, "\n"), line);
    return str_ok(ret) && is_cgroup2(str_z(ret)); /* not there: the mount shows another part */
}

/* Nobody but us is in it. */
static bool holds_only_us(const char *group)
{
    CLEANUP(str_release) struct str path = {0};
    char text[CGROUP_TEXT_MAX];
    char us[FORMAT_MAX];

    str_addf(&path, "%s/cgroup.procs", group);
    (void)snprintf(us, sizeof(us), "%d\n", (int)getpid());
    return read_text(str_z(&path), text) > 0 && strcmp(text, us) == 0;
}

static bool has_mark(const char *group, const char *name)
{
    char value[2];

    return getxattr(group, name, value, sizeof(value)) == 1 && value[0] == '1';
}

/* systemd's word counts where it started us; elsewhere, who may write may divide. */
static bool is_delegated(const char *group)
{
    return !getenv("INVOCATION_ID") || has_mark(group, "user.delegate") ||
           has_mark(group, "trusted.delegate");
}

static int open_in(const struct str *group, const char *file)
{
    CLEANUP(str_release) struct str path = {0};

    str_addf(&path, "%s/%s", str_z(group), file);
    return open(str_z(&path), O_WRONLY | O_CLOEXEC);
}

void cgroup_make(struct cgroup *ret, const char **why)
{
    CLEANUP(str_release) struct str ours = {0};

    *ret = (struct cgroup){.procs_fd = -1, .kill_fd = -1};
    if (!find_ours(&ours)) {
        *why = "no version 2 group of ours is in sight";
        return;
    }
    if (!holds_only_us(str_z(&ours))) {
        *why = "others are in our group";
        return;
    }
    if (!is_delegated(str_z(&ours))) {
        *why = "systemd has not delegated our group (Delegate=yes)";
        return;
    }
    str_addf(&ret->path, "%s/" CGROUP_OF_AGENT, str_z(&ours));
    /* There already: of a sidecar that was killed. Its processes have gone with it, or go with ours
     * in the end. */
    if (mkdir(str_z(&ret->path), 0755) < 0 && errno != EEXIST) {
        *why = "we may not make groups in ours";
        cgroup_release(ret);
        return;
    }
    ret->procs_fd = open_in(&ret->path, "cgroup.procs");
    ret->kill_fd = open_in(&ret->path, "cgroup.kill");
    if (ret->procs_fd < 0 || ret->kill_fd < 0) {
        *why = "the kernel has no cgroup.kill (Linux before 5.14)";
        cgroup_release(ret);
    }
}

int cgroup_enter(int procs_fd)
{
    return procs_fd > STDERR_FILENO && write(procs_fd, "0", 1) < 0 ? -errno : 0;
}

void cgroup_kill(const struct cgroup *c)
{
    if (c->kill_fd >= 0) {
        (void)!write(c->kill_fd, "1", 1); /* who could survive it is looked for afterwards */
    }
}

void cgroup_release(struct cgroup *c)
{
    fd_close(&c->procs_fd);
    fd_close(&c->kill_fd);
    if (c->path.len > 0) {
        (void)rmdir(str_z(&c->path)); /* EBUSY: somebody is in it */
    }
    str_release(&c->path);
}
