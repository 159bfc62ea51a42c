/*
 * Looks users up and compares them with modes. Becoming one is supervisor/handover.c's work, after
 * the fork.
 */
#include "base/user.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ROW_MIN_BYTES = 1024,        /* first buffer for a row of the database */
    ROW_MAX_BYTES = 1024 * 1024, /* a group with very many members */
    GROUPS_MAX = 65536,          /* NGROUPS_MAX of the kernel */
    USER_PATH_MAX = 4096,        /* PATH_MAX */
};

/* ---- the database ---- */

static bool is_number(struct slice s, int64_t *ret)
{
    return parse_int64(s, 0, UINT32_MAX - 1, ret) == 0; /* the last one means "leave it" */
}

/* Asks again with a larger buffer until the row fits. *buf is owned by the caller. */
static struct passwd *passwd_row(const char *name, uid_t uid, struct passwd *row, char **buf)
{
    struct passwd *found = NULL;

    for (size_t n = ROW_MIN_BYTES; n <= ROW_MAX_BYTES; n *= 4) {
        free(*buf);
        *buf = malloc(n);
        if (!*buf)
            return NULL;
        int r =
            name ? getpwnam_r(name, row, *buf, n, &found) : getpwuid_r(uid, row, *buf, n, &found);

        if (r != ERANGE)
            return found;
    }
    return NULL;
}

static bool group_by_name(const char *name, gid_t *ret)
{
    CLEANUP(free_cleanup) char *buf = NULL;
    struct group row, *found = NULL;

    for (size_t n = ROW_MIN_BYTES; n <= ROW_MAX_BYTES; n *= 4) {
        free(buf);
        buf = malloc(n);
        if (!buf)
            return false;
        if (getgrnam_r(name, &row, buf, n, &found) != ERANGE)
            break;
    }
    if (found)
        *ret = found->gr_gid;
    return found != NULL;
}

static int find_group(struct slice text, gid_t *ret, struct err *err)
{
    CLEANUP(free_cleanup) char *name = slice_dup(text);
    int64_t number;

    if (!name)
        return err_set(err, -ENOMEM, "out of memory");
    if (is_number(text, &number)) {
        *ret = (gid_t)number;
        return 0;
    }
    if (text.n == 0 || !group_by_name(name, ret))
        return err_set(err, -ENOENT, "there is no group \"%s\" on this system", name);
    return 0;
}

static int find_groups(struct user *u, struct err *err)
{
    int n = 64;

    for (;;) {
        gid_t *grown = reallocarray(u->groups, (size_t)n, sizeof(*grown));
        int had = n;

        if (!grown)
            return err_set(err, -ENOMEM, "out of memory");
        u->groups = grown;
        if (!u->name) {
            u->groups[0] = u->gid;
            u->group_count = 1;
            return 0;
        }
        if (getgrouplist(u->name, u->gid, u->groups, &n) >= 0) {
            u->group_count = (size_t)n;
            return 0;
        }
        n = n > had ? n : had * 2;
        if (n > GROUPS_MAX)
            return err_set(err, -E2BIG, "the user \"%s\" is in too many groups", u->name);
    }
}

