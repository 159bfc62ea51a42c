/*
 * What the child is given after the fork. Runs in the child, so: no allocation, no locks, no stdio.
 */
#include "supervisor/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 32-bit machines have an older call of the same name with 16-bit ids. */
#ifdef SYS_setresuid32
enum { CALL_GROUPS = SYS_setgroups32, CALL_GID = SYS_setresgid32, CALL_UID = SYS_setresuid32 };
#else
enum { CALL_GROUPS = SYS_setgroups, CALL_GID = SYS_setresgid, CALL_UID = SYS_setresuid };
#endif

/* Ours are close-on-exec from birth; those we inherited by accident are not. */
static void close_all_at_exec(int bound)
{
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        return;
    }
    for (int fd = 3; fd < bound; fd++) { /* Linux before 5.11, or a seccomp filter */
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

static int highest_number(const struct child_gifts *gifts)
{
    int highest = 2;

    for (size_t i = 0; i < gifts->fd_count; i++) {
        if (gifts->fds[i].fd >= 0 && gifts->fds[i].as > highest) {
            highest = gifts->fds[i].as;
        }
    }
    return highest;
}

/*
 * One may stand where another has to go, so all of them move out of the way first, then each to its
 * place. The copies close at exec.
 */
int handover_descriptors(const struct child_gifts *gifts, int *pipe_fd, int bound)
{
    int copies[CHILD_FDS_MAX];
    int highest;

    close_all_at_exec(bound);
    if (!gifts || gifts->fd_count == 0) {
        return 0;
    }
    highest = highest_number(gifts);
    if (*pipe_fd <= highest) {
        int moved = fcntl(*pipe_fd, F_DUPFD_CLOEXEC, highest + 1);

        if (moved < 0) {
            return -1;
        }
        *pipe_fd = moved;
    }
    for (size_t i = 0; i < gifts->fd_count; i++) {
        copies[i] = gifts->fds[i].fd;
        if (copies[i] >= 0) {
            copies[i] = fcntl(gifts->fds[i].fd, F_DUPFD_CLOEXEC, highest + 1);
            if (copies[i] < 0) {
                return -1;
            }
        }
    }
    for (size_t i = 0; i < gifts->fd_count; i++) {
        if (copies[i] >= 0 && dup2(copies[i], gifts->fds[i].as) < 0) {
            return -1;
        }
    }
    return 0;
}

int handover_limits(const struct child_gifts *gifts, int *ret_index)
{
    for (size_t i = 0; gifts && i < gifts->limit_count; i++) {
        *ret_index = (int)i;
        if (setrlimit((__rlimit_resource_t)gifts->limits[i].resource, &gifts->limits[i].value) <
            0) {
            return -1;
        }
    }
    return 0;
}

/*
 * The kernel takes them away when root becomes somebody else, but not from one ordinary user to the
 * next, and ambient ones survive exec: an agent with our SETUID could become root.
 */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) {
        return -1; /* EINVAL: Linux before 4.3 has none */
    }
    return syscall(SYS_capset, &head, none) < 0 ? -1 : 0;
}

int handover_identity(const struct user *u)
{
    if (syscall(CALL_GROUPS, u->group_count, u->groups) < 0 ||
        syscall(CALL_GID, u->gid, u->gid, u->gid) < 0) {
        return -1;
    }
    if (syscall(CALL_UID, u->uid, u->uid, u->uid) < 0) {
        return -1;
    }
    return u->uid == 0 ? 0 : drop_capabilities();
}

void handover_pid(char *at, size_t room, pid_t pid)
{
    char digits[16];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid > 0 && n < sizeof(digits));
    if (n > room) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        at[i] = digits[n - 1 - i];
    }
    at[n] = '\0';
}
