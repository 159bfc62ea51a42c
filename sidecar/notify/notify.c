/*
 * Talks to the service manager, through libsystemd where it was built in, else by a datagram of our
 * own.
 */
#include "notify/notify.h"

#include "base/fd.h"
#include "base/parse.h"
#include "base/str.h"
#include "notify/listen_fds.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#if WITH_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum {
    STATUS_MAX_BYTES = 256,   /* of a STATUS= text; longer ones are cut */
    WATCHDOG_USEC_MIN = 2000, /* below, half of it is no millisecond */
};

struct notify {
    bool is_on;
    int64_t watchdog_interval_ms;
    char status[STATUS_MAX_BYTES]; /* the last one sent */
#if !WITH_SYSTEMD
    int fd;
    struct sockaddr_un at;
    socklen_t at_len;
#endif
};

static bool env_number(const char *name, int64_t min, int64_t *ret)
{
    const char *text = getenv(name);

    return text && parse_int64(slice_of(text), min, INT64_MAX, ret) == 0;
}

/* A variable that names another process is not for us. */
static bool is_for_us(const char *pid_variable)
{
    int64_t pid;

    return !getenv(pid_variable) || (env_number(pid_variable, 1, &pid) && pid == getpid());
}

#if WITH_SYSTEMD
static int transport_open(struct notify *n, const char *path, struct err *err)
{
    (void)n;
    (void)path;
    (void)err;
    return 0;
}

static void transport_close(struct notify *n)
{
    (void)n;
}

static void transport_send(const struct notify *n, const char *text)
{
    (void)n;
    (void)sd_notify(0, text); /* a manager that does not listen changes nothing for us */
}
#else
static int transport_open(struct notify *n, const char *path, struct err *err)
{
    size_t length = strlen(path);

    n->at.sun_family = AF_UNIX;
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(n->at.sun_path)) {
        return err_set(err, -EINVAL,
                       "NOTIFY_SOCKET is %s, must be an absolute path or begin with @, and be "
                       "shorter than %zu bytes",
                       path, sizeof(n->at.sun_path));
    }
    memcpy(n->at.sun_path, path, length);
    if (path[0] == '@') {
        n->at.sun_path[0] = '\0'; /* abstract: no file */
    }
    n->at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return n->fd < 0 ? err_set(err, -errno, "cannot create a socket for NOTIFY_SOCKET: %m") : 0;
}

static void transport_close(struct notify *n)
{
    fd_close(&n->fd);
}

static void transport_send(const struct notify *n, const char *text)
{
    /* a manager that does not listen changes nothing for us */
    (void)sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->at,
                 n->at_len);
}
#endif

int notify_new(struct notify **ret, struct err *err)
{
    struct notify *n = calloc(1, sizeof(*n));
    const char *path = getenv("NOTIFY_SOCKET");
    int64_t watchdog_us = 0;

    if (!n) {
        return err_set(err, -ENOMEM, "out of memory");
    }
#if !WITH_SYSTEMD
    n->fd = -1;
#endif
    if (path && path[0]) {
        int r = transport_open(n, path, err);

        if (r < 0) {
            free(n);
            return r;
        }
        n->is_on = true;
        if (is_for_us("WATCHDOG_PID") &&
            env_number("WATCHDOG_USEC", WATCHDOG_USEC_MIN, &watchdog_us)) {
            n->watchdog_interval_ms = watchdog_us / 2 / 1000;
        }
    }
    *ret = n;
    return 0;
}

void notify_free(struct notify *n)
{
    if (n) {
        transport_close(n);
        free(n);
    }
}

bool notify_is_on(const struct notify *n)
{
    return n->is_on;
}

int64_t notify_watchdog_interval_ms(const struct notify *n)
{
    return n->watchdog_interval_ms;
}

/* Text that goes into one line of the datagram. */
static void remember_status(struct notify *n, const char *status)
{
    size_t length = strcspn(status, "\r\n");

    if (length >= sizeof(n->status)) {
        length = sizeof(n->status) - 1;
    }
    memcpy(n->status, status, length);
    n->status[length] = '\0';
}

static void send_with_status(struct notify *n, const char *state, const char *status)
{
    char text[STATUS_MAX_BYTES + 64];

    if (!n->is_on) {
        return;
    }
    remember_status(n, status);
    (void)snprintf(text, sizeof(text), "%sSTATUS=%s\n", state, n->status);
    transport_send(n, text);
}

void notify_ready(struct notify *n, const char *status)
{
    send_with_status(n, "READY=1\n", status);
}

void notify_status(struct notify *n, const char *status)
{
    if (strncmp(n->status, status, sizeof(n->status) - 1) != 0) {
        send_with_status(n, "", status);
    }
}

void notify_stopping(struct notify *n, const char *status)
{
    send_with_status(n, "STOPPING=1\n", status);
}

void notify_extend(struct notify *n, int64_t ms)
{
    char text[64];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld\n", (long long)ms * 1000);
        transport_send(n, text);
    }
}

void notify_watchdog(struct notify *n)
{
    if (n->is_on) {
        transport_send(n, "WATCHDOG=1\n");
    }
}

void notify_errno(struct notify *n, int errnum)
{
    char text[32];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "ERRNO=%d\n", errnum);
        transport_send(n, text);
    }
}

static bool is_listening_stream(int fd)
{
    int type = 0;
    int listening = 0;
    socklen_t n = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM) {
        return false;
    }
    n = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening;
}

int notify_listen_fd(void)
{
    int64_t count;

    if (!is_for_us("LISTEN_PID") || !env_number("LISTEN_FDS", 1, &count)) {
        return -1;
    }
    for (int fd = LISTEN_FDS_START; fd < LISTEN_FDS_START + count && count <= LISTEN_FDS_MAX;
         fd++) {
        if (!listen_fd_is_agents(fd) && is_listening_stream(fd) && fd_set_cloexec(fd, true) == 0 &&
            fd_set_nonblock(fd, true) == 0) {
            return fd;
        }
    }
    return -1;
}
