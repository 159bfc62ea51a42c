/*
 * Spawning the agent's process. What an exec error means is spawn_error.c's; when to spawn is
 * child.c's.
 */
#include "supervisor/spawn.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/slice.h"
#include "base/str.h"
#include "base/uninit.h"
#include "supervisor/cgroup.h"
#include "supervisor/handover.h"
#include "supervisor/shell_script.h"
#include "supervisor/spawn_error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SHADOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SHADOW 1
#endif
#endif
#ifdef HAS_SHADOW
#include <sanitizer/asan_interface.h>
enum { SPAWN_STACK_KIB = 128 }; /* its frames and the calls it takes over are large */
#else
enum { SPAWN_STACK_KIB = 8 }; /* each page of it is touched, so no more than is good */
#endif

enum {
    EXIT_NOT_SPAWNED = 127,                     /* what a shell says, too; nobody but us sees it */
    SPAWN_STACK_BYTES = SPAWN_STACK_KIB * 1024, /* of a child in our memory; it uses 1.5 KiB */
};

/* Where programs are when the child's environment has no PATH: what container runtimes assume. */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum spawn_step {
    STEP_GROUP = 0,
    STEP_DESCRIPTORS,
    STEP_LIMITS,
    STEP_OUTPUT,
    STEP_OWN_LIMIT,
    STEP_USER,
    STEP_PARENT,
    STEP_CWD,
    STEP_NO_NEW_PRIVS,
    STEP_SIGNALS,
    STEP_EXEC,
};
enum { SPAWN_STEP_COUNT = STEP_EXEC + 1 };

static const char *const step_words[] = {
    [STEP_GROUP] = "make a process group",
    [STEP_DESCRIPTORS] = "hand over its descriptors",
    [STEP_LIMITS] = "give back the limits",
    [STEP_OUTPUT] = "redirect its output",
    [STEP_OWN_LIMIT] = "set a limit",
    [STEP_USER] = "become its user",
    [STEP_PARENT] = "tie it to our own life",
    [STEP_CWD] = "change directory",
    [STEP_NO_NEW_PRIVS] = "set no_new_privs",
    [STEP_SIGNALS] = "give back the signal mask",
    [STEP_EXEC] = "exec",
};
static_assert(sizeof(step_words) / sizeof(step_words[0]) == SPAWN_STEP_COUNT, "one per step");

struct report { /* one write, less than PIPE_BUF: it arrives whole */
    int step;
    int errnum;
    int index; /* STEP_OWN_LIMIT: of gifts->limits */
};

/* ---- before the fork ---- */

static const char *env_get(char *const *envp, const char *name)
{
    size_t n = strlen(name);

    for (; *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=') {
            return *envp + n + 1;
        }
    }
    return NULL;
}

/* The user it has to become; NULL when that is us. */
static const struct user *other_user(const struct spawn_request *rq)
{
    const struct user *u = rq->gifts ? rq->gifts->run_as : NULL;

    return u && u->is_set && !user_is_self(u) ? u : NULL;
}

/* Where LISTEN_PID's digits go; NULL when there is none, or it is somebody else's. */
static char *pid_to_come(char *const *envp)
{
    static const char whole[] = "LISTEN_PID=" SPAWN_PID_TO_COME;

    for (; *envp; envp++) {
        if (strcmp(*envp, whole) == 0) {
            return *envp + sizeof(whole) - sizeof(SPAWN_PID_TO_COME);
        }
    }
    return NULL;
}

/* dir/name as the child will see it, then as we see it from our own directory */
static void join(struct str *ret, const char *cwd, struct slice dir, const char *name)
{
    str_truncate(ret, 0);
    if (cwd[0] && (dir.n == 0 || dir.p[0] != '/')) {
        str_addf(ret, "%s/", cwd);
    }
    if (dir.n > 0) {
        str_add(ret, dir);
        str_addz(ret, "/");
    }
    str_addz(ret, name);
}

static bool is_executable_file(const char *path, const struct user *user, bool *ret_exists)
{
    struct stat st;

    if (stat(path, &st) < 0 || S_ISDIR(st.st_mode)) {
        return false;
    }
    *ret_exists = true;
    return S_ISREG(st.st_mode) &&
           (user ? user_may(user, &st, 1) : faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0);
}

/*
 * What to exec (as the child sees it, after it changed directory) and where that is for us. As
 * execvp does it, but with the child's PATH, and before the fork.
 */