static int take_row(struct user *u, const struct passwd *row, struct err *err)
{
    u->uid = row->pw_uid;
    u->gid = row->pw_gid;
    u->name = strdup(row->pw_name);
    u->home = strdup(row->pw_dir[0] ? row->pw_dir : "/");
    u->shell = strdup(row->pw_shell[0] ? row->pw_shell : "/bin/sh");
    return u->name && u->home && u->shell ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int find_user(struct slice text, bool has_group, struct user *u, struct err *err)
{
    CLEANUP(free_cleanup) char *name = slice_dup(text);
    CLEANUP(free_cleanup) char *buf = NULL;
    struct passwd row;
    int64_t number = 0;
    bool by_number = is_number(text, &number);

    if (!name)
        return err_set(err, -ENOMEM, "out of memory");
    if (text.n > 0 && passwd_row(by_number ? NULL : name, (uid_t)number, &row, &buf))
        return take_row(u, &row, err);
    if (!by_number)
        return err_set(err, -ENOENT, "there is no user \"%s\" on this system", name);
    if (!has_group)
        return err_set(
            err, -ENOENT,
            "no user of this system has the number %s, so its group must be named: %s:%s", name,
            name, name);
    u->uid = (uid_t)number;
    return 0;
}

int user_lookup(struct slice text, struct user *ret, struct err *err)
{
    const char *colon = memchr(text.p, ':', text.n);
    struct slice who = {text.p, colon ? (size_t)(colon - text.p) : text.n};
    int r;

    *ret = (struct user){0};
    r = find_user(who, colon != NULL, ret, err);
    if (r == 0 && colon)
        r = find_group((struct slice){colon + 1, text.n - who.n - 1}, &ret->gid, err);
    if (r == 0)
        r = find_groups(ret, err);
    ret->is_set = r == 0;
    return r;
}

void user_release(struct user *u)
{
    free(u->groups);
    free(u->name);
    free(u->home);
    free(u->shell);
    *u = (struct user){0};
}

/* ---- becoming it ---- */

static bool has_capability(unsigned which)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return syscall(SYS_capget, &head, data) == 0 &&
           (data[CAP_TO_INDEX(which)].effective & CAP_TO_MASK(which));
}

static bool is_in(gid_t gid, const gid_t *groups, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (groups[i] == gid)
            return true;
    }
    return false;
}

static bool has_same_groups(const struct user *u)
{
    gid_t ours[256];
    int n = getgroups((int)(sizeof(ours) / sizeof(ours[0])), ours);

    for (int i = 0; i < n; i++) {
        if (!is_in(ours[i], u->groups, u->group_count))
            return false;
    }
    for (size_t i = 0; n >= 0 && i < u->group_count; i++) {
        if (u->groups[i] != u->gid && !is_in(u->groups[i], ours, (size_t)n))
            return false;
    }
    return n >= 0;
}

bool user_is_self(const struct user *u)
{
    return u->uid == geteuid() && u->gid == getegid() &&
           (!has_capability(CAP_SETGID) || has_same_groups(u));
}

int user_can_become(const struct user *u, struct err *err)
{
    static const struct {
        unsigned which;
        const char *name, *what;
    } needed[] = {
        {CAP_SETUID, "CAP_SETUID", "become another user"},
        {CAP_SETGID, "CAP_SETGID", "become another group"},
        {CAP_KILL, "CAP_KILL", "signal another user's process"},
        {CAP_CHOWN, "CAP_CHOWN", "give it a directory for its socket"},
    };

    if (user_is_self(u))
        return 0;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!has_capability(needed[i].which))
            return err_set(err, -EPERM,
                           "we are uid %u and lack %s, without which we cannot %s: start the "
                           "sidecar as root with SETUID, SETGID, KILL and CHOWN, or start it as "
                           "that user and remove agent.user",
                           (unsigned)geteuid(), needed[i].name, needed[i].what);
    }
    return 0;
}

/* ---- what it may reach ---- */

bool user_may(const struct user *u, const struct stat *st, unsigned want)
{
    unsigned mode = st->st_mode & 07U;

    if (u->uid == 0)
        return S_ISDIR(st->st_mode) || !(want & 1U) || (st->st_mode & 0111);
    if (st->st_uid == u->uid)
        mode = (st->st_mode >> 6) & 07U;
    else if (st->st_gid == u->gid || is_in(st->st_gid, u->groups, u->group_count))
        mode = (st->st_mode >> 3) & 07U;
    return (mode & want) == want;
}

bool user_may_enter(const struct user *u, const char *dir, char *ret_closed, size_t cap)
{
    char at[USER_PATH_MAX];
    struct stat st;

    for (size_t i = 1;; i++) {
        if (dir[i - 1] == '\0' || i >= sizeof(at))
            return true;
        if (dir[i] != '/' && dir[i] != '\0')
            continue;
        memcpy(at, dir, i);
        at[i] = '\0';
        if (stat(at, &st) < 0 || !user_may(u, &st, 1)) {
            (void)snprintf(ret_closed, cap, "%s", at);
            return false;
        }
    }
}
