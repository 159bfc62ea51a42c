#include "supervisor/descendants.h"

#include "base/cleanup.h"
#include "supervisor/reap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Each process of these trees holds the writing end of `alive`: nobody is left when its reading end
 * is at its end. What they are ready for they write into it, a byte each.
 */
static int alive[2];

enum {
    PATIENCE_MS = 30000,
    LOOK_MS = 5,
    LIFE_S = 280, /* what a failed test leaves behind ends by itself */
};

static void setup(void)
{
    cr_assert_eq(pipe2(alive, O_CLOEXEC), 0);
    cr_assert_eq(reap_become_subreaper(), 0);
}

TestSuite(descendants, .init = setup, .timeout = 300);

/* In the child: tell, and wait for the end. */
__attribute__((noreturn)) static void stay(void)
{
    (void)alarm(LIFE_S);
    (void)!write(alive[1], "x", 1);
    for (;;)
        (void)pause();
}

static void wait_for_bytes(int n)
{
    char byte;

    for (int i = 0; i < n; i++) {
        struct pollfd p = {.fd = alive[0], .events = POLLIN};

        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "byte %d of %d did not come", i, n);
        cr_assert_eq(read(alive[0], &byte, 1), 1);
    }
}

static void reap_all(void)
{
    int wait_status;

    for (pid_t pid; (pid = reap_look(&wait_status)) > 0;)
        reap_take(pid);
}

static bool is_everybody_gone(void)
{
    struct pollfd p = {.fd = alive[0], .events = POLLIN};
    char byte;

    while (poll(&p, 1, 0) == 1) {
        if (read(alive[0], &byte, 1) <= 0)
            return true;
    }
    return false;
}

/* What supervisor.c does: again and again, as the dead hand their children to us. */
static void kill_until_gone(void)
{
    (void)close(alive[1]);
    for (int i = 0; i < PATIENCE_MS / LOOK_MS; i++) {
        cr_assert_eq(descendants_kill(), 0);
        reap_all();
        if (is_everybody_gone() && !reap_has_children())
            return;
        (void)poll(NULL, 0, LOOK_MS);
    }
    cr_assert(false, "somebody is still there");
}

static void ask_until_gone(struct descendants_told *told)
{
    (void)close(alive[1]);
    for (int i = 0; i < PATIENCE_MS / LOOK_MS; i++) {
        cr_assert_eq(descendants_ask(told), 0);
        reap_all();
        if (is_everybody_gone() && !reap_has_children())
            return;
        (void)poll(NULL, 0, LOOK_MS);
    }
    cr_assert(false, "somebody is still there");
}

/* A parent that lives, and below it a child in a session of its own. Returns the parent. */
static pid_t fork_parent_and_daemon(void)
{
    pid_t parent = fork();

    if (parent == 0) {
        if (fork() == 0) {
            (void)setsid();
            stay();
        }
        (void)signal(SIGTERM, SIG_IGN); /* it waits for its daemon, whatever it is told */
        stay();
    }
    wait_for_bytes(2);
    return parent;
}

Test(descendants, a_grandchild_whose_parent_lives_is_asked)
{
    struct descendants_told told = {0};
    pid_t parent = fork_parent_and_daemon();
    CLEANUP(str_release) struct str who = {0};

    cr_assert_eq(descendants_describe(&who), 2, "%s", str_z(&who));
    cr_assert_eq(descendants_ask(&told), 0);
    for (int i = 0; i < PATIENCE_MS / LOOK_MS; i++) {
        str_truncate(&who, 0);
        if (descendants_describe(&who) == 1)
            break; /* the daemon is its parent's zombie */
        (void)poll(NULL, 0, LOOK_MS);
    }
    str_truncate(&who, 0);
    cr_assert_eq(descendants_describe(&who), 1, "%s", str_z(&who));
    cr_assert_eq(kill(parent, 0), 0);
    descendants_told_release(&told);
    kill_until_gone();
}

static volatile sig_atomic_t terms;

