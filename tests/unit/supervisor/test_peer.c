/* An agent that is not our child: found by its socket, stopped by its pidfd. Real processes. */
#include "supervisor/peer.h"

#include "base/fd.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct loop *loop;
static struct endpoint at;
static int said_fd = -1; /* what the agent process says */
static struct peer_stop stop;
static struct timer guard;
static int steps, last_signo;
static bool is_gone;

static void setup(void)
{
    char text[256];

    scratch_make();
    (void)snprintf(text, sizeof(text), "unix:%s", scratch_path("agent.sock"));
    cr_assert_eq(endpoint_parse(slice_of(text), &at, NULL), 0);
    cr_assert_eq(loop_new(&loop, NULL), 0);
}

static void teardown(void)
{
    timer_stop(&guard);
    peer_stop_release(&stop);
    loop_free(loop);
    fd_close(&said_fd);
    scratch_remove();
}

TestSuite(peer, .init = setup, .fini = teardown, .timeout = 300);

static int listen_here(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (const struct sockaddr *)&at.sa, at.sa_len), 0);
    cr_assert_eq(listen(fd, 8), 0);
    return fd;
}

/* Says a letter per signal, and ends by `deadly`, in this order whenever it comes to run: a signal
 * that kills by itself would overtake those that came before it. */
__attribute__((noreturn)) static void hear(int said, const sigset_t *heard, int deadly)
{
    bool was_continued = false;
    sigset_t only;
    int signo;

    for (;;) {
        if (sigwait(heard, &signo) != 0)
            _exit(1);
        if (signo == deadly)
            break;
        was_continued |= signo == SIGCONT;
        (void)!write(said, signo == SIGTERM ? "t" : signo == SIGUSR1 ? "u" : "c", 1);
    }
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGCONT);
    if (!was_continued && sigwait(&only, &signo) == 0) /* it comes with each signal */
        (void)!write(said, "c", 1);
    (void)signal(deadly, SIG_DFL);
    (void)raise(deadly);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, deadly);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
    _exit(1);
}

/* A listening process that writes a letter per signal; `deadly` ends it. Listens before this
 * returns.
 */
static pid_t agent(int deadly)
{
    int ends[2];
    char ready;
    pid_t pid;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        sigset_t heard;

        (void)sigemptyset(&heard);
        (void)sigaddset(&heard, SIGTERM);
        (void)sigaddset(&heard, SIGUSR1);
        (void)sigaddset(&heard, SIGCONT);
        (void)sigprocmask(SIG_BLOCK, &heard, NULL);
        (void)listen_here();
        (void)!write(ends[1], "!", 1);
        hear(ends[1], &heard, deadly);
    }
    (void)close(ends[1]);
    said_fd = ends[0];
    cr_assert_eq(read(said_fd, &ready, 1), 1);
    return pid;
}

static int find(struct peer_query q, struct peer_found *ret, struct err *err)
{
    q.at = &at;
    return peer_find(&q, ret, err);
}

static void on_step(void *arg, int signo, int64_t left_ms)
{
    (void)arg;
    cr_assert_geq(left_ms, 0);
    steps++;
    last_signo = signo;
}

static void on_gone(void *arg)
{
    (void)arg;
    is_gone = true;
    loop_stop(loop);
}

static const struct peer_callbacks callbacks = {.on_step = on_step, .on_gone = on_gone};

static void on_guard(struct timer *t)
{
    (void)t;
    cr_assert_fail("the process does not end");
}

static void run_stop(struct peer_query q, const struct stop_sequence *seq)
{
    struct peer_found found;
    struct err err = {0};

    cr_assert_eq(find(q, &found, &err), 1, "%s", err.msg);
    cr_assert_eq(peer_stop_begin(&stop, loop, &found, seq, 30000, &callbacks, NULL), 0);
    cr_assert_eq(found.pidfd, -1, "it was taken");
    timer_start(&guard, loop, loop_now_ms(loop) + 40000, on_guard, NULL);
    loop_run(loop);
    cr_assert(is_gone && !stop.is_on);
}

static int wait_status_of(pid_t pid)
{
    int wait_status = -1;

    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    return wait_status;
}

static const struct stop_sequence term = {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1};

Test(peer, the_one_who_listens_is_stopped_by_its_signal)
{
    pid_t pid = agent(SIGTERM);

    run_stop((struct peer_query){0}, &term);
    cr_assert_eq(wait_status_of(pid), SIGTERM);
    cr_assert(steps == 1 && last_signo == SIGTERM);
}

Test(peer, the_sequence_goes_on_and_each_signal_has_cont_with_it)
{
    const struct stop_sequence seq = {.v = {{SIGUSR1, 100}, {SIGTERM, STOP_WAIT_REST}}, .n = 2};
    pid_t pid = agent(SIGTERM);
    char said[8] = {0};

    cr_assert_eq(kill(pid, SIGSTOP), 0);
    run_stop((struct peer_query){0}, &seq);
    cr_assert_eq(wait_status_of(pid), SIGTERM);
    cr_assert_eq(read(said_fd, said, sizeof(said) - 1), 2, "it was woken: %s", said);
    cr_assert(strchr(said, 'u') && strchr(said, 'c'), "%s", said);
}

Test(peer, kill_ends_who_hears_nothing)
{
    const struct stop_sequence seq = {.v = {{SIGUSR1, 50}, {SIGTERM, 50}}, .n = 2};
    pid_t pid = agent(0);

    run_stop((struct peer_query){0}, &seq);
    cr_assert_eq(wait_status_of(pid), SIGKILL);
    cr_assert(steps == 3 && last_signo == SIGKILL);
}

