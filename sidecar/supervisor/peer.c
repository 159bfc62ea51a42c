/*
 * Finds the process behind the agent's socket and ends it by its pidfd. What a stop is and when it
 * comes is app/'s; what to do where nobody may be signalled, too.
 */
#include "supervisor/peer.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/proc.h"
#include "supervisor/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; not in Debian 12's headers */
#endif

/* ---- what /proc tells of a process ---- */

/* Who started us, and who started that: a shell, a test, a supervisor. Not ours to end. */
static bool is_ancestor(pid_t pid)
{
    return pid == getppid() || proc_is_below(getppid(), pid);
}

/* The number is another's by now: started after the agent last began to answer. */
static bool is_too_young(pid_t pid, int64_t answered_at_boot_ms)
{
    long ticks = sysconf(_SC_CLK_TCK);
    struct proc_facts facts = {0};

    if (answered_at_boot_ms == 0 || ticks <= 0) {
        return false;
    }
    return proc_facts_of(pid, &facts) < 0 || facts.started_ticks < 0 ||
           facts.started_ticks / ticks * 1000 > answered_at_boot_ms;
}

/* ---- finding ---- */

/* 1 connected, 0 nobody listens, negative: somebody may, with a sentence. */
static int connect_to(const struct endpoint *at, int *ret_fd, struct err *err)
{
    CLEANUP(fd_cleanup)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return err_set(err, -errno, "cannot create a socket: %m");
    }
    if (connect(fd, (const struct sockaddr *)&at->sa, at->sa_len) < 0) {
        if (errno == ECONNREFUSED || errno == ENOENT) {
            return 0;
        }
        return err_set(err, -errno, "cannot connect to %s: %m", at->text);
    }
    *ret_fd = fd_take(&fd);
    return 1;
}

static int refuse_by_rule(const struct ucred *who, const struct endpoint *at, struct err *err)
{
    char path[64];
    struct stat st;

    /* whoever may write into the directory could point us, as root, at anybody's socket */
    if (lstat(endpoint_unix_path(at), &st) == 0 && S_ISLNK(st.st_mode)) {
        return err_set(err, -EPERM, "%s is a symbolic link, behind which anybody may listen",
                       at->text);
    }
    if (who->pid <= 0) {
        return err_set(err, -ESRCH,
                       "who listens at %s is in another process namespace (a pod shares its own "
                       "with shareProcessNamespace: true)",
                       at->text);
    }
    if (who->pid == 1 || who->pid == getpid() || is_ancestor(who->pid)) {
        return err_set(err, -EPERM, "process %d listens at %s, which is %s", (int)who->pid,
                       at->text,
                       who->pid == 1          ? "process 1 of our namespace"
                       : who->pid == getpid() ? "ourselves"
                                              : "one of those that started us");
    }
    if (geteuid() != 0 && who->uid != geteuid()) {
        return err_set(err, -EPERM,
                       "process %d, which listens at %s, runs as user %u and we as %u; only equal "
                       "users (or root) may signal each other",
                       (int)who->pid, at->text, (unsigned)who->uid, (unsigned)geteuid());
    }
    (void)snprintf(path, sizeof(path), "/proc/%d", (int)who->pid);
    if (access(path, F_OK) < 0) {
        return err_set(err, -ESRCH, "process %d, which listens at %s, is not in our /proc",
                       (int)who->pid, at->text);
    }
    return 0;
}

/* From the connection itself where the kernel can, which leaves no room for a mistake. */
static int open_pidfd(const struct peer_query *q, int fd, pid_t pid)
{
    int pidfd = -1;
    socklen_t n = sizeof(pidfd);

    if (!q->by_number && getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) == 0) {
        return pidfd;
    }
    if (!q->by_number && errno != ENOPROTOOPT) {
        return -errno;
    }
    pidfd = pidfd_of(pid);
    if (pidfd >= 0 && is_too_young(pid, q->answered_at_boot_ms)) {
        fd_close(&pidfd);
        return -ESRCH;
    }
    return pidfd;
}