static void on_term(int signo)
{
    (void)signo;
    terms++;
    (void)!write(alive[1], "t", 1);
}

Test(descendants, nobody_is_asked_twice)
{
    struct descendants_told told = {0};
    struct sigaction act = {.sa_handler = on_term};
    char byte;

    if (fork() == 0) {
        (void)sigaction(SIGTERM, &act, NULL);
        stay();
    }
    wait_for_bytes(1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(descendants_ask(&told), 0);
    wait_for_bytes(1);
    descendants_told_release(&told);
    kill_until_gone();
    cr_assert_eq(read(alive[0], &byte, 1), 0, "no second TERM");
}

Test(descendants, who_is_in_the_group_that_had_its_term_is_not_asked_again)
{
    struct descendants_told told = {0};
    struct sigaction act = {.sa_handler = on_term};
    pid_t leader = fork();

    if (leader == 0) {
        (void)setpgid(0, 0);
        (void)sigaction(SIGTERM, &act, NULL);
        if (fork() == 0)
            stay();
        if (fork() == 0) {
            (void)setpgid(0, 0);
            stay(); /* TERM reaches this one only by the walk */
        }
        stay();
    }
    wait_for_bytes(3);
    told.group = leader;
    cr_assert(descendants_are_in_group(leader));
    cr_assert_not(descendants_are_in_group(getpgrp()));
    cr_assert_eq(descendants_ask(&told), 0);
    wait_for_bytes(1);
    descendants_told_release(&told);
    kill_until_gone();
}

Test(descendants, stopped_ones_wake_to_end)
{
    struct descendants_told told = {0};
    pid_t pid = fork();

    if (pid == 0) {
        stay();
    }
    wait_for_bytes(1);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
    ask_until_gone(&told);
    descendants_told_release(&told);
}

/* A chain: each makes the next and stays; deeper than one sweep looks. */
static void grow(int depth)
{
    if (depth > 0 && fork() == 0) {
        (void)setsid();
        (void)signal(SIGTERM, SIG_IGN);
        grow(depth - 1);
        stay();
    }
}

Test(descendants, a_chain_deeper_than_a_sweep_ends)
{
    enum { DEPTH = DESCENDANTS_DEPTH_MAX + 16 };

    grow(DEPTH);
    wait_for_bytes(DEPTH);
    kill_until_gone();
}

/*
 * A storm, bounded in count by the room in a pipe: each takes a byte per fork, in a session of its
 * own, its parent gone.
 */
__attribute__((noreturn)) static void storm(int seeds)
{
    char byte;

    for (;;) {
        (void)alarm(LIFE_S);
        if (read(seeds, &byte, 1) <= 0)
            stay();
        if (fork() == 0) {
            (void)setsid();
            continue;
        }
        if (byte == 'e') /* every other parent ends: its child becomes ours */
            _exit(0);
    }
}

Test(descendants, a_storm_of_forks_ends)
{
    enum { SEEDS = 3000, STARTED = 200 };
    int seeds[2];

    cr_assert_eq(pipe(seeds), 0);
    cr_assert_geq(fcntl(seeds[1], F_SETPIPE_SZ, 65536), SEEDS);
    for (int i = 0; i < SEEDS; i++)
        cr_assert_eq(write(seeds[1], i % 2 ? "e" : "s", 1), 1);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            (void)close(seeds[1]);
            storm(seeds[0]);
        }
    }
    (void)close(seeds[1]);
    for (int left = SEEDS; left > SEEDS - STARTED;) { /* it is under way */
        cr_assert_eq(ioctl(seeds[0], FIONREAD, &left), 0);
        (void)poll(NULL, 0, 1);
    }
    (void)close(seeds[0]);
    kill_until_gone();
}

Test(descendants, nobody_is_described_when_nobody_is_there)
{
    CLEANUP(str_release) struct str who = {0};

    cr_assert_eq(descendants_describe(&who), 0);
    cr_assert_str_eq(str_z(&who), "0 processes: ");
}
