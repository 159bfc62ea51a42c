/*
 * What goes to the service manager, in order, and without ever waiting for it (sd_notify(3),
 * "Notification Protocol"): its socket takes a few datagrams that it has not read, and a manager
 * that is busy reads none. What does not fit stays here and is sent again, from 20 ms on at
 * growing distances of at most 1 s.
 *
 * libsystemd's sd_notify() is not used: it blocks in sendmsg() until the manager reads.
 */
#ifndef NOTIFY_DATAGRAMS_H
#define NOTIFY_DATAGRAMS_H

#include "base/err.h"
#include "loop/loop.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { DATAGRAM_MAX_BYTES = 320 };

/*
 * Of each kind at most one waits: a newer one takes its place, at the end. So a manager that was
 * away gets the last word of each kind, READY=1 after the RELOADING=1 that it belongs to.
 */
enum datagram {
    DATAGRAM_READY = 0,
    DATAGRAM_STATUS,
    DATAGRAM_STOPPING,
    DATAGRAM_EXTEND,
    DATAGRAM_RELOADING,
    DATAGRAM_ERRNO,
    DATAGRAM_STORE, /* and the removal of what is stored */
    DATAGRAM_KINDS,
    DATAGRAM_WATCHDOG = DATAGRAM_KINDS /* never waits: the next one comes by itself */
};

struct datagrams {
    struct loop *loop;
    struct timer again;
    int64_t pause_ms;
    uint64_t newest;
    struct {
        uint64_t order; /* 0 = none waits */
        int fd;         /* ours, sent along; -1 = none */
        char text[DATAGRAM_MAX_BYTES];
    } waiting[DATAGRAM_KINDS];
    int fd;
    struct sockaddr_un at;
    socklen_t at_len;
};

/* path: $NOTIFY_SOCKET. The loop must outlive it. -EINVAL for an address that is none. */
int datagrams_open(struct datagrams *d, struct loop *loop, const char *path, struct err *err);

/* Tries once more what waits; then it is lost. */
void datagrams_close(struct datagrams *d);

/*
 * text: shorter than DATAGRAM_MAX_BYTES. fd: goes along, borrowed; -1 = none. A manager that is not
 * there loses it, and changes nothing for us.
 */
void datagrams_send(struct datagrams *d, enum datagram kind, const char *text, int fd);

#endif
