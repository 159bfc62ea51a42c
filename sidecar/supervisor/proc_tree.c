/*
 * Reading /proc for children. What is done with them is descendants.c's.
 */
#include "supervisor/proc_tree.h"

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/slice.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PID_LIST_FIRST = 64, /* pids; doubled as needed */
    PROC_PATH_MAX = 64,  /* "/proc/<pid>/task/<tid>/children" */
};

/* ---- lists ---- */

/* Where pid is, or belongs. */
static size_t position(const struct pid_list *l, pid_t pid)
{
    size_t low = 0;
    size_t high = l->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->v[middle] < pid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool pid_list_has(const struct pid_list *l, pid_t pid)
{
    size_t at = position(l, pid);

    return at < l->n && l->v[at] == pid;
}

/* The kernel gives numbers upwards and lists them in order: nearly always this appends. */
int pid_list_insert(struct pid_list *l, pid_t pid)
{
    size_t at = position(l, pid);

    if (at < l->n && l->v[at] == pid) {
        return 0;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : PID_LIST_FIRST;
        pid_t *grown = reallocarray(l->v, cap, sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        l->v = grown;
        l->cap = cap;
    }
    memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof(*l->v));
    l->v[at] = pid;
    l->n++;
    return 0;
}

void pid_list_release(struct pid_list *l)
{
    free(l->v);
    *l = (struct pid_list){0};
}

bool proc_is_ours(void)
{
    char target[PROC_PATH_MAX];
    ssize_t n = readlink("/proc/self", target, sizeof(target));
    pid_t self;

    return n > 0 && proc_parse_pid((struct slice){target, (size_t)n}, &self) && self == getpid();
}

/* ---- children ---- */

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

bool proc_lists_children(void)
{
    return access("/proc/thread-self/children", F_OK) == 0;
}

/* The children of one thread: pids between blanks. */
static int list_thread(pid_t parent, const char *tid, struct pid_list *ret)
{
    char path[PROC_PATH_MAX];
    CLEANUP(file_cleanup) FILE *f = NULL;
    CLEANUP(free_cleanup) char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int r = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)parent, tid);
    f = fopen(path, "re");
    if (!f) {
        return errno == ENOENT ? 0 : -errno; /* that thread has ended: its children are others' */
    }
    n = getline(&line, &cap, f);
    for (struct slice rest = {line, n > 0 ? (size_t)n : 0}, item; slice_next(&rest, ' ', &item);) {
        pid_t pid;

        if (proc_parse_pid(item, &pid)) {
            r = pid_list_insert(ret, pid);
            if (r < 0) {
                break;
            }
        }
    }
    return r;
}

int proc_children(pid_t parent, struct pid_list *ret)
{
    char path[PROC_PATH_MAX];
    CLEANUP(dir_cleanup) DIR *d = NULL;
    const struct dirent *e;
    int r = 0;

    ret->n = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
    d = opendir(path);
    if (!d) {
        return -errno;
    }
    while (r == 0 && (e = readdir(d))) {
        if (e->d_name[0] != '.') {
            r = list_thread(parent, e->d_name, ret);
        }
    }
    if (r < 0) {
        ret->n = 0;
    }
    return r;
}

int proc_children_by_parents(pid_t parent, struct pid_list *ret)
{
    CLEANUP(dir_cleanup) DIR *d = opendir("/proc");
    const struct dirent *e;
    int r = 0;

    ret->n = 0;
    if (!d) {
        return -errno;
    }
    while (r == 0 && (e = readdir(d))) {
        struct proc_facts facts = {0};
        pid_t pid;

        if (proc_parse_pid(slice_of(e->d_name), &pid) && proc_facts_of(pid, &facts) == 0 &&
            facts.parent == parent) {
            r = pid_list_insert(ret, pid);
        }
    }
    if (r < 0) {
        ret->n = 0;
    }
    return r;
}
