/*
 * For bench/supervise.py: starts a supervisor as PID 1 of a PID namespace and takes the time of
 * what it does with its child, which is this program again.
 *
 *   bench_first starts N CLOCKS COMMAND...    N lines: microseconds of start, TERM and end, and the
 *                                             exit status of COMMAND
 *   bench_first orphans CLOCKS COMMAND...     one line: orphans made, left, milliseconds, CPU
 *                                             milliseconds of COMMAND
 *   bench_first child CLOCKS [ORPHANS]        what COMMAND has to run; ends with 42 on TERM
 *
 * CLOCKS is a file that launcher and child share in memory. Both read CLOCK_MONOTONIC, which all
 * processes of a machine have in common. As an ordinary user the namespace comes with a user
 * namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    AGENT_CODE = 42,
    SETTLE_US = 30 * 1000,      /* between the child's first instruction and TERM */
    LOOK_US = 50,               /* how often a clock is looked at */
    PATIENCE_US = 30 * 1000000, /* then it is lost */
    ORPHANS_MAX = 30000,
};

/* Nanoseconds; 0 = has not happened. */
struct clocks {
    _Atomic int64_t born_ns, term_ns, freed_ns, reaped_ns;
    _Atomic int made, left;
};

static struct clocks *clocks;

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void open_clocks(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0 || ftruncate(fd, sizeof(*clocks)) < 0)
        fail(path);
    clocks = mmap(NULL, sizeof(*clocks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (clocks == MAP_FAILED)
        fail(path);
    (void)close(fd);
}

/* ---- the child ---- */

static void on_term(int signo)
{
    (void)signo;
    clocks->term_ns = now_ns();
    _exit(AGENT_CODE);
}

/* Its parent gone, each waits for the gate to open, then all of them end at once. */
static void make_orphans(int count)
{
    pid_t *orphans = mmap(NULL, ORPHANS_MAX * sizeof(*orphans), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int gate[2];
    int made = 0;
    int left;
    int64_t until;

    if (orphans == MAP_FAILED || pipe(gate) < 0)
        fail("orphans");
    for (; made < count; made++) {
        pid_t parent = fork();
        int status = 1;

        if (parent == 0) {
            pid_t orphan = fork();

            if (orphan == 0) {
                char byte;

                (void)close(gate[1]);
                (void)!read(gate[0], &byte, 1);
                _exit(0);
            }
            orphans[made] = orphan;
            _exit(orphan < 0);
        }
        if (parent < 0 || waitpid(parent, &status, 0) != parent || status != 0)
            break; /* a limit on processes */
    }
    left = made;
    until = now_ns() + (int64_t)PATIENCE_US * 1000;
    clocks->made = made;
    clocks->freed_ns = now_ns();
    (void)close(gate[1]);
    for (int i = 0; i < made && now_ns() < until;) {
        if (kill(orphans[i], 0) == 0) {
            (void)usleep(LOOK_US);
            continue;
        }
        i++;
        left--;
    }
    clocks->left = left;
    clocks->reaped_ns = now_ns();
}

__attribute__((noreturn)) static void child(int argc, char **argv)
{
    int64_t born = now_ns(); /* before anything else: this is what start measures */
    struct sigaction act = {.sa_handler = on_term};
    sigset_t none;

    open_clocks(argv[2]);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    clocks->born_ns = born;
    if (argc > 3)
        make_orphans(atoi(argv[3]) < ORPHANS_MAX ? atoi(argv[3]) : ORPHANS_MAX);
    for (;;)
        (void)pause();
}

/* ---- the launcher ---- */

static pid_t start(char **command)
{
    unsigned long flags = CLONE_NEWPID | SIGCHLD | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    pid_t pid;

    memset((void *)clocks, 0, sizeof(*clocks));
    pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0L);
    if (pid < 0)
        fail("a PID namespace");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a bench that is broken off leaves nobody */
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execvp(command[0], command);
        _exit(127);
    }
    return pid;
}

static bool await(const _Atomic int64_t *clock)
{
    for (int us = 0; *clock == 0; us += LOOK_US) {
        if (us > PATIENCE_US)
            return false;
        (void)usleep(LOOK_US);
    }
    return true;
}

static int end(pid_t pid, bool is_lost)
{
    int status = 0;

    (void)kill(pid, is_lost ? SIGKILL : SIGTERM);
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static double us_between(int64_t from, int64_t to)
{
    return (double)(to - from) / 1000.0;
}

static void starts(int count, char **command)
{
    for (int i = 0; i < count; i++) {
        int64_t began = now_ns();
        pid_t pid = start(command);
        bool is_there = await(&clocks->born_ns);
        int64_t asked;
        int code;

        (void)usleep(SETTLE_US);
        asked = now_ns();
        code = end(pid, !is_there);
        if (is_there && clocks->term_ns != 0)
            printf("%.1f %.1f %.1f %d\n", us_between(began, clocks->born_ns),
                   us_between(asked, clocks->term_ns), us_between(clocks->term_ns, now_ns()), code);
        else
            printf("lost\n");
    }
}

/* Of its first thread, which does the reaping: its own time, not that of those it has reaped. */
static double cpu_ms(pid_t pid)
{
    char path[64];
    long long ns = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    f = fopen(path, "re");
    if (!f || fscanf(f, "%lld", &ns) != 1)
        ns = 0;
    if (f)
        (void)fclose(f);
    return (double)ns / 1e6;
}

static void orphans(char **command)
{
    pid_t pid = start(command);
    bool is_there = await(&clocks->reaped_ns);
    double cpu = cpu_ms(pid);

    (void)end(pid, !is_there);
    printf("%d %d %.1f %.1f\n", clocks->made, is_there ? clocks->left : clocks->made,
           us_between(clocks->freed_ns, clocks->reaped_ns) / 1000.0, cpu);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "child") == 0)
        child(argc, argv);
    if (argc > 4 && strcmp(argv[1], "starts") == 0) {
        open_clocks(argv[3]);
        starts(atoi(argv[2]), argv + 4);
        return 0;
    }
    if (argc > 3 && strcmp(argv[1], "orphans") == 0) {
        open_clocks(argv[2]);
        orphans(argv + 3);
        return 0;
    }
    (void)fprintf(stderr, "usage: see bench/supervise.py\n");
    return 2;
}
