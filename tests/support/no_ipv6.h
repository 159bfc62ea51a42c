/*
 * A machine without IPv6, for one test program: connect(2) to an IPv6 address fails with
 * no_ipv6_errno while that is not 0. Include it once; libc's calls go through it as well.
 */
#ifndef SUPPORT_NO_IPV6_H
#define SUPPORT_NO_IPV6_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int no_ipv6_errno;

int connect(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len)
{
    if (no_ipv6_errno && sa.__sockaddr__->sa_family == AF_INET6) {
        errno = no_ipv6_errno;
        return -1;
    }
    return (int)syscall(SYS_connect, fd, sa.__sockaddr__, len);
}

#endif
