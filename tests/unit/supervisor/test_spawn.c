#include "supervisor/spawn.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAY_WAIT
#define MAY_WAIT false /* true: the same cases once more, from the file that includes this one */
#endif

enum { SPAWN_WAIT_MS = 60000 };

static struct process_origin origin;
static char path_variable[] = "PATH=/usr/bin:/bin";
static char *env[] = {path_variable, NULL};

static void setup(void)
{
    /* whatever nohup, or a shell that has started us in the background, makes us ignore */
    for (int signo = SIGHUP; signo <= SIGQUIT; signo++)
        (void)signal(signo, SIG_DFL);
    scratch_make();
    origin.umask = umask(077);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &origin.nofile), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &origin.core), 0);
    signals_block_all(&origin.signals);
}

TestSuite(spawn, .init = setup, .fini = scratch_remove, .timeout = 300);

/* Spawns, waits for the outcome; 1 or a negative errno with a sentence. *ret_pid when it runs. */
static int spawn_in(const char *cwd, char *const *argv, char *const *envp, pid_t *ret_pid,
                    struct err *err)
{
    const struct spawn_request rq = {
        .may_wait = MAY_WAIT, .argv = argv, .envp = envp, .cwd = cwd, .origin = &origin};
    struct spawn sp;
    int r = spawn_start(&rq, &sp, err);

    if (r < 0) {
        cr_assert_eq(sp.pid, 0);
        cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "nothing was forked");
        return r;
    }
    struct pollfd p = {.fd = sp.fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, SPAWN_WAIT_MS), 1);
    r = spawn_outcome(&rq, &sp, err);
    cr_assert_neq(r, 0);
    if (r < 0) {
        int wait_status;

        cr_assert_eq(waitpid(sp.pid, &wait_status, 0), sp.pid);
        cr_assert_eq(wait_status, W_EXITCODE(127, 0));
    } else {
        *ret_pid = sp.pid;
    }
    spawn_release(&sp);
    return r;
}

static int run(const char *cwd, char *const *argv)
{
    struct err err = {0};
    pid_t pid = 0;
    int wait_status;

    cr_assert_eq(spawn_in(cwd, argv, env, &pid, &err), 1, "%s", err.msg);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    return wait_status;
}

static char *dup_arg(const char *text)
{
    char *copy = strdup(text);

    cr_assert_not_null(copy);
    return copy;
}

static void expect_failure_env(const char *program, char *const *envp, int code, const char *piece)
{
    struct err err = {0};
    pid_t pid;
    char *name = dup_arg(program);
    char *argv[] = {name, NULL};
    char start[PATH_MAX];

    cr_assert_eq(spawn_in("", argv, envp, &pid, &err), code, "%s: %s", program, err.msg);
    (void)snprintf(start, sizeof(start), "cannot exec %s: ", program);
    cr_assert_eq(strncmp(err.msg, start, strlen(start)), 0, "%s", err.msg);
    cr_assert(strstr(err.msg, piece), "wanted \"%s\" in: %s", piece, err.msg);
    cr_assert(spawn_failure_is_permanent(code));
    free(name);
}

static void expect_failure(const char *program, int code, const char *piece)
{
    expect_failure_env(program, env, code, piece);
}

Test(spawn, a_missing_program_names_where_it_was_looked_for)
{
    expect_failure("no-such-agent", -ENOENT,
                   "No such file or directory (looked in PATH /usr/bin:/bin)");
    expect_failure(scratch_path("my-agent"), -ENOENT, "No such file or directory");
    cr_assert_eq(chdir(scratch), 0);
    char piece[PATH_MAX];

    (void)snprintf(piece, sizeof(piece), "No such file or directory (looked in %s)", scratch);
    expect_failure("./my-agent", -ENOENT, piece);
    expect_failure("", -ENOENT, "No such file");
}

Test(spawn, a_dangling_link_names_its_target)
{
    const char *link = scratch_path("agent");

    cr_assert_eq(symlink("/nowhere/agent", link), 0);
    expect_failure(link, -ENOENT, "is a symbolic link to /nowhere/agent, which does not exist");
}

Test(spawn, a_file_without_x_names_mode_and_fix)
{
    const char *file = scratch_file("agent", "#!/bin/sh\n", 0644);

    expect_failure(file, -EACCES, "Permission denied (it is not executable, mode 0644: chmod +x /");
}

