/*
 * Signals as events. What they mean is the owner's business.
 */
#include "loop/signals.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

enum { SIGNALS_PER_READ = 16 };

struct signals {
    struct watch watch;
    signals_fn *fn;
    void *arg;
    bool is_calling_back; /* our callback is on the stack: */
    bool is_freed;        /* if it frees us, the last bytes go when it returns */
    int fd;
};

/*
 * All that may wait for us to read it. Faults must strike where they happen; a pipe's end is told
 * by EPIPE. SIGKILL and SIGSTOP cannot be blocked anyway.
 *
 * HUP, INT and QUIT that are ignored when we start are not for us: nohup and a shell's `&` say so.
 * A blocked signal is queued even when it is ignored, so they must stay out. The same set is found
 * again later, as nothing of ours changes these three.
 */
static void signals_wanted(sigset_t *set)
{
    static const int not_these[] = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,  SIGTRAP,
                                    SIGABRT, SIGSYS, SIGPIPE, SIGKILL, SIGSTOP};
    static const int of_terminals[] = {SIGHUP, SIGINT, SIGQUIT};

    (void)sigfillset(set); /* neither can fail with these numbers */
    for (size_t i = 0; i < sizeof(not_these) / sizeof(not_these[0]); i++)
        (void)sigdelset(set, not_these[i]);
    for (size_t i = 0; i < sizeof(of_terminals) / sizeof(of_terminals[0]); i++) {
        struct sigaction now;

        if (sigaction(of_terminals[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            (void)sigdelset(set, of_terminals[i]);
    }
}

void signals_block_all(struct signals_origin *ret_origin)
{
    struct sigaction action;
    sigset_t set;
    int rc;

    (void)sigemptyset(&ret_origin->ignored);
    for (int number = 1; number < NSIG; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            (void)sigaddset(&ret_origin->ignored, number);
    }
    signals_wanted(&set);
    rc = sigprocmask(SIG_BLOCK, &set, &ret_origin->mask);
    assert(rc == 0);
    action = (struct sigaction){.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &action, NULL);
    /* An ignored SIGCHLD makes the kernel reap children itself, and their status is lost. */
    if (sigismember(&ret_origin->ignored, SIGCHLD) == 1) {
        action = (struct sigaction){.sa_handler = SIG_DFL};
        (void)sigaction(SIGCHLD, &action, NULL);
    }
}

static void on_readable(struct watch *w, int events)
{
    struct signals *s = w->arg;
    struct signalfd_siginfo info[SIGNALS_PER_READ];
    ssize_t n;

    (void)events;
    n = read(s->fd, info, sizeof(info)); /* level-triggered: more than fit come in the next turn */
    if (n <= 0)
        return; /* EAGAIN, EINTR: nothing to do but wait */
    s->is_calling_back = true;
    for (size_t i = 0; i < (size_t)n / sizeof(info[0]) && !s->is_freed; i++)
        s->fn(s->arg, &info[i]);
    s->is_calling_back = false;
    if (s->is_freed)
        free(s);
}

int signals_new(struct loop *l, signals_fn *fn, void *arg, struct signals **ret, struct err *err)
{
    struct signals *s = calloc(1, sizeof(*s));
    sigset_t set;
    int rc;

    if (!s)
        return err_set(err, -ENOMEM, "no memory for the signals");
    signals_wanted(&set);
    s->fn = fn;
    s->arg = arg;
    s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    rc = s->fd < 0 ? -errno : watch_start(&s->watch, l, s->fd, WATCH_READ, on_readable, s);
    if (rc < 0) {
        signals_free(s);
        errno = -rc;
        return err_set(err, rc, "cannot read signals through a descriptor: %m");
    }
    *ret = s;
    return 0;
}

void signals_free(struct signals *s)
{
    if (!s)
        return;
    watch_stop(&s->watch);
    fd_close(&s->fd);
    if (s->is_calling_back)
        s->is_freed = true;
    else
        free(s);
}
