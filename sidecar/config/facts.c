/*
 * Where do we run? Kubernetes, container, and the directory for our sockets (design section 5).
 * Only looks; dirs.c makes.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/banned.h"

static const char run_molecule[] = "/run/molecule";

/* malloc'ed root + path */
static char *under_root(const struct loader *l, const char *path)
{
    struct str s = {0};

    str_addz(&s, l->system.root);
    str_addz(&s, path);
    return str_take(&s);
}

static bool exists(const struct loader *l, const char *path)
{
    CLEANUP(free_cleanup) char *full = under_root(l, path);

    return full && access(full, F_OK) == 0;
}

bool facts_is_writable_dir(const struct loader *l, const char *path)
{
    CLEANUP(free_cleanup) char *full = under_root(l, path);
    struct stat st;

    return full && stat(full, &st) == 0 && S_ISDIR(st.st_mode) &&
           faccessat(AT_FDCWD, full, W_OK | X_OK, AT_EACCESS) == 0;
}

/* Is it there and writable, or is the nearest directory above that exists? */
bool facts_can_make_dir(const struct loader *l, const char *path)
{
    CLEANUP(str_release) struct str at = {0};

    str_addz(&at, path);
    while (str_ok(&at) && at.len > 0 && at.p[0] == '/') {
        if (exists(l, at.p))
            return facts_is_writable_dir(l, at.p);
        while (at.p[at.len - 1] != '/')
            str_truncate(&at, at.len - 1);
        if (at.len == 1)
            return facts_is_writable_dir(l, "/");
        str_truncate(&at, at.len - 1);
    }
    return false;
}

void facts_find(struct loader *l)
{
    struct config_facts *f = &l->c->facts;

    f->is_kubernetes = env_value(l, "KUBERNETES_SERVICE_HOST").n > 0;
    f->is_container = f->is_kubernetes || l->system.pid == 1 || exists(l, "/.dockerenv") ||
                      exists(l, "/run/.containerenv");
}

static int set_runtime_dir(struct loader *l, struct str *path, const char *from)
{
    struct config_facts *f = &l->c->facts;

    while (path->len > 1 && path->p[path->len - 1] == '/')
        str_truncate(path, path->len - 1);
    f->runtime_dir = str_take(path);
    f->runtime_dir_from = strdup(from);
    return f->runtime_dir && f->runtime_dir_from ? 0 : -ENOMEM;
}

/* The directory of a sidecar that runs, as far as we have seen. */
struct running {
    struct str dir;
    struct timespec since; /* of its control socket */
    struct str sockets;    /* of all */
    size_t count;
};

/*
 * 0 when somebody listens, else -errno: -ECONNREFUSED for what a killed process left behind,
 * -EACCES for another user's. A full backlog is somebody, too; so is what cannot be asked.
 */
static int knock(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    CLEANUP(fd_cleanup) int fd = -1;

    if (strlen(path) >= sizeof(at.sun_path))
        return 0;
    memcpy(at.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 || errno == EAGAIN)
        return 0;
    return -errno;
}

static void consider(const struct loader *l, struct running *r, const char *dir)
{
    CLEANUP(str_release) struct str path = {0};
    CLEANUP(free_cleanup) char *full = NULL;
    struct stat st;
    int rc;

    str_addf(&path, "%s/control.sock", dir);
    full = under_root(l, str_z(&path));
    if (!full || stat(full, &st) < 0)
        return;
    rc = S_ISSOCK(st.st_mode) ? knock(full) : 0;
    if (rc < 0) {
        if (rc == -EACCES && r->dir.len == 0)
            str_addz(&r->dir, dir); /* better than nothing: the sentence will name it */
        return;
    }
    str_addf(&r->sockets, "%s%s", r->count++ > 0 ? ", " : "", str_z(&path));
    if (r->dir.len > 0 &&
        (st.st_mtim.tv_sec < r->since.tv_sec ||
         (st.st_mtim.tv_sec == r->since.tv_sec && st.st_mtim.tv_nsec < r->since.tv_nsec)))
        return;
    str_truncate(&r->dir, 0);
    str_addz(&r->dir, dir);
    r->since = st.st_mtim;
}

/* Directories in `parent` whose names begin with `prefix`. */
static void consider_all(const struct loader *l, struct running *r, const char *parent,
                         const char *prefix)
{
    CLEANUP(free_cleanup) char *full = under_root(l, parent);
    DIR *d = full ? opendir(full) : NULL;
    const struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d)) != NULL) {
        CLEANUP(str_release) struct str dir = {0};

        if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        str_addf(&dir, "%s/%s", parent, e->d_name);
        consider(l, r, str_z(&dir));
    }
    (void)closedir(d);
}

/* Another process chose its directory by its workspace or pid; find it by its control socket. */
static void find_running(const struct loader *l, struct running *r, struct slice xdg,
                         struct slice tmp)
{
    CLEANUP(str_release) struct str parent = {0};
    char prefix[32];

    consider(l, r, run_molecule);
    consider_all(l, r, run_molecule, "");
    if (xdg.n > 0 && xdg.p[0] == '/') {
        str_addf(&parent, "%.*s/molecule", (int)xdg.n, xdg.p);
        consider_all(l, r, str_z(&parent), "");
        str_truncate(&parent, 0);
    }
    str_add(&parent, tmp);
    (void)snprintf(prefix, sizeof(prefix), "molecule-%ld-", (long)l->system.uid);
    consider_all(l, r, str_z(&parent), prefix);
}

int facts_runtime_dir(struct loader *l)
{
    struct slice systemd = env_value(l, "RUNTIME_DIRECTORY"), first,
                 xdg = env_value(l, "XDG_RUNTIME_DIR"), tmp = env_value(l, "TMPDIR");
    struct str path = {0};
    char who[48]; /* a UUID, or a pid */

    if (*l->c->workspace.id)
        (void)snprintf(who, sizeof(who), "%s", l->c->workspace.id);
    else
        (void)snprintf(who, sizeof(who), "%ld", (long)l->system.pid);

    if (tmp.n == 0 || tmp.p[0] != '/')
        tmp = SLICE("/tmp");
    while (tmp.n > 1 && tmp.p[tmp.n - 1] == '/')
        tmp.n--;
    if (l->in->finds_running && !*l->c->workspace.id) {
        struct running r = {0};

        find_running(l, &r, xdg, tmp);
        if (r.count > 1)
            l->c->facts.several = str_take(&r.sockets);
        str_release(&r.sockets);
        if (r.dir.len > 0)
            return set_runtime_dir(l, &r.dir, "a control socket that is there");
        str_release(&r.dir);
    }
    if (slice_next(&systemd, ':', &first) && first.n > 0 && first.p[0] == '/') {
        str_add(&path, first);
        return set_runtime_dir(l, &path, "RUNTIME_DIRECTORY");
    }
    if (facts_can_make_dir(l, run_molecule)) {
        str_addz(&path, run_molecule);
        return set_runtime_dir(l, &path, run_molecule);
    }
    if (xdg.n > 0 && xdg.p[0] == '/') {
        str_addf(&path, "%.*s/molecule/%s", (int)xdg.n, xdg.p, who);
        if (path.p && facts_can_make_dir(l, path.p))
            return set_runtime_dir(l, &path, "XDG_RUNTIME_DIR");
        str_truncate(&path, 0);
    }
    str_addf(&path, "%.*s/molecule-%ld-%s", (int)tmp.n, tmp.p, (long)l->system.uid, who);
    return set_runtime_dir(l, &path, "TMPDIR");
}