Test(peer, as_on_an_older_kernel_it_works_by_number)
{
    struct timespec now;
    pid_t pid = agent(SIGTERM);

    cr_assert_eq(clock_gettime(CLOCK_BOOTTIME, &now), 0);
    run_stop((struct peer_query){.by_number = true,
                                 .answered_at_boot_ms = (int64_t)now.tv_sec * 1000 + 1000},
             &term);
    cr_assert_eq(wait_status_of(pid), SIGTERM);
}

/* The number's owner was started after the agent answered: it is somebody else by now. */
Test(peer, as_on_an_older_kernel_a_reused_number_is_left_alone)
{
    struct peer_found found;
    struct err err = {0};
    pid_t pid = agent(SIGTERM);

    cr_assert_eq(
        find((struct peer_query){.by_number = true, .answered_at_boot_ms = 1}, &found, &err),
        -ESRCH);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(wait_status_of(pid), SIGKILL);
}

/* The listener's parent has ended and its child keeps the socket: the credentials name a dead one.
 */
Test(peer, a_listener_that_has_ended_is_nobody_to_signal)
{
    struct peer_found found;
    struct err err = {0};
    int ends[2], quit[2];
    char ready;
    pid_t pid;

    cr_assert_eq(pipe2(ends, O_CLOEXEC) + pipe2(quit, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        (void)listen_here();
        (void)close(quit[1]);
        if (fork() == 0) {
            (void)!write(ends[1], "!", 1);
            (void)!read(quit[0], &ready, 1); /* the test's end closes the other end */
        }
        _exit(0);
    }
    cr_assert_eq(wait_status_of(pid), 0);
    cr_assert_eq(read(ends[0], &ready, 1), 1);
    cr_assert_lt(find((struct peer_query){0}, &found, &err), 0, "process %d", (int)found.pid);
    cr_assert_neq(err.msg[0], '\0');
}

Test(peer, nobody_listens)
{
    struct peer_found found;
    struct err err = {0};
    int fd;

    cr_assert_eq(find((struct peer_query){0}, &found, &err), 0, "no such file");
    fd = listen_here();
    (void)close(fd);
    cr_assert_eq(find((struct peer_query){0}, &found, &err), 0, "nobody behind it");
}

Test(peer, we_ourselves_and_those_who_started_us_are_left_alone)
{
    struct peer_found found;
    struct err err = {0};
    int fd = listen_here();
    pid_t pid;

    cr_assert_eq(find((struct peer_query){0}, &found, &err), -EPERM);
    cr_assert_not_null(strstr(err.msg, "ourselves"), "%s", err.msg);
    pid = fork();
    if (pid == 0) { /* for it, the listener is its parent */
        pid_t grandchild = fork();

        if (grandchild == 0)
            _exit(find((struct peer_query){0}, &found, &err) == -EPERM &&
                          strstr(err.msg, "started us")
                      ? 0
                      : 1);
        _exit(wait_status_of(grandchild) == 0 ? 0 : 1);
    }
    cr_assert_eq(wait_status_of(pid), 0);
    (void)close(fd);
}

Test(peer, a_link_to_somebody_elses_socket_is_not_followed)
{
    struct peer_found found;
    struct err err = {0};
    pid_t pid = agent(SIGTERM);

    cr_assert_eq(rename(scratch_path("agent.sock"), scratch_path("victim.sock")), 0);
    cr_assert_eq(symlink("victim.sock", scratch_path("agent.sock")), 0);
    cr_assert_eq(find((struct peer_query){0}, &found, &err), -EPERM);
    cr_assert_not_null(strstr(err.msg, "symbolic link"), "%s", err.msg);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(wait_status_of(pid), SIGKILL);
}

Test(peer, a_tcp_address_tells_nobody)
{
    struct endpoint tcp;
    struct peer_query q = {.at = &tcp};
    struct peer_found found;
    struct err err = {0};

    cr_assert_eq(endpoint_parse(SLICE("http://127.0.0.1:9"), &tcp, NULL), 0);
    cr_assert_eq(peer_find(&q, &found, &err), -EOPNOTSUPP);
    cr_assert_not_null(strstr(err.msg, "is no Unix socket"), "%s", err.msg);
}

Test(peer, another_user_is_not_ours_to_signal)
{
    struct peer_found found;
    struct err err = {0};
    pid_t pid, other;

    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    pid = agent(SIGTERM);
    cr_assert_eq(chmod(scratch, 0755), 0);
    cr_assert_eq(chmod(scratch_path("agent.sock"), 0777), 0);
    other = fork();
    if (other == 0) {
        if (setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        _exit(find((struct peer_query){0}, &found, &err) == -EPERM && strstr(err.msg, "as user 0")
                  ? 0
                  : 1);
    }
    cr_assert_eq(wait_status_of(other), 0);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(wait_status_of(pid), SIGKILL);
}

/* As in a pod without shareProcessNamespace: the number does not exist here. */
Test(peer, another_process_namespace_shows_nobody)
{
    struct peer_found found;
    struct err err = {0};
    pid_t pid, inside;

    pid = agent(SIGTERM);
    inside = fork();
    if (inside == 0) {
        pid_t first;

        if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID) < 0)
            _exit(3);
        first = fork();
        if (first == 0)
            _exit(find((struct peer_query){0}, &found, &err) == -ESRCH &&
                          strstr(err.msg, "shareProcessNamespace")
                      ? 0
                      : 1);
        _exit(first > 0 ? WEXITSTATUS(wait_status_of(first)) : 3);
    }
    inside = wait_status_of(inside);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(wait_status_of(pid), SIGKILL);
    if (inside == W_EXITCODE(3, 0))
        cr_skip_test("no process namespace may be made here");
    cr_assert_eq(inside, 0);
}
