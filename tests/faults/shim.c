/*
 * System calls that fail on purpose, for a test build: the linker sends each call of ours through a
 * __wrap_ function here (-Wl,--wrap=fork and so on). Not a library to preload, so it works under
 * sanitizers too. Driven by tests/e2e/test_faults.py; read from the environment once, at the start:
 *
 *   MOLECULE_FAULT_CALLS  a file; each wrapped call appends a line of it
 *                           function TAB call site TAB what it was for TAB hit or miss
 *                         and the end of the process one more: see at_end()
 *   MOLECULE_FAULT        what is to fail
 *                           function TAB call site TAB what it is for TAB which TAB errno
 *                         call site "*": any. Which: 3 = the third such call; 3+ = it and all after
 *
 * A call site is the address behind the call, less where the program was loaded; "what for" is one
 * argument in words (a path, an option, a signal), with N for every number. The count of calls is
 * shared with forked processes: what fails between fork and exec fails once, not in each child.
 *
 * Calls inside libc, libuv and libcurl (an fopen's open, the loop's epoll_wait) cannot be wrapped;
 * fopen, opendir, uv_loop_init and uv_poll_init are wrapped themselves instead.
 *
 * Between fork and exec all of this runs too: only system calls and memory of our own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    DETAIL_MAX = 128, /* bytes of "what for" */
    LINE_MAX_BYTES = DETAIL_MAX + 64,
    FD_MAX = 1024, /* descriptors looked at */
    OWN_FD = 900,  /* where the file of calls stays: out of the way of every count */
};

static struct {
    pid_t main_pid; /* not its children between fork and exec */
    int fd;         /* MOLECULE_FAULT_CALLS; -1 = the shim only passes on */
    bool has_plan;
    char function[32], site[32], detail[DETAIL_MAX];
    unsigned which;
    bool and_after;
    int errnum;
    unsigned *matches; /* shared with forked processes */
} shim = {.fd = -1};

extern const char __executable_start[]; /* the linker's */

static const char *made_by[FD_MAX]; /* of those without a file: "signalfd" */

/* ---- words ---- */

static void say(char detail[DETAIL_MAX], const char *a, const char *b)
{
    size_t n = 0;

    for (const char *parts[] = {a, b, NULL}, **p = parts; *p; p++) {
        for (const char *c = *p; *c && n < DETAIL_MAX - 1; c++) {
            bool is_digit = *c >= '0' && *c <= '9';

            if (is_digit && n > 0 && detail[n - 1] == 'N')
                continue;
            detail[n++] = (char)(is_digit ? 'N' : *c < ' ' ? '?' : *c);
        }
    }
    detail[n] = '\0';
}

/* What a descriptor is. Not from /proc: that is closed to a process which may not be dumped. */
static void say_fd(char detail[DETAIL_MAX], int fd)
{
    struct stat st, err;

    if (fstat(fd, &st) < 0) {
        say(detail, "nothing", "");
    } else if (fstat(STDERR_FILENO, &err) == 0 && st.st_ino == err.st_ino &&
               st.st_dev == err.st_dev) {
        say(detail, "stderr", "");
    } else if (fd < FD_MAX && made_by[fd] && (st.st_mode & S_IFMT) == 0) {
        say(detail, made_by[fd], "");
    } else {
        say(detail,
            S_ISFIFO(st.st_mode)   ? "pipe"
            : S_ISSOCK(st.st_mode) ? "socket"
            : S_ISREG(st.st_mode)  ? "file"
                                   : "something else",
            "");
    }
}

static int remember(int fd, const char *what)
{
    if (fd >= 0 && fd < FD_MAX)
        made_by[fd] = what;
    return fd;
}

static const char *option_word(int option)
{
    switch (option) {
    case PR_SET_CHILD_SUBREAPER:
        return "PR_SET_CHILD_SUBREAPER";
    case PR_SET_PDEATHSIG:
        return "PR_SET_PDEATHSIG";
    case PR_SET_DUMPABLE:
        return "PR_SET_DUMPABLE";
    case PR_SET_NO_NEW_PRIVS:
        return "PR_SET_NO_NEW_PRIVS";
    default:
        return "another option";
    }
}