static int find_program(const struct spawn_request *rq, struct str *ret_exec, struct str *ret_path,
                        struct err *err)
{
    const char *name = rq->argv[0];
    const char *search = env_get(rq->envp, "PATH");
    CLEANUP(str_release) struct str not_executable = {0};
    bool is_last = false;

    if (strchr(name, '/')) {
        str_addz(ret_exec, name);
        join(ret_path, name[0] == '/' ? "" : rq->cwd, (struct slice){0}, name);
        return str_ok(ret_exec) && str_ok(ret_path) ? 0 : -ENOMEM;
    }
    search = search ? search : DEFAULT_PATH;
    for (const char *at = search; name[0] && !is_last;) {
        const char *colon = strchrnul(at, ':');
        struct slice dir = {at, (size_t)(colon - at)}; /* empty: the current directory */
        bool exists = false;

        is_last = *colon == '\0';
        at = colon + (is_last ? 0 : 1);
        join(ret_path, rq->cwd, dir, name);
        if (!str_ok(ret_path)) {
            return -ENOMEM;
        }
        if (is_executable_file(str_z(ret_path), other_user(rq), &exists)) {
            join(ret_exec, "", dir.n > 0 ? dir : SLICE("."), name);
            return str_ok(ret_exec) ? 0 : -ENOMEM;
        }
        if (exists && not_executable.len == 0) {
            str_add(&not_executable, str_slice(ret_path));
        }
    }
    if (not_executable.len > 0) {
        return spawn_explain(name, str_z(&not_executable), search, other_user(rq), EACCES, err);
    }
    return spawn_explain(name, str_z(ret_path), search, other_user(rq), ENOENT, err);
}

/* ---- in the child: async-signal-safe calls only ---- */

static void fail_at(int fd, enum spawn_step step, int index)
{
    struct report r = {.step = (int)step, .errnum = errno, .index = index};
    ssize_t n;

    do {
        n = write(fd, &r, sizeof(r)); /* without a reader there is nobody to tell */
    } while (n < 0 && errno == EINTR);
    _exit(EXIT_NOT_SPAWNED);
}

static void fail(int fd, enum spawn_step step)
{
    fail_at(fd, step, 0);
}

/* Handlers do not survive exec, ignored signals do: only what was ignored on entry may stay so. */
static void restore_dispositions(const sigset_t *ignored)
{
    for (int signo = 1; signo <= SIGRTMAX; signo++) {
        struct sigaction act = {.sa_handler = sigismember(ignored, signo) == 1 ? SIG_IGN : SIG_DFL};

        (void)sigaction(signo, &act, NULL); /* KILL, STOP and libc's own refuse: right */
    }
}

/* All that is known before the fork. */
struct plan {
    const char *exec;
    char *const *shell_argv; /* should it be a script without #! */
    pid_t parent;
    int nofile;              /* how far the slow way of closing descriptors goes */
    const struct user *user; /* NULL = it stays us */
    char *listen_pid;        /* SPAWN_PID_TO_COME, or NULL */
};
/*
 * Its group, session or neither. The terminal is taken here, before exec, so that the program has
 * it from its first instruction; TTOU is still blocked, as tcsetpgrp from the background asks for.
 * That it fails (the terminal has hung up) is the program's to find out.
 */
static int enter_group(const struct spawn_request *rq)
{
    switch (rq->group) {
    case CHILD_GROUP_PROCESS:
        return 0;
    case CHILD_GROUP_SESSION:
        return setsid() < 0 ? -1 : 0;
    case CHILD_GROUP_OWN:
        break;
    }
    if (setpgid(0, 0) < 0) {
        return -1;
    }
    if (rq->takes_terminal) {
        (void)tcsetpgrp(STDIN_FILENO, getpid());
    }
    return 0;
}

/* As execvp() does it. What a shell's failure would say of itself is not what is wrong. */
static void exec_program(const struct spawn_request *rq, const struct plan *plan)
{
    int errnum;

    (void)execve(plan->exec, rq->argv, rq->envp);
    errnum = errno;
    if (errnum == ENOEXEC && shell_script_is_one(plan->exec)) {
        (void)execve(SHELL_PATH, plan->shell_argv, rq->envp);
    }
    errno = errnum;
}

