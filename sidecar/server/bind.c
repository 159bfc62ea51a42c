/*
 * The listening socket: an address made to listen, or a sentence with the fix. A Unix path that is
 * in the way is only removed when it is a socket that nobody answers on.
 */
#include "server/conn.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "log/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/banned.h"

static int new_socket(int family, int *ret_fd)
{
    *ret_fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *ret_fd < 0 ? -errno : 0;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* ---- TCP ---- */

static int tcp_bind_sentence(const struct endpoint *at, int code, struct err *err)
{
    switch (code) {
    case -EADDRINUSE:
        return err_set(err, code,
                       "cannot listen on %s: the port is taken by another process; stop it, or "
                       "choose another port",
                       at->text);
    case -EACCES:
        return err_set(err, code,
                       "cannot listen on %s: ports below 1024 need a right we do not have; choose "
                       "a port from 1024 to 65535",
                       at->text);
    case -EADDRNOTAVAIL:
        return err_set(err, code,
                       "cannot listen on %s: no interface of this machine has that address",
                       at->text);
    default:
        errno = -code;
        return err_set(err, code, "cannot listen on %s: %m", at->text);
    }
}

static int tcp_try(const struct endpoint *at, int *ret_fd)
{
    CLEANUP(fd_cleanup) int fd = -1;
    int rc = new_socket(at->sa.ss_family, &fd);

    if (rc < 0)
        return rc;
    rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && at->sa.ss_family == AF_INET6 && at->is_any)
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* [::] means both families */
    if (rc == 0 && bind(fd, (const struct sockaddr *)&at->sa, at->sa_len) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, SERVER_BACKLOG) < 0)
        rc = -errno;
    if (rc == 0)
        *ret_fd = fd_take(&fd);
    return rc;
}

/* [::] on a machine without IPv6 is 0.0.0.0. */
static bool ipv4_instead(const struct endpoint *at, int code, struct endpoint *ret)
{
    char text[ENDPOINT_TEXT_MAX];

    if (!at->is_any || at->sa.ss_family != AF_INET6 ||
        (code != -EAFNOSUPPORT && code != -EADDRNOTAVAIL))
        return false;
    (void)snprintf(text, sizeof(text), "0.0.0.0:%u", (unsigned)at->port);
    return endpoint_parse(slice_of(text), ret, NULL) == 0;
}

static int tcp_listen(const struct endpoint *at, int *ret_fd, struct err *err)
{
    struct endpoint other;
    int rc = tcp_try(at, ret_fd);

    if (rc < 0 && ipv4_instead(at, rc, &other)) {
        log_debug("server", "no IPv6 here, listening on %s instead of %s", other.text, at->text);
        at = &other;
        rc = tcp_try(at, ret_fd);
    }
    return rc < 0 ? tcp_bind_sentence(at, rc, err) : 0;
}

/* ---- Unix sockets ---- */

/* Does somebody listen there? 0 when it refuses, -EADDRINUSE when it answers (or is too busy to),
 * else -errno. */
static int unix_probe(const struct endpoint *at)
{
    CLEANUP(fd_cleanup) int fd = -1;
    int rc = new_socket(AF_UNIX, &fd);

    if (rc < 0)
        return rc;
    if (connect(fd, (const struct sockaddr *)&at->sa, at->sa_len) == 0 || errno == EAGAIN ||
        errno == EINPROGRESS)
        return -EADDRINUSE;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

static int unix_bind_sentence(const char *path, int code, struct err *err)
{
    const char *slash = strrchr(path, '/');
    int dir_len = slash && slash != path ? (int)(slash - path) : 1;
    const char *dir = slash ? path : ".";

    switch (code) {
    case -ENOENT:
    case -ENOTDIR:
        return err_set(
            err, code,
            "cannot make the socket %s: the directory %.*s does not exist; create it first", path,
            dir_len, dir);
    case -EACCES:
    case -EPERM:
    case -EROFS:
        return err_set(err, code,
                       "cannot make the socket %s: the directory %.*s is not writable for uid %u",
                       path, dir_len, dir, (unsigned)geteuid());
    default:
        errno = -code;
        return err_set(err, code, "cannot make the socket %s: %m", path);
    }
}

static int unix_clear_path(const struct endpoint *at, const char *path, struct err *err)
{
    struct stat st;
    int rc;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : unix_bind_sentence(path, -errno, err);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, -EEXIST,
                       "%s exists and is not a socket: it was left untouched; remove it, or choose "
                       "another path",
                       path);
    rc = unix_probe(at);
    if (rc == -EADDRINUSE)
        return err_set(err, rc,
                       "another process answers on the socket %s: stop it, or choose another path",
                       path);
    if (rc < 0) {
        errno = -rc;
        return err_set(err, rc, "cannot find out whether the socket %s is in use: %m", path);
    }
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set(
            err, -errno,
            "cannot remove the stale socket %s: %m; its directory must be writable for uid %u",
            path, (unsigned)geteuid());
    return 0;
}