Test(spawn, a_file_without_x_in_PATH_is_found_and_said)
{
    char variable[PATH_MAX];
    char *own_env[] = {variable, NULL};

    scratch_file("agent", "#!/bin/sh\n", 0644);
    (void)snprintf(variable, sizeof(variable), "PATH=/usr/bin:%s:/bin", scratch);
    expect_failure_env("agent", own_env, -EACCES, "it is not executable, mode 0644: chmod +x /");
}

Test(spawn, a_directory_is_called_one)
{
    expect_failure(scratch, -EACCES, "is a directory: name a program in it");
}

Test(spawn, a_missing_interpreter_is_named)
{
    expect_failure(scratch_file("agent.py", "#!/usr/bin/pyton3 -u\nprint()\n", 0755), -ENOENT,
                   "its interpreter /usr/bin/pyton3 does not exist");
    expect_failure(scratch_file("dos.sh", "#!/bin/sh\r\nexit 0\r\n", 0755), -ENOENT,
                   "its first line ends in CR LF, so that its interpreter reads as \"/bin/sh\\r\"");
    expect_failure(scratch_file("short.py", "#!python3\n", 0755), -ENOENT,
                   "its interpreter \"python3\" is no path: write #!/usr/bin/env python3");
    expect_failure(scratch_file("dir.sh", "#!/tmp\n", 0755), -EACCES,
                   "its interpreter /tmp is not an executable file");
}

Test(spawn, a_missing_loader_is_named)
{
    struct {
        Elf64_Ehdr e;
        Elf64_Phdr p;
        char loader[32];
    } elf = {
        .e = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
              .e_type = ET_EXEC,
#if defined(__x86_64__)
              .e_machine = EM_X86_64,
#else
              .e_machine = EM_AARCH64,
#endif
              .e_version = EV_CURRENT,
              .e_phoff = sizeof(Elf64_Ehdr),
              .e_ehsize = sizeof(Elf64_Ehdr),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phnum = 1},
        .loader = "/lib/ld-nowhere.so.1",
    };

    elf.p = (Elf64_Phdr){.p_type = PT_INTERP,
                         .p_offset = offsetof(__typeof__(elf), loader),
                         .p_filesz = strlen(elf.loader) + 1,
                         .p_memsz = strlen(elf.loader) + 1};
    expect_failure(scratch_file_bytes("agent", &elf, sizeof(elf), 0755), -ENOENT,
                   "its loader /lib/ld-nowhere.so.1 does not exist");
}

Test(spawn, what_no_kernel_can_run_says_why)
{
    Elf64_Ehdr foreign = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_RISCV};
    Elf64_Ehdr big = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2MSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = __builtin_bswap16(EM_S390)};
    char script[PATH_MAX];

    expect_failure(scratch_file("empty", "", 0755), -ENOEXEC, "Exec format error (it is empty)");
    expect_failure(scratch_file_bytes("data", "ab\0cd\n", 6, 0755), -ENOEXEC, "Exec format error");
    expect_failure(scratch_file_bytes("foreign", &foreign, sizeof(foreign), 0755), -ENOEXEC,
                   "it was built for riscv, this machine is ");
    expect_failure(scratch_file_bytes("big", &big, sizeof(big), 0755), -ENOEXEC,
                   "it was built for s390x, this machine is ");
    (void)snprintf(script, sizeof(script), "#!%s\n", scratch_path("foreign"));
    expect_failure(scratch_file("by-foreign", script, 0755), -ENOEXEC,
                   "foreign was built for riscv, this machine is ");
    expect_failure(scratch_file("marked", "\xEF\xBB\xBF#!/bin/sh\n", 0755), -ENOEXEC,
                   "it begins with a byte order mark, which hides its #! line");
    expect_failure(scratch_file("nameless", "#! \n", 0755), -ENOEXEC,
                   "its #! line names no interpreter");
}

Test(spawn, a_script_without_a_first_line_is_the_shells)
{
    static const char text[] = "echo \"$0:$#:$1:$2\" >out\nexit 7\n";
    char *by_path = dup_arg(scratch_file("plain", text, 0755));
    char by_name[] = "plain", first[] = "a b", second[] = "-c", wanted[PATH_MAX];
    char *argv[] = {by_path, first, second, NULL};
    char *found[] = {by_name, NULL};
    char search[PATH_MAX];
    char *in_path[] = {search, NULL};
    struct err err = {0};
    pid_t pid = 0;
    int wait_status;

    cr_expect_eq(run(scratch, argv), W_EXITCODE(7, 0));
    (void)snprintf(wanted, sizeof(wanted), "%s:2:a b:-c\n", by_path);
    cr_expect_str_eq(scratch_read("out"), wanted);

    (void)snprintf(search, sizeof(search), "PATH=/nowhere:%s", scratch);
    cr_assert_eq(spawn_in(scratch, found, in_path, &pid, &err), 1, "%s", err.msg);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_expect_eq(wait_status, W_EXITCODE(7, 0));
    (void)snprintf(wanted, sizeof(wanted), "%s:0::\n", by_path);
    cr_expect_str_eq(scratch_read("out"), wanted);
    free(by_path);
}

