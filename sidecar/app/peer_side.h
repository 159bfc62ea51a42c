/*
 * Sidecar mode's end of the agent (stop.peer): its process is signalled through its socket's peer
 * credentials, or its socket is waited for, or nothing is done.
 */
#ifndef APP_PEER_SIDE_H
#define APP_PEER_SIDE_H

#include "loop/loop.h"
#include "supervisor/peer.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

struct peer_side { /* embedded in app; private */
    struct peer_stop stop;
    struct timer look; /* while we only wait: asks whether somebody still listens */
    int64_t until_ms;
    int64_t answered_at_boot_ms; /* when the agent last began to answer */
    bool is_gone;
};

void peer_side_note_up(struct app *a); /* it began to answer */
void peer_side_stop(struct app *a, int64_t grace_ms);
void peer_side_kill(struct app *a); /* or stop waiting */
bool peer_side_is_gone(const struct app *a);
void peer_side_release(struct app *a);

#endif
