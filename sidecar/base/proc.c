/*
 * Reading one line of /proc. Who is whose child is supervisor/proc_tree.c's.
 */
#include "base/proc.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    PID_MAX = 1 << 22,  /* PID_MAX_LIMIT of the kernel */
    STAT_PATH_MAX = 32, /* "/proc/<pid>/stat" */
    STAT_MAX = 1024,    /* bytes; it has about 300 */
    FIELD_PARENT = 4,   /* numbered as in proc(5) */
    FIELD_STARTTIME = 22,
};

bool proc_parse_pid(struct slice text, pid_t *ret)
{
    int64_t n;

    if (parse_int64(text, 1, PID_MAX, &n) < 0)
        return false;
    *ret = (pid_t)n;
    return true;
}

/* The name as it may be shown. */
static void copy_name(char ret[PROC_NAME_MAX], const char *from, const char *end)
{
    size_t n = 0;

    for (; from < end && n < PROC_NAME_MAX - 1; from++)
        ret[n++] = *from > ' ' && *from < 0x7f ? *from : '?';
    ret[n] = '\0';
}

/* The fields from the parent on, with blanks between them. */
static void take_numbers(struct slice rest, struct proc_facts *ret)
{
    struct slice word;

    ret->parent = 0;
    ret->started_ticks = -1;
    for (int field = FIELD_PARENT; field <= FIELD_STARTTIME && slice_next(&rest, ' ', &word);
         field++) {
        if (field == FIELD_PARENT && !proc_parse_pid(word, &ret->parent))
            ret->parent = 0; /* it came into our namespace from outside */
        if (field == FIELD_STARTTIME && parse_int64(word, 0, INT64_MAX, &ret->started_ticks) < 0)
            ret->started_ticks = -1;
    }
}

/* "pid (name) S ppid": the name may hold anything, so from its first bracket to the last. */
int proc_facts_of(pid_t pid, struct proc_facts *ret)
{
    char path[STAT_PATH_MAX];
    char stat[STAT_MAX];
    CLEANUP(fd_cleanup) int fd = -1;
    const char *open_bracket;
    const char *bracket;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = read(fd, stat, sizeof(stat) - 1);
    if (n < 0)
        return -errno; /* ESRCH: it went between the two calls */
    stat[n] = '\0';
    open_bracket = strchr(stat, '(');
    bracket = strrchr(stat, ')');
    if (!open_bracket || !bracket || strlen(bracket) < strlen(") S 0 "))
        return -EBADMSG;
    copy_name(ret->name, open_bracket + 1, bracket);
    ret->state = bracket[2];
    take_numbers(slice_of(bracket + strlen(") S ")), ret);
    return 0;
}

bool proc_is_below(pid_t pid, pid_t top)
{
    struct proc_facts facts = {0};

    for (int i = 0; i < PROC_GENERATIONS_MAX && pid > 1; i++) {
        if (proc_facts_of(pid, &facts) < 0)
            return false;
        pid = facts.parent;
        if (pid == top)
            return true;
    }
    return false;
}
