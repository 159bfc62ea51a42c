/*
 * What the static build has in the place of libc's name service and loader. glibc answers these
 * calls by loading shared libraries of precisely its own version at run time, which the image that
 * a static binary is copied into need not have, and whose code a static process should not run.
 * Users and groups come from /etc/passwd and /etc/group; host names are c-ares' work (resolver.c);
 * nothing is loaded. The libraries we link still mention the calls, ours does not use them.
 *
 * Only the program of the static build links this file, before libc.
 */
#include "base/user_files.h"

#include <netdb.h>
#include <stddef.h>

/* ---- users: base/user.c, libuv ---- */

int getpwnam_r(const char *name, struct passwd *row, char *buf, size_t n, struct passwd **found)
{
    return user_files_passwd("/etc/passwd", name, 0, row, buf, n, found);
}

int getpwuid_r(uid_t uid, struct passwd *row, char *buf, size_t n, struct passwd **found)
{
    return user_files_passwd("/etc/passwd", NULL, uid, row, buf, n, found);
}

int getgrnam_r(const char *name, struct group *row, char *buf, size_t n, struct group **found)
{
    return user_files_group("/etc/group", name, row, buf, n, found);
}

int getgrouplist(const char *name, gid_t gid, gid_t *groups, int *n)
{
    return user_files_group_list("/etc/group", name, gid, groups, n);
}

/* ---- hosts and services: mentioned by OpenSSL's BIO_lookup() and by c-ares for service names ----
 */

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    (void)host;
    (void)service;
    (void)hints;
    *ret = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list; /* there is none */
}

int getnameinfo(const struct sockaddr *sa, socklen_t sa_len, char *host, socklen_t host_len,
                char *service, socklen_t service_len, int flags)
{
    (void)sa;
    (void)sa_len;
    (void)host;
    (void)host_len;
    (void)service;
    (void)service_len;
    (void)flags;
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    (void)name;
    (void)protocol;
    return NULL;
}

int getservbyport_r(int port, const char *protocol, struct servent *row, char *buf, size_t n,
                    struct servent **found)
{
    (void)port;
    (void)protocol;
    (void)row;
    (void)buf;
    (void)n;
    *found = NULL;
    return 0;
}

/* ---- the loader: OpenSSL's engines and providers, SQLite's extensions ---- */

/* libc's own is there all the same, for its character sets; the linker leads the libraries here. */
void *__wrap_dlopen(const char *path, int mode);

void *__wrap_dlopen(const char *path, int mode)
{
    (void)path;
    (void)mode;
    return NULL;
}
