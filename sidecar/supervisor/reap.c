/*
 * Reaping. What an exit means is child.c's.
 */
#include "supervisor/reap.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/slice.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PID_LIST_FIRST = 64, /* pids; doubled as needed */
    PID_MAX = 1 << 22,   /* PID_MAX_LIMIT of the kernel */
    PROC_PATH_MAX = 64,  /* "/proc/self/task/<pid>/children" */
    PROC_STAT_MAX = 512, /* the front of /proc/<pid>/stat, up to the parent's pid */
};

int reap_become_subreaper(void)
{
    if (getpid() == 1) {
        return 0;
    }
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static int wait_status_of(const siginfo_t *si)
{
    switch (si->si_code) {
    case CLD_EXITED:
        return W_EXITCODE(si->si_status, 0);
    case CLD_DUMPED:
        return si->si_status | WCOREFLAG;
    default:
        return si->si_status;
    }
}

/* -ECHILD: no children at all. si_pid 0: none of them has ended. */
static int look(siginfo_t *ret)
{
    int r;

    *ret = (siginfo_t){0};
    do {
        r = waitid(P_ALL, 0, ret, WEXITED | WNOHANG | WNOWAIT);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

pid_t reap_look(int *ret_wait_status)
{
    siginfo_t si;
    int r = look(&si);

    if (r < 0 && r != -ECHILD) {
        return r;
    }
    if (r < 0 || si.si_pid == 0) {
        return 0;
    }
    *ret_wait_status = wait_status_of(&si);
    return si.si_pid;
}

void reap_take(pid_t pid)
{
    pid_t r;

    do {
        r = waitpid(pid, NULL, WNOHANG);
    } while (r < 0 && errno == EINTR);
    assert(r == pid && "a zombie we looked at can only be taken by us");
}

bool reap_has_children(void)
{
    siginfo_t si;

    return look(&si) != -ECHILD; /* in doubt, yes: every wait for them has a deadline */
}

uint64_t reap_orphans(void)
{
    uint64_t count = 0;

    while (waitpid(-1, NULL, WNOHANG) > 0) {
        count++;
    }
    return count;
}

/* ---- who is left ---- */

static int pid_list_add(struct pid_list *l, pid_t pid)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : PID_LIST_FIRST;
        pid_t *grown = reallocarray(l->v, cap, sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = pid;
    return 0;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a;
    pid_t y = *(const pid_t *)b;

    return (x > y) - (x < y);
}

/* The end of a listing: in order, or empty when it failed. */
static int sorted(struct pid_list *l, int r)
{
    if (r < 0) {
        l->n = 0;
    } else if (l->n > 1) {
        qsort(l->v, l->n, sizeof(*l->v), compare_pids);
    }
    return r;
}

bool pid_list_has(const struct pid_list *l, pid_t pid)
{
    return l->n > 0 && bsearch(&pid, l->v, l->n, sizeof(pid), compare_pids);
}

void pid_list_release(struct pid_list *l)
{
    free(l->v);
    *l = (struct pid_list){0};
}

static bool parse_pid(struct slice text, pid_t *ret)
{
    int64_t n;

    if (parse_int64(text, 1, PID_MAX, &n) < 0) {
        return false;
    }
    *ret = (pid_t)n;
    return true;
}

static void dir_cleanup(DIR **d)
{
    if (*d) {
        (void)closedir(*d);
    }
}

static void file_cleanup(FILE **f)
{
    if (*f) {
        (void)fclose(*f);
    }
}

/* The children of one thread of ours: pids between blanks. */
static int list_thread(const char *tid, struct pid_list *ret)
{
    char path[PROC_PATH_MAX];
    CLEANUP(file_cleanup) FILE *f = NULL;
    CLEANUP(free_cleanup) char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int r = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%.16s/children", tid);
    f = fopen(path, "re");
    if (!f) {
        return -errno;
    }
    n = getline(&line, &cap, f);
    for (struct slice rest = {line, n > 0 ? (size_t)n : 0}, item; slice_next(&rest, ' ', &item);) {
        pid_t pid;

        if (parse_pid(item, &pid)) {
            r = pid_list_add(ret, pid);
            if (r < 0) {
                break;
            }
        }
    }
    return r;
}

static int list_by_threads(struct pid_list *ret)
{
    CLEANUP(dir_cleanup) DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    int r = 0;

    if (!d) {
        return -errno;
    }
    while (r == 0 && (e = readdir(d))) {
        if (e->d_name[0] != '.') {
            r = list_thread(e->d_name, ret);
        }
    }
    return r;
}

/* "pid (name) S ppid": the name may hold anything, so from its last bracket. */
static pid_t parent_of(const char *pid_text)
{
    char path[PROC_PATH_MAX];
    char stat[PROC_STAT_MAX];
    CLEANUP(file_cleanup) FILE *f = NULL;
    const char *bracket;
    pid_t parent;
    size_t n;

    (void)snprintf(path, sizeof(path), "/proc/%.16s/stat", pid_text);
    f = fopen(path, "re");
    if (!f) {
        return 0;
    }
    n = fread(stat, 1, sizeof(stat) - 1, f);
    stat[n] = '\0';
    bracket = strrchr(stat, ')');
    if (!bracket || strlen(bracket) < strlen(") S 1 ")) {
        return 0;
    }
    bracket += strlen(") S ");
    return parse_pid((struct slice){bracket, strcspn(bracket, " ")}, &parent) ? parent : 0;
}

/* A kernel without CONFIG_PROC_CHILDREN: ask every process for its parent. */
int reap_list_by_parents(struct pid_list *ret)
{
    CLEANUP(dir_cleanup) DIR *d = opendir("/proc");
    pid_t self = getpid();
    struct dirent *e;
    int r = 0;

    ret->n = 0;
    if (!d) {
        return -errno;
    }
    while (r == 0 && (e = readdir(d))) {
        pid_t pid;

        if (parse_pid(slice_of(e->d_name), &pid) && parent_of(e->d_name) == self) {
            r = pid_list_add(ret, pid);
        }
    }
    return sorted(ret, r);
}

int reap_list(struct pid_list *ret)
{
    int r;

    ret->n = 0;
    r = list_by_threads(ret);
    return r == -ENOENT ? reap_list_by_parents(ret) : sorted(ret, r);
}
