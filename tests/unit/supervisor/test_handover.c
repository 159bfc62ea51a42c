/* What the child is given: descriptors, LISTEN_PID, umask, limits, identity. Real processes. */
#include "supervisor/handover.h"

#include "supervisor/spawn.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef MAY_WAIT
#define MAY_WAIT false /* true: the same cases once more, from the file that includes this one */
#endif

enum { SPAWN_WAIT_MS = 60000 };

static struct process_origin origin;
static char path_variable[] = "PATH=/usr/bin:/bin";

static void setup(void)
{
    scratch_make();
    origin.umask = umask(077);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &origin.nofile), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &origin.core), 0);
    signals_block_all(&origin.signals);
}

TestSuite(handover, .init = setup, .fini = scratch_remove, .timeout = 300);

/* Runs a shell script with the gifts; 1 it ran and its wait status is 0, else spawn's -errno. */
static int run_env(const struct child_gifts *gifts, const char *script, char *more, struct err *err)
{
    char text[1024];
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, text, NULL};
    char *env[] = {path_variable, more, NULL};
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .origin = &origin,
                                     .gifts = gifts};
    struct spawn sp;
    int wait_status = 0;
    int r;

    (void)snprintf(text, sizeof(text), "%s", script);
    r = spawn_start(&rq, &sp, err);
    cr_assert_eq(r, 0, "%s", err->msg);
    struct pollfd p = {.fd = sp.fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, SPAWN_WAIT_MS), 1);
    r = spawn_outcome(&rq, &sp, err);
    cr_assert_eq(waitpid(sp.pid, &wait_status, 0), sp.pid);
    spawn_release(&sp);
    if (r == 1)
        cr_assert_eq(wait_status, 0, "the script failed: %s", script);
    return r;
}

static void run(const struct child_gifts *gifts, const char *script)
{
    struct err err = {0};

    cr_assert_eq(run_env(gifts, script, NULL, &err), 1, "%s", err.msg);
}

/* A file that holds one word, open for reading. */
static int word_file(const char *name, const char *word)
{
    int fd = open(scratch_file(name, word, 0600), O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    return fd;
}

Test(handover, descriptors_come_under_their_numbers_whatever_stood_there)
{
    int one = word_file("one", "one\n"), two = word_file("two", "two\n");
    struct child_fd fds[3];
    char script[256];

    /* crossed on purpose: each stands where the other has to go */
    fds[0] = (struct child_fd){.fd = one, .as = two};
    fds[1] = (struct child_fd){.fd = two, .as = one};
    fds[2] = (struct child_fd){.fd = -1, .as = 90};
    const struct child_gifts gifts = {.fds = fds, .fd_count = 3};

    (void)snprintf(script, sizeof(script),
                   "test \"$(cat /proc/self/fd/%d)\" = one && "
                   "test \"$(cat /proc/self/fd/%d)\" = two && "
                   "test ! -e /proc/$$/fd/90 && test $(ls /proc/$$/fd | wc -l) -le 6",
                   two, one);
    run(&gifts, script);
}

Test(handover, the_way_home_survives_a_number_that_it_stands_on)
{
    int word = word_file("word", "word\n");
    char *argv[] = {(char[]){"/no/such/program"}, NULL};
    char *env[] = {path_variable, NULL};
    struct child_fd fds[40];
    struct err err = {0};
    struct spawn sp;

    for (int i = 0; i < 40; i++) /* the pipe is surely among them */
        fds[i] = (struct child_fd){.fd = word, .as = 3 + i};
    const struct child_gifts gifts = {.fds = fds, .fd_count = 40};
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .origin = &origin,
                                     .gifts = &gifts};

    cr_assert_eq(spawn_start(&rq, &sp, &err), 0);
    struct pollfd p = {.fd = sp.fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, SPAWN_WAIT_MS), 1);
    cr_assert_eq(spawn_outcome(&rq, &sp, &err), -ENOENT);
    cr_assert_eq(waitpid(sp.pid, NULL, 0), sp.pid);
    spawn_release(&sp);
    run(&gifts, "read w <&3 && test \"$w\" = word && test -e /proc/$$/fd/42");
}

Test(handover, LISTEN_PID_is_the_childs_own)
{
    char own[] = "LISTEN_PID=" SPAWN_PID_TO_COME;
    char others[] = "LISTEN_PID=17";
    struct err err = {0};

    cr_assert_eq(run_env(NULL, "test \"$LISTEN_PID\" = $$", own, &err), 1, "%s", err.msg);
    cr_assert_str_eq(own, "LISTEN_PID=" SPAWN_PID_TO_COME, "ours stays as it was");
    cr_assert_eq(run_env(NULL, "test \"$LISTEN_PID\" = 17", others, &err), 1, "%s", err.msg);
}

Test(handover, pids_are_written_in_decimal)
{
    static const struct {
        pid_t pid;
        const char *text;
    } cases[] = {{1, "1"}, {10, "10"}, {4194304, "4194304"}, {2147483647, "2147483647"}};
    char at[] = SPAWN_PID_TO_COME;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        handover_pid(at, sizeof(at) - 1, cases[i].pid);
        cr_expect_str_eq(at, cases[i].text);
    }
}

Test(handover, umask_and_limits)
{
    const struct child_limit limits[] = {
        {RLIMIT_NOFILE, "nofile", {64, 128}},
        {RLIMIT_CORE, "core", {0, 0}},
        {RLIMIT_FSIZE, "fsize", {1024 * 1024, 1024 * 1024}},
    };
    const struct child_gifts gifts = {
        .has_umask = true, .umask = 027, .limits = limits, .limit_count = 3};

    run(&gifts, "test $(umask) = 0027 && test $(ulimit -Sn) = 64 && test $(ulimit -Hn) = 128 && "
                "test $(ulimit -Hc) = 0");
    origin.umask = 022;
    run(NULL, "test $(umask) = 0022");
}

