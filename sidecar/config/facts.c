/*
 * Where do we run? Kubernetes, container, and the directory for our sockets (design section 5).
 * Only looks; dirs.c makes.
 */
#include "config/source.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

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

int facts_runtime_dir(struct loader *l)
{
    static const char run_molecule[] = "/run/molecule";
    struct slice systemd = env_value(l, "RUNTIME_DIRECTORY"), first,
                 xdg = env_value(l, "XDG_RUNTIME_DIR"), tmp = env_value(l, "TMPDIR");
    struct str path = {0};
    char who[48]; /* a UUID, or a pid */

    if (*l->c->workspace.id)
        (void)snprintf(who, sizeof(who), "%s", l->c->workspace.id);
    else
        (void)snprintf(who, sizeof(who), "%ld", (long)l->system.pid);

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
    if (tmp.n == 0 || tmp.p[0] != '/')
        tmp = SLICE("/tmp");
    while (tmp.n > 1 && tmp.p[tmp.n - 1] == '/')
        tmp.n--;
    str_addf(&path, "%.*s/molecule-%ld-%s", (int)tmp.n, tmp.p, (long)l->system.uid, who);
    return set_runtime_dir(l, &path, "TMPDIR");
}