__attribute__((noreturn)) static void become_program(const struct spawn_request *rq,
                                                     const struct plan *plan, int fd)
{
    const struct process_origin *o = rq->origin;
    const struct child_gifts *g = rq->gifts;
    int index = 0;

    (void)cgroup_enter(rq->cgroup_fd); /* a kernel that refuses leaves it in ours: as well */
    if (enter_group(rq) < 0) {
        fail(fd, STEP_GROUP);
    }
    /* before the descriptors from 3 on move: the pipes may be where one of them is to be */
    if (rq->output && (dup2(rq->output[0], 1) < 0 || dup2(rq->output[1], 2) < 0)) {
        fail(fd, STEP_OUTPUT);
    }
    if (rq->output && plan->user) { /* or it could not open /dev/stderr, which many programs do */
        (void)!fchown(1, plan->user->uid, (gid_t)-1);
        (void)!fchown(2, plan->user->uid, (gid_t)-1);
    }
    if (handover_descriptors(g, &fd, plan->nofile) < 0) {
        fail(fd, STEP_DESCRIPTORS);
    }
    if (plan->listen_pid) {
        handover_pid(plan->listen_pid, sizeof(SPAWN_PID_TO_COME) - 1, getpid());
    }
    (void)umask(g && g->has_umask ? g->umask : o->umask);
    if (setrlimit(RLIMIT_NOFILE, &o->nofile) < 0 || setrlimit(RLIMIT_CORE, &o->core) < 0) {
        fail(fd, STEP_LIMITS);
    }
    if (handover_limits(g, &index) < 0) {
        fail_at(fd, STEP_OWN_LIMIT, index);
    }
    if (plan->user && handover_identity(plan->user) < 0) {
        fail(fd, STEP_USER);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) { /* after the user: a new uid clears it */
        fail(fd, STEP_PARENT);
    }
    if (getppid() != plan->parent) { /* it died before the call above could see it */
        _exit(EXIT_NOT_SPAWNED);
    }
    if (rq->cwd[0] && chdir(rq->cwd) < 0) {
        fail(fd, STEP_CWD);
    }
    if (rq->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        fail(fd, STEP_NO_NEW_PRIVS);
    }
    restore_dispositions(&o->signals.ignored);
    /* Last: a TERM that came meanwhile ends us here, as it would have the program. */
    if (sigprocmask(SIG_SETMASK, &o->signals.mask, NULL) < 0) {
        fail(fd, STEP_SIGNALS);
    }
    exec_program(rq, plan);
    fail(fd, STEP_EXEC);
    __builtin_unreachable();
}

/* ---- the child's first instruction ---- */

struct entry { /* of a child in our memory */
    const struct spawn_request *rq;
    const struct plan *plan;
    int fd;
};

static int enter(void *arg)
{
    const struct entry *e = arg;

    become_program(e->rq, e->plan, e->fd);
}

/*
 * In our memory, on a stack of its own, while we stand still until exec (what posix_spawn does):
 * no page tables are copied, and no page of ours is copied afterwards because both write to it. It
 * has its own descriptors, dispositions, limits and directory all the same. What it shares and
 * writes is errno (nobody reads it before we go on) and LISTEN_PID's digits, which we put back.
 * No handler of ours could run in it: we have none.
 */
static pid_t clone_in_our_memory(const struct spawn_request *rq, const struct plan *plan, int fd)
{
    UNINITIALIZED _Alignas(16) char stack[SPAWN_STACK_BYTES];
    struct entry e = {.rq = rq, .plan = plan, .fd = fd};
    /* stacks grow down on every machine that Linux' C library gives this call */
    pid_t pid = clone(enter, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &e);

#ifdef HAS_SHADOW
    ASAN_UNPOISON_MEMORY_REGION(stack, sizeof(stack)); /* its frames never returned */
#endif
    if (plan->listen_pid) {
        memcpy(plan->listen_pid, SPAWN_PID_TO_COME, sizeof(SPAWN_PID_TO_COME));
    }
    return pid;
}

/*
 * Not in our memory: another user, who must never be able to look into it (and becoming one decides
 * anew whether this memory may be dumped); and a child that takes the terminal, since a Ctrl-Z
 * between its signal mask and exec would stop it, and us with it.
 */
static pid_t launch(const struct spawn_request *rq, const struct plan *plan, int fd)
{
    pid_t pid;

    if (rq->may_wait && !plan->user && !rq->takes_terminal) {
        return clone_in_our_memory(rq, plan, fd);
    }
    pid = fork();
    if (pid == 0) {
        become_program(rq, plan, fd);
    }
    return pid;
}

/* ---- in the parent ---- */

/* How far the fallback of mark_descriptors has to go. */
static int descriptor_bound(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX) {
        return INT_MAX;
    }
    return (int)limit.rlim_cur;
}

