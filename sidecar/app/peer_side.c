/*
 * How a stop reaches an agent that is not our child. Finding and signalling it is
 * supervisor/peer's.
 */
#include "app/peer_side.h"

#include "app/parts.h"
#include "base/parse.h"
#include "base/signame.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

enum { LOOK_INTERVAL_MS = 100 }; /* only while we stop, and only where no event tells */

void peer_side_note_up(struct app *a)
{
    struct timespec now;

    if (clock_gettime(CLOCK_BOOTTIME, &now) == 0) {
        a->peer.answered_at_boot_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
}

bool peer_side_is_gone(const struct app *a)
{
    return a->peer.is_gone;
}

static void gone(struct app *a)
{
    timer_stop(&a->peer.look);
    a->peer.is_gone = true;
    stopping_changed(&a->stopping);
}

/* ---- waiting ---- */

static void look(struct timer *t)
{
    struct app *a = t->arg;
    bool is_late = loop_now_ms(a->loop) >= a->peer.until_ms;

    if (is_late || agent_side_is_gone_now(a)) {
        log_info("agent",
                 is_late ? "still listens at %s; leaving all the same"
                         : "does not listen at %s any more",
                 a->cfg->agent.address.text);
        gone(a);
        return;
    }
    timer_start(t, a->loop, loop_now_ms(a->loop) + LOOK_INTERVAL_MS, look, a);
}

static void wait_for_socket(struct app *a, int64_t grace_ms, const char *why)
{
    char text[FORMAT_MAX];

    a->peer.until_ms = loop_now_ms(a->loop) + grace_ms;
    log_info("agent", "waiting up to %s for %s to go: %s", format_duration(grace_ms, text),
             a->cfg->agent.address.text, why);
    timer_start(&a->peer.look, a->loop, loop_now_ms(a->loop) + LOOK_INTERVAL_MS, look, a);
}

/* ---- signalling ---- */

static void on_step(void *arg, int signo, int64_t left_ms)
{
    struct app *a = arg;
    char name[SIGNAL_WORDS_MAX];
    char text[FORMAT_MAX];

    if (signo == SIGKILL) {
        a->was_killed = true;
        log_warning("agent", "SIGKILL now");
        return;
    }
    log_info("agent", "%s; what follows it in stop.signal comes in %s",
             signal_in_words(signo, name), format_duration(left_ms, text));
}

static void on_gone(void *arg)
{
    log_info("agent", "its process has ended");
    gone(arg);
}

static const struct peer_callbacks callbacks = {.on_step = on_step, .on_gone = on_gone};

static void signal_it(struct app *a, int64_t grace_ms)
{
    const struct peer_query q = {.at = &a->cfg->agent.address,
                                 .answered_at_boot_ms = a->peer.answered_at_boot_ms};
    struct peer_found found;
    struct err why = {0};
    int r = peer_find(&q, &found, &why);

    if (r == 0) {
        a->peer.is_gone = true;
        return;
    }
    if (r > 0) {
        log_info("agent", "process %d listens at %s: stopping it", (int)found.pid, q.at->text);
        r = peer_stop_begin(&a->peer.stop, a->loop, &found, &a->cfg->stop.signal, grace_ms,
                            &callbacks, a);
        if (r < 0) {
            (void)err_set(&why, r, "cannot watch its process: %s", strerrordesc_np(-r));
        }
    }
    if (r < 0) {
        wait_for_socket(a, grace_ms, why.msg);
    }
}

void peer_side_stop(struct app *a, int64_t grace_ms)
{
    bool is_ours = a->probe && a->cfg->stop.peer != STOP_PEER_OFF;

    if (is_ours && a->cfg->stop.peer == STOP_PEER_SIGNAL) {
        signal_it(a, grace_ms);
    } else if (is_ours && !agent_side_is_gone_now(a)) {
        wait_for_socket(a, grace_ms, "stop.peer wait");
    } else {
        a->peer.is_gone = true;
    }
}

void peer_side_kill(struct app *a)
{
    if (a->peer.stop.is_on) {
        peer_stop_kill(&a->peer.stop);
    } else if (!a->peer.is_gone) {
        log_info("agent", "not waiting for %s any longer", a->cfg->agent.address.text);
        gone(a);
    }
}

void peer_side_release(struct app *a)
{
    timer_stop(&a->peer.look);
    peer_stop_release(&a->peer.stop);
}
