/* What a service manager receives, with a real datagram socket in its place. */
#include "base/fd.h"
#include "notify/notify.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int manager(bool is_abstract, char *ret_path, size_t cap)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t n;

    (void)snprintf(ret_path, cap, is_abstract ? "@notify-test-%d" : "/tmp/notify-test-%d",
                   (int)getpid());
    memcpy(at.sun_path, ret_path, strlen(ret_path));
    n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(ret_path));
    if (is_abstract)
        at.sun_path[0] = '\0';
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    return fd;
}

static void expect(int fd, const char *want)
{
    char got[512];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

    cr_assert_gt(n, 0, "nothing arrived, wanted %s", want);
    got[n] = '\0';
    cr_assert_str_eq(got, want);
}

static void expect_nothing(int fd)
{
    char byte;

    cr_assert_lt(recv(fd, &byte, 1, 0), 0);
}

static void speaks(bool is_abstract)
{
    char path[64];
    int fd = manager(is_abstract, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "10000000", 1);
    cr_assert_eq(notify_new(&n, NULL), 0);
    cr_assert(notify_is_on(n));
    cr_assert_eq(notify_watchdog_interval_ms(n), 5000);
    notify_ready(n, "running\nFAKE=1");
    expect(fd, "READY=1\nSTATUS=running\n");
    notify_status(n, "running");
    expect_nothing(fd);
    notify_status(n, "held");
    expect(fd, "STATUS=held\n");
    notify_stopping(n, "draining");
    expect(fd, "STOPPING=1\nSTATUS=draining\n");
    notify_extend(n, 1500);
    expect(fd, "EXTEND_TIMEOUT_USEC=1500000\n");
    notify_watchdog(n);
    expect(fd, "WATCHDOG=1\n");
    notify_free(n);
    close(fd);
    if (!is_abstract)
        unlink(path);
}

Test(notify, speaks_to_a_socket_with_a_path)
{
    speaks(false);
}

Test(notify, speaks_to_an_abstract_socket)
{
    speaks(true);
}

Test(notify, does_nothing_without_a_manager)
{
    struct notify *n = NULL;

    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "10000000", 1);
    cr_assert_eq(notify_new(&n, NULL), 0);
    cr_assert_not(notify_is_on(n));
    cr_assert_eq(notify_watchdog_interval_ms(n), 0);
    notify_ready(n, "running");
    notify_free(n);
}

Test(notify, a_manager_that_went_away_is_no_failure)
{
    char path[64];
    int fd = manager(false, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    cr_assert_eq(notify_new(&n, NULL), 0);
    close(fd);
    unlink(path);
    notify_ready(n, "running");
    notify_watchdog(n);
    notify_free(n);
}

Test(notify, anothers_watchdog_is_not_fed)
{
    char path[64];
    int fd = manager(false, path, sizeof(path));
    struct notify *n = NULL;

    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "10000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    cr_assert_eq(notify_new(&n, NULL), 0);
    cr_assert_eq(notify_watchdog_interval_ms(n), 0);
    notify_free(n);
    close(fd);
    unlink(path);
}

/* In a process of its own: descriptors 3 and 4 belong to the test runner here. */
static int handed_over(const char *pid_text)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char pid[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0 || dup2(fd, 4) != 4 ||
        dup2(open("/dev/null", O_RDONLY), 3) != 3)
        return 99;
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_PID", pid_text ? pid_text : pid, 1);
    return notify_listen_fd() + 1;
}

static int in_a_process(const char *pid_text)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(handed_over(pid_text));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status) - 1;
}

Test(notify, takes_the_first_listening_socket_it_was_handed)
{
    cr_assert_eq(in_a_process(NULL), 4);
}

Test(notify, leaves_sockets_that_were_handed_to_another_process)
{
    cr_assert_eq(in_a_process("1"), -1);
}