int spawn_start(const struct spawn_request *rq, struct spawn *ret, struct err *err)
{
    CLEANUP(str_release) struct str exec = {0};
    CLEANUP(str_release) struct str path = {0};
    CLEANUP(free_cleanup) char **shell_argv = NULL;
    int ends[2];
    struct plan plan = {
        .parent = getpid(),
        .nofile = descriptor_bound(),
        .user = other_user(rq),
        .listen_pid = pid_to_come(rq->envp),
    };
    pid_t pid;
    int r;

    *ret = (struct spawn){.fd = -1};
    r = find_program(rq, &exec, &path, err);
    if (r >= 0) {
        shell_argv = shell_script_argv(rq->argv, str_z(&exec));
        r = shell_argv ? 0 : -ENOMEM;
    }
    if (r == -ENOMEM) {
        return err_set(err, r, "cannot exec %s: out of memory", rq->argv[0]);
    }
    if (r < 0) {
        return r;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "cannot start %s: no pipe: %m", rq->argv[0]);
    }
    plan.exec = str_z(&exec);
    plan.shell_argv = shell_argv;
    /* the child leaves ends[0] to close-on-exec: not worth a call in so short a life */
    pid = launch(rq, &plan, ends[1]);
    if (pid < 0) {
        r = err_set(err, -errno,
                    "cannot start %s: fork: %m (a limit on processes: ulimit -u, pids.max, "
                    "TasksMax)",
                    rq->argv[0]);
    }
    fd_close(&ends[1]);
    if (pid < 0) {
        fd_close(&ends[0]);
        return r;
    }
    /* Here too: a signal to the group must find it. Fails once the child has done exec: fine. Not
     * with a session: the leader of a group cannot make one. */
    if (rq->group == CHILD_GROUP_OWN) {
        (void)setpgid(pid, pid);
    }
    (void)fd_set_nonblock(ends[0], true); /* a pipe of our own */
    *ret = (struct spawn){.pid = pid, .fd = ends[0], .path = str_take(&path)};
    return 0;
}

static int limit_refused(const struct spawn_request *rq, const struct report *report,
                         struct err *err)
{
    size_t index = (size_t)report->index;
    const struct child_gifts *g = rq->gifts;

    assert(g && index < g->limit_count);
    errno = report->errnum;
    return err_set(err, -report->errnum, "cannot start %s with the limit %s (agent.limits): %m%s",
                   rq->argv[0], g->limits[index].name,
                   report->errnum == EPERM ? ": above the hard limit we were started with, which "
                                             "only CAP_SYS_RESOURCE may raise"
                                           : "");
}

int spawn_outcome(const struct spawn_request *rq, const struct spawn *sp, struct err *err)
{
    struct report report;
    ssize_t n;

    do {
        n = read(sp->fd, &report, sizeof(report));
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n != (ssize_t)sizeof(report)) {
        return 1;
    }
    assert(report.step >= 0 && report.step < SPAWN_STEP_COUNT);
    errno = report.errnum;
    if (report.step == STEP_CWD) {
        return err_set(err, -report.errnum, "cannot change to directory %s (agent.cwd): %m",
                       rq->cwd);
    }
    if (report.step == STEP_OWN_LIMIT) {
        return limit_refused(rq, &report, err);
    }
    if (report.step == STEP_USER) {
        return err_set(
            err, -report.errnum,
            "cannot start %s as uid %u, gid %u (agent.user): %m: it takes CAP_SETUID and "
            "CAP_SETGID, and in a user namespace ids that are mapped",
            rq->argv[0], (unsigned)rq->gifts->run_as->uid, (unsigned)rq->gifts->run_as->gid);
    }
    if (report.step != STEP_EXEC) {
        return err_set(err, -report.errnum, "cannot start %s: cannot %s: %m", rq->argv[0],
                       step_words[report.step]);
    }
    return spawn_explain(rq->argv[0], sp->path, NULL, other_user(rq), report.errnum, err);
}

void spawn_release(struct spawn *sp)
{
    fd_close(&sp->fd);
    free(sp->path);
    *sp = (struct spawn){.fd = -1};
}

bool spawn_failure_is_permanent(int code)
{
    switch (-code) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case E2BIG:
    case ELIBBAD:
    case EINVAL:
        return true;
    default: /* EAGAIN, ENOMEM, EMFILE, ENFILE, ETXTBSY, EIO: the machine may recover */
        return false;
    }
}