static int unix_listen(struct server *s, const struct endpoint *at, int *ret_fd, struct err *err)
{
    CLEANUP(fd_cleanup) int fd = -1;
    const char *path = endpoint_unix_path(at);
    struct stat st;
    int rc = unix_clear_path(at, path, err);

    if (rc < 0)
        return rc;
    rc = new_socket(AF_UNIX, &fd);
    if (rc < 0) {
        errno = -rc;
        return err_set(err, rc, "cannot make a socket: %m");
    }
    (void)fchmod(fd, s->cfg.socket_mode); /* the inode is born with this mode, less the umask: never
                                             wider for a moment */
    if (bind(fd, (const struct sockaddr *)&at->sa, at->sa_len) < 0)
        return unix_bind_sentence(path, -errno, err);
    if (chmod(path, s->cfg.socket_mode) < 0 || lstat(path, &st) < 0 ||
        listen(fd, SERVER_BACKLOG) < 0) {
        rc = -errno;
        (void)unlink(path); /* ours, just made; the error counts */
        errno = -rc;
        return err_set(err, rc, "cannot listen on the socket %s: %m", path);
    }
    s->owns_path = true;
    s->path_dev = st.st_dev;
    s->path_ino = st.st_ino;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* Only what we made: another process may have put its own socket there since. */
static void unix_remove_own(struct server *s)
{
    const char *path = endpoint_unix_path(&s->at);
    struct stat st;

    if (!s->owns_path || !path)
        return;
    s->owns_path = false;
    if (lstat(path, &st) == 0 && st.st_dev == s->path_dev && st.st_ino == s->path_ino)
        (void)unlink(path); /* a leftover would be found stale by the next one */
}

/* ---- any ---- */

/* What the kernel has made of the address: the port it chose, or whatever an inherited socket is
 * bound to. */
static int read_address(struct server *s, struct err *err)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    char host[INET6_ADDRSTRLEN + 1] = "";
    char text[ENDPOINT_TEXT_MAX];

    if (getsockname(s->listen_fd, (struct sockaddr *)&sa, &len) < 0)
        return err_set(err, -errno, "cannot read the address of the listening socket: %m");
    if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;

        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(text, sizeof(text), "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(text, sizeof(text), "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
    } else if (sa.ss_family == AF_UNIX) {
        (void)snprintf(text, sizeof(text), "unix:%s", ((const struct sockaddr_un *)&sa)->sun_path);
    } else {
        return err_set(err, -EAFNOSUPPORT, "the inherited socket is neither TCP nor a Unix socket");
    }
    return endpoint_parse(slice_of(text), &s->at, err);
}

static int adopt_inherited(struct server *s, int *ret_fd, struct err *err)
{
    int fd = s->cfg.inherited_fd;
    int listens = 0;
    socklen_t len = sizeof(listens);
    int rc;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return err_set(err, -EINVAL, "the inherited descriptor %d is not a listening socket", fd);
    rc = fd_set_nonblock(fd, true);
    if (rc == 0)
        rc = fd_set_cloexec(fd, true);
    if (rc < 0) {
        errno = -rc;
        return err_set(err, rc, "cannot use the inherited descriptor %d: %m", fd);
    }
    *ret_fd = fd;
    return 0;
}

int listen_socket_open(struct server *s, struct err *err)
{
    const struct endpoint *at = &s->cfg.at;
    int rc;

    if (s->cfg.inherited_fd >= 0)
        rc = adopt_inherited(s, &s->listen_fd, err);
    else if (at->kind == ENDPOINT_UNIX)
        rc = unix_listen(s, at, &s->listen_fd, err);
    else if (at->kind == ENDPOINT_TCP)
        rc = tcp_listen(at, &s->listen_fd, err);
    else
        rc = err_set(err, -EINVAL, "the server \"%s\" has no address to listen on", s->cfg.name);
    if (rc < 0)
        return rc;
    rc = read_address(s, err);
    if (rc == 0 && s->at.kind == ENDPOINT_TCP)
        rc =
            set_option(s->listen_fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    if (rc < 0)
        listen_socket_close(s);
    return rc;
}

void listen_socket_close(struct server *s)
{
    if (s->listen_fd < 0)
        return;
    fd_close(&s->listen_fd);
    unix_remove_own(s);
}