static const char *signal_word(int signo)
{
    switch (signo) {
    case 0:
        return "0";
    case SIGKILL:
        return "KILL";
    case SIGCONT:
        return "CONT";
    case SIGTERM:
        return "TERM";
    default:
        return "another signal";
    }
}

static const char *family_word(int family)
{
    return family == AF_UNIX ? "AF_UNIX" : family == AF_INET ? "AF_INET" : "AF_INETN";
}

static const char *limit_word(int resource)
{
    return resource == RLIMIT_NOFILE ? "RLIMIT_NOFILE"
           : resource == RLIMIT_CORE ? "RLIMIT_CORE"
                                     : "another limit";
}

static const char *clock_word(clockid_t id)
{
    return id == CLOCK_MONOTONIC  ? "CLOCK_MONOTONIC"
           : id == CLOCK_REALTIME ? "CLOCK_REALTIME"
                                  : "another clock";
}

/* ---- the plan ---- */

static size_t add(char line[LINE_MAX_BYTES], size_t n, const char *text, char end)
{
    while (*text && n < LINE_MAX_BYTES - 1)
        line[n++] = *text++;
    line[n++] = end;
    return n < LINE_MAX_BYTES - 1 ? n : LINE_MAX_BYTES - 2;
}

static void site_text(const void *from, char ret[32])
{
    static const char digits[] = "0123456789abcdef";
    uintptr_t site = (uintptr_t)from - (uintptr_t)__executable_start;
    size_t n = 0;

    for (int shift = 44; shift >= 0; shift -= 4)
        ret[n++] = digits[site >> shift & 15];
    ret[n] = '\0';
}

/* 0 = let it pass; else the errno to fail with. errno itself is left alone. */
static int fault(const char *function, const void *from, const char *detail)
{
    char site[32];
    char line[LINE_MAX_BYTES];
    int saved = errno;
    bool is_hit = false;
    size_t n = 0;

    if (shim.fd < 0)
        return 0;
    site_text(from, site);
    if (shim.has_plan && strcmp(function, shim.function) == 0 &&
        (shim.site[0] == '*' || strcmp(site, shim.site) == 0) && strcmp(detail, shim.detail) == 0) {
        unsigned k = __atomic_add_fetch(shim.matches, 1, __ATOMIC_SEQ_CST);

        is_hit = k == shim.which || (shim.and_after && k > shim.which);
    }
    n = add(line, n, function, '\t');
    n = add(line, n, site, '\t');
    n = add(line, n, detail, '\t');
    n = add(line, n, is_hit ? "hit" : "miss", '\n');
    (void)!syscall(SYS_write, shim.fd, line, n); /* one write: lines of two processes do not mix */
    errno = saved;
    return is_hit ? shim.errnum : 0;
}

#define SITE __builtin_return_address(0)
#define FAIL_IF(function, detail)                                                                  \
    do {                                                                                           \
        int number_ = fault((function), SITE, (detail));                                           \
                                                                                                   \
        if (number_ != 0) {                                                                        \
            errno = number_;                                                                       \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

/* ---- processes ---- */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    FAIL_IF("fork", "");
    return __real_fork();
}

int __real_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    FAIL_IF("clone", "");
    return __real_clone(fn, stack, flags, arg);
}

int __real_execve(const char *path, char *const argv[], char *const envp[]);
int __wrap_execve(const char *path, char *const argv[], char *const envp[]);
int __wrap_execve(const char *path, char *const argv[], char *const envp[])
{
    FAIL_IF("execve", "");
    return __real_execve(path, argv, envp);
}

int __real_setpgid(pid_t pid, pid_t group);
int __wrap_setpgid(pid_t pid, pid_t group);
int __wrap_setpgid(pid_t pid, pid_t group)
{
    FAIL_IF("setpgid", pid == 0 ? "by the child" : "by us");
    return __real_setpgid(pid, group);
}

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    FAIL_IF("prctl", option_word(option));
    return __real_prctl(option, a, b, c, d);
}

int __real_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags)
{
    FAIL_IF("close_range", "");
    return __real_close_range(first, last, flags);
}

