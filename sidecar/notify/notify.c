/*
 * What the service manager is told, in its words (sd_notify(3)).
 */
#include "notify/notify.h"

#include "base/parse.h"
#include "base/str.h"
#include "notify/datagrams.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STATUS_MAX_BYTES = 256,   /* of a STATUS= text; longer ones are cut */
    WATCHDOG_USEC_MIN = 2000, /* below, half of it is no millisecond */
    STORE_TEXT_MAX = 64,      /* FDSTOREREMOVE=1, FDNAME= and a name of ours */
};
static_assert(STATUS_MAX_BYTES + 64 <= DATAGRAM_MAX_BYTES, "a status and its state fit");

struct notify {
    bool is_on;
    int64_t watchdog_interval_ms;
    char status[STATUS_MAX_BYTES]; /* the last one sent */
    struct datagrams out;          /* open when is_on */
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

int notify_new(struct loop *loop, struct notify **ret, struct err *err)
{
    struct notify *n = calloc(1, sizeof(*n));
    const char *path = getenv("NOTIFY_SOCKET");
    int64_t watchdog_us = 0;

    if (!n) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (path && path[0]) {
        int r = datagrams_open(&n->out, loop, path, err);

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
    if (n && n->is_on) {
        datagrams_close(&n->out);
    }
    free(n);
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

static void send_with_status(struct notify *n, enum datagram kind, const char *state,
                             const char *status)
{
    char text[DATAGRAM_MAX_BYTES];

    if (!n->is_on) {
        return;
    }
    remember_status(n, status);
    (void)snprintf(text, sizeof(text), "%sSTATUS=%s\n", state, n->status);
    datagrams_send(&n->out, kind, text, -1);
}

void notify_ready(struct notify *n, const char *status)
{
    send_with_status(n, DATAGRAM_READY, "READY=1\n", status);
}

void notify_status(struct notify *n, const char *status)
{
    if (strncmp(n->status, status, sizeof(n->status) - 1) != 0) {
        send_with_status(n, DATAGRAM_STATUS, "", status);
    }
}

void notify_stopping(struct notify *n, const char *status)
{
    send_with_status(n, DATAGRAM_STOPPING, "STOPPING=1\n", status);
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
    datagrams_send(&n->out, DATAGRAM_RELOADING, text, -1);
}

void notify_store_fd(struct notify *n, const char *name, int fd)
{
    char text[STORE_TEXT_MAX];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\n", name);
        datagrams_send(&n->out, DATAGRAM_STORE, text, fd);
    }
}

void notify_remove_fd(struct notify *n, const char *name)
{
    char text[STORE_TEXT_MAX];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
        datagrams_send(&n->out, DATAGRAM_STORE, text, -1);
    }
}

void notify_extend(struct notify *n, int64_t ms)
{
    char text[64];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld\n", (long long)ms * 1000);
        datagrams_send(&n->out, DATAGRAM_EXTEND, text, -1);
    }
}

void notify_watchdog(struct notify *n)
{
    if (n->is_on) {
        datagrams_send(&n->out, DATAGRAM_WATCHDOG, "WATCHDOG=1\n", -1);
    }
}

void notify_errno(struct notify *n, int errnum)
{
    char text[32];

    if (n->is_on) {
        (void)snprintf(text, sizeof(text), "ERRNO=%d\n", errnum);
        datagrams_send(&n->out, DATAGRAM_ERRNO, text, -1);
    }
}
