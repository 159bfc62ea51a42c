/*
 * The one signalfd. Signals are blocked in main() before anything can start a thread; this source
 * reads them as events.
 */
#ifndef LOOP_SIGNALS_H
#define LOOP_SIGNALS_H

#include "base/err.h"
#include "loop/loop.h"

#include <signal.h>
#include <sys/signalfd.h>

struct signals;
typedef void signals_fn(void *arg, const struct signalfd_siginfo *info);

/*
 * What the process was started with, so that a child can be given the same. Call first in main().
 */
struct signals_origin {
    sigset_t mask;    /* the mask we inherited */
    sigset_t ignored; /* the signals that were SIG_IGN on entry (nohup) */
};
/*
 * All but those the kernel needs for faults, and those of HUP, INT, QUIT that were ignored on
 * entry: they go on being ignored, as nohup and a shell's `&` mean it. SIGPIPE is ignored from now
 * on; SIGCHLD has its default back, since ignored it would hide every exit status.
 */
void signals_block_all(struct signals_origin *ret_origin);

int signals_new(struct loop *l, signals_fn *fn, void *arg, struct signals **ret, struct err *err);
void signals_free(struct signals *s);

#endif
