/* Which of the descriptors that were handed over is whose, by their names. */
#include "base/fd.h"
#include "notify/notify.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST = 3, SET_UP_FAILED = 99 };

static int listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0 ? -1 : fd;
}

/* kinds: a letter for each descriptor from 3 on: L listens, n is /dev/null. */
static int hand_over(const char *kinds, const char *names, const char *pid_text,
                     enum notify_fd which)
{
    char pid[16], count[16];
    int fds[8], n = 0;

    for (; kinds[n]; n++)
        fds[n] = fcntl(kinds[n] == 'L' ? listening() : open("/dev/null", O_RDONLY), F_DUPFD, 100);
    for (int i = 0; i < n; i++) {
        if (dup2(fds[i], FIRST + i) != FIRST + i)
            return SET_UP_FAILED;
    }
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)snprintf(count, sizeof(count), "%d", n);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_PID", pid_text ? pid_text : pid, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
    else
        unsetenv("LISTEN_FDNAMES");
    n = notify_listen_fd(which);
    if (n >= 0 && (!(fcntl(n, F_GETFD) & FD_CLOEXEC) || !(fcntl(n, F_GETFL) & O_NONBLOCK)))
        return SET_UP_FAILED;
    return n + 1;
}

/* In a process of its own: those descriptors belong to the test runner here. */
static int taken(const char *kinds, const char *names, const char *pid_text, enum notify_fd which)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(hand_over(kinds, names, pid_text, which));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_neq(WEXITSTATUS(status), SET_UP_FAILED);
    return WEXITSTATUS(status) - 1;
}

Test(notify_listen, without_names_the_first_listening_socket_is_the_ports)
{
    cr_assert_eq(taken("nL", NULL, NULL, NOTIFY_FD_A2A), 4);
    cr_assert_eq(taken("LL", NULL, NULL, NOTIFY_FD_A2A), 3);
    cr_assert_eq(taken("LL", "", NULL, NOTIFY_FD_A2A), 3);
    cr_assert_eq(taken("nn", NULL, NULL, NOTIFY_FD_A2A), -1);
    cr_assert_eq(taken("L", NULL, NULL, NOTIFY_FD_ADMIN), -1);
    cr_assert_eq(taken("L", NULL, NULL, NOTIFY_FD_KEPT), -1);
}

Test(notify_listen, what_was_handed_to_another_process_is_left)
{
    cr_assert_eq(taken("L", NULL, "1", NOTIFY_FD_A2A), -1);
    cr_assert_eq(taken("L", "a2a", "x", NOTIFY_FD_A2A), -1);
}

Test(notify_listen, names_decide_where_there_are_any)
{
    cr_assert_eq(taken("LLL", "other:admin:a2a", NULL, NOTIFY_FD_A2A), 5);
    cr_assert_eq(taken("LLL", "other:admin:a2a", NULL, NOTIFY_FD_ADMIN), 4);
    cr_assert_eq(taken("LL", "admin:" NOTIFY_KEPT_NAME, NULL, NOTIFY_FD_KEPT), 4);
    cr_assert_eq(taken("nL", "a2a:a2a", NULL, NOTIFY_FD_A2A), 4, "no file, whatever its name");
}

Test(notify_listen, a_unit_without_a_name_for_it_is_as_good_as_none)
{
    cr_assert_eq(taken("LL", "admin:molecule-sidecar@web.socket", NULL, NOTIFY_FD_A2A), 4);
}

Test(notify_listen, the_agents_and_those_of_another_use_are_not_the_ports)
{
    cr_assert_eq(taken("L", "agent", NULL, NOTIFY_FD_A2A), -1);
    cr_assert_eq(taken("LL", "agent-web:x", NULL, NOTIFY_FD_A2A), 4);
    cr_assert_eq(taken("LL", "admin:" NOTIFY_KEPT_NAME, NULL, NOTIFY_FD_A2A), -1);
}

Test(notify_listen, fewer_names_than_descriptors_are_no_trap)
{
    cr_assert_eq(taken("LLL", "agent", NULL, NOTIFY_FD_A2A), 4);
    cr_assert_eq(taken("LL", "agent:", NULL, NOTIFY_FD_A2A), 4);
}