int peer_find(const struct peer_query *q, struct peer_found *ret, struct err *err)
{
    CLEANUP(fd_cleanup) int fd = -1;
    CLEANUP(fd_cleanup) int pidfd = -1;
    struct ucred who = {0};
    socklen_t n = sizeof(who);
    int r;

    if (!endpoint_unix_path(q->at)) {
        return err_set(err, -EOPNOTSUPP,
                       "agent.address %s is no Unix socket, which alone tells who listens",
                       q->at->text);
    }
    if ((r = connect_to(q->at, &fd, err)) <= 0) {
        return r;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) {
        return err_set(err, -errno, "cannot ask who listens at %s: %m", q->at->text);
    }
    if ((r = refuse_by_rule(&who, q->at, err)) < 0) {
        return r;
    }
    pidfd = open_pidfd(q, fd, who.pid);
    r = pidfd < 0 ? pidfd : pidfd_signal(pidfd, 0);
    if (r < 0) {
        return err_set(err, r, "cannot signal process %d, which listens at %s: %s", (int)who.pid,
                       q->at->text, strerrordesc_np(-r));
    }
    *ret = (struct peer_found){.pidfd = fd_take(&pidfd), .pid = who.pid};
    return 1;
}

/* ---- stopping ---- */

static void on_next(struct timer *t);

static void send_next(struct peer_stop *p)
{
    int signo = stop_steps_take(&p->steps, loop_now_ms(p->loop));

    (void)pidfd_signal(p->pidfd, signo); /* ESRCH: it has ended, which the watch tells */
    (void)pidfd_signal(p->pidfd, SIGCONT);
    if (p->steps.next_ms != 0) {
        timer_start(&p->next, p->loop, p->steps.next_ms, on_next, p);
    }
    p->cb->on_step(p->arg, signo,
                   (p->steps.next_ms != 0 ? p->steps.next_ms : p->steps.end_ms) -
                       loop_now_ms(p->loop));
}

static void on_next(struct timer *t)
{
    send_next(t->arg);
}

void peer_stop_kill(struct peer_stop *p)
{
    if (!p->is_on) {
        return;
    }
    timer_stop(&p->next);
    timer_stop(&p->kill);
    (void)pidfd_signal(p->pidfd, SIGKILL);
    p->cb->on_step(p->arg, SIGKILL, 0);
}

static void on_kill(struct timer *t)
{
    peer_stop_kill(t->arg);
}

/* A pidfd is readable once its process has ended, reaped or not. */
static void on_gone(struct watch *w, int events)
{
    struct peer_stop *p = w->arg;

    (void)events;
    peer_stop_release(p);
    p->cb->on_gone(p->arg);
}

int peer_stop_begin(struct peer_stop *p, struct loop *l, struct peer_found *found,
                    const struct stop_sequence *seq, int64_t grace_ms,
                    const struct peer_callbacks *cb, void *arg)
{
    int r;

    *p = (struct peer_stop){.loop = l, .cb = cb, .arg = arg, .pidfd = fd_take(&found->pidfd)};
    r = watch_start(&p->gone, l, p->pidfd, WATCH_READ, on_gone, p);
    if (r < 0) {
        fd_close(&p->pidfd);
        return r;
    }
    p->is_on = true;
    stop_steps_begin(&p->steps, seq, loop_now_ms(l), grace_ms);
    timer_start(&p->kill, l, p->steps.end_ms, on_kill, p);
    send_next(p);
    return 0;
}

void peer_stop_release(struct peer_stop *p)
{
    if (!p->is_on) {
        return;
    }
    p->is_on = false;
    watch_stop(&p->gone);
    timer_stop(&p->next);
    timer_stop(&p->kill);
    fd_close(&p->pidfd);
}
