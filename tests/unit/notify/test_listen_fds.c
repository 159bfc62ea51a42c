/* Which descriptors of a service manager are the agent's. */
#include "notify/listen_fds.h"

#include "notify/notify.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            return __LINE__;                                                                       \
    } while (0)

/* In a process of its own: low numbers are the test runner's here. */
static void in_child(int (*fn)(void))
{
    pid_t pid = fork();
    int wait_status;

    if (pid == 0)
        _exit(fn());
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, 0, "line %d", WEXITSTATUS(wait_status));
}

/* A listening socket under that number, as systemd would leave it. */
static void listen_as(int fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int s = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(s, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s, 1) < 0 || dup2(s, fd) != fd)
        _exit(1);
    if (s != fd)
        close(s);
}

static void hand_over(int count, const char *names)
{
    char text[16];

    for (int i = 0; i < count; i++)
        listen_as(3 + i);
    (void)snprintf(text, sizeof(text), "%d", count);
    setenv("LISTEN_FDS", text, 1);
    (void)snprintf(text, sizeof(text), "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

static int named(void)
{
    struct listen_fds l;

    hand_over(5, "agent-metrics:a2a:agent:agentx:agent-http");
    CHECK(listen_fds_of_agent(&l, NULL) == 0);
    CHECK(l.n == 3);
    CHECK(l.fd[0] == 3 && l.fd[1] == 5 && l.fd[2] == 7);
    CHECK(strcmp(str_z(&l.names), "metrics:agent:http") == 0);
    CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC);
    CHECK(notify_listen_fd(NOTIFY_FD_A2A) == 4);
    CHECK(listen_fds_count() == 5);
    CHECK(listen_name_is_agents(listen_fds_name(0)));
    CHECK(!listen_name_is_agents(listen_fds_name(1)) && !listen_name_is_agents(listen_fds_name(3)));
    CHECK(listen_fds_name(5).n == 0);
    CHECK(!listen_name_is_agents(SLICE("agent-web.socket"))); /* a unit's own name is no name */
    listen_fds_release(&l);
    return 0;
}

Test(listen_fds, those_named_agent_are_the_agents_in_their_order)
{
    in_child(named);
}

static int nameless(void)
{
    struct listen_fds l;

    hand_over(2, NULL);
    CHECK(listen_fds_of_agent(&l, NULL) == 0);
    CHECK(l.n == 0);
    CHECK(notify_listen_fd(NOTIFY_FD_A2A) == 3);
    return 0;
}

Test(listen_fds, without_names_all_are_ours)
{
    in_child(nameless);
}

static int anothers(void)
{
    struct listen_fds l;

    hand_over(1, "agent");
    setenv("LISTEN_PID", "1", 1);
    CHECK(listen_fds_of_agent(&l, NULL) == 0 && l.n == 0);
    setenv("LISTEN_FDS", "many", 1);
    unsetenv("LISTEN_PID");
    CHECK(listen_fds_of_agent(&l, NULL) == 0 && l.n == 0);
    return 0;
}

Test(listen_fds, anothers_descriptors_are_nobodys)
{
    in_child(anothers);
}

static int closed(void)
{
    struct listen_fds l;
    struct err err = {0};

    hand_over(1, "agent:agent-two");
    setenv("LISTEN_FDS", "2", 1);
    close(4);
    CHECK(listen_fds_of_agent(&l, &err) < 0);
    CHECK(strstr(err.msg, "LISTEN_FDS names descriptor 4 \"agent-two\", which is not open"));
    listen_fds_release(&l);
    return 0;
}

Test(listen_fds, a_descriptor_that_is_not_open_is_named)
{
    in_child(closed);
}
