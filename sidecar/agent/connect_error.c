/*
 * Why the agent cannot be connected to, in words that name the socket, its mode, its owner, and
 * what to do.
 */
#include "agent/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory part of path, cut in place in `ret`. */
static void directory_of(const char *path, char *ret, size_t cap)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash && slash != path ? (size_t)(slash - path) : 1;

    (void)snprintf(ret, cap, "%.*s", (int)n, slash ? path : ".");
}

static void explain_missing(const char *path, char *ret, size_t cap)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    struct stat st;

    directory_of(path, dir, sizeof(dir));
    if (stat(dir, &st) < 0) {
        (void)snprintf(
            ret, cap,
            "its directory %s does not exist; mount the volume there or set agent.address", dir);
    } else {
        (void)snprintf(ret, cap,
                       "the agent has not made its socket yet; it must listen on "
                       "$MOLECULE_AGENT_SOCKET or $PORT, "
                       "or agent.address must name where it listens");
    }
}

static void explain_denied(const char *path, char *ret, size_t cap)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    struct stat st;

    if (lstat(path, &st) == 0) {
        (void)snprintf(ret, cap,
                       "the socket has mode %04o and owner %u:%u, we are %u:%u; connecting needs "
                       "write permission: give both the same "
                       "user or group, or chmod g+w",
                       (unsigned)st.st_mode & 07777U, (unsigned)st.st_uid, (unsigned)st.st_gid,
                       (unsigned)geteuid(), (unsigned)getegid());
        return;
    }
    directory_of(path, dir, sizeof(dir));
    if (stat(dir, &st) == 0) {
        (void)snprintf(ret, cap,
                       "its directory has mode %04o and owner %u:%u, we are %u:%u; entering needs "
                       "x permission",
                       (unsigned)st.st_mode & 07777U, (unsigned)st.st_uid, (unsigned)st.st_gid,
                       (unsigned)geteuid(), (unsigned)getegid());
    } else {
        (void)snprintf(ret, cap, "a directory on the way to it may not be entered by user %u",
                       (unsigned)geteuid());
    }
}

void agent_connect_error(const struct endpoint *agent, int errnum, char *ret, size_t cap)
{
    const char *path = endpoint_unix_path(agent);
    char why[320] = "";
    struct stat st;

    if (errnum == EAGAIN) {
        (void)snprintf(why, sizeof(why), "its backlog is full: the agent does not accept");
    } else if (path && errnum == ENOENT) {
        explain_missing(path, why, sizeof(why));
    } else if (path && (errnum == EACCES || errnum == EPERM)) {
        explain_denied(path, why, sizeof(why));
    } else if (path && errnum == ECONNREFUSED && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        (void)snprintf(why, sizeof(why),
                       "there is something else than a socket, which was left untouched: remove "
                       "it, or choose another path in agent.address");
    } else if (errnum == ECONNREFUSED) {
        (void)snprintf(why, sizeof(why), "nobody listens there%s",
                       path ? " (a socket left behind by a process that ended)" : "");
    }
    (void)snprintf(ret, cap, "cannot connect to %s: %s%s%s", agent->text, strerror(errnum),
                   why[0] ? "; " : "", why);
}