Test(handover, a_limit_that_is_refused_is_named)
{
    const struct child_limit limits[] = {
        {RLIMIT_CORE, "core", {0, 0}},
        {RLIMIT_NOFILE, "nofile", {RLIM_INFINITY, RLIM_INFINITY}}, /* over fs.nr_open: EPERM */
    };
    const struct child_gifts gifts = {.limits = limits, .limit_count = 2};
    struct err err = {0};

    cr_assert_eq(run_env(&gifts, "true", NULL, &err), -EPERM);
    cr_assert(strstr(err.msg, "cannot start /bin/sh with the limit nofile (agent.limits): "
                              "Operation not permitted: above the hard limit"),
              "%s", err.msg);
}

Test(handover, another_user_in_all_its_parts_and_it_still_dies_with_us)
{
    gid_t groups[] = {23, 42};
    const struct user u = {
        .is_set = true, .uid = 4711, .gid = 23, .groups = groups, .group_count = 2};
    const struct child_gifts gifts = {.run_as = &u};
    char script[512];

    if (geteuid() != 0)
        cr_skip_test("needs root");
    (void)snprintf(script, sizeof(script),
                   "grep -q '^Uid:.4711.4711.4711.4711' /proc/$$/status && "
                   "grep -q '^Gid:.23.23.23.23' /proc/$$/status && "
                   "grep -q '^Groups:.23 42 *$' /proc/$$/status && "
                   "grep -q '^CapEff:.0000000000000000' /proc/$$/status");
    run(&gifts, script);
}

/* A uid change clears PR_SET_PDEATHSIG: it has to be asked for after it. */
Test(handover, a_child_of_another_user_dies_with_us_too)
{
    gid_t groups[] = {23};
    const struct user u = {
        .is_set = true, .uid = 4711, .gid = 23, .groups = groups, .group_count = 1};
    const struct child_gifts gifts = {.run_as = &u};
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    char *env[] = {path_variable, NULL};
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .origin = &origin,
                                     .gifts = &gifts};
    int ends[2];
    pid_t middle, child = 0;
    int wait_status;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    cr_assert_eq(pipe(ends), 0);
    middle = fork();
    if (middle == 0) {
        struct spawn sp;
        struct pollfd p;

        if (spawn_start(&rq, &sp, NULL) < 0)
            _exit(1);
        p = (struct pollfd){.fd = sp.fd, .events = POLLIN};
        (void)poll(&p, 1, SPAWN_WAIT_MS);
        (void)!write(ends[1], &sp.pid, sizeof(sp.pid));
        (void)raise(SIGKILL);
    }
    cr_assert_eq(read(ends[0], &child, sizeof(child)), (ssize_t)sizeof(child));
    cr_assert_eq(waitpid(middle, NULL, 0), middle);
    cr_assert_eq(waitpid(child, &wait_status, 0), child);
    cr_assert_eq(wait_status, SIGKILL);
}

Test(handover, what_that_user_may_not_execute_is_said_with_its_number)
{
    gid_t groups[] = {23};
    const struct user u = {
        .is_set = true, .uid = 4711, .gid = 23, .groups = groups, .group_count = 1};
    const struct child_gifts gifts = {.run_as = &u};
    char *argv[] = {NULL, NULL};
    char *env[] = {path_variable, NULL};
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .origin = &origin,
                                     .gifts = &gifts};
    static const struct {
        mode_t dir, file;
        const char *piece;
    } cases[] = {{0755, 0700, "it is not executable for uid 4711: mode 0700, owner 0 of 0"},
                 {0700, 0755, "uid 4711 (agent.user) may not enter the directory /"}};

    if (geteuid() != 0)
        cr_skip_test("needs root");
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        struct spawn sp;

        argv[0] = strdup(scratch_file("agent", "#!/bin/sh\n", cases[i].file));
        cr_assert_eq(chmod(scratch, cases[i].dir), 0);
        cr_assert_eq(spawn_start(&rq, &sp, &err), 0);
        struct pollfd p = {.fd = sp.fd, .events = POLLIN};

        cr_assert_eq(poll(&p, 1, SPAWN_WAIT_MS), 1);
        cr_assert_eq(spawn_outcome(&rq, &sp, &err), -EACCES);
        cr_assert(strstr(err.msg, cases[i].piece), "wanted \"%s\" in: %s", cases[i].piece, err.msg);
        cr_assert_eq(waitpid(sp.pid, NULL, 0), sp.pid);
        spawn_release(&sp);
        free(argv[0]);
    }
}

/* In a process of its own: there is no way back to root. */
static int try_without_rights(void)
{
    gid_t groups[] = {23};
    const struct user u = {
        .is_set = true, .uid = 4711, .gid = 23, .groups = groups, .group_count = 1};
    const struct child_gifts gifts = {.run_as = &u};
    struct err err = {0};

    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 1;
    if (run_env(&gifts, "true", NULL, &err) != -EPERM ||
        !strstr(err.msg, "cannot start /bin/sh as uid 4711, gid 23 (agent.user): Operation not "
                         "permitted: it takes CAP_SETUID and CAP_SETGID"))
        return 2;
    if (user_can_become(&u, &err) != -EPERM ||
        !strstr(err.msg, "lack CAP_SETUID, without which we cannot become another user"))
        return 3;
    return 0;
}

Test(handover, without_the_right_the_sentence_says_what_it_takes)
{
    pid_t pid = fork();
    int wait_status;

    if (pid == 0)
        _exit(try_without_rights());
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, 0, "step %d", WEXITSTATUS(wait_status));
}