int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    char detail[DETAIL_MAX];

    say(detail, limit_word(resource), getpid() == shim.main_pid ? " of ours" : " of the child");
    FAIL_IF("setrlimit", detail);
    return __real_setrlimit(resource, limit);
}

int __real_chdir(const char *path);
int __wrap_chdir(const char *path);
int __wrap_chdir(const char *path)
{
    FAIL_IF("chdir", "");
    return __real_chdir(path);
}

int __real_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo)
{
    char detail[DETAIL_MAX];

    say(detail, signal_word(signo), pid < 0 ? " to a group" : " to a process");
    FAIL_IF("kill", detail);
    return __real_kill(pid, signo);
}

int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    FAIL_IF("waitid", "");
    return __real_waitid(type, id, info, options);
}

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    FAIL_IF("waitpid", "");
    return __real_waitpid(pid, status, options);
}

/* Only pidfd_open comes this way; what else might is passed on unseen. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_pidfd_open)
        FAIL_IF("pidfd_open", "");
    return __real_syscall(number, a, b, c, d, e, f);
}

int __real_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
    FAIL_IF("pidfd_open", "");
    return __real_pidfd_open(pid, flags);
}

/* ---- descriptors ---- */

int __real_pipe2(int ends[2], int flags);
int __wrap_pipe2(int ends[2], int flags);
int __wrap_pipe2(int ends[2], int flags)
{
    FAIL_IF("pipe2", "");
    return __real_pipe2(ends, flags);
}

int __real_signalfd(int fd, const sigset_t *mask, int flags);
int __wrap_signalfd(int fd, const sigset_t *mask, int flags);
int __wrap_signalfd(int fd, const sigset_t *mask, int flags)
{
    FAIL_IF("signalfd", "");
    return remember(__real_signalfd(fd, mask, flags), "signalfd");
}

int __real_timerfd_create(int id, int flags);
int __wrap_timerfd_create(int id, int flags);
int __wrap_timerfd_create(int id, int flags)
{
    FAIL_IF("timerfd_create", "");
    return remember(__real_timerfd_create(id, flags), "timerfd_create");
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    FAIL_IF("eventfd", "");
    return remember(__real_eventfd(value, flags), "eventfd");
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
    FAIL_IF("epoll_create1", "");
    return remember(__real_epoll_create1(flags), "epoll_create1");
}

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    FAIL_IF("epoll_ctl", op == EPOLL_CTL_ADD ? "add" : "del");
    return __real_epoll_ctl(epoll, op, fd, event);
}

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol)
{
    FAIL_IF("socket", family_word(family));
    return __real_socket(family, type, protocol);
}

int __real_uv_loop_init(uv_loop_t *loop);
int __wrap_uv_loop_init(uv_loop_t *loop);
int __wrap_uv_loop_init(uv_loop_t *loop)
{
    int number = fault("uv_loop_init", SITE, "");

    return number != 0 ? -number : __real_uv_loop_init(loop);
}

int __real_uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd);
int __wrap_uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd);
int __wrap_uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
    char detail[DETAIL_MAX];
    int number;

    say_fd(detail, fd);
    number = fault("uv_poll_init", SITE, detail);
    return number != 0 ? -number : __real_uv_poll_init(loop, poll, fd);
}

/* ---- files ---- */

static mode_t mode_of(int flags, va_list ap)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    char detail[DETAIL_MAX];
    mode_t mode;
    va_list ap;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    say(detail, path, "");
    FAIL_IF("open", detail);
    return __real_open(path, flags, mode);
}

/* What a fortified open() with flags unknown to the compiler becomes. */
int __wrap___open_2(const char *path, int flags);
int __wrap___open_2(const char *path, int flags)
{
    char detail[DETAIL_MAX];

    say(detail, path, "");
    FAIL_IF("open", detail);
    return __real_open(path, flags);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    char detail[DETAIL_MAX];
    mode_t mode;
    va_list ap;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    say(detail, path, "");
    FAIL_IF("open", detail);
    return __real_openat(dir, path, flags, mode);
}