Test(spawn, a_script_that_the_shell_cannot_read_is_an_error)
{
    if (geteuid() == 0)
        cr_skip_test("root may read everything");
    expect_failure(scratch_file("closed", "echo hello\n", 0111), -ENOEXEC, "it has no #! line");
}

Test(spawn, a_path_through_a_file_or_a_missing_directory_names_the_part)
{
    scratch_file("file", "", 0644);
    expect_failure(scratch_path("file/agent"), -ENOTDIR, "file is not a directory)");
    expect_failure(scratch_path("none/agent"), -ENOENT, "there is no directory /");
}

Test(spawn, links_in_a_circle_are_called_so)
{
    cr_assert_eq(symlink(scratch_path("b"), scratch_path("a")), 0);
    cr_assert_eq(symlink(scratch_path("a"), scratch_path("b")), 0);
    expect_failure(scratch_path("a"), -ELOOP, "go around in a circle");
}

Test(spawn, a_program_that_is_being_written_is_busy)
{
    const char *file = scratch_path("agent");
    char command[PATH_MAX];
    char *argv[] = {dup_arg(file), NULL};
    struct err err = {0};
    pid_t pid;
    int fd;

    (void)snprintf(command, sizeof(command), "cp /bin/true '%s'", file);
    cr_assert_eq(system(command), 0);
    fd = open(argv[0], O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(spawn_in("", argv, env, &pid, &err), -ETXTBSY);
    cr_assert(strstr(err.msg, "Text file busy (somebody has it open for writing)"), "%s", err.msg);
    cr_assert_not(spawn_failure_is_permanent(-ETXTBSY), "it heals");
    (void)close(fd);
    free(argv[0]);
}

Test(spawn, a_file_system_without_exec_is_named)
{
    char *argv[] = {dup_arg(scratch_path("agent")), NULL};
    struct err err = {0};
    pid_t pid;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", scratch, "tmpfs", MS_NOEXEC, "size=64k") < 0) {
        free(argv[0]);
        cr_skip_test("needs the right to mount");
    }
    scratch_file("agent", "#!/bin/sh\n", 0755);
    cr_assert_eq(spawn_in("", argv, env, &pid, &err), -EACCES);
    cr_assert(strstr(err.msg, "agent is mounted noexec)"), "%s", err.msg);
    cr_assert_eq(umount(scratch), 0);
    free(argv[0]);
}

Test(spawn, a_directory_of_PATH_that_is_closed_to_us_is_no_find)
{
    char variable[PATH_MAX];
    char *own_env[] = {variable, NULL};
    char *argv[] = {(char[]){"true"}, NULL};
    struct err err = {0};
    pid_t pid;

    (void)snprintf(variable, sizeof(variable), "PATH=%s/missing::%s:/usr/bin", scratch, scratch);
    cr_assert_eq(mkdir(scratch_path("true"), 0755), 0);
    cr_assert_eq(spawn_in("", argv, own_env, &pid, &err), 1, "a directory is not it: %s", err.msg);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(spawn, too_many_arguments_are_said_so)
{
    enum { HUGE_BYTES = 256 * 1024 }; /* one string may have 128 KiB (MAX_ARG_STRLEN) */
    char *huge = malloc(HUGE_BYTES);
    char *argv[] = {(char[]){"/bin/true"}, huge, NULL};
    struct err err = {0};
    pid_t pid;

    memset(huge, 'x', HUGE_BYTES - 1);
    huge[HUGE_BYTES - 1] = '\0';
    cr_assert_eq(spawn_in("", argv, env, &pid, &err), -E2BIG);
    cr_assert(strstr(err.msg, "Argument list too long (arguments and environment together"));
    free(huge);
}

Test(spawn, the_working_directory_counts_for_the_search_too)
{
    char *argv[] = {(char[]){"./agent"}, NULL};
    char *bare[] = {(char[]){"agent"}, NULL};
    char *relative_env[] = {(char[]){"PATH=."}, NULL};
    struct err err = {0};
    pid_t pid;
    int wait_status;

    scratch_file("agent", "#!/bin/sh\npwd > where\nexit 3\n", 0755);
    cr_assert_eq(run(scratch, argv), W_EXITCODE(3, 0));
    cr_assert_eq(strncmp(scratch_read("where"), scratch, strlen(scratch)), 0);
    cr_assert_eq(spawn_in(scratch, bare, relative_env, &pid, &err), 1, "%s", err.msg);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, W_EXITCODE(3, 0));
}

