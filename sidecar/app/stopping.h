/*
 * The way down, phase by phase, on one clock (design section 7). The clock starts at the first
 * trigger and never again.
 *
 *   none -> delay -> drain -> agent -> finish -> over
 *                      |
 *                    parked      a drain without TERM: done, waiting for what comes; grace without
 * TERM leads back to none
 *
 * It decides when; what happens in each phase is done by the callbacks. A second TERM skips to the
 * agent's phase, a third kills, and no later one waits for anything.
 */
#ifndef APP_STOPPING_H
#define APP_STOPPING_H

#include "app/budget.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum stop_phase {
    PHASE_NONE = 0,
    PHASE_DELAY,
    PHASE_DRAIN,
    PHASE_PARKED,
    PHASE_AGENT,
    PHASE_FINISH,
    PHASE_OVER
};
const char *stop_phase_name(enum stop_phase p);

/*
 * Between the end of the delay and the first refusal. Timers fire before sockets are read, and a
 * process may not have run for a while (a CPU limit): what came in time is then still with the
 * kernel, and is read in these turns of the loop.
 */
enum { STOP_LINGER_MS = 20 };

struct stopping_ops {                  /* all required */
    int64_t (*drain_delay)(void *arg); /* how long phase 1 is this time, ms */
    void (*drain_begins)(void *arg);
    void (*becomes_final)(void *arg); /* a drain under way, or done, turns out to be the end */
    void (*delay_ends)(void *arg);    /* STOP_LINGER_MS before refuse_begins, after a delay */
    void (*refuse_begins)(void *arg);
    bool (*has_work)(void *arg);         /* something unfinished that may still finish */
    void (*drain_late)(void *arg);       /* time is up with work unfinished: say so */
    bool (*nothing_to_serve)(void *arg); /* the agent is gone: delay and drain have no sense */
    void (*parked)(void *arg);           /* a drain without TERM is done */
    void (*resumed)(void *arg);          /* it was not the end */
    void (*agent_stop)(
        void *arg,
        int64_t grace_ms); /* its signal, then KILL after grace_ms; nothing without a child */
    void (*agent_kill)(void *arg);
    bool (*agent_is_gone)(void *arg);             /* true without a child */
    void (*finish)(void *arg, int64_t budget_ms); /* call stopping_finished() when done */
    void (*over)(void *arg);
};

struct stopping { /* embedded in app; private but phase */
    struct loop *loop;
    struct budget budget;
    enum stop_order order;
    const struct stopping_ops *ops;
    void *arg;
    enum stop_phase phase;
    bool is_final; /* TERM, stop, or the agent's own end: no way back */
    bool agent_signalled;
    bool delay_is_over;  /* in PHASE_DELAY: its STOP_LINGER_MS run */
    unsigned stop_count; /* TERMs and stops so far */
    int64_t started_ms;
    struct timer phase_timer;
    struct timer cap_timer;
};

void stopping_init(struct stopping *s, struct loop *l, const struct budget *b,
                   enum stop_order order, const struct stopping_ops *ops, void *arg);
/* Another budget and order; only while nothing is under way. */
void stopping_configure(struct stopping *s, const struct budget *b, enum stop_order order);
void stopping_release(struct stopping *s);
void stopping_drain(struct stopping *s); /* preStop or the drain command; harmless when under way */
void stopping_stop(struct stopping *s);  /* TERM, INT, stop: counts */
void stopping_end(struct stopping *s); /* the agent ended for good, removal: like stop, but does not
                                          count as a TERM */
void stopping_resume(struct stopping *s);   /* a new agent answers after a drain without TERM */
void stopping_changed(struct stopping *s);  /* work finished, or the agent is gone: look again */
void stopping_finished(struct stopping *s); /* phase finish is done */
static inline bool stopping_is_on(const struct stopping *s)
{
    return s->phase != PHASE_NONE;
}
int64_t stopping_left_ms(const struct stopping *s); /* of the whole budget */

#endif