int __wrap___openat_2(int dir, const char *path, int flags);
int __wrap___openat_2(int dir, const char *path, int flags)
{
    char detail[DETAIL_MAX];

    say(detail, path, "");
    FAIL_IF("open", detail);
    return __real_openat(dir, path, flags);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    char detail[DETAIL_MAX];
    int number;

    say(detail, path, "");
    number = fault("fopen", SITE, detail);
    if (number == 0)
        return __real_fopen(path, mode);
    errno = number;
    return NULL;
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
DIR *__wrap_opendir(const char *path)
{
    char detail[DETAIL_MAX];
    int number;

    say(detail, path, "");
    number = fault("opendir", SITE, detail);
    if (number == 0)
        return __real_opendir(path);
    errno = number;
    return NULL;
}

ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n)
{
    char detail[DETAIL_MAX];

    say_fd(detail, fd);
    FAIL_IF("read", detail);
    return __real_read(fd, to, n);
}

ssize_t __real_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n)
{
    char detail[DETAIL_MAX];

    say_fd(detail, fd);
    FAIL_IF("write", detail);
    return __real_write(fd, from, n);
}

int __real_poll(struct pollfd *v, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *v, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *v, nfds_t n, int timeout_ms)
{
    FAIL_IF("poll", "");
    return __real_poll(v, n, timeout_ms);
}

/* ---- time ---- */

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    FAIL_IF("clock_gettime", clock_word(id));
    return __real_clock_gettime(id, ret);
}

/* ---- the beginning and the end ---- */

static size_t count_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < FD_MAX; fd++)
        n += fd != OWN_FD && fcntl(fd, F_GETFD) >= 0;
    return n;
}

static const char *next_field(const char *at, char *ret, size_t cap)
{
    size_t n = strcspn(at, "\t");

    (void)snprintf(ret, cap, "%.*s", (int)n, at);
    return at[n] == '\t' ? at + n + 1 : at + n;
}

static void read_plan(const char *plan)
{
    char number[16];

    plan = next_field(plan, shim.function, sizeof(shim.function));
    plan = next_field(plan, shim.site, sizeof(shim.site));
    plan = next_field(plan, shim.detail, sizeof(shim.detail));
    plan = next_field(plan, number, sizeof(number));
    shim.which = (unsigned)atoi(number);
    shim.and_after = strchr(number, '+') != NULL;
    shim.errnum = atoi(plan);
    shim.has_plan = true;
}

static void at_end(void);

/* The sidecar may leave without exit(3); a child that failed before its exec does, always. */
__attribute__((noreturn)) void __real__exit(int status);
__attribute__((noreturn)) void __wrap__exit(int status);
__attribute__((noreturn)) void __wrap__exit(int status)
{
    if (getpid() == shim.main_pid)
        at_end();
    __real__exit(status);
}

__attribute__((constructor)) static void at_start(void)
{
    const char *calls = getenv("MOLECULE_FAULT_CALLS");
    const char *plan = getenv("MOLECULE_FAULT");
    int fd;

    if (!calls)
        return;
    fd = __real_open(calls, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    shim.matches = mmap(NULL, sizeof(*shim.matches), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || shim.matches == MAP_FAILED || dup3(fd, OWN_FD, O_CLOEXEC) < 0)
        abort();
    (void)close(fd);
    shim.fd = OWN_FD;
    shim.main_pid = getpid();
    if (plan)
        read_plan(plan);
    /* Not for the agent, and not for who reads our environment to complain about unknown names. */
    (void)unsetenv("MOLECULE_FAULT_CALLS");
    (void)unsetenv("MOLECULE_FAULT");
    (void)atexit(at_end);
}

/* "end", the number of open descriptors, and whether a zombie of ours was left. */
static void at_end(void)
{
    siginfo_t si = {0};
    char text[64];
    int r = __real_waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT);

    (void)snprintf(text, sizeof(text), "end\t%zu\t%s\t\n", count_descriptors(),
                   r == 0 && si.si_pid != 0 ? "zombie"
                   : r == 0                 ? "child"
                                            : "nobody");
    (void)!__real_write(shim.fd, text, strlen(text));
}