Test(spawn, a_missing_working_directory_names_its_key)
{
    char *argv[] = {(char[]){"true"}, NULL};
    struct err err = {0};
    pid_t pid;

    cr_assert_eq(spawn_in("/no/such/place", argv, env, &pid, &err), -ENOENT);
    cr_assert_str_eq(err.msg, "cannot change to directory /no/such/place (agent.cwd): No such file "
                              "or directory");
}

Test(spawn, without_a_PATH_the_usual_places_are_searched)
{
    char *argv[] = {(char[]){"true"}, NULL};
    char *empty_env[] = {NULL};
    struct err err = {0};
    pid_t pid;

    cr_assert_eq(spawn_in("", argv, empty_env, &pid, &err), 1, "%s", err.msg);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* ---- the child gets back what we were started with ---- */

/* Programs that start with what they get and show it; a shell would tidy up first. */
static char *show_status[] = {(char[]){"cat"}, (char[]){"/proc/self/status"},
                              (char[]){"/proc/self/limits"}, NULL};
static char *show_descriptors[] = {(char[]){"ls"}, (char[]){"/proc/self/fd"}, NULL};

static void stdout_to(const char *name)
{
    int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_eq(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    (void)close(fd);
}

static void plain_fork(char *const *argv)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)execvp(argv[0], argv);
        _exit(126);
    }
    while (waitpid(pid, NULL, 0) == pid) {
        /* with CHLD ignored it only returns when the child is gone, with ECHILD */
    }
}

/* The lines of /proc/self/status that exec hands on, and the limits. */
static char *comparable(const char *name)
{
    static const char *const keep[] = {"Umask:",      "SigBlk:",  "SigIgn:", "SigCgt:", "Cap",
                                       "NoNewPrivs:", "Seccomp:", "Groups:", "Uid:",    "Max "};
    char *text = dup_arg(scratch_read(name));
    char *ret = calloc(1, strlen(text) + 1);
    char *rest = text;

    for (char *line; (line = strsep(&rest, "\n"));) {
        for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
            if (strncmp(line, keep[i], strlen(keep[i])) == 0) {
                (void)sprintf(ret + strlen(ret), "%s\n", line);
            }
        }
    }
    free(text);
    return ret;
}

/* An unusual start: USR2 blocked, HUP and CHLD ignored, a low limit, a loose umask. */
static void odd_start(void)
{
    struct sigaction act = {.sa_handler = SIG_IGN};
    struct rlimit limit;
    sigset_t odd;

    sigemptyset(&odd);
    sigaddset(&odd, SIGUSR2);
    sigprocmask(SIG_SETMASK, &odd, NULL);
    sigaction(SIGHUP, &act, NULL);
    sigaction(SIGCHLD, &act, NULL);
    act.sa_handler = SIG_DFL;
    sigaction(SIGPIPE, &act, NULL);
    umask(027);
    limit = (struct rlimit){.rlim_cur = 200, .rlim_max = 4000};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    limit.rlim_cur = limit.rlim_max > 4096 ? 4096 : limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_CORE, &limit), 0);
}

/* What main() does with it. */
static void as_main_does(void)
{
    struct rlimit limit;

    memset(&origin, 0, sizeof(origin));
    signals_block_all(&origin.signals);
    origin.umask = umask(077);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &origin.nofile), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &origin.core), 0);
    limit = origin.nofile;
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    limit = (struct rlimit){.rlim_cur = 0, .rlim_max = origin.core.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_CORE, &limit), 0);
    cr_assert_eq(prctl(PR_SET_DUMPABLE, 0), 0);
    cr_assert_eq(dup2(0, 77), 77, "a descriptor that is not close-on-exec");
}

/* The ignored signals, but for 32 and 33: those are the C library's own, and test runners may have
 * left them ignored. */
static unsigned long long ignored_in(const char *status)
{
    unsigned long long set = 0;
    const char *line = strstr(status, "SigIgn:");

    cr_assert_not_null(line);
    cr_assert_eq(sscanf(line, "SigIgn: %llx", &set), 1);
    return set & ~(3ULL << 31);
}

