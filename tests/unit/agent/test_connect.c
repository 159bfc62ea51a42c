/* Does anybody accept? What is said when nobody does. */
#include "agent/connect.h"

#include "support/no_ipv6.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { NOT_CALLED = -2, PATIENCE_MS = 60000 };

struct result {
    struct loop *loop;
    int errnum;
};

static void on_result(void *arg, int errnum)
{
    struct result *r = arg;

    r->errnum = errnum;
    loop_stop(r->loop);
}

/* The same port of ::1, so that nobody else listens there. False: somebody may. */
static bool take_other_family(in_port_t port)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); /* stays open till the end */

    return fd < 0 || bind(fd, (struct sockaddr *)&six, sizeof(six)) == 0 || errno != EADDRINUSE;
}

/* A port of 127.0.0.1 that is bound, and listened to with listens. */
static int port_of(bool listens, char *text, size_t cap)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    int fd;

    do {
        sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    } while (!take_other_family(sa.sin_port));
    cr_assert(!listens || listen(fd, 8) == 0);
    (void)snprintf(text, cap, "http://localhost:%u", ntohs(sa.sin_port));
    return fd;
}

static int try_it(const char *text)
{
    struct result r = {.errnum = NOT_CALLED};
    struct connect_try t = {0};
    struct endpoint at;
    int code;

    cr_assert_eq(endpoint_parse(slice_of(text), &at, NULL), 0);
    cr_assert_eq(loop_new(&r.loop, NULL), 0);
    code = connect_try_start(&t, r.loop, &at, PATIENCE_MS, on_result, &r);
    if (code == -1)
        loop_run(r.loop);
    loop_free(r.loop);
    return code == -1 ? r.errnum : code;
}

Test(connect, a_machine_without_ipv6_knows_a_refusal_too)
{
    static const int lacks[] = {0, EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH};
    char text[64];
    int fd = port_of(false, text, sizeof(text));

    for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
        int code;

        no_ipv6_errno = lacks[i];
        code = try_it(text);
        cr_assert_eq(code, ECONNREFUSED, "%s", strerror(code));
    }
    close(fd);
}

Test(connect, who_listens_is_found)
{
    char text[64];
    int fd = port_of(true, text, sizeof(text));

    cr_assert_eq(try_it(text), 0);
    close(fd);
}
