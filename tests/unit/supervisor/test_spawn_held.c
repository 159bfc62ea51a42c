/* What test_spawn.c tests, for a child that is in our memory until exec, and what is ours alone. */
#define MAY_WAIT true
#include "test_spawn.c"

/* Only a call that shares our memory is let through. */
static void refuse_fork(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VM, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

Test(spawn, nothing_of_ours_is_copied_for_it)
{
    char *argv[] = {(char[]){"true"}, NULL};
    const struct spawn_request with_terminal = {.may_wait = true,
                                                .takes_terminal = true,
                                                .argv = argv,
                                                .envp = env,
                                                .cwd = "",
                                                .origin = &origin};
    struct spawn sp;
    struct err err = {0};

    refuse_fork();
    cr_assert_eq(run("", argv), 0);
    cr_assert_eq(spawn_start(&with_terminal, &sp, &err), -EPERM, "a Ctrl-Z could stop it halfway");
    spawn_release(&sp);
}

Test(spawn, what_the_child_sets_is_not_set_here)
{
    char *argv[] = {(char[]){"true"}, NULL};
    struct sigaction act;
    sigset_t before, after;
    mode_t mask;
    char dir[PATH_MAX], dir_after[PATH_MAX];

    origin.umask = 022;
    cr_assert_eq(sigprocmask(SIG_SETMASK, NULL, &before), 0);
    cr_assert_not_null(getcwd(dir, sizeof(dir)));
    cr_assert_eq(run("/", argv), 0);
    cr_assert_eq(sigprocmask(SIG_SETMASK, NULL, &after), 0);
    cr_assert_eq(memcmp(&before, &after, sizeof(before)), 0);
    cr_assert_eq(sigismember(&after, SIGTERM), 1);
    cr_assert_eq(sigaction(SIGPIPE, NULL, &act), 0);
    cr_assert_eq(act.sa_handler, SIG_IGN);
    mask = umask(077);
    cr_assert_eq(mask, 077);
    cr_assert_str_eq(getcwd(dir_after, sizeof(dir_after)), dir);
    cr_assert_eq(getpgid(0), getpgrp());
}

/* The place where the child wrote the number of its failed step must be the pipe, not our memory.
 */
Test(spawn, one_failure_after_another_leaves_nothing_behind)
{
    struct err err = {0};
    pid_t pid;
    char *argv[] = {(char[]){"true"}, NULL};

    for (int i = 0; i < 100; i++) {
        cr_assert_eq(spawn_in("/no/such/directory", argv, env, &pid, &err), -ENOENT);
        cr_assert(strstr(err.msg, "agent.cwd"), "%s", err.msg);
        cr_assert_eq(run("", argv), 0);
    }
}
