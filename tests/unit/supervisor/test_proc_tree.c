#include "supervisor/proc_tree.h"

#include "base/proc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIFE_S = 280 }; /* what a failed test leaves behind ends by itself */

static pid_t fork_waiting(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(LIFE_S);
        for (;;)
            (void)pause();
    }
    return pid;
}

static void end(pid_t pid)
{
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

TestSuite(proc_tree, .timeout = 300);

Test(proc_tree, children_are_listed_by_both_ways)
{
    enum { COUNT = 100 };
    struct pid_list fast = {0};
    struct pid_list slow = {0};
    pid_t pids[COUNT];

    cr_assert(proc_is_ours());
    cr_assert_eq(proc_children_by_parents(getpid(), &slow), 0);
    cr_assert_eq(slow.n, 0);
    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork_waiting();
    }
    cr_assert_eq(proc_children_by_parents(getpid(), &slow), 0);
    cr_assert_eq(slow.n, COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(pid_list_has(&slow, pids[i]));
    }
    cr_assert_not(pid_list_has(&slow, getpid()));
    if (proc_lists_children()) {
        cr_assert_eq(proc_children(getpid(), &fast), 0);
        cr_assert_eq(fast.n, COUNT);
        cr_assert_arr_eq(fast.v, slow.v, COUNT * sizeof(pid_t));
    }
    for (int i = 0; i < COUNT; i++) {
        end(pids[i]);
    }
    pid_list_release(&fast);
    pid_list_release(&slow);
}

static pid_t forked_by_thread;

static void *fork_and_stay(void *gate)
{
    char byte;

    forked_by_thread = fork_waiting();
    (void)!write(((int *)gate)[1], "x", 1);
    (void)!read(((int *)gate)[2], &byte, 1);
    return NULL;
}

Test(proc_tree, children_of_other_threads_are_children)
{
    struct pid_list l = {0};
    int gate[4];
    pthread_t t;
    char byte;

    if (!proc_lists_children()) {
        cr_skip_test("this kernel lists no children");
    }
    cr_assert_eq(pipe(gate), 0);
    cr_assert_eq(pipe(gate + 2), 0);
    cr_assert_eq(pthread_create(&t, NULL, fork_and_stay, gate), 0);
    cr_assert_eq(read(gate[0], &byte, 1), 1);
    cr_assert_eq(proc_children(getpid(), &l), 0);
    cr_assert(pid_list_has(&l, forked_by_thread));
    cr_assert_eq(write(gate[3], "x", 1), 1);
    cr_assert_eq(pthread_join(t, NULL), 0);
    end(forked_by_thread);
    pid_list_release(&l);
}

Test(proc_tree, the_name_may_look_like_the_rest_of_the_line)
{
    struct proc_facts facts;
    pid_t pid = fork_waiting();

    cr_assert_eq(proc_facts_of(pid, &facts), 0);
    cr_assert_eq(facts.parent, getpid());
    end(pid);
    cr_assert_eq(proc_facts_of(pid, &facts), -ENOENT);

    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_NAME, "a) Z 1 (\n");
        (void)raise(SIGSTOP);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
    cr_assert_eq(proc_facts_of(pid, &facts), 0);
    cr_assert_eq(facts.parent, getpid());
    cr_assert_eq(facts.state, 'T');
    cr_assert_str_eq(facts.name, "a)?Z?1?(?");
    end(pid);
}

Test(proc_tree, a_zombie_has_facts)
{
    struct proc_facts facts;
    siginfo_t si;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    cr_assert_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    cr_assert_eq(proc_facts_of(pid, &facts), 0);
    cr_assert_eq(facts.state, 'Z');
    cr_assert_gt(strlen(facts.name), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(proc_tree, lists_stay_in_order)
{
    struct pid_list l = {0};
    static const pid_t numbers[] = {5, 3, 9, 3, 7, 1, 9};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_eq(pid_list_insert(&l, numbers[i]), 0);
    }
    cr_assert_eq(l.n, 5);
    for (size_t i = 1; i < l.n; i++) {
        cr_assert_lt(l.v[i - 1], l.v[i]);
    }
    cr_assert(pid_list_has(&l, 7));
    cr_assert_not(pid_list_has(&l, 4));
    cr_assert_not(pid_list_has(&l, 10));
    pid_list_release(&l);
    cr_assert_not(pid_list_has(&l, 7));
}
