/*
 * What the agent says with sd_notify(3), read by an allow-list. Pure. Everything else of the
 * protocol would let the agent speak for us: it could name another main process (MAINPID), hand
 * over descriptors (FDSTORE), feed or trigger our watchdog, announce our end or our readiness. The
 * table is in docs/supervision.md.
 */
#ifndef NOTIFY_AGENT_MESSAGE_H
#define NOTIFY_AGENT_MESSAGE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    AGENT_STATUS_MAX_BYTES = 160,      /* of STATUS, with its NUL; longer ones are cut with "..." */
    AGENT_ERRNO_MAX = 4095,            /* the kernel's MAX_ERRNO */
    AGENT_EXTEND_MAX_MS = 3600 * 1000, /* of one EXTEND_TIMEOUT_USEC */
};

struct agent_message {
    bool is_ready;     /* READY=1: for agent.ready: notify */
    bool has_status;   /* STATUS=: becomes a part of ours; "" takes it back */
    bool is_reloading; /* RELOADING=1: noted */
    bool is_stopping;  /* STOPPING=1: noted */
    bool is_broken;    /* WATCHDOG=trigger: said in the log, not passed on */
    int errnum;        /* ERRNO=: passed on; 0 = none */
    int64_t extend_ms; /* EXTEND_TIMEOUT_USEC=: passed on within agent.start_timeout; 0 = none */
    unsigned dropped;  /* assignments that are not for us, and lines that are none */
    char status[AGENT_STATUS_MAX_BYTES]; /* printable: no control characters */
};

void agent_message_read(struct slice datagram, struct agent_message *ret);

#endif
