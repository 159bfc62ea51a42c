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
#include <time.h>
#include <unistd.h>
#if WITH_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum {
    STATUS_MAX_BYTES = 256,   /* of a STATUS= text; longer ones are cut */
    WATCHDOG_USEC_MIN = 2000, /* below, half of it is no millisecond */
    STORE_TEXT_MAX = 64,      /* FDSTOREREMOVE=1, FDNAME= and a name of ours */
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

static void transport_send_fd(const struct notify *n, const char *text, int fd)
{
    (void)n;
    (void)sd_pid_notify_with_fds(0, 0, text, &fd, 1);
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

static void transport_send_fd(const struct notify *n, const char *text, int fd)
{
    struct sockaddr_un at = n->at;
    char copy[STORE_TEXT_MAX]; /* an iovec does not know const */
    struct iovec iov = {.iov_base = copy};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_name = &at,
                             .msg_namelen = n->at_len,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);

    (void)snprintf(copy, sizeof(copy), "%s", text);
    iov.iov_len = strlen(copy);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    (void)sendmsg(n->fd, &message, MSG_NOSIGNAL); /* as above */
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

int64_t notify_watchdog_of_env_ms(void)
{
    int64_t us = 0;

    return env_number("WATCHDOG_USEC", WATCHDOG_USEC_MIN, &us) ? us / 1000 : 0;
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

void notify_reloading(struct notify *n)
{
    struct timespec now;
    char text[96];

    if (!n->is_on) {
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail on Linux */
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                   (unsigned long long)now.tv_sec * 1000000 +
                       (unsigned long long)now.tv_nsec / 1000);
    transport_send(n, text);
}

void notify_store_fd(struct notify *n, const char *name, int fd)
{
    char text[STORE_TEXT_MAX];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\n", name);
        transport_send_fd(n, text, fd);
    }
}

void notify_remove_fd(struct notify *n, const char *name)
{
    char text[STORE_TEXT_MAX];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
        transport_send(n, text);
    }
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