static void compare_with_and_without(void)
{
    char *without, *with;

    odd_start();
    stdout_to("without");
    plain_fork(show_status);
    as_main_does();
    stdout_to("with");
    run("", show_status);
    without = comparable("without");
    with = comparable("with");
    cr_assert(strstr(without, "SigBlk:\t0000000000000800\n"), "%s", without);
    cr_assert_eq(ignored_in(without), 0x10001, "%s", without);
    cr_assert_str_eq(with, without);
    free(without);
    free(with);

    stdout_to("descriptors");
    run("", show_descriptors);
    cr_assert_str_eq(scratch_read("descriptors"), "0\n1\n2\n3\n", "3 is the listing's own");
}

Test(spawn, the_child_sees_what_we_were_started_with)
{
    compare_with_and_without();
}

static void refuse_close_range(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(spawn, the_same_on_a_kernel_without_close_range)
{
    refuse_close_range();
    compare_with_and_without();
}

Test(spawn, a_group_of_its_own_from_the_first_moment)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    const struct spawn_request rq = {
        .may_wait = MAY_WAIT, .argv = argv, .envp = env, .cwd = "", .origin = &origin};
    struct spawn sp;
    struct err err;
    int wait_status;

    for (int i = 0; i < 20; i++) {
        cr_assert_eq(spawn_start(&rq, &sp, &err), 0);
        cr_assert_eq(kill(-sp.pid, SIGTERM), 0, "before anybody knows whether exec worked");
        cr_assert_eq(waitpid(sp.pid, &wait_status, 0), sp.pid);
        cr_assert_eq(wait_status, SIGTERM);
        spawn_release(&sp);
    }
}

Test(spawn, no_new_privs_when_asked)
{
    char *argv[] = {(char[]){"grep"}, (char[]){"-q"}, (char[]){"NoNewPrivs:.1"},
                    (char[]){"/proc/self/status"}, NULL};
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .no_new_privs = true,
                                     .origin = &origin};
    struct spawn sp;
    struct err err;
    int wait_status;

    cr_assert_eq(run("", argv), W_EXITCODE(1, 0));
    cr_assert_eq(spawn_start(&rq, &sp, &err), 0);
    cr_assert_eq(waitpid(sp.pid, &wait_status, 0), sp.pid);
    cr_assert_eq(wait_status, 0);
    spawn_release(&sp);
}

/* A middle process stands for the sidecar: it spawns, says the pid and is killed. */
Test(spawn, the_child_does_not_outlive_a_killed_sidecar)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    const struct spawn_request rq = {
        .may_wait = MAY_WAIT, .argv = argv, .envp = env, .cwd = "", .origin = &origin};
    int ends[2];
    pid_t middle, child = 0;
    int wait_status;

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

/* ---- every way to end ---- */

Test(spawn, every_exit_code_comes_back)
{
    char code[16];
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"exit $0"}, code, NULL};

    for (int i = 0; i < 256; i++) {
        (void)snprintf(code, sizeof(code), "%d", i);
        const struct child_exit e = {.wait_status = run("", argv)};

        cr_assert_eq(exit_status_of(&e), i);
    }
}

Test(spawn, every_deadly_signal_comes_back)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGABRT, SIGKILL,
                                  SIGSEGV, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2};
    char number[16];
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"ulimit -c 0; kill -$0 $$"},
                    number, NULL};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)snprintf(number, sizeof(number), "%d", signals[i]);
        const struct child_exit e = {.wait_status = run("", argv)};

        cr_assert_eq(exit_status_of(&e), 128 + signals[i]);
    }
}

Test(spawn, its_output_can_be_a_pair_of_pipes)
{
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"echo out; echo err >&2"}, NULL};
    int out[2], err_pipe[2];
    char got[32] = "";
    int fds[2];
    const struct spawn_request rq = {.may_wait = MAY_WAIT,
                                     .argv = argv,
                                     .envp = env,
                                     .cwd = "",
                                     .output = fds,
                                     .origin = &origin};
    struct spawn sp;
    struct err err;
    int wait_status;

    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err_pipe, O_CLOEXEC), 0);
    fds[0] = out[1];
    fds[1] = err_pipe[1];
    cr_assert_eq(spawn_start(&rq, &sp, &err), 0);
    cr_assert_eq(waitpid(sp.pid, &wait_status, 0), sp.pid);
    cr_assert_eq(wait_status, 0);
    cr_assert_eq(read(out[0], got, sizeof(got)), 4);
    cr_assert_eq(strncmp(got, "out\n", 4), 0);
    cr_assert_eq(read(err_pipe[0], got, sizeof(got)), 4);
    cr_assert_eq(strncmp(got, "err\n", 4), 0);
    spawn_release(&sp);
}
